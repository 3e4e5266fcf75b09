//! The floor: a trivial server that has the bytes of one answer in memory and does nothing but send
//! them. What ten clients cost the machine that read from it, they cost whoever serves them.
//!
//! `bench reads-floor FILE` prints its address and serves until its standard input ends. The path
//! of a request is the most bytes a second that it sends to all together; 0 is no limit.

use super::http;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Sent at a time.
const PIECE: usize = 64 * 1024;
/// As the threads of the master that serve readers.
const NICE: i32 = 10;

/// A running server.
pub(super) struct Floor {
    child: Child,
    pub(super) address: String,
}

impl Floor {
    pub(super) fn start(file: &Path) -> Self {
        let own = std::env::current_exe().expect("a process has a program");
        let mut command = Command::new(own);
        command.arg("reads-floor").arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("this program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("piped above");
        BufReader::new(out).read_line(&mut line).expect("it says where it is");
        Self { child, address: line.trim().to_owned() }
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process of the server.
pub(crate) fn run(file: &str) {
    let bytes = Arc::new(std::fs::read(file).expect("the file is there"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    println!("{}", listener.local_addr().expect("it is bound"));
    // Until whoever started it has seen enough.
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    let pace = Arc::new(Mutex::new(Instant::now()));
    for stream in listener.incoming().flatten() {
        let (bytes, pace) = (Arc::clone(&bytes), Arc::clone(&pace));
        std::thread::spawn(move || {
            // Fails only where a thread may not; then the floor is worse.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            // A client may leave.
            let _ = serve(stream, &bytes, &pace);
        });
    }
}

fn serve(stream: TcpStream, bytes: &[u8], pace: &Mutex<Instant>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let head = http::head(&mut stream)?;
    let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/0");
    let rate: f64 = path.trim_start_matches('/').parse().unwrap_or(0.0);
    let stream = stream.get_mut();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
    stream.write_all(head.as_bytes())?;
    for piece in bytes.chunks(PIECE) {
        if rate > 0.0 {
            let now = Instant::now();
            let mut next = pace.lock().expect("nobody panics with it");
            let turn = (*next).max(now);
            *next = turn + Duration::from_secs_f64(piece.len() as f64 / rate);
            drop(next);
            std::thread::sleep(turn - now);
        }
        stream.write_all(piece)?;
    }
    Ok(())
}
