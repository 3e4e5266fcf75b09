//! Sessions in containers: that they are within the walls of the task, and take its user's rights.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use agent::containerizer::{ContainerEvent, Containerizer, Launch, Root, Stdio, WaitStatus};

use crate::enclosed::enclosed;
use crate::rig::{Agent, Rig, id, shell};

/// Runs a line as a session: what it printed, and how it ended.
async fn run(agent: &mut Agent, rig: &Rig, launch: Launch, number: u64) -> (String, WaitStatus) {
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
    let mut out = File::open(&paths[1]).unwrap();
    agent.native.enter(launch, number, Stdio::Pipes(paths));
    agent.native.flush();
    let event = agent.until(|event| matches!(event, ContainerEvent::Entered { .. })).await;
    assert!(matches!(event, ContainerEvent::Entered { result: Ok(_), .. }), "{event:?}");
    let event = agent.until(|event| matches!(event, ContainerEvent::Left { .. })).await;
    let ContainerEvent::Left { number: of, status } = event else { panic!("{event:?}") };
    assert_eq!(of, number);
    drop(held);
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    (said, status)
}

#[tokio::test]
async fn a_session_has_the_walls_the_user_and_the_cgroup_of_its_task() {
    let Some(rig) = Rig::with_cgroups() else { return };
    let mut agent = rig.agent().await;
    let line = "cat /proc/self/cgroup > group; exec sleep 1000";
    let launched = agent.launched(enclosed("t", line, Root::Host)).await;
    let group = crate::rig::filled(launched.sandbox.join("group")).await;
    let line = "id -u; hostname; pwd; grep -E 'NoNewPrivs|Seccomp:|CapEff' /proc/self/status; \
                cat /proc/self/cgroup; echo again > /dev/stdout; ls /proc/self/fd; exit 4";
    let (said, status) = run(&mut agent, &rig, enclosed("t", line, Root::Host), 1).await;
    assert_eq!(status, WaitStatus::Exited(4), "{said}");
    assert!(said.starts_with("1000\ninside\n/mnt/mesos/sandbox\n"), "{said}");
    for wanted in ["NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapEff:\t0000000000000000\n", "again\n"] {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    assert!(said.contains(&group), "{said}");
    // Nothing of the supervisor is open in it: three streams, and the directory that is listed.
    assert!(said.ends_with("again\n0\n1\n2\n3\n"), "{said}");
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
