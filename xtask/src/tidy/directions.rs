//! Who may depend on whom, from `cargo metadata`.
//!
//! A core depends on `proto` and pure value crates only; shells do not depend on each other,
//! except that `tepui` links all; `fenzo` knows none of ours; the simulator links cores, and
//! shells only for its end-to-end tests.

use super::{Tree, Violation};
use crate::workspace::{Dependency, Kind, Package};

/// What a package may name.
struct Row {
    name: &'static str,
    /// Packages of ours, as normal or build dependencies.
    ours: &'static [&'static str],
    /// Packages of ours, as dev-dependencies besides.
    dev: &'static [&'static str],
    foreign: Foreign,
}

/// Which foreign crates.
#[derive(PartialEq, Eq)]
enum Foreign {
    /// Pure value crates only.
    Values,
    /// Any, but for tokio; `proto` alone may name prost.
    NoRuntime,
    /// Any but tokio; tokio for tests.
    RuntimeForTests,
    /// Any.
    All,
}

/// Crates without clocks, entropy or input and output.
const VALUE_CRATES: [&str; 8] =
    ["bytes", "chrono", "chrono-tz", "croner", "regex", "serde", "smallvec", "thiserror"];

/// Consensus: a machine without input and output; its only draw of entropy is made void by its
/// options. The logger is there to be told to be silent.
const CONSENSUS: [&str; 2] = ["raft", "slog"];
const OWNER_OF_CONSENSUS: &str = "registrar-core";

/// The owner of the messages' generated types.
const OWNER_OF_PROST: &str = "proto";

const CORES: [&str; 6] =
    ["proto", "registrar-core", "master-core", "agent-core", "driver", "fenzo"];
const ALL_BUT_TOOLS: [&str; 16] = [
    "proto",
    "store",
    "clock",
    "grpc",
    "registrar-core",
    "registrar",
    "master-core",
    "master",
    "agent-core",
    "images",
    "fetch",
    "agent",
    "fenzo",
    "driver",
    "jobs",
    "tepui",
];

const TABLE: &[Row] = &[
    row("proto", &[], Foreign::NoRuntime),
    row("fenzo", &[], Foreign::Values),
    row("registrar-core", &["proto"], Foreign::Values),
    row("master-core", &["proto"], Foreign::Values),
    row("agent-core", &["proto"], Foreign::Values),
    row("store", &["proto"], Foreign::All),
    row("clock", &["proto"], Foreign::All),
    row("grpc", &["proto"], Foreign::All),
    row("registrar", &["registrar-core", "proto", "store", "clock", "grpc"], Foreign::All),
    row("master", &["master-core", "registrar", "proto", "store", "clock", "grpc"], Foreign::All),
    row("images", &[], Foreign::NoRuntime),
    row("fetch", &["images"], Foreign::All),
    row(
        "agent",
        &["agent-core", "images", "fetch", "proto", "store", "clock", "grpc"],
        Foreign::All,
    ),
    row("driver", &["proto", "store", "clock", "grpc", "fenzo"], Foreign::All),
    row("jobs", &["driver", "fenzo", "proto", "store", "grpc"], Foreign::All),
    row("tepui", &ALL_BUT_TOOLS, Foreign::All),
    Row { name: "sim", ours: &CORES, dev: &ALL_BUT_TOOLS, foreign: Foreign::RuntimeForTests },
    row(
        "bench",
        &["grpc", "master", "master-core", "proto", "registrar", "registrar-core", "store"],
        Foreign::All,
    ),
    row("torture", &["driver", "grpc", "proto"], Foreign::All),
    row("xtask", &[], Foreign::NoRuntime),
];

const fn row(name: &'static str, ours: &'static [&'static str], foreign: Foreign) -> Row {
    Row { name, ours, dev: &[], foreign }
}

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for package in &tree.packages {
        let Some(row) = TABLE.iter().find(|row| row.name == package.name) else {
            violations.push(Violation::file(
                "Cargo.toml",
                format!(
                    "package `{}` has no row in xtask/src/tidy/directions.rs: say what it may \
                     depend on",
                    package.name
                ),
            ));
            continue;
        };
        for dependency in &package.dependencies {
            if let Some(problem) = problem(row, dependency, &tree.packages) {
                violations.push(Violation::file("Cargo.toml", problem));
            }
        }
    }
    violations
}

