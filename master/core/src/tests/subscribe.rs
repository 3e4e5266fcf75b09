//! SUBSCRIBE: new, again, in another's place, and what is refused.

use crate::testing::*;
use crate::{Input, Options};
use proto::scheduler::{CallBody, Subscribe};
use proto::{Capability, FrameworkInfo, TaskState};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_new_framework_gets_an_id_a_heartbeat_and_persists_nothing() {
    let mut c = Cluster::default();
    c.framework();
    expect(&c.lines(), &["c1 <- SUBSCRIBED m-0000", "c1 <- HEARTBEAT"]);
    c.framework();
    expect(&c.lines(), &["c2 <- SUBSCRIBED m-0001", "c2 <- HEARTBEAT"]);
}

#[test]
fn the_heartbeat_comes_every_fifteen_seconds() {
    let mut c = Cluster::default();
    c.framework();
    let at = c.master.deadline().unwrap();
    assert_eq!(at.since(c.now), Duration::from_secs(15));
    c.now = at;
    expect(&c.feed(Input::Tick), &["c1 <- HEARTBEAT"]);
    assert_eq!(c.master.deadline().unwrap().since(at), Duration::from_secs(15));
}

#[test]
fn a_second_instance_takes_over_at_once() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    let lines = c.resubscribe(&mut framework);
    // The new instance never saw the old offers: they are not rescinded, but made anew.
    expect(
        &lines,
        &[
            "c2 <- ERROR Framework failed over",
            "c2 closed",
            "c3 <- SUBSCRIBED m-0000",
            "c3 <- HEARTBEAT",
            "c3 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn the_old_stream_that_ends_after_a_failover_changes_nothing() {
    let mut c = Cluster::default();
    let mut framework = c.framework();
    let old = framework.connection;
    c.resubscribe(&mut framework);
    expect(&c.feed(Input::FrameworkClosed { connection: old }), &[]);
    expect(&c.call(&framework, CallBody::Revive { roles: vec![] }), &[]);
}

#[test]
fn a_retried_subscribe_on_the_same_stream_is_answered_again() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let lines =
        c.subscribe(framework.connection, Some(framework.id.clone()), framework.info.clone());
    expect(
        &lines,
        &[
            "c2 <- SUBSCRIBED m-0000",
            "c2 <- HEARTBEAT",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn an_unknown_id_is_accepted_as_it_is() {
    let mut c = Cluster::default();
    let connection = c.connection();
    let lines =
        c.subscribe(connection, Some(framework_id("old-0007")), framework_info("f", &["*"], &[]));
    expect(&lines, &["c1 <- SUBSCRIBED old-0007", "c1 <- HEARTBEAT"]);
}

#[test]
fn a_removed_framework_stays_removed() {
    let mut c = Cluster::default();
    let mut framework = c.framework();
    expect(&c.call(&framework, CallBody::Teardown), &["registry: complete m-0000", "c1 closed"]);
    let lines = c.resubscribe(&mut framework);
    expect(&lines, &["c3 <- ERROR Framework has been removed", "c3 closed"]);
}

#[test]
fn a_framework_that_comes_back_in_time_keeps_its_tasks() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", TaskState::Running, 1);
    let lines = c.close_framework(&framework);
    expect(&lines, &["registry: hold m-0000 until 1100"]);
    expect(&c.advance_alive(Duration::from_secs(99)), &[]);
    let lines = c.resubscribe(&mut framework);
    expect(
        &lines,
        &[
            "registry: release m-0000",
            "c4 <- SUBSCRIBED m-0000",
            "c4 <- HEARTBEAT",
            "c1 <- UPDATE_FRAMEWORK m-0000",
        ],
    );
    expect(&c.advance_alive(Duration::from_secs(200)), &[]);
}

#[test]
fn a_framework_that_does_not_come_back_is_torn_down() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    c.close_framework(&framework);
    let lines = c.advance_alive(Duration::from_secs(101));
    expect(&lines, &["registry: complete m-0000", "c1 <- SHUTDOWN m-0000"]);
    let lines = c.resubscribe(&mut framework);
    expect(&lines, &["c4 <- ERROR Framework has been removed", "c4 closed"]);
}

#[test]
fn without_a_failover_timeout_the_end_of_the_stream_is_the_end() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let info = FrameworkInfo::new("user", "brief");
    let framework = c.framework_from(info);
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    let lines = c.close_framework(&framework);
    expect(&lines, &["registry: complete m-0000", "c1 <- SHUTDOWN m-0000"]);
}

