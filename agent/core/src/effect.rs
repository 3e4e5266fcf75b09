//! What an agent decides: orders to its shell, performed in order.
//!
//! `Persist` is a barrier: nothing after it is performed before it is durable. `Record` is written
//! in the same order but holds nothing up; a crash may lose it, and recovery does without. One
//! effect waits for nothing: `Forget` may be performed at once, since what the checkpoint needs of
//! the container was durable before its end was told.

use crate::input::{
    AgentRecord, EpochRecord, Launch, SandboxRecord, TaskRecord, UpdatesRecord, VolumesRecord,
};
use crate::{Subject, Volume};
use proto::agent_link::AgentCall;
use proto::executor::Event;
use proto::{
    AgentId, CheckKind, ClusterId, ContainerId, ExecutorId, FrameworkId, FrameworkInfo, Resources,
    TaskId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// One order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make this durable before anything that follows.
    Persist(CheckpointOp),
    /// Write this, in order with the other records; nothing waits for it.
    Record(CheckpointOp),
    /// Start a container. Answered by `Launched` or `LaunchFailed`, then `Exited`. A task that
    /// names a custom executor stands for that executor: what is started is the executor itself.
    Launch(Box<Launch>),
    /// Look at a task. Answered by `Looked`, unless that takes longer than the time-out, after
    /// which nobody waits for it: what was begun is ended then.
    Look(Box<Look>),
    /// TERM, and after `grace` KILL of the whole container, whether the agent is there or not.
    Kill {
        /// Which. An unknown one is ignored.
        container_id: ContainerId,
        /// Between TERM and KILL.
        grace: Duration,
    },
    /// Give a running container other limits.
    Resize {
        /// Which. An unknown one is ignored.
        container_id: ContainerId,
        /// What it may use.
        resources: Resources,
        /// Limits above that, by resource name, in thousandths; `None` means unlimited.
        limits: BTreeMap<Arc<str>, Option<u64>>,
    },
    /// Say this to a custom executor. Lost without notice when its stream is broken.
    ToExecutor {
        /// Its container.
        container_id: ContainerId,
        /// On which of its streams.
        stream: u64,
        /// What.
        event: Box<Event>,
    },
    /// Close a stream of a custom executor: it has another one, or has ended.
    CloseExecutor {
        /// Its container.
        container_id: ContainerId,
        /// Which stream.
        stream: u64,
    },
    /// The last task of a group has ended: what its tasks shared may be removed.
    GroupEnded {
        /// Whose.
        framework_id: FrameworkId,
        /// Its executor.
        executor_id: ExecutorId,
    },
    /// The end of this container is durable and acknowledged, or wanted by nobody: the supervisor
    /// may drop it. Leaves before the record of its task is deleted, so that no crash can find the
    /// container without its history.
    Forget {
        /// Which.
        container_id: ContainerId,
    },
    /// Open a stream to the leading master. Answered by `LinkUp` or `LinkDown`.
    Connect {
        /// The number of the attempt.
        link: u64,
    },
    /// Close that stream; nothing more is expected of it.
    Disconnect {
        /// The number of its attempt.
        link: u64,
    },
    /// Say this to the master. Lost without notice when the stream is broken.
    ToMaster {
        /// On which stream.
        link: u64,
        /// What.
        call: AgentCall,
    },
    /// Remove a sandbox. Answered by `SandboxCollected` or `SandboxCollectFailed`.
    CollectSandbox {
        /// Whose.
        container_id: ContainerId,
        /// Where it is.
        path: Arc<str>,
    },
    /// Make persistent volumes, and delete others with all that is in them. Answered by
    /// `VolumesMade`, before which no other one that makes any is ordered, and then by
    /// `VolumesDeleted`.
    ApplyVolumes(Box<VolumeOrder>),
    /// Something that people should know.
    Note(Note),
}

/// A look at a running task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The task, as it was launched.
    pub launch: Launch,
    /// Which of its checks.
    pub subject: Subject,
    /// The number of the look, for its answer.
    pub number: u64,
    /// How long it may take.
    pub timeout: Duration,
}

impl Look {
    /// What is to be looked at.
    pub fn kind(&self) -> Option<&CheckKind> {
        let checks = self.launch.task.payload.checks.as_ref()?;
        match self.subject {
            Subject::Health => checks.health.as_ref().map(|health| &health.check.kind),
            Subject::Check => checks.check.as_ref().map(|check| &check.kind),
        }
    }
}

