//! Files of at most 500 lines (tests 900), functions of at most 70 lines of code, and a ratchet.
//!
//! `xtask/ratchet.txt` lists what is longer, each with its number: it may shrink and never grow.
//! An entry that is larger than needed must be lowered, so that the gain is kept.

use std::collections::BTreeMap;

use super::tree::is_test_file;
use super::{Tree, Violation};

const FILE_LINES: usize = 500;
const TEST_FILE_LINES: usize = 900;
const FUNCTION_LINES: usize = 70;
const RATCHET: &str = "xtask/ratchet.txt";

/// What is measured: `file PATH` or `function PATH NAME`.
type Key = String;

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let (ratchet, mut violations) = read(tree.files.get(RATCHET).map_or("", String::as_str));
    let measured = measure(tree);
    for (key, found) in &measured {
        let allowed = ratchet.get(key).map_or(found.limit, |entry| entry.lines.max(found.limit));
        if found.lines > allowed {
            violations.push(Violation::line(
                &found.path,
                found.line,
                format!("{} of {} lines, at most {allowed}: split it", found.what, found.lines),
            ));
        }
    }
    for (key, entry) in &ratchet {
        let complaint = match measured.get(key) {
            None => Some(format!("`{key}` is gone: remove the entry")),
            Some(found) if found.lines <= found.limit => {
                Some(format!("`{key}` has {} lines by now: remove the entry", found.lines))
            }
            Some(found) if found.lines < entry.lines => {
                Some(format!("`{key}` has {} lines by now: lower the entry", found.lines))
            }
            Some(_) => None,
        };
        violations.extend(complaint.map(|text| Violation::line(RATCHET, entry.line, text)));
    }
    violations
}

struct Measured {
    what: String,
    path: String,
    line: usize,
    lines: usize,
    limit: usize,
}

/// Files, and the longest function of each name in a file.
fn measure(tree: &Tree) -> BTreeMap<Key, Measured> {
    let mut all: BTreeMap<Key, Measured> = BTreeMap::new();
    for (path, source) in &tree.sources {
        let limit = if is_test_file(path) { TEST_FILE_LINES } else { FILE_LINES };
        let lines = source.raw.lines().count();
        let file =
            Measured { what: "a file".to_owned(), path: path.clone(), line: 0, lines, limit };
        all.insert(format!("file {path}"), file);
        for function in source.functions() {
            let key = format!("function {path} {}", function.name);
            if all.get(&key).is_none_or(|known| known.lines < function.length) {
                let measured = Measured {
                    what: format!("`{}` is a function", function.name),
                    path: path.clone(),
                    line: function.line,
                    lines: function.length,
                    limit: FUNCTION_LINES,
                };
                all.insert(key, measured);
            }
        }
    }
    all
}

struct Entry {
    line: usize,
    lines: usize,
}

fn read(text: &str) -> (BTreeMap<Key, Entry>, Vec<Violation>) {
    let mut entries = BTreeMap::new();
    let mut violations = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let parsed = line.rsplit_once(' ').and_then(|(key, lines)| {
            let words: Vec<&str> = key.split_whitespace().collect();
            let fits = matches!(words.as_slice(), ["file", _] | ["function", _, _]);
            Some((fits.then(|| words.join(" "))?, lines.parse().ok()?))
        });
        match parsed {
            Some((key, lines)) => {
                entries.insert(key, Entry { line: at + 1, lines });
            }
            None => violations.push(Violation::line(
                RATCHET,
                at + 1,
                "neither `file PATH LINES` nor `function PATH NAME LINES`",
            )),
        }
    }
    (entries, violations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(lines: usize) -> String {
        "//! x\n".repeat(lines)
    }

    fn function(lines: usize) -> String {
        format!("fn big() {{\n{}}}\n", "    x();\n".repeat(lines))
    }

    #[test]
    fn a_file_or_function_too_long_is_reported() {
        let tree = Tree::of(&[
            ("a/src/long.rs", &file(501)),
            ("a/src/fits.rs", &file(500)),
            ("a/src/tests.rs", &file(900)),
            ("a/src/big.rs", &function(71)),
            ("a/src/good.rs", &function(70)),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["a/src/long.rs", "a/src/big.rs"]);
    }

    #[test]
    fn the_ratchet_tolerates_what_it_lists_and_no_more() {
        let entry = "file a/src/long.rs 600\nfunction a/src/big.rs big 80\n";
        let with = |lines: usize, inner: usize| {
            let tree = Tree::of(&[
                (RATCHET, entry),
                ("a/src/long.rs", &file(lines)),
                ("a/src/big.rs", &function(inner)),
            ]);
            check(&tree)
        };
        assert_eq!(with(600, 80), []);
        assert_eq!(with(601, 81).len(), 2);
    }

    #[test]
    fn an_entry_that_is_not_needed_must_shrink() {
        let tree = Tree::of(&[
            (RATCHET, "file a/src/a.rs 600\nfile a/src/b.rs 600\nfile a/src/c.rs 600\nnonsense\n"),
            ("a/src/a.rs", &file(550)),
            ("a/src/b.rs", &file(100)),
        ]);
        let messages: Vec<String> = check(&tree).into_iter().map(|found| found.message).collect();
        assert_eq!(messages.len(), 4);
        assert!(messages[0].contains("neither"));
        assert!(messages[1].contains("550") && messages[1].contains("lower"));
        assert!(messages[2].contains("remove") && messages[3].contains("gone"));
    }
}
