//! Which pipes of tasks are carried when: as soon as there is something in them, but for those that
//! flood.
//!
//! Who prints without end is held up, by its own full pipe, so that the supervisor has time for all
//! others (`bench flood` shows both, beside the same without).

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::epoll::{self, EventData, EventFlags};

use super::berth::Berth;
use super::cgroup::Group;
use super::server::{BERTHS, MEMORY, Supervisor};
use super::wire::Report;

/// Streams that are not watched until their time has come: berth and number.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeSet<(Instant, usize, usize)>);

impl Held {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.0.first().map(|(until, _, _)| *until)
    }
}

impl Supervisor {
    /// Watches the pipes and the memory of a new berth.
    pub(super) fn watch(&self, index: usize, berth: &Berth) -> io::Result<()> {
        for (what, stream) in berth.streams.iter().enumerate() {
            self.watch_one(index, what as u64, stream.readable(), EventFlags::IN)?;
        }
        if let Some((fd, counter)) = berth.group.as_ref().and_then(Group::oom_watch) {
            let flags = if counter { EventFlags::IN } else { EventFlags::PRI };
            self.watch_one(index, MEMORY, fd, flags)?;
        }
        Ok(())
    }

    fn watch_one(
        &self,
        index: usize,
        what: u64,
        fd: BorrowedFd<'_>,
        flags: EventFlags,
    ) -> io::Result<()> {
        let token = (index as u64 + 1) * BERTHS + what;
        Ok(epoll::add(&self.poll, fd, EventData::new_u64(token), flags)?)
    }

    /// There is something in a pipe.
    pub(super) fn output(&mut self, index: usize, stream: usize, flags: EventFlags) {
        let Some(berth) = self.berths.get_mut(index).and_then(Option::as_mut) else { return };
        let empty = berth.carry(stream, self.logs, &mut self.buffer);
        let pipe = &berth.streams[stream];
        let held = pipe.held_until();
        if (empty && flags.contains(EventFlags::HUP)) || held.is_some() {
            // Nobody can write any more, and the kernel would say so for ever; or nobody is to.
            let _ = epoll::delete(&self.poll, pipe.readable());
        }
        self.held.0.extend(held.map(|until| (until, index, stream)));
        if berth.take_cut()
            && let Some(id) = berth.occupant.as_ref().map(|occupant| occupant.id.clone())
        {
            self.report(&Report::LogCut { id });
        }
    }

    /// Watches those again that were held up for long enough. Their berth may be another's by now,
    /// which then was not watched either, or not be there any more.
    pub(super) fn let_go(&mut self, now: Instant) {
        while let Some(due) = self.held.0.first().copied().filter(|(until, _, _)| *until <= now) {
            self.held.0.remove(&due);
            let (_, index, stream) = due;
            if let Some(berth) = self.berths.get(index).and_then(Option::as_ref) {
                // A new berth in the place of that one is watched already.
                let pipe = berth.streams[stream].readable();
                let _ = self.watch_one(index, stream as u64, pipe, EventFlags::IN);
            }
        }
    }
}
