//! The suite's own test: defects that are planted in what stands for the shells are all noticed, by
//! whole runs under the faults that bring them out, and by the rule that they break.

use sim::faults::{Fault, Faults};
use sim::{Log, Masters, Plant, Report, Setup, World};
use std::time::Duration;

/// Runs before a defect must have been noticed.
const SEEDS: u64 = 60;

fn run(seed: u64, masters: Masters, faults: &[(Fault, u64)], plant: Option<Plant>) -> Report {
    let means = faults.iter().map(|(fault, mean)| (*fault, Duration::from_secs(*mean)));
    let faults = Some(Faults::of(means.collect()));
    let (masters, listed, log, thorough) = (Some(masters), None, Log::Off, false);
    let setup = Setup { seed, minutes: 4, log, faults, masters, listed, thorough, plant };
    World::new(setup).run()
}

/// The defect is noticed by one of these rules; without it there is nothing to notice.
fn noticed(plant: Plant, masters: Masters, faults: &[(Fault, u64)], rules: &[&str]) {
    for seed in 1..=2 {
        let failure = run(seed, masters, faults, None).failure;
        assert_eq!(failure, None, "seed {seed}, nothing is planted");
    }
    let mut found = Vec::new();
    for seed in 1..=SEEDS {
        if let Some(failure) = run(seed, masters, faults, Some(plant)).failure {
            if rules.contains(&failure.violation.id) {
                return;
            }
            found.push(failure.violation.id);
        }
    }
    panic!("{plant:?} is not noticed by {rules:?}: {found:?}");
}

const ALONE: Masters = Masters::Alone;
const THREE: Masters = Masters::Raft(3);
const SLOW: (Fault, u64) = (Fault::SlowDisk, 10);

#[test]
fn a_master_acknowledges_before_it_is_durable() {
    noticed(Plant::LeakyMaster, ALONE, &[(Fault::MasterCrash, 5), SLOW], &["I1"]);
    let faults = [(Fault::MasterCrash, 15), (Fault::LeaderCutOff, 20), SLOW];
    noticed(Plant::LeakyMaster, THREE, &faults, &["I1"]);
}

#[test]
fn an_agent_acknowledges_before_it_is_durable() {
    noticed(Plant::LeakyAgents, ALONE, &[(Fault::AgentCrash, 5), SLOW], &["I1"]);
}

#[test]
fn a_driver_acknowledges_before_it_is_durable() {
    noticed(Plant::LeakyDrivers, ALONE, &[(Fault::SchedulerCrash, 5), SLOW], &["I1"]);
}

#[test]
fn a_member_acknowledges_before_it_is_durable() {
    let faults = [(Fault::PowerCut, 20), (Fault::MasterCrash, 10), (Fault::SlowDisk, 3)];
    noticed(Plant::EarlyWrites, THREE, &faults, &["I1", "I11", "I13"]);
}

#[test]
fn a_member_that_lost_the_end_of_its_log_says_nothing_of_it() {
    let faults = [(Fault::TornLog, 10), (Fault::HandOver, 20)];
    noticed(Plant::SilentlyTorn, THREE, &faults, &["I1", "I11", "I13"]);
}

#[test]
fn an_agent_does_not_look_at_the_epoch() {
    let faults = [(Fault::HandOver, 10), (Fault::Reset, 1)];
    noticed(Plant::DeafAgents, THREE, &faults, &["I13"]);
}

#[test]
fn a_master_does_not_await_its_epoch() {
    let faults = [(Fault::FlappingLink, 3), (Fault::HandOver, 2)];
    noticed(Plant::EpochNotAwaited, THREE, &faults, &["I13"]);
}

#[test]
fn a_master_begins_with_what_is_old() {
    let faults = [(Fault::MasterCrash, 15), (Fault::HandOver, 5), (Fault::SlowLink, 20)];
    noticed(Plant::ReadNotAwaited, THREE, &faults, &["I13", "I1"]);
}

#[test]
fn a_core_is_kept_over_a_lost_lead() {
    noticed(Plant::CoreKept, THREE, &[(Fault::HandOver, 30)], &["I12", "I16"]);
}

#[test]
fn a_master_that_was_replaced_answers() {
    let faults = [(Fault::MasterStopped, 10), (Fault::LeaderCutOff, 5)];
    noticed(Plant::StaleAnswers, THREE, &faults, &["I12"]);
}

#[test]
fn what_was_dropped_is_taken_for_agreed_upon() {
    let faults = [(Fault::LeaderCutOff, 8), SLOW];
    noticed(Plant::DroppedIsDone, THREE, &faults, &["I1", "I13", "I11"]);
}
