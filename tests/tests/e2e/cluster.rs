//! A cluster of real processes for one test: each can be killed and started again; nothing is left
//! behind, whether the test passes or not.

use crate::http::{get, post};
use crate::left::Marks;
use crate::program::said;
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing in these tests takes longer unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The `tepui` program under test.
pub(crate) fn program() -> PathBuf {
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
pub(crate) fn wait_for<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
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
pub(crate) struct Process {
    /// Words before the program, to run it somewhere else.
    prefix: Vec<String>,
    /// A file with a program of its own; absent is the one under test.
    program: Option<PathBuf>,
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    child: Child,
}

impl Process {
    fn start(name: &str, arguments: Vec<String>, log: PathBuf) -> Self {
        Self::start_under(Vec::new(), name, arguments, log)
    }

    /// Starts it with words before the program, such as those that enter a namespace.
    pub(crate) fn start_under(
        prefix: Vec<String>,
        name: &str,
        arguments: Vec<String>,
        log: PathBuf,
    ) -> Self {
        let child = Self::spawn(&prefix, None, &arguments, &log);
        Self { prefix, program: None, name: name.to_owned(), arguments, log, child }
    }

    fn spawn(prefix: &[String], own: Option<&Path>, arguments: &[String], log: &Path) -> Child {
        let file = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let program = own.map_or_else(program, Path::to_owned).display().to_string();
        let mut words = prefix.iter().chain([&program]).chain(arguments);
        Command::new(words.next().expect("at least the program"))
            .args(words)
            .arg("--exit-with-parent")
            .stdin(Stdio::piped())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap()
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// From the next start on it is the program in this file.
    pub(crate) fn set_program(&mut self, program: &Path) {
        self.program = Some(program.to_owned());
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Starts it again with the same arguments.
    pub(crate) fn again(&mut self) {
        self.child = Self::spawn(&self.prefix, self.program.as_deref(), &self.arguments, &self.log);
    }

    /// The same, with words before the program this once.
    pub(crate) fn again_under(&mut self, prefix: &[String]) {
        self.child = Self::spawn(prefix, self.program.as_deref(), &self.arguments, &self.log);
    }

    /// Gives a flag another value for the next start.
    pub(crate) fn set(&mut self, flag: &str, value: &str) {
        let at = self.arguments.iter().position(|argument| argument == flag);
        self.arguments[at.expect("the flag was given") + 1] = value.to_owned();
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn stop(&mut self) {
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

    /// Sends it a signal.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
    }

    /// The code with which it ended; none while it runs.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }

    /// What it logged.
    pub(crate) fn words(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// A master, agents and, if asked for, the jobs framework.
pub(crate) struct Cluster {
    pub(crate) place: tempfile::TempDir,
    pub(crate) master: Process,
    pub(crate) master_address: String,
    /// Further masters, and where they are.
    pub(crate) more_masters: Vec<(Process, String)>,
    pub(crate) agents: Vec<Process>,
    pub(crate) agent_addresses: Vec<String>,
    /// By which is told at the end what is left of agents.
    marks: Vec<Marks>,
    pub(crate) jobs: Option<Process>,
    pub(crate) jobs_address: String,
}

/// A port of loopback that nobody uses at this moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

impl Cluster {
    /// A cluster with `agents` agents of the given resources in zones of their own, ready.
    pub(crate) fn start(agents: usize, resources: &str, with_jobs: bool) -> Self {
        Self::master_at("127.0.0.1").filled(agents, resources, with_jobs)
    }

    /// The same, its master started with more options.
    pub(crate) fn start_with_options(more: &[&str], agents: usize, resources: &str) -> Self {
        Self::master_with("127.0.0.1", more).filled(agents, resources, true)
    }

    /// The same with three masters, all of which vote.
    pub(crate) fn start_with_three_masters(agents: usize, resources: &str) -> Self {
        let mut cluster = Self::master_at("127.0.0.1");
        cluster.add_master("second");
        cluster.add_master("third");
        cluster.filled(agents, resources, true)
    }

    /// Starts one more master, and waits until it votes.
    pub(crate) fn add_master(&mut self, name: &str) {
        let address = format!("127.0.0.1:{}", free_port());
        let data = self.place.path().join(name).display().to_string();
        let log = self.place.path().join(format!("{name}.log"));
        let first = self.master_address.clone();
        wait_for("the first master", || get(&first, "/state-summary"));
        let arguments = words(&["master", "join", &first, "--listen", &address, "--data", &data]);
        self.more_masters.push((Process::start(name, arguments, log), address));
        let count = 1 + self.more_masters.len();
        wait_for("the masters to vote", || {
            let masters = self.operator("GET_MASTERS")?;
            let masters = masters["get_masters"]["masters"].as_array()?.clone();
            let voting = masters.iter().filter(|master| master["voting"] == true).count();
            (voting == count).then_some(())
        });
    }

    /// Where the masters are, with commas between.
    pub(crate) fn masters(&self) -> String {
        let more = self.more_masters.iter().map(|(_, address)| address);
        let all: Vec<&str> = [&self.master_address].into_iter().chain(more).map(|a| &**a).collect();
        all.join(",")
    }

    fn filled(self, agents: usize, resources: &str, with_jobs: bool) -> Self {
        let mut cluster = self;
        for at in 0..agents {
            let name = format!("agent-{at}");
            let work = cluster.place.path().join(&name);
            cluster.add_agent(&name, &work, resources);
        }
        if with_jobs {
            cluster.add_jobs();
        }
        cluster.wait_for_agents(agents);
        cluster
    }

    /// A cluster without agents, its master at an address of this machine.
    pub(crate) fn start_at(host: &str) -> Self {
        let mut cluster = Self::master_at(host);
        cluster.add_jobs();
        cluster
    }

    fn master_at(host: &str) -> Self {
        Self::master_with(host, &[])
    }

    fn master_with(host: &str, more: &[&str]) -> Self {
        let place = tempfile::Builder::new().prefix("tepui-e2e-").tempdir().unwrap();
        let master_address = format!("{host}:{}", free_port());
        let data = place.path().join("master").display().to_string();
        let mut arguments = words(&["master", "--listen", &master_address, "--data", &data]);
        arguments.extend(words(more));
        let master = Process::start("master", arguments, place.path().join("master.log"));
        Self {
            place,
            master,
            master_address,
            more_masters: Vec::new(),
            agents: Vec::new(),
            agent_addresses: Vec::new(),
            marks: Vec::new(),
            jobs: None,
            jobs_address: format!("127.0.0.1:{}", free_port()),
        }
    }

    /// Starts one more agent.
    pub(crate) fn add_agent(&mut self, name: &str, work: &Path, resources: &str) {
        let address = format!("127.0.0.1:{}", free_port());
        self.marks.push(Marks::of_agent(work));
        let work = work.display().to_string();
        let zone = format!("zone:z{}", self.agents.len());
        let mut arguments = words(&["agent", "--master", &self.masters()]);
        arguments.extend(words(&["--listen", &address, "--work-dir", &work]));
        arguments.extend(words(&["--resources", resources, "--attributes", &zone]));
        arguments.extend(words(&["--kill-tasks-on-exit", "--allow-root"]));
        let log = self.place.path().join(format!("{name}.log"));
        self.agents.push(Process::start(name, arguments, log));
        self.agent_addresses.push(address);
    }

    fn add_jobs(&mut self) {
        self.add_jobs_as("jobs");
    }

    /// Starts the jobs framework in a role.
    pub(crate) fn add_jobs_as(&mut self, role: &str) {
        let data = self.place.path().join("jobs").display().to_string();
        let mut arguments = words(&["jobs", "serve", "--master", &self.masters()]);
        arguments.extend(words(&["--listen", &self.jobs_address, "--data", &data]));
        arguments.extend(words(&["--role", role]));
        let log = self.place.path().join("jobs.log");
        self.jobs = Some(Process::start("jobs", arguments, log));
        wait_for("the jobs framework", || {
            get(&self.jobs_address, "/health").filter(|answer| answer.status == 200)
        });
    }

    /// Waits until so many agents are active.
    pub(crate) fn wait_for_agents(&self, count: usize) {
        wait_for("agents to be active", || {
            (active(&self.operator("GET_AGENTS")?) == count).then_some(())
        });
    }

    /// One call of the operator API without arguments, as JSON; none while the master is away.
    pub(crate) fn operator(&self, call: &str) -> Option<Value> {
        let body = format!("{{\"type\":\"{call}\"}}");
        let answers = self.masters().split(',').find_map(|master| {
            post(master, "/api/v1", &body).filter(|answer| answer.status == 200)
        });
        answers.map(|answer| serde_json::from_str(&answer.body).unwrap())
    }

    /// The command line against this cluster: exit code, standard output, standard error.
    pub(crate) fn tepui(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut command = Command::new(program());
        command.args(arguments).env("TEPUI_MASTER", self.masters()).env("NO_COLOR", "1");
        let said = said(&mut command);
        (said.code, said.out, said.err)
    }

    /// A directory of the test's own, in which its tasks write.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let dir = self.place.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Hands a job in; gives its id.
    pub(crate) fn submit(&self, spec: &Value) -> String {
        let answer = post(&self.jobs_address, "/v1/jobs?format=json", &spec.to_string());
        let answer = answer.expect("the jobs framework answers");
        assert_eq!(answer.status, 201, "{}", answer.body);
        let submitted: Value = serde_json::from_str(&answer.body).unwrap();
        submitted["id"].as_str().unwrap().to_owned()
    }

    /// What the jobs framework answers at a path; none while it is away.
    pub(crate) fn job(&self, path: &str) -> Option<Value> {
        let answer = get(&self.jobs_address, &format!("/v1/jobs/{path}"))?;
        (answer.status == 200).then(|| serde_json::from_str(&answer.body).unwrap())
    }

    /// Waits until a job has ended, whoever dies meanwhile.
    pub(crate) fn wait_ended(&self, id: &str) -> Value {
        wait_for("the job's end", || self.job(id).filter(|job| !job["ended"].is_null()))
    }

    /// Waits until so many of a job's units run.
    pub(crate) fn wait_running(&self, id: &str, count: u64) {
        wait_for("units to run", || {
            self.job(id).filter(|job| job["counts"]["running"] == count).map(drop)
        });
    }

    /// What a unit wrote to standard output, as its agent hands it out.
    pub(crate) fn stdout(&self, id: &str, index: u64) -> String {
        let detail = self.job(&format!("{id}/units/{index}")).expect("the unit is known");
        let unit = &detail["unit"];
        let (address, sandbox) = (unit["address"].as_str(), unit["sandbox"].as_str());
        let path = format!("/files/download?path={}/stdout", sandbox.unwrap());
        let answer = get(address.unwrap(), &path).expect("the agent answers");
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }

    /// Runs a single unit to its end and gives the unit.
    pub(crate) fn one(&self, spec: &Value) -> Value {
        let id = self.submit(spec);
        let job = self.wait_ended(&id);
        job["units_shown"][0].clone()
    }

    /// Everything that was logged, for a failing test.
    pub(crate) fn logs(&self) -> String {
        let mut all = String::new();
        let masters = [&self.master].into_iter().chain(self.more_masters.iter().map(|(m, _)| m));
        for part in masters.chain(&self.agents).chain(&self.jobs) {
            write!(all, "--- {}\n{}", part.name, part.words()).unwrap();
        }
        all
    }

    /// Processes that mention this cluster's directory: its parts, supervisors and tasks.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        mentioning(&self.place.path().display().to_string())
    }
}

fn active(answer: &Value) -> usize {
    let agents = answer["get_agents"]["agents"].as_array().cloned().unwrap_or_default();
    agents.iter().filter(|agent| agent["active"] == true).count()
}

/// Living processes whose command line mentions `text`.
pub(crate) fn mentioning(text: &str) -> Vec<(u32, String)> {
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
        self.more_masters.iter_mut().for_each(|(master, _)| master.stop());
        self.master.stop();
        let left = self.processes();
        for (pid, _) in &left {
            // Each mentions a directory that this test made: it is ours.
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left behind: {left:?}");
            self.marks.iter().for_each(Marks::assert_gone);
        }
    }
}
