//! Frameworks are not offered what they said they do not want, nor what they cannot be offered.

use super::*;
use master_core::Refusal;
use proto::scheduler::Subscribe;
use proto::{
    Attribute, AttributeConstraint, Capability, Domain, OfferConstraints, Predicate, Selector,
};

/// A framework in the roles `*` and `batch` subscribes and says something; then it is offered what
/// an agent with a rack, in a region, has.
struct Told {
    info: FrameworkInfo,
    suppressed: &'static [&'static str],
    constraints: Option<OfferConstraints>,
    calls: Vec<(CallBody, bool)>,
    agent: AgentInfo,
    role: &'static str,
    /// Whether the master stands in another region, and cares.
    away: bool,
}

impl Default for Told {
    fn default() -> Self {
        let info = FrameworkInfo {
            id: Some(framework()),
            ..framework_info("f", &["*", "batch"], &[Capability::PartitionAware])
        };
        let agent = AgentInfo {
            attributes: vec![Attribute::text("rack", "r1")],
            domain: Some(Domain { region: Arc::from("there"), zone: Arc::from("z") }),
            ..admitted()
        };
        let (constraints, calls) = (None, Vec::new());
        Self { info, suppressed: &[], constraints, calls, agent, role: "*", away: false }
    }
}

fn subscribe(told: &Told) -> Box<Subscribe> {
    Box::new(Subscribe {
        framework_info: told.info.clone(),
        suppressed_roles: told.suppressed.iter().map(|role| Role::new(*role).unwrap()).collect(),
        offer_constraints: told.constraints.clone(),
        fence: None,
    })
}

fn judged(told: &Told, offered: Resources) -> &'static str {
    let here = Domain { region: Arc::from("here"), zone: Arc::from("z") };
    let mut wishes = Wishes::default();
    wishes.region = told.away.then_some(here);
    let mut step = |input: &Input, effects: &[Effect]| {
        wishes.will_step(input);
        id_of(wishes.stepped(effects))
    };
    let mut effects = met();
    effects[0] = Effect::Persist(RegistryOp::AdmitAgent {
        info: told.agent.clone(),
        version: Arc::from("1"),
        nonce: None,
        registered: Time::ZERO,
    });
    let (connection, call) = (FRAMEWORK, subscribe(told));
    let input = Input::Subscribe { connection, framework_id: None, call, principal: None };
    assert_eq!(step(&input, &effects), "nothing");
    for (body, taken) in &told.calls {
        let call = Call { framework_id: Some(framework()), body: body.clone() };
        let request = RequestId(1);
        let refused = Effect::Refused {
            request,
            call: Arc::from("it"),
            refusal: Refusal::SubscribeNeedsStream,
        };
        let input = Input::Call { request, connection: Some(FRAMEWORK), call };
        assert_eq!(step(&input, &[if *taken { accepted() } else { refused }]), "nothing");
    }
    let Effect::ToFramework { connection, event: Event::Offers(mut offers) } = offer("o1", 1)
    else {
        panic!("an offer is an offer");
    };
    offers[0].role = Role::new(told.role).unwrap();
    offers[0].resources = offered;
    step(&Input::Tick, &[Effect::ToFramework { connection, event: Event::Offers(offers) }])
}

fn plain() -> Resources {
    cpus_mem(1, 64)
}

#[test]
fn i21_a_role_is_offered_that_was_left_or_suppressed() {
    assert_eq!(judged(&Told::default(), plain()), "nothing");
    assert_eq!(judged(&Told { role: "services", ..Told::default() }, plain()), "I21");
    assert_eq!(judged(&Told { suppressed: &["*"], ..Told::default() }, plain()), "I21");
    let all = || CallBody::Suppress { roles: Vec::new() };
    let calls = vec![(all(), true)];
    assert_eq!(judged(&Told { calls, ..Told::default() }, plain()), "I21");
    let calls = vec![(all(), false)];
    assert_eq!(judged(&Told { calls, ..Told::default() }, plain()), "nothing", "it was refused");
    let again = CallBody::Revive { roles: vec![Role::any()] };
    let calls = vec![(all(), true), (again, true)];
    assert_eq!(judged(&Told { calls, ..Told::default() }, plain()), "nothing");
    let mut other = Told::default();
    other.info.roles = BTreeSet::from([Role::new("batch").unwrap()]);
    let calls = vec![(CallBody::UpdateFramework(subscribe(&other)), true)];
    assert_eq!(judged(&Told { calls, ..Told::default() }, plain()), "I21", "it left the role");
}

#[test]
fn i21_an_agent_is_offered_that_constraints_exclude() {
    let wants = |selector: Selector, predicate: Predicate| {
        let group = vec![AttributeConstraint { selector, predicate }];
        let roles = std::collections::BTreeMap::from([(Role::any(), vec![group])]);
        let constraints = Some(OfferConstraints { roles });
        judged(&Told { constraints, ..Told::default() }, plain())
    };
    let rack = || Selector::Attribute(Arc::from("rack"));
    assert_eq!(wants(rack(), Predicate::TextEquals(Arc::from("r1"))), "nothing");
    assert_eq!(wants(rack(), Predicate::TextEquals(Arc::from("r2"))), "I21");
    assert_eq!(wants(rack(), Predicate::TextMatches(Arc::from("r.*"))), "nothing");
    assert_eq!(wants(rack(), Predicate::TextNotMatches(Arc::from("r.*"))), "I21");
    assert_eq!(wants(rack(), Predicate::NotExists), "I21");
    assert_eq!(wants(Selector::Attribute(Arc::from("no")), Predicate::Exists), "I21");
    assert_eq!(wants(Selector::Zone, Predicate::TextNotEquals(Arc::from("z"))), "I21");
}

#[test]
fn i21_something_is_offered_that_capabilities_do_not_allow() {
    let with = |capability: Option<Capability>, away, agent: AgentInfo, offered| {
        let mut told = Told { agent, away, ..Told::default() };
        if let Some(capability) = capability {
            told.info.capabilities = told.info.capabilities.with(capability);
        }
        judged(&told, offered)
    };
    let gpus = || {
        let resources = cpus_mem(4, 64).plus(&Resources::scalars([("gpus", 1000)]));
        AgentInfo { resources, ..Told::default().agent }
    };
    assert_eq!(with(None, false, gpus(), plain()), "I21");
    assert_eq!(with(Some(Capability::GpuResources), false, gpus(), plain()), "nothing");
    let agent = || Told::default().agent;
    assert_eq!(with(None, true, agent(), plain()), "I21");
    assert_eq!(with(Some(Capability::RegionAware), true, agent(), plain()), "nothing");
    let special = |special, revocable| {
        let flavor = proto::Flavor::new(revocable, special);
        let name = proto::ResourceName::new("cpus");
        let mut all = Resources::new();
        all.add_piece(proto::Piece { name, flavor, value: proto::Value::Scalar(500) });
        all
    };
    let revocable = || special(proto::Special::default(), true);
    assert_eq!(with(None, false, agent(), revocable()), "I21");
    assert_eq!(with(Some(Capability::RevocableResources), false, agent(), revocable()), "nothing");
    let kept = proto::Reservation {
        kind: proto::ReservationKind::Static,
        role: Role::new("services").unwrap(),
        principal: None,
        labels: Vec::new(),
    };
    let kept = proto::Special { reservations: vec![kept], ..proto::Special::default() };
    assert_eq!(with(None, false, agent(), special(kept, false)), "I21", "it is of another role");
}
