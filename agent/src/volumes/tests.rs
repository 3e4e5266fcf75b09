//! Content stays until its volume is named for deletion, and nothing else is ever touched.

use super::*;
use proto::{Role, VolumeId};
use std::fs;
use std::os::unix::fs::symlink;

fn agent() -> AgentId {
    AgentId::new("M-S0").unwrap()
}

fn volume(role: &str, id: &str) -> Volume {
    Volume { role: Role::new(role).unwrap(), id: VolumeId::new(id).unwrap() }
}

fn wanted(volume: &Volume, made_before: bool) -> WantedVolume {
    WantedVolume { volume: volume.clone(), shared: false, made_before }
}

fn order(make: Vec<WantedVolume>, delete: Vec<Volume>) -> VolumeOrder {
    VolumeOrder { number: 1, agent_id: agent(), make, delete }
}

fn disk() -> (tempfile::TempDir, VolumeDisk) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("volumes");
    make_root(&root).unwrap();
    let disk = VolumeDisk::new(root);
    (dir, disk)
}

impl VolumeDisk {
    /// Carries an order out; what failed to be made, and to be deleted.
    async fn apply(
        &self,
        make: Vec<WantedVolume>,
        delete: Vec<Volume>,
    ) -> (Vec<String>, Vec<String>) {
        let order = order(make, delete);
        let (unmade, mut undeleted) = self.begin(&order);
        undeleted.extend(self.finish(order).await);
        let texts = |all: Vec<VolumeFailure>| all.iter().map(|f| f.message.to_string()).collect();
        (texts(unmade), texts(undeleted))
    }
}

#[tokio::test]
async fn a_volume_is_made_found_again_and_deleted() {
    let (_dir, disk) = disk();
    let v = volume("eng/prod", "v");
    assert_eq!(disk.apply(vec![wanted(&v, false)], vec![]).await, (vec![], vec![]));
    let path = disk.path(&agent(), &v);
    fs::write(path.join("file"), "kept").unwrap();
    for made_before in [false, true] {
        assert_eq!(disk.apply(vec![wanted(&v, made_before)], vec![]).await, (vec![], vec![]));
    }
    assert_eq!(fs::read(path.join("file")).unwrap(), b"kept");
    assert_eq!(disk.apply(vec![], vec![v.clone()]).await, (vec![], vec![]));
    assert!(!path.exists());
    // Once more, as after an answer that was lost.
    assert_eq!(disk.apply(vec![], vec![v.clone()]).await, (vec![], vec![]));
    assert_eq!(disk.apply(vec![wanted(&v, false)], vec![]).await, (vec![], vec![]));
    assert!(fs::read_dir(&path).unwrap().next().is_none(), "it begins empty");
}

#[tokio::test]
async fn a_volume_that_was_made_and_is_gone_is_not_made_anew() {
    let (_dir, disk) = disk();
    let v = volume("r", "v");
    let (unmade, _) = disk.apply(vec![wanted(&v, true)], vec![]).await;
    let path = disk.path(&agent(), &v);
    assert!(unmade[0].contains(&path.display().to_string()), "{unmade:?}");
    assert!(unmade[0].contains("is gone") && !path.exists());
}

#[test]
fn each_name_has_a_place_of_its_own_below_the_root() {
    let long = "x".repeat(255);
    let odd = "\u{e4}".repeat(100);
    let ids =
        ["v", "V", "v+", "v%2B", ".hidden", "a b", "a:b", &long, &long[1..], &odd, "\u{1f600}"];
    let roles = ["r", "r/v", "a/b", "a%2Fb", "*x", &long, "\u{e4}/\u{e4}"];
    let (_dir, disk) = disk();
    let mut paths: Vec<PathBuf> = Vec::new();
    for role in roles {
        for id in ids {
            paths.push(disk.path(&agent(), &volume(role, id)));
        }
    }
    for (i, path) in paths.iter().enumerate() {
        let below = path.strip_prefix(&disk.root).unwrap();
        let plain = |c| matches!(c, std::path::Component::Normal(name) if name.len() <= 255);
        assert!(below.components().all(plain), "{}", path.display());
        assert!(!below.starts_with(DELETED));
        let clash = paths[i + 1..].iter().find(|o| o.starts_with(path) || path.starts_with(o));
        assert_eq!(clash, None, "{}", path.display());
    }
}

