//! What happened in a run, as facts with their times: everything that is checked and drawn is read
//! from here, and nothing else is.
//!
//! All times are nanoseconds of CLOCK_MONOTONIC, which all processes of one machine share, whatever
//! their network namespace.

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

/// Now.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// How a write ended for the one who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It was acknowledged.
    Done,
    /// Nobody knows: it may take effect at any later time, or never.
    Unknown,
}

/// A kind of fact, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fact {
    /// The run must have these faults in it, by their rows and names.
    Asked {
        faults: Vec<String>,
    },
    /// A fault begins: its row of the fault matrix, what it is, and whom it strikes.
    Fault {
        id: u32,
        row: String,
        name: String,
        on: String,
    },
    /// It is over.
    Healed {
        id: u32,
    },
    /// All masters, agents and frameworks are in order again.
    Whole {
        id: u32,
    },
    /// Something that a fault must lead to did or did not come.
    Expect {
        id: u32,
        what: String,
        ok: bool,
    },
    /// What was seen of a fault, which is neither good nor bad.
    Seen {
        id: u32,
        what: String,
    },
    /// A master began to lead in an epoch under an id, as its own log has it.
    Lead {
        master: usize,
        epoch: u64,
        leader: String,
    },
    /// A master's part changed; `away` when it does not answer.
    Master {
        master: usize,
        role: String,
        term: u64,
    },
    /// The newest epoch an agent knows.
    Epoch {
        agent: usize,
        epoch: u64,
    },
    /// An agent's process was killed, or is back.
    Agent {
        agent: usize,
        up: bool,
    },
    /// A leader's books of one agent, in thousandths of a cpu and of a MB, and the thousandths of a
    /// cpu of all tasks that it lists there. They were asked for at `began`. An agent that is not
    /// active is one of which the leader does not know everything.
    Books {
        agent: String,
        began: u64,
        active: bool,
        tasks: u64,
        total: [u64; 2],
        used: [u64; 2],
        offered: [u64; 2],
    },
    /// A write of a register ended. It began at `began`; values are never written twice.
    Wrote {
        client: usize,
        register: usize,
        value: u64,
        began: u64,
        outcome: Outcome,
    },
    /// A read of a register ended; 0 is what nobody wrote. The `last` ones come after everything.
    Read {
        client: usize,
        register: usize,
        value: u64,
        began: u64,
        last: bool,
    },
    /// A framework is subscribed, under an id of the masters'.
    Subscribed {
        framework: String,
        id: String,
    },
    /// Its connection is gone.
    Disconnected {
        framework: String,
    },
    /// It was offered so much of an agent.
    Offered {
        framework: String,
        offer: String,
        agent: String,
        cpus: u64,
    },
    /// An offer was taken back.
    Rescinded {
        framework: String,
        offer: String,
    },
    /// It gave an offer back.
    Declined {
        framework: String,
        offer: String,
    },
    /// It launches a task. A `spent` offer was used before: nothing may come of it.
    Launched {
        framework: String,
        task: String,
        offer: String,
        cpus: u64,
        spent: bool,
    },
    /// It was told a task's state.
    Told {
        framework: String,
        task: String,
        state: String,
        uuid: Option<String>,
        why: String,
    },
    /// A process of a task, as it wrote down itself: when it began, when it was last alive, and
    /// when it ended, if it came to its end.
    Instance {
        task: String,
        agent: String,
        cpus: u64,
        pid: u32,
        began: u64,
        alive: u64,
        ended: Option<u64>,
    },
    /// A job was handed in, and acknowledged, or has ended with so many successes.
    Submitted {
        job: String,
        units: u64,
    },
    Ended {
        job: String,
        succeeded: u64,
    },
    /// A framework is about to write a key of its state in place of a version. Values are never
    /// written twice.
    Keeping {
        framework: String,
        key: usize,
        value: u64,
    },
    /// That write, which began at `began`, was acknowledged with a version; with none, it was told
    /// that the key has another version: the driver may have made it before, and lost the answer.
    Kept {
        framework: String,
        key: usize,
        value: u64,
        expected: u64,
        began: u64,
        version: Option<u64>,
    },
    /// A read of a key of a framework's state ended; version 0 is what nobody wrote. The `last` ones
    /// come after everything.
    Held {
        framework: String,
        key: usize,
        value: u64,
        version: u64,
        began: u64,
        last: bool,
    },
    /// From here on nothing new is begun.
    Calm,
    /// Here the run ends; tasks that live are ended by it.
    Over,
}

/// A fact and its time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    pub(crate) fact: Fact,
}

/// Takes facts in from many sides; each is in its file when `note` returns, so that a killed
/// process leaves all that it knew.
#[derive(Debug)]
pub(crate) struct Recorder {
    file: Mutex<File>,
}

impl Recorder {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file: Mutex::new(file) })
    }

    pub(crate) fn note(&self, fact: Fact) {
        self.note_at(now(), fact);
    }

    pub(crate) fn note_at(&self, at: u64, fact: Fact) {
        let entry = Entry { at, fact };
        let mut line = serde_json::to_string(&entry).expect("facts are plain data");
        line.push('\n');
        let mut file = self.file.lock().expect("no thread panics with the history in hand");
        file.write_all(line.as_bytes()).expect("the history can be written");
    }
}

/// Reads what recorders wrote, in the order of time. A last line that a killed process left half
/// written is not there.
pub(crate) fn read(paths: &[&Path]) -> anyhow::Result<Vec<Entry>> {
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path)?;
        all.extend(text.lines().filter_map(|line| serde_json::from_str::<Entry>(line).ok()));
    }
    all.sort_by_key(|entry| entry.at);
    Ok(all)
}
