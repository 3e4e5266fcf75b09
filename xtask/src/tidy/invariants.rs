//! Each invariant has a number, a sentence in docs/ARCHITECTURE.md, and a check in code: the two
//! lists are the same.

use std::collections::BTreeMap;

use super::tree::is_test_file;
use super::{Tree, Violation};

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
/// The letters of ids: the cluster's, the master's, the agent's, the driver's.
const LETTERS: [char; 4] = ['I', 'M', 'A', 'D'];
const DIGITS_MAX: usize = 3;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let Some(text) = tree.files.get(DOCUMENT) else {
        return vec![Violation::file(DOCUMENT, "is missing, with the table of invariants")];
    };
    let documented = documented(text);
    if documented.is_empty() {
        let message = "has no table under a heading `Invariants` with ids in the first column";
        return vec![Violation::file(DOCUMENT, message)];
    }
    let coded = coded(tree);
    let without_code =
        documented.iter().filter(|(id, _)| !coded.contains_key(*id)).map(|(id, line)| {
            let places = "invariants.rs or tests/src/oracle";
            Violation::line(DOCUMENT, *line, format!("invariant {id} has no check in {places}"))
        });
    let without_words =
        coded.iter().filter(|(id, _)| !documented.contains_key(*id)).map(|(id, (path, line))| {
            Violation::line(path, *line, format!("invariant {id} is not in {DOCUMENT}"))
        });
    without_code.chain(without_words).collect()
}

/// The ids in first cells of tables in the section, each with its line.
fn documented(text: &str) -> BTreeMap<String, usize> {
    let mut ids = BTreeMap::new();
    let mut section: Option<usize> = None;
    for (at, line) in text.lines().enumerate() {
        let level = line.chars().take_while(|c| *c == '#').count();
        if level > 0 {
            let opens = line.to_lowercase().contains("invariants");
            section = match section {
                Some(open) if level > open => Some(open),
                _ => opens.then_some(level),
            };
        }
        if section.is_some()
            && let Some(row) = line.trim_start().strip_prefix('|')
        {
            let cell = row.split('|').next().unwrap_or_default();
            let id = cell.trim().trim_matches(['*', '`']);
            if is_id(id) {
                ids.entry(id.to_owned()).or_insert(at + 1);
            }
        }
    }
    ids
}

/// The ids in the code of checkers, each with its first place.
fn coded(tree: &Tree) -> BTreeMap<String, (String, usize)> {
    let mut ids = BTreeMap::new();
    for (path, source) in &tree.sources {
        if !is_checker(path) || is_test_file(path) {
            continue;
        }
        for (at, line) in source.uncommented.lines().enumerate() {
            let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
            for word in words.filter(|word| is_id(word)) {
                ids.entry(word.to_owned()).or_insert_with(|| (path.clone(), at + 1));
            }
        }
    }
    ids
}

fn is_checker(path: &str) -> bool {
    path.ends_with("/invariants.rs")
        || path.contains("/invariants/")
        || path.starts_with("tests/src/oracle")
}

fn is_id(word: &str) -> bool {
    let mut chars = word.chars();
    let letter = chars.next().is_some_and(|c| LETTERS.contains(&c));
    let digits = chars.as_str();
    letter && (1..=DIGITS_MAX).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "# A\n## Lives\n| A9 | no |\n## The invariants\n| id | words |\n|---|---|\n\
                         | I2 | x |\n| **M1** | y |\n### More\n| D3 | z |\n## After\n| I4 | no |\n";

    #[test]
    fn the_table_is_the_one_of_the_section() {
        let ids: Vec<String> = documented(TABLE).into_keys().collect();
        assert_eq!(ids, ["D3", "I2", "M1"]);
    }

    #[test]
    fn an_id_on_one_side_only_is_reported() {
        let tree = Tree::of(&[
            (DOCUMENT, TABLE),
            ("master/core/src/invariants.rs", "// D3\nreport(\"M1\"); report(\"M2\");\n"),
            ("tests/src/oracle/offers.rs", "Id::I2 => {}\n"),
            ("tests/src/oracle/tests.rs", "Id::M9 => {}\n"),
        ]);
        let messages: Vec<String> = check(&tree).into_iter().map(|found| found.message).collect();
        assert_eq!(messages.len(), 2, "{messages:?}");
        assert!(messages[0].contains("D3 has no check"));
        assert!(messages[1].contains("M2 is not in"));
    }

    #[test]
    fn a_missing_document_or_table_is_reported() {
        assert_eq!(check(&Tree::default()).len(), 1);
        assert_eq!(check(&Tree::of(&[(DOCUMENT, "# Nothing\n")])).len(), 1);
    }
}
