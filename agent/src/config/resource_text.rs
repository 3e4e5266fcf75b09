//! Resources and attributes as operators write them: Mesos' text form, and its JSON form.
//!
//! Text: `cpus:4;mem:1024;ports:[31000-32000,33000-33010];disks:{a,b}`. Reservations in the text
//! form (`cpus(role):4`) are refused: they belong to the master.

use crate::Error;
use proto::{
    Attribute, AttributeValue, Flavor, Limits, Piece, Ranges, ResourceName, Resources, Value,
};
use std::collections::BTreeSet;
use std::sync::Arc;

const RESOURCES: &str = "--resources";
const ATTRIBUTES: &str = "--attributes";

/// What one entry says: a name and its value as text.
enum Parsed {
    Scalar(u64),
    Ranges(Ranges),
    Set(BTreeSet<Arc<str>>),
    Text(Arc<str>),
}

fn wrong(setting: &'static str, given: &str, problem: impl Into<String>) -> Error {
    let given = given.chars().take(200).collect();
    Error::Setting { setting, given, problem: problem.into() }
}

/// Reads resources in text or JSON form.
///
/// # Errors
/// Names the entry and what it should be.
pub(crate) fn resources(text: &str) -> Result<Resources, Error> {
    if text.trim_start().starts_with(['[', '{']) {
        return from_json(text);
    }
    let mut all = Resources::new();
    for (entry, name, value) in entries(text, RESOURCES)? {
        let value = match parse(value).map_err(|problem| wrong(RESOURCES, entry, problem))? {
            Parsed::Scalar(milli) => Value::Scalar(milli),
            Parsed::Ranges(ranges) => Value::Ranges(ranges),
            Parsed::Set(items) => Value::Set(items),
            Parsed::Text(_) => {
                let problem = "should be a number, ranges such as [1-5], or a set such as {a,b}";
                return Err(wrong(RESOURCES, entry, problem));
            }
        };
        if name.contains(['(', ')']) {
            let problem = "reservations are made by the master; name the resource alone";
            return Err(wrong(RESOURCES, entry, problem));
        }
        add(&mut all, name, value).map_err(|problem| wrong(RESOURCES, entry, problem))?;
    }
    Ok(all)
}

/// Reads attributes in text form.
///
/// # Errors
/// Names the entry and what it should be.
pub(crate) fn attributes(text: &str) -> Result<Vec<Attribute>, Error> {
    let mut all = Vec::new();
    for (entry, name, value) in entries(text, ATTRIBUTES)? {
        let value = match parse(value).map_err(|problem| wrong(ATTRIBUTES, entry, problem))? {
            Parsed::Scalar(milli) => {
                AttributeValue::Scalar(i64::try_from(milli).unwrap_or(i64::MAX))
            }
            Parsed::Ranges(ranges) => AttributeValue::Ranges(ranges),
            Parsed::Text(text) => AttributeValue::Text(text),
            Parsed::Set(_) => {
                return Err(wrong(ATTRIBUTES, entry, "sets are not accepted for attributes"));
            }
        };
        all.push(Attribute { name: name.into(), value });
    }
    Ok(all)
}

fn add(all: &mut Resources, name: &str, value: Value) -> Result<(), String> {
    let piece = Piece { name: ResourceName::new(name), flavor: Flavor::default(), value };
    match all.add_piece(piece) {
        true => Ok(()),
        false => Err(format!("'{name}' was of another kind before")),
    }
}

/// The entries `name:value`, each with its whole text for complaints.
fn entries<'a>(
    text: &'a str,
    setting: &'static str,
) -> Result<Vec<(&'a str, &'a str, &'a str)>, Error> {
    let mut all = Vec::new();
    for entry in text.split([';', '\n']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let Some((name, value)) = entry.split_once(':') else {
            return Err(wrong(setting, entry, "should be NAME:VALUE, such as cpus:4"));
        };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.len() > Limits::DEFAULT.name_bytes {
            return Err(wrong(setting, entry, "the name must have 1 to 255 bytes"));
        }
        all.push((entry, name, value));
    }
    Ok(all)
}

fn parse(value: &str) -> Result<Parsed, String> {
    if let Some(list) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return ranges(list).map(Parsed::Ranges);
    }
    if let Some(list) = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let items = list.split(',').map(str::trim).filter(|item| !item.is_empty());
        return Ok(Parsed::Set(items.map(Arc::from).collect()));
    }
    if value.starts_with(['[', '{']) {
        return Err("the bracket is not closed".to_owned());
    }
    match value.parse::<f64>() {
        Ok(number) => milli(number).map(Parsed::Scalar),
        Err(_) if value.is_empty() => Err("has no value".to_owned()),
        Err(_) => Ok(Parsed::Text(value.into())),
    }
}

/// Thousandths, as Mesos rounds.
fn milli(number: f64) -> Result<u64, String> {
    if !number.is_finite() || !(0.0..=1e15).contains(&number) {
        return Err(format!("{number} is no amount"));
    }
    Ok((number * 1000.0).round() as u64)
}

fn ranges(list: &str) -> Result<Ranges, String> {
    let mut pairs = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let (begin, end) = item.split_once('-').unwrap_or((item, item));
        let number = |text: &str| text.trim().parse::<u64>().ok();
        match (number(begin), number(end)) {
            (Some(begin), Some(end)) if begin <= end => pairs.push((begin, end)),
            _ => return Err(format!("'{item}' should be a range such as 31000-32000")),
        }
    }
    Ok(Ranges::new(pairs))
}

/// Mesos' JSON form: a list of `{"name", "type", "scalar" | "ranges" | "set"}`.
fn from_json(text: &str) -> Result<Resources, Error> {
    let refuse = |problem: String| wrong(RESOURCES, text, problem);
    let list: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text)
        .map_err(|error| refuse(format!("should be a JSON list of resources: {error}")))?;
    let mut all = Resources::new();
    for entry in &list {
        let name = entry.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let name_fits = (1..=Limits::DEFAULT.name_bytes).contains(&name.len());
        if !name_fits {
            return Err(refuse("a resource needs a name of 1 to 255 bytes".to_owned()));
        }
        if entry.contains_key("reservations") || entry.contains_key("role") {
            let problem = format!("{name}: reservations are made by the master");
            return Err(refuse(problem));
        }
        let value = json_value(entry)
            .ok_or_else(|| refuse(format!("{name}: needs a scalar, ranges or a set")))?;
        add(&mut all, name, value).map_err(refuse)?;
    }
    Ok(all)
}

fn json_value(entry: &serde_json::Map<String, serde_json::Value>) -> Option<Value> {
    if let Some(scalar) = entry.get("scalar") {
        return milli(scalar.get("value")?.as_f64()?).ok().map(Value::Scalar);
    }
    if let Some(ranges) = entry.get("ranges") {
        let pairs = ranges.get("range")?.as_array()?.iter().map(|range| {
            let (begin, end) = (range.get("begin")?.as_u64()?, range.get("end")?.as_u64()?);
            (begin <= end).then_some((begin, end))
        });
        return Some(Value::Ranges(Ranges::new(pairs.collect::<Option<Vec<_>>>()?)));
    }
    let items = entry.get("set")?.get("item")?.as_array()?;
    let items = items.iter().map(|item| item.as_str().map(Arc::from));
    Some(Value::Set(items.collect::<Option<BTreeSet<_>>>()?))
}
