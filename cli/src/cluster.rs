//! A whole cluster on one machine: master, agents and the jobs framework, each a process of its
//! own, so that each can be killed. What dies is started again; what was started is stopped.
//!
//! Each child holds the reading end of a pipe whose writing end is ours: when this process ends in
//! whatever way, the children see the end of it and stop by themselves.

use crate::client::Client;
use crate::command::jobs::Where;
use crate::failure::{Code, Failure};
use proto::operator::{AgentStanding, AgentView, Call, Response};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// What to start.
pub(crate) struct Plan {
    /// Everything durable lives below it.
    pub(crate) data: PathBuf,
    /// The master's port on loopback; 0 for any free one.
    pub(crate) port: u16,
    /// One entry an agent.
    pub(crate) agents: Vec<AgentPlan>,
    /// Whether agents use cgroups where that is permitted.
    pub(crate) cgroups: bool,
    /// Where jobs are recorded.
    pub(crate) state: Where,
}

/// One agent.
pub(crate) struct AgentPlan {
    /// Its attributes in Mesos' text form, such as `zone:a`.
    pub(crate) attributes: String,
    /// Its resources in Mesos' text form; absent means what the machine has, shared by the agents.
    pub(crate) resources: Option<String>,
}

/// A running cluster.
pub(crate) struct Cluster {
    parts: Vec<Part>,
    master: String,
    jobs: String,
    data: PathBuf,
    agents: usize,
}

/// One process and how to start it again.
struct Part {
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    child: Child,
    restarts: u32,
    /// Set while it is down: when to start it again.
    again_at: Option<Instant>,
}

/// How long the whole cluster may take until it can take work.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long each part may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Between the death of a part and its next start; doubled each time up to the maximum.
const RESTART_DELAY: Duration = Duration::from_millis(100);
const RESTART_DELAY_MAX: Duration = Duration::from_secs(5);

/// What has master and jobs serve nobody but who started them, and root.
const OWN: [&str; 2] = ["--callers", "own"];

impl Cluster {
    /// Starts everything and waits until the cluster can take work.
    pub(crate) async fn start(plan: Plan) -> Result<Self, Failure> {
        let ports = free_ports(plan.port, plan.agents.len() + 1)?;
        let (master_port, rest) = ports.split_first().expect("at least the master's port");
        let (jobs_port, agent_ports) = rest.split_first().expect("the jobs framework's port");
        let logs = plan.data.join("logs");
        std::fs::create_dir_all(&logs).map_err(|e| {
            Failure::new(Code::Failed, format!("cannot make {}: {e}", logs.display()))
                .next("choose another directory with --data")
        })?;
        let mut cluster = Self {
            parts: Vec::new(),
            master: format!("127.0.0.1:{master_port}"),
            jobs: format!("127.0.0.1:{jobs_port}"),
            data: plan.data.clone(),
            agents: plan.agents.len(),
        };
        let data = |name: &str| plan.data.join(name).display().to_string();
        let master = cluster.master.clone();
        let started = async {
            let master_data = data("master");
            let arguments = ["master", "--listen", &master, "--data", &master_data];
            cluster.spawn("master", &[&arguments[..], &OWN].concat())?;
            for (at, (agent, port)) in plan.agents.iter().zip(agent_ports).enumerate() {
                let name = format!("agent-{}", at + 1);
                let listen = format!("127.0.0.1:{port}");
                // Each size of cluster has agents of its own: an agent that has less or more than
                // before is another one.
                let work = data(&format!("agents-of-{}/{name}", plan.agents.len()));
                let mut arguments =
                    vec!["agent", "--master", &master, "--listen", &listen, "--work-dir", &work];
                arguments.extend(["--attributes", &agent.attributes, "--kill-tasks-on-exit"]);
                // Whoever runs tasks here is who started it, and may be root already: nobody else
                // is served. (An agent does by itself what it is told for nobody else.)
                arguments.push("--allow-root");
                if !plan.cgroups {
                    arguments.push("--no-cgroups");
                }
                if plan.agents.len() > 1 {
                    // Each of them would offer all that this machine has.
                    arguments.push("--no-gpus");
                }
                if let Some(resources) = &agent.resources {
                    arguments.extend(["--resources", resources]);
                }
                cluster.spawn(&name, &arguments)?;
            }
            let jobs = cluster.jobs.clone();
            let mut arguments = vec!["jobs", "serve", "--master", &master, "--listen", &jobs];
            arguments.extend(OWN);
            let jobs_data = data("jobs");
            match plan.state {
                Where::Local => arguments.extend(["--data", &jobs_data]),
                Where::Replicated => arguments.extend(["--state", "replicated"]),
            }
            cluster.spawn("jobs", &arguments)?;
            cluster.wait_until_ready().await
        }
        .await;
        match started {
            Ok(()) => Ok(cluster),
            Err(failure) => {
                cluster.stop().await;
                Err(failure)
            }
        }
    }

    /// The master's `host:port`.
    pub(crate) fn master(&self) -> &str {
        &self.master
    }

    /// The jobs framework's `host:port`.
    pub(crate) fn jobs(&self) -> &str {
        &self.jobs
    }

    /// How many agents were started.
    pub(crate) fn agents(&self) -> usize {
        self.agents
    }

