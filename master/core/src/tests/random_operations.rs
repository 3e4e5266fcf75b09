//! Random lives of reservations and volumes: whatever is asked for in whatever order, agents come
//! and go, masters too; nothing is lost, nothing is twice, and every invariant holds.

use crate::testing::*;
use crate::{Options, Order};
use proptest::prelude::*;
use proto::agent_link::AgentCall;
use proto::operator::Call as OperatorCall;
use proto::scheduler::CallBody;
use proto::{
    Capability, Operation, Piece, ResourceChange, ResourceName, Resources, TaskId, TaskState, Value,
};
use std::time::Duration;

/// One thing that happens; numbers pick among what is there.
#[derive(Clone, Debug)]
enum Deed {
    Accept { who: u8, offer: u8, operations: Vec<(u8, u8)> },
    Order { agent: u8, kind: u8, pick: u8 },
    Applied { agent: u8, late: u8, fails: u8 },
    End { task: u8 },
    Acknowledge { pick: u8 },
    Return { agent: u8, more: u8 },
    Close { agent: u8 },
    Press { agent: u8, pressed: bool },
    Resubscribe { who: u8 },
    Teardown { who: u8 },
    Drain { agent: u8, order: u8 },
    Reconcile { who: u8 },
    Wait { millis: u32 },
    Restart,
}

fn deed() -> impl Strategy<Value = Deed> {
    let operations = prop::collection::vec((0_u8..8, any::<u8>()), 1..5);
    prop_oneof![
        12 => (0_u8..3, any::<u8>(), operations)
            .prop_map(|(who, offer, operations)| Deed::Accept { who, offer, operations }),
        4 => (0_u8..2, 0_u8..6, any::<u8>())
            .prop_map(|(agent, kind, pick)| Deed::Order { agent, kind, pick }),
        6 => (0_u8..2, 0_u8..3, 0_u8..5)
            .prop_map(|(agent, late, fails)| Deed::Applied { agent, late, fails }),
        4 => any::<u8>().prop_map(|task| Deed::End { task }),
        2 => any::<u8>().prop_map(|pick| Deed::Acknowledge { pick }),
        3 => (0_u8..2, 0_u8..3).prop_map(|(agent, more)| Deed::Return { agent, more }),
        1 => (0_u8..2).prop_map(|agent| Deed::Close { agent }),
        2 => (0_u8..2, any::<bool>())
            .prop_map(|(agent, pressed)| Deed::Press { agent, pressed }),
        2 => (0_u8..3).prop_map(|who| Deed::Resubscribe { who }),
        1 => (0_u8..3).prop_map(|who| Deed::Teardown { who }),
        1 => (0_u8..2, 0_u8..4).prop_map(|(agent, order)| Deed::Drain { agent, order }),
        1 => (0_u8..3).prop_map(|who| Deed::Reconcile { who }),
        4 => (0_u32..7000).prop_map(|millis| Deed::Wait { millis }),
        1 => Just(Deed::Restart),
    ]
}

/// A cluster of two agents and three frameworks, two of them in one role.
struct Life {
    c: Cluster,
    agents: Vec<AgentSide>,
    frameworks: Vec<FrameworkSide>,
    made: u32,
}

const ROLES: [&str; 3] = ["eng", "eng", "eng/dev"];

fn capacity(more: u8) -> Resources {
    let fixed = Resources::scalars([("cpus", 1000)]).push_reservation(&static_reservation("eng"));
    cpus_mem(4 + u64::from(more), 4000).plus(&disk(10)).plus(&fixed)
}

impl Life {
    fn new() -> Self {
        let mut c = Cluster::new(Options {
            offer_timeout: Some(Duration::from_secs(3)),
            agent_reregister_timeout: Duration::from_secs(4),
            framework_reregister_timeout: Duration::from_secs(6),
            agent_holdings: 12,
            operations: 8,
            ..Options::default()
        });
        let agents = (0..2).map(|_| c.agent(capacity(0))).collect();
        let capabilities = [
            &[Capability::ReservationRefinement, Capability::SharedResources][..],
            &[Capability::PartitionAware][..],
            &[Capability::ReservationRefinement, Capability::PartitionAware][..],
        ];
        let sides = ROLES.iter().zip(capabilities);
        let frameworks =
            sides.map(|(to, all)| c.framework_from(framework_info(to, &[to], all))).collect();
        Self { c, agents, frameworks, made: 0 }
    }

