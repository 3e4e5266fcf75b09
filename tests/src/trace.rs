//! What happened, one line a step in fixed columns, and the running hash of all of it.
//!
//! The hash covers every input and every effect in full, whether lines are kept or not; it is how
//! two runs are compared. Lines cost time and are made only when somebody will read them.

use proto::Time;
use std::collections::VecDeque;
use std::fmt::{self, Debug, Write};

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Log {
    /// Nowhere.
    Off,
    /// The newest so many are kept.
    Last(usize),
    /// To standard output, as they happen.
    Print,
}

/// The trace of a run.
#[derive(Debug)]
pub struct Trace {
    log: Log,
    start: Time,
    steps: u64,
    hash: Hash,
    lines: VecDeque<String>,
}

/// A running hash of what is written to it, eight bytes at a time: the text of everything that
/// happens goes through it.
#[derive(Clone, Copy, Debug)]
struct Hash(u64);

impl Hash {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ self.0.rotate_left(23);
    }
}

impl Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut words = text.as_bytes().chunks_exact(8);
        for word in words.by_ref() {
            self.mix(u64::from_le_bytes(word.try_into().expect("eight bytes are eight bytes")));
        }
        let mut rest = [0; 8];
        let tail = words.remainder();
        rest[..tail.len()].copy_from_slice(tail);
        // With its length, so that where a text ends makes a difference.
        self.mix(u64::from_le_bytes(rest) ^ ((text.len() as u64) << 56));
        Ok(())
    }
}

/// Widest text of an input or an effect in a line.
const COLUMN: usize = 220;
/// Where inputs and effects begin.
const MARGIN: usize = 35;

impl Trace {
    /// An empty trace; `start` is the time that is shown as zero.
    pub fn new(log: Log, start: Time) -> Self {
        let hash = Hash(0xcbf2_9ce4_8422_2325);
        Self { log, start, steps: 0, hash, lines: VecDeque::new() }
    }

    /// A node is about to take an input.
    pub fn input(&mut self, now: Time, node: &str, input: &dyn Debug) {
        self.steps += 1;
        // Writing to a hash cannot fail.
        let _ = write!(self.hash, "{}{node}{input:?}", now.as_nanos());
        if self.log != Log::Off {
            let mut line = self.prefix(now, node);
            push_cut(&mut line, &format!("{input:?}"));
            self.keep(line);
        }
    }

    /// What it decided; `show` is how people read it.
    pub fn effects<E: Debug>(&mut self, effects: &[E], show: impl Fn(&E) -> String) {
        let _ = write!(self.hash, "{effects:?}");
        if self.log != Log::Off {
            for effect in effects {
                let mut line = " ".repeat(MARGIN);
                line.push_str("-> ");
                push_cut(&mut line, &show(effect));
                self.keep(line);
            }
        }
    }

    /// Notes something that happened to a node or to the world.
    pub fn happened(&mut self, now: Time, node: &str, what: &dyn fmt::Display) {
        self.steps += 1;
        let _ = write!(self.hash, "{}{node}{what}", now.as_nanos());
        if self.log != Log::Off {
            let line = format!("{}* {what}", self.prefix(now, node));
            self.keep(line);
        }
    }

    fn prefix(&self, now: Time, node: &str) -> String {
        let at = now.since(self.start);
        let (seconds, micros) = (at.as_secs(), at.subsec_micros());
        let (steps, hash) = (self.steps, self.hash.0 >> 32);
        format!("{seconds:>5}.{micros:06} {steps:>7} {hash:08x} {node:<4} ")
    }

    fn keep(&mut self, line: String) {
        match self.log {
            Log::Off => {}
            Log::Print => print_line(&line),
            Log::Last(most) => {
                while self.lines.len() >= most.max(1) {
                    self.lines.pop_front();
                }
                self.lines.push_back(line);
            }
        }
    }

    /// How many lines there are or would be.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The hash of all that happened so far.
    pub fn hash(&self) -> u64 {
        self.hash.0
    }

    /// The lines that were kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}

#[allow(clippy::print_stdout, reason = "the log is what the program is asked to print")]
fn print_line(line: &str) {
    println!("{line}");
}

fn push_cut(line: &mut String, text: &str) {
    match text.char_indices().nth(COLUMN) {
        None => line.push_str(text),
        Some((at, _)) => {
            line.push_str(&text[..at]);
            line.push_str("...");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_inputs_and_effects_and_does_not_depend_on_the_log() {
        let run = |log, effects: &[u8]| {
            let mut trace = Trace::new(log, Time::ZERO);
            trace.input(Time::from_millis(1), "m", &"input");
            trace.effects(effects, |effect| format!("{effect}"));
            (trace.hash(), trace.lines().count())
        };
        assert_eq!(run(Log::Off, &[1]).0, run(Log::Last(5), &[1]).0);
        assert_ne!(run(Log::Off, &[1]).0, run(Log::Off, &[2]).0);
        assert_eq!(run(Log::Last(5), &[1]).1, 2);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let mut line = String::new();
        push_cut(&mut line, &"ä".repeat(COLUMN + 1));
        assert_eq!(line.chars().count(), COLUMN + 3);
    }
}
