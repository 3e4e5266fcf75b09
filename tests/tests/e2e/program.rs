//! One run of the program outside of a cluster: its exit code, its words, its signals.

use crate::cluster::{LIMIT, program, wait_for};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Instant;

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Said {
    /// The code is this one, and standard error has all these words.
    pub(crate) fn expect(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.err.contains(word), "'{word}' is missing: {self:?}");
        }
    }
}

/// Runs the program to its end.
pub(crate) fn tepui(arguments: &[&str]) -> Said {
    Command::new(program()).args(arguments).stdin(Stdio::null()).output().unwrap().into()
}

/// Sends a signal by name.
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.unwrap().success(), "no process {pid}");
}

/// A program that goes on until it is told to stop; killed when the test fails.
pub(crate) struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str], master: Option<&str>) -> Self {
        let mut command = Command::new(program());
        if let Some(master) = master {
            command.env("TEPUI_MASTER", master);
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line of standard output, without its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }

    /// Sends a signal and waits for the end; gives the exit code.
    pub(crate) fn end(mut self, name: &str) -> i32 {
        signal(self.pid(), name);
        let began = Instant::now();
        let status = wait_for("the end after a signal", || self.child.try_wait().unwrap());
        assert!(began.elapsed() < LIMIT);
        status.code().unwrap_or(-1)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its parts end with it: each waits for the end of a pipe that it holds.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