    /// A change of some of `there`, most often one that makes sense.
    fn change(&mut self, kind: u8, pick: u8, to: &str, there: &Resources) -> ResourceChange {
        let half = |piece: &Piece| match piece.value {
            Value::Scalar(milli) if !piece.flavor.is_whole() && pick & 1 == 1 => {
                Piece { value: Value::Scalar(milli.div_ceil(2)), ..piece.clone() }
            }
            _ => piece.clone(),
        };
        let kinds = |wanted: fn(&Piece) -> bool| -> Resources {
            let fit: Vec<&Piece> = there.pieces().iter().filter(|piece| wanted(piece)).collect();
            match fit.len() {
                0 => Resources::new(),
                len => all(&[half(fit[usize::from(pick / 2) % len])]),
            }
        };
        let volume = |piece: &Piece| piece.flavor.volume().is_some();
        let space = |piece: &Piece| {
            piece.name == ResourceName::new("disk")
                && !piece.flavor.reservations().is_empty()
                && piece.flavor.volume().is_none()
        };
        let one = |all: Resources| all.pieces().first().cloned();
        match kind {
            0 => {
                let source = Resources::new();
                let plain = kinds(|piece| piece.flavor.volume().is_none());
                ResourceChange::Reserve {
                    source,
                    resources: plain.push_reservation(&reservation(to)),
                }
            }
            1 => ResourceChange::Unreserve {
                resources: kinds(|piece| !piece.flavor.reservations().is_empty()),
            },
            2 => {
                self.made += 1;
                let number = if pick.is_multiple_of(5) { 1 } else { self.made };
                let model = self::volume(&format!("v{number}"), to, 1);
                let disk = model.flavor.disk().cloned();
                let volume = |piece: &Piece| Piece {
                    flavor: piece.flavor.with(|special| {
                        special.disk = disk.clone();
                        special.shared = pick.is_multiple_of(3);
                    }),
                    ..piece.clone()
                };
                ResourceChange::Create {
                    volumes: kinds(space).pieces().iter().map(volume).collect(),
                }
            }
            3 => ResourceChange::Destroy { volumes: kinds(volume) },
            4 => match (one(kinds(volume)), one(kinds(space))) {
                (Some(volume), Some(addition)) => ResourceChange::Grow { volume, addition },
                _ => ResourceChange::Destroy { volumes: Resources::new() },
            },
            _ => match one(kinds(volume)) {
                Some(volume) => {
                    ResourceChange::Shrink { subtract_milli: u64::from(pick) * 10, volume }
                }
                None => ResourceChange::Unreserve { resources: Resources::new() },
            },
        }
    }

    fn accept(&mut self, who: u8, pick: u8, operations: &[(u8, u8)]) {
        let side = self.frameworks[usize::from(who)].clone();
        let ord = self.c.master.framework_ids.get(&side.id);
        let own = ord.map(|ord| &self.c.master.frameworks[*ord].offers);
        let own: Vec<u64> = own.into_iter().flatten().copied().collect();
        if own.is_empty() {
            return;
        }
        let offer = self.c.master.offers[&own[usize::from(pick) % own.len()]].clone();
        let agent_id = self.c.master.agents[offer.agent].id.to_string();
        let mut there = offer.resources.clone();
        let mut all = Vec::new();
        for (kind, pick) in operations {
            if *kind >= 6 {
                self.made += 1;
                let some = |(n, _): &(usize, &Piece)| (usize::from(*pick) >> (n % 8)) & 1 == 1;
                let pieces = there.pieces().iter().enumerate().filter(some);
                let resources: Resources = pieces.map(|(_, piece)| piece.clone()).collect();
                let name = format!("t{}", self.made);
                all.push(Operation::Launch(vec![task_info(&name, &agent_id, resources)]));
                continue;
            }
            let change = self.change(*kind, *pick, ROLES[usize::from(who)], &there);
            if let Ok(conversion) = change.conversion()
                && there.subtract(&conversion.consumed).is_ok()
            {
                there.add(&conversion.converted);
            }
            let id = if pick % 4 == 0 { String::new() } else { format!("o{}", pick % 16) };
            all.push(operation(&id, change));
        }
        self.c.accept(&side, &[offer.id.as_str()], all);
    }

