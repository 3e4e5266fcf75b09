//! Waiting until an agent has done what it was told about a volume.
//!
//! The master takes a change of a volume at once and tells the agent, which may fail. While it has
//! not answered, the operation is listed; what failed is undone before the operation ends.

use super::key;
use crate::client::Client;
use crate::discover;
use crate::failure::{Code, Failure};
use crate::output::milli;
use proto::operator::{AgentView, Call, OperationView, Response};
use proto::{Piece, ResourceChange};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long an agent may take: it makes directories, and what waits before may delete many files.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a change may take to be seen in the master's copy for readers, at the most.
const SEEN: Duration = Duration::from_secs(5);
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(200)];

/// How a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The volume is as it is to be, and nothing is under way.
    Done,
    /// The agent has not answered.
    UnderWay,
    /// The volume is not as it is to be, and nothing is under way: the change is not seen yet, or
    /// it failed.
    AsBefore,
}

/// Waits until the volume is on the agent as `wanted` says, or the agent could not make it so.
pub(super) async fn confirmed(
    master: &Client,
    agent: &AgentView,
    wanted: &Piece,
) -> Result<(), Failure> {
    let (begin, mut was_seen, mut pause) = (Instant::now(), false, PAUSES[0]);
    loop {
        let standing = standing(master, agent, wanted).await?;
        match standing {
            Standing::Done => return Ok(()),
            Standing::UnderWay => was_seen = true,
            Standing::AsBefore if was_seen || begin.elapsed() > SEEN => {
                return Err(failed(agent, wanted));
            }
            Standing::AsBefore => {}
        }
        if begin.elapsed() > LIMIT {
            return Err(late(agent, wanted));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES[1]);
    }
}

async fn standing(master: &Client, agent: &AgentView, wanted: &Piece) -> Result<Standing, Failure> {
    let before = is_there(master, agent, wanted).await?;
    let Response::Operations(operations) = master.operator(&Call::GetOperations).await? else {
        return Err(Failure::other_answer());
    };
    let waits = operations.iter().any(|operation| is_about(operation, agent, wanted));
    Ok(seen(before, waits, is_there(master, agent, wanted).await?))
}

/// How a change stands: whether the volume was as it is to be, whether the agent's answer was
/// waited for then, and whether the volume was so after that.
fn seen(before: bool, waits: bool, after: bool) -> Standing {
    match (before, waits, after) {
        (true, false, true) => Standing::Done,
        (false, false, false) => Standing::AsBefore,
        // Under way, or it came or went while this was asked.
        (_, true, _) | (true, false, false) | (false, false, true) => Standing::UnderWay,
    }
}

/// Whether the volume is as it is to be, by the master's facts.
async fn is_there(master: &Client, agent: &AgentView, wanted: &Piece) -> Result<bool, Failure> {
    let agents = discover::agents(master).await?;
    let here = agents.iter().find(|one| one.info.id == agent.info.id);
    let pieces = here.map(|here| here.info.resources.pieces()).unwrap_or_default();
    let same = |piece: &&Piece| key(piece).is_some() && key(piece) == key(wanted);
    Ok(pieces.iter().find(same).is_some_and(|piece| piece.size() == wanted.size()))
}

/// Whether the agent was asked to change the volume, and has not answered.
fn is_about(operation: &OperationView, agent: &AgentView, wanted: &Piece) -> bool {
    let volumes = match &operation.operation.change {
        ResourceChange::Grow { volume, .. } | ResourceChange::Shrink { volume, .. } => {
            std::slice::from_ref(volume)
        }
        ResourceChange::Create { volumes } | ResourceChange::Destroy { volumes } => {
            volumes.pieces()
        }
        ResourceChange::Reserve { .. } | ResourceChange::Unreserve { .. } => &[],
    };
    operation.agent_id == agent.info.id
        && !operation.latest_status.state.is_terminal()
        && volumes.iter().any(|volume| key(volume) == key(wanted))
}

fn named(wanted: &Piece) -> String {
    wanted.flavor.volume().map(|volume| volume.id.to_string()).unwrap_or_default()
}

fn failed(agent: &AgentView, wanted: &Piece) -> Failure {
    let (id, volume, size) = (discover::id(agent), named(wanted), milli(wanted.size()));
    let message =
        format!("the agent {id} could not make the volume {volume} one of {size} MB: it is undone");
    Failure::new(Code::Failed, message).next("the agent's log says why")
}

fn late(agent: &AgentView, wanted: &Piece) -> Failure {
    let (id, volume, size) = (discover::id(agent), named(wanted), milli(wanted.size()));
    let message = format!(
        "the agent {id} has not confirmed within {} s that the volume {volume} has {size} MB: it \
         goes on, and is undone if the agent cannot do it",
        LIMIT.as_secs()
    );
    Failure::new(Code::Timeout, message).next("tepui agents and tepui volumes list show how it is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_when_nothing_is_waited_for_is_done() {
        assert_eq!(seen(true, false, true), Standing::Done);
        // It was there at once, and then the agent could not do it.
        assert_eq!(seen(true, false, false), Standing::UnderWay);
        assert_eq!(seen(false, false, false), Standing::AsBefore);
        for (before, after) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(seen(before, true, after), Standing::UnderWay);
        }
    }
}
