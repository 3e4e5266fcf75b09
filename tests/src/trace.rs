//! What happened, one line a step in fixed columns, and the running hash of all of it.
//!
//! The hash covers every input and every effect that it is told of, whether lines are kept or not;
//! it is how two runs are compared. Lines cost time and are made only when somebody will read them.

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
    /// What is hashed next, kept for its space.
    text: String,
    lines: VecDeque<String>,
}

/// A running hash of whole texts, thirty-two bytes at a time: the text of everything that happens
/// goes through it.
#[derive(Clone, Copy, Debug)]
struct Hash([u64; 4]);

fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word) * 0x9e37_79b9_7f4a_7c15;
    (product as u64) ^ ((product >> 64) as u64) ^ state.rotate_left(23)
}

impl Hash {
    fn add(&mut self, text: &str) {
        let mut blocks = text.as_bytes().chunks_exact(32);
        for block in blocks.by_ref() {
            self.block(block);
        }
        let mut rest = [0; 32];
        let tail = blocks.remainder();
        rest[..tail.len()].copy_from_slice(tail);
        self.block(&rest);
        // With its length, so that where a text ends makes a difference.
        self.0[0] = mix(self.0[0], text.len() as u64);
    }

    /// Four lanes that do not wait for each other.
    fn block(&mut self, block: &[u8]) {
        for (lane, word) in self.0.iter_mut().zip(block.chunks_exact(8)) {
            let word = word.try_into().expect("eight bytes are eight bytes");
            *lane = mix(*lane, u64::from_le_bytes(word));
        }
    }

    fn value(self) -> u64 {
        self.0.into_iter().fold(0, mix)
    }
}

/// Widest text of an input or an effect in a line.
const COLUMN: usize = 220;
/// Where inputs and effects begin.
const MARGIN: usize = 35;

impl Trace {
    /// An empty trace; `start` is the time that is shown as zero.
    pub fn new(log: Log, start: Time) -> Self {
        let hash = Hash([0xcbf2_9ce4_8422_2325, 1, 2, 3]);
        Self { log, start, steps: 0, hash, text: String::new(), lines: VecDeque::new() }
    }

    /// A node is about to take an input.
    pub fn input(&mut self, now: Time, node: &str, input: &dyn Debug) {
        self.steps += 1;
        self.take(format_args!("{}{node}{input:?}", now.as_nanos()));
        if self.log != Log::Off {
            let mut line = self.prefix(now, node);
            push_cut(&mut line, &format!("{input:?}"));
            self.keep(line);
        }
    }

    /// What it decided; `show` is how people read it.
    pub fn effects<'a, E: Debug + 'a>(
        &mut self,
        effects: impl IntoIterator<Item = &'a E>,
        show: impl Fn(&E) -> String,
    ) {
        for effect in effects {
            self.take(format_args!("{effect:?}"));
            if self.log != Log::Off {
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
        self.take(format_args!("{}{node}{what}", now.as_nanos()));
        if self.log != Log::Off {
            let line = format!("{}* {what}", self.prefix(now, node));
            self.keep(line);
        }
    }

    fn take(&mut self, what: fmt::Arguments<'_>) {
        self.text.clear();
        // Writing to a text cannot fail.
        let _ = self.text.write_fmt(what);
        self.hash.add(&self.text);
    }

    fn prefix(&self, now: Time, node: &str) -> String {
        let at = now.since(self.start);
        let (seconds, micros) = (at.as_secs(), at.subsec_micros());
        let (steps, hash) = (self.steps, self.hash.value() >> 32);
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
        self.hash.value()
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