#[test]
fn roles_that_are_suppressed_from_the_start_get_no_offers() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let connection = c.connection();
    let info = framework_info("f", &["a", "b"], &[]);
    let call = Box::new(Subscribe {
        framework_info: info,
        suppressed_roles: BTreeSet::from([role("a")]),
        offer_constraints: None,
        fence: None,
    });
    let lines = c.feed(Input::Subscribe { connection, framework_id: None, call, principal: None });
    expect(
        &lines,
        &[
            "c2 <- SUBSCRIBED m-0000",
            "c2 <- HEARTBEAT",
            "c2 <- OFFERS [m-O0 m-S0 b cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn the_description_is_renewed_except_user_principal_and_checkpointing() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    framework.info.user = Arc::from("mallory");
    framework.info.checkpoint = true;
    framework.info.name = Arc::from("renamed");
    let lines = c.resubscribe(&mut framework);
    // Agents that run its tasks hear of the new description.
    assert!(lines.contains(&"c1 <- UPDATE_FRAMEWORK m-0000".to_owned()), "{lines:?}");
    let ord = c.master.framework_ids[&framework.id];
    let info = &c.master.frameworks[ord].info;
    assert_eq!((&*info.user, &*info.name, info.checkpoint), ("user", "renamed", false));
}

#[test]
fn agents_are_told_that_a_framework_came_back_unchanged() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    framework.info.id = Some(framework.id.clone());
    let lines = c.resubscribe(&mut framework);
    assert!(lines.contains(&"c1 <- UPDATE_FRAMEWORK m-0000".to_owned()), "{lines:?}");
}

#[test]
fn another_framework_on_the_same_stream_ends_the_first() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let lines = c.subscribe(framework.connection, None, framework_info("g", &["*"], &[]));
    expect(
        &lines,
        &["registry: hold m-0000 until 1100", "c1 <- SUBSCRIBED m-0001", "c1 <- HEARTBEAT"],
    );
}

fn refused(change: impl Fn(&mut Subscribe), principal: Option<&str>, options: Options) -> String {
    let mut c = Cluster::new(options);
    let connection = c.connection();
    let mut call = Subscribe {
        framework_info: framework_info("f", &["*"], &[]),
        suppressed_roles: BTreeSet::new(),
        offer_constraints: None,
        fence: None,
    };
    change(&mut call);
    let principal = principal.map(Arc::from);
    let call = Box::new(call);
    let lines = c.feed(Input::Subscribe { connection, framework_id: None, call, principal });
    assert_eq!(lines.last().unwrap(), "c1 closed");
    lines[0].strip_prefix("c1 <- ERROR ").unwrap().to_owned()
}

#[test]
fn ids_that_differ_are_refused() {
    let change = |call: &mut Subscribe| call.framework_info.id = Some(framework_id("x"));
    assert_eq!(
        refused(change, None, Options::default()),
        "framework_id none and framework_info.id 'x' differ"
    );
}

#[test]
fn roles_need_the_capability() {
    let change = |call: &mut Subscribe| call.framework_info.single_role = false;
    assert_eq!(
        refused(change, None, Options::default()),
        "'FrameworkInfo.roles' needs the capability MULTI_ROLE"
    );
}

