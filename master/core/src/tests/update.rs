//! UPDATE_FRAMEWORK and offer constraints.

use crate::testing::*;
use proto::TaskState::Running;
use proto::scheduler::{CallBody, Subscribe};
use proto::{
    AgentInfo, Attribute, AttributeConstraint, AttributeValue, Domain, FrameworkInfo,
    OfferConstraints, Predicate, Selector,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

fn call(info: FrameworkInfo) -> Subscribe {
    let (suppressed_roles, offer_constraints) = (BTreeSet::new(), None);
    Subscribe { framework_info: info, suppressed_roles, offer_constraints, fence: None }
}

fn update(c: &mut Cluster, framework: &FrameworkSide, call: Subscribe) -> Vec<String> {
    c.call(framework, CallBody::UpdateFramework(Box::new(call)))
}

fn constraint(selector: Selector, predicate: Predicate) -> AttributeConstraint {
    AttributeConstraint { selector, predicate }
}

fn named(name: &str, predicate: Predicate) -> AttributeConstraint {
    constraint(Selector::Attribute(Arc::from(name)), predicate)
}

fn constraints(groups: Vec<Vec<AttributeConstraint>>) -> OfferConstraints {
    OfferConstraints { roles: BTreeMap::from([(role("*"), groups)]) }
}

#[test]
fn user_principal_and_checkpointing_never_change() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let refused = |c: &mut Cluster, how: &dyn Fn(&mut FrameworkInfo), why: &str| {
        let mut info = framework.info.clone();
        how(&mut info);
        let lines = update(c, &framework, call(info));
        assert_eq!(lines, [format!("UPDATE_FRAMEWORK refused (400): Changing framework's {why}")]);
    };
    refused(
        &mut c,
        &|info| info.user = Arc::from("eve"),
        "user is not allowed: was user, would be eve",
    );
    refused(
        &mut c,
        &|info| info.principal = Some(Arc::from("eve")),
        "principal is not allowed: was none, would be 'eve'",
    );
    refused(
        &mut c,
        &|info| info.checkpoint = !info.checkpoint,
        "checkpoint is not allowed: was false, would be true",
    );
}

#[test]
fn what_changes_is_told_to_agents_and_shown() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    let mut info = framework.info.clone();
    info.name = Arc::from("renamed");
    info.failover_timeout = Duration::from_secs(7);
    let lines = update(&mut c, &framework, call(info.clone()));
    assert_eq!(lines, ["c1 <- UPDATE_FRAMEWORK m-0000"]);
    // The same again is nothing new.
    expect(&update(&mut c, &framework, call(info)), &[]);
    let shown = &c.book.frameworks[&framework.id].record.info;
    assert_eq!((&*shown.name, shown.failover_timeout.as_secs()), ("renamed", 7));
}

#[test]
fn offers_in_roles_that_it_leaves_are_taken_back_and_new_roles_get_some() {
    let mut c = Cluster::default();
    let framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    c.agent(cpus_mem(4, 1024));
    let mut info = framework.info.clone();
    let offered = c.master.offers[&0].role.clone();
    info.roles = BTreeSet::from([role("c")]);
    let lines = update(&mut c, &framework, call(info));
    assert_eq!(lines, ["c1 <- RESCIND m-O0", "c1 <- OFFERS [m-O1 m-S0 c cpus:4; mem:1024]"]);
    assert_ne!(offered, role("c"));
}

#[test]
fn what_it_refused_in_a_role_that_it_wants_again_is_offered_anew() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    c.decline(&framework, &["m-O0"], Duration::from_secs(1000));
    let suppressed_roles = BTreeSet::from([role("*")]);
    let suppress = Subscribe { suppressed_roles, ..call(framework.info.clone()) };
    expect(&update(&mut c, &framework, suppress), &[]);
    let lines = update(&mut c, &framework, call(framework.info.clone()));
    assert_eq!(lines, ["c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn it_must_make_sense() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let suppressed_roles = BTreeSet::from([role("x")]);
    let wrong = Subscribe { suppressed_roles, ..call(framework.info.clone()) };
    expect(
        &update(&mut c, &framework, wrong),
        &[
            "UPDATE_FRAMEWORK refused (400): suppressed role 'x' is not one of the framework's roles",
        ],
    );
}

#[test]
fn constraints_must_make_sense() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let mut refused = |stated: OfferConstraints, why: &str| {
        let offer_constraints = Some(stated);
        let wrong = Subscribe { offer_constraints, ..call(framework.info.clone()) };
        let lines = update(&mut c, &framework, wrong);
        assert!(lines[0].starts_with("UPDATE_FRAMEWORK refused (400): "), "{lines:?}");
        assert!(lines[0].contains(why), "{lines:?}");
    };
    let exists = || named("zone", Predicate::Exists);
    let elsewhere = BTreeMap::from([(role("x"), vec![vec![exists()]])]);
    refused(OfferConstraints { roles: elsewhere }, "'x': the framework is not subscribed");
    refused(constraints(vec![]), "a role needs a group");
    refused(constraints(vec![vec![exists()], vec![]]), "a group a constraint");
    let open = named("zone", Predicate::TextMatches(Arc::from("(")));
    refused(constraints(vec![vec![open]]), "the expression '(' cannot be used");
    let big = named("zone", Predicate::TextMatches(Arc::from("(\\w{100}){100}")));
    refused(constraints(vec![vec![big]]), "cannot be used");
    let escapes = named("zone", Predicate::TextMatches(Arc::from("a)|(?:b")));
    refused(constraints(vec![vec![escapes]]), "the expression 'a)|(?:b' cannot be used");
    let simple = named("zone", Predicate::TextMatches(Arc::from("a")));
    refused(constraints(vec![vec![simple; 65]]), "64 of them expressions");
    refused(constraints(vec![vec![exists()]; 1025]), "at most 1024 constraints");
}

