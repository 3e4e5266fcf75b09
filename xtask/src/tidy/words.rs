//! What must not occur in the project: paths of one person's machine, registries of one place,
//! documents that a reader does not have.

use super::{Tree, Violation};

/// Texts, and why each is banned.
const BANNED: [(&str, &str); 5] = [
    ("/work/", "a path of one machine"),
    ("/root/", "a path of one machine"),
    ("index-url", "a registry of one place: leave it to the user's settings"),
    ("shared/reference", "a document that is not in the project"),
    ("shared/design", "a document that is not in the project"),
];

/// Settings of cargo that would bind a build to one place.
const CARGO_BANNED: [&str; 3] = ["[source", "[registries", "[registry"];

const REGISTRY: &str = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";

/// The file that must name the words to ban them.
const EXEMPT: &str = "xtask/src/tidy/words.rs";

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (path, text) in tree.files.iter().filter(|(path, _)| *path != EXEMPT) {
        for (at, line) in text.lines().enumerate() {
            for (banned, why) in BANNED {
                if has_own(line, banned) {
                    violations.push(Violation::line(path, at + 1, format!("`{banned}`: {why}")));
                }
            }
            if path == ".cargo/config.toml"
                && CARGO_BANNED.iter().any(|banned| line.trim_start().starts_with(banned))
            {
                violations.push(Violation::line(path, at + 1, "binds the build to one registry"));
            }
            if path.ends_with("Cargo.lock") && line.starts_with("source = ") && line != REGISTRY {
                violations.push(Violation::line(path, at + 1, "a package from elsewhere"));
            }
        }
    }
    violations
}

/// An absolute path counts only where it begins: `frameworks/work/` is a folder of ours.
fn has_own(line: &str, banned: &str) -> bool {
    line.match_indices(banned).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !banned.starts_with('/')
            || !before.is_some_and(|c| c.is_alphanumeric() || "_.-$}>*~".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_words_are_reported() {
        let tree = Tree::of(&[
            (".cargo/config.toml", "[alias]\n[source.crates-io]\n"),
            ("Cargo.lock", &format!("{REGISTRY}\nsource = \"git+https://example.org/x\"\n")),
            ("a.md", "see /work/main\nframeworks/work/src\n`/root/x`\nshared/reference/x.md\n"),
        ]);
        let found: Vec<(String, usize)> =
            check(&tree).into_iter().map(|found| (found.path, found.line)).collect();
        let expected =
            [(".cargo/config.toml", 2), ("Cargo.lock", 2), ("a.md", 1), ("a.md", 3), ("a.md", 4)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
