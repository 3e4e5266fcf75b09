//! One step of a command: runs a program, says how it goes, keeps its output for a failure.
//!
//! While a step runs, a line every twenty seconds shows elapsed time and the last line of
//! output; a failing step prints its output, without cargo's list of what it compiled, which
//! would bury the error. A step whose program ends but leaves a
//! process holding its output is a failure as well: something was left running. So is one that
//! prints nothing for long: a test that hangs is named by the last line that its harness printed.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use crate::Failure;

const HEARTBEAT: Duration = Duration::from_secs(20);
/// How long the output may stay open after the program has ended.
const LINGER: Duration = Duration::from_secs(10);
/// How long a program may print nothing before it and what it started are ended: longer than any
/// linking and any test takes, and far less than what a machine for tests waits.
const SILENCE: Duration = Duration::from_mins(15);
const POLL: Duration = Duration::from_millis(50);
const LAST_LINE_MAX: usize = 90;

/// What a successful step leaves.
#[derive(Debug)]
pub(crate) struct Done {
    /// Both output streams, line by line as they came.
    pub(crate) output: String,
}

/// Runs `command` under `name`.
pub(crate) fn run(name: &str, command: Command) -> Result<Done, Failure> {
    run_within(name, command, Limits { linger: LINGER, silence: SILENCE })
}

/// How long a step is waited for.
#[derive(Clone, Copy)]
struct Limits {
    /// While its output is open after its program has ended.
    linger: Duration,
    /// While it prints nothing.
    silence: Duration,
}

fn run_within(name: &str, command: Command, limits: Limits) -> Result<Done, Failure> {
    let started = Instant::now();
    println!("{name}: ...");
    match captured(name, command, started, limits) {
        Ok((status, output, lingering)) if status.success() && !lingering => {
            println!("{name}: ok, {}", seconds(started.elapsed()));
            Ok(Done { output })
        }
        Ok((status, output, lingering)) => {
            println!("---- {name} ----");
            telling(&output).for_each(|line| println!("{line}"));
            println!("---- end of {name} ----");
            let problem = match (status.success(), lingering) {
                (true, _) => "left a process running that holds its output".to_owned(),
                (false, _) => format!("failed ({status})"),
            };
            println!("{name}: {problem}, {}", seconds(started.elapsed()));
            Err(Failure::Failed(format!("{name} {problem}")))
        }
        Err(problem) => {
            println!("{name}: {problem}");
            Err(Failure::Failed(format!("{name}: {problem}")))
        }
    }
}

/// Runs `command` with our own terminal: for programs whose output is the point.
pub(crate) fn shown(name: &str, mut command: Command) -> Result<(), Failure> {
    let started = Instant::now();
    let status =
        command.status().map_err(|error| Failure::Failed(cannot_start(&command, &error)))?;
    if status.success() {
        println!("{name}: ok, {}", seconds(started.elapsed()));
        Ok(())
    } else {
        Err(Failure::Failed(format!("{name} failed ({status}), {}", seconds(started.elapsed()))))
    }
}

/// Runs `command` quietly; `Err` carries its output.
pub(crate) fn quiet(mut command: Command) -> Result<String, String> {
    let output =
        command.stdin(Stdio::null()).output().map_err(|error| cannot_start(&command, &error))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// The lines of `output` that are not cargo's progress.
fn telling(output: &str) -> impl Iterator<Item = &str> {
    const PROGRESS: [&str; 4] = ["Compiling ", "Checking ", "Downloading ", "Downloaded "];
    let is_progress = |line: &&str| PROGRESS.iter().any(|verb| line.trim_start().starts_with(verb));
    output.trim_end().lines().filter(move |line| !is_progress(line))
}

/// "12.3 s", or "4 min 05 s" from a minute up.
pub(crate) fn seconds(time: Duration) -> String {
    if time.as_secs() < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

fn cannot_start(command: &Command, error: &std::io::Error) -> String {
    format!("cannot start `{}`: {error}", command.get_program().to_string_lossy())
}

/// The status, the output, and whether the output was still held open by somebody.
fn captured(
    name: &str,
    mut command: Command,
    started: Instant,
    limits: Limits,
) -> Result<(ExitStatus, String, bool), String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| cannot_start(&command, &error))?;
    let (sender, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender);
    }
    let mut output = Output { text: String::new(), last: String::new(), at: Instant::now() };
    let mut spoken = Instant::now();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    loop {
        let open = output.take(&lines);
        if ended.is_none() {
            let status = child.try_wait().map_err(|error| error.to_string())?;
            ended = status.map(|status| (status, Instant::now()));
        }
        match ended {
            Some((status, _)) if !open => return Ok((status, output.text, false)),
            Some((status, at)) if at.elapsed() > limits.linger => {
                return Ok((status, output.text, true));
            }
            // The streams are closed but the program is not done: wait for it alone.
            None if !open => {
                let status = child.wait().map_err(|error| error.to_string())?;
                return Ok((status, output.text, false));
            }
            None if output.at.elapsed() > limits.silence => {
                end(&mut child);
                let silence = seconds(limits.silence);
                telling(&output.text).for_each(|line| println!("{line}"));
                return Err(format!(
                    "printed nothing for {silence} and was ended: {}",
                    output.last
                ));
            }
            _ => {}
        }
        if spoken.elapsed() >= HEARTBEAT {
            spoken = Instant::now();
            println!("{name}: {}, {}", seconds(started.elapsed()), output.last);
        }
    }
}

