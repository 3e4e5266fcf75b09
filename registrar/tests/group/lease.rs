//! A leader that is stopped and goes on finds its lease over, before it does anything else.

use crate::host::{
    Book, GROUP, Host, bounded, group, hand_over, id, leader, options, serve, write,
};
use registrar::{Change, Lease, Role};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Where the disk of a member is that a process of its own runs.
const DIR: &str = "TEPUI_TEST_MEMBER_DIR";

/// A member in a process of its own, which answers a question for each line.
struct Apart {
    process: Child,
    questions: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
    dir: tempfile::TempDir,
}

impl Drop for Apart {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Apart {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        registrar::join(dir.path(), GROUP).unwrap();
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "lease::a_member_apart", "--nocapture", "--test-threads=1"])
            .env(DIR, dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let questions = process.stdin.take().unwrap();
        let answers = listen(process.stdout.take().unwrap());
        Self { process, questions, answers, dir }
    }

    fn ask(&mut self, question: &str) {
        writeln!(self.questions, "{question}").unwrap();
    }

    async fn answer(&mut self) -> String {
        bounded(self.answers.recv()).await.expect("it runs")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.process.id() as i32).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

/// What it answers; the test harness of that process has things to say, too, on the same lines.
fn listen(output: ChildStdout) -> mpsc::UnboundedReceiver<String> {
    let (tell, told) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            if let Some((_, answer)) = line.unwrap().split_once("answer: ") {
                // Nobody may ask any more.
                let _ = tell.send(answer.to_owned());
            }
        }
    });
    told
}

/// What the process of its own does; nothing in the process that runs all tests.
#[test]
fn a_member_apart() {
    let Some(dir) = std::env::var_os(DIR) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (registrar, _) = runtime.block_on(async {
        let config = Host::config(id(3), dir.as_ref(), &options());
        let (registrar, task) = registrar::start(config, Book::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("answer: {}", listener.local_addr().unwrap());
        drop(serve(&registrar, listener));
        (registrar, task)
    });
    let lease = registrar.lease();
    for line in std::io::stdin().lines() {
        let answer = match line.unwrap().as_str() {
            "holds" => lease.holds(),
            "leads" => registrar.status().borrow().role == Role::Leader,
            _ => return,
        };
        println!("answer: {answer}");
    }
}

async fn holds(lease: &Lease) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    bounded(async {
        while !lease.holds() {
            ticks.tick().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_stopped_and_goes_on_has_no_lease() {
    let mut hosts = group(2, &options());
    let mut apart = Apart::start();
    let (member, address) = (id(3), apart.answer().await);
    crate::host::change(&hosts, &[Change::AddLearner { member, address }]).await;
    crate::host::change(&hosts, &[Change::Promote { member }]).await;
    write(&hosts, 10).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    bounded(async {
        loop {
            for host in &hosts {
                host.registrar().transfer(Some(member)).await.unwrap();
            }
            apart.ask("holds");
            if apart.answer().await == "true" {
                return;
            }
            ticks.tick().await;
        }
    })
    .await;
    apart.signal(Signal::STOP);
    // The others find another leader, which has a lease before long.
    let now = leader(&hosts).await;
    holds(&hosts[now].registrar().lease()).await;
    write(&hosts, 10).await;
    // What it is asked first when it goes on.
    apart.ask("holds");
    apart.signal(Signal::CONT);
    assert_eq!(apart.answer().await, "false");
    bounded(async {
        loop {
            apart.ask("leads");
            if apart.answer().await == "false" {
                return;
            }
            ticks.tick().await;
        }
    })
    .await;
    apart.ask("end");
    assert!(apart.process.wait().unwrap().success());
    assert!(apart.dir.path().exists());
    for host in &mut hosts {
        host.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_member_at_a_time_has_a_lease() {
    let mut hosts = group(3, &options());
    for _ in 0..3 {
        let now = leader(&hosts).await;
        holds(&hosts[now].registrar().lease()).await;
        for (n, host) in hosts.iter().enumerate() {
            assert!(n == now || !host.registrar().lease().holds(), "{n} and {now}");
        }
        hand_over(&hosts, (now + 1) % 3).await;
    }
    let now = leader(&hosts).await;
    let lease = hosts[now].registrar().lease();
    holds(&lease).await;
    // Alone it cannot keep it, and that is so before it knows.
    for other in [(now + 1) % 3, (now + 2) % 3] {
        hosts[other].kill().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    bounded(async {
        while lease.holds() {
            ticks.tick().await;
        }
    })
    .await;
    hosts[now].kill().await;
    assert!(!lease.holds());
}
