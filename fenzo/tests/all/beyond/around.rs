//! What is around a run: listeners, trials, who runs where, hosts out of use, and how many are lacking.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fenzo::{
    Autoscaler, Constraint, Fitness, Lease, Milli, ScaleAction, ScaleDownOrder, ScaleOptions,
    ScaleRule, SchedulingEvent, TaskRequest, TaskScheduler, Time,
};

use super::{class, lease, tasks};

fn at(secs: u64) -> Time {
    Time::from_secs(secs)
}

#[test]
fn listeners_hear_of_runs_and_cannot_break_them() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler
        .listen(|event| assert!(!matches!(event, SchedulingEvent::Placed { .. }), "it breaks"));
    let log = Arc::clone(&heard);
    scheduler.listen(move |event| {
        log.lock().unwrap().push(match event {
            SchedulingEvent::Started(now) => format!("started at {}", now.as_nanos()),
            SchedulingEvent::Placed { host, task } => format!("{} on {host}", task.request.id),
            SchedulingEvent::Finished(result) => format!("{} failed", result.failed()),
        });
    });
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result =
        scheduler.schedule_once(at(0), &tasks("t", 3, class("g", 2)), vec![lease("l", "h", 4)]);
    std::panic::set_hook(hook);
    assert_eq!(result.placed(), 2);
    assert_eq!(*heard.lock().unwrap(), ["started at 0", "t0 on h", "t1 on h", "1 failed"]);
}

#[test]
fn a_trial_leaves_everything_as_it_was() {
    let mut scheduler = TaskScheduler::builder().work_limit(1).batch_size(1).build().unwrap();
    for (id, host) in [("r0", "h0"), ("r1", "h0"), ("r2", "h1")] {
        scheduler.task_assigned(&TaskRequest::new(id, &Arc::new(class("r", 2))), &host.into());
    }
    scheduler.schedule_once(at(0), &[], vec![lease("l0", "h0", 1), lease("l1", "h1", 2)]);
    let before: Vec<_> = scheduler.hosts().collect();
    let wanted = tasks("t", 3, class("g", 3));
    let place = |overlay: fenzo::Overlay<'_>| overlay.place(&wanted).placed();
    assert_eq!(place(scheduler.overlay()), 0);
    assert_eq!(place(scheduler.overlay().without_task(&"r0".into())), 1);
    let both = scheduler.overlay().without_task(&"r0".into()).without_task(&"r2".into());
    assert_eq!(place(both), 2, "however little a run may do");
    let both = scheduler.overlay().without_task(&"r0".into()).without_task(&"r2".into());
    assert_eq!(place(both.with_lease(lease("new", "h2", 3)).without_host(&"h0".into())), 2);
    assert_eq!(place(scheduler.overlay().without_task(&"nobody".into())), 0);
    assert_eq!(scheduler.hosts().collect::<Vec<_>>(), before);
    assert_eq!(scheduler.leases_held(), 2);
}

#[test]
fn who_runs_where_and_what_groups_take() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    for (id, group, host) in [("a", "g", "h1"), ("b", "g", "h0"), ("c", "other", "h0")] {
        scheduler.task_assigned(&TaskRequest::new(id, &Arc::new(class(group, 2))), &host.into());
    }
    let zoned =
        |id: &str, host: &str| lease(id, host, 1).with_attribute("instance", format!("i-{host}"));
    scheduler.schedule_once(at(0), &[], vec![zoned("l0", "h0"), zoned("l1", "h1")]);
    let running: Vec<(String, String)> =
        scheduler.running().map(|(host, task, _)| (host.to_string(), task.to_string())).collect();
    let pair = |host: &str, task: &str| (host.to_owned(), task.to_owned());
    let wanted: BTreeSet<_> = [pair("h0", "b"), pair("h0", "c"), pair("h1", "a")].into();
    assert_eq!(running.into_iter().collect::<BTreeSet<_>>(), wanted);
    assert_eq!(scheduler.usage_of(&"g".into()).cpus, Milli::whole(4));
    assert_eq!(scheduler.usage_of(&"nobody".into()).cpus, Milli::ZERO);
    assert_eq!(scheduler.hosts_with("instance", &"i-h1".into()), ["h1".into()]);
    assert_eq!(scheduler.hosts_with("instance", &"i-h7".into()), []);
}

