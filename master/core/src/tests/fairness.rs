//! On clusters at random, the allocator makes the offers of the naive one.

use super::oracle::{Made, Naive};
use crate::table::FrameworkOrd;
use crate::testing::*;
use crate::{Effect, Input, Options, RequestId};
use proptest::prelude::*;
use proto::scheduler::{CallBody, Event};
use proto::{
    Capability, Disk, DiskKind, DiskSource, Filters, Flavor, OfferId, Operation, Piece,
    Reservation, ReservationKind, ResourceName, Resources, Role, Special, TaskState, Value,
};
use std::collections::BTreeMap;
use std::time::Duration;

const ROLES: [&str; 7] = ["*", "a", "a/b", "a/b/c", "a/d", "e", "e/f"];

#[derive(Clone, Debug)]
enum Deed {
    Framework { roles: Vec<u8>, gpus: bool, least: u8 },
    Agent { cpus: u8, mem: u8, disk: u8, special: u8 },
    Weight { role: u8, milli: u16 },
    Quota { role: u8, guarantee: (u8, u8), limit: (u8, u8) },
    Launch { offer: u8, share: u8, refuse: u8 },
    Decline { offer: u8, refuse: u8 },
    Finish { task: u8 },
    Suppress { who: u8 },
    Revive { who: u8 },
    Demand { who: u8, bundles: Vec<Bundle> },
    Leave { who: u8 },
    LoseAgent { agent: u8 },
    Wait { seconds: u8 },
}

#[derive(Clone, Copy, Debug)]
struct Bundle {
    cpus: u8,
    mem: u8,
    count: u8,
    priority: u8,
    seconds: u8,
}

