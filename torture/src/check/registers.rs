//! I1 and I12: registers that each write one value once, read by many.
//!
//! With values that are never written twice, a history of one register is linearizable exactly when
//! its clusters (a write with the reads that saw it) can be put into an order: the test of Gibbons
//! and Korach by zones. A cluster whose first end comes before its last begin has held the register
//! at least between the two (a forward zone); two such may not overlap. Any other cluster needs one
//! moment only, within its (backward) zone, which may not lie wholly inside of a forward zone.

use super::{Verdict, number};
use crate::history::{Entry, Fact, Outcome};
use std::collections::BTreeMap;

/// One operation: when it began and ended. A write that nobody knows of has no end.
#[derive(Clone, Copy, Debug)]
struct Span {
    began: u64,
    ended: u64,
}

/// A write and the reads that saw it.
#[derive(Debug, Default)]
struct Cluster {
    write: Option<Span>,
    reads: Vec<Span>,
}

#[derive(Clone, Copy, Debug)]
struct Zone {
    value: u64,
    from: u64,
    to: u64,
}

type Register = BTreeMap<u64, Cluster>;

/// I1: what was acknowledged is there at every later read, and at the end.
pub(super) fn no_write_is_lost(history: &[Entry]) -> Verdict {
    let registers = clusters(history);
    let mut violations = Vec::new();
    for (register, clusters) in &registers {
        for problem in not_linearizable(clusters) {
            violations.push(format!("register {register}: {problem}"));
        }
    }
    let writes = |wanted: Outcome| {
        let is = |entry: &&Entry| matches!(&entry.fact, Fact::Wrote { outcome, .. } if *outcome == wanted);
        history.iter().filter(is).count()
    };
    let last = |entry: &&Entry| matches!(entry.fact, Fact::Read { last: true, .. });
    let last = history.iter().filter(last).count();
    let done = writes(Outcome::Done);
    let unknown = writes(Outcome::Unknown);
    Verdict {
        id: "I1",
        claim: "no acknowledged write is lost",
        counted: format!(
            "{} acknowledged writes, {} of which nobody knows, {last} reads at the end: {} lost",
            number(done),
            number(unknown),
            violations.len()
        ),
        cases: done.min(last),
        violations,
    }
}

/// I12: no client reads what is older than what it or anybody saw before.
pub(super) fn no_read_goes_back(history: &[Entry]) -> Verdict {
    let mut reads = 0;
    let mut violations = Vec::new();
    let registers = clusters(history);
    let known: BTreeMap<usize, Vec<Known>> =
        registers.iter().map(|(register, clusters)| (*register, known(clusters))).collect();
    for entry in history {
        let Fact::Read { client, register, value, began, .. } = entry.fact else { continue };
        reads += 1;
        let Some(write) = registers[&register].get(&value).and_then(|cluster| cluster.write) else {
            violations.push(format!("register {register}: {value} was read, and never written"));
            continue;
        };
        // A write that began after this one's end, and was seen or acknowledged before the read.
        let is_newer = |other: &&Known| other.began > write.ended && other.known < began;
        if let Some(newer) = known[&register].iter().find(is_newer) {
            violations.push(format!(
                "register {register}: client {client} read {value} at {} although {} was there \
                 before",
                entry.at, newer.value
            ));
        }
    }
    Verdict {
        id: "I12",
        claim: "reads never go back, and are never older than what was acknowledged",
        counted: format!("{} reads, {} stale", number(reads), violations.len()),
        cases: reads,
        violations,
    }
}

/// A value, when its write began, and since when it is known to have been there.
struct Known {
    value: u64,
    began: u64,
    known: u64,
}

fn known(clusters: &Register) -> Vec<Known> {
    let known = |(value, cluster): (&u64, &Cluster)| {
        let write = cluster.write?;
        let seen = cluster.reads.iter().map(|read| read.ended).min().unwrap_or(u64::MAX);
        Some(Known { value: *value, began: write.began, known: seen.min(write.ended) })
    };
    clusters.iter().filter_map(known).collect()
}

/// The clusters of each register. The value 0 was written before everything.
fn clusters(history: &[Entry]) -> BTreeMap<usize, Register> {
    let mut registers: BTreeMap<usize, Register> = BTreeMap::new();
    let before = Cluster { write: Some(Span { began: 0, ended: 0 }), reads: Vec::new() };
    let fresh = || BTreeMap::from([(0, Cluster { reads: Vec::new(), ..before })]);
    for entry in history {
        match entry.fact {
            Fact::Wrote { register, value, began, outcome, .. } => {
                let ended = if outcome == Outcome::Done { entry.at } else { u64::MAX };
                let clusters = registers.entry(register).or_insert_with(fresh);
                clusters.entry(value).or_default().write = Some(Span { began, ended });
            }
            Fact::Read { register, value, began, .. } => {
                let clusters = registers.entry(register).or_insert_with(fresh);
                let reads = &mut clusters.entry(value).or_default().reads;
                reads.push(Span { began, ended: entry.at });
            }
            _ => {}
        }
    }
    registers
}

fn not_linearizable(clusters: &Register) -> Vec<String> {
    let mut problems = Vec::new();
    let (mut forward, mut backward) = (Vec::new(), Vec::new());
    for (value, cluster) in clusters {
        let Some(write) = cluster.write else {
            problems.push(format!("{value} was read, and never written"));
            continue;
        };
        if cluster.reads.is_empty() && write.ended == u64::MAX {
            // It need not have happened.
            continue;
        }
        let spans = || cluster.reads.iter().chain([&write]);
        if let Some(early) = cluster.reads.iter().find(|read| read.ended < write.began) {
            problems.push(format!("{value} was read by {}, before it was written", early.ended));
        }
        let first_end = spans().map(|span| span.ended).min().unwrap_or(0);
        let last_begin = spans().map(|span| span.began).max().unwrap_or(0);
        if first_end < last_begin {
            forward.push(Zone { value: *value, from: first_end, to: last_begin });
        } else {
            backward.push(Zone { value: *value, from: last_begin, to: first_end });
        }
    }
    forward.sort_by_key(|zone| zone.from);
    for pair in forward.windows(2) {
        if pair[1].from < pair[0].to {
            problems.push(format!(
                "{} and {} were both there between {} and {}",
                pair[0].value, pair[1].value, pair[1].from, pair[0].to
            ));
        }
    }
    for zone in backward {
        let after = forward.partition_point(|other| other.from < zone.from);
        let around = after.checked_sub(1).map(|at| forward[at]);
        if let Some(around) = around.filter(|around| zone.to < around.to) {
            problems.push(format!(
                "{} was written and acknowledged while {} was there all the time",
                zone.value, around.value
            ));
        }
    }
    problems
}
