//! A checker that never fired is not trusted: each rule sees its violation planted here.

use super::ledger::Ledger;
use super::registry::Replica;
use super::wishes::Wishes;
use super::*;
use agent_core::Launch;
use master_core::testing::{agent_info, cpus_mem, framework_info, task_info, uuid};
use master_core::{ConnectionId, RegistryOp, RequestId};
use proto::Time;
use proto::agent_link::AgentCall;
use proto::operator::{AgentStanding, AgentView};
use proto::scheduler::{CallBody, Event};
use proto::{
    AgentId, AgentInfo, Filters, FrameworkInfo, MasterId, Offer, OfferId, Reason, Role, Source,
    TaskState,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const FRAMEWORK: ConnectionId = ConnectionId(1);
const AGENT: ConnectionId = ConnectionId(2);

fn framework() -> FrameworkId {
    FrameworkId::new("m-0000").unwrap()
}

fn agent() -> AgentId {
    AgentId::new("m-S0").unwrap()
}

fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

fn key(id: &str) -> TaskKey {
    (framework(), task(id))
}

fn described() -> FrameworkInfo {
    FrameworkInfo { id: Some(framework()), ..framework_info("f", &["*"], &[]) }
}

fn to_framework(event: Event) -> Effect {
    Effect::ToFramework { connection: FRAMEWORK, event }
}

fn to_agent(event: AgentEvent) -> Effect {
    Effect::ToAgent { connection: AGENT, epoch: 1, event }
}

fn admitted() -> AgentInfo {
    AgentInfo { id: Some(agent()), ..agent_info("h", cpus_mem(4, 1024)) }
}

/// An agent of four cpus and a framework, both with a stream.
fn met() -> Vec<Effect> {
    let master_id = MasterId::new("m").unwrap();
    vec![
        Effect::Persist(RegistryOp::AdmitAgent {
            info: admitted(),
            version: Arc::from("1"),
            nonce: None,
            registered: Time::ZERO,
        }),
        to_agent(AgentEvent::Registered {
            agent_id: agent(),
            master_id: master_id.clone(),
            ping_timeout: Duration::ZERO,
        }),
        to_framework(Event::Subscribed {
            framework_id: framework(),
            heartbeat_interval: Duration::ZERO,
            master: proto::scheduler::MasterInfo {
                id: master_id,
                hostname: Arc::from("m"),
                ip: 0,
                port: 0,
                version: Arc::from("1"),
            },
        }),
    ]
}

fn offer(id: &str, cpus: u64) -> Effect {
    to_framework(Event::Offers(vec![Offer {
        id: OfferId::new(id).unwrap(),
        framework_id: framework(),
        agent_id: agent(),
        hostname: Arc::from("h"),
        port: 0,
        role: Role::any(),
        resources: cpus_mem(cpus, 64),
        attributes: Arc::from([]),
        domain: None,
        executor_ids: Vec::new(),
        unavailability: None,
    }]))
}

fn run(id: &str, cpus: u64) -> Effect {
    to_agent(AgentEvent::Run {
        framework: Arc::new(described()),
        role: Role::any(),
        tasks: vec![task_info(id, "m-S0", cpus_mem(cpus, 64))],
    })
}

fn accept(offer: &str) -> Input {
    let body = CallBody::Accept {
        offer_ids: vec![OfferId::new(offer).unwrap()],
        operations: Vec::new(),
        filters: Filters::none(),
    };
    let call = Call { framework_id: Some(framework()), body };
    Input::Call { request: RequestId(1), connection: Some(FRAMEWORK), call }
}

fn accepted() -> Effect {
    Effect::Accepted { request: RequestId(1) }
}

fn ledger(steps: &[(Input, Vec<Effect>)]) -> (Ledger, Verdict) {
    let mut ledger = Ledger::default();
    ledger.will_step(&Input::Tick);
    let mut verdict = ledger.stepped(&met());
    for (input, effects) in steps {
        ledger.will_step(input);
        verdict = verdict.and_then(|()| ledger.stepped(effects));
    }
    (ledger, verdict)
}

fn id_of(verdict: Verdict) -> &'static str {
    verdict.map_or_else(|violation| violation.id, |()| "nothing")
}

fn judged(steps: &[(Input, Vec<Effect>)]) -> &'static str {
    id_of(ledger(steps).1)
}

#[test]
fn i4_more_is_offered_and_used_than_there_is() {
    let fine = (Input::Tick, vec![offer("o1", 3)]);
    assert_eq!(judged(std::slice::from_ref(&fine)), "nothing");
    assert_eq!(judged(&[fine.clone(), (Input::Tick, vec![offer("o2", 2)])]), "I4");
    let used = (accept("o1"), vec![accepted(), run("t", 3)]);
    assert_eq!(judged(&[fine.clone(), used.clone()]), "nothing");
    assert_eq!(judged(&[fine, used, (Input::Tick, vec![offer("o2", 2)])]), "I4");
}

