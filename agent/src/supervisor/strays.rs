//! Where there are no cgroups: finding what a task left behind, by descent and a mark.
//!
//! We are the subreaper of all tasks, so a process whose parent has died becomes our own child,
//! however it has detached. A mark in its environment tells whose it was. A process that wiped
//! its environment cannot be told apart; then it is left alone, and the berth of the task that
//! has just ended is not used again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use super::remains;
use super::roll::Entry;
use super::sys;
use super::task::{ContainerId, Usage};

/// Environment variable that carries the container's name where there are no cgroups.
pub(super) const MARK: &str = "TEPUI_CONTAINER";

/// Environment variable that carries the mark of the supervisor's directory, likewise.
pub(super) const OWNER: &str = "TEPUI_SUPERVISOR";
/// The file with that mark. Not made of the directory's path: other machines' roots, as containers
/// have them, have directories of the same path.
const FILE: &str = "mark";
/// Bytes of an environment that are looked at: as much as execve takes with its usual stack.
const ENVIRONMENT: u64 = 8 << 20;
/// Looks at all processes when those of a lost supervisor are cleared: each may have forked between
/// two of them.
const ROUNDS: usize = 100;

/// What was found of a container whose first process has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strays {
    /// Nothing.
    None,
    /// Something, which has been sent KILL; look again.
    Killed,
    /// Children of ours that belong to nobody we know.
    Strangers,
}

/// The list of our children, read anew as often as is asked: the file is opened once.
#[derive(Debug, Default)]
pub(super) struct Children {
    file: Option<File>,
    text: Vec<u8>,
}

