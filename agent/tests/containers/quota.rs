//! Disks that the kernel holds to their limits: on a file system with project quotas, which the guest
//! machine of `guest.rs` has. On other hosts each says that it did not run.

use agent::containerizer::{
    Allocation, Containerizer, Ended, Launch, Limitation, Root, SandboxFate, WaitStatus,
};
use std::path::Path;

use crate::enclosed::{busybox, enclosed};
use crate::rig::{Agent, Rig, file_of, shell};

/// Where a file system with project quotas is, where these tests must run.
pub(crate) const DISK: &str = "TEPUI_QUOTA_DISK";

const MIB: u64 = 1 << 20;
/// Tries to write six MiB, and says how many bytes are there.
const FILL: &str = "head -c 6291456 /dev/zero > big; code=$?; wc -c < big; exit $code";

async fn rig() -> Option<(Rig, Agent)> {
    let Some(disk) = std::env::var_os(DISK) else {
        println!("not run: no file system with project quotas is named by {DISK}");
        return None;
    };
    let rig = Rig::within(tempfile::tempdir_in(Path::new(&disk)).unwrap(), true);
    let agent = rig.agent().await;
    Some((rig, agent))
}

/// A task of somebody whom the kernel holds to quotas.
fn nobody(name: &str, line: &str, disk_bytes: Option<u64>) -> Launch {
    let launch = shell(name, line);
    let allocation = Allocation { disk_bytes, ..launch.allocation };
    Launch { user: Some("nobody".into()), allocation, ..launch }
}

fn written(ended: &Ended) -> u64 {
    String::from_utf8(file_of(ended, "stdout")).unwrap().trim().parse().unwrap()
}

#[tokio::test]
async fn a_task_writes_no_more_than_its_disk_and_its_end_says_so() {
    let Some((rig, mut agent)) = rig().await else { return };
    let ended = agent.run(nobody("greedy", FILL, Some(2 * MIB))).await;
    assert_eq!(ended.status, WaitStatus::Exited(1));
    let Some(Limitation::Disk { usage_bytes, limit_bytes }) = ended.limitation else {
        panic!("{ended:?}")
    };
    // What it prints is written by the supervisor, whom no quota holds.
    let held = limit_bytes == 2 * MIB && usage_bytes.abs_diff(limit_bytes) < MIB / 8;
    assert!(held, "{ended:?}");
    let written = written(&ended);
    assert!(written > MIB && written < 2 * MIB, "{written}");
    rig.finish(agent).await;
}

#[tokio::test]
async fn who_fails_within_its_disk_and_who_asked_for_none_is_not_held() {
    let Some((rig, mut agent)) = rig().await else { return };
    // Of the same directory: the first leaves it empty.
    let ended = agent.run(nobody("fails", "exit 3", Some(2 * MIB))).await;
    assert_eq!((ended.status, ended.limitation), (WaitStatus::Exited(3), None));
    assert_eq!(ended.sandbox, SandboxFate::Empty);
    let ended = agent.run(nobody("free", FILL, None)).await;
    assert_eq!((ended.status, &ended.limitation), (WaitStatus::Exited(0), &None));
    assert_eq!(written(&ended), 6 * MIB);
    rig.finish(agent).await;
}

#[tokio::test]
async fn two_at_a_time_have_disks_of_their_own_and_files_are_limited_in_number() {
    let Some((rig, mut agent)) = rig().await else { return };
    let flood = "i=0; while : > f$i; do i=$((i+1)); done; exit 7";
    agent.launched(nobody("flood", flood, Some(2 * MIB))).await;
    let ended = agent.run(nobody("modest", FILL, Some(8 * MIB))).await;
    assert_eq!((ended.status, ended.limitation), (WaitStatus::Exited(0), None));
    let ended = agent.ended(&crate::rig::id("flood")).await;
    assert!(matches!(ended.limitation, Some(Limitation::Disk { .. })), "{ended:?}");
    let SandboxFate::Kept(sandbox) = &ended.sandbox else { panic!("{ended:?}") };
    let files = std::fs::read_dir(sandbox).unwrap().count();
    // One for each block, and a thousand empty ones.
    assert!((1_000..1_600).contains(&files), "{files}");
    rig.finish(agent).await;
}

#[tokio::test]
async fn a_limit_can_be_raised_while_a_task_runs() {
    let Some((rig, mut agent)) = rig().await else { return };
    let line = "until { head -c 6291456 /dev/zero > big; } 2> /dev/null; do :; done";
    let launch = nobody("grows", line, Some(2 * MIB));
    let allocation = launch.allocation;
    let id = launch.id.clone();
    agent.launched(launch).await;
    agent.native.update(&id, Allocation { disk_bytes: Some(8 * MIB), ..allocation });
    agent.native.flush();
    let ended = agent.ended(&id).await;
    assert_eq!((ended.status, ended.limitation), (WaitStatus::Exited(0), None));
    rig.finish(agent).await;
}

#[tokio::test]
async fn what_is_written_over_an_image_counts_with_the_sandbox() {
    let Some((rig, mut agent)) = rig().await else { return };
    let image = busybox(rig.dir.path());
    // Half of it is taken in the sandbox, where it starts; the other half is not enough.
    let line = "head -c 1048576 /dev/zero > half && head -c 1572864 /dev/zero > /big; \
                code=$?; wc -c < /big; exit $code";
    for (name, disk, failed) in [("fits", 4 * MIB, false), ("greedy", 2 * MIB, true)] {
        let launch = enclosed(name, line, Root::Image(image.clone()));
        let allocation = Allocation { disk_bytes: Some(disk), ..launch.allocation };
        let ended = agent.run(Launch { user: Some("0".into()), allocation, ..launch }).await;
        assert_eq!(ended.status == WaitStatus::Exited(0), !failed, "{ended:?}");
        assert_eq!(matches!(ended.limitation, Some(Limitation::Disk { .. })), failed, "{ended:?}");
        assert_eq!(written(&ended) < 1_572_864, failed);
    }
    rig.finish(agent).await;
}