fn grouped(n: usize, group: &str, cpus: u64) -> Lease {
    lease(&format!("l{n}"), &format!("h{n}"), cpus).with_attribute("group", group)
}

#[test]
fn idle_hosts_of_inactive_groups_go() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let order = ScaleDownOrder::new().with_score(
        1,
        fenzo::ScaleDownScore::custom(|host| f64::from(u8::from(host.host.as_str() != "h3"))),
    );
    let options = ScaleOptions {
        remove_inactive: true,
        delay_down: Duration::from_secs(5),
        order,
        ..ScaleOptions::default()
    };
    let mut autoscaler = Autoscaler::new("group", options).unwrap();
    let cool = Duration::from_secs(60);
    autoscaler.set_rule(at(0), ScaleRule::new("old", 1, 9).with_sizes(3, 9)).unwrap();
    autoscaler.set_rule(at(0), ScaleRule::new("new", 1, 9).with_cool_down(cool)).unwrap();
    let old =
        (0..4).map(|n| grouped(n, "old", 4)).chain([grouped(4, "new", 4), grouped(5, "new", 4)]);
    scheduler.schedule_once(at(0), &[], old.collect());
    scheduler.task_assigned(&TaskRequest::new("r", &Arc::new(class("r", 1))), &"h0".into());
    let given_back =
        scheduler.set_active_groups("group", [fenzo::AttributeValue::from("new")].into());
    assert_eq!(given_back.len(), 4);
    // h0 is in use, h3 may not go; the others go once that has lasted.
    let inactive = |scheduler: &TaskScheduler| -> Vec<String> {
        scheduler.inactive_hosts().map(|host| host.host.to_string()).collect()
    };
    assert_eq!(inactive(&scheduler), ["h1", "h2", "h3"]);
    let removed = |actions: Vec<ScaleAction>| -> Vec<String> {
        let hosts = actions.into_iter().flat_map(|action| match action {
            ScaleAction::Down { hosts, .. } => hosts,
            ScaleAction::Up { .. } => vec![],
        });
        hosts.map(|host| host.to_string()).collect()
    };
    assert_eq!(removed(autoscaler.decide(at(1), &mut scheduler, &[])), [] as [&str; 0]);
    assert_eq!(removed(autoscaler.decide(at(6), &mut scheduler, &[])), ["h1", "h2"]);
    assert_eq!(inactive(&scheduler), ["h3"]);
    // A question about a cluster without it forgets nothing.
    scheduler.overlay().without_host(&"h3".into()).place(&[]);
    assert_eq!(inactive(&scheduler), ["h3"]);
    // One that offers again is known again; one that is active again is not inactive.
    scheduler.schedule_once(at(7), &[], vec![grouped(1, "old", 4)]);
    assert_eq!(inactive(&scheduler), ["h1", "h3"]);
    scheduler.set_active_groups("group", BTreeSet::new());
    assert_eq!(inactive(&scheduler), [] as [&str; 0]);
}

#[test]
fn a_spreader_asks_for_no_more_hosts_than_tasks_need() {
    for (fitness, wishes) in [(Fitness::cpu_spreader(), false), (Fitness::Any, true)] {
        let mut scheduler = TaskScheduler::builder().fitness(fitness).build().unwrap();
        let mut autoscaler = Autoscaler::new("group", ScaleOptions::default()).unwrap();
        autoscaler.set_rule(at(0), ScaleRule::new("g", 1, 1)).unwrap();
        scheduler.schedule_once(at(0), &[], vec![grouped(0, "g", 4)]);
        let wanted = class("t", 1);
        let wanted = if wishes { wanted.with_soft(Constraint::UniqueHost.soft(1)) } else { wanted };
        let batch = tasks("t", 17, wanted);
        let result = scheduler.schedule_once(at(1), &batch, vec![]);
        for assignment in &result.assignments {
            for task in &assignment.tasks {
                scheduler.task_launched(task, &assignment.host);
            }
        }
        let unplaced: Vec<TaskRequest> =
            batch.iter().filter(|task| result.why(&task.id).is_some()).cloned().collect();
        assert_eq!(unplaced.len(), 13);
        let actions = autoscaler.decide(at(1), &mut scheduler, &unplaced);
        assert_eq!(actions, [ScaleAction::Up { group: "g".into(), hosts: 4 }]);
    }
}

