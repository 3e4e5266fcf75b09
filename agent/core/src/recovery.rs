//! Taking back what there was: the checkpoint's records and the supervisor's report become tasks.
//!
//! The supervisor is believed where both speak of a container: it has seen the process. A record
//! that is missing costs nothing then, since the supervisor keeps the launch. What neither can
//! tell ends, with the reason: the host was started anew, the supervisor was lost, the launch
//! never happened, the record was corrupt. Every task gets exactly one end.

mod lost;

use crate::Options;
use crate::effect::{CheckpointOp, Effect, Note};
use crate::epoch::Epochs;
use crate::gc::Sandboxes;
use crate::input::{
    AgentRecord, Container, Exited, Launch, Recovered, SandboxRecord, TaskRecord, UpdatesRecord,
};
use crate::link::Link;
use crate::random::Random;
use crate::reconfiguration::same_place;
use crate::state::{Agent, Counters, KillCause, Phase, Task, TaskKey};
use crate::status_updates::Report;
use crate::task::{Tombstones, keep_limits, supervisor_lost, task_record};
use crate::volumes::{Volumes, claim};
use proto::{AgentInfo, ContainerId, Reason, TaskState, Time};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// What the recovery counted, for people.
#[derive(Default)]
struct Tally {
    running: usize,
    ended: usize,
    lost: usize,
}

impl Agent {
    /// An agent with what it knew before. `seed` is drawn by the shell at each start; ids and
    /// jitter come from it. The first effects come with the first step, which must be a `Tick`.
    pub fn new(options: Options, seed: u64, recovered: Recovered, now: Time) -> Self {
        let mut random = Random::new(seed);
        let drawn = random.next();
        let nameless = recovered.agent.is_none() && !recovered.agent_corrupt;
        let mut agent = Self {
            nonce: recovered.nonce.filter(|_| nameless).unwrap_or(drawn),
            free: options.info.resources.clone(),
            cluster_id: options.cluster_id.clone(),
            options,
            random,
            identity: None,
            leaving: false,
            rebooted: false,
            link: Link::new(now),
            epochs: Epochs::default(),
            frameworks: BTreeMap::new(),
            containers: BTreeMap::new(),
            executors: BTreeMap::new(),
            executor_timers: BTreeSet::new(),
            groups: BTreeMap::new(),
            strays: BTreeSet::new(),
            timers: BTreeSet::new(),
            tombstones: Tombstones::default(),
            sandboxes: Sandboxes::default(),
            volumes: Volumes::default(),
            counters: Counters::default(),
            start: Vec::new(),
        };
        let mut effects = Vec::new();
        agent.recover(recovered, now, &mut effects);
        // What the recovery reports is not what this run of the agent did.
        agent.counters = Counters::default();
        agent.start = effects;
        agent
    }

    fn recover(&mut self, mut recovered: Recovered, now: Time, effects: &mut Vec<Effect>) {
        self.epochs = Epochs::recovered(recovered.epoch.take());
        for record in std::mem::take(&mut recovered.sandboxes) {
            // One from the future is of a clock that was set back since: as far as one can tell it
            // is new.
            let ended = record.ended.min(now);
            self.sandboxes.insert(SandboxRecord { ended, ..record });
        }
        if !self.recover_identity(&recovered, effects) {
            self.drop_everything(recovered, effects);
            return;
        }
        let own = recovered.volumes.take().filter(|r| self.agent_id() == Some(&r.agent_id));
        self.volumes = Volumes::recovered(own);
        for info in std::mem::take(&mut recovered.frameworks) {
            if let Some(id) = info.id.clone() {
                let framework = self.frameworks.entry(id).or_default();
                framework.info = Some(info);
                framework.recorded = true;
            }
        }
        let mut tally = Tally::default();
        let mut updates: BTreeMap<TaskKey, UpdatesRecord> = std::mem::take(&mut recovered.updates)
            .into_iter()
            .map(|record| ((record.framework_id.clone(), record.task_id.clone()), record))
            .collect();
        let mut records: BTreeMap<TaskKey, TaskRecord> = std::mem::take(&mut recovered.tasks)
            .into_iter()
            .map(|record| ((record.framework_id.clone(), record.task.task_id.clone()), record))
            .collect();
        let found = std::mem::take(&mut recovered.containers);
        let (executors, containers) = self.split(found, &records);
        for container in executors {
            self.adopt_executor(now, container, &mut records, &mut updates, effects);
        }
        for container in self.undisputed(containers, &records, effects) {
            self.adopt(now, container, &mut records, &mut updates, &mut tally, effects);
        }
        for (key, record) in records {
            let history = updates.remove(&key);
            self.without_container(now, &key, record, history, &recovered, &mut tally, effects);
        }
        for (key, record) in updates {
            self.without_task(now, &key, record, &mut tally, effects);
        }
        for key in &recovered.corrupt {
            if self.task(key).is_none() {
                tally.lost += 1;
                let (reason, message) = (Reason::CheckpointCorrupt, "Its record could not be read");
                self.report_unknown(now, key, TaskState::Gone, reason, message, effects);
            }
        }
        self.recover_groups(now, effects);
        self.prune_frameworks(effects);
        let Tally { running, ended, lost } = tally;
        if self.identity.is_some() {
            effects.push(Effect::Note(Note::Recovered { running, ended, lost }));
        }
    }

