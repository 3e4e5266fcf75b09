//! The judge: it watches what crosses every boundary and says which invariant of the cluster is
//! broken.
//!
//! It keeps its own books from inputs and effects alone, so that it would notice a core whose
//! books are wrong and consistent. It never changes what it watches, and each of its rules has a
//! test that breaks it.

pub(crate) mod agreement;
mod audit;
mod fence;
mod instances;
mod kills;
mod launches;
mod ledger;
mod operations;
mod papers;
mod promises;
mod quota;
mod registry;
mod reigns;
mod updates;
mod volumes;
mod wishes;

pub use audit::{Hosts, Living, restless};

use agent_core::Volume;
use driver::core::GroupId;
use fence::Fence;
use instances::Instances;
use kills::Kills;
use launches::Launches;
use master_core::{Effect, Input, Master, Registry, RegistryOp};
use operations::Operations;
use papers::Papers;
use promises::{Promises, Submissions};
use proto::agent_link::AgentEvent;
use proto::operator::State;
use proto::scheduler::Call;
use proto::{AgentId, ContainerId, FrameworkId, OperationStatus, Resources, TaskId, TaskStatus};
use reigns::Reigns;
use std::collections::BTreeMap;
use std::fmt;
use updates::Updates;
use volumes::Volumes;

/// A framework's task.
pub(crate) type TaskKey = (FrameworkId, TaskId);

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its number, of the cluster (`I`) or of a core.
    pub id: &'static str,
    /// What is wrong, with names and figures.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// What a rule answers.
pub(crate) type Verdict = Result<(), Violation>;

pub(crate) fn broken(id: &'static str, what: impl Into<String>) -> Verdict {
    Err(Violation { id, what: what.into() })
}

/// All books.
#[derive(Debug, Default)]
pub struct Oracle {
    reigns: Reigns,
    launches: Launches,
    updates: Updates,
    instances: Instances,
    kills: Kills,
    promises: Promises,
    submissions: Submissions,
    papers: Papers,
    fence: Fence,
    volumes: Volumes,
    operations: Operations,
    /// Ends of units, by framework, group and unit.
    units: BTreeMap<(usize, GroupId, u32), String>,
    found: Option<Violation>,
}

impl Oracle {
    fn judge(&mut self, verdict: Verdict) {
        if let (Err(violation), None) = (verdict, &self.found) {
            self.found = Some(violation);
        }
    }

    /// The first broken invariant since it was last asked.
    pub fn take(&mut self) -> Option<Violation> {
        self.found.take()
    }

    /// A master begins with this registry.
    pub fn master_started(&mut self, registry: &Registry) {
        let (is_newest, verdict) = self.reigns.begin(registry);
        self.judge(verdict);
        if is_newest {
            self.volumes.begin(registry);
            self.operations.begin(registry);
        }
        let verdict = self.promises.begin(registry, is_newest);
        self.judge(verdict);
    }

    /// The master of this epoch does not believe any more that it leads, or is dead.
    pub fn master_ended(&mut self, epoch: u64) {
        self.reigns.end(epoch);
    }

    /// The epoch of the newest master that began to lead.
    pub fn newest_epoch(&self) -> u64 {
        self.reigns.newest()
    }

    /// The master of this epoch is about to take this input.
    pub fn master_will_step(&mut self, epoch: u64, input: &Input) {
        if let Some(reign) = self.reigns.get_mut(epoch) {
            reign.will_step(input);
        }
        if self.reigns.is_newest(epoch) {
            self.promises.will_step(input);
        }
    }

    /// Where the masters stand: agents elsewhere are for those who know of regions.
    pub fn stands(&mut self, domain: Option<proto::Domain>) {
        self.reigns.region = domain;
    }

