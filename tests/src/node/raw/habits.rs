//! What some frameworks of the HTTP API do besides launching tasks: they describe themselves anew,
//! state demands, launch groups, answer inverse offers, and ask much or for nothing.
//!
//! Each seed gives each of them a part of the habits. Now and then a call makes no sense: it must
//! be refused and change nothing.

use crate::node::operator::{ROLES, some_role};
use crate::prng::Prng;
use proto::scheduler::{CallBody, Demand, Subscribe};
use proto::{
    AgentId, AttributeConstraint, Capability, ExecutorId, ExecutorInfo, Filters, FrameworkInfo,
    OfferConstraints, OfferId, Operation, OperationId, Predicate, Resources, Role, Selector,
    TaskGroup, TaskId, TaskInfo, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// More tasks than the master answers at once.
const MANY: u32 = 1_500;

/// Which of them a framework has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    /// It changes its roles, what it suppresses, its constraints and its capabilities.
    updates: bool,
    /// It states what it wants.
    demands: bool,
    /// Some of its launches are groups.
    pub(super) groups: bool,
    /// It reserves resources and makes volumes.
    pub(super) keeps: bool,
    /// It asks after tasks that never were, many at once, and after operations.
    asks: bool,
    /// It shuts executors down and writes to them, which it has none of.
    executors: bool,
}

impl Habits {
    pub(super) fn draw(random: &mut Prng) -> Self {
        Self {
            updates: random.percent(40),
            demands: random.percent(40),
            groups: random.percent(30),
            keeps: random.percent(50),
            asks: random.percent(20),
            executors: random.percent(20),
        }
    }
}

/// Roles of a framework that may have several.
pub(crate) fn some_roles(random: &mut Prng) -> BTreeSet<Role> {
    let count = random.between(1, 3);
    (0..count).map(|_| some_role(random)).collect()
}

/// What a framework that may be offered anything can do.
pub(crate) fn some_capabilities(random: &mut Prng, info: &mut FrameworkInfo) {
    let may = [
        Capability::PartitionAware,
        Capability::TaskKillingState,
        Capability::GpuResources,
        Capability::RegionAware,
        Capability::RevocableResources,
        Capability::ReservationRefinement,
    ];
    let chosen = may.into_iter().filter(|_| random.percent(50));
    info.capabilities = chosen.collect();
    info.capabilities = info.capabilities.with(Capability::MultiRole);
    info.single_role = false;
}

fn some_constraint(random: &mut Prng) -> AttributeConstraint {
    let selectors =
        [Selector::Hostname, Selector::Region, Selector::Zone, Selector::Attribute("rack".into())];
    let selector = selectors[random.index(selectors.len())].clone();
    let texts = ["host-1", "here", "z0", "r1"];
    let text: Arc<str> = texts[random.index(texts.len())].into();
    let predicate = match random.below(6) {
        0 => Predicate::Exists,
        1 => Predicate::NotExists,
        2 => Predicate::TextEquals(text),
        3 => Predicate::TextNotEquals(text),
        // The oracle reads expressions of this form only.
        4 => Predicate::TextMatches(format!("{}.*", &text[..1]).into()),
        _ => Predicate::TextNotMatches(format!("{}.*", &text[..1]).into()),
    };
    AttributeConstraint { selector, predicate }
}

/// Which agents a framework wants to be offered in some of its roles.
pub(crate) fn some_constraints(
    random: &mut Prng,
    roles: &BTreeSet<Role>,
) -> Option<OfferConstraints> {
    if random.percent(60) {
        return None;
    }
    let mut constraints = OfferConstraints::default();
    for role in roles {
        let groups = random.below(3);
        let group = |_| {
            let constraints = random.between(1, 2);
            (0..constraints).map(|_| some_constraint(random)).collect()
        };
        let groups: Vec<Vec<AttributeConstraint>> = (0..groups).map(group).collect();
        if !groups.is_empty() {
            constraints.roles.insert(role.clone(), groups);
        }
    }
    Some(constraints)
}

impl Habits {
    /// What it calls now by habit.
    pub(super) fn calls(
        self,
        random: &mut Prng,
        now: Time,
        info: &mut FrameworkInfo,
        agents: &[AgentId],
    ) -> Vec<CallBody> {
        let mut calls = Vec::new();
        if self.updates && random.percent(4) {
            calls.push(describes_anew(random, info));
        }
        if self.demands && random.percent(6) {
            calls.push(CallBody::Request { demands: some_demands(random, now, info, agents) });
        }
        if self.asks && random.below(150) == 0 {
            let tasks = (0..MANY).map(|n| {
                let task = TaskId::new(format!("ghost-{n}")).expect("a word is an id");
                (task, agents.first().cloned().filter(|_| n % 2 == 0))
            });
            calls.push(CallBody::Reconcile { tasks: tasks.collect() });
        }
        if self.asks && random.percent(2) {
            let operation = OperationId::new("ghost").expect("a word is an id");
            let agent = agents.get(random.index(agents.len() + 1)).cloned();
            calls.push(CallBody::ReconcileOperations { operations: vec![(operation, agent)] });
        }
        if self.keeps && random.percent(3) {
            calls.push(CallBody::ReconcileOperations { operations: Vec::new() });
        }
        if self.executors
            && random.percent(3)
            && let Some(agent_id) = agents.get(random.index(agents.len())).cloned()
        {
            let executor_id = ExecutorId::new("ghost").expect("a word is an id");
            calls.push(if random.percent(50) {
                CallBody::Shutdown { executor_id, agent_id }
            } else {
                CallBody::Message { agent_id, executor_id, data: Arc::from([1, 2, 3]) }
            });
        }
        calls
    }
}

