//! The core's own invariants, each with a number, a sentence and a check.
//!
//! `check` walks everything; the simulator and the tests call it after every step. It changes
//! nothing and is never on a hot path.

mod accounts;
mod allocation;
mod kept;
mod operations;
mod orders;

pub use operations::lost_volumes;

use crate::deadlines::Deadline;
use crate::registry::Registry;
use crate::state::Master;

/// The invariants: number and sentence. docs/ARCHITECTURE.md says the same.
pub const INVARIANTS: [(&str, &str); 32] = [
    ("M1", "A stream belongs to one framework or one agent, and both sides know it."),
    ("M2", "Every framework and every agent is found under its id, and nothing else is."),
    (
        "M3",
        "An agent in the tables is admitted as it is there and not unreachable in the registry; \
         every other admitted agent is recovered or unreachable. Tasks are doubted of recovered \
         agents alone.",
    ),
    ("M4", "An offer is known to its framework and to its agent, and to nobody else."),
    (
        "M5",
        "On every agent, what tasks use, what is in offers, what waits for the agent's answer, \
         what is withheld and what is free add up to exactly what the agent has, and no resource \
         is in two of them; but what is shared is always free.",
    ),
    (
        "M6",
        "An offer's framework is connected and subscribed to its role, and its agent is connected.",
    ),
    ("M7", "A task is known to its framework and to its agent, and to nobody else."),
    ("M8", "A task that ended holds nothing."),
    ("M9", "What waits has exactly one deadline, and no deadline is without its cause."),
    (
        "M10",
        "A filter that counts is of a framework that is connected, and whoever is passed over for \
         one has one.",
    ),
    (
        "M11",
        "A task on an unreachable agent is found under that agent, which is not in the tables.",
    ),
    (
        "M12",
        "Free agents are those that are connected, not suspect, not deactivated, and worth an \
         offer; each stands once, under what it has free, and those with more than plain resources \
         are listed as such.",
    ),
    ("M13", "A marked agent waits once in the queue, and whoever waits has a pass due."),
    (
        "M14",
        "A framework that the registry holds or has completed is not connected; a completed one is \
         not in the tables.",
    ),
    ("M15", "Every history is within its limit."),
    (
        "M16",
        "Shares are reckoned from exactly what is in offers and used, out of exactly what the \
         registered agents have; and those who may be offered something stand in line.",
    ),
    ("M17", "Exactly the bundles that standing offers are credited with do not lack."),
    ("M18", "A copy that was fed all that was published is what the master would tell anew."),
    (
        "M19",
        "An agent that is gone is not admitted, not expected, and has no tasks, unreachable ones \
         included.",
    ),
    (
        "M20",
        "A deactivated agent has no offers; on one that drains every living task is ordered to be \
         killed, and one without tasks and operations is drained.",
    ),
    (
        "M21",
        "A machine that is down is in the schedule and has no agent; every other agent knows when \
         its machine will be away.",
    ),
    (
        "M22",
        "What roles consume, what their guarantees lack, what is available and what may be used on \
         agents that are not back are what offers, tasks, quotas, free agents and the registry say.",
    ),
    (
        "M23",
        "A role that consumes more than its limit, with all below it, is in no offer that counts \
         towards it, unless a pass is due that takes it back; and no offer was made to it beyond \
         what is left when it uses all that it could on agents that are not back.",
    ),
    (
        "M24",
        "A free agent that does not wait to be looked at is wanted by nobody, as far as quotas let \
         them.",
    ),
    ("M25", "No offer has made the cluster shorter of what guarantees need."),
    (
        "M26",
        "An inverse offer is known to its agent, whose absence is planned, and to its framework, \
         which is connected; there is one between them at the most.",
    ),
    (
        "M27",
        "What an agent has is exactly what its configuration says, with what was reserved and made \
         on it laid on top.",
    ),
    (
        "M28",
        "A volume is on its agent once, under an id that no other volume of its role has there, \
         doomed ones included.",
    ),
    (
        "M29",
        "An operation is awaited on its agent until it ends, and then remembered, and told to its \
         framework, until that acknowledges; it ends once, and nothing else is remembered.",
    ),
    ("M30", "A volume leaves its agent only by being doomed, or with the agent."),
    (
        "M31",
        "What frameworks keep is of frameworks that are known and not over, within the limits and \
         counted right; no version of a framework is there twice, or newer than its newest write.",
    ),
    ("M32", "Of an agent whose disk is about to be full no common disk is free, or in an offer."),
];

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's number.
    pub id: &'static str,
    /// What is wrong.
    pub what: String,
}

