//! Networks of tasks' own: how fast they are, what they reach, how they are reached, and that
//! nothing of them stays. Each test has a network of its own as well, in which its supervisor is.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use agent::containerizer::{
    ContainerEvent, Containerizer, Launch, LaunchError, Network, NetworkPod, PortMap, Program,
    Root, Traffic, WaitStatus,
};
use rustix::thread::UnshareFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::enclosed::enclosed;
use crate::rig::{Agent, BOUND, Rig, file_of, id, shell};

/// The host's address as the tasks see it.
pub(crate) const GATEWAY: &str = "10.199.0.1";
/// That of the first task.
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(10, 199, 0, 2);
/// What tasks may send and receive, in bits a second.
const RATE: u64 = 16_000_000;

pub(crate) fn network() -> Network {
    Network {
        subnet: [10, 199, 0, 0].into(),
        prefix: 24,
        bits_a_second: None,
        ports: Vec::new(),
        masquerade: false,
        link_local: false,
        cluster: false,
        pod: None,
    }
}

pub(crate) fn with(mut launch: Launch, network: Network) -> Launch {
    launch.network = Some(Box::new(network));
    launch
}

/// A rig in a new network, with a loopback that is up; or `None` with the reason.
pub(crate) fn rig() -> Option<Rig> {
    let rig = crate::enclosed::rig()?;
    // SAFETY: the flag concerns no memory and no descriptors. The test and what it starts are this
    // one thread.
    #[allow(unsafe_code)]
    let left = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    left.expect("root may leave its network");
    let up = std::process::Command::new("/usr/bin/busybox")
        .args(["ip", "link", "set", "lo", "up"])
        .status();
    assert!(up.unwrap().success());
    Some(rig)
}

/// What nf_tables has in this test's network, as far as one can ask.
pub(crate) fn tables() -> String {
    match std::process::Command::new("nft").args(["list", "ruleset"]).output() {
        Ok(said) => String::from_utf8_lossy(&said.stdout).into_owned(),
        Err(error) => {
            println!("not looked at: tables: {error}");
            String::new()
        }
    }
}

/// The links of this test's network, and what leads to tasks in its tables.
pub(crate) fn left() -> (Vec<String>, Vec<String>) {
    let table = std::fs::read_to_string("/proc/thread-self/net/dev").unwrap();
    let names = table.lines().skip(2).filter_map(|line| line.split(':').next());
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.retain(|name| name != "lo");
    let tables = tables();
    let elements = tables.lines().filter(|line| line.contains("elements"));
    (names, elements.map(str::to_owned).collect())
}

/// Nothing at all.
pub(crate) fn nothing() -> (Vec<String>, Vec<String>) {
    Default::default()
}

/// Ends a rig when no task runs.
pub(crate) async fn finish(rig: Rig, agent: Agent) {
    assert_eq!(left(), nothing());
    rig.finish(agent).await;
    assert_eq!(tables(), "");
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what).await.expect("it happens within the bound")
}

