//! Tries to get out of a container, by the ways that are known, and says of each what came of it.
//! For tests: within walls every line must be as the test's table says.
//!
//! A line is the check's number, its name and its result: `refused` with the error, `absent`, or
//! what was found. It never changes the machine where it succeeds: calls are made with arguments
//! that do nothing.
#![allow(unsafe_code, reason = "the calls that are tried are raw ones")]
#![allow(clippy::print_stdout, reason = "what it finds is its output")]

use std::fs;
use std::io::{Read, Write};

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

fn world() {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let own = map.split_whitespace().nth(1) != Some("0");
    say("S23", "uid_map", if own { "its own" } else { "the host's" });
    say("S24", "/dev", &names("/dev").join(" "));
    say("S24", "/", &names("/").join(" "));
    for path in ["/etc/passwd", "/bin/sh", "/usr", "/dev/kmsg", "/dev/mem"] {
        write_to("S24", path);
    }
    let mut kcore = Vec::new();
    let _ = fs::File::open("/proc/kcore").and_then(|f| f.take(16).read_to_end(&mut kcore));
    say("S25", "/proc/kcore", &format!("{} bytes", kcore.len()));
    let hidden = ["/proc/keys", "/proc/timer_list", "/sys/firmware", "/proc/acpi", "/proc/scsi"];
    for path in hidden {
        let shown = fs::read(path).map_or(0, |text| text.len()) + names(path).len();
        say("S25", path, if shown == 0 { "nothing" } else { "shown" });
    }
    for path in [
        "/proc/sys/kernel/hostname",
        "/proc/sys/kernel/core_pattern",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/proc/irq/default_smp_affinity",
        "/proc/self/oom_score_adj_of_1",
    ] {
        write_to("S25", path);
    }
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
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
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
    let made = fs::create_dir("/sys/fs/cgroup/mine").is_ok();
    say("S46", "cgroup", if made { "made" } else { "refused" });
    let mut shm = fs::File::create("/dev/shm/big");
    let block = vec![1u8; 1 << 20];
    let full = shm.as_mut().is_ok_and(|file| (0..9).any(|_| file.write_all(&block).is_err()));
    say("S47", "/dev/shm", if full { "full" } else { "endless" });
}

fn status_limit(name: &str) -> String {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).unwrap_or("absent").to_owned()
}

/// Forks children that wait, until that is refused; then they are gone.
fn forks() {
    let mut children = Vec::new();
    let refused = loop {
        match std::process::Command::new("/bin/cat").stdin(std::process::Stdio::piped()).spawn() {
            Ok(child) => children.push(child),
            Err(_) => break true,
        }
        if children.len() > 200 {
            break false;
        }
    };
    for mut child in children {
        let _ = child.kill();
        let _ = child.wait();
    }
    say("S40", "processes", if refused { "bounded" } else { "endless" });
}

fn main() {
    rights();
    world();
    things();
    forks();
    // Last of all: where it is let through, this process is another one afterwards.
    let user = libc::c_long::from(libc::CLONE_NEWUSER);
    call("S22", "unshare", libc::SYS_unshare, [user, 0, 0, 0, 0]);
}
