//! The ways out of a container, tried from within: what each must say is in the table, by its
//! number in the list of threats. A control run without walls shows that the attempts are real.
//! Which tests prove which number is told in `docs/operations.md`, and held to what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::path::Path;

use agent::containerizer::{
    ContainerEvent, Containerizer, Launch, Mount, MountSource, Program, Rlimit, Root,
};

use crate::enclosed::{busybox, enclosed, rig};
use crate::rig::{file_of, shell};

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_escape");
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
            ("/usr/new", "refused"),
            ("/dev/kmsg", "absent"),
            ("/dev/mem", "absent"),
        ],
    ),
    (
        "S25",
        &[
            ("/proc/kcore", "nothing"),
            ("/proc/keys", "nothing"),
            ("/proc/latency_stats", "nothing"),
            ("/proc/timer_list", "nothing"),
            ("/proc/sched_debug", "nothing"),
            ("/proc/kmsg", "nothing"),
            ("/proc/interrupts", "nothing"),
            ("/proc/acpi", "nothing"),
            ("/proc/asound", "nothing"),
            ("/proc/scsi", "nothing"),
            ("/sys/firmware", "nothing"),
            ("/sys/devices/virtual/powercap", "nothing"),
            ("/sys/fs/selinux", "nothing"),
            ("/proc/sys/kernel/hostname", "refused"),
            ("/proc/sys/kernel/core_pattern", "refused"),
            ("/proc/sysrq-trigger", "refused"),
            ("/sys/kernel/mm/transparent_hugepage/enabled", "refused"),
            ("/proc/irq/default_smp_affinity", "refused"),
            ("/proc/bus is", "read-only"),
            ("/proc/fs is", "read-only"),
            ("/proc/irq is", "read-only"),
            ("/proc/sys is", "read-only"),
            ("/proc/pressure is", "read-only"),
            ("/proc/sysrq-trigger is", "read-only"),
            ("/sys is", "read-only"),
        ],
    ),
    ("S26", &[("processes", "1 2"), ("pid", "2")]),
    (
        "S27",
        &[
            ("cgroup", "its own"),
            ("hostname", "inside"),
            ("shared memory", "0 segments"),
            ("segment", "absent"),
            ("queue", "absent"),
        ],
    ),
    ("S29", &[("descriptors", "0 1 2"), ("more", "0")]),
    ("S30", &[("environment", "0 strange")]),
    ("S31", &[("core", "0"), ("dump", "none")]),
    ("S32", &[("mounts with setuid", "0")]),
    ("S33", &[("mknod", "refused")]),
    ("S34", &[("mounts for names", "0")]),
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

/// What the probe says besides, to be read by people.
const UNJUDGED: [(&str, &str); 2] = [("S24", "/"), ("S40", "children")];

/// Of these a plain task's run as root shows nothing: it has not the right itself on every host
/// (modules, kexec), they depend on what the host has, or a plain task is kept from them as well.
const SAME: [(&str, &str); 20] = [
    ("S20", "CapInh"),
    ("S20", "CapAmb"),
    ("S22", "kexec_load"),
    ("S22", "init_module"),
    ("S22", "finit_module"),
    ("S22", "delete_module"),
    ("S22", "ptrace"),
    ("S22", "userfaultfd"),
    ("S22", "io_uring_setup"),
    ("S24", "/dev/mem"),
    ("S24", "/dev/kmsg"),
    ("S27", "shared memory"),
    ("S29", "descriptors"),
    ("S29", "more"),
    ("S30", "environment"),
    ("S34", "mounts for names"),
    ("S35", "/proc/1/exe"),
    ("S35", "/proc/1/mem"),
    ("S35", "links of the first process"),
    ("S42", "nofile"),
];

fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    TABLE.iter().flat_map(|(number, checks)| {
        checks.iter().map(|(check, wanted)| (*number, *check, *wanted))
    })
}

