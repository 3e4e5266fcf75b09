//! Walking a specification's tree so that everything wrong with it is found in one go.
//!
//! Every getter notes what is wrong, with the path, and gives nothing then. Nothing here knows
//! what the fields mean.

use super::duration;
use crate::api::Problem;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::time::Duration;

/// The most that any quantity may be, in thousandths.
const MOST_MILLI: f64 = 1e15;

/// All that is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    pub(crate) fn add(&self, path: &str, problem: impl Into<String>) {
        let problem = Problem { path: path.to_owned(), problem: problem.into() };
        self.0.borrow_mut().push(problem);
    }

    pub(crate) fn into_list(self) -> Vec<Problem> {
        self.0.into_inner()
    }
}

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    pub(crate) path: String,
    pub(crate) value: &'a Value,
    problems: &'a Problems,
}

/// A map with known keys.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
    problems: &'a Problems,
}

impl<'a> Field<'a> {
    pub(crate) fn root(value: &'a Value, problems: &'a Problems) -> Self {
        Self { path: String::new(), value, problems }
    }

    /// Notes what is wrong with it.
    pub(crate) fn wrong(&self, problem: impl Into<String>) {
        self.problems.add(&self.path, problem);
    }

    fn must_be(&self, what: &str) {
        self.wrong(format!("must be {what}, is {}", describe(self.value)));
    }

    /// A map that has no other keys than these.
    pub(crate) fn fields(&self, what: &str, known: &[&str]) -> Option<Fields<'a>> {
        let fields = self.map(what)?;
        for key in fields.map.keys().filter(|key| !known.contains(&key.as_str())) {
            let hint = match nearest(key, known) {
                Some(near) => format!("did you mean '{near}'?"),
                None if known.len() == 1 => format!("there is only {}", known.join("")),
                None => format!("there are {}", known.join(", ")),
            };
            self.problems.add(&fields.path_of(key), format!("is no field here; {hint}"));
        }
        Some(fields)
    }

    /// A map with any keys.
    pub(crate) fn map(&self, what: &str) -> Option<Fields<'a>> {
        let Value::Object(map) = self.value else {
            self.must_be(what);
            return None;
        };
        Some(Fields { path: self.path.clone(), map, problems: self.problems })
    }

    /// A text without NUL, not empty.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let Value::String(text) = self.value else {
            self.must_be("text");
            return None;
        };
        if text.is_empty() || text.contains('\0') {
            self.wrong("must be text without NUL that is not empty");
            return None;
        }
        Some(text)
    }

    /// A text, a number or a boolean, as text; for values of variables and attributes.
    pub(crate) fn scalar_text(&self) -> Option<String> {
        match self.value {
            Value::String(text) if text.contains('\0') => {
                self.wrong("must not contain NUL");
                None
            }
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(yes) => Some(yes.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.must_be("text or a number");
                None
            }
        }
    }

    pub(crate) fn boolean(&self) -> Option<bool> {
        let yes = self.value.as_bool();
        if yes.is_none() {
            self.must_be("true or false");
        }
        yes
    }

    pub(crate) fn duration(&self) -> Option<Duration> {
        let Value::String(text) = self.value else {
            self.must_be("a duration such as 500ms, 30s, 5m or 1h30m");
            return None;
        };
        duration::parse(text).map_err(|problem| self.wrong(problem)).ok()
    }

    /// A duration that is not zero.
    pub(crate) fn some_duration(&self) -> Option<Duration> {
        let duration = self.duration()?;
        if duration.is_zero() {
            self.wrong(format!("must be more than 0, is {}", show_text(self.value)));
            return None;
        }
        Some(duration)
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn whole(&self, least: u32, most: u32) -> Option<u32> {
        let Value::Number(number) = self.value else {
            self.must_be("a whole number");
            return None;
        };
        let fits = number.as_u64().and_then(|number| u32::try_from(number).ok());
        match fits {
            Some(number) if (least..=most).contains(&number) => Some(number),
            _ if number.as_i64().is_none() && number.as_u64().is_none() => {
                self.must_be("a whole number");
                None
            }
            _ => {
                self.wrong(format!("must be from {least} to {most}, is {number}"));
                None
            }
        }
    }

    /// A number with at most three decimals, in thousandths.
    pub(crate) fn milli(&self) -> Option<i64> {
        let Value::Number(number) = self.value else {
            self.must_be("a number");
            return None;
        };
        let milli = number.as_f64().unwrap_or(f64::NAN) * 1000.0;
        if milli.is_nan() || milli.abs() > MOST_MILLI {
            self.wrong(format!("must be less than 1000000000000, is {number}"));
            return None;
        }
        if (milli - milli.round()).abs() > 1e-6 * milli.abs().max(1.0) {
            self.wrong(format!("must have at most three decimals, is {number}"));
            return None;
        }
        Some(milli.round() as i64)
    }

    /// A positive number with at most three decimals, in thousandths.
    pub(crate) fn positive_milli(&self) -> Option<u64> {
        let milli = self.milli()?;
        if milli <= 0 {
            self.must_be("more than 0");
            return None;
        }
        u64::try_from(milli).ok()
    }

    /// The items of a list with at most `most`.
    pub(crate) fn items(&self, most: usize) -> Option<Vec<Field<'a>>> {
        let Value::Array(items) = self.value else {
            self.must_be("a list");
            return None;
        };
        if items.len() > most {
            self.wrong(format!("must have at most {most} items, has {}", items.len()));
            return None;
        }
        let field = |(at, value)| Field {
            path: format!("{}[{at}]", self.path),
            value,
            problems: self.problems,
        };
        Some(items.iter().enumerate().map(field).collect())
    }
}

