//! Tries to get out of a container, by the ways that are known, and says of each what came of it.
//! For tests: within walls every line must be as the test's table says.
//!
//! A line is the check's number, its name and its result: `refused`, `absent`, or what was found.
//! It never changes the machine where it succeeds: calls are made with arguments that do nothing.
//! `all KEY` looks for a segment of memory and a queue of messages of that key, which were made
//! outside. With another word it does one thing: `forks NUMBER`, `watch` (until there is a file `stop`), `orphan`
//! (until there is a file `go`).
#![allow(unsafe_code, reason = "the calls that are tried are raw ones")]
#![allow(clippy::print_stdout, reason = "what it finds is its output")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};

/// What is tried to be made of processes when nothing else is said.
const FORKS: usize = 200;

fn say(number: &str, name: &str, result: &str) {
    println!("{number} {name}: {result}");
}

/// What a raw system call without effect gives.
fn call(number: &str, name: &str, which: libc::c_long, arguments: [libc::c_long; 5]) {
    let [a, b, c, d, e] = arguments;
    // SAFETY: the arguments are null pointers, invalid descriptors and flags of no effect.
    let result = unsafe { libc::syscall(which, a, b, c, d, e) };
    let error = std::io::Error::last_os_error();
    match result {
        -1 if error.raw_os_error() == Some(libc::EPERM) => say(number, name, "refused"),
        -1 if error.raw_os_error() == Some(libc::ENOSYS) => say(number, name, "refused"),
        -1 => say(number, name, &format!("let through ({error})")),
        result => say(number, name, &format!("let through ({result})")),
    }
}

fn status(field: &str) -> String {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or("absent").trim().to_owned()
}

fn write_to(number: &str, path: &str) {
    let result = fs::OpenOptions::new().write(true).open(path);
    match result {
        Ok(_) => say(number, path, "writable"),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => say(number, path, "absent"),
        Err(_) => say(number, path, "refused"),
    }
}

fn names(path: &str) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn rights() {
    for field in ["CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb"] {
        say("S20", field, &status(field));
    }
    say("S21", "NoNewPrivs", &status("NoNewPrivs"));
    say("S22", "Seccomp", &status("Seccomp"));
    let calls = [
        ("mount", libc::SYS_mount),
        ("umount2", libc::SYS_umount2),
        ("pivot_root", libc::SYS_pivot_root),
        ("chroot", libc::SYS_chroot),
        ("fsopen", libc::SYS_fsopen),
        ("move_mount", libc::SYS_move_mount),
        ("open_tree", libc::SYS_open_tree),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("setns", libc::SYS_setns),
        ("bpf", libc::SYS_bpf),
        ("userfaultfd", libc::SYS_userfaultfd),
        ("perf_event_open", libc::SYS_perf_event_open),
        ("keyctl", libc::SYS_keyctl),
        ("add_key", libc::SYS_add_key),
        ("request_key", libc::SYS_request_key),
        ("kexec_load", libc::SYS_kexec_load),
        ("init_module", libc::SYS_init_module),
        ("finit_module", libc::SYS_finit_module),
        ("delete_module", libc::SYS_delete_module),
        ("open_by_handle_at", libc::SYS_open_by_handle_at),
        ("name_to_handle_at", libc::SYS_name_to_handle_at),
        ("process_vm_readv", libc::SYS_process_vm_readv),
        ("process_vm_writev", libc::SYS_process_vm_writev),
        ("io_uring_setup", libc::SYS_io_uring_setup),
        ("swapon", libc::SYS_swapon),
        ("acct", libc::SYS_acct),
        ("quotactl", libc::SYS_quotactl),
        ("pidfd_getfd", libc::SYS_pidfd_getfd),
        ("kcmp", libc::SYS_kcmp),
        ("clone3", libc::SYS_clone3),
    ];
    for (name, which) in calls {
        // -1 is a bad descriptor, a bad address and an unknown flag in one.
        call("S22", name, which, [-1; 5]);
    }
    call("S22", "ptrace", libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), 1, 0, 0, 0]);
    call("S22", "vsock", libc::SYS_socket, [40, 1, 0, 0, 0]);
    call("S22", "alg", libc::SYS_socket, [38, 5, 0, 0, 0]);
}

