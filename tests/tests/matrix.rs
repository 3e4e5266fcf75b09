//! The rows of the fault matrix that concern several masters, each by its number: directed runs of
//! the whole cluster with the faults of the row, and what the row says must hold.
//!
//! Every run is judged by all invariants and must come to rest after the faults; what a row asks for
//! besides is asserted here. docs/simulation.md has the table, with what is left to real processes.

use sim::faults::{Fault, Faults, Point};
use sim::{Log, Masters, Report, Setup, World};
use std::collections::BTreeSet;
use std::time::Duration;

const THREE: [Masters; 2] = [Masters::Raft(3), Masters::Ideal(3)];
const ALL: [Masters; 4] =
    [Masters::Raft(3), Masters::Raft(5), Masters::Ideal(3), Masters::Ideal(5)];
const REAL: [Masters; 2] = [Masters::Raft(3), Masters::Raft(5)];
const MINUTES: u64 = 4;

fn setup(seed: u64, masters: Masters, faults: &Faults) -> Setup {
    Setup {
        seed,
        minutes: MINUTES,
        log: Log::Off,
        faults: Some(faults.clone()),
        masters: Some(masters),
        listed: None,
        thorough: false,
        plant: None,
    }
}

fn judged(setup: Setup) -> Report {
    let masters = setup.masters;
    let report = World::new(setup).run();
    let (seed, failure) = (report.seed, &report.failure);
    assert!(failure.is_none(), "seed {seed}, {masters:?}: {failure:?} ({})", report.summary);
    report
}

/// Runs of these masters with these faults, by the mean time between two of a kind in seconds.
fn runs(masters: &[Masters], seeds: u64, faults: &[(Fault, u64)]) -> Vec<Report> {
    let means = faults.iter().map(|(fault, mean)| (*fault, Duration::from_secs(*mean)));
    let faults = Faults::of(means.collect());
    let each = masters.iter().flat_map(|masters| (1..=seeds).map(move |seed| (seed, *masters)));
    each.map(|(seed, masters)| judged(setup(seed, masters, &faults))).collect()
}

/// How long nobody led, each time, the shortest first.
fn gaps(reports: &[Report]) -> Vec<Duration> {
    let mut gaps: Vec<Duration> =
        reports.iter().flat_map(|report| report.measured.gaps.clone()).collect();
    gaps.sort_unstable();
    gaps
}

/// The part of the time in which nobody led, in percent.
fn leaderless(reports: &[Report]) -> u128 {
    let time: Duration = reports.iter().map(|report| report.simulated).sum();
    100 * gaps(reports).iter().sum::<Duration>().as_millis() / time.as_millis()
}

fn elections(reports: &[Report]) -> u64 {
    reports.iter().map(|report| report.measured.elections).sum()
}

fn seconds(reports: &[Report]) -> u64 {
    reports.iter().map(|report| report.simulated.as_secs()).sum()
}

#[test]
fn f01_the_leader_is_killed() {
    let reports = runs(&REAL, 5, &[(Fault::MasterCrash, 40)]);
    let gaps = gaps(&reports);
    assert!(gaps.len() > 20, "{}", gaps.len());
    // A time-out is half a second to one; what is longer is two killed at the same time.
    let (half, most) = (gaps[gaps.len() / 2], gaps[gaps.len() * 9 / 10]);
    assert!(half <= Duration::from_millis(1_500) && most <= Duration::from_secs(5), "{gaps:?}");
    runs(&ALL, 1, &[(Fault::MasterCrash, 15), (Fault::MasterCrashMidStep, 15)]);
}

#[test]
fn f02_the_leader_is_stopped_and_wakes() {
    let reports = runs(&ALL, 3, &[(Fault::MasterStopped, 15), (Fault::LeaderCutOff, 40)]);
    // What woke and answered was asked whether it may.
    assert!(reports.iter().map(|report| report.measured.answers).sum::<u64>() > 200);
    assert!(elections(&reports) > 40, "{}", elections(&reports));
}

#[test]
fn f03_the_leader_is_cut_off_from_the_others_and_not_from_agents() {
    let reports = runs(&ALL, 3, &[(Fault::LeaderCutOff, 30)]);
    assert!(elections(&reports) > 30, "{}", elections(&reports));
    assert!(leaderless(&reports) < 20, "{} %", leaderless(&reports));
    // Together with what makes agents look for a leader at that time.
    runs(&ALL, 2, &[(Fault::LeaderCutOff, 10), (Fault::Reset, 1), (Fault::HalfOpen, 5)]);
    let all = [(Fault::LeaderCutOff, 20), (Fault::MastersApart, 60), (Fault::Partition, 20)];
    runs(&ALL, 1, &all);
}

