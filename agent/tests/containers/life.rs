//! The life of one task: exit codes, signals, output, environment, user, kill.

use std::time::Duration;

use agent::containerizer::{
    ContainerEvent, Containerizer, LaunchError, Program, Rlimit, SandboxChoice, SandboxFate,
    WaitStatus,
};

use crate::rig::{Rig, file_of, filled, id, shell};

/// Each of these runs with cgroups (where permitted) and without.
fn rigs() -> Vec<Rig> {
    Rig::with_cgroups().into_iter().chain([Rig::new(false)]).collect()
}

#[tokio::test]
async fn exit_codes_signals_and_output_are_exact() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        assert!(agent.recovered.is_empty());
        let ended = agent.run(shell("zero", "true")).await;
        assert_eq!(ended.status, WaitStatus::Exited(0));
        assert_eq!(ended.sandbox, SandboxFate::Empty);
        assert_eq!((ended.stdout_bytes, ended.stderr_bytes, ended.lost_bytes), (0, 0, 0));
        assert_eq!(agent.run(shell("code", "exit 42")).await.status, WaitStatus::Exited(42));
        let ended = agent.run(shell("signal", "kill -SEGV $$")).await;
        assert_eq!(ended.status, WaitStatus::Signaled(11));
        assert!(!ended.kill_requested);

        let ended = agent.run(shell("talk", "echo out; echo err >&2; echo file > made")).await;
        assert_eq!(file_of(&ended, "stdout"), b"out\n");
        assert_eq!(file_of(&ended, "stderr"), b"err\n");
        assert_eq!(file_of(&ended, "made"), b"file\n");
        assert_eq!((ended.stdout_bytes, ended.stderr_bytes), (4, 4));
        // The next task in the same berth sees nothing of the former.
        let ended = agent.run(shell("next", "ls -A | wc -l; echo $MESOS_SANDBOX; pwd")).await;
        let text = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "0");
        assert_eq!(lines[1], lines[2]);
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn ten_megabytes_of_output_arrive_whole() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        let ended = agent.run(shell("big", "seq 1 1500000; seq 1 10 >&2")).await;
        let wanted: String = (1..=1_500_000).map(|n| format!("{n}\n")).collect();
        assert!(wanted.len() > 10_000_000);
        assert_eq!(ended.stdout_bytes, wanted.len() as u64);
        assert!(file_of(&ended, "stdout") == wanted.as_bytes());
        assert_eq!(ended.stderr_bytes, 21);
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_named() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        for (name, file, errno) in
            [("gone", "/no/such/file", libc::ENOENT), ("dir", "/etc", libc::EACCES)]
        {
            let mut launch = shell(name, "");
            launch.program = Program::Exec { file: file.into(), argv: Vec::new() };
            agent.native.launch(launch);
            agent.native.flush();
            let failed = |e: &ContainerEvent| matches!(e, ContainerEvent::LaunchFailed { .. });
            let ContainerEvent::LaunchFailed { error, .. } = agent.until(failed).await else {
                unreachable!()
            };
            assert_eq!(error, LaunchError::Spawn { step: format!("execve {file}"), errno });
        }
        // By name, over the PATH; and the failed ones left the supervisor in order.
        let mut launch = shell("named", "");
        launch.program =
            Program::Exec { file: "echo".into(), argv: vec!["echo".into(), "a b".into()] };
        let ended = agent.run(launch).await;
        assert_eq!(file_of(&ended, "stdout"), b"a b\n");
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn a_name_in_use_is_refused_until_forgotten() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    agent.launched(shell("same", "true")).await;
    agent.ended(&id("same")).await;
    agent.native.launch(shell("same", "true"));
    agent.native.flush();
    let failed = agent.until(|e| matches!(e, ContainerEvent::LaunchFailed { .. })).await;
    let refused =
        ContainerEvent::LaunchFailed { id: id("same"), error: LaunchError::AlreadyExists };
    assert_eq!(failed, refused);
    agent.native.forget(&id("same"));
    agent.run(shell("same", "true")).await;
    rig.finish(agent).await;
}

