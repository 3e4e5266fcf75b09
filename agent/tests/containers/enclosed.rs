//! Tasks within walls: what they see, who they are, and that nothing of them stays.

use std::path::PathBuf;
use std::time::Duration;

use agent::containerizer::{
    ContainerEvent, Containerizer, Enclosure, Launch, LaunchError, Mount, MountSource, Root,
    SANDBOX, WaitStatus,
};

use crate::rig::{Agent, Rig, file_of, filled, id, shell};

/// The walls that a task gets which asks for nothing in particular.
pub(crate) fn walls(root: Root) -> Enclosure {
    Enclosure {
        root,
        read_only: false,
        hostname: "inside".into(),
        directory: SANDBOX.into(),
        mounts: Vec::new(),
        capabilities: 0,
        shm_bytes: 1 << 20,
        root_allowed: false,
        pod: None,
    }
}

pub(crate) fn enclosed(name: &str, line: &str, root: Root) -> Launch {
    let mut launch = shell(name, line);
    launch.user = Some("1000".into());
    launch.enclosure = Some(Box::new(walls(root)));
    launch
}

/// A rig for containers, or `None` with the reason on the test's output.
pub(crate) fn rig() -> Option<Rig> {
    if std::path::Path::new("/usr/bin/busybox").exists() {
        return Rig::with_cgroups();
    }
    println!("not run: images of these tests are made of /usr/bin/busybox");
    None
}

/// A small root file system with busybox.
pub(crate) fn busybox(dir: &std::path::Path) -> PathBuf {
    let root = dir.join("busybox");
    for name in ["bin", "etc", "tmp", "proc", "dev", "sys", "mnt/mesos/sandbox"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "id", "ls", "hostname", "echo", "sleep", "kill", "ps", "touch", "rm"]
    {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    root
}

async fn failure(agent: &mut Agent, launch: Launch) -> LaunchError {
    agent.native.launch(launch);
    agent.native.flush();
    let event = agent.until(|e| matches!(e, ContainerEvent::LaunchFailed { .. })).await;
    let ContainerEvent::LaunchFailed { error, .. } = event else { panic!("{event:?}") };
    error
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_task_within_walls_sees_its_own_world_and_is_nobody_on_the_host() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let line = "hostname; id -u; echo $MESOS_SANDBOX; pwd; echo $$; echo /proc/[0-9]*; \
                cat /proc/self/uid_map; ls /; touch file; echo err >&2; exit 7";
    let ended = agent.run(enclosed("t", line, Root::Host)).await;
    let out = said(&file_of(&ended, "stdout"));
    assert_eq!(said(&file_of(&ended, "stderr")), "err\n", "{out}");
    assert_eq!(ended.status, WaitStatus::Exited(7), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(&lines[..4], ["inside", "1000", SANDBOX, SANDBOX], "{out}");
    // The sleeper is the first process, the task the second.
    assert_eq!((lines[4], lines[5]), ("2", "/proc/1 /proc/2"), "{out}");
    let map: Vec<&str> = lines[6].split_whitespace().collect();
    assert!(map[0] == "0" && map[1].parse::<u32>().unwrap() >= 1 << 30, "{out}");
    assert!(!lines.contains(&"root") && !lines.contains(&"home"), "{out}");
    let agent::containerizer::SandboxFate::Kept(sandbox) = &ended.sandbox else { panic!() };
    let owner =
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(sandbox.join("file")).unwrap());
    assert_eq!(owner, map[1].parse::<u32>().unwrap() + 1000);
    rig.finish(agent).await;
}

#[tokio::test]
async fn an_image_is_its_root_and_what_it_writes_is_gone_with_it() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let image = busybox(rig.dir.path());
    let line = "ls /; cat /etc/passwd; echo x > /etc/new; cat /etc/new; id -u; ls -ln /etc/passwd";
    for user in ["0", "1000"] {
        let mut launch = enclosed(user, line, Root::Image(image.clone()));
        launch.user = Some(user.into());
        let ended = agent.run(launch).await;
        let (out, err) = (said(&file_of(&ended, "stdout")), said(&file_of(&ended, "stderr")));
        assert_eq!(out.contains("\nx\n"), user == "0", "{out} {err}");
        assert!(out.contains("busybox\n") || out.contains("bin\n"), "{out} {err}");
        assert!(out.contains("root    ") || out.contains(" 0        0 "), "{out} {err}");
        assert!(!image.join("etc/new").exists());
    }
    assert_eq!(trash_and_layers(&rig), 2, "layers wait in the trash for who has time");
    rig.finish(agent).await;
}

