//! Going into an enclosure and giving rights away: what the child of an enclosed task does besides.
//!
//! As all that a child does, it is raw system calls on prepared data. The order is the point: while
//! it has the supervisor's rights it runs nothing but this, and what it gives away cannot come
//! back: the bounding set before the identity, the filter last of all.
#![allow(unsafe_code)] // Raw system calls in a cloned child; every block says why it is sound.

use std::ffi::{CString, c_int, c_long};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::Step;
use crate::supervisor::enclosure::Filter;

/// The last capability that Linux knows may be a later one; this many are asked about.
const CAPABILITIES: c_int = 64;
/// `_LINUX_CAPABILITY_VERSION_3`.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// The enclosure that a task goes into.
pub(in crate::supervisor) struct Entry<'a> {
    /// A pidfd of its first process. The task is born in its namespace of processes.
    pub(in crate::supervisor) init: BorrowedFd<'a>,
    /// Its user namespace.
    pub(in crate::supervisor) user: Option<BorrowedFd<'a>>,
    /// Working directory, inside.
    pub(in crate::supervisor) directory: CString,
    /// Capabilities that it keeps, as bits.
    pub(in crate::supervisor) capabilities: u64,
    pub(in crate::supervisor) filter: &'a Filter,
}

/// `struct __user_cap_data_struct`, of which there are two.
#[repr(C)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

unsafe fn prctl(option: c_int, value: c_long) -> c_long {
    // SAFETY: the options used here take numbers.
    unsafe { libc::syscall(libc::SYS_prctl, option, value, 0, 0, 0) }
}

impl Entry<'_> {
    /// Into the namespaces; the cgroup's is made here, when the task is in its group.
    ///
    /// SAFETY: only in a cloned child, while the descriptors are still ours.
    pub(super) unsafe fn go_in(&self) -> Step {
        let kinds = libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
        // SAFETY: takes numbers; changes this process only, which shares no root with us.
        unsafe {
            if libc::syscall(libc::SYS_setns, self.init.as_raw_fd(), kinds) < 0
                || libc::syscall(libc::SYS_unshare, libc::CLONE_NEWCGROUP) < 0
            {
                return Step::Namespaces;
            }
            if let Some(user) = self.user
                && libc::syscall(libc::SYS_setns, user.as_raw_fd(), libc::CLONE_NEWUSER) < 0
            {
                return Step::Identity;
            }
        }
        Step::None
    }

    /// What it may never have, before its identity changes.
    ///
    /// SAFETY: only in a cloned child.
    pub(super) unsafe fn bound(&self) -> Step {
        // SAFETY: takes numbers.
        unsafe {
            for capability in 0..CAPABILITIES {
                let kept = self.capabilities & (1 << capability) != 0;
                if !kept && prctl(libc::PR_CAPBSET_DROP, capability.into()) < 0 {
                    // The kernel knows no more of them.
                    if capability > 30 && *libc::__errno_location() == libc::EINVAL {
                        break;
                    }
                    return Step::Bounding;
                }
            }
            if self.capabilities != 0 && prctl(libc::PR_SET_KEEPCAPS, 1) < 0 {
                return Step::Capabilities;
            }
        }
        Step::None
    }

    /// What it keeps, after its identity has changed; then its working directory, as the task.
    ///
    /// SAFETY: only in a cloned child.
    pub(super) unsafe fn settle(&self) -> Step {
        let header = [CAPABILITY_VERSION, 0];
        let half = |shift: u32| {
            // The halves of 64 bits.
            #[allow(clippy::cast_possible_truncation)]
            let bits = (self.capabilities >> shift) as u32;
            CapabilityData { effective: bits, permitted: bits, inheritable: bits }
        };
        let data = [half(0), half(32)];
        // SAFETY: header and data are of the kernel's form; the path is a C string.
        unsafe {
            if libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) < 0 {
                return Step::Capabilities;
            }
            for capability in 0..CAPABILITIES {
                let raise = libc::PR_CAP_AMBIENT_RAISE;
                if self.capabilities & (1 << capability) != 0
                    && libc::syscall(libc::SYS_prctl, libc::PR_CAP_AMBIENT, raise, capability, 0, 0)
                        < 0
                {
                    return Step::Capabilities;
                }
            }
            if prctl(libc::PR_SET_NO_NEW_PRIVS, 1) < 0 {
                return Step::NoNewPrivileges;
            }
            if libc::syscall(libc::SYS_chdir, self.directory.as_ptr()) < 0 {
                return Step::WorkingDirectory;
            }
        }
        Step::None
    }

    /// The filter: from here on only what it allows can be done.
    ///
    /// SAFETY: only in a cloned child.
    pub(super) unsafe fn close(&self) -> Step {
        let instructions = self.filter.instructions();
        let program = libc::sock_fprog {
            // The filter is shorter than the kernel's limit of 4096.
            len: u16::try_from(instructions.len()).unwrap_or(0),
            filter: instructions.as_ptr().cast_mut(),
        };
        // SAFETY: the program is alive, and the kernel does not write to it.
        let result = unsafe {
            let mode = libc::SECCOMP_SET_MODE_FILTER;
            libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program)
        };
        if result < 0 { Step::Filter } else { Step::None }
    }
}
