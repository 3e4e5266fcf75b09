//! Rules of idle hosts, shortfalls, and which hosts go first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fenzo::{
    AttributeValue, Autoscaler, Constraint, HostStatus, Lease, PortRange, Resources, ScaleAction,
    ScaleDownOrder, ScaleDownScore, ScaleOptions, ScaleRule, Shortfall, TaskClass, TaskRequest,
    TaskScheduler, Time,
};

use super::assign;

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn host(n: usize, cpus: u64, group: &str) -> Lease {
    Lease::new(format!("l{n}"), format!("h{n:02}"), Resources::cpus_mem(cpus, cpus * 100))
        .with_attribute("group", group)
        .with_attribute("zone", format!("z{}", n % 3))
}

fn hosts(count: usize) -> Vec<Lease> {
    (0..count).map(|n| host(n, 4, "small")).collect()
}

fn tasks(name: &str, count: usize, cpus: u64) -> Vec<TaskRequest> {
    let class = Arc::new(TaskClass::new(name, Resources::cpus_mem(cpus, cpus * 100)));
    (0..count).map(|n| TaskRequest::new(format!("{name}{n}"), &class)).collect()
}

fn autoscaler(options: ScaleOptions, rules: Vec<ScaleRule>) -> Autoscaler {
    let mut autoscaler = Autoscaler::new("group", options).unwrap();
    for rule in rules {
        autoscaler.set_rule(at(0), rule).unwrap();
    }
    autoscaler
}

fn rule(min_idle: u32, max_idle: u32) -> ScaleRule {
    ScaleRule::new("small", min_idle, max_idle).with_cool_down(secs(2))
}

fn plain(min_idle: u32, max_idle: u32) -> Autoscaler {
    autoscaler(ScaleOptions::default(), vec![rule(min_idle, max_idle)])
}

/// A scheduler that has these hosts, and tasks running on them.
fn with(leases: Vec<Lease>, running: &[TaskRequest]) -> TaskScheduler {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let result = scheduler.schedule_once(at(0), running, leases);
    assert_eq!(result.failed(), 0);
    assign(&mut scheduler, &result);
    scheduler
}

fn up(group: &str, hosts: u32) -> ScaleAction {
    ScaleAction::Up { group: group.into(), hosts }
}

fn downs(actions: &[ScaleAction]) -> Vec<String> {
    let of = |action: &ScaleAction| match action {
        ScaleAction::Down { hosts, .. } => hosts.iter().map(ToString::to_string).collect(),
        ScaleAction::Up { .. } => Vec::new(),
    };
    actions.iter().flat_map(of).collect()
}

#[test]
fn test_scale_up_1() {
    let mut scheduler = with(vec![], &[]);
    let mut autoscaler = plain(5, 10);
    assert_eq!(autoscaler.decide(at(1), &mut scheduler, &[]), []);
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), [up("small", 10)]);
    assert_eq!(autoscaler.decide(at(3), &mut scheduler, &[]), [], "it cools down");
}

#[test]
fn test_scale_up_2() {
    let mut autoscaler = plain(5, 10);
    let mut scheduler = with(hosts(10), &[]);
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), []);
    let result = scheduler.schedule_once(at(3), &tasks("t", 7, 4), vec![]);
    assign(&mut scheduler, &result);
    assert_eq!(autoscaler.decide(at(3), &mut scheduler, &[]), [up("small", 7)]);
}

#[test]
fn test_one_rule_two_types() {
    let mut autoscaler = autoscaler(ScaleOptions::default(), vec![ScaleRule::new("big", 1, 2)]);
    let mut scheduler = with(vec![host(1, 8, "big"), host(2, 4, "small")], &[]);
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), []);
}

#[test]
fn test_two_rules_one_needs_scale_up() {
    let rules = vec![rule(5, 10), ScaleRule::new("big", 5, 10)];
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules);
    let mut scheduler = with((0..10).map(|n| host(n, 8, "big")).collect(), &[]);
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), [up("small", 10)]);
}

#[test]
fn test_simple_scale_down_action() {
    let mut scheduler = with(hosts(13), &tasks("t", 1, 4));
    let actions = plain(5, 10).decide(at(2), &mut scheduler, &[]);
    assert_eq!(downs(&actions), ["h01", "h02"]);
    let ScaleAction::Down { names, leases, .. } = &actions[0] else { panic!("hosts go") };
    assert_eq!((names.len(), leases.len(), scheduler.leases_held()), (2, 2, 10));
}

