//! The durable form of everything that a framework must not forget: keys and values.
//!
//! Own small framing with a version byte in front of each value. What is read back is checked: a
//! value that cannot be read is an error that names its key, never a panic.

use super::boundary::Write;
use super::group::GroupSpec;
use super::outcome::{KillCause, Outcome};
use proto::{AgentId, Exit, FrameworkId, TaskId, Time};
use std::fmt;
use std::sync::Arc;

const VERSION: u8 = 1;
/// Longest message of an end that is kept, in bytes.
const MESSAGE_BYTES: usize = 400;

/// A record that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    /// Its key, escaped.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

impl RecordError {
    fn new(key: &[u8], problem: impl Into<String>) -> Self {
        Self { key: key.escape_ascii().to_string(), problem: problem.into() }
    }

    /// What the record belongs to is not recorded.
    pub(crate) fn orphan(key: &[u8]) -> Self {
        Self::new(key, "belongs to no group that is recorded")
    }

    /// What the record says is against the rules.
    pub(crate) fn invalid(key: &[u8], problem: &str) -> Self {
        Self::new(key, problem)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record '{}': {}", self.key, self.problem)
    }
}

impl std::error::Error for RecordError {}

/// One attempt of a unit that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 0.
    pub attempt: u32,
    /// Where it was; absent when it never got a place.
    pub agent: Option<AgentId>,
    /// When it was given its place.
    pub launched: Time,
    /// When it was first known to run.
    pub running: Option<Time>,
    /// When its end was recorded.
    pub ended: Time,
    /// How it ended.
    pub outcome: Outcome,
    /// What was said of its end, for people.
    pub message: Option<Arc<str>>,
}

/// What has been spent of a unit's budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Of its own.
    pub user: u32,
    /// Of the platform's.
    pub platform: u32,
    /// Of time.
    pub timeout: u32,
}

/// A unit's durable state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnitRecord {
    pub(crate) attempt: u32,
    pub(crate) spent: Spent,
    pub(crate) phase: PhaseRecord,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PhaseRecord {
    Waiting {
        since: Time,
        until: Time,
    },
    Live {
        agent: AgentId,
        launched: Time,
        running: Option<Time>,
        unreachable: Option<Time>,
        kill: Option<KillCause>,
    },
    Ended(Attempt),
}

/// How a group stands, apart from its units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Units that it is to have now.
    pub(crate) count: u32,
    /// Whether and why no unit is started any more, and since when.
    pub(crate) stop: Option<(Stop, Time)>,
    /// When its last unit ended.
    pub(crate) ended: Option<Time>,
}

/// Why a group starts no units any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Its owner ended it.
    Killed,
    /// Units that never got a place waited too long: they, and only they, are over.
    PendingLimit,
}

/// A record, read back.
pub(crate) enum Record {
    Framework(FrameworkId),
    NextGroup(u32),
    Group {
        number: u32,
        submitted: Time,
        spec: Box<GroupSpec>,
    },
    Standing {
        number: u32,
        standing: Standing,
    },
    Unit {
        number: u32,
        index: u32,
        unit: UnitRecord,
    },
    /// Of an ended attempt, what is counted; the rest is read on demand.
    Attempt {
        group: u32,
        launched: Time,
        outcome: Outcome,
    },
    Host {
        agent: AgentId,
        host: Arc<str>,
        port: u16,
    },
    Task {
        task: TaskId,
        agent: AgentId,
    },
}

// ---- keys ----

fn key(kind: u8, numbers: &[u32]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 4 * numbers.len());
    key.push(kind);
    for number in numbers {
        key.extend_from_slice(&number.to_be_bytes());
    }
    key
}

/// The prefix of the keys of a unit's ended attempts, in the order of the attempts.
pub fn attempts_prefix(group: u32, index: u32) -> Vec<u8> {
    key(b'A', &[group, index])
}

pub(crate) fn attempt_key(group: u32, index: u32, attempt: u32) -> Vec<u8> {
    key(b'A', &[group, index, attempt])
}

pub(crate) fn unit_key(group: u32, index: u32) -> Vec<u8> {
    key(b'U', &[group, index])
}

