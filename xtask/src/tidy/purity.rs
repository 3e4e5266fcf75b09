//! Cores are pure, and a lint makes it so: this rule sees to it that the lints are in place.
//!
//! Clippy reads the nearest clippy.toml, so each core has its own, thresholds repeated. The
//! driver's core is a folder of a package that also has a shell; there the banned names are
//! looked for in the text.

use super::source::{Source, has_word};
use super::tree::is_test_file;
use super::{Tree, Violation};

/// Folders of the packages that are cores.
const CORES: [&str; 4] = ["master/core/", "agent/core/", "registrar/core/", "fenzo/"];

/// What a core's clippy.toml must ban or repeat.
const BANS: [&str; 12] = [
    "disallowed-methods",
    "disallowed-types",
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::sleep",
    "std::fs::",
    "std::env::",
    "println",
    "std::collections::HashMap",
    "std::collections::HashSet",
    "reason = ",
    "too-many-lines-threshold = 70",
];

const FORBID: &str = "#![forbid(unsafe_code)]";
const DENIED: [&str; 3] =
    ["clippy::iter_over_hash_type", "clippy::unwrap_used", "clippy::wildcard_enum_match_arm"];

const DRIVER: &str = "frameworks/driver/";
const DRIVER_CORE: &str = "frameworks/driver/src/core";

/// What the driver's core must not name.
const IMPURE: [&str; 13] = [
    "tokio",
    "tracing",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "println",
    "eprintln",
];

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for core in CORES {
        let settings = format!("{core}clippy.toml");
        match tree.files.get(&settings) {
            None => {
                violations.push(Violation::file(&settings, "a core has its own, with the bans"));
            }
            Some(text) => violations.extend(
                BANS.iter()
                    .filter(|ban| !text.contains(**ban))
                    .map(|ban| Violation::file(&settings, format!("lacks `{ban}`"))),
            ),
        }
        let root = format!("{core}src/lib.rs");
        let code = tree.sources.get(&root).map_or("", |source| source.code.as_str());
        violations.extend(lacks_forbid(&root, code));
        violations.extend(lacks_denials(&root, code));
    }
    check_driver(tree, &mut violations);
    violations
}

fn lacks_forbid(path: &str, code: &str) -> Option<Violation> {
    let lacks = !code.contains(FORBID);
    lacks.then(|| Violation::file(path, format!("lacks `{FORBID}`")))
}

fn lacks_denials(path: &str, code: &str) -> Option<Violation> {
    let denied = inner_denials(code);
    let missing: Vec<&str> = DENIED.into_iter().filter(|lint| !denied.contains(lint)).collect();
    (!missing.is_empty())
        .then(|| Violation::file(path, format!("lacks `#![deny({})]`", missing.join(", "))))
}

/// The insides of all `#![deny(...)]` of a file.
fn inner_denials(code: &str) -> String {
    code.match_indices("#![deny(")
        .filter_map(|(at, _)| code[at..].split_once(']').map(|(inside, _)| inside))
        .collect()
}

fn check_driver(tree: &Tree, violations: &mut Vec<Violation>) {
    let root = format!("{DRIVER}src/lib.rs");
    let code = tree.sources.get(&root).map_or("", |source| source.code.as_str());
    violations.extend(lacks_forbid(&root, code));
    let modules = [format!("{DRIVER_CORE}/mod.rs"), format!("{DRIVER_CORE}.rs")];
    let Some((path, source)) =
        modules.iter().find_map(|path| Some((path, tree.sources.get(path)?)))
    else {
        violations.push(Violation::file(&modules[0], "the driver's core is missing"));
        return;
    };
    violations.extend(lacks_denials(path, &source.code));
    for (path, source) in &tree.sources {
        if path.starts_with(&format!("{DRIVER_CORE}/")) || *path == modules[1] {
            violations.extend(impurities(path, source));
        }
    }
}

fn impurities(path: &str, source: &Source) -> Vec<Violation> {
    if is_test_file(path) {
        return Vec::new();
    }
    let mut violations = Vec::new();
    for (at, line) in source.code.lines().enumerate() {
        let clock = line.contains("std::time") && !line.contains("std::time::Duration");
        let named = IMPURE.iter().find(|name| has_word(line, name)).copied();
        if let Some(name) = named.or(clock.then_some("std::time")) {
            let message = format!("`{name}` in the driver's core: that is the shell's");
            violations.push(Violation::line(path, at + 1, message));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "#![deny(clippy::iter_over_hash_type, clippy::unwrap_used, \
                        clippy::wildcard_enum_match_arm)]\n";

    /// A tree in which every core is as it should be.
    fn pure() -> Tree {
        let mut tree = Tree::default();
        for core in CORES {
            tree.insert(&format!("{core}clippy.toml"), &BANS.join("\n"));
            tree.insert(&format!("{core}src/lib.rs"), &format!("{FORBID}\n{DENY}"));
        }
        tree.insert("frameworks/driver/src/lib.rs", FORBID);
        tree.insert("frameworks/driver/src/core/mod.rs", DENY);
        tree
    }

    #[test]
    fn pure_cores_pass() {
        assert_eq!(check(&pure()), []);
    }

    #[test]
    fn missing_bans_and_lints_are_reported() {
        let mut tree = pure();
        tree.insert("fenzo/clippy.toml", &BANS.join("\n").replace("std::thread::sleep", ""));
        tree.insert(
            "agent/core/src/lib.rs",
            &format!("// {FORBID}\n#![deny(clippy::unwrap_used)]"),
        );
        tree.files.remove("master/core/clippy.toml");
        let found: Vec<String> = check(&tree).into_iter().map(|found| found.to_string()).collect();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[0].contains("master/core/clippy.toml"));
        assert!(found[1].contains("forbid") && found[2].contains("iter_over_hash_type"));
        assert!(!found[2].contains("unwrap_used") && found[3].contains("std::thread::sleep"));
    }

    #[test]
    fn impure_names_in_the_drivers_core_are_reported() {
        let mut tree = pure();
        tree.insert(
            "frameworks/driver/src/core/link.rs",
            "use std::time::Duration;\nuse std::time::{self};\nuse tokio::sync;\n// tokio\n\
             let at = Instant::now();\n",
        );
        tree.insert("frameworks/driver/src/shell.rs", "use tokio::sync;\n");
        let lines: Vec<usize> = check(&tree).into_iter().map(|found| found.line).collect();
        assert_eq!(lines, [2, 3, 5]);
    }

    #[test]
    fn a_missing_core_of_the_driver_is_reported() {
        let mut tree = pure();
        tree.sources.remove("frameworks/driver/src/core/mod.rs");
        assert_eq!(check(&tree).len(), 1);
    }
}
