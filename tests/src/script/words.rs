//! The words of a command line: positions, `key=value` pairs, and the values they stand for.

use proto::Resources;
use std::time::Duration;

/// One command line, split.
pub(super) struct Words<'a> {
    words: Vec<&'a str>,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        let (mut words, mut pairs) = (Vec::new(), Vec::new());
        for word in line.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => pairs.push(pair),
                None => words.push(word),
            }
        }
        Self { words, pairs }
    }

    /// The word at a position; the command is at 0.
    pub(super) fn word(&self, at: usize) -> Result<&'a str, String> {
        self.words
            .get(at)
            .copied()
            .ok_or_else(|| format!("a word is missing after {:?}", self.words))
    }

    /// All words from a position on.
    pub(super) fn rest(&self, from: usize) -> &[&'a str] {
        self.words.get(from..).unwrap_or_default()
    }

    pub(super) fn pair(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }

    /// The values of all pairs with this key.
    pub(super) fn pairs(&self, key: &str) -> Vec<&'a str> {
        self.pairs.iter().filter(|(name, _)| *name == key).map(|(_, value)| *value).collect()
    }

    /// All pairs, in their order.
    pub(super) fn all_pairs(&self) -> impl Iterator<Item = (&'a str, &'a str)> + '_ {
        self.pairs.iter().copied()
    }

    pub(super) fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    pub(super) fn seconds(&self, key: &str, default: u64) -> Result<Duration, String> {
        let value = self.pair(key).map(number).transpose()?;
        Ok(Duration::from_secs(value.unwrap_or(default)))
    }

    /// A word such as `5s` or `200ms`.
    pub(super) fn duration(&self, at: usize) -> Result<Duration, String> {
        let word = self.word(at)?;
        if let Some(millis) = word.strip_suffix("ms") {
            return Ok(Duration::from_millis(number(millis)?));
        }
        let seconds = word.strip_suffix('s').ok_or(format!("'{word}' is no time, such as 5s"))?;
        Ok(Duration::from_secs(number(seconds)?))
    }

    /// `cpus=` and `mem=`, whole numbers.
    pub(super) fn resources(&self) -> Result<Resources, String> {
        let value = |key| self.pair(key).map_or(Ok(0), number);
        Ok(Resources::cpus_mem(value("cpus")? * 1000, value("mem")? * 1000))
    }
}

pub(super) fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

/// `1/64` is one cpu and 64 MB.
pub(super) fn bundle(text: &str) -> Result<Resources, String> {
    let (cpus, mem) = text.split_once('/').ok_or(format!("'{text}' is not CPUS/MEM"))?;
    Ok(Resources::cpus_mem(number(cpus)? * 1000, number(mem)? * 1000))
}
