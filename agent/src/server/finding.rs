//! What an agent finds when it starts: containers, sandboxes and files of an earlier one.

use crate::checkpoint::{self, Change};
use crate::config::Layout;
use crate::containerizer::ContainerEvent;
use crate::containers::ImagesInUse;
use crate::perform::Performer;
use crate::sandbox::packing::Packer;
use crate::sandboxes::Place;
use crate::whereabouts::Whereabouts;
use crate::{Error, containers, orphans};
use agent_core::{CheckpointOp, Container, Recovered, TaskRecord};
use clock::Clock;
use proto::AgentInfo;
use tokio::sync::mpsc;

/// What tasks left behind whose supervisor is gone; under one that went on, the files of launches
/// that it was never told of.
pub(super) fn take_orphans(layout: &Layout, recovered: &mut Recovered, first: &mut Vec<Change>) {
    let mut found = orphans::find(&layout.sandboxes, recovered);
    if recovered.supervisor_continued {
        // It has done all that the last agent had ordered, and has directories in reserve.
        found.retain(|record| orphans::is_fetched(&record.path));
    }
    for record in found {
        checkpoint::changes(&CheckpointOp::PutSandbox(record.clone()), first);
        recovered.sandboxes.push(record);
    }
}

pub(super) fn check_reconfiguration(
    recovered: &Recovered,
    info: &AgentInfo,
    boot_id: &str,
    layout: &Layout,
) -> Result<(), Error> {
    agent_core::reconfiguration(recovered, info, boot_id)
        .map_err(|message| Error::Reconfigured { dir: layout.root.clone(), message })
}

/// The first event of a containerizer: all that outlived the last agent.
pub(super) async fn first_report(
    events: &mut mpsc::UnboundedReceiver<ContainerEvent>,
    (whereabouts, images): (&mut Whereabouts, &mut ImagesInUse),
    clock: &Clock,
) -> Vec<Container> {
    let first = events.recv().await;
    if let Some(event) = &first {
        whereabouts.note(event);
        images.note(event);
    }
    match first {
        Some(ContainerEvent::Recovered(recovered)) => containers::report(recovered, clock),
        other => {
            tracing::error!(?other, "the supervisor did not report what it runs");
            Vec::new()
        }
    }
}

/// Lets the files of all known containers be found, and what the last agent left unpacked be packed.
pub(super) fn index(performer: &Performer, recovered: &Recovered, packer: &Packer) {
    let sandboxes = &performer.sandboxes;
    for record in &recovered.sandboxes {
        let task = (record.framework_id.clone(), record.task_id.clone());
        packer.look(record.path.as_ref().into());
        let path = Some(record.path.as_ref().into());
        sandboxes.insert(&record.container_id, task, Place { path, running: false });
    }
    for container in &recovered.containers {
        let launch = container.launch.as_ref().map(|l| (&l.framework_id, &l.task.task_id));
        // The checkpoint knows what a supervisor does not that came after a lost one.
        let is_its = |record: &&TaskRecord| record.container_id == container.container_id;
        let record = || recovered.tasks.iter().find(is_its);
        let task = launch.or_else(|| record().map(|r| (&r.framework_id, &r.task.task_id)));
        let Some((framework_id, task_id)) = task else { continue };
        let task = (framework_id.clone(), task_id.clone());
        let path = match &container.exited {
            None => Some(container.sandbox.clone()),
            Some(exited) => exited.sandbox.clone(),
        };
        let place = Place { path: path.map(|p| (*p).into()), running: container.exited.is_none() };
        place.path.iter().for_each(|path| packer.look(path.clone()));
        sandboxes.insert(&container.container_id, task, place);
    }
    for record in &recovered.tasks {
        sandboxes.employed(&record.container_id, &record.task.task_id);
    }
}