fn bundle() -> impl Strategy<Value = Bundle> {
    (0_u8..5, 0_u8..9, 1_u8..4, 0_u8..3, 0_u8..5).prop_map(
        |(cpus, mem, count, priority, seconds)| Bundle { cpus, mem, count, priority, seconds },
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    let pair = || (0_u8..9, 0_u8..9);
    prop_oneof![
        4 => (prop::collection::vec(0_u8..7, 1..3), any::<bool>(), 0_u8..8)
            .prop_map(|(roles, gpus, least)| Deed::Framework { roles, gpus, least }),
        5 => (1_u8..9, 1_u8..9, 0_u8..3, 0_u8..24)
            .prop_map(|(cpus, mem, disk, special)| Deed::Agent { cpus, mem, disk, special }),
        2 => (0_u8..7, 100_u16..5000).prop_map(|(role, milli)| Deed::Weight { role, milli }),
        4 => (1_u8..7, pair(), pair())
            .prop_map(|(role, guarantee, limit)| Deed::Quota { role, guarantee, limit }),
        6 => (any::<u8>(), 1_u8..5, 0_u8..9)
            .prop_map(|(offer, share, refuse)| Deed::Launch { offer, share, refuse }),
        5 => (any::<u8>(), 0_u8..9).prop_map(|(offer, refuse)| Deed::Decline { offer, refuse }),
        4 => any::<u8>().prop_map(|task| Deed::Finish { task }),
        1 => any::<u8>().prop_map(|who| Deed::Suppress { who }),
        2 => any::<u8>().prop_map(|who| Deed::Revive { who }),
        2 => (any::<u8>(), prop::collection::vec(bundle(), 0..4))
            .prop_map(|(who, bundles)| Deed::Demand { who, bundles }),
        1 => any::<u8>().prop_map(|who| Deed::Leave { who }),
        1 => any::<u8>().prop_map(|agent| Deed::LoseAgent { agent }),
        2 => (0_u8..4).prop_map(|seconds| Deed::Wait { seconds }),
    ]
}

/// The thousandths of a cpu and of a MB that amounts are multiples of.
#[derive(Clone, Copy, Debug)]
struct Grain {
    cpus: u64,
    mem: u64,
}

/// Whatever is there is worth an offer; and amounts of which it takes several for that.
const GRAINS: [Grain; 2] = [Grain { cpus: 1000, mem: 100_000 }, Grain { cpus: 4, mem: 12_000 }];

impl Grain {
    /// A guarantee or a limit as text; a number from `skip` on leaves its resource out.
    fn amounts(self, (cpus, mem): (u8, u8), skip: u8) -> String {
        let part = |name: &str, n: u8, unit: u64| {
            let milli = u64::from(n) * unit;
            if n >= skip {
                String::new()
            } else {
                format!("{name}:{}.{:03};", milli / 1000, milli % 1000)
            }
        };
        let (cpus, mem) = (part("cpus", cpus, self.cpus), part("mem", mem, self.mem));
        format!("{cpus}{}", mem.trim_end_matches(';'))
    }
}

/// Reservations, disks of their own and revocable resources.
fn special_pieces(special: u8, grain: Grain) -> Vec<Piece> {
    let piece = |name: &str, milli: u64, flavor: Flavor| Piece {
        name: ResourceName::new(name),
        flavor,
        value: Value::Scalar(milli),
    };
    let reserved = |at: u8| {
        let reservation = Reservation {
            kind: ReservationKind::Static,
            role: role(ROLES[usize::from(at)]),
            principal: None,
            labels: Vec::new(),
        };
        let reservations = vec![reservation];
        Flavor::new(false, Special { reservations, ..Special::default() })
    };
    match special {
        1..=6 => vec![
            piece("cpus", 2 * grain.cpus, reserved(special)),
            piece("mem", grain.mem, reserved(special)),
        ],
        7 | 8 => {
            let source = DiskSource::new(DiskKind::Mount, "/mnt");
            let disk = Disk { source: Some(source), ..Disk::default() };
            let flavor = Flavor::new(false, Special { disk: Some(disk), ..Special::default() });
            vec![piece("disk", 1_500_000, flavor)]
        }
        9 | 10 => vec![piece("cpus", grain.cpus, Flavor { revocable: true, special: None })],
        _ => Vec::new(),
    }
}

/// A cluster whose passes are compared.
struct Twins {
    c: Cluster,
    grain: Grain,
    frameworks: Vec<FrameworkSide>,
    agents: Vec<AgentSide>,
    /// Framework, agent, id.
    tasks: Vec<(usize, usize, String)>,
    counts: BTreeMap<(Role, FrameworkOrd), u64>,
    launched: usize,
    passes: usize,
    offers: usize,
}

fn pick<T>(all: &[T], number: u8) -> Option<usize> {
    (!all.is_empty()).then(|| usize::from(number) % all.len())
}

impl Twins {
    fn new(grain: Grain) -> Self {
        // Every pass looks at all that waits, and passes come one at a time.
        let options = Options {
            allocation_slice: 1000,
            allocation_delay: Duration::from_millis(1),
            offer_timeout: None,
            ping_interval: Duration::from_secs(100_000),
            // Passes are taken apart here, and the copy would miss what is between.
            publish_interval: None,
            ..Options::default()
        };
        let c = Cluster::new(options);
        let (frameworks, agents, tasks) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            c,
            grain,
            frameworks,
            agents,
            tasks,
            counts: BTreeMap::new(),
            launched: 0,
            passes: 0,
            offers: 0,
        }
    }

    /// Takes the passes that are due, each against the oracle. What comes after the first one is
    /// looked at again because it was held, or woken: together they make the same offers.
    fn settle(&mut self) {
        self.reach_the_pass();
        self.c.effects.clear();
        if std::mem::take(&mut self.c.master.allocator.sorter.surpassed) {
            let mut rescinded = Vec::new();
            self.c.master.enforce_limits(&mut rescinded);
        }
        self.c.master.mark_for_woken();
        let expected = Naive::new(&self.c.master, self.counts.clone()).offers();
        while self.c.master.allocator.due.is_some() {
            // No time goes by between them, in which a filter could end that the oracle counts.
            self.c.master.allocator.due = Some(self.c.now);
            self.c.step(Input::Tick);
            self.passes += 1;
        }
        let mut made: Vec<Made> = Vec::new();
        for effect in &self.c.effects {
            if let Effect::ToFramework { event: Event::Offers(offers), .. } = effect {
                made.extend(offers.iter().map(|offer| {
                    let text = |id: &str| id.to_owned();
                    (
                        text(offer.framework_id.as_str()),
                        text(offer.role.as_str()),
                        text(offer.agent_id.as_str()),
                        offer.resources.to_string(),
                    )
                }));
                for offer in offers {
                    let ord = self.c.master.framework_ids[&offer.framework_id];
                    *self.counts.entry((offer.role.clone(), ord)).or_default() += 1;
                }
            }
        }
        made.sort();
        self.offers += made.len();
        assert_eq!(made, expected);
    }

    /// Lets the time come at which a pass is due, with all that happens until then but the pass.
    fn reach_the_pass(&mut self) {
        while let Some(due) = self.c.master.allocator.due.take() {
            self.c.now = self.c.now.max(due);
            let now = self.c.now;
            self.c.master.step(now, Input::Tick, &mut self.c.effects);
            let more = self.c.master.allocator.due.replace(now);
            if more.is_none() {
                return;
            }
        }
    }

    /// The counts of seats that are gone begin anew.
    fn forget_counts(&mut self) {
        let sorter = &self.c.master.allocator.sorter;
        self.counts.retain(|(role, ord), _| sorter.seat_in(*ord, role).is_some());
    }

    fn offer(&self, number: u8) -> Option<(OfferId, usize, usize, Resources)> {
        let all: Vec<_> = self.c.master.offers.values().collect();
        let offer = all[pick(&all, number)?];
        let framework = &self.c.master.frameworks[offer.framework].id;
        let agent = &self.c.master.agents[offer.agent].id;
        let framework = self.frameworks.iter().position(|side| side.id == *framework)?;
        let agent = self.agents.iter().position(|side| side.id == *agent)?;
        Some((offer.id.clone(), framework, agent, offer.resources.clone()))
    }

    fn launch(&mut self, offer: u8, share: u8, refuse: u8) {
        let Some((id, framework, agent, resources)) = self.offer(offer) else { return };
        let part = Resources::cpus_mem(
            resources.cpus() * u64::from(share) / 4,
            resources.mem() * u64::from(share) / 4,
        );
        if part.is_empty() {
            return;
        }
        let part = if share == 4 { resources } else { part };
        let name = format!("t{}", self.launched);
        self.launched += 1;
        let task = task_info(&name, self.agents[agent].id.as_str(), part);
        let body = CallBody::Accept {
            offer_ids: vec![id],
            operations: vec![Operation::Launch(vec![task])],
            filters: Filters { refuse: Duration::from_secs(u64::from(refuse)) },
        };
        let side = self.frameworks[framework].clone();
        self.c.call(&side, body);
        self.tasks.push((framework, agent, name));
    }

    fn act(&mut self, deed: Deed) {
        match deed {
            Deed::Framework { .. } | Deed::Agent { .. } | Deed::LoseAgent { .. } => self.join(deed),
            Deed::Weight { role: at, milli } => {
                let role = role(ROLES[usize::from(at)]);
                let (request, weight_milli) = (RequestId(0), u64::from(milli));
                self.c.feed(Input::SetWeight { request, role, weight_milli });
            }
            Deed::Quota { role: at, guarantee, limit } => {
                let (guarantee, limit) =
                    (self.grain.amounts(guarantee, 4), self.grain.amounts(limit, 8));
                self.c.set_quota(&[(ROLES[usize::from(at)], &guarantee, &limit)], true);
            }
            Deed::Launch { offer, share, refuse } => self.launch(offer, share, refuse),
            Deed::Decline { offer, refuse } => {
                if let Some((id, framework, ..)) = self.offer(offer) {
                    let side = self.frameworks[framework].clone();
                    self.c.decline(&side, &[id.as_str()], Duration::from_secs(u64::from(refuse)));
                }
            }
            Deed::Finish { task } => {
                if let Some(at) = pick(&self.tasks, task) {
                    let (framework, agent, name) = self.tasks.swap_remove(at);
                    let (side, agent) = (&self.frameworks[framework], &self.agents[agent]);
                    self.c.update(agent, side, &name, TaskState::Finished, 1);
                }
            }
            Deed::Suppress { who } | Deed::Revive { who } | Deed::Leave { who } => {
                if let Some(at) = pick(&self.frameworks, who) {
                    let side = self.frameworks[at].clone();
                    match deed {
                        Deed::Suppress { .. } => {
                            self.c.call(&side, CallBody::Suppress { roles: vec![] });
                        }
                        Deed::Revive { .. } => {
                            self.c.call(&side, CallBody::Revive { roles: vec![] });
                        }
                        _ => {
                            self.c.close_framework(&side);
                        }
                    }
                }
            }
            Deed::Demand { who, bundles } => {
                if let Some(at) = pick(&self.frameworks, who) {
                    let (now, grain) = (self.c.now, self.grain);
                    let one = |bundle: &Bundle| {
                        let (cpus, mem) = (u64::from(bundle.cpus), u64::from(bundle.mem));
                        let resources = Resources::cpus_mem(
                            cpus * grain.cpus * 9 / 10,
                            mem * grain.mem * 9 / 10 + grain.mem / 10,
                        );
                        let deadline = now + Duration::from_secs(u64::from(bundle.seconds));
                        proto::scheduler::Demand {
                            priority: i32::from(bundle.priority),
                            deadline: (bundle.seconds > 0).then_some(deadline),
                            ..demand(u32::from(bundle.count), resources)
                        }
                    };
                    let demands = bundles.iter().map(one).collect();
                    let side = self.frameworks[at].clone();
                    self.c.call(&side, CallBody::Request { demands });
                }
            }
            Deed::Wait { seconds } => self.wait(Duration::from_secs(u64::from(seconds))),
        }
    }

    fn wait(&mut self, time: Duration) {
        let until = self.c.now + time;
        self.settle();
        self.forget_counts();
        // Filters end one after the other; each has its pass.
        while let Some(at) = self.c.master.deadlines.next().filter(|at| *at <= until) {
            self.c.now = self.c.now.max(at);
            self.c.effects.clear();
            self.c.step(Input::Tick);
            self.settle();
            self.forget_counts();
        }
        self.c.now = self.c.now.max(until);
    }

    fn join(&mut self, deed: Deed) {
        match deed {
            Deed::Framework { roles, gpus, least } if self.frameworks.len() < 6 => {
                let roles: Vec<&str> = roles.iter().map(|at| ROLES[usize::from(*at)]).collect();
                let capabilities: &[Capability] = if gpus {
                    &[Capability::GpuResources, Capability::RevocableResources]
                } else {
                    &[]
                };
                let mut info = framework_info("f", &roles, capabilities);
                info.single_role = info.roles.len() == 1;
                info.failover_timeout = Duration::from_secs(100_000);
                if least < 2 {
                    let least =
                        if least == 0 { Vec::new() } else { vec![quota("cpus:2", "").guarantees] };
                    let first = info.roles.first().unwrap().clone();
                    info.min_allocatable.insert(first, least);
                }
                self.frameworks.push(self.c.framework_from(info));
            }
            Deed::Agent { cpus, mem, disk, special } if self.agents.len() < 6 => {
                let Grain { cpus: cpu, mem: mb } = self.grain;
                let mut all = vec![("cpus", u64::from(cpus) * cpu), ("mem", u64::from(mem) * mb)];
                all.push(("disk", u64::from(disk) * 1_000_000));
                if special == 0 {
                    all.push(("gpus", 1000));
                }
                let mut all = Resources::scalars(all);
                for piece in special_pieces(special, self.grain) {
                    all.add_piece(piece);
                }
                self.agents.push(self.c.agent(all));
            }
            Deed::LoseAgent { agent } => {
                if let Some(at) = pick(&self.agents, agent) {
                    let side = self.agents[at].clone();
                    self.c.close_agent(&side);
                }
            }
            _ => {}
        }
    }
}

