//! Offer constraints: what is not complete is an error, for Mesos takes none that it does not know.

use super::{At, known, list_with, need, present, text, w};
use crate::{
    AttributeConstraint, ConstraintGroup, DecodeError, OfferConstraints, Predicate, Role, Selector,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use w::scheduler::attribute_constraint::predicate::{self, Predicate as WirePredicate};
use w::scheduler::attribute_constraint::selector::{PseudoattributeType, Selector as WireSelector};
use w::scheduler::attribute_constraint::{
    Predicate as PredicateMessage, Selector as SelectorMessage,
};
use w::scheduler::offer_constraints::RoleConstraints;
use w::scheduler::offer_constraints::role_constraints::Group;

impl From<&OfferConstraints> for w::scheduler::OfferConstraints {
    fn from(constraints: &OfferConstraints) -> Self {
        let group = |group: &ConstraintGroup| Group {
            attribute_constraints: group.iter().map(Into::into).collect(),
        };
        let role = |(role, groups): (&Role, &Vec<ConstraintGroup>)| {
            let groups = groups.iter().map(group).collect();
            (role.as_str().to_owned(), RoleConstraints { groups })
        };
        Self { role_constraints: constraints.roles.iter().map(role).collect() }
    }
}

impl TryFrom<w::scheduler::OfferConstraints> for OfferConstraints {
    type Error = DecodeError;
    fn try_from(wire: w::scheduler::OfferConstraints) -> Result<Self, DecodeError> {
        let mut roles = BTreeMap::new();
        for (name, constraints) in wire.role_constraints {
            let within = |error: DecodeError| error.under(&name).within("role_constraints");
            let role = Role::new(&*name).map_err(|error| within(error.into()))?;
            let groups = not_empty(constraints.groups, "groups", |group: Group| {
                let constraints = group.attribute_constraints;
                not_empty(constraints, "attribute_constraints", AttributeConstraint::try_from)
            });
            roles.insert(role, groups.map_err(within)?);
        }
        Ok(Self { roles })
    }
}

fn not_empty<W, D>(
    wire: Vec<W>,
    field: &str,
    convert: impl Fn(W) -> Result<D, DecodeError>,
) -> Result<Vec<D>, DecodeError> {
    if wire.is_empty() {
        return Err(DecodeError::new(field, "must not be empty"));
    }
    list_with(wire, field, convert)
}

impl From<&AttributeConstraint> for w::scheduler::AttributeConstraint {
    fn from(constraint: &AttributeConstraint) -> Self {
        let pseudo = |kind| WireSelector::PseudoattributeType(kind as i32);
        let selector = match &constraint.selector {
            Selector::Hostname => pseudo(PseudoattributeType::Hostname),
            Selector::Region => pseudo(PseudoattributeType::Region),
            Selector::Zone => pseudo(PseudoattributeType::Zone),
            Selector::Attribute(name) => WireSelector::AttributeName(name.to_string()),
        };
        let said = |text: &Arc<str>| Some(text.to_string());
        let predicate = match &constraint.predicate {
            Predicate::Exists => WirePredicate::Exists(predicate::Exists {}),
            Predicate::NotExists => WirePredicate::NotExists(predicate::NotExists {}),
            Predicate::TextEquals(text) => {
                WirePredicate::TextEquals(predicate::TextEquals { value: said(text) })
            }
            Predicate::TextNotEquals(text) => {
                WirePredicate::TextNotEquals(predicate::TextNotEquals { value: said(text) })
            }
            Predicate::TextMatches(regex) => {
                WirePredicate::TextMatches(predicate::TextMatches { regex: said(regex) })
            }
            Predicate::TextNotMatches(regex) => {
                WirePredicate::TextNotMatches(predicate::TextNotMatches { regex: said(regex) })
            }
        };
        Self {
            selector: Some(SelectorMessage { selector: Some(selector) }),
            predicate: Some(PredicateMessage { predicate: Some(predicate) }),
        }
    }
}

impl TryFrom<w::scheduler::AttributeConstraint> for AttributeConstraint {
    type Error = DecodeError;
    fn try_from(wire: w::scheduler::AttributeConstraint) -> Result<Self, DecodeError> {
        Ok(Self {
            selector: need(wire.selector, "selector")?,
            predicate: need(wire.predicate, "predicate")?,
        })
    }
}

impl TryFrom<SelectorMessage> for Selector {
    type Error = DecodeError;
    fn try_from(wire: SelectorMessage) -> Result<Self, DecodeError> {
        match wire.selector {
            Some(WireSelector::AttributeName(name)) => Ok(Self::Attribute(name.into())),
            Some(WireSelector::PseudoattributeType(number)) => {
                match known(Some(number), |number| PseudoattributeType::try_from(number).ok()) {
                    Some(PseudoattributeType::Hostname) => Ok(Self::Hostname),
                    Some(PseudoattributeType::Region) => Ok(Self::Region),
                    Some(PseudoattributeType::Zone) => Ok(Self::Zone),
                    Some(PseudoattributeType::Unknown) | None => {
                        let problem = "must be HOSTNAME, REGION or ZONE";
                        Err(DecodeError::new("pseudoattribute_type", problem))
                    }
                }
            }
            None => {
                let problem = "must have 'pseudoattribute_type' or 'attribute_name'";
                Err(DecodeError::new("", problem))
            }
        }
    }
}

impl TryFrom<PredicateMessage> for Predicate {
    type Error = DecodeError;
    fn try_from(wire: PredicateMessage) -> Result<Self, DecodeError> {
        let wire = present(wire.predicate, "").map_err(|_| {
            DecodeError::new("", "must have one of the predicates that are known here")
        })?;
        Ok(match wire {
            WirePredicate::Exists(_) => Self::Exists,
            WirePredicate::NotExists(_) => Self::NotExists,
            WirePredicate::TextEquals(p) => {
                Self::TextEquals(text(p.value, "value").at("text_equals")?)
            }
            WirePredicate::TextNotEquals(p) => {
                Self::TextNotEquals(text(p.value, "value").at("text_not_equals")?)
            }
            WirePredicate::TextMatches(p) => {
                Self::TextMatches(text(p.regex, "regex").at("text_matches")?)
            }
            WirePredicate::TextNotMatches(p) => {
                Self::TextNotMatches(text(p.regex, "regex").at("text_not_matches")?)
            }
        })
    }
}
