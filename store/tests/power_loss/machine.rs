//! A guest machine that dies like one whose power fails: its kernel and its page cache are gone at
//! once, what reached its disk stays.
//!
//! Its program is this very executable. A volatile cache in the disk itself is not modelled.

use crate::boot::{Guest, Root, machine, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any line takes, a boot included.
const BOUND: Duration = Duration::from_secs(120);
const DISK_BYTES: u64 = 256 << 20;
const MEGABYTES: u32 = 256;

/// What the program in the guest says.
#[derive(Debug)]
pub(crate) enum Line {
    Ack { store: u64, commit: u64 },
    Kept { store: u64, commits: u64 },
    Lost { store: u64, problem: String },
}

/// The variable that makes this executable the program in the guest.
pub(crate) const ARGUMENTS: &str = "POWER_LOSS";

/// The end of a boot: nothing more will be said.
const OVER: &str = "OVER";

pub(crate) struct Machine {
    dir: TempDir,
    root: PathBuf,
    running: Option<Guest>,
}

impl Machine {
    /// A machine with an empty disk.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = fs::File::create(dir.path().join("disk")).unwrap();
        disk.set_len(DISK_BYTES).unwrap();
        run(Command::new("mkfs.ext4").arg("-qF").arg(dir.path().join("disk")));
        let program = std::env::current_exe().unwrap();
        let root = Root {
            init: INIT,
            programs: &[(&program, Path::new("/program"))],
            modules: &["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"],
        };
        let root = root.build(dir.path());
        Self { dir, root, running: None }
    }

    /// Starts it with the program under test and these arguments.
    pub(crate) fn boot(&mut self, arguments: &str) {
        self.kill();
        let mut qemu = machine(MEGABYTES, &self.root, &format!("power_loss=\"{arguments}\""));
        let disk = self.dir.path().join("disk");
        // The host does not die: what the guest's disk took is kept without a sync here.
        let drive = format!("file={},if=virtio,format=raw,cache=unsafe", disk.display());
        qemu.args(["-drive", &drive]);
        self.running = Some(Guest::boot(qemu, BOUND));
    }

    /// The next line of the program; `None` once the machine is off.
    pub(crate) fn line(&mut self) -> Option<Line> {
        loop {
            let line = self.running.as_ref()?.line()?;
            if line == OVER {
                self.kill();
                return None;
            }
            if let Some(line) = parse(&line) {
                return Some(line);
            }
            // Firmware, kernel, and the reason when something there fails.
            if !line.is_empty() {
                println!("guest: {line}");
            }
        }
    }

    /// The power fails. What was said before is still to be read.
    pub(crate) fn kill(&mut self) {
        if let Some(guest) = &mut self.running {
            guest.kill();
        }
    }
}

/// A line that the kill cut short says nothing.
fn parse(line: &str) -> Option<Line> {
    let mut words = line.splitn(3, ' ');
    let (kind, store, rest) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    match kind {
        "ACK" => Some(Line::Ack { store, commit: rest.strip_suffix('.')?.parse().ok()? }),
        "KEPT" => Some(Line::Kept { store, commits: rest.strip_suffix('.')?.parse().ok()? }),
        "LOST" => Some(Line::Lost { store, problem: rest.to_owned() }),
        _ => None,
    }
}

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /data
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
while read module; do /bin/busybox insmod "$module"; done < /modules
/bin/busybox mount -t ext4 /dev/vda /data || echo "the disk cannot be mounted"
arguments=$(/bin/busybox sed -n 's/.*power_loss="\([^"]*\)".*/\1/p' /proc/cmdline)
POWER_LOSS="$arguments" RUST_BACKTRACE=0 /program --exact in_the_guest --nocapture 2>&1
echo OVER
/bin/busybox poweroff -f
"#;