impl Children {
    /// Our children that are not the first process of a task. None when they cannot be told.
    pub(super) fn unknown(&mut self, tasks: &HashMap<u32, usize>) -> Option<Vec<u32>> {
        if self.file.is_none() {
            let own = std::process::id();
            self.file = File::open(format!("/proc/self/task/{own}/children")).ok();
        }
        let file = self.file.as_ref()?;
        self.text.resize(self.text.capacity().max(4096), 0);
        let mut length = 0;
        loop {
            match file.read_at(&mut self.text[length..], length as u64) {
                Ok(0) => break,
                Ok(n) => length += n,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if length == self.text.len() {
                self.text.resize(2 * length, 0);
            }
        }
        let words = self.text[..length].split(|byte| *byte == b' ');
        let pids = words.filter_map(|word| std::str::from_utf8(word).ok()?.parse::<u32>().ok());
        Some(pids.filter(|pid| !tasks.contains_key(pid)).collect())
    }
}

/// Looks among `children` (those of ours that are no task's first process) for processes of `id`,
/// whose first process was `pid`, and kills them.
pub(super) fn look(id: &ContainerId, pid: u32, children: Option<&[u32]>) -> Strays {
    let Some(children) = children else { return Strays::Strangers };
    let mut found = Strays::None;
    for stray in children.iter().copied() {
        match owner(stray) {
            // Its group may have more members; as our unreaped child its number is its own.
            Some(mark) if mark == id.as_str() => {
                sys::signal_child(stray, true, libc::SIGKILL);
                sys::signal_child(stray, false, libc::SIGKILL);
                found = Strays::Killed;
            }
            // Of a task that still runs, and is allowed to have it.
            Some(_) => {}
            // The group of the task itself is known by its number.
            None if group_of(stray) == Some(pid) => {
                sys::signal_child(stray, false, libc::SIGKILL);
                found = Strays::Killed;
            }
            None if is_zombie(stray) => {}
            None if found == Strays::None => found = Strays::Strangers,
            None => {}
        }
    }
    found
}

fn owner(pid: u32) -> Option<String> {
    variable(pid, MARK)
}

fn variable(pid: u32, name: &str) -> Option<String> {
    // A process can make its environment as large as it likes; what is behind this is not looked at.
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT).read_to_end(&mut environment).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let value = variables.find_map(|v| v.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(String::from_utf8_lossy(value).into_owned())
}

/// The mark of the supervisors of a directory, one after the other: made at random when the first of
/// them is started.
pub(super) fn mark(dir: &Path) -> io::Result<String> {
    let path = dir.join(FILE);
    match fs::read_to_string(&path) {
        Ok(mark) if uuid::Uuid::try_parse(&mark).is_ok() => return Ok(mark),
        // One that was not written whole marks nothing that runs: it is used once it is there.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mark = uuid::Uuid::new_v4().simple().to_string();
    fs::write(&path, &mark)?;
    Ok(mark)
}

/// A process that a lost supervisor left.
#[derive(Debug)]
pub(super) struct Stray {
    pub(super) pid: u32,
    /// Whose it was, if that can be told.
    pub(super) container: Option<ContainerId>,
    /// The process itself, whatever becomes of its number.
    pub(super) process: OwnedFd,
}

/// How long before it was noted a first process may have started, on a machine that is slow. That
/// it is noted after its start makes its number certain: whoever has it anew started later.
const START: Duration = Duration::from_secs(2);

/// Kills what the tasks of a supervisor with this mark left, which was lost: their first processes
/// died with it, most of them, others did not. To be called by who has its place, before it has any
/// task. Returns how many were killed, and those that do not end. Looks at every process of the
/// machine.
///
/// One is known by the mark; or as the first process of a container that was noted, by its number
/// and its start; or by its session, if that is of a noted container and has one of these in it: so
/// nobody can have its number anew.
pub(super) fn clear(mark: &str, entries: &[Entry]) -> (usize, Vec<Stray>) {
    let mut killed: BTreeMap<u32, Stray> = BTreeMap::new();
    for _ in 0..ROUNDS {
        let before = killed.len();
        for stray in of_lost(mark, entries) {
            let _ =
                rustix::process::pidfd_send_signal(&stray.process, rustix::process::Signal::KILL);
            killed.insert(stray.pid, stray);
        }
        if killed.len() == before {
            break;
        }
    }
    let count = killed.len();
    let mut left: Vec<Stray> = killed.into_values().collect();
    remains::wait(&mut left);
    (count, left)
}

/// A process of the machine that lives, and whether it is known by itself.
struct Seen {
    stray: Stray,
    session: u32,
    is_ours: bool,
}

fn of_lost(mark: &str, entries: &[Entry]) -> Vec<Stray> {
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let seen: Vec<Seen> = pids.filter_map(|pid| look_at(pid, mark, entries)).collect();
    let noted: BTreeSet<u32> = entries.iter().map(|entry| entry.pid).collect();
    let ours: BTreeSet<u32> =
        seen.iter().filter(|one| one.is_ours).map(|one| one.session).collect();
    let is_lost =
        |one: &Seen| one.is_ours || (ours.contains(&one.session) && noted.contains(&one.session));
    seen.into_iter().filter(is_lost).map(|one| one.stray).collect()
}

/// The descriptor is had before anything is read: the number may be another's by the time of the
/// signal.
fn look_at(pid: u32, mark: &str, entries: &[Entry]) -> Option<Seen> {
    // Whoever started us may have given us any variables, and so our parent, which waits for us.
    if [std::process::id(), std::os::unix::process::parent_id()].contains(&pid) {
        return None;
    }
    let number = rustix::process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    let process = rustix::process::pidfd_open(number, rustix::process::PidfdFlags::empty()).ok()?;
    let fields = stat(pid)?;
    if fields.first().is_none_or(|state| state == "Z") {
        return None;
    }
    let session = fields.get(3)?.parse().ok()?;
    let first = entries.iter().any(|entry| entry.pid == pid && has_started(&fields, entry));
    let marked = variable(pid, OWNER).is_some_and(|owner| owner == mark);
    let of_session = entries.iter().find(|entry| entry.pid == session);
    let container = of_session.map(|entry| entry.id.clone()).or_else(|| {
        // A task may write what it likes there; but not make up a container.
        let named = ContainerId::new(variable(pid, MARK)?).ok()?;
        (entries.is_empty() || entries.iter().any(|entry| entry.id == named)).then_some(named)
    });
    Some(Seen { stray: Stray { pid, container, process }, session, is_ours: first || marked })
}

/// Whether a process was started when the first one of a container was.
fn has_started(fields: &[String], entry: &Entry) -> bool {
    let Some(ticks) = fields.get(19).and_then(|text| text.parse::<u64>().ok()) else {
        return false;
    };
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    // Whole ticks, so that it may seem to have started a little before.
    let (at, noted) = (ticks.saturating_mul(tick), entry.started_boot_ns);
    at <= noted && noted - at <= tick.saturating_add(START.as_nanos() as u64)
}

/// The fields of /proc/PID/stat after the command, which may contain anything.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn group_of(pid: u32) -> Option<u32> {
    stat(pid)?.get(2)?.parse().ok()
}

fn is_zombie(pid: u32) -> bool {
    stat(pid).is_none_or(|fields| fields.first().is_some_and(|state| state == "Z"))
}

/// What one process uses, for want of a cgroup that would know of all.
pub(super) fn usage(pid: u32) -> Option<Usage> {
    let fields = stat(pid)?;
    let number = |i: usize| fields.get(i).and_then(|text| text.parse::<u64>().ok());
    let tick =
        Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    let ticks = |at: usize| Some(tick * u32::try_from(number(at)?).ok()?);
    let (user, system) = (ticks(11)?, ticks(12)?);
    let (read_bytes, written_bytes) = super::cgroup::traffic_of(pid);
    Some(Usage {
        cpu_time: user + system,
        system_time: system,
        memory_bytes: number(21)? * rustix::param::page_size() as u64,
        pids: number(17)?,
        read_bytes,
        written_bytes,
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_anothers_by_now_is_not_that_of_a_noted_container() {
        let own = std::process::id();
        let fields = stat(own).unwrap();
        let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        let started_boot_ns = fields[19].parse::<u64>().unwrap() * tick;
        let id = ContainerId::new("t").unwrap();
        let entry = Entry { id, group: 1, pid: own, started_boot_ns, sandbox: "/s".into() };
        assert!(has_started(&fields, &entry));
        let long = u64::try_from(2 * START.as_nanos()).unwrap();
        // The container began long before the process that has its number, or after it.
        for started_boot_ns in [started_boot_ns.saturating_sub(long), started_boot_ns + long] {
            let other = Entry { started_boot_ns, ..entry.clone() };
            assert!(!has_started(&fields, &other), "{other:?}");
        }
    }
}