/// Settles after the deeds that say so, and at the end.
fn compare(deeds: impl IntoIterator<Item = (Deed, bool)>, grain: Grain) {
    let mut twins = Twins::new(grain);
    for (deed, settles) in deeds {
        twins.act(deed);
        if settles {
            twins.settle();
            twins.forget_counts();
        }
    }
    twins.settle();
}

/// Who has least comes first, also among agents of which reserved resources were taken in the same
/// pass in which a role had room again.
#[test]
fn an_agent_that_has_only_plain_resources_left_has_its_turn_with_the_others() {
    let quota = |role, limit| Deed::Quota { role, guarantee: (0, 0), limit };
    let agent = |cpus, mem, special| Deed::Agent { cpus, mem, disk: 0, special };
    let framework = |role, least| Deed::Framework { roles: vec![role], gpus: false, least };
    let deeds = [
        (quota(2, (0, 2)), false),
        (quota(4, (5, 0)), false),
        (agent(1, 2, 1), false),
        (agent(5, 1, 4), false),
        (framework(2, 2), false),
        (agent(1, 2, 1), true),
        (framework(4, 0), false),
        (Deed::Launch { offer: 162, share: 1, refuse: 1 }, false),
    ];
    compare(deeds, GRAINS[0]);
}

/// An agent is lost a millisecond before a filter ends, so that one role has room and another
/// framework is asked again.
#[test]
fn a_filter_that_ends_soon_after_a_role_has_room_again_counts_for_both() {
    let framework = |role| Deed::Framework { roles: vec![role], gpus: false, least: 0 };
    let agent = |cpus| Deed::Agent { cpus, mem: 1, disk: 0, special: 1 };
    let deeds = [
        (framework(5), false),
        (framework(0), false),
        (agent(2), false),
        (framework(0), true),
        (Deed::Launch { offer: 0, share: 1, refuse: 1 }, false),
        (Deed::Quota { role: 5, guarantee: (0, 4), limit: (1, 0) }, true),
        (Deed::Suppress { who: 139 }, false),
        (Deed::LoseAgent { agent: 0 }, false),
        (agent(1), true),
        (Deed::Wait { seconds: 3 }, false),
        (Deed::Demand { who: 15, bundles: vec![] }, true),
        (Deed::Decline { offer: 0, refuse: 2 }, false),
        (Deed::Wait { seconds: 2 }, false),
    ];
    compare(deeds, GRAINS[0]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        cases: 2000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_offers_are_those_of_the_naive_allocator(
        deeds in prop::collection::vec((deed(), prop::bool::weighted(0.7)), 1..30),
        grain in 0_usize..GRAINS.len(),
    ) {
        compare(deeds, GRAINS[grain]);
    }
}
