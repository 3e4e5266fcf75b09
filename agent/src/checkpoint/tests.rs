//! Records survive the disk; damage costs what it touched.

use super::{
    Committed, NONCE, Record, Reserve, Writer, changes, image_of_launch, keep_nonce, launch, load,
    open, supervisor_change, task_of_launch,
};
use crate::containerizer::Credentials;
use crate::containers::OfImage;
use agent_core::{
    AgentRecord, CheckpointOp, EpochRecord, SandboxRecord, TaskRecord, UpdatesRecord,
};
use proto::{
    AgentId, AgentInfo, CommandInfo, ContainerId, Exit, FrameworkId, FrameworkInfo, MasterId,
    Resources, Role, Source, StatusUuid, TaskBody, TaskId, TaskInfo, TaskOutcome, TaskPayload,
    TaskState, TaskStatus, Time,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use store::{Batch, Storage};

fn task(id: &str) -> TaskInfo {
    let command = CommandInfo { shell: true, value: Some("true".into()), ..CommandInfo::default() };
    TaskInfo {
        name: id.into(),
        task_id: TaskId::new(id).unwrap(),
        agent_id: AgentId::new("A").unwrap(),
        resources: Resources::cpus_mem(1_000, 32_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() }),
    }
}

fn framework() -> Arc<FrameworkInfo> {
    let mut info = FrameworkInfo::new("root", "test");
    info.id = Some(FrameworkId::new("F").unwrap());
    Arc::new(info)
}

fn task_record(id: &str) -> TaskRecord {
    TaskRecord {
        container_id: ContainerId::new(format!("c-{id}")).unwrap(),
        framework_id: FrameworkId::new("F").unwrap(),
        role: Role::new("eng/prod").unwrap(),
        task: Arc::new(task(id)),
        gpus: vec!["GPU-a".into(), "GPU-b".into()],
    }
}

#[test]
fn secrets_of_a_task_are_not_written_but_those_of_executors_that_may_be_told_again() {
    let mut record = task_record("t");
    let mut body = record.task.payload.open().unwrap();
    let command = body.command.as_mut().unwrap();
    command.secrets = vec![("TOKEN".into(), proto::Secret::new("hunter2"))];
    Arc::make_mut(&mut record.task).payload = TaskPayload::new(&body);
    let holds = |record: &TaskRecord| {
        let mut made = Vec::new();
        changes(&CheckpointOp::PutTask(record.clone()), &mut made);
        let bytes = made[0].1.clone().unwrap();
        let read = TaskRecord::decode(&bytes).unwrap();
        assert_eq!(read.container_id, record.container_id);
        bytes.windows(7).any(|window| window == b"hunter2")
    };
    assert!(!holds(&record));
    let executor = |payload: &[u8]| {
        Some(proto::ExecutorInfo {
            executor_id: proto::ExecutorId::new("e").unwrap(),
            framework_id: None,
            resources: Resources::default(),
            payload: payload.into(),
        })
    };
    // That of a group is the agent itself.
    Arc::make_mut(&mut record.task).executor = executor(&[15 << 3, 1]);
    assert!(!holds(&record));
    Arc::make_mut(&mut record.task).executor = executor(&[]);
    assert!(holds(&record));
}

fn updates_record(id: &str) -> UpdatesRecord {
    let task_id = TaskId::new(id).unwrap();
    let mut status =
        TaskStatus::new(task_id.clone(), TaskState::Failed, Source::Executor, Time::from_millis(5));
    status.uuid = Some(StatusUuid([3; 16]));
    status.outcome = Some(TaskOutcome { exit: Some(Exit::Code(3)), ..TaskOutcome::default() });
    UpdatesRecord {
        framework_id: FrameworkId::new("F").unwrap(),
        task_id,
        container_id: Some(ContainerId::new(format!("c-{id}")).unwrap()),
        state: TaskState::Failed,
        pending: vec![Arc::new(status)],
        seen: None,
        address: Some([10, 198, 0, 2].into()),
        recent: vec![StatusUuid([4; 16]), StatusUuid([3; 16])],
    }
}

fn agent_record() -> AgentRecord {
    AgentRecord {
        cluster_id: Some(proto::ClusterId::new("east").unwrap()),
        agent_id: AgentId::new("A").unwrap(),
        master_id: MasterId::new("M").unwrap(),
        info: AgentInfo {
            id: Some(AgentId::new("A").unwrap()),
            hostname: "h".into(),
            port: 5051,
            resources: Resources::cpus_mem(4_000, 1_000),
            attributes: vec![proto::Attribute::text("zone", "a")],
            domain: None,
        },
        boot_id: "boot".into(),
    }
}

fn sandbox_record() -> SandboxRecord {
    SandboxRecord {
        container_id: ContainerId::new("c").unwrap(),
        framework_id: FrameworkId::new("F").unwrap(),
        task_id: TaskId::new("t").unwrap(),
        path: "/s/1".into(),
        ended: Time::from_nanos(1_234_567_891),
    }
}

