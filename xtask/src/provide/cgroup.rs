//! Group `cgroup`: root, and a cgroup hierarchy that may be written.
//!
//! The probe makes one cgroup of our own name and removes it at once.

use std::path::Path;

use super::is_root;
use crate::groups::Variables;
use crate::workspace::Workspace;

/// Where hierarchies are mounted: v1 controllers first, then v2 (also under hybrid).
const PLACES: [&str; 4] = ["pids", "memory", "unified", ""];

/// Checks; there is nothing to install.
pub(crate) fn ready(_: &Workspace) -> Result<Variables, String> {
    if !is_root() {
        return Err("needs root".to_owned());
    }
    let name = format!("tepui-xtask-{}", std::process::id());
    for place in PLACES {
        let mount = Path::new("/sys/fs/cgroup").join(place);
        if !mount.join("cgroup.procs").exists() {
            continue;
        }
        let probe = mount.join(&name);
        if std::fs::create_dir(&probe).is_ok() {
            std::fs::remove_dir(&probe)
                .map_err(|error| format!("cannot remove {}: {error}", probe.display()))?;
            return Ok(Vec::new());
        }
    }
    Err("no cgroup hierarchy under /sys/fs/cgroup can be written".to_owned())
}
