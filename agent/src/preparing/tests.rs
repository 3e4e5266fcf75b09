//! Who waits for an image, who is told what, and what is given up.

use super::*;
use proto::CommandInfo;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Nothing here takes a fraction of this.
const BOUND: Duration = Duration::from_secs(60);

struct Rig {
    dir: tempfile::TempDir,
    preparing: Preparing,
    done: UnboundedReceiver<Prepared>,
}

/// An archive with one file, as a program of tar writes it.
fn archive(text: &str) -> Vec<u8> {
    let mut header = [0_u8; 512];
    header[..4].copy_from_slice(b"file");
    header[100..107].copy_from_slice(b"0000644");
    header[108..115].copy_from_slice(b"0000000");
    header[116..123].copy_from_slice(b"0000000");
    header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
    header[136..147].copy_from_slice(b"00000000000");
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512) + 1024, 0);
    bytes
}

fn rig() -> Rig {
    let dir = tempfile::tempdir().unwrap();
    let sources = dir.path().join("sources");
    std::fs::create_dir(&sources).unwrap();
    std::fs::write(sources.join("app.tar"), archive("hello")).unwrap();
    std::fs::write(sources.join("bad.tar"), b"this is no archive").unwrap();
    let limits = images::Limits { keep_free: 0, ..images::Limits::default() };
    let store = Store::open(sources, dir.path().join("unpacked"), limits).unwrap();
    let (sender, done) = unbounded_channel();
    Rig { dir, preparing: Preparing::new(Some(store), 0, sender), done }
}

fn launch(id: &str) -> Launch {
    let container_id = ContainerId::new(id).unwrap();
    Launch { container_id, ..crate::containers::tests::launch(CommandInfo::default()) }
}

impl Rig {
    fn begin(&mut self, id: &str, image: &str) -> Preparation {
        self.preparing.begin(&launch(id), Some(&image.into()))
    }

    async fn finish(&mut self) -> Vec<(String, Preparation)> {
        let prepared = tokio::time::timeout(BOUND, self.done.recv()).await.unwrap().unwrap();
        let Prepared::Image(prepared) = prepared else { panic!("nothing is fetched here") };
        let finished = self.preparing.finish(prepared).into_iter();
        finished.map(|(launch, what)| (launch.container_id.to_string(), what)).collect()
    }
}