#[tokio::test]
async fn environment_rlimits_session_and_standard_input_are_as_asked() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        let mut launch = shell(
            "env",
            "echo $A $OMP_NUM_THREADS; ulimit -n; ps -o pid=,pgid=,sid= -p $$; cat; \
             ls /proc/self/fd | wc -l; grep -E 'SigBlk|SigIgn' /proc/self/status",
        );
        launch.environment.push(("A".into(), "x y".into()));
        launch.allocation.cpus_milli = 2500;
        launch.rlimits.push(Rlimit { resource: libc::RLIMIT_NOFILE, soft: 123, hard: 123 });
        let ended = agent.run(launch).await;
        let text = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], ["x y 2", "123"], "{text}");
        let ids: Vec<&str> = lines[2].split_whitespace().collect();
        assert!(ids.len() == 3 && ids.iter().all(|i| *i == ids[0]), "{text}");
        // 0, 1, 2 and the directory that ls reads.
        assert_eq!(lines[3], "4", "{text}");
        assert!(lines[4].ends_with("\t0000000000000000"), "{text}");
        assert!(lines[5].ends_with("\t0000000000000000"), "{text}");
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn a_task_runs_as_the_user_it_names() {
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root can run tasks as other users");
        return;
    }
    for rig in rigs() {
        let mut agent = rig.agent().await;
        // The way to the sandbox is the work directory's owner's to open.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(rig.dir.path(), open).unwrap();
        let line = "id -u; id -G; echo mine > file; echo again > /dev/stdout";
        let mut launch = shell("nobody", line);
        launch.user = Some("nobody".into());
        let ended = agent.run(launch).await;
        let text = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        assert_eq!(text, "65534\n65534\nagain\n");
        let SandboxFate::Kept(path) = &ended.sandbox else { panic!("{ended:?}") };
        let owner = std::os::unix::fs::MetadataExt::uid(&path.join("stdout").metadata().unwrap());
        assert_eq!(owner, 65534);
        assert_eq!(file_of(&ended, "file"), b"mine\n");
        // Root again, in what was nobody's berth.
        let ended = agent.run(shell("root", "id -u; stat -c %u .")).await;
        assert_eq!(file_of(&ended, "stdout"), b"0\n0\n");

        let mut launch = shell("eve", "true");
        launch.user = Some("no-such-user".into());
        agent.native.launch(launch);
        let failed = agent.until(|e| matches!(e, ContainerEvent::LaunchFailed { .. })).await;
        assert!(format!("{failed:?}").contains("no-such-user"), "{failed:?}");
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn a_directory_of_the_caller_is_used_and_kept() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    let given = rig.dir.path().join("given");
    std::fs::create_dir(&given).unwrap();
    std::fs::write(given.join("fetched"), "data\n").unwrap();
    let mut launch = shell("at", "cat fetched");
    launch.sandbox = SandboxChoice::At(given.clone());
    let ended = agent.run(launch).await;
    assert_eq!(ended.sandbox, SandboxFate::Kept(given.clone()));
    assert_eq!(file_of(&ended, "stdout"), b"data\n");
    // A link in place of the output file leads nowhere.
    let target = rig.dir.path().join("target");
    std::fs::write(&target, "precious").unwrap();
    std::fs::remove_file(given.join("stdout")).unwrap();
    std::os::unix::fs::symlink(&target, given.join("stdout")).unwrap();
    let mut launch = shell("link", "echo overwritten");
    launch.sandbox = SandboxChoice::At(given);
    let ended = agent.run(launch).await;
    assert_eq!((ended.stdout_bytes, ended.lost_bytes), (0, 12));
    assert_eq!(std::fs::read_to_string(target).unwrap(), "precious");
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_kill_asks_first_and_a_deaf_task_is_killed_after_the_grace() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        let polite = "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done";
        let launched = agent.launched(shell("polite", polite)).await;
        filled(launched.sandbox.join("stdout")).await;
        agent.native.kill(&id("polite"), Duration::from_secs(30));
        agent.native.flush();
        let ended = agent.ended(&id("polite")).await;
        assert_eq!((ended.status, ended.kill_requested), (WaitStatus::Exited(7), true));
        assert_eq!(file_of(&ended, "stdout"), b"up\nbye\n");

        let deaf = "trap '' TERM; echo up; while :; do sleep 0.01; done";
        let launched = agent.launched(shell("deaf", deaf)).await;
        filled(launched.sandbox.join("stdout")).await;
        let grace = Duration::from_millis(300);
        let asked = std::time::Instant::now();
        agent.native.kill(&id("deaf"), grace);
        agent.native.flush();
        let ended = agent.ended(&id("deaf")).await;
        assert!(asked.elapsed() >= grace, "killed after {:?}", asked.elapsed());
        assert_eq!((ended.status, ended.kill_requested), (WaitStatus::Signaled(9), true));

        agent.launched(shell("sleeper", "sleep 1000")).await;
        agent.native.signal(&id("sleeper"), libc::SIGUSR1);
        agent.native.flush();
        assert_eq!(agent.ended(&id("sleeper")).await.status, WaitStatus::Signaled(10));
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn strangers_who_write_on_do_not_hold_up_the_end() {
    let rig = Rig::new(false);
    let mut agent = rig.agent().await;
    // Without an environment and in sessions of their own nobody can tell whose they are.
    let line = "for n in 1 2 3 4; do env -i setsid yes & done; sleep 0.05; exit 4";
    for name in ["first", "second"] {
        let ended = agent.run(shell(name, line)).await;
        assert_eq!(ended.status, WaitStatus::Exited(4));
    }
    let ended = agent.run(shell("next", "echo fine")).await;
    assert_eq!(file_of(&ended, "stdout"), b"fine\n", "another place, without their output");
    rig.finish(agent).await;
}

#[tokio::test]
async fn f25_what_a_task_leaves_behind_dies_with_it() {
    for rig in rigs() {
        let mut agent = rig.agent().await;
        // Forks twice and leaves session and group.
        let escape = "setsid sh -c 'sh -c \"echo \\$\\$; exec sleep 1000\" & exit 0'; sleep 0.2";
        let ended = agent.run(shell("escape", escape)).await;
        let text = String::from_utf8(file_of(&ended, "stdout")).unwrap();
        let pid: i32 = text.trim().parse().unwrap_or_else(|_| panic!("{text:?}"));
        // It was killed before the end was told; a slow kernel may still be taking it apart.
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
            Err(error) => assert_eq!(error, rustix::io::Errno::SRCH),
            Ok(process) => {
                let mut ends = [rustix::event::PollFd::new(&process, rustix::event::PollFlags::IN)];
                let bound = rustix::event::Timespec { tv_sec: 10, tv_nsec: 0 };
                let ready = rustix::event::poll(&mut ends, Some(&bound));
                assert_eq!(ready, Ok(1), "the escaped process lives");
            }
        }
        rig.finish(agent).await;
    }
}