    /// Finds out who this agent is. False when what there is belongs to an agent that is no more.
    fn recover_identity(&mut self, recovered: &Recovered, effects: &mut Vec<Effect>) -> bool {
        if let Some(identity) = &recovered.agent {
            // Even when it comes back as another agent, it is one of the same cluster.
            self.cluster_id = self.cluster_id.take().or_else(|| identity.cluster_id.clone());
            self.rebooted = identity.boot_id != self.options.boot_id;
            let same = same_place(&identity.info, &self.options.info).is_ok();
            let kept = recovered.volumes.as_ref();
            let kept =
                kept.is_some_and(|r| r.agent_id == identity.agent_id && !r.volumes.is_empty());
            if self.rebooted && !same && !kept {
                // After a reboot nothing runs under the old id: the agent may come as another,
                // unless there is content under it.
                return false;
            }
            self.identity = Some(identity.clone());
            return true;
        }
        // Every task carries the id of its agent.
        let of_tasks = recovered.tasks.iter().map(|record| &record.task);
        let of_containers =
            recovered.containers.iter().filter_map(|c| Some(&c.launch.as_ref()?.task));
        let Some(agent_id) = of_tasks.chain(of_containers).map(|task| &task.agent_id).next() else {
            return false;
        };
        let Ok(master_id) = proto::MasterId::new("unknown") else { return false };
        let info = AgentInfo { id: Some(agent_id.clone()), ..self.options.info.clone() };
        let record = AgentRecord {
            agent_id: agent_id.clone(),
            master_id,
            cluster_id: self.cluster_id.clone(),
            info,
            boot_id: self.options.boot_id.clone(),
        };
        effects.push(Effect::Persist(CheckpointOp::PutAgent(Box::new(record.clone()))));
        self.identity = Some(record);
        true
    }

    /// The records of an agent that is no more; its containers, if any still run, are killed.
    fn drop_everything(&mut self, recovered: Recovered, effects: &mut Vec<Effect>) {
        let of_tasks = recovered.tasks.iter().map(|r| (&r.framework_id, &r.task.task_id));
        let of_updates = recovered.updates.iter().map(|r| (&r.framework_id, &r.task_id));
        let corrupt = recovered.corrupt.iter().map(|(framework, task)| (framework, task));
        for (framework_id, task_id) in of_tasks.chain(of_updates).chain(corrupt) {
            let (framework_id, task_id) = (framework_id.clone(), task_id.clone());
            effects.push(Effect::Record(CheckpointOp::DeleteTask { framework_id, task_id }));
        }
        for id in recovered.frameworks.iter().filter_map(|info| info.id.clone()) {
            effects.push(Effect::Record(CheckpointOp::DeleteFramework(id)));
        }
        if recovered.agent.is_some() || recovered.agent_corrupt {
            effects.push(Effect::Persist(CheckpointOp::DeleteAgent));
        }
        for container in recovered.containers {
            self.stray(container.container_id, container.exited.is_some(), effects);
        }
    }

    /// A container of which nobody knows what it was for.
    fn stray(&mut self, container_id: ContainerId, ended: bool, effects: &mut Vec<Effect>) {
        if ended {
            effects.push(Effect::Forget { container_id });
        } else {
            effects
                .push(Effect::Kill { container_id: container_id.clone(), grace: Duration::ZERO });
            self.strays.insert(container_id);
        }
    }

