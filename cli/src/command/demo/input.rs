//! The demo's input: real files of this machine, cut into shards of about the same size.

use crate::failure::{Code, Failure};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where documentation is on a Debian or Ubuntu, the fullest place first.
const DEFAULTS: [&str; 3] = ["/usr/share/doc", "/usr/share/common-licenses", "/usr/share/perl"];
/// Enough to keep a small machine busy for some seconds.
const MAX_BYTES: u64 = 48 << 20;
const MAX_FILES: usize = 50_000;

/// A file and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
}

/// The directory to read: the one given, or the first default that has files.
pub(super) fn directory(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(given) = given else {
        let found =
            DEFAULTS.iter().map(Path::new).find(|d| !collect(d).unwrap_or_default().is_empty());
        return found.map(Path::to_owned).ok_or_else(|| {
            let message = format!("there are no documentation files in {}", DEFAULTS.join(", "));
            Failure::new(Code::NotFound, message).next("name a directory with --input DIR")
        });
    };
    fs::canonicalize(given).map_err(|e| {
        let message = format!("cannot read the input directory {}: {e}", given.display());
        Failure::new(Code::NotFound, message).next("name a directory that exists with --input DIR")
    })
}

/// All readable regular files below `root`, sorted by path, up to the limits. Links are not
/// followed: each file counts once and nothing leads out of the directory.
pub(super) fn collect(root: &Path) -> Result<Vec<Source>, Failure> {
    let unreadable = |path: &Path, e: std::io::Error| {
        Failure::new(Code::NotFound, format!("cannot read {}: {e}", path.display()))
            .next("name a directory of files with --input DIR")
    };
    let mut sources = Vec::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if directory == root => return Err(unreadable(root, e)),
            // Somebody else's corner of the tree: not ours to read.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                let path = entry.path();
                if let (Ok(metadata), Ok(_)) = (entry.metadata(), fs::File::open(&path)) {
                    sources.push(Source { path, bytes: metadata.len() });
                }
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let mut total = 0;
    let fits = |source: &Source| {
        total += source.bytes;
        total <= MAX_BYTES
    };
    Ok(sources.into_iter().take(MAX_FILES).take_while(fits).collect())
}

/// Cuts the files into at most `count` runs of neighbours with about the same number of bytes;
/// none is empty. A file larger than its share makes the other shards smaller, not fewer.
pub(super) fn shards(sources: &[Source], count: usize) -> Vec<&[Source]> {
    let weight = |source: &Source| source.bytes + 1;
    let mut left: u64 = sources.iter().map(weight).sum();
    let mut shards: Vec<&[Source]> = Vec::with_capacity(count);
    let (mut start, mut held) = (0, 0);
    for (at, source) in sources.iter().enumerate() {
        held += weight(source);
        let shards_left = count.saturating_sub(shards.len()).max(1) as u64;
        let files_left = (sources.len() - at - 1) as u64;
        // As many files as shards are left: each is a shard of its own.
        if shards_left > 1 && (held >= left / shards_left || files_left < shards_left) {
            shards.push(&sources[start..=at]);
            left -= held;
            (start, held) = (at + 1, 0);
        }
    }
    if start < sources.len() {
        shards.push(&sources[start..]);
    }
    shards
}

/// Writes a shard's list: its paths, each ended by a zero byte, as `xargs -0` reads them.
pub(super) fn write_list(path: &Path, shard: &[Source]) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(path)?);
    for source in shard {
        file.write_all(source.path.as_os_str().as_bytes())?;
        file.write_all(&[0])?;
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, bytes: u64) -> Source {
        Source { path: PathBuf::from(name), bytes }
    }

    #[test]
    fn shards_cover_everything_in_order_and_none_is_empty() {
        let sources: Vec<Source> = (0..100).map(|i| source(&i.to_string(), i * 7 % 13)).collect();
        for count in [1, 3, 50, 100, 300] {
            let shards = shards(&sources, count);
            assert_eq!(shards.len(), count.min(sources.len()));
            assert!(shards.iter().all(|shard| !shard.is_empty()));
            assert_eq!(shards.concat(), sources);
        }
    }

    #[test]
    fn shards_are_of_about_the_same_size() {
        let sources: Vec<Source> = (0..1000).map(|i| source(&i.to_string(), 10)).collect();
        let sizes: Vec<usize> = shards(&sources, 10).iter().map(|shard| shard.len()).collect();
        assert!(sizes.iter().all(|size| (90..=110).contains(size)), "{sizes:?}");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let failure = directory(Some(Path::new("/no/such/place"))).unwrap_err();
        assert!(failure.message.contains("/no/such/place"), "{failure}");
        assert_eq!(failure.code, Code::NotFound as u8);
    }
}
