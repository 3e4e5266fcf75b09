//! An operator who changes things while the cluster runs: weights, quotas, agents, machines that
//! go away for maintenance. Now and then, one request at a time.
//!
//! What it may do to whom follows from the invariants: it ends only frameworks that are away, and
//! none of the drivers, whose owners still want their work.

use crate::prng::Prng;
use crate::world::{Event, Node, World};
use master_core::{Input, Order, Quota};
use proto::{
    AgentId, FrameworkId, MachineId, MaintenanceWindow, Piece, Reservation, ReservationKind,
    ResourceChange, ResourceName, Resources, Role, Schedule, Unavailability, operator,
};
use std::collections::BTreeSet;
use std::time::Duration;

/// The operator.
#[derive(Debug)]
pub(crate) struct OperatorNode {
    random: Prng,
    /// The mean time between two requests; none when nobody operates this cluster.
    pace: Option<Duration>,
    /// Which master it speaks to.
    host: usize,
}

impl OperatorNode {
    /// Draws whether there is one, and how busy.
    pub(crate) fn draw(mut random: Prng) -> Self {
        let paces = [None, Some(2), Some(10), Some(40)];
        let pace = paces[random.index(paces.len())].map(Duration::from_secs);
        Self { random, pace, host: 0 }
    }
}

/// The mean time between two requests after the faults.
const TIDY: Duration = Duration::from_secs(1);

/// The roles of a run.
pub(crate) const ROLES: [&str; 5] = ["*", "batch", "batch/night", "batch/night/late", "services"];

/// One of them.
pub(crate) fn some_role(random: &mut Prng) -> Role {
    Role::new(ROLES[random.index(ROLES.len())]).expect("each of them is a role")
}

/// A quota; `most` is its limit or the most that it guarantees.
fn some_quota(random: &mut Prng, most: u64) -> Quota {
    let (cpus, mem) = (ResourceName::new("cpus"), ResourceName::new("mem"));
    let mut quota = Quota::default();
    if random.percent(70) {
        quota.limits.insert(cpus.clone(), most);
    }
    if random.percent(20) {
        quota.limits.insert(mem.clone(), most * 500);
    }
    if random.percent(40) {
        quota.guarantees.add(&cpus, random.between(0, most));
    }
    if random.percent(10) {
        quota.guarantees.add(&mem, random.between(0, most * 500));
    }
    quota
}

/// Quotas for one of the roles, or for one above and one below it, and whether they are set in any
/// case.
fn some_quotas(random: &mut Prng) -> (Vec<(Role, Quota)>, bool) {
    let role = some_role(random);
    let most = random.between(1, 40) * 200;
    let mut quotas = vec![(role.clone(), some_quota(random, most))];
    if let Some((above, _)) = role.as_str().rsplit_once('/')
        && random.percent(50)
    {
        let above = Role::new(above).expect("above a role is a role");
        let more = most + random.between(0, 20) * 200;
        quotas.push((above, some_quota(random, more)));
    }
    (quotas, random.percent(50))
}

impl World {
    /// The operator's next request, if it is time for one.
    pub(crate) fn operator_acts(&mut self) {
        let healed = self.faults.healed();
        let Some(pace) = self.operator.pace.or(healed.then_some(TIDY)) else { return };
        let pause = self.operator.random.wait(if healed { TIDY } else { pace });
        self.schedule_in(pause, Event::OperatorActs);
        // Mostly whoever leads, and now and then one that only believes so.
        let believers: Vec<usize> = self.believers().collect();
        let host = match believers.as_slice() {
            [] => return,
            [host] => *host,
            several if !healed && self.operator.random.percent(30) => several[0],
            _ => self.leading().unwrap_or_default(),
        };
        self.operator.host = host;
        let input = if healed { self.tidies_up() } else { self.changes_something() };
        if let Some(input) = input {
            self.step_master(host, input);
        }
    }