fn world(key: i32) {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let own = map.split_whitespace().nth(1) != Some("0");
    say("S23", "uid_map", if own { "its own" } else { "the host's" });
    say("S24", "/dev", &names("/dev").join(" "));
    say("S24", "/", &names("/").join(" "));
    for path in ["/etc/passwd", "/bin/sh", "/dev/kmsg", "/dev/mem"] {
        write_to("S24", path);
    }
    let made = fs::File::create_new("/usr/tepui-escape").is_ok();
    let _ = fs::remove_file("/usr/tepui-escape");
    say("S24", "/usr/new", if made { "made" } else { "refused" });
    let pids: Vec<String> =
        names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()).collect();
    say("S26", "processes", &pids.join(" "));
    say("S26", "pid", &std::process::id().to_string());
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let inside = groups.lines().all(|line| line.ends_with(":/"));
    say("S27", "cgroup", if inside { "its own" } else { "the host's" });
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    say("S27", "hostname", name.trim());
    let queues = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
    say("S27", "shared memory", &format!("{} segments", queues.lines().count().saturating_sub(1)));
    let name = std::ffi::CString::new(format!("/tepui-{key}")).expect("no zero in it");
    // SAFETY: neither makes anything: they look for what has the key, and the name.
    let (segment, queue) =
        unsafe { (libc::shmget(key, 0, 0), libc::mq_open(name.as_ptr(), libc::O_RDONLY)) };
    say("S27", "segment", if segment < 0 { "absent" } else { "seen" });
    say("S27", "queue", if queue < 0 { "absent" } else { "seen" });
}

/// Files of `/proc` and `/sys` that tell of the machine, or change it.
fn machine() {
    let hidden = [
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/sched_debug",
        "/proc/kmsg",
        "/proc/interrupts",
        "/proc/acpi",
        "/proc/asound",
        "/proc/scsi",
        "/sys/firmware",
        "/sys/devices/virtual/powercap",
        "/sys/fs/selinux",
    ];
    for path in hidden {
        say("S25", path, content(path));
    }
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/proc/irq/default_smp_affinity",
    ] {
        write_to("S25", path);
    }
    let fixed = ["bus", "fs", "irq", "sys", "pressure", "sysrq-trigger"];
    for path in fixed.map(|name| format!("/proc/{name}")).into_iter().chain(["/sys".into()]) {
        say("S25", &format!("{path} is"), writable(&path));
    }
}

/// Whether there is anything to read.
fn content(path: &str) -> &'static str {
    // Nothing here waits for what is not there.
    let opened = fs::File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut text = Vec::new();
    let found = opened.and_then(|file| Ok((file.metadata()?, file)));
    match found {
        Ok((found, _)) if found.is_dir() && names(path).is_empty() => "nothing",
        Ok((found, _)) if found.is_dir() => "shown",
        // What is read there is gone for others.
        Ok((found, _)) if path == "/proc/kmsg" && found.rdev() == 0 => "shown",
        Ok((_, file)) => match file.take(16).read_to_end(&mut text) {
            Ok(0) => "nothing",
            Ok(_) => "shown",
            Err(_) => "refused",
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "absent",
        Err(_) => "refused",
    }
}

/// Whether the mount is one that can be written, whoever asks.
fn writable(path: &str) -> &'static str {
    let path = std::ffi::CString::new(path).expect("no zero in it");
    // SAFETY: a C string, and room for the answer, which is read where there is one.
    let flags = unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(path.as_ptr(), &raw mut found) == 0).then_some(found.f_flag)
    };
    match flags {
        None => "absent",
        Some(flags) if flags & libc::ST_RDONLY != 0 => "read-only",
        Some(_) => "writable",
    }
}

fn things() {
    // The directory that is read is one more.
    let open = names("/proc/self/fd");
    say("S29", "descriptors", &open[..open.len().min(3)].join(" "));
    say("S29", "more", &open.len().saturating_sub(4).to_string());
    let known = ["PATH", "MESOS_", "_THREADS", "GOMAXPROCS"];
    let strange = std::env::vars().filter(|(name, _)| !known.iter().any(|k| name.contains(k)));
    say("S30", "environment", &format!("{} strange", strange.count()));
    say("S31", "core", &status_limit("Max core file size"));
    say("S31", "dump", if dumps() { "made" } else { "none" });
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = mounts.lines().filter(|line| line.split(' ').nth(4).is_some_and(of_names));
    say("S34", "mounts for names", &own.count().to_string());
    let suid = mounts.lines().filter(|line| {
        line.split(' ').nth(5).is_some_and(|options| !options.split(',').any(|o| o == "nosuid"))
    });
    say("S32", "mounts with setuid", &suid.count().to_string());
    // SAFETY: the path is a C string.
    let made = unsafe { libc::mknod(c"disk".as_ptr(), libc::S_IFBLK | 0o600, 254 << 8) };
    say("S33", "mknod", if made == 0 { "made" } else { "refused" });
    write_to("S35", "/proc/1/exe");
    write_to("S35", "/proc/1/mem");
    let links = ["exe", "root", "cwd"].map(|name| fs::read_link(format!("/proc/1/{name}")).is_ok());
    say(
        "S35",
        "links of the first process",
        if links.contains(&true) { "followed" } else { "refused" },
    );
    say("S42", "nofile", &status_limit("Max open files"));
    let hierarchies = mounts.lines().filter(|line| line.contains(" - cgroup"));
    let places = hierarchies.filter_map(|line| line.split(' ').nth(4)).chain(["/sys/fs/cgroup"]);
    let made: Vec<_> = places
        .map(|place| format!("{place}/tepui-escape"))
        .filter(|path| fs::create_dir(path).is_ok())
        .collect();
    say("S46", "cgroup", if made.is_empty() { "refused" } else { "made" });
    for path in made {
        let _ = fs::remove_dir(path);
    }
    let mut shm = fs::File::create("/dev/shm/big");
    let block = vec![1u8; 1 << 20];
    let full = shm.as_mut().is_ok_and(|file| (0..9).any(|_| file.write_all(&block).is_err()));
    let _ = fs::remove_file("/dev/shm/big");
    say("S47", "/dev/shm", if full { "full" } else { "endless" });
}

