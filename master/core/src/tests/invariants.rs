//! A checker that never fired is not trusted: each invariant is broken once, and seen.

use crate::allocator::Mark;
use crate::allocator::held::Sort;
use crate::deadlines::Deadline;
use crate::invariants::{INVARIANTS, check};
use crate::registry::RegistryOp;
use crate::testing::*;
use crate::{ConnectionId, Master};
use proto::{AgentId, Resources, TaskState, Time};
use std::time::Duration;

/// A cluster with a bit of everything.
fn cluster() -> Cluster {
    let mut c = Cluster::default();
    let agent = c.agent(cpus_mem(4, 1024));
    let away = c.agent(cpus_mem(4, 1024));
    c.agent(cpus_mem(4, 1024));
    let framework = c.framework();
    let other = c.framework();
    c.launch(
        &framework,
        &["m-O0"],
        vec![task_info("t1", "m-S0", cpus_mem(1, 64)), task_info("t2", "m-S0", cpus_mem(1, 64))],
    );
    c.launch(&framework, &["m-O1"], vec![task_info("t3", "m-S1", cpus_mem(4, 1024))]);
    c.update(&agent, &framework, "t1", TaskState::Running, 1);
    c.update(&agent, &framework, "t2", TaskState::Finished, 2);
    c.decline(&framework, &["m-O2"], Duration::from_secs(500));
    c.close_agent(&away);
    let lines = c.advance_alive(Duration::from_secs(5));
    assert!(lines.iter().any(|line| line.contains("t3 TASK_UNREACHABLE")), "{lines:?}");
    c.close_framework(&other);
    let over = c.framework();
    c.call(&over, proto::scheduler::CallBody::Teardown);
    assert_eq!(check(&c.master), []);
    c
}

/// Breaks the master in one way and sees exactly that reported, maybe among others.
pub(super) fn broken(id: &str, how: impl FnOnce(&mut Master)) {
    let mut c = cluster();
    how(&mut c.master);
    let found: Vec<&str> = check(&c.master).iter().map(|violation| violation.id).collect();
    assert!(found.contains(&id), "{id} is not among {found:?}");
}

pub(super) fn first_framework(m: &Master) -> crate::table::FrameworkOrd {
    m.framework_ids[&framework_id("m-0000")]
}

pub(super) fn first_agent(m: &Master) -> crate::table::AgentOrd {
    m.agent_ids[&agent_id("m-S0")]
}

#[test]
fn m1_a_stream_that_only_one_side_knows() {
    broken("M1", |m| {
        let ord = first_framework(m);
        m.streams.insert(ConnectionId(999), ord);
    });
    broken("M1", |m| {
        let ord = first_agent(m);
        m.agents[ord].connection = Some(ConnectionId(999));
    });
    broken("M1", |m| m.streams.clear());
    broken("M1", |m| m.links.clear());
}

#[test]
fn m2_an_id_that_leads_elsewhere() {
    broken("M2", |m| {
        let ord = first_framework(m);
        m.framework_ids.insert(framework_id("x"), ord);
    });
    broken("M2", |m| {
        m.agent_ids.remove(&agent_id("m-S0"));
    });
}

#[test]
fn m3_an_agent_that_is_in_two_places() {
    broken("M3", |m| {
        let since = Time::ZERO;
        m.registry.apply(&RegistryOp::MarkUnreachable { agent_id: agent_id("m-S0"), since });
    });
    broken("M3", |m| {
        m.recovered.insert(agent_id("m-S0"));
    });
    broken("M3", |m| m.registry.apply(&RegistryOp::RemoveAgent { agent_id: agent_id("m-S0") }));
    broken("M3", |m| m.doubt(&agent_id("m-S0"), first_framework(m), &task_id("t")));
}

#[test]
fn m4_an_offer_that_nobody_has() {
    broken("M4", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].offers.clear();
        let ord = first_agent(m);
        m.agents[ord].offers.clear();
    });
    broken("M4", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].offers.insert(77_777);
    });
}

#[test]
fn m5_a_resource_in_two_places() {
    broken("M5", |m| {
        let ord = first_agent(m);
        m.agents[ord].free = cpus_mem(4, 1024);
    });
    broken("M5", |m| {
        let ord = first_agent(m);
        m.agents[ord].used = Resources::new();
    });
}

#[test]
fn m6_an_offer_to_somebody_absent() {
    broken("M6", |m| {
        let number = *m.offers.keys().next().unwrap();
        m.offers.get_mut(&number).unwrap().role = role("elsewhere");
    });
}

