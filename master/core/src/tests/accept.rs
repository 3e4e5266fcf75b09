//! ACCEPT with LAUNCH: the rules of offers and the order of the checks.

use crate::testing::*;
use proto::scheduler::CallBody;
use proto::{
    CommandInfo, ExecutorInfo, Filters, Operation, Resources, TaskBody, TaskInfo, TaskPayload,
    UnreadableTask,
};
use std::sync::Arc;
use std::time::Duration;

fn one_agent() -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    (c, agent, framework)
}

fn small(id: &str) -> TaskInfo {
    task_info(id, "m-S0", cpus_mem(1, 64))
}

#[test]
fn the_rest_of_an_accepted_offer_is_filtered_for_five_seconds() {
    let (mut c, _, framework) = one_agent();
    expect(&c.launch(&framework, &["m-O0"], vec![small("t1")]), &["c1 <- RUN m-0000 * t1"]);
    expect(&c.advance_alive(Duration::from_millis(4500)), &[]);
    let lines = c.advance_alive(Duration::from_secs(1));
    expect(&lines, &["c2 <- OFFERS [m-O1 m-S0 * cpus:3; mem:960]"]);
}

#[test]
fn the_rest_goes_to_others_at_once() {
    let (mut c, _, framework) = one_agent();
    c.framework();
    let lines = c.launch(&framework, &["m-O0"], vec![small("t1")]);
    expect(&lines, &["c1 <- RUN m-0000 * t1", "c3 <- OFFERS [m-O1 m-S0 * cpus:3; mem:960]"]);
}

#[test]
fn several_tasks_run_in_one_message() {
    let (mut c, _, framework) = one_agent();
    let tasks = vec![small("t1"), small("t2"), small("t3")];
    expect(&c.launch(&framework, &["m-O0"], tasks), &["c1 <- RUN m-0000 * t1 t2 t3"]);
}

#[test]
fn no_operations_is_a_decline_with_filters() {
    let (mut c, _, framework) = one_agent();
    let accept = |refuse| CallBody::Accept {
        offer_ids: vec![offer_id("m-O0")],
        operations: vec![],
        filters: Filters { refuse },
    };
    expect(&c.call(&framework, accept(Duration::from_secs(3))), &[]);
    expect(&c.advance(Duration::from_secs(2)), &[]);
    let lines = c.advance_alive(Duration::from_secs(2));
    expect(&lines, &["c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]"]);
}

#[test]
fn a_launch_of_no_tasks_is_a_decline_too() {
    let (mut c, _, framework) = one_agent();
    expect(&c.launch(&framework, &["m-O0"], vec![]), &[]);
}

#[test]
fn offers_of_one_agent_and_role_combine() {
    let (mut c, agent, framework) = one_agent();
    // A task ends while the rest of its agent is offered: a second offer of one agent.
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(3, 512))]);
    c.advance_alive(Duration::from_secs(6));
    let lines = c.update(&agent, &framework, "t1", proto::TaskState::Finished, 1);
    assert_eq!(lines.last().unwrap(), "c2 <- OFFERS [m-O2 m-S0 * cpus:3; mem:512]");
    let task = task_info("t2", "m-S0", cpus_mem(4, 1024));
    let lines = c.launch(&framework, &["m-O1", "m-O2"], vec![task]);
    expect(&lines, &["c1 <- RUN m-0000 * t2"]);
}

#[test]
fn offers_of_two_agents_do_not_combine() {
    let (mut c, _, framework) = one_agent();
    c.agent(cpus_mem(4, 1024));
    let lines = c.launch(&framework, &["m-O0", "m-O1"], vec![small("t1")]);
    // Both offers are given back unfiltered.
    expect(
        &lines,
        &[
            "c2 <- UPDATE t1 TASK_DROPPED master REASON_INVALID_OFFERS: Task launched with invalid \
         offers: Aggregated offers must belong to one agent, not m-S0 and m-S1",
            "c2 <- OFFERS [m-O2 m-S0 * cpus:4; mem:1024] [m-O3 m-S1 * cpus:4; mem:1024]",
        ],
    );
}

#[test]
fn offers_of_two_roles_do_not_combine() {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let framework = c.framework_from(framework_info("f", &["a", "b"], &[]));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(3, 512))]);
    // The rest comes in role b, which has nothing yet.
    let lines = c.update(&agent, &framework, "t1", proto::TaskState::Finished, 1);
    assert!(lines.last().unwrap().contains("m-O2 m-S0 a cpus:3; mem:512"), "{lines:?}");
    let lines = c.launch(&framework, &["m-O1", "m-O2"], vec![small("t2")]);
    assert!(lines[0].contains("t2 TASK_LOST master REASON_INVALID_OFFERS"), "{lines:?}");
    assert!(lines[0].contains("must have the same role, not 'b' and 'a'"), "{lines:?}");
}

