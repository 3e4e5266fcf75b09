//! What is kept of servers' files: one file for each URI, as large in all as the operator says; the
//! longest unused goes first.
//!
//! The server is asked at each use whether the file is as it was (its ETag, or else its date); one
//! without either is downloaded anew. The content's SHA-256 is kept as well, and checked whenever
//! it is copied, so that a damaged file is never given to a task. Of launches that want one URI at
//! the same time one asks, and the others take what it was given. No URI is written down: names are
//! digests, so a password in a URI stays out of the disk.

use fetch::{Failure, Fetched, Kind, Marks};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

/// What begins the name of a file that is being downloaded.
const NEW: &str = "new-";
/// What ends the name of what is known of a file.
const KNOWN: &str = ".json";
const KNOWN_BYTES: u64 = 8 << 10;
/// URIs that are remembered to be joined; those of nobody are dropped beyond it.
const REMEMBERED: usize = 1_000;

/// What is known of a kept file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    sha256: String,
    bytes: u64,
    #[serde(flatten)]
    marks: Marks,
}

/// The last answer for a URI, and when it was given. Held by whoever asks.
type Last = Option<(Instant, Result<(), Failure>)>;

pub(super) struct Cache {
    dir: PathBuf,
    most_bytes: u64,
    asked: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Last>>>>,
    next: AtomicU64,
}

fn disk(doing: &str) -> impl FnOnce(io::Error) -> Failure {
    move |error| Failure::new(Kind::Disk, format!("the cache: {doing}: {error}"))
}

fn key(uri: &str) -> String {
    Sha256::digest(uri.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A file that is being downloaded: gone when that comes to nothing.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It has its own name by then if all went well.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ending = |_| Failure::new(Kind::Process, "the agent is ending");
    tokio::task::spawn_blocking(work).await.map_err(ending)?
}

impl Cache {
    /// Makes the directory, and removes what was being downloaded and what is too much.
    pub(super) fn open(dir: PathBuf, most_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        for entry in std::fs::read_dir(&dir)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(NEW) {
                std::fs::remove_file(entry.path())?;
            }
        }
        // It may have been larger under the agent before. What stays does no harm.
        if let Err(error) = evict(&dir, most_bytes) {
            tracing::warn!(dir = %dir.display(), %error, "old files stay in the cache");
        }
        let (asked, next) = (Mutex::default(), AtomicU64::default());
        Ok(Self { dir, most_bytes, asked, next })
    }

    /// The content of a URI as it is now, with its digest. `get` downloads it into a file unless
    /// it is as it was at these marks.
    pub(super) async fn obtain(
        &self,
        uri: &str,
        get: impl AsyncFnOnce(Marks, File) -> Result<Option<Fetched>, Failure>,
    ) -> Result<(File, String), Failure> {
        let (since, key) = (Instant::now(), key(uri));
        let asked = self.slot(&key);
        let mut last = asked.lock().await;
        let path = self.dir.join(&key);
        let kept = blocking(move || Ok(read(&path))).await?;
        // Somebody asked while this one waited.
        match (last.as_ref().filter(|(at, _)| *at >= since), &kept) {
            (Some((_, Err(failure))), _) => return Err(failure.clone()),
            (Some((_, Ok(()))), Some(_)) => return kept.ok_or_else(gone).map(content),
            _ => {}
        }
        let got = self.get(&key, kept, get).await;
        *last = Some((Instant::now(), got.as_ref().map(|_| ()).map_err(Clone::clone)));
        got
    }

    async fn get(
        &self,
        key: &str,
        kept: Option<(Known, File)>,
        get: impl AsyncFnOnce(Marks, File) -> Result<Option<Fetched>, Failure>,
    ) -> Result<(File, String), Failure> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let new = self.dir.join(format!("{NEW}{}-{number}", std::process::id()));
        let (output, unfinished) = blocking(move || {
            let output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
            output.map(|output| (output, Unfinished(new))).map_err(disk("making a file"))
        })
        .await?;
        let marks = kept.as_ref().map(|(known, _)| known.marks.clone());
        let fetched = get(marks.unwrap_or_default(), output).await?;
        let (dir, key, most) = (self.dir.clone(), key.to_owned(), self.most_bytes);
        blocking(move || match fetched {
            None => {
                let kept = kept.ok_or_else(gone)?;
                touch(&dir.join(&key));
                Ok(content(kept))
            }
            Some(fetched) => {
                let file = keep(&dir, &key, &unfinished.0, &fetched, most)?;
                Ok((file, fetched.sha256))
            }
        })
        .await
    }

    /// What is kept of a URI is not to be used again.
    pub(super) async fn forget(&self, uri: &str) {
        let path = self.dir.join(key(uri));
        let forgotten = blocking(move || remove(&path).map_err(disk("removing a damaged file")));
        if let Err(failure) = forgotten.await {
            tracing::warn!(%failure, "what was fetched stays damaged");
        }
    }

    /// Removes what was not used for the longest, as long as the disk is short.
    pub(super) fn make_room(&self, is_short: impl Fn() -> bool) -> io::Result<()> {
        evict_while(&self.dir, self.most_bytes, is_short)
    }

    fn slot(&self, key: &str) -> Arc<tokio::sync::Mutex<Last>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() >= REMEMBERED {
            asked.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        Arc::clone(asked.entry(key.to_owned()).or_default())
    }
}