    /// One container a task. Where two claim to be the same task, the one without a record is the
    /// newer one: records are written in order, so the other's was acknowledged before.
    fn undisputed(
        &mut self,
        containers: Vec<Container>,
        records: &BTreeMap<TaskKey, TaskRecord>,
        effects: &mut Vec<Effect>,
    ) -> Vec<(TaskKey, Launch, Container)> {
        let mut chosen: BTreeMap<TaskKey, (Launch, Container)> = BTreeMap::new();
        for container in containers {
            // A report without its launch may still be told by the checkpoint.
            let launch =
                container.launch.clone().or_else(|| self.launch_on_record(&container, records));
            let Some(launch) = launch else {
                self.stray(container.container_id, container.exited.is_some(), effects);
                continue;
            };
            let key = (launch.framework_id.clone(), launch.task.task_id.clone());
            let on_record = |id: &ContainerId| {
                records.get(&key).is_some_and(|record| record.container_id == *id)
            };
            let newer = chosen.get(&key).is_none_or(|(_, other)| {
                let other_recorded = on_record(&other.container_id);
                other_recorded || (other.exited.is_some() && !on_record(&container.container_id))
            });
            let loser = if newer {
                chosen.insert(key, (launch, container)).map(|(_, loser)| loser)
            } else {
                Some(container)
            };
            if let Some(loser) = loser {
                self.stray(loser.container_id, loser.exited.is_some(), effects);
            }
        }
        chosen.into_iter().map(|(key, (launch, container))| (key, launch, container)).collect()
    }

    fn launch_on_record(
        &self,
        container: &Container,
        records: &BTreeMap<TaskKey, TaskRecord>,
    ) -> Option<Launch> {
        let record = records.values().find(|r| r.container_id == container.container_id)?;
        let TaskRecord { container_id, framework_id, role, task, gpus } = record.clone();
        let framework = self.frameworks.get(&framework_id)?.info.clone()?;
        Some(Launch { container_id, framework, framework_id, role, task, gpus })
    }

    /// Takes a container back: with the updates on record, then with what the supervisor saw.
    fn adopt(
        &mut self,
        now: Time,
        (key, mut launch, container): (TaskKey, Launch, Container),
        records: &mut BTreeMap<TaskKey, TaskRecord>,
        updates: &mut BTreeMap<TaskKey, UpdatesRecord>,
        tally: &mut Tally,
        effects: &mut Vec<Effect>,
    ) {
        let recorded = records.remove(&key);
        match recorded.filter(|record| record.container_id == container.container_id) {
            Some(record) => keep_limits(&record, &mut launch),
            None => effects.push(Effect::Record(CheckpointOp::PutTask(task_record(&launch)))),
        }
        self.restore_framework(&key, &launch, effects);
        let mut task = Task::launching(&launch);
        let history = updates
            .remove(&key)
            .filter(|history| history.container_id.as_ref() == Some(&container.container_id));
        let (mut seen, mut address) = (None, container.address);
        if let Some(history) = history {
            seen = history.seen;
            address = address.or(history.address);
            task.state = history.state;
            task.stream.pending = history.pending.into();
        }
        if let Some(launched) = &mut task.launched {
            launched.address = address;
        }
        let over = task.state.is_terminal();
        if container.remains {
            task.doom(KillCause::SupervisorLost);
        }
        self.insert_adopted(&key, task, over, &container.sandbox);
        match container.exited {
            None => {
                tally.running += 1;
                let Container { container_id, started, sandbox, remains, kill_requested, .. } =
                    container;
                let at = (sandbox, address);
                self.container_launched(now, &container_id, (started, seen), at, effects);
                if kill_requested {
                    self.expect_death(now, &key);
                }
                self.kill_doomed(now, &key, effects);
                if remains {
                    self.end_remains(now, &key, effects);
                }
            }
            Some(exited) => {
                tally.ended += 1;
                let started = container.started.min(now);
                self.begin_watch(&key, started, seen);
                self.adopt_ended(now, &key, &container.container_id, over, exited, effects);
            }
        }
    }

    /// The framework as the checkpoint has it, or as it was at the launch.
    fn restore_framework(&mut self, key: &TaskKey, launch: &Launch, effects: &mut Vec<Effect>) {
        if self.frameworks.get(&key.0).is_none_or(|framework| framework.info.is_none()) {
            self.remember_framework(&key.0, launch.framework.clone(), effects);
        }
    }

    fn insert_adopted(&mut self, key: &TaskKey, mut task: Task, over: bool, sandbox: &Arc<str>) {
        if over {
            task.phase = Phase::Ended;
        }
        if let Some(launched) = &mut task.launched {
            let claimed = claim(&launched.info.resources);
            launched.holds = !over && self.free.subtract(&claimed).is_ok();
            launched.sandbox = (!over).then(|| sandbox.clone());
            self.containers.insert(launched.container_id.clone(), key.clone());
        }
        if let Some(framework) = self.frameworks.get_mut(&key.0) {
            framework.tasks.insert(key.1.clone(), task);
        }
    }