#[test]
fn test_two_rule_scale_down_action() {
    let rules = vec![rule(1, 2), ScaleRule::new("big", 1, 2)];
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules);
    let leases = (0..4).map(|n| host(n, 4, "small")).chain((4..8).map(|n| host(n, 8, "big")));
    let mut scheduler = with(leases.collect(), &tasks("t", 2, 8));
    assert_eq!(downs(&autoscaler.decide(at(2), &mut scheduler, &[])), ["h00", "h01"]);
}

#[test]
fn test_scale_down_balanced() {
    let options = ScaleOptions { balance: Some("zone".into()), ..ScaleOptions::default() };
    let mut autoscaler = autoscaler(options, vec![rule(5, 12)]);
    let mut scheduler = with(hosts(18), &[]);
    // Two hosts of zone 0 are in use.
    for (task, host) in tasks("t", 2, 4).iter().zip(["h00", "h03"]) {
        scheduler.task_assigned(task, &host.into());
    }
    let gone = downs(&autoscaler.decide(at(2), &mut scheduler, &[]));
    assert_eq!(gone.len(), 4);
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    for host in scheduler.hosts().filter(HostStatus::is_idle) {
        *left.entry(host.attributes["zone"].to_string()).or_default() += 1;
    }
    assert_eq!(left.into_values().collect::<Vec<_>>(), [4, 4, 4]);
}

#[test]
fn test_scaled_down_host_offer() {
    let mut scheduler = with(hosts(13), &[]);
    let gone = downs(&plain(5, 10).decide(at(2), &mut scheduler, &[]));
    assert_eq!(gone, ["h00", "h01", "h02"]);
    // Their offers come back: nothing lands on them.
    let result = scheduler.schedule_once(at(3), &tasks("t", 11, 4), hosts(3));
    assert_eq!((result.placed(), result.failed(), result.expired.len()), (10, 1, 3));
}

#[test]
fn test_autoscaler_blocking_callback() {
    // The decision itself disables the hosts: whoever carries it out may take its time.
    let mut scheduler = with(hosts(10), &[]);
    let mut autoscaler = plain(2, 5);
    assert_eq!(downs(&autoscaler.decide(at(2), &mut scheduler, &[])).len(), 5);
    let result = scheduler.schedule_once(at(2), &tasks("t", 10, 4), vec![]);
    assert_eq!((result.placed(), result.failed()), (5, 5));
}

#[test]
fn test_resource_shortfall() {
    let per_task = ScaleOptions { shortfall: Shortfall::PerTask, ..ScaleOptions::default() };
    let mut autoscaler = autoscaler(per_task, vec![rule(5, 10)]);
    let mut scheduler = with(vec![], &[]);
    let first = tasks("a", 18, 4);
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &first), [up("small", 18)]);
    // The next ones do not wait for the cool-down, and the first are not asked for again.
    let both = [first, tasks("b", 30, 4)].concat();
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &both), [up("small", 30)]);
    assert_eq!(autoscaler.decide(at(3), &mut scheduler, &both), []);
    let again = autoscaler.decide(at(700), &mut scheduler, &both);
    assert_eq!(again, [up("small", 48)], "they are, ten minutes later");
}

#[test]
fn test_adding_new_rule() {
    let mut autoscaler = plain(1, 10);
    let mut scheduler = with(hosts(2), &[]);
    assert_eq!(autoscaler.decide(at(3), &mut scheduler, &[]), []);
    autoscaler.set_rule(at(3), ScaleRule::new("big", 2, 4)).unwrap();
    assert_eq!(autoscaler.decide(at(3), &mut scheduler, &[]), [up("big", 4)]);
}

#[test]
fn test_removing_existing_rule() {
    let mut autoscaler = plain(5, 10);
    let mut scheduler = with(vec![], &[]);
    assert_eq!(autoscaler.remove_rule(&"small".into()), Some(rule(5, 10)));
    autoscaler.set_rule(at(0), ScaleRule::new("big", 1, 3)).unwrap();
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), [up("big", 3)]);
    assert_eq!(autoscaler.rules().count(), 1);
}

fn delayed() -> Autoscaler {
    let options =
        ScaleOptions { delay_up: secs(10), delay_down: secs(10), ..ScaleOptions::default() };
    autoscaler(options, vec![rule(2, 4)])
}