/// Whether a mount is of one of the files by which names are found.
fn of_names(path: &str) -> bool {
    ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"].contains(&path)
}

/// Whether who crashes leaves its memory in a file.
fn dumps() -> bool {
    // SAFETY: the child does nothing but crash, and is waited for.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::signal(libc::SIGABRT, libc::SIG_DFL);
            libc::kill(libc::getpid(), libc::SIGABRT);
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        libc::WIFSIGNALED(status) && libc::WCOREDUMP(status)
    }
}

fn status_limit(name: &str) -> String {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("absent").to_owned()
}

/// Forks children that wait, until that is refused or there are enough; then they are gone.
fn forks(most: usize) {
    let mut children = Vec::new();
    while children.len() < most {
        // SAFETY: the child waits and does nothing else, until it is killed.
        match unsafe { libc::fork() } {
            0 => loop {
                // SAFETY: no arguments.
                unsafe { libc::pause() };
            },
            child if child > 0 => children.push(child),
            _ => break,
        }
    }
    let refused = children.len() < most;
    say("S40", "children", &children.len().to_string());
    for child in children {
        // SAFETY: a child of ours that nobody has waited for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    say("S40", "processes", if refused { "bounded" } else { "endless" });
}

/// Looks for programs of others among the processes, as they come and go, and tries to have them
/// open and to write to them: the way of CVE-2019-5736.
fn watch() {
    println!("watching");
    let own = std::process::id().to_string();
    let mut seen = std::collections::BTreeSet::new();
    while !fs::exists("stop").unwrap_or(true) {
        for pid in names("/proc").into_iter().filter(|pid| pid.parse::<u32>().is_ok()) {
            let exe = format!("/proc/{pid}/exe");
            if pid == own {
                continue;
            }
            let Ok(name) = fs::read_link(&exe) else { continue };
            let name = name.to_string_lossy().into_owned();
            if seen.insert(name.clone()) {
                say("S35", &name, "named");
            }
            let Ok(file) = fs::File::open(&exe) else { continue };
            let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
            let writes = fs::File::options().write(true).open(again).is_ok();
            let what = if writes { "writable" } else { "open" };
            if seen.insert(format!("{name} {what}")) {
                say("S35", &name, what);
            }
        }
    }
}

/// Leaves a process behind that nobody has asked for, hears no signal and holds nothing.
fn orphan() {
    // SAFETY: each child makes the calls below and no others.
    unsafe {
        if libc::fork() == 0 {
            libc::setsid();
            if libc::fork() == 0 {
                for signal in 1..64 {
                    libc::signal(signal, libc::SIG_IGN);
                }
                for descriptor in 0..3 {
                    libc::close(descriptor);
                }
                loop {
                    libc::pause();
                }
            }
            libc::_exit(0);
        }
        libc::wait(std::ptr::null_mut());
    }
    println!("left");
    while !fs::exists("go").unwrap_or(true) {
        std::thread::yield_now();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["forks", most] => forks(most.parse().unwrap_or(FORKS)),
        ["watch", ..] => watch(),
        ["orphan", ..] => orphan(),
        ["all", key] => all(key.parse().unwrap_or(-1)),
        _ => all(-1),
    }
}

fn all(key: i32) {
    rights();
    world(key);
    machine();
    things();
    forks(FORKS);
    // Last of all: where it is let through, this process is another one afterwards.
    let user = libc::c_long::from(libc::CLONE_NEWUSER);
    call("S22", "unshare", libc::SYS_unshare, [user, 0, 0, 0, 0]);
}
