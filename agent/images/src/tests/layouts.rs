//! OCI image layouts, and what `docker save` writes.

use super::rig::{Files, archive, exists, gzip, hex, read, rig, zstd};

const CONFIG: &str = r#"{"Entrypoint":["/bin/run"],"Cmd":["-x"],"Env":["A=1","B=x=y"],
    "WorkingDir":"/srv","User":"app:app"}"#;

fn layers() -> (Vec<u8>, Vec<u8>) {
    let lower = archive()
        .file("etc/old", "old")
        .file("etc/kept", "kept")
        .file("opt/a/one", "1")
        .file("opt/a/two", "2")
        .file("opt/b", "b")
        .file("usr/x/y", "y")
        .done();
    let upper = archive()
        .file("etc/.wh.old", "")
        .file("opt/a/new", "n")
        .file("opt/a/.wh..wh..opq", "")
        .file("opt/.wh.b", "")
        .file("opt/b", "b again")
        .file("usr/.wh.x", "")
        .file("usr/x/z", "z")
        .done();
    (lower, upper)
}

#[test]
fn layers_lie_over_each_other_and_settings_are_those_of_the_image() {
    let rig = rig();
    let (lower, upper) = layers();
    let files = Files::layout(&[(&lower, &gzip(&lower)), (&upper, &zstd(&upper))], CONFIG, "1.0");
    files.put(&rig, "dir");
    rig.put("file.tar", &files.archived());
    rig.put("packed.tar.gz", &gzip(&files.archived()));
    for name in ["dir", "dir:1.0", "file", "file:1.0", "packed"] {
        let image = rig.provide(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!exists(&image.root.join("etc/old")));
        assert_eq!(read(&image, "etc/kept"), "kept");
        assert_eq!(read(&image, "opt/a/new"), "n");
        assert!(!exists(&image.root.join("opt/a/one")) && !exists(&image.root.join("opt/a/two")));
        assert_eq!(read(&image, "opt/b"), "b again");
        assert_eq!(read(&image, "usr/x/z"), "z");
        assert!(!exists(&image.root.join("usr/x/y")));
        let settings = &image.settings;
        assert_eq!(settings.entry_point, ["/bin/run"]);
        assert_eq!(settings.command, ["-x"]);
        assert_eq!(settings.environment[1], ("B".to_owned(), "x=y".to_owned()));
        assert_eq!(settings.directory.as_deref().and_then(|d| d.to_str()), Some("/srv"));
        assert_eq!(settings.user.as_deref(), Some("app:app"));
        assert!(image.digest.is_some());
    }
    assert_eq!(rig.left().len(), 1, "all of them are one image");
    let refusal = rig.provide("dir:2.0").unwrap_err().to_string();
    assert!(refusal.contains("it has no image \"2.0\""), "{refusal}");
}

#[test]
fn digests_are_checked_in_every_part() {
    let rig = rig();
    let (lower, _) = layers();
    let packed = gzip(&lower);
    let files = Files::layout(&[(&lower, &packed)], "{}", "1");
    for (name, bytes) in files.0.clone() {
        if !name.starts_with("blobs/") {
            continue;
        }
        let mut damaged = files.clone();
        let mut changed = bytes;
        let place = changed.len() - 5;
        changed[place] ^= 1;
        damaged.0.insert(name.clone(), changed);
        damaged.put(&rig, "bad");
        rig.refusal("bad");
        damaged.0.remove(&name);
        let _ = std::fs::remove_dir_all(rig.sources.join("bad"));
        damaged.put(&rig, "bad");
        let refusal = rig.refusal("bad");
        assert!(refusal.contains("it lacks"), "{refusal}");
        let _ = std::fs::remove_dir_all(rig.sources.join("bad"));
    }
    // A layer that is honestly packed and is another one than the configuration says.
    let other = archive().file("other", "x").done();
    let lying = Files::layout(&[(&other, &gzip(&lower))], "{}", "1");
    lying.put(&rig, "lying");
    let refusal = rig.refusal("lying");
    assert!(refusal.contains("is damaged: its digest is sha256:"), "{refusal}");
}

