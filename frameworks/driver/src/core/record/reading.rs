//! Records as they come back from the store: checked, since a disk may say anything.

use super::{
    Attempt, PhaseRecord, Record, RecordError, Spent, Standing, Stop, UnitRecord, VERSION,
};
use crate::core::outcome::{KillCause, Outcome};
use proto::{AgentId, Exit, FrameworkId, TaskId, Time};
use std::sync::Arc;

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
        Some(b'X') => {
            let [number] = numbers(key)?;
            Ok(Record::Forgotten(number))
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
