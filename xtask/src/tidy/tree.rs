//! The files of the project in memory: what git tracks or would track.
//!
//! Rules read this and never the disk, so that a test can plant whatever it likes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::source::Source;
use crate::step;
use crate::workspace::{Package, Workspace};

/// Everything the rules may look at.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Text files by path relative to the root.
    pub(super) files: BTreeMap<String, String>,
    /// The Rust files among them, taken apart; generated code is left out.
    pub(super) sources: BTreeMap<String, Source>,
    pub(super) packages: Vec<Package>,
}

/// Generated code, committed and kept fresh by a test of its package: the rules of style do not
/// apply.
const GENERATED: [&str; 2] = ["proto/src/wire/", "proto/src/schema/table.rs"];

impl Tree {
    /// Reads the working tree; files that are no text are skipped.
    pub(super) fn read(workspace: &Workspace) -> std::io::Result<Self> {
        let mut tree = Self { packages: workspace.packages.clone(), ..Self::default() };
        for path in list(&workspace.root)? {
            match std::fs::read(workspace.root.join(&path)) {
                Ok(bytes) => {
                    if let Ok(text) = String::from_utf8(bytes) {
                        tree.insert(&path, &text);
                    }
                }
                // Listed but gone: removed in the working tree, or a link to nowhere.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tree)
    }

    /// Adds a file.
    pub(super) fn insert(&mut self, path: &str, text: &str) {
        if Path::new(path).extension().is_some_and(|end| end == "rs")
            && !GENERATED.iter().any(|place| path.starts_with(place))
        {
            self.sources.insert(path.to_owned(), Source::new(text));
        }
        self.files.insert(path.to_owned(), text.to_owned());
    }

    /// A tree of these files, for tests.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.insert(path, text);
        }
        tree
    }
}

fn list(root: &Path) -> std::io::Result<Vec<String>> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    if let Ok(output) = step::quiet(git) {
        let mut paths: Vec<String> =
            output.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
        paths.dedup();
        return Ok(paths);
    }
    // An unpacked archive of the sources has no git.
    let mut paths = Vec::new();
    walk(root, "", &mut paths)?;
    Ok(paths)
}

fn walk(folder: &Path, prefix: &str, paths: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(name.as_str(), "target" | ".git") {
            continue;
        }
        let path = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &format!("{path}/"), paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether a Rust file holds only tests: `tests.rs`, `*_tests.rs`, or under a `tests` folder
/// (the simulator's own sources in `tests/src` are a package like any other).
pub(super) fn is_test_file(path: &str) -> bool {
    let inner = match path.strip_prefix("tests/") {
        Some(rest) if rest.starts_with("src/") => rest,
        _ => path,
    };
    let mut parts: Vec<&str> = inner.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    name == "tests.rs" || name.ends_with("_tests.rs") || parts.contains(&"tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_known_by_place_or_name() {
        assert!(is_test_file("master/core/src/offer/tests.rs"));
        assert!(is_test_file("master/core/src/tests/accept.rs"));
        assert!(is_test_file("tests/tests/e2e/main.rs"));
        assert!(is_test_file("tests/src/world/tests.rs"));
        assert!(!is_test_file("tests/src/world.rs"));
        assert!(!is_test_file("master/core/src/contests.rs"));
    }

    #[test]
    fn generated_code_is_a_file_but_no_source() {
        let tree = Tree::of(&[("proto/src/wire/mesos.rs", "fn x() {}"), ("a/src/lib.rs", "")]);
        assert_eq!(tree.files.len(), 2);
        assert_eq!(tree.sources.len(), 1);
    }

    #[test]
    fn a_folder_without_git_is_walked_but_not_its_builds() {
        let folder = std::env::temp_dir().join(format!("tepui-walk-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("target")).unwrap();
        std::fs::create_dir_all(folder.join("a/src")).unwrap();
        std::fs::write(folder.join("target/x.rs"), "").unwrap();
        std::fs::write(folder.join("a/src/lib.rs"), "").unwrap();
        let mut paths = Vec::new();
        walk(&folder, "", &mut paths).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(paths, ["a/src/lib.rs"]);
    }
}
