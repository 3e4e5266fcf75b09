//! What a reader gets, and when.

use super::*;
use master_core::RegistryOp;
use proto::Role;

fn weight(weight_milli: u64) -> Change {
    Change::Fact(RegistryOp::SetWeight { role: Role::new("eng").unwrap(), weight_milli })
}

#[tokio::test]
async fn a_snapshot_has_what_was_told_before_and_stays_as_it_is() {
    let (reads, feed) = Reads::start(10, Duration::ZERO).unwrap();
    feed.tell(vec![weight(2000)]);
    let before = reads.snapshot().await.unwrap();
    feed.tell(vec![weight(3000)]);
    let after = reads.snapshot().await.unwrap();
    let eng = Role::new("eng").unwrap();
    assert_eq!((before.facts.weight_milli(&eng), after.facts.weight_milli(&eng)), (2000, 3000));
}

#[tokio::test]
async fn reads_are_written_on_their_own_thread() {
    let (reads, _feed) = Reads::start(10, Duration::ZERO).unwrap();
    let (reply, name) = oneshot::channel();
    let job = async move {
        let _ = reply.send(std::thread::current().name().map(str::to_owned));
        Ok(())
    };
    reads.write(job).await.unwrap();
    assert_eq!(name.await.unwrap().as_deref(), Some("reads"));
}
