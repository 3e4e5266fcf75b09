//! The bytes of records: of the checkpoint, and of a launch that the supervisor keeps.
//!
//! A version byte, then fields, each with its length. What the wire has a form for (tasks,
//! statuses, frameworks, agents) is embedded in that form. Whatever is on disk, decoding gives a
//! value or an error, never a panic.

use crate::containerizer::Credentials;
use crate::containers::OfImage;
use agent_core::{
    AgentRecord, EpochRecord, SandboxRecord, SeenRecord, TaskRecord, UpdatesRecord, Volume,
    VolumesRecord,
};
use images::Settings;
use proto::{
    AgentInfo, ContainerId, DecodeError, Encoding, FrameworkInfo, Limits, Reason, Role, Source,
    StatusUuid, TaskInfo, TaskState, TaskStatus, Time, Wire,
};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const VERSION: u8 = 1;

/// What the agent itself wrote may be as large as the store takes.
const LIMITS: Limits = Limits { body_bytes: 16 << 20, list_items: 1 << 20, ..Limits::DEFAULT };

struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        // Longer than 4 GB cannot be: the store refuses far less.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    fn wire(&mut self, message: &impl Wire) -> &mut Self {
        self.bytes(&message.encode(Encoding::Protobuf))
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.bytes(path.as_os_str().as_bytes())
    }

    fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    fn done(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

struct Reader<'a>(&'a [u8]);

fn broken(problem: &str) -> DecodeError {
    DecodeError::new("", problem)
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((version, _)) => Err(broken(&format!("is of the unknown version {version}"))),
            None => Err(broken("is empty")),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) =
            self.0.split_at_checked(count).ok_or_else(|| broken("ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        <[u8; N]>::try_from(self.take(N)?).map_err(|_| broken("ends too early"))
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = u32::from_le_bytes(self.array()?);
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| broken("holds text that is not UTF-8"))
    }

    fn id<T: std::str::FromStr<Err = proto::InvalidValue>>(&mut self) -> Result<T, DecodeError> {
        Ok(self.text()?.parse()?)
    }

    fn wire<T: Wire>(&mut self) -> Result<T, DecodeError> {
        T::decode(self.bytes()?, Encoding::Protobuf, &LIMITS)
    }

    fn path(&mut self) -> Result<PathBuf, DecodeError> {
        Ok(PathBuf::from(OsStr::from_bytes(self.bytes()?)))
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        Ok(self.number()? != 0)
    }

    fn identity(&mut self) -> Result<Credentials, DecodeError> {
        let mut id = || {
            let id = u32::try_from(self.number()?);
            id.map_err(|_| broken("holds a user that cannot be"))
        };
        let (uid, gid, count) = (id()?, id()?, id()?);
        let groups = (0..count).map(|_| id()).collect::<Result<_, _>>()?;
        Ok(Credentials { uid, gid, groups })
    }

    /// Those that a task was given.
    fn gpus(&mut self) -> Result<Vec<Arc<str>>, DecodeError> {
        (0..self.number()?).map(|_| self.text().map(Into::into)).collect()
    }

    fn done(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(broken("has bytes after its end")) }
    }
}

/// A value with a form of its own on disk.
pub(crate) trait Record: Sized {
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl Record for AgentRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(self.agent_id.as_str()).text(self.master_id.as_str());
        out.wire(&self.info).text(&self.boot_id);
        if let Some(cluster_id) = &self.cluster_id {
            out.text(cluster_id.as_str());
        }
        out.done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let (agent_id, master_id) = (from.id()?, from.id()?);
        let info: AgentInfo = from.wire()?;
        let boot_id = from.text()?.into();
        // Absent until a master has said which cluster it is.
        let cluster_id = if from.0.is_empty() { None } else { Some(from.id()?) };
        from.done()?;
        Ok(Self { agent_id, master_id, cluster_id, info, boot_id })
    }
}

impl Record for Arc<FrameworkInfo> {
    fn encode(&self) -> Vec<u8> {
        Writer::new().wire(&**self).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let info: FrameworkInfo = from.wire()?;
        from.done()?;
        Ok(Self::new(info))
    }
}

impl Record for TaskRecord {
    fn encode(&self) -> Vec<u8> {
        task(self).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let record = read_task(&mut from)?;
        from.done()?;
        Ok(record)
    }
}

fn task(record: &TaskRecord) -> Writer {
    let mut out = Writer::new();
    out.text(record.container_id.as_str()).text(record.framework_id.as_str());
    out.text(record.role.as_str()).wire(&*record.task);
    out.number(record.gpus.len() as u64);
    for gpu in &record.gpus {
        out.text(gpu);
    }
    out
}

fn read_task(from: &mut Reader<'_>) -> Result<TaskRecord, DecodeError> {
    let (container_id, framework_id) = (from.id()?, from.id()?);
    let role = Role::new(from.text()?)?;
    let task: TaskInfo = from.wire()?;
    let gpus = from.gpus()?;
    Ok(TaskRecord { container_id, framework_id, role, task: Arc::new(task), gpus })
}

/// What a launch with an image is known again by. One without is known by its task's record.
pub(crate) fn launch(record: &TaskRecord, image: &OfImage) -> Vec<u8> {
    let mut out = task(record);
    let OfImage { root, settings, identity } = image;
    let Settings { entry_point, command, environment, directory, user } = settings;
    out.path(root);
    out.number(directory.is_some().into());
    if let Some(directory) = directory {
        out.path(directory);
    }
    out.number(user.is_some().into());
    if let Some(user) = user {
        out.text(user);
    }
    out.number(identity.is_some().into());
    if let Some(Credentials { uid, gid, groups }) = identity {
        out.number((*uid).into()).number((*gid).into()).number(groups.len() as u64);
        for group in groups {
            out.number((*group).into());
        }
    }
    for list in [entry_point, command] {
        out.number(list.len() as u64);
        for text in list {
            out.text(text);
        }
    }
    for (name, value) in environment {
        out.text(name).text(value);
    }
    out.done()
}