fn write(key: Vec<u8>, value: Vec<u8>) -> Write {
    Write { key, value: Some(value) }
}

/// Deletes a record.
pub(crate) fn delete(key: Vec<u8>) -> Write {
    Write { key, value: None }
}

// ---- writing ----

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

pub(crate) fn no_group(number: u32) -> [Write; 2] {
    [delete(key(b'G', &[number])), delete(key(b'S', &[number]))]
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

// ---- reading ----

struct Reader<'a> {
    key: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(key: &'a [u8], value: &'a [u8]) -> Result<Self, RecordError> {
        match value.split_first() {
            Some((&VERSION, rest)) => Ok(Self { key, rest }),
            Some((version, _)) => Err(RecordError::new(
                key,
                format!("has format {version}; this program knows format {VERSION}"),
            )),
            None => Err(RecordError::new(key, "is empty")),
        }
    }

    fn error<T>(&self, problem: impl Into<String>) -> Result<T, RecordError> {
        Err(RecordError::new(self.key, problem))
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], RecordError> {
        match self.rest.split_at_checked(count) {
            Some((bytes, rest)) => {
                self.rest = rest;
                Ok(bytes)
            }
            None => self.error("is cut short"),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let bytes = self.bytes(N)?;
        bytes.try_into().or_else(|_| self.error("is cut short"))
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Result<Time, RecordError> {
        self.u64().map(Time::from_nanos)
    }

    fn maybe_time(&mut self) -> Result<Option<Time>, RecordError> {
        Ok(Some(self.time()?).filter(|time| *time != Time::ZERO))
    }

    fn text(&mut self) -> Result<&'a str, RecordError> {
        let length = self.array().map(u16::from_be_bytes)?;
        let bytes = self.bytes(usize::from(length))?;
        std::str::from_utf8(bytes).or_else(|_| self.error("holds text that is no UTF-8"))
    }

    fn agent(&mut self) -> Result<AgentId, RecordError> {
        let text = self.text()?;
        AgentId::new(text).or_else(|error| self.error(error.to_string()))
    }

    fn outcome(&mut self) -> Result<Outcome, RecordError> {
        Ok(match self.u8()? {
            0 => Outcome::Succeeded,
            1 => Outcome::Failed(None),
            2 => Outcome::Failed(Some(Exit::Code(self.u32()?.cast_signed()))),
            3 => Outcome::Failed(Some(Exit::Signal(self.u32()?.cast_signed()))),
            4 => Outcome::OomKilled { limit: self.u64()?, usage: self.u64()? },
            5 => Outcome::TimedOut,
            6 => Outcome::Rejected,
            7 => Outcome::Disrupted,
            8 => Outcome::SystemLocal,
            9 => Outcome::SystemTransient,
            10 => Outcome::Stuck,
            11 => Outcome::Killed,
            12 => Outcome::PendingTimedOut,
            other => return self.error(format!("has an unknown outcome {other}")),
        })
    }

    fn attempt(&mut self) -> Result<Attempt, RecordError> {
        let attempt = self.u32()?;
        let agent = match self.text()? {
            "" => None,
            text => Some(AgentId::new(text).or_else(|error| self.error(error.to_string()))?),
        };
        let (launched, running, ended) = (self.time()?, self.maybe_time()?, self.time()?);
        let message = Some(self.text()?).filter(|text| !text.is_empty()).map(Arc::from);
        let outcome = self.outcome()?;
        Ok(Attempt { attempt, agent, launched, running, ended, outcome, message })
    }

    fn unit(&mut self) -> Result<UnitRecord, RecordError> {
        let attempt = self.u32()?;
        let spent = Spent { user: self.u32()?, platform: self.u32()?, timeout: self.u32()? };
        let phase = match self.u8()? {
            0 => PhaseRecord::Waiting { since: self.time()?, until: self.time()? },
            1 => PhaseRecord::Live {
                agent: self.agent()?,
                launched: self.time()?,
                running: self.maybe_time()?,
                unreachable: self.maybe_time()?,
                kill: match self.u8()? {
                    0 => None,
                    1 => Some(KillCause::Owner),
                    2 => Some(KillCause::RunLimit),
                    3 => Some(KillCause::Stuck),
                    other => return self.error(format!("has an unknown cause {other}")),
                },
            },
            2 => PhaseRecord::Ended(self.attempt()?),
            other => return self.error(format!("has an unknown phase {other}")),
        };
        Ok(UnitRecord { attempt, spent, phase })
    }

    fn standing(&mut self) -> Result<Standing, RecordError> {
        let count = self.u32()?;
        let (stop, since) = (self.u8()?, self.time()?);
        let stop = match stop {
            0 => None,
            1 => Some((Stop::Killed, since)),
            2 => Some((Stop::PendingLimit, since)),
            other => return self.error(format!("has an unknown stop {other}")),
        };
        Ok(Standing { count, stop, ended: self.maybe_time()? })
    }
}

fn numbers<const N: usize>(key: &[u8]) -> Result<[u32; N], RecordError> {
    let digits = &key[1..];
    if digits.len() != 4 * N {
        return Err(RecordError::new(key, "has a key of the wrong length"));
    }
    let mut all = [0; N];
    for (number, bytes) in all.iter_mut().zip(digits.chunks_exact(4)) {
        *number = bytes.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte));
    }
    Ok(all)
}