/// How many layers there are, in the trash and elsewhere.
fn trash_and_layers(rig: &Rig) -> usize {
    let dir = rig.options.supervisor.dir.join("enclosures");
    let names = |path: PathBuf| std::fs::read_dir(path).unwrap().flatten().count();
    names(dir.join("trash")) + names(dir) - 3
}

#[tokio::test]
async fn a_task_within_walls_is_killed_with_all_that_it_left_behind() {
    for cgroups in [true, false] {
        let Some(rig) = rig() else { return };
        let rig = if cgroups { rig } else { Rig::new(false) };
        let mut agent = rig.agent().await;
        // It hears TERM, although it is alone; its child has left its session.
        let line = "setsid sleep 1000 & trap 'echo asked; exit 3' TERM; echo up; \
                    while :; do sleep 0.01; done";
        let launched = agent.launched(enclosed("t", line, Root::Host)).await;
        filled(launched.sandbox.join("stdout")).await;
        agent.native.kill(&id("t"), Duration::from_secs(50));
        agent.native.flush();
        let ended = agent.ended(&id("t")).await;
        assert_eq!(ended.status, WaitStatus::Exited(3));
        assert_eq!(file_of(&ended, "stdout"), b"up\nasked\n");
        crate::leaks::check(rig.dir.path(), agent.native.supervisor_pid());
        // A deaf one is killed after the grace.
        let deaf = "trap '' TERM; echo up; while :; do sleep 0.01; done";
        let launched = agent.launched(enclosed("deaf", deaf, Root::Host)).await;
        filled(launched.sandbox.join("stdout")).await;
        agent.native.kill(&id("deaf"), Duration::from_millis(50));
        agent.native.flush();
        assert_eq!(agent.ended(&id("deaf")).await.status, WaitStatus::Signaled(9));
        for name in ["t", "deaf"] {
            agent.native.forget(&id(name));
        }
        agent.native.flush();
        rig.finish(agent).await;
    }
}

#[tokio::test]
async fn mounts_are_where_they_were_asked_for() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let data = rig.dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("f"), "from the host\n").unwrap();
    let mount =
        |target: &str, read_only, source| Mount { target: target.into(), read_only, source };
    let line = "cat /data/f /one; touch /data/g; echo $?; touch /mem/x && echo fine; \
                touch here/y && ls here; head -c 2000000 /dev/zero > /mem/big; wc -c < /mem/big; \
                touch /etc/no; echo $?";
    let mut launch = enclosed("t", line, Root::Host);
    let walls = launch.enclosure.as_mut().unwrap();
    walls.read_only = true;
    walls.mounts = vec![
        mount("/data", true, MountSource::Host(data.clone())),
        mount("/one", true, MountSource::Host(data.join("f"))),
        mount("/mem", false, MountSource::Tmpfs(1 << 20)),
        mount("/mnt/mesos/sandbox/here", false, MountSource::Sandbox("cache".into())),
    ];
    let ended = agent.run(launch).await;
    let out = said(&file_of(&ended, "stdout"));
    let wanted = "from the host\nfrom the host\n1\nfine\ny\n1048576\n1\n";
    assert_eq!(out, wanted, "{}", said(&file_of(&ended, "stderr")));
    let mut launch = enclosed("missing", "true", Root::Host);
    let nowhere = MountSource::Host("/no/such/place".into());
    launch.enclosure.as_mut().unwrap().mounts = vec![mount("/data", true, nowhere)];
    let error = failure(&mut agent, launch).await.to_string();
    assert!(error.contains("/no/such/place") && error.contains("No such file"), "{error}");
    let mut launch = enclosed("no-such-program", "true", Root::Host);
    launch.program =
        agent::containerizer::Program::Exec { file: "/no/such".into(), argv: Vec::new() };
    let error = failure(&mut agent, launch).await;
    assert_eq!(error, LaunchError::Spawn { step: "execve /no/such".into(), errno: libc::ENOENT });
    rig.finish(agent).await;
}
