//! What the agent orders, carried out: launch, signal, kill, update, usage.

use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fail::fail_point;

use super::berth::{Berth, BerthError, Directory, Occupant};
use super::cgroup::Guard;
use super::enclosing;
use super::enclosure::{Standing, Wanted};
use super::handing;
use super::network::{self, Networks};
use super::options::Options;
use super::project::Project;
use super::roll::Entry;
use super::server::{POOL, Supervisor};
use super::spawn::{self, Image, Place};
use super::strays;
use super::sys;
use super::task::{
    ContainerId, LaunchError, Launched, Limitation, Limits, Rlimit, SANDBOX, SandboxChoice,
    TaskSpec, Usage,
};
use super::volumes;
use super::wire::Report;

/// What stands around a task that is started.
#[derive(Clone, Copy)]
struct Surroundings<'a> {
    network: Option<&'a network::Standing>,
    project: Option<&'a Project>,
}

impl Supervisor {
    /// Starts a task, and says how that went.
    pub(super) fn launch(&mut self, spec: TaskSpec) {
        let known = self.running.contains_key(&spec.id) || self.ended.contains_key(&spec.id);
        let id = spec.id.clone();
        let started = if known { Err(LaunchError::AlreadyExists) } else { self.start(spec) };
        let report = match started {
            Ok(launched) => Report::Launched { id, launched },
            Err(error) => Report::LaunchFailed { id, error },
        };
        self.report(&report);
        fail_point!("launch-told");
    }

    fn start(&mut self, spec: TaskSpec) -> Result<Launched, LaunchError> {
        let index = self.find_berth().map_err(|error| refused(&error))?;
        let has_volumes = !spec.volumes.is_empty();
        let started = self.enter(index, spec);
        if started.is_err() {
            if has_volumes {
                self.clear_links(index);
            }
            self.vacate(index);
        }
        started
    }

    /// After a launch that failed: what it linked is not for the next task.
    fn clear_links(&mut self, index: usize) {
        let used = self.berths[index].as_mut().and_then(Berth::take_used_directory);
        if let Some(path) = used {
            // No process of the task was in it; links are removed, not followed.
            let _ = std::fs::remove_dir_all(path);
        }
    }

