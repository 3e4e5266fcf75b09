//! An ignored test says which test group runs it, and the group exists.

use super::{Tree, Violation};
use crate::groups;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, source) in &tree.sources {
        for (at, (code, full)) in source.code.lines().zip(source.uncommented.lines()).enumerate() {
            let attribute = code.trim_start();
            let ignores = attribute.starts_with("#[ignore")
                || (attribute.starts_with("#[cfg_attr") && attribute.contains("ignore"));
            if ignores && !names_group(full) {
                violations.push(Violation::line(
                    path,
                    at + 1,
                    "an ignored test names its group: `#[ignore = \"group NAME: what it needs\"]`",
                ));
            }
        }
    }
    violations
}

fn names_group(line: &str) -> bool {
    let reason = line.split_once("ignore = \"group ").map(|(_, reason)| reason);
    let parts = reason.and_then(|reason| reason.split_once(": "));
    parts.is_some_and(|(name, needs)| {
        groups::marked().any(|group| group == name) && !needs.starts_with('"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ignored_test_without_a_known_group_is_reported() {
        let tree = Tree::of(&[(
            "a/tests/x.rs",
            "#[ignore]\n#[ignore = \"slow\"]\n#[ignore = \"group nowhere: x\"]\n\
             #[ignore = \"group guest: a kernel\"]\n// #[ignore]\n#[ignore = \"group guest\"]\n",
        )]);
        let lines: Vec<usize> = check(&tree).into_iter().map(|found| found.line).collect();
        assert_eq!(lines, [1, 2, 3, 6]);
    }
}
