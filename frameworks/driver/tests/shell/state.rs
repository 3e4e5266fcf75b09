//! What the masters keep for a framework, through the driver's handle.

use crate::BOUND;
use crate::master::Master;
use driver::{Event, Framework, StateError, StateFence};

async fn framework(address: &str, dir: &std::path::Path) -> Framework {
    let mut framework =
        Framework::builder("test").master(address).store(dir).start().await.unwrap();
    let first = tokio::time::timeout(BOUND, framework.next_event()).await.unwrap().unwrap();
    assert!(matches!(first, Some(Event::Subscribed(_))), "{first:?}");
    framework
}

#[tokio::test]
async fn keys_are_written_read_and_deleted_with_their_versions() {
    let (_master, address) = Master::start(1, true).await;
    let dir = tempfile::tempdir().unwrap();
    let framework = framework(&address, dir.path()).await;
    let state = framework.state();
    assert_eq!(state.get("a").await.unwrap(), None);
    let first = state.put("a", "one", 0).await.unwrap();
    let second = state.put("a", "two", first).await.unwrap();
    let held = state.get("a").await.unwrap().unwrap();
    assert_eq!((held.version, &*held.value), (second, b"two".as_slice()));
    let conflict = StateError::Conflict { key: "a".into(), version: second };
    assert_eq!(state.put("a", "late", first).await, Err(conflict.clone()));
    assert_eq!(state.delete("a", first).await, Err(conflict));
    state.put("b/1", "x", 0).await.unwrap();
    state.put("b/2", "y", 0).await.unwrap();
    let keys = |entries: Vec<proto::scheduler::StateEntry>| -> Vec<String> {
        entries.into_iter().map(|entry| entry.key.to_string()).collect()
    };
    assert_eq!(keys(state.list("b/").await.unwrap()), ["b/1", "b/2"]);
    state.delete("a", second).await.unwrap();
    assert_eq!(keys(state.list("").await.unwrap()), ["b/1", "b/2"]);
    let large = vec![0; 65 << 10];
    let refused = state.put("c", large, 0).await.unwrap_err();
    assert_eq!(refused, StateError::Refused("the value is too large".into()));
    framework.stop().await.unwrap();
    assert_eq!(state.get("b/1").await, Err(StateError::Ended));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_not_made_twice() {
    let (master, address) = Master::start(1, true).await;
    let dir = tempfile::tempdir().unwrap();
    let framework = framework(&address, dir.path()).await;
    let state = framework.state();
    master.lose_answer();
    let version = state.put("a", "one", 0).await.unwrap();
    assert_eq!(version, 1, "it was made once");
    master.lose_answer();
    state.delete("a", version).await.unwrap();
    let calls: Vec<String> =
        master.log().into_iter().filter(|call| call.starts_with("STATE")).collect();
    assert_eq!(calls, ["STATE_PUT", "STATE_PUT", "STATE_DELETE", "STATE_DELETE"]);
}

#[tokio::test]
async fn of_two_who_write_the_same_value_one_loses_whosever_answer_was_lost() {
    let (master, address) = Master::start(1, true).await;
    let dir = tempfile::tempdir().unwrap();
    let framework = framework(&address, dir.path()).await;
    let state = framework.state();
    master.lose_answer();
    assert_eq!(state.put("lock", "mine", 0).await.unwrap(), 1);
    // Another writer of the same value, who expects nothing there.
    let conflict = StateError::Conflict { key: "lock".into(), version: 1 };
    assert_eq!(state.put("lock", "mine", 0).await, Err(conflict));
}

#[tokio::test]
async fn a_fence_that_moved_on_bars_a_write_and_is_named() {
    let (_master, address) = Master::start(1, true).await;
    let dir = tempfile::tempdir().unwrap();
    let framework = framework(&address, dir.path()).await;
    let state = framework.state();
    let version = state.put("head", "a", 0).await.unwrap();
    let fence = || Some(StateFence { key: "head".into(), version });
    state.put_fenced("log/1", "x", 0, fence()).await.unwrap();
    let moved = state.put("head", "b", version).await.unwrap();
    let conflict = StateError::Conflict { key: "head".into(), version: moved };
    assert_eq!(state.put_fenced("log/2", "y", 0, fence()).await, Err(conflict));
    assert_eq!(state.get("log/2").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_asked_before_there_is_a_master_waits_for_one() {
    let (_master, address) = Master::start(1, true).await;
    let dir = tempfile::tempdir().unwrap();
    let framework =
        Framework::builder("test").master(&*address).store(dir.path()).start().await.unwrap();
    let state = framework.state();
    let put = state.put("a", "one", 0);
    assert_eq!(tokio::time::timeout(BOUND, put).await.unwrap().unwrap(), 1);
}
