//! What is remembered for those who come back.

use super::*;
use proto::{FrameworkInfo, Time};

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

fn after(after: u64) -> Resume {
    Resume { stream: None, after }
}

#[test]
fn the_history_is_bounded_in_events() {
    let mut watch = watch();
    for _ in 0..HISTORY + 10 {
        let agent = AgentId::new("m-S0").unwrap();
        watch.tell(&Model::default(), Watched::Ready(What::AgentRemoved(agent)));
    }
    assert_eq!(watch.history.len(), HISTORY, "small events are all kept");
    assert!(watch.missed(&after(9)).is_none(), "the tenth went");
    assert_eq!(watch.missed(&after(10)).unwrap().1.len(), HISTORY);
}

#[test]
fn the_history_is_bounded_in_bytes_whatever_an_event_holds() {
    let mut watch = watch();
    for _ in 0..100 {
        watch.tell(&Model::default(), changed(1 << 20));
        assert!(watch.history_bytes <= HISTORY_BYTES, "{}", watch.history_bytes);
    }
    assert_eq!(watch.history.len(), 15, "16 MiB hold 15 of a little more than a MiB");
    assert!(watch.missed(&after(84)).is_none());
    assert_eq!(watch.missed(&after(85)).unwrap().1.len(), 15);
    let sum: usize = watch.history.iter().map(|happened| happened.weight).sum();
    assert_eq!(sum, watch.history_bytes);
}

#[test]
fn an_event_above_the_bound_is_told_and_not_kept() {
    let mut watch = watch();
    watch.tell(&Model::default(), changed(1));
    watch.tell(&Model::default(), changed(HISTORY_BYTES));
    assert_eq!((watch.newest, watch.history.len(), watch.history_bytes), (2, 0, 0));
    assert!(watch.missed(&after(1)).is_none());
    assert!(watch.missed(&after(2)).unwrap().1.is_empty(), "who knows all goes on");
}
