//! The framed messages between an agent and its supervisor.
//!
//! A frame is: payload length (u32, little endian), protocol version (u8), kind (u8), payload.
//! The codec is written by hand so that the supervisor stays small, and so that a supervisor of
//! an older release, still holding tasks, can be talked to by a newer agent: kinds and field
//! orders are never changed, a new need gets a new kind. Both sides check every length before
//! they allocate. Decoding never panics, whatever arrives.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::task::{
    ContainerId, Credentials, Ended, LaunchError, Launched, Limitation, Limits, Program, Recovered,
    Rlimit, SandboxChoice, SandboxFate, TaskSpec, Usage, WaitStatus,
};

/// Version of every frame of this release.
pub(crate) const VERSION: u8 = 1;
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
    Forget {
        id: ContainerId,
    },
    /// Exit if nothing runs; unacknowledged ends are dropped.
    Shutdown,
}

/// What the supervisor sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Report {
    /// First frame of a connection.
    Welcome {
        pid: u32,
        isolation: String,
        warning: Option<String>,
    },
    /// One container of the state at connection.
    Known(Box<Recovered>),
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
    UpdateFailed {
        id: ContainerId,
        reason: String,
    },
    /// The connection is refused; it closes after this frame.
    Refused {
        reason: String,
    },
    /// The supervisor stays: so many tasks run.
    ShutdownRefused {
        running: u32,
    },
}

/// Why a frame cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WireError {
    #[error("frame of {0} bytes is larger than the limit of {MAX_PAYLOAD}")]
    TooLong(usize),
    #[error("protocol version {0}, this side speaks {VERSION}")]
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
    if header[4] != VERSION {
        return Err(WireError::Version(header[4]));
    }
    Ok((buffer.len() >= HEADER + length).then_some(HEADER + length))
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn u8(&mut self, v: u8) {
        self.0.push(v);
    }
    fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    fn bytes(&mut self, v: &[u8]) {
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(v);
    }
    fn text(&mut self, v: &str) {
        self.bytes(v.as_bytes());
    }
    fn path(&mut self, v: &Path) {
        self.bytes(v.as_os_str().as_bytes());
    }
    fn id(&mut self, v: &ContainerId) {
        self.text(v.as_str());
    }
    fn duration(&mut self, v: Duration) {
        self.u64(u64::try_from(v.as_nanos()).unwrap_or(u64::MAX));
    }
    fn option(&mut self, v: Option<u64>) {
        self.u8(u8::from(v.is_some()));
        self.u64(v.unwrap_or(0));
    }
    fn texts(&mut self, v: &[String]) {
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        for text in v {
            self.text(text);
        }
    }
    fn limits(&mut self, v: &Limits) {
        self.u64(v.cpu_shares);
        self.option(v.cpu_quota_us);
        self.option(v.memory_bytes);
        self.option(v.pids);
    }
    fn launched(&mut self, v: &Launched) {
        self.u32(v.pid);
        self.u64(v.started_boot_ns);
        self.path(&v.sandbox);
    }
    fn ended(&mut self, v: &Ended) {
        let (kind, value) = match v.status {
            WaitStatus::Exited(code) => (0, code),
            WaitStatus::Signaled(signal) => (1, signal),
        };
        self.u8(kind);
        self.u8(value);
        match v.limitation {
            None => self.u8(0),
            Some(Limitation::Memory { usage_bytes, limit_bytes }) => {
                self.u8(1);
                self.u64(usage_bytes);
                self.u64(limit_bytes);
            }
        }
        self.u8(u8::from(v.kill_requested));
        self.u64(v.pids_refused);
        self.duration(v.cpu_time);
        self.u64(v.max_rss_bytes);
        self.duration(v.lasted);
        self.u64(v.ended_unix_ns);
        self.u64(v.stdout_bytes);
        self.u64(v.stderr_bytes);
        self.u64(v.lost_bytes);
        match &v.sandbox {
            SandboxFate::Empty => self.u8(0),
            SandboxFate::Kept(path) => {
                self.u8(1);
                self.path(path);
            }
        }
    }
    fn spec(&mut self, v: &TaskSpec) {
        self.id(&v.id);
        match &v.program {
            Program::Shell(line) => {
                self.u8(0);
                self.text(line);
            }
            Program::Exec { file, argv } => {
                self.u8(1);
                self.text(file);
                self.texts(argv);
            }
        }
        self.texts(&v.environment);
        self.u8(u8::from(v.credentials.is_some()));
        if let Some(credentials) = &v.credentials {
            self.u32(credentials.uid);
            self.u32(credentials.gid);
            self.u32(u32::try_from(credentials.groups.len()).unwrap_or(u32::MAX));
            for group in &credentials.groups {
                self.u32(*group);
            }
        }
        self.u32(u32::try_from(v.rlimits.len()).unwrap_or(u32::MAX));
        for limit in &v.rlimits {
            self.u32(limit.resource);
            self.u64(limit.soft);
            self.u64(limit.hard);
        }
        match &v.sandbox {
            SandboxChoice::Pooled => self.u8(0),
            SandboxChoice::At(path) => {
                self.u8(1);
                self.path(path);
            }
        }
        self.limits(&v.limits);
        self.bytes(&v.record);
    }
}