#[test]
fn an_offer_cannot_be_used_twice() {
    let (mut c, _, framework) = one_agent();
    c.launch(&framework, &["m-O0"], vec![small("t1")]);
    let lines = c.launch(&framework, &["m-O0"], vec![small("t2")]);
    expect(
        &lines,
        &["c2 <- UPDATE t2 TASK_DROPPED master REASON_INVALID_OFFERS: Task launched with invalid \
         offers: Offer m-O0 is no longer valid"],
    );
}

#[test]
fn an_accept_that_is_sent_twice_drops_nothing() {
    let (mut c, _, framework) = one_agent();
    c.launch(&framework, &["m-O0"], vec![small("t1")]);
    expect(&c.launch(&framework, &["m-O0"], vec![small("t1")]), &[]);
}

#[test]
fn an_offer_cannot_be_named_twice() {
    let (mut c, _, framework) = one_agent();
    let lines = c.launch(&framework, &["m-O0", "m-O0"], vec![small("t1")]);
    assert!(lines[0].contains("Duplicate offer m-O0 in offer list"), "{lines:?}");
    assert!(lines[1].contains("OFFERS [m-O1"), "given back unfiltered: {lines:?}");
}

#[test]
fn the_offers_of_others_cannot_be_used() {
    let (mut c, _, _) = one_agent();
    let other = c.framework();
    let lines = c.launch(&other, &["m-O0"], vec![small("t1")]);
    expect(
        &lines,
        &["c3 <- UPDATE t1 TASK_DROPPED master REASON_INVALID_OFFERS: Task launched with invalid \
         offers: Offer m-O0 is no longer valid"],
    );
}

#[test]
fn no_offers_are_invalid_offers() {
    let (mut c, _, framework) = one_agent();
    let lines = c.launch(&framework, &[], vec![small("t1")]);
    assert!(lines[0].contains("No offers specified"), "{lines:?}");
}

#[test]
fn a_rescinded_offer_cannot_be_used() {
    let (mut c, agent, framework) = one_agent();
    c.close_agent(&agent);
    let lines = c.launch(&framework, &["m-O0"], vec![small("t1")]);
    assert!(lines[0].contains("TASK_DROPPED master REASON_INVALID_OFFERS"), "{lines:?}");
}

#[test]
fn frameworks_that_are_not_partition_aware_hear_of_lost_tasks() {
    let mut c = Cluster::default();
    let framework = c.framework_from(framework_info("f", &["*"], &[]));
    let lines = c.launch(&framework, &["m-O0"], vec![small("t1")]);
    assert!(lines[0].contains("t1 TASK_LOST master REASON_INVALID_OFFERS"), "{lines:?}");
}

#[test]
fn an_operation_that_is_not_built_refuses_the_call_before_anything_changes() {
    let (mut c, _, framework) = one_agent();
    let accept = CallBody::Accept {
        offer_ids: vec![offer_id("m-O0")],
        operations: vec![
            Operation::Launch(vec![small("t1")]),
            Operation::NotBuilt(Arc::from("RESERVE")),
        ],
        filters: Filters::DEFAULT,
    };
    expect(
        &c.call(&framework, accept),
        &["ACCEPT refused (501): the operation RESERVE is not built yet"],
    );
    // The offer still stands.
    expect(&c.launch(&framework, &["m-O0"], vec![small("t1")]), &["c1 <- RUN m-0000 * t1"]);
}

/// Launches one task, changed in one way, and a good one after it; answers with the first's error.
fn invalid(change: impl Fn(&mut TaskInfo)) -> String {
    let (mut c, _, framework) = one_agent();
    let mut task = small("t1");
    change(&mut task);
    let lines = c.launch(&framework, &["m-O0"], vec![task, small("good")]);
    assert_eq!(lines[1], "c1 <- RUN m-0000 * good", "a wrong task does not hold up others");
    let start = "c2 <- UPDATE t1 TASK_ERROR master REASON_TASK_INVALID: ";
    lines[0].strip_prefix(start).unwrap_or_else(|| panic!("{lines:?}")).to_owned()
}

#[test]
fn a_task_names_the_agent_of_its_offer() {
    assert_eq!(
        invalid(|task| task.agent_id = agent_id("m-S9")),
        "Task uses invalid agent m-S9 while agent m-S0 is expected"
    );
}

#[test]
fn a_task_uses_something() {
    assert_eq!(invalid(|task| task.resources = Resources::new()), "Task uses no resources");
}

