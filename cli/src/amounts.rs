//! Amounts of resources as people write them: `cpus=4,mem=8192` or Mesos' `cpus:4;mem:8192`.
//!
//! Numbers have at most three decimals, as the cluster counts in thousandths: what cannot be held
//! exactly is refused rather than rounded. It must not decide what a resource is good for.

use proto::{Quantities, Ranges, ResourceName, Resources, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The greatest amount, which leaves room for sums.
const GREATEST: u64 = 1_000_000_000_000;

/// Names that are often meant by others.
const MEANT: [(&str, &str); 7] = [
    ("cpu", "cpus"),
    ("core", "cpus"),
    ("cores", "cpus"),
    ("memory", "mem"),
    ("ram", "mem"),
    ("gpu", "gpus"),
    ("port", "ports"),
];

/// Numbers by name, in thousandths; a zero is kept, as a limit of nothing says something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scalars(pub(crate) BTreeMap<ResourceName, u64>);

impl std::str::FromStr for Scalars {
    type Err = String;

    /// Reads `cpus=4,mem=8192`, or `none` for nothing.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        let mut all = BTreeMap::new();
        for (name, value) in entries(text)? {
            let Value::Scalar(milli) = value else {
                return Err(format!("{name} needs a number, such as {name}=4"));
            };
            all.insert(name, milli);
        }
        Ok(Self(all))
    }
}

/// Amounts of any kind by name, none of them nothing: numbers, ranges (`ports=[31000-31005]`) and
/// sets (`disks={a,b}`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) Vec<(ResourceName, Value)>);

impl std::str::FromStr for Amounts {
    type Err = String;

    /// Reads `cpus=4,ports=[31000-31005]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let all = entries(text)?;
        match all.iter().find(|(_, value)| *value == Value::Scalar(0)) {
            Some((name, _)) => Err(format!("{name}=0 is nothing: an amount above 0 is needed")),
            None => Ok(Self(all)),
        }
    }
}

/// Numbers as `Scalars` reads them; `none` for nothing.
pub(crate) fn written<'a>(all: impl IntoIterator<Item = (&'a ResourceName, u64)>) -> String {
    let all =
        all.into_iter().map(|(name, milli)| format!("{name}={}", crate::output::milli(milli)));
    match all.collect::<Vec<_>>().join(",") {
        nothing if nothing.is_empty() => "none".to_owned(),
        all => all,
    }
}

/// Quantities as `Scalars` reads them.
pub(crate) fn quantities(all: &Quantities) -> String {
    written(all.iter())
}

/// Limits as `Scalars` reads them.
pub(crate) fn limits(all: &BTreeMap<ResourceName, u64>) -> String {
    written(all.iter().map(|(name, milli)| (name, *milli)))
}

/// Resources as `Amounts` reads them, as far as they are plain; others say behind their name what
/// they are.
pub(crate) fn resources(all: &Resources) -> String {
    all.as_flags("none").to_string()
}

/// Thousandths of a number with at most three decimals.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("'{text}' is no amount: a number with at most three decimals, such as 0.5");
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > 3 {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let part: u64 = format!("{part:0<3}").parse().map_err(|_| wrong())?;
    if whole > GREATEST {
        return Err(format!("'{text}' is more than {GREATEST}"));
    }
    Ok(whole * 1000 + part)
}

/// The entries, each name once.
fn entries(text: &str) -> Result<Vec<(ResourceName, Value)>, String> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for entry in split(text).into_iter().map(str::trim).filter(|entry| !entry.is_empty()) {
        let parts = entry.split_once(['=', ':']).map(|(name, value)| (name.trim(), value.trim()));
        let Some((name, value)) = parts.filter(|(name, _)| !name.is_empty()) else {
            return Err(format!("'{entry}' should be NAME=AMOUNT, such as cpus=4"));
        };
        if let Some((_, meant)) = MEANT.iter().find(|(wrong, _)| *wrong == name) {
            return Err(format!("no resource is called '{name}': write {meant}"));
        }
        if name.len() > proto::Limits::DEFAULT.name_bytes || name.contains(['(', ')', '{', '}']) {
            return Err(format!("'{name}' is no name of a resource"));
        }
        if !seen.insert(name) {
            return Err(format!("{name} is given twice"));
        }
        let value = value_of(value).map_err(|problem| format!("{name}: {problem}"))?;
        all.push((ResourceName::new(name), value));
    }
    match all.is_empty() {
        true => Err("amounts are needed, such as cpus=4,mem=8192".to_owned()),
        false => Ok(all),
    }
}