fn problem(row: &Row, dependency: &Dependency, packages: &[Package]) -> Option<String> {
    let name = dependency.name.as_str();
    let dev = dependency.kind == Kind::Dev;
    let wrong = |why: &str| Some(format!("package `{}` depends on `{name}`: {why}", row.name));
    if packages.iter().any(|package| package.name == name) {
        let itself = name == row.name;
        let allowed = row.ours.contains(&name) || (dev && (row.dev.contains(&name) || itself));
        return if allowed { None } else { wrong("not among those it may name") };
    }
    let is_prost = name == "prost" || name.starts_with("prost-");
    if is_prost && row.name != OWNER_OF_PROST {
        return wrong("only proto names the wire types");
    }
    let is_runtime = name == "tokio" || name.starts_with("tokio-");
    let runtime_allowed =
        row.foreign == Foreign::All || (dev && row.foreign == Foreign::RuntimeForTests);
    if is_runtime && !runtime_allowed {
        return wrong("only shells name tokio");
    }
    if CONSENSUS.contains(&name) {
        let owns = row.name == OWNER_OF_CONSENSUS;
        return if owns { None } else { wrong("only the registrar's core names raft") };
    }
    if row.foreign == Foreign::Values && !dev && !VALUE_CRATES.contains(&name) {
        return wrong("a core takes pure value crates only");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(name: &str, dependency: &str, kind: Kind) -> Vec<Violation> {
        let member = |name: &str| Package { name: name.to_owned(), ..Package::default() };
        let packages = TABLE.iter().map(|row| member(row.name)).collect();
        let mut tree = Tree { packages, ..Tree::default() };
        let mut package = member(name);
        package.dependencies.push(Dependency { name: dependency.to_owned(), kind });
        tree.packages.push(package);
        check(&tree)
    }

    #[test]
    fn planted_wrong_directions_are_reported() {
        for (name, dependency, kind) in [
            ("master-core", "agent-core", Kind::Normal),
            ("master-core", "tokio", Kind::Normal),
            ("master-core", "rand", Kind::Normal),
            ("master", "agent", Kind::Normal),
            ("fenzo", "proto", Kind::Dev),
            ("sim", "master", Kind::Normal),
            ("sim", "tokio", Kind::Normal),
            ("proto", "tokio-stream", Kind::Normal),
            ("grpc", "prost", Kind::Normal),
            ("jobs", "prost-types", Kind::Dev),
            ("xtask", "proto", Kind::Normal),
            ("jobs", "tepui", Kind::Normal),
            ("registrar", "raft", Kind::Normal),
            ("registrar-core", "rand", Kind::Normal),
            ("registrar-core", "store", Kind::Normal),
        ] {
            let found = complaints(name, dependency, kind);
            assert_eq!(found.len(), 1, "{name} -> {dependency}: {found:?}");
            assert!(found[0].message.contains(dependency));
        }
    }

    #[test]
    fn right_directions_pass() {
        for (name, dependency, kind) in [
            ("master-core", "proto", Kind::Normal),
            ("master-core", "proptest", Kind::Dev),
            ("master", "tokio", Kind::Normal),
            ("sim", "master", Kind::Dev),
            ("sim", "tokio", Kind::Dev),
            ("proto", "prost", Kind::Normal),
            ("tepui", "agent", Kind::Normal),
            ("registrar-core", "raft", Kind::Normal),
        ] {
            assert_eq!(complaints(name, dependency, kind), [], "{name} -> {dependency}");
        }
    }

    #[test]
    fn a_package_without_a_row_is_reported() {
        let mut tree = Tree::default();
        tree.packages.push(Package { name: "newcomer".to_owned(), ..Package::default() });
        assert!(check(&tree)[0].message.contains("newcomer"));
    }
}