    /// The agent's tasks that live, as it would report them.
    fn report(&self, agent: usize) -> Vec<proto::agent_link::AgentTask> {
        let Some(ord) = self.c.master.agent_ids.get(&self.agents[agent].id) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for side in &self.frameworks {
            let Some(framework) = self.c.master.framework_ids.get(&side.id) else { continue };
            for (task_id, task) in &self.c.master.frameworks[*framework].tasks {
                if task.agent == *ord && task.holds {
                    let resources = Resources::clone(&task.resources);
                    let state = TaskState::Running;
                    all.push(agent_task(side, task_id.as_str(), resources, state));
                }
            }
        }
        all
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Accept { who, offer, operations } => self.accept(who, offer, &operations),
            Deed::Order { agent, kind, pick } => {
                let side = self.agents[usize::from(agent)].clone();
                let known = self.c.master.registry().agents().get(&side.id);
                let there = known.map(|facts| facts.info.resources.clone()).unwrap_or_default();
                let change = self.change(kind, pick, "eng", &there);
                self.c.operator(OperatorCall::ChangeResources { agent_id: side.id, change });
            }
            Deed::Applied { agent, late, fails } => {
                let side = self.agents[usize::from(agent)].clone();
                let known = self.c.master.agent_ids.get(&side.id);
                let told = known.map(|ord| self.c.master.agents[*ord].info.resources.volumes());
                let failing = told.and_then(|all| all.pieces().first().cloned());
                let id = failing.and_then(|piece| Some(piece.flavor.volume()?.id.to_string()));
                let failures: Vec<(&str, &str)> =
                    id.iter().filter(|_| fails == 0).map(|id| (id.as_str(), "busy")).collect();
                let sequence = self.c.master.volumes_sent().saturating_sub(u64::from(late));
                self.c.applied(&side, sequence, &failures);
            }
            Deed::End { task } => self.end(task),
            Deed::Acknowledge { pick } => self.acknowledge(pick),
            Deed::Return { agent, more } => {
                let at = usize::from(agent);
                let report = self.report(at);
                let frameworks: Vec<&FrameworkSide> = self.frameworks.iter().collect();
                self.agents[at].info.resources = capacity(more);
                self.c.reregister(&mut self.agents[at], report, &frameworks);
            }
            Deed::Close { agent } => {
                self.c.close_agent(&self.agents[usize::from(agent)].clone());
            }
            Deed::Press { agent, pressed } => {
                let side = self.agents[usize::from(agent)].clone();
                self.c.agent_call(&side, AgentCall::DiskPressure { pressed });
            }
            Deed::Resubscribe { who } => {
                self.c.resubscribe(&mut self.frameworks[usize::from(who)]);
            }
            Deed::Teardown { who } => {
                let at = usize::from(who);
                let side = self.frameworks[at].clone();
                self.c.call(&side, CallBody::Teardown);
                self.frameworks[at] = self.c.framework_from(side.info);
            }
            Deed::Drain { agent, order } => {
                let agent_id = self.agents[usize::from(agent)].id.clone();
                let max_grace = None;
                self.c.order(match order {
                    0 => Order::DrainAgent { agent_id, max_grace, mark_gone: false },
                    1 => Order::DrainAgent { agent_id, max_grace, mark_gone: true },
                    _ => Order::ReactivateAgent(agent_id),
                });
            }
            Deed::Reconcile { who } => {
                let side = self.frameworks[usize::from(who)].clone();
                let operations = Vec::new();
                self.c.call(&side, CallBody::ReconcileOperations { operations });
            }
            Deed::Wait { millis } => {
                self.c.advance(Duration::from_millis(u64::from(millis)));
            }
            Deed::Restart => self.c.restart_master(),
        }
    }

    fn acknowledge(&mut self, pick: u8) {
        let all: Vec<_> = self.c.master.registry().operations().iter().collect();
        let Some((uuid, known)) = all.get(usize::from(pick) % all.len().max(1)) else {
            return;
        };
        let (uuid, id) = (**uuid, known.operation.id.clone());
        let side = self.frameworks.iter().find(|f| known.framework_id.as_ref() == Some(&f.id));
        if let (Some(side), Some(operation_id)) = (side.cloned(), id) {
            let body = CallBody::AcknowledgeOperationStatus { agent_id: None, uuid, operation_id };
            self.c.call(&side, body);
        }
    }

    fn end(&mut self, pick: u8) {
        let mut all: Vec<(usize, TaskId)> = Vec::new();
        for (at, side) in self.frameworks.iter().enumerate() {
            if let Some(ord) = self.c.master.framework_ids.get(&side.id) {
                let tasks = self.c.master.frameworks[*ord].tasks.keys();
                all.extend(tasks.map(|task_id| (at, task_id.clone())));
            }
        }
        let Some((at, task_id)) = all.get(usize::from(pick) % all.len().max(1)).cloned() else {
            return;
        };
        let side = self.frameworks[at].clone();
        let ord = self.c.master.framework_ids[&side.id];
        let agent_id = self.c.master.frameworks[ord].tasks[&task_id].agent_id.clone();
        if let Some(agent) = self.agents.iter().find(|agent| agent.id == agent_id).cloned() {
            self.c.update(&agent, &side, task_id.as_str(), TaskState::Finished, 1);
            self.c.acknowledge(&side, &agent, task_id.as_str(), 1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Invariants are checked by `Cluster::step`, lost volumes among them.
    #[test]
    fn no_life_loses_a_volume(deeds in prop::collection::vec(deed(), 1..80)) {
        let mut life = Life::new();
        for deed in deeds {
            life.act(deed);
        }
    }
}