/// Whether a check of a path is of one that this host has not, and says so.
fn is_absent(check: &str, wanted: &str, result: &str) -> bool {
    let path = check.split(' ').next().unwrap();
    let may_be = ["refused", "nothing", "read-only"].contains(&wanted) && path.starts_with('/');
    may_be && result == "absent" && !Path::new(path).exists()
}

pub(crate) type Found = BTreeMap<(String, String), String>;

pub(crate) fn results(text: &[u8]) -> Found {
    let text = String::from_utf8_lossy(text);
    let line = |line: &str| {
        let (head, result) = line.split_once(": ").unwrap();
        let (number, name) = head.split_once(' ').unwrap();
        ((number.to_owned(), name.to_owned()), result.to_owned())
    };
    text.lines().map(line).collect()
}

/// Holds what was found to the table; not to those checks that `skipped` knows.
fn judge(name: &str, found: &Found, skipped: impl Fn(&str, &str) -> bool) {
    for (number, check, wanted) in rows().filter(|(number, check, _)| !skipped(number, check)) {
        let result = found.get(&(number.to_owned(), check.to_owned())).map(String::as_str);
        let absent = result.is_some_and(|result| is_absent(check, wanted, result));
        assert!(
            absent || result == Some(wanted),
            "{name}: {number} {check}: {result:?}, not {wanted}"
        );
    }
    let known: BTreeSet<_> =
        rows().map(|(number, check, _)| (number, check)).chain(UNJUDGED).collect();
    for (number, check) in found.keys() {
        assert!(known.contains(&(&**number, &**check)), "{number} {check} is in no table");
    }
}

/// The probe within walls, with what its loader needs.
pub(crate) fn probe(name: &str, root: Root) -> Launch {
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
        // Who is root in an image may write its files, which are its own alone.
        let own = ["/etc/passwd", "/bin/sh", "/usr/new"];
        let its_own = is_image && user == "0";
        judge(name, &found, |number, check| its_own && number == "S24" && own.contains(&check));
    }
    rig.finish(agent).await;
}

/// The same with every right that a launch can ask for: what is refused then is refused by the
/// filter, by mounts that nobody can write, and by the namespace that the rights are of.
#[tokio::test]
async fn with_all_capabilities_the_walls_are_the_same() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let all = status.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim();
    for user in ["0", "1000"] {
        let mut launch = probe(&format!("rights-{user}"), Root::Host);
        launch.user = Some(user.into());
        let rights = u64::from_str_radix(all, 16).unwrap();
        launch.enclosure.as_mut().unwrap().capabilities = rights;
        let found = results(&file_of(&agent.run(launch).await, "stdout"));
        assert_eq!(found[&("S20".to_owned(), "CapEff".to_owned())], all);
        judge(user, &found, |number, _| number == "S20");
    }
    rig.finish(agent).await;
}

/// What is made outside to be looked for inside: a segment of memory and a queue of messages.
struct Outside {
    key: i32,
    segment: i32,
    queue: CString,
}

#[allow(unsafe_code, reason = "neither has a safe call")]
impl Outside {
    fn make() -> Self {
        let key = 0x7E90_0000_u32.cast_signed() | std::process::id().cast_signed();
        let queue = CString::new(format!("/tepui-{key}")).unwrap();
        let flags = libc::IPC_CREAT | libc::IPC_EXCL | 0o666;
        // SAFETY: numbers, a C string, and the attributes that are the usual ones.
        let (segment, open) = unsafe {
            let none = std::ptr::null_mut::<libc::mq_attr>();
            let make = libc::O_CREAT | libc::O_EXCL;
            (libc::shmget(key, 4096, flags), libc::mq_open(queue.as_ptr(), make, 0o666, none))
        };
        assert!(segment >= 0 && open >= 0, "{}", std::io::Error::last_os_error());
        Self { key, segment, queue }
    }
}

#[allow(unsafe_code, reason = "neither has a safe call")]
impl Drop for Outside {
    fn drop(&mut self) {
        // SAFETY: what this made, which nobody else uses.
        unsafe {
            libc::shmctl(self.segment, libc::IPC_RMID, std::ptr::null_mut());
            libc::mq_unlink(self.queue.as_ptr());
        }
    }
}

