//! Tasks of one group within walls: what they share, and whose end is whose.

use agent::containerizer::{Containerizer, Launch, Root, WaitStatus};

use crate::enclosed::{enclosed, rig};
use crate::rig::{Rig, file_of, filled, id};

/// Waits until there is such a process, or none (`!`); the pattern must not fit its own line.
fn until(not: &str, pattern: &str) -> String {
    format!(
        "until {not} cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q '{pattern}'; \
         do sleep 0.02; done"
    )
}

/// The names of its namespaces: of processes, of IPC, of mounts.
const NAMES: &str = "for kind in pid ipc mnt; do readlink /proc/self/ns/$kind; done";

fn member(name: &str, group: &str, line: &str) -> Launch {
    let mut launch = enclosed(name, line, Root::Host);
    launch.enclosure.as_mut().unwrap().pod = Some(group.into());
    launch
}

fn lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn tasks_of_a_group_see_one_another_and_each_ends_with_what_it_left() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    // The first leaves a process behind, which is told from its own line by the brackets.
    let line = format!("{NAMES}; setsid sleep 4321 & {}", until("", "sleep 987[6]"));
    agent.launched(member("a", "g", &line)).await;
    let seen =
        agent.run(member("b", "g", &format!("{}; {NAMES}", until("", "sleep 432[1]")))).await;
    assert_eq!(seen.status, WaitStatus::Exited(0));
    // The first one sees this, and ends; then what it left is gone, and this one has its world.
    let line = format!("sleep 9876 & {}; {NAMES}; echo over", until("!", "sleep 432[1]"));
    agent.launched(member("c", "g", &line)).await;
    let first = agent.ended(&id("a")).await;
    let last = agent.ended(&id("c")).await;
    assert_eq!((first.status, last.status), (WaitStatus::Exited(0), WaitStatus::Exited(0)));
    let [first, second, third] = [first, seen, last].map(|ended| lines(&file_of(&ended, "stdout")));
    assert_eq!(first[..2], second[..2], "processes and IPC are shared");
    assert_eq!(first[..2], third[..2], "by later tasks, too");
    // The first lives beside both; of one that has ended the next may get the number.
    assert!(first[2] != second[2] && first[2] != third[2], "mounts are their own");
    assert_eq!(third[3], "over");
    for name in ["a", "c"] {
        agent.native.forget(&id(name));
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn another_group_is_another_world_and_so_is_the_next_of_its_name() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let line = format!("{NAMES}; sleep 5432 & {}", until("", "sleep 543[2]"));
    let first = agent.launched(member("a", "g", &format!("{line}; echo up; sleep 1000"))).await;
    let file = first.sandbox.join("stdout");
    // waits: for the line that says that its process is there
    while !filled(file.clone()).await.contains("up") {}
    let look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'sleep 543[2]'";
    let other = agent.run(member("b", "h", &format!("{NAMES}; {look}"))).await;
    let (one, other) = (lines(&std::fs::read(&file).unwrap()), file_of(&other, "stdout"));
    let other = lines(&other);
    assert!(one[0] != other[0] && one[1] != other[1]);
    assert_eq!(other[3], "0", "processes of another group are not seen");
    agent.native.kill(&id("a"), std::time::Duration::ZERO);
    agent.native.flush();
    agent.ended(&id("a")).await;
    agent.native.forget(&id("a"));
    let next = agent.run(member("c", "g", &format!("{NAMES}; {look}"))).await;
    assert_eq!(lines(&file_of(&next, "stdout"))[3], "0");
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_task_of_a_group_that_cannot_be_started_leaves_nothing() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let mut nothing = member("a", "g", "");
    nothing.program =
        agent::containerizer::Program::Exec { file: "/no/such/file".into(), argv: Vec::new() };
    agent.native.launch(nothing);
    agent.native.flush();
    let failed = |e: &_| matches!(e, agent::containerizer::ContainerEvent::LaunchFailed { .. });
    agent.until(failed).await;
    let ended = agent.run(member("b", "g", "echo $$")).await;
    assert_eq!(lines(&file_of(&ended, "stdout")).len(), 1);
    rig.finish(agent).await;
}

#[tokio::test]
async fn without_cgroups_each_task_of_a_group_has_its_own_world() {
    if rig().is_none() {
        return;
    }
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    let first = agent.launched(member("a", "g", &format!("{NAMES}; sleep 1000"))).await;
    let one = filled(first.sandbox.join("stdout")).await;
    let other = agent.run(member("b", "g", NAMES)).await;
    let other = lines(&file_of(&other, "stdout"));
    assert_ne!(one.lines().next(), Some(other[0].as_str()));
    agent.native.kill(&id("a"), std::time::Duration::ZERO);
    agent.native.flush();
    agent.ended(&id("a")).await;
    agent.native.forget(&id("a"));
    rig.finish(agent).await;
}