    /// A berth that is ready, or a new one.
    fn find_berth(&mut self) -> Result<usize, BerthError> {
        if let Some(index) = self.idle.pop() {
            return Ok(index);
        }
        self.next_group += 1;
        let mut berth = Berth::make(self.tree.as_ref(), &format!("{:08}", self.next_group))?;
        berth.number = self.next_group;
        fail_point!("berth-made");
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.berths.push(None);
            self.berths.len() - 1
        });
        let watched = self.watch(index, &berth);
        self.berths[index] = Some(berth);
        if let Err(source) = watched {
            self.abandon(index);
            return Err(BerthError::Io { what: "watching a task", source });
        }
        Ok(index)
    }

    /// Puts a task into a berth.
    fn enter(&mut self, index: usize, mut spec: TaskSpec) -> Result<Launched, LaunchError> {
        let shared = self.shared_record(&spec)?;
        self.pin(index, spec.limits.cpu_shares)
            .map_err(|error| refused(&BerthError::Cgroup(error)))?;
        let guard = self.tree.as_ref().and_then(|tree| tree.guard());
        let berth = self.berths[index].as_mut().expect("an index from find_berth is a berth");
        if berth.group.is_none() {
            limit_each_process(&mut spec);
        }
        let owner = enclosing::owner(berth, &self.options.name, index, &spec)?;
        limit(berth, &spec, guard)?;
        let mut own_directory =
            prepare(berth, &spec, owner, &self.options.sandboxes, &mut self.next_directory)?;
        let project =
            self.projects.hold(&spec, own_directory.as_mut().or(berth.directory.as_mut()));
        let directory = own_directory.as_ref().or(berth.directory.as_ref());
        let directory = directory.expect("prepare has made one or the other");
        if !spec.volumes.is_empty() && spec.enclosure.is_none() {
            let user = owner.unwrap_or_else(super::berth::ourselves);
            volumes::link(directory.as_fd(), &spec.volumes, user).map_err(LaunchError::Refused)?;
        }
        let sandbox = directory.path.clone();
        let network = self.raise_network(&spec)?;
        let address = network.as_ref().map(|network| network.address);
        let (started, started_boot_ns) = (Instant::now(), sys::boot_time_ns());
        let standing = Surroundings { network: network.as_ref(), project: project.as_ref() };
        let begun = self.begin(index, &spec, own_directory.as_ref(), standing);
        if let (Err(_), Some(network), Some(networks)) = (&begun, &network, &mut self.networks) {
            networks.end(network);
            networks.sweep();
        }
        let (pid, standing) = begun?;
        fail_point!("task-started");
        let layer = standing.as_ref().and_then(Standing::written);
        let launched = Launched { pid, started_boot_ns, sandbox, address, layer };
        let TaskSpec { id, record, .. } = spec;
        let occupant = Occupant {
            id,
            serial: 0,
            record,
            shared,
            launched: launched.clone(),
            started,
            own_directory,
            kill_requested: false,
            exceeded: None,
            kill_at: None,
            standing,
            network,
            project,
            ending: None,
        };
        self.occupy(index, occupant);
        Ok(launched)
    }

    /// The network that a task wants of its own.
    fn raise_network(&mut self, spec: &TaskSpec) -> Result<Option<network::Standing>, LaunchError> {
        let Some(wanted) = &spec.network else { return Ok(None) };
        let Options { dir, name, .. } = &self.options;
        Networks::ready(&mut self.networks, dir, name, &self.closed)?.raise(wanted).map(Some)
    }

    /// Starts a task's first process in a berth that is ready, within its walls and network.
    fn begin(
        &mut self,
        index: usize,
        spec: &TaskSpec,
        own_directory: Option<&Directory>,
        Surroundings { network, project }: Surroundings<'_>,
    ) -> Result<(u32, Option<Standing>), LaunchError> {
        let berth = self.berths[index].as_ref().expect("who is started has a berth");
        let directory = own_directory.or(berth.directory.as_ref());
        let directory = directory.expect("prepare has made one or the other");
        let mark = self.mark.as_deref().filter(|_| berth.group.is_none());
        let address = network.map(|network| network.address);
        let image = Image::new(spec, &added_variables(spec, directory, address, mark))?;
        fail_point!("berth-prepared");
        let [stdout, stderr] = outputs(berth)?;
        let place = Place {
            directory: directory.as_fd(),
            stdin: self.null.as_fd(),
            stdout,
            stderr,
            terminal: false,
            joins: berth.group.as_ref().map_or(&[], |group| group.joins()),
            into_cgroup: berth.group.as_ref().and_then(|group| group.birthplace()),
            entry: None,
        };
        let (slots, enclosures) = (self.slots.as_mut(), &mut self.enclosures);
        let start = || match &spec.enclosure {
            None => Ok((spawn::spawn(&image, &place, slots)?, None)),
            Some(walls) => {
                let enclosures = enclosing::ready(enclosures, &self.options.dir)?;
                let wanted = Wanted {
                    enclosure: walls,
                    sandbox: directory.as_fd(),
                    volumes: &spec.volumes,
                    owner: spec.credentials.as_ref().map_or((0, 0), |c| (c.uid, c.gid)),
                    user: berth.users.as_ref(),
                    joins: place.joins,
                    into_cgroup: place.into_cgroup,
                    pod: walls.pod.as_deref().filter(|_| berth.group.is_some()),
                    project,
                };
                let (pid, standing) = enclosing::start(enclosures, &wanted, &image, place, slots)?;
                Ok((pid, Some(standing)))
            }
        };
        match (network, &self.networks) {
            (Some(network), Some(networks)) => networks.within(network, start),
            _ => start(),
        }
    }

    /// What the launch has in common with others.
    fn shared_record(&self, spec: &TaskSpec) -> Result<Option<Arc<[u8]>>, LaunchError> {
        let shared = spec.shared.map(|key| self.shared.get(&key).cloned().ok_or(key)).transpose();
        shared.map_err(|key| {
            LaunchError::Refused(format!("the record {key} that it shares was never told"))
        })
    }

    /// The task is running in the berth.
    fn occupy(&mut self, index: usize, occupant: Occupant) {
        let occupied = self.berths.len() - self.vacant.len() - self.idle.len();
        self.next_serial += 1;
        self.pids.insert(occupant.launched.pid, index);
        if let Some(standing) = &occupant.standing {
            self.inits.insert(standing.init, index);
        }
        self.running.insert(occupant.id.clone(), index);
        let berth = self.berths[index].as_mut().expect("who was started has a berth");
        let Launched { pid, sandbox, .. } = occupant.launched.clone();
        let started_boot_ns = sys::boot_time_ns();
        let (id, group) = (occupant.id.clone(), berth.number);
        self.roll.note(index, &Entry { id, group, pid, started_boot_ns, sandbox });
        berth.occupant = Some(Occupant { serial: self.next_serial, ..occupant });
        if occupied > POOL {
            berth.slim();
        }
    }

    fn berth_of(&mut self, id: &ContainerId) -> Option<(usize, &mut Berth)> {
        let index = *self.running.get(id)?;
        Some((index, self.berths[index].as_mut()?))
    }

    /// Signals the process group of a task.
    pub(super) fn signal(&mut self, id: &ContainerId, signal: i32) {
        if !(1..=64).contains(&signal) {
            return;
        }
        if let Some((_, berth)) = self.berth_of(id)
            && let Some(occupant) = berth.occupant.as_ref().filter(|o| o.ending.is_none())
        {
            sys::signal_child(occupant.launched.pid, true, signal);
        }
    }

    /// TERM now, KILL of everything after the grace.
    pub(super) fn kill(&mut self, id: &ContainerId, grace: Duration) {
        // A century is as good as for ever, and stays within what an Instant can hold.
        let at = Instant::now() + grace.min(Duration::from_secs(3_000_000_000));
        let Some((index, berth)) = self.berth_of(id) else { return };
        let Some(occupant) = berth.occupant.as_mut() else { return };
        fail_point!("kill-taken");
        let first = !std::mem::replace(&mut occupant.kill_requested, true);
        if first && !grace.is_zero() && occupant.ending.is_none() {
            sys::signal_child(occupant.launched.pid, true, libc::SIGTERM);
        }
        if occupant.kill_at.is_none_or(|earlier| at < earlier) {
            let serial = occupant.serial;
            let earlier = occupant.kill_at.replace(at);
            if let Some(earlier) = earlier {
                self.kills.remove(&(earlier, index, serial));
            }
            self.kills.insert((at, index, serial));
        }
    }

    /// A container has taken more than it may: everything of it is killed.
    pub(super) fn exceeded(&mut self, id: &ContainerId, limitation: Limitation) {
        let Some((_, berth)) = self.berth_of(id) else { return };
        if let Some(occupant) = berth.occupant.as_mut().filter(|o| o.ending.is_none()) {
            occupant.exceeded = Some(limitation);
            kill_all(berth);
        }
    }

    /// The grace of a kill has run out.
    pub(super) fn kill_due(&mut self, index: usize, serial: u64) {
        let Some(berth) = self.berths.get_mut(index).and_then(Option::as_mut) else { return };
        if berth.occupant.as_ref().is_some_and(|occupant| occupant.serial == serial) {
            kill_all(berth);
            fail_point!("killed-hard");
        }
    }

    /// The kernel says that a container ran out of memory.
    pub(super) fn memory_event(&mut self, index: usize) {
        let Some(berth) = self.berths.get_mut(index).and_then(Option::as_mut) else { return };
        let Some(group) = berth.group.as_mut().filter(|_| berth.occupant.is_some()) else { return };
        if group.take_oom_event() {
            group.await_victim();
            kill_all(berth);
        }
    }

    /// Puts new limits of cpus and memory in force, and says how that went.
    pub(super) fn update(&mut self, id: &ContainerId, limits: &Limits) {
        let problem = match self.berth_of(id) {
            Some((_, berth)) => change(berth, limits),
            None => Some("it does not run any more".to_owned()),
        };
        self.report(&Report::Updated { id: id.clone(), problem });
    }

    /// Says what a container uses.
    pub(super) fn usage(&mut self, id: ContainerId) {
        let networks = self.networks.take();
        let usage = self.berth_of(&id).and_then(|(_, berth)| {
            let usage = match &mut berth.group {
                Some(group) => group.usage(),
                None => strays::usage(berth.occupant.as_ref()?.launched.pid)?,
            };
            Some(Usage { traffic: berth.traffic(networks.as_ref()), ..usage })
        });
        self.networks = networks;
        self.report(&Report::Usage { id, usage });
    }
}

