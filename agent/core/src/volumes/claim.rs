//! What a task takes of its agent: amounts of what the agent itself has, and volumes by name.

use super::{Standing, Volume};
use crate::state::Agent;
use proto::{ReservationKind, Resources, VolumeMount};
use std::borrow::Cow;
use std::sync::Arc;

/// A volume as one task uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Which.
    pub volume: Volume,
    /// Where in the sandbox; checked before the launch.
    pub container_path: Arc<str>,
    /// Whether other tasks may use it at the same time.
    pub shared: bool,
}

/// The volumes that a task uses and says where.
pub fn mounts(resources: &Resources) -> Vec<Mount> {
    let mount = |piece: &proto::Piece| {
        let VolumeMount { container_path, .. } = piece.flavor.disk()?.mount.as_ref()?;
        Some(Mount {
            volume: Volume::of(piece)?,
            container_path: container_path.clone(),
            shared: piece.flavor.is_shared(),
        })
    };
    resources.pieces().iter().filter_map(mount).collect()
}

/// What resources take of those that the agent has: without the reservations that were made at run
/// time, which the agent knows nothing of, and without volumes, whose space the master accounts
/// for.
pub fn claim(resources: &Resources) -> Cow<'_, Resources> {
    if resources.pieces().iter().all(|piece| piece.flavor.special.is_none()) {
        return Cow::Borrowed(resources);
    }
    let plain = resources.pieces().iter().filter(|piece| piece.flavor.volume().is_none());
    let claimed = plain.cloned().map(|mut piece| {
        piece.flavor = piece.flavor.with(|special| {
            special.reservations.retain(|r| r.kind == ReservationKind::Static);
        });
        piece
    });
    Cow::Owned(claimed.collect())
}

/// Why a task cannot use its volumes.
pub(crate) enum Unusable {
    /// It asks for what no agent can give it.
    Impossible(String),
    /// The volume is not one of this agent's, or not to be had now.
    Unknown(String),
    /// The volume should be there and is not.
    Failed(String),
}

impl Agent {
    /// Why a task cannot use the volumes that it names, if it cannot.
    pub(crate) fn unusable_volume(&self, resources: &Resources) -> Option<Unusable> {
        let mut volumes = resources.pieces().iter().filter(|piece| piece.flavor.volume().is_some());
        let first = volumes.next()?;
        let mut paths: Vec<&str> = Vec::new();
        let used = self.volumes_in_use();
        for piece in std::iter::once(first).chain(volumes) {
            let Some(volume) = Volume::of(piece) else {
                return Some(Unusable::Impossible("A volume is reserved to no role".to_owned()));
            };
            let mount = piece.flavor.disk().and_then(|disk| disk.mount.as_ref());
            if let Some(problem) = mount_problem(mount, &paths) {
                return Some(Unusable::Impossible(format!("The {volume}: {problem}")));
            }
            paths.extend(mount.map(|mount| &*mount.container_path));
            match self.volumes.standing(&volume) {
                Some(Standing::Ready) => {}
                Some(Standing::Failed(why)) => {
                    return Some(Unusable::Failed(format!("The {volume} cannot be used: {why}")));
                }
                Some(Standing::Making) | None => {
                    return Some(Unusable::Unknown(format!("There is no {volume} on this agent")));
                }
            }
            if let Some((framework_id, task_id)) = used.get(&volume)
                && !piece.flavor.is_shared()
            {
                let user = format!("task {task_id} of framework {framework_id}");
                return Some(Unusable::Unknown(format!("The {volume} is in use by {user}")));
            }
        }
        None
    }
}

/// What is wrong with where a volume is wanted, beside others of the same task.
fn mount_problem(mount: Option<&VolumeMount>, others: &[&str]) -> Option<String> {
    let Some(VolumeMount { container_path: path, read_only }) = mount else {
        return Some("says no container_path".to_owned());
    };
    if *read_only {
        return Some("this agent cannot give a volume for reading only".to_owned());
    }
    let shown = || path.escape_debug().to_string().chars().take(200).collect::<String>();
    let wrong = |part: &str| matches!(part, "" | "." | "..") || part.len() > 255;
    if path.starts_with('/') {
        return Some(format!("container_path '{}' must be relative to the sandbox", shown()));
    }
    let too_long = path.len() > 1024 || path.contains('\0');
    if too_long || path.split('/').any(wrong) {
        return Some(format!("container_path '{}' must be a plain path in the sandbox", shown()));
    }
    if matches!(path.split('/').next(), Some("stdout" | "stderr")) {
        return Some(format!("container_path '{}' is where the task's output goes", shown()));
    }
    let within = |a: &str, b: &str| a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
    let clash = others.iter().find(|o| **o == &**path || within(o, path) || within(path, o));
    clash.map(|other| format!("container_path '{}' collides with '{other}'", shown()))
}
