//! The rules of the house that neither rustc nor clippy checks.
//!
//! Each rule is a pure function from a `Tree` (files in memory, packages from cargo) to
//! violations, in a file of its own, with a test that plants a violation and sees it reported.
//! A rule never repairs anything.

mod directions;
mod documents;
mod headers;
mod ignored;
mod invariants;
mod length;
mod names;
mod purity;
mod scenarios;
mod sleeping;
mod source;
mod tree;
mod words;

use std::fmt;

use crate::Failure;
use crate::workspace::Workspace;
use tree::Tree;

/// A broken rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    /// The file, relative to the root.
    path: String,
    /// Counted from one; zero for the file as a whole.
    line: usize,
    /// What is wrong and what to do.
    message: String,
}

impl Violation {
    fn file(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, message: message.into() }
    }

    fn line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(formatter, "{}: {}", self.path, self.message),
            line => write!(formatter, "{}:{line}: {}", self.path, self.message),
        }
    }
}

const RULES: [fn(&Tree) -> Vec<Violation>; 11] = [
    directions::check,
    length::check,
    headers::check,
    names::check,
    ignored::check,
    sleeping::check,
    invariants::check,
    scenarios::check,
    words::check,
    purity::check,
    documents::check,
];

/// Reads the tree of the workspace and applies every rule.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<Violation>, Failure> {
    let tree = Tree::read(workspace)
        .map_err(|error| Failure::Failed(format!("cannot read the tree: {error}")))?;
    let mut violations: Vec<Violation> = RULES.iter().flat_map(|rule| rule(&tree)).collect();
    violations.sort();
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_tidy() {
        let workspace = Workspace::load().unwrap();
        let violations = check(&workspace).unwrap();
        let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
        assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
    }
}
