//! Limits while agents are yet to come back to a new master: what runs there is not known.

use crate::testing::*;
use crate::{Options, Order, Why};
use proto::TaskState::Running;
use proto::scheduler::CallBody;
use proto::{
    Flavor, Piece, Reservation, ReservationKind, ResourceName, Resources, Role, Special, Value,
};
use std::time::Duration;

const LIMIT: &str = "cpus:2;mem:512";

/// What stands in offers to a role, and below it, in cpus.
fn cpus_of(c: &Cluster, name: &str) -> u64 {
    let name = role(name);
    let counts = |to: &Role| *to == name || to.is_below(&name);
    let offers = c.master.offers.values().filter(|offer| counts(&offer.role));
    offers.map(|offer| offer.resources.cpus() / 1000).sum()
}

/// A role at its limit, by a task on the first of two equal agents, and then a new master.
fn at_limit(options: Options, guarantee: &str) -> (Cluster, [AgentSide; 2], FrameworkSide) {
    let mut c = Cluster::new(options);
    let framework = c.framework_from(framework_info("f", &["q"], &[]));
    c.quota(&[("q", guarantee, LIMIT)]);
    let first = c.agent(cpus_mem(2, 512));
    let lines = c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(2, 512))]);
    assert!(lines.iter().any(|line| line.contains("RUN")), "{lines:?}");
    let second = c.agent(cpus_mem(2, 512));
    assert_eq!(cpus_of(&c, "q"), 0, "it is at its limit");
    c.restart_master();
    (c, [first, second], framework)
}

/// As `at_limit`; the scheduler is back, and so is the agent on which nothing runs.
fn one_is_back(options: Options) -> (Cluster, AgentSide, FrameworkSide) {
    let (mut c, [first, mut second], mut framework) = at_limit(options, "");
    c.resubscribe(&mut framework);
    c.reregister(&mut second, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 0, "the other agent may run two cpus of the role");
    (c, first, framework)
}

fn reserved(cpus: u64, to: &str) -> Resources {
    let reservation = Reservation {
        kind: ReservationKind::Static,
        role: role(to),
        principal: None,
        labels: Vec::new(),
    };
    let special = Special { reservations: vec![reservation], ..Special::default() };
    let flavor = Flavor::new(false, special);
    let value = Value::Scalar(cpus * 1000);
    [Piece { name: ResourceName::new("cpus"), flavor, value }].into_iter().collect()
}

#[test]
fn what_runs_on_an_agent_that_is_not_back_is_not_offered_again() {
    let (mut c, mut first, framework) = one_is_back(Options::default());
    let task = agent_task(&framework, "t1", cpus_mem(2, 512), Running);
    c.reregister(&mut first, vec![task], &[&framework]);
    assert_eq!(cpus_of(&c, "q"), 0);
    c.advance_alive(Duration::from_secs(60));
    assert_eq!(cpus_of(&c, "q"), 0, "now its use is known");
}

#[test]
fn what_turns_out_to_be_free_is_offered_when_the_agent_is_back() {
    let (mut c, mut first, _) = one_is_back(Options::default());
    c.reregister(&mut first, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 2);
}

#[test]
fn the_wait_ends_with_its_timeout() {
    let (mut c, ..) = one_is_back(Options::default());
    c.advance_alive(Duration::from_millis(29_500));
    assert_eq!(cpus_of(&c, "q"), 0);
    c.advance_alive(Duration::from_millis(500));
    assert_eq!(cpus_of(&c, "q"), 2);
}

#[test]
fn the_wait_ends_when_the_agent_is_given_up() {
    let (mut c, first, _) = one_is_back(Options::default());
    c.order(Order::MarkAgentGone(first.id));
    assert_eq!(cpus_of(&c, "q"), 2, "gone");

    let timeout = Duration::from_secs(10);
    let options = Options { agent_reregister_timeout: timeout, ..Options::default() };
    let (mut c, ..) = one_is_back(options);
    c.advance_alive(timeout);
    assert_eq!(cpus_of(&c, "q"), 2, "unreachable");

    let (mut c, first, _) = one_is_back(Options::default());
    let mut info = first.info;
    info.id = None;
    c.agent_from(info);
    assert_eq!(cpus_of(&c, "q"), 2, "replaced");
}