#[test]
fn f04_one_hears_and_is_not_heard() {
    let reports = runs(&ALL, 3, &[(Fault::MastersOneWay, 45)]);
    let (elections, seconds) = (elections(&reports), seconds(&reports));
    assert!(elections * 10 < seconds, "{elections} elections in {seconds} s");
    // Two that are cut at the same time are too many of three.
    assert!(leaderless(&reports) < 20, "{} %", leaderless(&reports));
}

#[test]
fn f05_a_bridge_between_two_halves() {
    let reports = runs(&ALL, 3, &[(Fault::Bridge, 20)]);
    let (elections, seconds) = (elections(&reports), seconds(&reports));
    assert!(elections * 10 < seconds, "{elections} elections in {seconds} s");
    assert!(leaderless(&reports) < 20, "{} %", leaderless(&reports));
}

#[test]
fn f06_a_link_comes_and_goes() {
    let reports = runs(&ALL, 3, &[(Fault::FlappingLink, 20)]);
    let (elections, seconds) = (elections(&reports), seconds(&reports));
    assert!(elections < seconds, "{elections} elections in {seconds} s");
    assert!(leaderless(&reports) < 70, "{} %", leaderless(&reports));
}

#[test]
fn f07_a_follower_is_slow() {
    let reports = runs(&REAL, 3, &[(Fault::SlowLink, 20)]);
    // Nobody but the first is ever elected.
    assert_eq!(elections(&reports), reports.len() as u64);
}

#[test]
fn f08_the_leaders_disk_is_slow() {
    let reports = runs(&ALL, 3, &[(Fault::SlowDisk, 8)]);
    assert!(leaderless(&reports) < 20, "{} %", leaderless(&reports));
}

#[test]
fn f09_a_sync_fails() {
    // The process ends and never writes to that file again (the disk of the simulator panics at
    // that); what was not durable may be gone; it comes back, and has all the others have.
    let faults = [(Fault::CrashAtPoint, 6), (Fault::HandOver, 30), (Fault::SlowDisk, 30)];
    let hit = at_points(&[Point::SyncFailed], &faults, 3);
    assert_eq!(hit, BTreeSet::from([Point::SyncFailed]));
}

#[test]
fn f10_a_disk_is_full() {
    let reports = runs(&ALL, 3, &[(Fault::FullDisk, 20)]);
    assert!(leaderless(&reports) < 50, "{} %", leaderless(&reports));
}

#[test]
fn f11_a_log_is_torn_and_bits_of_it_of_a_snapshot_and_of_a_vote_flip() {
    // Torn is what was not durable. What was is given back by the others, before its vote counts;
    // `a_member_that_lost_the_end_of_its_log_says_nothing_of_it` is what happens otherwise.
    let reports = runs(&REAL, 4, &[(Fault::FlippedBit, 15), (Fault::HandOver, 20)]);
    assert!(elections(&reports) > 20, "{}", elections(&reports));
    let all = [(Fault::FlippedBit, 30), (Fault::TornLog, 30), (Fault::MasterCrashMidStep, 20)];
    runs(&REAL, 2, &all);
}

#[test]
fn f12_the_power_is_cut_for_one_or_for_all() {
    runs(&ALL, 3, &[(Fault::PowerCut, 30), (Fault::MasterCrash, 30), (Fault::SlowDisk, 15)]);
}

#[test]
fn f13_a_masters_disk_is_lost() {
    runs(&REAL, 5, &[(Fault::LostDisk, 30)]);
    runs(&REAL, 2, &[(Fault::LostDisk, 30), (Fault::TornLog, 30), (Fault::HandOver, 30)]);
}

#[test]
fn f14_a_majority_is_gone_for_a_while() {
    // No task is killed: I9, I10.
    let reports = runs(&ALL, 3, &[(Fault::MastersCrash, 25), (Fault::MasterOutage, 200)]);
    assert!(gaps(&reports).last().is_some_and(|gap| *gap > Duration::from_secs(20)));
}

#[test]
fn f15_snapshots_and_changes_of_the_leader() {
    let faults = [
        (Fault::LostDisk, 25),
        (Fault::HandOver, 10),
        (Fault::MasterCrash, 40),
        (Fault::CrashAtPoint, 4),
        (Fault::SlowLink, 40),
    ];
    let points = [Point::SnapshotTaken, Point::Restored, Point::Compacted];
    let hit = at_points(&points, &faults, 6);
    assert_eq!(hit, BTreeSet::from(points));
}