struct Reader<'a>(&'a [u8]);

const SHORT: &str = "the frame ends before it";

impl<'a> Reader<'a> {
    fn take(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) =
            self.0.split_at_checked(n).ok_or(WireError::Field { field, problem: SHORT })?;
        self.0 = tail;
        Ok(head)
    }
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], WireError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N)?);
        Ok(out)
    }
    fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(self.array::<1>(field)?[0])
    }
    fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.array(field).map(u32::from_le_bytes)
    }
    fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.array(field).map(u64::from_le_bytes)
    }
    fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let n = self.u32(field)? as usize;
        self.take(field, n)
    }
    fn text(&mut self, field: &'static str) -> Result<String, WireError> {
        String::from_utf8(self.bytes(field)?.to_vec())
            .map_err(|_| WireError::Field { field, problem: "not UTF-8" })
    }
    fn path(&mut self, field: &'static str) -> Result<PathBuf, WireError> {
        Ok(PathBuf::from(std::ffi::OsString::from_vec(self.bytes(field)?.to_vec())))
    }
    fn id(&mut self) -> Result<ContainerId, WireError> {
        ContainerId::new(self.text("id")?)
            .map_err(|_| WireError::Field { field: "id", problem: "not a container id" })
    }
    fn duration(&mut self, field: &'static str) -> Result<Duration, WireError> {
        self.u64(field).map(Duration::from_nanos)
    }
    fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Field { field, problem: "neither 0 nor 1" }),
        }
    }
    fn option(&mut self, field: &'static str) -> Result<Option<u64>, WireError> {
        let present = self.flag(field)?;
        let value = self.u64(field)?;
        Ok(present.then_some(value))
    }
    /// How many elements of at least `least` bytes follow; refused when they cannot fit.
    fn count(&mut self, field: &'static str, least: usize) -> Result<usize, WireError> {
        let n = self.u32(field)? as usize;
        if n > self.0.len() / least {
            return Err(WireError::Field { field, problem: "more elements than the frame holds" });
        }
        Ok(n)
    }
    fn texts(&mut self, field: &'static str) -> Result<Vec<String>, WireError> {
        (0..self.count(field, 4)?).map(|_| self.text(field)).collect()
    }
    fn limits(&mut self) -> Result<Limits, WireError> {
        Ok(Limits {
            cpu_shares: self.u64("cpu_shares")?,
            cpu_quota_us: self.option("cpu_quota")?,
            memory_bytes: self.option("memory")?,
            pids: self.option("pids")?,
        })
    }
    fn launched(&mut self) -> Result<Launched, WireError> {
        Ok(Launched {
            pid: self.u32("pid")?,
            started_boot_ns: self.u64("started")?,
            sandbox: self.path("sandbox")?,
        })
    }
    fn ended(&mut self) -> Result<Ended, WireError> {
        let status = match (self.u8("status kind")?, self.u8("status")?) {
            (0, code) => WaitStatus::Exited(code),
            (1, signal) => WaitStatus::Signaled(signal),
            _ => return Err(WireError::Field { field: "status kind", problem: "unknown" }),
        };
        let limitation = if self.flag("limitation")? {
            let usage_bytes = self.u64("usage")?;
            Some(Limitation::Memory { usage_bytes, limit_bytes: self.u64("limit")? })
        } else {
            None
        };
        Ok(Ended {
            status,
            limitation,
            kill_requested: self.flag("kill_requested")?,
            pids_refused: self.u64("pids_refused")?,
            cpu_time: self.duration("cpu_time")?,
            max_rss_bytes: self.u64("max_rss")?,
            lasted: self.duration("lasted")?,
            ended_unix_ns: self.u64("ended")?,
            stdout_bytes: self.u64("stdout_bytes")?,
            stderr_bytes: self.u64("stderr_bytes")?,
            lost_bytes: self.u64("lost_bytes")?,
            sandbox: if self.flag("sandbox fate")? {
                SandboxFate::Kept(self.path("sandbox")?)
            } else {
                SandboxFate::Empty
            },
        })
    }
    fn credentials(&mut self) -> Result<Credentials, WireError> {
        let (uid, gid) = (self.u32("uid")?, self.u32("gid")?);
        let groups = (0..self.count("groups", 4)?).map(|_| self.u32("groups"));
        Ok(Credentials { uid, gid, groups: groups.collect::<Result<_, _>>()? })
    }
    fn rlimit(&mut self) -> Result<Rlimit, WireError> {
        Ok(Rlimit {
            resource: self.u32("rlimit")?,
            soft: self.u64("soft limit")?,
            hard: self.u64("hard limit")?,
        })
    }
    fn spec(&mut self) -> Result<TaskSpec, WireError> {
        Ok(TaskSpec {
            id: self.id()?,
            program: if self.flag("program kind")? {
                let file = self.text("file")?;
                Program::Exec { file, argv: self.texts("argv")? }
            } else {
                Program::Shell(self.text("command")?)
            },
            environment: self.texts("environment")?,
            credentials: self.flag("credentials")?.then(|| self.credentials()).transpose()?,
            rlimits: (0..self.count("rlimits", 20)?)
                .map(|_| self.rlimit())
                .collect::<Result<_, _>>()?,
            sandbox: if self.flag("sandbox kind")? {
                SandboxChoice::At(self.path("sandbox")?)
            } else {
                SandboxChoice::Pooled
            },
            limits: self.limits()?,
            record: self.bytes("record")?.to_vec(),
        })
    }
    fn launch_error(&mut self) -> Result<LaunchError, WireError> {
        Ok(match self.u8("error kind")? {
            0 => LaunchError::AlreadyExists,
            1 => {
                let step = self.text("step")?;
                LaunchError::Spawn { step, errno: self.u32("errno")?.cast_signed() }
            }
            2 => LaunchError::Refused(self.text("reason")?),
            _ => return Err(WireError::Field { field: "error kind", problem: "unknown" }),
        })
    }
}

