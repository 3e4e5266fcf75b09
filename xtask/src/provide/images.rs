//! What tests of containers and of networks make images of: a busybox, as root.

use super::guest::busybox;
use super::is_root;
use crate::groups::Variables;
use crate::workspace::Workspace;

/// Tests that find this variable set fail where they cannot run, instead of saying so.
pub(crate) fn ready(_: &Workspace) -> Result<Variables, String> {
    if !is_root() {
        return Err("containers and networks need root".to_owned());
    }
    Ok(vec![("TEPUI_BUSYBOX", busybox()?.display().to_string())])
}
