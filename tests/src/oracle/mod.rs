//! The judge: it watches what crosses every boundary and says which invariant of the cluster is
//! broken.
//!
//! It keeps its own books from inputs and effects alone, so that it would notice a core whose
//! books are wrong and consistent. It never changes what it watches, and each of its rules has a
//! test that breaks it.

mod audit;
mod instances;
mod kills;
mod launches;
mod ledger;
mod operations;
mod papers;
mod promises;
mod quota;
mod registry;
mod updates;
mod volumes;
mod wishes;

pub use audit::{Hosts, Living, restless};

use agent_core::Volume;
use driver::core::GroupId;
use instances::Instances;
use kills::Kills;
use launches::Launches;
use ledger::Ledger;
use master_core::{Effect, Input, Master, Registry, RegistryOp};
use operations::Operations;
use papers::Papers;
use promises::{Promises, Submissions};
use proto::agent_link::AgentEvent;
use proto::operator::State;
use proto::scheduler::Call;
use proto::{AgentId, ContainerId, FrameworkId, OperationStatus, Resources, TaskId, TaskStatus};
use registry::Replica;
use std::collections::BTreeMap;
use std::fmt;
use updates::Updates;
use volumes::Volumes;
use wishes::Wishes;

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
    ledger: Ledger,
    launches: Launches,
    updates: Updates,
    instances: Instances,
    kills: Kills,
    replica: Replica,
    promises: Promises,
    submissions: Submissions,
    papers: Papers,
    wishes: Wishes,
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
        self.ledger.begin(registry);
        self.wishes.begin(registry);
        self.volumes.begin(registry);
        self.operations.begin(registry);
        let verdict = self.promises.begin(registry);
        self.judge(verdict);
        let verdict = self.replica.begin(registry);
        self.judge(verdict);
    }

    /// The master is about to take this input.
    pub fn master_will_step(&mut self, input: &Input) {
        self.ledger.will_step(input);
        self.promises.will_step(input);
        self.wishes.will_step(input);
    }

    /// Where the master stands: agents elsewhere are for those who know of regions.
    pub fn stands(&mut self, domain: Option<proto::Domain>) {
        self.wishes.region = domain;
    }

    /// The master took the input and decided this.
    pub fn master_stepped(&mut self, effects: &[Effect], master: &Master) {
        let verdict = self.resources_change(effects, master.registry());
        self.judge(verdict);
        let verdict = self.watch(effects);
        self.judge(verdict);
        let verdict = self.wishes.stepped(effects);
        self.judge(verdict);
        let verdict = self.replica.check(effects, master.registry());
        self.judge(verdict);
        self.promises.stepped(effects, master.registry());
    }

    /// Something leaves the master.
    pub fn master_says(&mut self, effect: &Effect, registry: &Registry) {
        self.promises.leaves(effect, registry);
    }

    /// What agents have, and which operations there are.
    fn resources_change(&mut self, effects: &[Effect], registry: &Registry) -> Verdict {
        for effect in effects {
            let Effect::Persist(op) = effect else { continue };
            self.operations.registry_changes(op, self.ledger.connected())?;
            let agent = match op {
                RegistryOp::AdmitAgent { info, .. } => info.id.as_ref(),
                RegistryOp::SetHoldings { agent_id, .. } => Some(agent_id),
                _ => None,
            };
            let Some(agent) = agent else { continue };
            self.volumes.follow(agent, registry);
            if let Some(known) = registry.agents().get(agent) {
                self.ledger.has(agent, &known.info.resources)?;
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
        self.ledger.stepped(effects)
    }

    /// An agent starts with what its disk gives.
    pub fn agent_started(&mut self, agent: usize, recovered: &agent_core::Recovered) {
        let verdict = self.papers.begin(agent, recovered);
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
        let held = core.tasks().filter_map(|task| task.resources);
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
        let forgotten =
            status.agent_id.as_ref().is_some_and(|agent| self.ledger.is_forgotten(agent));
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

    /// Compares what the master says of the whole with the books.
    pub fn audit(&mut self, state: &State) {
        let verdict = self.ledger.audit(state);
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
