//! Words that left before what they promised was durable, and records that were lost.

use super::*;

/// A registry that a master begins to lead with.
fn led(epoch: u64, more: &[RegistryOp]) -> Registry {
    let mut registry = Registry::new();
    let master_id = MasterId::new(format!("m{epoch}")).unwrap();
    registry.apply(&RegistryOp::FoundCluster { cluster_id: Arc::from("c") });
    registry.apply(&RegistryOp::BeginEpoch { epoch, master_id });
    more.iter().for_each(|op| registry.apply(op));
    registry
}

fn admit() -> RegistryOp {
    let (info, version, registered) = (admitted(), Arc::from("1"), Time::ZERO);
    RegistryOp::AdmitAgent { info, version, nonce: None, registered }
}

fn over() -> RegistryOp {
    let (registered, unregistered) = (Time::ZERO, Time::ZERO);
    RegistryOp::CompleteFramework { info: described(), registered, unregistered }
}

/// What is said of a start with `found`, after `words` left a master who believed in `said`.
fn after_a_crash(
    asked: &[Input],
    words: &[Effect],
    said: &[RegistryOp],
    found: &[RegistryOp],
) -> &'static str {
    let mut oracle = Oracle::default();
    oracle.master_started(&led(1, &[]));
    asked.iter().for_each(|input| oracle.master_will_step(1, input));
    oracle.promises.stepped(words, &led(1, said));
    words.iter().for_each(|word| oracle.master_says(word, &led(1, said)));
    oracle.master_started(&led(2, found));
    oracle.take().map_or("nothing", |found| found.id)
}

#[test]
fn i1_a_word_left_the_master_before_its_record_was_durable() {
    let body = CallBody::Teardown;
    let call = Call { framework_id: Some(framework()), body };
    let teardown = [Input::Call { request: RequestId(1), connection: Some(FRAMEWORK), call }];
    assert_eq!(after_a_crash(&teardown, &[accepted()], &[over()], &[over()]), "nothing");
    assert_eq!(after_a_crash(&teardown, &[accepted()], &[over()], &[]), "I1");
    assert_eq!(after_a_crash(&teardown, &[], &[over()], &[]), "nothing", "nobody was told");

    let words = met();
    assert_eq!(after_a_crash(&[], &words, &[admit()], &[admit()]), "nothing");
    assert_eq!(after_a_crash(&[], &words, &[admit()], &[]), "I1");

    let agent_id = admitted().id.unwrap();
    let call = proto::operator::Call::ForgetAgent(agent_id.clone());
    let forget = [Input::Operator { request: RequestId(1), call }];
    let gone = RegistryOp::MarkGone { agent_id: agent_id.clone(), since: Time::ZERO, kept: true };
    let response = Box::new(proto::operator::Response::Ok);
    let answer = [Effect::Answer { request: RequestId(1), response }];
    let forgotten = [admit(), gone, RegistryOp::RemoveAgent { agent_id }];
    assert_eq!(after_a_crash(&forget, &answer, &forgotten, &forgotten), "nothing");
    assert_eq!(after_a_crash(&forget, &answer, &forgotten, &forgotten[..2]), "I1");

    let (role, weight_milli) = (Role::any(), 3000);
    let set = RegistryOp::SetWeight { role: role.clone(), weight_milli };
    let asked = [Input::SetWeight { request: RequestId(1), role, weight_milli }];
    let response = Box::new(proto::operator::Response::Ok);
    let answer = [Effect::Answer { request: RequestId(1), response }];
    let set = std::slice::from_ref(&set);
    assert_eq!(after_a_crash(&asked, &answer, set, set), "nothing");
    assert_eq!(after_a_crash(&asked, &answer, set, &[]), "I1");
}

/// A word that waits for a slow disk tells of the moment at which it was decided: what was decided
/// after it, and is lost in a crash, was never told, though the master believed in it when the word
/// left.
#[test]
fn i1_a_late_word_promises_nothing_that_was_decided_after_it() {
    let agent_id = agent();
    let gone = RegistryOp::MarkUnreachable { agent_id: agent_id.clone(), since: Time::ZERO };
    let back = RegistryOp::MarkReachable { agent_id: agent_id.clone() };
    let master_id = MasterId::new("m1").unwrap();
    let ping_timeout = Duration::ZERO;
    let reconcile = Vec::new();
    let again = AgentEvent::Reregistered { agent_id, master_id, ping_timeout, reconcile };
    let word = to_agent(again);
    let told = |late: bool, found: &[RegistryOp]| {
        let mut oracle = Oracle::default();
        let mut log = vec![admit()];
        oracle.master_started(&led(1, &[]));
        oracle.promises.stepped(std::slice::from_ref(&word), &led(1, &log));
        if !late {
            oracle.master_says(&word, &led(1, &log));
        }
        for op in [&gone, &back] {
            log.push(op.clone());
            oracle.promises.stepped(&[Effect::Persist(op.clone())], &led(1, &log));
        }
        oracle.master_says(&word, &led(1, &log));
        oracle.master_started(&led(2, found));
        oracle.take().map_or("nothing", |found| found.id)
    };
    let lost = [admit(), gone.clone()];
    assert_eq!(told(true, &lost), "nothing", "the agent was told of the time before");
    assert_eq!(told(false, &lost), "nothing", "it was told, and then given up");
    assert_eq!(after_a_crash(&[], std::slice::from_ref(&word), &[admit()], &lost), "I1");
}

