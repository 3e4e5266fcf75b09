//! The framed messages between an agent and its supervisor.
//!
//! A frame is: payload length (u32, little endian), protocol version (u8), kind (u8), payload.
//! The codec is written by hand so that the supervisor stays small, and so that a supervisor of
//! an older release, still holding tasks, can be talked to by a newer agent: within a
//! version kinds and field orders are never changed, a new need gets a new kind. Both sides check
//! version and length before they allocate. Decoding never panics, whatever arrives.

mod codec;
mod enclosure;
mod network;
mod report;
mod usage;

use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::report::Report;

use self::codec::{Reader, Writer};
use super::task::{Closed, ContainerId, Limitation, Limits, Stdio, TaskSpec};
use crate::parts::LogPolicy;

/// Version of every frame of this release. A side that hears another one refuses, naming both.
pub(crate) const VERSION: u8 = 4;
/// Bytes before the payload.
pub(crate) const HEADER: usize = 6;
/// Largest payload either side accepts.
pub(crate) const MAX_PAYLOAD: usize = 8 << 20;

/// What the agent sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// First frame of a connection: send what you know.
    Hello,
    Launch(Box<TaskSpec>),
    Signal {
        id: ContainerId,
        signal: i32,
    },
    Kill {
        id: ContainerId,
        grace: Duration,
    },
    Update {
        id: ContainerId,
        limits: Limits,
    },
    Usage {
        id: ContainerId,
    },
    /// Run this beside the container of its id, for so long at the most.
    Look {
        number: u64,
        timeout: Duration,
        spec: Box<TaskSpec>,
    },
    Forget {
        id: ContainerId,
    },
    /// Exit if nothing runs; unacknowledged ends are dropped.
    Shutdown,
    /// Bytes that the records of many launches have in common: those that follow on this
    /// connection name them by `key`.
    Share {
        key: u64,
        bytes: Arc<[u8]>,
    },
    /// No later launch names this key; what was launched with it keeps the bytes.
    Unshare {
        key: u64,
    },
    /// How logs are cut into parts from now on, those of running tasks as well.
    Logs(LogPolicy),
    /// Tell in `Sampled` what containers use: all of them, or those of which anything has changed
    /// since the last time.
    Sample {
        all: bool,
    },
    /// Kill all of a container, which has taken more than it may.
    Exceeded {
        id: ContainerId,
        limitation: Limitation,
    },
    /// Run this in the container of its id as a session of this number, which ends with this
    /// connection.
    Enter {
        number: u64,
        stdio: Stdio,
        spec: Box<TaskSpec>,
    },
    /// Where networks of tasks do not lead from now on, instead of what was said before.
    Close(Closed),
    /// Signal the process group of a session.
    SignalSession {
        number: u64,
        signal: i32,
    },
}

/// The version that this process speaks.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn version() -> u8 {
    VERSION
}

/// The version that this process speaks: tests may have one of them be another release.
#[cfg(feature = "failpoints")]
pub(crate) fn version() -> u8 {
    crate::crash::protocol().unwrap_or(VERSION)
}

/// Why a frame cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("frame of {0} bytes is larger than the limit of {MAX_PAYLOAD}")]
    TooLong(usize),
    #[error("protocol version {0}, this side speaks {own}", own = version())]
    Version(u8),
    #[error("unknown frame kind {0}")]
    Kind(u8),
    #[error("field {field}: {problem}")]
    Field { field: &'static str, problem: &'static str },
}

/// Length of the first whole frame in `buffer` (header included), or `None` if more is needed.
pub(crate) fn frame_length(buffer: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    if length > MAX_PAYLOAD {
        return Err(WireError::TooLong(length));
    }
    if header[4] != version() {
        return Err(WireError::Version(header[4]));
    }
    Ok((buffer.len() >= HEADER + length).then_some(HEADER + length))
}

fn frame(out: &mut Vec<u8>, kind: u8, payload: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, version(), kind]);
    payload(&mut Writer(out));
    let length = u32::try_from(out.len() - start - HEADER).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Checks that a frame was wholly understood.
fn whole<T>(reader: &Reader<'_>, value: T) -> Result<T, WireError> {
    if reader.0.is_empty() {
        Ok(value)
    } else {
        Err(WireError::Field { field: "frame", problem: "bytes are left over" })
    }
}

