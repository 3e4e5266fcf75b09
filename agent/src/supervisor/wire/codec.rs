//! Writing and reading the fields of frames: integers, bytes, and the values made of them.
//!
//! Every read is bounded by what has arrived, and a count is believed only if so many elements
//! could fit. Nothing here knows which frame it is in.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::WireError;
use crate::supervisor::task::{
    ContainerId, Credentials, Ended, LaunchError, Launched, Limits, Program, Recovered, Rlimit,
    SandboxChoice, SandboxFate, TaskSpec, VolumeLink, WaitStatus,
};

pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

impl Writer<'_> {
    pub(super) fn u8(&mut self, v: u8) {
        self.0.push(v);
    }
    pub(super) fn u32(&mut self, v: u32) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(super) fn u64(&mut self, v: u64) {
        self.0.extend_from_slice(&v.to_le_bytes());
    }
    pub(super) fn bytes(&mut self, v: &[u8]) {
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        self.0.extend_from_slice(v);
    }
    pub(super) fn text(&mut self, v: &str) {
        self.bytes(v.as_bytes());
    }
    pub(super) fn path(&mut self, v: &Path) {
        self.bytes(v.as_os_str().as_bytes());
    }
    pub(super) fn id(&mut self, v: &ContainerId) {
        self.text(v.as_str());
    }
    pub(super) fn duration(&mut self, v: Duration) {
        self.u64(u64::try_from(v.as_nanos()).unwrap_or(u64::MAX));
    }
    pub(super) fn option(&mut self, v: Option<u64>) {
        self.u8(u8::from(v.is_some()));
        self.u64(v.unwrap_or(0));
    }
    pub(super) fn texts(&mut self, v: &[String]) {
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        for text in v {
            self.text(text);
        }
    }
    pub(super) fn limits(&mut self, v: &Limits) {
        self.u64(v.cpu_shares);
        self.option(v.cpu_quota_us);
        self.option(v.memory_bytes);
        self.option(v.pids);
        self.option(v.memory_soft_bytes);
        self.option(v.disk_bytes);
    }
    pub(super) fn launched(&mut self, v: &Launched) {
        self.u32(v.pid);
        self.u64(v.started_boot_ns);
        self.path(&v.sandbox);
        self.address(v.address);
        self.u8(u8::from(v.layer.is_some()));
        if let Some(layer) = &v.layer {
            self.path(layer);
        }
    }
    pub(super) fn status(&mut self, status: WaitStatus) {
        let (kind, value) = match status {
            WaitStatus::Exited(code) => (0, code),
            WaitStatus::Signaled(signal) => (1, signal),
            WaitStatus::Unknown => (2, 0),
        };
        self.u8(kind);
        self.u8(value);
    }
    pub(super) fn launch_error(&mut self, error: &LaunchError) {
        match error {
            LaunchError::AlreadyExists => self.u8(0),
            LaunchError::Spawn { step, errno } => {
                self.u8(1);
                self.text(step);
                self.u32(errno.cast_unsigned());
            }
            LaunchError::Refused(reason) => {
                self.u8(2);
                self.text(reason);
            }
            LaunchError::Impossible(reason) => {
                self.u8(3);
                self.text(reason);
            }
        }
    }
    pub(super) fn ended(&mut self, v: &Ended) {
        self.status(v.status);
        self.limitation(v.limitation.as_ref());
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
    pub(super) fn shared(&mut self, key: u64, v: &[u8]) {
        self.u64(key);
        self.bytes(v);
    }
    pub(super) fn known(&mut self, v: &Recovered) {
        self.id(&v.id);
        self.bytes(&v.record);
        self.launched(&v.launched);
        self.u8(u8::from(v.ended.is_some()));
        if let Some(ended) = &v.ended {
            self.ended(ended);
        }
        self.u8(u8::from(v.kill_requested));
    }
    pub(super) fn volumes(&mut self, v: &[VolumeLink]) {
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        for volume in v {
            self.text(&volume.name);
            self.path(&volume.path);
            self.path(&volume.target);
            self.u8(u8::from(volume.shared));
        }
    }
    pub(super) fn spec(&mut self, v: &TaskSpec) {
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

pub(super) struct Reader<'a>(pub(super) &'a [u8]);

const SHORT: &str = "the frame ends before it";

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, field: &'static str, n: usize) -> Result<&'a [u8], WireError> {
        let (head, tail) =
            self.0.split_at_checked(n).ok_or(WireError::Field { field, problem: SHORT })?;
        self.0 = tail;
        Ok(head)
    }
    pub(super) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], WireError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(field, N)?);
        Ok(out)
    }
    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, WireError> {
        Ok(self.array::<1>(field)?[0])
    }
    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, WireError> {
        self.array(field).map(u32::from_le_bytes)
    }
    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, WireError> {
        self.array(field).map(u64::from_le_bytes)
    }
    pub(super) fn bytes(&mut self, field: &'static str) -> Result<&'a [u8], WireError> {
        let n = self.u32(field)? as usize;
        self.take(field, n)
    }
    pub(super) fn text(&mut self, field: &'static str) -> Result<String, WireError> {
        String::from_utf8(self.bytes(field)?.to_vec())
            .map_err(|_| WireError::Field { field, problem: "not UTF-8" })
    }
    /// Words for people, if there are any.
    pub(super) fn words(&mut self, field: &'static str) -> Result<Option<String>, WireError> {
        Ok(Some(self.text(field)?).filter(|text| !text.is_empty()))
    }
    pub(super) fn path(&mut self, field: &'static str) -> Result<PathBuf, WireError> {
        Ok(PathBuf::from(std::ffi::OsString::from_vec(self.bytes(field)?.to_vec())))
    }
    pub(super) fn id(&mut self) -> Result<ContainerId, WireError> {
        ContainerId::new(self.text("id")?)
            .map_err(|_| WireError::Field { field: "id", problem: "not a container id" })
    }
    pub(super) fn duration(&mut self, field: &'static str) -> Result<Duration, WireError> {
        self.u64(field).map(Duration::from_nanos)
    }
    pub(super) fn flag(&mut self, field: &'static str) -> Result<bool, WireError> {
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Field { field, problem: "neither 0 nor 1" }),
        }
    }
    pub(super) fn option(&mut self, field: &'static str) -> Result<Option<u64>, WireError> {
        let present = self.flag(field)?;
        let value = self.u64(field)?;
        Ok(present.then_some(value))
    }
    /// How many elements of at least `least` bytes follow; refused when they cannot fit.
    pub(super) fn count(&mut self, field: &'static str, least: usize) -> Result<usize, WireError> {
        let n = self.u32(field)? as usize;
        if n > self.0.len() / least {
            return Err(WireError::Field { field, problem: "more elements than the frame holds" });
        }
        Ok(n)
    }
    pub(super) fn texts(&mut self, field: &'static str) -> Result<Vec<String>, WireError> {
        (0..self.count(field, 4)?).map(|_| self.text(field)).collect()
    }
    pub(super) fn limits(&mut self) -> Result<Limits, WireError> {
        Ok(Limits {
            cpu_shares: self.u64("cpu_shares")?,
            cpu_quota_us: self.option("cpu_quota")?,
            memory_bytes: self.option("memory")?,
            pids: self.option("pids")?,
            memory_soft_bytes: self.option("soft memory")?,
            disk_bytes: self.option("disk")?,
        })
    }
    pub(super) fn launched(&mut self) -> Result<Launched, WireError> {
        Ok(Launched {
            pid: self.u32("pid")?,
            started_boot_ns: self.u64("started")?,
            sandbox: self.path("sandbox")?,
            address: self.address()?,
            layer: if self.flag("layer")? { Some(self.path("layer")?) } else { None },
        })
    }
    pub(super) fn status(&mut self) -> Result<WaitStatus, WireError> {
        match (self.u8("status kind")?, self.u8("status")?) {
            (0, code) => Ok(WaitStatus::Exited(code)),
            (1, signal) => Ok(WaitStatus::Signaled(signal)),
            (2, _) => Ok(WaitStatus::Unknown),
            _ => Err(WireError::Field { field: "status kind", problem: "unknown" }),
        }
    }
    pub(super) fn ended(&mut self) -> Result<Ended, WireError> {
        let status = self.status()?;
        let limitation = self.limitation()?;
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
    pub(super) fn known(&mut self) -> Result<Recovered, WireError> {
        Ok(Recovered {
            id: self.id()?,
            record: self.bytes("record")?.to_vec(),
            shared: None,
            launched: self.launched()?,
            ended: self.flag("ended")?.then(|| self.ended()).transpose()?,
            remains: false,
            kill_requested: self.flag("kill_requested")?,
        })
    }
    pub(super) fn credentials(&mut self) -> Result<Credentials, WireError> {
        let (uid, gid) = (self.u32("uid")?, self.u32("gid")?);
        let groups = (0..self.count("groups", 4)?).map(|_| self.u32("groups"));
        Ok(Credentials { uid, gid, groups: groups.collect::<Result<_, _>>()? })
    }
    pub(super) fn rlimit(&mut self) -> Result<Rlimit, WireError> {
        Ok(Rlimit {
            resource: self.u32("rlimit")?,
            soft: self.u64("soft limit")?,
            hard: self.u64("hard limit")?,
        })
    }
    pub(super) fn spec(&mut self) -> Result<TaskSpec, WireError> {
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
            volumes: Vec::new(),
            enclosure: None,
            network: None,
            record: self.bytes("record")?.to_vec(),
            shared: None,
        })
    }
    pub(super) fn volumes(&mut self) -> Result<Vec<VolumeLink>, WireError> {
        let count = self.count("volumes", 13)?;
        let volume = |_| {
            Ok(VolumeLink {
                name: self.text("volume")?,
                path: self.path("container path")?,
                target: self.path("volume's directory")?,
                shared: self.flag("shared")?,
            })
        };
        (0..count).map(volume).collect()
    }
    pub(super) fn launch_error(&mut self) -> Result<LaunchError, WireError> {
        Ok(match self.u8("error kind")? {
            0 => LaunchError::AlreadyExists,
            1 => {
                let step = self.text("step")?;
                LaunchError::Spawn { step, errno: self.u32("errno")?.cast_signed() }
            }
            2 => LaunchError::Refused(self.text("reason")?),
            3 => LaunchError::Impossible(self.text("reason")?),
            _ => return Err(WireError::Field { field: "error kind", problem: "unknown" }),
        })
    }
}