#[test]
fn m7_a_task_that_its_agent_does_not_know() {
    broken("M7", |m| {
        let ord = first_agent(m);
        m.agents[ord].tasks.clear();
    });
    broken("M7", |m| {
        let (agent, framework) = (first_agent(m), first_framework(m));
        m.agents[agent].tasks.insert((framework, task_id("nobody's")));
    });
}

#[test]
fn m8_an_ended_task_that_holds() {
    broken("M8", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].tasks.get_mut(&task_id("t1")).unwrap().state = TaskState::Failed;
    });
}

#[test]
fn m9_something_that_waits_for_ever() {
    broken("M9", |m| {
        let ord = first_agent(m);
        let at = m.agents[ord].deadline;
        m.deadlines.clear(at, Deadline::Agent(ord));
    });
    broken("M9", |m| {
        m.deadlines.set(Time::ZERO, Deadline::Offer(1));
        m.deadlines.set(Time::ZERO, Deadline::Offer(2));
    });
    broken("M9", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].heartbeat_at = None;
    });
    broken("M9", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].demand.deadline = Some(Time::from_millis(1));
    });
    broken("M9", |m| {
        let ord = m.framework_ids[&framework_id("m-0001")];
        m.frameworks[ord].failover_deadline = None;
    });
}

#[test]
fn m10_a_filter_of_a_framework_that_is_away() {
    broken("M10", |m| {
        assert!(m.agents.iter().any(|(_, agent)| agent.filters.iter().count() > 0), "there is one");
        let ord = first_framework(m);
        m.frameworks[ord].connection = None;
    });
}

#[test]
fn m11_an_unreachable_task_of_nobody() {
    broken("M11", |m| m.shelved.clear());
    broken("M11", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].unreachable.clear();
    });
    broken("M11", |m| {
        let tasks = m.shelved.remove(&agent_id("m-S1")).unwrap();
        let here: AgentId = agent_id("m-S0");
        m.shelved.insert(here, tasks);
    });
}

#[test]
fn m12_a_free_agent_that_is_not_known_to_be() {
    broken("M12", |m| m.allocator.free.clear());
    broken("M12", |m| {
        let ord = first_agent(m);
        let mixed = m.allocator.free_mixed.contains(ord);
        m.allocator.free_mixed.set(ord, !mixed);
    });
    broken("M12", |m| {
        let ord = first_agent(m);
        m.agents[ord].free_key = Some((1, 1, ord));
    });
}

#[test]
fn m13_somebody_waits_and_no_pass_is_due() {
    broken("M13", |m| {
        let ord = first_agent(m);
        m.agents[ord].mark = Mark::Touched;
    });
    broken("M13", |m| {
        let ord = first_framework(m);
        m.wake(ord);
        m.allocator.due = None;
    });
    broken("M13", |m| {
        let ord = first_agent(m);
        m.agents[ord].held = Some((Sort::Plain, 1));
    });
}

#[test]
fn m14_a_framework_that_is_held_and_here() {
    broken("M14", |m| {
        let ord = first_framework(m);
        let info = proto::FrameworkInfo::clone(&m.frameworks[ord].info);
        let (registered, deadline) = (Time::ZERO, Time::ZERO);
        m.registry.apply(&RegistryOp::HoldFramework { info, registered, deadline });
    });
    broken("M14", |m| {
        let ord = first_framework(m);
        let info = proto::FrameworkInfo::clone(&m.frameworks[ord].info);
        let (registered, unregistered) = (Time::ZERO, Time::ZERO);
        m.registry.apply(&RegistryOp::CompleteFramework { info, registered, unregistered });
    });
}

#[test]
fn m15_a_history_without_end() {
    broken("M15", |m| m.options.unreachable_tasks = 0);
    broken("M15", |m| {
        while m.past.len() <= crate::Registry::COMPLETED_KEPT {
            let facts = m.past[0].facts.clone();
            m.past.push_back(crate::framework::PastFramework::without_tasks(facts));
        }
    });
}

#[test]
fn m16_shares_of_something_else() {
    broken("M16", |m| {
        let more = m.allocator.sorter.parts(&cpus_mem(1, 0));
        m.allocator.sorter.add_total(&more);
    });
    broken("M16", |m| {
        let ord = first_framework(m);
        let more = m.allocator.sorter.parts(&cpus_mem(1, 0));
        let seat = m.allocator.sorter.seat_in(ord, &role("*")).unwrap();
        m.allocator.sorter.allocate(seat, &more);
    });
    broken("M16", |m| {
        let ord = first_framework(m);
        m.frameworks[ord].suppressed.insert(role("*"));
    });
}

