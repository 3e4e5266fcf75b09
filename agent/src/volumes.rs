//! Persistent volumes on disk: a directory each, bound to the agent's id, the role and the volume's
//! id; made and deleted durably.
//!
//! `WORK_DIR/volumes/AGENT/ROLE/ID` holds the content, and nothing else does. A deletion first moves
//! it to `volumes/.deleted/AGENT/ROLE/ID/N`, at once and durably, so that a volume of the same name
//! can be made while the old content is still being removed. Names are written so that any id is a
//! plain file name; no symbolic link is followed below `volumes`. Nothing here decides what is
//! deleted: the core does, and only what the master named.

pub(crate) mod groups;

use agent_core::{Volume, VolumeOrder, WantedVolume};
use proto::AgentId;
use proto::agent_link::VolumeFailure;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Where content goes that is to be deleted. No name of an agent begins with a dot.
const DELETED: &str = ".deleted";
/// Of all directories above the content: tasks may pass through, and not look around.
const PASSAGE: u32 = 0o711;
/// Of a volume of one task at a time: its user's alone.
const PRIVATE: u32 = 0o700;
/// Of a volume that several tasks use, of several users perhaps.
const SHARED: u32 = 0o755;
/// Longest part of an encoded name, below what file systems take.
const PART: usize = 200;
/// Deletions of one volume that may wait for their removal.
const WAITING: u32 = 10_000;

/// The volumes of one work directory.
#[derive(Clone, Debug)]
pub(crate) struct VolumeDisk {
    root: PathBuf,
    /// One removal at a time: an answer says that nothing is left of a volume.
    removal: Arc<Mutex<()>>,
}

impl VolumeDisk {
    /// `root` is there, and nobody's but the agent's.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, removal: Arc::default() }
    }

    /// Where the content of a volume is, if it is there.
    pub(crate) fn path(&self, agent_id: &AgentId, volume: &Volume) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(place(agent_id, volume));
        path
    }

    /// Removes what earlier runs of the agent had moved aside and not removed.
    pub(crate) async fn sweep(self) {
        let _alone = self.removal.lock().await;
        let path = self.root.join(DELETED);
        let swept = tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "deleted volumes could not be removed");
            }
            Ok(()) | Err(_) => {}
        });
        // It only ends early when the agent does.
        let _ = swept.await;
    }

    /// Makes the volumes of an order and moves aside what it deletes; may block. Gives those that
    /// are not there, and those that could not be moved.
    pub(crate) fn begin(&self, order: &VolumeOrder) -> (Vec<VolumeFailure>, Vec<VolumeFailure>) {
        let agent_id = &order.agent_id;
        let mut unmade = Vec::new();
        for wanted in &order.make {
            if let Err(message) = self.make(agent_id, wanted) {
                tracing::error!(volume = %wanted.volume, message, "a volume is not there");
                unmade.push(failure(&wanted.volume, message));
            }
        }
        let mut unmoved = Vec::new();
        for volume in &order.delete {
            if let Err(error) = self.move_aside(agent_id, volume) {
                unmoved.push(failure(volume, deletion_failed(volume, &error)));
            }
        }
        (unmade, unmoved)
    }

    /// Removes what was moved aside of an order's volumes; gives those of which something is left.
    pub(crate) async fn finish(&self, order: VolumeOrder) -> Vec<VolumeFailure> {
        if order.delete.is_empty() {
            return Vec::new();
        }
        let _alone = self.removal.lock().await;
        let (disk, named) = (self.clone(), order.delete.clone());
        let removal = tokio::task::spawn_blocking(move || {
            let one = |volume: &Volume| {
                let error = disk.remove(&order.agent_id, volume).err()?;
                Some(failure(volume, deletion_failed(volume, &error)))
            };
            order.delete.iter().filter_map(one).collect()
        });
        let broken = |_| named.iter().map(|v| failure(v, "its removal was cut short".into()));
        removal.await.unwrap_or_else(|error| broken(error).collect())
    }

    fn make(&self, agent_id: &AgentId, wanted: &WantedVolume) -> Result<(), String> {
        let path = self.path(agent_id, &wanted.volume);
        let failed = |error: &io::Error| {
            let path = path.display();
            match error.kind() {
                io::ErrorKind::NotFound if wanted.made_before => {
                    format!("its directory {path} is gone: put it back, or destroy the volume")
                }
                _ => format!("its directory {path} cannot be used: {error}"),
            }
        };
        let names = place(agent_id, &wanted.volume);
        self.make_at(&names, wanted).map_err(|errno| failed(&errno.into()))
    }

    fn make_at(&self, names: &[String], wanted: &WantedVolume) -> Result<(), Errno> {
        let Some((leaf, above)) = names.split_last() else { return Err(Errno::INVAL) };
        let parent = self.descend(above, !wanted.made_before)?;
        if wanted.made_before {
            return step_into(&parent, leaf).map(drop);
        }
        let mode = if wanted.shared { SHARED } else { PRIVATE };
        make_and_enter(&parent, leaf, mode).map(drop)
    }

    /// Moves a volume's content out of its place. One that is not there is deleted already.
    fn move_aside(&self, agent_id: &AgentId, volume: &Volume) -> io::Result<()> {
        let names = place(agent_id, volume);
        let Some((leaf, above)) = names.split_last() else { return Err(Errno::INVAL.into()) };
        let parent = match self.descend(above, false) {
            Err(Errno::NOENT) => return Ok(()),
            parent => parent?,
        };
        match step_into(&parent, leaf) {
            Err(Errno::NOENT) => return Ok(()),
            content => drop(content?),
        }
        let aside: Vec<String> = std::iter::once(DELETED.to_owned()).chain(names.clone()).collect();
        let aside = self.descend(&aside, true)?;
        for n in 0..WAITING {
            // A directory takes the place of an empty one, and of no other.
            match rustix::fs::renameat(&parent, leaf.as_str(), &aside, n.to_string()) {
                Err(Errno::NOTEMPTY | Errno::EXIST) => {}
                moved => {
                    moved?;
                    rustix::fs::fsync(&aside)?;
                    return Ok(rustix::fs::fsync(&parent)?);
                }
            }
        }
        Err(io::Error::other("too many deletions of it wait for their removal"))
    }

    fn remove(&self, agent_id: &AgentId, volume: &Volume) -> io::Result<()> {
        let root = self.root.join(DELETED);
        let mut path = root.clone();
        path.extend(place(agent_id, volume));
        match crate::sandbox::gc::remove(&root, &path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Opens a directory below the root, making what is missing on the way if `make`.
    fn descend(&self, names: &[String], make: bool) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::open(&self.root, flags, Mode::empty())?;
        for name in names {
            at = if make { make_and_enter(&at, name, PASSAGE)? } else { step_into(&at, name)? };
        }
        Ok(at)
    }
}

