//! The first process of an enclosure: from its birth until it sleeps.
//!
//! It runs in the supervisor's memory until it executes the sleeper, so it makes raw system calls
//! on prepared data only; see `walls` for the greater part of its work.
#![allow(unsafe_code)] // Raw system calls in a cloned child; every block says why it is sound.

use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;

use super::walls::{self, Failed, Plan};

/// The first process' user and group: nobody's.
const NOBODY: u32 = 65_534;

/// What the first process reads, and where it says what failed.
pub(super) struct First<'a> {
    /// None for one that only keeps what a group shares.
    pub(super) plan: Option<&'a Plan>,
    /// Whose IPC is its own, or -1.
    pub(super) pod: RawFd,
    pub(super) joins: &'a [RawFd],
    /// Or -1.
    pub(super) user: RawFd,
    pub(super) init: RawFd,
    pub(super) failed: Option<Failed>,
}

/// Runs in the child, on its own stack and in our memory.
pub(super) extern "C" fn first(argument: *mut c_void) -> c_int {
    // SAFETY: `argument` is the parent's, alive and untouched while the parent is suspended.
    let job = unsafe { &mut *argument.cast::<First<'_>>() };
    let failed = match join(job).and_then(|()| job.plan.map_or(Ok(()), walls::raise)) {
        Err(failed) => failed,
        // SAFETY: this is the cloned child.
        Ok(()) => unsafe { sleep(job) },
    };
    job.failed = Some(failed);
    // SAFETY: ends this process only, without running any exit handler.
    unsafe { libc::_exit(127) }
}

fn step(step: &'static str) -> Failed {
    // SAFETY: errno is this thread's own.
    let errno = unsafe { *libc::__errno_location() };
    Failed { step, mount_from_end: None, errno }
}

/// A session of its own, death with the supervisor, the container's cgroup, and its group's IPC.
fn join(job: &First<'_>) -> Result<(), Failed> {
    // SAFETY: raw system calls that take numbers, and a C string of one byte.
    unsafe {
        libc::syscall(libc::SYS_setsid);
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        for group in job.joins {
            if libc::syscall(libc::SYS_write, *group, c"0".as_ptr(), 1usize) < 0 {
                return Err(step("joining the cgroup"));
            }
        }
        if job.pod >= 0 && libc::syscall(libc::SYS_setns, job.pod, libc::CLONE_NEWIPC) < 0 {
            return Err(step("entering its group's IPC"));
        }
    }
    Ok(())
}

/// Gives everything away and becomes the sleeper; comes back only when that fails.
///
/// SAFETY: only in a cloned child.
unsafe fn sleep(job: &First<'_>) -> Failed {
    let argv = [c"tepui-init".as_ptr(), std::ptr::null()];
    let envp: [*const libc::c_char; 1] = [std::ptr::null()];
    // The kernel's own struct: handler (ignore), flags, restorer and mask.
    let ignore = [1u64, 0, 0, 0];
    let none = std::ptr::null_mut::<c_void>();
    // SAFETY: raw system calls on numbers and on the locals above; they touch no libc state but
    // errno.
    unsafe {
        if job.user >= 0 && libc::syscall(libc::SYS_setns, job.user, libc::CLONE_NEWUSER) < 0 {
            return step("entering the user namespace");
        }
        if libc::syscall(libc::SYS_setgroups, 0, none) < 0
            || libc::syscall(libc::SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0
            || libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0
        {
            return step("becoming nobody");
        }
        // Cleared by the change of identity.
        libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
        libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let chld = libc::SIGCHLD;
        if libc::syscall(libc::SYS_rt_sigaction, chld, ignore.as_ptr(), none, 8usize) < 0 {
            return step("ignoring ended children");
        }
        // Whatever is open closes as it is executed; what is executed as well.
        let close_on_exec = 4u32;
        libc::syscall(libc::SYS_close_range, 0u32, u32::MAX, close_on_exec);
        let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
        let (argv, envp) = (argv.as_ptr(), envp.as_ptr());
        libc::syscall(libc::SYS_execveat, job.init, path, argv, envp, flags);
        step("executing its first process")
    }
}