fn frame(out: &mut Vec<u8>, kind: u8, payload: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, VERSION, kind]);
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
            Self::Launch(spec) => frame(out, 2, |w| w.spec(spec)),
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
            Self::Forget { id } => frame(out, 7, |w| w.id(id)),
            Self::Shutdown => frame(out, 8, |_| {}),
        }
    }

    /// Reads one whole frame, as measured by [`frame_length`].
    pub(crate) fn decode(frame: &[u8]) -> Result<Self, WireError> {
        let kind = frame.get(5).copied().unwrap_or(0);
        let mut r = Reader(frame.get(HEADER..).unwrap_or(&[]));
        let order = match kind {
            1 => Self::Hello,
            2 => Self::Launch(Box::new(r.spec()?)),
            3 => Self::Signal { id: r.id()?, signal: r.u32("signal")?.cast_signed() },
            4 => Self::Kill { id: r.id()?, grace: r.duration("grace")? },
            5 => Self::Update { id: r.id()?, limits: r.limits()? },
            6 => Self::Usage { id: r.id()? },
            7 => Self::Forget { id: r.id()? },
            8 => Self::Shutdown,
            _ => return Err(WireError::Kind(kind)),
        };
        whole(&r, order)
    }
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
            Self::Known(known) => frame(out, 65, |w| {
                w.id(&known.id);
                w.bytes(&known.record);
                w.launched(&known.launched);
                w.u8(u8::from(known.ended.is_some()));
                if let Some(ended) = &known.ended {
                    w.ended(ended);
                }
            }),
            Self::Complete => frame(out, 66, |_| {}),
            Self::Launched { id, launched } => frame(out, 67, |w| {
                w.id(id);
                w.launched(launched);
            }),
            Self::LaunchFailed { id, error } => frame(out, 68, |w| {
                w.id(id);
                match error {
                    LaunchError::AlreadyExists => w.u8(0),
                    LaunchError::Spawn { step, errno } => {
                        w.u8(1);
                        w.text(step);
                        w.u32(errno.cast_unsigned());
                    }
                    LaunchError::Refused(reason) => {
                        w.u8(2);
                        w.text(reason);
                    }
                }
            }),
            Self::Ended { id, ended } => frame(out, 69, |w| {
                w.id(id);
                w.ended(ended);
            }),
            Self::Usage { id, usage } => frame(out, 70, |w| {
                w.id(id);
                w.u8(u8::from(usage.is_some()));
                let usage = usage.unwrap_or_default();
                w.duration(usage.cpu_time);
                w.u64(usage.memory_bytes);
                w.option(usage.memory_limit_bytes);
                w.u64(usage.pids);
                w.u8(u8::from(usage.whole_container));
            }),
            Self::UpdateFailed { id, reason } => frame(out, 71, |w| {
                w.id(id);
                w.text(reason);
            }),
            Self::Refused { reason } => frame(out, 72, |w| w.text(reason)),
            Self::ShutdownRefused { running } => frame(out, 73, |w| w.u32(*running)),
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
                warning: Some(r.text("warning")?).filter(|text| !text.is_empty()),
            },
            65 => Self::Known(Box::new(Recovered {
                id: r.id()?,
                record: r.bytes("record")?.to_vec(),
                launched: r.launched()?,
                ended: r.flag("ended")?.then(|| r.ended()).transpose()?,
            })),
            66 => Self::Complete,
            67 => Self::Launched { id: r.id()?, launched: r.launched()? },
            68 => Self::LaunchFailed { id: r.id()?, error: r.launch_error()? },
            69 => Self::Ended { id: r.id()?, ended: Box::new(r.ended()?) },
            70 => Self::Usage { id: r.id()?, usage: usage(&mut r)? },
            71 => Self::UpdateFailed { id: r.id()?, reason: r.text("reason")? },
            72 => Self::Refused { reason: r.text("reason")? },
            73 => Self::ShutdownRefused { running: r.u32("running")? },
            _ => return Err(WireError::Kind(kind)),
        };
        whole(&r, report)
    }
}

fn usage(r: &mut Reader<'_>) -> Result<Option<Usage>, WireError> {
    let present = r.flag("usage")?;
    let usage = Usage {
        cpu_time: r.duration("cpu_time")?,
        memory_bytes: r.u64("memory")?,
        memory_limit_bytes: r.option("memory limit")?,
        pids: r.u64("pids")?,
        whole_container: r.flag("whole_container")?,
    };
    Ok(present.then_some(usage))
}

#[cfg(test)]
mod tests;
