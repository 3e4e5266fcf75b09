//! `tepui version`: what this program is, and what API it speaks.

use crate::failure::Failure;
use crate::output::{self, Form};

/// The Mesos API version that the master announces to clients.
const MESOS: &str = "1.11.0";

/// Prints the versions.
pub(crate) fn run(form: Form) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match form {
        Form::Table => output::print(&format!("tepui {version} (Mesos API {MESOS})\n")),
        Form::Json => {
            output::print_json(&serde_json::json!({ "tepui": version, "mesos_api": MESOS }));
        }
    }
    Ok(())
}
