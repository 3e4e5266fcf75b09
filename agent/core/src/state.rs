//! What an agent knows: its tasks by framework, its place in the cluster, its sandboxes.
//!
//! Data and the smallest lookups only; each verb has a file of its own.

use crate::epoch::Epochs;
use crate::executor::{Executor, custom};
use crate::gc::Sandboxes;
use crate::group::{Group, GroupKey};
use crate::input::{AgentRecord, Launch};
use crate::link::Link;
use crate::random::Random;
use crate::status_updates::Stream;
use crate::task::{Subject, Tombstones, Watch};
use crate::volumes::Volumes;
use crate::{Effect, Options};
use proto::{
    Capability, ClusterId, ContainerId, ExecutorId, FrameworkId, FrameworkInfo, Resources, Role,
    TaskId, TaskInfo, TaskState, Time,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// A framework's task.
pub(crate) type TaskKey = (FrameworkId, TaskId);

/// The decisions of one agent. Made by `Agent::new`, driven by `Agent::step`.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(crate) options: Options,
    pub(crate) random: Random,
    /// Drawn once: a registration that is repeated is recognized by it.
    pub(crate) nonce: u64,
    pub(crate) identity: Option<AgentRecord>,
    /// The cluster that all of this belongs to, once that is known; it never changes then.
    pub(crate) cluster_id: Option<ClusterId>,
    /// The master said that this agent is gone: its containers end, then it registers anew.
    pub(crate) leaving: bool,
    /// The host was started anew since the checkpoint was written.
    pub(crate) rebooted: bool,
    pub(crate) link: Link,
    pub(crate) epochs: Epochs,
    pub(crate) frameworks: BTreeMap<FrameworkId, Framework>,
    /// The containers that the supervisor knows or is about to know, with their tasks.
    pub(crate) containers: BTreeMap<ContainerId, TaskKey>,
    /// Custom executors, by their containers.
    pub(crate) executors: BTreeMap<ContainerId, Executor>,
    /// Until when they are waited for.
    pub(crate) executor_timers: BTreeSet<(Time, ContainerId)>,
    /// Groups of tasks, by their executors.
    pub(crate) groups: BTreeMap<GroupKey, Group>,
    /// Containers whose launch could not be read: killed, and forgotten when they have ended.
    pub(crate) strays: BTreeSet<ContainerId>,
    pub(crate) timers: BTreeSet<(Time, Timer, FrameworkId, TaskId)>,
    /// What no living task holds.
    pub(crate) free: Resources,
    pub(crate) tombstones: Tombstones,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) volumes: Volumes,
    pub(crate) counters: Counters,
    /// Effects of the recovery, handed out by the first step.
    pub(crate) start: Vec<Effect>,
}

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// To send its oldest update again.
    Retry,
    /// To be killed because it runs for too long.
    Completion,
    /// To be looked at, or for the end of a look.
    Check(Subject),
    /// To have ended, because it was killed.
    Death,
}

/// A framework that has, or had, tasks here.
#[derive(Clone, Debug, Default)]
pub(crate) struct Framework {
    /// Unknown when the master asked after tasks of a framework that was never here.
    pub(crate) info: Option<Arc<FrameworkInfo>>,
    /// Whether `info` is in the checkpoint as it is here.
    pub(crate) recorded: bool,
    /// The master removed it: its tasks end silently.
    pub(crate) shutdown: bool,
    pub(crate) tasks: BTreeMap<TaskId, Task>,
    /// The containers of its executors that have not ended.
    pub(crate) executors: BTreeMap<ExecutorId, ContainerId>,
}

impl Framework {
    /// Whether it has tasks or executors here.
    pub(crate) fn is_busy(&self) -> bool {
        !self.tasks.is_empty() || !self.executors.is_empty()
    }

    pub(crate) fn understands(&self, capability: Capability) -> bool {
        self.info.as_ref().is_some_and(|info| info.capabilities.has(capability))
    }

    /// `state`, or `TASK_LOST` when the framework knows no other word for it. Of a framework that
    /// was never here nothing is known: the master, which knows it, says LOST in its place.
    pub(crate) fn word(&self, state: TaskState) -> TaskState {
        let understood = self.info.is_none() || self.understands(Capability::PartitionAware);
        if understood { state } else { TaskState::Lost }
    }
}

/// A task.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// What was launched; absent for a task of which the agent has nothing but an update to
    /// deliver (a launch that was refused, a task that the master believed in).
    pub(crate) launched: Option<Launched>,
    pub(crate) phase: Phase,
    /// The newest state that an update was made for; STAGING before the first.
    pub(crate) state: TaskState,
    pub(crate) kill: Option<KillCause>,
    /// When it is to be killed for running too long.
    pub(crate) completion: Option<Time>,
    /// What is seen of it; absent for a task without checks, and before it runs.
    pub(crate) watch: Option<Box<Watch>>,
    /// When it is to have ended, because it was killed.
    pub(crate) death: Option<Time>,
    pub(crate) stream: Stream,
}

