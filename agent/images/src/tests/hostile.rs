//! Archives that want to reach, or cost, more than is theirs.

use super::rig::{archive, exists, gzip, read, rig, with};
use crate::Limits;
use tar::EntryType;

#[test]
fn paths_that_go_up_are_refused() {
    let rig = rig();
    for name in ["../up", "a/../../up", "a/..", "/../up"] {
        let refusal = rig.refused(&archive().file(name, "x").done());
        assert!(refusal.contains("a path that cannot be"), "{name}: {refusal}");
    }
    let refusal = rig.refused(&archive().file("a", "x").hard_link("b", "../a").done());
    assert!(refusal.contains("a path that cannot be"), "{refusal}");
    rig.assert_outside_untouched();
}

#[test]
fn links_lead_to_places_within_the_image_only() {
    let rig = rig();
    let outside = rig.outside.to_str().unwrap();
    let up = format!("{}{outside}", "../".repeat(20));
    let bytes = archive()
        .symlink("absolute", outside)
        .file("absolute/secret", "overwritten")
        .symlink("relative", &up)
        .file("relative/more", "written")
        .symlink("file", &format!("{outside}/secret"))
        .file("file", "in its place")
        .done();
    rig.put("links.tar", &bytes);
    let image = rig.provide("links").unwrap();
    rig.assert_outside_untouched();
    assert_eq!(read(&image, "file"), "in its place");
    // What the image means by that path is a place of its own.
    let inside = image.root.join(outside.trim_start_matches('/'));
    assert_eq!(std::fs::read_to_string(inside.join("secret")).unwrap(), "overwritten");
    assert_eq!(std::fs::read_to_string(inside.join("more")).unwrap(), "written");
}

#[test]
fn another_name_of_a_file_outside_is_refused() {
    let rig = rig();
    let outside = rig.outside.to_str().unwrap();
    let direct = archive().hard_link("mine", &format!("{outside}/secret")).done();
    assert!(rig.refused(&direct).contains("which is no file of it"));
    let by_link = archive().symlink("out", outside).hard_link("mine", "out/secret").done();
    assert!(rig.refused(&by_link).contains("which is no file of it"));
    let of_a_directory = archive().dir("a", 0o755).hard_link("mine", "a").done();
    assert!(rig.refused(&of_a_directory).contains("which is no file of it"));
    let lost = archive().file("a/b", "x").hard_link("a", "a/b").done();
    assert!(rig.refused(&lost).contains("which is no file of it"));
    rig.assert_outside_untouched();
}

#[test]
fn whiteouts_remove_nothing_outside() {
    let rig = rig();
    let outside = rig.outside.to_str().unwrap();
    let bytes = archive()
        .symlink("out", outside)
        .file("out/.wh.secret", "")
        .file("out/.wh..wh..opq", "")
        .file("stays", "x")
        .done();
    rig.put("w.tar", &bytes);
    assert_eq!(read(&rig.provide("w").unwrap(), "stays"), "x");
    rig.assert_outside_untouched();
    rig.store.collect(0).unwrap();
    for name in [".wh.", ".wh...", "a/.wh.."] {
        let refusal = rig.refused(&archive().file(name, "").done());
        assert!(refusal.contains("removes nothing"), "{name}: {refusal}");
    }
}

#[test]
fn a_small_archive_cannot_become_a_big_image() {
    let limits = Limits { bytes: 1 << 20, entries: 100, keep_free: 0 };
    let rig = with(limits);
    // It says so.
    let refusal = rig.refused(&archive().boast("big", 1 << 40).done());
    assert!(refusal.contains("larger than is allowed (at big)"), "{refusal}");
    // In sum.
    let text = "x".repeat(600 << 10);
    let refusal = rig.refused(&archive().file("one", &text).file("two", &text).done());
    assert!(refusal.contains("(at two)"), "{refusal}");
    // Packed zeros, as an archive and as a layer that has nothing but padding.
    let zeros = gzip(&vec![0; 4 << 20]);
    assert!(rig.refused(&zeros).contains("unpacks to more than is allowed"));
    let many = (0..101).fold(archive(), |archive, number| archive.file(&number.to_string(), ""));
    let refusal = rig.refused(&many.done());
    assert!(refusal.contains("more files than are allowed"), "{refusal}");
}

#[test]
fn a_name_cannot_be_a_bomb() {
    let rig = rig();
    let long = "n/".repeat(40_000);
    let refusal = rig.refused(&archive().file(&long, "").done());
    assert!(refusal.contains("a name of over 65536 bytes"), "{refusal}");
    let wide = "n".repeat(256);
    assert!(rig.refused(&archive().file(&wide, "").done()).contains("a path that cannot be"));
    let deep = "d/".repeat(200);
    let refusal = rig.refused(&archive().file(&deep, "").done());
    assert!(refusal.contains("more than 128 directories deep"), "{refusal}");
}

#[test]
fn links_do_not_hide_how_deep_a_directory_is() {
    let rig = rig();
    let deep = "d/".repeat(120);
    let bytes = archive().dir(&deep, 0o755).symlink("far", &deep[..90]).done();
    rig.put("fine.tar", &bytes);
    rig.provide("fine").unwrap();
    rig.store.collect(0).unwrap();
    let start = "d/".repeat(45);
    let bytes = archive()
        .dir(&start, 0o755)
        .symlink("far", &start)
        .dir(&format!("far/{}", "e/".repeat(100)), 0o755)
        .done();
    let refusal = rig.refused(&bytes);
    assert!(refusal.contains("more than 128 directories deep"), "{refusal}");
}

#[test]
fn links_in_circles_end() {
    let rig = rig();
    let bytes = archive().symlink("a", "b").symlink("b", "a").file("a/file", "x").done();
    assert!(rig.refused(&bytes).contains("symbolic links"), "{}", rig.refused(&bytes));
    // Each leads to what is to be made below the other.
    let bytes = archive().symlink("a", "b/x").symlink("b", "a/x").file("a/file", "x").done();
    assert!(rig.refused(&bytes).contains("symbolic links"), "{}", rig.refused(&bytes));
    let chain = (0..60).fold(archive(), |archive, number| {
        archive.symlink(&format!("l{number}"), &format!("l{}/x", number + 1))
    });
    let refusal = rig.refused(&chain.file("l0/file", "x").done());
    assert!(refusal.contains("links"), "{refusal}");
}

#[test]
fn sparse_files_and_unknown_kinds_are_named() {
    let rig = rig();
    let refusal = rig.refused(&archive().kind("holes", EntryType::GNUSparse).done());
    assert!(refusal.contains("holes is sparse"), "{refusal}");
    let pax = archive().pax(&[("GNU.sparse.major", "1")]).file("holes", "").done();
    assert!(rig.refused(&pax).contains("sparse"));
    let refusal = rig.refused(&archive().kind("odd", EntryType::new(b'Z')).done());
    assert!(refusal.contains("odd is of the unknown kind"), "{refusal}");
}

#[test]
fn what_stays_free_is_not_written() {
    let rig = with(Limits { keep_free: u64::MAX, ..Limits::default() });
    rig.put("a.tar", &archive().file("a", "text").done());
    let error = rig.provide("a").unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("bytes are free"), "{error}");
    assert_eq!(rig.left(), Vec::<String>::new());
    assert!(!exists(&rig.unpacked.join("rootfs")));
}
