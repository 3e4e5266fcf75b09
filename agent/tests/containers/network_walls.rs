//! What leads into a task's network leads nowhere else, and what a task can reach by it.

use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use agent::containerizer::{
    Closed, ContainerEvent, Containerizer, Launch, LaunchError, Network, PortMap, Program,
};

use crate::network::{
    FIRST, GATEWAY, finish, greeter, hello, kill, left, network, nothing, rig, tables, with,
};
use crate::rig::{Agent, BOUND, Rig, file_of, filled, id, shell};

fn mapped(first: u16, count: u16) -> Network {
    let both = |port| [false, true].map(|udp| PortMap { host: port, inside: port, udp });
    Network { ports: (first..first + count).flat_map(both).collect(), ..network() }
}

async fn refusal(agent: &mut Agent, launch: Launch) -> String {
    agent.native.launch(launch);
    agent.native.flush();
    let event = agent.until(|event| matches!(event, ContainerEvent::LaunchFailed { .. })).await;
    let ContainerEvent::LaunchFailed { error, .. } = event else { panic!("{event:?}") };
    let LaunchError::Refused(said) = error else { panic!("{error:?}") };
    said
}

#[tokio::test]
async fn as_many_ports_as_a_task_may_have_lead_to_it_and_to_nobody_after_it() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let mut many = greeter("many");
    let mut wanted = mapped(20_000, 255);
    wanted.ports.push(PortMap { host: 31_080, inside: 80, udp: false });
    wanted.masquerade = true;
    many.network = Some(Box::new(wanted));
    agent.launched(many).await;
    hello(("127.0.0.1", 31_080)).await;
    // A port leads to one task: the other is refused whole, and takes nothing from the first.
    let said = refusal(&mut agent, with(shell("late", "true"), mapped(20_254, 2))).await;
    assert!(said.contains("leads to another task already"), "{said}");
    hello(("127.0.0.1", 31_080)).await;
    kill(&mut agent, "many").await;
    assert_eq!(left(), nothing());
    agent.run(with(shell("late", "true"), mapped(20_254, 2))).await;
    finish(rig, agent).await;
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            // waits: for a task to print, which nobody tells
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, wait).await.expect("it happens within the bound");
}

/// Prints what comes to port 900.
const LISTENS: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\"\", 900))
print(\"ready\")
while True:
    print(s.recv(100).decode())
";

/// A rig, where its tasks have Python to run.
fn rig_with_python() -> Option<Rig> {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        println!("not run: its tasks run /usr/bin/python3");
        return None;
    }
    rig()
}

#[tokio::test]
async fn what_was_sent_to_a_task_does_not_go_to_who_has_its_address_next() {
    let Some(rig) = rig_with_python() else { return };
    let mut agent = rig.agent().await;
    // There is one address.
    let narrow = |ports| Network { prefix: 30, ports, ..network() };
    let listens = format!("exec /usr/bin/python3 -uc '{LISTENS}'");
    let ports = vec![PortMap { host: 31_900, inside: 900, udp: true }];
    let sandbox = agent.launched(with(shell("first", &listens), narrow(ports))).await.sandbox;
    let out = |sandbox: &Path| std::fs::read_to_string(sandbox.join("stdout")).unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect("127.0.0.1:31900").unwrap();
    filled(sandbox.join("stdout")).await;
    client.send(b"to the first").unwrap();
    until(|| out(&sandbox).contains("to the first")).await;
    kill(&mut agent, "first").await;

    let launched = agent.launched(with(shell("next", &listens), narrow(Vec::new()))).await;
    assert_eq!(launched.address, Some(FIRST));
    filled(launched.sandbox.join("stdout")).await;
    // What is refused is told as an error of the next call.
    let _ = client.send(b"to the first");
    let _ = client.send(b"to the first");
    // What comes later is there later.
    let direct = UdpSocket::bind("0.0.0.0:0").unwrap();
    direct.send_to(b"direct", "10.199.0.2:900").unwrap();
    until(|| out(&launched.sandbox).contains("direct")).await;
    assert!(!out(&launched.sandbox).contains("to the first"));
    kill(&mut agent, "next").await;
    finish(rig, agent).await;
}

/// Sends to the host's loopback by way of the task's link.
const TRICK: &str = "
import socket
for option, value in ((25, b'eth0\\0'), (None, None)):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if option:
        s.setsockopt(socket.SOL_SOCKET, option, value)
    try:
        if option:
            s.sendto(b'trick', ('127.0.0.1', PORT))
        else:
            # IP_PKTINFO with the index of the link
            index = socket.if_nametoindex('eth0').to_bytes(4, 'little')
            s.sendmsg([b'trick'], [(0, 8, index + bytes(8))], 0, ('127.0.0.1', PORT))
    except OSError as error:
        print(error)
";

