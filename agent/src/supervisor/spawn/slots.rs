//! Low descriptors through which a child gets its directory, input and output.
//!
//! A child is born with a copy of its parent's table of descriptors, and ours is long: pipes,
//! directories and cgroup files of every berth. Copying it and closing it again cost more than all
//! else that a launch does here. So the child shares the table, and leaves it with a copy of its
//! beginning only: what it needs must stand there first.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::{DupFlags, dup3, fcntl_dupfd_cloexec};

use crate::supervisor::sys;

/// Reserved numbers: made early, so that they are low. Between launches they hold what the last
/// child was given.
#[derive(Debug)]
pub(crate) struct Slots {
    reserved: [OwnedFd; 4],
    /// The first number that no child keeps.
    above: u32,
}

impl Slots {
    /// Reserves the numbers, holding `filler`; absent on kernels before 5.9, which cannot copy
    /// the beginning of a table.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub(crate) fn reserve(filler: BorrowedFd<'_>) -> io::Result<Option<Self>> {
        if !sys::can_leave_descriptors() {
            return Ok(None);
        }
        let slot = || fcntl_dupfd_cloexec(filler, 3).map_err(io::Error::from);
        let reserved = [slot()?, slot()?, slot()?, slot()?];
        let highest = reserved.iter().map(AsRawFd::as_raw_fd).max().unwrap_or(0);
        Ok(Some(Self { reserved, above: highest.cast_unsigned() + 1 }))
    }

    /// The first number that no child keeps.
    pub(super) fn above(&self) -> u32 {
        self.above
    }

    /// Puts copies of `wanted` where a child finds them; gives their numbers.
    pub(in crate::supervisor) fn fill(
        &mut self,
        wanted: [BorrowedFd<'_>; 4],
    ) -> io::Result<[RawFd; 4]> {
        for (slot, fd) in self.reserved.iter_mut().zip(wanted) {
            dup3(fd, slot, DupFlags::CLOEXEC)?;
        }
        Ok(self.reserved.each_ref().map(|slot| slot.as_fd().as_raw_fd()))
    }
}
