//! Measures launches against what the machine can do, in one run: floor, ours, floor, ours.
//!
//! `launches bare [N]`: /bin/true two at a time, against as many plain posix_spawns.
//! `launches cgroups [N [K]]`: K (eight) at a time, against "make five v1 cgroups, spawn, wait, remove".
//! `launches output [DIR]`: what it costs to be ready for a task's output, by method.
//! Prints medians and the ratio; needs root for `cgroups`. Removes everything it makes.
#![allow(unsafe_code)] // posix_spawn and pre_exec, for the floors.
#![allow(clippy::print_stdout)] // Its output is its purpose.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use agent::containerizer::{
    Allocation, ContainerEvent, ContainerId, Containerizer, Launch, Native, NativeDefaults,
    NativeOptions, Program, SandboxChoice, WaitStatus,
};
use agent::supervisor::options::Options;

const ROUNDS: usize = 5;
const HIERARCHIES: [&str; 5] = ["cpu", "cpuacct", "memory", "pids", "freezer"];

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let mode = arguments.next().unwrap_or_default();
    if mode == "supervise" {
        return agent::supervisor::main(arguments).into();
    }
    let extra = arguments.next();
    let count = extra.as_ref().and_then(|n| n.to_str()?.parse().ok()).unwrap_or(2000);
    let at_once = arguments.next().and_then(|n| n.to_str()?.parse().ok());
    match mode.to_str() {
        Some("bare") => compare("posix_spawn", count, at_once.unwrap_or(2), false, floor_spawn),
        Some("cgroups") => {
            compare("five v1 cgroups", count, at_once.unwrap_or(8), true, floor_cgroups);
        }
        Some("output") => output(&extra.map_or_else(std::env::temp_dir, PathBuf::from)),
        _ => {
            println!("usage: launches bare|cgroups [N [K]] | output [DIR]");
            return 2.into();
        }
    }
    std::process::ExitCode::SUCCESS
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn compare(name: &str, count: usize, at_once: usize, cgroups: bool, floor: fn(usize, usize)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (mut native, mut events) = runtime.block_on(start(dir.path(), cgroups));
    let (mut floors, mut ours) = (Vec::new(), Vec::new());
    let mut serial = 0;
    let timed = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        count as f64 / begun.elapsed().as_secs_f64()
    };
    runtime.block_on(tasks(&mut native, &mut events, 50, at_once, &mut serial));
    for _ in 0..ROUNDS {
        floors.push(timed(&mut || floor(count, at_once)));
        ours.push(timed(&mut || {
            runtime.block_on(tasks(&mut native, &mut events, count, at_once, &mut serial));
        }));
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", native.supervisor_pid()));
    let status = status.unwrap_or_default();
    let memory = status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon"));
    let memory: Vec<String> =
        memory.map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    println!("{} ({}), {count} x /bin/true, {at_once} at a time", name, native.isolation());
    println!("  floor each round  {floors:.0?}");
    println!("  ours each round   {ours:.0?}");
    let (floor, ours) = (median(floors), median(ours));
    println!("  floor {floor:.0}/s  ours {ours:.0}/s  ratio {:.2}", ours / floor);
    println!("  supervisor: {}", memory.join(", "));
    native.shutdown();
    runtime.block_on(async {
        while !matches!(events.recv().await, Some(ContainerEvent::Lost { .. })) {}
    });
}

async fn start(
    dir: &Path,
    cgroups: bool,
) -> (Native, tokio::sync::mpsc::UnboundedReceiver<ContainerEvent>) {
    let own = std::env::current_exe().expect("a running program has a path");
    let options = NativeOptions {
        command: vec![own.into(), OsString::from("supervise")],
        supervisor: Options {
            socket: dir.join("s"),
            dir: dir.join("supervisor"),
            sandboxes: dir.join("sandboxes"),
            name: format!("bench-{}", std::process::id()),
            away_grace: Duration::from_secs(1),
            cgroups,
            extras: agent::Extras::default(),
            foreground: false,
        },
        defaults: NativeDefaults { root: true, ..NativeDefaults::default() },
        logs: agent::LogPolicy::default(),
    };
    let (native, mut events) = Native::start(options).await.expect("the supervisor starts");
    events.recv().await;
    (native, events)
}

