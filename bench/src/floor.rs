//! The floors: what this machine can do with nobody scheduling, measured in the same run as ours.

use std::fs;
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

/// Processes a second when each gets five cgroups of its own, made before and removed after.
///
/// None where the hierarchies are not v1 or cannot be written.
pub(crate) fn cgroup_rate(count: usize, at_once: usize) -> Option<f64> {
    let parents = parents()?;
    let figure = rate(count, at_once, |worker, number| {
        let name = format!("floor-{worker}-{number}");
        for parent in &parents {
            fs::create_dir(parent.join(&name)).expect("the parent is ours and writable");
        }
        true_once();
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

fn true_once() {
    let status = Command::new("/bin/true")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("/bin/true is on every machine");
    assert!(status.success());
}

fn parents() -> Option<Vec<PathBuf>> {
    let root = Path::new("/sys/fs/cgroup");
    let mut parents = Vec::new();
    for controller in ["cpu", "memory", "pids", "freezer", "cpuacct", "blkio", "cpuset", "devices"] {
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

fn rate(count: usize, at_once: usize, one: impl Fn(usize, usize) + Sync) -> f64 {
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
