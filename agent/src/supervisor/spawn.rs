//! Starts a task's first process: clone sharing memory, a handful of raw system calls, execve.
//!
//! The child shares our memory until it executes (`CLONE_VM`, as with posix_spawn; we wait),
//! so the cost does not grow with our size and a failure can be reported by plain stores. In
//! return the child may only make raw system calls on data prepared beforehand: no allocation, no
//! locks, and none of libc's set*id functions, which would signal the parent's threads. Our
//! descriptors it shares until it has left them (`slots`), and must change none before that.
#![allow(unsafe_code)] // clone and raw system calls; every block says why it is sound.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

mod birth;
mod entry;
mod slots;

pub(super) use birth::bear;
pub(super) use entry::Entry;

pub(super) use slots::Slots;

use super::sys;
use super::task::{Credentials, LaunchError, Program, Rlimit, TaskSpec};

/// The child makes shallow calls only and takes no signals; debug builds need most of this.
const STACK: usize = 32 << 10;
/// `CLOSE_RANGE_UNSHARE` of close_range: with a copy of the table that ends before the range.
pub(super) const UNSHARE: u32 = 2;

/// Strings for execve, in one piece of memory.
#[derive(Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Strings {
    fn push(&mut self, parts: &[&[u8]]) -> Result<(), LaunchError> {
        self.starts.push(self.bytes.len());
        for part in parts {
            if part.contains(&0) {
                return Err(LaunchError::Refused("a string contains a NUL byte".into()));
            }
            self.bytes.extend_from_slice(part);
        }
        self.bytes.push(0);
        Ok(())
    }

    /// Pointers to each string and a null; valid while `self` is neither changed nor moved away.
    fn pointers(&self) -> Vec<*const c_char> {
        let base = self.bytes.as_ptr();
        let pointer = |start: &usize| base.wrapping_add(*start).cast::<c_char>();
        self.starts.iter().map(pointer).chain([std::ptr::null()]).collect()
    }
}

/// What is executed, in the kernel's form.
pub(super) struct Image<'a> {
    candidates: Strings,
    argv: Strings,
    envp: Strings,
    rlimits: Vec<Rlimit>,
    credentials: Option<&'a Credentials>,
}

impl<'a> Image<'a> {
    /// Prepares a task; `extra` are variables the supervisor adds.
    pub(super) fn new(spec: &'a TaskSpec, extra: &[String]) -> Result<Self, LaunchError> {
        let mut image = Self {
            candidates: Strings::default(),
            argv: Strings::default(),
            envp: Strings::default(),
            rlimits: spec.rlimits.clone(),
            credentials: spec.credentials.as_ref(),
        };
        if let Some(usual) = sys::usual_descriptors()
            && !image.rlimits.iter().any(|limit| limit.resource == usual.resource)
        {
            image.rlimits.push(*usual);
        }
        for variable in spec.environment.iter().chain(extra) {
            image.envp.push(&[variable.as_bytes()])?;
        }
        match &spec.program {
            Program::Shell(line) => {
                image.candidates.push(&[b"/bin/sh"])?;
                for argument in ["sh", "-c", line] {
                    image.argv.push(&[argument.as_bytes()])?;
                }
            }
            Program::Exec { file, argv } => {
                image.look_up(file, &spec.environment)?;
                for argument in argv {
                    image.argv.push(&[argument.as_bytes()])?;
                }
                if argv.is_empty() {
                    image.argv.push(&[file.as_bytes()])?;
                }
            }
        }
        Ok(image)
    }

    /// As execvp does, but with the task's PATH.
    fn look_up(&mut self, file: &str, environment: &[String]) -> Result<(), LaunchError> {
        if file.is_empty() {
            return Err(LaunchError::Refused("the command is empty".into()));
        }
        if file.contains('/') {
            return self.candidates.push(&[file.as_bytes()]);
        }
        let path = environment.iter().find_map(|v| v.strip_prefix("PATH="));
        for directory in path.unwrap_or("/usr/bin:/bin").split(':') {
            let directory = if directory.is_empty() { "." } else { directory };
            self.candidates.push(&[directory.as_bytes(), b"/", file.as_bytes()])?;
        }
        Ok(())
    }
}

