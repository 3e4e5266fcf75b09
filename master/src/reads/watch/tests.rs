//! What is remembered for those who come back.

use super::*;
use crate::connections::{OutboxLimits, outbox};
use crate::listen::Kill;
use proto::{FrameworkInfo, Time};
use std::future::poll_fn;

fn watch() -> Watch {
    Watch::new(Duration::ZERO, Arc::default())
}

/// A framework with a label of so many bytes changed.
fn changed(label: usize) -> Watched {
    let mut info = FrameworkInfo::new("nobody", "big");
    info.labels = vec![("note".into(), Some("x".repeat(label).into()))];
    let record = FrameworkRecord {
        id: FrameworkId::new("m-0000").unwrap(),
        info: Arc::new(info),
        connected: true,
        recovered: false,
        registered: Time::from_nanos(1),
        reregistered: None,
        failover_deadline: None,
        suppressed: Vec::new(),
        constraints: None,
    };
    let row = FrameworkRow { record: Arc::new(record), demands: Arc::default() };
    Watched::Ready(What::FrameworkUpdated(row))
}

fn after(watch: &Watch, after: u64) -> Resume {
    Resume { stream: Some(Arc::clone(&watch.stream)), after }
}

fn removed() -> Watched {
    Watched::Ready(What::AgentRemoved(AgentId::new("m-S0").unwrap()))
}

#[test]
fn the_history_is_bounded_in_events() {
    let mut watch = watch();
    for _ in 0..HISTORY + 10 {
        watch.tell(&Model::default(), removed());
    }
    assert_eq!(watch.history.len(), HISTORY, "small events are all kept");
    assert!(watch.missed(&after(&watch, 9)).is_none(), "the tenth went");
    assert_eq!(watch.missed(&after(&watch, 10)).unwrap().1.len(), HISTORY);
}

#[test]
fn the_history_is_bounded_in_bytes_whatever_an_event_holds() {
    let mut watch = watch();
    for _ in 0..100 {
        watch.tell(&Model::default(), changed(1 << 20));
        assert!(watch.history_bytes <= HISTORY_BYTES, "{}", watch.history_bytes);
    }
    assert_eq!(watch.history.len(), 15, "16 MiB hold 15 of a little more than a MiB");
    assert!(watch.missed(&after(&watch, 84)).is_none());
    assert_eq!(watch.missed(&after(&watch, 85)).unwrap().1.len(), 15);
    let sum: usize = watch.history.iter().map(|happened| happened.weight).sum();
    assert_eq!(sum, watch.history_bytes);
}

#[test]
fn an_event_above_the_bound_is_told_and_not_kept() {
    let mut watch = watch();
    watch.tell(&Model::default(), changed(1));
    watch.tell(&Model::default(), changed(HISTORY_BYTES));
    assert_eq!((watch.newest, watch.history.len(), watch.history_bytes), (2, 0, 0));
    assert!(watch.missed(&after(&watch, 1)).is_none());
    assert!(watch.missed(&after(&watch, 2)).unwrap().1.is_empty(), "who knows all goes on");
}

#[test]
fn a_number_without_the_name_of_its_stream_begins_with_everything() {
    let mut watch = watch();
    for _ in 0..10 {
        watch.tell(&Model::default(), removed());
    }
    assert!(watch.missed(&after(&watch, 5)).is_some());
    assert!(watch.missed(&Resume { stream: None, after: 5 }).is_none());
    assert!(watch.missed(&Resume { stream: Some(Arc::from("another")), after: 5 }).is_none());
}

#[tokio::test]
async fn who_missed_more_than_may_wait_is_cut_off_before_the_gap() {
    let mut watch = watch();
    for _ in 0..1000 {
        watch.tell(&Model::default(), removed());
    }
    let limits = OutboxLimits { waiting: 16, bytes: 16 << 20, stall: Duration::from_secs(3600) };
    // So that what waits is read before it is dropped.
    watch.grace = Duration::from_secs(3600);
    let mut read = 0;
    for round in 0.. {
        let (watcher, mut pending) = outbox(limits, Kill::default());
        let beginning = watch.add(watcher, Some(&after(&watch, read)), || panic!("it is known"));
        assert_eq!(beginning.sequence, read);
        // What happens now must not be told behind a gap.
        watch.tell(&Model::default(), removed());
        let newest = watch.newest;
        let mut cut_off = false;
        while read < newest && !cut_off {
            let happened = poll_fn(|cx| pending.poll_take(cx)).await.expect("one more event");
            match happened.sequence {
                Some(number) => {
                    assert_eq!(number, read + 1, "a gap");
                    read = number;
                }
                None => {
                    assert!(matches!(happened.what, What::CutOff(CutOff::Slow, _)));
                    assert!(poll_fn(|cx| pending.poll_take(cx)).await.is_none());
                    cut_off = true;
                }
            }
        }
        if !cut_off {
            assert!(round > 2 && watch.watchers.len() == 1, "{round}");
            return;
        }
        assert!(watch.watchers.is_empty(), "it is not told of what happens next");
    }
}