    fn changes_something(&mut self) -> Option<Input> {
        let request = self.operator_request(self.operator.host);
        let what = self.operator.random.index(17);
        if what >= 15 {
            let call = self.changes_resources()?;
            return Some(Input::Operator { request, call });
        }
        if what >= 11 {
            let call = self.plans_maintenance(what)?;
            return Some(Input::Operator { request, call });
        }
        if what == 0 {
            let call = operator::Call::Teardown(self.one_that_is_away()?);
            return Some(Input::Operator { request, call });
        }
        if what >= 8 {
            let (quotas, force) = some_quotas(&mut self.operator.random);
            return Some(Input::SetQuota { request, quotas, force });
        }
        if what == 4
            && let Some(id) = self.some_that_is_gone()
        {
            return Some(Input::Operator { request, call: operator::Call::ForgetAgent(id) });
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

    /// Machines that are to be away, go down, or come back. What it says is not always so: it is
    /// refused then.
    fn plans_maintenance(&mut self, what: usize) -> Option<operator::Call> {
        let now = self.clock(Node::Master(self.operator.host));
        let all = self.agents.len();
        let known = self.masters[self.operator.host].core.as_ref()?.registry().maintenance();
        let random = &mut self.operator.random;
        let some = |random: &mut Prng| MachineId::named(&format!("host-{}", random.index(all)));
        let draining: Vec<&MachineId> = known.draining().collect();
        Some(match what {
            11 | 12 => {
                let mut planned: BTreeSet<MachineId> = known.down.clone();
                planned.extend((0..random.below(3)).map(|_| some(random)));
                let window = |machine| {
                    let duration = random.percent(50).then(|| random.millis(0, 60_000));
                    let start = now + random.millis(0, 120_000);
                    let unavailability = Unavailability { start, duration };
                    MaintenanceWindow { machines: vec![machine], unavailability }
                };
                let windows = planned.into_iter().map(window).collect();
                operator::Call::UpdateMaintenanceSchedule(Schedule { windows })
            }
            13 => {
                let machine = draining.get(random.index(draining.len())).copied().cloned();
                let machine = machine.unwrap_or_else(|| some(random));
                operator::Call::StartMaintenance(vec![machine])
            }
            _ => {
                let down = known.down.iter().nth(random.index(known.down.len())).cloned();
                let machine = down.unwrap_or_else(|| some(random));
                operator::Call::StopMaintenance(vec![machine])
            }
        })
    }

    /// Something of an agent is kept for a role, or not any more.
    fn changes_resources(&mut self) -> Option<operator::Call> {
        let agent_id = self.some_admitted()?;
        if self.operator.random.percent(50) {
            return self.gives_back(&agent_id);
        }
        let random = &mut self.operator.random;
        let role = some_role(random);
        if role == Role::any() {
            return None;
        }
        let name = ["cpus", "disk"][random.index(2)];
        let plain = Resources::scalars([(name, random.between(1, 10) * 50)]);
        let (kind, principal) = (ReservationKind::Dynamic, None);
        let reservation = Reservation { kind, role, principal, labels: Vec::new() };
        let (source, resources) = (Resources::new(), plain.push_reservation(&reservation));
        let change = ResourceChange::Reserve { source, resources };
        Some(operator::Call::ChangeResources { agent_id, change })
    }

    /// The first thing that was made or reserved on an agent at run time is so no more.
    fn gives_back(&self, agent_id: &AgentId) -> Option<operator::Call> {
        let registry = self.masters[self.operator.host].core.as_ref()?.registry();
        let all = &registry.agents().get(agent_id)?.info.resources;
        let dynamic = |piece: &&Piece| {
            let last = piece.flavor.reservations().last();
            last.is_some_and(|last| last.kind == ReservationKind::Dynamic)
        };
        let is_volume = |piece: &&Piece| piece.flavor.volume().is_some();
        let one = |piece: &Piece| Resources::from_iter([piece.clone()]);
        let change = match all.pieces().iter().find(is_volume) {
            Some(piece) => ResourceChange::Destroy { volumes: one(piece) },
            None => {
                ResourceChange::Unreserve { resources: one(all.pieces().iter().find(dynamic)?) }
            }
        };
        Some(operator::Call::ChangeResources { agent_id: agent_id.clone(), change })
    }

    /// After the faults every machine is up and none is planned to be away.
    fn ends_maintenance(&mut self) -> Option<Input> {
        let known = self.masters[self.operator.host].core.as_ref()?.registry().maintenance();
        let down: Vec<MachineId> = known.down.iter().cloned().collect();
        let call = if !down.is_empty() {
            operator::Call::StopMaintenance(down)
        } else if !known.windows.is_empty() {
            operator::Call::UpdateMaintenanceSchedule(Schedule::default())
        } else {
            return None;
        };
        Some(Input::Operator { request: self.operator_request(self.operator.host), call })
    }

    /// After the faults there are no quotas, every agent is open, every machine is up, and agents
    /// that will not be back are given up.
    fn tidies_up(&mut self) -> Option<Input> {
        if let Some(input) = self.ends_maintenance() {
            return Some(input);
        }
        let quotas = self.masters[self.operator.host].core.as_ref()?.registry().quotas();
        if let Some(role) = quotas.keys().next().cloned() {
            let quotas = vec![(role, Quota::default())];
            return Some(Input::SetQuota {
                request: self.operator_request(self.operator.host),
                quotas,
                force: true,
            });
        }
        let here: BTreeSet<&AgentId> =
            self.agents.iter().filter_map(|node| node.core.as_ref()?.agent_id()).collect();
        let all_here = here.len() == self.agents.len();
        let agents = self.masters[self.operator.host].core.as_ref()?.registry().agents();
        let gone = agents
            .iter()
            .find(|(id, agent)| all_here && agent.unreachable.is_some() && !here.contains(*id));
        let shut = agents.iter().find(|(_, agent)| {
            let draining = agent.drain.as_ref().is_some_and(|drain| !drain.drained);
            (agent.deactivated || agent.drain.is_some()) && !draining
        });
        let order = gone
            .map(|(id, _)| Order::MarkAgentGone(id.clone()))
            .or(shut.map(|(id, _)| Order::ReactivateAgent(id.clone())));
        if let Some(order) = order {
            return Some(Input::Order {
                request: self.operator_request(self.operator.host),
                order,
            });
        }
        let kept: Vec<AgentId> = agents.keys().cloned().collect();
        let calls: Vec<_> = kept.iter().filter_map(|id| self.gives_back(id)).collect();
        let call = calls.get(self.operator.random.index(calls.len())).cloned()?;
        Some(Input::Operator { request: self.operator_request(self.operator.host), call })
    }

    fn some_admitted(&mut self) -> Option<AgentId> {
        let agents = self.masters[self.operator.host].core.as_ref()?.registry().agents();
        agents.keys().nth(self.operator.random.index(agents.len())).cloned()
    }

    /// An agent that was given up and will not be back, now and then: what came back after it was
    /// forgotten would run again though its frameworks were told that it is gone.
    fn some_that_is_gone(&mut self) -> Option<AgentId> {
        let here: BTreeSet<&AgentId> =
            self.agents.iter().filter_map(|node| node.core.as_ref()?.agent_id()).collect();
        let all_here = here.len() == self.agents.len();
        let gone = self.masters[self.operator.host].core.as_ref()?.registry().gone();
        let ids: Vec<AgentId> =
            gone.keys().filter(|id| all_here && !here.contains(*id)).cloned().collect();
        let random = &mut self.operator.random;
        random.percent(50).then(|| ids.get(random.index(ids.len())).cloned()).flatten()
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
        let registry = self.masters[self.operator.host].core.as_ref()?.registry();
        let away: Vec<FrameworkId> =
            registry.frameworks().keys().filter(|id| !drivers.contains(id)).cloned().collect();
        away.get(self.operator.random.index(away.len())).cloned()
    }
}
