//! LAUNCH_GROUP: all of its tasks, or none.
//!
//! The executor is the agents' own (type DEFAULT), of which only what it uses counts: an executor id
//! is one group at a time.

use super::launch::Launches;
use crate::agent::take;
use crate::effect::Effect;
use crate::state::Master;
use crate::table::{AgentOrd, FrameworkOrd};
use crate::task::Report;
use proto::{
    AgentId, ContainerInfo, ExecutorInfo, ExecutorKind, Reason, Resources, Role, TaskGroup, TaskId,
    TaskInfo, TaskState,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The least that an executor of a group may use, as in Mesos: thousandths of a cpu, and of a MB.
const LEAST: (u64, u64) = (10, 32_000);

impl Master {
    /// Launches a group without a fault, and gives what the agent is to run; answers for each task
    /// of any other.
    pub(super) fn launch_group(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        group: TaskGroup,
        remaining: &mut Resources,
        out: &mut Vec<Effect>,
    ) -> Launches {
        let Err(message) = self.check_group(framework, agent, role, &group, remaining) else {
            return self.run_group(framework, agent, role, group, remaining);
        };
        let readable = group.tasks.iter().map(|task| (&task.task_id, Some(task.agent_id.clone())));
        let rest = group.unreadable.iter().map(|task| (&task.task_id, task.agent_id.clone()));
        for (task_id, agent_id) in readable.chain(rest) {
            self.refuse_group_task(framework, task_id, agent_id, &message, out);
        }
        Launches::default()
    }

    fn run_group(
        &mut self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        group: TaskGroup,
        remaining: &mut Resources,
    ) -> Launches {
        let own = Some(self.frameworks[framework].id.clone());
        let executor = group.executor.map(|info| ExecutorInfo { framework_id: own, ..info });
        let mut run = Launches::default();
        for task in group.tasks {
            let task = TaskInfo { executor: executor.clone(), ..task };
            self.launch_task(framework, agent, role, task, remaining, &mut run);
        }
        self.counters.tasks_launched += run.len() as u64;
        run
    }

    /// The first thing that is wrong with a group.
    fn check_group(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        role: &Role,
        group: &TaskGroup,
        remaining: &Resources,
    ) -> Result<(), String> {
        if let Some(task) = group.unreadable.first() {
            return Err(format!("Task '{}' is invalid: {}", task.task_id, task.problem));
        }
        if group.tasks.is_empty() {
            return Err("Task group cannot be empty".to_owned());
        }
        let Some(executor) = &group.executor else {
            return Err("Task group has no executor".to_owned());
        };
        let has_network = self
            .check_group_executor(framework, agent, executor)
            .map_err(|problem| format!("The executor of the task group {problem}"))?;
        let mut rest = remaining.clone();
        rest.subtract(&executor.resources)
            .map_err(|short| format!("The executor uses more than is offered: {short}"))?;
        let (mut seen, mut users) = (BTreeSet::new(), BTreeSet::new());
        for task in &group.tasks {
            if !seen.insert(&task.task_id) {
                return Err(format!("Task '{}' is in the group twice", task.task_id));
            }
            let user = check_task(executor, has_network, task)
                .map_err(|problem| format!("Task '{}' {problem}", task.task_id))?;
            users.insert(user);
            if users.len() > 1 {
                return Err("Tasks of the group have different users: they share a directory, \
                            which is one user's"
                    .to_owned());
            }
            // Its executor is the group's.
            let task = TaskInfo { executor: None, ..task.clone() };
            self.validate(framework, agent, role, &task, &rest)
                .map_err(|invalid| format!("Task '{}' is invalid: {invalid}", task.task_id))?;
            take(&mut rest, &task.resources).expect("the task was checked to fit");
        }
        Ok(())
    }

    /// Gives whether it asks for a network, which its tasks have together.
    fn check_group_executor(
        &self,
        framework: FrameworkOrd,
        agent: AgentOrd,
        executor: &ExecutorInfo,
    ) -> Result<bool, String> {
        let own = &self.frameworks[framework].id;
        if let Some(other) = executor.framework_id.as_ref().filter(|id| *id != own) {
            return Err(format!("has framework ID {other}, not {own}"));
        }
        if executor.kind() != ExecutorKind::Default {
            return Err("is not of type DEFAULT; others run no task groups yet".to_owned());
        }
        if executor.resources.cpus() < LEAST.0 || executor.resources.mem() < LEAST.1 {
            return Err(format!(
                "has resources {}: it needs at least 0.01 cpus and 32 MB of memory",
                executor.resources
            ));
        }
        let mut pieces = executor.resources.pieces().iter();
        if pieces.any(|piece| piece.flavor.volume().is_some() || piece.flavor.is_shared()) {
            return Err("has persistent volumes, which are not built yet".to_owned());
        }
        if self.agents[agent].executors.contains_key(&(framework, executor.executor_id.clone())) {
            let (id, agent) = (&executor.executor_id, &self.agents[agent].id);
            return Err(format!(
                "has the id {id}, which runs on agent {agent} already: an executor id is one \
                 group at a time"
            ));
        }
        let has_network = asks_for_network(executor, &self.agents[agent].id)?;
        if !has_network && executor.resources.scalar("network") > 0 {
            return Err("holds bandwidth (network), but asks for no network \
                        (container.network_infos)"
                .to_owned());
        }
        Ok(has_network)
    }

    fn refuse_group_task(
        &mut self,
        framework: FrameworkOrd,
        task_id: &TaskId,
        agent_id: Option<AgentId>,
        message: &str,
        out: &mut Vec<Effect>,
    ) {
        self.counters.tasks_refused += 1;
        let report = Report {
            state: TaskState::Error,
            reason: Some(Reason::TaskGroupInvalid),
            message,
            agent_id,
            unreachable_time: None,
        };
        self.report(framework, task_id, report, out);
    }
}

/// Whether the executor of a group asks for a network. Of a container it may ask for nothing else:
/// its tasks have containers of their own.
fn asks_for_network(executor: &ExecutorInfo, agent: &AgentId) -> Result<bool, String> {
    let body = executor
        .as_task(agent.clone(), Resources::new())
        .and_then(|task| task.payload.open())
        .map_err(|error| format!("cannot be read: {error}"))?;
    if body.command.is_some() {
        return Err("has a command: one of type DEFAULT has none".to_owned());
    }
    let mut container = body.container.unwrap_or_default();
    let has_network = container.network.take().is_some();
    if container.docker.is_some() {
        return Err("has a container of Docker, which a task group cannot have".to_owned());
    }
    match container == ContainerInfo::default() {
        true => Ok(has_network),
        false => Err("has a container that asks for more than a network, which is not built yet: \
                      its tasks may have containers"
            .to_owned()),
    }
}

/// What no task of a group may ask for; gives the user that it names.
fn check_task(
    executor: &ExecutorInfo,
    has_network: bool,
    task: &TaskInfo,
) -> Result<Option<Arc<str>>, String> {
    if task.executor.as_ref().is_some_and(|own| own.executor_id != executor.executor_id) {
        return Err("names another executor than its group".to_owned());
    }
    if !has_network && task.resources.scalar("network") > 0 {
        return Err("holds bandwidth (network), which needs a network of the group's: \
                    container.network_infos of its executor"
            .to_owned());
    }
    let body = task.payload.open().map_err(|error| format!("cannot be read: {error}"))?;
    match body.container {
        Some(container) if container.docker.is_some() => {
            Err("asks for a container of Docker, which a task of a group cannot have".to_owned())
        }
        Some(container) if container.network.is_some() => {
            Err("asks for a network of its own: network_infos of a task in a group must be set on \
                 the executor"
                .to_owned())
        }
        _ => Ok(body.command.and_then(|command| command.user)),
    }
}