/// Whether a framework with these constraints is offered this agent.
fn offered(info: AgentInfo, groups: Vec<Vec<AttributeConstraint>>) -> bool {
    let mut c = Cluster::default();
    c.agent_from(info);
    let connection = c.connection();
    let offer_constraints = Some(constraints(groups));
    let info = framework_info("f", &["*"], &[]);
    let call = Box::new(Subscribe { offer_constraints, ..call(info) });
    let input = crate::Input::Subscribe { connection, framework_id: None, call, principal: None };
    c.feed(input).iter().any(|line| line.contains("OFFERS"))
}

fn agent() -> AgentInfo {
    let attributes = vec![
        Attribute::text("zone", "a1"),
        Attribute::text("zone", "b2"),
        Attribute { name: Arc::from("rack"), value: AttributeValue::Scalar(7000) },
    ];
    let domain = Some(Domain { region: Arc::from("eu"), zone: Arc::from("eu-1") });
    AgentInfo { attributes, domain, ..agent_info("host-1", cpus_mem(4, 1024)) }
}

#[test]
fn each_predicate_holds_as_in_mesos() {
    use Predicate::*;
    let text = |text: &str| Arc::<str>::from(text);
    let cases = [
        ("zone", Exists, true),
        ("none", Exists, false),
        ("zone", NotExists, false),
        ("none", NotExists, true),
        ("zone", TextEquals(text("a1")), true),
        ("zone", TextEquals(text("a")), false),
        ("none", TextEquals(text("a1")), false),
        // One of several is enough.
        ("zone", TextNotEquals(text("a1")), true),
        ("none", TextNotEquals(text("a1")), true),
        ("zone", TextMatches(text("[a-z]\\d")), true),
        // All of it must match.
        ("zone", TextMatches(text("a|b")), false),
        ("none", TextMatches(text(".*")), false),
        ("zone", TextNotMatches(text(".*")), false),
        ("none", TextNotMatches(text(".*")), true),
        // What is no text is for the scheduler.
        ("rack", TextEquals(text("8")), true),
        ("rack", TextNotMatches(text(".*")), true),
    ];
    for (name, predicate, holds) in cases {
        let told = format!("{name} {predicate:?}");
        assert_eq!(offered(agent(), vec![vec![named(name, predicate)]]), holds, "{told}");
    }
    let pseudo = |selector, value: &str| constraint(selector, TextEquals(text(value)));
    assert!(offered(agent(), vec![vec![pseudo(Selector::Hostname, "host-1")]]));
    assert!(offered(agent(), vec![vec![pseudo(Selector::Region, "eu")]]));
    assert!(offered(agent(), vec![vec![pseudo(Selector::Zone, "eu-1")]]));
    let nowhere = AgentInfo { domain: None, ..agent() };
    assert!(!offered(nowhere, vec![vec![pseudo(Selector::Zone, "eu-1")]]));
}

#[test]
fn every_constraint_of_one_group_must_hold() {
    let (yes, no) = (named("zone", Predicate::Exists), named("none", Predicate::Exists));
    assert!(!offered(agent(), vec![vec![yes.clone(), no.clone()]]));
    assert!(offered(agent(), vec![vec![no.clone()], vec![yes.clone()]]));
    assert!(!offered(agent(), vec![vec![no.clone()], vec![no]]));
}

#[test]
fn constraints_that_are_dropped_let_everything_pass_again() {
    let mut c = Cluster::default();
    c.agent_from(agent());
    let framework = c.framework_from(framework_info("f", &["*"], &[]));
    let only = constraints(vec![vec![named("none", Predicate::Exists)]]);
    let offer_constraints = Some(only);
    let narrow = Subscribe { offer_constraints, ..call(framework.info.clone()) };
    // What is offered already stays.
    expect(&update(&mut c, &framework, narrow), &[]);
    assert!(c.book.frameworks[&framework.id].record.constraints.is_some());
    expect(&c.decline(&framework, &["m-O0"], Duration::ZERO), &[]);
    let lines = update(&mut c, &framework, call(framework.info.clone()));
    assert!(lines[0].contains("OFFERS"), "{lines:?}");
}

#[test]
fn a_running_task_is_not_touched() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    let task = task_info("t1", "m-S0", cpus_mem(4, 1024));
    c.launch(&framework, &["m-O0"], vec![task]);
    c.update(&agent, &framework, "t1", Running, 1);
    let mut info = framework.info.clone();
    info.roles = BTreeSet::from([role("c")]);
    let lines = update(&mut c, &framework, call(info));
    assert_eq!(lines, ["c1 <- UPDATE_FRAMEWORK m-0000"]);
}
