//! Logs of real tasks: cut, packed and read as one, whoever dies or is slow meanwhile.

use crate::rig::{Agent, Master, config, framework_id, shell, soon};
use agent::{Config, LogPolicy, Stop};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PART: u64 = 64 << 10;

fn cut(master: &Master, dir: &Path, parts: u32) -> Config {
    let mut config = config(master, dir);
    config.logs = LogPolicy { part_bytes: PART, parts };
    config
}

fn lines(from: usize, to: usize) -> String {
    (from..=to).map(|n| format!("line {n} of a task that writes as fast as it can\n")).collect()
}

/// A command that prints them.
fn print(from: usize, to: usize) -> String {
    format!("seq -f 'line %.0f of a task that writes as fast as it can' {from} {to}")
}

fn path(log: &str) -> String {
    format!("/files/log?path=/frameworks/{}/executors/t/runs/latest/{log}", framework_id())
}

/// The files of the task's log, by name.
fn files(dir: &Path) -> Vec<String> {
    let sandboxes = std::fs::read_dir(dir.join("sandboxes")).unwrap();
    let names = sandboxes.flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap());
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A reader that follows and takes its time: as much as it is told to, from a small window.
async fn follow(agent: &Agent) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(agent.address).await.unwrap();
    let request = format!("GET {}&follow=true HTTP/1.0\r\nhost: agent\r\n\r\n", path("stdout"));
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_line_is_there_once_though_the_agent_is_killed_and_readers_are_slow() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    // An agent that can be killed cuts as it does by default: 16 MB.
    let mut killed = tokio::process::Command::new(env!("CARGO_BIN_EXE_agent"))
        .arg(&master.address)
        .arg(dir.path())
        .arg(env!("CARGO_BIN_EXE_supervise"))
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut link = master.admit().await;
    let (go, done) = (dir.path().join("go"), dir.path().join("done"));
    let (first, second, third) =
        (print(1, 400_000), print(400_001, 500_000), print(500_001, 600_000));
    let wait = format!("until [ -e {} ]; do sleep 0.01; done", go.display());
    let touch = format!("touch {}", done.display());
    link.start(shell("t", &format!("{first}; {wait}; {second}; {touch}; {third}"))).await;
    // In the middle of what it writes.
    killed.kill().await.unwrap();
    std::fs::write(&go, "").unwrap();
    soon(async {
        while !done.exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut config = cut(&master, dir.path(), 1000);
    config.resources = Some("cpus:4000;mem:1000000;disk:1000".to_owned());
    let agent = Agent::start(config).await;
    let mut link = master.admit().await;
    let slow = follow(&agent).await;
    let fast = follow(&agent).await;
    let (fast, ended) = tokio::join!(rest(fast), link.end());
    assert_eq!(ended.outcome.unwrap().exit, Some(proto::Exit::Code(0)));
    let all = lines(1, 600_000);
    assert!(fast == all, "{} of {} bytes", fast.len(), all.len());
    let whole = agent.get(&path("stdout")).await.1;
    assert!(whole == all, "{} of {} bytes", whole.len(), all.len());
    let slow = rest(slow).await;
    assert!(slow == all, "{} of {} bytes", slow.len(), all.len());
    assert!(files(dir.path()).iter().any(|name| name.starts_with("stdout@")), "it was cut");
    agent.stop(Stop::EndTasks).await;
}

#[tokio::test]
async fn a_running_log_is_cut_packed_and_kept_within_its_limits() {
    let dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let agent = Agent::start(cut(&master, dir.path(), 3)).await;
    let mut link = master.admit().await;
    let line = format!("{}; echo oops >&2; sleep 1000", print(1, 50_000));
    link.start(shell("t", &line)).await;
    let all = lines(1, 50_000);
    let tail = format!("{}&tail=1", path("stdout"));
    let last = lines(50_000, 50_000);
    soon(async { while agent.get(&tail).await.1 != last {} }).await;
    soon(async {
        // For a moment a part has both names.
        let packed = |names: &[String]| {
            let parts = || names.iter().filter(|name| name.starts_with("stdout@"));
            parts().count() >= 3 && parts().all(|name| name.ends_with(".gz"))
        };
        while !packed(&files(dir.path())) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let names = files(dir.path());
    assert_eq!(names.iter().filter(|name| name.starts_with("stdout@")).count(), 3, "{names:?}");
    let (_, kept) = agent.get(&path("stdout")).await;
    assert!(all.ends_with(&kept) && kept.starts_with("line "), "whole lines, the newest");
    let bytes = kept.len() as u64;
    assert!((3 * PART..4 * PART + 4096).contains(&bytes), "{bytes}");
    // The offset says which bytes they are; a range is asked for in the same terms.
    let begin = all.len() - kept.len();
    let range = format!("{}&offset={}&length=100", path("stdout"), begin + 10);
    assert_eq!(agent.get(&range).await.1, kept[10..110]);
    assert_eq!(agent.get(&path("stderr")).await.1, "oops\n");
    let (status, words) = agent.get(&format!("{}&tail=1&offset=5", path("stdout"))).await;
    assert_eq!((status, words.contains("at most one of offset, since, ago and tail")), (400, true));
    for since in ["since=0", "ago=3600000"] {
        assert_eq!(agent.get(&format!("{}&{since}", path("stderr"))).await.1, "oops\n");
    }
    let later = format!("{}&since=99999999999999", path("stderr"));
    assert_eq!(agent.get(&later).await.1, "");
    agent.stop(Stop::EndTasks).await;
}
