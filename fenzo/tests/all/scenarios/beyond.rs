//! What Fenzo lacks: gangs, plans of preemption, questions that change nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use fenzo::{
    Combination, Constraint, Fitness, Gang, GangMiss, GroupName, Lease, Preemptible,
    PreemptionPlan, Problem, Reason, Resource, Resources, TaskClass, TaskId, TaskRequest,
    TaskScheduler, Time,
};

use super::{class, lease, run, scheduler, tasks};

fn gangs(
    scheduler: &mut TaskScheduler,
    gangs: &[Gang],
    leases: Vec<Lease>,
) -> fenzo::SchedulingResult {
    scheduler.schedule_gangs(Time::ZERO, gangs, leases)
}

fn three_hosts() -> Vec<Lease> {
    (0..3).map(|n| lease(&format!("l{n}"), &format!("h{n}"), 4, 100)).collect()
}

#[test]
fn a_gang_that_does_not_fit_leaves_its_room_to_the_next() {
    let mut scheduler = scheduler(Fitness::cpu_packer());
    let big = Gang::all(tasks("big", 4, class(4, 1)));
    let small = Gang::all(tasks("small", 12, class(1, 1)));
    let result = gangs(&mut scheduler, &[big, small], three_hosts());
    assert_eq!((result.placed(), result.failed(), result.failures.len()), (12, 4, 1));
    let failure = &result.failures[0];
    assert_eq!(failure.gang, Some(GangMiss { placed: 3, min: 4 }));
    assert_eq!(failure.explanation.reasons, [(Reason::Lacks(Resource::Cpus), 3)].into());
    assert_eq!(failure.gang.unwrap().to_string(), "3 of at least 4 tasks of the gang found a host");
}

#[test]
fn a_gang_with_a_least_size_takes_what_there_is_beyond() {
    let gang = |min| Gang::at_least(min, tasks("t", 5, class(4, 1)));
    let result = gangs(&mut scheduler(Fitness::Any), &[gang(2)], three_hosts());
    assert_eq!((result.placed(), result.failed()), (3, 2));
    assert_eq!(result.failures[0].gang, None);
    let result = gangs(&mut scheduler(Fitness::Any), &[gang(4)], three_hosts());
    assert_eq!((result.placed(), result.failed()), (0, 5));
    // More than there are can never be.
    let result = gangs(&mut scheduler(Fitness::Any), &[gang(6)], three_hosts());
    assert_eq!(result.placed(), 0);
}

#[test]
fn a_gang_that_asks_for_more_than_it_has_is_given_up_though_all_of_it_fits() {
    let nobody = Gang::at_least(3, Vec::new());
    let few = Gang::at_least(4, tasks("few", 3, class(1, 1)));
    let next = Gang::all(tasks("next", 12, class(1, 1)));
    let result = gangs(&mut scheduler(Fitness::Any), &[nobody, few, next], three_hosts());
    assert_eq!((result.placed(), result.failed(), result.failures.len()), (12, 3, 1));
    assert_eq!(result.failures[0].gang, Some(GangMiss { placed: 3, min: 4 }));
}

#[test]
fn what_fails_in_a_trial_is_tried_again_after_it() {
    let mut scheduler = scheduler(Fitness::Any);
    let class = Arc::new(class(3, 1));
    let of = |name: &str, count| -> Vec<TaskRequest> {
        (0..count).map(|n| TaskRequest::new(format!("{name}{n}"), &class)).collect()
    };
    // The first gang fills all hosts and fails; its class is the one of the second, which fits.
    let result =
        gangs(&mut scheduler, &[Gang::all(of("a", 4)), Gang::all(of("b", 3))], three_hosts());
    assert_eq!((result.placed(), result.failed()), (3, 4));
    assert!(result.host_of(&"b2".into()).is_some());
    assert_eq!(result.why(&"a0".into()), result.why(&"a3".into()));
}