#[test]
fn i4_more_runs_on_a_host_than_it_has() {
    let mut oracle = Oracle::default();
    oracle.process_started(0, &launch("t1", 3), &cpus_mem(4, 1024));
    assert_eq!(oracle.take(), None);
    oracle.process_started(0, &launch("t2", 3), &cpus_mem(4, 1024));
    assert_eq!(oracle.take().map(|found| found.id), Some("I4"));
}

#[test]
fn i5_an_offer_is_made_or_used_a_second_time() {
    let made = (Input::Tick, vec![offer("o1", 1)]);
    assert_eq!(judged(&[made.clone(), made.clone()]), "I5");
    let used = |task| (accept("o1"), vec![accepted(), run(task, 1)]);
    assert_eq!(judged(&[made.clone(), used("t1"), used("t2")]), "I5");
    let rescinded = (Input::Tick, vec![to_framework(Event::Rescind(OfferId::new("o1").unwrap()))]);
    assert_eq!(judged(&[made, rescinded, used("t1")]), "I5");
}

#[test]
fn i20_the_master_says_something_else_than_the_books() {
    let (books, verdict) = ledger(&[(Input::Tick, vec![offer("o1", 3)])]);
    assert_eq!(verdict, Ok(()));
    let view = |offered| AgentView {
        info: admitted(),
        standing: AgentStanding::Active,
        version: Arc::from("1"),
        registered: Time::ZERO,
        reregistered: None,
        allocated: Resources::default(),
        offered,
        deactivated: false,
        drain: None,
        unreachable: None,
        disk_pressed: false,
    };
    let state = |offered| State { agents: vec![view(offered)], ..State::default() };
    assert_eq!(books.audit(&state(cpus_mem(3, 64))), Ok(()));
    assert_eq!(id_of(books.audit(&state(cpus_mem(2, 64)))), "I20");
}

#[test]
fn i20_an_agent_loses_resources() {
    let (total, part) = (cpus_mem(4, 64), cpus_mem(1, 0));
    let free = cpus_mem(3, 64);
    assert_eq!(instances::conserved(format_args!("a"), &total, &free, [&part].into_iter()), Ok(()));
    assert_eq!(
        id_of(instances::conserved(format_args!("a"), &total, &free, std::iter::empty())),
        "I20"
    );
}

#[test]
fn i17_a_launch_is_sent_or_carried_out_twice() {
    let mut launches = Launches::default();
    assert_eq!(launches.accepted(key("t")), Ok(()));
    assert_eq!(id_of(launches.accepted(key("t"))), "I17");
    let mut oracle = Oracle::default();
    let first = launch("t", 1);
    oracle.process_started(0, &first, &cpus_mem(4, 1024));
    oracle.process_ended(0, &first.container_id);
    oracle.process_started(0, &first, &cpus_mem(4, 1024));
    assert_eq!(oracle.take().map(|found| found.id), Some("I17"));
}

fn launch(id: &str, cpus: u64) -> Launch {
    Launch {
        container_id: ContainerId::new(format!("c-{id}")).unwrap(),
        framework: Arc::new(described()),
        framework_id: framework(),
        role: Role::any(),
        task: Arc::new(task_info(id, "m-S0", cpus_mem(cpus, 64))),
        gpus: Vec::new(),
    }
}

#[test]
fn i3_a_task_lives_twice() {
    let mut oracle = Oracle::default();
    oracle.process_started(0, &launch("t", 1), &cpus_mem(4, 1024));
    oracle.process_started(1, &launch("t", 1), &cpus_mem(4, 1024));
    assert_eq!(oracle.take().map(|found| found.id), Some("I3"));
}

fn heard(told: &[(TaskState, Source, Option<u8>)]) -> &'static str {
    let mut oracle = Oracle::default();
    for (state, source, byte) in told {
        let mut status = TaskStatus::new(task("t"), *state, *source, Time::ZERO);
        status.uuid = byte.map(uuid);
        status.reason = byte.is_none().then_some(Reason::AgentRemoved);
        oracle.framework_hears(&framework(), true, &status);
    }
    oracle.take().map_or("nothing", |found| found.id)
}

#[test]
fn i7_updates_come_in_order_and_nothing_follows_an_end() {
    use TaskState::{Failed, Finished, Running, Unreachable};
    let agent = |state, byte| (state, Source::Executor, Some(byte));
    let fine = [agent(Running, 1), agent(Running, 1), agent(Finished, 2), agent(Running, 1)];
    assert_eq!(heard(&fine), "nothing", "delivery is at least once");
    assert_eq!(heard(&[agent(Finished, 2), agent(Running, 1)]), "I7");
    assert_eq!(heard(&[agent(Running, 1), agent(Failed, 1)]), "I7");
    let unreachable = (Unreachable, Source::Master, None);
    assert_eq!(heard(&[agent(Running, 1), unreachable, agent(Finished, 2)]), "nothing");
    assert_eq!(heard(&[agent(Finished, 2), unreachable]), "I7");
}

