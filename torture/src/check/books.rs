//! I4, I6, I13: no agent gives more than it has, no role gets more than its quota, and who led
//! before does not command any more. Both sums are made from the processes that really ran.

use super::{Verdict, number};
use crate::cluster::{AGENT_CPUS, LIMITED, QUOTA_CPUS};
use crate::history::{Entry, Fact};
use std::collections::BTreeMap;

/// I4: on each agent, what runs fits; and in a leader's books, what is used and offered does.
pub(super) fn no_overcommitment(history: &[Entry]) -> Verdict {
    let (mut books, mut violations) = (0, Vec::new());
    let mut agents: BTreeMap<&str, Vec<(u64, i64)>> = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Books { agent, total, used, offered } => {
                books += 1;
                if (0..2).any(|at| used[at] + offered[at] > total[at]) {
                    violations.push(format!(
                        "at {} the master counts {used:?} used and {offered:?} offered of {total:?} of {agent}",
                        entry.at
                    ));
                }
            }
            Fact::Instance { agent, cpus, began, alive, .. } => {
                add(agents.entry(agent).or_default(), *cpus, *began, *alive);
            }
            _ => {}
        }
    }
    let mut most = 0;
    for (agent, changes) in &mut agents {
        let (peak, _) = peak(changes);
        most = most.max(peak);
        if peak > AGENT_CPUS {
            violations.push(format!("{peak} of {AGENT_CPUS} thousandths of a cpu ran on {agent}"));
        }
    }
    Verdict {
        id: "I4",
        claim: "no agent is over-committed",
        counted: format!(
            "{} looks at the leaders' books; at most {most} of {AGENT_CPUS} thousandths of a cpu \
             at work on an agent",
            number(books)
        ),
        cases: books,
        violations,
    }
}

/// I6: the role with a quota never uses more, in no moment of any failover.
pub(super) fn quota(history: &[Entry]) -> Verdict {
    let mut changes = Vec::new();
    let mut tasks = 0;
    for entry in history {
        if let Fact::Instance { task, cpus, began, alive, .. } = &entry.fact
            && task.starts_with(&format!("{LIMITED}-"))
        {
            tasks += 1;
            add(&mut changes, *cpus, *began, *alive);
        }
    }
    let (peak, when) = peak(&mut changes);
    let begin = history.first().map_or(0, |entry| entry.at);
    let when = crate::page::span(when.saturating_sub(begin));
    let problem =
        format!("role {LIMITED} used {peak} of {QUOTA_CPUS} thousandths of a cpu, first at {when}");
    Verdict {
        id: "I6",
        claim: "no role uses more than its quota",
        counted: format!(
            "{} tasks of role {LIMITED}: at most {peak} of {QUOTA_CPUS} thousandths of a cpu",
            number(tasks)
        ),
        cases: tasks,
        violations: if peak > QUOTA_CPUS { vec![problem] } else { Vec::new() },
    }
}

fn add(changes: &mut Vec<(u64, i64)>, cpus: u64, began: u64, alive: u64) {
    let cpus = i64::try_from(cpus).unwrap_or(i64::MAX);
    changes.push((began, cpus));
    changes.push((alive, -cpus));
}

/// The most at one time, and when that was first. What ends at the moment at which another begins makes room for it.
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

/// I13: an agent's epoch never falls, not even when it is killed; a term has one leader.
pub(super) fn fencing(history: &[Entry]) -> Verdict {
    let (mut newest, mut leaders) = (BTreeMap::new(), BTreeMap::new());
    let (mut epochs, mut violations) = (0, Vec::new());
    for entry in history {
        match &entry.fact {
            Fact::Epoch { agent, epoch } => {
                epochs += 1;
                let newest = newest.entry(*agent).or_insert(*epoch);
                if *epoch < *newest {
                    let name = agent + 1;
                    violations
                        .push(format!("agent {name} went back from epoch {newest} to {epoch}"));
                }
                *newest = (*newest).max(*epoch);
            }
            Fact::Master { master, role, term } if role == "leader" => {
                let leader = leaders.entry(*term).or_insert(*master);
                if leader != master {
                    let (one, other) = (*leader + 1, master + 1);
                    violations.push(format!("masters {one} and {other} both led in term {term}"));
                }
            }
            _ => {}
        }
    }
    Verdict {
        id: "I13",
        claim: "agents never go back to an older master, and a term has one leader",
        counted: format!(
            "{epochs} changes of epoch at agents, {} terms with a leader",
            leaders.len()
        ),
        cases: epochs,
        violations,
    }
}
