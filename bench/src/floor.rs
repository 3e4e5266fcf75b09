//! The floors: what this machine can do with nobody scheduling, measured in the same run as ours.

use crate::stats;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Processes a second: `posix_spawn` and wait of `/bin/true`, `at_once` at a time.
///
/// The standard library uses `posix_spawn` when no hook asks for a fork. It runs in a process of
/// its own (`bench floor-spawn`), which is small, because a fork's cost grows with its parent.
pub(crate) fn spawn_rate(count: usize, at_once: usize) -> f64 {
    rate(count, at_once, |_, _| true_once())
}

/// Processes a second when each runs in five cgroups of its own, made before and removed after.
/// The child joins them itself before it runs the program, as everything that isolates must: this
/// forks, from a process that is small.
///
/// None where the hierarchies are not v1 or cannot be written.
pub(crate) fn cgroup_rate(count: usize, at_once: usize) -> Option<f64> {
    let parents = cgroup_parents()?;
    let figure = rate(count, at_once, |worker, number| {
        let name = format!("floor-{worker}-{number}");
        let mut doors = Vec::new();
        for parent in &parents {
            let group = parent.join(&name);
            fs::create_dir(&group).expect("the parent is ours and writable");
            let door = fs::OpenOptions::new().write(true).open(group.join("cgroup.procs"));
            doors.push(door.expect("a new cgroup can be joined"));
        }
        true_in(doors);
        for parent in &parents {
            fs::remove_dir(parent.join(&name)).expect("nothing is left in it");
        }
    });
    for parent in &parents {
        // Ours and empty; left behind it would only be an empty directory.
        let _ = fs::remove_dir(parent);
    }
    Some(figure)
}

/// Milliseconds of one append of a small record and its fdatasync, p50 and p99.
pub(crate) fn sync_times(dir: &Path) -> [f64; 2] {
    let mut file = fs::File::create(dir.join("floor")).expect("a file can be made");
    middle_and_slow(|| {
        file.write_all(&[0x5a; 256]).and_then(|()| file.sync_data()).expect("the disk works");
    })
}

/// Milliseconds of one `posix_spawn` and wait of `/bin/true`, p50 and p99.
pub(crate) fn spawn_times() -> [f64; 2] {
    middle_and_slow(true_once)
}

/// Milliseconds of a few bytes there and back between two threads over loopback, p50 and p99.
pub(crate) fn round_trip_times() -> [f64; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a port");
    let address = listener.local_addr().expect("it is bound");
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        stream.set_nodelay(true).expect("a socket option");
        let mut bytes = [0; 64];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            stream.write_all(&bytes[..count]).expect("the other end reads");
        }
    });
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_nodelay(true).expect("a socket option");
    let times = middle_and_slow(|| {
        let mut bytes = [0; 64];
        stream.write_all(&bytes).and_then(|()| stream.read_exact(&mut bytes)).expect("an echo");
    });
    drop(stream);
    echo.join().expect("no panic");
    times
}

fn middle_and_slow(mut one: impl FnMut()) -> [f64; 2] {
    let times: Vec<f64> = (0..500)
        .map(|_| {
            let begin = Instant::now();
            one();
            begin.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    [stats::percentile(&times, 0.5), stats::percentile(&times, 0.99)]
}

fn program() -> Command {
    let mut command = Command::new("/bin/true");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn true_once() {
    assert!(program().status().expect("/bin/true is on every machine").success());
}

/// The same, in the cgroups behind `doors`.
#[allow(unsafe_code, reason = "the child must join before it runs the program")]
fn true_in(doors: Vec<fs::File>) {
    let mut command = program();
    let join = move || doors.iter().try_for_each(|mut door| door.write_all(b"0"));
    // SAFETY: between fork and exec the child only calls write(2) on descriptors that it has.
    unsafe { command.pre_exec(join) };
    assert!(command.status().expect("/bin/true is on every machine").success());
}

/// Directories of ours in five hierarchies of cgroups v1; none where they cannot be written.
pub(crate) fn cgroup_parents() -> Option<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let mut parents = Vec::new();
    for controller in ["cpu", "memory", "pids", "freezer", "cpuacct", "blkio", "cpuset", "devices"]
    {
        let hierarchy = root.join(controller);
        // `cpu` and `cpuacct` may be one hierarchy under two names.
        let real = fs::canonicalize(&hierarchy).ok()?;
        let parent = real.join("tepui-bench-floor");
        if parents.contains(&parent) || parents.len() == 5 {
            continue;
        }
        if fs::create_dir(&parent).is_ok() || parent.is_dir() {
            parents.push(parent);
        }
    }
    (parents.len() == 5).then_some(parents)
}

/// How many of `one`, which is told its worker and its number, end in a second.
pub(crate) fn rate(count: usize, at_once: usize, one: impl Fn(usize, usize) + Sync) -> f64 {
    let next = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..at_once {
            let (next, one) = (&next, &one);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    one(worker, number);
                }
            });
        }
    });
    count as f64 / start.elapsed().as_secs_f64()
}
