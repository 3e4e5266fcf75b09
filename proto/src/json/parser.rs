//! A pull parser of JSON text: the caller says what it expects next.
//!
//! It copies nothing but strings with escapes, goes no deeper than it is told, and says where the
//! text is wrong.

use crate::DecodeError;
use std::borrow::Cow;

/// The rest of a text.
pub(crate) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    max_depth: usize,
}

/// What a value begins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Shape {
    /// With its article, for complaints.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Object => "an object",
            Self::Array => "a list",
            Self::String => "a string",
            Self::Number => "a number",
            Self::Bool => "a boolean",
            Self::Null => "null",
        }
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Parser<'a> {
    pub(crate) fn new(text: &'a str, max_depth: usize) -> Self {
        Self { text, at: 0, depth: 0, max_depth }
    }

    fn error<T>(&self, problem: &str) -> Result<T> {
        Err(DecodeError::new("", format!("{problem} at byte {}", self.at)))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// What comes next.
    pub(crate) fn shape(&mut self) -> Result<Shape> {
        self.skip_space();
        match self.byte() {
            Some(b'{') => Ok(Shape::Object),
            Some(b'[') => Ok(Shape::Array),
            Some(b'"') => Ok(Shape::String),
            Some(b'-' | b'0'..=b'9') => Ok(Shape::Number),
            Some(b't' | b'f') => Ok(Shape::Bool),
            Some(b'n') => Ok(Shape::Null),
            Some(_) => self.error("not JSON: a value is due"),
            None => self.error("not JSON: the text ends where a value is due"),
        }
    }

    /// Goes into an object or list, whose first byte is next.
    pub(crate) fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > self.max_depth {
            return self.error(&format!("nested deeper than {} levels", self.max_depth));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether there is one more member before `close`; `first` before the first.
    fn more(&mut self, first: bool, close: u8) -> Result<bool> {
        self.skip_space();
        match self.byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            _ => self.error(&format!("not JSON: ',' or '{}' is due", char::from(close))),
        }
    }

    /// Whether the list that was entered has one more element.
    pub(crate) fn element(&mut self, first: bool) -> Result<bool> {
        self.more(first, b']')
    }

    /// The next key of the object that was entered.
    pub(crate) fn key(&mut self, first: bool) -> Result<Option<Cow<'a, str>>> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        self.skip_space();
        if self.byte() != Some(b'"') {
            return self.error("not JSON: a key is due");
        }
        let key = self.string()?;
        self.skip_space();
        if self.byte() != Some(b':') {
            return self.error("not JSON: ':' is due");
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// A string, whose quote is next.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte() {
                Some(b'"') => {
                    let plain = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Cow::Borrowed(plain));
                }
                Some(b'\\') => break,
                Some(0..=0x1f) => return self.error("not JSON: a control character in a string"),
                Some(_) => self.at += 1,
                None => return self.error("not JSON: the text ends in a string"),
            }
        }
        let mut out = String::from(&self.text[start..self.at]);
        loop {
            let from = self.at;
            while !matches!(self.byte(), Some(b'"' | b'\\' | 0..=0x1f) | None) {
                self.at += 1;
            }
            out.push_str(&self.text[from..self.at]);
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => out.push(self.escape()?),
                Some(_) => return self.error("not JSON: a control character in a string"),
                None => return self.error("not JSON: the text ends in a string"),
            }
        }
    }

    fn escape(&mut self) -> Result<char> {
        self.at += 1;
        let byte = self.byte();
        self.at += 1;
        match byte {
            Some(b'"') => Ok('"'),
            Some(b'\\') => Ok('\\'),
            Some(b'/') => Ok('/'),
            Some(b'b') => Ok('\u{8}'),
            Some(b'f') => Ok('\u{c}'),
            Some(b'n') => Ok('\n'),
            Some(b'r') => Ok('\r'),
            Some(b't') => Ok('\t'),
            Some(b'u') => self.unicode(),
            _ => {
                self.at -= 1;
                self.error("not JSON: an unknown escape")
            }
        }
    }

    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            if self.text.as_bytes()[self.at..].starts_with(b"\\u") {
                self.at += 2;
                match self.hex()? {
                    low @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00),
                    _ => return self.error("not JSON: half a surrogate pair"),
                }
            } else {
                return self.error("not JSON: half a surrogate pair");
            }
        } else {
            first
        };
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.error("not JSON: half a surrogate pair"),
        }
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let value = digits
            .iter()
            .try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?));
        match value {
            Some(value) if digits.len() == 4 => {
                self.at += 4;
                Ok(value)
            }
            _ => self.error("not JSON: four hexadecimal digits are due"),
        }
    }

    /// A number as it is written, which is next.
    pub(crate) fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.byte() == Some(b'0');
        let whole = self.digits()?;
        if zero && whole > 1 {
            return self.error("not JSON: a number with a leading zero");
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<usize> {
        let start = self.at;
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start {
            return self.error("not JSON: a digit is due");
        }
        Ok(self.at - start)
    }

    /// A boolean, whose first letter is next.
    pub(crate) fn boolean(&mut self) -> Result<bool> {
        if self.byte() == Some(b't') {
            self.word("true")?;
            return Ok(true);
        }
        self.word("false")?;
        Ok(false)
    }

    /// `null`, whose first letter is next.
    pub(crate) fn null(&mut self) -> Result<()> {
        self.word("null")
    }

    fn word(&mut self, word: &str) -> Result<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.error(&format!("not JSON: '{word}' is due"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads over one value of any shape.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.shape()? {
            Shape::Object => {
                self.enter()?;
                let mut first = true;
                while self.key(first)?.is_some() {
                    first = false;
                    self.skip()?;
                }
            }
            Shape::Array => {
                self.enter()?;
                let mut first = true;
                while self.element(first)? {
                    first = false;
                    self.skip()?;
                }
            }
            Shape::String => drop(self.string()?),
            Shape::Number => drop(self.number()?),
            Shape::Bool => drop(self.boolean()?),
            Shape::Null => self.null()?,
        }
        Ok(())
    }

    /// Nothing but white space may come any more.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.skip_space();
        match self.byte() {
            None => Ok(()),
            Some(_) => self.error("not JSON: more text after the end"),
        }
    }
}