#[test]
fn test_delayed_autoscale_up() {
    let (mut autoscaler, mut scheduler) = (delayed(), with(vec![], &[]));
    for secs in [2, 7, 11] {
        assert_eq!(autoscaler.decide(at(secs), &mut scheduler, &[]), [], "after {secs} s");
    }
    assert_eq!(autoscaler.decide(at(12), &mut scheduler, &[]), [up("small", 4)]);
}

#[test]
fn test_scale_up_delay_reset() {
    let (mut autoscaler, mut none) = (delayed(), with(vec![], &[]));
    assert_eq!(autoscaler.decide(at(2), &mut none, &[]), []);
    assert_eq!(autoscaler.decide(at(8), &mut with(hosts(2), &[]), &[]), [], "no breach any more");
    assert_eq!(autoscaler.decide(at(12), &mut none, &[]), [], "the wait has begun anew");
    assert_eq!(autoscaler.decide(at(22), &mut none, &[]), [up("small", 4)]);
}

#[test]
fn test_delayed_autoscale_down() {
    let (mut autoscaler, mut scheduler) = (delayed(), with(hosts(6), &[]));
    for secs in [2, 11] {
        assert_eq!(autoscaler.decide(at(secs), &mut scheduler, &[]), [], "after {secs} s");
    }
    assert_eq!(downs(&autoscaler.decide(at(12), &mut scheduler, &[])), ["h00", "h01"]);
}

#[test]
fn test_scale_down_delay_reset() {
    let (mut autoscaler, mut many) = (delayed(), with(hosts(6), &[]));
    assert_eq!(autoscaler.decide(at(2), &mut many, &[]), []);
    assert_eq!(autoscaler.decide(at(8), &mut with(hosts(3), &[]), &[]), []);
    assert_eq!(autoscaler.decide(at(12), &mut many, &[]), []);
    assert_eq!(downs(&autoscaler.decide(at(22), &mut many, &[])).len(), 2);
}

#[test]
fn test_rule_with_min_size() {
    let sized =
        |min, max| autoscaler(ScaleOptions::default(), vec![rule(2, 5).with_sizes(min, max)]);
    let mut scheduler = with(hosts(12), &[]);
    assert_eq!(downs(&sized(10, 100).decide(at(2), &mut scheduler, &[])).len(), 2);
}

#[test]
fn test_rule_with_min_size_2() {
    let mut autoscaler = autoscaler(ScaleOptions::default(), vec![rule(2, 5).with_sizes(10, 100)]);
    assert_eq!(autoscaler.decide(at(2), &mut with(hosts(8), &[]), &[]), []);
}

#[test]
fn test_rule_with_max_size() {
    let mut autoscaler = autoscaler(ScaleOptions::default(), vec![rule(2, 5).with_sizes(0, 10)]);
    let mut scheduler = with(hosts(8), &tasks("t", 8, 4));
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), [up("small", 2)]);
}

#[test]
fn test_rule_with_max_size_2() {
    let mut autoscaler = autoscaler(ScaleOptions::default(), vec![rule(2, 5).with_sizes(0, 10)]);
    let mut scheduler = with(hosts(12), &tasks("t", 12, 4));
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &[]), []);
}

#[test]
fn test_task_2_clusters_getter_aggressive_scale_up() {
    // A constraint says which group a task is for.
    let rules = vec![rule(1, 2), ScaleRule::new("big", 1, 2).with_cool_down(secs(60))];
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules);
    let leases = vec![host(0, 4, "small"), host(1, 4, "big"), host(2, 4, "big")];
    let mut scheduler = with(leases, &tasks("running", 1, 4));
    scheduler.task_assigned(&tasks("more", 2, 4)[0], &"h01".into());
    scheduler.task_assigned(&tasks("more", 2, 4)[1], &"h02".into());
    scheduler.expire_all();
    autoscaler.decide(at(60), &mut scheduler, &[]);
    let class = TaskClass::new("pinned", Resources::cpus_mem(4, 400))
        .with_hard(Constraint::equals("group", "big"));
    let class = Arc::new(class);
    let pinned: Vec<_> = (0..3).map(|n| TaskRequest::new(format!("p{n}"), &class)).collect();
    assert_eq!(autoscaler.decide(at(61), &mut scheduler, &pinned), [up("big", 3)]);
}