fn gone() -> Failure {
    Failure::new(Kind::Cache, "the server says that it is as it was, and it was not kept")
}

fn content((known, file): (Known, File)) -> (File, String) {
    (file, known.sha256)
}

fn known_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(KNOWN);
    PathBuf::from(name)
}

/// A kept file, if all of it is there.
fn read(path: &Path) -> Option<(Known, File)> {
    let mut text = Vec::new();
    File::open(known_path(path)).ok()?.take(KNOWN_BYTES).read_to_end(&mut text).ok()?;
    let known: Known = serde_json::from_slice(&text).ok()?;
    let file = File::open(path).ok()?;
    (file.metadata().ok()?.len() == known.bytes).then_some((known, file))
}

/// Keeps what was downloaded, unless it is too large to be kept; opened for reading.
fn keep(dir: &Path, key: &str, new: &Path, fetched: &Fetched, most: u64) -> Result<File, Failure> {
    let file = File::open(new).map_err(disk("opening what was downloaded"))?;
    let bytes = file.metadata().map_err(disk("measuring what was downloaded"))?.len();
    if bytes > most {
        evict(dir, most).map_err(disk("removing old files"))?;
        return Ok(file);
    }
    let Fetched { sha256, marks, .. } = fetched.clone();
    let known = Known { sha256, bytes, marks };
    let path = dir.join(key);
    let text = serde_json::to_vec(&known).unwrap_or_default();
    // What is known of a file without the file, or of another one, is found out when it is read.
    remove(&path)
        .and_then(|()| std::fs::rename(new, &path))
        .and_then(|()| std::fs::write(known_path(&path), text))
        .map_err(disk("keeping what was downloaded"))?;
    evict(dir, most).map_err(disk("removing old files"))?;
    Ok(file)
}

fn remove(path: &Path) -> io::Result<()> {
    for path in [known_path(path), path.to_owned()] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// It was used; only which file goes first depends on it.
fn touch(path: &Path) {
    if let Ok(file) = File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Removes what was not used for the longest, until the rest is no larger than this. Who reads one
/// reads on.
fn evict(dir: &Path, most: u64) -> io::Result<()> {
    evict_while(dir, most, || false)
}

/// The same, and goes on as long as the disk is short.
fn evict_while(dir: &Path, most: u64, is_short: impl Fn() -> bool) -> io::Result<()> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let (false, Ok(data)) =
            (name.starts_with(NEW) || name.ends_with(KNOWN), entry.metadata())
        {
            all.push((data.modified()?, entry.path(), data.len()));
        }
    }
    all.sort();
    let mut total: u64 = all.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, path, bytes) in all {
        if total <= most && !is_short() {
            break;
        }
        remove(&path)?;
        total -= bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