/// The entries between commas and semicolons that stand in no bracket.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    text.split(move |c| {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(c, ',' | ';')
    })
    .collect()
}

fn value_of(text: &str) -> Result<Value, String> {
    if let Some(list) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let pairs: Vec<_> = list.split(',').map(range).collect::<Result<_, _>>()?;
        return Ok(Value::Ranges(Ranges::new(pairs)));
    }
    if let Some(list) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        let items: BTreeSet<Arc<str>> =
            list.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Arc::from).collect();
        return match items.is_empty() {
            true => Err("the set is empty".to_owned()),
            false => Ok(Value::Set(items)),
        };
    }
    number(text).map(Value::Scalar)
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let (begin, end) = text.split_once('-').unwrap_or((text, text));
    match (begin.trim().parse(), end.trim().parse()) {
        (Ok(begin), Ok(end)) if begin <= end => Ok((begin, end)),
        _ => Err(format!("'{}' should be a range such as 31000-32000", text.trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::{Piece, Reservation, ReservationKind};

    #[test]
    fn both_forms_are_read_and_what_is_written_is_read_again() {
        let all: Scalars = "cpus=4.5,mem=8192,gpus=0".parse().unwrap();
        assert_eq!(all, "cpus:4.5; mem:8192; gpus:0".parse().unwrap());
        assert_eq!(limits(&all.0), "cpus=4.5,gpus=0,mem=8192");
        assert_eq!(limits(&all.0).parse(), Ok(all));
        assert_eq!("none".parse(), Ok(Scalars::default()));
        assert_eq!(limits(&BTreeMap::new()), "none");
    }

    #[test]
    fn ranges_and_sets_keep_their_commas() {
        let all: Amounts = "cpus=1,ports=[31000-31005,31010],disks={a,b}".parse().unwrap();
        assert_eq!(all.0.len(), 3);
        assert_eq!(all.0[1].1, Value::Ranges(Ranges::new([(31_000, 31_005), (31_010, 31_010)])));
    }

    #[test]
    fn resources_are_written_as_they_are_read() {
        let text = "cpus=0.5,disks={a,b},mem=64,ports=[31000-31005,31010-31010]";
        let all: Amounts = text.parse().unwrap();
        let piece = |(name, value)| Piece { name, value, flavor: proto::Flavor::default() };
        let all: Resources = all.0.into_iter().map(piece).collect();
        assert_eq!(resources(&all), text);
        assert_eq!(resources(&Resources::new()), "none");
        let reserved = all.push_reservation(&Reservation {
            kind: ReservationKind::Dynamic,
            role: proto::Role::new("eng").unwrap(),
            principal: None,
            labels: proto::Labels::new(),
        });
        let first = "cpus(reservations: [(DYNAMIC,eng)])=0.5,";
        assert!(resources(&reserved).starts_with(first), "{}", resources(&reserved));
    }

    #[test]
    fn what_is_wrong_is_named_with_the_fix() {
        for (text, words) in [
            ("", "amounts are needed"),
            ("cpus", "NAME=AMOUNT"),
            ("cpu=4", "write cpus"),
            ("memory=4", "write mem"),
            ("cpus=-1", "'-1' is no amount"),
            ("cpus=1.2345", "three decimals"),
            ("cpus=1e3", "no amount"),
            ("cpus=NaN", "no amount"),
            ("cpus=99999999999999", "more than"),
            ("cpus=99999999999999999999999", "no amount"),
            ("cpus=1,cpus=2", "twice"),
            ("=4", "NAME=AMOUNT"),
            ("ports=[5-1]", "5-1"),
            ("disks={}", "empty"),
            ("cpus(eng)=4", "no name"),
        ] {
            let problem = text.parse::<Amounts>().unwrap_err();
            assert!(problem.contains(words), "{text}: {problem}");
        }
        assert!("ports=[1-2]".parse::<Scalars>().unwrap_err().contains("needs a number"));
        assert!("cpus=0".parse::<Amounts>().unwrap_err().contains("above 0"));
        assert_eq!(number("0.25"), Ok(250));
        assert_eq!(number("7."), Err(number("7.").unwrap_err()));
    }
}
