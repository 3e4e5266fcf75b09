//! What the masters keep for a framework.

use crate::testing::*;
use crate::{Input, Options};
use proto::FrameworkInfo;
use proto::operator::Call;
use proto::scheduler::{CallBody, StateAsk, StateCall, StateFence, Subscribe};
use std::sync::Arc;
use std::time::Duration;

fn ask(number: u64, ask: StateAsk) -> CallBody {
    CallBody::State(StateCall { number, ask })
}

pub(super) fn put(key: &str, value: &str, version: u64) -> CallBody {
    written(key, value, version, None, None)
}

fn written(
    key: &str,
    value: &str,
    version: u64,
    write: Option<u64>,
    fence: Option<(&str, u64)>,
) -> CallBody {
    let (key, value) = (Arc::from(key), Arc::from(value.as_bytes()));
    let fence = fence.map(|(key, version)| StateFence { key: Arc::from(key), version });
    ask(1, StateAsk::Put { key, value, version, write, fence })
}

fn delete(key: &str, version: u64) -> CallBody {
    ask(2, StateAsk::Delete { key: Arc::from(key), version })
}

fn get(key: &str) -> CallBody {
    ask(3, StateAsk::Get { key: Arc::from(key) })
}

fn list(prefix: &str) -> CallBody {
    ask(4, StateAsk::List { prefix: Arc::from(prefix) })
}

/// What a call is answered with, without the word that it was taken.
fn answer(c: &mut Cluster, framework: &FrameworkSide, body: CallBody) -> String {
    let lines = c.call(framework, body);
    let answers: Vec<&String> = lines.iter().filter(|line| line.contains(" <- STATE ")).collect();
    assert_eq!(answers.len(), 1, "{lines:?}");
    answers[0].split_once("STATE ").unwrap().1.to_owned()
}

#[test]
fn a_write_is_answered_when_it_is_durable() {
    let mut c = Cluster::default();
    let f = c.framework();
    expect(
        &c.call(&f, put("a", "one", 0)),
        &[
            "registry: state of m-0000",
            "registry: state of m-0000: a has 3 bytes, version 1",
            "c1 <- STATE 1 done a 1",
        ],
    );
    expect(
        &c.call(&f, put("a", "other", 1)),
        &["registry: state of m-0000: a has 5 bytes, version 2", "c1 <- STATE 1 done a 2"],
    );
    expect(
        &c.call(&f, delete("a", 2)),
        &["registry: state of m-0000: a deleted, version 3", "c1 <- STATE 2 done a 0"],
    );
}

#[test]
fn of_two_writers_one_loses_and_hears_the_version() {
    let mut c = Cluster::default();
    let f = c.framework();
    assert_eq!(answer(&mut c, &f, put("a", "mine", 0)), "1 done a 1");
    for (body, expected) in [
        (put("a", "late", 0), "1 conflict a 1"),
        (put("a", "ahead", 2), "1 conflict a 1"),
        (delete("a", 2), "2 conflict a 1"),
        (put("b", "there?", 1), "1 conflict b 0"),
        (delete("b", 1), "2 conflict b 0"),
    ] {
        let lines = c.call(&f, body);
        assert!(!lines.iter().any(|line| line.starts_with("registry")), "{lines:?}");
        assert!(lines[0].ends_with(expected), "{lines:?} {expected}");
    }
    assert_eq!(answer(&mut c, &f, get("a")), "3 found a=mine@1");
}

#[test]
fn a_write_is_known_again_and_told_from_anothers_of_the_same_value() {
    let mut c = Cluster::default();
    let f = c.framework();
    assert_eq!(answer(&mut c, &f, written("a", "x", 0, Some(7), None)), "1 done a 1");
    // Its answer was lost, whatever master hears it again; and a fence that has moved on meanwhile
    // does not undo it.
    expect(&c.call(&f, written("a", "x", 0, Some(7), Some(("b", 9)))), &["c1 <- STATE 1 done a 1"]);
    c.restart_master();
    let mut f = f;
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, written("a", "x", 0, Some(7), None)), "1 done a 1");
    // Another writer, and one without a name.
    assert_eq!(answer(&mut c, &f, written("a", "x", 0, Some(8), None)), "1 conflict a 1");
    assert_eq!(answer(&mut c, &f, put("a", "x", 0)), "1 conflict a 1");
    // What was overwritten is not there any more.
    assert_eq!(answer(&mut c, &f, put("a", "y", 1)), "1 done a 2");
    assert_eq!(answer(&mut c, &f, written("a", "x", 0, Some(7), None)), "1 conflict a 2");
}