fn step_into(at: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Opens a directory; one that is not there is made, durably, with this mode whatever the umask.
fn make_and_enter(at: &OwnedFd, name: &str, mode: u32) -> Result<OwnedFd, Errno> {
    let made = match rustix::fs::mkdirat(at, name, Mode::RWXU) {
        Ok(()) => true,
        Err(Errno::EXIST) => false,
        Err(errno) => return Err(errno),
    };
    let entered = step_into(at, name)?;
    if made {
        rustix::fs::fchmod(entered.as_fd(), Mode::from_raw_mode(mode))?;
        rustix::fs::fsync(&entered)?;
    }
    // Also when it was there: whoever made it may have died before this.
    rustix::fs::fsync(at)?;
    Ok(entered)
}

fn failure(volume: &Volume, message: String) -> VolumeFailure {
    let (role, id) = (volume.role.clone(), volume.id.clone());
    VolumeFailure { role, id, message: message.into() }
}

fn deletion_failed(volume: &Volume, error: &io::Error) -> String {
    tracing::error!(%volume, %error, "a volume could not be deleted");
    format!("its content cannot be deleted: {error}")
}

/// The names of the directories that lead to a volume's content, the last of which is it.
fn place(agent_id: &AgentId, volume: &Volume) -> Vec<String> {
    let names = [agent_id.as_str(), volume.role.as_str(), volume.id.as_str()];
    names.into_iter().flat_map(parts).collect()
}

/// A name as file names: letters, digits, `-`, `_` and inner dots stand for themselves, other bytes
/// are `%XX`. What is too long for one file name goes over several, all but the last with `+` at
/// their end; so no two names have the same place, and none lies within another's.
fn parts(name: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    for (i, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let written = match byte {
            _ if plain || (byte == b'.' && i > 0) => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        if all.last().is_some_and(|part| part.len() + written.len() > PART) {
            if let Some(part) = all.last_mut() {
                part.push('+');
            }
            all.push(String::new());
        }
        if let Some(part) = all.last_mut() {
            part.push_str(&written);
        }
    }
    all
}

/// Makes the directory of all volumes.
///
/// # Errors
/// What the system said.
pub(crate) fn make_root(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(PASSAGE))
}

#[cfg(test)]
mod tests;
