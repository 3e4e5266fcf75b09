//! What of an agent may change between two of its starts.
//!
//! An agent that comes back under its id may have more resources than before, other attributes, and
//! a domain where it had none; it may have less, down to what its tasks use. The master learns all
//! of it with the re-registration. What would make another agent of it, or take from a task what
//! it has, is refused with the way out.

use crate::input::Recovered;
use crate::volumes::claim;
use proto::{AgentInfo, FrameworkId, Resources, TaskId};
use std::collections::BTreeMap;

/// Says whether the agent that left `recovered` behind may start as `info` says, on a machine whose
/// boot is `boot_id`. After a reboot it may: nothing runs that could stand against it.
///
/// # Errors
/// A sentence that names what stands against it and what to do.
pub fn reconfiguration(
    recovered: &Recovered,
    info: &AgentInfo,
    boot_id: &str,
) -> Result<(), String> {
    let Some(old) = recovered.agent.as_ref().filter(|old| &*old.boot_id == boot_id) else {
        return Ok(());
    };
    same_place(&old.info, info)?;
    holds_tasks(recovered, info).map_err(|problem| {
        let (old, new) = (&old.info.resources, &info.resources);
        format!(
            "the agent's resources changed from '{old}' to '{new}', which do not hold what its \
             tasks use: {problem}, or start the agent with what it had and let its tasks end \
             first (tepui drain)"
        )
    })
}

/// Whether an agent is still where frameworks and tasks know it to be.
pub(crate) fn same_place(old: &AgentInfo, new: &AgentInfo) -> Result<(), String> {
    let differs = |what: &str, old: String, new: String| {
        Err(format!(
            "the agent's {what} changed from '{old}' to '{new}' while tasks may depend on it; \
             start the agent with the old {what}, or with an empty work directory as a new agent"
        ))
    };
    if old.domain.is_some() && old.domain != new.domain {
        let text = |info: &AgentInfo| match &info.domain {
            Some(domain) => format!("{}/{}", domain.region, domain.zone),
            None => "none".to_owned(),
        };
        return differs("domain", text(old), text(new));
    }
    if old.hostname != new.hostname {
        return differs("hostname", old.hostname.to_string(), new.hostname.to_string());
    }
    Ok(())
}

/// What running tasks take, in the order of their ids.
fn used(recovered: &Recovered) -> BTreeMap<(&FrameworkId, &TaskId), &Resources> {
    let mut used = BTreeMap::new();
    for container in recovered.containers.iter().filter(|one| one.exited.is_none()) {
        if let Some(launch) = &container.launch {
            used.insert((&launch.framework_id, &launch.task.task_id), &launch.task.resources);
            continue;
        }
        let on_record = |t: &&crate::TaskRecord| t.container_id == container.container_id;
        if let Some(record) = recovered.tasks.iter().find(on_record) {
            used.insert((&record.framework_id, &record.task.task_id), &record.task.resources);
        }
    }
    used
}

fn holds_tasks(recovered: &Recovered, info: &AgentInfo) -> Result<(), String> {
    let used = used(recovered);
    let mut free = info.resources.clone();
    let short = used.iter().find_map(|((framework_id, task_id), resources)| {
        let short = free.subtract(&claim(resources)).err()?;
        Some(format!("task {task_id} of framework {framework_id}: {short}"))
    });
    let Some(short) = short else { return Ok(()) };
    let mut least = Resources::new();
    used.values().for_each(|resources| least.add(&claim(resources)));
    Err(format!("{short}; give the agent at least '{least}'"))
}

#[cfg(test)]
mod tests;
