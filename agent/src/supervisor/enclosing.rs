//! Starting a task within walls: who it is on the host, its enclosure, and its birth in it.

use std::os::fd::AsFd;
use std::path::PathBuf;

use super::berth::Berth;
use super::enclosure::{Enclosures, Standing, UserNamespace, Wanted};
use super::spawn::{self, Entry, Image, Place, Slots};
use super::task::{Enclosure, LaunchError, TaskSpec};

/// Which range of ids a berth of a supervisor has. Agents on one machine rarely have the same.
fn range(name: &str, berth: usize) -> usize {
    let spread =
        name.bytes().fold(7u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    (spread as usize).wrapping_mul(64).wrapping_add(berth)
}

/// The enclosures of this supervisor, made ready when the first is wanted.
pub(super) fn ready<'a>(
    enclosures: &'a mut Option<Enclosures>,
    dir: &std::path::Path,
) -> Result<&'a mut Enclosures, LaunchError> {
    if enclosures.is_none() {
        let opened = Enclosures::open(directory(dir)).map_err(|error| {
            LaunchError::Refused(format!("containers cannot be made here: {error}"))
        })?;
        *enclosures = Some(opened);
    }
    Ok(enclosures.as_mut().expect("made ready above"))
}

/// Puts away what the enclosures of a lost supervisor left.
pub(super) fn clear(dir: &std::path::Path) {
    super::enclosure::discard_left(&directory(dir));
}

/// Where a supervisor keeps what belongs to enclosures.
pub(super) fn directory(dir: &std::path::Path) -> PathBuf {
    dir.join("enclosures")
}

/// The user and group of a task on the host; the supervisor's own when there are none.
pub(super) fn owner(
    berth: &mut Berth,
    name: &str,
    index: usize,
    spec: &TaskSpec,
) -> Result<Option<(u32, u32)>, LaunchError> {
    match &spec.enclosure {
        None => Ok(spec.credentials.as_ref().map(|c| (c.uid, c.gid))),
        Some(walls) => owner_within(berth, range(name, index), spec, walls).map(Some),
    }
}

/// Its berth has a user namespace then, where one can be had.
fn owner_within(
    berth: &mut Berth,
    range: usize,
    spec: &TaskSpec,
    enclosure: &Enclosure,
) -> Result<(u32, u32), LaunchError> {
    let Some(inside) = &spec.credentials else {
        return Err(LaunchError::Refused("a container without a user".into()));
    };
    if !rustix::process::geteuid().is_root() {
        return Err(LaunchError::Refused(
            "containers can be made by an agent that runs as root only".into(),
        ));
    }
    if berth.users.is_none() {
        match UserNamespace::make(range) {
            Ok(users) => berth.users = Some(users),
            Err(error) => {
                super::log(&format!("no user namespace can be had: {error}"));
            }
        }
    }
    match &berth.users {
        Some(users) => {
            let both = users.outside(inside.uid).zip(users.outside(inside.gid));
            both.ok_or_else(|| {
                let (uid, gid) = (inside.uid, inside.gid);
                LaunchError::Impossible(format!("a container has no user {uid}:{gid}"))
            })
        }
        None if inside.uid == 0 && !enclosure.root_allowed => Err(LaunchError::Impossible(
            "it would run as root of the host, because there are no user namespaces here; name \
             another user, or let the agent's operator allow root"
                .into(),
        )),
        None => Ok((inside.uid, inside.gid)),
    }
}

/// Raises the walls and starts the task in them.
pub(super) fn start(
    enclosures: &mut Enclosures,
    wanted: &Wanted<'_>,
    image: &Image<'_>,
    place: Place<'_>,
    slots: Option<&mut Slots>,
) -> Result<(u32, Standing), LaunchError> {
    let standing = enclosures.raise(wanted)?;
    fail::fail_point!("walls-raised");
    match enter(enclosures, &standing, wanted.enclosure, wanted.user, image, place, slots) {
        Ok(pid) => Ok((pid, standing)),
        Err(error) => {
            enclosures.tear_down(&standing);
            Err(error)
        }
    }
}

/// Starts a process within walls that stand.
pub(super) fn enter(
    enclosures: &Enclosures,
    standing: &Standing,
    walls: &Enclosure,
    user: Option<&UserNamespace>,
    image: &Image<'_>,
    place: Place<'_>,
    slots: Option<&mut Slots>,
) -> Result<u32, LaunchError> {
    let directory = walls.directory.as_os_str().as_encoded_bytes();
    let directory = std::ffi::CString::new(directory)
        .map_err(|_| LaunchError::Impossible("its working directory has a NUL byte".into()))?;
    let entry = Entry {
        init: standing.pidfd(),
        user: user.map(AsFd::as_fd),
        directory,
        capabilities: walls.capabilities,
        filter: enclosures.filter(),
    };
    Enclosures::bear_children_in(standing)
        .map_err(|error| LaunchError::Refused(format!("a container cannot be entered: {error}")))?;
    let place = Place { entry: Some(&entry), ..place };
    let started = spawn::spawn(image, &place, slots);
    enclosures.come_home();
    started
}
