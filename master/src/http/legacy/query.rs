//! The query of a read: names and values, and the parameters that the old endpoints share.

use crate::http::Refusal;
use crate::http::json::Fields;
use crate::http::select::{Page, Wanted};
use std::collections::BTreeMap;

/// Names and values of a query or of a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    /// Of `a=1&b=2`; of a name that stands twice the last counts. What cannot be decoded stays as
    /// it is.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A value that is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What is wanted of the lists; `default` elements of each when the query does not say.
    pub(crate) fn wanted(&self, default: usize) -> Wanted {
        let named = |name: &str| self.get(name).map(str::to_owned);
        Wanted {
            framework: named("framework_id"),
            // Mesos' old name, and that of the v1 API.
            agent: named("slave_id").or_else(|| named("agent_id")),
            task: named("task_id"),
            role: named("role"),
            fields: self.fields(),
            page: self.page(default),
        }
    }

    /// Which part of a list is wanted, `default` elements when the query does not say.
    ///
    /// As in Mesos, what is no number is as if it were not there, and a negative limit is none.
    fn page(&self, default: usize) -> Page {
        let number = |name| self.get(name).and_then(|text| text.parse::<i64>().ok());
        let limit = number("limit").map_or(default, |n| usize::try_from(n).unwrap_or(usize::MAX));
        let offset = number("offset").map_or(0, |n| usize::try_from(n).unwrap_or(0));
        Page { offset, limit }
    }

    /// Which fields of the elements are wanted.
    fn fields(&self) -> Fields {
        Fields::parse(self.get("fields"))
    }

    /// The function that the answer is to call.
    pub(crate) fn callback(&self) -> Result<Option<&str>, Refusal> {
        let Some(name) = self.get("jsonp") else { return Ok(None) };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '.');
        if name.len() <= 128 && name.chars().all(fits) {
            return Ok(Some(name));
        }
        Err(Refusal::bad_request("jsonp must be the name of a function"))
    }
}

/// Undoes percent-encoding, with `+` for a space.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = || {
            let digits = std::str::from_utf8(bytes.get(at + 1..at + 3)?).ok()?;
            // `from_str_radix` would take a sign.
            digits.chars().all(|c| c.is_ascii_hexdigit()).then_some(())?;
            u8::from_str_radix(digits, 16).ok()
        };
        match (byte, if *byte == b'%' { hex() } else { None }) {
            (_, Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', None) => out.push(b' '),
            (other, None) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse("slaveId=a%2Fb+c&x=%zz%+1&empty=&alone&limit=7");
        assert_eq!(query.get("slaveId"), Some("a/b c"));
        assert_eq!(query.get("x"), Some("%zz% 1"));
        assert_eq!((query.get("empty"), query.get("alone")), (None, None));
        assert_eq!(query.page(100).limit, 7);
    }

    #[test]
    fn a_page_is_as_lenient_as_mesos() {
        let page = |text: &str| Query::parse(text).page(100);
        assert_eq!(page("limit=-1").limit, usize::MAX);
        assert_eq!((page("limit=x&offset=-2").limit, page("offset=-2").offset), (100, 0));
        let five = page("limit=2&offset=3").of(0..100).collect::<Vec<_>>();
        assert_eq!(five, [3, 4]);
    }

    #[test]
    fn a_callback_is_a_name() {
        assert!(matches!(Query::parse("jsonp=a.b$1").callback(), Ok(Some("a.b$1"))));
        assert!(Query::parse("jsonp=alert(1)").callback().is_err());
    }
}