#[test]
fn a_write_behind_a_fence_is_made_only_while_the_fence_stands() {
    let mut c = Cluster::default();
    let f = c.framework();
    assert_eq!(answer(&mut c, &f, written("log", "1", 0, None, Some(("head", 0)))), "1 done log 1");
    assert_eq!(answer(&mut c, &f, put("head", "h", 0)), "1 done head 2");
    assert_eq!(
        answer(&mut c, &f, written("log", "2", 1, None, Some(("head", 0)))),
        "1 conflict head 2"
    );
    assert_eq!(answer(&mut c, &f, written("log", "2", 1, None, Some(("head", 2)))), "1 done log 3");
    // The fence is looked at first: who was replaced hears of that.
    assert_eq!(
        answer(&mut c, &f, written("log", "3", 1, None, Some(("head", 1)))),
        "1 conflict head 2"
    );
}

#[test]
fn a_scheduler_that_was_replaced_does_not_push_its_successor_aside() {
    let mut c = Cluster::default();
    let f = c.framework();
    assert_eq!(answer(&mut c, &f, put("head", "old", 0)), "1 done head 1");
    let (connection, framework_id) = (c.connection(), Some(f.id.clone()));
    let subscribe = |version| {
        let fence = Some(StateFence { key: Arc::from("head"), version });
        Box::new(Subscribe {
            framework_info: FrameworkInfo { id: Some(f.id.clone()), ..f.info.clone() },
            suppressed_roles: [].into(),
            offer_constraints: None,
            fence,
        })
    };
    let input = |connection, framework_id, call| Input::Subscribe {
        connection,
        framework_id,
        call,
        principal: None,
    };
    let lines = c.feed(input(connection, framework_id.clone(), subscribe(0)));
    let refused = "another scheduler has taken over this framework: 'head' of its state has \
                   version 1, no longer 0";
    assert!(lines.iter().any(|line| line.contains(refused)), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("c1 ")), "{lines:?}");
    let connection = c.connection();
    let lines = c.feed(input(connection, framework_id, subscribe(1)));
    assert!(lines.iter().any(|line| line.contains("SUBSCRIBED")), "{lines:?}");
}

#[test]
fn versions_never_come_twice() {
    let mut c = Cluster::default();
    let f = c.framework();
    answer(&mut c, &f, put("a", "x", 0));
    assert_eq!((c.master.gauges().state_keys, c.master.gauges().state_bytes > 500), (1, true));
    answer(&mut c, &f, delete("a", 1));
    assert_eq!(c.master.gauges().state_keys, 0);
    // All keys are gone, and the master is another one.
    c.restart_master();
    let mut f = f;
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, put("a", "x", 0)), "1 done a 3");
    assert_eq!(answer(&mut c, &f, put("a", "y", 1)), "1 conflict a 3");
}

#[test]
fn deleting_what_is_not_there_is_done() {
    let mut c = Cluster::default();
    let f = c.framework();
    expect(&c.call(&f, delete("a", 0)), &["c1 <- STATE 2 done a 0"]);
}

#[test]
fn keys_are_read_alone_and_by_their_beginning() {
    let mut c = Cluster::default();
    let f = c.framework();
    assert_eq!(answer(&mut c, &f, list("")), "4 found");
    for key in ["u/2", "u/1", "v", "t"] {
        answer(&mut c, &f, put(key, key, 0));
    }
    assert_eq!(answer(&mut c, &f, list("u/")), "4 found u/1=u/1@2 u/2=u/2@1");
    assert_eq!(answer(&mut c, &f, list("")), "4 found t=t@4 u/1=u/1@2 u/2=u/2@1 v=v@3");
    assert_eq!(answer(&mut c, &f, get("v")), "3 found v=v@3");
    assert_eq!(answer(&mut c, &f, get("w")), "3 found");
}

#[test]
fn nobody_reads_what_is_another_frameworks() {
    let mut c = Cluster::default();
    let (f, g) = (c.framework(), c.framework());
    answer(&mut c, &f, put("a", "x", 0));
    assert_eq!(answer(&mut c, &g, list("")), "4 found");
    assert_eq!(answer(&mut c, &g, put("a", "y", 0)), "1 done a 1");
}

fn small() -> Options {
    Options {
        state_key_bytes: 4,
        state_value_bytes: 8,
        state_keys: 3,
        state_bytes: 20,
        ..Options::default()
    }
}

#[test]
fn limits_are_told_with_their_figures() {
    let mut c = Cluster::new(small());
    let f = c.framework();
    let refused = |c: &mut Cluster, body: CallBody| {
        let lines = c.call(&f, body);
        assert!(!lines.iter().any(|line| line.starts_with("registry")), "{lines:?}");
        lines[0].split_once("refused: ").expect("it is refused").1.to_owned()
    };
    assert_eq!(refused(&mut c, put("", "x", 0)), "a key must not be empty");
    assert_eq!(refused(&mut c, put("a\0b", "", 0)), "a key must not have control characters");
    let text = refused(&mut c, put("abcde", "x", 0));
    assert_eq!(text, "the key has 5 bytes; at most 4 are kept");
    let text = refused(&mut c, put("a", "123456789", 0));
    assert_eq!(text, "the value has 9 bytes; at most 8 are kept under one key");
    answer(&mut c, &f, put("a", "12345678", 0));
    answer(&mut c, &f, put("b", "12345678", 0));
    let text = refused(&mut c, put("c", "12", 0));
    assert_eq!(text, "the framework's keys and values would take 21 bytes; at most 20 are kept");
    answer(&mut c, &f, put("c", "1", 0));
    let text = refused(&mut c, put("d", "", 0));
    assert_eq!(text, "the framework has 3 keys, which is the most: delete some first");
    // What is there may be written over, and made smaller.
    assert_eq!(answer(&mut c, &f, put("b", "1", 2)), "1 done b 4");
    assert_eq!(answer(&mut c, &f, delete("a", 1)), "2 done a 0");
    assert_eq!(answer(&mut c, &f, put("d", "12345678", 0)), "1 done d 6");
}

