//! A task's process, `torture task`: it writes down when it began, that it lives, and when it ended,
//! each with the time of the one clock that all share. So what really ran is known from the tasks
//! themselves, whatever masters, agents and frameworks say.

use crate::history::{Fact, now};
use anyhow::Context as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

/// How often it says that it lives.
const STAMP: Duration = Duration::from_millis(200);

/// The command line of a task that lives so long, or until the run is calm.
pub(crate) fn command(dir: &Path, cpus: u64, millis: Option<u64>) -> anyhow::Result<String> {
    let program = std::env::current_exe()?;
    let millis = millis.map_or_else(|| "calm".to_owned(), |millis| millis.to_string());
    Ok(format!("exec {} task {} {cpus} {millis}", program.display(), dir.display()))
}

/// Runs as a task: `DIR CPUS MILLIS|calm`.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let [dir, cpus, millis] = words else { anyhow::bail!("task DIR CPUS MILLIS|calm") };
    let dir = Path::new(dir);
    let task = std::env::var("MESOS_TASK_ID").context("an agent names the task")?;
    let sandbox = std::env::current_dir()?.display().to_string();
    let path = dir.join(format!("{task}.{}", std::process::id()));
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let began = now();
    writeln!(file, "{task} {} {cpus} {} {began}", agent_of(&sandbox), std::process::id())?;
    file.sync_data()?;
    let life = millis.parse::<u64>().ok().map(|millis| millis * 1_000_000);
    let calm = dir.join("calm");
    while life.map_or_else(|| !calm.exists(), |life| now() < began + life) {
        let left = life.map_or(STAMP, |life| {
            Duration::from_nanos((began + life).saturating_sub(now())).min(STAMP)
        });
        // waits: it is what the task is for
        std::thread::sleep(left);
        writeln!(file, "alive {}", now())?;
    }
    writeln!(file, "end {}", now())?;
    Ok(file.sync_data()?)
}

/// The agent whose work directory a sandbox is in.
fn agent_of(sandbox: &str) -> &str {
    let mut parts = sandbox.split('/');
    parts.find(|part| part.starts_with("agent-")).unwrap_or("unknown")
}

/// What all tasks of a run wrote.
pub(crate) fn collect(dir: &Path) -> anyhow::Result<Vec<Fact>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let text = fs::read_to_string(entry?.path())?;
        found.extend(parse(&text));
    }
    Ok(found)
}

fn parse(text: &str) -> Option<Fact> {
    let mut lines = text.lines();
    let mut head = lines.next()?.split(' ');
    let (task, agent) = (head.next()?.to_owned(), head.next()?.to_owned());
    let (cpus, pid) = (head.next()?.parse().ok()?, head.next()?.parse().ok()?);
    let began = head.next()?.parse().ok()?;
    let (mut alive, mut ended) = (began, None);
    for line in lines {
        match line.split_once(' ') {
            Some(("alive", at)) => alive = at.parse().unwrap_or(alive),
            Some(("end", at)) => ended = at.parse().ok(),
            _ => {}
        }
    }
    Some(Fact::Instance { task, agent, cpus, pid, began, alive: ended.unwrap_or(alive), ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_wrote_is_read_with_and_without_its_end() {
        let head = "alpha-1 agent-3 100 77 1000\nalive 1200\n";
        let instance = |ended: Option<u64>| Fact::Instance {
            task: "alpha-1".to_owned(),
            agent: "agent-3".to_owned(),
            cpus: 100,
            pid: 77,
            began: 1000,
            alive: ended.unwrap_or(1200),
            ended,
        };
        assert_eq!(parse(head), Some(instance(None)));
        assert_eq!(parse(&format!("{head}end 1300\n")), Some(instance(Some(1300))));
        assert_eq!(parse(""), None);
        assert_eq!(agent_of("/tmp/x/agent-2/sandboxes/y"), "agent-2");
    }
}