/// Runs `count` tasks, `at_once` at a time, each acknowledged.
async fn tasks(
    native: &mut Native,
    events: &mut tokio::sync::mpsc::UnboundedReceiver<ContainerEvent>,
    count: usize,
    at_once: usize,
    serial: &mut u64,
) {
    let mut launch = |native: &mut Native| {
        *serial += 1;
        native.launch(Launch {
            id: ContainerId::new(format!("bench-{serial}")).expect("printable"),
            program: Program::Exec { file: "/bin/true".into(), argv: vec!["true".into()] },
            environment: Vec::new(),
            user: None,
            rlimits: Vec::new(),
            sandbox: SandboxChoice::Pooled,
            allocation: Allocation {
                cpus_milli: 1000,
                memory_bytes: Some(64 << 20),
                cpu_limit_milli: None,
                memory_soft_bytes: None,
                pids: Some(100),
                disk_bytes: None,
            },
            record: vec![0; 200],
            volumes: Vec::new(),
            enclosure: None,
            network: None,
            docker: None,
            identity: None,
            shared: None,
        });
    };
    let (mut begun, mut ended) = (0, 0);
    while begun < at_once.min(count) {
        launch(native);
        begun += 1;
    }
    native.flush();
    let mut batch = Vec::new();
    while ended < count {
        events.recv_many(&mut batch, 64).await;
        for event in batch.drain(..) {
            match event {
                ContainerEvent::Ended { id, ended: end } => {
                    assert_eq!(end.status, WaitStatus::Exited(0));
                    native.forget(&id);
                    ended += 1;
                    if begun < count {
                        launch(native);
                        begun += 1;
                    }
                }
                ContainerEvent::Launched { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        native.flush();
    }
}

/// posix_spawn and wait, as cheap as libc makes it.
fn floor_spawn(count: usize, at_once: usize) {
    let path = c"/bin/true".as_ptr();
    let argv = [c"true".as_ptr().cast_mut(), std::ptr::null_mut()];
    let envp = [c"PATH=/usr/bin:/bin".as_ptr().cast_mut(), std::ptr::null_mut()];
    let (mut begun, mut running) = (0, 0);
    while begun < count || running > 0 {
        while begun < count && running < at_once {
            let mut pid = 0;
            // SAFETY: all pointers are to live, null-terminated data; no actions or attributes.
            let result = unsafe {
                libc::posix_spawn(
                    &raw mut pid,
                    path,
                    std::ptr::null(),
                    std::ptr::null(),
                    argv.as_ptr(),
                    envp.as_ptr(),
                )
            };
            assert_eq!(result, 0);
            begun += 1;
            running += 1;
        }
        let mut status = 0;
        // SAFETY: the pointer is to a live local.
        assert!(unsafe { libc::waitpid(-1, &raw mut status, 0) } > 0);
        assert_eq!(status, 0);
        running -= 1;
    }
}

/// Five cgroups with limits for each task, made and removed; one thread for each at once.
fn floor_cgroups(count: usize, at_once: usize) {
    let top = |h: &str| PathBuf::from(format!("/sys/fs/cgroup/{h}/tepui-floor"));
    for hierarchy in HIERARCHIES {
        std::fs::create_dir_all(top(hierarchy)).expect("cgroups need root and v1");
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let dirs = HIERARCHIES.map(|h| top(h).join(n.to_string()));
                    one_in_cgroups(&dirs);
                }
            });
        }
    });
    for hierarchy in HIERARCHIES {
        std::fs::remove_dir(top(hierarchy)).expect("every child has been removed");
    }
}

fn one_in_cgroups(dirs: &[PathBuf; 5]) {
    let mut joins = Vec::new();
    for dir in dirs {
        std::fs::create_dir(dir).expect("a fresh name");
        let file = std::fs::OpenOptions::new().write(true).open(dir.join("cgroup.procs"));
        joins.push(file.expect("it has just been made"));
    }
    std::fs::write(dirs[2].join("memory.limit_in_bytes"), "67108864").expect("a valid limit");
    std::fs::write(dirs[3].join("pids.max"), "100").expect("a valid limit");
    let mut command = Command::new("/bin/true");
    // SAFETY: the hook only writes to open descriptors.
    unsafe {
        command.pre_exec(move || {
            for file in &joins {
                std::io::Write::write_all(&mut &*file, b"0")?;
            }
            Ok(())
        });
    }
    assert!(command.status().expect("/bin/true runs").success());
    for dir in dirs {
        // Busy for a moment after the last process.
        while std::fs::remove_dir(dir).is_err() {
            std::thread::yield_now();
        }
    }
}

/// Costs of being ready for output that does not come, in microseconds for both streams.
fn output(dir: &Path) {
    use rustix::fs::{Mode, OFlags};
    const N: u32 = 2000;
    let measure = |name: &str, work: &mut dyn FnMut(u32)| {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            (0..N).for_each(&mut *work);
            rounds.push(begun.elapsed().as_secs_f64() * 1e6 / f64::from(N));
        }
        println!("  {:<44} {:>8.1} us a task", name, median(rounds));
    };
    let tmpfile = |dir: &Path| {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        for _ in 0..2 {
            drop(
                rustix::fs::open(dir, flags, Mode::from_raw_mode(0o644)).expect("O_TMPFILE works"),
            );
        }
    };
    println!("ready for stdout and stderr of a silent task, {}", dir.display());
    let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).expect("a pipe");
    let kept = [pipe(), pipe()];
    let mut buffer = [0u8; 64];
    measure("pipes kept from task to task", &mut |_| {
        for (read, _) in &kept {
            let _ = rustix::io::read(read, &mut buffer);
        }
    });
    measure("fresh pipes", &mut |_| drop([pipe(), pipe()]));
    measure("O_TMPFILE here", &mut |_| tmpfile(dir));
    measure("O_TMPFILE on /dev/shm", &mut |_| tmpfile(Path::new("/dev/shm")));
    let mut paths = HashMap::new();
    measure("files made here (and removed)", &mut |n| {
        for name in ["out", "err"] {
            let path = paths.entry(name).or_insert_with(|| dir.join(format!("tepui-bench-{name}")));
            drop(std::fs::File::create(&*path).unwrap_or_else(|e| panic!("{n}: {e}")));
            std::fs::remove_file(&*path).expect("it has just been made");
        }
    });
    let sub = dir.join("tepui-bench-dir");
    measure("a sandbox directory made here (and removed)", &mut |_| {
        std::fs::create_dir(&sub).expect("a fresh name");
        std::fs::remove_dir(&sub).expect("it has just been made");
    });
}
