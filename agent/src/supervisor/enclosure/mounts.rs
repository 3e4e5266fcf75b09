//! The mounts of an enclosure: what each has, what was asked for, and its persistent volumes, as
//! trees that are ready to be hung into its root.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::walls::{Plan, RootPlan, Target};
use super::{Wanted, c_string, refused, tree};
use crate::supervisor::task::{Enclosure, LaunchError, Mount, MountSource, SANDBOX, VolumeLink};
use crate::supervisor::volumes;

/// What an enclosure's temporary directories hold where they are memory.
const TEMPORARY_BYTES: u64 = 64 << 20;

/// The whole plan of an enclosure; `root` is that of an image.
pub(super) fn plan(
    dir: &Path,
    wanted: &Wanted<'_>,
    root: Option<RootPlan>,
) -> Result<Plan, LaunchError> {
    let enclosure = wanted.enclosure;
    let is_image = root.is_some();
    let mut mounts = Vec::new();
    let root = match root {
        Some(root) => root,
        None => {
            let (root, shown) = tree::host_root().map_err(refused("showing the host"))?;
            mounts.extend(shown.into_iter().map(|part| (part.tree, part.name.to_owned())));
            RootPlan::Tree(root)
        }
    };
    let own = own_mounts(enclosure, is_image).map_err(refused("its devices"))?;
    mounts.extend(own.into_iter().map(|(tree, path)| (tree, path.to_owned())));
    let mut hung = Vec::new();
    for (tree, path) in mounts {
        hung.push((tree, target(Path::new(&path), false, true)?));
    }
    let sandbox =
        tree::copy_with(wanted.sandbox, tree::HARMLESS, None).map_err(refused("its sandbox"))?;
    hung.push((sandbox, target(Path::new(SANDBOX), false, false)?));
    for mount in &enclosure.mounts {
        hung.push(asked_mount(wanted, mount)?);
    }
    for volume in wanted.volumes {
        hung.push(volume_mount(wanted, volume)?);
    }
    let directory = target(&enclosure.directory, false, false).ok();
    Ok(Plan {
        root,
        root_at: c_string(dir.join("root").as_os_str().as_encoded_bytes())?,
        read_only: enclosure.read_only,
        mounts: hung,
        directory,
        hostname: enclosure.hostname.as_bytes().to_vec(),
    })
}

/// Devices, terminals, shared memory and what the kernel tells; temporary directories where the
/// root has none that can be written.
fn own_mounts(enclosure: &Enclosure, is_image: bool) -> io::Result<Vec<(OwnedFd, &'static str)>> {
    let mut mounts = vec![
        (tree::devices(&enclosure.devices)?, "dev"),
        (tree::terminals()?, "dev/pts"),
        (tree::memory(enclosure.shm_bytes, 0o1777, tree::INERT)?, "dev/shm"),
        (tree::machine()?, "sys"),
    ];
    if !is_image || enclosure.read_only {
        for path in ["tmp", "var/tmp"] {
            mounts.push((tree::memory(TEMPORARY_BYTES, 0o1777, tree::HARMLESS)?, path));
        }
    }
    Ok(mounts)
}

fn target(path: &Path, file: bool, strict: bool) -> Result<Target, LaunchError> {
    Target::new(path, file, strict).ok_or_else(|| {
        let path = path.display();
        LaunchError::Impossible(format!("{path} is no place in a container to mount anything at"))
    })
}

/// One of the mounts that are asked for.
fn asked_mount(wanted: &Wanted<'_>, mount: &Mount) -> Result<(OwnedFd, Target), LaunchError> {
    let place = mount.target.display();
    let attributes =
        if mount.read_only { tree::HARMLESS.union(tree::READ_ONLY) } else { tree::HARMLESS };
    let (source, file) = match &mount.source {
        MountSource::Tmpfs(bytes) => {
            let made = tree::memory(*bytes, 0o1777, attributes);
            return Ok((made.map_err(refused(&place))?, target(&mount.target, false, false)?));
        }
        MountSource::Sandbox(path) => {
            let (uid, gid) = outside(wanted);
            let made = volumes::make(wanted.sandbox, path, (uid, gid));
            (made.map_err(refused(&place))?, false)
        }
        MountSource::Host(path) => {
            // Links have been resolved: one that is there now was not there then.
            let (flags, resolve) = (OFlags::PATH | OFlags::CLOEXEC, ResolveFlags::NO_SYMLINKS);
            let opened = rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve);
            let opened = opened.map_err(io::Error::from).map_err(refused(path.display()))?;
            let found = rustix::fs::fstat(&opened).map_err(io::Error::from);
            let found = found.map_err(refused(path.display()))?;
            let kind = rustix::fs::FileType::from_raw_mode(found.st_mode);
            (opened, kind != rustix::fs::FileType::Directory)
        }
    };
    let tree = tree::copy_with(source.as_fd(), attributes, None).map_err(refused(&place))?;
    Ok((tree, target(&mount.target, file, false)?))
}

/// A persistent volume: its owners are those inside, so that they are the same for the next task.
fn volume_mount(
    wanted: &Wanted<'_>,
    volume: &VolumeLink,
) -> Result<(OwnedFd, Target), LaunchError> {
    // Its files are those of the same numbers on the host: who could be root inside could leave
    // programs there that make others root.
    let could_be_root = wanted.owner.0 == 0 || wanted.enclosure.capabilities != 0;
    if could_be_root && !wanted.enclosure.root_allowed {
        return Err(LaunchError::Impossible(format!(
            "the {} is not given to root, nor to tasks with capabilities; name another user, or \
             let the agent's operator allow root",
            volume.name
        )));
    }
    let directory = volumes::open(volume, wanted.owner).map_err(LaunchError::Refused)?;
    let shift = wanted.user.map(AsFd::as_fd);
    let tree = tree::copy_with(directory.as_fd(), tree::HARMLESS, shift)
        .map_err(refused(format!("the {}", volume.name)))?;
    Ok((tree, target(&Path::new(SANDBOX).join(&volume.path), false, false)?))
}

/// The task's user and group as the host sees them.
fn outside(wanted: &Wanted<'_>) -> (u32, u32) {
    let (uid, gid) = wanted.owner;
    let shifted = wanted.user.and_then(|user| Some((user.outside(uid)?, user.outside(gid)?)));
    shifted.unwrap_or(wanted.owner)
}
