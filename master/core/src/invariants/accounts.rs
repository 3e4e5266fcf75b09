//! What agents have is where it is said to be.

use super::Found;
use crate::Master;
use crate::agent::disk_pressure::common_disk;
use crate::agent::take;
use proto::Resources;

pub(super) fn check(m: &Master, found: &mut Found) {
    for (_, agent) in m.agents.iter() {
        // Taking each part from the whole notices what is in two of them, ports too. What is shared
        // is not taken, and so summed up.
        let total = &agent.info.resources;
        let mut rest = total.clone();
        let mut used = Resources::new();
        for (framework, task_id) in &agent.tasks {
            let task = m.frameworks.get(*framework).and_then(|f| f.tasks.get(task_id));
            if let Some(task) = task.filter(|task| task.holds) {
                if agent.has_shared {
                    used.add(&task.resources);
                }
                found.unless(take(&mut rest, &task.resources).is_ok(), "M5", || {
                    format!("{}: task {task_id} holds what is not there", agent.id)
                });
            }
        }
        for ((_, id), executor) in agent.executors.iter().filter(|(_, e)| e.holds) {
            if agent.has_shared {
                used.add(&executor.info.resources);
            }
            found.unless(take(&mut rest, &executor.info.resources).is_ok(), "M5", || {
                format!("{}: executor {id} holds what is not there", agent.id)
            });
        }
        let unused = rest.clone();
        let mut offered = Resources::new();
        for offer in agent.offers.iter().filter_map(|number| m.offers.get(number)) {
            if agent.has_shared {
                offered.add(&offer.resources);
            }
            found.unless(take(&mut rest, &offer.resources).is_ok(), "M5", || {
                format!("{}: offer {} holds what is not there", agent.id, offer.id)
            });
        }
        if !agent.has_shared {
            (used, offered) = (taken(total, &unused), taken(&unused, &rest));
        }
        let mut pending = Resources::new();
        for (uuid, awaited) in m.operations.pending.get(&agent.id).into_iter().flatten() {
            let known = m.registry.operations().get(uuid).filter(|_| awaited.holds);
            if let Some(Ok(conversion)) = known.map(|known| known.operation.change.conversion()) {
                pending.add(&conversion.converted);
            }
        }
        found.unless(rest.subtract(&pending).is_ok() && pending == agent.pending, "M5", || {
            format!("{}: pending {} is {pending}", agent.id, agent.pending)
        });
        let withheld = agent.withheld.as_deref().cloned().unwrap_or_default();
        found.unless(rest.subtract(&withheld).is_ok(), "M5", || {
            format!("{}: withheld {withheld} is not there", agent.id)
        });
        let holds = used == agent.used && offered == agent.offered && rest == agent.free;
        found.unless(holds, "M5", || {
            format!(
                "{}: used {} is {used}, offered {} is {offered}, free {} is {rest}",
                agent.id, agent.used, agent.offered, agent.free
            )
        });
        let disk = common_disk(&agent.free.plus(&agent.offered));
        found.unless(agent.withheld.is_none() || disk.is_empty(), "M32", || {
            format!("{}: {disk} is free or offered", agent.id)
        });
    }
}

/// What was taken from `whole` to leave `rest`.
fn taken(whole: &Resources, rest: &Resources) -> Resources {
    let mut part = whole.clone();
    part.subtract(rest).expect("what is left was there");
    part
}