impl Order {
    /// Appends this order as a frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello => frame(out, 1, |_| {}),
            Self::Launch(spec) if spec.network.is_some() => frame(out, 18, |w| {
                if let Some(network) = &spec.network {
                    w.network(network);
                }
                w.u8(u8::from(spec.enclosure.is_some()));
                if let Some(enclosure) = &spec.enclosure {
                    w.enclosure(enclosure);
                }
                w.option(spec.shared);
                w.volumes(&spec.volumes);
                w.spec(spec);
            }),
            Self::Launch(spec) if spec.enclosure.is_some() => frame(out, 13, |w| {
                if let Some(enclosure) = &spec.enclosure {
                    w.enclosure(enclosure);
                }
                w.option(spec.shared);
                w.volumes(&spec.volumes);
                w.spec(spec);
            }),
            Self::Launch(spec) if !spec.volumes.is_empty() => frame(out, 12, |w| {
                w.option(spec.shared);
                w.volumes(&spec.volumes);
                w.spec(spec);
            }),
            Self::Launch(spec) => match spec.shared {
                None => frame(out, 2, |w| w.spec(spec)),
                Some(key) => frame(out, 11, |w| {
                    w.u64(key);
                    w.spec(spec);
                }),
            },
            Self::Signal { id, signal } => frame(out, 3, |w| {
                w.id(id);
                w.u32(signal.cast_unsigned());
            }),
            Self::Kill { id, grace } => frame(out, 4, |w| {
                w.id(id);
                w.duration(*grace);
            }),
            Self::Update { id, limits } => frame(out, 5, |w| {
                w.id(id);
                w.limits(limits);
            }),
            Self::Usage { id } => frame(out, 6, |w| w.id(id)),
            Self::Look { number, timeout, spec } => {
                frame(out, 16, |w| w.look(*number, *timeout, spec));
            }
            Self::Forget { id } => frame(out, 7, |w| w.id(id)),
            Self::Shutdown => frame(out, 8, |_| {}),
            Self::Share { key, bytes } => frame(out, 9, |w| w.shared(*key, bytes)),
            Self::Unshare { key } => frame(out, 10, |w| w.u64(*key)),
            Self::Logs(policy) => frame(out, 14, |w| {
                w.u64(policy.part_bytes);
                w.u32(policy.parts);
            }),
            Self::Exceeded { id, limitation } => frame(out, 17, |w| {
                w.id(id);
                w.limitation(Some(limitation));
            }),
            Self::Enter { number, stdio, spec } => {
                frame(out, 20, |w| w.enter(*number, stdio, spec));
            }
            Self::SignalSession { number, signal } => frame(out, 21, |w| w.kill(*number, *signal)),
            Self::Close(closed) => frame(out, 22, |w| w.closed(closed)),
            Self::Sample { all } => frame(out, 15, |w| w.u8(u8::from(*all))),
        }
    }

    /// Reads one whole frame, as measured by [`frame_length`].
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let kind = frame.get(5).copied().unwrap_or(0);
        let mut r = Reader(frame.get(HEADER..).unwrap_or(&[]));
        let order = match kind {
            1 => Self::Hello,
            2 => Self::Launch(Box::new(r.spec()?)),
            9 => Self::Share { key: r.u64("key")?, bytes: r.bytes("shared")?.into() },
            10 => Self::Unshare { key: r.u64("key")? },
            11 => {
                let shared = Some(r.u64("key")?);
                Self::Launch(Box::new(TaskSpec { shared, ..r.spec()? }))
            }
            12 => {
                let (shared, volumes) = (r.option("key")?, r.volumes()?);
                Self::Launch(Box::new(TaskSpec { shared, volumes, ..r.spec()? }))
            }
            13 => {
                let enclosure = Some(Box::new(r.enclosure()?));
                let (shared, volumes) = (r.option("key")?, r.volumes()?);
                Self::Launch(Box::new(TaskSpec { shared, volumes, enclosure, ..r.spec()? }))
            }
            18 => {
                let network = Some(Box::new(r.network()?));
                let enclosure = r.flag("enclosure")?.then(|| r.enclosure()).transpose()?;
                let enclosure = enclosure.map(Box::new);
                let (shared, volumes) = (r.option("key")?, r.volumes()?);
                let spec = TaskSpec { shared, volumes, enclosure, network, ..r.spec()? };
                Self::Launch(Box::new(spec))
            }
            16 => {
                let (number, timeout) = (r.u64("number")?, r.duration("timeout")?);
                Self::Look { number, timeout, spec: Box::new(r.walled_spec()?) }
            }
            3 => Self::Signal { id: r.id()?, signal: r.u32("signal")?.cast_signed() },
            4 => Self::Kill { id: r.id()?, grace: r.duration("grace")? },
            5 => Self::Update { id: r.id()?, limits: r.limits()? },
            6 => Self::Usage { id: r.id()? },
            7 => Self::Forget { id: r.id()? },
            8 => Self::Shutdown,
            14 => {
                Self::Logs(LogPolicy { part_bytes: r.u64("part_bytes")?, parts: r.u32("parts")? })
            }
            17 => {
                let (id, limitation) = (r.id()?, r.limitation()?);
                let absent = WireError::Field { field: "limitation", problem: "missing" };
                Self::Exceeded { id, limitation: limitation.ok_or(absent)? }
            }
            20 => {
                let (number, stdio) = (r.u64("number")?, r.stdio()?);
                Self::Enter { number, stdio, spec: Box::new(r.walled_spec()?) }
            }
            21 => Self::SignalSession {
                number: r.u64("number")?,
                signal: r.u32("signal")?.cast_signed(),
            },
            22 => Self::Close(r.closed()?),
            15 => Self::Sample { all: r.flag("all")? },
            _ => return Err(WireError::Kind(kind)),
        };
        whole(&r, order)
    }
}

#[cfg(test)]
mod tests;
