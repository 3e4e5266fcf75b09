//! Planted violations: each invariant is reported when it is broken.

use crate::core::scheduler::Scheduler;
use crate::core::testing::{Bench, batch};
use crate::core::unit::{Ended, Mark, NOWHERE, OpenUnit, Phase};
use crate::core::*;
use proto::{TaskState, Time};
use std::time::Duration;

/// A group with a running, a waiting and a fresh unit.
fn bench() -> Bench {
    let mut bench = Bench::subscribed();
    let mut spec = batch("b", 4);
    spec.run_limit = Some(Duration::from_secs(60));
    let (_, tasks) = bench.launch(spec, 2000);
    bench.update(&tasks[0].task_id, TaskState::Running);
    bench.update(&tasks[1].task_id, TaskState::Failed);
    bench.settle();
    bench.core.check().unwrap();
    bench
}

fn planted(plant: impl FnOnce(&mut Scheduler)) -> &'static str {
    let mut bench = bench();
    plant(&mut bench.core);
    bench.core.check().unwrap_err().id
}

fn unit(core: &Scheduler, index: u32) -> OpenUnit {
    core.groups[&0].open(index).unwrap().clone()
}

fn put(core: &mut Scheduler, index: u32, unit: OpenUnit, ready: bool) {
    core.groups.get_mut(&0).unwrap().set_open(index, unit, ready);
}

#[test]
fn a_count_that_is_off_is_reported() {
    assert_eq!(planted(|core| core.groups.get_mut(&0).unwrap().counts.running += 1), "D1");
}

#[test]
fn a_unit_that_is_over_and_open_is_reported() {
    let violation = planted(|core| {
        let open = unit(core, 0);
        let group = core.groups.get_mut(&0).unwrap();
        group.set_ended(0, Ended::new(Outcome::Succeeded, NOWHERE, 1, 0), None);
        group.plant_open(0, open);
        assert_eq!(group.mark(0), Some(Mark::Ended));
    });
    assert_eq!(violation, "D1");
}

#[test]
fn a_living_attempt_that_the_driver_does_not_know_is_reported() {
    assert_eq!(planted(|core| core.driver.ended(&task_id(&GroupId::new("b-0"), 0, 0))), "D2");
}

#[test]
fn a_task_of_no_unit_is_reported() {
    let violation = planted(|core| {
        let agent = proto::AgentId::new("S1").unwrap();
        core.driver.adopt(task_id(&GroupId::new("b-0"), 3, 0), agent);
    });
    assert_eq!(violation, "D2");
}

#[test]
fn an_overspent_budget_is_reported() {
    let violation = planted(|core| {
        let mut open = unit(core, 1);
        open.spent.user = 3;
        put(core, 1, open, false);
    });
    assert_eq!(violation, "D3");
}

#[test]
fn a_living_unit_that_is_ready_is_reported() {
    assert_eq!(planted(|core| core.groups.get_mut(&0).unwrap().plant_ready(0)), "D4");
}

#[test]
fn a_lost_deadline_is_reported() {
    assert_eq!(planted(|core| core.timers.clear()), "D5");
    let violation = planted(|core| {
        let mut open = unit(core, 1);
        core.timers.retain(|(_, _, index)| *index != 1);
        open.due = None;
        put(core, 1, open, false);
    });
    assert_eq!(violation, "D5");
    let violation = planted(|core| {
        let mut open = unit(core, 0);
        core.timers.retain(|(_, _, index)| *index != 0);
        open.due = None;
        put(core, 0, open, false);
    });
    assert_eq!(violation, "D5");
}

#[test]
fn a_timer_of_no_unit_is_reported() {
    let violation = planted(|core| {
        core.timers.insert((Time::from_millis(1), 0, 2));
    });
    assert_eq!(violation, "D5");
}

#[test]
fn a_group_that_is_overlooked_is_reported() {
    assert_eq!(planted(|core| core.active.clear()), "D6");
}

#[test]
fn a_kill_that_is_not_under_way_is_reported() {
    let violation = planted(|core| {
        let mut open = unit(core, 0);
        let Phase::Live(live) = &mut open.phase else { panic!("not living") };
        live.kill = Some(KillCause::Owner);
        put(core, 0, open, false);
    });
    assert_eq!(violation, "D7");
}

#[test]
fn a_lease_without_an_offer_is_reported() {
    let violation = planted(|core| {
        let offer = crate::core::testing::offer("O99", "S9", 1000);
        let lease = crate::core::scheduler::lease(Time::ZERO, &offer);
        core.new_leases.push(lease);
    });
    assert_eq!(violation, "D8");
}

#[test]
fn a_demand_that_nobody_states_is_reported() {
    let violation = planted(|core| {
        core.driver.set_want(Time::ZERO, Want::Nothing, &mut Vec::new());
    });
    assert_eq!(violation, "D9");
}