/// Kills a program and all that it started, as far as they are still below it.
fn end(child: &mut Child) {
    let mut below = vec![child.id().to_string()];
    let mut looked = 0;
    while let Some(id) = below.get(looked) {
        // Each thread has children of its own.
        let threads = std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let children: Vec<String> = threads
            .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
            .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        below.extend(children);
        looked += 1;
    }
    // What has ended by itself since is what was wanted.
    let _ = Command::new("kill").arg("-KILL").args(&below).stderr(Stdio::null()).status();
    let _ = child.wait();
}

struct Output {
    text: String,
    last: String,
    /// When something came last.
    at: Instant,
}

impl Output {
    /// Takes what arrives within a moment; false once both streams are closed.
    fn take(&mut self, lines: &Receiver<String>) -> bool {
        let mut wait = POLL;
        loop {
            match lines.recv_timeout(wait) {
                Ok(line) => {
                    if !line.trim().is_empty() {
                        self.last = line.trim().chars().take(LAST_LINE_MAX).collect();
                    }
                    self.at = Instant::now();
                    self.text.push_str(&line);
                    self.text.push('\n');
                    wait = Duration::ZERO;
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }
}

fn forward(stream: impl Read + Send + 'static, lines: Sender<String>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            if lines.send(text.trim_end_matches('\n').to_owned()).is_err() {
                return;
            }
            line.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn output_of_both_streams_is_kept() {
        let done = run("example", shell("echo one; echo two >&2")).unwrap();
        assert!(done.output.contains("one") && done.output.contains("two"));
    }

    #[test]
    fn a_failing_program_fails_the_step() {
        let failure = run("example", shell("exit 3")).unwrap_err();
        assert!(matches!(failure, Failure::Failed(text) if text.contains("exit status: 3")));
    }

    #[test]
    fn a_missing_program_is_named() {
        let failure = run("example", Command::new("no-such-program-here")).unwrap_err();
        assert!(matches!(failure, Failure::Failed(text) if text.contains("no-such-program-here")));
    }

    #[test]
    fn a_process_left_behind_fails_the_step() {
        // The background process ends by itself soon after the limit.
        let command = shell("sleep 2 & exit 0");
        let limits = Limits { linger: Duration::from_millis(100), silence: SILENCE };
        let failure = run_within("example", command, limits).unwrap_err();
        assert!(matches!(failure, Failure::Failed(text) if text.contains("left a process")));
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_what_it_started() {
        let limits = Limits { linger: LINGER, silence: Duration::from_millis(300) };
        // The second one has the output open for as long as it lives.
        let command = shell("echo test hangs; (sleep 1000 & echo $!; wait)");
        let failure = run_within("example", command, limits).unwrap_err();
        let Failure::Failed(text) = failure else { panic!("{failure:?}") };
        let (_, left) = text.rsplit_once(' ').unwrap();
        assert!(text.contains("printed nothing for 0.3 s"), "{text}");
        let ended = || {
            let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        let by = Instant::now() + LINGER;
        while !ended() {
            assert!(Instant::now() < by, "{left} goes on");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_failed_is_told_and_not_what_was_compiled() {
        let output = "   Compiling libc v0.2.191\nerror: linking failed\n    Checking cli v0.1.0\n";
        assert_eq!(telling(output).collect::<Vec<_>>(), ["error: linking failed"]);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(1_250)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(245)), "4 min 05 s");
    }
}
