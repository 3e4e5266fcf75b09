//! A scripted master, and agents that talk to it.

#[path = "../left/mod.rs"]
#[allow(dead_code, reason = "tests of the supervisor use more of it")]
pub(crate) mod left;

use agent::{Config, Error, Stop};
use axum::serve::ListenerExt;
use grpc::{Incoming, Status, StreamHandler, StreamService};
use left::Marks;
use proto::agent_link::{AgentCall, AgentEvent, AgentTask};
use proto::{
    AgentId, CommandInfo, FrameworkId, FrameworkInfo, Limits, MasterId, Resources, Role, TaskBody,
    TaskId, TaskInfo, TaskPayload, TaskState, TaskStatus,
};
use rustix::process::kill_process;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;

/// Nothing here takes a fraction of this, even on a busy machine.
pub(crate) const BOUND: Duration = Duration::from_secs(60);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, what).await.expect("it happens within the bound")
}

/// Takes streams of agents and hands them to the test.
#[derive(Clone)]
struct Handler(mpsc::UnboundedSender<Connection>);

impl StreamHandler<AgentCall, AgentEvent> for Handler {
    type Outgoing = UnboundedReceiverStream<AgentEvent>;

    fn connect(
        &self,
        _: http::Extensions,
        mut incoming: Incoming<AgentCall>,
    ) -> Result<Self::Outgoing, Status> {
        let (events, outgoing) = mpsc::unbounded_channel();
        let (sender, calls) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok(Some(call)) = incoming.next().await {
                if sender.send(call).is_err() {
                    return;
                }
            }
        });
        let connection = Connection { calls, events, tasks: Vec::new() };
        self.0.send(connection).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(UnboundedReceiverStream::new(outgoing))
    }
}

/// A master that says what the test says. It goes last of what a test has: then nothing may be left
/// of its agents.
pub(crate) struct Master {
    pub(crate) address: String,
    connections: mpsc::UnboundedReceiver<Connection>,
    server: tokio::task::JoinHandle<()>,
    agents: Mutex<BTreeSet<Marks>>,
    /// Whether others beside have tasks with links in this test's network.
    pub(crate) shares_network: bool,
}

impl Drop for Master {
    fn drop(&mut self) {
        self.server.abort();
        let agents = self.agents.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for agent in &*agents {
            if !std::thread::panicking() {
                agent.assert_gone();
                continue;
            }
            // Whatever fails, no process stays.
            for (pid, _) in agent.processes() {
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                let kill = |pid| kill_process(pid, rustix::process::Signal::KILL);
                let _ = pid.map(kill);
            }
        }
        if !self.shares_network && !std::thread::panicking() {
            left::assert_no_links();
        }
    }
}

impl Master {
    pub(crate) async fn start() -> Self {
        Self::of("east").await
    }

    /// A master of this cluster.
    pub(crate) async fn of(cluster: &str) -> Self {
        let (sender, connections) = mpsc::unbounded_channel();
        let limits = Limits { body_bytes: 64 << 20, list_items: 1 << 20, ..Limits::DEFAULT };
        let service = StreamService::<_, AgentCall, AgentEvent>::new(Handler(sender), limits);
        let service = service.of_cluster(Some(cluster.into()));
        let router = axum::Router::new().route_service(grpc::AGENT_LINK_PATH, service);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // Small events must not wait for the answer to the packet before them.
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, connections, server, agents: Mutex::default(), shares_network: false }
    }

    /// Looks, at the end, for what is left of the agent of this directory.
    pub(crate) fn watch(&self, work_dir: &Path) {
        self.agents.lock().unwrap().insert(Marks::of_agent(work_dir));
    }

    /// The first call on the next stream of an agent; none when it hangs up without a word.
    pub(crate) async fn heard(&mut self) -> Option<AgentCall> {
        let mut connection = soon(self.connections.recv()).await.unwrap();
        connection.next_or_end().await
    }

    /// The next stream of an agent, admitted.
    pub(crate) async fn admit(&mut self) -> Connection {
        self.admit_and_reconcile(Vec::new()).await
    }

    /// The stream of an agent, of the one on this port if one is given and not of one that was
    /// killed, admitted by a master that asks about all of these tasks that the agent does not
    /// name. A new agent is asked about none: its tasks are another's.
    pub(crate) async fn admit_knowing(
        &mut self,
        port: Option<u16>,
        mut known: Vec<(FrameworkId, TaskId)>,
    ) -> Connection {
        let (mut connection, first) = loop {
            let mut connection = soon(self.connections.recv()).await.unwrap();
            let Some(first) = connection.next_or_end().await else { continue };
            let (AgentCall::Register { info, .. } | AgentCall::Reregister { info, .. }) = &first
            else {
                panic!("{first:?}");
            };
            if port.is_none_or(|port| info.port == port) {
                break (connection, first);
            }
        };
        let (agent_id, master_id) = (agent_id(), MasterId::new("M").unwrap());
        let ping_timeout = Duration::from_secs(60);
        if let AgentCall::Reregister { tasks, .. } = first {
            known.retain(|(_, id)| !tasks.iter().any(|task| task.task_id == *id));
            connection.tasks = tasks;
            connection.tell(AgentEvent::Reregistered {
                agent_id,
                master_id,
                ping_timeout,
                reconcile: known,
            });
        } else {
            connection.tell(AgentEvent::Registered { agent_id, master_id, ping_timeout });
        }
        connection
    }

    pub(crate) async fn admit_and_reconcile(
        &mut self,
        reconcile: Vec<(FrameworkId, TaskId)>,
    ) -> Connection {
        let mut connection = soon(self.connections.recv()).await.unwrap();
        let (agent_id, master_id) = (agent_id(), MasterId::new("M").unwrap());
        let ping_timeout = Duration::from_secs(60);
        match connection.next().await {
            AgentCall::Register { info, .. } => {
                assert_eq!(info.id, None);
                assert!(reconcile.is_empty(), "an agent that was known forgot its id");
                connection.say(AgentEvent::Registered { agent_id, master_id, ping_timeout });
            }
            AgentCall::Reregister { info, tasks, .. } => {
                assert_eq!(info.id, Some(agent_id.clone()));
                connection.tasks = tasks;
                connection.say(AgentEvent::Reregistered {
                    agent_id,
                    master_id,
                    ping_timeout,
                    reconcile,
                });
            }
            other => panic!("{other:?}"),
        }
        connection
    }
}

