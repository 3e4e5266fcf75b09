//! Records come back as they were written, and damaged ones are errors, never panics.

use super::*;
use crate::core::group::{Kind, Template};
use proptest::prelude::*;
use proto::Exit;

fn outcomes() -> Vec<Outcome> {
    vec![
        Outcome::Succeeded,
        Outcome::Failed(None),
        Outcome::Failed(Some(Exit::Code(-1))),
        Outcome::Failed(Some(Exit::Signal(9))),
        Outcome::OomKilled { limit: 1 << 40, usage: 7 },
        Outcome::TimedOut,
        Outcome::Rejected,
        Outcome::Disrupted,
        Outcome::SystemLocal,
        Outcome::SystemTransient,
        Outcome::Stuck,
        Outcome::Killed,
        Outcome::PendingTimedOut,
    ]
}

fn ended(outcome: Outcome, message: Option<&str>) -> Attempt {
    Attempt {
        attempt: 3,
        agent: Some(AgentId::new("a-S1").unwrap()),
        launched: Time::from_millis(5),
        running: None,
        ended: Time::from_millis(9),
        outcome,
        message: message.map(Arc::from),
    }
}

fn units() -> Vec<UnitRecord> {
    let spent = Spent { user: 1, platform: 2, timeout: 3 };
    let mut all = vec![
        UnitRecord {
            attempt: 1,
            spent,
            phase: PhaseRecord::Waiting { since: Time::from_millis(1), until: Time::ZERO },
        },
        UnitRecord {
            attempt: 7,
            spent,
            phase: PhaseRecord::Live {
                agent: AgentId::new("a").unwrap(),
                launched: Time::from_millis(1),
                running: Some(Time::from_millis(2)),
                unreachable: None,
                kill: Some(KillCause::RunLimit),
            },
        },
    ];
    all.extend(outcomes().into_iter().map(|outcome| UnitRecord {
        attempt: 3,
        spent,
        phase: PhaseRecord::Ended(ended(outcome, Some("why"))),
    }));
    all
}

fn value(write: &Write) -> &[u8] {
    write.value.as_deref().unwrap()
}

#[test]
fn units_come_back_as_they_were_written() {
    for record in units() {
        let write = unit(4, 9, &record);
        let Record::Unit { number: 4, index: 9, unit } = read(&write.key, value(&write)).unwrap()
        else {
            panic!("another record came back");
        };
        assert_eq!(unit, record);
    }
}

#[test]
fn a_unit_cut_short_anywhere_is_an_error() {
    for record in units() {
        let write = unit(4, 9, &record);
        for length in 0..value(&write).len() {
            let error = read(&write.key, &value(&write)[..length]).err().unwrap();
            assert!(error.problem.contains("cut short") || error.problem.contains("empty"));
        }
    }
}

#[test]
fn a_group_comes_back_and_a_newer_format_is_named() {
    let template = Template::default();
    let spec = GroupSpec::new("g", Kind::Ledger, 3, template);
    let mut write = group(12, Time::from_millis(4), &spec);
    let Record::Group { number, submitted, spec: back } = read(&write.key, value(&write)).unwrap()
    else {
        panic!("another record came back");
    };
    assert_eq!((number, submitted, *back), (12, Time::from_millis(4), spec));
    write.value.as_mut().unwrap()[0] = 9;
    let error = read(&write.key, value(&write)).err().unwrap();
    assert_eq!(error.problem, "has format 9; this program knows format 1");
}

#[test]
fn standings_and_attempts_come_back_and_long_messages_are_cut_at_a_character() {
    for stop in [None, Some((Stop::Killed, Time::from_millis(1)))] {
        let before = Standing { count: 5, stop, ended: Some(Time::from_millis(3)) };
        let write = standing(1, before);
        let Record::Standing { number: 1, standing } = read(&write.key, value(&write)).unwrap()
        else {
            panic!("another record came back");
        };
        assert_eq!(standing, before);
    }
    let long = "ü".repeat(300);
    let write = attempt(1, 2, &ended(Outcome::Killed, Some(&long)));
    assert!(write.key.starts_with(&attempts_prefix(1, 2)));
    let back = read_attempt(&write.key, value(&write)).unwrap();
    assert_eq!(back.message.as_deref(), Some("ü".repeat(200).as_str()));
}

proptest! {
    #[test]
    fn arbitrary_records_never_panic(
        kind in prop::sample::select(b"FNGSXUAHTx".to_vec()),
        rest in prop::collection::vec(any::<u8>(), 0..16),
        value in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let key = [vec![kind], rest].concat();
        let _ = read(&key, &value);
        let _ = read(&[], &value);
        let _ = read_attempt(&key, &value);
    }
}
