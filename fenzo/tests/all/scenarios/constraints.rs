//! Constraints, hard and soft.

use std::collections::BTreeMap;

use fenzo::{
    AttributeTest, AttributeValue, Constraint, Fitness, HOSTNAME, Lease, Reason, SchedulingResult,
    TaskClass, TaskScheduler,
};

use crate::scenarios::{assign, class, host, hosts, lease, run, scheduler, tasks};

/// Hosts `hostA`, `hostB`, `hostC` in zones A, B, C, with 4 cpus each.
fn zones(round: usize, names: &str) -> Vec<Lease> {
    let lease = |name: char| {
        let (id, host) = (format!("{name}{round}"), format!("host{name}"));
        lease(&id, &host, 4, 4000).with_attribute("zone", name.to_string())
    };
    names.chars().map(lease).collect()
}

fn packer() -> TaskScheduler {
    scheduler(Fitness::cpu_memory_packer())
}

fn counts(result: &SchedulingResult) -> BTreeMap<&str, usize> {
    let count = |host: &fenzo::HostAssignment| host.tasks.len();
    hosts(result).into_iter().zip(result.assignments.iter().map(count)).collect()
}

fn small() -> TaskClass {
    class(1, 1000)
}

#[test]
fn test_hard_constraint_1() {
    let class = small().with_hard(Constraint::unique_attribute("zone"));
    let result = run(&mut packer(), &tasks("t", 4, class), zones(0, "ABC"));
    assert_eq!((result.placed(), result.assignments.len()), (3, 3));
    let refused = Reason::Constraint("one task of the group a zone".into());
    assert_eq!(result.failures[0].explanation.reasons, BTreeMap::from([(refused, 3)]));
}

#[test]
fn test_hard_constraint_2() {
    // One task a run, all hosts offered each time.
    let used = |class: &TaskClass| {
        let mut scheduler = packer();
        let mut used = Vec::new();
        for round in 0..3 {
            scheduler.expire_all();
            let requests = tasks(&format!("t{round}-"), 1, class.clone());
            let result = run(&mut scheduler, &requests, zones(round, "ABC"));
            used.extend(hosts(&result).into_iter().map(str::to_owned));
            assign(&mut scheduler, &result);
        }
        used.sort();
        used.dedup();
        used.len()
    };
    assert_eq!(used(&small()), 1);
    assert_eq!(used(&small().with_hard(Constraint::unique_attribute("zone"))), 3);
    assert_eq!(used(&small().with_hard(Constraint::UniqueHost)), 3);
}

#[test]
fn test_soft_constraint_1() {
    let class = small().with_soft(Constraint::unique_attribute("zone").soft(1));
    let result = run(&mut packer(), &tasks("t", 3, class), zones(0, "ABC"));
    assert_eq!((result.placed(), result.assignments.len()), (3, 3));
}

#[test]
fn test_soft_constraint_2() {
    let class = small().with_soft(Constraint::unique_attribute("zone").soft(1));
    let result = run(&mut packer(), &tasks("t", 3, class), zones(0, "AB"));
    assert_eq!((result.placed(), result.assignments.len()), (3, 2));
}

#[test]
fn test_balanced_host_attr_soft_constraint() {
    let class = small().with_soft(Constraint::balanced("zone").soft(1));
    let result = run(&mut packer(), &tasks("t", 6, class), zones(0, "ABC"));
    assert_eq!(counts(&result), [("hostA", 2), ("hostB", 2), ("hostC", 2)].into());
}

#[test]
fn test_balanced_host_attr_hard_constraint() {
    let class = small().with_hard(Constraint::balanced("zone"));
    let result = run(&mut packer(), &tasks("t", 6, class.clone()), zones(0, "ABC"));
    assert_eq!(counts(&result), [("hostA", 2), ("hostB", 2), ("hostC", 2)].into());
    // A zone that is full holds the others back, and a task that waited for balance is not forgotten.
    let mut leases = zones(0, "AB");
    leases[0].offered.cpus = fenzo::Milli::whole(1);
    let result = run(&mut packer(), &tasks("t", 6, class), leases);
    assert_eq!(counts(&result), [("hostA", 1), ("hostB", 2)].into());
    assert_eq!(result.failed(), 3);
}