#[test]
fn all_frameworks_together_have_a_limit_and_a_teardown_makes_room() {
    let mut c = Cluster::new(Options { all_state_bytes: 1300, ..Options::default() });
    let (f, g) = (c.framework(), c.framework());
    let value = "x".repeat(500);
    answer(&mut c, &f, put("a", &value, 0));
    let said = answer(&mut c, &g, put("a", &value, 0));
    assert!(said.contains("the state of all frameworks would take"), "{said}");
    c.call(&f, CallBody::Teardown);
    assert_eq!(answer(&mut c, &g, put("a", &value, 0)), "1 done a 1");
}

#[test]
fn it_outlives_the_scheduler_and_the_master() {
    let mut c = Cluster::default();
    let mut f = c.framework();
    answer(&mut c, &f, put("a", "x", 0));
    c.close_framework(&f);
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, get("a")), "3 found a=x@1");
    // Once while it is connected, once while it is away.
    c.restart_master();
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, get("a")), "3 found a=x@1");
    c.close_framework(&f);
    c.restart_master();
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, put("a", "y", 1)), "1 done a 2");
}

#[test]
fn it_goes_with_the_framework_before_its_id_is_used_up() {
    let mut c = Cluster::default();
    let f = c.framework();
    answer(&mut c, &f, put("a", "x", 0));
    answer(&mut c, &f, put("b", "x", 0));
    let lines = c.call(&f, CallBody::Teardown);
    let expected = ["registry: state of m-0000 forgotten, 2 keys", "registry: complete m-0000"];
    assert_eq!(lines[..2], expected);
    assert_eq!(c.master.registry().kept(), &Default::default());
}

#[test]
fn a_framework_that_does_not_come_back_after_its_master_keeps_nothing() {
    let mut c = Cluster::default();
    let info = FrameworkInfo {
        failover_timeout: Duration::from_secs(3600),
        ..framework_info("f", &["*"], &[])
    };
    let f = c.framework_from(info);
    answer(&mut c, &f, put("a", "x", 0));
    // It was connected: that it is away is written nowhere.
    c.restart_master();
    c.advance(Duration::from_secs(3599));
    assert_eq!(c.master.registry().kept().of().len(), 1);
    let lines = c.advance(Duration::from_secs(2));
    assert!(lines.iter().any(|line| line.ends_with("forgotten, 1 keys")), "{lines:?}");
    assert!(c.master.registry().is_completed(&f.id));
}

#[test]
fn a_framework_that_allows_no_absence_gets_some_after_its_master() {
    let mut c = Cluster::default();
    let info =
        FrameworkInfo { failover_timeout: Duration::ZERO, ..framework_info("f", &["*"], &[]) };
    let mut f = c.framework_from(info);
    answer(&mut c, &f, put("a", "x", 0));
    c.restart_master();
    c.advance(Duration::from_secs(60));
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, get("a")), "3 found a=x@1");
    // Its stream ends while its master is there: it is over.
    c.close_framework(&f);
    assert_eq!(c.master.registry().kept().of().len(), 0);
}

#[test]
fn its_tasks_and_its_state_are_one_framework_to_the_next_master() {
    let mut c = Cluster::default();
    let mut agent = c.agent(cpus_mem(4, 1024));
    let mut f = c.framework();
    c.launch(&f, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(1, 64))]);
    answer(&mut c, &f, put("a", "x", 0));
    c.restart_master();
    let tasks = vec![agent_task(&f, "t1", cpus_mem(1, 64), proto::TaskState::Running)];
    c.reregister(&mut agent, tasks, &[&f]);
    assert_eq!(c.master.frameworks.iter().count(), 1);
    c.resubscribe(&mut f);
    assert_eq!(answer(&mut c, &f, get("a")), "3 found a=x@1");
}

#[test]
fn an_operator_that_ends_the_framework_ends_its_state() {
    let mut c = Cluster::default();
    let f = c.framework();
    answer(&mut c, &f, put("a", "x", 0));
    c.operator(Call::Teardown(f.id));
    assert_eq!(c.master.registry().kept().bytes(), 0);
}
