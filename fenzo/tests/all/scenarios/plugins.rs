//! Closures, good-enough thresholds, weighted fitness and wrong configuration.

use fenzo::{
    BuildError, Constraint, Fitness, Measure, Reason, Resources, TaskClass, TaskScheduler,
};

use crate::scenarios::{class, hosts, lease, run, scheduler, tasks};

#[test]
fn test_task_tracker_state_1() {
    // A closure sees what runs and what this run has placed.
    let at_most_two = |host: &fenzo::HostView<'_>| host.tasks() < 2;
    let class =
        class(1, 1).with_hard(Constraint::custom("at most two tasks", move |_, h| at_most_two(h)));
    let mut scheduler = scheduler(Fitness::cpu_packer());
    scheduler.task_assigned(&tasks("running", 1, class.clone())[0], &"h1".into());
    let leases = vec![lease("l1", "h1", 4, 100), lease("l2", "h2", 4, 100)];
    let result = run(&mut scheduler, &tasks("t", 5, class), leases);
    let counts: Vec<usize> = result.assignments.iter().map(|host| host.tasks.len()).collect();
    assert_eq!(counts, [1, 2]);
    let reason = Reason::Constraint("at most two tasks".into());
    assert_eq!(result.failures[0].explanation.reasons[&reason], 2);
}

#[test]
fn a_closure_may_change_its_mind_when_its_host_changes() {
    // Followers go only where a leader is: they fail before it is placed, and not after.
    let follow =
        Constraint::custom("next to the leader", |_, host| host.tasks_of(&"leader".into()) > 0);
    let follower = class(1, 1).with_hard(follow);
    let leader = fenzo::TaskClass::new("leader", fenzo::Resources::cpus_mem(1, 1));
    let mut requests = tasks("early", 2, follower.clone());
    requests.extend(tasks("leader", 1, leader));
    requests.extend(tasks("late", 2, follower));
    let leases = vec![lease("l1", "h1", 4, 100), lease("l2", "h2", 4, 100)];
    let result = run(&mut scheduler(Fitness::cpu_spreader()), &requests, leases);
    assert_eq!((hosts(&result), result.placed(), result.failed()), (vec!["h1"], 3, 2));
}

