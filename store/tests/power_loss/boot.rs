//! Guest machines for tests: an initial root made of busybox and programs of ours, and QEMU without
//! hardware acceleration, which runs wherever tests run.
//!
//! Programs are taken with the libraries that they are linked with, so nothing is built for the
//! guest. What the guest does is the business of the test that boots it; its packages share this
//! file.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

fn variable(name: &str) -> PathBuf {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: run `cargo xtask test guest`"))
        .into()
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a guest starts with: busybox as `/bin/busybox`, and this.
pub(crate) struct Root<'a> {
    /// The script `/init`. It may load what `/modules` lists.
    pub(crate) init: &'a str,
    /// Executables of this machine, and where the guest has them.
    pub(crate) programs: &'a [(&'a Path, &'a Path)],
    /// Kernel modules, without those they depend on.
    pub(crate) modules: &'a [&'a str],
}

impl Root<'_> {
    /// Makes the archive in `dir`.
    pub(crate) fn build(&self, dir: &Path) -> PathBuf {
        let root = dir.join("root");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::copy(variable("TEPUI_BUSYBOX"), root.join("bin/busybox")).unwrap();
        fs::write(root.join("init"), self.init).unwrap();
        run(Command::new("chmod").arg("755").arg(root.join("init")));
        for (program, place) in self.programs {
            copy_program(program, place, &root);
        }
        copy_modules(self.modules, &root);
        let names = Command::new("find").arg(".").current_dir(&root).output().unwrap().stdout;
        let archive = dir.join("root.cpio");
        let mut cpio = Command::new(variable("TEPUI_BUSYBOX"))
            .args(["cpio", "-o", "-H", "newc"])
            .current_dir(&root)
            .stdin(Stdio::piped())
            .stdout(fs::File::create(&archive).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        cpio.stdin.take().unwrap().write_all(&names).unwrap();
        assert!(cpio.wait().unwrap().success());
        archive
    }
}

/// The executable without what only debuggers read, and its libraries under their own paths.
fn copy_program(program: &Path, place: &Path, root: &Path) {
    let inside = |path: &Path| {
        let place = root.join(path.strip_prefix("/").unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        place
    };
    run(Command::new("strip").arg("--strip-debug").arg("-o").arg(inside(place)).arg(program));
    let libraries = Command::new("ldd").arg(program).output().unwrap().stdout;
    let libraries = String::from_utf8(libraries).unwrap();
    for path in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        fs::copy(path, inside(Path::new(path))).unwrap();
    }
}

/// The modules that the guest needs and the kernel does not have built in, each after those it
/// depends on.
fn copy_modules(names: &[&str], root: &Path) {
    let all = find_modules(&variable("TEPUI_KERNEL_MODULES").join("kernel"));
    let mut order = Vec::new();
    for name in names {
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

/// QEMU with this much memory, an initial root and arguments for the kernel; drives can be added.
pub(crate) fn machine(megabytes: u32, initial_root: &Path, kernel_arguments: &str) -> Command {
    let mut qemu = Command::new(variable("TEPUI_QEMU"));
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-m", &megabytes.to_string(), "-nic", "none", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio", "-monitor", "none"])
        .arg("-kernel")
        .arg(variable("TEPUI_KERNEL"))
        .arg("-initrd")
        .arg(initial_root)
        .args(["-append", &format!("console=ttyS0 quiet panic=-1 {kernel_arguments}")]);
    qemu
}

/// A machine that runs; it is killed when this is dropped.
pub(crate) struct Guest {
    child: Child,
    lines: Receiver<String>,
    bound: Duration,
}

impl Guest {
    /// Starts it. A guest that says nothing for longer than `bound` hangs.
    pub(crate) fn boot(mut machine: Command, bound: Duration) -> Self {
        let mut child = machine.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
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
        Self { child, lines, bound }
    }

    /// The next line on its console; `None` once it is off and all was read.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(self.bound) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(error) => panic!("the guest is silent: {error}"),
        }
    }

    /// The power fails. What was said before is still to be read.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}