/// 32 tasks on two hosts, and twelve more: what they lack is asked for once.
fn shortfall_of_one_group(leases: Vec<Lease>, active: BTreeSet<AttributeValue>) {
    let rules = ["small", "big"].map(|group| {
        let rule = ScaleRule::new(group, 1, 1).with_cool_down(secs(600));
        if group == "big" { rule.with_sizes(0, 0) } else { rule }
    });
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules.into());
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler.set_active_groups("group", active);
    let all = tasks("t", 32, 1);
    let result = scheduler.schedule_once(at(1), &all, leases);
    assert_eq!((result.placed(), result.failed()), (8, 24));
    assign(&mut scheduler, &result);
    let failed: Vec<_> =
        all.iter().filter(|task| result.why(&task.id).is_some()).cloned().collect();
    assert_eq!(autoscaler.decide(at(1), &mut scheduler, &failed), [up("small", 6)]);
    let more = [failed, tasks("u", 12, 1)].concat();
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &more), [up("small", 3)]);
    assert_eq!(scheduler.hosts().count(), 2, "the question leaves no trace");
    // All that was asked for comes: nobody waits, and no lease is given back.
    let new = (10..19).map(|n| host(n, 4, "small")).collect();
    let result = scheduler.schedule_once(at(3), &more, new);
    assert_eq!((result.placed(), result.assignments.len()), (36, 9));
    assert_eq!(result.expired, []);
}

#[test]
fn test_shortfall_scale_up_1_group() {
    shortfall_of_one_group(hosts(2), BTreeSet::new());
}

/// Hosts of a group that is not active are neither used nor asked for.
#[test]
fn test_shortfall_scale_up_1_group_with_active_vms() {
    shortfall_of_one_group(hosts(2), ["small".into()].into());
}

/// Java's table of the greatest task of a group counts one port too few.
#[test]
fn a_task_for_all_ports_of_a_host_is_placed_and_scaled_up_for() {
    let mut autoscaler = plain(1, 5);
    let ports = PortRange::new(1000, 1009).unwrap();
    let lease = |n| host(n, 4, "small").with_ports(ports);
    let class = TaskClass::new("t", Resources::cpus_mem(1, 100)).with_ports(10);
    let class = Arc::new(class);
    let all: Vec<_> = (0..5).map(|n| TaskRequest::new(format!("t{n}"), &class)).collect();
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let result = scheduler.schedule_once(at(1), &all, vec![lease(0), lease(1)]);
    assert_eq!((result.placed(), result.failed()), (2, 3));
    assign(&mut scheduler, &result);
    assert_eq!(autoscaler.decide(at(1), &mut scheduler, &all[2..]), [up("small", 3)]);
    let result = scheduler.schedule_once(at(2), &all[2..], (2..5).map(lease).collect());
    assert_eq!((result.placed(), result.failed()), (3, 0));
}

#[test]
fn test_shortfall_scale_up_2_groups() {
    let rules = vec![
        ScaleRule::new("big", 1, 1).with_sizes(0, 10),
        ScaleRule::new("small", 1, 1).with_sizes(0, 4),
    ];
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules);
    let leases =
        vec![host(0, 4, "small"), host(1, 4, "small"), host(2, 4, "small"), host(3, 8, "big")];
    let mut scheduler = with(leases, &tasks("running", 5, 4));
    // One more small host is permitted, and nine big ones: 76 cpus in all.
    assert_eq!(
        autoscaler.decide(at(1), &mut scheduler, &tasks("t", 90, 1)),
        [up("big", 9), up("small", 1)]
    );
}

#[test]
fn test_shortfall_adjusting() {
    let options = ScaleOptions { shortfall: Shortfall::PerTask, ..ScaleOptions::default() };
    let halved = ScaleRule { tasks_per_host: 2, ..ScaleRule::new("small", 1, 1) };
    let other = ScaleRule::new("big", 1, 1);
    let mut autoscaler = autoscaler(options, vec![halved, other]);
    let mut scheduler = with(vec![], &[]);
    assert_eq!(
        autoscaler.decide(at(0), &mut scheduler, &tasks("t", 2, 1)),
        [up("big", 2), up("small", 1)]
    );
}

fn statuses(count: usize) -> Vec<HostStatus> {
    with(hosts(count), &[]).hosts().collect()
}

