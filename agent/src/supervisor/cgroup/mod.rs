//! Our corner of the host's cgroups: `tepui/NAME` in each hierarchy, one group a container.
//!
//! Works on v1 (one hierarchy a controller), v2 and hybrid hosts, where v1 carries the
//! controllers. Mount points come from `cgroups-rs`; groups are driven by plain file writes,
//! because they are on the path of every launch and because the crate cannot report an
//! out-of-memory kill. Nothing outside `tepui/NAME` is ever written, except that `tepui` is made
//! and that controllers are delegated to it on v2.

mod besides;
mod cpus;
mod devices;
mod group;
mod usage;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgroups_rs::fs::hierarchies::{UNIFIED_MOUNTPOINT, V1, is_cgroup2_unified_mode};
use cgroups_rs::fs::{Controllers, hierarchies};

pub(super) use cpus::whole;
pub(super) use devices::Guard;
pub(super) use group::Group;
pub(crate) use usage::stalled;
pub(super) use usage::traffic_of;

use self::besides::inherit;
use self::cpus::Cpus;
use super::options::Extras;
use super::remains::SOON;

/// The group above all agents of this machine.
const TOP: &str = "tepui";
/// The group of the supervisor itself, beside those of the containers.
const OWN: &str = "supervisor";
/// Memory of the supervisor that is not taken from it however short the machine is (v2): it holds the
/// ends and the output of all tasks. With a thousand tasks it has less.
const OWN_BYTES: u64 = 32 << 20;
/// How long our own directories may be busy after the last process has left them.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// Which interface the controllers have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// Why cgroups cannot be used here.
#[derive(Debug, thiserror::Error)]
pub(super) enum CgroupError {
    #[error("no cgroup controllers are mounted")]
    Absent,
    #[error("{doing} {}: {source}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("cgroup {} is in use by another supervisor; give this agent another name", .0.display())]
    Taken(PathBuf),
    #[error("processes in {} do not die", .0.display())]
    Stuck(PathBuf),
}

/// A controller and where its hierarchy is.
type Mounted = (&'static str, PathBuf);

/// Our directories `tepui/NAME`, one a hierarchy.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) version: Version,
    /// One directory a hierarchy; a v1 hierarchy may carry several controllers.
    pub(super) roots: Vec<PathBuf>,
    controllers: Vec<Mounted>,
    /// Trees without limits that a service manager kills by; we only step out of its reach there.
    others: Vec<PathBuf>,
    /// Whose the cpus are, where tasks may have some alone.
    pub(super) cpus: Option<Cpus>,
    /// v1: our directory by which devices are kept from tasks within walls.
    devices: Option<PathBuf>,
    /// v2: the program that does it.
    device_program: Option<OwnedFd>,
    /// What was asked for and this kernel does not have.
    pub(super) lacks: Vec<String>,
    /// Groups of a former supervisor whose processes were killed and do not end.
    pub(super) left: Vec<PathBuf>,
    /// Held locked for as long as we live.
    _lock: File,
}

const V1_CONTROLLERS: [(&str, Controllers); 5] = [
    ("cpu", Controllers::Cpu),
    ("cpuacct", Controllers::CpuAcct),
    ("memory", Controllers::Mem),
    ("pids", Controllers::Pids),
    ("freezer", Controllers::Freezer),
];

pub(super) fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let path = path.to_owned();
    move |source| CgroupError::Io { doing, path, source }
}