#[test]
fn balance_waits_for_values_that_are_expected_but_not_known() {
    let balanced = Constraint::Balanced { name: "zone".into(), max_skew: 1, expected_values: 3 };
    let class = small().with_hard(balanced);
    let result = run(&mut packer(), &tasks("t", 4, class), zones(0, "AB"));
    assert_eq!(counts(&result), [("hostA", 1), ("hostB", 1)].into());
}

#[test]
fn balance_looks_only_at_the_values_that_hosts_in_question_have() {
    let in_a_or_b = AttributeTest::In(["A".into(), "B".into()].into());
    let class = small()
        .with_hard(Constraint::attribute("zone", in_a_or_b))
        .with_hard(Constraint::balanced("zone"));
    let result = run(&mut packer(), &tasks("t", 6, class), zones(0, "ABC"));
    assert_eq!(counts(&result), [("hostA", 3), ("hostB", 3)].into());
}

#[test]
fn balance_counts_running_tasks_of_the_group() {
    let mut scheduler = packer();
    run(&mut scheduler, &[], zones(0, "ABC"));
    for task in tasks("running", 2, small()) {
        scheduler.task_assigned(&task, &host("hostA"));
    }
    let class = small().with_hard(Constraint::balanced("zone"));
    let result = run(&mut scheduler, &tasks("t", 4, class), vec![]);
    assert_eq!(counts(&result), [("hostB", 2), ("hostC", 2)].into());
}

#[test]
fn a_task_that_waits_for_balance_goes_once_a_co_task_has_made_up_for_it() {
    let waits = class(1, 1000).with_hard(Constraint::balanced("zone"));
    let pinned = class(4, 1000).with_hard(Constraint::equals("zone", "B"));
    let mut leases = zones(0, "AB");
    leases[0].offered.cpus = fenzo::Milli::whole(8);
    // Zone B is full but for a task that needs no cpu, so zone A may lead by one and then has to wait.
    let mut requests = tasks("fill", 1, TaskClass { group: "other".into(), ..pinned.clone() });
    requests.extend(tasks("first", 3, waits.clone()));
    requests.extend(tasks("pinned", 1, TaskClass { demand: class(0, 1000).demand, ..pinned }));
    requests.extend(tasks("then", 1, waits));
    let result = run(&mut packer(), &requests, leases);
    assert_eq!(result.failures.len(), 1);
    assert_eq!(result.failures[0].tasks, ["first1".into(), "first2".into()]);
    assert_eq!(result.host_of(&"then0".into()), Some(&host("hostA")));
}

#[test]
fn test_unique_host_constraint() {
    let leases = || (0..5).map(|h| lease(&format!("l{h}"), &format!("h{h}"), 8, 8000)).collect();
    let result = run(&mut packer(), &tasks("t", 5, small()), leases());
    assert_eq!(result.assignments.len(), 1);
    let unique = small().with_hard(Constraint::UniqueHost);
    let result = run(&mut packer(), &tasks("t", 6, unique), leases());
    assert_eq!((result.assignments.len(), result.failed()), (5, 1));
}

#[test]
fn test_exclusive_host_constraint() {
    let mut scheduler = packer();
    scheduler.task_assigned(&tasks("running", 1, small())[0], &host("hostA"));
    let mut requests = tasks("plain", 1, small());
    requests.extend(tasks("alone", 1, small().with_hard(Constraint::ExclusiveHost)));
    requests.extend(tasks("later", 4, small()));
    let result = run(&mut scheduler, &requests, zones(0, "AB"));
    // Nothing joins the exclusive task, in the same run neither.
    assert_eq!(counts(&result), [("hostA", 4), ("hostB", 1)].into());
    assert_eq!(result.host_of(&"alone0".into()), Some(&host("hostB")));
    let why = result.why(&"later3".into()).unwrap();
    assert_eq!(why.reasons[&Reason::HeldExclusively], 1);
}

