//! What is shown of a task: cut out of its description, and carried as it came.

use super::tail;
use crate::schema::{self, Reader, Value};
use crate::wire::tepui::v1 as link;
use crate::{TaskPayload, TaskShown, json};
use prost::encoding::{WireType, encode_key, encode_varint};
use std::sync::Arc;

/// Labels, discovery, container and health check: their numbers in `TaskInfo` and in `Task`.
const FIELDS: [(u32, u32); 4] = [(10, 11), (11, 12), (9, 13), (8, 15)];

impl TaskPayload {
    /// What is shown of the task, without secrets; nothing when it has none of it.
    pub fn shown(&self) -> Option<TaskShown> {
        let mut bytes = Vec::new();
        for (from, to) in FIELDS {
            let mut reader = Reader::new(&self.bytes);
            // The bytes were checked when they came, or are our own.
            while let Ok(Some((number, value))) = reader.field() {
                let Value::Bytes(value) = value else { continue };
                if number == from {
                    encode_key(to, WireType::LengthDelimited, &mut bytes);
                    encode_varint(value.len() as u64, &mut bytes);
                    bytes.extend_from_slice(value);
                }
            }
        }
        let shown = &schema::TEPUI__V1__TASK_SHOWN;
        TaskShown::of(schema::without_secrets(shown, &bytes, schema::Left::Names).unwrap_or(bytes))
    }
}

impl TaskShown {
    /// Nothing is nothing, however it came.
    pub(super) fn of(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self { bytes: Arc::from(bytes) })
    }

    /// Its size in bytes.
    pub fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// A JSON object with as many of `labels`, `discovery`, `container` and `health_check` as there
    /// are, in Mesos' words.
    pub fn to_json(&self) -> String {
        let json = json::write(&schema::TEPUI__V1__TASK_SHOWN, &self.bytes);
        String::from_utf8(json).expect("JSON is ASCII")
    }
}

impl From<&TaskShown> for tail::TaskShown {
    fn from(shown: &TaskShown) -> Self {
        Self { known: link::TaskShown {}, tail: shown.bytes.to_vec() }
    }
}