/// Checks all invariants but M18, which needs the copy (see `Master::differences`), and M30, which
/// needs what was before (see `lost_volumes`). Empty when all hold.
pub fn check(m: &Master) -> Vec<Violation> {
    let mut found = check_but_sums(m);
    found.extend(check_sums(m));
    found
}

/// Those that reckon anew what is counted over the whole cluster, and what agents hold: M16, M22,
/// M23, M27 and M28. What is wrong there mostly stays wrong, so that it is found a few steps later too.
pub fn check_sums(m: &Master) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    allocation::sums(m, &mut found);
    operations::holdings(m, &mut found);
    operations::volumes(m, &mut found);
    found.0
}

/// All others.
pub fn check_but_sums(m: &Master) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    streams(m, &mut found);
    ids(m, &mut found);
    registry(m, &mut found);
    offers(m, &mut found);
    accounts::check(m, &mut found);
    tasks(m, &mut found);
    deadlines(m, &mut found);
    shelved(m, &mut found);
    limits(m, &mut found);
    allocation::check(m, &mut found);
    orders::gone(m, &mut found);
    orders::drains(m, &mut found);
    orders::maintenance(m, &mut found);
    orders::inverse_offers(m, &mut found);
    operations::operations(m, &mut found);
    kept::check(m, &mut found);
    found.0
}

struct Found(Vec<Violation>);

impl Found {
    fn unless(&mut self, holds: bool, id: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Violation { id, what: what() });
        }
    }
}

fn streams(m: &Master, found: &mut Found) {
    for (connection, ord) in &m.streams {
        let holds = m.frameworks.get(*ord).is_some_and(|f| f.connection == Some(*connection));
        found.unless(holds, "M1", || format!("stream {connection} is not its framework's"));
    }
    for (connection, ord) in &m.links {
        let holds = m.agents.get(*ord).is_some_and(|a| a.connection == Some(*connection));
        found.unless(holds, "M1", || format!("stream {connection} is not its agent's"));
    }
    let connected = m.frameworks.iter().filter(|(_, f)| f.is_connected()).count();
    found.unless(connected == m.streams.len(), "M1", || {
        format!("{connected} frameworks are connected, {} streams are known", m.streams.len())
    });
    let connected = m.agents.iter().filter(|(_, a)| a.is_connected()).count();
    found.unless(connected == m.links.len(), "M1", || {
        format!("{connected} agents are connected, {} streams are known", m.links.len())
    });
}

fn ids(m: &Master, found: &mut Found) {
    for (id, ord) in &m.framework_ids {
        let holds = m.frameworks.get(*ord).is_some_and(|f| f.id == *id);
        found.unless(holds, "M2", || format!("{id} does not lead to its framework"));
    }
    for (id, ord) in &m.agent_ids {
        let holds = m.agents.get(*ord).is_some_and(|a| a.id == *id);
        found.unless(holds, "M2", || format!("{id} does not lead to its agent"));
    }
    found.unless(m.framework_ids.len() == m.frameworks.len(), "M2", || {
        format!("{} frameworks under {} ids", m.frameworks.len(), m.framework_ids.len())
    });
    found.unless(m.agent_ids.len() == m.agents.len(), "M2", || {
        format!("{} agents under {} ids", m.agents.len(), m.agent_ids.len())
    });
}

fn registry(m: &Master, found: &mut Found) {
    for (id, facts) in m.registry.agents() {
        let here = m.agent_ids.contains_key(id);
        let recovered = m.recovered.contains(id);
        let places = [here, recovered, facts.unreachable.is_some()];
        let holds = places.into_iter().filter(|place| *place).count() == 1;
        found.unless(holds, "M3", || {
            format!("{id}: registered {here}, recovered {recovered}, {:?}", facts.unreachable)
        });
    }
    for id in m.doubted.agents() {
        found.unless(m.recovered.contains(id), "M3", || {
            format!("{id} is not waited for, and tasks on it are")
        });
    }
    for (id, ord) in &m.agent_ids {
        let facts = m.registry.agents().get(id);
        let holds = facts.is_some_and(|facts| facts.info == m.agents[*ord].info);
        found.unless(holds, "M3", || format!("{id} is registered and not admitted as it is"));
    }
    for id in m.registry.frameworks().keys() {
        let framework = m.framework_ids.get(id).map(|ord| &m.frameworks[*ord]);
        let holds = framework.is_some_and(|framework| !framework.is_connected());
        found.unless(holds, "M14", || format!("{id} is held and not waiting"));
    }
    for over in m.registry.completed() {
        let holds = over.info.id.as_ref().is_some_and(|id| !m.framework_ids.contains_key(id));
        found.unless(holds, "M14", || format!("{:?} is completed and here", over.info.id));
    }
}

