//! What an agent has left on its machine: asked when a test ends, after whatever it did.
//!
//! Other tests run beside, so all is looked for by what names this one agent: its work directory,
//! and its cgroup. Tests of several packages share this; it needs the standard library alone.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What goes by itself is waited for: processes that were killed, groups that the kernel releases.
const BOUND: Duration = Duration::from_secs(20);

/// An agent, by what it puts its name to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Marks {
    work: PathBuf,
    group: String,
}

impl Marks {
    /// Those of the agent of a work directory, which may not be there yet.
    pub(crate) fn of_agent(work: &Path) -> Self {
        let work = whole(work);
        let group = format!("agent-{:016x}", fnv(work.as_os_str().as_encoded_bytes()));
        Self { work, group }
    }

    /// Those of a supervisor that has a directory and a cgroup of these names.
    pub(crate) fn new(work: &Path, group: &str) -> Self {
        Self { work: whole(work), group: group.to_owned() }
    }

    /// Everything that is left but links, in words.
    pub(crate) fn left(&self) -> Vec<String> {
        let processes = self.processes();
        let processes = processes.into_iter().map(|(pid, line)| format!("process {pid}: {line}"));
        let groups = self.groups().into_iter().map(|path| format!("cgroup {}", path.display()));
        let mounts = self.mounts().into_iter().map(|line| format!("mount {line}"));
        let dirs = self.directories().into_iter();
        let dirs = dirs.map(|path| format!("directory {}", path.display()));
        processes.chain(groups).chain(mounts).chain(dirs).collect()
    }

    /// Waits until nothing is left.
    ///
    /// # Panics
    /// With what is left, if it stays.
    pub(crate) fn assert_gone(&self) {
        goes(&self.work.display(), || self.left());
    }

    /// Processes, with their command lines, that name the directory, or are in the cgroup, or have
    /// mounted something of the directory in a world of their own.
    pub(crate) fn processes(&self) -> Vec<(u32, String)> {
        let path = self.work.as_os_str().as_encoded_bytes();
        let group = format!("/tepui/{}", self.group);
        let world = fs::read_link("/proc/self/ns/mnt").ok();
        let disk = Disk::of(&self.work);
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
            if pid == std::process::id() || has_ended(&read("stat")) {
                continue;
            }
            let line = read("cmdline");
            let is_walled = || {
                let own = fs::read_link(entry.path().join("ns/mnt")).ok();
                let table = String::from_utf8_lossy(&read("mountinfo")).into_owned();
                own != world && table.lines().any(|line| disk.as_ref().is_some_and(|d| d.has(line)))
            };
            let is_named = names(&line, path) || names(&read("environ"), path);
            if is_named || names(&read("cgroup"), group.as_bytes()) || is_walled() {
                found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
            }
        }
        found
    }

    /// The cgroups of this name, in all hierarchies.
    pub(crate) fn groups(&self) -> Vec<PathBuf> {
        let root = PathBuf::from("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(&root).into_iter().flatten().flatten();
        let all = hierarchies.map(|entry| entry.path()).chain([root]);
        all.map(|dir| dir.join("tepui").join(&self.group)).filter(|dir| dir.exists()).collect()
    }

    /// Mounts of this thread's world that are within the directory, or show something of it.
    fn mounts(&self) -> Vec<String> {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
        let disk = Disk::of(&self.work);
        let is_within = |line: &str| {
            let point = line.split(' ').nth(4).map(Path::new);
            point.is_some_and(|point| point != self.work && point.starts_with(&self.work))
        };
        let shows = |line: &str| disk.as_ref().is_some_and(|disk| disk.has(line));
        table.lines().filter(|line| is_within(line) || shows(line)).map(str::to_owned).collect()
    }

    /// Layers over images that are in nobody's trash, and directories of groups.
    fn directories(&self) -> Vec<PathBuf> {
        let within = |name: &str| {
            let entries = fs::read_dir(self.work.join(name)).into_iter().flatten().flatten();
            entries.map(|entry| entry.path())
        };
        let is_layer = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.parse::<u64>().is_ok())
        };
        let layers = within("supervisor/enclosures").filter(is_layer);
        layers.chain(within("volumes/.groups")).collect()
    }
}

/// Waits until there is no link of a task in a network of this test's own.
///
/// # Panics
/// With those that stay.
pub(crate) fn assert_no_links() {
    goes(&"the network", links);
}

/// Waits until nothing is left.
fn goes(whose: &dyn std::fmt::Display, look: impl Fn() -> Vec<String>) {
    let until = Instant::now() + BOUND;
    loop {
        let left = look();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "left of {whose}: {left:#?}");
        // waits: between two looks at what changes without an event
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The outer ends of tasks' links, where a test has a network of its own. In the host's they may be
/// another test's: the kernel counts them, and their names say no more.
pub(crate) fn links() -> Vec<String> {
    let network = |whose: &str| fs::read_link(format!("/proc/{whose}/ns/net")).ok();
    if network("thread-self") == network("self") {
        return Vec::new();
    }
    let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let names = table.lines().skip(2).filter_map(|line| line.split(':').next());
    names.map(|name| name.trim().to_owned()).filter(|name| name.starts_with("tepui")).collect()
}

/// A directory as tables of mounts name it: its disk, and its path there.
struct Disk {
    number: String,
    path: PathBuf,
}

impl Disk {
    /// None when it is gone, or is the whole of its disk.
    fn of(dir: &Path) -> Option<Self> {
        let device = |path: &Path| fs::metadata(path).map(|found| found.dev()).ok();
        let own = device(dir)?;
        let root = dir.ancestors().take_while(|above| device(above) == Some(own)).last()?;
        let path = dir.strip_prefix(root).ok().filter(|path| !path.as_os_str().is_empty())?;
        // As `makedev` puts them together.
        let major = ((own >> 8) & 0xfff) | ((own >> 32) & !0xfff);
        let minor = (own & 0xff) | ((own >> 12) & 0xf_ff00);
        Some(Self { number: format!("{major}:{minor}"), path: Path::new("/").join(path) })
    }

    /// Whether a line of such a table shows something of the directory.
    fn has(&self, line: &str) -> bool {
        let mut fields = line.split(' ').skip(2);
        let (number, root) = (fields.next(), fields.next());
        number == Some(&self.number) && root.is_some_and(|root| self.is_above(Path::new(root)))
    }

    fn is_above(&self, path: &Path) -> bool {
        path.starts_with(&self.path)
    }
}

/// A path without links, as far as it is there.
fn whole(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, real)) = there else { return path };
    let rest = path.strip_prefix(above).into_iter().flatten();
    rest.fold(real, |whole, name| whole.join(name))
}

/// As an agent makes its cgroup's name.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Whether a text names this, and not only something whose name begins with it.
fn names(text: &[u8], what: &[u8]) -> bool {
    let ends = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"-_.".contains(byte);
    text.windows(what.len())
        .enumerate()
        .any(|(at, part)| part == what && text.get(at + what.len()).is_none_or(ends))
}

/// Whether a process is over, by its number.
pub(crate) fn is_over(pid: u32) -> bool {
    has_ended(&fs::read(format!("/proc/{pid}/stat")).unwrap_or_default())
}

/// By the state in its line of `/proc/PID/stat`; a process that is gone has none.
fn has_ended(stat: &[u8]) -> bool {
    let after = stat.iter().rposition(|byte| *byte == b')').and_then(|at| stat.get(at + 2));
    after.is_none_or(|state| matches!(state, b'Z' | b'X'))
}
