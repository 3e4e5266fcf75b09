//! Offers, and the operations of an ACCEPT.

use super::resources::{self, Style};
use super::{At, agent, list, list_with, need, port, present, tail, task, text, w};
use crate::scheduler::Demand;
use crate::{DecodeError, Filters, Offer, Operation, Role, TaskInfo, UnreadableTask};
use std::net::IpAddr;
use std::sync::Arc;
use w::offer::operation::{Launch, Type};

/// What the framework that reads an offer understands.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    /// It has MULTI_ROLE: offers say which role they are for.
    pub(super) multi_role: bool,
    /// It has RESERVATION_REFINEMENT: unreserved resources have no `role`.
    pub(super) refinement: bool,
}

impl Reader {
    /// Our own drivers and tools.
    pub(super) const MODERN: Self = Self { multi_role: true, refinement: true };
}

pub(super) fn write(offer: &Offer, reader: Reader) -> w::Offer {
    let role = reader.multi_role.then_some(&offer.role);
    let style = Style { role, old_role: !reader.refinement };
    w::Offer {
        id: Some((&offer.id).into()),
        framework_id: Some((&offer.framework_id).into()),
        agent_id: Some((&offer.agent_id).into()),
        hostname: Some(offer.hostname.to_string()),
        resources: resources::write(&offer.resources, style),
        executor_ids: offer.executor_ids.iter().map(Into::into).collect(),
        attributes: offer.attributes.iter().map(Into::into).collect(),
        url: Some(url(&offer.hostname, offer.port)),
        allocation_info: role
            .map(|role| w::resource::AllocationInfo { role: Some(role.as_str().to_owned()) }),
        domain: offer.domain.as_ref().map(Into::into),
    }
}

/// Where the agent's API is; Mesos' clients expect the path.
fn url(hostname: &str, port: u16) -> w::Url {
    w::Url {
        scheme: Some("http".to_owned()),
        address: Some(w::Address {
            hostname: Some(hostname.to_owned()),
            ip: hostname.parse::<IpAddr>().ok().map(|ip| ip.to_string()),
            port: Some(port.into()),
        }),
        path: Some("/slave(1)".to_owned()),
    }
}

impl TryFrom<w::Offer> for Offer {
    type Error = DecodeError;
    fn try_from(wire: w::Offer) -> Result<Self, DecodeError> {
        let (resources, mut role) = resources::read(wire.resources, "resources")?;
        if let Some(name) = wire.allocation_info.and_then(|info| info.role) {
            resources::agree(&mut role, &name).at("allocation_info.role")?;
        }
        let address = wire.url.and_then(|url| url.address);
        let number = address.and_then(|address| address.port);
        let port = match number {
            Some(number) => port(number, "url.address.port")?,
            None => agent::DEFAULT_PORT,
        };
        Ok(Self {
            id: need(wire.id, "id")?,
            framework_id: need(wire.framework_id, "framework_id")?,
            agent_id: need(wire.agent_id, "agent_id")?,
            hostname: text(wire.hostname, "hostname")?,
            port,
            role: role.unwrap_or_else(Role::any),
            resources,
            attributes: list::<_, _, Vec<_>>(wire.attributes, "attributes")?.into(),
            domain: agent::domain(wire.domain)?,
            executor_ids: list(wire.executor_ids, "executor_ids")?,
        })
    }
}

impl From<&Operation> for w::offer::Operation {
    fn from(operation: &Operation) -> Self {
        match operation {
            Operation::Launch(tasks) => launch(tasks.iter().map(Into::into).collect()),
            Operation::Unreadable(tasks) => launch(tasks.iter().map(Into::into).collect()),
            Operation::NotBuilt(name) => {
                let kind = Type::from_str_name(name).unwrap_or(Type::Unknown);
                Self { r#type: Some(kind as i32), launch: None, id: None }
            }
        }
    }
}

fn launch(task_infos: Vec<tail::TaskInfo>) -> w::offer::Operation {
    let launch = Some(Launch { task_infos });
    w::offer::Operation { r#type: Some(Type::Launch as i32), launch, id: None }
}

/// The operations of an ACCEPT, where a LAUNCH with unreadable tasks becomes two.
pub(super) fn operations(
    wire: Vec<w::offer::Operation>,
    field: &str,
) -> Result<Vec<Operation>, DecodeError> {
    let read: Vec<(Operation, Vec<UnreadableTask>)> = list_with(wire, field, operation)?;
    let mut operations = Vec::with_capacity(read.len());
    for (operation, unreadable) in read {
        operations.push(operation);
        if !unreadable.is_empty() {
            operations.push(Operation::Unreadable(unreadable));
        }
    }
    Ok(operations)
}

fn operation(wire: w::offer::Operation) -> Result<(Operation, Vec<UnreadableTask>), DecodeError> {
    let kind = wire.r#type.and_then(|number| Type::try_from(number).ok());
    match present(kind, "type")? {
        Type::Launch if wire.id.is_some() => {
            Err(DecodeError::new("id", "must not be set for LAUNCH"))
        }
        Type::Launch => {
            let launch = present(wire.launch, "launch")?;
            let read: Vec<Result<TaskInfo, UnreadableTask>> =
                list_with(launch.task_infos, "task_infos", task::launched).at("launch")?;
            let (mut tasks, mut unreadable) = (Vec::with_capacity(read.len()), Vec::new());
            for task in read {
                match task {
                    Ok(task) => tasks.push(task),
                    Err(task) => unreadable.push(task),
                }
            }
            Ok((Operation::Launch(tasks), unreadable))
        }
        other => Ok((Operation::NotBuilt(Arc::from(other.as_str_name())), Vec::new())),
    }
}

impl From<&Filters> for w::Filters {
    fn from(filters: &Filters) -> Self {
        Self { refuse_seconds: Some(filters.refuse.as_secs_f64()) }
    }
}

/// Filters are never wrong: what makes no sense means the default.
pub(super) fn filters(wire: Option<w::Filters>) -> Filters {
    Filters::from_seconds(wire.and_then(|filters| filters.refuse_seconds))
}

impl From<&Demand> for w::Request {
    fn from(demand: &Demand) -> Self {
        Self {
            agent_id: demand.agent_id.as_ref().map(Into::into),
            resources: resources::plain(&demand.resources),
            count: Some(demand.count),
            role: demand.role.as_ref().map(|role| role.as_str().to_owned()),
        }
    }
}

impl TryFrom<w::Request> for Demand {
    type Error = DecodeError;
    fn try_from(wire: w::Request) -> Result<Self, DecodeError> {
        let count = wire.count.unwrap_or(1);
        if count == 0 {
            return Err(DecodeError::new("count", "must be at least 1"));
        }
        Ok(Self {
            role: super::maybe(wire.role, "role")?,
            agent_id: super::maybe(wire.agent_id, "agent_id")?,
            resources: resources::read_plain(wire.resources, "resources")?,
            count,
        })
    }
}
