//! Inverse offers: frameworks are asked to leave machines that will be away.

use crate::testing::*;
use proto::TaskState::{Finished, Running};
use proto::operator::{Call, Response};
use proto::scheduler::CallBody;
use proto::{
    Filters, InverseOfferAnswer, MachineId, MaintenanceWindow, Schedule, Time, Unavailability,
};
use std::time::Duration;

pub(super) fn plan(c: &mut Cluster, start: u64) -> Vec<String> {
    let start = Time::from_millis(start * 1000);
    let unavailability = Unavailability { start, duration: None };
    let machines = vec![MachineId::named("a")];
    let windows = vec![MaintenanceWindow { machines, unavailability }];
    c.operator(Call::UpdateMaintenanceSchedule(Schedule { windows }))
}

/// A running task on machine `a`.
fn running() -> (Cluster, AgentSide, FrameworkSide) {
    let mut c = Cluster::default();
    let agent = c.agent_from(agent_info("a", cpus_mem(4, 1024)));
    let framework = c.framework();
    c.launch(&framework, &["m-O0"], vec![task_info("t1", "m-S0", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", Running, 1);
    (c, agent, framework)
}

fn answer(c: &mut Cluster, framework: &FrameworkSide, id: &str, accept: bool) -> Vec<String> {
    let inverse_offer_ids = vec![offer_id(id)];
    let filters = Filters { refuse: Duration::from_secs(10) };
    let body = if accept {
        CallBody::AcceptInverseOffers { inverse_offer_ids, filters }
    } else {
        CallBody::DeclineInverseOffers { inverse_offer_ids, filters }
    };
    c.call(framework, body)
}

fn answers(c: &mut Cluster) -> Vec<InverseOfferAnswer> {
    c.operator(Call::GetMaintenanceStatus);
    let answer = c.effects.iter().find_map(|effect| match effect {
        crate::Effect::Answer { response, .. } => Some(response),
        _ => None,
    });
    match answer.map(|response| &**response) {
        Some(Response::MaintenanceStatus(status)) => {
            let of = |machine: &proto::DrainingMachine| machine.statuses.clone();
            status.draining.iter().flat_map(of).map(|status| status.answer).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_works_on_a_machine_that_will_be_away_is_asked_to_leave_once() {
    let (mut c, _, _) = running();
    let idle = c.framework();
    let lines = plan(&mut c, 2000);
    assert!(lines.contains(&"c2 <- INVERSE_OFFERS [m-O1 m-S0]".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with(&format!("{} <-", idle.connection))));
    expect(&c.advance_alive(Duration::from_secs(100)), &[]);
}

#[test]
fn the_answer_is_shown_and_asks_for_nothing() {
    for (accept, shown) in
        [(true, InverseOfferAnswer::Accept), (false, InverseOfferAnswer::Decline)]
    {
        let (mut c, _, framework) = running();
        plan(&mut c, 2000);
        assert_eq!(answers(&mut c), []);
        expect(&answer(&mut c, &framework, "m-O1", accept), &[]);
        assert_eq!(answers(&mut c), [shown]);
        expect(&c.advance_alive(Duration::from_secs(9)), &[]);
        let load = &c.book.loads[&agent_id("m-S0")];
        assert_eq!(load.asked[0].answer.map(|(answer, _)| answer), Some(shown));
    }
}

#[test]
fn after_its_filter_it_is_asked_again_while_it_works_there() {
    let (mut c, agent, framework) = running();
    plan(&mut c, 2000);
    answer(&mut c, &framework, "m-O1", false);
    let lines = c.advance_alive(Duration::from_secs(11));
    assert_eq!(lines, ["c2 <- INVERSE_OFFERS [m-O2 m-S0]"]);
    answer(&mut c, &framework, "m-O2", true);
    c.update(&agent, &framework, "t1", Finished, 2);
    expect(&c.advance_alive(Duration::from_secs(11)), &[]);
}

#[test]
fn revive_ends_the_filters_of_inverse_offers_too() {
    let (mut c, _, framework) = running();
    plan(&mut c, 2000);
    answer(&mut c, &framework, "m-O1", false);
    let lines = c.call(&framework, CallBody::Revive { roles: vec![] });
    assert_eq!(lines, ["c2 <- INVERSE_OFFERS [m-O2 m-S0]"]);
}

#[test]
fn a_new_plan_takes_back_what_was_asked() {
    let (mut c, _, _) = running();
    plan(&mut c, 2000);
    let lines = plan(&mut c, 3000);
    let asked = |line: &str| lines.iter().any(|l| l == line);
    assert!(asked("c2 <- RESCIND_INVERSE_OFFER m-O1"), "{lines:?}");
    assert!(asked("c2 <- INVERSE_OFFERS [m-O2 m-S0]"), "{lines:?}");
    let lines = c.operator(Call::UpdateMaintenanceSchedule(Schedule::default()));
    assert!(lines.contains(&"c2 <- RESCIND_INVERSE_OFFER m-O2".to_owned()), "{lines:?}");
    expect(&c.advance_alive(Duration::from_secs(100)), &[]);
}

#[test]
fn an_agent_that_leaves_takes_what_was_asked_for_it_along() {
    let (mut c, agent, _) = running();
    plan(&mut c, 2000);
    c.close_agent(&agent);
    let lines = c.advance(Duration::from_secs(5));
    assert!(lines.contains(&"c2 <- RESCIND_INVERSE_OFFER m-O1".to_owned()), "{lines:?}");
}

#[test]
fn a_framework_that_comes_back_is_asked_anew() {
    let (mut c, _, mut framework) = running();
    plan(&mut c, 2000);
    c.close_framework(&framework);
    let lines = c.resubscribe(&mut framework);
    let asked = |line: &String| line.contains("INVERSE_OFFERS [m-O2 m-S0]");
    assert!(lines.iter().any(asked), "{lines:?}");
}

#[test]
fn a_task_that_is_launched_on_such_an_agent_brings_the_question() {
    let mut c = Cluster::default();
    c.agent_from(agent_info("a", cpus_mem(4, 1024)));
    plan(&mut c, 2000);
    let framework = c.framework();
    let planned = c.master.agents.iter().next().unwrap().1.unavailability;
    let offered = c.effects.iter().find_map(|effect| match effect {
        crate::Effect::ToFramework { event: proto::scheduler::Event::Offers(offers), .. } => {
            Some(offers[0].unavailability)
        }
        _ => None,
    });
    assert_eq!(offered, Some(planned), "offers say when the agent will be away");
    let task = task_info("t1", "m-S0", cpus_mem(4, 1024));
    let lines = c.launch(&framework, &["m-O0"], vec![task]);
    assert_eq!(lines[1], "c3 <- INVERSE_OFFERS [m-O1 m-S0]", "{lines:?}");
}

#[test]
fn answers_to_what_was_never_asked_change_nothing() {
    let (mut c, _, framework) = running();
    plan(&mut c, 2000);
    let other = c.framework();
    for id in ["m-O1", "m-O0", "m-O99", "x", "m-O"] {
        expect(&answer(&mut c, &other, id, true), &[]);
    }
    assert_eq!(answers(&mut c), []);
    answer(&mut c, &framework, "m-O1", true);
    answer(&mut c, &framework, "m-O1", false);
    assert_eq!(answers(&mut c), [InverseOfferAnswer::Accept]);
}