#[test]
fn a_group_without_hosts_grows_by_what_its_rule_says_they_are() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let mut autoscaler = Autoscaler::new("group", ScaleOptions::default()).unwrap();
    let cool = Duration::from_secs(600);
    let rule = ScaleRule::new("g", 1, 1).with_cool_down(cool).with_template(grouped(0, "g", 8));
    autoscaler.set_rule(at(0), rule).unwrap();
    let wanted = tasks("t", 5, class("t", 4));
    let actions = autoscaler.decide(at(1), &mut scheduler, &wanted);
    assert_eq!(actions, [ScaleAction::Up { group: "g".into(), hosts: 3 }]);
    assert_eq!(scheduler.leases_held(), 0);
    let huge = tasks("huge", 5, class("t", 9));
    assert_eq!(autoscaler.decide(at(2), &mut scheduler, &huge), []);
}

/// As Fenzo's long-running program does it: thousands of rounds on one scheduler that forgets nothing.
#[test]
fn thousands_of_rounds_leave_nothing_behind() {
    let mut scheduler = TaskScheduler::builder().fitness(Fitness::cpu_packer()).build().unwrap();
    let mut free = [8_u64; 40];
    let mut running: Vec<(fenzo::TaskId, usize, u64)> = Vec::new();
    let mut number: u64 = 0;
    let mut draw = |below: u64| {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (number >> 33) % below
    };
    for round in 0..2000_u64 {
        let leases = free.iter().enumerate().filter(|(_, free)| **free > 0);
        let leases =
            leases.map(|(n, free)| lease(&format!("l{round}-{n}"), &format!("h{n:02}"), *free));
        let leases: Vec<Lease> = leases.collect();
        scheduler.expire_all();
        let batch: Vec<TaskRequest> = (0..5)
            .map(|n| TaskRequest::new(format!("t{round}-{n}"), &Arc::new(class("g", draw(3) + 1))))
            .collect();
        let result = scheduler.schedule_once(at(round), &batch, leases);
        for assignment in &result.assignments {
            let host: usize = assignment.host.as_str()[1..].parse().unwrap();
            for task in &assignment.tasks {
                let cpus = task.request.class.demand.cpus.thousandths() / 1000;
                free[host] = free[host].checked_sub(cpus).expect("no host is over-committed");
                scheduler.task_launched(task, &assignment.host);
                running.push((task.request.id.clone(), host, cpus));
            }
        }
        while running.len() > 120 || (!running.is_empty() && draw(4) == 0) {
            let at = usize::try_from(draw(running.len() as u64)).unwrap();
            let (task, host, cpus) = running.swap_remove(at);
            assert!(scheduler.task_unassigned(&task, &format!("h{host:02}").into()));
            free[host] += cpus;
        }
    }
    for (task, host, _) in running {
        assert!(scheduler.task_unassigned(&task, &format!("h{host:02}").into()));
    }
    scheduler.expire_all();
    scheduler.schedule_once(at(9999), &[], vec![]);
    assert_eq!((scheduler.hosts().count(), scheduler.running().count()), (0, 0));
    assert_eq!(scheduler.usage_of(&"g".into()).cpus, Milli::ZERO);
}

