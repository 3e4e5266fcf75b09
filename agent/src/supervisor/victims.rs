//! Whom the kernel killed when a group ran out of memory, as its log tells.
//!
//! By the time the supervisor hears of it the process is gone, so that nothing but the log knows.
//! The log is read only then, and may be out of reach (in a container, without CAP_SYSLOG). The line
//! that names the group as well is written ten times in 5 s at the most; another one, for each kill,
//! has the process alone, which then must be one that was seen in the group. What is not there is not
//! said.

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
    read: VecDeque<Kill>,
}

/// A line about a kill.
#[derive(Debug, PartialEq, Eq)]
struct Kill {
    /// The path of its group in the hierarchy, if the line has it.
    group: Option<String>,
    victim: Victim,
}

impl Victims {
    /// From here on. What the log has of earlier is not about us.
    pub(super) fn watch() -> Self {
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(LOG);
        let at_end = opened.and_then(|mut log| log.seek(SeekFrom::End(0)).map(|_| log));
        Self { log: at_end.ok(), read: VecDeque::new() }
    }

    /// Who was killed first in the group whose path ends with this, and in which these were seen.
    /// Whatever else was killed there is forgotten, because the next container of the group is
    /// another one.
    pub(super) fn of(&mut self, group: &str, members: &[u32]) -> Option<Victim> {
        self.read_on();
        let is_its = |kill: &Kill| match &kill.group {
            Some(path) => path.ends_with(group),
            None => members.contains(&kill.victim.pid),
        };
        let first = self.read.iter().find(|kill| is_its(kill));
        let first = first.map(|kill| kill.victim.clone());
        self.read.retain(|kill| !is_its(kill));
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
                    if let Some(found) = kill_in(&text) {
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

/// The kill in a record such as `6,9,1,-;oom-kill:constraint=...,task_memcg=/a/b,task=tail,pid=7,uid=0`
/// or `3,9,1,-;Memory cgroup out of memory: Killed process 7 (tail) total-vm:...`. The kernel escapes
/// what cannot be printed of a name, but a name may have commas and parentheses.
fn kill_in(record: &str) -> Option<Kill> {
    // A line that came from a process begins otherwise: it has another facility than the kernel's.
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let text = text.lines().next().filter(|_| priority < 8)?;
    if let Some(rest) = text.strip_prefix("Memory cgroup out of memory: Killed process ") {
        let (pid, rest) = rest.split_once(" (")?;
        let (name, _) = rest.rsplit_once(") total-vm:")?;
        let victim = Victim { name: name.into(), pid: pid.parse().ok()? };
        return Some(Kill { group: None, victim });
    }
    let (_, rest) = text.strip_prefix("oom-kill:")?.split_once(",task_memcg=")?;
    let (group, rest) = rest.split_once(",task=")?;
    let (rest, _) = rest.rsplit_once(",uid=")?;
    let (name, pid) = rest.rsplit_once(",pid=")?;
    let victim = Victim { name: name.into(), pid: pid.parse().ok()? };
    Some(Kill { group: Some(group.to_owned()), victim })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed\
                        =0,oom_memcg=/tepui/n/1,task_memcg=/tepui/n/1,task=";

    #[test]
    fn the_kernels_line_names_group_and_victim() {
        let read = |name: &str| kill_in(&format!("6,90,7,-;{LINE}{name},pid=18,uid=0\n K=v\n"));
        let killed = "Memory cgroup out of memory: Killed process 18";
        let alone = |name: &str| kill_in(&format!("3,90,7,-;{killed} ({name}) total-vm:9kB, a\n"));
        for name in ["tail", "a,pid=1,uid=2", "x\\x0ay", "", "a) total-vm:1 (b"] {
            let victim = Victim { name: name.into(), pid: 18 };
            let group = Some("/tepui/n/1".to_owned());
            assert_eq!(read(name), Some(Kill { group, victim: victim.clone() }));
            assert_eq!(alone(name), Some(Kill { group: None, victim }));
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
            assert_eq!(kill_in(record), None, "{record}");
        }
    }

    #[test]
    fn the_first_of_a_group_is_told_once() {
        let kill = |group: Option<&str>, name: &str, pid| Kill {
            group: group.map(|group| format!("/above{group}")),
            victim: Victim { name: name.into(), pid },
        };
        let (one, two) = (Some("/t/1"), Some("/t/2"));
        let read = [
            kill(one, "a", 1),
            kill(two, "b", 2),
            kill(one, "c", 3),
            kill(None, "c", 3),
            kill(None, "d", 4),
            kill(None, "e", 5),
        ];
        let mut victims = Victims { log: None, read: read.into() };
        let mut of = |group: &str, members: &[u32]| victims.of(group, members).map(|one| one.pid);
        assert_eq!(of("/t/1", &[1, 3]), Some(1));
        assert_eq!(of("/t/1", &[1, 3]), None, "also not of the other line");
        assert_eq!(of("/t/3", &[9]), None, "a process that nobody saw in the group");
        assert_eq!(of("/t/3", &[9, 5]), Some(5));
        assert_eq!(of("/t/2", &[]), Some(2));
        assert_eq!(of("/t/4", &[4]), Some(4));
    }
}
