//! What a container uses, from the cgroups of its first process: the engine's own answer takes a
//! second.

use crate::containerizer::Usage;
use std::path::{Path, PathBuf};
use std::time::Duration;

const CGROUPS: &str = "/sys/fs/cgroup";

/// What the container of this process uses; nothing when it is gone.
pub(crate) fn usage(pid: u32) -> Option<Usage> {
    let table = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    read(&table, Path::new(CGROUPS))
}

fn read(table: &str, root: &Path) -> Option<Usage> {
    let of = |wanted: &str| -> Option<PathBuf> {
        table.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let found = controllers.split(',').any(|controller| controller == wanted);
            found.then(|| root.join(controllers).join(path.trim_start_matches('/')))
        })
    };
    let number =
        |path: PathBuf| -> Option<u64> { std::fs::read_to_string(path).ok()?.trim().parse().ok() };
    // An empty list of controllers is the second version, mounted at the root where it is alone.
    let (cpu_time, memory, pids) = match (of("cpuacct"), of("memory"), of("pids")) {
        (Some(cpu), Some(memory), Some(pids)) => (
            Duration::from_nanos(number(cpu.join("cpuacct.usage"))?),
            (memory.join("memory.usage_in_bytes"), memory.join("memory.limit_in_bytes")),
            pids,
        ),
        _ => {
            let group = of("")?;
            let stat = std::fs::read_to_string(group.join("cpu.stat")).ok()?;
            let used = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
            let cpu_time = Duration::from_micros(used?.trim().parse().ok()?);
            (cpu_time, (group.join("memory.current"), group.join("memory.max")), group)
        }
    };
    Some(Usage {
        cpu_time,
        memory_bytes: number(memory.0)?,
        // What is unlimited is a word, or a number beyond all memory.
        memory_limit_bytes: number(memory.1).filter(|limit| *limit < 1 << 60),
        pids: number(pids.join("pids.current"))?,
        whole_container: true,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn both_versions_of_cgroups_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        file(root, "cpu,cpuacct/docker/c/cpuacct.usage", "1500000000\n");
        file(root, "memory/docker/c/memory.usage_in_bytes", "4096\n");
        file(root, "memory/docker/c/memory.limit_in_bytes", "9223372036854771712\n");
        file(root, "pids/docker/c/pids.current", "2\n");
        let table = "3:cpu,cpuacct:/docker/c\n2:memory:/docker/c\n1:pids:/docker/c\n0::/\n";
        let wanted = Usage {
            cpu_time: Duration::from_millis(1500),
            memory_bytes: 4096,
            memory_limit_bytes: None,
            pids: 2,
            whole_container: true,
            ..Usage::default()
        };
        assert_eq!(read(table, root), Some(wanted));
        file(root, "system/c/cpu.stat", "usage_usec 1500000\nuser_usec 1\n");
        file(root, "system/c/memory.current", "4096\n");
        file(root, "system/c/memory.max", "8192\n");
        file(root, "system/c/pids.current", "2\n");
        let limited = Usage { memory_limit_bytes: Some(8192), ..wanted };
        assert_eq!(read("0::/system/c\n", root), Some(limited));
        assert_eq!(read("0::/gone\n", root), None);
    }
}
