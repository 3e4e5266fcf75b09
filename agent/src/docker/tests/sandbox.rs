//! Sandboxes that were filled before the engine hears of their containers.

use super::*;
use crate::containerizer::{Mount, MountSource};

/// A sandbox with an archive's file in a directory, nobody's as a fetch leaves it.
fn fetched(dir: &Path) -> std::path::PathBuf {
    let sandbox = dir.join("sandboxes/fetched-c1");
    let inner = sandbox.join("inner");
    std::fs::create_dir_all(&inner).unwrap();
    let mut archive = tar::Builder::new(tempfile::tempfile().unwrap());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(4);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, "deep/down/file", &b"text"[..]).unwrap();
    let mut file = archive.into_inner().unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let limits = images::Limits { keep_free: 0, ..images::Limits::default() };
    let into = std::fs::File::open(&inner).unwrap();
    images::unpack(file, &images::Form::Tar, into.into(), limits).unwrap();
    sandbox
}

#[tokio::test]
async fn what_was_fetched_is_the_containers_users() {
    use std::os::unix::fs::{MetadataExt, lchown};
    if !rustix::process::geteuid().is_root() {
        println!("not run: only root gives files away");
        return;
    }
    for (user, owner) in [(Some("4321:4322"), (4321, 4322)), (None, (0, 0))] {
        let mut world = World::start().await;
        let sandbox = fetched(world.dir.path());
        let parts = ["inner/deep/down/file", "inner/deep/down", "inner/deep", "inner", ""];
        for part in parts {
            lchown(sandbox.join(part), Some(65_534), Some(65_534)).unwrap();
        }
        world.fake.create.add_permits(1);
        world.fake.start.add_permits(1);
        let user = user.map(str::to_owned);
        world.docker.launch(Launch {
            user,
            sandbox: SandboxChoice::At(sandbox.clone()),
            ..launch()
        });
        let event = world.event().await;
        assert!(matches!(event, ContainerEvent::Launched { .. }), "{event:?}");
        for part in parts {
            let found = std::fs::symlink_metadata(sandbox.join(part)).unwrap();
            assert_eq!((found.uid(), found.gid()), owner, "{part:?}");
        }
    }
}

#[tokio::test]
async fn directories_are_made_within_the_sandbox_whatever_was_fetched_into_it() {
    let mut world = World::start().await;
    let outside = world.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    let sandbox = fetched(world.dir.path());
    std::os::unix::fs::symlink(&outside, sandbox.join("inner/link")).unwrap();
    let mut mounting = Launch { sandbox: SandboxChoice::At(sandbox), ..launch() };
    let walls = mounting.enclosure.as_mut().unwrap();
    walls.mounts.push(Mount {
        target: "/data".into(),
        source: MountSource::Sandbox("inner/link/data".into()),
        read_only: false,
    });
    world.docker.launch(mounting);
    let event = world.event().await;
    let ContainerEvent::LaunchFailed { error, .. } = &event else { panic!("{event:?}") };
    assert!(error.to_string().contains("no sandbox: inner/link/data: "), "{error}");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "something came out of it");
    world.gone().await;
    assert_eq!(world.was_asked("create"), 0);
}
