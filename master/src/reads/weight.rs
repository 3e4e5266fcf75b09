//! About how many bytes of memory an event holds for those who watch.
//!
//! Whatever may be big is counted by its content: the one who sends it decides how big it is, and
//! the history keeps it. What is shared with the model counts as well, because the model may let
//! go of it first.

use super::model::{AgentRow, FrameworkRow};
use super::watch::What;
use crate::connections::weight::{framework, resources, status};
use master_core::publish::{AgentLoad, AgentRecord, FrameworkRecord, TaskRecord};
use proto::scheduler::Demand;
use proto::{
    Attribute, AttributeConstraint, AttributeValue, OfferConstraints, Predicate, Selector,
};

/// The least that an event holds: its number, its places in lists, ids and names.
const LEAST: usize = 512;
/// What stands for small fields of a row.
const SMALL: usize = 128;

/// In bytes; always the same for one event.
pub(super) fn weight(what: &What) -> usize {
    LEAST
        + match what {
            What::TaskAdded(record) => task(record),
            What::TaskUpdated { status: newest, .. } => status(newest),
            What::AgentAdded(row) | What::AgentUpdated(row) => agent_row(row),
            What::FrameworkAdded(row) | What::FrameworkUpdated(row) => framework_row(row),
            What::FrameworkRemoved(record) => framework_record(record),
            What::AgentRemoved(_) | What::CutOff(..) => 0,
        }
}

fn task(record: &TaskRecord) -> usize {
    record.name.len()
        + resources(&record.resources)
        + size_of_val(record.steps.as_slice())
        + record.status.as_deref().map_or(0, status)
}

fn agent_row(row: &AgentRow) -> usize {
    agent(&row.record) + row.load.as_deref().map_or(0, load)
}

fn agent(record: &AgentRecord) -> usize {
    let info = &record.info;
    let attributes = info.attributes.iter().map(attribute).sum::<usize>();
    let domain = info.domain.as_ref().map_or(0, |d| d.region.len() + d.zone.len());
    SMALL
        + info.hostname.len()
        + record.version.len()
        + resources(&info.resources)
        + attributes
        + domain
}

fn attribute(attribute: &Attribute) -> usize {
    let value = match &attribute.value {
        AttributeValue::Text(text) => text.len(),
        AttributeValue::Scalar(_) => 0,
        AttributeValue::Ranges(ranges) => size_of_val(ranges.pairs()),
    };
    SMALL + attribute.name.len() + value
}

fn load(load: &AgentLoad) -> usize {
    let offers = load.offers.iter().map(|offer| SMALL + resources(&offer.resources)).sum::<usize>();
    let executors = load.executors.iter();
    let executors = executors.map(|e| SMALL + resources(&e.info.resources) + e.info.payload.len());
    resources(&load.allocated)
        + resources(&load.offered)
        + offers
        + executors.sum::<usize>()
        + load.asked.len() * SMALL
}

fn framework_row(row: &FrameworkRow) -> usize {
    framework_record(&row.record) + row.demands.iter().map(demand).sum::<usize>()
}

fn demand(demand: &Demand) -> usize {
    SMALL + resources(&demand.resources)
}

fn framework_record(record: &FrameworkRecord) -> usize {
    framework(&record.info)
        + record.suppressed.len() * SMALL
        + record.constraints.as_deref().map_or(0, constraints)
}

fn constraints(constraints: &OfferConstraints) -> usize {
    let group =
        |group: &Vec<AttributeConstraint>| SMALL + group.iter().map(constraint).sum::<usize>();
    constraints.roles.values().map(|groups| SMALL + groups.iter().map(group).sum::<usize>()).sum()
}

fn constraint(constraint: &AttributeConstraint) -> usize {
    let name = match &constraint.selector {
        Selector::Attribute(name) => name.len(),
        Selector::Hostname | Selector::Region | Selector::Zone => 0,
    };
    let text = match &constraint.predicate {
        Predicate::TextEquals(text)
        | Predicate::TextNotEquals(text)
        | Predicate::TextMatches(text)
        | Predicate::TextNotMatches(text) => text.len(),
        Predicate::Exists | Predicate::NotExists => 0,
    };
    SMALL + name + text
}