#[test]
fn i2_a_task_has_two_ends() {
    use TaskState::{Dropped, Failed, Finished};
    let of_master = |state| (state, Source::Master, None);
    assert_eq!(heard(&[of_master(Dropped), of_master(Dropped)]), "nothing");
    assert_eq!(heard(&[of_master(Dropped), (Finished, Source::Executor, Some(1))]), "I2");
    let mut oracle = Oracle::default();
    let group = GroupId::new("g-1");
    oracle.unit_ended(0, &group, 3, "Succeeded");
    oracle.unit_ended(0, &group, 3, "Succeeded");
    assert_eq!(oracle.take(), None);
    oracle.unit_ended(0, &group, 3, &format!("{Failed}"));
    assert_eq!(oracle.take().map(|found| found.id), Some("I2"));
}

#[test]
fn i2_a_task_is_lost_in_silence() {
    let mut launches = Launches::default();
    assert_eq!(launches.accepted(key("t")), Ok(()));
    let nobody = BTreeSet::new();
    let living = BTreeSet::from([key("t")]);
    assert_eq!(launches.all_told(&living, |_| false), Ok(()));
    assert_eq!(launches.all_told(&nobody, |_| true), Ok(()), "the framework is over");
    assert!(launches.all_told(&nobody, |_| false).unwrap_err().starts_with("I2: "));
    launches.told(&key("t"), TaskState::Running);
    assert!(launches.all_told(&nobody, |_| false).is_err());
    launches.told(&key("t"), TaskState::Finished);
    assert_eq!(launches.all_told(&nobody, |_| false), Ok(()));
}

#[test]
fn i9_and_i10_a_task_is_killed_though_nobody_asked() {
    let mut oracle = Oracle::default();
    oracle.process_killed(&launch("t", 1), true);
    assert_eq!(oracle.take().map(|found| found.id), Some("I9"));
    oracle.process_killed(&launch("t", 1), false);
    assert_eq!(oracle.take().map(|found| found.id), Some("I10"));
    let body = CallBody::Kill { task_id: task("t"), agent_id: None, grace: None };
    oracle.framework_calls(&Call { framework_id: Some(framework()), body });
    oracle.process_killed(&launch("t", 1), true);
    assert_eq!(oracle.take(), None);
}

#[test]
fn i11_a_replica_ends_up_elsewhere() {
    let mut replica = Replica::default();
    let weight = RegistryOp::SetWeight { role: Role::any(), weight_milli: 2000 };
    let mut registry = Registry::new();
    registry.apply(&weight);
    assert_eq!(replica.follow([&weight].into_iter(), &registry), Ok(()));
    let other = RegistryOp::SetWeight { role: Role::any(), weight_milli: 3000 };
    assert_eq!(id_of(replica.follow([&other].into_iter(), &registry)), "I11");
}

#[test]
fn i16_master_and_hosts_disagree_after_the_faults() {
    let living = Living { agent: agent(), task: key("t"), resources: cpus_mem(1, 64) };
    let (agents, none, nobody) = ([agent()], BTreeSet::new(), BTreeSet::new());
    let empty = Hosts { agents: &[], living: &[], known: &none, volumes: &[], schedulers: &nobody };
    assert_eq!(audit::settled(&State::default(), &empty), Ok(()));
    let ghost =
        Hosts { agents: &[], living: &[living], known: &none, volumes: &[], schedulers: &nobody };
    assert!(audit::settled(&State::default(), &ghost).unwrap_err().contains("only the hosts"));
    assert_eq!(restless("it spins".to_owned()).id, "I16");
    let stranger =
        Hosts { agents: &agents, living: &[], known: &none, volumes: &[], schedulers: &nobody };
    assert!(audit::settled(&State::default(), &stranger).unwrap_err().contains("does not know"));
}

#[test]
fn an_update_frees_what_its_task_used() {
    let status = TaskStatus::new(task("t"), TaskState::Running, Source::Executor, Time::ZERO);
    let call = AgentCall::Update {
        framework_id: framework(),
        status: Box::new(status),
        latest_state: TaskState::Finished,
    };
    let steps = [
        (Input::Tick, vec![offer("o1", 4)]),
        (accept("o1"), vec![accepted(), run("t", 4)]),
        (Input::AgentCall { connection: AGENT, call }, vec![offer("o2", 4)]),
    ];
    assert_eq!(judged(&steps), "nothing");
}

#[test]
fn i13_an_agent_obeys_an_older_epoch() {
    use agent_core::EpochRecord;
    let mut oracle = Oracle::default();
    let done = [agent_core::Effect::Kill {
        container_id: ContainerId::new("c").unwrap(),
        grace: Duration::ZERO,
    }];
    oracle.agent_hears(0, 3, &done);
    oracle.agent_hears(0, 2, &[]);
    assert_eq!(oracle.take(), None, "it leaves");
    oracle.agent_hears(1, 2, &done);
    assert_eq!(oracle.take(), None, "another agent");
    oracle.agent_hears(0, 2, &done);
    assert_eq!(oracle.take().map(|found| found.id), Some("I13"));
    let epoch = Some(EpochRecord { epoch: 2, cluster_id: None });
    oracle.agent_started(0, &agent_core::Recovered { epoch, ..Default::default() });
    oracle.agent_hears(0, 2, &done);
    assert_eq!(oracle.take(), None, "what was not durable it may forget");
}

mod promises;
mod resources;
mod rules_of_operators;
mod wishes;
