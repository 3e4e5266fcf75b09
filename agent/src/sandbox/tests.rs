//! Reading what is there, and refusing every way out.

use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn sandbox() -> (tempfile::TempDir, Sandbox) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    let root = dir.path().join("box");
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::write(root.join("stdout"), "0123456789").unwrap();
    fs::write(root.join("sub/file"), "inner").unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("../secret", root.join("up")).unwrap();
    symlink("sub", root.join("within")).unwrap();
    symlink(dir.path(), root.join("out")).unwrap();
    let sandbox = Sandbox::open(&root).unwrap();
    (dir, sandbox)
}

#[test]
fn ranges_are_exact_and_a_follower_sees_growth() {
    let (dir, sandbox) = sandbox();
    let read = |offset, length| sandbox.read("stdout", offset, length).unwrap();
    assert_eq!(read(0, 4), Chunk { data: b"0123".to_vec(), offset: 0, size: 10 });
    assert_eq!(read(8, 100), Chunk { data: b"89".to_vec(), offset: 8, size: 10 });
    assert_eq!(read(10, 5), Chunk { data: Vec::new(), offset: 10, size: 10 });
    assert_eq!(read(u64::MAX, 5).data, b"");
    fs::write(dir.path().join("box/stdout"), "0123456789ab").unwrap();
    assert_eq!(read(10, 5), Chunk { data: b"ab".to_vec(), offset: 10, size: 12 });
    assert_eq!(sandbox.read("/sub/file", 0, 99).unwrap().data, b"inner");
    let big = vec![7; MAX_READ + 5];
    fs::write(dir.path().join("box/big"), &big).unwrap();
    assert_eq!(sandbox.read("big", 0, usize::MAX).unwrap().data.len(), MAX_READ);
}

#[test]
fn every_way_out_is_refused() {
    let (_dir, sandbox) = sandbox();
    for path in
        ["../secret", "sub/../../secret", "absolute", "up", "out/secret", "within/file", ".."]
    {
        let refused = sandbox.read(path, 0, 10);
        assert!(matches!(refused, Err(SandboxError::Escapes(_))), "{path}: {refused:?}");
        assert!(sandbox.browse(path).is_err(), "{path}");
    }
    // An absolute path is one from the sandbox's root, not the machine's.
    assert!(matches!(sandbox.read("/etc/passwd", 0, 1), Err(SandboxError::NotFound(_))));
    assert!(matches!(sandbox.read("sub/../stdout", 0, 1), Ok(chunk) if chunk.data == b"0"));
    assert!(matches!(sandbox.read("a\0b", 0, 1), Err(SandboxError::NotFound(_))));
    assert!(matches!(sandbox.read(&"x/".repeat(9999), 0, 1), Err(SandboxError::NotFound(_))));
    assert!(matches!(sandbox.read("stdout/x", 0, 1), Err(SandboxError::NotADirectory(_))));
}

#[test]
fn only_plain_files_are_opened() {
    let (dir, sandbox) = sandbox();
    let fifo = dir.path().join("box/fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o644), 0)
        .unwrap();
    for path in ["fifo", "sub", ""] {
        let refused = sandbox.read(path, 0, 1);
        assert!(matches!(refused, Err(SandboxError::NotAFile(_))), "{path}: {refused:?}");
    }
}

#[test]
#[allow(unsafe_code, reason = "leases have no safe wrapper")]
fn a_file_on_which_its_task_holds_a_lease_is_busy_and_holds_nobody_up() {
    use std::os::fd::AsRawFd;
    const F_SETSIG: i32 = 10; // linux/fcntl.h; libc has no name for it.
    let (dir, sandbox) = sandbox();
    let path = dir.path().join("box/leased");
    fs::write(&path, "mine").unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    // SAFETY: fcntl on a descriptor that is open; the signal of a broken lease is one that nobody
    // takes notice of, instead of one that ends this process.
    let leased = unsafe {
        libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
            && libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0
    };
    assert!(leased, "a lease on one's own file: {}", std::io::Error::last_os_error());
    let refused = sandbox.read("leased", 0, 10);
    assert!(matches!(refused, Err(SandboxError::Busy(_))), "{refused:?}");
    drop(file);
    assert_eq!(sandbox.read("leased", 0, 10).unwrap().data, b"mine");
}

#[test]
fn listings_are_sorted_and_name_paths_from_the_root() {
    let (_dir, sandbox) = sandbox();
    let names: Vec<(String, Kind)> =
        sandbox.browse("").unwrap().into_iter().map(|e| (e.path, e.kind)).collect();
    let link = |name: &str| (name.to_owned(), Kind::Link);
    let wanted = [
        link("absolute"),
        link("out"),
        ("stdout".to_owned(), Kind::File),
        ("sub".to_owned(), Kind::Directory),
        link("up"),
        link("within"),
    ];
    assert_eq!(names, wanted);
    let inner = sandbox.browse("/sub/").unwrap();
    let paths: Vec<&str> = inner.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(paths, ["sub/deep", "sub/file"]);
    assert_eq!(inner[1].size, 5);
    assert!(matches!(sandbox.browse("stdout"), Err(SandboxError::NotADirectory(_))));
    assert!(matches!(sandbox.browse("none"), Err(SandboxError::NotFound(_))));
}
