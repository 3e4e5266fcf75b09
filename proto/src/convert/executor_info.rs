//! What an agent needs of a custom executor: read from the part of it that travels unread.

use super::{maybe, w};
use crate::schema::{Reader, Value};
use crate::{
    AgentId, ContainerInfo, DecodeError, ExecutorInfo, ExecutorKind, Resources, TaskId, TaskInfo,
    TaskPayload,
};
use prost::Message;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Fields of `ExecutorInfo` that are those of a task as well, with their numbers there.
const SHARED: [(u32, u8); 4] = [(7, 7), (11, 9), (14, 10), (12, 11)];
const NAME: u32 = 9;
const GRACE: u32 = 13;
const KIND: u32 = 15;
/// `ExecutorInfo.Type`.
const DEFAULT: u64 = 1;

impl ExecutorInfo {
    /// Fields that decisions do not read, one by one: number, value, and the bytes of the whole.
    fn each(&self, mut take: impl FnMut(u32, Value<'_>, &[u8])) {
        let mut reader = Reader::new(&self.payload);
        let mut rest = reader.rest();
        // The bytes were checked when they came, or are our own.
        while let Ok(Some((number, value))) = reader.field() {
            let length = rest.len() - reader.rest().len();
            take(number, value, &rest[..length]);
            rest = reader.rest();
        }
    }

    /// Who provides it. Absent says that it is the framework's own.
    pub fn kind(&self) -> ExecutorKind {
        let mut kind = ExecutorKind::Custom;
        self.each(|number, value, _| {
            if number == KIND {
                kind = match value == Value::Varint(DEFAULT) {
                    true => ExecutorKind::Default,
                    false => ExecutorKind::Custom,
                };
            }
        });
        kind
    }

    /// Between its SHUTDOWN and its end by force, if it says so.
    ///
    /// # Errors
    /// When it is no duration.
    pub fn shutdown_grace(&self) -> Result<Option<Duration>, DecodeError> {
        let mut wire = None;
        self.each(|number, value, _| {
            if let (GRACE, Value::Bytes(bytes)) = (number, value) {
                wire = w::DurationInfo::decode(bytes).ok();
            }
        });
        maybe(wire, "shutdown_grace_period")
    }

    /// Its name for people; its id when it has none.
    pub fn name(&self) -> Arc<str> {
        let mut name = Arc::from(self.executor_id.as_str());
        self.each(|number, value, _| {
            if let (NAME, Value::Bytes(bytes)) = (number, value)
                && !bytes.is_empty()
            {
                name = String::from_utf8_lossy(bytes).into();
            }
        });
        name
    }

    /// The executor as something to run: a task of its id with its command and container, which uses
    /// `resources`, and which names it.
    ///
    /// # Errors
    /// When what it asks for is wrong.
    pub fn as_task(
        &self,
        agent_id: AgentId,
        resources: Resources,
    ) -> Result<TaskInfo, DecodeError> {
        Ok(TaskInfo {
            name: self.name(),
            task_id: TaskId::new(self.executor_id.as_str())?,
            agent_id,
            resources,
            allocation_role: None,
            limits: BTreeMap::new(),
            executor: Some(self.clone()),
            kill_grace: None,
            max_completion_time: None,
            payload: self.task_payload()?,
        })
    }

    /// What it asks for of a container, besides resource limits; none when that is all.
    ///
    /// # Errors
    /// When that, or another of the fields that it has in common with tasks, is wrong.
    pub fn container(&self) -> Result<Option<ContainerInfo>, DecodeError> {
        Ok(self.task_payload()?.open()?.container)
    }

    /// The fields that it has in common with tasks, as those of one.
    fn task_payload(&self) -> Result<TaskPayload, DecodeError> {
        let mut bytes = Vec::new();
        self.each(|number, _, whole| {
            let same = SHARED.iter().find(|(own, _)| *own == number);
            if let (Some((_, there)), [key, rest @ ..]) = (same, whole) {
                // Both numbers are below 16, so that each key is one byte.
                bytes.push(there << 3 | (key & 7));
                bytes.extend_from_slice(rest);
            }
        });
        TaskPayload::from_bytes(bytes.into())
    }
}
