//! Birth of a process that shares our memory while we are suspended: clone, with or without a
//! cgroup to be born in.
#![allow(unsafe_code)] // clone and clone3; every block says why it is sound.

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd};

/// `CLONE_INTO_CGROUP` of clone3.
#[cfg(target_arch = "x86_64")]
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Runs `run` in a new process, on that stack and in our memory, and goes on when it has executed
/// or exited; returns its process id.
///
/// # Errors
/// The system's error number.
///
/// # Safety
/// `run` may only do what is allowed to a process that shares its parent's memory (raw system
/// calls on `argument`, which nobody else touches), and never returns.
pub(in crate::supervisor) unsafe fn bear(
    flags: c_int,
    run: extern "C" fn(*mut c_void) -> c_int,
    argument: *mut c_void,
    stack: &mut [u128],
    into_cgroup: Option<BorrowedFd<'_>>,
) -> Result<c_int, c_int> {
    let flags = flags | libc::CLONE_VM | libc::CLONE_VFORK;
    #[cfg(target_arch = "x86_64")]
    if let Some(cgroup) = into_cgroup {
        return clone3(flags, run, argument, stack, cgroup);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = into_cgroup; // There the child joins by writing to cgroup.procs.
    let top = stack.as_mut_ptr_range().end.cast::<c_void>();
    // SAFETY: the stack is ours, aligned to 16 bytes and unused; CLONE_VFORK keeps this thread
    // from running, and so `argument` and the stack alive, until the child has executed or exited.
    let pid = unsafe { libc::clone(run, top, flags | libc::SIGCHLD, argument) };
    if pid < 0 { Err(super::last_errno()) } else { Ok(pid) }
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
) -> Result<c_int, c_int> {
    let arguments = CloneArgs {
        flags: u64::from(flags.cast_unsigned()) | CLONE_INTO_CGROUP,
        exit_signal: u64::from(libc::SIGCHLD.cast_unsigned()),
        stack: stack.as_mut_ptr() as u64,
        stack_size: size_of_val(stack) as u64,
        cgroup: u64::from(cgroup.as_raw_fd().cast_unsigned()),
        ..CloneArgs::default()
    };
    let result: i64;
    // SAFETY: the parent sees one system call that returns a number. The child starts on its own
    // stack (so it cannot disturb this frame), finds the function and its argument in registers
    // the kernel preserves, and never returns from the call. CLONE_VFORK keeps everything that
    // `argument` points to alive, as in `bear`.
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
