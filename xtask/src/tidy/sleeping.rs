//! Tests wait for events, with a bound; they do not sleep and hope.
//!
//! Where time passing is itself the event that the test produces, a comment `// waits: ` says so.

use super::tree::is_test_file;
use super::{Tree, Violation};

const SLEEPS: [&str; 2] = ["thread::sleep", "time::sleep"];
const EXCUSE: &str = "// waits: ";
/// The excuse stands on the line or at most this many lines above.
const REACH: usize = 2;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, source) in &tree.sources {
        let raw: Vec<&str> = source.raw.lines().collect();
        let mut in_tests = is_test_file(path);
        for (at, line) in source.code.lines().enumerate() {
            // By the style of the house, tests are the last item of a file.
            in_tests |= line.trim_start().starts_with("#[cfg(test)]") && opens_module(&raw, at);
            let sleeps = in_tests && SLEEPS.iter().any(|sleep| line.contains(sleep));
            let near = &raw[at.saturating_sub(REACH)..=at];
            if sleeps && !near.iter().any(|line| line.contains(EXCUSE)) {
                violations.push(Violation::line(
                    path,
                    at + 1,
                    "a test sleeps: wait for the event, or say `// waits: ` which event the \
                     passing time is",
                ));
            }
        }
    }
    violations
}

fn opens_module(raw: &[&str], attribute: usize) -> bool {
    raw.iter()
        .skip(attribute + 1)
        .find(|line| !line.trim_start().starts_with("#["))
        .is_some_and(|line| line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeping_test_is_reported_unless_it_says_why() {
        let sleep = "    std::thread::sleep(x);\n";
        let tree = Tree::of(&[
            ("a/src/tests.rs", &format!("{sleep}    // waits: the lease ends\n{sleep}")),
            ("a/src/lib.rs", &format!("{sleep}#[cfg(test)]\nmod tests {{\n{sleep}}}\n")),
            ("a/src/fine.rs", &format!("#[cfg(test)]\nmod tests;\n{sleep}")),
        ]);
        let found: Vec<(String, usize)> =
            check(&tree).into_iter().map(|found| (found.path, found.line)).collect();
        assert_eq!(found, [("a/src/lib.rs".to_owned(), 4), ("a/src/tests.rs".to_owned(), 1)]);
    }
}
