//! Tasks within walls: what they see, who they are, and that nothing of them stays.

use std::path::PathBuf;
use std::time::Duration;

use agent::containerizer::{
    ContainerEvent, Containerizer, Device, Enclosure, Launch, LaunchError, Mount, MountSource,
    Root, SANDBOX, WaitStatus,
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
        devices: Vec::new(),
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
    assert!(std::env::var_os("TEPUI_BUSYBOX").is_none(), "it is said to be ready");
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

/// What stands in for a device of its own: zeros, under another name.
fn zeros() -> Device {
    Device { name: "nvidia0".into(), major: 1, minor: 5 }
}

#[tokio::test]
async fn devices_of_its_own_are_there_by_their_names_and_only_for_it() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let read = "head -c 3 /dev/nvidia0 | od -An -c";
    let mut own = enclosed("own", read, Root::Host);
    own.enclosure.as_mut().unwrap().devices = vec![zeros()];
    let ended = agent.run(own).await;
    let out = said(&file_of(&ended, "stdout"));
    assert_eq!(out.split_whitespace().collect::<Vec<_>>(), ["\\0"; 3]);
    let ended = agent.run(enclosed("other", "test ! -e /dev/nvidia0", Root::Host)).await;
    assert_eq!(ended.status, WaitStatus::Exited(0));
    rig.finish(agent).await;
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

#[tokio::test]
async fn names_are_found_on_an_image_as_on_its_host() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let image = busybox(rig.dir.path());
    // What the image has there is another host's; a link is followed by nobody.
    std::os::unix::fs::symlink("/etc/passwd", image.join("etc/resolv.conf")).unwrap();
    std::fs::write(image.join("etc/hosts"), "10.0.0.1 elsewhere\n").unwrap();
    for user in ["0", "1000"] {
        let line = "cat /etc/hostname /etc/hosts; echo --; cat /etc/resolv.conf";
        let mut launch = enclosed(user, line, Root::Image(image.clone()));
        launch.user = Some(user.into());
        let out = said(&file_of(&agent.run(launch).await, "stdout"));
        let (names, resolvers) = out.split_once("--\n").unwrap();
        let hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\tinside\n";
        assert_eq!(names, format!("inside\n{hosts}"));
        assert_eq!(resolvers, std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default());
    }
    let mut own = enclosed("own", "echo 10.0.0.2 me >> /etc/hosts", Root::Image(image.clone()));
    own.user = Some("0".into());
    assert_eq!(agent.run(own).await.status, WaitStatus::Exited(0));
    assert!(std::fs::read_to_string(image.join("etc/hosts")).unwrap().contains("elsewhere"));
    // An image in which that is no directory means something else by it.
    std::fs::remove_dir_all(image.join("etc")).unwrap();
    std::os::unix::fs::symlink("/tmp", image.join("etc")).unwrap();
    let out = said(&file_of(
        &agent.run(enclosed("link", "ls /etc; echo none", Root::Image(image))).await,
        "stdout",
    ));
    assert_eq!(out, "none\n");
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_task_may_hold_as_many_files_as_who_started_the_agent() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let ours = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
    for launch in [shell("plain", "ulimit -n"), enclosed("walls", "ulimit -n", Root::Host)] {
        let out = said(&file_of(&agent.run(launch).await, "stdout"));
        assert_eq!(out, format!("{ours}\n"));
    }
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