/// UPDATE_FRAMEWORK; one in some of them makes no sense, and is not believed by its sender.
fn describes_anew(random: &mut Prng, info: &mut FrameworkInfo) -> CallBody {
    let mut new = info.clone();
    if random.percent(60) {
        new.roles = some_roles(random);
    }
    if random.percent(30) {
        some_capabilities(random, &mut new);
        // What it is told of lost tasks stays in the words that it knows: the oracle reads them.
        let words = [Capability::PartitionAware, Capability::TaskKillingState];
        let kept = |capability: &Capability| !words.contains(capability);
        let was = info.capabilities;
        new.capabilities = new
            .capabilities
            .iter()
            .filter(kept)
            .chain(words.into_iter().filter(|word| was.has(*word)))
            .collect();
    }
    if random.percent(30) {
        new.failover_timeout = random.millis(0, 30_000);
    }
    let mut suppressed_roles: BTreeSet<Role> =
        new.roles.iter().filter(|_| random.percent(20)).cloned().collect();
    let offer_constraints = some_constraints(random, &new.roles);
    let sense = match random.below(12) {
        0 => {
            new.user = Arc::from("somebody");
            false
        }
        1 => {
            let other = ROLES.iter().map(|role| Role::new(*role).expect("each of them is a role"));
            let other: Vec<Role> = other.filter(|role| !new.roles.contains(role)).collect();
            let nonsense = !other.is_empty();
            suppressed_roles.extend(other);
            !nonsense
        }
        _ => true,
    };
    if sense {
        *info = new.clone();
    }
    CallBody::UpdateFramework(Box::new(Subscribe {
        framework_info: new,
        suppressed_roles,
        offer_constraints,
        fence: None,
    }))
}

fn some_demands(
    random: &mut Prng,
    now: Time,
    info: &FrameworkInfo,
    agents: &[AgentId],
) -> Vec<Demand> {
    let count = match random.below(20) {
        0..8 => 0,
        // More than some masters keep of one framework.
        8 => 25,
        _ => random.between(1, 6),
    };
    let roles: Vec<&Role> = info.roles.iter().collect();
    let demand = |random: &mut Prng| {
        let late = random.percent(30);
        let deadline = if late { now } else { now + random.millis(0, 60_000) };
        Demand {
            role: random.percent(50).then(|| roles[random.index(roles.len())].clone()),
            agent_id: agents
                .get(random.index(agents.len()))
                .cloned()
                .filter(|_| random.percent(10)),
            resources: Resources::cpus_mem(random.between(1, 8) * 250, 64_000),
            // A count of nothing is refused, with the whole call.
            count: if random.percent(5) { 0 } else { random.between(1, 5) as u32 },
            deadline: random.percent(50).then_some(deadline),
            priority: [-5, 0, 0, 7][random.index(4)],
        }
    };
    (0..count).map(|_| demand(random)).collect()
}

/// These tasks as one group.
pub(crate) fn group(tasks: Vec<TaskInfo>) -> Operation {
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new("default").expect("a word is an id"),
        framework_id: None,
        resources: Resources::cpus_mem(10, 32_000),
        // Of type DEFAULT.
        payload: Arc::from([15 << 3, 1]),
    };
    Operation::LaunchGroup(Box::new(TaskGroup {
        executor: Some(executor),
        tasks,
        unreadable: Vec::new(),
    }))
}

/// Whether it makes way, or not, or says nothing.
pub(super) fn answer_inverse(
    random: &mut Prng,
    inverse_offer_ids: Vec<OfferId>,
    healed: bool,
) -> Option<CallBody> {
    let filters = Filters { refuse: Duration::from_secs(random.below(20)) };
    match random.below(5) {
        _ if healed => Some(CallBody::AcceptInverseOffers { inverse_offer_ids, filters }),
        0 => None,
        1 | 2 => Some(CallBody::AcceptInverseOffers { inverse_offer_ids, filters }),
        _ => Some(CallBody::DeclineInverseOffers { inverse_offer_ids, filters }),
    }
}

/// By name, so that what is taken from an offer is of the flavors that it has.
pub(super) fn pick(offered: &Resources, wanted: &BTreeMap<&str, u64>) -> Resources {
    let mut picked = Resources::new();
    for (name, amount) in wanted {
        let mut left = *amount;
        for piece in offered.pieces().iter().filter(|piece| piece.name.as_str() == *name) {
            if piece.flavor.is_whole() || left == 0 {
                continue;
            }
            let size = piece.size().min(left);
            left -= size;
            let value = proto::Value::Scalar(size);
            picked.add_piece(proto::Piece { value, ..piece.clone() });
        }
        if left > 0 {
            // More than there is.
            picked.add(&Resources::scalars([(*name, left)]));
        }
    }
    picked
}
