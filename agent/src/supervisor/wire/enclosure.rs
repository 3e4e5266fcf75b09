//! The walls around a task, as fields of a frame.

use std::path::PathBuf;
use std::time::Duration;

use super::WireError;
use super::codec::{Reader, Writer};
use crate::supervisor::task::{Device, Enclosure, Mount, MountSource, Root, Stdio, TaskSpec};

impl Writer<'_> {
    /// A check of a task.
    pub(super) fn look(&mut self, number: u64, timeout: Duration, spec: &TaskSpec) {
        self.u64(number);
        self.duration(timeout);
        self.walled_spec(spec);
    }

    /// A session in its container.
    pub(super) fn enter(&mut self, number: u64, stdio: &Stdio, spec: &TaskSpec) {
        self.u64(number);
        self.stdio(stdio);
        self.walled_spec(spec);
    }

    /// A signal to a session.
    pub(super) fn kill(&mut self, number: u64, signal: i32) {
        self.u64(number);
        self.u32(signal.cast_unsigned());
    }

    /// A program beside a task, with the walls of that.
    fn walled_spec(&mut self, spec: &TaskSpec) {
        self.u8(u8::from(spec.enclosure.is_some()));
        if let Some(enclosure) = &spec.enclosure {
            self.enclosure(enclosure);
        }
        self.spec(spec);
    }

    fn stdio(&mut self, stdio: &Stdio) {
        match stdio {
            Stdio::Pipes(paths) => {
                self.u8(0);
                paths.iter().for_each(|path| self.path(path));
            }
            Stdio::Terminal(path) => {
                self.u8(1);
                self.path(path);
            }
        }
    }

    pub(super) fn enclosure(&mut self, v: &Enclosure) {
        match &v.root {
            Root::Host => self.u8(0),
            Root::Image(path) => {
                self.u8(1);
                self.path(path);
            }
        }
        self.u8(u8::from(v.read_only));
        self.text(&v.hostname);
        self.path(&v.directory);
        self.u32(u32::try_from(v.mounts.len()).unwrap_or(u32::MAX));
        for mount in &v.mounts {
            self.path(&mount.target);
            self.u8(u8::from(mount.read_only));
            match &mount.source {
                MountSource::Host(path) => {
                    self.u8(0);
                    self.path(path);
                }
                MountSource::Sandbox(path) => {
                    self.u8(1);
                    self.path(path);
                }
                MountSource::Tmpfs(bytes) => {
                    self.u8(2);
                    self.u64(*bytes);
                }
            }
        }
        self.u64(v.capabilities);
        self.u64(v.shm_bytes);
        self.u8(u8::from(v.root_allowed));
        self.u8(u8::from(v.pod.is_some()));
        v.pod.iter().for_each(|name| self.text(name));
        self.u32(u32::try_from(v.devices.len()).unwrap_or(u32::MAX));
        for Device { name, major, minor } in &v.devices {
            self.text(name);
            self.u32(*major);
            self.u32(*minor);
        }
    }
}

impl Reader<'_> {
    pub(super) fn walled_spec(&mut self) -> Result<TaskSpec, WireError> {
        let enclosure = self.flag("enclosure")?.then(|| self.enclosure()).transpose()?;
        let enclosure = enclosure.map(Box::new);
        Ok(TaskSpec { enclosure, ..self.spec()? })
    }

    pub(super) fn stdio(&mut self) -> Result<Stdio, WireError> {
        if self.flag("terminal")? {
            return Ok(Stdio::Terminal(self.absolute("terminal")?));
        }
        let (stdin, stdout) = (self.absolute("stdin")?, self.absolute("stdout")?);
        Ok(Stdio::Pipes([stdin, stdout, self.absolute("stderr")?]))
    }

    pub(super) fn enclosure(&mut self) -> Result<Enclosure, WireError> {
        let root = if self.flag("root")? { Root::Image(self.path("image")?) } else { Root::Host };
        Ok(Enclosure {
            root,
            read_only: self.flag("read_only")?,
            hostname: self.text("hostname")?,
            directory: self.absolute("directory")?,
            mounts: (0..self.count("mounts", 10)?)
                .map(|_| self.mount())
                .collect::<Result<_, _>>()?,
            capabilities: self.u64("capabilities")?,
            shm_bytes: self.u64("shm_bytes")?,
            root_allowed: self.flag("root_allowed")?,
            pod: self.flag("in a pod")?.then(|| self.text("pod")).transpose()?,
            devices: (0..self.count("devices", 12)?)
                .map(|_| self.device())
                .collect::<Result<_, _>>()?,
        })
    }

    fn device(&mut self) -> Result<Device, WireError> {
        let name = self.text("device")?;
        if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
            return Err(WireError::Field { field: "device", problem: "not a file name" });
        }
        Ok(Device { name, major: self.u32("major")?, minor: self.u32("minor")? })
    }

    fn mount(&mut self) -> Result<Mount, WireError> {
        Ok(Mount {
            target: self.absolute("target")?,
            read_only: self.flag("read_only")?,
            source: match self.u8("source kind")? {
                0 => MountSource::Host(self.path("source")?),
                1 => MountSource::Sandbox(self.path("source")?),
                2 => MountSource::Tmpfs(self.u64("size")?),
                _ => return Err(WireError::Field { field: "source kind", problem: "unknown" }),
            },
        })
    }

    fn absolute(&mut self, field: &'static str) -> Result<PathBuf, WireError> {
        let path = self.path(field)?;
        if path.is_absolute() {
            Ok(path)
        } else {
            Err(WireError::Field { field, problem: "not an absolute path" })
        }
    }
}