/// Where it is executed.
pub(super) struct Place<'a> {
    /// Working directory.
    pub(super) directory: BorrowedFd<'a>,
    pub(super) stdin: BorrowedFd<'a>,
    pub(super) stdout: BorrowedFd<'a>,
    pub(super) stderr: BorrowedFd<'a>,
    /// Whether these are a terminal, which is to be that of its session.
    pub(super) terminal: bool,
    /// `tasks` files (v1) or `cgroup.procs` (v2 without clone3) to which the child writes `0`.
    pub(super) joins: &'a [RawFd],
    /// Directory of a v2 cgroup to be born in.
    pub(super) into_cgroup: Option<BorrowedFd<'a>>,
    /// The enclosure to go into; its own directory is the working directory then.
    pub(super) entry: Option<&'a Entry<'a>>,
}

/// Steps of the child, in the order they are taken; `Report::step` is one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
enum Step {
    None = 0,
    Session,
    Cgroup,
    Descriptors,
    Rlimit,
    Directory,
    Stdio,
    Terminal,
    Groups,
    Gid,
    Uid,
    ParentDeath,
    Namespaces,
    Identity,
    Bounding,
    Capabilities,
    NoNewPrivileges,
    WorkingDirectory,
    Filter,
    Execute,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Session => "setsid",
            Self::Cgroup => "joining the cgroup",
            Self::Descriptors => "close_range",
            Self::Rlimit => "setrlimit",
            Self::Directory => "changing into the sandbox",
            Self::Stdio => "dup2",
            Self::Terminal => "taking the terminal",
            Self::Groups => "setgroups",
            Self::Gid => "setgid",
            Self::Uid => "setuid",
            Self::ParentDeath => "dying with the supervisor",
            Self::Namespaces => "entering the namespaces",
            Self::Identity => "entering the user namespace",
            Self::Bounding => "dropping capabilities",
            Self::Capabilities => "keeping capabilities",
            Self::NoNewPrivileges => "giving up new privileges",
            Self::WorkingDirectory => "changing into the working directory",
            Self::Filter => "installing the seccomp filter",
            Self::Execute => "execve",
        }
    }
}

/// Everything the child reads, and the slot where it says what failed.
struct Job {
    candidates: *const *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    rlimits: *const Rlimit,
    rlimit_count: usize,
    groups: *const u32,
    group_count: usize,
    /// Uid and gid, or -1 to keep ours.
    uid: c_long,
    gid: c_long,
    directory: RawFd,
    stdio: [RawFd; 3],
    terminal: bool,
    joins: *const RawFd,
    join_count: usize,
    /// Our descriptors are shared: leave them, with a copy of those below this number. Or -1.
    leave_from: c_long,
    /// Who its parent is, in its own eyes: the child dies when we die.
    parent: c_long,
    /// Or null.
    entry: *const Entry<'static>,
    failed: Step,
    errno: c_int,
}

