//! Enclosures: walls around a task that the kernel keeps up.
//!
//! A task that asks for a container (an image, volumes, a host name) is born in namespaces of its
//! own (mounts, processes, ipc, host name, cgroup, users), on a root file system that holds what it
//! is meant to see, as a user that is nobody on the host, without capabilities, and behind a filter
//! of system calls.
//!
//! Two processes make one. The first (`init`) is born in new namespaces, hangs the prepared mounts
//! into the new root (`walls`), and becomes a few bytes that sleep. The task is the second: a child
//! of the supervisor like any other, born among the first one's processes; so its exit status,
//! signals and output are handled as for plain tasks. When the task has ended, the first process is
//! killed, and the kernel kills whatever is left inside and takes the mounts down.
//!
//! The supervisor is suspended while a child prepares itself, as when it spawns a plain task, so
//! nothing here may wait for a peer. Nothing of one enclosure is used for another but its range of
//! ids, and within a group what its tasks share (`pods`).
#![allow(unsafe_code)] // A cloned child; every block says why it is sound.

mod first;
mod identity;
mod init;
mod mounts;
mod names;
mod pods;
mod seccomp;
mod syscalls;
mod tree;
mod walls;

use std::ffi::{CString, c_void};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid};

use super::project::Project;
use super::spawn::bear;
use super::sys;
use super::task::{Enclosure, LaunchError, Root, VolumeLink};
use first::{First, first};
use pods::{Membership, Pods, SHARED};
use walls::{Failed, Plan, RootPlan};

pub(super) use identity::UserNamespace;
pub(super) use seccomp::Filter;

/// The first process has a stack of this size while it works; debug builds need most of it.
const STACK: usize = 64 << 10;
/// Where what cannot be removed at once waits for somebody who has time.
pub(crate) const TRASH: &str = "trash";

/// What all enclosures have in common.
#[derive(Debug)]
pub(super) struct Enclosures {
    dir: PathBuf,
    init: OwnedFd,
    /// Our own namespace of processes, to come back to.
    home: OwnedFd,
    filter: Filter,
    pods: Pods,
    next: u64,
}

/// A standing enclosure.
#[derive(Debug)]
pub(super) struct Standing {
    /// The process id of its first process, our child.
    pub(super) init: u32,
    /// That process, and with it everything inside, is gone.
    pub(super) fallen: bool,
    pidfd: OwnedFd,
    /// The layer over its image.
    layer: Option<PathBuf>,
    /// The group that it is in.
    pod: Option<Membership>,
    /// Keeps the image from being collected.
    _image: Option<OwnedFd>,
}

/// What is walled in.
pub(super) struct Wanted<'a> {
    pub(super) enclosure: &'a Enclosure,
    pub(super) sandbox: BorrowedFd<'a>,
    pub(super) volumes: &'a [VolumeLink],
    /// The task's user and group, inside.
    pub(super) owner: (u32, u32),
    pub(super) user: Option<&'a UserNamespace>,
    pub(super) joins: &'a [RawFd],
    pub(super) into_cgroup: Option<BorrowedFd<'a>>,
    /// The group with whose tasks it shares processes and IPC.
    pub(super) pod: Option<&'a str>,
    /// To which what it writes over an image belongs.
    pub(super) project: Option<&'a Project>,
}

fn refused(what: impl std::fmt::Display) -> impl Fn(io::Error) -> LaunchError {
    move |error| LaunchError::Refused(format!("the container cannot be made: {what}: {error}"))
}

impl Enclosures {
    /// Makes ready.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        let mut make = fs::DirBuilder::new();
        make.recursive(true).mode(0o700);
        for name in ["root", "image", TRASH] {
            make.create(dir.join(name))?;
        }
        // Who goes in shares our memory until its program runs, and has the task's user by then. It
        // is not a task's to look into or change, not with a capability in its own namespace.
        sys::hide_memory()?;
        Ok(Self {
            init: init::sealed()?,
            home: fs::File::open("/proc/self/ns/pid")?.into(),
            filter: Filter::standard(),
            pods: Pods::default(),
            next: 0,
            dir,
        })
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Bears children in an enclosure, until [`Self::come_home`].
    pub(super) fn bear_children_in(standing: &Standing) -> io::Result<()> {
        sys::bear_children_in(standing.pidfd.as_fd())
    }

    /// Bears children among ourselves again.
    pub(super) fn come_home(&self) {
        sys::bear_children_in(self.home.as_fd())
            .expect("a process may always bear children in its own namespace");
    }