fn offers(m: &Master, found: &mut Found) {
    for (number, offer) in &m.offers {
        let framework = m.frameworks.get(offer.framework);
        let agent = m.agents.get(offer.agent);
        let known = framework.is_some_and(|f| f.offers.contains(number))
            && agent.is_some_and(|a| a.offers.contains(number));
        found.unless(known, "M4", || format!("{} is not known to both its sides", offer.id));
        let stands = framework
            .is_some_and(|f| f.is_connected() && f.info.roles.contains(&offer.role))
            && agent.is_some_and(crate::agent::Agent::is_connected);
        found.unless(stands, "M6", || format!("{} has an absent side", offer.id));
    }
    let by_framework: usize = m.frameworks.iter().map(|(_, f)| f.offers.len()).sum();
    let by_agent: usize = m.agents.iter().map(|(_, a)| a.offers.len()).sum();
    let holds = by_framework == m.offers.len() && by_agent == m.offers.len();
    found.unless(holds, "M4", || {
        format!("{} offers, {by_framework} of frameworks, {by_agent} of agents", m.offers.len())
    });
}

fn tasks(m: &Master, found: &mut Found) {
    let mut count = 0;
    for (ord, framework) in m.frameworks.iter() {
        for (task_id, task) in &framework.tasks {
            count += 1;
            let agent = m.agents.get(task.agent);
            let known = agent.is_some_and(|agent| {
                agent.id == task.agent_id && agent.tasks.contains(&(ord, task_id.clone()))
            });
            found.unless(known, "M7", || format!("{task_id} is not known to its agent"));
            let holds = !(task.holds && task.state.is_terminal());
            found.unless(holds, "M8", || format!("{task_id} is {} and holds", task.state));
        }
    }
    let by_agent: usize = m.agents.iter().map(|(_, agent)| agent.tasks.len()).sum();
    found.unless(count == by_agent, "M7", || format!("{count} tasks, {by_agent} of agents"));
}

fn deadlines(m: &Master, found: &mut Found) {
    let mut expected = 0;
    let mut wants = |holds: bool, what: &dyn Fn() -> String, found: &mut Found| {
        expected += 1;
        found.unless(holds, "M9", what);
    };
    for (ord, agent) in m.agents.iter() {
        let holds = m.deadlines.contains(agent.deadline, Deadline::Agent(ord));
        wants(holds, &|| format!("{} has no deadline", agent.id), found);
        for (framework, until) in
            agent.asked.iter().filter_map(|(f, asked)| Some((*f, asked.until?)))
        {
            let holds = m.deadlines.contains(until, Deadline::Inverse { agent: ord, framework });
            wants(holds, &|| format!("{}: an answer stands for ever", agent.id), found);
        }
        if let Some(at) = agent.drain_deadline {
            let holds = m.deadlines.contains(at, Deadline::Drain(ord));
            wants(holds, &|| format!("the drain of {} has no deadline", agent.id), found);
        }
        if let Some(at) = agent.filters.deadline {
            let holds = m.deadlines.contains(at, Deadline::Filters(ord))
                && agent.filters.iter().all(|filter| filter.until >= at);
            wants(holds, &|| format!("{}: filters have no deadline", agent.id), found);
        }
        found.unless(
            agent.filters.deadline.is_some() == agent.filters.iter().next().is_some(),
            "M9",
            || format!("{} has filters or a deadline for them, not both", agent.id),
        );
    }
    expected += framework_deadlines(m, found);
    // Of offers the first one made is the first to time out.
    let ends: Vec<_> = m.offers.values().map(|offer| offer.until).collect();
    found.unless(ends.is_sorted(), "M9", || "offers time out in another order".to_owned());
    let times_out = m.options.offer_timeout.is_some();
    for offer in m.offers.values() {
        found.unless(offer.until.is_some() == times_out, "M9", || {
            format!("{} never times out", offer.id)
        });
    }
    if let Some(at) = m.operations.strays_at {
        expected += 1;
        let holds = m.deadlines.contains(at, Deadline::StrayOperations);
        found.unless(holds, "M9", || "stray operations are never forgotten".to_owned());
    }
    if let Some(at) = m.quota_recovery {
        expected += 1;
        let holds = m.deadlines.contains(at, Deadline::QuotaRecoveryOver);
        found.unless(holds, "M9", || "what is not known is never settled".to_owned());
    }
    let rest = m.deadlines.len() - expected.min(m.deadlines.len());
    // The end of recovery stays until it comes, whether or not all agents are back.
    found.unless(expected <= m.deadlines.len() && rest <= 1, "M9", || {
        format!("{} deadlines for {expected} causes", m.deadlines.len())
    });
}