/// One agent's stream.
pub(crate) struct Connection {
    calls: mpsc::UnboundedReceiver<AgentCall>,
    events: mpsc::UnboundedSender<AgentEvent>,
    /// What it told when it came back.
    pub(crate) tasks: Vec<AgentTask>,
}

impl Connection {
    pub(crate) fn say(&self, event: AgentEvent) {
        self.events.send(event).expect("the agent listens");
    }

    /// As `say`, to an agent that may have been killed meanwhile.
    pub(crate) fn tell(&self, event: AgentEvent) {
        let _ = self.events.send(event);
    }

    pub(crate) async fn next(&mut self) -> AgentCall {
        soon(self.calls.recv()).await.expect("the stream is open")
    }

    /// The next call, or none when the agent is gone.
    pub(crate) async fn next_or_end(&mut self) -> Option<AgentCall> {
        soon(self.calls.recv()).await
    }

    pub(crate) fn run(&self, tasks: Vec<TaskInfo>) {
        self.say(AgentEvent::Run { framework: Arc::new(framework()), role: Role::any(), tasks });
    }

    pub(crate) fn kill(&self, task: &str) {
        let (framework_id, task_id) = (framework_id(), TaskId::new(task).unwrap());
        self.say(AgentEvent::Kill { framework_id, task_id, grace: None, draining: false });
    }

    /// The next status update, not acknowledged.
    pub(crate) async fn update(&mut self) -> TaskStatus {
        loop {
            if let AgentCall::Update { status, .. } = self.next().await {
                return *status;
            }
        }
    }

    pub(crate) fn acknowledge(&self, status: &TaskStatus) {
        // An agent that was killed meanwhile will send it again.
        let _ = self.events.send(AgentEvent::Acknowledge {
            framework_id: framework_id(),
            task_id: status.task_id.clone(),
            uuid: status.uuid.expect("an agent's update has a uuid"),
        });
    }

    /// The next status update, acknowledged.
    pub(crate) async fn acknowledged(&mut self) -> TaskStatus {
        let status = self.update().await;
        self.acknowledge(&status);
        status
    }

    /// Runs a task to its end; its last update. An end of another may come again before, when an
    /// agent was killed before it had noted that somebody knows it.
    pub(crate) async fn run_to_end(&mut self, task: TaskInfo) -> TaskStatus {
        let id = task.task_id.clone();
        self.run(vec![task]);
        loop {
            let end = self.end().await;
            if end.task_id == id {
                return end;
            }
        }
    }

    /// The next end of a task; what comes before it may come twice.
    pub(crate) async fn end(&mut self) -> TaskStatus {
        loop {
            let status = self.acknowledged().await;
            if status.state.is_terminal() {
                return status;
            }
        }
    }

    /// Whether the disk is almost full, as the agent says it next.
    pub(crate) async fn pressure(&mut self) -> bool {
        loop {
            if let AgentCall::DiskPressure { pressed } = self.next().await {
                return pressed;
            }
        }
    }

