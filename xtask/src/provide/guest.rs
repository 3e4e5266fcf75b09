//! Group `guest`: QEMU, a static busybox and a kernel with its modules, for tests that cut the
//! power of a machine or want another cgroup hierarchy than the host's.
//!
//! The kernel comes from the distribution's package, unpacked under the target directory: it is
//! never installed, so the host's boot is never touched.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{create_dir, find_program, install, program, remove_dir, tail, update_lists};
use crate::groups::Variables;
use crate::step;
use crate::workspace::Workspace;

/// The package that depends on the newest small kernel of the release.
const META_PACKAGE: &str = "linux-image-cloud-amd64";

/// `TEPUI_QEMU`, `TEPUI_BUSYBOX` (a static binary), `TEPUI_KERNEL` (a bootable image) and
/// `TEPUI_KERNEL_MODULES` (its `lib/modules/VERSION`, plain or compressed `.ko` files).
pub(crate) fn ready(workspace: &Workspace) -> Result<Variables, String> {
    let qemu = program("qemu-system-x86_64", &["qemu-system-x86"])?;
    let busybox = busybox()?;
    let folder = workspace.target.join("xtask/kernel");
    let kernel = match unpacked(&folder) {
        Some(kernel) => kernel,
        None => fetch(&folder)?,
    };
    Ok(vec![
        ("TEPUI_QEMU", qemu.display().to_string()),
        ("TEPUI_BUSYBOX", busybox.display().to_string()),
        ("TEPUI_KERNEL", kernel.image.display().to_string()),
        ("TEPUI_KERNEL_MODULES", kernel.modules.display().to_string()),
    ])
}

struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

/// A static busybox, installed if it is absent.
pub(super) fn busybox() -> Result<PathBuf, String> {
    if let Some(path) = find_program("busybox").filter(|path| is_static(path)) {
        return Ok(path);
    }
    install("a static busybox", &["busybox-static"])?;
    find_program("busybox")
        .filter(|path| is_static(path))
        .ok_or_else(|| "busybox-static installed, but busybox is not static".to_owned())
}

/// A dynamic executable names its loader.
fn is_static(program: &Path) -> bool {
    let loader = b"/ld-linux";
    std::fs::read(program).is_ok_and(|bytes| {
        let head = &bytes[..bytes.len().min(4096)];
        !head.windows(loader.len()).any(|window| window == loader)
    })
}

/// The kernel of an earlier run.
fn unpacked(folder: &Path) -> Option<Kernel> {
    let image = entry_starting(&folder.join("root/boot"), "vmlinuz-")?;
    let modules = ["root/lib/modules", "root/usr/lib/modules"]
        .iter()
        .find_map(|place| entry_starting(&folder.join(place), ""))?;
    Some(Kernel { image, modules })
}

fn entry_starting(folder: &Path, start: &str) -> Option<PathBuf> {
    std::fs::read_dir(folder)
        .ok()?
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path())
}

fn fetch(folder: &Path) -> Result<Kernel, String> {
    if find_program("apt-get").is_none() || find_program("dpkg").is_none() {
        return Err("a guest kernel is fetched with apt-get and unpacked with dpkg".to_owned());
    }
    remove_dir(folder)?;
    create_dir(folder)?;
    let package = match kernel_package() {
        Ok(package) => package,
        Err(_) => update_lists().and_then(|()| kernel_package())?,
    };
    println!("  fetching {package}");
    let mut download = Command::new("apt-get");
    // The unprivileged user of apt may not write into a target directory.
    download.args(["download", "--quiet", "-o", "APT::Sandbox::User=root", &package]);
    download.current_dir(folder);
    step::quiet(download).map_err(|output| format!("apt-get download: {}", tail(&output)))?;
    let archive = entry_starting(folder, &package)
        .ok_or_else(|| format!("apt-get download left no archive of {package}"))?;
    let mut extract = Command::new("dpkg");
    extract.arg("-x").arg(&archive).arg(folder.join("root"));
    step::quiet(extract).map_err(|output| format!("dpkg -x: {}", tail(&output)))?;
    unpacked(folder).ok_or_else(|| format!("{package} holds no kernel image with modules"))
}

fn kernel_package() -> Result<String, String> {
    let mut depends = Command::new("apt-cache");
    depends.args(["depends", META_PACKAGE]);
    let output = step::quiet(depends).map_err(|output| tail(&output))?;
    named_in(&output)
        .ok_or_else(|| format!("no package {META_PACKAGE} in this distribution's lists"))
}

fn named_in(output: &str) -> Option<String> {
    output
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_the_meta_package_depends_on() {
        let output = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-48-cloud-amd64\n";
        assert_eq!(named_in(output).unwrap(), "linux-image-6.1.0-48-cloud-amd64");
        assert_eq!(named_in("linux-image-cloud-amd64\n"), None);
    }
}
