//! A guest machine that dies like one whose power fails: its kernel and its page cache are gone at
//! once, what reached its disk stays.
//!
//! QEMU without hardware acceleration, a kernel of the distribution, and an initial root made of
//! busybox, the kernel's modules and the program under test with its libraries. A volatile cache
//! in the disk itself is not modelled.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any line takes, a boot included; a guest that is silent so long hangs.
const BOUND: Duration = Duration::from_secs(120);
const DISK_BYTES: u64 = 256 << 20;

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

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test guest`"))
        .into()
}

pub(crate) struct Machine {
    dir: TempDir,
    running: Option<(Child, Receiver<String>)>,
}

impl Machine {
    /// A machine with an empty disk.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let disk = fs::File::create(dir.path().join("disk")).unwrap();
        disk.set_len(DISK_BYTES).unwrap();
        run(Command::new("mkfs.ext4").arg("-qF").arg(dir.path().join("disk")));
        build_root(dir.path());
        Self { dir, running: None }
    }

    /// Starts it with the program under test and these arguments.
    pub(crate) fn boot(&mut self, arguments: &str) {
        self.kill();
        let disk = self.dir.path().join("disk");
        let mut child = Command::new(variable("TEPUI_QEMU"))
            .args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-m", "256"])
            .args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"])
            .args(["-nic", "none", "-kernel"])
            .arg(variable("TEPUI_KERNEL"))
            .arg("-initrd")
            .arg(self.dir.path().join("root.cpio"))
            // The host does not die: what the guest's disk took is kept without a sync here.
            .args(["-drive", &format!("file={},if=virtio,format=raw,cache=unsafe", disk.display())])
            .args(["-append", &format!("console=ttyS0 quiet panic=-1 power_loss=\"{arguments}\"")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = channel();
        thread::spawn(move || {
            for line in stdout.split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if said.send(line).is_err() {
                    break;
                }
            }
        });
        self.running = Some((child, lines));
    }

    /// The next line of the program; `None` once the machine is off.
    pub(crate) fn line(&mut self) -> Option<Line> {
        loop {
            let (_, lines) = self.running.as_ref()?;
            let line = match lines.recv_timeout(BOUND) {
                Ok(line) => line,
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return None,
                Err(error) => panic!("the guest is silent: {error}"),
            };
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
        if let Some((child, _)) = &mut self.running {
            // It may have ended by itself.
            let _ = child.kill();
            child.wait().unwrap();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
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

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
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

/// Makes the guest's initial root in `dir/root.cpio`.
fn build_root(dir: &Path) {
    let root = dir.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("lib")).unwrap();
    fs::copy(variable("TEPUI_BUSYBOX"), root.join("bin/busybox")).unwrap();
    fs::write(root.join("init"), INIT).unwrap();
    run(Command::new("chmod").arg("755").arg(root.join("init")));
    copy_program(&root);
    copy_modules(&root);
    let names = Command::new("find").arg(".").current_dir(&root).output().unwrap().stdout;
    let archive = fs::File::create(dir.join("root.cpio")).unwrap();
    let mut cpio = Command::new(variable("TEPUI_BUSYBOX"))
        .args(["cpio", "-o", "-H", "newc"])
        .current_dir(&root)
        .stdin(Stdio::piped())
        .stdout(archive)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    cpio.stdin.take().unwrap().write_all(&names).unwrap();
    assert!(cpio.wait().unwrap().success());
}

/// This executable, and the libraries that it was linked with under their own paths.
fn copy_program(root: &Path) {
    let program = std::env::current_exe().unwrap();
    fs::copy(&program, root.join("program")).unwrap();
    let libraries = Command::new("ldd").arg(&program).output().unwrap().stdout;
    let libraries = String::from_utf8(libraries).unwrap();
    for path in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = root.join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(path, place).unwrap();
    }
}

/// The modules that the guest needs and the kernel does not have built in, each after those it
/// depends on.
fn copy_modules(root: &Path) {
    let all = find_modules(&variable("TEPUI_KERNEL_MODULES").join("kernel"));
    let mut order = Vec::new();
    for name in ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"] {
        add_module(name, &all, &mut BTreeSet::new(), &mut order);
    }
    let mut list = String::new();
    for path in order {
        let name = path.file_name().unwrap().to_str().unwrap();
        fs::copy(&path, root.join("lib").join(name)).unwrap();
        list.push_str(&format!("/lib/{name}\n"));
    }
    fs::write(root.join("modules"), list).unwrap();
}

fn find_modules(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(find_modules(&path));
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            found.push(path);
        }
    }
    found
}

fn module_name(path: &Path) -> String {
    path.file_stem().unwrap().to_str().unwrap().replace('-', "_")
}

fn add_module(name: &str, all: &[PathBuf], seen: &mut BTreeSet<String>, order: &mut Vec<PathBuf>) {
    let Some(path) = all.iter().find(|path| module_name(path) == name) else { return };
    if !seen.insert(name.to_owned()) || order.contains(path) {
        return;
    }
    let content = fs::read(path).unwrap();
    let key = b"\0depends=";
    let start = content.windows(key.len()).position(|window| window == key);
    let rest = start.map_or(&b""[..], |start| &content[start + key.len()..]);
    let depends = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    for needed in String::from_utf8_lossy(depends).split(',').filter(|needed| !needed.is_empty()) {
        add_module(&needed.replace('-', "_"), all, seen, order);
    }
    order.push(path.clone());
}