impl<'a> Fields<'a> {
    fn path_of(&self, key: &str) -> String {
        let key = if key.len() > 100 || key.contains(|c: char| c.is_control()) {
            key.chars().take(60).collect::<String>().escape_debug().to_string()
        } else {
            key.to_owned()
        };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// The field, unless it is absent or null.
    pub(crate) fn get(&self, key: &str) -> Option<Field<'a>> {
        let value = self.map.get(key).filter(|value| !value.is_null())?;
        Some(Field { path: self.path_of(key), value, problems: self.problems })
    }

    /// All fields by their keys.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'a str, Field<'a>)> {
        self.map.iter().map(|(key, value)| {
            let field = Field { path: self.path_of(key), value, problems: self.problems };
            (key.as_str(), field)
        })
    }

    /// Notes what is wrong with a field that may be absent.
    pub(crate) fn wrong(&self, key: &str, problem: impl Into<String>) {
        self.problems.add(&self.path_of(key), problem);
    }

    /// Notes what is wrong with the map as a whole.
    pub(crate) fn wrong_here(&self, problem: impl Into<String>) {
        self.problems.add(&self.path, problem);
    }

    /// Whether there are keys that are none of these.
    pub(crate) fn has_others(&self, known: &[&str]) -> bool {
        self.map.keys().any(|key| !known.contains(&key.as_str()))
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }
}

/// A value for a sentence.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(_) => format!("'{}'", show_text(value)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

fn show_text(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    let short: String = text.chars().take(60).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("{}{more}", short.escape_debug())
}

/// The known word that was probably meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let plain = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    let word = plain(word);
    let candidates = known.iter().map(|known| (distance(&word, &plain(known)), *known));
    let (distance, best) = candidates.min_by_key(|(distance, _)| *distance)?;
    if distance <= 2 && distance * 2 < best.len() {
        return Some(best);
    }
    // Another ending of the same word.
    known.iter().copied().find(|known| {
        let known = plain(known);
        let same = word.chars().zip(known.chars()).take_while(|(a, b)| a == b).count();
        same >= 4 && same + 1 >= known.len()
    })
}

/// How many letters must be put in, taken out, replaced, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let width = b.len() + 1;
    let mut table = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let same = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (table[(i - 1) * width + j] + 1)
                    .min(table[i * width + j - 1] + 1)
                    .min(table[(i - 1) * width + j - 1] + same);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(table[(i - 2) * width + j - 2] + 1);
                }
                best
            };
        }
    }
    table[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_a_far_one_is_not() {
        let known = ["command", "cpus", "mem", "timeLimit", "name"];
        for (word, meant) in [
            ("comand", Some("command")),
            ("cpu", Some("cpus")),
            ("time_limit", Some("timeLimit")),
            ("TIMELIMIT", Some("timeLimit")),
            ("nmae", Some("name")),
            ("image", None),
            ("commands_to_run", Some("command")),
            ("x", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }
}
