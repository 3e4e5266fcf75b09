//! Links lead to volumes, and to nothing else.

use super::*;
use std::fs;
use std::path::PathBuf;

fn ours() -> (u32, u32) {
    super::super::berth::ourselves()
}

fn volume(path: &str, target: PathBuf) -> VolumeLink {
    VolumeLink { name: "volume v of role r".into(), path: path.into(), target, shared: false }
}

fn open(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

#[test]
fn volumes_are_found_under_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, target) = (dir.path().join("box"), dir.path().join("v"));
    fs::create_dir(&sandbox).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(target.join("file"), "kept").unwrap();
    let volumes = [volume("data", target.clone()), volume("a/b/c", target.clone())];
    link(open(&sandbox).as_fd(), &volumes, ours()).unwrap();
    assert_eq!(fs::read_link(sandbox.join("data")).unwrap(), target);
    assert_eq!(fs::read(sandbox.join("a/b/c/file")).unwrap(), b"kept");
}

#[test]
fn what_is_not_there_or_in_the_way_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, target) = (dir.path().join("box"), dir.path().join("v"));
    fs::create_dir(&sandbox).unwrap();
    fs::create_dir(&target).unwrap();
    let linked = |volume: VolumeLink| link(open(&sandbox).as_fd(), &[volume], ours());
    let missing = linked(volume("data", dir.path().join("none"))).unwrap_err();
    assert_eq!(missing, "the volume v of role r is not there");
    // A link in the place of the content is not followed.
    std::os::unix::fs::symlink(&target, dir.path().join("link")).unwrap();
    let refused = linked(volume("data", dir.path().join("link"))).unwrap_err();
    assert!(refused.contains("volume v of role r"), "{refused}");
    linked(volume("data", target.clone())).unwrap();
    for path in ["data", "data/below", "../out", "/out", ""] {
        let refused = linked(volume(path, target.clone())).unwrap_err();
        assert!(refused.contains("placed at"), "{path}: {refused}");
    }
    assert!(fs::read_dir(&target).unwrap().next().is_none(), "nothing goes into the volume");
    assert!(!dir.path().join("out").exists());
}

#[test]
fn a_private_volume_is_given_to_each_user_and_a_shared_one_to_the_first() {
    use std::os::unix::fs::MetadataExt;
    if ours().0 != 0 {
        eprintln!("only root can give a volume to a user; not tested");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for (shared, second) in [(false, 1002), (true, 1001)] {
        let target = dir.path().join(format!("v-{shared}"));
        fs::create_dir(&target).unwrap();
        for (user, owner) in [(1001, 1001), (1002, second)] {
            let sandbox = tempfile::tempdir().unwrap();
            let volume = VolumeLink { shared, ..volume("data", target.clone()) };
            link(open(sandbox.path()).as_fd(), &[volume], (user, user)).unwrap();
            assert_eq!(fs::metadata(&target).unwrap().uid(), owner);
        }
    }
}
