//! Unpacked once, used often, removed when nobody needs it.

use super::rig::{Files, archive, gzip, read, rig};
use crate::ImageError;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

#[test]
fn an_image_is_unpacked_once_until_its_archive_changes() {
    let rig = rig();
    rig.put("a.tar", &archive().file("v", "1").done());
    assert!(rig.store.ready("a").unwrap().is_none());
    let first = rig.provide("a").unwrap();
    let again = rig.store.ready("a").unwrap().expect("it is unpacked");
    assert_eq!(first.root, again.root);
    rig.put("a.tar", &archive().file("v", "2").file("w", "").done());
    assert!(rig.store.ready("a").unwrap().is_none());
    let other = rig.provide("a").unwrap();
    assert_eq!((read(&first, "v"), read(&other, "v")), ("1".into(), "2".into()));
}

#[test]
fn many_at_once_unpack_it_once() {
    let rig = rig();
    let layer = archive().file("v", "1").done();
    Files::layout(&[(&layer, &gzip(&layer))], "{}", "1").put(&rig, "a");
    let roots: Vec<u64> = std::thread::scope(|scope| {
        let provide = || {
            let image = rig.provide("a").unwrap();
            image.root.metadata().unwrap().ino()
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(provide)).collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
    assert_eq!(rig.left().len(), 1);
}

#[test]
fn nobody_waits_any_more() {
    let rig = rig();
    rig.put("a.tar", &archive().file("a", "x").file("b", "x").file("c", "x").done());
    let asked = AtomicUsize::new(0);
    let wanted = || asked.fetch_add(1, Ordering::Relaxed) < 2;
    let error = rig.store.provide("a", &wanted).unwrap_err();
    assert!(matches!(error, ImageError::GivenUp { .. }), "{error}");
    assert_eq!(rig.left(), Vec::<String>::new());
    rig.provide("a").unwrap();
}

#[test]
fn the_longest_unused_goes_first_and_what_runs_stays() {
    let rig = rig();
    let text = "x".repeat(10_000);
    for name in ["a", "b", "c"] {
        rig.put(&format!("{name}.tar"), &archive().file(name, &text).done());
    }
    let held = rig.provide("a").unwrap();
    let b = rig.provide("b").unwrap();
    let c = rig.provide("c").unwrap();
    // Used a, b, c, b hours ago.
    for (image, hours) in [(&held, 9), (&b, 1), (&c, 2)] {
        let file = std::fs::File::options().write(true).open(image.root.with_file_name("used"));
        let time = SystemTime::now() - Duration::from_secs(3600 * hours);
        file.unwrap().set_modified(time).unwrap();
    }
    let root_of_c = c.root.clone();
    drop((b, c));
    let collected = rig.store.collect(30_000).unwrap();
    assert_eq!(collected.images, 1, "{collected:?}");
    assert!(!root_of_c.exists() && held.root.exists());
    let collected = rig.store.collect(0).unwrap();
    assert_eq!((collected.images, rig.left().len()), (1, 1), "{collected:?}");
    assert!(collected.kept > 10_000);
    drop(held);
    assert_eq!(rig.store.collect(0).unwrap().images, 1);
    assert_eq!(rig.left(), Vec::<String>::new());
    // Wanted again, it is there again.
    assert_eq!(read(&rig.provide("a").unwrap(), "a"), text);
}

#[test]
fn on_a_short_disk_the_longest_unused_go_until_it_is_not() {
    let rig = rig();
    for name in ["a", "b", "c"] {
        rig.put(&format!("{name}.tar"), &archive().file(name, name).done());
        drop(rig.provide(name).unwrap());
    }
    let left = || rig.left().len();
    assert_eq!(left(), 3);
    let collected = rig.store.collect_while(u64::MAX, || left() > 1).unwrap();
    assert_eq!((collected.images, left()), (2, 1), "{collected:?}");
}

#[test]
fn what_a_killed_agent_left_unfinished_is_removed() {
    let rig = rig();
    for name in ["unfinished-1-2/rootfs/a/b", "trash-3-4/rootfs"] {
        std::fs::create_dir_all(rig.unpacked.join(name)).unwrap();
    }
    rig.store.collect(u64::MAX).unwrap();
    assert_eq!(rig.left(), Vec::<String>::new());
}

#[test]
fn a_root_file_system_that_stands_there_is_used_as_it_is() {
    let rig = rig();
    rig.put("team/app:1/rootfs/file", b"x");
    let image = rig.store.ready("team/app:1").unwrap().expect("there is nothing to do");
    assert_eq!(image.root, rig.sources.join("team/app:1/rootfs"));
    assert_eq!((image.settings, image.digest), (crate::Settings::default(), None));
    let text = r#"{"architecture":"amd64","config":{"User":"7:8","Env":["A=b=c","odd"],
        "Entrypoint":["/run"],"Cmd":["-v"],"WorkingDir":"/srv","Labels":{"x":"y"}}}"#;
    rig.put("team/app:1/config.json", text.as_bytes());
    let settings = rig.provide("team/app:1").unwrap().settings;
    assert_eq!((&*settings.entry_point[0], &*settings.command[0]), ("/run", "-v"));
    assert_eq!(settings.environment, [("A".to_owned(), "b=c".to_owned())]);
    assert_eq!(settings.user.as_deref(), Some("7:8"));
    rig.put("team/app:1/config.json", b"{");
    assert!(rig.refusal("team/app:1").contains("its configuration is not understood"));
    rig.put("team/app:1/config.json", br#"{"config":{"WorkingDir":"srv"}}"#);
    assert!(rig.refusal("team/app:1").contains("a relative working directory srv"));
    // A link is no root file system: it could be exchanged.
    std::fs::create_dir(rig.sources.join("bad")).unwrap();
    std::os::unix::fs::symlink("/", rig.sources.join("bad/rootfs")).unwrap();
    assert!(rig.refusal("bad").starts_with("there is no image"));
}
