//! An operator who changes things while the cluster runs: now and then, one request at a time,
//! asked again until it is answered.
//!
//! What it may do to whom follows from the invariants: it ends only frameworks that are away, and
//! none of the drivers, whose owners still want their work.

use crate::prng::Prng;
use crate::world::{Event, World};
use master_core::{Input, Order, Quota};
use proto::{AgentId, FrameworkId, ResourceName, Role, operator};
use std::collections::BTreeSet;
use std::time::Duration;

/// The operator.
#[derive(Debug)]
pub(crate) struct OperatorNode {
    random: Prng,
    /// The mean time between two requests; none when nobody operates this cluster.
    pace: Option<Duration>,
}

impl OperatorNode {
    /// Draws whether there is one, and how busy.
    pub(crate) fn draw(mut random: Prng) -> Self {
        let paces = [None, Some(2), Some(10), Some(40)];
        let pace = paces[random.index(paces.len())].map(Duration::from_secs);
        Self { random, pace }
    }
}

/// The mean time between two requests after the faults.
const TIDY: Duration = Duration::from_secs(1);

/// The roles of a run.
pub(crate) const ROLES: [&str; 4] = ["*", "batch", "batch/night", "services"];

/// One of them.
pub(crate) fn some_role(random: &mut Prng) -> Role {
    Role::new(ROLES[random.index(ROLES.len())]).expect("each of them is a role")
}

/// A quota for one of the roles, and whether it is set in any case.
fn some_quotas(random: &mut Prng) -> (Vec<(Role, Quota)>, bool) {
    let role = some_role(random);
    let cpus = ResourceName::new("cpus");
    let mut quota = Quota::default();
    let most = random.between(1, 40) * 200;
    if random.percent(70) {
        quota.limits.insert(cpus.clone(), most);
    }
    if random.percent(40) {
        quota.guarantees.add(&cpus, random.between(0, most));
    }
    (vec![(role, quota)], random.percent(50))
}

impl World {
    /// The operator's next request, if it is time for one.
    pub(crate) fn operator_acts(&mut self) {
        let healed = self.faults.healed();
        let Some(pace) = self.operator.pace.or(healed.then_some(TIDY)) else { return };
        let pause = self.operator.random.wait(if healed { TIDY } else { pace });
        self.schedule_in(pause, Event::OperatorActs);
        if self.master.core.is_none() {
            return;
        }
        let input = if healed { self.tidies_up() } else { self.changes_something() };
        if let Some(input) = input {
            self.step_master(input);
        }
    }

    fn changes_something(&mut self) -> Option<Input> {
        let request = self.operator_request();
        let what = self.operator.random.index(11);
        if what == 0 {
            let call = operator::Call::Teardown(self.one_that_is_away()?);
            return Some(Input::Operator { request, call });
        }
        if what >= 8 {
            let (quotas, force) = some_quotas(&mut self.operator.random);
            return Some(Input::SetQuota { request, quotas, force });
        }
        let agent_id = self.some_admitted()?;
        let random = &mut self.operator.random;
        let order = match what {
            1 => Order::DeactivateAgent(agent_id),
            2 | 3 => Order::ReactivateAgent(agent_id),
            4 if random.percent(30) => Order::MarkAgentGone(agent_id),
            5 => {
                let max_grace = random.percent(50).then(|| random.millis(0, 10_000));
                Order::DrainAgent { agent_id, max_grace, mark_gone: random.percent(20) }
            }
            _ => {
                let role = some_role(random);
                let weight_milli = [0, 500, 1000, 3000][random.index(4)];
                return Some(Input::SetWeight { request, role, weight_milli });
            }
        };
        Some(Input::Order { request, order })
    }

    /// After the faults there are no quotas, every agent is open, and those that will not be back are given up.
    fn tidies_up(&mut self) -> Option<Input> {
        let quotas = self.master.core.as_ref()?.registry().quotas();
        if let Some(role) = quotas.keys().next().cloned() {
            let quotas = vec![(role, Quota::default())];
            return Some(Input::SetQuota { request: self.operator_request(), quotas, force: true });
        }
        let here: BTreeSet<&AgentId> =
            self.agents.iter().filter_map(|node| node.core.as_ref()?.agent_id()).collect();
        let all_here = here.len() == self.agents.len();
        let agents = self.master.core.as_ref()?.registry().agents();
        let gone = agents
            .iter()
            .find(|(id, agent)| all_here && agent.unreachable.is_some() && !here.contains(*id));
        let shut = agents.iter().find(|(_, agent)| {
            let draining = agent.drain.as_ref().is_some_and(|drain| !drain.drained);
            (agent.deactivated || agent.drain.is_some()) && !draining
        });
        let order = gone
            .map(|(id, _)| Order::MarkAgentGone(id.clone()))
            .or(shut.map(|(id, _)| Order::ReactivateAgent(id.clone())))?;
        Some(Input::Order { request: self.operator_request(), order })
    }

    fn some_admitted(&mut self) -> Option<AgentId> {
        let agents = self.master.core.as_ref()?.registry().agents();
        agents.keys().nth(self.operator.random.index(agents.len())).cloned()
    }

    /// A framework whose scheduler is away, and that nobody minds.
    fn one_that_is_away(&mut self) -> Option<FrameworkId> {
        let drivers: BTreeSet<&FrameworkId> = self
            .frameworks
            .iter()
            .filter_map(|node| node.driver()?.core.as_ref()?.framework_id())
            .collect();
        let all_up = self.frameworks.iter().filter_map(|node| node.driver());
        if all_up.clone().count() != drivers.len() {
            // Nobody knows what the others are called.
            return None;
        }
        let registry = self.master.core.as_ref()?.registry();
        let away: Vec<FrameworkId> =
            registry.frameworks().keys().filter(|id| !drivers.contains(id)).cloned().collect();
        away.get(self.operator.random.index(away.len())).cloned()
    }
}
