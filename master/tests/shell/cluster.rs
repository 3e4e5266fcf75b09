//! A master that runs in the test, and a scripted agent.

use crate::client::within;
use grpc::{AgentLinkClient, ClientOptions, Duplex};
use master::{Config, Error};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::{
    AgentId, AgentInfo, FrameworkId, Resources, Source, StatusUuid, TaskId, TaskInfo, TaskState,
    TaskStatus, Time,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running master.
pub(crate) struct Running {
    pub(crate) address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) async fn start(config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(config, listener)
    }

    pub(crate) fn start_on(config: Config, listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(master::run(config, listener, stopped));
        Self { address, stop, task }
    }

    pub(crate) async fn at(dir: &Path) -> Self {
        Self::start(config(dir)).await
    }

    pub(crate) async fn stop(self) {
        self.stop.send(()).unwrap();
        within("the end of the master", self.task).await.unwrap().unwrap();
    }

    /// Drops everything the process would hold.
    pub(crate) async fn abort(self) {
        self.task.abort();
        assert!(within("the end of the master", self.task).await.unwrap_err().is_cancelled());
    }

    /// Waits until it has ended by itself, and well.
    pub(crate) async fn ended(self) {
        within("the end of the master", self.task).await.unwrap().unwrap();
    }

    /// Why it does not run.
    pub(crate) async fn error(self) -> Error {
        within("the end of the master", self.task).await.unwrap().unwrap_err()
    }
}

pub(crate) fn config(dir: &Path) -> Config {
    Config::new(dir.join("registry"), "127.0.0.1")
}

pub(crate) fn subscribe(name: &str) -> Value {
    json!({"type": "SUBSCRIBE", "subscribe": {"framework_info": {
        "user": "nobody", "name": name, "roles": ["dev"], "failover_timeout": 3600.0,
        "capabilities": [{"type": "MULTI_ROLE"}, {"type": "PARTITION_AWARE"}]}}})
}

/// An agent that says what the test tells it to.
pub(crate) struct Agent {
    pub(crate) link: Duplex<AgentCall, AgentEvent>,
    pub(crate) id: AgentId,
    pub(crate) info: AgentInfo,
}

pub(crate) fn agent_info(id: Option<AgentId>) -> AgentInfo {
    AgentInfo {
        id,
        hostname: Arc::from("127.0.0.1"),
        port: 5051,
        resources: Resources::cpus_mem(8_000, 16_384_000),
        attributes: Vec::new(),
        domain: None,
    }
}

impl Agent {
    pub(crate) async fn register(address: &str, nonce: u64) -> Self {
        let mut link = AgentLinkClient::connect(address, &ClientOptions::default()).await.unwrap();
        let info = agent_info(None);
        let version = Arc::from("1");
        let call = AgentCall::Register { info, version, nonce };
        link.sender.send(call).await.unwrap();
        match within("Registered", link.incoming.next()).await.unwrap() {
            Some(AgentEvent::Registered { agent_id: id, .. }) => {
                Self { link, info: agent_info(Some(id.clone())), id }
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn reregister(address: &str, info: AgentInfo) -> Self {
        let mut link = AgentLinkClient::connect(address, &ClientOptions::default()).await.unwrap();
        let call = AgentCall::Reregister {
            info: info.clone(),
            version: Arc::from("1"),
            tasks: Vec::new(),
            frameworks: Vec::new(),
            executors: Vec::new(),
        };
        link.sender.send(call).await.unwrap();
        match within("Reregistered", link.incoming.next()).await.unwrap() {
            Some(AgentEvent::Reregistered { agent_id, .. }) => {
                assert_eq!(Some(&agent_id), info.id.as_ref());
                Self { link, info, id: agent_id }
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next message that is no ping; pings are answered.
    pub(crate) async fn next(&mut self) -> AgentEvent {
        loop {
            match within("a message of the master", self.link.incoming.next()).await.unwrap() {
                Some(AgentEvent::Ping { sequence }) => {
                    self.link.sender.send(AgentCall::Pong { sequence }).await.unwrap();
                }
                Some(event) => return event,
                None => panic!("the master closed the stream"),
            }
        }
    }

    pub(crate) async fn run(&mut self) -> Vec<TaskInfo> {
        match self.next().await {
            AgentEvent::Run { tasks, .. } => tasks,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn update(
        &self,
        framework: &FrameworkId,
        task: &TaskId,
        state: TaskState,
        n: u8,
    ) {
        let status = TaskStatus {
            agent_id: Some(self.id.clone()),
            uuid: Some(StatusUuid([n; 16])),
            address: Some([10, 198, 0, n].into()),
            ..TaskStatus::new(task.clone(), state, Source::Executor, Time::from_millis(1))
        };
        let call = AgentCall::Update {
            framework_id: framework.clone(),
            status: Box::new(status),
            latest_state: state,
        };
        self.link.sender.send(call).await.unwrap();
    }
}
