//! The walls around a task, as fields of a frame.

use std::path::PathBuf;

use super::WireError;
use super::codec::{Reader, Writer};
use crate::supervisor::task::{Enclosure, Mount, MountSource, Root};

impl Writer<'_> {
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
    }
}

impl Reader<'_> {
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
        })
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