    /// A master took the input and decided this.
    pub fn master_stepped(&mut self, effects: &[Effect], master: &Master) {
        for effect in effects {
            if let Effect::ToAgent { event, .. } = effect {
                self.kills.grouped(event);
            }
        }
        let verdict = self.resources_change(effects, master.registry());
        self.judge(verdict);
        let verdict = self.watch(effects);
        self.judge(verdict);
        let epoch = master.registry().epoch();
        if let Some(reign) = self.reigns.get_mut(epoch) {
            let verdict = reign.stepped(effects, master);
            self.judge(verdict);
        }
        if self.reigns.is_newest(epoch) {
            self.promises.stepped(effects, master.registry());
        }
    }

    /// Something leaves the master.
    pub fn master_says(&mut self, effect: &Effect, registry: &Registry) {
        // What one that was replaced says late was agreed upon, and may have been changed since.
        if self.reigns.is_newest(registry.epoch()) {
            self.promises.leaves(effect);
        }
    }

    /// What agents have, and which operations there are.
    fn resources_change(&mut self, effects: &[Effect], registry: &Registry) -> Verdict {
        let epoch = registry.epoch();
        let is_newest = self.reigns.is_newest(epoch);
        let Some(reign) = self.reigns.get_mut(epoch) else { return Ok(()) };
        for effect in effects {
            let Effect::Persist(op) = effect else { continue };
            if is_newest {
                self.operations.registry_changes(op, reign.ledger.connected())?;
            }
            let agent = match op {
                RegistryOp::AdmitAgent { info, .. } => info.id.as_ref(),
                RegistryOp::SetHoldings { agent_id, .. } => Some(agent_id),
                _ => None,
            };
            let Some(agent) = agent else { continue };
            if is_newest {
                self.volumes.follow(agent, registry);
            }
            if let Some(known) = registry.agents().get(agent) {
                reign.ledger.has(agent, &known.info.resources)?;
            }
        }
        Ok(())
    }

    /// A host deletes a volume.
    pub(crate) fn volume_deleted(&mut self, agent: &AgentId, volume: &Volume) {
        let verdict = self.volumes.deleted(agent, volume);
        self.judge(verdict);
    }

    /// A task is started with a volume, in which it finds this.
    pub(crate) fn volume_used(&mut self, agent: &AgentId, volume: &Volume, content: Option<u64>) {
        let verdict = self.volumes.used(agent, volume, content);
        self.judge(verdict);
    }

    /// A framework is told how an operation stands.
    pub(crate) fn operation_heard(&mut self, framework: &FrameworkId, status: &OperationStatus) {
        let verdict = self.operations.heard(framework, status);
        self.judge(verdict);
    }

    fn watch(&mut self, effects: &[Effect]) -> Verdict {
        for effect in effects {
            if let Effect::Persist(op) = effect {
                self.kills.registry_changes(op);
            }
            if let Effect::ToAgent { event: AgentEvent::Run { framework, tasks, .. }, .. } = effect
                && let Some(id) = &framework.id
            {
                for task in tasks {
                    self.launches.accepted((id.clone(), task.task_id.clone()))?;
                }
            }
        }
        Ok(())
    }

    /// An agent starts with what its disk gives.
    pub fn agent_started(&mut self, agent: usize, recovered: &agent_core::Recovered) {
        let verdict = self.papers.begin(agent, recovered);
        self.judge(verdict);
        self.fence.begin(agent, recovered);
    }

    /// A master of this epoch said something to an agent, which does this about it.
    pub fn agent_hears(&mut self, agent: usize, epoch: u64, effects: &[agent_core::Effect]) {
        let verdict = self.fence.heard(agent, epoch, effects);
        self.judge(verdict);
    }

    /// Records of tasks became unreadable.
    pub(crate) fn records_damaged(&mut self, tasks: impl IntoIterator<Item = TaskKey>) {
        self.papers.damage(tasks);
    }

    /// An agent took a step and decided this.
    pub fn agent_stepped(
        &mut self,
        agent: usize,
        core: &agent_core::Agent,
        effects: &[agent_core::Effect],
    ) {
        self.papers.stepped(agent, effects);
        effects.iter().for_each(|effect| self.kills.agent_decided(effect));
        let name = format_args!("a{agent}");
        let held = core.tasks().filter_map(|task| task.resources).chain(core.held_by_groups());
        let verdict = instances::conserved(name, core.total(), core.free(), held);
        self.judge(verdict);
    }

