//! What happened, kept for a while, for those who want to follow it or be woken by it.
//!
//! Numbers begin with the wall clock in microseconds, so that they grow across restarts too. What
//! somebody may have missed is said, never hidden.

use driver::core::{GroupId, Notice, UnitChange};
use proto::Time;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{oneshot, watch};

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) time: Time,
    pub(crate) notice: Notice,
}

/// What a waiter waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// The job's first launch, or its end.
    Started,
    /// The job's end.
    Ended,
}

type Waiter = (Until, oneshot::Sender<()>);

#[derive(Debug)]
struct Ring {
    entries: VecDeque<Entry>,
    /// The number of the next entry.
    next: u64,
    /// The first number from which on nothing is missing.
    whole_from: u64,
}

/// The events and those who wait for them.
#[derive(Debug)]
pub(crate) struct EventLog {
    ring: Mutex<Ring>,
    most: usize,
    last: watch::Sender<u64>,
    waiters: Mutex<BTreeMap<GroupId, Vec<Waiter>>>,
}

/// Some entries, and whether some before them are missing.
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    pub(crate) next: u64,
    pub(crate) gap: bool,
}

impl EventLog {
    pub(crate) fn new(most: usize, now: Time) -> Self {
        let next = now.as_nanos() / 1000;
        let ring = Ring { entries: VecDeque::new(), next, whole_from: next };
        let last = watch::Sender::new(next);
        Self { ring: Mutex::new(ring), most, last, waiters: Mutex::default() }
    }

    /// Notes what happened and wakes those who waited for it.
    pub(crate) fn note(&self, now: Time, notices: Vec<Notice>) {
        for notice in &notices {
            match notice {
                Notice::Unit { group, change: UnitChange::Launched(_), .. } => {
                    self.wake(group, Until::Started);
                }
                Notice::GroupEnded(group) => self.wake(group, Until::Ended),
                _ => {}
            }
        }
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        for notice in notices {
            let number = ring.next;
            ring.next += 1;
            if ring.entries.len() == self.most {
                ring.entries.pop_front();
                ring.whole_from = ring.entries.front().map_or(number, |entry| entry.number);
            }
            ring.entries.push_back(Entry { number, time: now, notice });
        }
        self.last.send_replace(ring.next);
    }

    /// So many notices were lost: everybody has to look again.
    pub(crate) fn note_lost(&self, count: u64) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.entries.clear();
        ring.next += count;
        ring.whole_from = ring.next;
        self.last.send_replace(ring.next);
        drop(ring);
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, waiter) in std::mem::take(&mut *waiters).into_values().flatten() {
            // Who waited may have gone.
            let _ = waiter.send(());
        }
    }

    /// The number that the next event will have.
    pub(crate) fn next_number(&self) -> u64 {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).next
    }

    /// Up to `most` entries from number `from` on that `wanted` takes.
    pub(crate) fn page(&self, from: u64, most: usize, wanted: impl Fn(&Notice) -> bool) -> Page {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = from < ring.whole_from || from > ring.next;
        let start = ring.entries.partition_point(|entry| entry.number < from);
        let mut page = Page { entries: Vec::new(), next: ring.next, gap };
        for entry in ring.entries.range(start.min(ring.entries.len())..) {
            if page.entries.len() == most {
                page.next = entry.number;
                break;
            }
            if wanted(&entry.notice) {
                page.entries.push(entry.clone());
            }
        }
        page
    }

    /// Changes with each event.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }

    /// A sign when the job has got so far; look after this is called and before waiting for it.
    pub(crate) fn wait_for(&self, group: &GroupId, until: Until) -> oneshot::Receiver<()> {
        let (waiter, sign) = oneshot::channel();
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let of_group = waiters.entry(group.clone()).or_default();
        of_group.retain(|(_, waiter)| !waiter.is_closed());
        of_group.push((until, waiter));
        sign
    }

    /// Lets go of waiters that have gone.
    pub(crate) fn tidy(&self, group: &GroupId) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_group) = waiters.get_mut(group) {
            of_group.retain(|(_, waiter)| !waiter.is_closed());
            if of_group.is_empty() {
                waiters.remove(group);
            }
        }
    }

    fn wake(&self, group: &GroupId, reached: Until) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(of_group) = waiters.get_mut(group) else { return };
        let woken = of_group
            .extract_if(.., |(until, _)| reached == Until::Ended || *until == Until::Started);
        for (_, waiter) in woken {
            // Who waited may have gone.
            let _ = waiter.send(());
        }
        if of_group.is_empty() {
            waiters.remove(group);
        }
    }
}

/// Whether a notice is of the job.
pub(crate) fn is_of(notice: &Notice, job: &GroupId) -> bool {
    match notice {
        Notice::Unit { group, .. } | Notice::Submitted(group) | Notice::GroupEnded(group) => {
            group == job
        }
        _ => false,
    }
}

/// An event log that is shared.
pub(crate) type SharedLog = Arc<EventLog>;

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(name: &str) -> Notice {
        Notice::GroupEnded(GroupId::new(name))
    }

    #[test]
    fn a_page_begins_where_it_was_asked_to_and_says_what_is_missing() {
        let log = EventLog::new(3, Time::from_nanos(5_000_000));
        assert_eq!(log.next_number(), 5000);
        log.note(Time::ZERO, ["a", "b"].map(ended).into());
        let page = log.page(5000, 10, |_| true);
        assert_eq!((page.entries.len(), page.next, page.gap), (2, 5002, false));
        let page = log.page(5001, 10, |notice| is_of(notice, &GroupId::new("b")));
        assert_eq!((page.entries.len(), page.entries[0].number), (1, 5001));
        let page = log.page(5000, 1, |_| true);
        assert_eq!((page.entries.len(), page.next, page.gap), (1, 5001, false));
        log.note(Time::ZERO, ["c", "d"].map(ended).into());
        assert!(log.page(5000, 10, |_| true).gap, "the first is gone");
        assert!(!log.page(5001, 10, |_| true).gap);
        assert!(log.page(1, 10, |_| true).gap, "from before a restart");
        log.note_lost(7);
        let page = log.page(5004, 10, |_| true);
        assert_eq!((page.entries.len(), page.next, page.gap), (0, 5011, true));
    }

    #[test]
    fn waiters_are_woken_by_what_they_wait_for_alone() {
        let log = EventLog::new(3, Time::ZERO);
        let group = GroupId::new("a-1");
        let (mut started, mut over) =
            (log.wait_for(&group, Until::Started), log.wait_for(&group, Until::Ended));
        let agent = proto::AgentId::new("agent").unwrap();
        let change = UnitChange::Launched(agent);
        let launched = Notice::Unit { group: group.clone(), index: 0, attempt: 0, change };
        log.note(Time::ZERO, vec![ended("other"), launched]);
        assert!(started.try_recv().is_ok());
        assert!(over.try_recv().is_err());
        log.note(Time::ZERO, vec![ended("a-1")]);
        assert!(over.try_recv().is_ok());
        let mut lost = log.wait_for(&group, Until::Ended);
        log.note_lost(1);
        assert!(lost.try_recv().is_ok());
        drop(log.wait_for(&group, Until::Ended));
        log.tidy(&group);
        assert!(log.waiters.lock().unwrap().is_empty());
    }
}
