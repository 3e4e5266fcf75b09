//! I13: who led before does not command any more.
//!
//! A master's log says in which epoch and under which id it began to lead; the id is the beginning
//! of its offers' ids. Agents are asked all the time for the newest epoch that they know.

use super::{Verdict, number};
use crate::history::{Entry, Fact};
use std::collections::{BTreeMap, BTreeSet};

/// The epochs that an agent was seen to know, each with the time.
type Epochs = Vec<(u64, u64)>;

/// An epoch has one leader and an id one epoch; an agent's epoch never falls, not even when it is
/// killed; and no task runs that was launched with the offer of a master when its agent knew a
/// newer one.
pub(super) fn fencing(history: &[Entry]) -> Verdict {
    let mut violations = Vec::new();
    let leaders = leaders(history, &mut violations);
    let epochs = epochs(history, &mut violations);
    let changes: usize = epochs.values().map(Vec::len).sum();
    let mut launched: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    let mut ran = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Launched { task, offer, .. } => {
                launched.insert(task, (entry.at, offer));
            }
            Fact::Instance { task, agent, .. } => {
                ran.insert(task.as_str(), agent.as_str());
            }
            _ => {}
        }
    }
    let (mut obeyed, mut late) = (0, 0);
    let newest = |before: u64| epochs.values().map(|all| known(all, before)).max().unwrap_or(0);
    for (task, (at, offer)) in &launched {
        let of = offer.rsplit_once("-O").and_then(|(leader, _)| leaders.get(leader));
        let Some(epoch) = of else { continue };
        late += usize::from(newest(*at) > *epoch);
        let Some(agent) = ran.get(task).copied() else { continue };
        obeyed += 1;
        let known = epochs.get(agent).map_or(0, |all| known(all, *at));
        if known > *epoch {
            violations.push(format!(
                "{task} was launched with an offer of epoch {epoch} and ran on {agent}, which knew \
                 epoch {known} before"
            ));
        }
    }
    Verdict {
        id: "I13",
        claim: "no two masters lead with one epoch or id, and no agent obeys an older one than it \
                has seen",
        counted: format!(
            "{} leaders, {} changes of epoch at agents, {} tasks that ran by a known master's \
             order, {late} launches with offers of a master when another led already",
            leaders.len(),
            number(changes),
            number(obeyed)
        ),
        cases: leaders.len().saturating_sub(1).min(changes).min(obeyed),
        violations,
    }
}

/// The epoch of each leader's id.
fn leaders<'a>(history: &'a [Entry], violations: &mut Vec<String>) -> BTreeMap<&'a str, u64> {
    let mut of_term = BTreeMap::new();
    let mut of_epoch: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    let mut leaders = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Lead { epoch, leader, .. } => {
                of_epoch.entry(*epoch).or_default().insert(leader);
                if let Some(other) = leaders.insert(leader.as_str(), *epoch) {
                    violations.push(format!("{leader} led in epochs {other} and {epoch}"));
                }
            }
            Fact::Master { master, role, term } if role == "leader" => {
                let leader = of_term.entry(*term).or_insert(*master);
                if leader != master {
                    let (one, other) = (*leader + 1, master + 1);
                    violations.push(format!("masters {one} and {other} both led in term {term}"));
                }
            }
            _ => {}
        }
    }
    for (epoch, ids) in of_epoch.iter().filter(|(_, ids)| ids.len() > 1) {
        violations.push(format!("epoch {epoch} had several leaders: {ids:?}"));
    }
    leaders
}

/// What each agent knew, by the name of its work directory.
fn epochs(history: &[Entry], violations: &mut Vec<String>) -> BTreeMap<String, Epochs> {
    let mut epochs: BTreeMap<String, Epochs> = BTreeMap::new();
    for entry in history {
        if let Fact::Epoch { agent, epoch } = &entry.fact {
            let agent = format!("agent-{}", agent + 1);
            let all = epochs.entry(agent.clone()).or_default();
            if let Some((_, before)) = all.last().filter(|(_, before)| before > epoch) {
                violations.push(format!("{agent} went back from epoch {before} to {epoch}"));
            }
            all.push((entry.at, *epoch));
        }
    }
    epochs
}

/// The newest epoch that was known before.
fn known(all: &Epochs, before: u64) -> u64 {
    let end = all.partition_point(|(at, _)| *at < before);
    all[..end].iter().map(|(_, epoch)| *epoch).max().unwrap_or(0)
}
