//! Faults of the masters' disks: they fail, are full, lie, or are gone.

use super::{Nemesis, name};
use crate::cluster::{lock, master_address, pause};
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
        let filler = self.cluster.data_of_master(2).join("filler");
        let mut file = File::create(&filler)?;
        // Ends with the error that the disk is full, which is what is wanted.
        while file.write_all(&[0; 64 << 10]).is_ok() {}
        while file.write_all(&[0; 64]).is_ok() {}
        pause(6_000).await;
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
            Damage::Bit => {
                let place = self.dice.below(length);
                let mut byte = [0];
                file.read_exact_at(&mut byte, place)?;
                byte[0] ^= 1 << self.dice.below(8);
                file.write_all_at(&byte, place)?;
            }
            Damage::Tail => file.set_len(length - self.dice.below(length.min(4_096)) - 1)?,
        }
        drop(file);
        lock(&self.cluster.masters[at]).start()?;
        pause(u64::try_from(REFUSAL.as_millis()).unwrap_or(0)).await;
        if lock(&self.cluster.masters[at]).runs() {
            return Ok(());
        }
        self.replace(at).await
    }

    pub(super) async fn lost_disk(&mut self, at: usize) -> anyhow::Result<()> {
        self.begins(Kind::LostDisk, &name(at));
        lock(&self.cluster.masters[at]).kill_9();
        pause(1_000).await;
        self.replace(at).await
    }

    /// A new master with an empty disk in the place of one that is gone.
    async fn replace(&mut self, at: usize) -> anyhow::Result<()> {
        empty(&self.cluster.data_of_master(at))?;
        let others: Vec<String> = (0..3).filter(|other| *other != at).map(master_address).collect();
        let mut lost = None;
        for _ in 0..50 {
            lost = self.cluster.member_id(at).await;
            if lost.is_some() {
                break;
            }
            pause(100).await;
        }
        let lost = lost.context("the others know the one that is lost")?.to_string();
        let mut master = lock(&self.cluster.masters[at]);
        master.kill_9();
        let serve = master.words.iter().position(|word| word == "--listen").context("--listen")?;
        let mut words = vec![master.words[0].clone()];
        words.extend(["master", "replace", &lost, &others.join(",")].map(str::to_owned));
        words.extend(master.words[serve..].iter().cloned());
        master.words = words;
        master.start()
    }
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