#[test]
fn a_task_does_not_use_more_than_remains() {
    assert_eq!(
        invalid(|task| task.resources = cpus_mem(8, 64)),
        "Task uses more resources cpus:8; mem:64 than available cpus:4; mem:1024: wanted cpus 8, \
         available 4"
    );
}

#[test]
fn a_task_does_not_use_what_was_never_offered() {
    let change = |task: &mut TaskInfo| task.resources = Resources::scalars([("gpus", 1000)]);
    assert!(invalid(change).contains("wanted gpus 1, none available"));
}

#[test]
fn a_tasks_role_is_its_offers() {
    assert_eq!(
        invalid(|task| task.allocation_role = Some(role("other"))),
        "Task's resources are allocated to role 'other', its offer to role '*'"
    );
}

#[test]
fn a_tasks_role_may_be_said() {
    let (mut c, _, framework) = one_agent();
    let mut task = small("t1");
    task.allocation_role = Some(role("*"));
    expect(&c.launch(&framework, &["m-O0"], vec![task]), &["c1 <- RUN m-0000 * t1"]);
}

#[test]
fn a_task_has_a_command_or_an_executor() {
    assert_eq!(
        invalid(|task| task.payload.has_command = false),
        "Task must have either a command or an executor, and not both"
    );
    assert_eq!(
        invalid(|task| task.executor = Some(executor())),
        "Task must have either a command or an executor, and not both"
    );
}

fn invalid_command(change: impl Fn(&mut CommandInfo)) -> String {
    invalid(|task| {
        let mut command = task.payload.open().unwrap().command.unwrap();
        change(&mut command);
        task.payload =
            TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() });
    })
}

#[test]
fn a_command_that_no_agent_can_run_is_the_tasks_error() {
    assert_eq!(invalid_command(|command| command.value = None), "Task's command has no value");
    let empty = |command: &mut CommandInfo| command.value = Some(Arc::from(""));
    assert_eq!(invalid_command(empty), "Task's command has no value");
    let nul = |command: &mut CommandInfo| command.arguments = vec![Arc::from("a\0")];
    assert_eq!(invalid_command(nul), "Task's command holds a NUL character");
    let variable = |name: &'static str, value: &'static str| {
        move |command: &mut CommandInfo| {
            command.environment = vec![(Arc::from(name), Arc::from(value))];
        }
    };
    for (name, shown) in [("", ""), ("A=B", "A=B"), ("A\0", "A\\0")] {
        let wrong = format!(
            "Task's command has the environment variable '{shown}': a name is not empty and \
             holds no '=' and no NUL character"
        );
        assert_eq!(invalid_command(variable(name, "v")), wrong);
    }
    assert_eq!(
        invalid_command(variable("A", "\0")),
        "Task's command has a NUL character in the value of its environment variable 'A'"
    );
}

#[test]
fn secrets_and_unknown_limits_of_processes_are_the_tasks_error() {
    let rlimit = |command: &mut CommandInfo| {
        command.rlimits = vec![(Arc::from("RLMT_OF_THE_FUTURE"), None, None)];
    };
    assert_eq!(
        invalid_command(rlimit),
        "Task's command cannot be run: container.rlimit_info.rlimits[0].type: is not a known \
         resource limit"
    );
    // CommandInfo { environment { variables { name "A", type SECRET } } }, field 7 of a task.
    let bytes = [0x3a, 9, 0x12, 7, 0x0a, 5, 0x0a, 1, b'A', 0x18, 2];
    let secret = |task: &mut TaskInfo| task.payload.bytes = Arc::from(bytes);
    assert_eq!(
        invalid(secret),
        "Task's command cannot be run: Missing required fields: \
         command.environment.variables[0].secret"
    );
    let secret = |command: &mut CommandInfo| {
        command.secrets = vec![(Arc::from("A"), proto::Secret::new("b\0c"))];
    };
    assert_eq!(
        invalid_command(secret),
        "Task's command has a NUL character in the value of its environment variable 'A'"
    );
}

