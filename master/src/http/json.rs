//! JSON as the old endpoints of Mesos have it, written straight into bytes: one line of ASCII,
//! numbers with a fraction where Mesos has doubles.
//!
//! An [`Element`] is an object of a list (an agent, a framework, a task) of which a reader may
//! have asked for some fields only.

mod resource;

use proto::{AttributeValue, Resources, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

/// JSON that is being written. Commas come by themselves.
#[derive(Debug, Default)]
pub(crate) struct Json {
    bytes: Vec<u8>,
    /// The last byte that was written, also when it is taken already.
    last: u8,
}

impl Json {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// What was written since the last time.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.last = self.bytes.last().copied().unwrap_or(self.last);
        std::mem::take(&mut self.bytes)
    }

    /// What follows comes behind `text`, which goes its own way.
    pub(crate) fn goes_on_behind(&mut self, text: &[u8]) {
        self.last = text.last().copied().unwrap_or(self.last);
    }

    /// Whether a value that came now would have a comma before it.
    pub(crate) fn wants_comma(&self) -> bool {
        let last = self.bytes.last().copied().unwrap_or(self.last);
        !matches!(last, 0 | b'{' | b'[' | b':' | b'(' | b',')
    }

    fn before_value(&mut self) {
        if self.wants_comma() {
            self.bytes.push(b',');
        }
    }

    /// Writes behind `bytes`.
    pub(crate) fn behind(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Self)) {
        let mut json = Self { bytes: std::mem::take(bytes), last: 0 };
        write(&mut json);
        *bytes = json.bytes;
    }

    /// A value, as JSON that stands already.
    pub(crate) fn value(&mut self, json: &[u8]) {
        self.before_value();
        self.bytes.extend_from_slice(json);
    }

    /// Text that is no JSON value: the wrapping of a callback.
    pub(crate) fn raw(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// As `raw`.
    pub(crate) fn raw_bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn name(&mut self, name: &str) -> &mut Self {
        self.before_value();
        self.quoted(name);
        self.bytes.push(b':');
        self
    }

    pub(crate) fn begin_object(&mut self) {
        self.before_value();
        self.bytes.push(b'{');
    }

    pub(crate) fn end_object(&mut self) {
        self.bytes.push(b'}');
    }

    pub(crate) fn begin_list(&mut self) {
        self.before_value();
        self.bytes.push(b'[');
    }

    pub(crate) fn end_list(&mut self) {
        self.bytes.push(b']');
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.before_value();
        self.quoted(text);
    }

    pub(crate) fn int(&mut self, value: u64) {
        self.before_value();
        // Writing into memory cannot fail.
        let _ = write!(self.bytes, "{value}");
    }

    /// A double; what JSON has no number for becomes 0.
    pub(crate) fn double(&mut self, value: f64) {
        self.before_value();
        let value = if value.is_finite() { value } else { 0.0 };
        let _ = write!(self.bytes, "{value:?}");
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.before_value();
        self.raw(if value { "true" } else { "false" });
    }

    /// A JSON value of any kind, in ASCII.
    pub(crate) fn any(&mut self, value: &serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.begin_list();
                items.iter().for_each(|item| self.any(item));
                self.end_list();
            }
            Value::Object(members) => {
                self.begin_object();
                for (name, value) in members {
                    self.name(name).any(value);
                }
                self.end_object();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.value(value.to_string().as_bytes());
            }
        }
    }

    /// A list of texts.
    pub(crate) fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a str>) {
        self.begin_list();
        texts.into_iter().for_each(|text| self.text(text));
        self.end_list();
    }

    /// Resources by name: scalars as numbers, the rest as text; the four that everybody looks for
    /// always.
    pub(crate) fn resources(&mut self, resources: &Resources) {
        let mut amounts: BTreeMap<String, Value> = BTreeMap::new();
        for name in ["cpus", "disk", "gpus", "mem"] {
            amounts.insert(name.to_owned(), Value::Scalar(0));
        }
        for piece in resources.pieces() {
            let suffix = if piece.flavor.revocable { "_revocable" } else { "" };
            let name = format!("{}{suffix}", piece.name);
            let sum = match (amounts.remove(&name), piece.value.clone()) {
                (Some(Value::Scalar(a)), Value::Scalar(b)) => Value::Scalar(a.saturating_add(b)),
                (Some(Value::Ranges(mut a)), Value::Ranges(b)) => {
                    a.add(&b);
                    Value::Ranges(a)
                }
                (_, value) => value,
            };
            amounts.insert(name, sum);
        }
        self.begin_object();
        for (name, value) in &amounts {
            self.name(name);
            match value {
                Value::Scalar(milli) => self.double(*milli as f64 / 1000.0),
                Value::Ranges(_) | Value::Set(_) => self.text(&value.to_string()),
            }
        }
        self.end_object();
    }

    pub(crate) fn attribute(&mut self, value: &AttributeValue) {
        match value {
            AttributeValue::Text(text) => self.text(text),
            AttributeValue::Scalar(milli) => self.double(*milli as f64 / 1000.0),
            AttributeValue::Ranges(ranges) => self.text(&ranges.to_string()),
        }
    }

    fn quoted(&mut self, text: &str) {
        self.bytes.push(b'"');
        for char in text.chars() {
            match char {
                '"' => self.raw("\\\""),
                '\\' => self.raw("\\\\"),
                '\n' => self.raw("\\n"),
                '\r' => self.raw("\\r"),
                '\t' => self.raw("\\t"),
                ' '..='~' => self.bytes.push(char as u8),
                other => {
                    for unit in other.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.bytes, "\\u{unit:04x}");
                    }
                }
            }
        }
        self.bytes.push(b'"');
    }
}

