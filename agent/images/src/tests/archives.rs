//! Plain archives of a root file system.

use super::rig::{archive, exists, gzip, read, rig, zstd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use tar::EntryType;

#[test]
fn an_archive_becomes_a_root_file_system_with_modes_owners_times_and_links() {
    let rig = rig();
    let bytes = archive()
        .dir("./", 0o755)
        .dir("./bin/", 0o755)
        .file_mode("./bin/program", "#!", 0o755)
        .hard_link("./bin/other", "./bin/program")
        .symlink("./lib", "usr/lib")
        .file("usr/lib/thing", "a thing")
        .dir("tmp", 0o1777)
        .kind("pipe", EntryType::Fifo)
        .pax(&[("uid", "70000"), ("path", "attributed"), ("mtime", "1.5")])
        .file("ignored", "by attributes")
        .file(&format!("{}/end", "long/".repeat(40)), "long")
        .done();
    rig.put("plain.tar", &bytes);
    let image = rig.provide("plain").unwrap();
    let at = |path: &str| image.root.join(path).symlink_metadata().unwrap();
    assert_eq!(at("bin/program").mode() & 0o7777, 0o755);
    assert_eq!(at("bin/program").ino(), at("bin/other").ino());
    assert_eq!(at("bin/program").mtime(), 1_000_000_000);
    assert_eq!(at("tmp").mode() & 0o7777, 0o1777);
    assert!(at("pipe").file_type().is_fifo());
    assert_eq!(std::fs::read_link(image.root.join("lib")).unwrap().to_str(), Some("usr/lib"));
    // Below a link, as the image sees it.
    assert_eq!(read(&image, "lib/thing"), "a thing");
    assert_eq!(read(&image, "attributed"), "by attributes");
    assert_eq!(read(&image, &format!("{}/end", "long/".repeat(40))), "long");
    if rustix::process::geteuid().is_root() {
        assert_eq!((at("bin/program").uid(), at("bin/program").gid()), (1000, 100));
        assert_eq!(at("attributed").uid(), 65_534, "beyond what a container has");
        assert_eq!(at("long").uid(), 0, "made because it was missing");
    }
    assert_eq!(image.settings, crate::Settings::default());
}

#[test]
fn a_later_entry_takes_the_place_of_an_earlier_one_whatever_that_was() {
    let rig = rig();
    let bytes = archive()
        .dir("a", 0o755)
        .file("a/b/c", "gone")
        .file("a", "a file now")
        .file("b", "gone")
        .dir("b", 0o700)
        .file("b/c", "within")
        .symlink("c", "b/c")
        .file("c", "no link")
        .file("d", "same")
        .hard_link("d", "d")
        .done();
    rig.put("plain.tar", &bytes);
    let image = rig.provide("plain").unwrap();
    assert_eq!(read(&image, "a"), "a file now");
    assert_eq!((read(&image, "b/c"), read(&image, "c")), ("within".into(), "no link".into()));
    assert_eq!(read(&image, "d"), "same");
}

#[test]
fn setuid_bits_and_devices_are_left_out() {
    let rig = rig();
    let bytes = archive()
        .file_mode("bin/su", "su", 0o6755)
        .dir("shared", 0o2775)
        .kind("dev/sda", EntryType::Block)
        .kind("dev/null", EntryType::Char)
        .done();
    rig.put("plain.tar", &bytes);
    let image = rig.provide("plain").unwrap();
    let mode = |path: &str| image.root.join(path).metadata().unwrap().mode() & 0o7777;
    assert_eq!((mode("bin/su"), mode("shared")), (0o755, 0o775));
    assert!(!exists(&image.root.join("dev/sda")) && !exists(&image.root.join("dev/null")));
}

#[test]
fn archives_may_be_packed_and_their_names_do_not_matter() {
    let rig = rig();
    let bytes = archive().file("hello", "world").done();
    rig.put("a.tar.gz", &gzip(&bytes));
    rig.put("b.tgz", &gzip(&bytes));
    rig.put("c.tar.zst", &zstd(&bytes));
    rig.put("d.tar", &zstd(&bytes));
    rig.put("e", &gzip(&bytes));
    let two: Vec<u8> = [zstd(&bytes[..700]), zstd(&bytes[700..])].concat();
    rig.put("f.tar", &two);
    for name in ["a", "b", "c", "d", "e", "f", "c.tar.zst"] {
        let image = rig.provide(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read(&image, "hello"), "world");
    }
    // All of them are the same, and stand there once.
    assert_eq!(rig.left().len(), 1);
}

#[test]
fn what_is_no_image_is_refused_by_name() {
    let rig = rig();
    rig.put("a.tar", b"this is no archive");
    assert!(
        rig.refusal("a").starts_with("the image \"a\" cannot be used: "),
        "{}",
        rig.refusal("a")
    );
    rig.put("b.tar", b"");
    assert!(rig.refusal("b").contains("empty"), "{}", rig.refusal("b"));
    rig.put("c.tar", &[0xfd, b'7', b'z', b'X', b'Z', 0]);
    assert!(rig.refusal("c").contains("xz; gzip, zstd"), "{}", rig.refusal("c"));
    let missing = rig.refusal("none");
    assert!(missing.contains("none.tar") && missing.contains("none/index.json"), "{missing}");
    for bad in ["", "/etc", "../x", "a/../b", "a:", "a@md5:00", "a@sha256:12", ".", "a//../b"] {
        let refusal = rig.refusal(bad);
        assert!(refusal.contains("is no name of an image"), "{bad}: {refusal}");
    }
}

#[test]
fn a_cut_or_changed_archive_never_leaves_anything_or_panics() {
    let rig = rig();
    let whole = archive().dir("a", 0o755).file("a/b", "text").symlink("l", "a").done();
    let packed = gzip(&whole);
    for end in (0..packed.len()).step_by(7) {
        rig.put("cut.tar", &packed[..end]);
        rig.refusal("cut");
    }
    // Within the entries; what stands behind them is padding.
    for position in (0..2048).step_by(13) {
        let mut changed = whole.clone();
        changed[position] ^= 0x41;
        rig.put("changed.tar", &changed);
        if let Err(error) = rig.provide("changed") {
            assert!(!error.is_passing(), "{position}: {error}");
        }
        rig.store.collect(0).unwrap();
        assert_eq!(rig.left(), Vec::<String>::new());
    }
}
