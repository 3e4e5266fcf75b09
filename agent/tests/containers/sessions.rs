//! Sessions in containers: that they are within the walls of the task, and take its user's rights.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use agent::containerizer::{ContainerEvent, Containerizer, Launch, Root, Stdio, WaitStatus};

use crate::enclosed::enclosed;
use crate::rig::{Agent, Rig, id, shell};

/// Starts a session: its pipes, what it prints, and its process id.
async fn enter(
    agent: &mut Agent,
    rig: &Rig,
    launch: Launch,
    number: u64,
) -> (Vec<File>, File, u32) {
    let dir = rig.dir.path().join(format!("session-{number}"));
    std::fs::create_dir(&dir).unwrap();
    let paths = ["in", "out", "err"].map(|name| dir.join(name));
    for path in &paths {
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let (at, fifo) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
        rustix::fs::mknodat(at, path, fifo, mode, 0).unwrap();
    }
    // For both directions, so that opening does not wait.
    let open = |path| File::options().read(true).write(true).open(path).unwrap();
    let held: Vec<File> = paths.iter().map(open).collect();
    let out = File::open(&paths[1]).unwrap();
    agent.native.enter(launch, number, Stdio::Pipes(paths));
    agent.native.flush();
    let event = agent.until(|event| matches!(event, ContainerEvent::Entered { .. })).await;
    let ContainerEvent::Entered { result: Ok(pid), .. } = event else { panic!("{event:?}") };
    (held, out, pid)
}

/// Runs a line as a session: what it printed, and how it ended.
pub(crate) async fn run(
    agent: &mut Agent,
    rig: &Rig,
    launch: Launch,
    number: u64,
) -> (String, WaitStatus) {
    let (held, mut out, _) = enter(agent, rig, launch, number).await;
    let status = left(agent, number).await;
    drop(held);
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    (said, status)
}

async fn left(agent: &mut Agent, number: u64) -> WaitStatus {
    let event = agent.until(|event| matches!(event, ContainerEvent::Left { .. })).await;
    let ContainerEvent::Left { number: of, status } = event else { panic!("{event:?}") };
    assert_eq!(of, number);
    status
}

#[tokio::test]
async fn a_session_has_the_walls_the_user_and_the_cgroup_of_its_task() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    let launched = agent.launched(enclosed("t", "exec sleep 1000", Root::Host)).await;
    let line = "id -u; hostname; pwd; grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status; \
                echo again > /dev/stdout; ls /proc/self/fd; exit 4";
    let (said, status) = run(&mut agent, &rig, enclosed("t", line, Root::Host), 1).await;
    assert_eq!(status, WaitStatus::Exited(4), "{said}");
    assert!(said.starts_with("1000\ninside\n/mnt/mesos/sandbox\n"), "{said}");
    for wanted in ["NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n", "again\n"] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    // Nothing of the supervisor is open in it: three streams, and the directory that is listed.
    assert!(said.ends_with("again\n0\n1\n2\n3\n"), "{said}");
    // Seen from the host: within, every group is the root.
    let launch = enclosed("t", "exec sleep 1000", Root::Host);
    let (_held, _out, pid) = enter(&mut agent, &rig, launch, 3).await;
    let group = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert_eq!(group(pid), group(launched.pid));
    assert_ne!(group(pid), group(std::process::id()));
    // With other walls than its task's there is none.
    agent.native.enter(shell("t", "true"), 2, Stdio::Terminal("/dev/null".into()));
    agent.native.flush();
    let event = agent.until(|event| matches!(event, ContainerEvent::Entered { .. })).await;
    let ContainerEvent::Entered { number: 2, result: Err(error), .. } = event else {
        panic!("{event:?}")
    };
    assert!(error.to_string().contains("walls"), "{error}");
    agent.native.kill(&id("t"), Duration::ZERO);
    agent.native.flush();
    agent.until(|event| matches!(event, ContainerEvent::Ended { .. })).await;
    agent.native.forget(&id("t"));
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_task_that_stops_all_it_reaches_holds_up_its_sessions_and_nobody_else() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    // What begins in its container has its user for a moment before its program runs.
    let line = "echo begun > begun; while :; do kill -STOP -1; done";
    let launched = agent.launched(enclosed("t", line, Root::Host)).await;
    crate::rig::filled(launched.sandbox.join("begun")).await;
    for number in 0..30 {
        let launch = enclosed("t", "exec sleep 1000", Root::Host);
        let begun = std::time::Instant::now();
        let (_held, _out, pid) = enter(&mut agent, &rig, launch, number).await;
        assert!(begun.elapsed() < Duration::from_secs(5), "{number}: {:?}", begun.elapsed());
        assert!(pid > 1);
        // One that was stopped before its program ran has been killed by now.
        agent.native.signal_session(number, libc::SIGKILL);
        agent.native.flush();
        assert_eq!(left(&mut agent, number).await, WaitStatus::Signaled(9));
    }
    agent.native.kill(&id("t"), Duration::ZERO);
    agent.native.flush();
    agent.until(|event| matches!(event, ContainerEvent::Ended { .. })).await;
    agent.native.forget(&id("t"));
    rig.finish(agent).await;
}