    /// Something leaves an agent.
    pub fn agent_says(&mut self, agent: usize, effect: &agent_core::Effect) {
        let verdict = self.papers.leaves(agent, effect);
        self.judge(verdict);
    }

    /// A scheduler starts from its store.
    pub fn driver_started(&mut self, framework: usize, core: &driver::core::Scheduler) {
        let verdict = self.submissions.begin(framework, core);
        self.judge(verdict);
    }

    /// Something leaves a scheduler.
    pub fn driver_says(&mut self, framework: usize, effect: &driver::core::Effect) {
        self.submissions.leaves(framework, effect);
    }

    /// A process is started on a host with this much to give.
    pub fn process_started(
        &mut self,
        host: usize,
        launch: &agent_core::Launch,
        capacity: &Resources,
    ) {
        let verdict = self.instances.started(host, launch, capacity);
        self.judge(verdict);
    }

    /// A process is no more.
    pub fn process_ended(&mut self, host: usize, container: &ContainerId) {
        self.instances.ended(host, container);
    }

    /// An agent ordered a process to be killed.
    pub fn process_killed(&mut self, launch: &agent_core::Launch, master_leads: bool) {
        let key = (launch.framework_id.clone(), launch.task.task_id.clone());
        let limited = launch.task.max_completion_time.is_some();
        let verdict = self.kills.killed(&key, &launch.task.agent_id, limited, master_leads);
        self.judge(verdict);
    }

    /// A framework makes a call.
    pub fn framework_calls(&mut self, call: &Call) {
        self.kills.framework_calls(call);
        self.operations.framework_calls(call);
    }

    /// A framework gets a status update; `aware` of partitions or not.
    pub fn framework_hears(&mut self, framework: &FrameworkId, aware: bool, status: &TaskStatus) {
        let key = (framework.clone(), status.task_id.clone());
        self.launches.told(&key, status.state);
        let verdict = self.papers.heard(&key, status);
        self.judge(verdict);
        let newest = self.reigns.get(self.reigns.newest());
        let forgotten = status
            .agent_id
            .as_ref()
            .is_some_and(|agent| newest.is_some_and(|reign| reign.ledger.is_forgotten(agent)));
        let damaged = self.papers.is_damaged(&key) || forgotten;
        let verdict = self.updates.heard(key, aware, damaged, status);
        self.judge(verdict);
    }

    /// A driver says that a unit is over.
    pub fn unit_ended(&mut self, framework: usize, group: &GroupId, index: u32, end: &str) {
        let key = (framework, group.clone(), index);
        let known = self.units.entry(key).or_insert_with(|| end.to_owned());
        if known != end {
            let what = format!("unit {index} of {group} ended as {known}, and then as {end}");
            self.judge(broken("I2", what));
        }
    }

    /// Compares what the master of an epoch says of the whole with the books.
    pub fn audit(&mut self, epoch: u64, state: &State) {
        let verdict = self.reigns.get(epoch).map_or(Ok(()), |reign| reign.ledger.audit(state));
        self.judge(verdict);
    }

    /// What is not yet as it must be some time after the last fault.
    ///
    /// # Errors
    /// A sentence on the first thing found.
    pub fn settled(&self, state: &State, hosts: &Hosts<'_>) -> Result<(), String> {
        audit::settled(state, hosts)?;
        for (agent, there) in hosts.volumes {
            self.volumes.settled(agent, there)?;
        }
        let nobody = |id: &FrameworkId| self.kills.is_over(id) || !hosts.schedulers.contains(id);
        self.operations.all_told(nobody)?;
        self.launches.all_told(&hosts.living.iter().map(Living::key).collect(), nobody)
    }
}

#[cfg(test)]
mod tests;