/// Those of frameworks; says how many there must be.
fn framework_deadlines(m: &Master, found: &mut Found) -> usize {
    let mut expected = 0;
    let mut wants = |holds: bool, what: &dyn Fn() -> String, found: &mut Found| {
        expected += 1;
        found.unless(holds, "M9", what);
    };
    for (ord, framework) in m.frameworks.iter() {
        let id = &framework.id;
        let waits = framework.failover_deadline.is_some();
        found.unless(waits != framework.is_connected(), "M9", || {
            format!("{id}: connected or waits")
        });
        if let Some(at) = framework.failover_deadline {
            let holds = m.deadlines.contains(at, Deadline::Failover(ord));
            wants(holds, &|| format!("{id} waits without a deadline"), found);
        }
        let owed = &framework.reconciling;
        found.unless(owed.due.is_some() != owed.is_empty(), "M9", || {
            format!("{id}: answers wait without a time")
        });
        if let Some(at) = owed.due {
            let holds = m.deadlines.contains(at, Deadline::Reconcile(ord));
            wants(holds, &|| format!("{id} waits for answers without a deadline"), found);
        }
        if let Some(repeat) = framework.repeat {
            let holds = m.deadlines.contains(repeat.at, Deadline::OperationStatuses(ord));
            wants(holds, &|| format!("{id}: statuses are never repeated"), found);
        }
        let demand = &framework.demand;
        if let Some(at) = demand.deadline {
            let holds = m.deadlines.contains(at, Deadline::Demand(ord));
            wants(holds, &|| format!("a demand of {id} never ends"), found);
        }
        let late =
            demand.next_deadline().is_some_and(|end| demand.deadline.is_none_or(|at| at > end));
        found.unless(!late, "M9", || format!("a demand of {id} ends late"));
        let beats = framework.heartbeat_at.is_some();
        found.unless(beats == framework.is_connected(), "M9", || format!("{id}: heartbeats"));
        if let Some(at) = framework.heartbeat_at {
            let holds = m.deadlines.contains(at, Deadline::Heartbeat(ord));
            wants(holds, &|| format!("{id} has no heartbeat"), found);
        }
    }
    expected
}

fn shelved(m: &Master, found: &mut Found) {
    let mut count = 0;
    for (agent_id, tasks) in &m.shelved {
        found.unless(!m.agent_ids.contains_key(agent_id), "M11", || {
            format!("{agent_id} is registered and has unreachable tasks")
        });
        for (framework, task_id) in tasks {
            count += 1;
            let task = m.frameworks.get(*framework).and_then(|f| f.unreachable.get(task_id));
            let holds = task.is_some_and(|task| task.agent_id == *agent_id && !task.holds);
            found.unless(holds, "M11", || format!("{task_id} is not among the unreachable"));
        }
    }
    let mut unreachable = 0;
    for (_, framework) in m.frameworks.iter() {
        unreachable += framework.unreachable.len();
        let holds = framework.unreachable.len() == framework.unreachable_order.len();
        found.unless(holds, "M11", || format!("{}: unreachable tasks out of order", framework.id));
    }
    found.unless(count == unreachable, "M11", || {
        format!("{unreachable} unreachable tasks, {count} by agent")
    });
}

fn limits(m: &Master, found: &mut Found) {
    for (_, framework) in m.frameworks.iter() {
        let holds = framework.completed.len() <= m.options.completed_tasks
            && framework.unreachable.len() <= m.options.unreachable_tasks;
        found.unless(holds, "M15", || format!("{} remembers too much", framework.id));
    }
    let holds = m.past.len() <= Registry::COMPLETED_KEPT
        && m.registry.completed().len() <= Registry::COMPLETED_KEPT;
    found.unless(holds, "M15", || "too many completed frameworks".to_owned());
}
