//! The agents of the big cluster: streams of this process, all carried by one thread, or processes
//! of them, as a process may have only so many files open.
//!
//! `bench reads-agents ADDRESS FROM TO CONNECTIONS TASKS` prints a line once all are there, and
//! answers pings until its standard input ends.

use grpc::{ClientOptions, Connection, Duplex};
use proto::agent_link::{AgentCall, AgentEvent, AgentTask};
use proto::{AgentInfo, FrameworkId, FrameworkInfo, Resources, Role, TaskId, TaskState};
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) const AGENTS: u32 = 10_000;
pub(super) const TASKS: u32 = 100_000;

/// Connections that are being made at a time. With many more, the first request of one comes late.
const AT_ONCE: usize = 16;
/// How long the master may be silent: on a busy machine what it said may be looked at only long
/// after it came, which is no silence.
const PATIENCE: Duration = Duration::from_secs(600);

/// Agents in processes of their own, while this lives.
pub(super) struct Agents(Vec<Child>);

impl Agents {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    /// Starts one more process, of these agents with so many tasks each, on so many connections;
    /// all are there when this returns.
    pub(super) fn add(&mut self, address: &str, agents: Range<u32>, connections: u32, tasks: u32) {
        let own = std::env::current_exe().expect("a process has a program");
        let numbers = [agents.start, agents.end, connections, tasks].map(|n| n.to_string());
        let mut command = Command::new(own);
        command.args(["reads-agents", address]).args(numbers);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("this program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped above");
        let read = BufReader::new(out).read_line(&mut line);
        self.0.push(child);
        assert!(read.is_ok_and(|bytes| bytes > 0), "the agents {agents:?} are not there");
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Such a process.
pub(crate) fn run(address: &str, numbers: [u32; 4]) {
    let [from, to, connections, tasks] = numbers;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        register(address, from..to, connections, tasks).await;
        println!("{} agents", to - from);
        let mut end = tokio::task::spawn_blocking(|| {
            // Until whoever started it has seen enough.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        });
        // It does not fail.
        let _ = (&mut end).await;
    });
    std::process::exit(0);
}

/// Registers so many agents as the big cluster has, each with a connection of its own; afterwards
/// they answer pings.
pub(super) async fn register_all(address: &str, agents: u32) {
    register(address, 0..agents, agents, TASKS / AGENTS).await;
}

/// Registers agents, with so many tasks of each, on so many connections.
async fn register(address: &str, agents: Range<u32>, connections: u32, tasks: u32) {
    // The master may still be starting.
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut under_way = JoinSet::new();
    let count = u64::from(agents.end - agents.start);
    let until = |n: u32| {
        let before = count * u64::from(n) / u64::from(connections);
        agents.start + u32::try_from(before).expect("it is less than all")
    };
    for n in 0..connections {
        if under_way.len() >= AT_ONCE {
            under_way.join_next().await.expect("there are some").expect("no agent fails");
        }
        let (address, some) = (address.to_owned(), until(n)..until(n + 1));
        under_way.spawn(async move { connect(&address, some, tasks).await });
    }
    while let Some(done) = under_way.join_next().await {
        done.expect("no agent fails");
    }
}

/// Agents that share a connection.
async fn connect(address: &str, agents: Range<u32>, tasks: u32) {
    let options =
        ClientOptions { queue: 4, keep_alive_timeout: PATIENCE, ..ClientOptions::default() };
    let connection = Connection::open(address, &options).await.expect("it listens");
    for n in agents {
        let mut link = connection.agent_link().await.expect("it takes streams");
        admit(&mut link, n, tasks).await;
        tokio::spawn(answer_pings(link));
    }
}

async fn admit(link: &mut Duplex<AgentCall, AgentEvent>, n: u32, count: u32) {
    let framework = FrameworkInfo {
        id: Some(FrameworkId::new("bench-0000").expect("an id")),
        ..FrameworkInfo::new("root", "bench")
    };
    let info = AgentInfo {
        id: None,
        hostname: Arc::from(format!("host-{n}")),
        port: 5051,
        resources: Resources::cpus_mem(32_000, 128_000_000),
        attributes: Vec::new(),
        domain: None,
    };
    let (version, nonce) = (Arc::from("1"), u64::from(n));
    let call = AgentCall::Register { info: info.clone(), version: Arc::clone(&version), nonce };
    link.sender.send(call).await.expect("the stream is open");
    let id = match answer(link).await {
        AgentEvent::Registered { agent_id, .. } | AgentEvent::Reregistered { agent_id, .. } => {
            agent_id
        }
        other => panic!("{other:?}"),
    };
    if count == 0 {
        return;
    }
    let call = AgentCall::Reregister {
        tasks: tasks(n, count, &framework),
        info: AgentInfo { id: Some(id), ..info },
        version,
        frameworks: vec![framework],
        executors: Vec::new(),
    };
    link.sender.send(call).await.expect("the stream is open");
    let back = answer(link).await;
    assert!(matches!(back, AgentEvent::Reregistered { .. }), "{back:?}");
}

async fn answer(link: &mut Duplex<AgentCall, AgentEvent>) -> AgentEvent {
    loop {
        match link.incoming.next().await {
            Ok(Some(AgentEvent::Ping { sequence })) => {
                // Fails when the stream has ended, which is seen next.
                let _ = link.sender.send(AgentCall::Pong { sequence }).await;
            }
            Ok(Some(event)) => return event,
            other => panic!("{other:?}"),
        }
    }
}

fn tasks(agent: u32, count: u32, framework: &FrameworkInfo) -> Vec<AgentTask> {
    let from = u64::from(agent) * u64::from(count);
    let task = |n: u64| AgentTask {
        framework_id: framework.id.clone().expect("it has one"),
        task_id: TaskId::new(format!("task-{n:06}")).expect("an id"),
        name: Arc::from("bench"),
        resources: Resources::cpus_mem(1_000, 1_024_000),
        role: Role::any(),
        state: TaskState::Running,
        status: None,
        executor_id: None,
        shown: None,
    };
    (from..from + u64::from(count)).map(task).collect()
}

async fn answer_pings(mut link: Duplex<AgentCall, AgentEvent>) {
    while let Ok(Some(event)) = link.incoming.next().await {
        if let AgentEvent::Ping { sequence } = event
            && link.sender.send(AgentCall::Pong { sequence }).await.is_err()
        {
            return;
        }
    }
}