#[tokio::test]
async fn names_of_any_kind_are_made_and_deleted() {
    let (_dir, disk) = disk();
    let long = "x".repeat(255);
    for id in ["v", ".hidden", "a b", "100%", "\u{1f600}", &long] {
        let v = volume(&long, id);
        assert_eq!(disk.apply(vec![wanted(&v, false)], vec![]).await, (vec![], vec![]), "{id}");
        let path = disk.path(&agent(), &v);
        fs::write(path.join("file"), "x").unwrap();
        assert_eq!(disk.apply(vec![], vec![v]).await, (vec![], vec![]), "{id}");
        assert!(!path.exists(), "{id}");
    }
}

#[tokio::test]
async fn links_are_neither_followed_nor_taken_for_volumes() {
    let (dir, disk) = disk();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "x").unwrap();
    // In a volume, by its task.
    let v = volume("r", "v");
    disk.apply(vec![wanted(&v, false)], vec![]).await;
    symlink(&outside, disk.path(&agent(), &v).join("link")).unwrap();
    assert_eq!(disk.apply(vec![], vec![v.clone()]).await, (vec![], vec![]));
    // In the place of a volume, and of a directory above one.
    let path = disk.path(&agent(), &v);
    symlink(&outside, &path).unwrap();
    let (unmade, undeleted) = disk.apply(vec![wanted(&v, false)], vec![]).await;
    assert!(unmade[0].contains("cannot be used") && undeleted.is_empty(), "{unmade:?}");
    let (_, undeleted) = disk.apply(vec![], vec![v.clone()]).await;
    assert!(undeleted[0].contains("cannot be deleted"), "{undeleted:?}");
    fs::remove_file(&path).unwrap();
    fs::remove_dir(path.parent().unwrap()).unwrap();
    symlink(dir.path(), path.parent().unwrap()).unwrap();
    let (unmade, _) = disk.apply(vec![wanted(&volume("r", "outside"), true)], vec![]).await;
    assert_eq!(unmade.len(), 1);
    let (_, undeleted) = disk.apply(vec![], vec![volume("r", "outside")]).await;
    assert_eq!(undeleted.len(), 1);
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"x");
}

#[tokio::test]
async fn what_an_agent_that_was_killed_had_moved_aside_is_removed() {
    let (_dir, disk) = disk();
    let (v, w) = (volume("r", "v"), volume("r", "w"));
    disk.apply(vec![wanted(&v, false), wanted(&w, false)], vec![]).await;
    fs::write(disk.path(&agent(), &v).join("file"), "old").unwrap();
    fs::write(disk.path(&agent(), &w).join("file"), "other").unwrap();
    // It was killed between the two steps of a deletion.
    let (_, unmoved) = disk.begin(&order(vec![], vec![v.clone()]));
    assert!(unmoved.is_empty() && !disk.path(&agent(), &v).exists());
    assert_eq!(disk.apply(vec![wanted(&v, false)], vec![]).await, (vec![], vec![]));
    let aside = disk.root.join(DELETED);
    assert!(aside.exists());
    disk.clone().sweep().await;
    assert!(!aside.exists());
    assert!(fs::read_dir(disk.path(&agent(), &v)).unwrap().next().is_none());
    assert_eq!(fs::read(disk.path(&agent(), &w).join("file")).unwrap(), b"other");
}

#[tokio::test]
async fn tasks_pass_through_and_see_nothing_of_others() {
    use std::os::unix::fs::PermissionsExt;
    let (_dir, disk) = disk();
    let (v, s) = (volume("r", "v"), volume("r", "s"));
    let shared = WantedVolume { shared: true, ..wanted(&s, false) };
    disk.apply(vec![wanted(&v, false), shared], vec![]).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&disk.path(&agent(), &v)), PRIVATE);
    assert_eq!(mode(&disk.path(&agent(), &s)), SHARED);
    for above in disk.path(&agent(), &v).ancestors().skip(1).take(3) {
        assert_eq!(mode(above), PASSAGE, "{}", above.display());
    }
}
