//! Every transcript in tests/scenarios tells something, and a test runs it.

use super::{Tree, Violation};

const FOLDER: &str = "tests/scenarios/";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let runners: Vec<&str> = tree
        .sources
        .iter()
        .filter(|(path, _)| path.starts_with("tests/"))
        .map(|(_, source)| source.uncommented.as_str())
        .collect();
    let runs_all =
        runners.iter().any(|text| text.contains("scenarios") && text.contains("read_dir"));
    let mut violations = Vec::new();
    for (path, text) in &tree.files {
        let Some(name) = path.strip_prefix(FOLDER).and_then(|name| name.strip_suffix(".txt"))
        else {
            continue;
        };
        if text.trim().is_empty() {
            violations.push(Violation::file(path, "is empty"));
        }
        let named = [format!("\"{name}\""), format!("{name}.txt")];
        let runs = |text: &&str| named.iter().any(|name| text.contains(name));
        if !runs_all && !runners.iter().any(runs) {
            violations.push(Violation::file(path, "is run by no test"));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_or_forgotten_scenario_is_reported() {
        let tree = Tree::of(&[
            ("tests/scenarios/decline.txt", "subscribe\n----\n"),
            ("tests/scenarios/revive.txt", "\n"),
            ("tests/tests/transcripts.rs", "const ALL: [&str; 1] = [\"decline\"];\n"),
        ]);
        let found: Vec<String> = check(&tree).into_iter().map(|found| found.to_string()).collect();
        assert_eq!(
            found,
            [
                "tests/scenarios/revive.txt: is empty",
                "tests/scenarios/revive.txt: is run by no test"
            ]
        );
    }

    #[test]
    fn a_test_that_reads_the_folder_runs_all() {
        let tree = Tree::of(&[
            ("tests/scenarios/decline.txt", "x\n"),
            ("tests/tests/transcripts.rs", "std::fs::read_dir(root.join(\"scenarios\"))\n"),
        ]);
        assert_eq!(check(&tree), []);
    }
}
