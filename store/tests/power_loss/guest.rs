//! The test, and its control: with the engine's own flush the same kills lose data, so the
//! harness can see a loss.

use crate::machine::{Line, Machine};
use std::collections::BTreeMap;

const STORES: usize = 3;
/// Commits of each round that are acknowledged before the kill: databases that are young, when
/// the sizes and names of their files are not in the journal yet, and somewhat older.
const KILL_AFTER: [usize; 4] = [40, 150, 400, 900];

#[derive(Debug, Default)]
struct Outcome {
    acknowledged: u64,
    /// Acknowledged commits that are not there, of stores that open.
    missing: u64,
    /// Stores with missing commits.
    lossy: usize,
    /// Stores that do not open, or hold what was never written.
    broken: Vec<String>,
    stores: usize,
}

/// Kills a guest that writes, several times, each time with fresh stores on the same disk, which
/// the next boot looks at first.
fn kill_while_writing(mode: &str) -> Outcome {
    let mut machine = Machine::new();
    let mut outcome = Outcome::default();
    let mut check = String::new();
    let mut acknowledged = BTreeMap::new();
    for (round, kill_after) in KILL_AFTER.into_iter().enumerate() {
        let of_round = format!("{mode} /data/round-{round} {STORES}");
        machine.boot(&format!("{check}write {of_round}"));
        if round > 0 {
            look(&mut machine, &acknowledged, &mut outcome);
        }
        acknowledged = write_until_killed(&mut machine, kill_after);
        outcome.acknowledged += acknowledged.values().sum::<u64>();
        check = format!("verify {of_round};");
    }
    machine.boot(&check);
    look(&mut machine, &acknowledged, &mut outcome);
    assert_eq!(outcome.stores, KILL_AFTER.len() * STORES, "every store was looked at");
    println!("{mode}: {} kills, {outcome:#?}", KILL_AFTER.len());
    outcome
}

/// How many commits of each store were acknowledged when the machine died.
fn write_until_killed(machine: &mut Machine, kill_after: usize) -> BTreeMap<u64, u64> {
    let mut acknowledged = BTreeMap::new();
    let mut count = 0;
    // What was said before the kill was acknowledged too, so it is read to its end.
    while let Some(line) = machine.line() {
        match line {
            // Commits count from 0.
            Line::Ack { store, commit } => acknowledged.insert(store, commit + 1),
            other => panic!("while writing: {other:?}"),
        };
        count += 1;
        if count == kill_after {
            machine.kill();
        }
    }
    assert!(count >= kill_after, "the guest stopped after {count} commits");
    acknowledged
}

/// Compares what the stores hold with what was acknowledged.
fn look(machine: &mut Machine, acknowledged: &BTreeMap<u64, u64>, outcome: &mut Outcome) {
    for _ in 0..STORES {
        outcome.stores += 1;
        match machine.line().expect("the guest looks at every store") {
            Line::Kept { store, commits } => {
                let missing = acknowledged[&store].saturating_sub(commits);
                outcome.missing += missing;
                outcome.lossy += usize::from(missing > 0);
            }
            Line::Lost { store, problem } => {
                outcome.broken.push(format!("store {store}: {problem}"));
            }
            Line::Ack { .. } => panic!("a commit before all stores were looked at"),
        }
    }
}

#[test]
#[ignore = "group guest: QEMU, a kernel and busybox"]
fn a_store_keeps_every_acknowledged_commit() {
    let outcome = kill_while_writing("guarded");
    assert_eq!((outcome.missing, outcome.broken.len()), (0, 0), "{outcome:#?}");
    assert!(outcome.acknowledged >= KILL_AFTER.iter().sum::<usize>() as u64);
}

#[test]
#[ignore = "group guest: QEMU, a kernel and busybox"]
fn the_engine_alone_loses_acknowledged_commits() {
    let outcome = kill_while_writing("bare");
    assert!(
        outcome.lossy + outcome.broken.len() > 0,
        "the harness sees no loss where there must be one: {outcome:#?}"
    );
}
