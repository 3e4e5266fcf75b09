//! Placement rules as plain data: what a specification can say and a store can keep.
//!
//! They are fenzo's constraints without closures.

use fenzo::{AttributeTest, AttributeValue, Constraint};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rule with its weight: without one it must hold, with one it is a wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What is ruled.
    pub test: RuleTest,
    /// How much it counts as a wish; absent when it must hold.
    pub weight: Option<u32>,
}

/// What a rule says of the agent of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleTest {
    /// The attribute has one of these values (text, or a number as text).
    In(String, Vec<String>),
    /// The attribute has none of these values.
    NotIn(String, Vec<String>),
    /// The attribute exists.
    Exists(String),
    /// The attribute does not exist.
    Absent(String),
    /// The attribute is a number of at least so many thousandths.
    AtLeast(String, i64),
    /// The attribute is a number of at most so many thousandths.
    AtMost(String, i64),
    /// No other unit of the group is on the agent.
    UniqueHost,
    /// No other unit of the group is where this attribute has the same value.
    UniqueAttribute(String),
    /// Units of the group are spread evenly over the values of the attribute.
    Spread(String),
    /// No other task of this framework is on the agent.
    ExclusiveHost,
}

impl RuleTest {
    /// The rule in fenzo's words.
    pub(crate) fn constraint(&self) -> Constraint {
        let values = |all: &[String]| all.iter().flat_map(|value| readings(value)).collect();
        match self {
            Self::In(name, all) => Constraint::attribute(name, AttributeTest::In(values(all))),
            Self::NotIn(name, all) => {
                Constraint::attribute(name, AttributeTest::NotIn(values(all)))
            }
            Self::Exists(name) => Constraint::attribute(name, AttributeTest::Exists),
            Self::Absent(name) => Constraint::attribute(name, AttributeTest::Absent),
            Self::AtLeast(name, bound) => {
                Constraint::attribute(name, AttributeTest::AtLeast(*bound))
            }
            Self::AtMost(name, bound) => Constraint::attribute(name, AttributeTest::AtMost(*bound)),
            Self::UniqueHost => Constraint::UniqueHost,
            Self::UniqueAttribute(name) => Constraint::unique_attribute(name),
            Self::Spread(name) => Constraint::balanced(name),
            Self::ExclusiveHost => Constraint::ExclusiveHost,
        }
    }
}

/// A value may stand as text or, when it reads as one, as a number: `3` matches both.
fn readings(value: &str) -> Vec<AttributeValue> {
    let mut all = vec![AttributeValue::from(value)];
    if let Some(milli) = parse_milli(value) {
        all.push(AttributeValue::Scalar(milli));
    }
    all
}

/// Thousandths of a decimal number with at most three digits after the point.
fn parse_milli(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 3 || !numeric(whole) || !numeric(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let fraction: i64 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(1000)?.checked_add(fraction)?.checked_mul(sign)
}

/// The constraints of a group's rules: those that must hold, and the wishes.
pub(crate) fn split(rules: &[Rule]) -> (Vec<Constraint>, Vec<fenzo::SoftConstraint>) {
    let mut hard = Vec::new();
    let mut soft = Vec::new();
    for rule in rules {
        match rule.weight {
            None => hard.push(rule.test.constraint()),
            Some(weight) => soft.push(rule.test.constraint().soft(weight)),
        }
    }
    (hard, soft)
}

/// An agent's attributes in fenzo's words; of several with one name the last counts.
pub(crate) fn attributes(
    all: &[proto::Attribute],
    domain: Option<&proto::Domain>,
) -> BTreeMap<String, AttributeValue> {
    let mut named = BTreeMap::new();
    if let Some(domain) = domain {
        named.insert("region".to_owned(), AttributeValue::from(&*domain.region));
        named.insert("zone".to_owned(), AttributeValue::from(&*domain.zone));
    }
    for attribute in all {
        let value = match &attribute.value {
            proto::AttributeValue::Text(text) => AttributeValue::from(&**text),
            proto::AttributeValue::Scalar(milli) => AttributeValue::Scalar(*milli),
            proto::AttributeValue::Ranges(ranges) => AttributeValue::Text(ranges.to_string()),
        };
        named.insert(attribute.name.to_string(), value);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_reads_as_a_number_matches_both_forms() {
        assert_eq!(parse_milli("3"), Some(3000));
        assert_eq!(parse_milli("-0.25"), Some(-250));
        assert_eq!(parse_milli("1.2345"), None);
        assert_eq!(parse_milli("x"), None);
        assert_eq!(parse_milli(""), None);
        assert_eq!(readings("3").len(), 2);
        assert_eq!(readings("a").len(), 1);
    }
}
