//! I4, I6: no agent gives more than it has, and no role gets more than its quota. Both sums are made
//! from the processes that really ran.

use super::{Verdict, number};
use crate::cluster::{AGENT_CPUS, LIMITED, QUOTA_CPUS};
use crate::history::{Entry, Fact};
use std::collections::BTreeMap;

/// Who runs on an agent: since when, until when for certain, and with how many thousandths of a cpu.
struct Running {
    began: u64,
    alive: u64,
    cpus: u64,
}

/// I4: on each agent, what really runs fits; the leader knows of all that runs on an agent that is
/// back; and what it counts as used and offered fits. So nothing that is in use is offered.
pub(super) fn no_overcommitment(history: &[Entry]) -> Verdict {
    let (mut books, mut at_work, mut violations) = (0, 0, Vec::new());
    let running = running(history);
    for entry in history {
        let Fact::Books { agent, began, active, tasks, total, used, offered } = &entry.fact else {
            continue;
        };
        books += 1;
        let at = entry.at;
        if (0..2).any(|at| used[at] + offered[at] > total[at]) {
            violations.push(format!(
                "at {at} the master counts {used:?} used and {offered:?} offered of {total:?} of \
                 {agent}"
            ));
        }
        // Of one that is not back the leader cannot know all, and offers nothing.
        if *active {
            let all = running.get(agent.as_str()).map_or(&[][..], Vec::as_slice);
            let runs = through(all, *began, at);
            at_work += usize::from(runs > 0);
            if runs > *tasks {
                violations.push(format!(
                    "at {at} the master knows tasks of {tasks} thousandths of a cpu on {agent}, \
                     where {runs} run"
                ));
            }
        }
    }
    let mut most = 0;
    for (agent, all) in &running {
        let mut changes = Vec::new();
        all.iter().for_each(|one| add(&mut changes, one.cpus, one.began, one.alive));
        let (peak, _) = peak(&mut changes);
        most = most.max(peak);
        if peak > AGENT_CPUS {
            violations.push(format!("{peak} of {AGENT_CPUS} thousandths of a cpu ran on {agent}"));
        }
    }
    Verdict {
        id: "I4",
        claim: "on no agent do tasks and offers exceed what it has, and no task that runs is forgotten",
        counted: format!(
            "{} looks at the leaders' books, {} of agents at work; at most {most} of {AGENT_CPUS} \
             thousandths of a cpu at work on an agent",
            number(books),
            number(at_work)
        ),
        cases: at_work,
        violations,
    }
}

/// The processes of each agent, in the order in which they began.
fn running(history: &[Entry]) -> BTreeMap<&str, Vec<Running>> {
    let mut running: BTreeMap<&str, Vec<Running>> = BTreeMap::new();
    for entry in history {
        if let Fact::Instance { agent, cpus, began, alive, .. } = &entry.fact {
            let one = Running { began: *began, alive: *alive, cpus: *cpus };
            running.entry(agent).or_default().push(one);
        }
    }
    running.values_mut().for_each(|all| all.sort_by_key(|one| one.began));
    running
}

/// What ran all the time between two moments.
fn through(all: &[Running], from: u64, to: u64) -> u64 {
    let before = all.partition_point(|one| one.began < from);
    all[..before].iter().filter(|one| one.alive > to).map(|one| one.cpus).sum()
}

/// I6: the role with a quota never uses more, in no moment of any failover, nor is it offered more.
pub(super) fn quota(history: &[Entry]) -> Verdict {
    let (mut changes, mut tasks, mut offers) = (Vec::new(), 0, 0);
    let (mut held, mut most): (BTreeMap<&str, u64>, u64) = (BTreeMap::new(), 0);
    for entry in history {
        match &entry.fact {
            Fact::Instance { task, cpus, began, alive, .. }
                if task.starts_with(&format!("{LIMITED}-")) =>
            {
                tasks += 1;
                add(&mut changes, *cpus, *began, *alive);
            }
            Fact::Offered { framework, offer, cpus, .. } if framework == LIMITED => {
                offers += 1;
                held.insert(offer, *cpus);
                most = most.max(held.values().sum());
            }
            Fact::Declined { offer, .. }
            | Fact::Rescinded { offer, .. }
            | Fact::Launched { offer, .. } => {
                held.remove(offer.as_str());
            }
            // Offers go with the connection.
            Fact::Subscribed { framework, .. } | Fact::Disconnected { framework }
                if framework == LIMITED =>
            {
                held.clear();
            }
            _ => {}
        }
    }
    let (peak, when) = peak(&mut changes);
    let begin = history.first().map_or(0, |entry| entry.at);
    let when = crate::page::span(when.saturating_sub(begin));
    let mut violations = Vec::new();
    if peak > QUOTA_CPUS {
        violations.push(format!(
            "role {LIMITED} used {peak} of {QUOTA_CPUS} thousandths of a cpu, first at {when}"
        ));
    }
    if most > QUOTA_CPUS {
        violations.push(format!(
            "role {LIMITED} was offered {most} of {QUOTA_CPUS} thousandths of a cpu"
        ));
    }
    Verdict {
        id: "I6",
        claim: "no role uses or is offered more than its limit",
        counted: format!(
            "{} tasks and {} offers of role {LIMITED}: at most {peak} used and {most} offered of \
             {QUOTA_CPUS} thousandths of a cpu",
            number(tasks),
            number(offers)
        ),
        cases: tasks.min(offers),
        violations,
    }
}

fn add(changes: &mut Vec<(u64, i64)>, cpus: u64, began: u64, alive: u64) {
    let cpus = i64::try_from(cpus).unwrap_or(i64::MAX);
    changes.push((began, cpus));
    changes.push((alive, -cpus));
}

/// The most at one time, and when that was first. What ends at the moment at which another begins
/// makes room for it.
fn peak(changes: &mut [(u64, i64)]) -> (u64, u64) {
    changes.sort_unstable();
    let (mut sum, mut most, mut when) = (0, 0, 0);
    for (at, change) in changes {
        sum += *change;
        if sum > most {
            (most, when) = (sum, *at);
        }
    }
    (u64::try_from(most).unwrap_or(0), when)
}