#[test]
fn test_exclusive_host_on_existing_task() {
    let mut scheduler = packer();
    let alone = tasks("alone", 1, small().with_hard(Constraint::ExclusiveHost));
    scheduler.task_assigned(&alone[0], &host("hostA"));
    let requests = tasks("plain", 1, small());
    assert_eq!(run(&mut scheduler, &requests, zones(0, "A")).placed(), 0);
    assert_eq!(hosts(&run(&mut scheduler, &requests, zones(0, "B"))), ["hostB"]);
    scheduler.task_unassigned(&alone[0].id, &host("hostA"));
    assert_eq!(hosts(&run(&mut scheduler, &tasks("next", 1, small()), vec![])), ["hostA"]);
}

#[test]
fn test_host_attr_value_constraint() {
    let mut requests = tasks("plain", 1, small());
    requests.extend(tasks("pinned", 1, small().with_hard(Constraint::equals("zone", "C"))));
    requests.extend(tasks("plainer", 1, small()));
    let result = run(&mut packer(), &requests, zones(0, "ABC"));
    assert_eq!(counts(&result), [("hostA", 2), ("hostC", 1)].into());
    let nowhere = tasks("nowhere", 1, small().with_hard(Constraint::equals("zone", "D")));
    let result = run(&mut packer(), &nowhere, zones(0, "ABC"));
    assert_eq!(
        result.failures[0].explanation.to_string(),
        "none of 3 hosts fits: 3 constraint: zone = D; nearest host hostA: constraint: zone = D",
    );
}

#[test]
fn test_hostname_value_constraint() {
    for name in ["hostA", "hostB", "hostC"] {
        let class = small().with_hard(Constraint::equals(HOSTNAME, name));
        assert_eq!(hosts(&run(&mut packer(), &tasks("t", 2, class), zones(0, "ABC"))), [name]);
    }
}

#[test]
fn attribute_tests_say_what_they_mean() {
    let text = AttributeValue::from("b");
    let number = AttributeValue::Scalar(2500);
    let set = |values: &[&str]| values.iter().map(|value| (*value).into()).collect();
    let table: [(AttributeTest, Option<&AttributeValue>, bool); 18] = [
        (AttributeTest::Equals("b".into()), Some(&text), true),
        (AttributeTest::Equals("b".into()), None, false),
        (AttributeTest::NotEquals("b".into()), Some(&text), false),
        (AttributeTest::NotEquals("b".into()), None, true),
        (AttributeTest::In(set(&["a", "b"])), Some(&text), true),
        (AttributeTest::In(set(&["a"])), Some(&text), false),
        (AttributeTest::In(set(&["a"])), None, false),
        (AttributeTest::NotIn(set(&["a"])), Some(&text), true),
        (AttributeTest::NotIn(set(&["b"])), Some(&text), false),
        (AttributeTest::NotIn(set(&["b"])), None, true),
        (AttributeTest::Exists, None, false),
        (AttributeTest::Absent, None, true),
        (AttributeTest::AtLeast(2500), Some(&number), true),
        (AttributeTest::MoreThan(2500), Some(&number), false),
        (AttributeTest::AtMost(2500), Some(&number), true),
        (AttributeTest::LessThan(2500), Some(&number), false),
        (AttributeTest::AtLeast(0), Some(&text), false),
        (AttributeTest::AtMost(0), None, false),
    ];
    for (test, value, passes) in table {
        assert_eq!(test.passes(value), passes, "{test} for {value:?}");
    }
}

#[test]
fn the_weights_of_soft_constraints_decide_between_them() {
    let wish = |name: &str, weight| Constraint::equals(HOSTNAME, name).soft(weight);
    let choose = |a, b| {
        let class = small().with_soft(wish("hostA", a)).with_soft(wish("hostB", b));
        let result = run(&mut packer(), &tasks("t", 1, class), zones(0, "ABC"));
        hosts(&result)[0].to_owned()
    };
    assert_eq!(choose(1, 2), "hostB");
    assert_eq!(choose(2, 1), "hostA");
    assert_eq!(choose(0, 0), "hostA", "switched off, the name decides");
}
