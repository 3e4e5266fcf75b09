//! Ten clients that read in a loop, as a process of their own: each opens a connection, asks, reads
//! the answer to its end, and begins anew.
//!
//! `bench reads-readers ADDRESS PATH PRIORITY` reads until its standard input ends, and then says
//! how much: whole reads, bytes of their bodies, reads that were cut off or failed, seconds of
//! processor time.

use super::http;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Clients at a time.
pub(super) const READERS: usize = 10;
/// What a client takes from its socket at a time.
const BUFFER: usize = 256 * 1024;

/// How the clients stand to the master in the eyes of the machine that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priority {
    /// They run when nobody else wants to (SCHED_IDLE): as nearly as one machine can have it, they
    /// are on other machines.
    Elsewhere,
    /// They are processes as any other, and the machine is theirs as well.
    Beside,
}

impl Priority {
    fn word(self) -> &'static str {
        match self {
            Self::Elsewhere => "elsewhere",
            Self::Beside => "beside",
        }
    }
}

/// What the clients have read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) reads: u64,
    pub(super) bytes: u64,
    pub(super) failed: u64,
    pub(super) cpu_seconds: f64,
}

/// A running process of clients.
pub(super) struct Readers(Child);

impl Readers {
    pub(super) fn start(address: &str, path: &str, priority: Priority) -> Self {
        let own = std::env::current_exe().expect("a process has a program");
        let mut command = Command::new(own);
        command.args(["reads-readers", address, path, priority.word()]);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        Self(child.expect("this program starts"))
    }

    /// Ends them and asks what they read.
    pub(super) fn stop(mut self) -> Tally {
        drop(self.0.stdin.take());
        let mut said = String::new();
        let mut out = self.0.stdout.take().expect("piped above");
        out.read_to_string(&mut said).expect("they say what they read");
        let _ = self.0.wait();
        let numbers: Vec<f64> = said.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let [reads, bytes, failed, cpu_seconds] = numbers[..] else { panic!("{said:?}") };
        let (reads, bytes, failed) = (reads as u64, bytes as u64, failed as u64);
        Tally { reads, bytes, failed, cpu_seconds }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Nothing to do when it was stopped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process of clients.
pub(crate) fn run(address: &str, path: &str, priority: &str) {
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let (bytes, failed) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..READERS {
            scope.spawn(|| {
                if priority == Priority::Elsewhere.word() {
                    run_only_when_idle();
                }
                while !stop.load(Ordering::Relaxed) {
                    match read(address, path, &stop, &bytes) {
                        Some(true) => drop(reads.fetch_add(1, Ordering::Relaxed)),
                        Some(false) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                        None => return,
                    }
                }
            });
        }
        // Until whoever started it has seen enough.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stop.store(true, Ordering::Relaxed);
    });
    let own = super::threads::of(std::process::id());
    let cpu: f64 = own.iter().map(|thread| thread.ran).sum();
    let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
    let cpu = cpu + super::threads::ended();
    println!("{} {} {} {cpu:.3}", figure(&reads), figure(&bytes), figure(&failed));
}

/// One read; whether it was whole. `None` when it is time to stop.
fn read(address: &str, path: &str, stop: &AtomicBool, bytes: &AtomicU64) -> Option<bool> {
    let whole = || -> std::io::Result<Option<()>> {
        let mut stream = TcpStream::connect(address)?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        let mut stream = BufReader::with_capacity(BUFFER, stream);
        let head = http::head(&mut stream)?;
        if !head.first().is_some_and(|line| line.contains(" 200 ")) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        let mut stopped = false;
        http::body(&mut stream, &head, |part| {
            bytes.fetch_add(part.len() as u64, Ordering::Relaxed);
            stopped |= stop.load(Ordering::Relaxed);
        })?;
        Ok((!stopped).then_some(()))
    };
    match whole() {
        Ok(Some(())) => Some(true),
        Ok(None) => None,
        Err(_) if stop.load(Ordering::Relaxed) => None,
        Err(_) => Some(false),
    }
}

#[allow(unsafe_code, reason = "the scheduling class of a thread is only to be had from libc")]
fn run_only_when_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: the call reads `parameters`, which lives, and 0 means this thread.
    let failed = unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
    assert!(failed == 0, "any thread may give way");
}
