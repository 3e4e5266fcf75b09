//! The ways out of a container, tried from within: what each must say is in the table, by its
//! number in the list of threats. A control run without walls shows that the attempts are real.

use std::collections::BTreeMap;

use agent::containerizer::{
    ContainerEvent, Containerizer, Launch, Mount, MountSource, Program, Rlimit, Root,
};

use crate::enclosed::{busybox, enclosed, rig};
use crate::rig::{file_of, shell};

const PROBE: &str = env!("CARGO_BIN_EXE_escape");
const NONE: &str = "0000000000000000";

/// What is tried, and what must come of it.
const TABLE: &[(&str, &[(&str, &str)])] = &[
    (
        "S20",
        &[("CapEff", NONE), ("CapPrm", NONE), ("CapInh", NONE), ("CapBnd", NONE), ("CapAmb", NONE)],
    ),
    ("S21", &[("NoNewPrivs", "1")]),
    (
        "S22",
        &[
            ("Seccomp", "2"),
            ("mount", "refused"),
            ("umount2", "refused"),
            ("pivot_root", "refused"),
            ("chroot", "refused"),
            ("fsopen", "refused"),
            ("move_mount", "refused"),
            ("open_tree", "refused"),
            ("mount_setattr", "refused"),
            ("setns", "refused"),
            ("bpf", "refused"),
            ("userfaultfd", "refused"),
            ("perf_event_open", "refused"),
            ("keyctl", "refused"),
            ("add_key", "refused"),
            ("request_key", "refused"),
            ("kexec_load", "refused"),
            ("init_module", "refused"),
            ("finit_module", "refused"),
            ("delete_module", "refused"),
            ("open_by_handle_at", "refused"),
            ("name_to_handle_at", "refused"),
            ("process_vm_readv", "refused"),
            ("process_vm_writev", "refused"),
            ("io_uring_setup", "refused"),
            ("swapon", "refused"),
            ("acct", "refused"),
            ("quotactl", "refused"),
            ("pidfd_getfd", "refused"),
            ("kcmp", "refused"),
            ("clone3", "refused"),
            ("ptrace", "refused"),
            ("unshare", "refused"),
            ("vsock", "refused"),
            ("alg", "refused"),
        ],
    ),
    ("S23", &[("uid_map", "its own")]),
    (
        "S24",
        &[
            ("/dev", "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero"),
            ("/etc/passwd", "refused"),
            ("/bin/sh", "refused"),
            ("/usr", "refused"),
            ("/dev/kmsg", "absent"),
            ("/dev/mem", "absent"),
        ],
    ),
    (
        "S25",
        &[
            ("/proc/kcore", "0 bytes"),
            ("/proc/keys", "nothing"),
            ("/proc/timer_list", "nothing"),
            ("/sys/firmware", "nothing"),
            ("/proc/acpi", "nothing"),
            ("/proc/scsi", "nothing"),
            ("/proc/sys/kernel/hostname", "refused"),
            ("/proc/sys/kernel/core_pattern", "refused"),
            ("/proc/sysrq-trigger", "refused"),
            ("/sys/kernel/mm/transparent_hugepage/enabled", "refused"),
            ("/proc/irq/default_smp_affinity", "refused"),
        ],
    ),
    ("S26", &[("processes", "1 2"), ("pid", "2")]),
    ("S27", &[("cgroup", "its own"), ("hostname", "inside"), ("shared memory", "0 segments")]),
    ("S29", &[("descriptors", "0 1 2"), ("more", "0")]),
    ("S30", &[("environment", "0 strange")]),
    ("S31", &[("core", "0")]),
    ("S32", &[("mounts with setuid", "0")]),
    ("S33", &[("mknod", "refused")]),
    (
        "S35",
        &[
            ("/proc/1/exe", "refused"),
            ("/proc/1/mem", "refused"),
            ("links of the first process", "refused"),
        ],
    ),
    ("S40", &[("processes", "bounded")]),
    ("S42", &[("nofile", "512")]),
    ("S46", &[("cgroup", "refused")]),
    ("S47", &[("/dev/shm", "full")]),
];

fn results(text: &[u8]) -> BTreeMap<(String, String), String> {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let (head, result) = line.split_once(": ").unwrap();
        let (number, name) = head.split_once(' ').unwrap();
        ((number.to_owned(), name.to_owned()), result.to_owned())
    };
    text.lines().map(line).collect()
}

/// The probe within walls, with what its loader needs.
fn probe(name: &str, root: Root) -> Launch {
    let mount = |path: &str, source: &str| Mount {
        target: path.into(),
        read_only: true,
        source: MountSource::Host(std::fs::canonicalize(source).unwrap()),
    };
    let is_image = root != Root::Host;
    let mut launch = enclosed(name, "", root);
    launch.program = Program::Exec { file: "/probe".into(), argv: Vec::new() };
    launch.allocation.pids = Some(64);
    launch.rlimits = vec![
        Rlimit { resource: libc::RLIMIT_CORE, soft: 0, hard: 0 },
        Rlimit { resource: libc::RLIMIT_NOFILE, soft: 512, hard: 512 },
    ];
    let walls = launch.enclosure.as_mut().unwrap();
    walls.mounts.push(mount("/probe", PROBE));
    if is_image {
        for path in ["/lib", "/lib64", "/usr/lib"] {
            walls.mounts.push(mount(path, path));
        }
    }
    launch
}

