//! How many status updates a second a master carries, and what each costs it.
//!
//! `cargo run -p master --release --example updates` starts a master as a process of its own, one
//! scripted agent and one scheduler over gRPC in this one, and sends updates of tasks that it
//! launched, each acknowledged. It prints updates per second, the master's CPU time for each
//! (from /proc, so only the master's), and the master's memory before and after.
#![allow(clippy::print_stdout, reason = "it is a program that prints figures")]

use grpc::{AgentLinkClient, ClientOptions, Duplex, SchedulerClient};
use proto::agent_link::{AgentCall, AgentEvent};
use proto::scheduler::{Call, CallBody, Event, Subscribe};
use proto::{
    AgentInfo, Encoding, Filters, FrameworkId, FrameworkInfo, Limits, Operation, Resources, Source,
    StatusUuid, TaskId, TaskInfo, TaskState, TaskStatus, Time, Wire,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const TASKS: usize = 20_000;
/// Launched at a time, as a framework would.
const BATCH: usize = 500;

fn main() -> Outcome<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match std::env::args().nth(1) {
        Some(dir) => runtime.block_on(serve(&dir)),
        None => runtime.block_on(measure()),
    }
}

/// The other process: a master until its standard input ends.
async fn serve(dir: &str) -> Outcome<()> {
    let listener = master::listen(([127, 0, 0, 1], 0).into()).await?;
    println!("{}", listener.local_addr()?);
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    master::run(master::Config::new(dir, "127.0.0.1"), listener, ended).await?;
    Ok(())
}

/// Seconds of CPU time, and MiB of memory, of a process.
fn cost(pid: u32) -> Outcome<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    let kib: f64 = rss.trim().trim_end_matches(" kB").parse()?;
    Ok((ticks / 100.0, kib / 1024.0))
}

async fn measure() -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(dir.path().join("registry"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let result = run(&mut child).await;
    drop(child.stdin.take());
    child.wait()?;
    result
}

async fn run(child: &mut Child) -> Outcome<()> {
    let mut address = String::new();
    let stdout = child.stdout.take().ok_or("the master has no standard output")?;
    BufReader::new(stdout).read_line(&mut address)?;
    let address = address.trim();
    let options = ClientOptions::default();
    let agent = AgentLinkClient::connect(address, &options).await?;
    let (idle_cpu, idle_memory) = cost(child.id())?;
    println!("idle: {idle_memory:.1} MiB, {idle_cpu:.2} s of CPU time since its start");
    let info = AgentInfo {
        id: None,
        hostname: Arc::from("127.0.0.1"),
        port: 5051,
        resources: Resources::cpus_mem(TASKS as u64 * 10, TASKS as u64 * 1000),
        attributes: Vec::new(),
        domain: None,
    };
    let register = AgentCall::Register { info, version: Arc::from("1"), nonce: 1 };
    agent.sender.send(register).await?;
    let scheduler = SchedulerClient::connect(address, &options).await?;
    let begin = Instant::now();
    let agent = tokio::spawn(act_as_agent(agent));
    let launched = schedule(scheduler).await?;
    let elapsed = begin.elapsed();
    agent.abort();
    let (cpu, memory) = cost(child.id())?;
    let updates = (launched * 2) as f64;
    let each = (cpu - idle_cpu) / updates;
    println!(
        "{launched} tasks launched, {updates} updates acknowledged in {elapsed:.2?}: {:.0} updates/s",
        updates / elapsed.as_secs_f64()
    );
    println!(
        "master: {:.1} us of CPU time an update (launch included), so 10,000 updates/s take {:.0} % of a core; {memory:.1} MiB",
        each * 1e6,
        each * 1e6,
    );
    Ok(())
}

/// Reports every task as running and then as finished.
async fn act_as_agent(mut link: Duplex<AgentCall, AgentEvent>) -> Outcome<()> {
    let mut id = None;
    let mut uuid = 0u128;
    while let Some(event) = link.incoming.next().await? {
        match event {
            AgentEvent::Registered { agent_id, .. } => id = Some(agent_id),
            AgentEvent::Ping { sequence } => link.sender.send(AgentCall::Pong { sequence }).await?,
            AgentEvent::Run { framework, tasks, .. } => {
                let framework_id = framework.id.clone().ok_or("a framework without an id")?;
                for task in tasks {
                    for state in [TaskState::Running, TaskState::Finished] {
                        uuid += 1;
                        let status = TaskStatus {
                            agent_id: id.clone(),
                            uuid: Some(StatusUuid(uuid.to_be_bytes())),
                            ..TaskStatus::new(
                                task.task_id.clone(),
                                state,
                                Source::Executor,
                                Time::from_millis(1),
                            )
                        };
                        let framework_id = framework_id.clone();
                        let status = Box::new(status);
                        let update =
                            AgentCall::Update { framework_id, status, latest_state: state };
                        link.sender.send(update).await?;
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Launches all tasks in batches and acknowledges every update; returns how many tasks ran.
async fn schedule(mut link: Duplex<Call, Event>) -> Outcome<usize> {
    let subscribe = Subscribe {
        framework_info: FrameworkInfo {
            failover_timeout: Duration::from_secs(60),
            ..FrameworkInfo::new("nobody", "updates")
        },
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
        fence: None,
    };
    let body = CallBody::Subscribe(Box::new(subscribe));
    link.sender.send(Call { framework_id: None, body }).await?;
    let mut framework_id: Option<FrameworkId> = None;
    let (mut launched, mut finished) = (0, 0);
    while finished < TASKS {
        let event = link.incoming.next().await?.ok_or("the master closed the stream")?;
        let body = match event {
            Event::Subscribed { framework_id: id, .. } => {
                framework_id = Some(id);
                continue;
            }
            Event::Offers(offers) => {
                let offer = offers.into_iter().next().ok_or("no offer in OFFERS")?;
                let room = (offer.resources.cpus() / 10).min(offer.resources.mem() / 1000);
                let count = BATCH.min(TASKS - launched).min(room as usize);
                let tasks = (launched..launched + count)
                    .map(|n| task(n, offer.agent_id.as_str()))
                    .collect::<Outcome<Vec<_>>>()?;
                launched += count;
                let operations = vec![Operation::Launch(tasks)];
                CallBody::Accept { offer_ids: vec![offer.id], operations, filters: Filters::none() }
            }
            Event::Update(status) => {
                finished += usize::from(status.state.is_terminal());
                CallBody::Acknowledge {
                    agent_id: status.agent_id.ok_or("an update without its agent")?,
                    task_id: status.task_id,
                    uuid: status
                        .uuid
                        .ok_or_else(|| format!("{:?}: {:?}", status.state, status.message))?,
                }
            }
            Event::Error(message) => return Err(message.to_string().into()),
            _ => continue,
        };
        link.sender.send(Call { framework_id: framework_id.clone(), body }).await?;
    }
    Ok(launched)
}

fn task(n: usize, agent_id: &str) -> Outcome<TaskInfo> {
    let json = format!(
        r#"{{"name":"t","task_id":{{"value":"t{n}"}},"agent_id":{{"value":"{agent_id}"}},"resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":0.01}}}}],"command":{{"value":"true"}}}}"#
    );
    let info = TaskInfo::decode(json.as_bytes(), Encoding::Json, &Limits::DEFAULT)?;
    let task_id = TaskId::new(format!("t{n}"))?;
    Ok(TaskInfo { task_id, resources: Resources::cpus_mem(10, 1000), ..info })
}
