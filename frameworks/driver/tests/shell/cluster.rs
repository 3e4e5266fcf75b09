//! Records belong to the cluster of the master that first took their framework.

use crate::master::Master;
use crate::{BOUND, spec, start, until_ended};
use driver::RunError;
use std::path::Path;
use tokio::task::JoinHandle;

/// A framework that does one unit of work, and ends.
async fn work(address: &str, dir: &Path) {
    let (engine, task) = start(address, dir).await;
    let mut watch = engine.watch();
    let id = engine.submit(spec(1)).await.unwrap();
    until_ended(&engine, &mut watch, &id).await;
    drop(engine);
    task.await.unwrap().unwrap();
}

async fn end(task: JoinHandle<Result<(), RunError>>) -> RunError {
    tokio::time::timeout(BOUND, task).await.expect("it ends").unwrap().unwrap_err()
}

#[tokio::test]
async fn records_of_another_cluster_are_refused_and_the_master_hears_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Records from before masters told their cluster are taken on by the first that does.
    let (_old, address) = Master::start(10, true).await;
    work(&address, dir.path()).await;
    let (_east, east) = Master::of(Some("east"), 10, true).await;
    work(&east, dir.path()).await;
    let (west, address) = Master::of(Some("west"), 10, true).await;
    let (engine, task) = start(&address, dir.path()).await;
    let error = end(task).await;
    drop(engine);
    assert!(matches!(error, RunError::Store(_)), "{error:?}");
    let message = error.to_string();
    for part in ["east", "west", &dir.path().display().to_string(), "choose another directory"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(west.log().is_empty(), "{:?}", west.log());
    work(&east, dir.path()).await;
}