#[test]
fn a_task_that_cannot_be_read_is_answered_for_and_others_go_on() {
    let unreadable = |id: &str, agent| UnreadableTask {
        task_id: task_id(id),
        agent_id: agent,
        problem: Arc::from("resources[0].scalar.value: must be more"),
    };
    let accept = CallBody::Accept {
        offer_ids: vec![offer_id("m-O0")],
        operations: vec![
            Operation::Launch(vec![small("good")]),
            Operation::Unreadable(vec![
                unreadable("t1", Some(agent_id("m-S0"))),
                unreadable("t2", None),
            ]),
        ],
        filters: Filters::DEFAULT,
    };
    let (mut c, _, framework) = one_agent();
    expect(
        &c.call(&framework, accept.clone()),
        &[
            "c1 <- RUN m-0000 * good",
            "c2 <- UPDATE t1 TASK_ERROR master REASON_TASK_INVALID: resources[0].scalar.value: \
             must be more",
            "c2 <- UPDATE t2 TASK_ERROR master REASON_TASK_INVALID: resources[0].scalar.value: \
             must be more",
        ],
    );
    // With offers that do not stand they are dropped like all others.
    let lines = c.call(&framework, accept);
    assert!(lines[0].contains("t1 TASK_DROPPED master REASON_INVALID_OFFERS"), "{lines:?}");
    assert!(lines[1].contains("t2 TASK_DROPPED master REASON_INVALID_OFFERS"), "{lines:?}");
}

fn executor() -> ExecutorInfo {
    ExecutorInfo {
        executor_id: executor_id("e1"),
        framework_id: None,
        resources: Resources::new(),
        payload: Arc::from([]),
    }
}

#[test]
fn what_is_not_built_is_said_to_be_so() {
    assert_eq!(
        invalid(|task| task.payload.has_container = true),
        "Containers with networks of their own, except those of Docker, are not built yet"
    );
}

fn limit(name: &str, milli: Option<u64>) -> impl Fn(&mut TaskInfo) {
    move |task| {
        task.limits.insert(Arc::from(name), milli);
    }
}

#[test]
fn limits_are_on_requested_cpus_and_mem_and_not_below_the_request() {
    assert_eq!(
        invalid(limit("disk", Some(1))),
        "Task has a limit on disk; only cpus and mem can be limited"
    );
    assert_eq!(
        invalid(limit("cpus", Some(500))),
        "Task's limit on cpus (0.5) is below its request (1)"
    );
    let without = |task: &mut TaskInfo| {
        task.resources = Resources::scalars([("cpus", 1000)]);
        limit("mem", None)(task);
    };
    assert_eq!(invalid(without), "Task has a limit on mem but does not request any");
    let (mut c, _, framework) = one_agent();
    let mut task = small("t1");
    limit("mem", None)(&mut task);
    limit("cpus", Some(1000))(&mut task);
    expect(&c.launch(&framework, &["m-O0"], vec![task]), &["c1 <- RUN m-0000 * t1"]);
}

#[test]
fn each_task_is_checked_against_what_the_ones_before_it_left() {
    let (mut c, _, framework) = one_agent();
    let tasks = ["t1", "t2", "t3"].map(|id| task_info(id, "m-S0", cpus_mem(2, 64))).to_vec();
    let lines = c.launch(&framework, &["m-O0"], tasks);
    assert!(lines[0].contains("t3 TASK_ERROR"), "{lines:?}");
    assert_eq!(lines[1], "c1 <- RUN m-0000 * t1 t2");
}

#[test]
fn a_task_id_is_used_by_one_living_task() {
    let (mut c, agent, framework) = one_agent();
    let lines = c.launch(&framework, &["m-O0"], vec![small("t1"), small("t1")]);
    assert!(lines[0].contains("t1 TASK_ERROR"), "{lines:?}");
    assert!(lines[0].contains("Task has duplicate ID: t1"), "{lines:?}");
    // Once the task has ended and that is acknowledged, the id is free again.
    c.update(&agent, &framework, "t1", proto::TaskState::Finished, 1);
    c.acknowledge(&framework, &agent, "t1", 1);
    let lines = c.launch(&framework, &["m-O1"], vec![small("t1")]);
    expect(&lines, &["c1 <- RUN m-0000 * t1"]);
}

#[test]
fn the_id_of_an_unreachable_task_is_taken() {
    let (mut c, agent, framework) = one_agent();
    c.launch(&framework, &["m-O0"], vec![small("t1")]);
    c.close_agent(&agent);
    c.advance(Duration::from_secs(5));
    c.agent(cpus_mem(4, 1024));
    let lines = c.lines();
    assert!(lines.last().unwrap().contains("m-O1 m-S1"), "{lines:?}");
    let task = task_info("t1", "m-S1", cpus_mem(1, 64));
    let lines = c.launch(&framework, &["m-O1"], vec![task]);
    assert!(lines[0].contains("reuses the ID of an unreachable task: t1"), "{lines:?}");
}

#[test]
fn tiny_tasks_are_fine() {
    let (mut c, _, framework) = one_agent();
    let task = task_info("t1", "m-S0", Resources::cpus_mem(1, 1));
    expect(&c.launch(&framework, &["m-O0"], vec![task]), &["c1 <- RUN m-0000 * t1"]);
}
