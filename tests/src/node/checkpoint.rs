//! An agent's durable records, and what a bad disk does to them.
//!
//! A record that cannot be read is missed by its key, as the real checkpoint with its checksums
//! misses it. It decides nothing about what a loss means: that is the agent's.

use crate::oracle::TaskKey;
use crate::prng::Prng;
use crate::storage::Facts;
use agent_core::{
    AgentRecord, CheckpointOp, EpochRecord, Recovered, SandboxRecord, TaskRecord, UpdatesRecord,
    VolumesRecord,
};
use proto::{ContainerId, FrameworkId, FrameworkInfo, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Keys of records that cannot be read.
#[derive(Debug, Default)]
struct Damaged {
    agent: bool,
    tasks: BTreeSet<TaskKey>,
    updates: BTreeSet<TaskKey>,
}

/// An agent's durable records, by their keys.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    agent: Option<AgentRecord>,
    frameworks: BTreeMap<FrameworkId, Arc<FrameworkInfo>>,
    tasks: BTreeMap<(FrameworkId, TaskId), TaskRecord>,
    updates: BTreeMap<(FrameworkId, TaskId), UpdatesRecord>,
    sandboxes: BTreeMap<ContainerId, SandboxRecord>,
    volumes: Option<VolumesRecord>,
    epoch: Option<EpochRecord>,
    damaged: Damaged,
}

impl Facts for Checkpoint {
    type Op = CheckpointOp;

    fn apply(&mut self, op: CheckpointOp) {
        match op {
            CheckpointOp::PutAgent(record) => {
                self.damaged.agent = false;
                self.agent = Some(*record);
            }
            CheckpointOp::DeleteAgent => {
                self.damaged.agent = false;
                (self.agent, self.volumes) = (None, None);
            }
            CheckpointOp::PutFramework(info) => {
                if let Some(id) = info.id.clone() {
                    self.frameworks.insert(id, info);
                }
            }
            CheckpointOp::DeleteFramework(id) => {
                self.frameworks.remove(&id);
            }
            CheckpointOp::PutTask(record) => {
                let key = (record.framework_id.clone(), record.task.task_id.clone());
                self.damaged.tasks.remove(&key);
                self.tasks.insert(key, record);
            }
            CheckpointOp::PutUpdates(record) => {
                let key = (record.framework_id.clone(), record.task_id.clone());
                self.damaged.updates.remove(&key);
                self.updates.insert(key, record);
            }
            CheckpointOp::DeleteTask { framework_id, task_id } => {
                let key = (framework_id, task_id);
                self.damaged.tasks.remove(&key);
                self.damaged.updates.remove(&key);
                self.tasks.remove(&key);
                self.updates.remove(&key);
            }
            CheckpointOp::PutSandbox(record) => {
                self.sandboxes.insert(record.container_id.clone(), record);
            }
            CheckpointOp::DeleteSandbox { container_id } => {
                self.sandboxes.remove(&container_id);
            }
            CheckpointOp::PutVolumes(record) => self.volumes = Some(record),
            CheckpointOp::PutEpoch(record) => self.epoch = Some(record),
        }
    }
}

impl Checkpoint {
    pub(crate) fn recovered(&self) -> Recovered {
        let corrupt = self.damaged.tasks.union(&self.damaged.updates);
        Recovered {
            agent: self.agent.clone(),
            agent_corrupt: self.damaged.agent,
            frameworks: self.frameworks.values().cloned().collect(),
            tasks: self.tasks.values().cloned().collect(),
            updates: self.updates.values().cloned().collect(),
            sandboxes: self.sandboxes.values().cloned().collect(),
            volumes: self.volumes.clone(),
            epoch: self.epoch.clone(),
            corrupt: corrupt.cloned().collect(),
            ..Recovered::default()
        }
    }

    /// Some records cannot be read any more; gives the tasks that they are of.
    pub(crate) fn damage(&mut self, random: &mut Prng) -> Vec<TaskKey> {
        let mut of_tasks = Vec::new();
        for _ in 0..random.between(1, 3) {
            match random.index(8) {
                0 => {
                    self.damaged.agent |= self.agent.take().is_some();
                }
                1 => {
                    take_any(random, &mut self.frameworks);
                }
                2 => {
                    take_any(random, &mut self.sandboxes);
                }
                3..=5 => {
                    let key = take_any(random, &mut self.tasks);
                    self.damaged.tasks.extend(key.clone());
                    of_tasks.extend(key);
                }
                _ => {
                    let key = take_any(random, &mut self.updates);
                    self.damaged.updates.extend(key.clone());
                    of_tasks.extend(key);
                }
            }
        }
        of_tasks
    }
}

/// Removes one record by chance; gives its key.
fn take_any<K: Ord + Clone, V>(random: &mut Prng, records: &mut BTreeMap<K, V>) -> Option<K> {
    let key = records.keys().nth(random.index(records.len())).cloned()?;
    records.remove(&key);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_record_is_corrupt_until_it_is_written_again() {
        let key = (FrameworkId::new("m-0000").unwrap(), TaskId::new("t").unwrap());
        let record = UpdatesRecord {
            framework_id: key.0.clone(),
            task_id: key.1.clone(),
            container_id: None,
            state: proto::TaskState::Running,
            pending: Vec::new(),
            seen: None,
            address: None,
            recent: Vec::new(),
        };
        let mut checkpoint = Checkpoint::default();
        checkpoint.apply(CheckpointOp::PutUpdates(record.clone()));
        let mut random = Prng::new(1);
        while checkpoint.damage(&mut random).is_empty() {}
        assert_eq!(checkpoint.recovered().corrupt, [key]);
        assert!(checkpoint.recovered().updates.is_empty());
        checkpoint.apply(CheckpointOp::PutUpdates(record));
        assert!(checkpoint.recovered().corrupt.is_empty());
        assert_eq!(checkpoint.recovered().updates.len(), 1);
    }
}
