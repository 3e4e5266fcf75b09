//! A `tepui master` of the same build, alone, as a child: for agents and frameworks of this
//! program.

use crate::cluster::{memory, program};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

/// A running master, its port and its data.
pub(crate) struct Master {
    child: Child,
    /// Its `host:port`.
    pub(crate) address: String,
    arguments: Vec<String>,
    place: tempfile::TempDir,
    /// What makes it join others.
    join: Vec<String>,
}

impl Master {
    /// Starts a master with further options; it may not listen yet.
    pub(crate) fn start(more: &[&str]) -> Self {
        let place =
            tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
        let address = free_address();
        let arguments: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
        let child = spawn(&address, &place, &arguments, &[]);
        Self { child, address, arguments, place, join: Vec::new() }
    }

    /// Starts a master at `address` that joins the one at `first`.
    pub(crate) fn join(address: &str, first: &str, more: &[&str]) -> Self {
        let place =
            tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
        let arguments: Vec<String> = more.iter().map(|&word| word.to_owned()).collect();
        let join = vec!["join".to_owned(), first.to_owned()];
        let child = spawn(address, &place, &arguments, &join);
        Self { child, address: address.to_owned(), arguments, place, join }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        // Fails only if it is gone, which `wait` tells.
        let _ = self.child.kill();
        self.child.wait().expect("it is our child");
    }

    /// Starts it again on the same data and port.
    pub(crate) fn start_again(&mut self) {
        self.child = spawn(&self.address, &self.place, &self.arguments, &self.join);
    }

    /// Where it keeps its registry.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.place.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        memory(self.pid()).0
    }

    /// The metrics that have one of these names, with their labels as they stand.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let mut stream = TcpStream::connect(&self.address).expect("the master listens");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .expect("the master reads");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the master answers");
        let lines = text.lines().filter(|line| line.starts_with("tepui_"));
        let value = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        lines.filter_map(value).collect()
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    listener.local_addr().expect("it is bound").to_string()
}

fn spawn(address: &str, place: &tempfile::TempDir, more: &[String], join: &[String]) -> Child {
    Command::new(program())
        .arg("master")
        .args(join)
        .args(["--log", "error", "--listen", address, "--data"])
        .arg(place.path())
        .args(more)
        .stdin(Stdio::null())
        .spawn()
        .expect("tepui starts")
}
