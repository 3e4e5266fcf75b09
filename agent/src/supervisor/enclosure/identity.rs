//! User namespaces: whoever is root in an enclosure is nobody on the host.
//!
//! Each berth has a range of ids of its own, so that two tasks which run at one time share no id.
//! A namespace is made once a berth, by a child that lives just long enough for its ids to be
//! written; a descriptor keeps it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::supervisor::sys;

/// How many ids there are in a range.
pub(in crate::supervisor) const IDS: u32 = 65_536;
/// The first id of the first range: above what distributions give to people.
const FIRST: u32 = 0x4000_0000;
/// Ranges up to the end of what fits into 31 bits.
const RANGES: u32 = 16_384;

/// A user namespace in which the ids 0 to 65535 are those from `first` on outside.
#[derive(Debug)]
pub(in crate::supervisor) struct UserNamespace {
    fd: OwnedFd,
    first: u32,
}

impl UserNamespace {
    /// Makes the namespace with the `number`th range.
    ///
    /// # Errors
    /// What the kernel says, where they cannot be had.
    pub(in crate::supervisor) fn make(number: usize) -> io::Result<Self> {
        let number = u32::try_from(number).unwrap_or(u32::MAX) % RANGES;
        let first = FIRST + number * IDS;
        let pid = sys::fork_into_user_namespace()?;
        let made = keep(pid, first);
        // It waits for nothing else.
        sys::signal_child(pid, false, libc::SIGKILL);
        sys::reap_named(pid.cast_signed());
        made.map(|fd| Self { fd, first })
    }

    /// The id outside of an id inside; nothing for one that is not mapped.
    pub(in crate::supervisor) fn outside(&self, id: u32) -> Option<u32> {
        (id < IDS).then_some(self.first + id)
    }
}

impl AsFd for UserNamespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn keep(pid: u32, first: u32) -> io::Result<OwnedFd> {
    for map in ["uid_map", "gid_map"] {
        fs::write(format!("/proc/{pid}/{map}"), format!("0 {first} {IDS}\n"))?;
    }
    Ok(fs::File::open(format!("/proc/{pid}/ns/user"))?.into())
}
