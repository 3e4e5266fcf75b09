//! Offer constraints: which agents a framework wants offers of at all.
//!
//! Per role, groups of constraints: an agent passes when every constraint of one group holds. They
//! are compiled and checked when the framework states them; the allocator asks `allow`.

use crate::agent::Agent;
use crate::effect::Refusal;
use proto::{
    Attribute, AttributeConstraint, AttributeValue, OfferConstraints, Predicate, Role, Selector,
};
use regex::{Regex, RegexBuilder};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Constraints that a framework may state, over all its roles: each is asked of each agent.
const MAX_CONSTRAINTS: usize = 1024;
/// How many of them may be expressions: compiling one takes some tenths of a millisecond, in which
/// the master does nothing else.
const MAX_EXPRESSIONS: usize = 64;
/// Bytes that one compiled expression may take.
const REGEX_BYTES: usize = 64 << 10;
/// Bytes that it may take besides, while it is asked.
const REGEX_CACHE_BYTES: usize = 256 << 10;

/// The constraints of one framework, ready to be asked.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    /// As they were stated.
    pub(crate) stated: Option<Arc<OfferConstraints>>,
    roles: BTreeMap<Role, Vec<Vec<Compiled>>>,
}

#[derive(Debug)]
struct Compiled {
    selector: Selector,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Exists,
    NotExists,
    Equals(Arc<str>),
    NotEquals(Arc<str>),
    Matches(Regex),
    NotMatches(Regex),
}

/// What a selector finds on an agent.
enum Found<'a> {
    Text(&'a str),
    /// Of a type that the tests for text do not apply to.
    Other,
}

impl Constraints {
    /// Checks and compiles constraints of a framework with these roles.
    pub(crate) fn compile(
        stated: Option<&OfferConstraints>,
        subscribed: &BTreeSet<Role>,
    ) -> Result<Self, Refusal> {
        let Some(stated) = stated else { return Ok(Self::default()) };
        let wrong = |role: &Role, problem: String| {
            Err(Refusal::ConstraintsInvalid { role: role.clone(), problem: Arc::from(problem) })
        };
        let mut roles = BTreeMap::new();
        let (mut constraints, mut expressions) = (0, 0);
        for (role, groups) in &stated.roles {
            constraints += groups.iter().map(Vec::len).sum::<usize>();
            expressions += groups.iter().flatten().filter(|one| is_expression(one)).count();
            if constraints > MAX_CONSTRAINTS || expressions > MAX_EXPRESSIONS {
                let limits = format!(
                    "at most {MAX_CONSTRAINTS} constraints are taken of a framework, \
                     {MAX_EXPRESSIONS} of them expressions"
                );
                return wrong(role, limits);
            }
            if !subscribed.contains(role) {
                return wrong(role, "the framework is not subscribed to this role".to_owned());
            }
            if groups.is_empty() || groups.iter().any(Vec::is_empty) {
                return wrong(role, "a role needs a group, and a group a constraint".to_owned());
            }
            let mut compiled = Vec::with_capacity(groups.len());
            for group in groups {
                let group: Result<Vec<_>, String> = group.iter().map(compile_one).collect();
                match group {
                    Ok(group) => compiled.push(group),
                    Err(problem) => return wrong(role, problem),
                }
            }
            roles.insert(role.clone(), compiled);
        }
        Ok(Self { stated: Some(Arc::new(stated.clone())), roles })
    }

    /// Whether an agent may be offered in a role.
    pub(crate) fn allow(&self, role: &Role, agent: &Agent) -> bool {
        let Some(groups) = self.roles.get(role) else { return true };
        groups.iter().any(|group| group.iter().all(|constraint| constraint.holds(agent)))
    }
}

fn is_expression(constraint: &AttributeConstraint) -> bool {
    matches!(constraint.predicate, Predicate::TextMatches(_) | Predicate::TextNotMatches(_))
}

fn build(pattern: &str) -> Result<Regex, regex::Error> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(REGEX_BYTES).dfa_size_limit(REGEX_CACHE_BYTES).build()
}

fn compile_one(constraint: &AttributeConstraint) -> Result<Compiled, String> {
    let regex = |pattern: &str| {
        // By itself first: what is no expression might become one between the parentheses.
        let built = build(pattern).and_then(|_| build(&format!("^(?:{pattern})$")));
        built.map_err(|error| format!("the expression '{pattern}' cannot be used: {error}"))
    };
    let test = match &constraint.predicate {
        Predicate::Exists => Test::Exists,
        Predicate::NotExists => Test::NotExists,
        Predicate::TextEquals(text) => Test::Equals(text.clone()),
        Predicate::TextNotEquals(text) => Test::NotEquals(text.clone()),
        Predicate::TextMatches(pattern) => Test::Matches(regex(pattern)?),
        Predicate::TextNotMatches(pattern) => Test::NotMatches(regex(pattern)?),
    };
    Ok(Compiled { selector: constraint.selector.clone(), test })
}

impl Compiled {
    /// With several attributes of one name, one that passes is enough.
    fn holds(&self, agent: &Agent) -> bool {
        let domain = agent.info.domain.as_ref();
        match &self.selector {
            Selector::Hostname => self.test.holds(Some(&Found::Text(&agent.info.hostname))),
            Selector::Region => {
                self.test.holds(domain.map(|domain| Found::Text(&domain.region)).as_ref())
            }
            Selector::Zone => {
                self.test.holds(domain.map(|domain| Found::Text(&domain.zone)).as_ref())
            }
            Selector::Attribute(name) => {
                let named = |attribute: &&Attribute| attribute.name == *name;
                let mut all = agent.attributes.iter().filter(named).map(found).peekable();
                if all.peek().is_none() {
                    return self.test.holds(None);
                }
                all.any(|found| self.test.holds(Some(&found)))
            }
        }
    }
}

fn found(attribute: &Attribute) -> Found<'_> {
    match &attribute.value {
        AttributeValue::Text(text) => Found::Text(text),
        AttributeValue::Scalar(_) | AttributeValue::Ranges(_) => Found::Other,
    }
}

impl Test {
    /// Tests for text let everything pass that is there and is no text: it is for the scheduler.
    fn holds(&self, found: Option<&Found<'_>>) -> bool {
        match (self, found) {
            (Self::Exists, found) => found.is_some(),
            (Self::NotExists, found) => found.is_none(),
            (Self::Equals(_) | Self::Matches(_), None) => false,
            (Self::NotEquals(_) | Self::NotMatches(_), None) | (_, Some(Found::Other)) => true,
            (Self::Equals(wanted), Some(Found::Text(text))) => **wanted == **text,
            (Self::NotEquals(wanted), Some(Found::Text(text))) => **wanted != **text,
            (Self::Matches(regex), Some(Found::Text(text))) => regex.is_match(text),
            (Self::NotMatches(regex), Some(Found::Text(text))) => !regex.is_match(text),
        }
    }
}
