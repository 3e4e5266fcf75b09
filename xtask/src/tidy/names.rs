//! Names that say nothing, and notes to oneself that were left behind.

use super::source::lines_with_word;
use super::{Tree, Violation};

/// Names of modules that collect what has no noun yet.
const EMPTY_NOUNS: [&str; 10] = [
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "type", "types", "misc",
];

/// Notes to oneself; finish it, or write an issue.
const NOTES: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// The files that must name the words to ban them.
const EXEMPT: &str = "xtask/src/tidy/";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, source) in &tree.sources {
        let nouns = path.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
        for noun in nouns.filter(|noun| EMPTY_NOUNS.contains(noun)) {
            violations.push(Violation::file(path, empty(noun)));
        }
        for noun in EMPTY_NOUNS {
            for line in source.lines_with(&format!("mod {noun}")) {
                violations.push(Violation::line(path, line, empty(noun)));
            }
        }
    }
    for (path, text) in tree.files.iter().filter(|(path, _)| !path.starts_with(EXEMPT)) {
        for note in NOTES {
            for line in lines_with_word(text, note) {
                violations.push(Violation::line(path, line, format!("`{note}` left behind")));
            }
        }
    }
    violations
}

fn empty(noun: &str) -> String {
    format!("`{noun}` names nothing: move each item to its first user, or find the noun")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_nouns_and_notes_are_reported() {
        let tree = Tree::of(&[
            ("a/src/utils.rs", ""),
            ("a/src/helpers/mod.rs", ""),
            ("a/src/lib.rs", "mod common { }\nmod commons;\n// mod misc\n"),
            ("a/README.md", "x\nTODO: y\nTODOS XXXXXX\n"),
        ]);
        let found: Vec<(String, usize)> =
            check(&tree).into_iter().map(|found| (found.path, found.line)).collect();
        let expected = [
            ("a/src/helpers/mod.rs", 0),
            ("a/src/lib.rs", 1),
            ("a/src/utils.rs", 0),
            ("a/README.md", 2),
        ];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