#[test]
fn m17_a_demand_that_somebody_forgot_to_credit() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let demands = vec![demand(1, cpus_mem(1, 64))];
    c.call(&framework, proto::scheduler::CallBody::Request { demands: demands.clone() });
    c.agent(cpus_mem(4, 1024));
    assert_eq!(check(&c.master), []);
    let number = *c.master.offers.keys().next().unwrap();
    c.master.offers.get_mut(&number).unwrap().credit = crate::allocator::demand::Credit::default();
    assert_eq!(check(&c.master)[0].id, "M17");
}

/// A cluster with a quota, an offer and free resources that are kept for the guarantee.
fn with_quota() -> Cluster {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.agent(cpus_mem(4, 1024));
    c.quota(&[("q", "cpus:3", "cpus:6"), ("*", "", "")][..1]);
    c.agent(cpus_mem(4, 1024));
    assert_eq!(check(&c.master), []);
    assert!(!c.master.frameworks[first_framework(&c.master)].offers.is_empty(), "{framework:?}");
    c
}

fn broken_quota(id: &str, how: impl FnOnce(&mut Master)) {
    let mut c = with_quota();
    how(&mut c.master);
    let found: Vec<&str> = check(&c.master).iter().map(|violation| violation.id).collect();
    assert!(found.contains(&id), "{id} is not among {found:?}");
}

#[test]
fn m22_quotas_reckoned_from_something_else() {
    // A quota that the allocator does not know.
    broken_quota("M22", |m| {
        let quota = quota("cpus:1", "");
        m.registry.apply(&RegistryOp::SetQuota { role: role("r"), quota });
    });
    // An agent that is counted as available and is not.
    broken_quota("M22", |m| {
        let more = m.allocator.sorter.parts(&cpus_mem(1, 0)).plain;
        m.allocator.available.add(&more);
    });
    // A task that nobody counted.
    broken_quota("M22", |m| {
        let ord = first_framework(m);
        let parts = m.allocator.sorter.parts(&cpus_mem(1, 0));
        let seat = m.allocator.sorter.seat_in(ord, &role("*")).unwrap();
        m.allocator.sorter.allocate(seat, &parts);
    });
}

#[test]
fn m23_an_offer_above_a_limit_here_or_above() {
    for limited in ["a", "a/b", "a/b/c"] {
        let mut c = Cluster::default();
        c.framework_from(framework_info("f", &["a/b/c"], &[]));
        c.agent(cpus_mem(4, 1024));
        assert_eq!(check(&c.master), []);
        // As if the limit had not been looked at when the offer was made.
        let (role, quota) = (role(limited), quota("", "cpus:3"));
        c.master.registry.apply(&RegistryOp::SetQuota { role, quota });
        let found: Vec<&str> = check(&c.master).iter().map(|violation| violation.id).collect();
        assert!(found.contains(&"M23"), "{limited}: {found:?}");
    }
}

/// A new master, to which one of two agents is back; the limit of `r` leaves nothing meanwhile.
fn one_agent_back() -> Cluster {
    let mut c = Cluster::default();
    c.quota(&[("r", "", "cpus:4;mem:1024")]);
    c.agent(cpus_mem(4, 1024));
    let mut back = c.agent(cpus_mem(4, 1024));
    c.restart_master();
    c.framework_from(framework_info("f", &["r"], &[]));
    c.reregister(&mut back, Vec::new(), &[]);
    assert_eq!(check(&c.master), []);
    assert!(c.master.offers.is_empty());
    c
}

#[test]
fn m22_an_agent_that_is_not_back_and_counts_no_more() {
    let m = &mut one_agent_back().master;
    let agent = m.recovered.first().unwrap().clone();
    assert!(m.allocator.sorter.miss_no_more(&agent));
    assert!(check(m).iter().any(|violation| violation.id == "M22"), "{:?}", check(m));
}

#[test]
fn m23_an_offer_of_what_may_be_used_on_an_agent_that_is_not_back() {
    let m = &mut one_agent_back().master;
    let agent = m.agents.iter().map(|(ord, _)| ord).next().unwrap();
    let framework = m.frameworks.iter().map(|(ord, _)| ord).next().unwrap();
    let seat = m.allocator.sorter.seat_in(framework, &role("r")).unwrap();
    let parts = m.agents[agent].free_parts.clone();
    let credit = crate::allocator::demand::Credit::default();
    let all = crate::allocator::offering::Offering { resources: None, parts, credit };
    m.offer_counted(seat, agent, all);
    assert!(check(m).iter().any(|violation| violation.id == "M23"), "{:?}", check(m));
}