fn name(key: &[u8]) -> Result<&str, RecordError> {
    std::str::from_utf8(&key[1..]).map_err(|_| RecordError::new(key, "has a key that is no UTF-8"))
}

/// Reads one record.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Record, RecordError> {
    let mut reader = Reader::new(key, value)?;
    let bad = |problem: String| RecordError::new(key, problem);
    match key.first() {
        Some(b'F') => {
            let id = FrameworkId::new(reader.text()?).map_err(|error| bad(error.to_string()))?;
            Ok(Record::Framework(id))
        }
        Some(b'N') => Ok(Record::NextGroup(reader.u32()?)),
        Some(b'G') => {
            let [number] = numbers(key)?;
            let submitted = reader.time()?;
            let spec =
                serde_json::from_slice(reader.rest).map_err(|error| bad(error.to_string()))?;
            Ok(Record::Group { number, submitted, spec: Box::new(spec) })
        }
        Some(b'S') => {
            let [number] = numbers(key)?;
            Ok(Record::Standing { number, standing: reader.standing()? })
        }
        Some(b'U') => {
            let [number, index] = numbers(key)?;
            Ok(Record::Unit { number, index, unit: reader.unit()? })
        }
        Some(b'A') => {
            let [group, _, _] = numbers(key)?;
            let Attempt { launched, outcome, .. } = reader.attempt()?;
            Ok(Record::Attempt { group, launched, outcome })
        }
        Some(b'H') => {
            let agent = AgentId::new(name(key)?).map_err(|error| bad(error.to_string()))?;
            let port = u16::try_from(reader.u32()?).map_err(|_| bad("has no port".to_owned()))?;
            Ok(Record::Host { agent, host: Arc::from(reader.text()?), port })
        }
        Some(b'T') => {
            let task = TaskId::new(name(key)?).map_err(|error| bad(error.to_string()))?;
            Ok(Record::Task { task, agent: reader.agent()? })
        }
        _ => Err(bad("is of an unknown kind".to_owned())),
    }
}

/// Reads an ended attempt from the value of its record.
///
/// # Errors
/// When the value is none.
pub fn read_attempt(key: &[u8], value: &[u8]) -> Result<Attempt, RecordError> {
    Reader::new(key, value)?.attempt()
}

/// Reads the last attempt of a unit that ended, from the value of the unit's record.
///
/// # Errors
/// When the value is none.
pub fn read_last_attempt(key: &[u8], value: &[u8]) -> Result<Option<Attempt>, RecordError> {
    Ok(match Reader::new(key, value)?.unit()?.phase {
        PhaseRecord::Ended(attempt) => Some(attempt),
        PhaseRecord::Waiting { .. } | PhaseRecord::Live { .. } => None,
    })
}

/// The key of a unit's record.
pub fn unit_record_key(group: u32, index: u32) -> Vec<u8> {
    unit_key(group, index)
}

#[cfg(test)]
mod tests;
