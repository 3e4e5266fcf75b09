//! The files of `/etc` by which programs on an image find names: the host's resolvers, the
//! container's own name, and localhost. Images leave them to who runs them.
//!
//! They are in the layer over the image, before anybody can write there: whatever the image has in
//! their place is hidden, and no link in it is followed.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Uid};

use super::UserNamespace;

/// Where the host says which resolvers there are.
const RESOLVERS: &str = "/etc/resolv.conf";
/// The most that is taken of that.
const MOST: u64 = 64 << 10;

/// Puts them into a layer over an image.
pub(super) fn put(
    upper: &Path,
    image: BorrowedFd<'_>,
    user: Option<&UserNamespace>,
    hostname: &str,
) -> io::Result<()> {
    let (mode, owner) = match rustix::fs::statat(image, "etc", AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => (0o755, (0, 0)),
        Err(error) => return Err(error.into()),
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Directory => {
            (found.st_mode & 0o7777, (found.st_uid, found.st_gid))
        }
        // It means something else by that name.
        Ok(_) => return Ok(()),
    };
    let own = |path: &Path, (uid, gid): (u32, u32)| {
        let (uid, gid) = match user {
            None => (Some(uid), Some(gid)),
            Some(user) => (user.outside(uid), user.outside(gid)),
        };
        rustix::fs::chown(path, uid.map(Uid::from_raw), gid.map(Gid::from_raw))
    };
    let etc = upper.join("etc");
    fs::DirBuilder::new().mode(0o700).create(&etc)?;
    let mut resolvers = Vec::new();
    // A host without is one without names, and so are its containers.
    let _ = File::open(RESOLVERS).and_then(|file| file.take(MOST).read_to_end(&mut resolvers));
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{hostname}\n");
    let files = [
        ("hostname", format!("{hostname}\n").into_bytes()),
        ("hosts", hosts.into_bytes()),
        ("resolv.conf", resolvers),
    ];
    for (name, text) in files {
        let path = etc.join(name);
        let mut how = fs::OpenOptions::new();
        how.write(true).create_new(true).mode(0o644).open(&path)?.write_all(&text)?;
        own(&path, (0, 0))?;
    }
    own(&etc, owner)?;
    fs::set_permissions(&etc, fs::Permissions::from_mode(mode))
}