#[tokio::test]
async fn no_trick_reaches_what_listens_on_the_hosts_loopback() {
    let Some(rig) = rig_with_python() else { return };
    let mut agent = rig.agent().await;
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(BOUND)).unwrap();
    let port = server.local_addr().unwrap().port();
    let code = TRICK.replace("PORT", &port.to_string());
    let trick = |name: &str, user: Option<&str>| {
        let argv = ["python3", "-c", &code].map(Into::into).to_vec();
        let mut launch = shell(name, "");
        launch.program = Program::Exec { file: "/usr/bin/python3".into(), argv };
        launch.user = user.map(Into::into);
        with(launch, Network { masquerade: true, ..mapped(31_000, 1) })
    };
    let here = UdpSocket::bind("127.0.0.1:0").unwrap();
    let first = async |agent: &mut Agent, launch| {
        agent.run(launch).await;
        // What a task sent is here before it has ended.
        here.send_to(b"the end", ("127.0.0.1", port)).unwrap();
        let mut buffer = [0; 16];
        let (count, _) = server.recv_from(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    assert_eq!(first(&mut agent, trick("nobody", Some("nobody"))).await, "the end");
    assert_eq!(first(&mut agent, trick("root", None)).await, "the end");
    // Without the shield it arrives, which shows that it is tried.
    let rules = tables();
    if let Some(table) = rules.lines().find_map(|line| line.strip_prefix("table ip ")) {
        let table = table.split(' ').next().unwrap();
        let flush = ["flush", "chain", "ip", table, "shield"];
        assert!(std::process::Command::new("nft").args(flush).status().unwrap().success());
        assert_eq!(first(&mut agent, trick("control", Some("nobody"))).await, "trick");
    }
    finish(rig, agent).await;
}

/// Sends to a link-local address of the host, at a port that anybody may have and at a resolver's.
const ASK: &str = "
import socket
for port in (80, 53):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.sendto(b'ask', ('169.254.169.254', port))
";

#[tokio::test]
async fn s28_link_local_addresses_are_reached_by_names_only_unless_that_is_allowed() {
    let Some(rig) = rig_with_python() else { return };
    let added = std::process::Command::new("/usr/bin/busybox")
        .args(["ip", "addr", "add", "169.254.169.254/32", "dev", "lo"])
        .status();
    assert!(added.unwrap().success());
    let mut agent = rig.agent().await;
    let [metadata, resolver] = [80, 53].map(|port| {
        let socket = UdpSocket::bind(("169.254.169.254", port)).unwrap();
        socket.set_read_timeout(Some(BOUND)).unwrap();
        socket
    });
    let here = UdpSocket::bind("169.254.169.254:0").unwrap();
    let ask = |name: &str, user: Option<&str>, network| {
        let argv = ["python3", "-c", ASK].map(Into::into).to_vec();
        let mut launch = shell(name, "");
        launch.program = Program::Exec { file: "/usr/bin/python3".into(), argv };
        launch.user = user.map(Into::into);
        with(launch, network)
    };
    let first = async |agent: &mut Agent, launch, server: &UdpSocket| {
        agent.run(launch).await;
        // What a task sent is here before it has ended.
        here.send_to(b"the end", server.local_addr().unwrap()).unwrap();
        let mut buffer = [0; 16];
        let (count, _) = server.recv_from(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let plain = network();
    let hidden = Network { masquerade: true, ..mapped(31_000, 1) };
    let open = Network { link_local: true, ..network() };
    for (name, user, network) in [("a", Some("nobody"), plain), ("b", None, hidden)] {
        let launch = ask(name, user, network);
        assert_eq!(first(&mut agent, launch, &metadata).await, "the end", "{name}");
        let (count, _) = resolver.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(count, b"ask".len(), "{name}");
    }
    // The control: it would arrive.
    assert_eq!(first(&mut agent, ask("c", Some("nobody"), open), &metadata).await, "ask");
    finish(rig, agent).await;
}

/// Connects to places, and says which of them take it; again when a file is there.
const KNOCK: &str = "
import os, socket, time
for file in (None, 'again'):
    while file and not os.path.exists(file):
        time.sleep(0.01)
    for host, port in (PLACES):
        s = socket.socket()
        s.settimeout(0.5)
        try:
            s.connect((host, port))
            print(host, port)
        except OSError:
            pass
    print('done', flush=True)
";

#[tokio::test]
async fn s28_the_clusters_own_ports_are_not_reached_unless_that_is_allowed() {
    let Some(rig) = rig_with_python() else { return };
    // An address that is not the one by which the host is known to its tasks.
    let added = std::process::Command::new("/usr/bin/busybox")
        .args(["ip", "addr", "add", "192.0.2.7/32", "dev", "lo"])
        .status();
    assert!(added.unwrap().success());
    let listeners = [(); 3].map(|()| TcpListener::bind("0.0.0.0:0").unwrap());
    let [own, other, master] = listeners.each_ref().map(|l| l.local_addr().unwrap().port());
    let all = [GATEWAY, "192.0.2.7"].map(|host| [own, other, master].map(|port| (host, port)));
    let all = all.as_flattened();
    let code = KNOCK.replace("PLACES", &format!("{all:?}").replace(['[', ']'], ""));
    let mut agent = rig.agent().await;
    let place = SocketAddrV4::new([192, 0, 2, 7].into(), master);
    agent.native.close(Closed { here: [own].into(), there: [place].into() });
    let knock = |name: &str, user: Option<&str>, network| {
        let argv = ["python3", "-c", &code].map(Into::into).to_vec();
        let mut launch = shell(name, "");
        launch.program = Program::Exec { file: "/usr/bin/python3".into(), argv };
        launch.user = user.map(Into::into);
        with(launch, network)
    };
    let said = |without: &[(&str, u16)]| -> String {
        let open = all.iter().filter(|place| !without.contains(place));
        open.map(|(host, port)| format!("{host} {port}\n")).chain(["done\n".into()]).collect()
    };
    let walled = said(&[(GATEWAY, own), ("192.0.2.7", own), ("192.0.2.7", master)]);
    let hidden = Network { masquerade: true, ..mapped(31_000, 1) };
    let insider = Network { cluster: true, ..network() };
    let cases = [
        ("a", Some("nobody"), network(), &walled),
        ("b", None, hidden, &walled),
        // The control: they take it.
        ("c", Some("nobody"), insider, &said(&[])),
    ];
    let mut files = Vec::new();
    for (name, user, network, first) in cases {
        let sandbox = agent.launched(knock(name, user, network)).await.sandbox;
        let out = sandbox.join("stdout");
        filled(out.clone()).await;
        assert_eq!(std::fs::read_to_string(&out).unwrap(), *first, "{name}");
        files.push((name, sandbox, first));
    }
    // What is said later holds for those that run, and what was said before does so no longer.
    agent.native.close(Closed { here: [other, own].into(), ..Closed::default() });
    let walled =
        said(&[(GATEWAY, own), (GATEWAY, other), ("192.0.2.7", own), ("192.0.2.7", other)]);
    for (name, sandbox, first) in files {
        std::fs::write(sandbox.join("again"), "").unwrap();
        agent.ended(&id(name)).await;
        let second = if name == "c" { said(&[]) } else { walled.clone() };
        let out = std::fs::read_to_string(sandbox.join("stdout")).unwrap();
        assert_eq!(out, format!("{first}{second}"), "{name}");
    }
    agent.native.close(Closed::default());
    // Orders are obeyed by their turns.
    agent.run(with(shell("e", "true"), network())).await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn links_have_no_addresses_of_ipv6() {
    let Some(rig) = rig() else { return };
    if !std::path::Path::new("/proc/thread-self/net/if_inet6").exists() {
        println!("not run: this kernel has no IPv6");
        return;
    }
    let mut agent = rig.agent().await;
    let line = "sed 's/.* //' /proc/net/if_inet6 | grep -v lo; echo ready; exec sleep 1000";
    let launched = agent.launched(with(shell("t", line), network())).await;
    assert_eq!(filled(launched.sandbox.join("stdout")).await, "ready\n");
    let here = std::fs::read_to_string("/proc/thread-self/net/if_inet6").unwrap();
    assert!(!here.contains("tepui"), "{here}");
    let name = left().0.remove(0);
    let off = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    assert_eq!(std::fs::read_to_string(off).unwrap(), "1\n");
    kill(&mut agent, "t").await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn of_two_agents_with_one_subnet_neither_takes_an_address_of_the_other() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    agent.launched(greeter("greets")).await;
    let mut other = crate::enclosed::rig().expect("there was one");
    other.shares_network = true;
    let mut second = other.agent().await;
    let ended = second.run(with(shell("t", "echo $MESOS_CONTAINER_IP"), network())).await;
    assert_eq!(file_of(&ended, "stdout"), b"10.199.0.3\n");
    let said =
        refusal(&mut second, with(shell("none", "true"), Network { prefix: 30, ..network() }));
    assert_eq!(said.await, "all addresses of 10.199.0.0/30 are taken");
    other.finish(second).await;
    for address in [("127.0.0.1", 31_080), ("10.199.0.2", 80)] {
        hello(address).await;
    }
    kill(&mut agent, "greets").await;
    finish(rig, agent).await;
}

#[tokio::test]
async fn many_that_end_together_cost_one_wait_for_the_kernel() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let many = 100;
    let name = |number: u16| format!("t{number}");
    let begun = Instant::now();
    for number in 0..many {
        let launch = with(shell(&name(number), "exec sleep 1000"), mapped(20_000 + number, 1));
        agent.launched(launch).await;
    }
    let middle = Instant::now();
    for number in 0..many {
        agent.native.destroy(&id(&name(number)));
    }
    agent.native.flush();
    for number in 0..many {
        let ended = agent.ended(&id(&name(number))).await;
        assert_eq!(file_of(&ended, "stdout"), b"");
    }
    let (began, ended) = (middle - begun, middle.elapsed());
    println!("{many} networks: {began:?} to make, {ended:?} to end with their tasks");
    finish(rig, agent).await;
}
