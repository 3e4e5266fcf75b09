//! What is allowed, and how it is said when it is not.

use super::*;
use proto::{ContainerInfo, ContainerVolume, VolumeSource};

fn volume(path: &str, read_only: bool, source: VolumeSource) -> ContainerInfo {
    let volume = ContainerVolume { container_path: path.into(), read_only, source };
    ContainerInfo { volumes: vec![volume], ..ContainerInfo::default() }
}

fn refused(policy: &Policy, asked: &ContainerInfo) -> String {
    policy.walls(Some(asked), "c", None).unwrap_err()
}

#[test]
fn a_plain_task_gets_walls_only_where_all_do() {
    let mut policy = Policy::default();
    assert!(policy.walls(None, "c", None).unwrap().is_none());
    policy.enclose = true;
    let walls = policy.walls(None, "C-1", None).unwrap().unwrap().enclosure;
    assert_eq!((walls.root, &*walls.hostname), (Root::Host, "c-1"));
    assert_eq!(walls.directory, Path::new(SANDBOX));
    assert_eq!((walls.capabilities, walls.root_allowed), (0, false));
}

#[test]
fn paths_of_the_host_are_allowed_by_whole_components_and_without_links() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["data", "data/sub", "database", "write"] {
        std::fs::create_dir(root.join(name)).unwrap();
    }
    std::os::unix::fs::symlink("/etc", root.join("data/out")).unwrap();
    let allow = |name: &str, read_only| HostPath { path: root.join(name), read_only };
    let policy = Policy {
        host_paths: vec![allow("data", true), allow("write", false)],
        ..Policy::default()
    };
    let asked = |path: &str, read_only| {
        let path = root.join(path);
        volume("/in", read_only, VolumeSource::HostPath(path.to_str().unwrap().into()))
    };
    for (path, read_only) in [("data", true), ("data/sub", true), ("write", false)] {
        let walls = policy.walls(Some(&asked(path, read_only)), "c", None).unwrap().unwrap();
        let mount = &walls.enclosure.mounts[0];
        assert_eq!(mount.source, MountSource::Host(root.join(path)));
        assert_eq!((mount.read_only, &*mount.target), (read_only, Path::new("/in")));
    }
    for path in ["database", "data/out", "data/../database", ".", "data/out/passwd"] {
        let said = refused(&policy, &asked(path, true));
        assert!(said.ends_with("is not allowed on this agent (--allow-host-path)"), "{said}");
    }
    let said = refused(&policy, &asked("data", false));
    assert!(said.ends_with("can only be mounted read-only on this agent"), "{said}");
    let said = refused(&policy, &asked("missing", true));
    assert!(said.contains("cannot be had: No such file"), "{said}");
}

#[test]
fn volumes_go_nowhere_but_where_volumes_may_be() {
    let policy = Policy::default();
    let at = |path: &str| volume(path, false, VolumeSource::Tmpfs(None));
    let made = |path: &str| {
        let walls = policy.walls(Some(&at(path)), "c", None).unwrap().unwrap();
        walls.enclosure.mounts[0].target.clone()
    };
    assert_eq!(made("/scratch/a"), Path::new("/scratch/a"));
    assert_eq!(made("cache"), Path::new(SANDBOX).join("cache"));
    for path in ["", "/", ".", "/proc", "/proc/self", "/sys/x", "/dev/shm", "/a/../proc", "../x"] {
        let said = refused(&policy, &at(path));
        assert!(said.ends_with("is no place in a container to mount anything at"), "{said}");
    }
    for path in ["", "/etc", "../x", "a/../../b"] {
        let asked = volume("/in", false, VolumeSource::SandboxPath(path.into()));
        assert_eq!(refused(&policy, &asked), format!("{path:?} is no path in the sandbox"));
    }
}

#[test]
fn capabilities_and_users_are_those_of_the_operator() {
    let mut policy = Policy { capabilities: vec![5, 7], ..Policy::default() };
    let asked = |capabilities| ContainerInfo { capabilities, ..ContainerInfo::default() };
    let walls = policy.walls(Some(&asked(vec![5])), "c", None).unwrap().unwrap();
    assert_eq!(walls.enclosure.capabilities, 1 << 5);
    assert_eq!(
        refused(&policy, &asked(vec![5, 12, 21])),
        "capabilities 12, 21 are not allowed on this agent (--allow-capability)"
    );
    assert_eq!(policy.user(Some("root")), Ok(()));
    policy.users = Some(vec!["nobody".into()]);
    assert_eq!(policy.user(Some("nobody")), Ok(()));
    assert!(policy.user(Some("root")).unwrap_err().contains("--task-users"));
    assert!(policy.user(None).unwrap_err().contains("--task-users"));
}

#[test]
fn a_relative_store_is_where_the_agent_was_started() {
    let policy = Policy { image_store: Some(".".into()), ..Policy::default() };
    let here = std::env::current_dir().unwrap().canonicalize().unwrap();
    assert_eq!(policy.settled(Path::new("/w")).image_store, Some(here));
}

#[test]
fn what_is_the_agents_own_is_never_mounted_whatever_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["work/meta", "run/engine", "data"] {
        std::fs::create_dir_all(root.join(name)).unwrap();
    }
    std::os::unix::fs::symlink(root.join("run"), root.join("link")).unwrap();
    // A socket that is not there yet, by a way with a link.
    let docker = DockerPolicy::new(root.join("link/engine/sock"));
    let host_paths = vec![HostPath { path: "/".into(), read_only: false }];
    let policy = Policy { docker: Some(docker), host_paths, ..Policy::default() };
    let policy = policy.settled(&root.join("work"));
    let asked =
        |path: &Path| volume("/in", true, VolumeSource::HostPath(path.to_str().unwrap().into()));
    for path in ["", "work", "work/meta", "run", "run/engine", "link"] {
        let said = refused(&policy, &asked(&root.join(path)));
        assert!(said.contains("is never mounted"), "{path}: {said}");
    }
    assert!(refused(&policy, &asked(Path::new("/"))).contains("is never mounted"));
    assert!(policy.walls(Some(&asked(&root.join("data"))), "c", None).is_ok());
}
