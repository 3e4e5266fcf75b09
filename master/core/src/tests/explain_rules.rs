//! Which rule stands against offers, with its figures, of a framework and of a role.

use crate::testing::*;
use crate::{Options, Order, Why};
use proto::scheduler::{CallBody, Subscribe};
use proto::{
    AttributeConstraint, Domain, Flavor, OfferConstraints, Piece, Predicate, Reservation,
    ReservationKind, ResourceName, Resources, Selector, Special, Value,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

fn why(c: &Cluster, framework: &FrameworkSide) -> Vec<Why> {
    c.master.explain_framework(&framework.id).unwrap()
}

fn text(reasons: &[Why]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

fn in_role(c: &mut Cluster, role: &str) -> FrameworkSide {
    c.framework_from(framework_info("f", &[role], &[]))
}

#[test]
fn a_limit_of_an_ancestor_is_named_with_its_figures() {
    let mut c = Cluster::default();
    c.quota(&[("eng", "", "cpus:4")]);
    let first = in_role(&mut c, "eng/a");
    c.agent(cpus_mem(4, 1024));
    c.launch(&first, &["m-O0"], vec![task_info("t", "m-S0", cpus_mem(4, 1024))]);
    let second = in_role(&mut c, "eng/b");
    c.agent(cpus_mem(2, 0));
    c.agent(cpus_mem(2, 0));
    let figures = vec![(ResourceName::new("cpus"), 4000, 4000)];
    let limit = Why::AtLimit { role: role("eng"), agents: 2, figures };
    assert_eq!(why(&c, &second)[0], limit);
    assert_eq!(
        limit.to_string(),
        "The limit of role eng stands against offers of 2 agents: cpus 4 of 4 consumed."
    );
    let of_role = c.master.explain_role(&role("eng/b"));
    assert!(of_role.contains(&limit), "{of_role:?}");
}

#[test]
fn a_limit_that_leaves_less_than_the_demand_is_named() {
    let mut c = Cluster::default();
    c.quota(&[("eng", "", "cpus:1")]);
    let framework = in_role(&mut c, "eng");
    let demands = vec![demand(1, cpus_mem(2, 64))];
    c.call(&framework, CallBody::Request { demands });
    c.agent(cpus_mem(4, 1024));
    let figures = vec![(ResourceName::new("cpus"), 0, 1000)];
    let limit = Why::AtLimit { role: role("eng"), agents: 1, figures };
    assert_eq!(why(&c, &framework), [limit]);
    // Of what is too small for it anyway, the demand is the reason.
    let demands = vec![demand(1, cpus_mem(8, 64))];
    c.call(&framework, CallBody::Request { demands });
    assert!(matches!(why(&c, &framework)[..], [Why::BundleTooBig { .. }]));
}

#[test]
fn what_is_kept_for_guarantees_is_named_with_those_who_lack_it() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    c.quota(&[("g", "cpus:4;mem:1024", "")]);
    let framework = in_role(&mut c, "a");
    let reasons = text(&why(&c, &framework));
    assert_eq!(
        reasons[0],
        "What is free on 1 agent is kept for guarantees (cpus=4,mem=1024 in the whole cluster): \
         role g lacks cpus=4,mem=1024."
    );
    // The guaranteed role has nobody to be offered it.
    assert_eq!(
        text(&c.master.explain_role(&role("g"))),
        [
            "Role g has a dominant share of 0.0% and the weight 1; it consumes nothing, is \
             guaranteed cpus=4,mem=1024 and lacks cpus=4,mem=1024.",
            "No framework is subscribed to role g or to one below.",
        ]
    );
}

#[test]
fn how_a_role_stands_names_its_guarantee_and_its_limit_apart_from_what_it_consumes() {
    let mut c = Cluster::default();
    c.quota(&[("g", "cpus:1;mem:64", "cpus:2;mem:128"), ("h", "", "cpus:0.5")]);
    let stands = |name: &str| text(&c.master.explain_role(&role(name)))[0].clone();
    assert_eq!(
        stands("g"),
        "Role g has a dominant share of 0.0% and the weight 1; it consumes nothing, is guaranteed \
         cpus=1,mem=64 and lacks cpus=1,mem=64; its limit is cpus=2,mem=128."
    );
    assert_eq!(
        stands("h"),
        "Role h has a dominant share of 0.0% and the weight 1; it consumes nothing; its limit is \
         cpus=0.5."
    );
}

#[test]
fn filters_are_counted_for_a_role() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(1, 64));
    c.agent(cpus_mem(2, 64));
    let framework = in_role(&mut c, "a/b");
    c.decline(&framework, &["m-O0", "m-O1"], Duration::from_secs(60));
    let first_until = c.now + Duration::from_secs(60);
    let reasons = c.master.explain_role(&role("a"));
    assert!(reasons.contains(&Why::Filtered { agents: 2, first_until }), "{reasons:?}");
}

