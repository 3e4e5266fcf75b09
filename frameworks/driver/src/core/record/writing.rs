//! Records on their way to the store.

use super::{Attempt, PhaseRecord, Standing, Stop, UnitRecord, VERSION, attempt_key, delete, key};
use super::{unit_key, write};
use crate::core::boundary::Write;
use crate::core::group::GroupSpec;
use crate::core::outcome::{KillCause, Outcome};
use proto::{AgentId, Exit, FrameworkId, TaskId, Time};

/// Longest message of an end that is kept, in bytes.
const MESSAGE_BYTES: usize = 400;

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn new() -> Self {
        Self(vec![VERSION])
    }
    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }
    fn u32(mut self, value: u32) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }
    fn u64(mut self, value: u64) -> Self {
        self.0.extend_from_slice(&value.to_be_bytes());
        self
    }
    fn time(self, value: Time) -> Self {
        self.u64(value.as_nanos())
    }
    fn maybe_time(self, value: Option<Time>) -> Self {
        // The epoch itself is no time at which anything happens here.
        self.time(value.unwrap_or(Time::ZERO))
    }
    fn text(mut self, value: &str) -> Self {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(&value.as_bytes()[..usize::from(length)]);
        self
    }
}

pub(crate) fn framework(id: &FrameworkId) -> Write {
    write(key(b'F', &[]), Writer::new().text(id.as_str()).0)
}

pub(crate) fn no_framework() -> Write {
    delete(key(b'F', &[]))
}

pub(crate) fn next_group(number: u32) -> Write {
    write(key(b'N', &[]), Writer::new().u32(number).0)
}

pub(crate) fn group(number: u32, submitted: Time, spec: &GroupSpec) -> Write {
    let mut value = Writer::new().time(submitted).0;
    let json = serde_json::to_vec(spec).expect("a group's keys are strings and numbers");
    value.extend_from_slice(&json);
    write(key(b'G', &[number]), value)
}

/// The group is forgotten; its records may go one by one.
pub(crate) fn forgotten(number: u32) -> Write {
    write(key(b'X', &[number]), Writer::new().0)
}

/// The last records of a forgotten group.
pub(crate) fn no_group(number: u32) -> [Write; 3] {
    [b'G', b'S', b'X'].map(|kind| delete(key(kind, &[number])))
}

pub(crate) fn standing(number: u32, standing: Standing) -> Write {
    let (stop, since) = match standing.stop {
        None => (0, Time::ZERO),
        Some((Stop::Killed, since)) => (1, since),
        Some((Stop::PendingLimit, since)) => (2, since),
    };
    let value = Writer::new().u32(standing.count).u8(stop).time(since).maybe_time(standing.ended);
    write(key(b'S', &[number]), value.0)
}

pub(crate) fn unit(group: u32, index: u32, record: &UnitRecord) -> Write {
    let writer = Writer::new()
        .u32(record.attempt)
        .u32(record.spent.user)
        .u32(record.spent.platform)
        .u32(record.spent.timeout);
    let writer = match &record.phase {
        PhaseRecord::Waiting { since, until } => writer.u8(0).time(*since).time(*until),
        PhaseRecord::Live { agent, launched, running, unreachable, kill } => writer
            .u8(1)
            .text(agent.as_str())
            .time(*launched)
            .maybe_time(*running)
            .maybe_time(*unreachable)
            .u8(match kill {
                None => 0,
                Some(KillCause::Owner) => 1,
                Some(KillCause::RunLimit) => 2,
                Some(KillCause::Stuck) => 3,
            }),
        PhaseRecord::Ended(attempt) => write_attempt(writer.u8(2), attempt),
    };
    write(unit_key(group, index), writer.0)
}

pub(crate) fn attempt(group: u32, index: u32, attempt: &Attempt) -> Write {
    let value = write_attempt(Writer::new(), attempt);
    write(attempt_key(group, index, attempt.attempt), value.0)
}

fn write_attempt(writer: Writer, attempt: &Attempt) -> Writer {
    let message = attempt.message.as_deref().unwrap_or("");
    let mut end = message.len().min(MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let writer = writer
        .u32(attempt.attempt)
        .text(attempt.agent.as_ref().map_or("", AgentId::as_str))
        .time(attempt.launched)
        .maybe_time(attempt.running)
        .time(attempt.ended)
        .text(&message[..end]);
    write_outcome(writer, attempt.outcome)
}

fn write_outcome(writer: Writer, outcome: Outcome) -> Writer {
    match outcome {
        Outcome::Succeeded => writer.u8(0),
        Outcome::Failed(None) => writer.u8(1),
        Outcome::Failed(Some(Exit::Code(code))) => writer.u8(2).u32(code.cast_unsigned()),
        Outcome::Failed(Some(Exit::Signal(signal))) => writer.u8(3).u32(signal.cast_unsigned()),
        Outcome::OomKilled { limit, usage } => writer.u8(4).u64(limit).u64(usage),
        Outcome::TimedOut => writer.u8(5),
        Outcome::Rejected => writer.u8(6),
        Outcome::Disrupted => writer.u8(7),
        Outcome::SystemLocal => writer.u8(8),
        Outcome::SystemTransient => writer.u8(9),
        Outcome::Stuck => writer.u8(10),
        Outcome::Killed => writer.u8(11),
        Outcome::PendingTimedOut => writer.u8(12),
    }
}

pub(crate) fn host(agent: &AgentId, host: &str, port: u16) -> Write {
    let mut key = vec![b'H'];
    key.extend_from_slice(agent.as_str().as_bytes());
    write(key, Writer::new().u32(u32::from(port)).text(host).0)
}

fn task_key(task: &TaskId) -> Vec<u8> {
    let mut key = vec![b'T'];
    key.extend_from_slice(task.as_str().as_bytes());
    key
}

pub(crate) fn task(task: &TaskId, agent: &AgentId) -> Write {
    write(task_key(task), Writer::new().text(agent.as_str()).0)
}

pub(crate) fn no_task(task: &TaskId) -> Write {
    delete(task_key(task))
}
