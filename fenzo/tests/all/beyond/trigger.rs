//! Triggers: what Fenzo's own specifications of them tell, and what cannot be read.

use std::time::Duration;

use fenzo::{Cron, Interval, Schedule, Time, Trigger, TriggerError, Triggers};
use proptest::prelude::*;

/// 2026-11-21 00:00:00 UTC, a Saturday.
const MIDNIGHT: u64 = 1_795_219_200;

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn cron(text: &str) -> Cron {
    Cron::parse(text).unwrap()
}

fn every(start: u64, secs: u64) -> Interval {
    Interval::new(at(start), Duration::from_secs(secs)).unwrap()
}

/// Fires what is due until a time, each at its deadline; gives ids and times.
fn fired(triggers: &mut Triggers<()>, until: u64) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    while let Some(now) = triggers.deadline().filter(|due| *due <= at(until)) {
        for fired in triggers.fire(now) {
            assert_eq!(fired.due, now);
            all.push((fired.id.to_owned(), now.as_nanos() / 1_000_000_000));
        }
    }
    all
}

#[test]
fn a_cron_trigger_fires_every_five_seconds() {
    let mut triggers = Triggers::new();
    let trigger = Trigger::new("cron", "g", Schedule::Cron(cron("*/5 * * * * *")), ());
    triggers.register(at(MIDNIGHT), trigger).unwrap();
    let times: Vec<u64> =
        fired(&mut triggers, MIDNIGHT + 20).into_iter().map(|(_, at)| at - MIDNIGHT).collect();
    assert_eq!(times, [5, 10, 15, 20]);
    assert_eq!(triggers.times("cron"), Some((Some(at(MIDNIGHT + 20)), Some(at(MIDNIGHT + 25)))));
}

#[test]
fn an_interval_ends_after_so_many_times() {
    let mut triggers = Triggers::new();
    let three = Schedule::Every(every(5, 10).times(3));
    triggers.register(at(0), Trigger::new("three", "g", three, ())).unwrap();
    let times: Vec<u64> = fired(&mut triggers, 1000).into_iter().map(|(_, at)| at).collect();
    assert_eq!((times, triggers.deadline()), (vec![5, 15, 25], None));
}

#[test]
fn the_calendar_is_followed() {
    let next = |text: &str| cron(text).next_after(at(MIDNIGHT)).unwrap().as_nanos() / 1_000_000_000;
    assert_eq!(next("30 8 * * *"), MIDNIGHT + 8 * 3600 + 1800);
    assert_eq!(next("0 0 * * MON"), MIDNIGHT + 2 * 86_400);
    assert_eq!(next("0 0 1 12 *"), MIDNIGHT + 10 * 86_400);
    assert_eq!(next("@daily"), MIDNIGHT + 86_400);
    // Noon in a place two hours ahead is ten in Greenwich.
    let ahead = cron("0 12 * * *").at_offset(7200).unwrap();
    assert_eq!(ahead.next_after(at(MIDNIGHT)), Some(at(MIDNIGHT + 10 * 3600)));
    assert_eq!(cron("0 0 30 2 *").next_after(at(MIDNIGHT)), None, "there is no such day");
    let end = Time::from_nanos(u64::MAX);
    assert_eq!(cron("* * * * *").next_after(end), None, "no later time can be told");
    let last_minute = Time::from_nanos(u64::MAX - 60_000_000_000);
    assert!(cron("* * * * *").next_after(last_minute).is_some_and(|next| next > last_minute));
}

/// The seconds since the epoch at which it fires next, again and again.
fn next_of(cron: &Cron, after: u64, times: usize) -> Vec<u64> {
    let mut now = at(after);
    let next = || {
        now = cron.next_after(now)?;
        Some(now.as_nanos() / 1_000_000_000)
    };
    std::iter::from_fn(next).take(times).collect()
}