/// Volumes to make and to delete. What is made is durable before the answer, and so is what is
/// deleted; deleting what is not there is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeOrder {
    /// The order's number.
    pub number: u64,
    /// Whose volumes: an agent that registers anew has none of those that it had before.
    pub agent_id: AgentId,
    /// To be there.
    pub make: Vec<WantedVolume>,
    /// To be deleted. None of them is also to be made, and no living task uses one.
    pub delete: Vec<Volume>,
}

/// A volume that is to be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedVolume {
    /// Which.
    pub volume: Volume,
    /// Whether several tasks may use it at once, of different users perhaps.
    pub shared: bool,
    /// Whether it was made before: it is looked for then, and never made anew, because an empty
    /// volume in the place of a full one is a loss that nobody notices.
    pub made_before: bool,
}

/// A change of the checkpoint. Each replaces or removes whole records by their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointOp {
    /// The agent's identity.
    PutAgent(Box<AgentRecord>),
    /// The identity is gone for ever, and with it the record of its volumes.
    DeleteAgent,
    /// A framework. Its `id` is set.
    PutFramework(Arc<FrameworkInfo>),
    /// A framework that has no task here.
    DeleteFramework(FrameworkId),
    /// A task, before its launch. Key: framework and task id.
    PutTask(TaskRecord),
    /// The update queue of a task. Key: framework and task id.
    PutUpdates(UpdatesRecord),
    /// A task is over and acknowledged: its record and its update queue go.
    DeleteTask {
        /// Whose.
        framework_id: FrameworkId,
        /// Which.
        task_id: TaskId,
    },
    /// A sandbox that waits for its removal. Key: container id.
    PutSandbox(SandboxRecord),
    /// A sandbox is gone.
    DeleteSandbox {
        /// Whose it was.
        container_id: ContainerId,
    },
    /// The volumes that were made and not deleted since.
    PutVolumes(VolumesRecord),
    /// The newest epoch that a master named. It stays when the identity goes.
    PutEpoch(EpochRecord),
}

/// Things that people should know; the shell logs and counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The agent is part of the cluster.
    Registered {
        /// Under this id.
        agent_id: proto::AgentId,
        /// Whether it had this id before.
        again: bool,
    },
    /// The stream to the master is gone; another attempt follows.
    LinkLost {
        /// Why.
        reason: Arc<str>,
        /// How long the agent waits before the next attempt.
        retry_after: Duration,
    },
    /// The master does not admit the agent; it goes on asking.
    Refused {
        /// Why, and what to do.
        message: Arc<str>,
        /// Whether the agent's id is gone for ever: its tasks end and it registers anew.
        gone: bool,
    },
    /// The disk is about to be full, or is not any more.
    DiskPressure {
        /// Whether it is.
        pressed: bool,
        /// How full it is, in millionths.
        used_ppm: u32,
    },
    /// A task was killed, and its processes do not end.
    Unkillable {
        /// Whose.
        framework_id: proto::FrameworkId,
        /// The task.
        task_id: proto::TaskId,
    },
    /// A custom executor was killed, and its processes do not end.
    UnkillableExecutor {
        /// Whose.
        framework_id: proto::FrameworkId,
        /// The executor.
        executor_id: proto::ExecutorId,
    },
    /// The master leads another cluster than the one that the agent belongs to. Nothing was said to
    /// it; the agent goes on trying.
    OtherCluster {
        /// Where the agent belongs.
        own: ClusterId,
        /// What the master leads.
        found: ClusterId,
    },
    /// The master leads in an older epoch than another one that this agent has heard: it was paused
    /// or cut off, and does not know that it was replaced. What it said was not done; the agent
    /// goes on to the next address.
    OldEpoch {
        /// In which epoch it leads; 0 when it does not say.
        epoch: u64,
        /// The newest one that the agent has seen.
        newest: u64,
        /// How long the agent waits before the next attempt.
        retry_after: Duration,
    },
    /// The agent was started again and took back what it knew.
    Recovered {
        /// Tasks that are still running.
        running: usize,
        /// Tasks that ended while the agent was away.
        ended: usize,
        /// Tasks of which nobody knows the end.
        lost: usize,
    },
    /// The supervisor was lost, and with it these tasks.
    SupervisorLost {
        /// How many tasks.
        tasks: usize,
    },
    /// An order that could not be followed.
    LaunchRefused {
        /// Whose.
        framework_id: FrameworkId,
        /// Which task.
        task_id: TaskId,
        /// Why, as a sentence.
        message: Arc<str>,
    },
    /// A message of the master that makes no sense here, and was ignored.
    Ignored {
        /// What and why.
        message: Arc<str>,
    },
}
