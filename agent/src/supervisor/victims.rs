//! Whom the kernel killed when a group ran out of memory, as its log tells.
//!
//! By the time the supervisor hears of it the process is gone, so that nothing but the log knows.
//! The log is read only then. It may be out of reach (in a container, without CAP_SYSLOG), and the
//! kernel writes no more than ten of these lines in 5 s: what is not there is not said.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use super::task::Victim;

/// Where the kernel's log is read, a record a time.
const LOG: &str = "/dev/kmsg";
/// Longest record; the kernel's are cut at 2 kB.
const RECORD_BYTES: usize = 8 << 10;
/// Most records read for one end: more than the log of a usual kernel holds.
const RECORDS: usize = 1 << 16;
/// Most kills remembered whose end was not asked for yet: more than there are in a flood, because
/// the kernel tells of two a second at the most.
const KEPT: usize = 64;

/// Kills that were read and not asked for, the oldest first.
#[derive(Debug)]
pub(super) struct Victims {
    log: Option<File>,
    /// The group, by its path in the hierarchy, and who was killed in it.
    read: VecDeque<(String, Victim)>,
}

impl Victims {
    /// From here on. What the log has of earlier is not about us.
    pub(super) fn watch() -> Self {
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(LOG);
        let at_end = opened.and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log));
        Self { log: at_end.ok(), read: VecDeque::new() }
    }

    /// Who was killed first in the group whose path ends with this. Whatever else was killed there
    /// is forgotten, because the next container of the group is another one.
    pub(super) fn of(&mut self, group: &str) -> Option<Victim> {
        self.read_on();
        let of_group = |path: &String| path.ends_with(group);
        let first = self.read.iter().find(|(path, _)| of_group(path));
        let first = first.map(|(_, victim)| victim.clone());
        self.read.retain(|(path, _)| !of_group(path));
        first
    }

    fn read_on(&mut self) {
        let Some(log) = &mut self.log else { return };
        let mut record = [0; RECORD_BYTES];
        for _ in 0..RECORDS {
            match log.read(&mut record) {
                Ok(0) => return,
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    if let Some(found) = victim_in(&text) {
                        self.read.push_back(found);
                        if self.read.len() > KEPT {
                            self.read.pop_front();
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Overwritten before it was read, or too long: the next read is of a later one.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EPIPE | libc::EINVAL)) => {}
                Err(_) => return,
            }
        }
    }
}

/// The group and the victim in a record such as
/// `6,9,1,-;oom-kill:constraint=...,task_memcg=/a/b,task=tail,pid=7,uid=0`. The kernel escapes what
/// cannot be printed of a name, but a name may have commas.
fn victim_in(record: &str) -> Option<(String, Victim)> {
    // A line that came from a process begins otherwise: it has another facility than the kernel's.
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let text = text.lines().next()?;
    let rest = text.strip_prefix("oom-kill:").filter(|_| priority < 8)?;
    let (_, rest) = rest.split_once(",task_memcg=")?;
    let (group, rest) = rest.split_once(",task=")?;
    let (rest, _) = rest.rsplit_once(",uid=")?;
    let (name, pid) = rest.rsplit_once(",pid=")?;
    Some((group.to_owned(), Victim { name: name.into(), pid: pid.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed\
                        =0,oom_memcg=/tepui/n/1,task_memcg=/tepui/n/1,task=";

    #[test]
    fn the_kernels_line_names_group_and_victim() {
        let read = |name: &str| victim_in(&format!("6,90,7,-;{LINE}{name},pid=18,uid=0\n K=v\n"));
        for name in ["tail", "a,pid=1,uid=2", "x\\x0ay", ""] {
            let victim = Victim { name: name.into(), pid: 18 };
            assert_eq!(read(name), Some(("/tepui/n/1".to_owned(), victim)));
        }
    }

    #[test]
    fn other_lines_name_nobody() {
        // The third is what a process can write there.
        for record in [
            "",
            "6,90,7,-;oom-kill:constraint=CONSTRAINT_NONE",
            &format!("14,90,7,-;{LINE}tail,pid=18,uid=0"),
            &format!("6,90,7,-;{LINE}tail,pid=none,uid=0"),
            &format!("6,90,7,-;said {LINE}tail,pid=18,uid=0"),
        ] {
            assert_eq!(victim_in(record), None, "{record}");
        }
    }

    #[test]
    fn the_first_of_a_group_is_told_once() {
        let kill = |group: &str, name: &str, pid| {
            (format!("/above{group}"), Victim { name: name.into(), pid })
        };
        let read = [kill("/t/1", "a", 1), kill("/t/2", "b", 2), kill("/t/1", "c", 3)];
        let mut victims = Victims { log: None, read: read.into() };
        assert_eq!(victims.of("/t/1").map(|victim| victim.pid), Some(1));
        assert_eq!(victims.of("/t/1"), None);
        assert_eq!(victims.of("/t/2").map(|victim| victim.pid), Some(2));
    }
}
