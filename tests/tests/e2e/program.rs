//! One run of the program outside of a cluster: its exit code, its words, its signals.

use crate::cluster::{LIMIT, program, wait_for};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// No command takes longer unless it hangs.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
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
    said(Command::new(program()).args(arguments))
}

/// Runs a command to its end. One that hangs is killed with all of its group, and fails the test
/// with what it said so far.
pub(crate) fn said(command: &mut Command) -> Said {
    said_within(command, COMMAND_LIMIT).unwrap_or_else(|hung| panic!("{hung}"))
}

fn said_within(command: &mut Command, limit: Duration) -> Result<Said, String> {
    let started = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let deadline = Instant::now() + limit;
    let (ended, ends) = mpsc::channel();
    let out = collect(child.stdout.take().unwrap(), ended.clone());
    let err = collect(child.stderr.take().unwrap(), ended);
    let text =
        |bytes: &Mutex<Vec<u8>>| String::from_utf8_lossy(&bytes.lock().unwrap()).into_owned();
    let left = || deadline.saturating_duration_since(Instant::now());
    // Both streams end: nobody of its group holds them any more.
    let silent = ends.recv_timeout(left()).is_ok() && ends.recv_timeout(left()).is_ok();
    while silent && Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Ok(Said {
                code: status.code().unwrap_or(-1),
                out: text(&out),
                err: text(&err),
            });
        }
        // waits: it has closed its output, and is about to end
        std::thread::sleep(Duration::from_millis(1));
    }
    let group = format!("-{}", child.id());
    // Fails if all of them have just ended.
    let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
    child.wait().unwrap();
    Err(format!("{command:?} hangs; it said:\n{}\n{}", text(&out), text(&err)))
}

/// Takes in what a command writes; tells when that ends.
fn collect(mut stream: impl Read + Send + 'static, ended: mpsc::Sender<()>) -> Arc<Mutex<Vec<u8>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&all);
    std::thread::spawn(move || {
        let mut buffer = [0; 64 << 10];
        while let Ok(n @ 1..) = stream.read(&mut buffer) {
            taken.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
        // Nobody waits any more when it was killed.
        let _ = ended.send(());
    });
    all
}

#[test]
fn a_command_that_hangs_is_killed_with_its_group_and_quoted() {
    let script = "echo $$ said; sh -c 'exec sleep 1000'";
    let mut command = Command::new("sh");
    let hung = said_within(command.args(["-c", script]), Duration::from_secs(2)).unwrap_err();
    let line = hung.lines().find(|line| line.ends_with(" said")).expect("what it said");
    let group = format!("-{}", line.trim_end_matches(" said"));
    wait_for("the group to be gone", || {
        let found = Command::new("kill").args(["-0", "--", &group]).stderr(Stdio::null()).status();
        (!found.unwrap().success()).then_some(())
    });
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

    /// The rest of standard output, until the program closes it.
    pub(crate) fn rest(mut self) -> String {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        rest
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
