//! Sizes of directories, and when they are measured again.

use super::*;

const MIB: usize = 1 << 20;

#[test]
fn what_is_on_the_disk_counts_once_and_nothing_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (root, other) = (dir.path().join("sandbox"), dir.path().join("other"));
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::create_dir(&other).unwrap();
    std::fs::write(root.join("a/b/file"), vec![1; MIB]).unwrap();
    std::fs::write(other.join("big"), vec![1; 8 * MIB]).unwrap();
    let before = walk::bytes(&root).unwrap();
    assert!((MIB as u64..2 * MIB as u64).contains(&before), "{before}");
    // Other names of a file, links to elsewhere and holes take next to nothing.
    std::fs::hard_link(root.join("a/b/file"), root.join("again")).unwrap();
    std::os::unix::fs::symlink(&other, root.join("away")).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let after = walk::bytes(&root).unwrap();
    assert!(after < before + MIB as u64 / 2, "{before} {after}");
    assert!(walk::bytes(&root.join("away")).is_err(), "a link is not followed at the top either");
}

#[test]
fn a_tree_deeper_than_anybody_needs_takes_no_descriptors_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut at =
        rustix::fs::open(dir.path(), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap();
    for _ in 0..600 {
        rustix::fs::mkdirat(&at, "d", rustix::fs::Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap();
    }
    assert!(walk::bytes(dir.path()).is_ok());
}

fn asked(name: &str, path: &std::path::Path, cpu_ms: u64) -> Asked {
    let id = ContainerId::new(name).unwrap();
    // None at all is not known: measured each time.
    let cpu_time = (cpu_ms > 0).then(|| Duration::from_millis(cpu_ms));
    let path = path.to_owned();
    Asked { id, path, limit: MIB as u64, cpu_time }
}

#[tokio::test]
async fn only_tasks_that_did_something_are_measured_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disks, mut measured) = Disks::start(Duration::from_secs(5)).unwrap();
    let now = Instant::now();
    assert!(disks.is_due(now));
    assert!(!disks.is_due(now), "not before the interval is over");
    disks.measure(vec![asked("a", dir.path(), 1), asked("gone", &dir.path().join("x"), 1)]);
    assert!(!disks.is_due(now + Duration::from_secs(60)), "not while it measures");
    for _ in 0..2 {
        assert_eq!(disks.note(measured.recv().await.unwrap()), None);
    }
    let id = ContainerId::new("a").unwrap();
    assert!(disks.of(&id).unwrap().used <= MIB as u64);
    std::fs::write(dir.path().join("big"), vec![1; 3 * MIB]).unwrap();
    disks.measure(vec![asked("a", dir.path(), 1)]);
    assert_eq!(disks.under_way, 0, "it has used no cpu time since");
    disks.measure(vec![asked("a", dir.path(), 2)]);
    let (over, limitation) = disks.note(measured.recv().await.unwrap()).unwrap();
    let Limitation::Disk { usage_bytes, limit_bytes } = limitation else {
        panic!("{limitation:?}")
    };
    assert!(usage_bytes >= 3 * MIB as u64, "{usage_bytes}");
    assert_eq!((over, limit_bytes), (id.clone(), MIB as u64));
    disks.measure(Vec::new());
    assert_eq!(disks.of(&id), None, "what does not run any more is forgotten");
}