async fn traffic(agent: &mut Agent, name: &str) -> Option<Traffic> {
    agent.native.usage(&id(name));
    agent.native.flush();
    match agent.until(|event| matches!(event, ContainerEvent::Usage { .. })).await {
        ContainerEvent::Usage { usage, .. } => usage.unwrap().traffic,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn kill(agent: &mut Agent, name: &str) {
    agent.native.destroy(&id(name));
    agent.native.flush();
    agent.ended(&id(name)).await;
}

/// Connects as soon as somebody listens there.
async fn connected(address: (&str, u16)) -> TcpStream {
    soon(async {
        loop {
            match TcpStream::connect(address).await {
                Ok(stream) => return stream,
                // waits: for a task to listen, which nobody tells
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    })
    .await
}

/// Bytes a second that pass, once what is buffered has passed.
async fn rate(mut pass: impl AsyncFnMut() -> usize) -> f64 {
    let mut warm = 0;
    while warm < 1 << 20 {
        warm += pass().await;
    }
    let (begun, mut bytes) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(2) {
        bytes += pass().await;
    }
    bytes as f64 / begun.elapsed().as_secs_f64()
}

/// Near the limit, and never well above it. A link without a limit carries some hundred times as
/// much, and a slow machine still as much as this.
fn is_held(what: &str, rate: f64) {
    let limit = RATE as f64 / 8.0;
    println!("{what}: {:.2} Mbps of {:.2}", rate * 8.0 / 1e6, limit * 8.0 / 1e6);
    assert!(rate < 1.15 * limit && rate > 0.3 * limit, "{what}: {rate} of {limit} bytes a second");
}

#[tokio::test]
async fn both_directions_are_held_to_the_bandwidth_and_counted() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let server = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let held = || Network { bits_a_second: Some(RATE), ..network() };
    let sends = format!("exec /usr/bin/busybox nc {GATEWAY} {port} < /dev/zero");
    agent.launched(with(shell("sends", &sends), held())).await;
    let (mut stream, from) = soon(server.accept()).await.unwrap();
    assert_eq!(from.ip(), FIRST);
    let mut buffer = vec![0; 64 << 10];
    is_held("sent", soon(rate(async || stream.read(&mut buffer).await.unwrap())).await);
    let sent = traffic(&mut agent, "sends").await.expect("it has a link");
    assert!(sent.sent_bytes > 2 << 20 && sent.received_bytes > 0, "{sent:?}");
    assert!(sent.received_bytes < sent.sent_bytes / 4, "{sent:?}");
    kill(&mut agent, "sends").await;

    let receives = format!("exec /usr/bin/busybox nc {GATEWAY} {port} > /dev/null");
    agent.launched(with(shell("receives", &receives), held())).await;
    let (mut stream, _) = soon(server.accept()).await.unwrap();
    rustix::net::sockopt::set_socket_send_buffer_size(&stream, 64 << 10).unwrap();
    is_held("received", soon(rate(async || stream.write(&buffer).await.unwrap())).await);
    let received = traffic(&mut agent, "receives").await.expect("it has a link");
    assert!(received.received_bytes > 2 << 20, "{received:?}");
    assert!(received.sent_bytes < received.received_bytes / 4, "{received:?}");
    kill(&mut agent, "receives").await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn bandwidth_and_ports_of_groups_are_those_of_their_living_tasks() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let server = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let map = |host, inside| vec![PortMap { host, inside, udp: false }];
    // A quarter is the group's beside its tasks, half of it the one's, a quarter the other's.
    let pod =
        NetworkPod { name: "g".into(), bits_a_second: Some(RATE / 4), ports: map(31_090, 80) };
    let part = |bits_a_second, ports| {
        let pod = Some(pod.clone());
        Network { bits_a_second: Some(bits_a_second), ports, pod, ..network() }
    };
    let greets = "while echo hello | /usr/bin/busybox nc -l -p 80; do :; done";
    let ports = map(31_080, 80);
    agent.launched(with(shell("greets", greets), part(RATE / 2, ports.clone()))).await;
    let sends = format!("exec /usr/bin/busybox nc {GATEWAY} {port} < /dev/zero");
    agent.launched(with(shell("sends", &sends), part(RATE / 4, Vec::new()))).await;
    for host in [31_080, 31_090] {
        hello(("127.0.0.1", host)).await;
    }
    let (mut stream, _) = soon(server.accept()).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    let limit = RATE as f64 / 8.0;
    let whole = soon(rate(async || stream.read(&mut buffer).await.unwrap())).await;
    println!("{:.2} of {:.2} Mbps together", whole * 8.0 / 1e6, RATE as f64 / 1e6);
    assert!(whole < 1.3 * limit && whole > 0.6 * limit, "{whole} of {limit} bytes a second");
    // It is told once what has passed.
    let told = traffic(&mut agent, "greets").await.expect("the first tells");
    assert!(told.sent_bytes > 2 << 20, "{told:?}");
    assert_eq!(traffic(&mut agent, "sends").await, None);
    kill(&mut agent, "greets").await;
    let half = soon(rate(async || stream.read(&mut buffer).await.unwrap())).await;
    println!("{:.2} Mbps are left", half * 8.0 / 1e6);
    assert!(half < 1.3 * limit / 2.0, "{half} bytes a second of a half");
    let rest = traffic(&mut agent, "sends").await.expect("it is the first now");
    assert!(rest.sent_bytes > 1 << 20, "{rest:?}");
    // Its port is free for others, the group's own is the group's.
    assert!(TcpStream::connect(("127.0.0.1", 31_080)).await.is_err());
    let other = Network { ports, ..network() };
    agent.launched(with(shell("other", greets), other)).await;
    hello(("127.0.0.1", 31_080)).await;
    let taken = Network { ports: map(31_090, 80), ..network() };
    agent.native.launch(with(shell("taken", "true"), taken));
    agent.native.flush();
    let event = agent.until(|e| matches!(e, ContainerEvent::LaunchFailed { .. })).await;
    assert!(format!("{event:?}").contains("leads to another task already"), "{event:?}");
    kill(&mut agent, "other").await;
    kill(&mut agent, "sends").await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn a_link_without_a_limit_carries_far_more_than_the_limits_of_these_tests() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let server = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let sends = format!("exec /usr/bin/busybox nc {GATEWAY} {port} < /dev/zero");
    agent.launched(with(shell("t", &sends), network())).await;
    let (mut stream, _) = soon(server.accept()).await.unwrap();
    let mut buffer = vec![0; 64 << 10];
    let rate = soon(rate(async || stream.read(&mut buffer).await.unwrap())).await;
    assert!(rate > 2.0 * RATE as f64 / 8.0, "{rate} bytes a second");
    kill(&mut agent, "t").await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn a_task_sees_its_own_links_and_not_what_listens_on_the_hosts_loopback() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = server.local_addr().unwrap().port();
    let line = format!(
        "echo $MESOS_CONTAINER_IP; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' ' | sort | xargs echo; \
         busybox nc -w 5 127.0.0.1 {port}; echo $?; busybox nc -w 5 {GATEWAY} {port}; echo $?; \
         ls /sys/class/net | sort | xargs echo"
    );
    let plain = agent.run(with(shell("plain", &line), network())).await;
    let out = String::from_utf8(file_of(&plain, "stdout")).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[..4], ["10.199.0.2", "eth0 lo", "1", "1"], "{out}");
    // Within walls it sees no other links in what the kernel tells of devices, either.
    let walled = agent.run(with(enclosed("walled", &line, Root::Host), network())).await;
    let out = String::from_utf8(file_of(&walled, "stdout")).unwrap();
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines[1..], ["eth0 lo", "1", "1", "eth0 lo"], "{out}");
    finish(rig, agent).await;
}

#[tokio::test]
async fn nobody_within_can_lift_the_limit() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let held = Network { bits_a_second: Some(RATE), ..network() };
    let line = "busybox ip link set eth0 mtu 100 && echo changed; \
                /usr/sbin/tc qdisc del dev eth0 root && echo lifted; \
                unshare -n true && echo left; echo done";
    let mut plain = with(shell("plain", line), held.clone());
    plain.user = Some("nobody".into());
    let mut capable = enclosed("walled", line, Root::Host);
    // CAP_NET_ADMIN, of its own user namespace and not of the one that has the link; and root.
    capable.enclosure.as_mut().unwrap().capabilities = 1 << 12;
    capable.user = Some("0".into());
    // Who is root of the host may do all of it, which shows that the others try.
    let root = with(shell("root", line), held.clone());
    let has_tool = std::path::Path::new("/usr/sbin/tc").exists();
    let all = if has_tool { "changed\nlifted\nleft\ndone\n" } else { "changed\nleft\ndone\n" };
    for (launch, said) in [(plain, "done\n"), (with(capable, held), "done\n"), (root, all)] {
        let ended = agent.run(launch).await;
        let (out, errors) = (file_of(&ended, "stdout"), file_of(&ended, "stderr"));
        let errors = String::from_utf8_lossy(&errors).into_owned();
        assert_eq!(String::from_utf8_lossy(&out), said, "{errors}");
    }
    finish(rig, agent).await;
}