    /// Builds the walls and starts the first process in them.
    pub(super) fn raise(&mut self, wanted: &Wanted<'_>) -> Result<Standing, LaunchError> {
        let (root, layer, image) = match &wanted.enclosure.root {
            Root::Host => (None, None, None),
            Root::Image(path) => {
                let (plan, layer, image) = self.layers(path, wanted)?;
                (Some(plan), Some(layer), Some(image))
            }
        };
        let begun = mounts::plan(&self.dir, wanted, root).and_then(|plan| {
            fail::fail_point!("mounts-made");
            let pod = wanted.pod.map(|name| self.join_pod(name)).transpose()?;
            match self.begin(&plan, wanted, pod.as_ref()) {
                Ok((init, pidfd)) => Ok((init, pidfd, pod)),
                Err(error) => {
                    pod.iter().for_each(|pod| self.leave_pod(pod));
                    Err(error)
                }
            }
        });
        match begun {
            Ok((init, pidfd, pod)) => {
                Ok(Standing { init, fallen: false, pidfd, layer, pod, _image: image })
            }
            Err(error) => {
                if let Some(layer) = layer {
                    self.discard(&layer);
                }
                Err(error)
            }
        }
    }

    /// A layer of its own over an image.
    fn layers(
        &mut self,
        image: &Path,
        &Wanted { user, project, enclosure, .. }: &Wanted<'_>,
    ) -> Result<(RootPlan, PathBuf, OwnedFd), LaunchError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = |path: &Path| -> io::Result<OwnedFd> {
            Ok(rustix::fs::open(path, flags, Mode::empty())?)
        };
        let held = open(image).map_err(refused("its image"))?;
        rustix::fs::flock(&held, FlockOperation::NonBlockingLockShared)
            .map_err(io::Error::from)
            .map_err(refused("its image is being removed"))?;
        let lower = tree::copy_with(held.as_fd(), tree::HARMLESS, user.map(AsFd::as_fd))
            .map_err(refused("giving the image's files to its users (idmapped mounts)"))?;
        self.next += 1;
        let dir = self.dir.join(self.next.to_string());
        let made = make_layer(&dir, &held, user, project)
            .and_then(|()| names::put(&dir.join("upper"), held.as_fd(), user, &enclosure.hostname));
        if let Err(error) = made {
            self.discard(&dir);
            return Err(refused("its layer over the image")(error));
        }
        fail::fail_point!("layer-made");
        let image_at = self.dir.join("image");
        let option =
            image_at.as_os_str().to_string_lossy().replace('\\', "\\\\").replace(':', "\\:");
        let text = |path: &Path| c_string(path.as_os_str().as_encoded_bytes());
        let plan = RootPlan::Layers {
            image: lower,
            image_at: text(&image_at)?,
            image_option: c_string(option.as_bytes())?,
            upper: text(&dir.join("upper"))?,
            work: text(&dir.join("work"))?,
        };
        Ok((plan, dir, held))
    }

    fn begin(
        &self,
        plan: &Plan,
        wanted: &Wanted<'_>,
        pod: Option<&Membership>,
    ) -> Result<(u32, OwnedFd), LaunchError> {
        let pod = pod.and_then(|pod| self.pods.door(pod));
        let mut job = First {
            plan: Some(plan),
            pod: pod.map_or(-1, |pod| pod.as_raw_fd()),
            joins: wanted.joins,
            user: wanted.user.map_or(-1, |user| user.as_fd().as_raw_fd()),
            init: self.init.as_raw_fd(),
            failed: None,
        };
        let own = if pod.is_some() { 0 } else { SHARED };
        let flags = libc::CLONE_NEWNS | libc::CLONE_NEWUTS | own;
        let mut stack = vec![0u128; STACK / size_of::<u128>()];
        let argument = std::ptr::from_mut(&mut job).cast::<c_void>();
        if let Some(pod) = pod {
            sys::bear_children_in(pod)
                .map_err(refused("going among the processes of its group"))?;
        }
        // SAFETY: `first` makes system calls on the job only, which is not touched meanwhile.
        let born = unsafe { bear(flags, first, argument, &mut stack, wanted.into_cgroup) };
        if pod.is_some() {
            self.come_home();
        }
        // SAFETY: a live local, written by the child, if at all, before the call went on.
        let failed = unsafe { std::ptr::read_volatile(&raw const job.failed) };
        let pid = born.map_err(|errno| LaunchError::Spawn {
            step: "cloning into namespaces".into(),
            errno,
        })?;
        if let Some(failed) = failed {
            sys::reap_named(pid);
            return Err(spawn_error(failed, wanted));
        }
        let pidfd = sys::open_child(pid).map_err(refused("watching its first process"))?;
        Ok((pid.cast_unsigned(), pidfd))
    }

    /// Ends an enclosure in which no task was started.
    pub(super) fn tear_down(&mut self, standing: &Standing) {
        sys::signal_child(standing.init, false, libc::SIGKILL);
        sys::reap_named(standing.init.cast_signed());
        self.clear(standing);
    }

    /// Removes what is left of an enclosure whose processes are gone.
    pub(super) fn clear(&mut self, standing: &Standing) {
        if let Some(pod) = &standing.pod {
            self.leave_pod(pod);
            fail::fail_point!("pod-left");
        }
        if let Some(layer) = &standing.layer {
            self.discard(layer);
            fail::fail_point!("layer-discarded");
        }
    }

    /// Puts a layer into the trash. Removing it here would hold up all other tasks: on some disks
    /// each directory costs milliseconds (a file system mounted with `discard` and without a
    /// journal: 20 ms a layer, measured).
    fn discard(&self, layer: &Path) {
        let number = layer.file_name().unwrap_or_default().to_string_lossy();
        // A number is used once in the life of a supervisor.
        let name = format!("{number}-{}", std::process::id());
        if let Err(error) = fs::rename(layer, self.dir.join(TRASH).join(name)) {
            super::log(&format!("{} cannot be removed: {error}", layer.display()));
        }
    }
}

