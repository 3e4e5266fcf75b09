//! The query of a request: known keys only, each at most once.

use crate::refusal::Refusal;
use std::time::Duration;

/// The longest token.
const TOKEN: usize = 200;

/// The pairs of a query, decoded.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that has no other keys than these.
    pub(super) fn parse(text: Option<&str>, known: &[&str]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for part in text.unwrap_or_default().split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (Some(key), Some(value)) = (decode(key), decode(value)) else {
                return Err(Refusal::new(400, "", "the query is not percent-encoded UTF-8"));
            };
            if !known.contains(&key.as_str()) {
                let all = known.join(", ");
                let problem = format!("is no parameter here; there are {all}");
                return Err(Refusal::new(400, &key.escape_debug().to_string(), problem));
            }
            if pairs.iter().any(|(other, _)| *other == key) {
                return Err(Refusal::new(400, &key, "stands twice"));
            }
            pairs.push((key, value));
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A whole number.
    pub(super) fn number<N: std::str::FromStr>(&self, key: &str) -> Result<Option<N>, Refusal> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let wrong = |_| {
            let problem = format!("must be a whole number, is '{}'", text.escape_debug());
            Refusal::new(400, key, problem)
        };
        text.parse().map(Some).map_err(wrong)
    }

    /// `1`, `true` or nothing for yes; `0` or `false` for no.
    pub(super) fn flag(&self, key: &str) -> Result<bool, Refusal> {
        match self.get(key) {
            None | Some("0" | "false") => Ok(false),
            Some("" | "1" | "true") => Ok(true),
            Some(other) => {
                let problem = format!("must be 1 or 0, is '{}'", other.escape_debug());
                Err(Refusal::new(400, key, problem))
            }
        }
    }

    /// Seconds, with decimals if need be, at most so many.
    pub(super) fn seconds(&self, key: &str, most: Duration) -> Result<Option<Duration>, Refusal> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let seconds = text.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
        match seconds {
            Some(seconds) if seconds <= most => Ok(Some(seconds)),
            Some(_) | None => {
                let (most, shown) = (most.as_secs(), text.escape_debug());
                let problem = format!("must be seconds from 0 to {most}, is '{shown}'");
                Err(Refusal::new(400, key, problem))
            }
        }
    }

    /// The token that makes a repeated submit harmless.
    pub(super) fn token(&self) -> Result<Option<String>, Refusal> {
        match self.get("token") {
            None => Ok(None),
            Some(token) if token.is_empty() || token.len() > TOKEN => {
                let problem = format!("must be 1 to {TOKEN} bytes long, is {}", token.len());
                Err(Refusal::new(400, "token", problem))
            }
            Some(token) => Ok(Some(token.to_owned())),
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_strictly() {
        let query = Query::parse(Some("a=1&b=x%20y+z&c"), &["a", "b", "c"]).unwrap();
        assert_eq!(query.number::<u32>("a"), Ok(Some(1)));
        assert_eq!(query.get("b"), Some("x y z"));
        assert_eq!((query.flag("c"), query.flag("d")), (Ok(true), Ok(false)));
        let most = Duration::from_secs(5);
        assert_eq!(query.seconds("a", most), Ok(Some(Duration::from_secs(1))));
        assert!(query.seconds("b", most).is_err());
        for wrong in ["q=1", "a=1&a=2", "a=%zz", "a=%ff"] {
            assert_eq!(Query::parse(Some(wrong), &["a"]).unwrap_err().status, 400, "{wrong}");
        }
        for seconds in ["-1", "6", "NaN", "inf", "1e300", ""] {
            let query = Query::parse(Some(&format!("a={seconds}")), &["a"]).unwrap();
            assert!(query.seconds("a", most).is_err(), "{seconds}");
        }
    }
}
