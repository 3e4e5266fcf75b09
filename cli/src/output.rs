//! Data on standard output: tables for people, JSON for programs. Messages go to standard error.

use clap::ValueEnum;
use std::io::{self, IsTerminal, Write};

/// The form of the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON value.
    Json,
}

/// Writes text to standard output. A reader that went away (`tepui ps | head -1`) ends the
/// command quietly, as for any Unix tool.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes raw bytes, as `print` does.
pub(crate) fn print_bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes one JSON value and a newline.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}

/// Writes a message to standard error; a closed standard error is nothing to worry about.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Whether colours and moving pictures are welcome on standard error.
pub(crate) fn is_lively() -> bool {
    io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Aligned columns: a row of names, then rows of values. No line ends in spaces.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub(crate) fn new(names: &[&str]) -> Self {
        Self { rows: vec![names.iter().map(ToString::to_string).collect()] }
    }

    /// Adds a row; it has as many values as there are columns. Names come from others: what is no
    /// plain character in them is written as an escape, or it would move the terminal's cursor.
    pub(crate) fn row(&mut self, values: Vec<String>) {
        debug_assert_eq!(values.len(), self.rows[0].len());
        self.rows.push(values.into_iter().map(plain).collect());
    }

    /// Prints it. Of an empty one the names are data; that it is empty is said beside it.
    pub(crate) fn print(&self, empty: &str) {
        print(&self.render());
        if self.rows.len() == 1 {
            say(empty);
        }
    }

    /// The table as text.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            for (column, value) in row.iter().enumerate() {
                if column > 0 {
                    text.push_str("  ");
                }
                text.push_str(value);
                let missing = widths[column] - value.chars().count();
                text.extend(std::iter::repeat_n(' ', missing));
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        text
    }
}

/// The text with every control character written as an escape.
pub(crate) fn plain(text: String) -> String {
    if !text.contains(char::is_control) {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => plain.extend(c.escape_default()),
            false => plain.push(c),
        }
    }
    plain
}

/// A key that sorts names as people do: `S2` before `S10`.
pub(crate) fn natural(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, from) = rest.split_at(digits);
        let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
        let (number, after) = from.split_at(end);
        key.push((text.to_owned(), number.parse().unwrap_or(u64::MAX)));
        rest = after;
    }
    key
}

/// Thousandths as people write them: `1.5`, `2`, `0.125`.
pub(crate) fn milli(thousandths: u64) -> String {
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    if rest == 0 {
        return whole.to_string();
    }
    format!("{whole}.{rest:03}").trim_end_matches('0').to_owned()
}

/// A bar of `width` characters filled to `part` of `whole`, with plain characters so that every
/// terminal shows it.
pub(crate) fn bar(part: u64, whole: u64, width: usize) -> String {
    let filled = if whole == 0 {
        0
    } else {
        usize::try_from(u128::from(part) * width as u128 / u128::from(whole)).unwrap_or(width)
    };
    let filled = filled.min(width);
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_no_line_ends_in_spaces() {
        let mut table = Table::new(&["TASK", "STATE"]);
        table.row(vec!["a".into(), "running".into()]);
        table.row(vec!["longer".into(), "x".into()]);
        assert_eq!(table.render(), "TASK    STATE\na       running\nlonger  x\n");
    }

    #[test]
    fn what_others_named_cannot_move_the_cursor() {
        let mut table = Table::new(&["NAME"]);
        table.row(vec!["a\u{1b}[2J\nb".into()]);
        assert_eq!(table.render(), "NAME\na\\u{1b}[2J\\nb\n");
    }

    #[test]
    fn names_are_sorted_as_people_do() {
        let mut names = ["f-S10", "f-S2", "e-S30", "f", ""];
        names.sort_by_key(|name| natural(name));
        assert_eq!(names, ["", "e-S30", "f", "f-S2", "f-S10"]);
    }

    #[test]
    fn thousandths_are_written_short() {
        assert_eq!(milli(1500), "1.5");
        assert_eq!(milli(2000), "2");
        assert_eq!(milli(125), "0.125");
        assert_eq!(milli(0), "0");
    }

    #[test]
    fn bars_never_overflow() {
        assert_eq!(bar(1, 2, 4), "██░░");
        assert_eq!(bar(9, 2, 4), "████");
        assert_eq!(bar(1, 0, 2), "░░");
    }
}
