//! Tasks of one group within walls: what they share, and whose end is whose.

use agent::containerizer::{
    ContainerEvent, Containerizer, Launch, Network, NetworkPod, PortMap, Program, Root, WaitStatus,
};
use tokio::net::TcpListener;

use crate::enclosed::{enclosed, rig};
use crate::network::{self, FIRST, GATEWAY, kill, left, nothing};
use crate::rig::{Agent, BOUND, Rig, file_of, filled, id, shell};
use crate::sessions;

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

/// The network of a group, of which this task has nothing for itself.
fn of_group(name: &str) -> Network {
    let pod = NetworkPod { name: name.into(), bits_a_second: None, ports: Vec::new() };
    Network { pod: Some(pod), ..network::network() }
}

fn connected(launch: Launch) -> Launch {
    network::with(launch, of_group("g"))
}

/// Says hello at a port.
fn greets(port: u16) -> String {
    format!("while echo hello | /usr/bin/busybox nc -l -p {port}; do :; done")
}

/// Waits to be greeted there.
fn is_greeted(port: u16) -> String {
    format!("until busybox nc -w 5 127.0.0.1 {port} | grep hello; do sleep 0.05; done")
}

/// In one line, which is there as a whole or not at all.
const WHERE: &str = "echo $MESOS_CONTAINER_IP $(readlink /proc/self/ns/net)";

/// Runs a line beside a task.
async fn look(agent: &mut Agent, launch: Launch) -> WaitStatus {
    agent.native.look(launch, 7, BOUND);
    agent.native.flush();
    let event = agent.until(|event| matches!(event, ContainerEvent::Looked { .. })).await;
    let ContainerEvent::Looked { result, .. } = event else { panic!("{event:?}") };
    result.unwrap()
}

#[tokio::test]
async fn tasks_of_a_group_are_at_one_address_and_reach_one_another_over_loopback() {
    let Some(rig) = network::rig() else { return };
    let mut agent = rig.agent().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = server.local_addr().unwrap().port();
    // Within walls and without.
    let line = format!("{WHERE}; {}", greets(8_080));
    let first = agent.launched(connected(member("a", "g", &line))).await;
    let own = filled(first.sandbox.join("stdout")).await;
    let line = format!(
        "{WHERE}; {}; busybox nc -w 5 127.0.0.1 {hosts}; echo $?; busybox nc -w 5 {GATEWAY} {hosts}; \
         echo $?",
        is_greeted(8_080)
    );
    for launch in [member("b", "g", &line), shell("c", &line)] {
        let name = launch.id.clone();
        let launched = agent.launched(connected(launch)).await;
        assert_eq!(launched.address, Some(FIRST));
        assert_eq!(left().0.len(), 1, "one link for all");
        let ended = agent.ended(&name).await;
        agent.native.forget(&name);
        let said = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        assert_eq!(said, format!("{own}hello\n1\n1\n"), "the host's loopback is not theirs");
    }
    assert!(own.starts_with("10.199.0.2 net:"), "{own}");
    // Another group is elsewhere, and so is who is in none.
    for (network, address) in [(of_group("h"), "10.199.0.3"), (network::network(), "10.199.0.4")] {
        let ended = agent.run(network::with(shell("d", WHERE), network)).await;
        let said = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        assert!(said.starts_with(&format!("{address} net:")), "{said}");
        assert_ne!(said.split(' ').nth(1), own.split(' ').nth(1));
    }
    // The one that made it may end before the others.
    let waits = format!("{WHERE}; sleep 1000");
    let last = agent.launched(connected(shell("e", &waits))).await;
    kill(&mut agent, "a").await;
    assert_eq!(filled(last.sandbox.join("stdout")).await, own);
    assert_eq!(left().0.len(), 1);
    let ended = agent.run(connected(shell("f", WHERE))).await;
    assert_eq!(String::from_utf8(file_of(&ended, "stdout")).unwrap(), own);
    kill(&mut agent, "e").await;
    assert_eq!(left(), nothing());
    // A group of the same name is another one.
    let next = agent.launched(connected(shell("next", "sleep 1000"))).await;
    assert!(next.address.is_some() && next.address != Some(FIRST), "{next:?}");
    kill(&mut agent, "next").await;
    network::finish(rig, agent).await;
}