/// 2026-03-28 12:00:00 UTC, the day before clocks in Europe are put forward.
const SPRING: u64 = 1_774_699_200;
/// 2026-10-24 12:00:00 UTC, the day before they are put back.
const AUTUMN: u64 = 1_792_843_200;
const HOUR: u64 = 3600;

#[test]
fn a_time_zone_keeps_summer_time() {
    let berlin = |text: &str| cron(text).in_zone("Europe/Berlin").unwrap();
    // Noon is at 11 in winter and at 10 in summer.
    assert_eq!(next_of(&berlin("0 12 * * *"), SPRING, 2), [SPRING + 22 * HOUR, SPRING + 46 * HOUR]);
    assert_eq!(next_of(&berlin("0 12 * * *"), AUTUMN, 2), [AUTUMN + 23 * HOUR, AUTUMN + 47 * HOUR]);
    // There is no 02:30 that day: it is 03:00 then, half an hour before.
    let morning = berlin("30 2 * * *");
    assert_eq!(next_of(&morning, SPRING, 2), [SPRING + 13 * HOUR, SPRING + 36 * HOUR + HOUR / 2]);
    // There are two that day: the first counts.
    let [first, second] = [AUTUMN + 12 * HOUR + HOUR / 2, AUTUMN + 37 * HOUR + HOUR / 2];
    assert_eq!(next_of(&morning, AUTUMN, 2), [first, second]);
    // What happens every hour goes on every hour.
    let hours: Vec<u64> = (10..16).map(|hour| AUTUMN + hour * HOUR).collect();
    assert_eq!(next_of(&berlin("0 * * * *"), AUTUMN + 9 * HOUR, 6), hours);
    let hours: Vec<u64> = (10..16).map(|hour| SPRING + hour * HOUR).collect();
    assert_eq!(next_of(&berlin("0 * * * *"), SPRING + 9 * HOUR, 6), hours);
    let nowhere = cron("0 12 * * *").in_zone("Europe/Atlantis");
    assert_eq!(nowhere, Err(TriggerError::Zone("Europe/Atlantis".to_owned())));
    assert_ne!(berlin("0 12 * * *"), cron("0 12 * * *"));
}

#[test]
fn what_cannot_be_read_is_told() {
    for text in ["", "* *", "61 * * * *", "a b c d e"] {
        assert!(matches!(Cron::parse(text), Err(TriggerError::Cron(_))), "{text}");
    }
    let often = "it would fire every second".to_owned();
    for text in ["*", "*/1", "0-59", "0-29,30-59", "0-59/1"] {
        let text = format!("{text} * * * * *");
        assert_eq!(Cron::parse(&text), Err(TriggerError::Cron(often.clone())), "{text}");
    }
    for text in ["*/2 * * * * *", "0-58 * * * * *", "0 * * * * *", "* * * * *"] {
        assert!(Cron::parse(text).is_ok(), "{text}");
    }
    assert!(cron("0 0 * * *").at_offset(90_000).is_err());
    let read = |text: &str| Interval::parse(text).map(|of| of.next_after(at(MIDNIGHT)));
    assert_eq!(read("2026-11-21T00:00:10Z/PT1H30M"), Ok(Some(at(MIDNIGHT + 10))));
    assert_eq!(read("2026-11-20T00:00:00Z/P1DT5S"), Ok(Some(at(MIDNIGHT + 5))));
    for text in [
        "",
        "PT5S",
        "2026-11-21T00:00:10Z/PT",
        "2026-11-21T00:00:10Z/P1M",
        "then/PT5S",
        "2026-11-21T00:00:10Z/PT5M5H",
        "2026-11-21T00:00:10Z/PT99999999999999999999S",
        "2026-11-21T00:00:10Z/PT0S",
    ] {
        assert!(matches!(read(text), Err(TriggerError::Interval(_))), "{text}");
    }
    assert!(Interval::new(at(0), Duration::ZERO).is_err());
}