#[test]
fn without_a_timeout_only_what_is_known_counts() {
    let none = Options { quota_recovery_timeout: Duration::ZERO, ..Options::default() };
    let (mut c, [_, mut second], mut framework) = at_limit(none, "");
    c.resubscribe(&mut framework);
    c.reregister(&mut second, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 2);
}

#[test]
fn roles_without_a_limit_do_not_wait() {
    let (mut c, _, _) = one_is_back(Options::default());
    c.framework_from(framework_info("other", &["other"], &[]));
    assert_eq!(cpus_of(&c, "other"), 2);
}

#[test]
fn a_guarantee_is_kept_meanwhile_and_had_afterwards() {
    let (mut c, [_, mut second], mut framework) = at_limit(Options::default(), LIMIT);
    c.framework_from(framework_info("other", &["other"], &[]));
    c.resubscribe(&mut framework);
    c.reregister(&mut second, Vec::new(), &[]);
    assert_eq!((cpus_of(&c, "q"), cpus_of(&c, "other")), (0, 0));
    c.advance_alive(Duration::from_secs(30));
    assert_eq!((cpus_of(&c, "q"), cpus_of(&c, "other")), (2, 0));
}

#[test]
fn room_that_is_left_whatever_runs_there_is_offered_at_once_and_the_rest_later() {
    let mut c = Cluster::default();
    c.quota(&[("q", "", "cpus:3")]);
    let mut first = c.agent(cpus_mem(2, 512));
    let mut second = c.agent(cpus_mem(2, 512));
    c.restart_master();
    c.framework_from(framework_info("f", &["q/x"], &[]));
    c.reregister(&mut second, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 1);
    c.reregister(&mut first, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 3);
}

#[test]
fn what_is_reserved_there_counts_for_its_role_and_those_above_alone() {
    for (to, left) in [("other", 4), ("q", 1), ("q/x/y", 1), ("r/q", 4)] {
        let mut c = Cluster::default();
        c.quota(&[("q", "", "cpus:5")]);
        let mut there = cpus_mem(1, 512);
        there.add(&reserved(3, to));
        c.agent(there);
        let mut second = c.agent(cpus_mem(9, 512));
        c.restart_master();
        c.framework_from(framework_info("f", &["q/x"], &[]));
        c.reregister(&mut second, Vec::new(), &[]);
        assert_eq!(cpus_of(&c, "q"), left, "three cpus are reserved to {to}");
        // A quota that is set meanwhile counts the same.
        c.quota(&[("q", "", "")]);
        c.quota(&[("q", "", "cpus:5")]);
        assert_eq!(cpus_of(&c, "q"), left, "set anew, three are reserved to {to}");
    }
}

#[test]
fn a_limit_that_is_set_meanwhile_takes_back_what_may_be_too_much() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(2, 512));
    let mut second = c.agent(cpus_mem(2, 512));
    c.restart_master();
    c.framework_from(framework_info("f", &["q"], &[]));
    c.reregister(&mut second, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 2);
    c.quota(&[("q", "", "cpus:3")]);
    assert_eq!(cpus_of(&c, "q"), 1);
}

#[test]
fn a_framework_with_a_demand_is_served_when_the_agent_is_back() {
    let (mut c, mut first, framework) = one_is_back(Options::default());
    let demands = vec![demand(1, cpus_mem(2, 512))];
    c.call(&framework, CallBody::Request { demands });
    assert_eq!(cpus_of(&c, "q"), 0);
    c.reregister(&mut first, Vec::new(), &[]);
    assert_eq!(cpus_of(&c, "q"), 2);
}

#[test]
fn the_reason_is_told() {
    let (mut c, ..) = one_is_back(Options::default());
    c.advance_alive(Duration::from_secs(10));
    let reasons = c.master.explain_role(&role("q"));
    let wait = Duration::from_secs(20);
    let unknown = Why::UseUnknown { role: role("q"), agents: 1, wait };
    assert!(reasons.contains(&unknown), "{reasons:?}");
    assert_eq!(
        unknown.to_string(),
        "What role q uses on 1 agent that has not come back to this master yet is not known: until \
         then, for at most 20 s, all that it could use there counts towards its limit."
    );
    c.advance_alive(Duration::from_secs(20));
    let reasons = c.master.explain_role(&role("q"));
    assert!(!reasons.iter().any(|why| matches!(why, Why::UseUnknown { .. })), "{reasons:?}");
}
