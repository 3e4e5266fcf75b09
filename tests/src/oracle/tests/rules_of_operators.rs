//! What operators close, limit and give up is so for everybody.

use super::*;
use master_core::{Drain, Quota};
use proto::ResourceName;

fn persist(op: RegistryOp) -> (Input, Vec<Effect>) {
    (Input::Tick, vec![Effect::Persist(op)])
}

fn offered(id: &str, role: &str, cpus: u64) -> (Input, Vec<Effect>) {
    let Effect::ToFramework { connection, event: Event::Offers(mut offers) } = offer(id, cpus)
    else {
        panic!("an offer is an offer");
    };
    offers[0].role = Role::new(role).unwrap();
    (Input::Tick, vec![Effect::ToFramework { connection, event: Event::Offers(offers) }])
}

fn limit(role: &str, cpus: u64) -> (Input, Vec<Effect>) {
    let limits = std::collections::BTreeMap::from([(ResourceName::new("cpus"), cpus * 1000)]);
    let quota = Quota { limits, ..Quota::default() };
    persist(RegistryOp::SetQuota { role: Role::new(role).unwrap(), quota })
}

#[test]
fn i6_a_role_is_offered_more_than_its_limit_or_one_above_allows() {
    let two = limit("batch", 2);
    let night = |id, cpus| offered(id, "batch/night", cpus);
    assert_eq!(judged(&[two.clone(), night("o1", 2)]), "nothing");
    assert_eq!(judged(&[two.clone(), night("o1", 3)]), "I6");
    assert_eq!(judged(&[two.clone(), night("o1", 1), offered("o2", "batch", 2)]), "I6");
    assert_eq!(judged(&[two.clone(), offered("o1", "batches", 3)]), "nothing", "another role");
    assert_eq!(judged(&[night("o1", 3), two.clone()]), "I6", "an offer stands above it");
    let remove = persist(RegistryOp::RemoveQuota { role: Role::new("batch").unwrap() });
    assert_eq!(judged(&[two, remove, night("o1", 3)]), "nothing");
}

/// Four cpus, one of them of this flavor.
fn one_special(flavor: proto::Flavor) -> Resources {
    let mut all = cpus_mem(3, 64);
    let name = ResourceName::new("cpus");
    all.add_piece(proto::Piece { name, flavor, value: proto::Value::Scalar(1000) });
    all
}

#[test]
fn i6_what_is_reserved_counts_where_it_is_and_what_may_be_taken_back_not_at_all() {
    let kept = proto::Reservation {
        kind: proto::ReservationKind::Static,
        role: Role::new("batch").unwrap(),
        principal: None,
        labels: Vec::new(),
    };
    let kept = proto::Special { reservations: vec![kept], ..proto::Special::default() };
    for (flavor, judgement) in [
        (proto::Flavor::new(false, kept), "I6"),
        (proto::Flavor::new(true, proto::Special::default()), "nothing"),
    ] {
        let info = AgentInfo { resources: one_special(flavor), ..admitted() };
        let again = RegistryOp::AdmitAgent {
            info,
            version: Arc::from("1"),
            nonce: None,
            registered: Time::ZERO,
        };
        let steps = [persist(again), limit("batch", 2), offered("o1", "batch", 2)];
        assert_eq!(judged(&steps), judgement);
    }
}

#[test]
fn i5_something_is_offered_of_an_agent_that_is_closed() {
    let (since, max_grace) = (Time::ZERO, None);
    let drain = Drain { since, max_grace, mark_gone: false, drained: false };
    let made = (Input::Tick, vec![offer("o1", 1)]);
    for op in [
        RegistryOp::DeactivateAgent { agent_id: agent() },
        RegistryOp::DrainAgent { agent_id: agent(), drain },
        RegistryOp::MarkGone { agent_id: agent(), since, kept: false },
    ] {
        assert_eq!(judged(&[persist(op), made.clone()]), "I5");
    }
    let closed = persist(RegistryOp::DeactivateAgent { agent_id: agent() });
    let open = persist(RegistryOp::ReactivateAgent { agent_id: agent() });
    assert_eq!(judged(&[closed, open, made]), "nothing");
}

#[test]
fn i13_an_agent_that_is_gone_is_taken_back() {
    let since = Time::ZERO;
    let gone = persist(RegistryOp::MarkGone { agent_id: agent(), since, kept: false });
    let back = AgentEvent::Reregistered {
        agent_id: agent(),
        master_id: MasterId::new("m").unwrap(),
        ping_timeout: Duration::ZERO,
        reconcile: Vec::new(),
    };
    let back = (Input::Tick, vec![to_agent(back)]);
    assert_eq!(judged(std::slice::from_ref(&back)), "nothing");
    assert_eq!(judged(&[gone.clone(), back.clone()]), "I13");
    let forgotten = persist(RegistryOp::RemoveAgent { agent_id: agent() });
    assert_eq!(judged(&[gone, forgotten, back]), "nothing", "there were too many");
}

/// A master that was stopped wakes, and an agent tells it what its successor launched there. Agents
/// hear nothing of what it says, so the sum of both is nobody's fault.
#[test]
fn i4_an_agent_tells_an_outdated_master_of_more_than_there_is() {
    let (info, version) = (admitted(), Arc::from("1"));
    let tasks = vec![proto::agent_link::AgentTask {
        framework_id: framework(),
        task_id: task("of-the-next"),
        name: Arc::from("of-the-next"),
        resources: cpus_mem(3, 64),
        role: Role::any(),
        state: TaskState::Running,
        status: None,
        executor_id: None,
        shown: None,
    }];
    let (frameworks, executors) = (Vec::new(), Vec::new());
    let call = AgentCall::Reregister { info, version, tasks, frameworks, executors };
    let back = AgentEvent::Reregistered {
        agent_id: agent(),
        master_id: MasterId::new("m").unwrap(),
        ping_timeout: Duration::ZERO,
        reconcile: Vec::new(),
    };
    let told = |outdated: bool| {
        let (mut ledger, verdict) = ledger(&[(Input::Tick, vec![run("its-own", 3)])]);
        assert_eq!(id_of(verdict), "nothing");
        ledger.outdated = outdated;
        ledger.will_step(&Input::AgentCall { connection: AGENT, call: call.clone() });
        id_of(ledger.stepped(&[to_agent(back.clone())]))
    };
    assert_eq!(told(true), "nothing");
    assert_eq!(told(false), "I4");
}

#[test]
fn a_task_on_a_drained_agent_may_be_killed() {
    let mut kills = Kills::default();
    assert_eq!(id_of(kills.killed(&key("t"), &agent(), false, true)), "I9");
    let (since, max_grace) = (Time::ZERO, None);
    let drain = Drain { since, max_grace, mark_gone: false, drained: false };
    kills.registry_changes(&RegistryOp::DrainAgent { agent_id: agent(), drain });
    assert_eq!(kills.killed(&key("t"), &agent(), false, true), Ok(()));
}