#[tokio::test]
async fn checks_and_sessions_are_in_the_network_of_the_group_also_after_a_restart() {
    let Some(rig) = network::rig() else { return };
    let mut agent = rig.agent().await;
    for launch in [member("a", "g", &greets(8_081)), shell("b", &greets(8_082))] {
        agent.launched(connected(launch)).await;
        assert_eq!(left().0.len(), 1);
    }
    drop(agent);
    let mut agent = rig.agent().await;
    assert_eq!(agent.recovered.len(), 2);
    assert!(agent.recovered.iter().all(|known| known.launched.address == Some(FIRST)));
    let beside = [
        member("a", "g", &format!("{}; [ $MESOS_CONTAINER_IP = {FIRST} ]", is_greeted(8_082))),
        shell("b", &format!("{}; [ $MESOS_CONTAINER_IP = {FIRST} ]", is_greeted(8_081))),
    ];
    for (launch, number) in beside.into_iter().zip(1..) {
        assert_eq!(look(&mut agent, launch.clone()).await, WaitStatus::Exited(0));
        let (said, status) = sessions::run(&mut agent, &rig, launch, number).await;
        assert_eq!((said.as_str(), status), ("hello\n", WaitStatus::Exited(0)));
    }
    kill(&mut agent, "a").await;
    // One that comes now is let in, too.
    let ended = agent.run(connected(shell("c", &is_greeted(8_082)))).await;
    assert_eq!(ended.status, WaitStatus::Exited(0));
    kill(&mut agent, "b").await;
    network::finish(rig, agent).await;
}

#[tokio::test]
async fn launches_that_fail_leave_nothing_of_a_network_and_the_others_in_theirs() {
    let Some(rig) = network::rig() else { return };
    let mut agent = rig.agent().await;
    let wrong = |name: &str| {
        let mut wrong = connected(member(name, "g", ""));
        wrong.program = Program::Exec { file: "/no/such".into(), argv: Vec::new() };
        wrong
    };
    let fails = async |agent: &mut Agent, launch| {
        agent.native.launch(launch);
        agent.native.flush();
        agent.until(|e| matches!(e, ContainerEvent::LaunchFailed { .. })).await;
    };
    fails(&mut agent, wrong("a")).await;
    assert_eq!(left(), nothing());
    let line = format!("{WHERE}; sleep 1000");
    let lives = agent.launched(connected(shell("b", &line))).await;
    fails(&mut agent, wrong("c")).await;
    // One whose port somebody has gets nowhere, and takes nothing along.
    let ports = vec![PortMap { host: 31_080, inside: 80, udp: false }];
    let mapped = || Network { ports: ports.clone(), ..of_group("g") };
    agent.launched(network::with(shell("d", "sleep 1000"), mapped())).await;
    fails(&mut agent, network::with(shell("e", "true"), mapped())).await;
    let own = filled(lives.sandbox.join("stdout")).await;
    let ended = agent.run(connected(shell("f", WHERE))).await;
    assert_eq!(String::from_utf8(file_of(&ended, "stdout")).unwrap(), own);
    for name in ["b", "d"] {
        assert_eq!(left().0.len(), 1);
        kill(&mut agent, name).await;
    }
    network::finish(rig, agent).await;
}

#[tokio::test]
async fn of_the_network_of_a_group_a_lost_supervisor_leaves_nothing() {
    if network::rig().is_none() {
        return;
    }
    // Without cgroups tasks of a group share nothing but this.
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    let ports = vec![PortMap { host: 31_080, inside: 8_080, udp: false }];
    let mapped = Network { ports, ..of_group("g") };
    agent.launched(network::with(shell("a", &greets(8_080)), mapped)).await;
    agent.run(connected(shell("b", &is_greeted(8_080)))).await;
    agent.launched(connected(shell("c", "sleep 1000"))).await;
    let mut agent = network::bereft(&rig, agent).await;
    let ended = agent.run(connected(shell("a", "echo $MESOS_CONTAINER_IP"))).await;
    assert_eq!(file_of(&ended, "stdout"), b"10.199.0.2\n");
    network::finish(rig, agent).await;
}