#[test]
fn a_suppressed_role_must_be_one_of_the_roles() {
    let change = |call: &mut Subscribe| {
        call.suppressed_roles.insert(role("other"));
    };
    assert_eq!(
        refused(change, None, Options::default()),
        "suppressed role 'other' is not one of the framework's roles"
    );
}

#[test]
fn the_roles_of_one_framework_are_bounded() {
    let change = |call: &mut Subscribe| {
        call.framework_info.single_role = false;
        call.framework_info.capabilities = [Capability::MultiRole].into_iter().collect();
        call.framework_info.roles = ["a", "b", "c"].map(role).into();
    };
    let options = Options { framework_roles: 2, ..Options::default() };
    assert_eq!(
        refused(change, None, options),
        "3 roles; one framework may subscribe to 2 at the most"
    );
}

#[test]
fn offer_constraints_of_other_roles_are_refused() {
    let change = |call: &mut Subscribe| {
        let roles = [(role("x"), vec![vec![]])].into();
        call.offer_constraints = Some(proto::OfferConstraints { roles });
    };
    assert_eq!(
        refused(change, None, Options::default()),
        "offer_constraints of role 'x': the framework is not subscribed to this role"
    );
}

#[test]
fn nobody_may_claim_another_principal() {
    let change = |call: &mut Subscribe| call.framework_info.principal = Some(Arc::from("alice"));
    assert_eq!(
        refused(change, Some("bob"), Options::default()),
        "Framework principal 'alice' does not match authenticated principal 'bob'"
    );
}

#[test]
fn root_may_be_forbidden() {
    let change = |call: &mut Subscribe| call.framework_info.user = Arc::from("root");
    let options = Options { root_submissions: false, ..Options::default() };
    assert!(refused(change, None, options).contains("'root' is not allowed"));
}

#[test]
fn a_framework_keeps_its_principal() {
    let mut c = Cluster::default();
    let mut framework = c.framework();
    framework.info.principal = Some(Arc::from("alice"));
    let lines = c.resubscribe(&mut framework);
    expect(
        &lines,
        &[
            "c2 <- ERROR Changing framework's principal is not allowed: was none, would be 'alice'",
            "c2 closed",
        ],
    );
    // The instance that is there stays there.
    framework.connection = crate::ConnectionId(1);
    expect(&c.call(&framework, CallBody::Suppress { roles: vec![] }), &[]);
}

#[test]
fn new_roles_get_offers_after_a_resubscription_and_old_ones_do_not() {
    let mut c = Cluster::default();
    c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    framework.info.roles = BTreeSet::from([role("c")]);
    let lines = c.resubscribe(&mut framework);
    assert_eq!(lines.last().unwrap(), "c3 <- OFFERS [m-O1 m-S0 c cpus:4; mem:1024]");
}

