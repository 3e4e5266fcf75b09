//! Where the workspace is and what it consists of, asked of `cargo metadata` once.
//!
//! It never guesses paths: the root and the target directory are cargo's own answers.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::Failure;

/// The workspace as cargo sees it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The members, in cargo's order.
    pub(crate) packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Declared dependencies of every kind.
    pub(crate) dependencies: Vec<Dependency>,
    /// The binaries it builds, and its examples as `examples/NAME`, which is where they are built.
    pub(crate) binaries: Vec<String>,
}

/// A declared dependency.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// For what a dependency is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Normal,
    Dev,
    Build,
}

impl Workspace {
    /// Asks cargo; needs no network.
    pub(crate) fn load() -> Result<Self, Failure> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = Command::new(cargo())
            .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
            .arg(&manifest)
            .output()
            .map_err(|error| Failure::Failed(format!("cannot run cargo metadata: {error}")))?;
        if !output.status.success() {
            return Err(Failure::Failed(format!(
                "cargo metadata failed:\n{}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::Failed(format!("cargo metadata is no JSON: {error}")))?;
        Ok(Self {
            root: text(&metadata, "workspace_root").into(),
            target: text(&metadata, "target_directory").into(),
            packages: list(&metadata, "packages").iter().map(package).collect(),
        })
    }

    /// Whether a member builds the binary.
    pub(crate) fn has_binary(&self, package: &str, binary: &str) -> bool {
        self.packages
            .iter()
            .any(|known| known.name == package && known.binaries.iter().any(|name| name == binary))
    }

    /// `cargo` in the root with the arguments, `--locked` in continuous integration.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cargo());
        let (own, passed) = match arguments.iter().position(|argument| *argument == "--") {
            Some(at) => arguments.split_at(at),
            None => (arguments, [].as_slice()),
        };
        command.current_dir(&self.root).args(own);
        if in_ci() && own.first() != Some(&"fmt") {
            command.arg("--locked");
        }
        if in_ci() {
            // What is built once has no use for what makes the next build shorter (4 GB).
            command.env("CARGO_INCREMENTAL", "0");
        }
        command.args(passed);
        command
    }
}

/// Whether `CI=true`.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// The cargo that runs us, so that a toolchain chosen with `+name` stays chosen.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn package(value: &Value) -> Package {
    let binary = |target: &Value| {
        let is = |wanted: &str| list(target, "kind").iter().any(|kind| kind == wanted);
        let name = text(target, "name");
        is("bin")
            .then(|| name.clone())
            .or_else(|| is("example").then(|| format!("examples/{name}")))
    };
    Package {
        name: text(value, "name"),
        dependencies: list(value, "dependencies").iter().map(dependency).collect(),
        binaries: list(value, "targets").iter().filter_map(binary).collect(),
    }
}

fn dependency(value: &Value) -> Dependency {
    let kind = match value.get("kind").and_then(Value::as_str) {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    };
    Dependency { name: text(value, "name"), kind }
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_names_members_binaries_and_kinds_of_dependency() {
        let value: Value = serde_json::from_str(
            r#"{"name":"p","dependencies":[{"name":"a","kind":null},{"name":"b","kind":"dev"}],
                "targets":[{"name":"x","kind":["bin"]},{"name":"p","kind":["lib"]},
                {"name":"e","kind":["example"]}]}"#,
        )
        .unwrap();
        let package = package(&value);
        assert_eq!(package.binaries, ["x", "examples/e"]);
        assert_eq!(package.dependencies[0].kind, Kind::Normal);
        assert_eq!(package.dependencies[1].kind, Kind::Dev);
    }
}
