//! What an agent finds of the one before.

use super::*;

/// Nothing here takes a fraction of this.
const BOUND: Duration = Duration::from_secs(60);

#[tokio::test]
async fn what_was_left_keeps_no_agent_from_starting_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let unfinished = dir.path().join("fetching");
    let count = |path: &Path| std::fs::read_dir(path).unwrap().count();
    let open = || {
        let places = Places {
            unfinished: unfinished.clone(),
            cache: dir.path().join("fetched"),
            sandboxes: dir.path().join("sandboxes"),
        };
        Fetching::open(FetchPolicy::new(Vec::new()), places).unwrap();
        assert_eq!(count(&unfinished), 0);
    };
    std::fs::write(&unfinished, "this is no directory").unwrap();
    open();
    std::fs::create_dir_all(unfinished.join("c1/deep")).unwrap();
    std::fs::write(unfinished.join("c1/deep/file"), "x").unwrap();
    open();
    let gone = async {
        while count(&dir.path().join("fetching.old")) > 0 {
            // waits: for files to be removed by another thread
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(BOUND, gone).await.expect("it is removed");
}