fn refused(error: &BerthError) -> LaunchError {
    LaunchError::Refused(error.to_string())
}

/// Where no cgroup limits the memory of the task as a whole, each of its processes is limited by
/// itself, unless the task has said how.
///
/// By its data rather than by its address space: measured with `prlimit`, a Python with eight
/// threads needs 73 MB of the one and 401 MB of the other to use 13 MB, and whatever maps files or
/// reserves addresses (Go, Java, allocators) differs by more. Never above what we may have ourselves.
pub(super) fn limit_each_process(spec: &mut TaskSpec) {
    let Some(bytes) = spec.limits.memory_bytes else { return };
    let chosen = [libc::RLIMIT_DATA, libc::RLIMIT_AS];
    if spec.rlimits.iter().any(|limit| chosen.contains(&limit.resource)) {
        return;
    }
    let ours = rustix::process::getrlimit(rustix::process::Resource::Data).maximum;
    let limit = bytes.min(ours.unwrap_or(u64::MAX));
    spec.rlimits.push(Rlimit { resource: libc::RLIMIT_DATA, soft: limit, hard: limit });
}

/// Where a task writes what it prints.
fn outputs(berth: &Berth) -> Result<[BorrowedFd<'_>; 2], LaunchError> {
    match [berth.streams[0].writable(), berth.streams[1].writable()] {
        [Some(stdout), Some(stderr)] => Ok([stdout, stderr]),
        _ => Err(LaunchError::Refused("the berth's pipes are closed".into())),
    }
}