fn epoch_record() -> EpochRecord {
    EpochRecord { epoch: 7, cluster_id: Some(proto::ClusterId::new("east").unwrap()) }
}

fn all_ops() -> Vec<CheckpointOp> {
    vec![
        CheckpointOp::PutAgent(Box::new(agent_record())),
        CheckpointOp::PutFramework(framework()),
        CheckpointOp::PutTask(task_record("a")),
        CheckpointOp::PutTask(task_record("b")),
        CheckpointOp::PutUpdates(updates_record("a")),
        CheckpointOp::PutSandbox(sandbox_record()),
        CheckpointOp::PutEpoch(epoch_record()),
    ]
}

fn commit(store: &dyn Storage, ops: &[CheckpointOp]) {
    let mut all = Vec::new();
    ops.iter().for_each(|op| changes(op, &mut all));
    let mut batch = Batch::new();
    for (key, value) in all {
        match value {
            Some(value) => batch.put(key, value),
            None => batch.delete(key),
        }
    }
    store.commit(batch).unwrap();
}

#[test]
fn records_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None).unwrap();
    commit(&*store, &all_ops());
    drop(store);
    let recovered = load(&*open(dir.path(), None).unwrap()).recovered;
    assert_eq!(recovered.agent, Some(agent_record()));
    assert_eq!(recovered.frameworks, [framework()]);
    assert_eq!(recovered.tasks, [task_record("a"), task_record("b")]);
    assert_eq!(recovered.updates, [updates_record("a")]);
    assert_eq!(recovered.sandboxes, [sandbox_record()]);
    assert_eq!(recovered.epoch, Some(epoch_record()));
    assert!(recovered.corrupt.is_empty() && !recovered.agent_corrupt);
}

#[test]
fn deletions_take_all_of_a_task() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None).unwrap();
    commit(&*store, &all_ops());
    commit(
        &*store,
        &[
            CheckpointOp::DeleteTask {
                framework_id: FrameworkId::new("F").unwrap(),
                task_id: TaskId::new("a").unwrap(),
            },
            CheckpointOp::DeleteFramework(FrameworkId::new("F").unwrap()),
            CheckpointOp::DeleteSandbox { container_id: ContainerId::new("c").unwrap() },
            CheckpointOp::DeleteAgent,
        ],
    );
    let recovered = load(&*store).recovered;
    assert_eq!(recovered.tasks, [task_record("b")]);
    assert!(recovered.updates.is_empty() && recovered.frameworks.is_empty());
    assert!(recovered.sandboxes.is_empty() && recovered.agent.is_none());
    assert_eq!(recovered.epoch, Some(epoch_record()), "it stays");
}

#[test]
fn a_record_that_cannot_be_decoded_loses_that_task_only() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None).unwrap();
    commit(&*store, &all_ops());
    let mut batch = Batch::new();
    batch.put(b"TF\0a".as_slice(), b"\x01garbage".as_slice());
    batch.put(b"UF\0a".as_slice(), b"".as_slice());
    batch.put(b"A".as_slice(), b"\x09".as_slice());
    batch.put(b"Bx".as_slice(), b"\x01".as_slice());
    batch.put(b"E".as_slice(), b"\x01\x07".as_slice());
    store.commit(batch).unwrap();
    let loaded = load(&*store);
    let bad = (FrameworkId::new("F").unwrap(), TaskId::new("a").unwrap());
    assert_eq!(loaded.recovered.corrupt, [bad]);
    assert_eq!(loaded.recovered.tasks, [task_record("b")]);
    assert!(loaded.recovered.agent_corrupt && loaded.recovered.agent.is_none());
    assert_eq!(loaded.recovered.epoch, None);
    assert_eq!(loaded.repairs, [(b"Bx".to_vec(), None)]);
}

#[test]
fn every_cut_and_every_flipped_byte_is_an_error_or_a_value() {
    let launch = task_record("a");
    let bytes = launch.encode();
    assert_eq!(TaskRecord::decode(&bytes), Ok(launch));
    for end in 0..bytes.len() {
        assert!(TaskRecord::decode(&bytes[..end]).is_err());
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let _ = TaskRecord::decode(&flipped);
        let _ = UpdatesRecord::decode(&flipped);
        let _ = AgentRecord::decode(&flipped);
    }
}

#[test]
fn a_second_agent_in_one_directory_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let _first = open(dir.path(), None).unwrap();
    let error = open(dir.path(), None).err().unwrap().to_string();
    assert!(error.contains("in use by another process"), "{error}");
}

#[test]
fn a_directory_of_another_cluster_is_refused_with_both_names() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Some("east")).unwrap());
    let error = open(dir.path(), Some("west")).err().unwrap().to_string();
    assert!(error.contains("east") && error.contains("west"), "{error}");
    assert!(open(dir.path(), None).is_ok(), "without a name any cluster will do");
}