#[test]
fn an_image_can_be_named_by_its_digest() {
    let rig = rig();
    let plain = archive().file("hello", "world").done();
    rig.put("plain.tar", &plain);
    let fine = format!("plain@sha256:{}", hex(&plain));
    assert_eq!(read(&rig.provide(&fine).unwrap(), "hello"), "world");
    let files = Files::layout(&[(&plain, &plain)], "{}", "1");
    files.put(&rig, "layout");
    let config = rig.provide("layout").unwrap().digest.unwrap();
    rig.provide(&format!("layout@{config}")).unwrap();
    rig.store.collect(0).unwrap();
    let wrong = format!("@sha256:{}", "0".repeat(64));
    assert!(rig.refusal(&format!("plain{wrong}")).contains("is damaged"));
    assert!(rig.refusal(&format!("layout{wrong}")).contains("no image of that digest"));
    rig.put("dir/rootfs/file", b"x");
    assert!(rig.refusal(&format!("dir{wrong}")).contains("has no digest"));
}

#[test]
fn what_docker_saves_is_read_by_its_list() {
    let rig = rig();
    let (lower, upper) = layers();
    let config = format!(
        r#"{{"os":"linux","architecture":"{}","config":{CONFIG},
            "rootfs":{{"type":"layers","diff_ids":["sha256:{}","sha256:{}"]}}}}"#,
        crate::settings::architecture(),
        hex(&lower),
        hex(&upper)
    );
    let name = format!("{}.json", hex(config.as_bytes()));
    let list = format!(
        r#"[{{"Config":"{name}","RepoTags":["tool:1.0","tool:latest"],
            "Layers":["a/layer.tar","b/layer.tar"]}}]"#
    );
    let saved = archive()
        .file(&name, &config)
        .raw_layer("shared/layer.tar", &lower)
        // Docker writes a layer that two images share once, and links to it.
        .symlink("a/layer.tar", "../shared/layer.tar")
        .raw_layer("b/layer.tar", &upper)
        .file("manifest.json", &list)
        .done();
    rig.put("tool.tar", &saved);
    for name in ["tool", "tool:1.0", "tool:latest"] {
        let image = rig.provide(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read(&image, "opt/b"), "b again");
        assert_eq!(image.settings.entry_point, ["/bin/run"]);
    }
    rig.store.collect(0).unwrap();
    let refusal = rig.refusal("tool:2.0");
    assert!(refusal.contains("it has no image \"2.0\""), "{refusal}");
}

#[test]
fn images_for_other_machines_are_refused() {
    let rig = rig();
    let layer = archive().file("a", "x").done();
    let mut files = Files::layout(&[(&layer, &layer)], "{}", "1");
    let index = String::from_utf8(files.0["index.json"].clone()).unwrap();
    let index = index.replace(
        "\"annotations\"",
        "\"platform\":{\"os\":\"linux\",\"architecture\":\"pdp11\"},\"annotations\"",
    );
    files.0.insert("index.json".into(), index.into_bytes());
    files.put(&rig, "other");
    let refusal = rig.refusal("other");
    assert!(refusal.contains("it has nothing for linux/"), "{refusal}");
    let config = format!(
        r#"{{"os":"plan9","architecture":"{}","rootfs":{{"diff_ids":[]}}}}"#,
        crate::settings::architecture()
    );
    let list = r#"[{"Config":"c.json","Layers":[]}]"#;
    rig.put("foreign.tar", &archive().file("c.json", &config).file("manifest.json", list).done());
    let refusal = rig.refusal("foreign");
    assert!(refusal.contains("it is for plan9/"), "{refusal}");
}

#[test]
fn a_root_file_system_may_have_files_that_look_like_lists() {
    let rig = rig();
    let bytes = archive().file("manifest.json", "{\"not\": \"a list\"}").file("a", "x").done();
    rig.put("plain.tar", &bytes);
    assert_eq!(read(&rig.provide("plain").unwrap(), "a"), "x");
}
