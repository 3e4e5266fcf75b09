//! How a supervisor is told what to serve, in the form of its own command line.
//!
//! The agent starts the supervisor with [`Options::to_arguments`] and the process reads them back
//! with [`Options::from_arguments`], so the two can never disagree.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// What an operator wants of cgroups besides limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// Tasks that ask for whole cpus have them alone.
    pub pin_cpus: bool,
    /// Disks are shared by weight, as cpus are.
    pub io_weight: bool,
}

/// What a supervisor serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Unix socket to listen on (mode 0600, same user only).
    pub socket: PathBuf,
    /// Directory of the supervisor's lock and log. One supervisor a directory.
    pub dir: PathBuf,
    /// Directory under which pooled sandboxes are made.
    pub sandboxes: PathBuf,
    /// Name of our cgroup under `tepui/` in each hierarchy.
    pub name: String,
    /// How long to wait for an agent to come back once nothing runs and nothing is unacknowledged.
    pub away_grace: Duration,
    /// Whether to use cgroups where they are permitted.
    pub cgroups: bool,
    /// What is wanted of them besides limits.
    pub extras: Extras,
    /// Stay in the foreground instead of detaching once the socket listens.
    pub foreground: bool,
}

/// A command line that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An argument we do not know.
    #[error("unexpected argument {0:?}")]
    Unexpected(OsString),
    /// An option without its value.
    #[error("{0} needs a value")]
    NoValue(&'static str),
    /// A value of the wrong kind.
    #[error("{option}: {problem}")]
    BadValue {
        /// Which option.
        option: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// An option that must be given.
    #[error("{0} must be given")]
    Missing(&'static str),
}

impl Options {
    /// The arguments (after the subcommand) that say the same.
    pub fn to_arguments(&self) -> Vec<OsString> {
        let mut out: Vec<OsString> = Vec::new();
        let mut pair = |name: &str, value: &OsStr| out.extend([name.into(), value.to_owned()]);
        pair("--socket", self.socket.as_os_str());
        pair("--dir", self.dir.as_os_str());
        pair("--sandboxes", self.sandboxes.as_os_str());
        pair("--name", OsStr::new(&self.name));
        pair("--away-grace-ms", OsStr::new(&self.away_grace.as_millis().to_string()));
        if !self.cgroups {
            out.push("--no-cgroups".into());
        }
        if self.extras.pin_cpus {
            out.push("--pin-cpus".into());
        }
        if self.extras.io_weight {
            out.push("--io-weight".into());
        }
        if self.foreground {
            out.push("--foreground".into());
        }
        out
    }

    /// Reads arguments (after the subcommand).
    pub fn from_arguments(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, UsageError> {
        let (mut socket, mut dir, mut sandboxes, mut name) = (None, None, None, None);
        let mut away_grace = Duration::from_secs(600);
        let (mut cgroups, mut foreground) = (true, false);
        let mut extras = Extras::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = |option| arguments.next().ok_or(UsageError::NoValue(option));
            match argument.to_str() {
                Some("--socket") => socket = Some(PathBuf::from(value("--socket")?)),
                Some("--dir") => dir = Some(PathBuf::from(value("--dir")?)),
                Some("--sandboxes") => sandboxes = Some(PathBuf::from(value("--sandboxes")?)),
                Some("--name") => name = Some(checked_name(&value("--name")?)?),
                Some("--away-grace-ms") => {
                    away_grace = Duration::from_millis(number(&value("--away-grace-ms")?)?);
                }
                Some("--no-cgroups") => cgroups = false,
                Some("--pin-cpus") => extras.pin_cpus = true,
                Some("--io-weight") => extras.io_weight = true,
                Some("--foreground") => foreground = true,
                _ => return Err(UsageError::Unexpected(argument)),
            }
        }
        Ok(Self {
            socket: socket.ok_or(UsageError::Missing("--socket"))?,
            dir: dir.ok_or(UsageError::Missing("--dir"))?,
            sandboxes: sandboxes.ok_or(UsageError::Missing("--sandboxes"))?,
            name: name.ok_or(UsageError::Missing("--name"))?,
            away_grace,
            cgroups,
            extras,
            foreground,
        })
    }
}

fn number(value: &OsStr) -> Result<u64, UsageError> {
    let text = value.to_string_lossy();
    text.parse().map_err(|_| UsageError::BadValue {
        option: "--away-grace-ms",
        problem: format!("{text:?} is not a whole number of milliseconds"),
    })
}

/// The name becomes a directory in every hierarchy, and what is in there is ours to kill.
fn checked_name(value: &OsStr) -> Result<String, UsageError> {
    let text = value.to_string_lossy().into_owned();
    let fine = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if text.is_empty() || text.len() > 100 || !fine || text.starts_with('.') {
        return Err(UsageError::BadValue {
            option: "--name",
            problem: format!("{text:?}: use 1 to 100 letters, digits, '-', '_' or '.'"),
        });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_say_what_the_options_say() {
        let options = Options {
            socket: "/a/s".into(),
            dir: "/a".into(),
            sandboxes: "/b".into(),
            name: "agent-1".into(),
            away_grace: Duration::from_millis(1500),
            cgroups: false,
            extras: Extras { pin_cpus: true, io_weight: true },
            foreground: true,
        };
        assert_eq!(Options::from_arguments(options.to_arguments()), Ok(options));
    }

    #[test]
    fn a_name_that_would_leave_our_cgroup_is_refused() {
        for name in ["..", "a/b", "", ".hidden", "a b"] {
            let arguments = ["--socket", "s", "--dir", "d", "--sandboxes", "b", "--name", name];
            let parsed = Options::from_arguments(arguments.map(OsString::from));
            assert!(matches!(parsed, Err(UsageError::BadValue { .. })), "{name:?}: {parsed:?}");
        }
    }
}
