//! Tasks with networks of their own, through the whole agent. Each test has a network of its own as
//! well, in which the agent and its supervisor are.

use crate::rig::{Agent, Connection, Master, config, shell, soon};
use agent::{NetworkPolicy, Stop};
use proto::{
    Check, CheckKind, CheckStatus, Checks, ContainerInfo, ContainerNetwork, Exit, Flavor, Piece,
    Ranges, ResourceName, TaskBody, TaskInfo, TaskPayload, TaskState, Value,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Moves this test, which is one thread, into a new network; false, with the reason, when it may not
/// or when what its tasks run is missing.
#[allow(clippy::print_stdout, reason = "what did not run is said")]
pub(crate) fn leave_network() -> bool {
    if !rustix::process::geteuid().is_root() {
        println!("not run: networks need root");
        return false;
    }
    if !std::path::Path::new("/usr/bin/busybox").exists() {
        assert!(std::env::var_os("TEPUI_BUSYBOX").is_none(), "it is said to be ready");
        println!("not run: its tasks run /usr/bin/busybox");
        return false;
    }
    // SAFETY: the flag concerns no memory and no descriptors.
    #[allow(unsafe_code)]
    let left = unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) };
    left.expect("root may leave its network");
    let mut up = std::process::Command::new("/usr/bin/busybox");
    assert!(up.args(["ip", "link", "set", "lo", "up"]).status().unwrap().success());
    true
}

/// The links of this test's network besides the loopback.
pub(crate) fn links() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = table.lines().skip(2).filter_map(|line| line.split(':').next());
    let names = names.map(|name| name.trim().to_owned());
    names.filter(|name| name != "lo").collect()
}

pub(crate) fn policy() -> NetworkPolicy {
    NetworkPolicy {
        name: NetworkPolicy::NAME.to_owned(),
        subnet: [10, 198, 0, 0].into(),
        prefix: 24,
        masquerade: false,
        link_local: false,
        cluster: false,
    }
}

/// The same task, holding bandwidth and a port.
pub(crate) fn holding(mut task: TaskInfo, port: u64) -> TaskInfo {
    let values =
        [("network", Value::Scalar(16_000)), ("ports", Value::Ranges(Ranges::new([(port, port)])))];
    for (name, value) in values {
        let (name, flavor) = (ResourceName::new(name), Flavor::default());
        task.resources.add_piece(Piece { name, flavor, value });
    }
    task
}

fn body(mut task: TaskInfo, change: impl FnOnce(&mut TaskBody)) -> TaskInfo {
    let mut body = task.payload.open().unwrap();
    change(&mut body);
    task.payload = TaskPayload::new(&body);
    task
}

fn asking(name: &str, task: TaskInfo) -> TaskInfo {
    let network = ContainerNetwork { name: name.into(), port_mappings: Vec::new() };
    let asked = ContainerInfo { network: Some(Box::new(network)), ..ContainerInfo::default() };
    body(task, |body| body.container = Some(asked))
}

async fn said(link: &mut Connection, task: TaskInfo) -> String {
    let end = link.run_to_end(task).await;
    assert_eq!(end.state, TaskState::Failed);
    end.message.unwrap().to_string()
}

/// What is said at a port of this host, as soon as somebody says something there.
pub(crate) async fn greeting(port: u16) -> String {
    let mut greeting = String::new();
    soon(async {
        while greeting.is_empty() {
            if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = stream.read_to_string(&mut greeting).await;
            }
        }
    })
    .await;
    greeting
}