#[test]
fn m24_a_free_agent_that_somebody_wants_and_nobody_looks_at() {
    let mut c = Cluster::default();
    let framework = c.framework();
    c.agent(cpus_mem(4, 1024));
    c.decline(&framework, &["m-O0"], Duration::from_secs(500));
    assert_eq!(check(&c.master), []);
    // As if a REVIVE had ended the filters and woken nobody.
    let ord = first_framework(&c.master);
    c.master.clear_filters(ord, |_| true);
    assert_eq!(check(&c.master)[0].id, "M24");
}

#[test]
fn m25_an_offer_of_what_guarantees_need() {
    let mut c = with_quota();
    let m = &mut c.master;
    let ord = first_framework(m);
    let seat = m.allocator.sorter.seat_in(ord, &role("*")).unwrap();
    let agent = m.agents.iter().find(|(_, agent)| !agent.free.is_empty()).unwrap().0;
    let parts = m.agents[agent].free_parts.clone();
    let credit = crate::allocator::demand::Credit::default();
    let all = crate::allocator::offering::Offering { resources: None, parts, credit };
    m.offer_counted(seat, agent, all);
    assert!(check(m).iter().any(|violation| violation.id == "M25"), "{:?}", check(m));
}

#[test]
fn every_invariant_has_a_number_and_a_sentence() {
    for (at, (id, sentence)) in INVARIANTS.iter().enumerate() {
        assert_eq!(*id, format!("M{}", at + 1));
        assert!(sentence.ends_with('.'));
    }
}

#[test]
fn m18_a_copy_that_missed_something() {
    let c = cluster();
    assert_eq!(c.master.differences(&c.book), []);
    let misses = |how: &dyn Fn(&mut crate::Book)| {
        let mut book = c.book.clone();
        how(&mut book);
        let found = c.master.differences(&book);
        assert!(found.iter().any(|violation| violation.id == "M18"), "{found:?}");
    };
    misses(&|book| drop(book.agents.remove(&agent_id("m-S0"))));
    misses(&|book| drop(book.past.pop_back()));
    misses(&|book| drop(book.frameworks.remove(&framework_id("m-0000"))));
    misses(&|book| {
        let page = book.frameworks.get_mut(&framework_id("m-0000")).unwrap();
        page.tasks.remove(&task_id("t1"));
    });
    misses(&|book| {
        let op = RegistryOp::SetWeight { role: role("a"), weight_milli: 7 };
        book.facts.apply(&op);
    });
}

#[test]
fn m18_a_load_that_was_never_told() {
    let mut c = cluster();
    c.advance_alive(Duration::from_secs(1));
    let mut book = c.book.clone();
    book.loads.remove(&agent_id("m-S0"));
    assert_eq!(c.master.differences(&book)[0].id, "M18");
}

#[test]
fn m19_a_gone_agent_that_somebody_knows() {
    let gone = |id: &str| {
        let (agent_id, since) = (agent_id(id), Time::ZERO);
        RegistryOp::MarkGone { agent_id, since, kept: false }
    };
    broken("M19", |m| {
        m.registry.apply(&gone("m-S9"));
        m.recovered.insert(agent_id("m-S9"));
    });
    broken("M19", |m| {
        m.registry.apply(&gone("m-S1"));
    });
}

#[test]
fn m20_a_drain_that_somebody_forgot() {
    broken("M20", |m| {
        let ord = first_agent(m);
        m.agents[ord].deactivated = true;
    });
    let draining = |m: &mut Master, id: &str| {
        let drain =
            crate::Drain { since: Time::ZERO, max_grace: None, mark_gone: false, drained: false };
        let agent_id = agent_id(id);
        m.registry.apply(&RegistryOp::DrainAgent { agent_id: agent_id.clone(), drain });
        let ord = m.agent_ids[&agent_id];
        m.agents[ord].deactivated = true;
        m.agents[ord].draining = true;
    };
    // A task that nobody killed; an agent that is empty.
    broken("M20", |m| draining(m, "m-S0"));
    broken("M20", |m| draining(m, "m-S2"));
}

#[test]
fn m9_answers_that_nobody_will_give() {
    let mut c = Cluster::default();
    let framework = c.framework();
    let tasks = (0..2000).map(|n| (task_id(&format!("t{n}")), None)).collect();
    c.call(&framework, proto::scheduler::CallBody::Reconcile { tasks });
    assert_eq!(check(&c.master), []);
    let ord = first_framework(&c.master);
    c.master.frameworks[ord].reconciling.due = None;
    assert_eq!(check(&c.master)[0].id, "M9");
}

