//! Machines that will be away, are away, and are back.

use crate::testing::*;
use proto::TaskState::Running;
use proto::agent_link::AgentCall;
use proto::operator::Call;
use proto::{AgentInfo, Capability, MachineId, MaintenanceWindow, Schedule, Time, Unavailability};
use std::sync::Arc;
use std::time::Duration;

fn machine(name: &str) -> MachineId {
    MachineId::named(name)
}

fn window(names: &[&str], start: u64) -> MaintenanceWindow {
    let start = Time::from_millis(start * 1000);
    let unavailability = Unavailability { start, duration: Some(Duration::from_secs(3600)) };
    MaintenanceWindow { machines: names.iter().map(|name| machine(name)).collect(), unavailability }
}

fn schedule(c: &mut Cluster, windows: Vec<MaintenanceWindow>) -> Vec<String> {
    c.operator(Call::UpdateMaintenanceSchedule(Schedule { windows }))
}

fn start(c: &mut Cluster, names: &[&str]) -> Vec<String> {
    c.operator(Call::StartMaintenance(names.iter().map(|name| machine(name)).collect()))
}

fn stop(c: &mut Cluster, names: &[&str]) -> Vec<String> {
    c.operator(Call::StopMaintenance(names.iter().map(|name| machine(name)).collect()))
}

/// A running task on the agent of machine `a`.
fn running(capabilities: &[Capability]) -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent_from(agent_info("a", cpus_mem(4, 1024)));
    let framework = c.framework_from(framework_info("f", &["*"], capabilities));
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", Running, 1);
    (c, agent, framework)
}

#[test]
fn what_is_planned_is_known_of_the_agent_and_what_was_offered_is_offered_anew() {
    let mut c = Cluster::default();
    c.agent_from(agent_info("A", cpus_mem(4, 1024)));
    c.framework();
    expect(
        &schedule(&mut c, vec![window(&["a", "b"], 2000)]),
        &[
            "registry: maintenance of a b; down are",
            "c2 <- RESCIND m-O0",
            "answer: Ok",
            "c2 <- OFFERS [m-O1 m-S0 * cpus:4; mem:1024]",
        ],
    );
    let planned = window(&["a"], 2000).unavailability;
    assert_eq!(c.book.agents[&agent_id("m-S0")].unavailability, Some(planned));
    // The same plan changes nothing for agents.
    let lines = schedule(&mut c, vec![window(&["a", "b"], 2000)]);
    assert_eq!(lines.len(), 2, "{lines:?}");
    schedule(&mut c, vec![]);
    assert_eq!(c.book.agents[&agent_id("m-S0")].unavailability, None);
}

#[test]
fn a_schedule_must_make_sense() {
    let mut c = Cluster::default();
    let name = "UPDATE_MAINTENANCE_SCHEDULE refused (400): ";
    let lines = schedule(&mut c, vec![window(&["a"], 1), window(&[], 2)]);
    assert_eq!(lines, [format!("{name}windows[1] names no machine")]);
    let lines = schedule(&mut c, vec![window(&["a"], 1), window(&["b", "a"], 2)]);
    assert_eq!(lines, [format!("{name}machine a is named twice")]);
    schedule(&mut c, vec![window(&["a", "b"], 1)]);
    start(&mut c, &["a"]);
    let lines = schedule(&mut c, vec![window(&["b"], 1)]);
    let down = "machine a is down and not in the schedule: stop its maintenance first";
    assert_eq!(lines, [format!("{name}{down}")]);
}

#[test]
fn only_draining_machines_go_down_and_only_those_that_are_down_come_up() {
    let mut c = Cluster::default();
    schedule(&mut c, vec![window(&["a", "b"], 1)]);
    let name = "START_MAINTENANCE refused (400): ";
    let unplanned = "machine x is not in the schedule: schedule its maintenance first";
    assert_eq!(start(&mut c, &["a", "x"]), [format!("{name}{unplanned}")]);
    assert_eq!(start(&mut c, &[]), [format!("{name}no machine is named")]);
    assert_eq!(start(&mut c, &["a", "a"]), [format!("{name}machine a is named twice")]);
    assert_eq!(start(&mut c, &["a"])[0], "registry: maintenance of b; down are a");
    assert_eq!(start(&mut c, &["a"]), [format!("{name}machine a is down already")]);
    let name = "STOP_MAINTENANCE refused (400): ";
    assert_eq!(stop(&mut c, &["a", "b"]), [format!("{name}machine b is not down")]);
    assert_eq!(stop(&mut c, &["a"])[0], "registry: maintenance of b; down are");
}

#[test]
fn the_agents_of_a_machine_that_goes_down_are_sent_off_and_their_tasks_lost() {
    for capabilities in [&[][..], &[Capability::PartitionAware]] {
        let (mut c, _, _) = running(capabilities);
        schedule(&mut c, vec![window(&["a"], 1)]);
        expect(
            &start(&mut c, &["a"]),
            &[
                "registry: gone m-S0",
                "c1 <- REFUSED gone the machine goes down for maintenance; the agent's tasks must \
                 end, and it may register as a new one when that is over",
                "c1 closed",
                "c2 <- RESCIND_INVERSE_OFFER m-O1",
                "c2 <- UPDATE t1 TASK_LOST master REASON_AGENT_REMOVED: Agent's machine went down \
                 for maintenance",
                "c2 <- FAILURE m-S0",
                "registry: maintenance of; down are a",
                "answer: Ok",
            ],
        );
    }
}

#[test]
fn whatever_is_durable_of_a_start_no_agent_is_left_on_a_machine_that_is_down() {
    let (mut c, _, _) = running(&[]);
    schedule(&mut c, vec![window(&["a"], 1)]);
    let mut registry = c.master.registry().clone();
    start(&mut c, &["a"]);
    let ops = c.effects.iter().filter_map(|effect| match effect {
        crate::Effect::Persist(op) => Some(op),
        _ => None,
    });
    for op in ops {
        registry.apply(op);
        let down = registry.maintenance();
        assert!(registry.agents().values().all(|agent| !down.is_down(&agent.info)), "{op:?}");
    }
    assert_eq!(&registry, c.master.registry());
}

#[test]
fn no_agent_is_admitted_on_a_machine_that_is_down_by_the_next_master_neither() {
    let mut c = Cluster::default();
    schedule(&mut c, vec![window(&["a"], 1)]);
    start(&mut c, &["a"]);
    c.restart_master();
    let register = |c: &mut Cluster| {
        let (connection, info) = (c.connection(), agent_info("a", cpus_mem(1, 64)));
        let call = AgentCall::Register { info, version: Arc::from("1"), nonce: 1 };
        c.feed(crate::Input::AgentCall { connection, call })
    };
    let lines = register(&mut c);
    assert!(lines[0].contains("REFUSED the machine is down for maintenance"), "{lines:?}");
    let connection = c.connection();
    let info = AgentInfo { id: Some(agent_id("x")), ..agent_info("a", cpus_mem(1, 64)) };
    let version = Arc::from("1");
    let call = AgentCall::Reregister {
        info,
        version,
        tasks: vec![],
        frameworks: vec![],
        executors: vec![],
    };
    let lines = c.feed(crate::Input::AgentCall { connection, call });
    assert!(lines[0].contains("REFUSED the machine is down for maintenance"), "{lines:?}");
    stop(&mut c, &["a"]);
    assert!(register(&mut c)[1].contains("REGISTERED m1-S0"));
}
