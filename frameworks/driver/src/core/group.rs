//! What a group is: units of one template with one policy, either each run to one end (a ledger)
//! or kept running (replicas).
//!
//! Plain data with a serialised form, since a group is recorded once and read back at every start.

use super::rule::Rule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The name of a group, unique for ever within its framework: `<name>-<number>`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// The id as people write it; whether there is such a group is found out when it is used.
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    pub(crate) fn numbered(name: &str, number: u32) -> Self {
        Self(Arc::from(format!("{name}-{number}")))
    }

    /// The number at its end.
    pub(crate) fn number(&self) -> Option<u32> {
        let (_, number) = self.0.rsplit_once('-')?;
        number.parse().ok()
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A group as it is submitted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name: letters, digits, `-` and `_`, at most 63; becomes part of ids.
    pub name: String,
    /// Makes a repeated submit harmless: the same token takes the group on once.
    pub token: Option<String>,
    /// What is done with its units.
    pub kind: Kind,
    /// How many units.
    pub count: u32,
    /// What each unit runs.
    pub template: Template,
    /// How failures are retried.
    pub retry: Retry,
    /// How long an attempt may run.
    pub run_limit: Option<Duration>,
    /// How long a unit may wait for a place.
    pub pending_limit: Option<Duration>,
    /// What exit codes mean, where it is not the usual; a signal n counts as 128 + n.
    pub on_exit: BTreeMap<i32, ExitRule>,
    /// For the owner; the engine does not read it.
    pub labels: BTreeMap<String, String>,
}

impl GroupSpec {
    /// A group with the default policy.
    pub fn new(name: impl Into<String>, kind: Kind, count: u32, template: Template) -> Self {
        Self {
            name: name.into(),
            token: None,
            kind,
            count,
            template,
            retry: Retry::default(),
            run_limit: None,
            pending_limit: None,
            on_exit: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    /// Most units of a group.
    pub const MAX_UNITS: u32 = 10_000_000;

    /// Whether it can be taken on.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), SpecError> {
        let name_ok = !self.name.is_empty()
            && self.name.len() <= 63
            && self.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !name_ok {
            return Err(SpecError::Name(self.name.clone()));
        }
        if self.count == 0 && self.kind == Kind::Ledger || self.count > Self::MAX_UNITS {
            return Err(SpecError::Count(self.count));
        }
        if self.template.resources.values().all(|milli| *milli == 0) {
            return Err(SpecError::NoResources);
        }
        Ok(())
    }
}

/// Why a specification cannot be taken on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// Its name is no name.
    Name(String),
    /// Its number of units.
    Count(u32),
    /// It uses nothing.
    NoResources,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "'{}' is no name: 1 to 63 letters, digits, '-' and '_'",
                name.escape_debug()
            ),
            Self::Count(count) => {
                write!(f, "{count} units: from 1 to {} are possible", GroupSpec::MAX_UNITS)
            }
            Self::NoResources => f.write_str("a unit must use some resource, such as cpus"),
        }
    }
}

/// What is done with the units of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Each unit is run until it has one recorded end.
    Ledger,
    /// Each unit is kept running, and replaced when it ends.
    Replica,
}

/// What a unit runs and needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Scalars by name (`cpus`, `mem`, `disk`, `gpus`), in thousandths.
    pub resources: BTreeMap<String, u64>,
    /// How many ports.
    pub ports: u32,
    /// The command.
    pub command: Command,
    /// Where it may run, and where it would rather run.
    pub rules: Vec<Rule>,
    /// Between TERM and KILL; Mesos' default (3 s) when absent.
    pub kill_grace: Option<Duration>,
    /// Memory limit above the request, thousandths of a MB.
    pub memory_limit: Option<u64>,
}

/// A command of a unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Whether a shell reads `value`.
    pub shell: bool,
    /// The command line, or the executable.
    pub value: String,
    /// Arguments when `shell` is false; the first is the program's own name.
    pub arguments: Vec<String>,
    /// Environment variables, in order; the engine adds TEPUI_JOB, TEPUI_INDEX, TEPUI_ATTEMPT,
    /// TEPUI_COUNT, TEPUI_TASK and, with ports, PORT0 and so on.
    pub environment: Vec<(String, String)>,
    /// The user to run as.
    pub user: Option<String>,
    /// The image that is its root file system, by its name in the agents' stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// How often a unit is tried again, by whose fault it was; each budget is for one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Ends that are the unit's own fault (exit code, signal, out of memory).
    pub user: u32,
    /// Ends that are the platform's fault.
    pub platform: u32,
    /// Ends by the run limit.
    pub timeout: u32,
    /// Wait before the first retry of the unit's own fault; doubles.
    pub backoff_first: Duration,
    /// Longest wait before a retry.
    pub backoff_most: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            user: 2,
            platform: 10,
            timeout: 0,
            backoff_first: Duration::from_secs(1),
            backoff_most: Duration::from_secs(60),
        }
    }
}

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitRule {
    /// It is a success.
    Succeed,
    /// It is final: no retry.
    Fail,
    /// Try again without charging a budget, after the first back-off.
    Retry,
    /// The platform disturbed it: run again at once.
    Disrupted,
}