/// What a question says of a host that is known is forgotten with the question.
#[test]
fn hosts_are_after_a_question_what_they_were_before() {
    let zoned = |id: &str, host: &str, zone: &str, secs: u64| {
        let lease = lease(id, host, 4).with_attribute("zone", zone).with_set(zone, 1, 1);
        lease.with_offered_at(at(secs))
    };
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let running = TaskRequest::new("r", &Arc::new(class("r", 1)));
    scheduler.task_assigned(&running, &"h1".into());
    let leases = ["h0", "h1", "h2"].map(|host| zoned(host, host, "a", 5));
    scheduler.schedule_once(at(5), &[], leases.to_vec());
    // h1 is busy and offers nothing; h2 offers what it did before it was in zone a.
    scheduler.expire_host(&"h1".into());
    scheduler.schedule_once(at(5), &[], vec![zoned("early", "h2", "x", 1)]);
    scheduler.expire_lease(&"h2".into());
    let before: Vec<_> = scheduler.hosts().collect();
    let hard = |zone: &str| {
        let class = class("t", 1).with_hard(Constraint::equals("zone", zone));
        tasks(zone, 4, class)
    };
    let later = || ["h0", "h1"].map(|host| zoned(&format!("new {host}"), host, "b", 9)).to_vec();
    let answer = scheduler.what_if(&[], later());
    assert_eq!((answer.placed(), scheduler.hosts().collect::<Vec<_>>()), (0, before.clone()));
    let trial = scheduler.overlay().without_task(&"r".into()).without_host(&"h1".into());
    trial.without_host(&"h2".into()).with_lease(zoned("new", "h0", "c", 9)).place(&hard("c"));
    assert_eq!(scheduler.hosts().collect::<Vec<_>>(), before);
    // Nor do constraints know of it, whose columns are made by now.
    assert_eq!(scheduler.what_if(&hard("c"), vec![]).placed(), 0);
    let result = scheduler.schedule_once(at(9), &hard("a"), vec![]);
    assert_eq!(result.host_of(&"a0".into()), Some(&"h0".into()));
}

#[test]
fn a_question_gives_back_what_a_run_would() {
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    scheduler.disable_host(&"h0".into(), at(60));
    let new = [fenzo::AttributeValue::from("new")];
    scheduler.set_active_groups("group", new.into());
    let leases = || vec![grouped(0, "new", 4), grouped(1, "old", 4), grouped(2, "new", 2)];
    let wanted = tasks("t", 3, class("t", 2));
    let answer = scheduler.what_if(&wanted, leases());
    assert_eq!((answer.placed(), answer.expired.len()), (1, 2));
    assert_eq!(scheduler.inactive_hosts().count(), 0);
    let result = scheduler.schedule_once(at(1), &wanted, leases());
    assert_eq!(answer, result);
    // What a task that ends would free on a disabled host is of no use, and nobody has offered it.
    scheduler.task_assigned(&TaskRequest::new("r", &Arc::new(class("r", 4))), &"h0".into());
    let answer = scheduler.overlay().without_task(&"r".into()).place(&wanted);
    assert_eq!((answer.placed(), answer.expired), (0, vec![]));
}

#[test]
fn a_host_for_which_a_closure_of_the_order_panics_stays() {
    let not =
        |name: &'static str| move |host: &fenzo::HostStatus| assert!(host.host != name.into());
    let (refuses_h0, refuses_h3) = (not("h0"), not("h3"));
    let order = ScaleDownOrder::new()
        .with_classes(move |host| {
            refuses_h0(host);
            0
        })
        .with_score(
            1,
            fenzo::ScaleDownScore::custom(move |host| {
                refuses_h3(host);
                1.0
            }),
        );
    let mut scheduler = TaskScheduler::builder().build().unwrap();
    let mut autoscaler =
        Autoscaler::new("group", ScaleOptions { order, ..ScaleOptions::default() }).unwrap();
    autoscaler.set_rule(at(0), ScaleRule::new("g", 1, 1)).unwrap();
    scheduler.schedule_once(at(0), &[], (0..5).map(|n| grouped(n, "g", 4)).collect());
    let actions = autoscaler.decide(at(1), &mut scheduler, &[]);
    let ScaleAction::Down { hosts, .. } = &actions[0] else { panic!("{actions:?}") };
    assert_eq!(*hosts, ["h1".into(), "h2".into(), "h4".into()]);
}
