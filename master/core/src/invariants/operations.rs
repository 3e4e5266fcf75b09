//! The invariants of reservations, volumes and operations.

use super::Found;
use crate::invariants::Violation;
use crate::operation::volumes::volume_key;
use crate::registry::{Registry, changed_of, configured_of};
use crate::state::Master;
use proto::AgentId;
use std::collections::{BTreeMap, BTreeSet};

/// What an agent has is its configuration, with what was reserved and made on it.
pub(super) fn holdings(m: &Master, found: &mut Found) {
    for (_, agent) in m.agents.iter() {
        let total = &agent.info.resources;
        let holds = match &agent.configured {
            Some(configured) => configured_of(total) == **configured,
            None => changed_of(total).is_empty(),
        };
        found.unless(holds, "M27", || {
            format!("{} has {total}, and is configured with {:?}", agent.id, agent.configured)
        });
        let shared = total.pieces().iter().any(|piece| piece.flavor.is_shared());
        found.unless(shared == agent.has_shared, "M27", || {
            format!("{} has {total}, shared {}", agent.id, agent.has_shared)
        });
    }
}

/// A volume is there once, under an id of its own.
pub(super) fn volumes(m: &Master, found: &mut Found) {
    for (id, facts) in m.registry.agents() {
        let mut keys = BTreeSet::new();
        let there = facts.info.resources.pieces().iter().filter_map(volume_key);
        for key in there.chain(facts.doomed.iter().filter_map(volume_key)) {
            found.unless(keys.insert(key.clone()), "M28", || format!("{id} has {key:?} twice"));
        }
        let nameless = facts.doomed.iter().any(|piece| volume_key(piece).is_none());
        found.unless(!nameless, "M28", || format!("{id} has something doomed that is no volume"));
    }
}

/// An operation is under way until its agent answers, and ends once.
pub(super) fn operations(m: &Master, found: &mut Found) {
    let mut by_framework = BTreeMap::new();
    let mut pending: BTreeMap<&AgentId, usize> = BTreeMap::new();
    for (uuid, known) in m.registry.operations() {
        let id = &known.operation.id;
        let told = known.framework_id.is_some() && id.is_some();
        found.unless(known.is_pending() || told, "M29", || {
            format!("{uuid} ended and nobody waits for it")
        });
        let end = known.end.as_ref().is_none_or(|end| end.state.is_terminal());
        found.unless(end, "M29", || format!("{uuid} ended as {:?}", known.end));
        if let Some(framework_id) = &known.framework_id {
            *by_framework.entry(framework_id).or_insert(0) += 1;
            let own = m.operations.by_framework.get(framework_id);
            found.unless(own.is_some_and(|own| own.contains(uuid)), "M29", || {
                format!("{uuid} is not known to {framework_id}")
            });
            let named =
                id.as_ref().is_none_or(|id| m.operations.find(framework_id, id) == Some(*uuid));
            found.unless(named, "M29", || format!("{uuid} is not found as {id:?}"));
            found.unless(!m.registry.is_completed(framework_id), "M29", || {
                format!("{uuid} is of {framework_id}, which is over")
            });
        }
        if known.is_pending() {
            *pending.entry(&known.agent_id).or_insert(0) += 1;
            let here = m.operations.pending.get(&known.agent_id);
            found.unless(here.is_some_and(|here| here.contains_key(uuid)), "M29", || {
                format!("{uuid} is not awaited on {}", known.agent_id)
            });
            found.unless(m.registry.agents().contains_key(&known.agent_id), "M29", || {
                format!("{uuid} is under way on {}, which is not known", known.agent_id)
            });
        }
    }
    let counted: BTreeMap<_, usize> =
        m.operations.by_framework.iter().map(|(id, own)| (id, own.len())).collect();
    found.unless(counted == by_framework, "M29", || {
        format!("operations by framework are {by_framework:?}, known are {counted:?}")
    });
    let counted: BTreeMap<_, usize> =
        m.operations.pending.iter().map(|(id, here)| (id, here.len())).collect();
    found.unless(counted == pending, "M29", || {
        format!("operations under way are {pending:?}, awaited are {counted:?}")
    });
    for (_, framework) in m.frameworks.iter() {
        let own = m.operations.by_framework.get(&framework.id);
        let waiting = own
            .into_iter()
            .flatten()
            .any(|uuid| m.registry.operations().get(uuid).is_some_and(|known| !known.is_pending()));
        let due = framework.repeat.is_some();
        found.unless(due == (waiting && framework.is_connected()), "M29", || {
            format!("{}: statuses wait {waiting}, and are repeated {due}", framework.id)
        });
    }
}

/// Volumes of `before` that are neither there nor doomed in `after`, on an agent that is: content
/// that nobody would find again. The deletion of a volume must have been asked for (M30).
pub fn lost_volumes(before: &Registry, after: &Registry) -> Vec<Violation> {
    let mut lost = Vec::new();
    for (id, was) in before.agents() {
        let Some(is) = after.agents().get(id) else { continue };
        let volumes = |of: &crate::registry::AdmittedAgent| -> BTreeSet<_> {
            of.info.resources.pieces().iter().filter_map(volume_key).collect()
        };
        let there = volumes(is);
        let doomed: BTreeSet<_> = is.doomed.iter().filter_map(volume_key).collect();
        for key in volumes(was) {
            if !there.contains(&key) && !doomed.contains(&key) {
                let what = format!("volume {key:?} of {id} is neither there nor doomed");
                lost.push(Violation { id: "M30", what });
            }
        }
    }
    lost
}
