//! What a reader gets, and when.

use super::*;
use master_core::RegistryOp;
use proto::Role;

const LIMITS: ReadLimits = ReadLimits { at_a_time: 4, wait: Duration::from_secs(5) };

fn start(grace: Duration) -> io::Result<(Reads, Feed)> {
    Reads::start(10, grace, LIMITS)
}

fn weight(weight_milli: u64) -> Change {
    Change::Fact(RegistryOp::SetWeight { role: Role::new("eng").unwrap(), weight_milli })
}

#[tokio::test]
async fn a_snapshot_has_what_was_told_before_and_stays_as_it_is() {
    let (reads, mut feed) = start(Duration::ZERO).unwrap();
    feed.tell(vec![weight(2000)]);
    let before = reads.snapshot().await.unwrap();
    feed.tell(vec![weight(3000)]);
    let after = reads.snapshot().await.unwrap();
    let eng = Role::new("eng").unwrap();
    assert_eq!((before.facts.weight_milli(&eng), after.facts.weight_milli(&eng)), (2000, 3000));
}

#[tokio::test]
async fn reads_are_written_on_their_own_thread() {
    let (reads, _feed) = start(Duration::ZERO).unwrap();
    let (reply, name) = oneshot::channel();
    let job = async move {
        let _ = reply.send(std::thread::current().name().map(str::to_owned));
        Ok(())
    };
    reads.write(reads.reader(None).await.unwrap(), job).unwrap();
    assert_eq!(name.await.unwrap().as_deref(), Some("reads"));
}

#[tokio::test]
async fn what_is_kept_whole_does_not_wait_for_those_who_do_not_read() {
    let (reads, _feed) = start(Duration::ZERO).unwrap();
    for _ in 0..LIMITS.at_a_time {
        reads.write(reads.reader(None).await.unwrap(), std::future::pending()).unwrap();
    }
    let (reply, made) = oneshot::channel();
    let job = async move {
        let _ = reply.send(());
        Ok(())
    };
    let bound = Duration::from_secs(20);
    tokio::time::timeout(bound, reads.write_kept(job)).await.unwrap().unwrap();
    tokio::time::timeout(bound, made).await.unwrap().unwrap();
}

/// A watcher, and what it is told.
fn watcher() -> (Outbox<Arc<Happened>>, crate::connections::Pending<Arc<Happened>>) {
    let limits = crate::connections::OutboxLimits {
        waiting: 100,
        bytes: 1 << 20,
        stall: Duration::from_secs(5),
    };
    crate::connections::outbox(limits, crate::listen::Kill::default())
}

#[tokio::test]
async fn a_copy_that_is_behind_says_so_and_is_made_anew() {
    let (reads, feed) = start(Duration::from_secs(60)).unwrap();
    let mut feed = feed.with_most(100);
    feed.tell(vec![weight(2000)]);
    let (outbox, mut pending) = watcher();
    let beginning = reads.watch(outbox, None).await.unwrap();
    // The copy is busy with one of these, and the others wait for it.
    let many = || (0..60).map(|n| weight(1000 + n)).collect::<Vec<_>>();
    let counted = reads.counts();
    let bound = Instant::now() + Duration::from_secs(20);
    while !feed.is_lost() {
        assert!(Instant::now() < bound, "{} wait", counted.lag.waiting());
        feed.tell(many());
        assert!(counted.lag.waiting() <= 100);
    }
    // What is told now is lost, and the core does not wait.
    feed.tell(vec![weight(7000)]);
    assert_eq!(reads.snapshot().await.unwrap_err(), NoAnswer::Behind);
    assert!(feed.wants_anew());
    assert_eq!(counted.lag.waiting(), 0);
    feed.tell_anew(vec![weight(5000)]);
    feed.tell(vec![weight(6000)]);
    let eng = Role::new("eng").unwrap();
    assert_eq!(reads.snapshot().await.unwrap().facts.weight_milli(&eng), 6000);
    assert_eq!(counted.lag.anew(), 1);
    let last = std::future::poll_fn(|cx| pending.poll_take(cx)).await.unwrap().event();
    let why = proto::operator::CutOff::Behind;
    assert!(matches!(last.event, proto::operator::Event::CutOff { reason, .. } if reason == why));
    // Numbers are others now.
    let again = reads.watch(watcher().0, None).await.unwrap();
    assert_ne!(again.stream, beginning.stream);
}
