//! Errors of decoding and of checked construction: each names the field and the problem.

use std::fmt;

/// A value that may not exist, such as an empty task id. Says what it was and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValue {
    /// What kind of value was to be made, in the words of the protocol ("TaskID", "role").
    pub what: &'static str,
    /// What is wrong with it, as a clause ("must not be empty").
    pub problem: String,
}

impl InvalidValue {
    /// Says that `what` cannot be made because of `problem`.
    pub fn new(what: &'static str, problem: impl Into<String>) -> Self {
        Self { what, problem: problem.into() }
    }
}

impl fmt::Display for InvalidValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.problem)
    }
}

impl std::error::Error for InvalidValue {}

/// The problem of a field that is required and not there.
const MISSING: &str = "Missing required fields";

/// A message that could not be decoded: the path of the field, and the problem with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Dotted path from the message's root, such as `accept.operations[0].launch.task_infos[2]`;
    /// empty when the message as a whole is at fault.
    pub field: String,
    /// What is wrong, as a clause.
    pub problem: String,
}

impl DecodeError {
    /// An error at `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The error of a required field that is not there.
    pub fn missing(field: impl Into<String>) -> Self {
        Self::new(field, MISSING)
    }

    /// The same error seen from the map that holds it under `key`, which a peer chose.
    #[must_use]
    pub(crate) fn under(self, key: &str) -> Self {
        self.within(&format!("['{}']", shown(key)))
    }

    /// The same error seen from the message that holds it under `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        if self.field.is_empty() {
            self.field = parent.to_owned();
        } else if self.field.starts_with('[') {
            self.field = format!("{parent}{}", self.field);
        } else {
            self.field = format!("{parent}.{}", self.field);
        }
        self
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.problem)
        } else if self.problem == MISSING {
            // The words of Mesos, which some clients look for.
            write!(f, "{MISSING}: {}", self.field)
        } else {
            write!(f, "{}: {}", self.field, self.problem)
        }
    }
}

impl std::error::Error for DecodeError {}

impl From<InvalidValue> for DecodeError {
    fn from(error: InvalidValue) -> Self {
        Self { field: String::new(), problem: error.to_string() }
    }
}

/// Text of a peer as it may stand in a complaint: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 64;
    let mut out: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        out.push_str("...");
    }
    out
}

/// A number of a peer as it may stand in a complaint: never hundreds of digits.
pub(crate) fn number(value: f64) -> String {
    const PLAIN: std::ops::Range<f64> = 1e-6..1e15;
    let plain = value == 0.0 || !value.is_finite() || PLAIN.contains(&value.abs());
    if plain { value.to_string() } else { format!("{value:e}") }
}
