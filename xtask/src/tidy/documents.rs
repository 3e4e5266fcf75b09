//! README, CHANGELOG and LICENSE hold what a stranger looks for, in the order they read it.

use super::{Tree, Violation};

const README: &str = "README.md";
const CHANGELOG: &str = "CHANGELOG.md";

/// After the introduction, headings that contain these, in this order.
const SECTIONS: [&str; 5] = ["two commands", "demo", "one task", "framework", "read on"];

/// The two commands: a cluster that works, and every test.
const COMMANDS: [&str; 2] = ["cargo run --release -- demo", "cargo xtask test"];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let text = |path: &str| tree.files.get(path).map(String::as_str);
    let mut violations = match text(README) {
        Some(text) => readme(text),
        None => vec![Violation::file(README, "is missing")],
    };
    let first = text(CHANGELOG).and_then(|text| text.lines().find(|line| line.starts_with("## ")));
    if !first.is_some_and(|heading| heading.contains("Unreleased")) {
        violations.push(Violation::file(CHANGELOG, "its first `## ` heading is not Unreleased"));
    }
    if !text("LICENSE").is_some_and(|text| text.contains("Apache License")) {
        violations.push(Violation::file("LICENSE", "is not the Apache License"));
    }
    violations
}

fn readme(text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut wanted = SECTIONS.iter().peekable();
    let mut introduction = false;
    let mut sections = 0;
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let heading = !fenced && line.starts_with('#');
        if heading && line.starts_with("##") {
            sections += 1;
            let title = line.to_lowercase();
            wanted.next_if(|section| title.contains(**section));
        } else if !heading && !line.trim().is_empty() && sections == 0 {
            introduction = true;
        }
    }
    if !introduction {
        violations.push(Violation::file(README, "does not begin with what it is"));
    }
    if let Some(section) = wanted.next() {
        let order = SECTIONS.join(", ");
        let message = format!("no heading with `{section}` where it should be; order: {order}");
        violations.push(Violation::file(README, message));
    }
    for command in COMMANDS.iter().filter(|command| !text.contains(**command)) {
        violations.push(Violation::file(README, format!("does not show `{command}`")));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Tepui\nWhat it is.\n## Two commands\n```\n# comment\ncargo run --release \
                        -- demo\ncargo xtask test\n```\n## The demo\n## Run one task\n\
                        ## Write a framework\n## Where to read on\n";

    fn tree(readme: &str, changelog: &str) -> Tree {
        let license = ("LICENSE", "Apache License");
        Tree::of(&[(README, readme), (CHANGELOG, changelog), license])
    }

    #[test]
    fn the_right_documents_pass() {
        assert_eq!(check(&tree(GOOD, "# Changes\n## Unreleased\n")), []);
    }

    #[test]
    fn what_is_missing_or_out_of_order_is_reported() {
        let swapped = GOOD.replace("## The demo\n## Run one task", "## Run one task\n## The demo");
        assert_eq!(check(&tree(&swapped, "## Unreleased")).len(), 1);
        let silent = GOOD.replace("What it is.\n", "").replace("cargo xtask test", "");
        assert_eq!(check(&tree(&silent, "## 0.1\n## Unreleased")).len(), 3);
        assert_eq!(check(&Tree::default()).len(), 3);
    }
}
