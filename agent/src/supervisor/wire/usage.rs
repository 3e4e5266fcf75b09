//! What containers use, and what of it is too much, as fields of frames.

use super::WireError;
use super::codec::{Reader, Writer};
use crate::supervisor::task::{ContainerId, Limitation, Pressure, Usage, Victim};

/// Bytes that an entry of a list takes at the least; a count is believed only if so many fit.
const LEAST_ENTRY: usize = 100;

impl Writer<'_> {
    pub(super) fn usage(&mut self, v: &Usage) {
        self.duration(v.cpu_time);
        self.u64(v.memory_bytes);
        self.option(v.memory_limit_bytes);
        self.u64(v.pids);
        self.u8(u8::from(v.whole_container));
        self.u64(v.anonymous_bytes);
        self.duration(v.system_time);
        self.option(v.cpu_quota_us);
        self.u64(v.periods);
        self.u64(v.throttled_periods);
        self.duration(v.throttled_time);
        self.u64(v.read_bytes);
        self.u64(v.written_bytes);
        self.u8(u8::from(v.pressure.is_some()));
        if let Some(Pressure { cpu, memory, io }) = v.pressure {
            [cpu, memory, io].into_iter().for_each(|time| self.duration(time));
        }
        self.traffic(v.traffic);
    }

    pub(super) fn limitation(&mut self, v: Option<&Limitation>) {
        match v {
            None => self.u8(0),
            Some(Limitation::Memory { usage_bytes, limit_bytes, victim }) => {
                self.u8(1);
                self.u64(*usage_bytes);
                self.u64(*limit_bytes);
                self.u8(u8::from(victim.is_some()));
                if let Some(Victim { name, pid }) = victim {
                    self.text(name);
                    self.u32(*pid);
                }
            }
            Some(Limitation::Disk { usage_bytes, limit_bytes }) => {
                self.u8(2);
                self.u64(*usage_bytes);
                self.u64(*limit_bytes);
            }
        }
    }

    pub(super) fn usages(&mut self, v: &[(ContainerId, Usage)]) {
        self.u32(u32::try_from(v.len()).unwrap_or(u32::MAX));
        for (id, usage) in v {
            self.id(id);
            self.usage(usage);
        }
    }
}

impl Reader<'_> {
    pub(super) fn usage(&mut self) -> Result<Usage, WireError> {
        let mut usage = Usage {
            cpu_time: self.duration("cpu_time")?,
            memory_bytes: self.u64("memory")?,
            memory_limit_bytes: self.option("memory limit")?,
            pids: self.u64("pids")?,
            whole_container: self.flag("whole_container")?,
            anonymous_bytes: self.u64("anonymous")?,
            system_time: self.duration("system_time")?,
            cpu_quota_us: self.option("cpu quota")?,
            periods: self.u64("periods")?,
            throttled_periods: self.u64("throttled periods")?,
            throttled_time: self.duration("throttled time")?,
            read_bytes: self.u64("read")?,
            written_bytes: self.u64("written")?,
            pressure: None,
            traffic: None,
        };
        if self.flag("pressure")? {
            usage.pressure = Some(Pressure {
                cpu: self.duration("cpu pressure")?,
                memory: self.duration("memory pressure")?,
                io: self.duration("io pressure")?,
            });
        }
        usage.traffic = self.traffic()?;
        Ok(usage)
    }

    pub(super) fn limitation(&mut self) -> Result<Option<Limitation>, WireError> {
        let kind = self.u8("limitation")?;
        if kind == 0 {
            return Ok(None);
        }
        let (usage_bytes, limit_bytes) = (self.u64("usage")?, self.u64("limit")?);
        match kind {
            1 => {
                let victim = match self.flag("victim")? {
                    true => Some(Victim {
                        name: self.text("victim's name")?.into(),
                        pid: self.u32("victim's pid")?,
                    }),
                    false => None,
                };
                Ok(Some(Limitation::Memory { usage_bytes, limit_bytes, victim }))
            }
            2 => Ok(Some(Limitation::Disk { usage_bytes, limit_bytes })),
            _ => Err(WireError::Field { field: "limitation", problem: "unknown" }),
        }
    }

    pub(super) fn usages(&mut self) -> Result<Vec<(ContainerId, Usage)>, WireError> {
        let count = self.count("usages", LEAST_ENTRY)?;
        (0..count).map(|_| Ok((self.id()?, self.usage()?))).collect()
    }
}
