//! Birth of a process that shares our memory while we wait: clone, with or without a cgroup to be
//! born in.
//!
//! `CLONE_VFORK` would wait for ever for a child that somebody stops before it has executed, and
//! whoever has its user may: a task that sends STOP to all that it can reach would hold up
//! everybody's supervisor. So the child is waited for by a futex, which the kernel sets to zero when
//! the child lets go of our memory, and one that is stopped is killed.
#![allow(unsafe_code)] // clone and clone3; every block says why it is sound.

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use rustix::thread::futex;
use rustix::time::Timespec;
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How often a child that is late is looked at.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// After what a child that has not executed is killed. Its program may have to be read from a slow
/// disk, and its share of the processors may be small.
const LATEST: Duration = Duration::from_secs(10);

/// `CLONE_INTO_CGROUP` of clone3.
#[cfg(target_arch = "x86_64")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Runs `run` in a new process, on that stack and in our memory, and goes on when it has executed
/// or exited; returns its process id. One that is stopped meanwhile, or takes longer than
/// [`LATEST`], is killed, which is told as its end.
///
/// # Errors
/// The system's error number.
///
/// # Safety
/// `run` may only do what is allowed to a process that shares its parent's memory (raw system
/// calls on `argument`, which nobody else touches), and never returns. It may use errno: this
/// thread leaves it alone until the child is done.
pub(in crate::supervisor) unsafe fn bear(
    flags: c_int,
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
    stack: &mut [u128],
    into_cgroup: Option<BorrowedFd<'_>>,
) -> Result<c_int, c_int> {
    let flags = flags | libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID;
    let shares = AtomicU32::new(1);
    // SAFETY: what the caller promises of `run`; `argument`, the stack and `shares` live until
    // `until_executed` has seen that the child shares our memory no more.
    let pid = unsafe { begin(flags, run, argument, stack, into_cgroup, &shares) }?;
    until_executed(pid, &shares);
    Ok(pid)
}

/// SAFETY: as for `bear`; besides, the caller keeps all that is given alive until the kernel has set
/// `shares` to zero, or the child has ended.
unsafe fn begin(
    flags: c_int,
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
    stack: &mut [u128],
    into_cgroup: Option<BorrowedFd<'_>>,
    shares: &AtomicU32,
) -> Result<c_int, c_int> {
    #[cfg(target_arch = "x86_64")]
    if let Some(cgroup) = into_cgroup {
        return clone3(flags, run, argument, stack, cgroup, shares);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = into_cgroup; // There the child joins by writing to cgroup.procs.
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    let none = std::ptr::null_mut::<c_void>();
    // SAFETY: the stack is ours, aligned to 16 bytes and unused; the caller keeps it, `argument`
    // and `shares` alive.
    let pid = unsafe {
        libc::clone(run, top, flags | libc::SIGCHLD, argument, none, none, shares.as_ptr())
    };
    if pid < 0 { Err(super::last_errno()) } else { Ok(pid) }
}

/// Waits until the child has let go of our memory. Makes raw system calls only, because errno is the
/// child's as well.
fn until_executed(pid: c_int, shares: &AtomicU32) {
    let Some(pid) = Pid::from_raw(pid) else { return };
    let begun = Instant::now();
    let is = |what: WaitIdOptions| {
        let quietly = what | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(rustix::process::waitid(WaitId::Pid(pid), quietly), Ok(Some(_)))
    };
    while shares.load(Ordering::Acquire) != 0 {
        // Not a private one: the kernel wakes those that wait by the page.
        let woken = futex::wait(shares, futex::Flags::empty(), 1, Some(&LOOK));
        if woken != Err(rustix::io::Errno::TIMEDOUT) {
            continue;
        }
        // Older kernels leave the number of one that dumped core.
        if is(WaitIdOptions::EXITED) {
            return;
        }
        if is(WaitIdOptions::STOPPED) || begun.elapsed() > LATEST {
            // Not reaped, so the number is its own.
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        }
    }
}

/// As `struct clone_args` of the kernel, version 2 (88 bytes).
#[cfg(target_arch = "x86_64")]
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// clone3, which alone can give birth inside a cgroup. libc has no wrapper for it, and one is
/// needed because the child comes back on another stack.
#[cfg(target_arch = "x86_64")]
fn clone3(
    flags: c_int,
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
    stack: &mut [u128],
    cgroup: BorrowedFd<'_>,
    shares: &AtomicU32,
) -> Result<c_int, c_int> {
    let arguments = CloneArgs {
        flags: u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP,
        child_tid: shares.as_ptr() as u64,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: stack.as_mut_ptr() as u64,
        stack_size: size_of_val(stack) as u64,
        cgroup: u64::from(cgroup.as_raw_fd().cast_unsigned()),
        ..CloneArgs::default()
    };
    let result: i64;
    // SAFETY: the parent sees one system call that returns a number. The child starts on its own
    // stack (so it cannot disturb this frame), finds the function and its argument in registers
    // the kernel preserves, and never returns from the call. The caller keeps everything that
    // `argument` points to alive, as for `begin`.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") &raw const arguments,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") run,
            in("r13") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    let result = c_int::try_from(result).unwrap_or(-libc::EINVAL);
    if result < 0 { Err(-result) } else { Ok(result) }
}
