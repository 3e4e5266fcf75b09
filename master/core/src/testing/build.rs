//! Values for tests, from short texts.

use super::FrameworkSide;
use crate::Quota;
use proto::agent_link::AgentTask;
use proto::scheduler::Demand;
use proto::{
    AgentId, AgentInfo, Capability, CommandInfo, FrameworkId, FrameworkInfo, OfferId, ResourceName,
    Resources, Role, StatusUuid, TaskBody, TaskId, TaskInfo, TaskPayload, TaskState,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The id of a text.
pub fn task_id(id: &str) -> TaskId {
    TaskId::new(id).expect("a test's id is valid")
}

/// The id of a text.
pub fn agent_id(id: &str) -> AgentId {
    AgentId::new(id).expect("a test's id is valid")
}

/// The id of a text.
pub fn offer_id(id: &str) -> OfferId {
    OfferId::new(id).expect("a test's id is valid")
}

/// The id of a text.
pub fn framework_id(id: &str) -> FrameworkId {
    FrameworkId::new(id).expect("a test's id is valid")
}

/// The role of a text.
pub fn role(role: &str) -> Role {
    Role::new(role).expect("a test's role is valid")
}

/// The uuid whose bytes are all `byte`.
pub fn uuid(byte: u8) -> StatusUuid {
    StatusUuid([byte; 16])
}

/// Whole cpus and whole MB.
pub fn cpus_mem(cpus: u64, mem: u64) -> Resources {
    Resources::cpus_mem(cpus * 1000, mem * 1000)
}

/// A quota from Mesos' short form of its guarantees and limits: `cpus:2;mem:64`.
pub fn quota(guarantees: &str, limits: &str) -> Quota {
    let amounts = |text: &str| {
        let pairs = text.split(';').filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, units) = pair.split_once(':').expect("a test writes name:amount");
            let units: f64 = units.parse().expect("a test writes a number");
            (ResourceName::new(name), (units * 1000.0) as u64)
        };
        pairs.map(pair).collect::<Vec<_>>()
    };
    let mut quota = Quota::default();
    for (name, milli) in amounts(guarantees) {
        quota.guarantees.add(&name, milli);
    }
    quota.limits.extend(amounts(limits));
    quota
}

/// A framework called `name` in `roles`, with capabilities.
pub fn framework_info(name: &str, roles: &[&str], capabilities: &[Capability]) -> FrameworkInfo {
    let mut info = FrameworkInfo::new("user", name);
    info.roles = roles.iter().map(|name| role(name)).collect();
    info.single_role = roles.len() == 1;
    info.failover_timeout = Duration::from_secs(100);
    info.capabilities = capabilities.iter().copied().collect();
    if !info.single_role {
        info.capabilities = info.capabilities.with(Capability::MultiRole);
    }
    info
}

/// An agent with whole cpus and whole MB.
pub fn agent_info(host: &str, resources: Resources) -> AgentInfo {
    AgentInfo {
        id: None,
        hostname: Arc::from(host),
        port: 5051,
        resources,
        attributes: Vec::new(),
        domain: None,
    }
}

/// A command task.
pub fn task_info(id: &str, agent: &str, resources: Resources) -> TaskInfo {
    TaskInfo {
        name: Arc::from(id),
        task_id: task_id(id),
        agent_id: agent_id(agent),
        resources,
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: command("true"),
    }
}

/// The payload of a task with a command line.
pub fn command(line: &str) -> TaskPayload {
    let command =
        CommandInfo { shell: true, value: Some(Arc::from(line)), ..CommandInfo::default() };
    TaskPayload::new(&TaskBody { command: Some(command), ..TaskBody::default() })
}

/// A demand for so many bundles in any role.
pub fn demand(count: u32, resources: Resources) -> Demand {
    Demand { role: None, agent_id: None, resources, count, deadline: None, priority: 0 }
}

/// What an agent says of one of its tasks.
pub fn agent_task(
    framework: &FrameworkSide,
    id: &str,
    resources: Resources,
    state: TaskState,
) -> AgentTask {
    AgentTask {
        framework_id: framework.id.clone(),
        task_id: task_id(id),
        name: Arc::from(id),
        resources,
        role: framework.info.roles.first().cloned().unwrap_or_else(Role::any),
        state,
        status: None,
        executor_id: None,
        shown: None,
    }
}
