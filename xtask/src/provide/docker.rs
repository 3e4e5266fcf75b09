//! Group `docker`: root, and the programs from which each test starts an engine of its own.
//!
//! Nothing of the machine's own engine is touched, if it has one.

use super::{cgroup, is_root, program};
use crate::groups::Variables;
use crate::workspace::Workspace;

/// Checks, and installs what is missing.
pub(crate) fn ready(workspace: &Workspace) -> Result<Variables, String> {
    if !is_root() {
        return Err("needs root".to_owned());
    }
    for (name, packages) in [
        ("dockerd", ["docker.io"]),
        ("iptables", ["iptables"]),
        ("busybox", ["busybox-static"]),
        ("unshare", ["util-linux"]),
        ("ip", ["iproute2"]),
    ] {
        program(name, &packages)?;
    }
    cgroup::ready(workspace)
}