#[test]
fn a_host_that_its_own_tasks_make_fit_counts_for_a_gang() {
    // As Fenzo 1 has it, an empty host is no good to a packer for a task that takes nothing.
    let builder = TaskScheduler::builder().fitness(Fitness::memory_packer());
    let mut scheduler = builder.combination(Combination::Fenzo1).build().unwrap();
    let nothing = |id: &str| tasks(id, 1, class(0, 0));
    let gang = [nothing("a"), tasks("b", 1, class(0, 1)), nothing("c")].concat();
    let result = gangs(&mut scheduler, &[Gang::at_least(2, gang)], three_hosts());
    assert_eq!((result.placed(), result.failed()), (3, 0));
}

#[test]
fn a_gang_counts_its_own_tasks_for_constraints() {
    let apart = class(1, 1).with_hard(Constraint::UniqueHost);
    let four = Gang::all(tasks("four", 4, apart.clone()));
    let three = Gang::all(tasks("three", 3, apart));
    let result = gangs(&mut scheduler(Fitness::Any), &[four, three], three_hosts());
    assert_eq!((result.placed(), result.failed(), result.assignments.len()), (3, 4, 3));
}

#[test]
fn a_refused_task_is_not_of_its_gang_and_nothing_to_the_others() {
    let mut scheduler = scheduler(Fitness::Any);
    let twice = [tasks("a", 2, class(1, 1)), tasks("a", 1, class(1, 1))].concat();
    let all = Gang::all(twice);
    let runs = tasks("b", 3, class(1, 1));
    scheduler.task_assigned(&runs[1], &"h9".into());
    let enough = Gang::at_least(2, runs);
    let other = Gang::all(tasks("c", 4, class(1, 1)));
    let result = gangs(&mut scheduler, &[all, enough, other], three_hosts());
    let refused = [("a0".into(), Problem::Repeated), ("b1".into(), Problem::Running)];
    assert_eq!(result.refused, refused);
    assert_eq!((result.placed(), result.failures.len(), result.untried.len()), (2 + 4, 1, 0));
    let failure = &result.failures[0];
    assert_eq!(failure.tasks, ["a0".into(), "a1".into()]);
    assert_eq!(failure.gang, Some(GangMiss { placed: 2, min: 3 }));
    assert_eq!(failure.explanation.to_string(), "none of 3 hosts is against it");
}

/// Runs tasks of so many cpus each on hosts that they fill, with what is left offered again.
fn full(hosts: &[&[(&str, u64)]]) -> TaskScheduler {
    let mut scheduler = scheduler(Fitness::Any);
    for (n, running) in hosts.iter().enumerate() {
        for (id, cpus) in *running {
            let group = &id[..1];
            let class = Arc::new(TaskClass::new(group, Resources::cpus_mem(*cpus, 1)));
            scheduler.task_assigned(&TaskRequest::new(*id, &class), &format!("h{n}").into());
        }
        let left = lease(&format!("l{n}"), &format!("h{n}"), 0, 100);
        run(&mut scheduler, &[], vec![left]);
    }
    scheduler
}

fn candidate(task: &str, priority: i32, lost_work: u64) -> Preemptible {
    Preemptible { task: task.into(), priority, lost_work }
}

fn plan(
    scheduler: &mut TaskScheduler,
    cpus: u64,
    candidates: &[Preemptible],
    budgets: &BTreeMap<GroupName, usize>,
) -> Option<PreemptionPlan> {
    let task = &tasks("new", 1, class(cpus, 1))[0];
    scheduler.preemption_plan(task, 10, candidates, budgets)
}

fn ended(plan: Option<PreemptionPlan>) -> Vec<TaskId> {
    plan.map_or(vec![], |plan| plan.tasks)
}