    fn adopt_ended(
        &mut self,
        now: Time,
        key: &TaskKey,
        container_id: &ContainerId,
        over: bool,
        exited: Exited,
        effects: &mut Vec<Effect>,
    ) {
        if !over {
            self.container_exited(now, container_id, exited, effects);
            return;
        }
        if let Some(path) = exited.sandbox
            && !self.sandboxes.contains(container_id)
        {
            let record = crate::SandboxRecord {
                container_id: container_id.clone(),
                framework_id: key.0.clone(),
                task_id: key.1.clone(),
                path,
                ended: now,
            };
            effects.push(Effect::Record(CheckpointOp::PutSandbox(record.clone())));
            self.sandboxes.insert(record);
        }
        if self.task(key).is_some_and(|task| task.stream.pending.is_empty()) {
            self.complete(key, effects);
        }
    }

    /// A task on record that the supervisor does not know.
    #[expect(clippy::too_many_arguments, reason = "one call site; the parts of one recovery")]
    fn without_container(
        &mut self,
        now: Time,
        key: &TaskKey,
        record: TaskRecord,
        history: Option<UpdatesRecord>,
        recovered: &Recovered,
        tally: &mut Tally,
        effects: &mut Vec<Effect>,
    ) {
        let history = history.filter(|h| h.container_id.as_ref() == Some(&record.container_id));
        let state = history.as_ref().map_or(TaskState::Staging, |history| history.state);
        let framework = self.frameworks.entry(key.0.clone()).or_default();
        let report = if self.rebooted {
            let state = framework.word(TaskState::Gone);
            Report::of_agent(state, Reason::AgentRebooted, "The agent's host was started anew")
        } else if history.is_none() && recovered.corrupt.contains(key) {
            // It may have run, and its end may have been told: what told of it is lost.
            let state = framework.word(TaskState::Gone);
            Report::of_agent(state, Reason::CheckpointCorrupt, "Its record could not be read")
        } else if recovered.supervisor_continued && state == TaskState::Staging {
            let state = framework.word(TaskState::Dropped);
            let message = "The agent was started anew before the task was launched";
            Report::of_agent(state, Reason::AgentRestarted, message)
        } else {
            supervisor_lost()
        };
        let mut task = Task::phantom();
        task.state = state;
        let address = history.as_ref().and_then(|history| history.address);
        task.stream.pending = history.map(|history| history.pending.into()).unwrap_or_default();
        // The container's id stays with the task, so that the update's uuid is the container's.
        task.launched = Some(crate::state::Launched {
            container_id: record.container_id,
            role: record.role,
            info: record.task,
            sandbox: None,
            address,
            gpus: record.gpus,
            holds: false,
        });
        let delivered = task.state.is_terminal() && task.stream.pending.is_empty();
        framework.tasks.insert(key.1.clone(), task);
        if delivered {
            self.complete(key, effects);
            return;
        }
        if !state.is_terminal() {
            tally.lost += 1;
        }
        self.report(now, key, report, effects);
    }

    /// Updates on record without a task: of a refused launch, or of a task whose record is lost.
    fn without_task(
        &mut self,
        now: Time,
        key: &TaskKey,
        record: UpdatesRecord,
        tally: &mut Tally,
        effects: &mut Vec<Effect>,
    ) {
        if self.task(key).is_some() {
            return;
        }
        let mut task = Task::phantom();
        task.state = record.state;
        task.stream.pending = record.pending.into();
        let over = task.state.is_terminal();
        let empty = task.stream.pending.is_empty();
        let framework = self.frameworks.entry(key.0.clone()).or_default();
        let state = framework.word(TaskState::Gone);
        framework.tasks.insert(key.1.clone(), task);
        if over && empty {
            self.complete(key, effects);
        } else if !over {
            tally.lost += 1;
            let (reason, message) = (Reason::CheckpointCorrupt, "Its record could not be read");
            self.report(now, key, Report::of_agent(state, reason, message), effects);
        }
    }

    fn prune_frameworks(&mut self, effects: &mut Vec<Effect>) {
        self.frameworks.retain(|id, framework| {
            let keep = framework.is_busy();
            if !keep && framework.recorded {
                effects.push(Effect::Record(CheckpointOp::DeleteFramework(id.clone())));
            }
            keep
        });
    }
}

#[cfg(test)]
mod tests;