    /// Runs a task and waits until it runs.
    pub(crate) async fn start(&mut self, task: TaskInfo) {
        self.run(vec![task]);
        assert_eq!(self.acknowledged().await.state, TaskState::Running);
    }
}

pub(crate) fn agent_id() -> AgentId {
    AgentId::new("M-S0").unwrap()
}

pub(crate) fn framework_id() -> FrameworkId {
    FrameworkId::new("M-0000").unwrap()
}

/// A framework of nobody in particular, which understands partitions.
pub(crate) fn framework() -> FrameworkInfo {
    let mut info = FrameworkInfo::new("", "test");
    info.id = Some(framework_id());
    info.capabilities = [proto::Capability::PartitionAware].into_iter().collect();
    info
}

/// A task that runs a line of shell, with a hundredth of a cpu.
pub(crate) fn shell(id: &str, line: &str) -> TaskInfo {
    command(id, CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() })
}

pub(crate) fn command(id: &str, command: CommandInfo) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id).unwrap(),
        agent_id: agent_id(),
        resources: Resources::cpus_mem(10, 16_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: Some(Duration::from_millis(500)),
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
    }
}

pub(crate) fn config(master: &Master, work_dir: &Path) -> Config {
    let supervise = match option_env!("CARGO_BIN_EXE_supervise") {
        Some(program) => vec![program.into()],
        // An example shares this file and is its own supervisor.
        None => vec![std::env::current_exe().unwrap().into(), "supervise".into()],
    };
    master.watch(work_dir);
    let mut config = Config::new(vec![master.address.clone()], work_dir, supervise);
    config.cgroups = false;
    // Whoever runs the tests is often root, and their tasks name no user.
    config.policy.root = true;
    config.resources = Some("cpus:4;mem:4096;disk:1000".to_owned());
    // However full the disk is that the tests are run on: what they look at stays.
    config.gc_disk_headroom_ppm = 0;
    config.disk_pressure_ppm = 1_000_000;
    config
}

/// The same on a disk of its own, which the agent watches as usual.
pub(crate) fn watching(master: &Master, work_dir: &Path) -> Config {
    let usual = Config::new(Vec::new(), work_dir, Vec::new());
    Config {
        gc_disk_headroom_ppm: usual.gc_disk_headroom_ppm,
        disk_pressure_ppm: usual.disk_pressure_ppm,
        ..config(master, work_dir)
    }
}

/// An agent in this process.
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<Stop>>,
    run: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Agent {
    pub(crate) async fn start(config: Config) -> Self {
        Self::start_at(config, 0).await
    }

    /// An agent on this port, or on any if it is 0.
    pub(crate) async fn start_at(config: Config, port: u16) -> Self {
        Self::start_on(config, ([127, 0, 0, 1], port).into()).await
    }

    /// An agent that listens there.
    pub(crate) async fn start_on(config: Config, at: std::net::SocketAddr) -> Self {
        let listener = agent::listen(at).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { stopped.await.unwrap_or(Stop::KeepTasks) };
        let run = tokio::spawn(agent::run(config, listener, shutdown));
        Self { address, stop: Some(stop), run }
    }

    /// Waits until it knows that it is admitted.
    pub(crate) async fn registered(&self) {
        soon(async { while self.get("/health").await.0 != 200 {} }).await;
    }

    /// Stops it and waits until it is gone.
    pub(crate) async fn stop(mut self, stop: Stop) {
        self.stop.take().unwrap().send(stop).expect("the agent runs");
        soon(&mut self.run).await.unwrap().unwrap();
    }

    /// What happens while the agent runs, which it must.
    pub(crate) async fn while_it_runs<T>(&mut self, what: impl Future<Output = T>) -> T {
        tokio::select! {
            happened = what => happened,
            ended = &mut self.run => panic!("the agent ended: {ended:?}"),
        }
    }

    /// Ends it without a word, as far as one can within a process.
    pub(crate) async fn abort(self) {
        self.run.abort();
        assert!(self.run.await.unwrap_err().is_cancelled());
    }

    /// Why it ended.
    pub(crate) async fn error(self) -> Error {
        // The sender lives as long as the agent: it must not take its end for a shutdown.
        let Self { run, stop, .. } = self;
        let error = soon(run).await.unwrap().unwrap_err();
        drop(stop);
        error
    }

    /// The body of a GET, with its status.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(self.address).await.unwrap();
            let request = format!("GET {path} HTTP/1.0\r\nhost: agent\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            String::from_utf8(answer).unwrap()
        };
        let answer = soon(exchange).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP response");
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}