impl Tree {
    /// Finds the hierarchies, makes `tepui/NAME` in each, kills what a former supervisor of this
    /// name left there, and moves this process into a group of its own.
    pub(super) fn open(name: &str, extras: Extras) -> Result<Self, CgroupError> {
        let (version, mounts) = mounts(extras)?;
        let mut roots: Vec<PathBuf> = Vec::new();
        let mut controllers = Vec::new();
        let alone = alone(&mounts.first().ok_or(CgroupError::Absent)?.1.join(TOP))?;
        for (controller, mount) in mounts {
            let top = mount.join(TOP);
            let root = top.join(name);
            if !roots.contains(&root) {
                make(&top)?;
                if version == Version::V2 {
                    delegate(&mount, extras)?;
                    delegate(&top, extras)?;
                }
                make(&root)?;
                if version == Version::V2 {
                    protect(&top, &root);
                }
                roots.push(root.clone());
            }
            if (version, controller) == (Version::V1, "cpuset") {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(&mount, &top, file)?;
                    inherit(&top, &root, file)?;
                }
            }
            controllers.push((controller, root));
        }
        let first = roots.first().ok_or(CgroupError::Absent)?.clone();
        let lock = lock(&first)?.ok_or(CgroupError::Taken(first))?;
        let mut others = if version == Version::V1 { untyped_roots(name) } else { Vec::new() };
        let devices = devices_root(version, name);
        others.extend(devices.clone());
        sweep(&roots, &others);
        drop(alone);
        let mut tree = Self {
            version,
            roots,
            controllers,
            others,
            cpus: None,
            devices,
            device_program: None,
            lacks: Vec::new(),
            left: Vec::new(),
            _lock: lock,
        };
        tree.clear()?;
        if version == Version::V2 {
            delegate(&tree.roots[0], extras)?;
        }
        tree.move_in()?;
        tree.find_extras(extras);
        Ok(tree)
    }

    /// What an operator asked for besides, as far as this kernel has it.
    fn find_extras(&mut self, extras: Extras) {
        if self.version == Version::V2 {
            match devices::usual() {
                Ok(program) => self.device_program = Some(program),
                Err(error) => self.lacks.push(format!(
                    "this kernel has no programs that keep cgroups to devices ({error}): of tasks \
                     in containers, only the walls do"
                )),
            }
        }
        if extras.pin_cpus {
            let name = match self.version {
                Version::V1 => "cpuset.cpus",
                Version::V2 => "cpuset.cpus.effective",
            };
            let listed = self.root_of("cpuset").map(|root| fs::read_to_string(root.join(name)));
            self.cpus = listed.and_then(Result::ok).and_then(|text| Cpus::read(&text));
            if self.cpus.is_none() {
                let text = "--cpuset pin: there is no cpuset controller; no task has cpus alone";
                self.lacks.push(text.to_owned());
            }
        }
        if extras.io_weight && self.weight_file().is_none() {
            let text = "--io-weight: this kernel has no weights of disks; they are shared evenly";
            self.lacks.push(text.to_owned());
        }
    }

    /// A description such as `cgroup v1 (cpu cpuacct memory pids freezer)`.
    pub(super) fn describe(&self) -> String {
        let version = if self.version == Version::V1 { 1 } else { 2 };
        let names: Vec<&str> = self.controllers.iter().map(|(name, _)| *name).collect();
        format!("cgroup v{version} ({})", names.join(" "))
    }

    /// By what tasks within walls are kept to their devices, where there is anything.
    pub(super) fn guard(&self) -> Option<Guard<'_>> {
        let program = self.device_program.as_ref().map(|program| Guard::Program(program.as_fd()));
        program.or(self.devices.as_deref().map(Guard::Hierarchy))
    }

    /// The directory in which a controller's files of our groups are.
    pub(super) fn root_of(&self, controller: &str) -> Option<&Path> {
        self.controllers.iter().find(|(name, _)| *name == controller).map(|(_, p)| p.as_path())
    }

    /// Kills and removes every group below ours; what does not end in time is left.
    fn clear(&mut self) -> Result<(), CgroupError> {
        let deadline = Instant::now() + SOON;
        for root in self.roots.iter().chain(self.devices.as_ref().filter(|dir| dir.is_dir())) {
            let entries = fs::read_dir(root).map_err(io_error("cannot list", root))?;
            let groups = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
            // Where devices are kept, who has no walls stays with the supervisor; such a one is
            // found in its groups elsewhere, and does not keep us from moving in.
            let is_shared =
                |path: &Path| self.devices.as_ref() == Some(root) && path.ends_with(OWN);
            self.left.extend(groups.filter(|path| !is_shared(path)));
        }
        loop {
            self.left.retain(|path| !clear_group(path));
            if self.left.is_empty() || Instant::now() > deadline {
                break;
            }
            // Start-up only; the kernel offers no event for the last process of a v1 group.
            std::thread::sleep(Duration::from_millis(2));
        }
        match self.left.iter().find(|path| path.ends_with(OWN)) {
            Some(path) => Err(CgroupError::Stuck(path.clone())),
            None => Ok(()),
        }
    }

    fn move_in(&self) -> Result<(), CgroupError> {
        // Nobody may starve: together our containers weigh what the machine has.
        if let (Version::V1, Some(cpu)) = (self.version, self.root_of("cpu")) {
            let cpus = std::thread::available_parallelism().map_or(1, usize::from);
            let file = cpu.join("cpu.shares");
            fs::write(&file, (cpus * 1024).to_string()).map_err(io_error("cannot write", &file))?;
        }
        for root in &self.roots {
            let own = root.join(OWN);
            make(&own)?;
            if self.version == Version::V1 && self.root_of("cpuset") == Some(root) {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    inherit(root, &own, file)?;
                }
            }
            if self.version == Version::V2 {
                // Without the controller there is no such file, and nothing to protect.
                let _ = fs::write(own.join("memory.min"), OWN_BYTES.to_string());
            }
            let procs = own.join("cgroup.procs");
            fs::write(&procs, "0").map_err(io_error("cannot write", &procs))?;
        }
        for root in &self.others {
            // Best effort: these carry no limits, only a service manager's idea of what to kill.
            if fs::create_dir_all(root.join(OWN)).is_ok() {
                let _ = fs::write(root.join(OWN).join("cgroup.procs"), "0");
            }
        }
        Ok(())
    }

    /// Leaves and removes everything of ours. Groups of containers must be gone already.
    pub(super) fn close(self) {
        // So that no other supervisor is making its own below what we remove.
        let alone = self.roots[0].parent().map(alone);
        let until = Instant::now() + LEAVE_LIMIT;
        for root in self.roots.iter().chain(&self.others) {
            let Some(top) = root.parent() else { continue };
            let Some(mount) = top.parent() else { continue };
            let _ = fs::write(mount.join("cgroup.procs"), "0");
            for path in [root.join(OWN).as_path(), root] {
                // Failures leave an empty directory, which the next supervisor reuses or removes.
                remove_soon(path, until);
            }
            let _ = fs::remove_dir(top);
        }
        drop(alone);
    }
}

