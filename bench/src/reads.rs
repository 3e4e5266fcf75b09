//! What readers cost: calls of a framework, alone and while ten clients read the whole state of a
//! big cluster in a loop.
//!
//! Agents are streams of this process, many to one thread. The readers' threads give way, as if
//! they were on other machines; the master's own threads share the machine with all of them.

use crate::stats;
use grpc::{AgentLinkClient, ClientOptions, Duplex};
use proto::agent_link::{AgentCall, AgentEvent, AgentTask};
use proto::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, Resources, Role, TaskId, TaskState};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A master takes 10,000 connections, and some are for readers.
const AGENTS: u32 = 9_900;
const TASKS: u32 = 100_000;
const READERS: usize = 10;
const PHASE: Duration = Duration::from_secs(10);

/// Prints percentiles in milliseconds, and the ratio.
pub(crate) fn run() {
    let place = tempfile::Builder::new().prefix("tepui-bench-").tempdir().expect("TMPDIR works");
    let port = 17_050;
    let address = format!("127.0.0.1:{port}");
    let own = std::env::current_exe().expect("a process has a program");
    let mut master = Command::new(own.with_file_name("tepui"))
        .args(["master", "--listen", &address, "--agent-timeout", "3600", "--data"])
        .arg(place.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("tepui starts");
    measure(&address, &master);
    // It ends with this program in any case.
    let _ = master.kill();
    let _ = master.wait();
}

fn measure(address: &str, master: &Child) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let begin = Instant::now();
    runtime.block_on(register_all(address));
    println!("reads of {AGENTS} agents and {TASKS} tasks ({READERS} readers):");
    println!("  all registered after {:.1} s", begin.elapsed().as_secs_f64());
    let (rss, _) = crate::cluster::memory(master.id());
    println!("  memory of the master: {} MB", rss >> 20);
    let mut alone = Vec::new();
    let mut beside = Vec::new();
    for round in 0..3 {
        let calls = call_for(address, PHASE);
        if round != 1 {
            alone.push(stats::percentile(&calls, 0.99));
        }
        print(if round == 0 { "alone" } else { "alone again" }, &calls);
        if round == 2 {
            break;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(AtomicU64::new(0));
        let reads = Arc::new(AtomicU64::new(0));
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (stop, bytes, reads) = (stop.clone(), bytes.clone(), reads.clone());
                let address = address.to_owned();
                std::thread::spawn(move || read_on(&address, &stop, &bytes, &reads))
            })
            .collect();
        let calls = call_for(address, PHASE);
        stop.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().expect("a reader does not panic"));
        beside.push(stats::percentile(&calls, 0.99));
        print("beside readers", &calls);
        println!(
            "    meanwhile {} reads, {} MB",
            reads.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed) >> 20
        );
    }
    let ratio = stats::median(&beside) / stats::median(&alone);
    println!("  p99 beside readers, of p99 alone: {ratio:.2}");
    let (rss, _) = crate::cluster::memory(master.id());
    println!("  memory of the master: {} MB", rss >> 20);
}

fn print(what: &str, calls: &[f64]) {
    println!(
        "  {what}: {} calls, p50 {:.2} ms, p99 {:.2} ms",
        calls.len(),
        stats::median(calls),
        stats::percentile(calls, 0.99)
    );
}

async fn register_all(address: &str) {
    // The master may still be starting.
    while tokio::net::TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let framework = FrameworkInfo {
        id: Some(FrameworkId::new("bench-0000").expect("an id")),
        ..FrameworkInfo::new("root", "bench")
    };
    for n in 0..AGENTS {
        let info = AgentInfo {
            id: None,
            hostname: Arc::from(format!("host-{n}")),
            port: 5051,
            resources: Resources::cpus_mem(32_000, 128_000_000),
            attributes: Vec::new(),
            domain: None,
        };
        let options = ClientOptions { queue: 4, ..ClientOptions::default() };
        let mut link = AgentLinkClient::connect(address, &options).await.expect("it listens");
        let (version, nonce) = (Arc::from("1"), u64::from(n));
        let call = AgentCall::Register { info: info.clone(), version: Arc::clone(&version), nonce };
        link.sender.send(call).await.expect("the stream is open");
        let id = match link.incoming.next().await {
            Ok(Some(AgentEvent::Registered { agent_id, .. })) => agent_id,
            other => panic!("{other:?}"),
        };
        let call = AgentCall::Reregister {
            tasks: tasks(n, &framework),
            info: AgentInfo { id: Some(id.clone()), ..info },
            version,
            frameworks: vec![framework.clone()],
        };
        link.sender.send(call).await.expect("the stream is open");
        tokio::spawn(answer_pings(link, id));
    }
}