#[test]
fn partition_awareness_may_be_gained() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let mut framework = c.framework_from(framework_info("f", &["*"], &[]));
    framework.info.capabilities = [Capability::PartitionAware].into_iter().collect();
    c.resubscribe(&mut framework);
    c.launch(&framework, &["m-O1"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.close_agent(&agent);
    let lines = c.advance(Duration::from_secs(5));
    assert!(lines.iter().any(|line| line.contains("t1 TASK_UNREACHABLE")), "{lines:?}");
}

#[test]
fn an_id_that_somebody_came_with_is_not_given_out() {
    let mut c = Cluster::default();
    let connection = c.connection();
    let info = framework_info("f", &["*"], &[]);
    c.subscribe(connection, Some(framework_id("m-0000")), info);
    assert_eq!(c.framework().id, framework_id("m-0001"));
}

#[test]
fn a_failover_timeout_has_a_limit() {
    let mut c = Cluster::default();
    let mut info = framework_info("f", &["*"], &[]);
    info.failover_timeout = Duration::from_secs(365 * 86_400 + 1);
    let connection = c.connection();
    expect(
        &c.subscribe(connection, None, info.clone()),
        &[
            "c1 <- ERROR failover_timeout is 31536001 seconds; at most 31536000 are allowed",
            "c1 closed",
        ],
    );
    info.failover_timeout -= Duration::from_secs(1);
    c.framework_from(info);
}

#[test]
fn so_many_frameworks_may_be_away_and_no_new_one_is_taken_until_there_is_room() {
    let mut c = Cluster::new(Options { frameworks_away: 2, ..Options::default() });
    let mut frameworks = [c.framework(), c.framework(), c.framework()];
    c.close_framework(&frameworks[0]);
    c.close_framework(&frameworks[1]);
    let (connection, info) = (c.connection(), framework_info("new", &["*"], &[]));
    let lines = c.subscribe(connection, None, info.clone());
    assert!(lines[0].contains("ERROR 2 frameworks wait for their schedulers, 2 may"), "{lines:?}");
    assert_eq!(lines[1], format!("{connection} closed"));
    // Under an id of its own choice it is no less new.
    let chosen = Some(framework_id("mine"));
    let lines = c.subscribe(connection, chosen, info.clone());
    assert!(lines[0].contains("ERROR 2 frameworks"), "{lines:?}");
    // Known ones lose nothing: they may come back, and leave even now.
    c.close_framework(&frameworks[2]);
    for framework in &mut frameworks {
        let lines = c.resubscribe(framework);
        assert!(lines.iter().any(|line| line.contains("SUBSCRIBED")), "{lines:?}");
    }
    let lines = c.subscribe(connection, None, info);
    assert!(lines[0].contains("SUBSCRIBED"), "{lines:?}");
}

#[test]
fn what_frameworks_that_are_away_say_of_themselves_is_bounded_in_all() {
    let mut c = Cluster::new(Options { frameworks_away_bytes: 3000, ..Options::default() });
    let labelled = |name: &str| {
        let info = framework_info(name, &["*"], &[]);
        FrameworkInfo { labels: vec![("k".into(), Some("v".repeat(1200).into()))], ..info }
    };
    let mut frameworks = ["a", "b", "c"].map(|name| c.framework_from(labelled(name)));
    c.close_framework(&frameworks[0]);
    // Away twice, counted once.
    c.resubscribe(&mut frameworks[0]);
    c.close_framework(&frameworks[0]);
    let late = c.framework_from(labelled("late"));
    c.close_framework(&frameworks[1]);
    let (connection, info) = (c.connection(), framework_info("new", &["*"], &[]));
    let lines = c.subscribe(connection, None, info.clone());
    assert!(lines[0].contains("ERROR frameworks that wait"), "{lines:?}");
    assert!(lines[0].contains("3000 may"), "{lines:?}");
    assert_eq!(lines[1], format!("{connection} closed"));
    // Known ones lose nothing: they may leave even now, and come back.
    c.close_framework(&late);
    for framework in &mut frameworks {
        let lines = c.resubscribe(framework);
        assert!(lines.iter().any(|line| line.contains("SUBSCRIBED")), "{lines:?}");
    }
    let lines = c.subscribe(connection, None, info);
    assert!(lines[0].contains("SUBSCRIBED"), "{lines:?}");
}

#[test]
fn one_framework_says_only_so_much_of_itself() {
    let mut c = Cluster::new(Options { framework_bytes: 2000, ..Options::default() });
    let mut info = framework_info("f", &["*"], &[]);
    info.labels = vec![("k".into(), Some("v".repeat(1600).into()))];
    let connection = c.connection();
    let lines = c.subscribe(connection, None, info.clone());
    assert!(lines[0].contains("ERROR framework_info takes"), "{lines:?}");
    assert_eq!(lines[1], format!("{connection} closed"));
    info.labels = vec![("k".into(), Some("v".repeat(1000).into()))];
    c.framework_from(info);
}
