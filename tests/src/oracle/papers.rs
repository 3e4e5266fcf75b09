//! What left an agent, and what its checkpoint says at its next start.
//!
//! I1: an update leaves only once it is on record. (A container may be started before: its
//! supervisor keeps the launch.) I18: an agent
//! starts from whatever a crash or a bad disk left, and a record that cannot be read costs that
//! record's task and nothing else.

use super::{TaskKey, Verdict, broken};
use agent_core::{CheckpointOp, Effect, Recovered};
use proto::agent_link::AgentCall;
use proto::{AgentId, Reason, StatusUuid, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};

/// One agent's checkpoint as far as promises rest on it.
#[derive(Debug, Default)]
struct Paper {
    agent: Option<AgentId>,
    updates: BTreeMap<TaskKey, BTreeSet<StatusUuid>>,
}

/// What the world was told.
#[derive(Debug, Default)]
struct Told {
    agent: Option<AgentId>,
    updates: BTreeSet<(TaskKey, StatusUuid)>,
}

/// One agent.
#[derive(Debug, Default)]
struct Book {
    /// Everything that was written, durable or not.
    written: Paper,
    told: Told,
    /// Updates that were on paper at any time.
    once: BTreeSet<(TaskKey, StatusUuid)>,
}

/// All agents.
#[derive(Debug, Default)]
pub(super) struct Papers {
    books: BTreeMap<usize, Book>,
    damaged: BTreeSet<TaskKey>,
}

impl Paper {
    fn of(recovered: &Recovered) -> Self {
        let updates = recovered.updates.iter().map(|record| {
            let key = (record.framework_id.clone(), record.task_id.clone());
            (key, record.pending.iter().filter_map(|status| status.uuid).collect())
        });
        Self {
            agent: recovered.agent.as_ref().map(|record| record.agent_id.clone()),
            updates: updates.collect(),
        }
    }

    fn has(&self, (key, uuid): &(TaskKey, StatusUuid)) -> bool {
        self.updates.get(key).is_some_and(|pending| pending.contains(uuid))
    }
}

impl Book {
    fn write(&mut self, op: &CheckpointOp) {
        let written = &mut self.written;
        match op {
            CheckpointOp::PutAgent(record) => written.agent = Some(record.agent_id.clone()),
            CheckpointOp::DeleteAgent => written.agent = None,
            CheckpointOp::PutUpdates(record) => {
                let key = (record.framework_id.clone(), record.task_id.clone());
                let uuids: BTreeSet<_> = record.pending.iter().filter_map(|s| s.uuid).collect();
                self.once.extend(uuids.iter().map(|uuid| (key.clone(), *uuid)));
                written.updates.insert(key, uuids);
            }
            CheckpointOp::DeleteTask { framework_id, task_id } => {
                let key = (framework_id.clone(), task_id.clone());
                written.updates.remove(&key);
            }
            CheckpointOp::PutTask(_)
            | CheckpointOp::PutFramework(_)
            | CheckpointOp::DeleteFramework(_)
            | CheckpointOp::PutSandbox(_)
            | CheckpointOp::DeleteSandbox { .. }
            | CheckpointOp::PutVolumes(_)
            | CheckpointOp::PutEpoch(_) => {}
        }
        // What is written over may be durable or not: nothing rests on it any more.
        let (written, told) = (&self.written, &mut self.told);
        told.agent.take_if(|id| written.agent.as_ref() != Some(id));
        told.updates.retain(|update| written.has(update));
    }

    fn leaves(&mut self, effect: &Effect) -> Verdict {
        match effect {
            Effect::ToMaster { call: AgentCall::Reregister { info, .. }, .. } => {
                self.told.agent =
                    info.id.clone().filter(|id| self.written.agent.as_ref() == Some(id));
            }
            Effect::ToMaster { call: AgentCall::Update { framework_id, status, .. }, .. } => {
                let Some(uuid) = status.uuid else { return Ok(()) };
                let update = ((framework_id.clone(), status.task_id.clone()), uuid);
                if self.written.has(&update) {
                    self.told.updates.insert(update);
                } else if !self.once.contains(&update) {
                    let what = format!("an update of {} leaves that was never written", update.0.1);
                    return broken("I1", what);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, recovered: &Recovered) -> Verdict {
        let found = Paper::of(recovered);
        let corrupt = |key: &TaskKey| recovered.corrupt.contains(key);
        let told = &self.told;
        if told.agent.is_some() && told.agent != found.agent && !recovered.agent_corrupt {
            return broken(
                "I1",
                format!("{:?} was told, {:?} is on record", told.agent, found.agent),
            );
        }
        let update = told.updates.iter().find(|update| !found.has(update) && !corrupt(&update.0));
        if let Some(((_, task), _)) = update {
            return broken("I1", format!("an update of {task} was sent, and is not on record"));
        }
        self.told.updates.retain(|update| found.has(update));
        self.told.agent = None;
        let known = found.updates.iter();
        let known = known.flat_map(|(key, uuids)| uuids.iter().map(|uuid| (key.clone(), *uuid)));
        self.once.extend(known);
        self.written = found;
        Ok(())
    }
}

impl Papers {
    /// An agent starts with what its disk gives.
    pub(super) fn begin(&mut self, agent: usize, recovered: &Recovered) -> Verdict {
        self.books.entry(agent).or_default().begin(recovered)
    }

    /// It decided this.
    pub(super) fn stepped(&mut self, agent: usize, effects: &[Effect]) {
        let book = self.books.entry(agent).or_default();
        for effect in effects {
            if let Effect::Persist(op) | Effect::Record(op) = effect {
                book.write(op);
            }
        }
    }

    /// Something leaves it.
    pub(super) fn leaves(&mut self, agent: usize, effect: &Effect) -> Verdict {
        self.books.entry(agent).or_default().leaves(effect)
    }

    /// Records of these tasks cannot be read any more.
    pub(super) fn damage(&mut self, tasks: impl IntoIterator<Item = TaskKey>) {
        self.damaged.extend(tasks);
    }

    /// Whether a record of this task could not be read at some time.
    pub(super) fn is_damaged(&self, key: &TaskKey) -> bool {
        self.damaged.contains(key)
    }

    /// A framework is told that a record was damaged: one of this task was.
    pub(super) fn heard(&self, key: &TaskKey, status: &TaskStatus) -> Verdict {
        if status.reason == Some(Reason::CheckpointCorrupt) && !self.damaged.contains(key) {
            return broken("I18", format!("no record of {} was damaged", key.1));
        }
        Ok(())
    }
}