/// Starts the image at the place; returns the process id of a process that has executed.
///
/// With `slots` the cost does not grow with the number of our descriptors.
pub(super) fn spawn(
    image: &Image<'_>,
    place: &Place<'_>,
    slots: Option<&mut Slots>,
) -> Result<u32, LaunchError> {
    let (candidates, argv, envp) =
        (image.candidates.pointers(), image.argv.pointers(), image.envp.pointers());
    let groups = image.credentials.map_or(&[][..], |c| &c.groups);
    let wanted = [place.directory, place.stdin, place.stdout, place.stderr];
    let (descriptors, leave_from) = match slots {
        None => (wanted.map(|fd| fd.as_raw_fd()), -1),
        Some(slots) => match slots.fill(wanted) {
            Ok(descriptors) => (descriptors, c_long::from(slots.above())),
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(0);
                return Err(LaunchError::Spawn { step: "dup3".into(), errno });
            }
        },
    };
    let [directory, stdin, stdout, stderr] = descriptors;
    let mut job = Job {
        candidates: candidates.as_ptr(),
        argv: argv.as_ptr(),
        envp: envp.as_ptr(),
        rlimits: image.rlimits.as_ptr(),
        rlimit_count: image.rlimits.len(),
        groups: groups.as_ptr(),
        group_count: groups.len(),
        uid: image.credentials.map_or(-1, |c| c_long::from(c.uid)),
        gid: image.credentials.map_or(-1, |c| c_long::from(c.gid)),
        directory,
        stdio: [stdin, stdout, stderr],
        terminal: place.terminal,
        joins: place.joins.as_ptr(),
        join_count: place.joins.len(),
        leave_from,
        // Inside an enclosure we have no number.
        parent: if place.entry.is_some() { 0 } else { c_long::from(std::process::id()) },
        entry: place.entry.map_or(std::ptr::null(), |entry| std::ptr::from_ref(entry).cast()),
        failed: Step::None,
        errno: 0,
    };
    let mut stack = vec![0u128; STACK / size_of::<u128>()];
    let argument = std::ptr::from_mut(&mut job).cast::<c_void>();
    // SAFETY: `child` makes system calls on the job only, which is not touched meanwhile.
    let pid = unsafe { bear(sharing(&job), child, argument, &mut stack, place.into_cgroup) };
    // SAFETY: `job` is a live local; the child wrote it, if at all, before this call went on.
    // A volatile read, because the compiler cannot know that the clone changed it.
    let (failed, errno) = unsafe {
        (
            std::ptr::read_volatile(&raw const job.failed),
            std::ptr::read_volatile(&raw const job.errno),
        )
    };
    let pid = match pid {
        Ok(pid) => pid,
        Err(errno) => return Err(LaunchError::Spawn { step: "clone".into(), errno }),
    };
    if failed == Step::None {
        return Ok(pid.cast_unsigned());
    }
    sys::reap_named(pid);
    let step = match failed {
        Step::Execute => format!("execve {}", String::from_utf8_lossy(last(&image.candidates))),
        other => other.name().to_owned(),
    };
    Err(LaunchError::Spawn { step, errno })
}

/// The last candidate without its NUL, for the message.
fn last(strings: &Strings) -> &[u8] {
    let start = strings.starts.last().copied().unwrap_or(0);
    strings.bytes.get(start..strings.bytes.len().saturating_sub(1)).unwrap_or(&[])
}

/// What a child has in common with us besides our memory until it executes.
fn sharing(job: &Job) -> c_int {
    if job.leave_from < 0 { 0 } else { libc::CLONE_FILES }
}

fn last_errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Runs in the child, on its own stack and in our memory.
extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the parent's Job, alive and untouched until this has
    // executed or ended, which the parent waits for before it looks at it or lets it go.
    let job = unsafe { &mut *argument.cast::<Job>() };
    // SAFETY: the job's pointers were made by `spawn` from memory that outlives the clone.
    let step = unsafe { prepare(job) };
    job.errno = last_errno();
    job.failed = step;
    // SAFETY: ends this process only, without running any exit handler.
    unsafe { libc::_exit(127) }
}