#[test]
fn m21_maintenance_that_somebody_missed() {
    let plan = |m: &mut Master, host: &str, down: bool| {
        let machine = proto::MachineId::named(host);
        let unavailability = proto::Unavailability { start: Time::ZERO, duration: None };
        let machines = vec![machine.clone()];
        let window = proto::MaintenanceWindow { machines, unavailability };
        let mut maintenance = crate::Maintenance::default();
        maintenance.windows.push(window);
        if down {
            maintenance.down.insert(machine);
        }
        m.registry.apply(&RegistryOp::SetMaintenance { maintenance });
    };
    broken("M21", |m| {
        let ord = first_agent(m);
        let host = m.agents[ord].info.hostname.to_string();
        plan(m, &host, false);
    });
    broken("M21", |m| {
        let ord = first_agent(m);
        let host = m.agents[ord].info.hostname.to_string();
        plan(m, &host, true);
    });
    broken("M21", |m| {
        plan(m, "elsewhere", true);
        let mut maintenance = m.registry.maintenance().clone();
        maintenance.windows.clear();
        m.registry.apply(&RegistryOp::SetMaintenance { maintenance });
    });
}

#[test]
fn m26_an_inverse_offer_that_one_side_forgot() {
    let breaks = |how: &dyn Fn(&mut Master)| {
        let mut c = cluster();
        let machine =
            proto::MachineId::named(&c.master.agents[first_agent(&c.master)].info.hostname);
        let unavailability = proto::Unavailability { start: Time::ZERO, duration: None };
        let window = proto::MaintenanceWindow { machines: vec![machine], unavailability };
        let schedule = proto::Schedule { windows: vec![window] };
        c.operator(proto::operator::Call::UpdateMaintenanceSchedule(schedule));
        assert_eq!(check(&c.master), []);
        assert_eq!(c.master.inverse_offers.len(), 1);
        how(&mut c.master);
        let found = check(&c.master);
        assert!(found.iter().any(|violation| violation.id == "M26"), "{found:?}");
    };
    breaks(&|m| m.inverse_offers.clear());
    breaks(&|m| {
        let ord = first_agent(m);
        m.agents[ord].asked.clear();
    });
    breaks(&|m| {
        let ord = first_framework(m);
        m.frameworks[ord].asked.clear();
    });
}

#[test]
fn m31_state_of_a_framework_that_is_over() {
    broken("M31", |m| {
        let info = proto::FrameworkInfo {
            id: Some(framework_id("gone")),
            ..framework_info("f", &["*"], &[])
        };
        m.registry.apply(&RegistryOp::OpenState { info, registered: Time::ZERO });
    });
}

#[test]
fn m31_more_bytes_than_a_framework_may_keep() {
    broken("M31", |m| {
        let ord = first_framework(m);
        let info = proto::FrameworkInfo::clone(&m.frameworks[ord].info);
        let framework_id = info.id.clone().unwrap();
        m.registry.apply(&RegistryOp::OpenState { info, registered: Time::ZERO });
        let value = vec![0; m.options.state_bytes].into();
        let (key, version, write) = (std::sync::Arc::from("a"), 1, None);
        m.registry.apply(&RegistryOp::PutState { framework_id, key, value, version, write });
    });
}

#[test]
fn m31_a_version_that_came_twice() {
    broken("M31", |m| {
        let ord = first_framework(m);
        let info = proto::FrameworkInfo::clone(&m.frameworks[ord].info);
        let framework_id = || info.id.clone().unwrap();
        m.registry.apply(&RegistryOp::OpenState { info: info.clone(), registered: Time::ZERO });
        for key in ["a", "b"] {
            let (key, value) = (std::sync::Arc::from(key), std::sync::Arc::from([0_u8; 3]));
            let (framework_id, write) = (framework_id(), None);
            let put = RegistryOp::PutState { framework_id, key, value, version: 1, write };
            m.registry.apply(&put);
        }
    });
}

#[test]
fn m32_disk_that_is_offered_though_it_is_about_to_be_full() {
    broken("M32", |m| {
        let ord = first_agent(m);
        let disk = disk(10);
        let agent = &mut m.agents[ord];
        agent.withheld = Some(Box::default());
        agent.info.resources.add(&disk);
        agent.free.add(&disk);
    });
}