#[test]
fn suppressed_and_lost_frameworks_of_a_role_are_counted() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(1, 64));
    let suppressed = in_role(&mut c, "a");
    c.call(&suppressed, CallBody::Suppress { roles: vec![] });
    let lost = in_role(&mut c, "a/b");
    c.close_framework(&lost);
    let reasons = c.master.explain_role(&role("a"));
    let (role, frameworks) = (role("a"), 2);
    let of_role = role.clone();
    let counts = Why::RoleFrameworks { role: of_role, frameworks, disconnected: 1, suppressed: 1 };
    assert_eq!(reasons[1], counts);
    let of = |frameworks, disconnected, suppressed| {
        let role = role.clone();
        Why::RoleFrameworks { role, frameworks, disconnected, suppressed }.to_string()
    };
    assert_eq!(of(1, 1, 0), "The only framework of role a and below is not connected.");
    assert_eq!(of(1, 0, 1), "The only framework of role a and below suppressed its offers.");
    let both = "Of 3 frameworks of role a and below, 1 is not connected and 2 suppressed their \
                offers.";
    assert_eq!(of(3, 1, 2), both);
    assert_eq!(of(3, 0, 1), "Of 3 frameworks of role a and below, 1 suppressed its offers.");
}

#[test]
fn constraints_that_exclude_every_agent_are_counted() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(1, 64));
    let framework = in_role(&mut c, "a");
    c.call(&framework, CallBody::Suppress { roles: vec![] });
    c.decline(&framework, &["m-O0"], Duration::ZERO);
    let exists = AttributeConstraint {
        selector: Selector::Attribute(Arc::from("ssd")),
        predicate: Predicate::Exists,
    };
    let roles = BTreeMap::from([(role("a"), vec![vec![exists]])]);
    let update = Subscribe {
        framework_info: framework_info("f", &["a"], &[]),
        suppressed_roles: BTreeSet::new(),
        offer_constraints: Some(OfferConstraints { roles }),
        fence: None,
    };
    c.call(&framework, CallBody::UpdateFramework(Box::new(update)));
    assert_eq!(why(&c, &framework), [Why::Constrained { agents: 1 }]);
}

#[test]
fn another_region_and_reservations_of_others_are_counted() {
    let domain = |region: &str| Domain { region: Arc::from(region), zone: Arc::from("z") };
    let mut c = Cluster::new(Options { domain: Some(domain("here")), ..Options::default() });
    let mut away = agent_info("away", cpus_mem(1, 64));
    away.domain = Some(domain("there"));
    c.agent_from(away);
    let reservation = Reservation {
        kind: ReservationKind::Static,
        role: role("other"),
        principal: None,
        labels: Vec::new(),
    };
    let reservations = vec![reservation];
    let flavor = Flavor::new(false, Special { reservations, ..Special::default() });
    let mut reserved = Resources::new();
    let (name, value) = (ResourceName::new("cpus"), Value::Scalar(1000));
    reserved.add_piece(Piece { name, flavor, value });
    c.agent(reserved);
    let framework = in_role(&mut c, "a");
    let reasons = why(&c, &framework);
    assert_eq!(reasons, [Why::OtherRegion { agents: 1 }, Why::TooSmall { agents: 1 }]);
}

#[test]
fn agents_that_are_not_offered_from_are_counted() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(1, 64));
    c.agent(cpus_mem(1, 64));
    let away = c.agent(cpus_mem(1, 64));
    c.order(Order::DeactivateAgent(agent_id("m-S0")));
    c.close_agent(&away);
    let framework = in_role(&mut c, "a");
    let reasons = why(&c, &framework);
    assert!(reasons.contains(&Why::Withheld { silent: 1, deactivated: 1 }), "{reasons:?}");
}

#[test]
fn what_stands_in_the_way_of_a_role_is_what_stands_in_that_of_its_frameworks() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = in_role(&mut c, "a");
    let reasons = c.master.explain_role(&role("a"));
    let (offers, resources) = (1, cpus_mem(4, 1024));
    assert!(matches!(reasons[0], Why::RoleStands { share_milli: 1000, .. }), "{reasons:?}");
    assert_eq!(reasons[1], Why::RoleHoldsOffers { role: role("a"), offers, resources });
    assert!(matches!(why(&c, &framework)[0], Why::HoldsOffers { offers: 1, .. }));
}

#[test]
fn operators_ask_about_a_role() {
    let mut c = Cluster::default();
    let lines = c.operator(proto::operator::Call::ExplainRole(role("x")));
    expect(
        &lines,
        &["answer: Explanation([\"No framework is subscribed to role x or to one below.\"])"],
    );
}