#[tokio::test]
async fn a_task_that_holds_bandwidth_is_reached_at_its_port_checked_and_told() {
    if !leave_network() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut with = config(&master, dir.path());
    with.resources = Some("cpus:4;mem:4096;disk:1000;network:100".to_owned());
    with.policy.network = Some(policy());
    let agent = Agent::start(with.clone()).await;
    let mut link = master.admit().await;
    let line = "while echo hello | /usr/bin/busybox nc -l -p $PORT; do :; done";
    let interval = Duration::from_millis(100);
    let kind = CheckKind::Tcp { port: 31_007, ipv6: false };
    let check = Check { kind, delay: Duration::ZERO, interval, timeout: Duration::from_secs(20) };
    let checks = Arc::new(Checks { health: None, check: Some(check) });
    let task = holding(shell("t", line), 31_007);
    link.run(vec![body(task, |body| body.checks = Some(checks))]);
    // It is looked at where it is.
    loop {
        let status = link.acknowledged().await;
        assert_eq!(status.address, Some([10, 198, 0, 2].into()), "{status:?}");
        if status.check_status == Some(CheckStatus::Tcp(Some(true))) {
            break;
        }
    }
    assert_eq!(greeting(31_007).await, "hello\n");
    agent.abort().await;
    let agent = Agent::start(with).await;
    let mut link = master.admit().await;
    // The agent that came back knows where it is, and what has passed.
    let told = soon(async {
        loop {
            let (_, text) = agent.get("/containers").await;
            let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            let sent = all.first().and_then(|one| one["statistics"]["net_tx_bytes"].as_u64());
            if sent.is_some_and(|sent| sent > 0) {
                return all.into_iter().next().unwrap();
            }
        }
    })
    .await;
    assert!(told["statistics"]["net_rx_bytes"].as_u64().unwrap() > 0, "{told}");
    let address = &told["status"]["network_infos"][0]["ip_addresses"][0]["ip_address"];
    assert_eq!(address, "10.198.0.2", "{told}");
    let (_, metrics) = agent.get("/metrics").await;
    assert!(metrics.contains("\ntepui_agent_usage_received_bytes_total "), "{metrics}");
    assert_eq!(links().len(), 1);
    link.kill("t");
    let end = link.end().await;
    assert_eq!((end.state, end.address), (TaskState::Killed, Some([10, 198, 0, 2].into())));
    assert_eq!(links(), Vec::<String>::new());
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn what_cannot_be_had_of_networks_is_refused_by_name_and_bandwidth_alone_is_counted() {
    if !leave_network() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut without = config(&master, dir.path());
    without.resources = Some("cpus:4;mem:4096;disk:1000;network:100".to_owned());
    let agent = Agent::start(without).await;
    let mut link = master.admit().await;
    let message = said(&mut link, asking("tepui", shell("asks", "true"))).await;
    assert!(message.contains("(container.network_infos; --network)"), "{message}");
    // Without a subnet bandwidth is a number, as with Mesos' agents.
    let line = "[ -z \"$MESOS_CONTAINER_IP\" ]";
    let end = link.run_to_end(holding(shell("counted", line), 31_000)).await;
    assert_eq!(end.outcome.unwrap().exit, Some(Exit::Code(0)));
    assert_eq!(end.address, Some([127, 0, 0, 1].into()), "it is where its agent is");
    agent.stop(Stop::EndTasks).await;
}

/// Whether somebody takes a connection of a task's.
async fn reaches(link: &mut Connection, id: &str, port: u16) -> bool {
    let line = format!("/usr/bin/busybox nc -w 1 10.198.0.1 {port} -e /bin/true");
    let end = link.run_to_end(asking(NetworkPolicy::NAME, shell(id, &line))).await;
    let exit = end.outcome.as_ref().and_then(|outcome| outcome.exit);
    assert!(matches!(exit, Some(Exit::Code(0 | 1))), "{end:?}");
    exit == Some(Exit::Code(0))
}

#[tokio::test]
async fn s28_tasks_reach_neither_their_agent_nor_a_master_unless_that_is_allowed() {
    if !leave_network() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("0.0.0.0:0").unwrap());
    // One that may lead one day, and one that is no master.
    let [second, other] = listeners.each_ref().map(|l| l.local_addr().unwrap().port());
    let mut with = config(&master, dir.path());
    with.masters.push(format!("127.0.0.1:{second}"));
    for cluster in [false, true] {
        with.policy.network = Some(NetworkPolicy { cluster, ..policy() });
        // It listens at all addresses of this host.
        let agent = Agent::start_on(with.clone(), ([0, 0, 0, 0], 0).into()).await;
        let mut link = master.admit().await;
        let mut taken = Vec::new();
        for port in [agent.address.port(), second, other] {
            taken.push(reaches(&mut link, &format!("{cluster}-{port}"), port).await);
        }
        assert_eq!(taken, [cluster, cluster, true]);
        agent.registered().await;
        agent.stop(Stop::EndTasks).await;
    }
}
