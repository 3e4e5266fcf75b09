//! Tasks of units: their ids, which say everything, and their descriptions.

use super::group::{Command, GroupId, GroupSpec};
use proto::{
    AgentId, CommandInfo, ContainerInfo, Flavor, Piece, Ranges, ResourceName, Resources, TaskBody,
    TaskId, TaskInfo, TaskPayload, Value,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The id of an attempt's task, `<group>.<index>.<attempt>`, as text.
pub(crate) fn name(group: &GroupId, index: u32, attempt: u32) -> Arc<str> {
    Arc::from(format!("{group}.{index}.{attempt}"))
}

/// The id of an attempt's task.
pub fn task_id(group: &GroupId, index: u32, attempt: u32) -> TaskId {
    TaskId::new(name(group, index, attempt)).expect("names of groups are checked when taken on")
}

/// What a task's id says: group, unit and attempt. `None` if it is no id of ours.
pub fn parse(id: &str) -> Option<(GroupId, u32, u32)> {
    let (rest, attempt) = id.rsplit_once('.')?;
    let (group, index) = rest.rsplit_once('.')?;
    Some((GroupId::new(group), index.parse().ok()?, attempt.parse().ok()?))
}

/// What a unit of the group takes, without ports, in the words of the cluster.
pub(crate) fn demand(spec: &GroupSpec) -> Resources {
    let amounts = &spec.template.resources;
    Resources::scalars(amounts.iter().map(|(name, milli)| (name.as_str(), *milli)))
}

/// The class of a group's units, in fenzo's words.
pub(crate) fn class(id: &GroupId, spec: &GroupSpec) -> fenzo::TaskClass {
    let (hard, soft) = super::rule::split(&spec.template.rules);
    let group = fenzo::GroupName::from(id.as_str());
    let ports = spec.template.ports;
    fenzo::TaskClass {
        ports,
        hard,
        soft,
        ..fenzo::TaskClass::new(group, quantities(&demand(spec)))
    }
}

/// Plain resources in fenzo's words.
pub(crate) fn quantities(resources: &Resources) -> fenzo::Resources {
    let mut all = fenzo::Resources::default();
    for piece in resources.pieces() {
        let Value::Scalar(milli) = piece.value else { continue };
        if !piece.flavor.is_plain() {
            continue;
        }
        let amount = fenzo::Milli::from_thousandths(milli);
        match piece.name.as_str() {
            "cpus" => all.cpus = amount,
            "mem" => all.mem = amount,
            "disk" => all.disk = amount,
            "network" => all.network = amount,
            other => {
                all.scalars.insert(other.to_owned(), amount);
            }
        }
    }
    all
}

/// The description of one attempt.
pub(crate) fn describe(
    group: &GroupId,
    spec: &GroupSpec,
    index: u32,
    attempt: u32,
    agent: AgentId,
    ports: &[u16],
) -> TaskInfo {
    let id = task_id(group, index, attempt);
    let mut resources = demand(spec);
    if !ports.is_empty() {
        let pairs = ports.iter().map(|port| (u64::from(*port), u64::from(*port)));
        resources.add_piece(Piece {
            name: ResourceName::new("ports"),
            flavor: Flavor::default(),
            value: Value::Ranges(Ranges::new(pairs)),
        });
    }
    let limit = spec.template.memory_limit.map(|milli| (Arc::from("mem"), Some(milli)));
    let body = TaskBody {
        command: Some(command(
            &spec.template.command,
            &variables(group, spec, index, attempt, &id, ports),
        )),
        container: spec.template.command.image.as_deref().map(in_image),
        ..TaskBody::default()
    };
    TaskInfo {
        name: Arc::from(spec.name.as_str()),
        task_id: id,
        agent_id: agent,
        resources,
        allocation_role: None,
        limits: limit.into_iter().collect::<BTreeMap<_, _>>(),
        executor: None,
        kill_grace: spec.template.kill_grace,
        max_completion_time: None,
        payload: TaskPayload::new(&body),
    }
}

fn variables(
    group: &GroupId,
    spec: &GroupSpec,
    index: u32,
    attempt: u32,
    id: &TaskId,
    ports: &[u16],
) -> Vec<(Arc<str>, Arc<str>)> {
    let number = |number: u32| Arc::from(number.to_string());
    let mut all: Vec<(Arc<str>, Arc<str>)> = vec![
        ("TEPUI_JOB".into(), group.as_str().into()),
        ("TEPUI_INDEX".into(), number(index)),
        ("TEPUI_ATTEMPT".into(), number(attempt)),
        ("TEPUI_COUNT".into(), number(spec.count)),
        ("TEPUI_TASK".into(), id.as_str().into()),
    ];
    for (place, port) in ports.iter().enumerate() {
        all.push((format!("PORT{place}").into(), number(u32::from(*port))));
    }
    all
}

/// A container on an image, with nothing else in particular.
fn in_image(name: &str) -> ContainerInfo {
    ContainerInfo { image: Some(Arc::from(name)), ..ContainerInfo::default() }
}

fn command(command: &Command, variables: &[(Arc<str>, Arc<str>)]) -> CommandInfo {
    let own = command.environment.iter();
    let own = own.map(|(name, value)| (Arc::from(name.as_str()), Arc::from(value.as_str())));
    CommandInfo {
        shell: command.shell,
        value: Some(Arc::from(command.value.as_str())),
        arguments: command.arguments.iter().map(|argument| Arc::from(argument.as_str())).collect(),
        environment: own.chain(variables.iter().cloned()).collect(),
        secrets: Vec::new(),
        user: command.user.as_deref().map(Arc::from),
        uris: Vec::new(),
        rlimits: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_id_says_group_unit_and_attempt() {
        let group = GroupId::numbered("my-job", 12);
        assert_eq!(group.number(), Some(12));
        let id = task_id(&group, 3, 1);
        assert_eq!(id.as_str(), "my-job-12.3.1");
        assert_eq!(parse(id.as_str()), Some((group, 3, 1)));
        assert_eq!(parse("other"), None);
        assert_eq!(parse("a.b"), None);
        assert_eq!(parse("a.b.c"), None);
    }
}
