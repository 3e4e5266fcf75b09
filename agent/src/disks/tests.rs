//! Sizes of directories, and when they are measured again.

use super::*;

const MIB: usize = 1 << 20;

fn bytes(path: &std::path::Path) -> std::io::Result<u64> {
    let mut walk = walk::Walk::begin(path, None)?;
    while walk.go_on(7) {}
    Ok(walk.bytes())
}

#[test]
fn what_is_on_the_disk_counts_once_and_nothing_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (root, other) = (dir.path().join("sandbox"), dir.path().join("other"));
    std::fs::create_dir_all(root.join("a/b")).unwrap();
    std::fs::create_dir(&other).unwrap();
    std::fs::write(root.join("a/b/file"), vec![1; MIB]).unwrap();
    std::fs::write(other.join("big"), vec![1; 8 * MIB]).unwrap();
    let before = bytes(&root).unwrap();
    assert!((MIB as u64..2 * MIB as u64).contains(&before), "{before}");
    // Other names of a file, links to elsewhere and holes take next to nothing.
    std::fs::hard_link(root.join("a/b/file"), root.join("again")).unwrap();
    std::os::unix::fs::symlink(&other, root.join("away")).unwrap();
    let sparse = std::fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let after = bytes(&root).unwrap();
    assert!(after < before + MIB as u64 / 2, "{before} {after}");
    assert!(bytes(&root.join("away")).is_err(), "a link is not followed at the top either");
}

#[test]
fn s43_many_empty_files_count_as_files_of_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let make = |from: u32, to: u32| {
        for n in from..to {
            std::fs::File::create(dir.path().join(n.to_string())).unwrap();
        }
    };
    make(0, 1000);
    let few = bytes(dir.path()).unwrap();
    assert!(few < MIB as u64 / 2, "{few}");
    make(1000, 3048);
    let many = bytes(dir.path()).unwrap();
    assert_eq!(many, (3048 - 1024) * 4096);
    // Names of one file are no files.
    for n in 0..2000 {
        std::fs::hard_link(dir.path().join("0"), dir.path().join(format!("again-{n}"))).unwrap();
    }
    assert_eq!(bytes(dir.path()).unwrap(), many);
}

#[test]
fn a_tree_deeper_than_anybody_needs_counts_and_takes_no_descriptors_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut at =
        rustix::fs::open(dir.path(), rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap();
    let put = |at: &std::os::fd::OwnedFd, name: &str, size: usize| {
        let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
        let file = rustix::fs::openat(at, name, flags, rustix::fs::Mode::RWXU).unwrap();
        std::io::Write::write_all(&mut std::fs::File::from(file), &vec![1; size]).unwrap();
    };
    for depth in 0..600 {
        for name in ["a", "d", "z"] {
            rustix::fs::mkdirat(&at, name, rustix::fs::Mode::RWXU).unwrap();
        }
        if depth % 100 == 99 {
            put(&at, "file", MIB);
        }
        at = rustix::fs::openat(&at, "d", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty())
            .unwrap();
    }
    put(&at, "last", MIB);
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (before, mut walk, mut most) = (open(), walk::Walk::begin(dir.path(), None).unwrap(), 0);
    while walk.go_on(100) {
        most = most.max(open());
    }
    let directories = 600 * 3 + 1;
    let least = 7 * MIB as u64;
    let found = walk.bytes();
    assert!((least..least + directories * 4096 + MIB as u64).contains(&found), "{found}");
    assert_eq!(walk.entries(), 600 * 3 + 7);
    // With no room for names beyond one each directory is read on where that was.
    let mut short = walk::Walk::with_names(dir.path(), 0).unwrap();
    while short.go_on(100) {}
    assert_eq!((short.bytes(), short.entries()), (found, 600 * 3 + 7));
    // Other tests of this process open some as well.
    assert!(most < before + 300, "{before} {most}");
}

#[test]
fn what_is_written_over_an_image_counts_with_the_sandbox() {
    let dir = tempfile::tempdir().unwrap();
    let (sandbox, layer) = (dir.path().join("sandbox"), dir.path().join("layer"));
    std::fs::create_dir_all(layer.join("a/b")).unwrap();
    std::fs::create_dir(&sandbox).unwrap();
    std::fs::write(sandbox.join("file"), vec![1; MIB]).unwrap();
    std::fs::write(layer.join("a/b/file"), vec![1; 2 * MIB]).unwrap();
    let whole = |layer: &std::path::Path| {
        let mut walk = walk::Walk::begin(&sandbox, Some(layer)).unwrap();
        while walk.go_on(3) {}
        (walk.bytes() / MIB as u64, walk.entries())
    };
    assert_eq!(whole(&layer), (3, 4));
    // The layer goes before the sandbox when a task ends.
    assert_eq!(whole(&dir.path().join("gone")), (1, 1));
}