/// Runs in which processes end at these places only; those at which one did.
fn at_points(points: &[Point], faults: &[(Fault, u64)], seeds: u64) -> BTreeSet<Point> {
    let means = faults.iter().map(|(fault, mean)| (*fault, Duration::from_secs(*mean)));
    let faults = Faults::of(means.collect()).at_points(points);
    let mut hit = BTreeSet::new();
    for masters in REAL {
        for seed in 1..=seeds {
            hit.extend(judged(setup(seed, masters, &faults)).measured.points);
        }
    }
    hit
}

#[test]
fn a_master_may_end_at_every_place_of_its_registrar_and_between_any_two_effects() {
    let faults = [(Fault::CrashAtPoint, 3), (Fault::HandOver, 10), (Fault::LostDisk, 40)];
    for point in Point::ALL {
        let hit = at_points(&[point], &faults, 1);
        assert_eq!(hit, BTreeSet::from([point]), "nobody came to it");
    }
    runs(&REAL, 3, &[(Fault::CrashAtEffect, 4), (Fault::MasterCrashMidStep, 20)]);
}

#[test]
fn f16_members_change_while_they_do_not_hear_each_other() {
    let faults = [
        (Fault::Leaving, 15),
        (Fault::LeaderCutOff, 30),
        (Fault::MastersOneWay, 30),
        (Fault::MasterCrash, 60),
    ];
    runs(&REAL, 3, &faults);
}

#[test]
fn f28_a_scheduler_is_killed_and_comes_back_while_masters_change() {
    runs(&THREE, 4, &[(Fault::SchedulerCrash, 20), (Fault::HandOver, 20)]);
    runs(&THREE, 2, &[(Fault::SchedulerCrashMidStep, 20), (Fault::MasterCrash, 30)]);
}

#[test]
fn f29_two_schedulers_have_one_id() {
    // Frameworks of the HTTP API start second instances by themselves, and the first live on.
    runs(&THREE, 5, &[(Fault::HandOver, 20), (Fault::HalfOpen, 10), (Fault::DuplicateCalls, 0)]);
}

#[test]
fn f34_messages_come_twice() {
    runs(&THREE, 4, &[(Fault::DuplicateCalls, 0), (Fault::HandOver, 15), (Fault::Reset, 5)]);
}

#[test]
fn f35_messages_come_late_and_in_another_order() {
    let faults = [
        (Fault::ReorderedCalls, 0),
        (Fault::DuplicateCalls, 0),
        (Fault::Clog, 3),
        (Fault::OneWay, 20),
        (Fault::HandOver, 20),
    ];
    runs(&THREE, 4, &faults);
}

#[test]
fn f36_wall_clocks_jump() {
    runs(&ALL, 3, &[(Fault::ClockJump, 10), (Fault::HandOver, 30)]);
}

#[test]
fn f37_a_master_comes_back_under_another_address() {
    // A run ends well only if all know where all are.
    let reports = runs(&REAL, 4, &[(Fault::Moved, 15), (Fault::HandOver, 40)]);
    assert!(leaderless(&reports) < 20, "{} %", leaderless(&reports));
    let faults = [(Fault::Moved, 20), (Fault::MasterCrash, 40), (Fault::LeaderCutOff, 60)];
    runs(&REAL, 2, &faults);
}

#[test]
fn f38_agents_and_schedulers_know_one_master_only() {
    let means = [(Fault::HandOver, 15), (Fault::MasterCrash, 40), (Fault::Reset, 10)];
    let means = means.map(|(fault, mean)| (fault, Duration::from_secs(mean)));
    let faults = Faults::of(means.to_vec());
    for masters in ALL {
        for seed in 1..=3 {
            let listed = Some(seed as usize % masters.count());
            judged(Setup { listed, ..setup(seed, masters, &faults) });
        }
    }
}

#[test]
fn f39_all_come_back_at_once_after_all_masters_were_down() {
    runs(&ALL, 3, &[(Fault::MasterOutage, 60)]);
}

#[test]
fn f45_quotas_change_while_masters_do() {
    // The operator of a run sets quotas, and asks masters that only believe that they lead, too.
    runs(&ALL, 3, &[(Fault::HandOver, 8), (Fault::LeaderCutOff, 60)]);
}
