//! The little parsing of arguments that the commands need: positional words, `--name value` and
//! bare `--name`.
//!
//! It never ignores what it does not know: an unknown option is an error.

use crate::Failure;

/// What was given on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Words that are not options, in order.
    pub(crate) words: Vec<String>,
    numbers: Vec<(String, u64)>,
    flags: Vec<String>,
}

impl Options {
    /// Splits `arguments`; `numbers` are the options that take a whole number, `flags` those that
    /// take nothing.
    pub(crate) fn parse(
        arguments: &[String],
        numbers: &[&str],
        flags: &[&str],
    ) -> Result<Self, Failure> {
        let mut options = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            if numbers.contains(&name) {
                let value = inline
                    .or_else(|| rest.next().cloned())
                    .ok_or_else(|| Failure::Usage(format!("{name} wants a number")))?;
                let number = value.parse().map_err(|_| {
                    Failure::Usage(format!("{name} wants a whole number, got `{value}`"))
                })?;
                options.numbers.push((name.to_owned(), number));
            } else if flags.contains(&argument.as_str()) {
                options.flags.push(argument.clone());
            } else if argument.starts_with('-') {
                return Err(Failure::Usage(format!("no option `{argument}` here")));
            } else {
                options.words.push(argument.clone());
            }
        }
        Ok(options)
    }

    /// The last value given for `name`.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.numbers.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Whether the bare option was given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flags.iter().any(|known| known == name)
    }
}

/// For commands that take nothing.
pub(crate) fn none(arguments: &[String]) -> Result<(), Failure> {
    let options = Options::parse(arguments, &[], &[])?;
    match options.words.first() {
        None => Ok(()),
        Some(word) => Err(Failure::Usage(format!("this command takes no `{word}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn both_spellings_of_a_number_and_words_between() {
        let options = Options::parse(
            &words("7 --runs 3 --minutes=4 --log x"),
            &["--runs", "--minutes"],
            &["--log"],
        )
        .unwrap();
        assert_eq!(options.words, ["7", "x"]);
        assert_eq!(options.number("--runs"), Some(3));
        assert_eq!(options.number("--minutes"), Some(4));
        assert!(options.flag("--log"));
    }

    #[test]
    fn unknown_options_and_bad_numbers_are_refused() {
        assert!(Options::parse(&words("--nope"), &["--runs"], &[]).is_err());
        assert!(Options::parse(&words("--runs many"), &["--runs"], &[]).is_err());
        assert!(Options::parse(&words("--runs"), &["--runs"], &[]).is_err());
        assert!(none(&words("x")).is_err());
    }
}