/// Puts the layers that a lost supervisor left into the trash, whether or not a container is made
/// again: none of them is anybody's.
pub(super) fn discard_left(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        // A layer of ours may have the same number, and wait there as well.
        let aside = dir.join(TRASH).join(format!("left-{number}-{}", std::process::id()));
        if let Err(error) = fs::rename(entry.path(), aside) {
            super::log(&format!("{} cannot be removed: {error}", entry.path().display()));
        }
    }
}

impl Standing {
    /// Where what is written over its image is.
    pub(super) fn written(&self) -> Option<PathBuf> {
        self.layer.as_ref().map(|layer| layer.join("upper"))
    }

    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn make_layer(
    dir: &Path,
    image: &OwnedFd,
    user: Option<&UserNamespace>,
    project: Option<&Project>,
) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(dir)?;
    let upper = dir.join("upper");
    for path in [&upper, &dir.join("work")] {
        fs::DirBuilder::new().mode(0o755).create(path)?;
        if let Some(project) = project {
            project.take_in(fs::File::open(path)?.as_fd())?;
        }
    }
    let like = rustix::fs::fstat(image)?;
    let (uid, gid) = match user {
        None => (Some(like.st_uid), Some(like.st_gid)),
        Some(user) => (user.outside(like.st_uid), user.outside(like.st_gid)),
    };
    rustix::fs::chown(&upper, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
    rustix::fs::chmod(&upper, Mode::from_raw_mode(like.st_mode & 0o777))?;
    Ok(())
}

fn c_string(bytes: &[u8]) -> Result<CString, LaunchError> {
    CString::new(bytes).map_err(|_| LaunchError::Impossible("a path contains a NUL byte".into()))
}

/// Which mount it was, or which step.
fn spawn_error(failed: Failed, wanted: &Wanted<'_>) -> LaunchError {
    let asked = wanted.enclosure.mounts.iter().map(|mount| mount.target.display().to_string());
    let volumes = wanted.volumes.iter().map(|volume| format!("the {}", volume.name));
    let named: Vec<String> = asked.chain(volumes).collect();
    let at_end = failed.mount_from_end.and_then(|from_end| named.iter().rev().nth(from_end));
    let step = match at_end {
        Some(name) => format!("{} {name}", failed.step),
        None => failed.step.to_owned(),
    };
    LaunchError::Spawn { step: format!("making the container: {step}"), errno: failed.errno }
}

/// What every enclosed process may ask of the kernel.
pub(super) fn filter() -> Vec<libc::sock_filter> {
    seccomp::Filter::standard().instructions().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_a_lost_supervisor_go_to_the_trash_beside_ours_of_the_same_number() {
        let dir = tempfile::tempdir().unwrap();
        // There was none before, and nothing is made.
        discard_left(&dir.path().join("none"));
        let enclosures = Enclosures::open(dir.path().to_owned()).unwrap();
        let names = |dir: &Path| {
            let names = fs::read_dir(dir).unwrap().flatten().map(|entry| entry.file_name());
            let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
            names.sort();
            names
        };
        let layer = || {
            let layer = dir.path().join("1");
            fs::create_dir_all(layer.join("upper")).unwrap();
            layer
        };
        layer();
        discard_left(dir.path());
        enclosures.discard(&layer());
        assert_eq!(names(dir.path()), ["image", "root", TRASH]);
        let pid = std::process::id();
        let wanted = [format!("1-{pid}"), format!("left-1-{pid}")];
        assert_eq!(names(&dir.path().join(TRASH)), wanted);
    }
}
