//! What the agent hears of a container: as it was found, and how it ended.

use super::life::Life;
use super::making;
use super::outcome::{Seen, seen};
use super::record::{End, Phase, Record, Records, State};
use crate::containerizer::{Ended, Limitation, Recovered, SandboxFate, WaitStatus};
use std::time::Duration;

/// How often, and after which pauses, an engine is asked once more why a container was killed: it
/// hears of the end and of its reason by two ways, and the latter may be slower.
const DOUBTS: (u32, Duration) = (10, Duration::from_millis(100));

impl Life {
    /// What the engine says of the end once it may have heard of the reason, where there may be one
    /// that it did not know at first.
    pub(crate) async fn last_word(&self, mut end: End) -> End {
        for _ in 0..DOUBTS.0 {
            let killed = end.code == 128 + 9 && self.state.kill_by_unix_ns.is_none();
            if !killed || self.state.memory.is_none() || end.out_of_memory.is_some() {
                break;
            }
            // waits: the engine tells nobody when it has heard of the reason
            tokio::time::sleep(DOUBTS.1).await;
            let inspected = self.common.engine.inspect(&self.name).await;
            if let Ok(Seen::Ended(again)) = inspected.map(|i| seen(&i, self.state.memory)) {
                end = again;
            }
        }
        end
    }
}

/// A container as it is told to an agent that takes it back.
pub(crate) fn recovered(record: Record, records: &Records) -> Recovered {
    let Record { id, launch, shared, state } = record;
    let noted = records.dir(&id).join("output");
    let figures = super::output::noted(&noted);
    let ended = (state.phase == Phase::Ended).then(|| ended(&state, figures));
    let launched = making::launched(&state);
    let kill_requested = state.kill_by_unix_ns.is_some();
    let remains = false;
    Recovered { id, record: launch, shared, launched, ended, kill_requested, remains }
}

pub(crate) fn ended(
    state: &State,
    (stdout_bytes, stderr_bytes, lost_bytes): (u64, u64, u64),
) -> Ended {
    let end = state.end.as_ref();
    Ended {
        status: end.map_or(WaitStatus::Unknown, |end| status(end.code)),
        limitation: limitation(state),
        // What exceeds a limit is killed by us, and not because somebody wanted it.
        kill_requested: state.kill_by_unix_ns.is_some() && state.disk_exceeded.is_none(),
        pids_refused: 0,
        // The engine does not keep what a container used.
        cpu_time: Duration::ZERO,
        max_rss_bytes: 0,
        lasted: end.map_or(Duration::ZERO, |end| end.lasted),
        ended_unix_ns: end.map_or(0, |end| end.ended_unix_ns),
        stdout_bytes,
        stderr_bytes,
        lost_bytes,
        sandbox: SandboxFate::Kept(state.sandbox.clone()),
    }
}

fn limitation(state: &State) -> Option<Limitation> {
    if let Some((usage_bytes, limit_bytes)) = state.disk_exceeded {
        return Some(Limitation::Disk { usage_bytes, limit_bytes });
    }
    let limit_bytes = state.end.as_ref()?.out_of_memory?;
    // Who met the limit had used all of it. Whom the kernel killed the engine does not tell.
    Some(Limitation::Memory { usage_bytes: limit_bytes, limit_bytes, victim: None })
}

/// The engine's code as a shell would read it: it tells signals by numbers from 129 on.
fn status(code: u8) -> WaitStatus {
    match code {
        129..=192 => WaitStatus::Signaled(code - 128),
        code => WaitStatus::Exited(code),
    }
}
