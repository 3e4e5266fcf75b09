//! The check for what is left finds each kind of it, where a test put it; and nothing where there
//! is nothing.

use std::ffi::CStr;
use std::path::Path;
use std::process::Command;

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use crate::left::{self, Marks};

fn marks() -> (tempfile::TempDir, Marks) {
    let dir = tempfile::tempdir().unwrap();
    let group = format!("planted-{}", uuid::Uuid::new_v4().simple());
    let marks = Marks::new(dir.path(), &group);
    assert_eq!(marks.left(), Vec::<String>::new());
    (dir, marks)
}

/// The one thing that is left, which is of this kind.
fn only(marks: &Marks, kind: &str) {
    let left = marks.left();
    assert!(left.len() == 1 && left[0].starts_with(kind), "{kind}: {left:?}");
}

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("not run: needs root");
    }
    root
}

/// Does it in a thread that has left namespaces of the process, which end with it.
fn apart(namespaces: UnshareFlags, what: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        // SAFETY: the flags concern no memory and no descriptors.
        #[allow(unsafe_code)]
        let left = unsafe { rustix::thread::unshare_unsafe(namespaces) };
        left.unwrap();
        what();
    });
    thread.join().unwrap();
}

#[test]
fn a_process_that_is_left_is_found_and_a_namesakes_is_not() {
    let (dir, marks) = marks();
    let start = |value: &Path| Command::new("sleep").arg("1000").env("PLACE", value).spawn();
    let other = format!("{}-other", dir.path().display());
    let mut namesake = start(Path::new(&other)).unwrap();
    let mut left = start(&dir.path().join("agent")).unwrap();
    // `spawn` returns once the program is executed: its variables are there.
    only(&marks, "process");
    left.kill().unwrap();
    // A process that has ended, of which nobody has asked the status, is none any more.
    let ended = std::panic::catch_unwind(|| marks.assert_gone());
    left.wait().unwrap();
    namesake.kill().unwrap();
    namesake.wait().unwrap();
    assert!(ended.is_ok());
}

#[test]
fn a_cgroup_that_is_left_is_found() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let group = format!("planted-{}", uuid::Uuid::new_v4().simple());
    let marks = Marks::new(dir.path(), &group);
    let root = Path::new("/sys/fs/cgroup");
    let hierarchy = match root.join("cgroup.controllers").exists() {
        true => root.to_owned(),
        false => root.join("pids"),
    };
    let path = hierarchy.join("tepui").join(&group);
    if let Err(error) = std::fs::create_dir_all(&path) {
        println!("not run: no cgroup can be made here: {error}");
        return;
    }
    let found = std::panic::catch_unwind(|| only(&marks, "cgroup"));
    std::fs::remove_dir(&path).unwrap();
    assert!(found.is_ok());
    marks.assert_gone();
}

#[test]
fn a_mount_that_is_left_is_found() {
    if !is_root() {
        return;
    }
    apart(UnshareFlags::NEWNS, || {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", private).unwrap();
        let (dir, marks) = marks();
        let (within, shown) = (dir.path().join("within"), tempfile::tempdir().unwrap());
        std::fs::create_dir(&within).unwrap();
        rustix::mount::mount("none", &within, "tmpfs", MountFlags::empty(), None::<&CStr>).unwrap();
        only(&marks, "mount");
        rustix::mount::unmount(&within, rustix::mount::UnmountFlags::DETACH).unwrap();
        marks.assert_gone();
        // Elsewhere, but of the directory.
        rustix::mount::mount_bind(&within, shown.path()).unwrap();
        only(&marks, "mount");
        rustix::mount::unmount(shown.path(), rustix::mount::UnmountFlags::DETACH).unwrap();
        marks.assert_gone();
    });
}

#[test]
fn a_link_that_is_left_is_found() {
    if !is_root() || !Path::new("/usr/bin/busybox").exists() {
        println!("not run: links are made by root's /usr/bin/busybox");
        return;
    }
    apart(UnshareFlags::NEWNET, || {
        let ip = |words: &[&str]| Command::new("/usr/bin/busybox").args(words).status().unwrap();
        if !ip(&["ip", "link", "add", "tepui0", "type", "veth"]).success() {
            println!("not run: no link can be made here");
            return;
        }
        assert_eq!(left::links(), ["tepui0"]);
        assert!(ip(&["ip", "link", "delete", "tepui0"]).success());
        left::assert_no_links();
    });
    assert_eq!(left::links(), Vec::<String>::new(), "those of the host may be anybody's");
}

#[test]
fn a_directory_that_is_left_is_found() {
    for name in ["supervisor/enclosures/7", "volumes/.groups/pod"] {
        let (dir, marks) = marks();
        for other in
            ["supervisor/enclosures/trash/7-1", "supervisor/enclosures/root", "sandboxes/7"]
        {
            std::fs::create_dir_all(dir.path().join(other)).unwrap();
        }
        assert_eq!(marks.left(), Vec::<String>::new(), "of those nobody is left");
        std::fs::create_dir_all(dir.path().join(name)).unwrap();
        only(&marks, "directory");
        std::fs::remove_dir(dir.path().join(name)).unwrap();
        marks.assert_gone();
    }
}
