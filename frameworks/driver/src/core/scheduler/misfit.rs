//! Why units fit nowhere, in sentences: people know agents, where the placer says hosts.
//!
//! Only words are chosen here; what stands against a unit the placer has said.

use fenzo::{Change, Explanation, Milli, Remedy, Resource};
use std::fmt::Write as _;

/// What stands against a unit, to follow on when that was looked at.
pub(super) fn against(why: &Explanation) -> String {
    let (misfit, no_reason) = match why.hosts {
        0 => return "no agent has anything to offer".to_owned(),
        1 => ("the only agent does not fit".to_owned(), "nothing is known against it".to_owned()),
        many => {
            (format!("none of {many} agents fits"), format!("none of {many} agents is against it"))
        }
    };
    if why.reasons.is_empty() {
        return no_reason;
    }
    let reasons = why.reasons.iter().map(|(reason, agents)| format!("{reason} on {agents}"));
    let mut text = format!("{misfit}: {}", reasons.collect::<Vec<_>>().join(", "));
    if let Some(near) = &why.nearest {
        let obstacles = near.obstacles.iter().map(ToString::to_string).collect::<Vec<_>>();
        // A string takes everything.
        let _ = write!(text, "; nearest is {}: {}", near.host, obstacles.join("; "));
    }
    text
}

/// What would place it by itself.
pub(super) fn would_help(Remedy { change, host, hosts }: &Remedy) -> String {
    let mut text = match change {
        Change::More { resource: Resource::Cpus, amount } if *amount == Milli::whole(1) => {
            format!("it would fit with 1 cpu more on {host}, or less wanted")
        }
        Change::More { resource, amount } => {
            format!("it would fit with {amount} {resource} more on {host}, or less wanted")
        }
        Change::Without(reason) => format!("it would fit on {host} without \"{reason}\""),
    };
    if *hosts > 1 {
        // As above.
        let _ = write!(text, " ({hosts} agents in all)");
    }
    text
}