/// Which fields of an element are wanted; all when the reader named none.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Option<BTreeSet<String>>);

impl Fields {
    /// From a list with commas between.
    pub(crate) fn parse(list: Option<&str>) -> Self {
        Self(list.map(|list| list.split(',').map(|name| name.trim().to_owned()).collect()))
    }

    /// These, or all when there is none.
    pub(crate) fn some(names: impl IntoIterator<Item = String>) -> Self {
        let names: BTreeSet<String> = names.into_iter().collect();
        Self((!names.is_empty()).then_some(names))
    }

    /// Whether all fields are wanted.
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// An object of a list.
pub(crate) struct Element<'a> {
    json: &'a mut Json,
    fields: &'a Fields,
}

impl<'a> Element<'a> {
    pub(crate) fn new(json: &'a mut Json, fields: &'a Fields) -> Self {
        Self { json, fields }
    }

    /// Where to write the field's value, if it is wanted.
    pub(crate) fn field(&mut self, name: &str) -> Option<&mut Json> {
        self.fields.wants(name).then(|| self.json.name(name))
    }

    pub(crate) fn text(&mut self, name: &str, value: &str) {
        if let Some(json) = self.field(name) {
            json.text(value);
        }
    }

    pub(crate) fn int(&mut self, name: &str, value: u64) {
        if let Some(json) = self.field(name) {
            json.int(value);
        }
    }

    pub(crate) fn double(&mut self, name: &str, value: f64) {
        if let Some(json) = self.field(name) {
            json.double(value);
        }
    }

    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        if let Some(json) = self.field(name) {
            json.flag(value);
        }
    }

    pub(crate) fn resources(&mut self, name: &str, value: &Resources) {
        if let Some(json) = self.field(name) {
            json.resources(value);
        }
    }

    pub(crate) fn texts<'t>(&mut self, name: &str, texts: impl IntoIterator<Item = &'t str>) {
        if let Some(json) = self.field(name) {
            json.texts(texts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_come_by_themselves_also_over_pieces() {
        let mut json = Json::default();
        json.begin_object();
        json.name("a").int(1);
        let mut all = json.take();
        json.name("b").begin_list();
        all.extend(json.take());
        json.text("x\u{e9}\"");
        json.double(2.0);
        json.flag(true);
        json.end_list();
        json.name("c").begin_object();
        json.end_object();
        json.end_object();
        all.extend(json.take());
        let expected = r#"{"a":1,"b":["x\u00e9\"",2.0,true],"c":{}}"#;
        assert_eq!(String::from_utf8(all).unwrap(), expected);
    }

    #[test]
    fn resources_have_the_four_that_everybody_looks_for() {
        let mut json = Json::default();
        json.resources(&Resources::scalars([("cpus", 1500), ("fpga", 2000)]));
        let expected = r#"{"cpus":1.5,"disk":0.0,"fpga":2.0,"gpus":0.0,"mem":0.0}"#;
        assert_eq!(String::from_utf8(json.take()).unwrap(), expected);
    }
}
