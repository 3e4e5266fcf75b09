//! The cluster under torture: three masters, five agents, two schedulers and the jobs framework,
//! each a process on a machine of its own.

use crate::history::Recorder;
use crate::hosts::{AGENTS, Host, JOBS, MASTERS, TOOL};
use crate::http;
use crate::operator::Operator;
use crate::process::Process;
use proto::operator::Response;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Thousandths of a cpu that each agent has to give.
pub(crate) const AGENT_CPUS: u64 = 2_000;
/// What the role of the second scheduler may use at most, in thousandths of a cpu.
pub(crate) const QUOTA_CPUS: u64 = 800;
/// The role that has that quota.
pub(crate) const LIMITED: &str = "beta";
/// The schedulers of the tool's own.
pub(crate) const SCHEDULERS: [&str; 2] = ["alpha", LIMITED];
/// The size of the small disk that the third master has: more than twice of what it needs free.
const SMALL_DISK: &str = "size=400m";
/// What is left free of it when it is nearly full: too little for the biggest commit.
pub(crate) const NEARLY_FULL: u64 = 60 << 20;

/// The processes, and where they keep what.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) dir: PathBuf,
    pub(crate) masters: Vec<Mutex<Process>>,
    pub(crate) agents: Vec<Mutex<Process>>,
    /// The two schedulers, then the jobs framework.
    pub(crate) frameworks: Vec<Mutex<Process>>,
    pub(crate) history: Recorder,
}

/// The address of a master.
pub(crate) fn master_address(at: usize) -> String {
    format!("{}:5050", MASTERS[at].ip())
}

pub(crate) fn master_addresses() -> Vec<String> {
    (0..MASTERS.len()).map(master_address).collect()
}

pub(crate) fn agent_address(at: usize) -> String {
    format!("{}:5051", AGENTS[at].ip())
}

pub(crate) fn jobs_address() -> String {
    format!("{}:5052", JOBS.ip())
}

fn words(program: &Path, all: &[&str]) -> Vec<String> {
    let program = program.display().to_string();
    std::iter::once(program).chain(all.iter().map(|word| (*word).to_owned())).collect()
}

impl Cluster {
    /// The plan of it; nothing runs yet.
    pub(crate) fn plan(tepui: &Path, dir: &Path) -> anyhow::Result<Self> {
        let own = std::env::current_exe()?;
        for name in ["tasks", "logs", "data"] {
            std::fs::create_dir_all(dir.join(name))?;
        }
        let process = |host: Host, name: &str, words: Vec<String>| {
            Mutex::new(Process::new(host, words, dir.join(format!("logs/{name}.log"))))
        };
        let data = |name: &str| dir.join("data").join(name).display().to_string();
        let all = master_addresses().join(",");
        let masters = (0..MASTERS.len()).map(|at| {
            let name = format!("master-{}", at + 1);
            let seed = master_address(0);
            let join: &[&str] = if at == 0 { &["master"] } else { &["master", "join", &seed] };
            let serve = ["--listen", &master_address(at), "--data", &data(&name)];
            let serve = [join, &serve, &["--exit-with-parent"]].concat();
            process(MASTERS[at], &name, words(tepui, &serve))
        });
        let agents = (0..AGENTS.len()).map(|at| {
            let name = format!("agent-{}", at + 1);
            let resources = format!("cpus:{};mem:1024", AGENT_CPUS / 1000);
            let all = [
                "agent",
                "--master",
                &all,
                "--listen",
                &agent_address(at),
                "--work-dir",
                &data(&name),
                "--resources",
                &resources,
                "--no-cgroups",
                "--allow-root",
                "--exit-with-parent",
            ];
            process(AGENTS[at], &name, words(tepui, &all))
        });
        let path = dir.display().to_string();
        let schedulers = SCHEDULERS
            .map(|name| process(TOOL, name, words(&own, &["scheduler", name, &all, &path])));
        let jobs = [
            "jobs",
            "serve",
            "--master",
            &all,
            "--listen",
            &jobs_address(),
            "--data",
            &data("jobs"),
            "--exit-with-parent",
        ];
        let jobs = process(JOBS, "jobs", words(tepui, &jobs));
        Ok(Self {
            dir: dir.to_owned(),
            masters: masters.collect(),
            agents: agents.collect(),
            frameworks: schedulers.into_iter().chain([jobs]).collect(),
            history: Recorder::open(&dir.join("history.jsonl"))?,
        })
    }

