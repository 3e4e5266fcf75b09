//! What really runs on the hosts.
//!
//! I3: no task has two live instances. I4: what runs on a host fits on it. I17: no launch is
//! carried out twice. I20: on each agent, what tasks hold and what is free is all there is.

use super::{TaskKey, Verdict, broken};
use agent_core::{Launch, claim};
use proto::{ContainerId, Disk, Piece, ReservationKind, Resources};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug)]
struct Instance {
    host: usize,
    key: TaskKey,
    resources: Resources,
}

/// Live processes, and everything that ever ran.
#[derive(Debug, Default)]
pub(super) struct Instances {
    live: BTreeMap<(usize, ContainerId), Instance>,
    started: BTreeSet<TaskKey>,
}

impl Instances {
    pub(super) fn started(
        &mut self,
        host: usize,
        launch: &Launch,
        capacity: &Resources,
    ) -> Verdict {
        let key = (launch.framework_id.clone(), launch.task.task_id.clone());
        if let Some(other) = self.live.values().find(|instance| instance.key == key) {
            let what = format!(
                "task {} of {} is started on host {host} and runs on host {}",
                key.1, key.0, other.host
            );
            return broken("I3", what);
        }
        if !self.started.insert(key.clone()) {
            return broken("I17", format!("task {} of {} ran before", key.1, key.0));
        }
        // What is reserved at run time is the host's own, and volumes are the master's account.
        let resources = claim(&launch.task.resources).into_owned();
        let mut used = resources.clone();
        for instance in self.live.values().filter(|instance| instance.host == host) {
            used.add(&instance.resources);
        }
        self.live.insert((host, launch.container_id.clone()), Instance { host, key, resources });
        if !capacity.contains(&used) {
            let here = self.live.values().filter(|instance| instance.host == host);
            let tasks: Vec<String> = here.map(|i| format!("{} {}", i.key.1, i.resources)).collect();
            let what = format!("host {host} has {capacity} and runs {used}: {}", tasks.join(", "));
            return broken("I4", what);
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, host: usize, container: &ContainerId) {
        self.live.remove(&(host, container.clone()));
    }
}

/// Whether free and held resources of an agent add up.
pub(super) fn conserved<'a>(
    name: std::fmt::Arguments<'_>,
    total: &Resources,
    free: &Resources,
    held: impl Iterator<Item = &'a Resources>,
) -> Verdict {
    let mut sum = free.clone();
    held.for_each(|resources| sum.add(&claim(resources)));
    if sum == *total {
        return Ok(());
    }
    broken("I20", format!("{name} has {total}, but free and held are {sum}"))
}

/// Without reservations that were made at run time, and volumes as the space that they take.
pub(super) fn plainly(resources: &Resources) -> Resources {
    let piece = |piece: &Piece| {
        let mut piece = piece.clone();
        piece.flavor = piece.flavor.with(|special| {
            special.reservations.retain(|one| one.kind == ReservationKind::Static);
            let source = special.disk.take().and_then(|disk| disk.source);
            special.disk =
                source.map(|source| Disk { source: Some(source), persistence: None, mount: None });
        });
        piece
    };
    resources.pieces().iter().map(piece).collect()
}
