//! A cluster to measure: `tepui up` from the same build, as a child, stopped at the end.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running cluster.
pub(crate) struct Cluster {
    child: Child,
    /// The master's `host:port`.
    pub(crate) master: String,
    /// Everything durable; removed with this value.
    pub(crate) place: tempfile::TempDir,
}

/// The `tepui` beside this program.
pub(crate) fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a process has a program");
    let program = own.with_file_name("tepui");
    assert!(program.exists(), "build it: cargo build --release -p tepui");
    program
}

impl Cluster {
    /// One agent with these resources, and further options of `tepui up`.
    pub(crate) fn start(resources: &str, more: &[&str]) -> Self {
        let place =
            tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
        let mut child = Command::new(program())
            .args(["up", "--port", "0", "--agents", "1", "--resources", resources, "--data"])
            .arg(place.path())
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tepui starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped above");
        BufReader::new(out).read_line(&mut line).expect("a line can be read");
        let master = line
            .split_whitespace()
            .find_map(|word| word.strip_prefix("master="))
            .unwrap_or_else(|| panic!("no ready line: {line:?}"))
            .to_owned();
        Self { child, master, place }
    }

    /// The jobs framework's `host:port`, from the master.
    pub(crate) fn jobs(&self) -> String {
        let mut master = Http::connect(&self.master);
        let answer = master.post("/api/v1", r#"{"type":"GET_FRAMEWORKS"}"#);
        let frameworks = answer["get_frameworks"]["frameworks"].as_array().expect("a list");
        let url = frameworks
            .iter()
            .map(|framework| &framework["framework_info"])
            .find(|info| info["name"] == "jobs")
            .and_then(|info| info["webui_url"].as_str())
            .expect("the jobs framework is registered");
        url.trim_start_matches("http://").trim_end_matches('/').to_owned()
    }

    /// Process ids by what they are: the word after the program's name.
    pub(crate) fn processes(&self) -> Vec<(String, u32)> {
        processes_in(self.place.path())
    }
}

/// The ids of all processes of `tepui` that work in a directory.
pub(crate) fn processes_of(place: &Path) -> Vec<u32> {
    processes_in(place).into_iter().map(|(_, pid)| pid).collect()
}

/// The processes of `tepui` that work in a directory: the word after the program's name, and the id.
pub(crate) fn processes_in(place: &Path) -> Vec<(String, u32)> {
    let place = place.display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("proc is mounted").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let words: Vec<&str> = line.split('\0').collect();
        if words.len() > 1 && words[0].ends_with("tepui") && line.contains(&place) {
            found.push((words[1].to_owned(), pid));
        }
    }
    found
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(pid) =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            // Our own child, not yet reaped.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// Resident memory of a process in bytes: what is its own and not shared with others.
pub(crate) fn memory(pid: u32) -> (u64, u64) {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse::<u64>().ok())
            .unwrap_or(0)
            * 1024
    };
    (field("Rss:"), field("Pss:"))
}

/// One HTTP/1.1 connection that is kept, so that a request costs one round trip.
pub(crate) struct Http {
    stream: BufReader<TcpStream>,
}

impl Http {
    /// Connects.
    pub(crate) fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(Duration::from_secs(900))).expect("a socket option");
        Self { stream: BufReader::new(stream) }
    }

    /// GET, as JSON.
    pub(crate) fn get(&mut self, path: &str) -> Value {
        self.exchange("GET", path, "")
    }

    /// POST of JSON, answered with JSON.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> Value {
        self.exchange("POST", path, body)
    }

    fn exchange(&mut self, method: &str, path: &str, body: &str) -> Value {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAccept: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).expect("the server reads");
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            self.stream.read_line(&mut line).expect("the server answers");
            assert!(!line.is_empty(), "the server closed the connection");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer).expect("the server sends what it said");
        serde_json::from_slice(&answer)
            .unwrap_or_else(|_| panic!("{path}: {}", String::from_utf8_lossy(&answer)))
    }
}