/// Keeps other supervisors from coming and going until it is dropped; makes the directory.
fn alone(top: &Path) -> Result<File, CgroupError> {
    loop {
        make(top)?;
        let directory = match File::open(top) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.map_err(io_error("cannot open", top))?,
        };
        rustix::fs::flock(&directory, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|errno| io_error("cannot lock", top)(errno.into()))?;
        // The last supervisor before us may have removed what we had opened.
        if directory.metadata().is_ok_and(|held| is_at(&held, top)) {
            return Ok(directory);
        }
    }
}

fn is_at(held: &fs::Metadata, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).is_ok_and(|there| there.ino() == held.ino())
}

/// The lock of a supervisor's directory, unless one has it.
fn lock(path: &Path) -> Result<Option<File>, CgroupError> {
    let directory = File::open(path).map_err(io_error("cannot open", path))?;
    let mode = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    Ok(rustix::fs::flock(&directory, mode).is_ok().then_some(directory))
}

/// Removes what supervisors of other names left that were killed: their directories have no lock
/// and, if no task of theirs lives, no process. Whatever cannot be removed stays.
fn sweep(roots: &[PathBuf], others: &[PathBuf]) {
    let Some(top) = roots[0].parent() else { return };
    let Ok(entries) = fs::read_dir(top) else { return };
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let name = entry.file_name();
        if Some(name.as_os_str()) == roots[0].file_name() {
            continue;
        }
        let Ok(Some(_unused)) = lock(&entry.path()) else { continue };
        for root in roots.iter().chain(others).filter_map(|root| root.parent()) {
            let left = root.join(&name);
            for group in fs::read_dir(&left).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(group.path());
            }
            let _ = fs::remove_dir(left);
        }
    }
}

