//! What `cargo xtask torture` needs: root, network namespaces, and the tools that bring faults.

use super::{is_root, program};

/// Programs and the packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("strace", "strace"),
    ("faketime", "faketime"),
];

/// Installs what is missing, or says why it cannot run here.
pub(crate) fn ready() -> Result<(), String> {
    if !is_root() {
        return Err("needs root, for network namespaces".to_owned());
    }
    for (name, package) in PROGRAMS {
        program(name, &[package])?;
    }
    Ok(())
}
