//! What stands in an operator's store under a name.

use crate::Digest;
use crate::error::ImageError;
use std::path::{Component, Path, PathBuf};

/// Longest name of an image.
const NAME_BYTES: usize = 512;
/// What archives are called.
const SUFFIXES: [&str; 5] = [".tar", ".tar.gz", ".tgz", ".tar.zst", ""];

/// `PATH`, `PATH:TAG`, either with `@sha256:DIGEST`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    pub(super) whole: &'a str,
    /// With the tag, as names of files may have a colon.
    pub(super) tagged: &'a str,
    pub(super) path: &'a str,
    pub(super) tag: Option<&'a str>,
    pub(super) digest: Option<Digest>,
}

/// Where an image comes from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A directory with a `rootfs` that is used as it is.
    Root(PathBuf),
    /// A directory with an OCI layout, or with what `docker save` wrote.
    Layout(PathBuf),
    /// A file.
    Archive(PathBuf),
}

impl<'a> Name<'a> {
    pub(super) fn parse(whole: &'a str) -> Result<Self, ImageError> {
        let fault = |problem| ImageError::Name { name: whole.to_owned(), problem };
        if whole.len() > NAME_BYTES {
            return Err(fault("it has more than 512 bytes"));
        }
        let (tagged, digest) = match whole.split_once('@') {
            None => (whole, None),
            Some((tagged, digest)) => {
                let digest = digest
                    .parse()
                    .map_err(|_| fault("behind @ stands no sha256: with 64 hexadecimal digits"))?;
                (tagged, Some(digest))
            }
        };
        let last = tagged.rfind('/').map_or(0, |slash| slash + 1);
        let (path, tag) = match tagged[last..].rsplit_once(':') {
            Some((_, tag)) => (&tagged[..tagged.len() - tag.len() - 1], Some(tag)),
            None => (tagged, None),
        };
        let plain = |path: &str| {
            let parts = || Path::new(path).components();
            parts().all(|part| matches!(part, Component::Normal(_))) && parts().next().is_some()
        };
        if tagged.contains('\0') || !plain(tagged) || !plain(path) || tag == Some("") {
            return Err(fault("it must be a relative path of plain names, and may end with :TAG"));
        }
        Ok(Self { whole, tagged, path, tag, digest })
    }
}

/// What there is of a name; a name with a tag may be that of a file, or of an image within one.
pub(super) fn find(store: &Path, name: &Name<'_>) -> Result<Source, ImageError> {
    let found = at(store, name.tagged).or_else(|| name.tag.and_then(|_| at(store, name.path)));
    found.ok_or_else(|| {
        let path = name.path;
        ImageError::Missing {
            name: name.whole.to_owned(),
            store: store.display().to_string(),
            looked_for: format!(
                "{path}/rootfs, {path}/index.json, {path}/manifest.json, {path}.tar, {path}.tar.gz, \
                 {path}.tgz, {path}.tar.zst"
            ),
        }
    })
}

fn at(store: &Path, path: &str) -> Option<Source> {
    let dir = store.join(path);
    let is_dir = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    if is_dir(&dir.join(super::ROOT)) {
        return Some(Source::Root(dir));
    }
    if ["index.json", "manifest.json"].iter().any(|file| dir.join(file).is_file()) {
        return Some(Source::Layout(dir));
    }
    let mut files = SUFFIXES.iter().map(|suffix| store.join(format!("{path}{suffix}")));
    files.find(|file| file.is_file()).map(Source::Archive)
}
