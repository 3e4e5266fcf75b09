//! Whether a test left anything on the machine: mounts, cgroups, processes that sleep for ever,
//! namespaces. It is asked when a rig ends, after whatever the test did.

use std::path::Path;

/// Mounts of this process' namespace below a path.
fn mounts_below(dir: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points.filter(|point| Path::new(point).starts_with(dir)).map(str::to_owned).collect()
}

/// Processes with a working directory, a root or an executable that says they are an enclosure's
/// and whose supervisor was this one.
fn sleepers_of(supervisor: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let pids = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let sleeps = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.starts_with(b"tepui-init") && matches!(parent(*pid), Some(p) if p == supervisor)
    };
    pids.filter(sleeps).collect()
}

/// Networks that a supervisor holds open besides its own.
fn networks_of(supervisor: u32) -> Vec<String> {
    let name = |path: &Path| std::fs::read_link(path).unwrap_or_default().display().to_string();
    let proc = Path::new("/proc").join(supervisor.to_string());
    let own = name(&proc.join("ns/net"));
    let open = std::fs::read_dir(proc.join("fd")).into_iter().flatten().flatten();
    let open = open.map(|entry| name(&entry.path()));
    open.filter(|name| name.starts_with("net:") && *name != own).collect()
}

/// Fails when something is left of a supervisor that ran below `dir`.
pub(crate) fn check(dir: &Path, supervisor: u32) {
    assert_eq!(mounts_below(dir), Vec::<String>::new(), "mounts are left");
    assert_eq!(sleepers_of(supervisor), Vec::<u32>::new(), "first processes are left");
    assert_eq!(networks_of(supervisor), Vec::<String>::new(), "networks are held");
    let layers = std::fs::read_dir(dir.join("supervisor/enclosures")).into_iter().flatten();
    let layers: Vec<_> = layers
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.parse::<u64>().is_ok())
        .collect();
    assert_eq!(layers, Vec::<String>::new(), "layers over images are left");
}
