//! A master, an agent and the jobs framework as processes of their own, so that the agent can have
//! what options it likes, and can be killed and started again.

use crate::cluster::{Http, processes_in, program};
use crate::master::{Master, free_address};
use crate::masters::health;
use rustix::process::{Pid, Signal};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing takes longer to start, nor to end.
const BOUND: Duration = Duration::from_secs(60);
/// Between two looks at whether something has happened that nobody tells us of.
const LOOK: Duration = Duration::from_millis(1);

/// What runs.
pub(crate) struct Parts {
    master: Master,
    agent: Child,
    frameworks: Child,
    words: Vec<String>,
    /// The agent's `host:port`.
    pub(crate) agent_address: String,
    /// The jobs framework's `host:port`.
    pub(crate) jobs: String,
    /// Everything durable of agent and jobs; removed with this value.
    place: tempfile::TempDir,
}

impl Parts {
    /// One agent with these resources and further options; it has registered.
    pub(crate) fn start(resources: &str, more: &[&str]) -> Self {
        let place =
            tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
        let master = Master::start(&[]);
        until(|| health(&master.address).is_some_and(|health| health["role"] == "leader"));
        let (agent_address, jobs) = (free_address(), free_address());
        let dir = |name: &str| place.path().join(name).display().to_string();
        let mut words: Vec<String> = ["agent", "--log", "error", "--master", &master.address]
            .into_iter()
            .chain(["--listen", &agent_address, "--resources", resources, "--allow-root"])
            .map(str::to_owned)
            .collect();
        words.extend(["--work-dir".to_owned(), dir("agent")]);
        words.extend(more.iter().map(|&word| word.to_owned()));
        let serve = ["jobs", "serve", "--log", "error", "--master", &master.address];
        let mut serve: Vec<String> = serve.map(str::to_owned).to_vec();
        serve.extend(["--listen".to_owned(), jobs.clone(), "--data".to_owned(), dir("jobs")]);
        let (agent, frameworks) = (spawn(&words), spawn(&serve));
        let parts = Self { master, agent, frameworks, words, agent_address, jobs, place };
        until(|| is_ready(&parts.agent_address));
        until(|| TcpStream::connect(&parts.jobs).is_ok());
        parts
    }

    /// The master's `host:port`.
    pub(crate) fn master(&self) -> &str {
        &self.master.address
    }

    /// Where agent and jobs keep everything.
    pub(crate) fn place(&self) -> &Path {
        self.place.path()
    }

    /// The agent's process and its supervisor's.
    pub(crate) fn agent_and_supervisor(&self) -> [u32; 2] {
        [self.agent.id(), self.supervisor().expect("an agent that is ready has a supervisor")]
    }

    fn supervisor(&self) -> Option<u32> {
        let all = processes_in(self.place.path());
        all.into_iter().find(|(name, _)| name == "supervise").map(|(_, pid)| pid)
    }

    /// Kills the agent (SIGKILL), starts it again, and gives the seconds from its execution until
    /// it is registered with all that runs.
    pub(crate) fn replace_agent(&mut self) -> f64 {
        // Fails only if it is gone, which `wait` tells.
        let _ = self.agent.kill();
        self.agent.wait().expect("it is our child");
        let begin = Instant::now();
        self.agent = spawn(&self.words);
        until(|| is_ready(&self.agent_address));
        begin.elapsed().as_secs_f64()
    }

    /// Ends a job with all of its tasks.
    pub(crate) fn end_job(&self, id: &str) {
        let mut http = Http::connect(&self.jobs);
        http.post(&format!("/v1/jobs/{id}/kill"), "");
        let job = http.get(&format!("/v1/jobs/{id}/wait?until=ended&timeout=120"));
        assert!(!job["ended"].is_null(), "{job}");
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for part in [&mut self.agent, &mut self.frameworks] {
            // Fails only if it is gone, which `wait` tells.
            let _ = part.kill();
            let _ = part.wait();
        }
        let Some(supervisor) = self.supervisor() else { return };
        if std::thread::panicking() {
            // It stays as long as one of its tasks does.
            let list = format!("/proc/{supervisor}/task/{supervisor}/children");
            let tasks = std::fs::read_to_string(list).unwrap_or_default();
            tasks.split_whitespace().filter_map(|pid| pid.parse().ok()).for_each(kill);
        }
        // What it made, it removes.
        signal(supervisor, Signal::TERM);
        let begin = Instant::now();
        while self.supervisor().is_some() && begin.elapsed() < BOUND {
            std::thread::sleep(LOOK);
        }
        kill(supervisor);
    }
}

fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // It may be gone.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

fn spawn(words: &[String]) -> Child {
    let mut command = Command::new(program());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().expect("tepui starts")
}

/// An agent is ready once it is registered with all that it runs.
fn is_ready(address: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let asked = stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    asked.and_then(|()| stream.read_to_string(&mut text)).is_ok()
        && text.starts_with("HTTP/1.1 200")
}

/// Waits for it.
pub(crate) fn until(holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < BOUND, "it does not come to that");
        std::thread::sleep(LOOK);
    }
}

/// Agents make containers as root only.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The first of these files that is there.
pub(crate) fn installed<'p>(paths: &[&'p str]) -> Option<&'p Path> {
    paths.iter().map(|path| Path::new(*path)).find(|path| path.exists())
}