fn number(host: &HostStatus) -> u32 {
    host.host.as_str()[1..].parse().unwrap()
}

#[test]
fn test_scale_down_ordering() {
    let order = ScaleDownOrder::new()
        .with_classes(|host| u32::from([1, 4].contains(&number(host))))
        .with_score(10, ScaleDownScore::custom(|host| f64::from(number(host).is_multiple_of(2))))
        .with_score(2, ScaleDownScore::custom(|host| if number(host) == 0 { 0.0 } else { 1.0 }));
    let even_or_little = ScaleDownOrder::new()
        .with_classes(|host| u32::from([1, 4].contains(&number(host))))
        .with_score(
            10,
            ScaleDownScore::custom(|host| if number(host).is_multiple_of(2) { 1.0 } else { 0.1 }),
        )
        .with_score(2, ScaleDownScore::custom(|host| f64::from(number(host) > 0)));
    let numbers = |order: &ScaleDownOrder| -> Vec<u32> {
        order.sort(statuses(5)).iter().map(number).collect()
    };
    assert_eq!(numbers(&order), [2, 4], "odd ones score 0, and so does the first");
    assert_eq!(numbers(&even_or_little), [2, 3, 4, 1]);
}

#[test]
fn test_weights_validation() {
    let order = ScaleDownOrder::new().with_score(0, ScaleDownScore::custom(|_| 1.0));
    let options = ScaleOptions { order, ..ScaleOptions::default() };
    let error = Autoscaler::new("group", options).map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "the weight of a score must not be 0");
}

#[test]
fn rules_that_contradict_themselves_are_refused() {
    let mut autoscaler = plain(1, 2);
    for bad in [
        ScaleRule::new("small", 0, 2),
        ScaleRule::new("small", 3, 2),
        ScaleRule::new("small", 1, 2).with_sizes(5, 4),
    ] {
        assert!(autoscaler.set_rule(at(0), bad).is_err());
    }
    assert_eq!(autoscaler.rules().next(), Some(&rule(1, 2)), "the old rule stands");
}

#[test]
fn test_balancing() {
    let balanced = ScaleDownScore::Balanced { attribute: "group".into(), initial: 0.5, step: 0.1 };
    let scores = balanced.of_all(&statuses(4));
    for (score, wanted) in scores.iter().zip([0.5, 0.6, 0.65, 0.675]) {
        assert!((score - wanted).abs() < 1e-12, "{scores:?}");
    }
}

#[test]
fn test_clone_pseudo_vms_for_groups() {
    // Three hosts of at most four, and tasks for six more: one is asked for.
    let rules = vec![ScaleRule::new("small", 1, 1).with_sizes(0, 4)];
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules);
    let mut scheduler = with(hosts(3), &tasks("running", 3, 4));
    assert_eq!(autoscaler.decide(at(1), &mut scheduler, &tasks("t", 6, 4)), [up("small", 1)]);
}

#[test]
fn test_scale_up_for_rsv() {
    // A task that is over its group's limit finds no host on another host either.
    let mut autoscaler = autoscaler(ScaleOptions::default(), vec![ScaleRule::new("small", 1, 1)]);
    let mut scheduler = with(hosts(2), &[]);
    let one = fenzo::Limit::NONE.with(fenzo::Measure::Cpus, fenzo::Milli::whole(4));
    scheduler.set_limit("t", one);
    let all = tasks("t", 4, 4);
    let result = scheduler.schedule_once(at(1), &all, vec![]);
    assign(&mut scheduler, &result);
    assert_eq!((result.placed(), result.failed()), (1, 3));
    assert_eq!(autoscaler.decide(at(1), &mut scheduler, &all[1..]), []);
}

#[test]
fn test_with_inactive_agents() {
    let rules = vec![ScaleRule::new("small", 1, 1).with_sizes(0, 4)];
    let mut autoscaler = autoscaler(ScaleOptions::default(), rules);
    let leases =
        vec![host(0, 4, "small"), host(1, 4, "small"), host(2, 4, "big"), host(3, 4, "big")];
    let mut scheduler = with(leases, &tasks("running", 2, 4));
    scheduler.set_active_groups("group", ["small".into()].into());
    assert_eq!(autoscaler.decide(at(1), &mut scheduler, &tasks("t", 7, 4)), [up("small", 2)]);
}