#[test]
fn the_cluster_that_admitted_the_agent_comes_before_the_one_that_is_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None).unwrap();
    commit(&*store, &[CheckpointOp::PutAgent(Box::new(agent_record()))]);
    assert_eq!(store.identity().cluster, None);
    drop(store);
    let error = open(dir.path(), Some("west")).err().unwrap().to_string();
    assert!(error.contains("belongs to cluster east, not to cluster west"), "{error}");
    assert_eq!(open(dir.path(), None).unwrap().identity().cluster.as_deref(), Some("east"));
}

#[test]
fn a_record_from_before_its_cluster_was_known_is_read() {
    let unbound = AgentRecord { cluster_id: None, ..agent_record() };
    assert_eq!(AgentRecord::decode(&unbound.encode()).unwrap(), unbound);
    let bound = agent_record().encode();
    assert_eq!(AgentRecord::decode(&bound).unwrap(), agent_record());
    assert!(AgentRecord::decode(&bound[..bound.len() - 1]).is_err(), "torn");
}

#[test]
fn an_epoch_is_read_with_and_without_its_cluster() {
    let unbound = EpochRecord { cluster_id: None, ..epoch_record() };
    assert_eq!(EpochRecord::decode(&unbound.encode()).unwrap(), unbound);
    let bytes = epoch_record().encode();
    assert_eq!(EpochRecord::decode(&bytes).unwrap(), epoch_record());
    assert!(EpochRecord::decode(&bytes[..bytes.len() - 1]).is_err(), "torn");
}

#[tokio::test]
async fn the_writer_makes_changes_durable_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None).unwrap();
    let reserve = Reserve::open(&dir.path().join("reserve"));
    let (writer, mut committed) = Writer::start(store.clone(), reserve).unwrap();
    writer.commit(vec![supervisor_change("1")]);
    writer.commit(vec![supervisor_change("2")]);
    for _ in 0..2 {
        assert!(matches!(committed.recv().await, Some(Committed::Durable)));
    }
    assert_eq!(load(&*store).supervisor.as_deref(), Some("2"));
    drop(writer);
    assert!(committed.recv().await.is_none(), "the thread ends with the writer");
}

/// A disk that is always full.
struct FullDisk;

impl Storage for FullDisk {
    fn get(&self, _: &[u8]) -> Result<Option<Vec<u8>>, store::Damaged> {
        Ok(None)
    }

    fn scan(&self, _: &[u8]) -> store::Scan<'_> {
        Box::new(std::iter::empty())
    }

    fn commit(&self, _: Batch) -> Result<(), store::StoreError> {
        Err(store::StoreError::Full { dir: "/full".into(), free: 0, needed: 1 })
    }
}

#[tokio::test]
async fn a_full_disk_without_a_reserve_gives_the_changes_back() {
    let dir = tempfile::tempdir().unwrap();
    let reserve = Reserve::open(&dir.path().join("reserve"));
    let (writer, mut committed) = Writer::start(Arc::new(FullDisk), reserve).unwrap();
    let change = supervisor_change("1");
    writer.commit(vec![change.clone()]);
    match committed.recv().await {
        Some(Committed::Full(changes, error)) => {
            assert_eq!(changes, [change]);
            assert!(error.to_string().contains("full"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_nonce_of_an_agent_without_an_id_is_kept_until_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), None).unwrap();
    let mut loaded = load(&*store);
    keep_nonce(&*store, &mut loaded, 7);
    let mut again = load(&*store);
    keep_nonce(&*store, &mut again, 8);
    assert_eq!((loaded.recovered.nonce, again.recovered.nonce), (Some(7), Some(7)));
    let mut gone = Vec::new();
    changes(&CheckpointOp::DeleteAgent, &mut gone);
    assert!(gone.contains(&(vec![NONCE], None)));
}

#[test]
fn what_an_image_says_is_kept_beside_the_task_and_read_without_it() {
    let task = task_record("t");
    assert_eq!(image_of_launch(&task.encode()), Ok(None));
    let settings = images::Settings {
        entry_point: vec!["/run".into(), String::new()],
        command: vec!["-v".into()],
        environment: vec![("A".into(), "b".into())],
        directory: Some("/srv".into()),
        user: None,
    };
    let identity = Some(Credentials { uid: 7, gid: 8, groups: vec![8, 9] });
    let image = OfImage { root: "/images/i".into(), settings, identity };
    let bytes = launch(&task, &image);
    assert_eq!(image_of_launch(&bytes), Ok(Some(image.clone())));
    assert_eq!(task_of_launch(&bytes), Ok(task.clone()));
    let bare = OfImage {
        settings: images::Settings { user: Some("app".into()), ..images::Settings::default() },
        identity: None,
        ..image
    };
    assert_eq!(image_of_launch(&launch(&task, &bare)), Ok(Some(bare)));
    let (whole, of_task) = (bytes.len(), task.encode().len());
    // The last of it are two texts of one letter.
    for end in (0..whole - 10).filter(|end| *end != of_task) {
        assert!(image_of_launch(&bytes[..end]).is_err(), "{end}");
    }
    for at in 0..whole {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0xff;
        // Whatever it is, it is no panic.
        let _ = image_of_launch(&flipped);
        let _ = task_of_launch(&flipped);
    }
}
