//! Frameworks and agents.

use super::{
    agent_id, attribute, framework_id, interval, maybe, quantities, resources, role, text,
};
use crate::{AgentInfo, Capabilities, Capability, Domain, FrameworkInfo, Labels};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

/// Labels: a name and an optional value each.
pub(super) fn labels() -> impl Strategy<Value = Labels> {
    vec((text(), maybe(text())), 0..3)
}

pub(super) fn domain() -> impl Strategy<Value = Domain> {
    (text(), text()).prop_map(|(region, zone)| Domain { region, zone })
}

fn capabilities() -> impl Strategy<Value = Capabilities> {
    btree_set(prop::sample::select(Capability::ALL.to_vec()), 0..4)
        .prop_map(Capabilities::from_iter)
}

/// Any framework.
pub fn framework_info() -> impl Strategy<Value = FrameworkInfo> {
    let who = (text(), text(), maybe(framework_id()), text(), maybe(text()), maybe(text()));
    let roles = (btree_set(role(), 1..4), any::<bool>());
    let minima = btree_map(role(), vec(quantities(), 0..3), 0..2);
    let rest = (interval(), any::<bool>(), capabilities(), labels(), minima);
    (who, roles, rest).prop_map(|(who, (roles, single), rest)| FrameworkInfo {
        user: who.0,
        name: who.1,
        id: who.2,
        hostname: who.3,
        principal: who.4,
        webui_url: who.5,
        single_role: single && roles.len() == 1,
        roles,
        failover_timeout: rest.0,
        checkpoint: rest.1,
        capabilities: rest.2,
        labels: rest.3,
        min_allocatable: rest.4,
    })
}

/// Any agent.
pub fn agent_info() -> impl Strategy<Value = AgentInfo> {
    let attributes = vec(attribute(), 0..4);
    (maybe(agent_id()), text(), any::<u16>(), resources(), attributes, maybe(domain())).prop_map(
        |(id, hostname, port, resources, attributes, domain)| AgentInfo {
            id,
            hostname,
            port,
            resources,
            attributes,
            domain,
        },
    )
}
