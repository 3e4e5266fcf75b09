//! Resources and attributes as operators write them: Mesos' text form, and its JSON form.
//!
//! Text: `cpus:4;mem:1024;ports:[31000-32000,33000-33010];disks:{a,b}`. `cpus(role):4` is reserved
//! to the role for as long as the configuration says so; everything else that sets resources apart
//! (reservations at run time, volumes) is the master's to make.

use crate::Error;
use proto::{
    Attribute, AttributeValue, Encoding, Flavor, Limits, Piece, Ranges, Reservation,
    ReservationKind, ResourceName, Resources, Role, Special, Value, Wire,
};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

const RESOURCES: &str = "--resources";
const ATTRIBUTES: &str = "--attributes";
/// Largest file of either.
const FILE_BYTES: u64 = 1 << 20;

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

/// What is meant: the text itself, or with Mesos' `file:///PATH` what is in that file.
fn content<'a>(text: &'a str, setting: &'static str) -> Result<Cow<'a, str>, Error> {
    let Some(path) = text.trim().strip_prefix("file://") else { return Ok(Cow::Borrowed(text)) };
    let read = || -> std::io::Result<String> {
        let mut content = String::new();
        let file = std::fs::File::open(path)?;
        file.take(FILE_BYTES + 1).read_to_string(&mut content)?;
        Ok(content)
    };
    match read() {
        Ok(content) if content.len() as u64 <= FILE_BYTES => Ok(Cow::Owned(content)),
        Ok(_) => Err(wrong(setting, text, "the file is larger than 1 MiB")),
        Err(error) => Err(wrong(setting, text, format!("the file cannot be read: {error}"))),
    }
}

/// Reads resources in text or JSON form.
///
/// # Errors
/// Names the entry and what it should be.
pub(crate) fn resources(text: &str) -> Result<Resources, Error> {
    let text = &*content(text, RESOURCES)?;
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
        reserved(name)
            .and_then(|(name, flavor)| add(&mut all, name, flavor, value))
            .map_err(|problem| wrong(RESOURCES, entry, problem))?;
    }
    Ok(all)
}

/// Reads attributes in text form.
///
/// # Errors
/// Names the entry and what it should be.
pub(crate) fn attributes(text: &str) -> Result<Vec<Attribute>, Error> {
    let text = &*content(text, ATTRIBUTES)?;
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

/// A name, and the role in parentheses behind it; `*` is no reservation.
fn reserved(name: &str) -> Result<(&str, Flavor), String> {
    let Some((name, rest)) = name.split_once('(') else {
        return match name.contains(')') {
            true => Err("the parenthesis is not opened".to_owned()),
            false => Ok((name, Flavor::default())),
        };
    };
    let role = rest.strip_suffix(')').ok_or("should be NAME(ROLE):VALUE, such as cpus(eng):4")?;
    let role = Role::new(role.trim()).map_err(|error| error.to_string())?;
    let name = name.trim();
    if name.is_empty() {
        return Err("the name must have 1 to 255 bytes".to_owned());
    }
    if role == Role::any() {
        return Ok((name, Flavor::default()));
    }
    let kind = ReservationKind::Static;
    let reservation = Reservation { kind, role, principal: None, labels: Vec::new() };
    let special = Special { reservations: vec![reservation], ..Special::default() };
    Ok((name, Flavor::new(false, special)))
}

fn add(all: &mut Resources, name: &str, flavor: Flavor, value: Value) -> Result<(), String> {
    let other_kind = all.pieces().iter().any(|piece| {
        let same = std::mem::discriminant(&piece.value) == std::mem::discriminant(&value);
        piece.name.as_str() == name && !same
    });
    if other_kind {
        return Err(format!("'{name}' was of another kind before"));
    }
    let piece = Piece { name: ResourceName::new(name), flavor, value };
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
        // A role may have colons.
        let name_end = entry.find(')').unwrap_or(0);
        let colon = entry[name_end..].find(':').map(|at| name_end + at);
        let Some((name, value)) = colon.map(|at| (&entry[..at], &entry[at + 1..])) else {
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

/// Mesos' JSON form: a list of `{"name", "type", "scalar" | "ranges" | "set"}`, reserved by `role`
/// or by `reservations`. It is read as what comes over the wire is, and then only what a machine
/// can have by itself is taken.
fn from_json(text: &str) -> Result<Resources, Error> {
    let refuse = |problem: String| wrong(RESOURCES, text, problem);
    let mut list: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(text)
        .map_err(|error| refuse(format!("should be a JSON list of resources: {error}")))?;
    for (i, entry) in list.iter_mut().enumerate() {
        let name = entry.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        if name.is_empty() {
            return Err(refuse(format!("resources[{i}]: a resource needs a name")));
        }
        let kinds = [("scalar", "SCALAR"), ("ranges", "RANGES"), ("set", "SET")];
        let kind = kinds.iter().find(|(member, _)| entry.contains_key(*member));
        let Some((_, kind)) = kind else {
            return Err(refuse(format!("resources[{i}] ({name}) needs a scalar, ranges or a set")));
        };
        entry.entry("type").or_insert_with(|| (*kind).into());
    }
    let whole = serde_json::json!({ "resources": list }).to_string();
    let all = Resources::decode(whole.as_bytes(), Encoding::Json, &Limits::DEFAULT)
        .map_err(|error| refuse(error.to_string()))?;
    match all.pieces().iter().find_map(unsuitable) {
        Some(problem) => Err(refuse(problem)),
        None => Ok(all),
    }
}

/// Why a resource cannot be an agent's own, if it cannot.
fn unsuitable(piece: &Piece) -> Option<String> {
    let flavor = &piece.flavor;
    let dynamic = |r: &Reservation| r.kind == ReservationKind::Dynamic;
    let problem = if flavor.reservations().iter().any(dynamic) {
        "only STATIC reservations are made here; DYNAMIC ones are made at run time, with \
         'tepui reserve' or by frameworks"
    } else if flavor.volume().is_some() {
        "volumes are made at run time, with 'tepui volumes' or by frameworks"
    } else if flavor.disk().is_some() {
        "disks of their own (disk.source) are not built yet"
    } else if flavor.revocable {
        "revocable resources cannot be configured"
    } else if flavor.special.as_ref().is_some_and(|special| special.provider.is_some()) {
        "resource providers are not built yet"
    } else {
        return None;
    };
    Some(format!("{}: {problem}", piece.name))
}