    /// Where everything durable lives.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    fn spawn(&mut self, name: &str, arguments: &[&str]) -> Result<(), Failure> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let log = self.data.join("logs").join(format!("{name}.log"));
        let child = launch(name, &arguments, &log)?;
        let name = name.to_owned();
        self.parts.push(Part { name, arguments, log, child, restarts: 0, again_at: None });
        Ok(())
    }

    /// Waits until every agent is active and the jobs framework answers; a part that ends
    /// meanwhile ends the start with its own last words.
    async fn wait_until_ready(&mut self) -> Result<(), Failure> {
        let deadline = Instant::now() + START_LIMIT;
        let client = Client::new("master", &self.master);
        let jobs = Client::new("jobs", &self.jobs);
        let mut pause = Duration::from_millis(5);
        loop {
            for part in &mut self.parts {
                if let Ok(Some(status)) = part.child.try_wait() {
                    return Err(last_words(part, status));
                }
            }
            let active = active_agents(&client).await.map_or(0, |agents| agents.len());
            if active == self.agents && jobs.get("/health").await.is_ok_and(|a| a.status == 200) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let message = format!(
                    "the cluster is not ready after {} s; agents that are there: {active} of {}",
                    START_LIMIT.as_secs(),
                    self.agents
                );
                return Err(Failure::new(Code::Timeout, message)
                    .next(format!("read the logs in {}", self.data.join("logs").display())));
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    /// Waits for the next death or the next due restart, and starts again what died. Returns a
    /// sentence for each event. Cancel-safe.
    pub(crate) async fn tend(&mut self) -> String {
        loop {
            let now = Instant::now();
            for part in &mut self.parts {
                match part.again_at {
                    None => {
                        if let Ok(Some(status)) = part.child.try_wait() {
                            let factor = 1u32 << part.restarts.min(10);
                            let delay = (RESTART_DELAY * factor).min(RESTART_DELAY_MAX);
                            part.again_at = Some(now + delay);
                            part.restarts += 1;
                            return format!("{} ended ({status}); it starts again", part.name);
                        }
                    }
                    Some(at) if at <= now => match launch(&part.name, &part.arguments, &part.log) {
                        Ok(child) => {
                            part.child = child;
                            part.again_at = None;
                        }
                        Err(failure) => {
                            part.again_at = Some(now + RESTART_DELAY_MAX);
                            return failure.message;
                        }
                    },
                    Some(_) => {}
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops everything: the framework first, then agents with their tasks, the master last.
    pub(crate) async fn stop(&mut self) {
        for part in self.parts.iter_mut().rev() {
            terminate(part);
            if tokio::time::timeout(STOP_LIMIT, part.child.wait()).await.is_err() {
                crate::output::say(&format!("{} does not stop; it is killed", part.name));
                // Gone in the meantime is as good.
                let _ = part.child.kill().await;
            }
        }
        self.parts.clear();
    }
}

/// The master's active agents.
pub(crate) async fn active_agents(master: &Client) -> Result<Vec<AgentView>, Failure> {
    match master.operator(&Call::GetAgents).await? {
        Response::Agents(agents) => {
            Ok(agents.into_iter().filter(|a| a.standing == AgentStanding::Active).collect())
        }
        other => Err(Failure::new(
            Code::Failed,
            format!("the master answered GET_AGENTS with something else: {other:?}"),
        )),
    }
}

fn terminate(part: &Part) {
    let number = part.child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = number.and_then(rustix::process::Pid::from_raw) {
        // It may have ended just now; its exit status is ours to reap, so the pid is not reused.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn launch(name: &str, arguments: &[String], log: &Path) -> Result<Child, Failure> {
    let failed = |what: String| Failure::new(Code::Failed, format!("cannot start {name}: {what}"));
    let program = std::env::current_exe().map_err(|e| failed(format!("own program: {e}")))?;
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(|e| failed(format!("{}: {e}", log.display())))?;
    let errors = file.try_clone().map_err(|e| failed(format!("{}: {e}", log.display())))?;
    Command::new(&program)
        .args(arguments)
        .arg("--exit-with-parent")
        .stdin(Stdio::piped())
        .stdout(Stdio::from(file))
        .stderr(Stdio::from(errors))
        // A group of its own: Ctrl-C reaches us alone, and we stop the parts in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(format!("{}: {e}", program.display())))
}

/// What a part that ended during the start left in its log.
fn last_words(part: &Part, status: std::process::ExitStatus) -> Failure {
    let log = std::fs::read_to_string(&part.log).unwrap_or_default();
    // Its error; a log may have lines of others before it.
    let lines: Vec<&str> = log.lines().collect();
    let error = lines.iter().rposition(|line| line.starts_with("error: "));
    let words = &lines[error.unwrap_or(lines.len().saturating_sub(5))..];
    let code = status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code > 0);
    Failure {
        code: code.unwrap_or(Code::Failed as u8),
        message: format!("{} ended at start ({status}):\n{}", part.name, words.join("\n")),
        next: Some(format!("its whole log is {}", part.log.display())),
    }
}

/// The wished port (0: any) and `more` free ones on loopback. All are held while choosing, so that
/// they differ.
fn free_ports(first: u16, more: usize) -> Result<Vec<u16>, Failure> {
    let bind = |port: u16| {
        std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|e| {
            Failure::new(Code::Conflict, format!("cannot listen on 127.0.0.1:{port}: {e}"))
                .next("stop what uses the port, or choose another with --port")
        })
    };
    let mut held = vec![bind(first)?];
    for _ in 0..more {
        held.push(bind(0)?);
    }
    held.iter()
        .map(|listener| {
            listener
                .local_addr()
                .map(|address| address.port())
                .map_err(|e| Failure::new(Code::Failed, format!("a listener has no address: {e}")))
        })
        .collect()
}
