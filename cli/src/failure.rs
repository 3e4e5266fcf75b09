//! What goes wrong for a person at the terminal: what failed, why, and what to do next.
//!
//! Everything that ends a command unsuccessfully becomes a `Failure`, and its code is the process'
//! exit code. The codes are documented in `docs/operations.md`.

use std::fmt;

/// Exit codes. They never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Code {
    /// Something failed.
    Failed = 1,
    /// The command line, a flag or a configuration is wrong.
    Usage = 2,
    /// The named thing does not exist.
    NotFound = 3,
    /// Not allowed.
    Denied = 4,
    /// It conflicts with what is there.
    Conflict = 5,
    /// It took too long.
    Timeout = 6,
    /// The server cannot be reached.
    Unavailable = 7,
    /// The task or job ended unsuccessfully.
    Unsuccessful = 8,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What failed and why, naming the thing and the value.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) next: Option<String>,
}

impl Failure {
    /// A failure without advice.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code: code as u8, message: message.into(), next: None }
    }

    /// With advice: a command to copy, or what to change.
    #[must_use]
    pub(crate) fn next(mut self, advice: impl Into<String>) -> Self {
        self.next = Some(advice.into());
        self
    }

    /// The server answered, but not to what it was asked.
    pub(crate) fn other_answer() -> Self {
        Self::new(Code::Failed, "the master answered something else")
            .next("compare 'tepui version' here with the master's: they may differ too much")
    }

    /// The exit code of a task passed on: nothing is printed for it.
    pub(crate) fn exit(code: u8) -> Self {
        Self { code, message: String::new(), next: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.message.is_empty() {
            return Ok(());
        }
        write!(f, "error: {}", self.message)?;
        if let Some(next) = &self.next {
            write!(f, "\nnext:  {next}")?;
        }
        Ok(())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::Failed, format!("{error:#}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_and_what_next() {
        let failure = Failure::new(Code::Conflict, "port 5050 is in use").next("use --port 5051");
        assert_eq!(failure.to_string(), "error: port 5050 is in use\nnext:  use --port 5051");
        assert_eq!(failure.code, 5);
    }

    /// Every code with its meaning, as the documentation has it.
    const MEANINGS: [(Code, &str); 8] = [
        (Code::Failed, "something failed"),
        (Code::Usage, "the command line, a flag or a spec is wrong"),
        (Code::NotFound, "the named thing does not exist"),
        (Code::Denied, "not allowed"),
        (
            Code::Conflict,
            "it conflicts with what is there (a port in use, a foreign data directory)",
        ),
        (Code::Timeout, "it took too long (wait, a bounded start)"),
        (Code::Unavailable, "the server cannot be reached"),
        (Code::Unsuccessful, "the task or job ended unsuccessfully"),
    ];

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../docs/operations.md");
        for (code, meaning) in MEANINGS {
            let row = format!("| {} | {meaning} |", code as u8);
            assert!(page.contains(&row), "docs/operations.md lacks: {row}");
        }
    }
}
