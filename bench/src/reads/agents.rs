//! The agents of the big cluster: streams of this process, all carried by one thread.

use grpc::{AgentLinkClient, ClientOptions, Duplex};
use proto::agent_link::{AgentCall, AgentEvent, AgentTask};
use proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resources, Role, TaskId, TaskState};
use std::sync::Arc;
use std::time::Duration;

/// A master takes 10,000 connections, and some are for readers.
pub(super) const AGENTS: u32 = 9_900;
pub(super) const TASKS: u32 = 100_000;

/// Registers all of them, with their tasks; afterwards they answer pings.
pub(super) async fn register_all(address: &str) {
    // The master may still be starting.
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let framework = FrameworkInfo {
        id: Some(FrameworkId::new("bench-0000").expect("an id")),
        ..FrameworkInfo::new("root", "bench")
    };
    for n in 0..AGENTS {
        let info = AgentInfo {
            id: None,
            hostname: Arc::from(format!("host-{n}")),
            port: 5051,
            resources: Resources::cpus_mem(32_000, 128_000_000),
            attributes: Vec::new(),
            domain: None,
        };
        let options = ClientOptions { queue: 4, ..ClientOptions::default() };
        let mut link = AgentLinkClient::connect(address, &options).await.expect("it listens");
        let (version, nonce) = (Arc::from("1"), u64::from(n));
        let call = AgentCall::Register { info: info.clone(), version: Arc::clone(&version), nonce };
        link.sender.send(call).await.expect("the stream is open");
        let id = registered(&mut link).await;
        let call = AgentCall::Reregister {
            tasks: tasks(n, &framework),
            info: AgentInfo { id: Some(id), ..info },
            version,
            frameworks: vec![framework.clone()],
        };
        link.sender.send(call).await.expect("the stream is open");
        tokio::spawn(answer_pings(link));
    }
}

async fn registered(link: &mut Duplex<AgentCall, AgentEvent>) -> AgentId {
    match link.incoming.next().await {
        Ok(Some(AgentEvent::Registered { agent_id, .. })) => agent_id,
        other => panic!("{other:?}"),
    }
}

fn tasks(agent: u32, framework: &FrameworkInfo) -> Vec<AgentTask> {
    let from = u64::from(agent) * u64::from(TASKS) / u64::from(AGENTS);
    let to = u64::from(agent + 1) * u64::from(TASKS) / u64::from(AGENTS);
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
    (from..to).map(task).collect()
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
