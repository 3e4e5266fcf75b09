//! A cluster of real processes for one test: each can be killed and started again; nothing is left
//! behind, whether the test passes or not.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing in these tests takes longer unless it is broken.
pub const LIMIT: Duration = Duration::from_secs(60);

/// The `tepui` program under test.
pub fn program() -> PathBuf {
    if let Some(named) = std::env::var_os("TEPUI_BIN") {
        return named.into();
    }
    let own = std::env::current_exe().expect("a test has a path");
    let target = own.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    let program = target.join("tepui");
    assert!(program.exists(), "build it: cargo build -p tepui ({} is absent)", program.display());
    program
}

/// Waits until `holds` gives something, with a bound. What is awaited has no event to wait for:
/// it is the state of other processes.
pub fn wait_for<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = holds() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", LIMIT.as_secs());
        // waits: between two looks at another process' state
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One process of the cluster.
pub struct Process {
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Process {
    fn start(name: &str, arguments: Vec<String>, log: PathBuf) -> Self {
        let child = Self::spawn(&arguments, &log);
        Self { name: name.to_owned(), arguments, log, child }
    }

    fn spawn(arguments: &[String], log: &Path) -> Child {
        let file = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Command::new(program())
            .args(arguments)
            .arg("--exit-with-parent")
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again with the same arguments.
    pub fn again(&mut self) {
        self.child = Self::spawn(&self.arguments, &self.log);
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) {
        if self.child.try_wait().unwrap().is_some() {
            return;
        }
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                eprintln!("{} does not stop:\n{}", self.name, self.words());
                self.kill_9();
                return;
            }
            // waits: between two looks at another process' state
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it logged.
    pub fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A master, agents and, if asked for, the jobs framework.
pub struct Cluster {
    pub place: tempfile::TempDir,
    pub master: Process,
    pub master_address: String,
    pub agents: Vec<Process>,
    pub agent_addresses: Vec<String>,
    pub jobs: Option<Process>,
    pub jobs_address: String,
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Cluster {
    /// A cluster with `agents` agents of the given resources in zones of their own, ready.
    pub fn start(agents: usize, resources: &str, with_jobs: bool) -> Self {
        let place = tempfile::Builder::new().prefix("tepui-e2e-").tempdir().unwrap();
        let dir = |name: &str| place.path().join(name).display().to_string();
        let log = |name: &str| place.path().join(format!("{name}.log"));
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();

        let master_address = format!("127.0.0.1:{}", free_port());
        let arguments = words(&["master", "--listen", &master_address, "--data", &dir("master")]);
        let master = Process::start("master", arguments, log("master"));
        let mut parts = Vec::new();
        let mut agent_addresses = Vec::new();
        for at in 0..agents {
            let (name, address) = (format!("agent-{at}"), format!("127.0.0.1:{}", free_port()));
            let arguments = words(&[
                "agent",
                "--master",
                &master_address,
                "--listen",
                &address,
                "--work-dir",
                &dir(&name),
                "--resources",
                resources,
                "--attributes",
                &format!("zone:z{at}"),
                "--kill-tasks-on-exit",
            ]);
            parts.push(Process::start(&name, arguments, log(&name)));
            agent_addresses.push(address);
        }
        let jobs_address = format!("127.0.0.1:{}", free_port());
        let jobs = with_jobs.then(|| {
            let (master, data) = (&master_address, dir("jobs"));
            let arguments = ["jobs", "serve", "--master", master, "--listen", &jobs_address];
            let mut arguments = words(&arguments);
            arguments.extend(words(&["--data", &data]));
            Process::start("jobs", arguments, log("jobs"))
        });
        let cluster =
            Self { place, master, master_address, agents: parts, agent_addresses, jobs, jobs_address };
        cluster.wait_for_agents(agents);
        if with_jobs {
            wait_for("the jobs framework", || {
                get(&cluster.jobs_address, "/health").filter(|answer| answer.status == 200)
            });
        }
        cluster
    }

    /// Waits until so many agents are active.
    pub fn wait_for_agents(&self, count: usize) {
        wait_for("agents to be active", || {
            (active(&self.operator("GET_AGENTS")?) == count).then_some(())
        });
    }

    /// One call of the operator API without arguments, as JSON; none while the master is away.
    pub fn operator(&self, call: &str) -> Option<serde_json::Value> {
        let body = format!("{{\"type\":\"{call}\"}}");
        let answer = post(&self.master_address, "/api/v1", &body)?;
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).unwrap())
    }

    /// The command line against this cluster: exit code, standard output, standard error.
    pub fn tepui(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = Command::new(program())
            .args(arguments)
            .env("TEPUI_MASTER", &self.master_address)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    }

    /// Everything that was logged, for a failing test.
    pub fn logs(&self) -> String {
        let mut all = format!("--- master\n{}", self.master.words());
        for agent in &self.agents {
            all += &format!("--- {}\n{}", agent.name, agent.words());
        }
        if let Some(jobs) = &self.jobs {
            all += &format!("--- jobs\n{}", jobs.words());
        }
        all
    }

    /// Processes that mention this cluster's directory: its parts, supervisors and tasks.
    pub fn processes(&self) -> Vec<(u32, String)> {
        mentioning(&self.place.path().display().to_string())
    }
}

fn active(answer: &serde_json::Value) -> usize {
    let agents = answer["get_agents"]["agents"].as_array().cloned().unwrap_or_default();
    agents.iter().filter(|agent| agent["active"] == true).count()
}

/// Living processes whose command line mentions `text`.
fn mentioning(text: &str) -> Vec<(u32, String)> {
    let own = std::process::id();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let words = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        if pid != own && words.contains(text) {
            found.push((pid, words));
        }
    }
    found
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        if let Some(jobs) = &mut self.jobs {
            jobs.stop();
        }
        for agent in &mut self.agents {
            agent.stop();
        }
        self.master.stop();
        let left = self.processes();
        for (pid, _) in &left {
            // Each mentions a directory that this test made: it is ours.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// GET; none when nobody answers.
pub fn get(address: &str, path: &str) -> Option<Answer> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
}

/// POST of JSON; none when nobody answers.
pub fn post(address: &str, path: &str, body: &str) -> Option<Answer> {
    let length = body.len();
    exchange(
        address,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    )
}

fn exchange(address: &str, request: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(LIMIT)).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = None;
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}
