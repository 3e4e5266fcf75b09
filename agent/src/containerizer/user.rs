//! Resolves the user a task asks for into numbers, from /etc/passwd and /etc/group.
//!
//! The files are read directly: a statically linked binary cannot load NSS modules, and asking a
//! directory service on the launch path could hang. Users of a directory service are given by
//! number. Never falls back to another user when a name is unknown.

use std::cell::RefCell;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags};

use crate::supervisor::task::{Credentials, Root};

/// Why a user could not be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// No such name in /etc/passwd.
    #[error("there is no user {0:?} in /etc/passwd; name an existing user, or give its number")]
    Unknown(String),
    /// No such user or group within a container.
    #[error("there is no user or group {0:?} in the container; give its number")]
    UnknownWithin(String),
    /// Only root can run tasks as another user.
    #[error("the agent runs as uid {own} and cannot run a task as uid {wanted}; run it as root")]
    NotPermitted {
        /// The agent's uid.
        own: u32,
        /// The uid asked for.
        wanted: u32,
    },
    /// The user database could not be read.
    #[error("cannot read /etc/passwd: {0}")]
    Unreadable(String),
}

/// Answers that are still good: the files are read again when either has changed.
#[derive(Debug, Default)]
pub(super) struct Users {
    known: RefCell<Known>,
}

#[derive(Debug, Default)]
struct Known {
    files: [Option<Stamp>; 2],
    answers: Vec<(String, Option<Credentials>)>,
}

/// What tells one state of a file from another: its number, its size, and when it changed.
type Stamp = (u64, u64, i64, i64);

/// Users that are remembered; who runs more of them waits for two small files.
const KNOWN_MAX: usize = 64;

fn stamp(path: &str) -> Option<Stamp> {
    let found = fs::metadata(path).ok()?;
    Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))
}

impl Users {
    /// As [`resolve_user`], mostly without reading anything.
    pub(super) fn resolve(&self, user: &str) -> Result<Option<Credentials>, UserError> {
        let mut known = self.known.borrow_mut();
        // Before they are read: what changes meanwhile is read again.
        let files = [stamp("/etc/passwd"), stamp("/etc/group")];
        if known.files != files || known.answers.len() >= KNOWN_MAX {
            *known = Known { files, answers: Vec::new() };
        }
        if let Some((_, answer)) = known.answers.iter().find(|(name, _)| name == user) {
            return Ok(answer.clone());
        }
        let answer = resolve_user(user)?;
        known.answers.push((user.to_owned(), answer.clone()));
        Ok(answer)
    }
}

/// The credentials of `user` (a name or a number). `Ok(None)` when that is who we already are.
pub fn resolve_user(user: &str) -> Result<Option<Credentials>, UserError> {
    let found = of_host(user)?;
    let own = rustix::process::geteuid().as_raw();
    if found.uid == own {
        return Ok(None);
    }
    if own != 0 {
        return Err(UserError::NotPermitted { own, wanted: found.uid });
    }
    Ok(Some(found))
}

/// Who `user` (a name or a number) is on this host, with the groups that the host gives it.
///
/// # Errors
/// An unknown name.
pub(crate) fn of_host(user: &str) -> Result<Credentials, UserError> {
    let passwd =
        fs::read_to_string("/etc/passwd").map_err(|e| UserError::Unreadable(e.to_string()))?;
    let group = fs::read_to_string("/etc/group").unwrap_or_default();
    find(user, &passwd, &group)
}

/// Longest file of users that is read of an image.
const USERS_FILE_BYTES: u64 = 1 << 20;

/// The credentials of `user` (`NAME`, `NUMBER`, or either with `:GROUP`) within a container; nobody
/// in particular is root there, who is nobody on the host.
///
/// # Errors
/// A name that the root's own files do not have.
pub(crate) fn within(user: Option<&str>, root: &Root) -> Result<Credentials, UserError> {
    let (name, group) = match user.filter(|user| !user.is_empty()).unwrap_or("0").split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user.filter(|user| !user.is_empty()).unwrap_or("0"), None),
    };
    let numeric = name.parse::<u32>().is_ok() && group.is_some_and(|g| g.parse::<u32>().is_ok());
    let passwd = if numeric { String::new() } else { file_within(root, "etc/passwd") };
    let groups = if numeric { String::new() } else { file_within(root, "etc/group") };
    let unknown = || UserError::UnknownWithin(user.unwrap_or("0").to_owned());
    let mut found = find(name, &passwd, &groups).map_err(|_| unknown())?;
    if let Some(group) = group {
        let gid = group.parse().ok().or_else(|| {
            let mut lines = groups.lines().map(|line| line.split(':'));
            lines
                .find_map(|mut fields| (fields.next() == Some(group)).then(|| fields.nth(1))?)?
                .parse()
                .ok()
        });
        found.gid = gid.ok_or_else(unknown)?;
        found.groups = vec![found.gid];
    }
    Ok(found)
}