#[test]
fn the_fewest_tasks_are_ended_then_the_lowest_then_the_cheapest() {
    let hosts: [&[(&str, u64)]; 2] = [&[("a1", 2), ("a2", 2)], &[("b1", 4), ("b2", 1), ("b3", 3)]];
    let all = |b1, b1_work| {
        [
            candidate("a1", 0, 1),
            candidate("a2", 0, 1),
            candidate("b1", b1, b1_work),
            candidate("b2", 0, 1),
            candidate("b3", 0, 1),
        ]
    };
    let none = BTreeMap::new();
    let mut scheduler = full(&hosts);
    // One that is large beats two that are small, whatever its priority below ours.
    assert_eq!(ended(plan(&mut scheduler, 4, &all(9, 100), &none)), ["b1".into()]);
    // Ours is not higher than its: two of the other host.
    assert_eq!(ended(plan(&mut scheduler, 4, &all(10, 0), &none)), ["a1".into(), "a2".into()]);
    // One is enough: the cheapest of those that are.
    let plan = plan(&mut scheduler, 3, &all(0, 100), &none).unwrap();
    assert_eq!((plan.tasks, plan.host, plan.lost_work), (vec!["b3".into()], "h1".into(), 1));
}

#[test]
fn a_plan_changes_nothing_and_holds_when_it_is_carried_out() {
    let mut scheduler = full(&[&[("a1", 1), ("a2", 1), ("a3", 1), ("a4", 1), ("a5", 1)]]);
    let candidates: Vec<_> = (1..6).map(|n| candidate(&format!("a{n}"), 0, n)).collect();
    let before: Vec<_> = scheduler.hosts().collect();
    let plan = plan(&mut scheduler, 4, &candidates, &BTreeMap::new()).unwrap();
    assert_eq!(scheduler.hosts().collect::<Vec<_>>(), before);
    assert_eq!((plan.tasks.len(), plan.priority, plan.lost_work), (4, Some(0), 1 + 2 + 3 + 4));
    for task in &plan.tasks {
        assert!(scheduler.task_unassigned(task, &plan.host));
    }
    let freed = lease("freed", "h0", 4, 4);
    assert_eq!(run(&mut scheduler, &tasks("new", 1, class(4, 1)), vec![freed]).placed(), 1);
}

#[test]
fn budgets_and_constraints_bind_a_plan() {
    let hosts: [&[(&str, u64)]; 2] = [&[("a1", 2), ("a2", 2)], &[("b1", 1), ("b2", 1), ("c1", 2)]];
    let candidates = ["a1", "a2", "b1", "b2", "c1"].map(|task| candidate(task, 0, 1));
    let mut scheduler = full(&hosts);
    let one_a: BTreeMap<GroupName, usize> = [("a".into(), 1)].into();
    let wanted: Vec<TaskId> = ["b1", "b2", "c1"].map(TaskId::from).to_vec();
    assert_eq!(ended(plan(&mut scheduler, 4, &candidates, &one_a)), wanted);
    let none: BTreeMap<GroupName, usize> = [("a".into(), 0), ("c".into(), 0)].into();
    assert_eq!(plan(&mut scheduler, 4, &candidates, &none), None);
    // Sums would do on h0, but the task may run on h1 only.
    let pinned = class(2, 1).with_hard(Constraint::equals(fenzo::HOSTNAME, "h1"));
    let task = &tasks("new", 1, pinned)[0];
    let plan = scheduler.preemption_plan(task, 10, &candidates, &BTreeMap::new());
    assert_eq!(ended(plan), ["c1".into()]);
}

#[test]
fn where_there_is_room_nothing_is_ended() {
    let mut scheduler = full(&[&[("a1", 2)]]);
    run(&mut scheduler, &[], vec![lease("free", "h5", 4, 100)]);
    let plan = plan(&mut scheduler, 4, &[candidate("a1", 0, 1)], &BTreeMap::new()).unwrap();
    assert_eq!((plan.host, plan.tasks.len(), plan.priority), ("h5".into(), 0, None));
}