#[tokio::test]
async fn no_way_out_of_a_container_is_open() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let image = busybox(rig.dir.path());
    for (name, root, user) in [
        ("host-1000", Root::Host, "1000"),
        ("host-0", Root::Host, "0"),
        ("image-1000", Root::Image(image.clone()), "1000"),
        ("image-0", Root::Image(image), "0"),
    ] {
        let is_image = root != Root::Host;
        let mut launch = probe(name, root);
        launch.user = Some(user.into());
        let ended = agent.run(launch).await;
        let stderr = String::from_utf8_lossy(&file_of(&ended, "stderr")).into_owned();
        assert_eq!(stderr, "", "{name}: {ended:?}");
        let found = results(&file_of(&ended, "stdout"));
        for (number, checks) in TABLE {
            for (check, wanted) in *checks {
                // Who is root in an image may write its files, which are its own alone.
                let own = is_image && *number == "S24" && check.starts_with("/etc");
                let own = own || (is_image && *number == "S24" && *check == "/bin/sh");
                if own && user == "0" {
                    continue;
                }
                let result = found.get(&((*number).to_owned(), (*check).to_owned()));
                let absent = result.is_some_and(|r| r == "absent") && *wanted == "refused";
                let fine = absent || result.map(String::as_str) == Some(*wanted);
                assert!(fine, "{name}: {number} {check}: {result:?}, not {wanted}");
            }
        }
    }
    rig.finish(agent).await;
}

#[tokio::test]
async fn without_walls_the_same_ways_are_open() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let mut launch = shell("control", PROBE);
    launch.allocation.pids = Some(300);
    let found = results(&file_of(&agent.run(launch).await, "stdout"));
    let result = |number: &str, name: &str| found[&(number.to_owned(), name.to_owned())].clone();
    assert_ne!(result("S20", "CapEff"), NONE);
    assert_eq!((&*result("S21", "NoNewPrivs"), &*result("S22", "Seccomp")), ("0", "0"));
    for name in ["mount", "setns", "open_by_handle_at", "process_vm_readv", "chroot"] {
        assert!(result("S22", name).starts_with("let through"), "{name}");
    }
    assert_eq!(result("S23", "uid_map"), "the host's");
    assert_eq!(result("S24", "/etc/passwd"), "writable");
    assert_eq!(result("S33", "mknod"), "made");
    assert_eq!(result("S40", "processes"), "endless");
    rig.finish(agent).await;
}

/// Whoever made an image cannot make the supervisor mount onto the host.
#[tokio::test]
async fn links_in_an_image_lead_nowhere_else() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    for name in ["dev", "proc", "sys"] {
        let image = busybox(&rig.dir.path().join(format!("image-{name}")));
        std::fs::remove_dir(image.join(name)).unwrap();
        std::os::unix::fs::symlink("/etc", image.join(name)).unwrap();
        let launch = enclosed(&format!("t-{name}"), "true", Root::Image(image));
        agent.native.launch(launch);
        agent.native.flush();
        let failed = |e: &_| matches!(e, ContainerEvent::LaunchFailed { .. });
        let event = agent.until(failed).await;
        let said = format!("{event:?}");
        assert!(said.contains("making the container") && said.contains("errno: 40"), "{said}");
    }
    // A link in the place of a volume leads to a place in the image.
    let image = busybox(rig.dir.path());
    std::fs::remove_dir(image.join("tmp")).unwrap();
    std::os::unix::fs::symlink("/etc", image.join("tmp")).unwrap();
    let mut launch = enclosed("volume", "ls /etc/in && ls /tmp", Root::Image(image));
    launch.enclosure.as_mut().unwrap().mounts = vec![Mount {
        target: "/tmp/in".into(),
        read_only: false,
        source: MountSource::Tmpfs(4096),
    }];
    let ended = agent.run(launch).await;
    assert_eq!(file_of(&ended, "stdout"), b"hostname\nhosts\nin\npasswd\nresolv.conf\n");
    assert!(!std::path::Path::new("/etc/in").exists());
    rig.finish(agent).await;
}

/// A place in an image that is a directory at one moment and a link to the host's at the next, while
/// containers are made: what is mounted there is never found on the host.
#[tokio::test]
async fn s36_links_that_come_and_go_while_a_container_is_made_lead_nowhere_else() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let image = busybox(rig.dir.path());
    let victim = rig.dir.path().join("victim");
    std::fs::create_dir(&victim).unwrap();
    // Both exist, and change places in one step.
    let (place, other) = (image.join("tmp"), image.join("other"));
    std::os::unix::fs::symlink(&victim, &other).unwrap();
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let swapper = std::thread::spawn({
        let over = std::sync::Arc::clone(&over);
        move || {
            let mut swaps = 0u64;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                rustix::fs::renameat_with(cwd, &place, cwd, &other, flags).unwrap();
                swaps += 1;
            }
            swaps
        }
    });
    let mut made = 0;
    for n in 0..60 {
        let name = format!("t-{n}");
        let mut launch = enclosed(&name, "touch /tmp/in/mark", Root::Image(image.clone()));
        launch.enclosure.as_mut().unwrap().mounts = vec![Mount {
            target: "/tmp/in".into(),
            read_only: false,
            source: MountSource::Tmpfs(4096),
        }];
        agent.native.launch(launch);
        agent.native.flush();
        let id = crate::rig::id(&name);
        let over = |event: &ContainerEvent| match event {
            ContainerEvent::LaunchFailed { id: of, .. } | ContainerEvent::Ended { id: of, .. } => {
                *of == id
            }
            _ => false,
        };
        made += usize::from(matches!(agent.until(over).await, ContainerEvent::Ended { .. }));
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0, "after {n}");
        agent.native.forget(&id);
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    let swaps = swapper.join().unwrap();
    println!("{made} of 60 containers were made, with {swaps} swaps");
    assert!(made > 0 && swaps > 60, "{made} made, {swaps} swaps: nothing was tried");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(victim.to_str().unwrap()), "{mounts}");
    rig.finish(agent).await;
}