fn tasks(agent: u32, framework: &FrameworkInfo) -> Vec<AgentTask> {
    let from = u64::from(agent) * u64::from(TASKS) / u64::from(AGENTS);
    let to = u64::from(agent + 1) * u64::from(TASKS) / u64::from(AGENTS);
    let task = |n: u64| AgentTask {
        framework_id: framework.id.clone().expect("it has one"),
        task_id: TaskId::new(format!("task-{n:06}")).expect("an id"),
        name: Arc::from("bench"),
        resources: Resources::cpus_mem(1_000, 1_024_000),
        role: Role::any(),
        state: TaskState::Running,
        status: None,
        executor_id: None,
        shown: None,
    };
    (from..to).map(task).collect()
}

async fn answer_pings(mut link: Duplex<AgentCall, AgentEvent>, _id: AgentId) {
    while let Ok(Some(event)) = link.incoming.next().await {
        if let AgentEvent::Ping { sequence } = event
            && link.sender.send(AgentCall::Pong { sequence }).await.is_err()
        {
            return;
        }
    }
}

/// Calls a framework makes one after the other, in milliseconds each.
fn call_for(address: &str, how_long: Duration) -> Vec<f64> {
    let mut events = TcpStream::connect(address).expect("the master listens");
    let subscribe = r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"root","name":"calls"},"suppressed_roles":["*"]}}"#;
    post(&mut events, "/api/v1/scheduler", "", subscribe);
    let mut events = BufReader::new(events);
    let head = head(&mut events);
    let stream = header(&head, "mesos-stream-id:").expect("a stream has an id");
    let (mut chunk, mut record) = (String::new(), String::new());
    events.read_line(&mut chunk).expect("an event comes");
    events.read_line(&mut record).expect("an event comes");
    let mut body = vec![0; record.trim().parse().expect("a length")];
    events.read_exact(&mut body).expect("an event comes");
    let event: serde_json::Value = serde_json::from_slice(&body).expect("an event is JSON");
    let id = &event["subscribed"]["framework_id"];
    let call = format!(r#"{{"type":"RECONCILE","framework_id":{id},"reconcile":{{"tasks":[]}}}}"#);
    let teardown = format!(r#"{{"type":"TEARDOWN","framework_id":{id}}}"#);
    let connection = TcpStream::connect(address).expect("the master listens");
    connection.set_nodelay(true).expect("a socket option");
    let mut connection = BufReader::new(connection);
    let header = format!("Mesos-Stream-Id: {stream}\r\n");
    let mut all = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < how_long {
        let start = Instant::now();
        post(connection.get_mut(), "/api/v1/scheduler", &header, &call);
        let answer = self::head(&mut connection);
        all.push(start.elapsed().as_secs_f64() * 1e3);
        assert!(answer[0].contains(" 202 "), "{answer:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
    post(connection.get_mut(), "/api/v1/scheduler", &header, &teardown);
    self::head(&mut connection);
    all
}

fn post(stream: &mut TcpStream, path: &str, headers: &str, body: &str) {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("the server reads");
}

/// The lines of an answer's head.
fn head(stream: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("the server answers");
        assert!(!line.is_empty(), "the server closed the connection");
        if line.trim().is_empty() {
            return lines;
        }
        lines.push(line.trim().to_owned());
    }
}

fn header(head: &[String], name: &str) -> Option<String> {
    let of = |line: &String| {
        line.to_ascii_lowercase().starts_with(name).then(|| line[name.len()..].trim().to_owned())
    };
    head.iter().find_map(of)
}

/// Reads the whole state again and again.
fn read_on(address: &str, stop: &AtomicBool, bytes: &AtomicU64, reads: &AtomicU64) {
    // Fails where a thread may not: then the readers weigh more, and the figure is worse.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), 19);
    let mut buffer = vec![0; 256 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(address).expect("the master listens");
        let get = "GET /state HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        stream.write_all(get.as_bytes()).expect("the server reads");
        loop {
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => break,
                Ok(read) => drop(bytes.fetch_add(read as u64, Ordering::Relaxed)),
            }
            if stop.load(Ordering::Relaxed) {
                return;
            }
        }
        reads.fetch_add(1, Ordering::Relaxed);
    }
}