#[test]
fn a_custom_fitness_ranks_and_nonsense_from_it_is_tamed() {
    let leases = || vec![lease("l1", "h1", 4, 10), lease("l2", "h2", 4, 100)];
    let most_memory =
        Fitness::custom(|_, host| host.free(Measure::Memory).thousandths() as f64 / 1e6);
    let result = run(&mut scheduler(most_memory), &tasks("t", 1, class(1, 1)), leases());
    assert_eq!(hosts(&result), ["h2"]);
    let nonsense = Fitness::custom(|_, host| match host.id().as_str() {
        "h1" => f64::NAN,
        _ => f64::INFINITY,
    });
    let result = run(&mut scheduler(nonsense), &tasks("t", 1, class(1, 1)), leases());
    assert_eq!(hosts(&result), ["h2"]);
    assert!((result.assignments[0].tasks[0].score.combined - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_scored_wish_is_graded() {
    let near = Constraint::scored("near", |_, host| match host.id().as_str() {
        "h1" => 0.2,
        "h2" => 0.7,
        _ => 0.5,
    });
    let leases = ["h1", "h2", "h3"].map(|host| lease(host, host, 1, 10)).to_vec();
    let requests = tasks("t", 2, class(1, 1).with_soft(near.soft(1)));
    let result = run(&mut scheduler(Fitness::Any), &requests, leases);
    assert_eq!(hosts(&result), ["h2", "h3"]);
}

#[test]
fn good_enough_takes_the_first_host_that_is_and_the_best_if_none_is() {
    let leases =
        || vec![lease("l1", "h1", 10, 100), lease("l2", "h2", 2, 100), lease("l3", "h3", 1, 100)];
    let choose = |threshold: f64, count: usize| {
        let mut scheduler = TaskScheduler::builder()
            .fitness(Fitness::cpu_packer())
            .good_enough(threshold)
            .build()
            .unwrap();
        let result = run(&mut scheduler, &tasks("t", count, class(1, 1)), leases());
        result.host_of(&"t0".into()).unwrap().as_str().to_owned()
    };
    // One task is found by a scan, several by an index: the answer is the same.
    for count in [1, 3] {
        assert_eq!(choose(0.1, count), "h1");
        assert_eq!(choose(0.4, count), "h2");
        assert_eq!(choose(0.9, count), "h3");
    }
    let result = run(
        &mut TaskScheduler::builder().good_enough(1.0).build().unwrap(),
        &tasks("t", 1, class(1, 1)),
        leases(),
    );
    assert_eq!(result.evaluations, 1, "any host is good enough without fitness");
}

#[test]
fn scores_that_round_to_one_rank_are_a_tie() {
    // 0.3 and its successor differ, but the rank that weighs them does not: the smaller name wins.
    let next = f64::from_bits(0.3_f64.to_bits() + 1);
    for count in [1, 2] {
        let fitness =
            Fitness::custom(move |_, host| if host.id().as_str() == "h1" { 0.3 } else { next });
        let leases = vec![lease("l1", "h1", 1, 10), lease("l2", "h2", 1, 10)];
        let result = run(&mut scheduler(fitness), &tasks("t", count, class(1, 1)), leases);
        assert_eq!(result.host_of(&"t0".into()).unwrap().as_str(), "h1");
    }
}

#[test]
fn test_weighted_average_fitness_calculator() {
    let half = Fitness::custom(|_, _| 0.5);
    let one = Fitness::custom(|_, _| 1.0);
    let fitness = Fitness::Weighted(vec![(1, half), (1, one)]);
    let result =
        run(&mut scheduler(fitness), &tasks("t", 1, class(1, 1)), vec![lease("l", "h", 1, 1)]);
    let score = result.assignments[0].tasks[0].score;
    assert!((score.calculator - 0.75).abs() < f64::EPSILON);
}

#[test]
fn a_scheduler_that_could_give_no_score_is_not_built() {
    let build = |fitness| TaskScheduler::builder().fitness(fitness).build().map(|_| ());
    assert!(matches!(build(Fitness::Pack(vec![])), Err(BuildError::Fitness(_))));
    assert!(matches!(build(Fitness::Weighted(vec![])), Err(BuildError::Fitness(_))));
    assert!(matches!(
        build(Fitness::Weighted(vec![(0, Fitness::Any)])),
        Err(BuildError::Fitness(_))
    ));
    assert!(matches!(
        build(Fitness::Weighted(vec![(1, Fitness::Spread(vec![]))])),
        Err(BuildError::Fitness(_))
    ));
    for threshold in [-0.1, 1.1, f64::NAN] {
        let error = TaskScheduler::builder().good_enough(threshold).build().map(|_| ());
        assert!(matches!(error, Err(BuildError::GoodEnough(_))));
    }
}

#[test]
fn test_offers_list_in_constraint_plugin() {
    let leases_of = |wanted: usize| {
        Constraint::custom("so many leases", move |_, host| host.leases().count() == wanted)
    };
    let mut scheduler = scheduler(Fitness::Any);
    let first = tasks("one", 1, class(1, 1).with_hard(leases_of(1)));
    assert_eq!(run(&mut scheduler, &first, vec![lease("l1", "h1", 4, 100)]).placed(), 1);
    run(&mut scheduler, &[], vec![lease("left", "h1", 3, 90)]);
    let second = tasks("two", 1, class(1, 1).with_hard(leases_of(2)));
    assert_eq!(run(&mut scheduler, &second, vec![lease("l2", "h1", 1, 10)]).placed(), 1);
}

#[test]
fn test_exception_in_constraints() {
    // Its task fails, with its name among the reasons; the others are placed.
    let broken = Constraint::custom("broken", |_, host| {
        assert!(host.id().as_str() == "h2", "this plugin is broken");
        false
    });
    let mut requests = tasks("broken", 1, class(1, 1).with_hard(broken));
    requests.extend(tasks("sound", 2, class(1, 1)));
    let leases = vec![lease("l1", "h1", 4, 100), lease("l2", "h2", 4, 100)];
    let result = run(&mut scheduler(Fitness::Any), &requests, leases);
    assert_eq!((result.placed(), result.failed()), (2, 1));
    assert_eq!(
        result.why(&"broken0".into()).unwrap().reasons[&Reason::Constraint("broken".into())],
        2
    );
}

#[test]
fn a_fitness_that_panics_or_is_no_number_refuses_the_host() {
    let broken = Fitness::custom(|class, host| match host.id().as_str() {
        "h1" => panic!("this plugin is broken"),
        "h2" => f64::NAN,
        _ if class.group.as_str() == "never" => f64::NAN,
        _ => 0.1,
    });
    let leases = ["h1", "h2", "h3"].map(|host| lease(host, host, 3, 10)).to_vec();
    let mut requests = tasks("n", 1, TaskClass::new("never", Resources::cpus_mem(1, 1)));
    requests.extend(tasks("t", 2, class(1, 1)));
    let result = run(&mut scheduler(broken), &requests, leases);
    assert_eq!((hosts(&result), result.placed(), result.failed()), (vec!["h3"], 2, 1));
    assert_eq!(result.why(&"n0".into()).unwrap().reasons, [(Reason::ZeroFitness, 3)].into());
}

#[test]
fn test_with_any_zero_score() {
    // A part that says 0 does not refuse the host: that is what hard constraints are for.
    let parts = vec![(1, Fitness::custom(|_, _| 0.0)), (1, Fitness::custom(|_, _| 1.0))];
    let leases = vec![lease("l", "h", 1, 1)];
    let result = run(&mut scheduler(Fitness::Weighted(parts)), &tasks("t", 1, class(1, 1)), leases);
    assert!((result.assignments[0].tasks[0].score.calculator - 0.5).abs() < f64::EPSILON);
}
