//! Birth inside a cgroup, on whatever v2 hierarchy this machine has (it needs no controllers).

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::pipe::{PipeFlags, pipe_with};

use super::*;
use crate::supervisor::task::{ContainerId, Limits, SandboxChoice};

/// A group that is removed however the test ends.
struct OwnGroup(std::path::PathBuf);

impl Drop for OwnGroup {
    fn drop(&mut self) {
        // The kernel may still be letting go of the last process.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while fs::remove_dir(&self.0).is_err() && std::time::Instant::now() < until {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_child_is_born_inside_a_v2_cgroup() {
    let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
    let v2 = |path: &&&str| Path::new(path).join("cgroup.subtree_control").exists();
    let mount = mounts.iter().find(v2);
    let name = format!("tepui-spawn-{}", std::process::id());
    let Some(group) = mount.map(|mount| Path::new(mount).join(&name)) else {
        println!("not run: no cgroup v2 hierarchy is mounted");
        return;
    };
    if let Err(error) = fs::create_dir(&group) {
        println!("not run: cannot make {}: {error}", group.display());
        return;
    }
    let group = OwnGroup(group);
    let spec = TaskSpec {
        id: ContainerId::new("born").unwrap(),
        program: Program::Shell("cat /proc/self/cgroup; pwd".into()),
        environment: vec!["PATH=/usr/bin:/bin".into()],
        credentials: None,
        rlimits: Vec::new(),
        sandbox: SandboxChoice::Pooled,
        limits: Limits::default(),
        volumes: Vec::new(),
        enclosure: None,
        network: None,
        record: Vec::new(),
        shared: None,
    };
    let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let (root, null) = (File::open("/").unwrap(), File::open("/dev/null").unwrap());
    let inside = File::open(&group.0).unwrap();
    let image = Image::new(&spec, &[]).unwrap();
    let place = Place {
        directory: root.as_fd(),
        stdin: null.as_fd(),
        stdout: write.as_fd(),
        stderr: write.as_fd(),
        terminal: false,
        joins: &[],
        into_cgroup: Some(inside.as_fd()),
        entry: None,
    };
    let mut slots = Slots::reserve(null.as_fd()).unwrap();
    let pid = spawn(&image, &place, slots.as_mut()).unwrap();
    drop((write, slots));
    let mut said = String::new();
    File::from(read).read_to_string(&mut said).unwrap();
    sys::reap_named(pid.cast_signed());
    assert!(said.lines().any(|line| line == format!("0::/{name}")), "{said}");
    assert!(said.ends_with("\n/\n"), "{said}");
}