    /// Where a master keeps its log.
    pub(crate) fn data_of_master(&self, at: usize) -> PathBuf {
        self.dir.join(format!("data/master-{}", at + 1))
    }

    /// Where tasks write, and where the file is that tells all to begin nothing new.
    pub(crate) fn tasks(&self) -> PathBuf {
        self.dir.join("tasks")
    }

    /// Gives a master a disk of its own that is small. The mount is ours alone, and gone with us.
    fn small_disk(&self, at: usize) -> anyhow::Result<()> {
        let place = self.data_of_master(at);
        std::fs::create_dir_all(&place)?;
        let place = place.display().to_string();
        crate::hosts::run(&["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", &place])
    }

    /// Starts everything, in order.
    pub(crate) async fn start(&self) -> anyhow::Result<()> {
        self.small_disk(2)?;
        let mut operator = Operator::new(master_addresses());
        for (at, master) in self.masters.iter().enumerate() {
            lock(master).start()?;
            until("a master to be one of the masters", async || operator.voting().await == at + 1)
                .await?;
        }
        self.limit(&mut operator).await?;
        for process in self.agents.iter().chain(&self.frameworks) {
            lock(process).start()?;
        }
        until("all agents to be active", async || operator.active_agents().await == AGENTS.len())
            .await?;
        until("the jobs framework", async || http::get(&jobs_address(), "/health").await.is_some())
            .await?;
        Ok(())
    }

    /// Sets the quota before anybody may use more.
    async fn limit(&self, operator: &mut Operator) -> anyhow::Result<()> {
        let call = crate::registers::limit(LIMITED, QUOTA_CPUS);
        let mut last = String::new();
        for _ in 0..20 {
            match operator.call(call.clone()).await {
                Ok(Response::Ok) => return Ok(()),
                Ok(other) => last = format!("{other:?}"),
                Err(why) => last = why,
            }
            pause(100).await;
        }
        anyhow::bail!("the quota of role {LIMITED} is not taken: {last}")
    }

    /// Who leads, by what the masters say themselves.
    pub(crate) async fn leader(&self) -> Option<usize> {
        let mut newest = None;
        for at in 0..self.masters.len() {
            if let Some(health) = health(at).await
                && health.role == "leader"
            {
                newest = newest.max(Some((health.term, at)));
            }
        }
        newest.map(|(_, at)| at)
    }

    /// Who leads, as soon as somebody does.
    pub(crate) async fn wait_for_leader(&self) -> anyhow::Result<usize> {
        let begin = Instant::now();
        loop {
            if let Some(leader) = self.leader().await {
                return Ok(leader);
            }
            anyhow::ensure!(begin.elapsed() < Duration::from_secs(60), "nobody leads for a minute");
            pause(50).await;
        }
    }

    /// Whether all masters are there, all agents active and all frameworks connected at the one
    /// that leads.
    pub(crate) async fn is_whole(&self) -> bool {
        let mut operator = Operator::new(master_addresses());
        operator.alive().await == MASTERS.len()
            && operator.active_agents().await == AGENTS.len()
            && operator.connected_frameworks().await == self.frameworks.len()
    }

    /// The id by which the other masters know one.
    pub(crate) async fn member_id(&self, at: usize) -> Option<u64> {
        let mut operator = Operator::new(master_addresses());
        let address = master_address(at);
        let all = operator.masters().await;
        all.iter().find(|master| *master.address == *address).map(|one| one.id)
    }
}

/// A process, for a moment.
pub(crate) fn lock(process: &Mutex<Process>) -> std::sync::MutexGuard<'_, Process> {
    process.lock().expect("no thread panics with a process in hand")
}

/// Milliseconds go by.
pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Asks again and again, for a minute.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !holds().await {
        anyhow::ensure!(begin.elapsed() < Duration::from_secs(60), "waited a minute for {what}");
        pause(50).await;
    }
    Ok(())
}

/// How a master says that it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) role: String,
    pub(crate) term: u64,
}

pub(crate) async fn health(at: usize) -> Option<Health> {
    let body = http::get(&master_address(at), "/health").await?;
    let health: serde_json::Value = serde_json::from_str(&body).ok()?;
    Some(Health { role: health["role"].as_str()?.to_owned(), term: health["term"].as_u64()? })
}