/// The launched part of a task.
#[derive(Clone, Debug)]
pub(crate) struct Launched {
    pub(crate) container_id: ContainerId,
    pub(crate) role: Role,
    pub(crate) info: Arc<TaskInfo>,
    pub(crate) sandbox: Option<Arc<str>>,
    /// Its own; absent in the host's network, and before it runs.
    pub(crate) address: Option<Ipv4Addr>,
    pub(crate) gpus: crate::Gpus,
    /// Whether its resources are taken from `Agent::free`. False once it ended, and for a task
    /// that was taken back by an agent which has less to give than before.
    pub(crate) holds: bool,
}

/// Where a task stands on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The supervisor was asked to start it.
    Launching,
    /// Its process was executed.
    Running,
    /// It is over; what remains are updates to deliver.
    Ended,
}

/// Why the agent ordered a kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillCause {
    /// Its framework asked for it.
    Requested,
    /// The agent is drained.
    Drained,
    /// It ran for longer than it may.
    CompletionTime,
    /// Its health check failed too often in a row.
    Unhealthy,
    /// The supervisor that watched it was lost, and not all of it has ended.
    SupervisorLost,
    /// Another task of its group did not finish.
    Group,
    /// Its framework, or this agent, is no longer part of the cluster: nobody wants its updates.
    Abandoned,
}

/// What the agent has done since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks handed to the supervisor.
    pub launched: u64,
    /// Launches refused.
    pub refused: u64,
    /// Tasks that ended with TASK_FINISHED.
    pub finished: u64,
    /// Tasks that ended with TASK_FAILED.
    pub failed: u64,
    /// Tasks that ended with TASK_KILLED.
    pub killed: u64,
    /// Tasks that ended in another state.
    pub lost: u64,
    /// Updates sent for the first time.
    pub updates_sent: u64,
    /// Updates sent again.
    pub updates_resent: u64,
    /// Updates acknowledged.
    pub updates_acknowledged: u64,
    /// Acknowledgements of updates that were not waiting for one.
    pub acknowledgements_ignored: u64,
    /// Times that the stream to the master was lost.
    pub links_lost: u64,
    /// Times that a master was left because it leads in an older epoch than another.
    pub old_masters: u64,
}

impl Agent {
    pub(crate) fn task(&self, key: &TaskKey) -> Option<&Task> {
        self.frameworks.get(&key.0)?.tasks.get(&key.1)
    }

    pub(crate) fn task_mut(&mut self, key: &TaskKey) -> Option<&mut Task> {
        self.frameworks.get_mut(&key.0)?.tasks.get_mut(&key.1)
    }

    /// The key and task of a container, when it is one of ours.
    pub(crate) fn key_of(&self, container_id: &ContainerId) -> Option<TaskKey> {
        self.containers.get(container_id).cloned()
    }

    pub(crate) fn kill_grace(&self, task: &TaskInfo) -> Duration {
        task.kill_grace.unwrap_or(self.options.kill_grace)
    }
}

impl Task {
    /// A task of which nothing is left but its updates.
    pub(crate) fn phantom() -> Self {
        Self {
            launched: None,
            phase: Phase::Ended,
            state: TaskState::Staging,
            kill: None,
            completion: None,
            watch: None,
            death: None,
            stream: Stream::default(),
        }
    }

    pub(crate) fn launching(launch: &Launch) -> Self {
        Self {
            launched: Some(Launched {
                container_id: launch.container_id.clone(),
                role: launch.role.clone(),
                info: launch.task.clone(),
                sandbox: None,
                address: None,
                gpus: launch.gpus.clone(),
                holds: false,
            }),
            phase: Phase::Launching,
            ..Self::phantom()
        }
    }

    pub(crate) fn container_id(&self) -> Option<&ContainerId> {
        self.launched.as_ref().map(|launched| &launched.container_id)
    }

    /// Its custom executor, or that of its group.
    pub(crate) fn executor_id(&self) -> Option<&ExecutorId> {
        self.launched.as_ref()?.info.executor.as_ref().map(|info| &info.executor_id)
    }

    /// It is to end. The first cause stays, except that nothing is known of an end that no
    /// supervisor sees, and that a task which is to end silently stays silent.
    pub(crate) fn doom(&mut self, cause: KillCause) {
        let stronger = match cause {
            KillCause::Abandoned => true,
            KillCause::SupervisorLost => !self.is_abandoned(),
            KillCause::Requested
            | KillCause::Drained
            | KillCause::CompletionTime
            | KillCause::Unhealthy
            | KillCause::Group => self.kill.is_none(),
        };
        if stronger {
            self.kill = Some(cause);
        }
    }

    /// Whether a custom executor runs it.
    pub(crate) fn is_employed(&self) -> bool {
        self.launched.as_ref().is_some_and(|launched| custom(&launched.info).is_some())
    }

    /// Whether nobody is to hear of it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.kill == Some(KillCause::Abandoned)
    }
}
