//! Attributes of hosts (zone, rack, machine type) and the questions asked about one host's attributes.
//!
//! A test looks at one host alone; what depends on where co-tasks are is a constraint's business.

use std::collections::btree_map::Iter;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::id::HostId;
use crate::topology::BETWEEN;

/// The attribute name that means the host's own name, in every constraint that takes an attribute.
pub const HOSTNAME: &str = "HOSTNAME";

/// The attributes of a host by name: a map, whose clones share what they hold until one of them is changed.
#[derive(Clone, Default)]
pub struct Attributes(Option<Arc<BTreeMap<String, AttributeValue>>>);

static NONE: BTreeMap<String, AttributeValue> = BTreeMap::new();

impl Attributes {
    /// No attributes.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }
}

impl Deref for Attributes {
    type Target = BTreeMap<String, AttributeValue>;

    fn deref(&self) -> &Self::Target {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl DerefMut for Attributes {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl From<BTreeMap<String, AttributeValue>> for Attributes {
    fn from(attributes: BTreeMap<String, AttributeValue>) -> Self {
        Self(Some(Arc::new(attributes)))
    }
}

impl FromIterator<(String, AttributeValue)> for Attributes {
    fn from_iter<T: IntoIterator<Item = (String, AttributeValue)>>(attributes: T) -> Self {
        attributes.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl<'a> IntoIterator for &'a Attributes {
    type Item = (&'a String, &'a AttributeValue);
    type IntoIter = Iter<'a, String, AttributeValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Self) -> bool {
        let same = |(one, other)| Arc::ptr_eq(one, other);
        self.0.as_ref().zip(other.0.as_ref()).is_some_and(same) || **self == **other
    }
}

impl Eq for Attributes {}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// The value of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttributeValue {
    /// Text, compared exactly.
    Text(String),
    /// A number in thousandths.
    Scalar(i64),
}

impl AttributeValue {
    /// A whole number, or the nearest bound when it is too large.
    #[must_use]
    pub const fn whole(number: i64) -> Self {
        Self::Scalar(number.saturating_mul(1000))
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Scalar(number) => write_thousandths(f, *number),
        }
    }
}

/// The attribute `name` of a host, where [`HOSTNAME`] is every host's own name.
pub(crate) fn lookup(host: &HostId, attributes: &Attributes, name: &str) -> Option<AttributeValue> {
    if name == HOSTNAME {
        return Some(AttributeValue::Text(host.as_str().to_owned()));
    }
    if name.contains(BETWEEN) {
        return place(attributes, name);
    }
    attributes.get(name).cloned()
}

/// The place of a level that several attributes name.
fn place(attributes: &Attributes, level: &str) -> Option<AttributeValue> {
    let mut place = String::new();
    for name in level.split(BETWEEN) {
        // The length tells where a value ends, whatever is in it.
        let value = attributes.get(name)?.to_string();
        place.push_str(&format!("{}{BETWEEN}{value}", value.len()));
    }
    Some(AttributeValue::Text(place))
}

/// A question about one attribute of one host.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttributeTest {
    /// Has exactly this value. A host without the attribute fails.
    Equals(AttributeValue),
    /// Has not this value. A host without the attribute passes: it surely has not this value.
    NotEquals(AttributeValue),
    /// Has one of these values. A host without the attribute fails.
    In(BTreeSet<AttributeValue>),
    /// Has none of these values. A host without the attribute passes.
    NotIn(BTreeSet<AttributeValue>),
    /// Has the attribute, whatever its value.
    Exists,
    /// Has not the attribute.
    Absent,
    /// Is a number (in thousandths) at least this. Text fails, even if it looks like a number.
    AtLeast(i64),
    /// Is a number (in thousandths) at most this. Text fails.
    AtMost(i64),
    /// Is a number (in thousandths) above this. Text fails.
    MoreThan(i64),
    /// Is a number (in thousandths) below this. Text fails.
    LessThan(i64),
}

impl AttributeTest {
    /// Whether `value` (`None`: the host has no such attribute) passes.
    #[must_use]
    pub fn passes(&self, value: Option<&AttributeValue>) -> bool {
        let number = |holds: fn(i64, i64) -> bool, bound: i64| matches!(value, Some(AttributeValue::Scalar(number)) if holds(*number, bound));
        match self {
            Self::Equals(wanted) => value == Some(wanted),
            Self::NotEquals(unwanted) => value != Some(unwanted),
            Self::In(wanted) => value.is_some_and(|value| wanted.contains(value)),
            Self::NotIn(unwanted) => value.is_none_or(|value| !unwanted.contains(value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::AtLeast(bound) => number(|number, bound| number >= bound, *bound),
            Self::AtMost(bound) => number(|number, bound| number <= bound, *bound),
            Self::MoreThan(bound) => number(|number, bound| number > bound, *bound),
            Self::LessThan(bound) => number(|number, bound| number < bound, *bound),
        }
    }

    /// Whether the host passes for its attribute `name`.
    pub(crate) fn holds(&self, host: &HostId, attributes: &Attributes, name: &str) -> bool {
        if name == HOSTNAME {
            return self.passes(lookup(host, attributes, name).as_ref());
        }
        self.passes(attributes.get(name))
    }
}

impl fmt::Display for AttributeTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let compare = |f: &mut fmt::Formatter<'_>, sign: &str, bound: i64| {
            write!(f, "{sign} ")?;
            write_thousandths(f, bound)
        };
        match self {
            Self::Equals(value) => write!(f, "= {value}"),
            Self::NotEquals(value) => write!(f, "!= {value}"),
            Self::In(values) => write_set(f, "in", values),
            Self::NotIn(values) => write_set(f, "not in", values),
            Self::Exists => f.write_str("exists"),
            Self::Absent => f.write_str("is absent"),
            Self::AtLeast(bound) => compare(f, ">=", *bound),
            Self::AtMost(bound) => compare(f, "<=", *bound),
            Self::MoreThan(bound) => compare(f, ">", *bound),
            Self::LessThan(bound) => compare(f, "<", *bound),
        }
    }
}

fn write_set(
    f: &mut fmt::Formatter<'_>,
    word: &str,
    values: &BTreeSet<AttributeValue>,
) -> fmt::Result {
    write!(f, "{word} {{")?;
    for (position, value) in values.iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        write!(f, "{comma}{value}")?;
    }
    f.write_str("}")
}

fn write_thousandths(f: &mut fmt::Formatter<'_>, number: i64) -> fmt::Result {
    let sign = if number < 0 { "-" } else { "" };
    write!(f, "{sign}{}", crate::quantity::Milli::from_thousandths(number.unsigned_abs()))
}