/// A task that says hello to each who connects to its port 80.
pub(crate) fn greeter(name: &str) -> Launch {
    let line = "while echo hello | /usr/bin/busybox nc -l -p 80; do :; done";
    let ports = vec![PortMap { host: 31_080, inside: 80, udp: false }];
    with(shell(name, line), Network { ports, ..network() })
}

pub(crate) async fn hello(address: (&str, u16)) {
    let mut said = String::new();
    let greeted = soon(async {
        while said.is_empty() {
            // Between two rounds of the greeter nobody listens, and it may end as one connects.
            let _ = connected(address).await.read_to_string(&mut said).await;
        }
    });
    greeted.await;
    assert_eq!(said, "hello\n", "{address:?}");
}

#[tokio::test]
async fn ports_of_the_host_lead_to_a_task_from_the_host_and_from_elsewhere() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    agent.launched(greeter("greets")).await;
    for address in [("127.0.0.1", 31_080), (GATEWAY, 31_080), ("10.199.0.2", 80)] {
        hello(address).await;
    }
    // Another port is nobody's.
    assert!(TcpStream::connect(("127.0.0.1", 31_081)).await.is_err());
    // From another machine, for which another task will do: it comes over a link.
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
    // As in `hello`: who connects between two rounds is told nothing, and nc takes that for an end.
    let asks =
        format!("until busybox nc -w 5 {GATEWAY} 31080 | busybox grep hello; do sleep 0.05; done");
    let asked = agent.run(with(shell("asks", &asks), network())).await;
    assert_eq!(file_of(&asked, "stdout"), b"hello\n");
    // The task itself, over the host's address.
    let mut itself = greeter("itself");
    let line = format!(
        "(while echo hello | busybox nc -l -p 80; do :; done) & \
         until busybox nc -w 5 {GATEWAY} 31090 | busybox grep hello; do sleep 0.05; done"
    );
    itself.program = Program::Shell(line);
    let ports = vec![PortMap { host: 31_090, inside: 80, udp: false }];
    itself.network = Some(Box::new(Network { ports, ..network() }));
    let asked = agent.run(itself).await;
    assert_eq!(file_of(&asked, "stdout"), b"hello\n");
    kill(&mut agent, "greets").await;
    assert!(TcpStream::connect(("127.0.0.1", 31_080)).await.is_err());
    finish(rig, agent).await;
}