/// The steps up to execve; returns the one that failed.
///
/// SAFETY: the pointers in `job` must be valid for the lengths beside them, and the caller must
/// be the cloned child. Only system calls that touch no libc state are made.
unsafe fn prepare(job: &Job) -> Step {
    // SAFETY: see above; every call takes numbers or pointers into `job`.
    unsafe {
        if libc::syscall(libc::SYS_setsid) < 0 {
            return Step::Session;
        }
        for i in 0..job.join_count {
            if libc::syscall(libc::SYS_write, *job.joins.add(i), c"0".as_ptr(), 1usize) < 0 {
                return Step::Cgroup;
            }
        }
        let entry = job.entry.as_ref();
        let mut step = set_rlimits(job);
        if let (Step::None, Some(entry)) = (step, entry) {
            step = entry.go_in();
        }
        if step != Step::None {
            return step;
        }
        // From here on the descriptors are the child's own.
        if job.leave_from >= 0
            && libc::syscall(libc::SYS_close_range, job.leave_from, u32::MAX, UNSHARE) < 0
        {
            return Step::Descriptors;
        }
        if entry.is_none() && libc::syscall(libc::SYS_fchdir, job.directory) < 0 {
            return Step::Directory;
        }
        let mut target = 0;
        while target < 3 {
            if libc::syscall(libc::SYS_dup3, job.stdio[target], target, 0) < 0 {
                return Step::Stdio;
            }
            target += 1;
        }
        if job.terminal && libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0) < 0 {
            return Step::Terminal;
        }
        // Within walls nothing of ours is left before a path is followed there: what a task has put
        // in its place could lead to a directory of the host by them (`/proc/self/fd`). All kernels
        // that can make walls have the call.
        if entry.is_some() && libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) < 0 {
            return Step::Descriptors;
        }
        step = entry.map_or(Step::None, |entry| entry.bound());
        if step == Step::None {
            step = take_identity(job);
        }
        if let (Step::None, Some(entry)) = (step, entry) {
            step = entry.settle();
        }
        if step != Step::None {
            return step;
        }
        // After the identity, whose change would clear it. We may have died before: then nobody
        // would send the signal any more.
        if libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) < 0
            || libc::syscall(libc::SYS_getppid) != job.parent
        {
            return Step::ParentDeath;
        }
        // Everything of ours is close-on-exec already; this also closes what we inherited
        // ourselves. Kernels before 5.9 lack it, which is no reason to fail.
        libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32);
        let none = 0u64;
        let old = std::ptr::null_mut::<c_void>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, old, 8usize);
        step = entry.map_or(Step::None, |entry| entry.close());
        if step != Step::None {
            return step;
        }
        execute(job);
        Step::Execute
    }
}

/// SAFETY: as for `prepare`.
unsafe fn set_rlimits(job: &Job) -> Step {
    for i in 0..job.rlimit_count {
        // SAFETY: there are so many limits, each of two numbers in the kernel's form.
        unsafe {
            let limit = &*job.rlimits.add(i);
            let pair = [limit.soft, limit.hard];
            let old = std::ptr::null_mut::<c_void>();
            if libc::syscall(libc::SYS_prlimit64, 0, limit.resource, pair.as_ptr(), old) < 0 {
                return Step::Rlimit;
            }
        }
    }
    Step::None
}

/// SAFETY: as for `prepare`.
unsafe fn take_identity(job: &Job) -> Step {
    if job.uid < 0 {
        return Step::None;
    }
    // SAFETY: there are so many groups; the rest are numbers.
    unsafe {
        if libc::syscall(libc::SYS_setgroups, job.group_count, job.groups) < 0 {
            return Step::Groups;
        }
        if libc::syscall(libc::SYS_setresgid, job.gid, job.gid, job.gid) < 0 {
            return Step::Gid;
        }
        if libc::syscall(libc::SYS_setresuid, job.uid, job.uid, job.uid) < 0 {
            return Step::Uid;
        }
    }
    Step::None
}

/// Tries each candidate. The error that remains is the most telling one.
///
/// SAFETY: as for `prepare`.
unsafe fn execute(job: &Job) {
    // SAFETY: `candidates`, `argv` and `envp` are null-terminated arrays of C strings.
    unsafe {
        let mut denied = false;
        let mut candidate = job.candidates;
        while !(*candidate).is_null() {
            libc::syscall(libc::SYS_execve, *candidate, job.argv, job.envp);
            let errno = *libc::__errno_location();
            denied |= errno == libc::EACCES;
            if !matches!(errno, libc::ENOENT | libc::ENOTDIR | libc::EACCES) {
                return;
            }
            candidate = candidate.add(1);
        }
        if denied {
            *libc::__errno_location() = libc::EACCES;
        }
    }
}

#[cfg(test)]
mod tests;