/// The task of a launch.
pub(crate) fn task_of_launch(bytes: &[u8]) -> Result<TaskRecord, DecodeError> {
    read_task(&mut Reader::new(bytes)?)
}

/// What the image of a launch says, if it has one. Its task is not looked at.
pub(crate) fn image_of_launch(bytes: &[u8]) -> Result<Option<OfImage>, DecodeError> {
    let mut from = Reader::new(bytes)?;
    for _of_task in 0..4 {
        from.bytes()?;
    }
    from.gpus()?;
    if from.0.is_empty() {
        return Ok(None);
    }
    let root = from.path()?;
    let directory = from.flag()?.then(|| from.path()).transpose()?;
    let user = from.flag()?.then(|| from.text().map(str::to_owned)).transpose()?;
    let identity = from.flag()?.then(|| from.identity()).transpose()?;
    let mut list = || -> Result<Vec<String>, DecodeError> {
        (0..from.number()?).map(|_| from.text().map(str::to_owned)).collect()
    };
    let (entry_point, command) = (list()?, list()?);
    let mut environment = Vec::new();
    while !from.0.is_empty() {
        environment.push((from.text()?.to_owned(), from.text()?.to_owned()));
    }
    let settings = Settings { entry_point, command, environment, directory, user };
    Ok(Some(OfImage { root, settings, identity }))
}

/// What checks have seen, in the form of a status that nobody is to acknowledge, and so is no update;
/// it has a reason when the task is to end because of it.
fn sight(record: &UpdatesRecord, seen: &SeenRecord) -> TaskStatus {
    let SeenRecord { healthy, status, doomed } = *seen;
    TaskStatus {
        healthy,
        check_status: status,
        reason: doomed.then_some(Reason::TaskHealthCheckStatusUpdated),
        ..TaskStatus::new(record.task_id.clone(), record.state, Source::Agent, Time::ZERO)
    }
}

/// The last updates of a custom executor, in the form of a status of its own that is no update either.
fn repeats(record: &UpdatesRecord) -> TaskStatus {
    let uuids: Vec<u8> = record.recent.iter().flat_map(|uuid| uuid.0).collect();
    TaskStatus {
        data: Some(uuids.into()),
        ..TaskStatus::new(record.task_id.clone(), record.state, Source::Executor, Time::ZERO)
    }
}

/// Where it is, in the form of a status of the master's that is no update either.
fn place(record: &UpdatesRecord) -> TaskStatus {
    TaskStatus {
        address: record.address,
        ..TaskStatus::new(record.task_id.clone(), record.state, Source::Master, Time::ZERO)
    }
}

impl Record for UpdatesRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(self.framework_id.as_str()).text(self.task_id.as_str());
        out.text(self.container_id.as_ref().map_or("", ContainerId::as_str));
        out.text(self.state.name());
        for status in &self.pending {
            out.wire(&**status);
        }
        if let Some(seen) = &self.seen {
            out.wire(&sight(self, seen));
        }
        if self.address.is_some() {
            out.wire(&place(self));
        }
        if !self.recent.is_empty() {
            out.wire(&repeats(self));
        }
        out.done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let (framework_id, task_id) = (from.id()?, from.id()?);
        let container_id = match from.text()? {
            "" => None,
            id => Some(ContainerId::new(id)?),
        };
        let state = TaskState::from_name(from.text()?)
            .ok_or_else(|| broken("names a state that does not exist"))?;
        let (mut pending, mut seen, mut recent) = (Vec::new(), None, Vec::new());
        let mut address = None;
        while !from.0.is_empty() {
            let status = from.wire::<TaskStatus>()?;
            if status.uuid.is_some() {
                pending.push(Arc::new(status));
            } else if status.source == Source::Executor {
                let data = status.data.unwrap_or_default();
                recent = data.as_chunks().0.iter().copied().map(StatusUuid).collect();
            } else if status.source == Source::Master {
                address = status.address;
            } else {
                seen = Some(SeenRecord {
                    healthy: status.healthy,
                    status: status.check_status,
                    doomed: status.reason.is_some(),
                });
            }
        }
        Ok(Self { framework_id, task_id, container_id, state, pending, seen, address, recent })
    }
}

impl Record for VolumesRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(self.agent_id.as_str());
        for Volume { role, id } in &self.volumes {
            out.text(role.as_str()).text(id.as_str());
        }
        out.done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let agent_id = from.id()?;
        let mut volumes = Vec::new();
        while !from.0.is_empty() {
            volumes.push(Volume { role: Role::new(from.text()?)?, id: from.id()? });
        }
        Ok(Self { agent_id, volumes })
    }
}

impl Record for EpochRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.number(self.epoch);
        if let Some(cluster_id) = &self.cluster_id {
            out.text(cluster_id.as_str());
        }
        out.done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let epoch = from.number()?;
        let cluster_id = if from.0.is_empty() { None } else { Some(from.id()?) };
        from.done()?;
        Ok(Self { epoch, cluster_id })
    }
}

impl Record for SandboxRecord {
    fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.text(self.container_id.as_str()).text(self.framework_id.as_str());
        out.text(self.task_id.as_str()).text(&self.path).number(self.ended.as_nanos()).done()
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes)?;
        let record = Self {
            container_id: from.id()?,
            framework_id: from.id()?,
            task_id: from.id()?,
            path: from.text()?.into(),
            ended: Time::from_nanos(from.number()?),
        };
        from.done()?;
        Ok(record)
    }
}
