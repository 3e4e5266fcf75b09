//! A Rust file taken apart far enough for the rules: code without comments, code without
//! comments and literals, and where functions begin and end.
//!
//! It is no parser and never rejects a file: what it does not understand stays code.

/// A Rust file in three views of the same shape: every view has the same lines.
#[derive(Debug)]
pub(super) struct Source {
    /// The file as it is.
    pub(super) raw: String,
    /// Comments blanked, literals kept.
    pub(super) uncommented: String,
    /// Comments and the insides of literals blanked.
    pub(super) code: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    /// The line of `fn`, counted from one.
    pub(super) line: usize,
    /// Lines of the body that hold code.
    pub(super) length: usize,
}

impl Source {
    pub(super) fn new(text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut views = Views::default();
        let mut at = 0;
        while at < chars.len() {
            let (end, kind) = token(&chars, at);
            views.push(&chars[at..end], kind);
            at = end;
        }
        Self { raw: text.to_owned(), uncommented: views.uncommented, code: views.code }
    }

    /// All functions with a body, nested ones too.
    pub(super) fn functions(&self) -> Vec<Function> {
        let code: Vec<char> = self.code.chars().collect();
        let has_code: Vec<bool> =
            self.uncommented.lines().map(|line| !line.trim().is_empty()).collect();
        let mut functions = Vec::new();
        let mut line = 1;
        for at in 0..code.len() {
            if code[at] == '\n' {
                line += 1;
            } else if let Some((name, after)) = function_at(&code, at)
                && let Some((open, close)) = body(&code, after)
            {
                let first = line + newlines(&code[at..open]);
                let last = first + newlines(&code[open..close]);
                let inner = first..last.saturating_sub(1);
                let length = inner.filter(|line| has_code.get(*line) == Some(&true)).count();
                functions.push(Function { name, line, length });
            }
        }
        functions
    }

    /// The line, counted from one, of every whole word `word` in the code.
    pub(super) fn lines_with(&self, word: &str) -> Vec<usize> {
        lines_with_word(&self.code, word)
    }
}

/// The lines, counted from one, on which `word` stands with no letter, digit or `_` beside it.
pub(super) fn lines_with_word(text: &str, word: &str) -> Vec<usize> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| has_word(line, word))
        .map(|(at, _)| at + 1)
        .collect()
}

/// Whether `word` stands in `text` by itself.
pub(super) fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

#[derive(Default)]
struct Views {
    uncommented: String,
    code: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

impl Views {
    fn push(&mut self, token: &[char], kind: Kind) {
        for &c in token {
            let blank = if c == '\n' { '\n' } else { ' ' };
            self.uncommented.push(if kind == Kind::Comment { blank } else { c });
            self.code.push(if kind == Kind::Code { c } else { blank });
        }
    }
}

/// The end of the token that begins at `at`, and what it is. An identifier is one token, so that
/// the `r` of `for"` is never taken for the begin of a raw string.
fn token(chars: &[char], at: usize) -> (usize, Kind) {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => (until(chars, at, |c| c == '\n'), Kind::Comment),
        '/' if next == Some('*') => (block_comment(chars, at), Kind::Comment),
        '"' => (quoted(chars, at, '"'), Kind::Literal),
        '\'' => match char_literal(chars, at) {
            Some(end) => (end, Kind::Literal),
            None => (at + 1, Kind::Code),
        },
        c if c.is_alphanumeric() || c == '_' => {
            let end = until(chars, at, |c| !(c.is_alphanumeric() || c == '_'));
            let word: String = chars[at..end].iter().collect();
            if matches!(word.as_str(), "r" | "br" | "cr")
                && let Some(end) = raw_string(chars, end)
            {
                return (end, Kind::Literal);
            }
            (end, Kind::Code)
        }
        _ => (at + 1, Kind::Code),
    }
}

fn until(chars: &[char], from: usize, stop: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&at| stop(chars[at])).unwrap_or(chars.len())
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    chars.len()
}

fn quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a character literal; none for a lifetime.
fn char_literal(chars: &[char], from: usize) -> Option<usize> {
    let is_literal = chars.get(from + 1) == Some(&'\\') || chars.get(from + 2) == Some(&'\'');
    is_literal.then(|| quoted(chars, from, '\''))
}

/// The end of a raw string whose `r` ends before `from`.
fn raw_string(chars: &[char], from: usize) -> Option<usize> {
    let open = until(chars, from, |c| c != '#');
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let hashes = open - from;
    let closes = |at: &usize| {
        chars[*at] == '"'
            && chars.len() > at + hashes
            && chars[at + 1..=at + hashes].iter().all(|c| *c == '#')
    };
    Some((open + 1..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes))
}

/// The name of the function whose `fn` stands at `at`, and where the name ends.
fn function_at(code: &[char], at: usize) -> Option<(String, usize)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    if code[at] != 'f' || code.get(at + 1) != Some(&'n') || (at > 0 && is_part(code[at - 1])) {
        return None;
    }
    let start = until(code, at + 2, |c| !c.is_whitespace());
    if start == at + 2 {
        return None;
    }
    let end = until(code, start, |c| !is_part(c));
    (end > start).then(|| (code[start..end].iter().collect(), end))
}

/// The braces of the body; none for a declaration.
fn body(code: &[char], from: usize) -> Option<(usize, usize)> {
    let mut nesting = 0_i32;
    let mut at = from;
    let open = loop {
        match code.get(at)? {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting -= 1,
            ';' if nesting == 0 => return None,
            '{' if nesting == 0 => break at,
            _ => {}
        }
        at += 1;
    };
    let mut depth = 0_i32;
    for (offset, c) in code[open..].iter().enumerate() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return Some((open, open + offset));
        }
    }
    None
}

fn newlines(chars: &[char]) -> usize {
    chars.iter().filter(|c| **c == '\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let source = Source::new("let a = \"x // y\"; // z\n/* { /* } */ */ let b = '{';\n");
        assert_eq!(source.code, "let a =         ;     \n                let b =    ;\n");
        assert!(source.uncommented.contains("x // y") && !source.uncommented.contains('z'));
    }

    #[test]
    fn raw_strings_lifetimes_and_escapes() {
        let source = Source::new("f::<'a>(r#\"a\"b\"#, '\\'', \"\\\"\", b\"q\"); end");
        assert!(source.code.contains("'a>") && source.code.ends_with("; end"));
        assert!(!source.code.contains('q'));
    }

    #[test]
    fn the_length_of_a_function_is_its_lines_of_code() {
        let text = "fn short() {}\nfn long(\n    a: [u8; 2],\n) -> u8 {\n    // why\n\n    \
                    if a[0] > 0 {\n        1\n    } else {\n        2\n    }\n}\nfn declared();\n";
        let functions = Source::new(text).functions();
        assert_eq!(functions.len(), 2);
        assert_eq!((functions[0].name.as_str(), functions[0].length), ("short", 0));
        assert_eq!((functions[1].name.as_str(), functions[1].length), ("long", 5));
        assert_eq!(functions[1].line, 2);
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("a fs b", "fs") && !has_word("offset", "fs"));
        assert_eq!(lines_with_word("x\nfs::read\nfsx", "fs"), [2]);
    }
}
