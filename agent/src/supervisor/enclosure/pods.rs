//! What the tasks of a group have in common within their walls: processes, which see one another,
//! and IPC.
//!
//! A first process of its own keeps both namespaces, from the group's first task to the end of its
//! last, and is killed then: with it the kernel kills whatever is left in there. The first
//! processes of the tasks' enclosures are born in them, and keep a task's mounts and its host name
//! only. So the end of one such process ends nothing else: what a task left behind is found by its
//! cgroup, and where there are none, nothing is shared.
#![allow(unsafe_code)] // A cloned child; the block says why it is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use super::first::{First, first};
use super::{Enclosures, STACK, Standing, refused};
use crate::supervisor::spawn::bear;
use crate::supervisor::sys;
use crate::supervisor::task::LaunchError;

/// The namespaces that tasks of a group share.
pub(super) const SHARED: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWIPC;

/// The pods of groups that have tasks, and those that are ending.
#[derive(Debug, Default)]
pub(super) struct Pods {
    standing: BTreeMap<String, Pod>,
    /// First processes that were killed and are not gone yet.
    ending: BTreeSet<u32>,
}

/// What a group's tasks share.
#[derive(Debug)]
struct Pod {
    /// Its first process, our child.
    init: u32,
    pidfd: OwnedFd,
    /// Enclosures that stand in it.
    members: usize,
}

/// A place in a pod: the group's name, and the pod's first process, for a group may have had another
/// pod before.
#[derive(Debug, Clone)]
pub(super) struct Membership {
    name: String,
    init: u32,
}

impl Pods {
    fn get(&self, member: &Membership) -> Option<&Pod> {
        self.standing.get(&member.name).filter(|pod| pod.init == member.init)
    }

    /// The pod's first process, for who wants to go in.
    pub(super) fn door(&self, member: &Membership) -> Option<BorrowedFd<'_>> {
        Some(self.get(member)?.pidfd.as_fd())
    }

    /// Ends a pod, and everything that is left in it.
    fn end(&mut self, member: &Membership) {
        let Some(pod) = self.standing.remove(&member.name) else { return };
        self.ending.insert(pod.init);
        sys::signal_child(pod.init, false, libc::SIGKILL);
    }
}

impl Enclosures {
    /// One more is in a group, whose pod is made for the first.
    pub(super) fn join_pod(&mut self, name: &str) -> Result<Membership, LaunchError> {
        if !self.pods.standing.contains_key(name) {
            let (init, pidfd) = self.hold().map_err(refused("what its group shares"))?;
            self.pods.standing.insert(name.to_owned(), Pod { init, pidfd, members: 0 });
            fail::fail_point!("pod-made");
        }
        let pod = self.pods.standing.get_mut(name).expect("it was there, or is just made");
        pod.members += 1;
        Ok(Membership { name: name.to_owned(), init: pod.init })
    }

    /// One less is in a group; with the last one its pod ends.
    pub(super) fn leave_pod(&mut self, member: &Membership) {
        if self.pods.get(member).is_none() {
            return;
        }
        let Some(pod) = self.pods.standing.get_mut(&member.name) else { return };
        pod.members -= 1;
        if pod.members == 0 {
            self.pods.end(member);
        }
    }

    /// Whether the last of a group, of which nothing else is left, has to wait for the end of what
    /// it was in.
    pub(in crate::supervisor) fn pod_remains(&mut self, standing: &Standing) -> bool {
        let Some(member) = &standing.pod else { return false };
        if self.pods.get(member).is_some_and(|pod| pod.members == 1) {
            self.pods.end(member);
        }
        self.pods.ending.contains(&member.init)
    }

    /// A child of ours is gone that was no task: perhaps a pod's first process, and all in it.
    pub(in crate::supervisor) fn note_gone(&mut self, pid: u32) {
        self.pods.ending.remove(&pid);
        self.pods.standing.retain(|_, pod| pod.init != pid);
    }

    /// A process that keeps new namespaces.
    fn hold(&self) -> io::Result<(u32, OwnedFd)> {
        let mut job = First {
            plan: None,
            pod: -1,
            joins: &[],
            user: -1,
            init: self.init.as_raw_fd(),
            failed: None,
        };
        let mut stack = vec![0u128; STACK / size_of::<u128>()];
        let argument = std::ptr::from_mut(&mut job).cast::<c_void>();
        // SAFETY: `first` makes system calls on the job only, which is not touched meanwhile.
        let born = unsafe { bear(SHARED, first, argument, &mut stack, None) };
        // SAFETY: a live local, written by the child, if at all, before the call went on.
        let failed = unsafe { std::ptr::read_volatile(&raw const job.failed) };
        let pid = born.map_err(io::Error::from_raw_os_error)?;
        if let Some(failed) = failed {
            sys::reap_named(pid);
            let error = io::Error::from_raw_os_error(failed.errno);
            return Err(io::Error::other(format!("{}: {error}", failed.step)));
        }
        Ok((pid.cast_unsigned(), sys::open_child(pid)?))
    }
}