/// A small file of a root file system; one that is not there, or no plain file, is empty.
fn file_within(root: &Root, path: &str) -> String {
    let dir = match root {
        Root::Host => Path::new("/"),
        Root::Image(path) => path,
    };
    let read = || -> std::io::Result<String> {
        let root = fs::File::open(dir)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let file = rustix::fs::openat2(&root, path, flags, Mode::empty(), resolve)?;
        let file = fs::File::from(file);
        let mut text = Vec::new();
        if file.metadata()?.is_file() {
            file.take(USERS_FILE_BYTES).read_to_end(&mut text)?;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    };
    read().unwrap_or_default()
}

fn find(user: &str, passwd: &str, group: &str) -> Result<Credentials, UserError> {
    let number = user.parse::<u32>().ok();
    for line in passwd.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(_), Some(uid), Some(gid)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (Ok(uid), Ok(gid)) = (uid.parse::<u32>(), gid.parse::<u32>()) else { continue };
        if name == user || number == Some(uid) {
            return Ok(Credentials { uid, gid, groups: groups_of(name, gid, group) });
        }
    }
    match number {
        // A number needs no entry: containers and directory users often have none.
        Some(uid) => Ok(Credentials { uid, gid: uid, groups: Vec::new() }),
        None => Err(UserError::Unknown(user.to_owned())),
    }
}

fn groups_of(name: &str, primary: u32, group: &str) -> Vec<u32> {
    let mut groups = vec![primary];
    for line in group.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let [_, _, gid, members] = fields[..]
            && members.split(',').any(|m| m == name)
            && let Ok(gid) = gid.parse()
            && !groups.contains(&gid)
        {
            groups.push(gid);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/home/ann:/bin/sh\nbad\n";
    const GROUP: &str = "root:x:0:\nvideo:x:44:bob,ann\nann:x:1001:\n";

    #[test]
    fn what_is_remembered_is_what_the_files_say() {
        let users = Users::default();
        for user in ["root", "no such user", "root", "0", "4242"] {
            assert_eq!(users.resolve(user), resolve_user(user), "{user}");
        }
        let answers = users.known.borrow().answers.len();
        assert!((2..=3).contains(&answers), "a user that is unknown may be made at any time");
    }

    #[test]
    fn users_within_an_image_are_those_of_its_own_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::Image(dir.path().to_owned());
        let nobody = Credentials { uid: 0, gid: 0, groups: vec![] };
        assert_eq!(within(None, &root), Ok(nobody.clone()));
        assert_eq!(within(Some(""), &root), Ok(nobody));
        let numbers = Credentials { uid: 7, gid: 8, groups: vec![8] };
        assert_eq!(within(Some("7:8"), &root), Ok(numbers));
        assert_eq!(within(Some("ann"), &root), Err(UserError::UnknownWithin("ann".into())));
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), PASSWD).unwrap();
        std::fs::write(dir.path().join("etc/group"), GROUP).unwrap();
        let ann = Credentials { uid: 1000, gid: 1001, groups: vec![1001, 44] };
        assert_eq!(within(Some("ann"), &root), Ok(ann));
        let video = Credentials { uid: 1000, gid: 44, groups: vec![44] };
        assert_eq!(within(Some("ann:video"), &root), Ok(video));
        // A link to the host's file leads to the image's own.
        std::fs::remove_file(dir.path().join("etc/passwd")).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", dir.path().join("etc/passwd")).unwrap();
        assert_eq!(within(Some("root"), &root), Err(UserError::UnknownWithin("root".into())));
    }

    #[test]
    fn names_and_numbers_resolve_with_their_groups() {
        let ann = Credentials { uid: 1000, gid: 1001, groups: vec![1001, 44] };
        assert_eq!(find("ann", PASSWD, GROUP), Ok(ann.clone()));
        assert_eq!(find("1000", PASSWD, GROUP), Ok(ann));
        assert_eq!(
            find("4242", PASSWD, GROUP),
            Ok(Credentials { uid: 4242, gid: 4242, groups: vec![] })
        );
        assert_eq!(find("eve", PASSWD, GROUP), Err(UserError::Unknown("eve".into())));
    }
}