/// Removes a directory as soon as the kernel has let go of its last process.
fn remove_soon(path: &Path, until: Instant) {
    while let Err(error) = fs::remove_dir(path) {
        if error.kind() == io::ErrorKind::NotFound || Instant::now() > until {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Where each controller that we use is mounted.
fn mounts(extras: Extras) -> Result<(Version, Vec<Mounted>), CgroupError> {
    if is_cgroup2_unified_mode() {
        let root = PathBuf::from(UNIFIED_MOUNTPOINT);
        let file = root.join("cgroup.controllers");
        let listed = fs::read_to_string(&file).map_err(io_error("cannot read", &file))?;
        let found = v2_controllers(extras);
        let found = found.filter(|name| listed.split_whitespace().any(|l| l == *name));
        let mut controllers: Vec<_> = found.map(|name| (name, root.clone())).collect();
        controllers.push(("core", root));
        return Ok((Version::V2, controllers));
    }
    let v1 = V1::new();
    let extra = [("cpuset", Controllers::CpuSet), ("blkio", Controllers::BlkIo)];
    let asked = [extras.pin_cpus, extras.io_weight];
    let extra = extra.into_iter().zip(asked).filter_map(|(one, is_asked)| is_asked.then_some(one));
    let found = V1_CONTROLLERS
        .into_iter()
        .chain(extra)
        .filter_map(|(name, kind)| v1.get_mount_point(kind).map(|(mount, _)| (name, mount)));
    let controllers: Vec<_> = found.collect();
    if controllers.is_empty() {
        return Err(CgroupError::Absent);
    }
    Ok((Version::V1, controllers))
}

/// The controllers that are used of v2.
fn v2_controllers(extras: Extras) -> impl Iterator<Item = &'static str> {
    let extra = [("cpuset", extras.pin_cpus), ("io", extras.io_weight)];
    let extra = extra.into_iter().filter_map(|(name, is_asked)| is_asked.then_some(name));
    ["cpu", "memory", "pids"].into_iter().chain(extra)
}

/// `tepui/NAME` in the hierarchy of devices, on v1 and hybrid hosts that have it.
fn devices_root(version: Version, name: &str) -> Option<PathBuf> {
    if version == Version::V2 {
        return None;
    }
    let (mount, _) = V1::new().get_mount_point(Controllers::Devices)?;
    Some(mount.join(TOP).join(name))
}

/// `tepui/NAME` in the hierarchies by which systemd tracks services, on v1 and hybrid hosts.
fn untyped_roots(name: &str) -> Vec<PathBuf> {
    let named = hierarchies::mountinfo_self();
    let named = named.iter().filter(|m| m.super_opts.iter().any(|o| o == "name=systemd"));
    let mut roots: Vec<PathBuf> = named.map(|m| m.mount_point.join(TOP).join(name)).collect();
    let unified = Path::new(UNIFIED_MOUNTPOINT).join("unified");
    if unified.join("cgroup.procs").exists() {
        roots.push(unified.join(TOP).join(name));
    }
    roots
}

fn make(path: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(CgroupError::Io {
            doing: "cannot make cgroup",
            path: path.to_owned(),
            source: error,
        }),
        _ => Ok(()),
    }
}

/// Lets the groups below keep what they ask for when the machine runs short of memory: a group is
/// protected only as far as those above it are. Together tasks have what an agent offers, and each
/// supervisor, of which there is one in every group below the top, its own.
fn protect(top: &Path, root: &Path) {
    // Without the controller there are no such files, and nothing to protect.
    let keep =
        |group: &Path, file, bytes: u64| drop(fs::write(group.join(file), bytes.to_string()));
    let supervisors = fs::read_dir(top).into_iter().flatten().flatten();
    let supervisors = supervisors.filter(|entry| entry.path().is_dir()).count() as u64;
    keep(top, "memory.min", OWN_BYTES.saturating_mul(supervisors));
    keep(root, "memory.min", OWN_BYTES);
    if let Ok(bytes) = crate::probe::memory_offer() {
        keep(top, "memory.low", bytes);
        keep(root, "memory.low", bytes);
    }
}

/// Hands the controllers of a v2 group on to its children.
fn delegate(path: &Path, extras: Extras) -> Result<(), CgroupError> {
    let file = path.join("cgroup.subtree_control");
    let here = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    for controller in v2_controllers(extras) {
        if here.split_whitespace().any(|name| name == controller) {
            fs::write(&file, format!("+{controller}")).map_err(io_error("cannot write", &file))?;
        }
    }
    Ok(())
}

/// Kills what is in one group of a former supervisor; whether it is removed.
fn clear_group(path: &Path) -> bool {
    match fs::remove_dir(path) {
        Ok(()) => return true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
        Err(_) => {}
    }
    if !path.join("cgroup.kill").exists() || fs::write(path.join("cgroup.kill"), "1").is_err() {
        let _ = group::kill_by_listing(path);
        // A v1 freezer of a supervisor that died in the middle of a kill.
        let _ = fs::write(path.join("freezer.state"), "THAWED");
    }
    false
}
