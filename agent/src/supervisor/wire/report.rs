//! What the supervisor sends, as frames.

use std::sync::Arc;

use super::codec::Reader;
use super::{HEADER, WireError, frame, whole};
use crate::supervisor::task::{
    ContainerId, Ended, LaunchError, Launched, Recovered, Usage, WaitStatus,
};

/// What the supervisor sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// First frame of a connection.
    Welcome {
        pid: u32,
        isolation: String,
        warning: Option<String>,
    },
    /// Bytes that containers told after this have in common.
    Shared {
        key: u64,
        bytes: Arc<[u8]>,
    },
    /// One container of the state at connection. What it shares with others travels as the key of
    /// a `Shared` before it, not within.
    Known {
        known: Box<Recovered>,
        shared: Option<u64>,
    },
    /// The state at connection is complete.
    Complete,
    Launched {
        id: ContainerId,
        launched: Launched,
    },
    LaunchFailed {
        id: ContainerId,
        error: LaunchError,
    },
    Ended {
        id: ContainerId,
        ended: Box<Ended>,
    },
    Usage {
        id: ContainerId,
        usage: Option<Usage>,
    },
    /// New limits are in force, unless there is a problem.
    Updated {
        id: ContainerId,
        problem: Option<String>,
    },
    /// How a program that was run beside a container ended.
    Looked {
        id: ContainerId,
        number: u64,
        result: Result<WaitStatus, LaunchError>,
    },
    /// The connection is refused; it closes after this frame.
    Refused {
        reason: String,
    },
    /// The supervisor stays: so many tasks run.
    ShutdownRefused {
        running: u32,
    },
    /// A part of a log of this container was cut off, and can be packed.
    LogCut {
        id: ContainerId,
    },
    /// A part of the answer to `Sample`: what some containers use. What is not told until
    /// `complete` is as it was.
    Sampled {
        /// When the round began, in nanoseconds since boot.
        begun_boot_ns: u64,
        usages: Vec<(ContainerId, Usage)>,
        complete: bool,
    },
    /// The session that was asked for runs, with this process id, or why not.
    Entered {
        id: ContainerId,
        number: u64,
        result: Result<u32, LaunchError>,
    },
    /// How the program of a session ended.
    Left {
        number: u64,
        status: WaitStatus,
    },
}

impl Report {
    /// Appends this report as a frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Welcome { pid, isolation, warning } => frame(out, 64, |w| {
                w.u32(*pid);
                w.text(isolation);
                w.text(warning.as_deref().unwrap_or(""));
            }),
            Self::Shared { key, bytes } => frame(out, 74, |w| w.shared(*key, bytes)),
            Self::Known { known, .. } if known.remains => frame(out, 81, |w| w.known(known)),
            Self::Known { known, shared: None } => frame(out, 65, |w| w.known(known)),
            Self::Known { known, shared: Some(key) } => frame(out, 75, |w| {
                w.u64(*key);
                w.known(known);
            }),
            Self::Complete => frame(out, 66, |_| {}),
            Self::Launched { id, launched } => frame(out, 67, |w| {
                w.id(id);
                w.launched(launched);
            }),
            Self::LaunchFailed { id, error } => frame(out, 68, |w| {
                w.id(id);
                w.launch_error(error);
            }),
            Self::Ended { id, ended } => frame(out, 69, |w| {
                w.id(id);
                w.ended(ended);
            }),
            Self::Usage { id, usage } => frame(out, 70, |w| {
                w.id(id);
                w.u8(u8::from(usage.is_some()));
                w.usage(&usage.unwrap_or_default());
            }),
            Self::Sampled { begun_boot_ns, usages, complete } => frame(out, 77, |w| {
                w.u64(*begun_boot_ns);
                w.u8(u8::from(*complete));
                w.usages(usages);
            }),
            Self::Updated { id, problem } => frame(out, 71, |w| {
                w.id(id);
                w.text(problem.as_deref().unwrap_or(""));
            }),
            Self::Looked { id, number, result } => frame(out, 78, |w| {
                w.id(id);
                w.u64(*number);
                w.u8(u8::from(result.is_err()));
                match result {
                    Ok(status) => w.status(*status),
                    Err(error) => w.launch_error(error),
                }
            }),
            Self::Entered { id, number, result } => frame(out, 79, |w| {
                w.id(id);
                w.u64(*number);
                w.u8(u8::from(result.is_err()));
                match result {
                    Ok(pid) => w.u32(*pid),
                    Err(error) => w.launch_error(error),
                }
            }),
            Self::Left { number, status } => frame(out, 80, |w| {
                w.u64(*number);
                w.status(*status);
            }),
            Self::Refused { reason } => frame(out, 72, |w| w.text(reason)),
            Self::ShutdownRefused { running } => frame(out, 73, |w| w.u32(*running)),
            Self::LogCut { id } => frame(out, 76, |w| w.id(id)),
        }
    }

    /// Reads one whole frame, as measured by [`frame_length`].
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let kind = frame.get(5).copied().unwrap_or(0);
        let mut r = Reader(frame.get(HEADER..).unwrap_or(&[]));
        let report = match kind {
            64 => Self::Welcome {
                pid: r.u32("pid")?,
                isolation: r.text("isolation")?,
                warning: r.words("warning")?,
            },
            65 => Self::Known { known: Box::new(r.known()?), shared: None },
            74 => Self::Shared { key: r.u64("key")?, bytes: r.bytes("shared")?.into() },
            75 => {
                let shared = Some(r.u64("key")?);
                Self::Known { known: Box::new(r.known()?), shared }
            }
            81 => {
                let known = Recovered { remains: true, ..r.known()? };
                Self::Known { known: Box::new(known), shared: None }
            }
            66 => Self::Complete,
            67 => Self::Launched { id: r.id()?, launched: r.launched()? },
            68 => Self::LaunchFailed { id: r.id()?, error: r.launch_error()? },
            69 => Self::Ended { id: r.id()?, ended: Box::new(r.ended()?) },
            70 => {
                let (id, present) = (r.id()?, r.flag("usage")?);
                let usage = r.usage()?;
                Self::Usage { id, usage: present.then_some(usage) }
            }
            77 => {
                let (begun_boot_ns, complete) = (r.u64("begun")?, r.flag("complete")?);
                Self::Sampled { begun_boot_ns, usages: r.usages()?, complete }
            }
            71 => Self::Updated { id: r.id()?, problem: r.words("problem")? },
            78 => {
                let (id, number) = (r.id()?, r.u64("number")?);
                let failed = r.flag("failed")?;
                let result = if failed { Err(r.launch_error()?) } else { Ok(r.status()?) };
                Self::Looked { id, number, result }
            }
            79 => {
                let (id, number) = (r.id()?, r.u64("number")?);
                let failed = r.flag("failed")?;
                let result = if failed { Err(r.launch_error()?) } else { Ok(r.u32("pid")?) };
                Self::Entered { id, number, result }
            }
            80 => Self::Left { number: r.u64("number")?, status: r.status()? },
            72 => Self::Refused { reason: r.text("reason")? },
            73 => Self::ShutdownRefused { running: r.u32("running")? },
            76 => Self::LogCut { id: r.id()? },
            _ => return Err(WireError::Kind(kind)),
        };
        whole(&r, report)
    }
}
