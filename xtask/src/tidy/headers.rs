//! Every Rust file opens with `//!`: what it is, why, and what it must never do.

use super::{Tree, Violation};

pub(super) fn check(tree: &Tree) -> Vec<Violation> {
    tree.sources
        .iter()
        .filter(|(_, source)| !opens_with_words(&source.raw))
        .map(|(path, _)| Violation::file(path, "does not open with a `//!` that says what it is"))
        .collect()
}

fn opens_with_words(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    first.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_header_is_reported() {
        let tree = Tree::of(&[
            ("a.rs", "//! What it is.\n"),
            ("b.rs", "use x;\n//! late\n"),
            ("c.rs", "//!\n"),
            ("d.rs", ""),
        ]);
        let paths: Vec<String> = check(&tree).into_iter().map(|found| found.path).collect();
        assert_eq!(paths, ["b.rs", "c.rs", "d.rs"]);
    }
}