#[test]
fn triggers_are_listed_disabled_changed_removed_and_fired_by_hand() {
    let mut triggers = Triggers::new();
    for (id, group) in [("a", "one"), ("b", "two"), ("c", "one")] {
        let schedule = Schedule::Every(every(10, 10));
        triggers.register(at(0), Trigger::new(id, group, schedule, ())).unwrap();
    }
    let again = Trigger::new("a", "one", Schedule::Every(every(1, 1)), ());
    assert_eq!(triggers.register(at(0), again), Err(TriggerError::Duplicate("a".to_owned())));
    let ids: Vec<&str> = triggers.in_group("one").map(|trigger| trigger.id.as_str()).collect();
    assert_eq!((ids, triggers.iter().count()), (vec!["a", "c"], 3));
    assert!(triggers.set_disabled(at(0), "a", true));
    assert!(!triggers.set_disabled(at(0), "x", true));
    assert_eq!(triggers.execute(at(3), "a").map(|fired| fired.due), Some(at(3)));
    assert_eq!(triggers.execute(at(3), "x").map(|fired| fired.due), None);
    assert!(triggers.set_schedule(at(0), "b", None));
    assert_eq!(fired(&mut triggers, 10), [("c".to_owned(), 10)]);
    // Enabled again, it does not make up for what it missed.
    assert!(triggers.set_disabled(at(25), "a", false));
    assert_eq!(triggers.remove("c").unwrap().group, "one");
    assert_eq!((triggers.get("c"), triggers.deadline()), (None, Some(at(30))));
}

#[test]
fn a_trigger_keeps_to_its_time_and_what_was_missed_is_not_made_up_for() {
    let schedule = || Schedule::Every(every(0, 10));
    let bounded =
        Trigger { from: at(20), until: Some(at(40)), ..Trigger::new("b", "g", schedule(), ()) };
    let mut triggers = Triggers::new();
    triggers.register(at(0), bounded).unwrap();
    assert_eq!(fired(&mut triggers, 100), [("b".to_owned(), 20), ("b".to_owned(), 30)]);
    triggers.register(at(0), Trigger::new("late", "g", schedule(), ())).unwrap();
    let late: Vec<Time> = triggers.fire(at(95)).iter().map(|fired| fired.due).collect();
    assert_eq!((late, triggers.deadline()), (vec![at(10)], Some(at(100))));
}

proptest! {
    /// The next time is after the one asked about, on the grid, and none is skipped.
    #[test]
    fn an_interval_is_a_grid(start in 0..500_u64, step in 1..50_u64, after in 0..1000_u64) {
        let next = every(start, step).next_after(at(after)).unwrap().as_nanos() / 1_000_000_000;
        prop_assert!(next > after || (next == start && after < start));
        prop_assert_eq!((next - start) % step, 0);
        prop_assert!(next == start || next - step <= after);
    }

    /// Whatever the zone, the next time is later, and so is each after it.
    #[test]
    fn cron_goes_on(
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        text in prop::sample::select(vec!["30 2 * * *", "*/20 1-3 * * *", "0 * * * *", "59 59 1 * * *"]),
        after in 0..366 * 86_400_u64,
    ) {
        let cron = cron(text).in_zone(zone).unwrap();
        let times = next_of(&cron, SPRING + after, 5);
        prop_assert_eq!(times.len(), 5);
        prop_assert!(times[0] > SPRING + after && times.is_sorted_by(|one, other| one < other));
    }

    /// No text makes it panic.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,40}", fields in "[0-9*/,@#LW?+A-Z -]{0,30}") {
        for text in [text, fields] {
            if let Ok(cron) = Cron::parse(&text) {
                let next = cron.next_after(at(MIDNIGHT));
                prop_assert!(next.is_none_or(|next| next > at(MIDNIGHT)));
            }
            prop_assert!(Interval::parse(&text).is_err());
        }
    }
}
