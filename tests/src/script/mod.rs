//! Transcripts: a behaviour told as commands and what came of them, in a text file.
//!
//! A file is a list of blocks: one command line, a line of dashes, and the lines that the cluster
//! said. Running a file gives the same file with the lines of today; the test compares the two,
//! or writes the new one when asked to. docs/simulation.md lists the commands.

mod describe;
mod operations;
mod orders;
mod stage;
mod verbs;
mod words;

use stage::Stage;
use words::Words;

/// The line between a command and its output.
const RULE: &str = "----";

/// Runs a transcript and writes it anew with what happened.
///
/// # Errors
/// A sentence with the line's number: a command that does not exist, or names what does not.
pub fn run(text: &str) -> Result<String, String> {
    let mut stage = Stage::default();
    let mut written = String::new();
    let mut in_output = false;
    for (at, line) in text.lines().enumerate() {
        if in_output {
            in_output = !line.trim().is_empty();
            continue;
        }
        if line == RULE {
            in_output = true;
            continue;
        }
        if line.trim().is_empty() && written.ends_with("\n\n") {
            continue;
        }
        written.push_str(line);
        written.push('\n');
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let said =
            command(&mut stage, line).map_err(|problem| format!("line {}: {problem}", at + 1))?;
        written.push_str(RULE);
        written.push('\n');
        for line in said {
            written.push_str(&line);
            written.push('\n');
        }
        written.push('\n');
    }
    Ok(format!("{}\n", written.trim_end()))
}

fn command(stage: &mut Stage, line: &str) -> Result<Vec<String>, String> {
    let words = Words::new(line);
    let name = |at| words.word(at);
    match words.word(0)? {
        "options" => stage.options(&words)?,
        "agent" => stage.agent(name(1)?, &words)?,
        "subscribe" => stage.subscribe(name(1)?, &words)?,
        "update" => stage.update(name(1)?, &words)?,
        "accept" => stage.accept(name(1)?, &words)?,
        "decline" => stage.decline(name(1)?, &words)?,
        "revive" => stage.revive(name(1)?, &words)?,
        "suppress" => stage.suppress(name(1)?, &words)?,
        "request" => stage.request(name(1)?, &words)?,
        "kill" => stage.kill(name(1)?, &words)?,
        "ack" => stage.acknowledge(name(1)?, name(2)?)?,
        "reconcile" => stage.reconcile(name(1)?, &words)?,
        "teardown" => stage.teardown(name(1)?)?,
        "close" => stage.close(name(1)?)?,
        verb @ ("drain" | "deactivate" | "reactivate" | "gone") => stage.order(verb, &words)?,
        "agree" => stage.answer_inverse(name(1)?, true, &words)?,
        "object" => stage.answer_inverse(name(1)?, false, &words)?,
        "change" => stage.change(name(1)?, &words)?,
        "operations" => stage.operations(name(1)?, &words)?,
        "confirm" => stage.confirm(name(1)?, name(2)?)?,
        "shutdown" => stage.shutdown(name(1)?, &words)?,
        "weight" => stage.weight(&words)?,
        "quota" => stage.quota(&words)?,
        "schedule" => stage.schedule(&words)?,
        "down" => stage.maintenance(true, &words)?,
        "up" => stage.maintenance(false, &words)?,
        "status" => stage.status()?,
        "why" => stage.why(name(1)?)?,
        "remove" => stage.remove(name(1)?)?,
        "exit" => stage.exit(name(1)?, name(2)?, &words)?,
        "break" => stage.break_stream(name(1)?)?,
        "deafen" => stage.deafen(name(1)?)?,
        "cut" => stage.cut(name(1)?, true)?,
        "mend" => stage.cut(name(1)?, false)?,
        "crash" => stage.crash(name(1)?)?,
        "reboot" => stage.reboot(name(1)?)?,
        "start" => stage.start(name(1)?)?,
        "advance" => stage.advance(words.duration(1)?),
        other => return Err(format!("there is no command '{other}'")),
    }
    Ok(stage.said())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_replaced_and_comments_stay() {
        let text = "# why\nagent a1 cpus=1 mem=64\n----\nnonsense\n\n# end\n";
        let once = run(text).expect("the commands exist");
        assert!(once.starts_with("# why\nagent a1 cpus=1 mem=64\n----\n"), "{once}");
        assert!(once.contains("registry: admit m-S0") && once.ends_with("# end\n"), "{once}");
        assert!(!once.contains("nonsense"));
        assert_eq!(run(&once).as_ref(), Ok(&once));
    }

    #[test]
    fn what_cannot_be_done_is_said_with_its_line() {
        assert_eq!(run("\nfly f1\n"), Err("line 2: there is no command 'fly'".to_owned()));
        assert_eq!(run("kill f1 t1\n"), Err("line 1: there is no framework f1".to_owned()));
    }
}