fn asked(name: &str, path: &std::path::Path, cpu_ms: u64) -> Asked {
    let id = ContainerId::new(name).unwrap();
    // None at all is not known: measured each time.
    let cpu_time = (cpu_ms > 0).then(|| Duration::from_millis(cpu_ms));
    let path = path.to_owned();
    Asked { id, path, layer: None, limit: MIB as u64, cpu_time, entries: 0 }
}

#[tokio::test]
async fn only_tasks_that_did_something_are_measured_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut disks, mut measured) = Disks::start(Duration::from_secs(5)).unwrap();
    let now = Instant::now();
    assert!(disks.is_due(now));
    assert!(!disks.is_due(now), "not before the interval is over");
    disks.measure(vec![asked("a", dir.path(), 1), asked("gone", &dir.path().join("x"), 1)]);
    disks.measure(vec![asked("a", dir.path(), 1)]);
    assert_eq!(disks.under_way.len(), 2, "what is being measured is not asked for again");
    for _ in 0..2 {
        assert_eq!(disks.note(measured.recv().await.unwrap()), None);
    }
    let id = ContainerId::new("a").unwrap();
    assert!(disks.of(&id).unwrap().used <= MIB as u64);
    std::fs::write(dir.path().join("big"), vec![1; 3 * MIB]).unwrap();
    disks.measure(vec![asked("a", dir.path(), 1)]);
    assert!(disks.under_way.is_empty(), "it has used no cpu time since");
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

#[tokio::test]
async fn one_with_very_many_files_keeps_nobody_else_from_being_measured() {
    let dir = tempfile::tempdir().unwrap();
    let (many, few) = (dir.path().join("many"), dir.path().join("few"));
    std::fs::create_dir_all(&few).unwrap();
    for n in 0..5000 {
        std::fs::create_dir_all(many.join(n.to_string())).unwrap();
    }
    let bounds = Bounds { large: 1000, ..BOUNDS };
    let (mut disks, mut measured) = Disks::start_with(Duration::from_secs(5), bounds).unwrap();
    let mut order = Vec::new();
    for _ in 0..2 {
        let many = Asked { limit: u64::MAX, ..asked("many", &many, 0) };
        disks.measure(vec![many, asked("few", &few, 0)]);
        for _ in 0..2 {
            let one = measured.recv().await.unwrap();
            order.push(one.asked.id.to_string());
            disks.note(one);
        }
    }
    assert_eq!(order, ["few", "many", "few", "many"]);
    let id = ContainerId::new("many").unwrap();
    assert_eq!(disks.of(&id).unwrap().entries, 5000);
}

/// A directory with so many directories, each of which has a file of 4 KB.
fn fill(dir: &std::path::Path, count: usize) {
    for n in 0..count {
        let one = dir.join(n.to_string());
        std::fs::create_dir_all(&one).unwrap();
        std::fs::write(one.join("file"), [1; 4096]).unwrap();
    }
}

#[tokio::test]
async fn what_takes_too_much_is_told_before_the_last_file_was_found() {
    let dir = tempfile::tempdir().unwrap();
    fill(dir.path(), 5000);
    for large in [100, BOUNDS.large] {
        let bounds = Bounds { large, ..BOUNDS };
        let (mut disks, mut measured) = Disks::start_with(Duration::from_secs(5), bounds).unwrap();
        disks.measure(vec![asked("a", dir.path(), 0)]);
        let one = measured.recv().await.unwrap();
        let (_, Limitation::Disk { usage_bytes, .. }) = disks.note(one).unwrap() else {
            panic!("it is over its limit")
        };
        let known = disks.of(&ContainerId::new("a").unwrap()).unwrap();
        assert_eq!(known.used, usage_bytes);
        assert!(known.entries < 5000, "{known:?}");
    }
}

#[tokio::test]
async fn those_that_come_to_no_end_are_told_and_keep_nobody_waiting_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let bounds = Bounds { large: 100, most: 2000 };
    let (mut disks, mut measured) = Disks::start_with(Duration::from_secs(5), bounds).unwrap();
    let mut all = Vec::new();
    // More than are under way at one time.
    for n in 0..10 {
        let (name, path) = (format!("t{n}"), dir.path().join(n.to_string()));
        fill(&path, if n < 6 { 1500 } else { 200 });
        all.push(Asked { limit: u64::MAX, ..asked(&name, &path, 0) });
    }
    disks.measure(all);
    for _ in 0..10 {
        assert_eq!(disks.note(measured.recv().await.unwrap()), None);
    }
    for n in 0..10 {
        let known = disks.of(&ContainerId::new(format!("t{n}")).unwrap()).unwrap();
        // A turn more than it may be at the most.
        let expected = if n < 6 { 2000..2600 } else { 400..401 };
        assert!(expected.contains(&known.entries), "t{n}: {known:?}");
        assert!(known.used >= known.entries / 2 * 4096, "{known:?}");
    }
}
