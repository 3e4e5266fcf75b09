//! The invariants of what operators order: agents that are gone, drained or deactivated, and
//! machines under maintenance.

use super::Found;
use crate::state::Master;

pub(super) fn gone(m: &Master, found: &mut Found) {
    for id in m.registry.gone().keys() {
        let known = m.registry.agents().contains_key(id)
            || m.agent_ids.contains_key(id)
            || m.recovered.contains(id)
            || m.shelved.contains_key(id);
        found.unless(!known, "M19", || format!("{id} is gone, and known"));
    }
}

pub(super) fn drains(m: &Master, found: &mut Found) {
    for (_, agent) in m.agents.iter() {
        let facts = m.registry.agents().get(&agent.id);
        let said = facts.map(|facts| (facts.deactivated, facts.drain.is_some()));
        let holds = said == Some((agent.deactivated, agent.draining));
        found.unless(holds, "M20", || format!("{} is not as the registry says", agent.id));
        found.unless(!agent.deactivated || agent.offers.is_empty(), "M20", || {
            format!("{} is deactivated and in offers", agent.id)
        });
        for (framework, task_id) in agent.tasks.iter().filter(|_| agent.draining) {
            let task = m.frameworks.get(*framework).and_then(|f| f.tasks.get(task_id));
            let holds = task.is_none_or(|task| task.state.is_terminal() || task.kill.is_some());
            found.unless(holds, "M20", || format!("{task_id} lives on {}, which drains", agent.id));
        }
        let drain = facts.and_then(|facts| facts.drain.as_ref());
        let idle = agent.tasks.is_empty() && !m.operations.is_awaited(&agent.id);
        let empty = agent.is_connected() && idle;
        let waits = drain.is_some_and(|drain| !drain.drained);
        found.unless(!(empty && waits), "M20", || format!("{} is empty and drains", agent.id));
    }
}

pub(super) fn maintenance(m: &Master, found: &mut Found) {
    let plan = m.registry.maintenance();
    for machine in &plan.down {
        let planned = plan.windows.iter().any(|window| window.machines.contains(machine));
        found.unless(planned, "M21", || format!("machine {machine} is down and not scheduled"));
    }
    for (id, facts) in m.registry.agents() {
        found.unless(!plan.is_down(&facts.info), "M21", || {
            format!("{id} is admitted on a machine that is down")
        });
    }
    for (_, agent) in m.agents.iter() {
        let holds = agent.unavailability == plan.unavailability(&agent.info);
        found.unless(holds, "M21", || {
            format!("{} believes in {:?}", agent.id, agent.unavailability)
        });
    }
}

pub(super) fn inverse_offers(m: &Master, found: &mut Found) {
    let mut outstanding = 0;
    for (ord, agent) in m.agents.iter() {
        for (framework, asked) in &agent.asked {
            let known = m.frameworks.get(*framework);
            let holds = known.is_some_and(|f| f.is_connected() && f.asked.contains(&ord));
            found.unless(holds && agent.unavailability.is_some(), "M26", || {
                format!("{} is asked for by somebody absent", agent.id)
            });
            if let Some(number) = asked.number {
                outstanding += 1;
                let holds = m.inverse_offers.get(&number) == Some(&(ord, *framework));
                found.unless(holds, "M26", || format!("inverse offer {number} is not known"));
            }
        }
    }
    let pairs: usize = m.agents.iter().map(|(_, agent)| agent.asked.len()).sum();
    let by_framework: usize = m.frameworks.iter().map(|(_, f)| f.asked.len()).sum();
    let holds = pairs == by_framework && outstanding == m.inverse_offers.len();
    found.unless(holds, "M26", || {
        format!(
            "{pairs} pairs, {by_framework} of frameworks; {outstanding} inverse offers, {} known",
            m.inverse_offers.len()
        )
    });
}