/// Puts the limits of a task in force.
fn limit(berth: &mut Berth, spec: &TaskSpec, guard: Option<Guard<'_>>) -> Result<(), LaunchError> {
    let Some(group) = &mut berth.group else { return Ok(()) };
    let limited = group.limit(&spec.limits);
    let enclosed = spec.enclosure.as_ref().map(|enclosure| &*enclosure.devices);
    if let Err(error) = limited.and_then(|()| group.guard(guard, enclosed)) {
        // Half of the limits may be in force; such a group is not for the next task.
        berth.recyclable = false;
        return Err(refused(&BerthError::Cgroup(error)));
    }
    fail_point!("limits-set");
    Ok(())
}

/// Directory and pipes for a task; returns the caller's own directory, opened.
fn prepare(
    berth: &mut Berth,
    spec: &TaskSpec,
    owner: Option<(u32, u32)>,
    sandboxes: &std::path::Path,
    next: &mut u64,
) -> Result<Option<Directory>, LaunchError> {
    let failed = |what| move |source| refused(&BerthError::Io { what, source });
    let own = match &spec.sandbox {
        SandboxChoice::At(path) => {
            let given = Directory::open(path).map_err(failed("the sandbox that was given"))?;
            let user = owner.unwrap_or_else(super::berth::ourselves);
            handing::over(given.as_fd(), user).map_err(failed("the sandbox that was given"))?;
            Some(given)
        }
        SandboxChoice::Pooled => {
            berth.prepare_directory(sandboxes, next, owner).map_err(|e| refused(&e))?;
            None
        }
    };
    for stream in &mut berth.streams {
        stream.own(owner).map_err(failed("a pipe for the task's user"))?;
    }
    Ok(own)
}

/// Variables that only we can know.
pub(super) fn added_variables(
    spec: &TaskSpec,
    directory: &Directory,
    address: Option<Ipv4Addr>,
    mark: Option<&str>,
) -> Vec<String> {
    let mut added = Vec::new();
    if let Some(address) = address
        && !spec.environment.iter().any(|v| v.starts_with("MESOS_CONTAINER_IP="))
    {
        added.push(format!("MESOS_CONTAINER_IP={address}"));
    }
    if !spec.environment.iter().any(|v| v.starts_with("MESOS_SANDBOX=")) {
        let path = match spec.enclosure {
            Some(_) => std::path::Path::new(SANDBOX),
            None => &directory.path,
        };
        added.push(format!("MESOS_SANDBOX={}", path.display()));
    }
    let named = |name: &str| spec.environment.iter().any(|v| v.starts_with(name));
    if named("MESOS_EXECUTOR_ID=") && !named("MESOS_DIRECTORY=") {
        // Executors know it by its older name as well.
        let directory = match spec.enclosure {
            Some(_) => std::path::Path::new(SANDBOX),
            None => &directory.path,
        };
        added.push(format!("MESOS_DIRECTORY={}", directory.display()));
    }
    if let Some(mark) = mark.filter(|_| spec.enclosure.is_none()) {
        added.push(format!("{}={}", strays::MARK, spec.id));
        added.push(format!("{}={mark}", strays::OWNER));
    }
    added
}

/// Puts other limits in force; what is wrong, if anything.
fn change(berth: &mut Berth, limits: &Limits) -> Option<String> {
    let project = berth.occupant.as_ref().and_then(|occupant| occupant.project.as_ref());
    if let Some(Err(error)) = project.zip(limits.disk_bytes).map(|(held, bytes)| held.limit(bytes))
    {
        return Some(format!("the limit of its disk: {error}"));
    }
    match &mut berth.group {
        Some(group) => group.change(limits).err().map(|error| error.to_string()),
        None => Some("there are no cgroups here, and so no limits of tasks".to_owned()),
    }
}

/// Kills every process of a container that we can find.
pub(super) fn kill_all(berth: &mut Berth) {
    if let Some(group) = &mut berth.group {
        group.kill();
    }
    if let Some(occupant) = berth.occupant.as_ref().filter(|o| o.ending.is_none()) {
        sys::signal_child(occupant.launched.pid, true, libc::SIGKILL);
        sys::signal_child(occupant.launched.pid, false, libc::SIGKILL);
    }
    let standing = berth.occupant.as_ref().and_then(|occupant| occupant.standing.as_ref());
    if let Some(standing) = standing.filter(|standing| !standing.fallen) {
        sys::signal_child(standing.init, false, libc::SIGKILL);
    }
}
