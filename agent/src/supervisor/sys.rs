//! The few system calls that neither std nor rustix offers, each wrapped so that callers are safe.
//!
//! Signals, waiting with resource usage, forking to detach, clocks. Nothing here may keep state.
#![allow(unsafe_code)] // Raw system calls; every block says why it is sound.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use super::task::Rlimit;

/// How a child ended and what it used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reaped {
    pub(super) pid: u32,
    /// Raw status of `wait(2)`.
    pub(super) status: i32,
    pub(super) cpu_time: Duration,
    pub(super) max_rss_bytes: u64,
}

/// A child that has ended, if there is one. Its number, and that of its group, stay its own until it
/// is reaped.
pub(super) fn ended_child() -> Option<u32> {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: siginfo_t is plain integers, for which all zeroes is a value; waitid fills it, and
    // leaves the zeroes when no child has ended.
    let pid = unsafe {
        let mut told: libc::siginfo_t = std::mem::zeroed();
        if libc::waitid(libc::P_ALL, 0, &raw mut told, options) < 0 {
            return None;
        }
        told.si_pid()
    };
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Takes the status of one child that has ended, if there is one: of `pid`, or of any.
pub(super) fn reap_one(pid: Option<u32>) -> Option<Reaped> {
    let wanted = pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or(-1);
    let mut status = 0;
    // SAFETY: rusage is plain integers, for which all zeroes is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals.
    let pid = unsafe { libc::wait4(wanted, &raw mut status, libc::WNOHANG, &raw mut usage) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let time = |t: libc::timeval| {
        let micros = u32::try_from(t.tv_usec).unwrap_or(0);
        Duration::new(u64::try_from(t.tv_sec).unwrap_or(0), micros.saturating_mul(1000))
    };
    Some(Reaped {
        pid,
        status,
        cpu_time: time(usage.ru_utime) + time(usage.ru_stime),
        max_rss_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    })
}

/// Waits for one child by name, which has exited or is about to.
pub(super) fn reap_named(pid: i32) {
    let mut status = 0;
    // SAFETY: the pointer is to a live local.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0
        && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
    {}
}

/// The exit code or signal in a raw wait status.
pub(super) fn decode_status(status: i32) -> super::task::WaitStatus {
    if libc::WIFSIGNALED(status) {
        super::task::WaitStatus::Signaled(u8::try_from(libc::WTERMSIG(status)).unwrap_or(0))
    } else {
        super::task::WaitStatus::Exited(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(255))
    }
}

/// Gives every signal its default action and blocks all of them, so that a task inherits no
/// ignored signal (exec keeps those) and signals reach us only through [`signal_fd`].
pub(super) fn take_over_signals() {
    // The kernel's own struct: handler, flags, restorer and mask, of which zero is the default.
    // libc's function would refuse the signals it keeps for itself, and some start us with
    // those ignored.
    let default = [0u64; 4];
    for signal in 1..=64 {
        let old = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: the default action runs no code of ours, and this process has one thread, so
        // libc does not need its signals. KILL and STOP are refused, which is fine.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, 8usize) };
    }
    // SAFETY: sigfillset initialises the set it is given; the pointers are to live locals.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}

/// A descriptor that becomes readable when one of `signals` arrives.
pub(super) fn signal_fd(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: sigemptyset initialises the set; signalfd returns a new descriptor or -1, and the
    // descriptor is owned by nobody else.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        let fd = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}

/// Takes the signals that have arrived; true if one of them asks us to end.
pub(super) fn take_signals(fd: BorrowedFd<'_>) -> bool {
    const SIZE: usize = size_of::<libc::signalfd_siginfo>();
    let mut buffer = [0u8; SIZE * 16];
    let mut asked_to_end = false;
    while let Ok(n) = rustix::io::read(fd, &mut buffer) {
        for info in buffer[..n].chunks_exact(SIZE) {
            // The signal's number is the first field.
            let number = u32::from_ne_bytes([info[0], info[1], info[2], info[3]]);
            asked_to_end |= number != libc::SIGCHLD.cast_unsigned();
        }
        if n < buffer.len() {
            break;
        }
    }
    asked_to_end
}

/// Whether a process that shares its descriptors can leave them with a copy of the first ones.
pub(super) fn can_leave_descriptors() -> bool {
    let (first, last, unshare) = (1u32, 0u32, super::spawn::UNSHARE);
    // SAFETY: takes no pointers, and a range that ends before it begins is refused before
    // anything is done.
    let refused = unsafe { libc::syscall(libc::SYS_close_range, first, last, unshare) };
    refused < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}

/// Nobody but root of the host may trace us or reach our memory and descriptors.
pub(super) fn hide_memory() -> io::Result<()> {
    // SAFETY: takes no pointers.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes orphans of our tasks our own children, so that they cannot hide and leave no zombies.
pub(super) fn become_subreaper() -> io::Result<()> {
    // SAFETY: takes no pointers.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sends `signal` to a process we have not reaped, or to the group it leads.
///
/// The kernel keeps the number of an unreaped child reserved, so this cannot hit a stranger.
pub(super) fn signal_child(pid: u32, group: bool, signal: i32) -> bool {
    let Ok(pid) = i32::try_from(pid) else { return false };
    // Numbers 0, 1 and -1 have meanings that nobody here may ever ask for.
    if pid <= 1 {
        return false;
    }
    // SAFETY: takes no pointers.
    unsafe { libc::kill(if group { -pid } else { pid }, signal) == 0 }
}

/// A descriptor of a child just born; one that cannot be watched is ended.
pub(super) fn open_child(pid: i32) -> io::Result<OwnedFd> {
    let named = rustix::process::Pid::from_raw(pid).expect("a child has a number above zero");
    rustix::process::pidfd_open(named, rustix::process::PidfdFlags::empty()).map_err(|errno| {
        signal_child(pid.cast_unsigned(), false, libc::SIGKILL);
        reap_named(pid);
        errno.into()
    })
}

/// Nanoseconds since boot, suspended time included.
pub(super) fn boot_time_ns() -> u64 {
    // SAFETY: timespec is plain integers, and the pointer is to a live local.
    let now = unsafe {
        let mut now: libc::timespec = std::mem::zeroed();
        libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now);
        now
    };
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000) + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Cpu time of a process, all its threads together, in nanoseconds; 0 if there is no such process.
pub(super) fn cpu_time_ns(pid: u32) -> u64 {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return 0 };
    // SAFETY: plain integers; the pointers are to live locals.
    let used = unsafe {
        let (mut clock, mut used): (libc::clockid_t, libc::timespec) = std::mem::zeroed();
        let known = libc::clock_getcpuclockid(pid, &raw mut clock) == 0
            && libc::clock_gettime(clock, &raw mut used) == 0;
        known.then_some(used)
    };
    let Some(used) = used else { return 0 };
    let seconds = u64::try_from(used.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000) + u64::try_from(used.tv_nsec).unwrap_or(0)
}

/// What we found of descriptors that a process may hold, before we took more.
static DESCRIPTORS: OnceLock<Rlimit> = OnceLock::new();

/// The number of descriptors that a task may hold which names none: what ours was. More than 1,024
/// break programs that use select(2).
pub(super) fn usual_descriptors() -> Option<&'static Rlimit> {
    DESCRIPTORS.get()
}

/// Raises the number of descriptors we may hold to what the host allows.
pub(super) fn raise_descriptor_limit() {
    // SAFETY: plain integers; the pointers are to live locals. Failure leaves the limit as it is.
    unsafe {
        let mut limit: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            let resource = libc::RLIMIT_NOFILE;
            let found = Rlimit { resource, soft: limit.rlim_cur, hard: limit.rlim_max };
            // It is done once.
            let _ = DESCRIPTORS.set(found);
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Which side of a fork we are on.
pub(super) enum Fork {
    Parent,
    Child,
}

/// Forks. Only to be called while this process has a single thread.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: the caller has a single thread, so the child may go on using all of libc.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Fork::Child),
        _ => Ok(Fork::Parent),
    }
}

/// A child in a user namespace of its own, which waits until it is killed.
pub(super) fn fork_into_user_namespace() -> io::Result<u32> {
    let flags = libc::CLONE_NEWUSER | libc::SIGCHLD;
    // SAFETY: as fork, in a process with a single thread; the child makes one raw system call at a
    // time and never returns from here.
    unsafe {
        match libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) {
            0 => loop {
                libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
            },
            pid => u32::try_from(pid).map_err(|_| io::Error::last_os_error()),
        }
    }
}

/// `struct mount_attr` of the kernel.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Sets attributes of the mount that a descriptor stands for, and shifts its owners by a user
/// namespace when one is given. No allocation, and no state of libc but errno.
pub(super) fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: u64,
    shift: Option<BorrowedFd<'_>>,
) -> Result<(), rustix::io::Errno> {
    let shifted = if shift.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 };
    let wanted = MountAttributes {
        set: attributes | shifted,
        clear: 0,
        propagation: 0,
        user_namespace: shift.map_or(0, |fd| u64::from(fd.as_raw_fd().cast_unsigned())),
    };
    // SAFETY: the path is an empty C string, and the structure is of the size that is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const wanted,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 {
        return Ok(());
    }
    // SAFETY: errno is this thread's own.
    Err(rustix::io::Errno::from_raw_os_error(unsafe { *libc::__errno_location() }))
}

/// Where children are born from now on: in the namespace of processes that the descriptor stands
/// for (a namespace file, or a pidfd of one of its processes).
pub(super) fn bear_children_in(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers; of this process it changes nothing else.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWPID) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A new network for this process, and the children that it bears while it is there.
pub(super) fn leave_network() -> io::Result<()> {
    // SAFETY: takes no pointers; of this process it changes nothing else.
    match unsafe { libc::unshare(libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Goes into the network that the descriptor stands for.
pub(super) fn enter_network(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes no pointers; of this process it changes nothing else.
    match unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Number of threads of this process, to make sure that a fork is sound.
pub(super) fn thread_count() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}
