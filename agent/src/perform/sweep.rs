//! What earlier runs, and containers that ended, left to be removed.

use super::Performer;
use agent_core::Agent;

impl Performer {
    /// Removes what earlier runs of the agent deleted and did not get to remove, and what groups
    /// shared that are no more.
    pub(crate) fn sweep_volumes(&self, core: &Agent) {
        self.volumes.keep_groups(core.groups());
        tokio::spawn(self.volumes.clone().sweep());
    }

    /// Removes what groups shared: all tasks have been ended, and nobody will hear of it.
    pub(crate) fn remove_groups(&self) -> impl Future<Output = ()> + Send + use<> {
        self.volumes.keep_groups(std::iter::empty());
        self.volumes.clone().sweep()
    }

    /// Removes what containers wrote over their images, unless that is being done.
    pub(crate) fn empty_trash(&self) {
        let (trash, emptying) =
            (crate::supervisor::trash(&self.layout.supervisor), self.emptying.clone());
        tokio::task::spawn_blocking(move || {
            let Ok(_alone) = emptying.try_lock() else { return };
            for entry in std::fs::read_dir(&trash).into_iter().flatten().flatten() {
                if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                    let path = entry.path();
                    tracing::warn!(path = %path.display(), %error, "a layer could not be removed");
                }
            }
        });
    }
}