#[tokio::test]
async fn what_is_run_beside_a_task_is_in_its_network() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    agent.launched(with(shell("t", "exec sleep 1000"), network())).await;
    agent.launched(with(enclosed("walled", "exec sleep 1000", Root::Host), network())).await;
    let line = "[ $MESOS_CONTAINER_IP = 10.199.0.$WANTED ] && busybox ip addr | \
                grep -q \"inet 10.199.0.$WANTED/32\"";
    for (mut beside, wanted) in
        [(shell("t", line), "2"), (enclosed("walled", line, Root::Host), "3")]
    {
        beside.environment = vec![("WANTED".into(), wanted.into())];
        agent.native.look(beside, 7, BOUND);
        agent.native.flush();
        let event = agent.until(|event| matches!(event, ContainerEvent::Looked { .. })).await;
        let ContainerEvent::Looked { result, .. } = event else { panic!("{event:?}") };
        assert_eq!(result, Ok(WaitStatus::Exited(0)));
    }
    for name in ["t", "walled"] {
        kill(&mut agent, name).await;
    }
    finish(rig, agent).await;
}

#[tokio::test]
async fn a_network_outlives_its_agent_and_goes_with_its_task() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let launched = agent.launched(greeter("greets")).await;
    assert_eq!(launched.address, Some(FIRST));
    drop(agent);
    hello(("127.0.0.1", 31_080)).await;
    let mut agent = rig.agent().await;
    assert_eq!(agent.recovered[0].launched, launched);
    hello(("127.0.0.1", 31_080)).await;
    assert!(traffic(&mut agent, "greets").await.expect("it has a link").sent_bytes > 0);
    kill(&mut agent, "greets").await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn nothing_is_left_of_launches_that_fail_and_addresses_are_given_by_turns() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let mut wrong = greeter("wrong");
    wrong.program = Program::Exec { file: "/no/such".into(), argv: Vec::new() };
    let mut walled = enclosed("walled", "true", Root::Image("/no/such/image".into()));
    walled.network = greeter("x").network;
    // The same port twice is not the kernel's business; a subnet without addresses is.
    let small = Network { prefix: 31, ..network() };
    for launch in [wrong, walled, with(shell("small", "true"), small)] {
        agent.native.launch(launch);
        agent.native.flush();
        let event = agent.until(|e| matches!(e, ContainerEvent::LaunchFailed { .. })).await;
        let ContainerEvent::LaunchFailed { error, id } = event else { panic!("{event:?}") };
        if id.as_str() == "small" {
            let said = "all addresses of 10.199.0.0/31 are taken".to_owned();
            assert_eq!(error, LaunchError::Refused(said));
        }
        assert_eq!(left(), nothing(), "{error:?}");
    }
    let (begun, runs) = (Instant::now(), 20);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..runs {
        let ended = agent.run(with(shell("t", "echo $MESOS_CONTAINER_IP"), network())).await;
        let address = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        assert!(address.starts_with("10.199.0."), "{address}");
        assert!(seen.insert(address.clone()), "{address} a second time");
    }
    let middle = Instant::now();
    for _ in 0..runs {
        agent.run(shell("t", "echo $MESOS_CONTAINER_IP")).await;
    }
    let (with, without) = (middle - begun, middle.elapsed());
    println!("{:?} a task with a network, {:?} without", with / runs, without / runs);
    finish(rig, agent).await;
}

/// Kills the supervisor; the next agent, when nothing is left of the networks of the lost one.
pub(crate) async fn bereft(rig: &Rig, mut agent: Agent) -> Agent {
    let lost = rustix::process::Pid::from_raw(agent.native.supervisor_pid().cast_signed());
    rustix::process::kill_process(lost.unwrap(), rustix::process::Signal::KILL).unwrap();
    agent.until(|event| matches!(event, ContainerEvent::Lost { .. })).await;
    drop(agent);
    let agent = rig.agent().await;
    assert_eq!(agent.recovered, []);
    // The kernel removes a link with its network, when the last process of that is gone.
    soon(async {
        while left() != nothing() {
            // waits: for the kernel, which tells nobody
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    agent
}

#[tokio::test]
async fn what_a_lost_supervisor_left_is_cleared_by_the_next() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    agent.launched(greeter("greets")).await;
    hello(("127.0.0.1", 31_080)).await;
    let mut agent = bereft(&rig, agent).await;
    let ended = agent.run(with(shell("t", "echo $MESOS_CONTAINER_IP"), network())).await;
    assert_eq!(file_of(&ended, "stdout"), b"10.199.0.2\n");
    finish(rig, agent).await;
}