fn refusal(preparation: Preparation) -> (String, bool) {
    match preparation {
        Preparation::Refused(Input::LaunchFailed { message, exit, .. }) => {
            (message.to_string(), exit == Some(CANNOT_EXECUTE))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn launches_of_an_image_wait_together_and_later_ones_do_not() {
    let mut rig = rig();
    assert!(matches!(rig.preparing.begin(&launch("plain"), None), Preparation::Ready(None)));
    for id in ["a", "b"] {
        assert!(matches!(rig.begin(id, "app"), Preparation::Waiting));
        assert!(rig.preparing.waits(&ContainerId::new(id).unwrap()));
    }
    let finished = rig.finish().await;
    assert_eq!(finished.len(), 2);
    for (_, preparation) in &finished {
        let Preparation::Ready(Some(image)) = preparation else { panic!("{preparation:?}") };
        assert_eq!(std::fs::read_to_string(image.root.join("file")).unwrap(), "hello");
    }
    assert!(matches!(rig.begin("c", "app"), Preparation::Ready(Some(_))));
}

#[tokio::test]
async fn what_cannot_be_unpacked_fails_each_that_waited_and_names_the_image() {
    let mut rig = rig();
    let (said, fault) = refusal(rig.begin("a", "none"));
    assert!(said.starts_with("there is no image \"none\" in /") && fault, "{said}");
    assert!(matches!(rig.begin("b", "bad"), Preparation::Waiting));
    assert!(matches!(rig.begin("c", "bad"), Preparation::Waiting));
    let finished = rig.finish().await;
    assert_eq!(finished.len(), 2);
    for (_, preparation) in finished {
        let (said, fault) = refusal(preparation);
        assert!(said.starts_with("the image \"bad\" cannot be used: ") && fault, "{said}");
    }
    // It may have been replaced since.
    std::fs::write(rig.dir.path().join("sources/bad.tar"), archive("better")).unwrap();
    assert!(matches!(rig.begin("d", "bad"), Preparation::Waiting));
    assert!(matches!(rig.finish().await[0].1, Preparation::Ready(Some(_))));
}

#[tokio::test]
async fn an_agent_without_a_store_says_which_flag_it_lacks() {
    let (sender, _) = unbounded_channel();
    let mut preparing = Preparing::new(None, 0, sender);
    let (said, fault) = refusal(preparing.begin(&launch("a"), Some(&"app".into())));
    assert_eq!((said.as_str(), fault), ("this agent has no images (--image-store)", true));
}

#[tokio::test]
async fn a_launch_that_is_killed_while_it_waits_ends_at_once_and_others_go_on() {
    let mut rig = rig();
    assert!(matches!(rig.begin("a", "app"), Preparation::Waiting));
    assert!(matches!(rig.begin("b", "app"), Preparation::Waiting));
    let killed = rig.preparing.cancel(&ContainerId::new("a").unwrap());
    assert!(matches!(killed, Some(Input::LaunchFailed { exit: None, .. })), "{killed:?}");
    assert!(rig.preparing.cancel(&ContainerId::new("a").unwrap()).is_none());
    let finished = rig.finish().await;
    assert_eq!(finished.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["b"]);
    assert!(rig.preparing.cancel(&ContainerId::new("b").unwrap()).is_none(), "it runs");
}

#[tokio::test]
async fn one_that_comes_while_the_work_is_given_up_gets_its_image_all_the_same() {
    let mut rig = rig();
    assert!(matches!(rig.begin("a", "app"), Preparation::Waiting));
    rig.preparing.cancel(&ContainerId::new("a").unwrap()).unwrap();
    let mut ready = matches!(rig.begin("b", "app"), Preparation::Ready(Some(_)));
    while !ready {
        let finished = rig.finish().await;
        ready = finished.iter().any(|(id, what)| {
            assert_eq!(id, "b");
            matches!(what, Preparation::Ready(Some(_)))
        });
    }
}

#[tokio::test]
async fn an_image_stays_until_the_supervisor_has_answered() {
    let mut rig = rig();
    assert!(matches!(rig.begin("a", "app"), Preparation::Waiting));
    drop(rig.finish().await);
    let unpacked = || std::fs::read_dir(rig.dir.path().join("unpacked")).unwrap().count();
    let store = rig.preparing.store.clone().unwrap();
    assert_eq!((store.collect(0).unwrap().images, unpacked()), (0, 2));
    rig.preparing.release(&ContainerId::new("a").unwrap(), true);
    assert_eq!((store.collect(0).unwrap().images, unpacked()), (1, 1));
}

#[tokio::test]
async fn sandboxes_of_containers_that_are_known_outlive_the_supervisor() {
    let mut rig = rig();
    let sandbox = |id: &str| rig.dir.path().join(id);
    for id in ["a-known", "b-lost"] {
        std::fs::create_dir(sandbox(id)).unwrap();
        let whole = Fetch::Whole(sandbox(id));
        rig.preparing.fetches.insert(ContainerId::new(id).unwrap(), whole);
    }
    rig.preparing.clear(&BTreeSet::from([ContainerId::new("a-known").unwrap()]));
    let gone = async {
        while sandbox("b-lost").exists() {
            // waits: for a directory to be removed by another thread
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, gone).await.expect("it is removed");
    assert!(sandbox("a-known").exists());
    // Nor does a late answer take it away.
    rig.preparing.release(&ContainerId::new("a-known").unwrap(), false);
    assert!(rig.preparing.fetches.is_empty() && sandbox("a-known").exists());
}
