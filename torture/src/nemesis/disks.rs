//! Faults of the masters' disks: they fail, are full, lie, or are gone.

use super::{Nemesis, name};
use crate::cluster::{NEARLY_FULL, lock, master_address, pause};
use crate::faults::Kind;
use anyhow::Context as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// What happens to a file while its master is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    Bit,
    Tail,
}

/// How long a master has to end once its disk failed.
const END: Duration = Duration::from_secs(15);
/// How long a master has to say that its disk is no good, when it does.
const REFUSAL: Duration = Duration::from_secs(4);

impl Nemesis {
    /// From now on each fsync fails. A master must end by itself: what is on its disk is unknown.
    pub(super) async fn fsync_error(&mut self, leader: usize) -> anyhow::Result<()> {
        self.begins(Kind::FsyncError, &name(leader));
        let pid = lock(&self.cluster.masters[leader]).pid().context("it was started")?;
        let mut strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/dev/null", "-p", &pid.to_string()])
            .args(["-e", "trace=fsync,fdatasync,sync_file_range,msync"])
            .args(["-e", "inject=fsync,fdatasync,sync_file_range,msync:error=EIO"])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("strace")?;
        let ended = self.ends(leader).await;
        // Fails when it went together with the master.
        let _ = strace.kill();
        strace.wait()?;
        self.expect("a master whose fsync fails ends by itself", ended);
        pause(1_000).await;
        let mut master = lock(&self.cluster.masters[leader]);
        master.kill_9();
        master.start()
    }

    async fn ends(&self, master: usize) -> bool {
        let begin = std::time::Instant::now();
        while lock(&self.cluster.masters[master]).runs() {
            if begin.elapsed() > END {
                return false;
            }
            pause(20).await;
        }
        true
    }

    /// The third master's small disk is filled by somebody else, and emptied again.
    pub(super) async fn full_disk(&mut self) -> anyhow::Result<()> {
        self.begins(Kind::FullDisk, &name(2));
        let said = lock(&self.cluster.masters[2]).said();
        let place = self.cluster.data_of_master(2);
        let filler = place.join("filler");
        let mut file = File::create(&filler)?;
        while free(&place)? > NEARLY_FULL {
            file.write_all(&[0; 1 << 20])?;
        }
        // It looks once a second.
        pause(2_500).await;
        let aside = lock(&self.cluster.masters[2]).has_said(said, &["too little room"]);
        self.expect("a master with a disk that is nearly full steps aside", aside);
        // Ends with the error that the disk is full, which is what is wanted.
        while file.write_all(&[0; 64 << 10]).is_ok() {}
        while file.write_all(&[0; 64]).is_ok() {}
        pause(3_000).await;
        drop(file);
        fs::remove_file(&filler)?;
        let mut master = lock(&self.cluster.masters[2]);
        if !master.runs() {
            master.kill_9();
            master.start()?;
        }
        Ok(())
    }

    /// Damages the log of a master that is down. It either mends itself from the others, or says
    /// that it cannot: then another one takes its place.
    pub(super) async fn damage(&mut self, at: usize, damage: Damage) -> anyhow::Result<()> {
        let kind = if damage == Damage::Bit { Kind::FlippedBit } else { Kind::TornLog };
        self.begins(kind, &name(at));
        lock(&self.cluster.masters[at]).kill_9();
        let file = largest(&self.cluster.data_of_master(at))?.context("a master has a log")?;
        let length = fs::metadata(&file)?.len();
        let file = OpenOptions::new().read(true).write(true).open(file)?;
        match damage {
            Damage::Bit => self.flip(&file, length)?,
            Damage::Tail => file.set_len(length - self.dice.below(length.min(4_096)) - 1)?,
        }
        drop(file);
        let said = lock(&self.cluster.masters[at]).said();
        lock(&self.cluster.masters[at]).start()?;
        pause(u64::try_from(REFUSAL.as_millis()).unwrap_or(0)).await;
        let forgot = lock(&self.cluster.masters[at]).has_said(said, &["forgot=true"]);
        if lock(&self.cluster.masters[at]).runs() {
            let what = if forgot { "it fetched what was lost" } else { "nothing of use was lost" };
            self.seen(what);
            return Ok(());
        }
        self.seen("it did not start, and was replaced");
        self.replace(at).await
    }

    /// Flips a bit of what is written, not of the room that is yet to be used.
    fn flip(&mut self, file: &File, length: u64) -> anyhow::Result<()> {
        let mut byte = [0];
        for _ in 0..10_000 {
            let place = self.dice.below(length);
            file.read_exact_at(&mut byte, place)?;
            if byte[0] != 0 {
                byte[0] ^= 1 << self.dice.below(8);
                return Ok(file.write_all_at(&byte, place)?);
            }
        }
        anyhow::bail!("nothing is written in the log of {length} bytes")
    }

    pub(super) async fn lost_disk(&mut self, at: usize) -> anyhow::Result<()> {
        self.begins(Kind::LostDisk, &name(at));
        lock(&self.cluster.masters[at]).kill_9();
        pause(1_000).await;
        self.replace(at).await
    }

    /// A new master with an empty disk in the place of one that is gone.
    pub(super) async fn replace(&mut self, at: usize) -> anyhow::Result<()> {
        empty(&self.cluster.data_of_master(at))?;
        let others: Vec<String> = (0..3).filter(|other| *other != at).map(master_address).collect();
        let mut lost = None;
        // Somebody has to lead who can tell.
        for _ in 0..300 {
            lost = self.cluster.member_id(at).await;
            if lost.is_some() {
                break;
            }
            pause(100).await;
        }
        let lost = lost.context("the others know the one that is lost")?.to_string();
        self.start_in_place(at, &lost, &others)?;
        let mut is_there = false;
        for _ in 0..100 {
            let now = self.cluster.member_id(at).await.map(|id| id.to_string());
            is_there = now.is_some_and(|now| now != lost);
            if is_there {
                break;
            }
            pause(100).await;
        }
        self.expect("a new master is one of the masters in place of the lost one", is_there);
        Ok(())
    }

    fn start_in_place(&self, at: usize, lost: &str, others: &[String]) -> anyhow::Result<()> {
        let mut master = lock(&self.cluster.masters[at]);
        master.kill_9();
        let serve = master.words.iter().position(|word| word == "--listen").context("--listen")?;
        let mut words = vec![master.words[0].clone()];
        words.extend(["master", "replace", lost, &others.join(",")].map(str::to_owned));
        words.extend(master.words[serve..].iter().cloned());
        master.words = words;
        master.start()
    }
}

/// Bytes that are free on the disk of a directory.
fn free(dir: &Path) -> anyhow::Result<u64> {
    let disk = rustix::fs::statvfs(dir)?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// The largest file under a directory.
fn largest(dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    let mut found: Option<(u64, PathBuf)> = None;
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.is_dir() {
                left.push(entry.path());
            } else if found.as_ref().is_none_or(|(length, _)| *length < data.len()) {
                found = Some((data.len(), entry.path()));
            }
        }
    }
    Ok(found.filter(|(length, _)| *length > 0).map(|(_, path)| path))
}

/// Removes all that is in a directory, which may be a mount.
fn empty(dir: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}
