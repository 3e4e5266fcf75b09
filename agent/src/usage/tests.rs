//! Samples of what tasks use, and what is shown of them.

use super::*;

const SECOND: u64 = 1_000_000_000;

fn id(name: &str) -> ContainerId {
    ContainerId::new(name).unwrap()
}

fn used(cpu_ms: u64) -> Usage {
    Usage { cpu_time: Duration::from_millis(cpu_ms), memory_bytes: 10, pids: 1, ..Usage::default() }
}

fn round(all: &mut Usages, second: u64, usages: Vec<(ContainerId, Usage)>) {
    assert!(all.ask().is_some());
    let begun_boot_ns = second * SECOND;
    all.note(&ContainerEvent::Sampled { begun_boot_ns, usages, complete: true });
}

#[test]
fn rates_are_of_the_last_second_also_after_idle_ones() {
    let mut all = Usages::default();
    assert_eq!(all.ask(), Some(true));
    assert_eq!(all.ask(), None, "who has not answered is not asked again");
    let first = vec![(id("a"), used(100)), (id("b"), used(0))];
    all.note(&ContainerEvent::Sampled { begun_boot_ns: SECOND, usages: first, complete: true });
    assert_eq!(all.of(&id("a")), Some((used(100), None)));
    round(&mut all, 2, vec![(id("a"), used(600))]);
    assert_eq!(all.of(&id("a")).unwrap().1.unwrap().cpus, 0.5);
    // Nothing was told of b: it is as it was.
    assert_eq!(all.of(&id("b")), Some((used(0), Some(Rates::default()))));
    round(&mut all, 3, Vec::new());
    assert_eq!(all.of(&id("a")), Some((used(600), Some(Rates::default()))));
    round(&mut all, 4, Vec::new());
    round(&mut all, 5, vec![(id("a"), used(850))]);
    assert_eq!(all.of(&id("a")).unwrap().1.unwrap().cpus, 0.25);
    assert_eq!(all.sums().cpus, 0.25);
}

#[test]
fn a_round_in_parts_is_one_round() {
    let mut all = Usages::default();
    round(&mut all, 1, vec![(id("a"), used(0)), (id("b"), used(0))]);
    assert_eq!(all.ask(), Some(false), "the first answer was whole");
    let part =
        |usages, complete| ContainerEvent::Sampled { begun_boot_ns: 2 * SECOND, usages, complete };
    all.note(&part(vec![(id("a"), used(1000))], false));
    assert_eq!(all.ask(), None);
    all.note(&part(vec![(id("b"), used(500))], true));
    assert_eq!(all.ask(), Some(false));
    let cpus = |name| all.of(&id(name)).unwrap().1.unwrap().cpus;
    assert_eq!((cpus("a"), cpus("b")), (1.0, 0.5));
}

#[test]
fn what_ended_counts_in_totals_and_never_less() {
    let mut all = Usages::default();
    round(&mut all, 1, vec![(id("a"), used(100)), (id("b"), used(50))]);
    let ended = crate::containerizer::Ended {
        status: crate::containerizer::WaitStatus::Exited(0),
        limitation: None,
        kill_requested: false,
        pids_refused: 0,
        cpu_time: Duration::from_millis(130),
        max_rss_bytes: 0,
        lasted: Duration::ZERO,
        ended_unix_ns: 0,
        stdout_bytes: 0,
        stderr_bytes: 0,
        lost_bytes: 0,
        sandbox: crate::containerizer::SandboxFate::Empty,
    };
    all.note(&ContainerEvent::Ended { id: id("a"), ended });
    let sums = all.sums();
    assert_eq!((sums.containers, sums.memory_bytes), (1, 10));
    assert_eq!(sums.cpu_time, Duration::from_millis(180));
    all.note(&ContainerEvent::Lost { reason: String::new() });
    let sums = all.sums();
    assert_eq!((sums.containers, sums.cpu_time), (0, Duration::from_millis(180)));
    assert_eq!(all.ask(), Some(true), "another supervisor tells everything");
}

#[test]
fn throttling_is_the_part_of_periods_that_were_cut_short() {
    let usage = |periods, throttled_periods| Usage { periods, throttled_periods, ..used(0) };
    let second = Duration::from_secs(1);
    assert_eq!(rates(&usage(10, 2), &usage(20, 7), second).throttled, 0.5);
    assert_eq!(rates(&usage(10, 2), &usage(10, 2), second).throttled, 0.0);
    // Another task's counter would run backwards: nothing is made of it.
    assert_eq!(rates(&used(50), &used(20), second).cpus, 0.0);
    assert_eq!(rates(&used(0), &used(20), Duration::ZERO), Rates::default());
}

#[test]
fn what_is_told_alone_has_its_own_rates_whatever_the_rounds_do() {
    let mut all = Usages::default();
    round(&mut all, 1, Vec::new());
    all.take_alone(&id("d"), used(100), SECOND);
    assert_eq!(all.of(&id("d")), Some((used(100), None)));
    all.take_alone(&id("d"), used(350), SECOND * 3 / 2);
    round(&mut all, 2, Vec::new());
    round(&mut all, 3, Vec::new());
    assert_eq!(all.of(&id("d")).unwrap().1.unwrap().cpus, 0.5);
    assert_eq!(all.sums().cpus, 0.5);
}