#[tokio::test]
async fn without_walls_the_same_ways_are_open() {
    let Some(rig) = rig() else { return };
    let mut agent = rig.agent().await;
    let outside = Outside::make();
    let mut launch = shell("control", &format!("exec {PROBE} all {}", outside.key));
    launch.allocation.pids = Some(300);
    let endless = u64::MAX;
    launch.rlimits = vec![Rlimit { resource: libc::RLIMIT_CORE, soft: endless, hard: endless }];
    let control = results(&file_of(&agent.run(launch).await, "stdout"));
    let mut same = Vec::new();
    for (number, check, wanted) in rows().filter(|(n, c, _)| !SAME.contains(&(n, c))) {
        let result = &control[&(number.to_owned(), check.to_owned())];
        if result == "absent" && check.starts_with('/') || is_empty(check) {
            println!("{number} {check}: this host has none");
        } else if result == wanted {
            same.push((number, check));
        }
    }
    assert_eq!(same, [], "what is tried here proves nothing within walls");
    // Most of what is hidden within walls is there to be hidden.
    let shown = control.values().filter(|result| *result == "shown").count();
    assert!(shown >= 4, "{control:?}");

    let mut launch = probe("walls", Root::Host);
    let argv = ["probe".into(), "all".into(), outside.key.to_string()].to_vec();
    launch.program = Program::Exec { file: "/probe".into(), argv };
    let found = results(&file_of(&agent.run(launch).await, "stdout"));
    judge("beside what is outside", &found, |_, _| false);
    rig.finish(agent).await;
}

/// A directory of the host that is there and holds nothing.
fn is_empty(path: &str) -> bool {
    std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// The numbers of the list of threats that this is about.
fn numbers() -> impl Iterator<Item = u32> {
    (20..=38).chain(40..=48)
}

/// What the documentation says of a number is what there is: each has a row, each test that is named
/// there is in the sources, and the program judges what it is said to judge.
#[test]
fn every_number_has_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(docs) = std::fs::read_to_string(root.join("../docs/operations.md")) else {
        println!("not run: this is not where it was built");
        return;
    };
    let (sources, mut told) = (sources(root), BTreeMap::new());
    for row in docs.lines().filter(|line| line.starts_with("| S")) {
        let (head, how) = row[2..].split_once(" | ").unwrap();
        let of: Vec<u32> = head
            .split([',', ' '])
            .filter_map(|word| word.strip_prefix('S')?.parse().ok())
            .collect();
        let range = if head.contains(" to ") { of[0]..=of[1] } else { of[0]..=of[0] };
        for number in range.chain(of) {
            told.entry(number).or_insert_with(String::new).push_str(how);
        }
    }
    for number in numbers() {
        let how = told.get(&number).unwrap_or_else(|| panic!("S{number} has no row"));
        let named: Vec<_> = how.split('`').skip(1).step_by(2).collect();
        let judged = TABLE.iter().any(|(of, _)| *of == format!("S{number}"));
        let tests = named.iter().filter(|name| name.contains("::"));
        let modules = tests.clone().count();
        assert!(judged || modules > 0 || number == 38, "S{number}: {how}");
        assert!(!how.contains("the program") || judged || number == 38, "S{number}: {how}");
        for name in tests {
            let function = format!("fn {}(", name.rsplit("::").next().unwrap());
            assert!(sources.iter().any(|text| text.contains(&function)), "S{number}: {name}");
        }
    }
    let tried = format!("{} in all", rows().count());
    assert!(docs.contains(&tried), "{tried}");
}

/// All sources of the agent with its tests.
fn sources(root: &Path) -> Vec<String> {
    let (mut found, mut todo) =
        (Vec::new(), ["src", "tests", "fetch"].map(|d| root.join(d)).to_vec());
    while let Some(dir) = todo.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    found
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
