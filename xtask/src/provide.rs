//! Makes a machine ready for a test group, or says why it cannot be.
//!
//! Packages are installed with apt-get only as root; everything else goes under the target
//! directory. Nothing here may change the system in another way.

pub(crate) mod cgroup;
pub(crate) mod docker;
pub(crate) mod guest;
pub(crate) mod images;
pub(crate) mod python;
pub(crate) mod torture;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step;

/// Whether we run as root.
fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status
            .lines()
            .find_map(|line| line.strip_prefix("Uid:"))
            .and_then(|ids| ids.split_whitespace().nth(1))
            == Some("0")
    })
}

/// The full path of a program on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Installs Debian packages, as root where apt-get exists; `missing` says what for.
fn install(missing: &str, packages: &[&str]) -> Result<(), String> {
    let list = packages.join(" ");
    if find_program("apt-get").is_none() {
        return Err(format!("{missing} is missing; install it (Debian: {list})"));
    }
    if !is_root() {
        return Err(format!("{missing} is missing; `apt-get install {list}` as root"));
    }
    println!("  installing {list} (for {missing})");
    let attempt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            // Another apt may hold the lock for a while.
            .args(["-o", "DPkg::Lock::Timeout=120"])
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(packages);
        step::quiet(command)
    };
    if attempt().is_ok() {
        return Ok(());
    }
    update_lists()?;
    attempt().map(|_| ()).map_err(|output| format!("apt-get install {list}: {}", tail(&output)))
}

fn update_lists() -> Result<(), String> {
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    step::quiet(update).map(|_| ()).map_err(|output| format!("apt-get update: {}", tail(&output)))
}

/// A program, installed if it is absent.
fn program(name: &str, packages: &[&str]) -> Result<PathBuf, String> {
    if let Some(path) = find_program(name) {
        return Ok(path);
    }
    install(name, packages)?;
    find_program(name).ok_or_else(|| format!("{packages:?} installed, but no `{name}` on PATH"))
}

/// The end of a long output, for a reason of one paragraph.
fn tail(output: &str) -> String {
    let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(4)..].join("\n    ")
}

fn create_dir(path: &Path) -> Result<(), String> {
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Removes a folder of ours if it is there.
fn remove_dir(path: &Path) -> Result<(), String> {
    if !path.exists() {
        return Ok(());
    }
    std::fs::remove_dir_all(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_on_the_path() {
        assert!(find_program("sh").is_some());
        assert_eq!(find_program("no-such-program-here"), None);
    }

    #[test]
    fn a_tail_keeps_the_last_lines_that_say_something() {
        assert_eq!(tail("a\nb\n\nc\nd\ne\n"), "b\n    c\n    d\n    e");
        assert_eq!(tail(""), "");
    }
}
