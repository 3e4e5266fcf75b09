//! What happens when one side goes away: the agent, the supervisor, or a stranger comes.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use agent::containerizer::{ContainerEvent, Containerizer, Native, WaitStatus};

use crate::rig::{BOUND, Rig, file_of, filled, id, shell};

/// Dropping both halves closes the socket as a killed process would: nothing is said.
fn vanish(agent: crate::rig::Agent) {
    drop(agent);
}

#[tokio::test]
async fn tasks_codes_and_bytes_survive_the_agent() {
    for rig in Rig::with_cgroups().into_iter().chain([Rig::new(false)]) {
        let mut agent = rig.agent().await;
        let gate = rig.dir.path().join("gate");
        let wait = format!("while [ ! -e {} ]; do sleep 0.01; done", gate.display());
        for n in 0..5 {
            let line = format!("echo before {n}; {wait}; seq 1 20000; echo after {n}; exit {n}");
            agent.launched(shell(&format!("t{n}"), &line)).await;
        }
        agent.launched(shell("done", "echo early; exit 9")).await;
        agent.ended(&id("done")).await;
        let long = agent.launched(shell("long", "echo up; sleep 1000")).await;
        filled(long.sandbox.join("stdout")).await;
        // The kill ladder goes on without an agent.
        agent.native.kill(&id("long"), Duration::from_secs(1));
        agent.native.flush();
        let supervisor = agent.native.supervisor_pid();
        vanish(agent);
        std::fs::write(&gate, "").unwrap();

        let mut agent = rig.agent().await;
        assert_eq!(agent.native.supervisor_pid(), supervisor);
        assert_eq!(agent.recovered.len(), 7);
        let seq: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
        for known in std::mem::take(&mut agent.recovered) {
            assert_eq!(known.record, known.id.as_str().as_bytes());
            let ended = match known.ended {
                Some(ended) => ended,
                None => agent.ended(&known.id).await,
            };
            match known.id.as_str() {
                "done" => assert_eq!(ended.status, WaitStatus::Exited(9)),
                "long" => assert_eq!(ended.status, WaitStatus::Signaled(15)),
                task => {
                    let n: u8 = task[1..].parse().unwrap();
                    assert_eq!(ended.status, WaitStatus::Exited(n));
                    let wanted = format!("before {n}\n{seq}after {n}\n");
                    assert!(file_of(&ended, "stdout") == wanted.as_bytes(), "output of {task}");
                }
            }
            agent.native.forget(&known.id);
        }
        agent.native.flush();
        // What is acknowledged is not told again.
        vanish(agent);
        let agent = rig.agent().await;
        assert_eq!(agent.recovered, Vec::new());
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn what_launches_have_in_common_is_kept_once_and_comes_back() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    let kinds: [std::sync::Arc<[u8]>; 2] = [vec![1; 1 << 20].into(), vec![2; 1 << 20].into()];
    for n in 0..40 {
        let mut launch = shell(&format!("n{n}"), "exec sleep 1000");
        launch.shared = Some(kinds[n % 2].clone());
        agent.launched(launch).await;
    }
    let status = format!("/proc/{}/status", agent.native.supervisor_pid());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 20 << 10, "40 launches with 1 MB each in common take {line}");
    vanish(agent);
    let mut agent = rig.agent().await;
    assert_eq!(agent.recovered.len(), 40);
    let mut first: [Option<std::sync::Arc<[u8]>>; 2] = [None, None];
    for known in std::mem::take(&mut agent.recovered) {
        let n: usize = known.id.as_str()[1..].parse().unwrap();
        let shared = known.shared.expect("it was told");
        assert!(shared == kinds[n % 2], "of the other kind");
        let first = first[n % 2].get_or_insert_with(|| shared.clone());
        assert!(std::sync::Arc::ptr_eq(first, &shared), "told more than once");
        agent.native.destroy(&known.id);
        agent.native.flush();
        agent.ended(&known.id).await;
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_supervisor_of_the_same_name_clears_nobody_elses_tasks() {
    // As those of agents in containers with roots of their own, where paths are the same.
    let (rig, mut other) = (Rig::new(false), Rig::new(false));
    other.options.supervisor.name.clone_from(&rig.options.supervisor.name);
    let mut agent = rig.agent().await;
    let line = "echo $TEPUI_SUPERVISOR; exec sleep 1000";
    let launched = agent.launched(shell("t", line)).await;
    let mark = filled(launched.sandbox.join("stdout")).await;
    let mut second = other.agent().await;
    let launched = second.launched(shell("t", line)).await;
    assert_ne!(filled(launched.sandbox.join("stdout")).await, mark);
    for agent in [&mut agent, &mut second] {
        agent.native.usage(&id("t"));
        agent.native.flush();
        let event = agent.until(|event| matches!(event, ContainerEvent::Usage { .. })).await;
        assert!(matches!(event, ContainerEvent::Usage { usage: Some(_), .. }), "{event:?}");
        agent.native.destroy(&id("t"));
        agent.native.flush();
        assert_eq!(agent.ended(&id("t")).await.status, WaitStatus::Signaled(9));
    }
    rig.finish(agent).await;
    other.finish(second).await;
}

#[tokio::test]
async fn a_supervisor_that_has_the_mark_itself_lives() {
    let rig = Rig::new(false);
    let dir = &rig.options.supervisor.dir;
    std::fs::create_dir_all(dir).unwrap();
    let mark = "0123456789abcdef0123456789abcdef";
    std::fs::write(dir.join("mark"), mark).unwrap();
    // Whoever starts it has variables of a task of its own, say.
    let mut start = Command::new(&rig.options.command[0]);
    let started = start
        .args(rig.options.supervisor.to_arguments())
        .env("TEPUI_SUPERVISOR", mark)
        .stdin(std::process::Stdio::null())
        .status();
    assert!(started.unwrap().success());
    let agent = rig.agent().await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_thousand_tasks_are_readopted_at_once() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    for n in 0..1000 {
        agent.native.launch(shell(&format!("n{n}"), "exec sleep 1000"));
    }
    agent.native.flush();
    for _ in 0..1000 {
        let event = agent.until(|_| true).await;
        assert!(matches!(event, ContainerEvent::Launched { .. }), "{event:?}");
    }
    vanish(agent);
    let begun = Instant::now();
    let mut agent = rig.agent().await;
    let took = begun.elapsed();
    println!("re-adopted {} tasks in {took:?}", agent.recovered.len());
    assert_eq!(agent.recovered.len(), 1000);
    assert!(took < Duration::from_secs(1), "{took:?}");
    for known in std::mem::take(&mut agent.recovered) {
        agent.native.destroy(&known.id);
    }
    agent.native.flush();
    for _ in 0..1000 {
        agent.until(|e| matches!(e, ContainerEvent::Ended { .. })).await;
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_second_supervisor_is_refused_with_the_reason() {
    let rig = Rig::new(false);
    let agent = rig.agent().await;
    let mut second = rig.options.supervisor.clone();
    second.socket = rig.dir.path().join("other");
    let run = |options: &agent::supervisor::options::Options| {
        let output = Command::new(&rig.options.command[0]).args(options.to_arguments()).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // What is there already is what was asked for: whoever asked connects to it.
    assert_eq!(run(&rig.options.supervisor), (Some(0), String::new()));
    let (code, said) = run(&second);
    assert_eq!(code, Some(1));
    let pid = agent.native.supervisor_pid();
    assert!(said.contains(&format!("another supervisor (pid {pid})")), "{said}");
    second = rig.options.supervisor.clone();
    second.dir = rig.dir.path().join("other-dir");
    let (code, said) = run(&second);
    assert_eq!(code, Some(1));
    assert!(said.contains("another process answers"), "{said}");
    let output = Command::new(&rig.options.command[0]).arg("--nonsense").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_second_agent_waits_a_moment_and_is_refused() {
    let rig = Rig::new(false);
    let agent = rig.agent().await;
    let error = Native::start(rig.options.clone()).await.err().unwrap().to_string();
    assert!(error.contains("another agent is connected"), "{error}");
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_foreign_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root can act as another user");
        return;
    }
    let rig = Rig::new(false);
    let agent = rig.agent().await;
    let socket = &rig.options.supervisor.socket;
    let mode = |path: &std::path::Path| {
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777
    };
    assert_eq!(mode(socket), 0o600);
    // Even if the file's mode were opened, the peer's uid is looked at.
    for (path, bits) in [(socket.as_path(), 0o666), (rig.dir.path(), 0o755)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(bits);
        std::fs::set_permissions(path, mode).unwrap();
    }
    let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); \
                  s.settimeout(30); sys.stdout.write(repr(s.recv(1000)))";
    let mut stranger = Command::new("python3");
    let output = stranger.args(["-c", script]).arg(socket).uid(65534).gid(65534).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("uid 65534 may not use this supervisor"), "{said} {output:?}");
    rig.finish(agent).await;
}

#[tokio::test]
async fn tasks_do_not_outlive_a_killed_supervisor_and_a_new_one_starts_clean() {
    for rig in Rig::with_cgroups().into_iter().chain([Rig::new(false)]) {
        let mut agent = rig.agent().await;
        let launched = agent.launched(shell("task", "exec sleep 1000")).await;
        let pid = |n: u32| rustix::process::Pid::from_raw(n.cast_signed()).unwrap();
        let supervisor = pid(agent.native.supervisor_pid());
        rustix::process::kill_process(supervisor, rustix::process::Signal::KILL).unwrap();
        agent.until(|e| matches!(e, ContainerEvent::Lost { .. })).await;
        // No other supervisor is there: they die with their own.
        let gone = async {
            // A zombie is dead too; whoever is init here may take its time to reap.
            let status = format!("/proc/{}/status", launched.pid);
            while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains("State:\tZ")) {
                // waits: between two looks at a process that is not ours to wait for
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(BOUND, gone).await.expect("the task lives on");
        let agent = rig.agent().await;
        assert_eq!(agent.recovered, Vec::new());
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn an_abandoned_supervisor_ends_after_its_grace() {
    let mut rig = Rig::new(false);
    rig.options.supervisor.away_grace = Duration::from_millis(200);
    let mut agent = rig.agent().await;
    agent.run(shell("task", "true")).await;
    vanish(agent);
    let lock = std::fs::File::open(rig.options.supervisor.dir.join("supervisor.lock")).unwrap();
    let locked = move || rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive);
    let ended = tokio::time::timeout(BOUND, tokio::task::spawn_blocking(locked)).await;
    ended.expect("the supervisor stays").unwrap().unwrap();
    assert!(!rig.options.supervisor.socket.exists());
}