#[test]
fn i1_a_cluster_becomes_another_one() {
    let mut oracle = Oracle::default();
    oracle.master_started(&led(1, &[]));
    oracle.master_started(&led(2, &[RegistryOp::FoundCluster { cluster_id: Arc::from("d") }]));
    assert_eq!(oracle.take().map(|found| found.id), Some("I1"));
}

#[test]
fn i13_an_epoch_or_an_id_leads_twice() {
    let mut oracle = Oracle::default();
    oracle.master_started(&led(1, &[]));
    oracle.master_started(&led(2, &[]));
    assert_eq!(oracle.take(), None);
    oracle.master_started(&led(2, &[]));
    assert_eq!(oracle.take().map(|found| found.id), Some("I13"));
    let master_id = MasterId::new("m2").unwrap();
    oracle.master_started(&led(3, &[RegistryOp::BeginEpoch { epoch: 3, master_id }]));
    assert_eq!(oracle.take().map(|found| found.id), Some("I13"));
}

fn on_record(uuids: &[u8]) -> agent_core::UpdatesRecord {
    let status = |byte: &u8| {
        let mut status =
            TaskStatus::new(task("t"), TaskState::Running, Source::Executor, Time::ZERO);
        status.uuid = Some(uuid(*byte));
        Arc::new(status)
    };
    agent_core::UpdatesRecord {
        framework_id: framework(),
        task_id: task("t"),
        container_id: None,
        state: TaskState::Running,
        pending: uuids.iter().map(status).collect(),
        seen: None,
        address: None,
        recent: Vec::new(),
    }
}

fn update(byte: u8) -> agent_core::Effect {
    let status = Box::new(TaskStatus::clone(&on_record(&[byte]).pending[0]));
    let call =
        AgentCall::Update { framework_id: framework(), status, latest_state: TaskState::Running };
    agent_core::Effect::ToMaster { link: 1, call }
}

#[test]
fn i1_an_update_left_an_agent_before_it_was_on_record() {
    use agent_core::{CheckpointOp, Effect as E, Recovered};
    let after = |written: &[E], sent: E, found: Recovered| {
        let mut papers = Papers::default();
        papers.stepped(0, written);
        id_of(papers.leaves(0, &sent).and_then(|()| papers.begin(0, &found)))
    };
    let put = |uuids: &[u8]| E::Persist(CheckpointOp::PutUpdates(on_record(uuids)));
    let with = |uuids: &[u8]| Recovered { updates: vec![on_record(uuids)], ..Recovered::default() };
    assert_eq!(after(&[put(&[1])], update(1), with(&[1])), "nothing");
    assert_eq!(after(&[put(&[1])], update(1), Recovered::default()), "I1");
    assert_eq!(after(&[], update(1), with(&[1])), "I1", "never written");
    assert_eq!(after(&[put(&[1]), put(&[])], update(1), with(&[])), "nothing", "acknowledged");
    let corrupt = Recovered { corrupt: vec![key("t")], ..Recovered::default() };
    assert_eq!(after(&[put(&[1])], update(1), corrupt), "nothing", "the disk took it");
}

#[test]
fn i1_a_group_or_an_end_is_lost_with_its_scheduler() {
    use driver::core::{Answer, Effect as E, Notice, Options, Outcome, Scheduler, UnitChange};
    let options = Options::new("f", vec![Arc::from("m")]);
    let core = Scheduler::recover(options, 1, std::iter::empty()).unwrap();
    let mut submissions = Submissions::default();
    assert_eq!(submissions.begin(0, &core), Ok(()));
    let group = GroupId::new("ok-1");
    submissions.leaves(0, &E::Answer { request: 1, answer: Answer::Submitted(group.clone()) });
    assert_eq!(id_of(submissions.begin(0, &core)), "I1");
    assert_eq!(submissions.begin(1, &core), Ok(()), "it is another's");
    let mut submissions = Submissions::default();
    let change = UnitChange::Ended(Outcome::Succeeded);
    submissions.leaves(0, &E::Notice(Notice::Unit { group, index: 0, attempt: 0, change }));
    assert_eq!(id_of(submissions.begin(0, &core)), "I1");
}

#[test]
fn i18_a_record_that_can_be_read_is_called_corrupt() {
    let mut oracle = Oracle::default();
    let mut status = TaskStatus::new(task("t"), TaskState::Gone, Source::Agent, Time::ZERO);
    status.reason = Some(Reason::CheckpointCorrupt);
    oracle.framework_hears(&framework(), true, &status);
    assert_eq!(oracle.take().map(|found| found.id), Some("I18"));
    oracle.records_damaged([key("t")]);
    oracle.framework_hears(&framework(), true, &status);
    assert_eq!(oracle.take(), None);
}
