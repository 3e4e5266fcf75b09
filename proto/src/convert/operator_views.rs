//! Frameworks, tasks and roles as operators see them.

use super::offer::{self, Reader};
use super::resources::{self, Style};
use super::{At, known, list, maybe, need, present, tail, text, w};
use crate::operator::{FrameworkView, RoleView, TaskView};
use crate::{DecodeError, QuotaConfig, Role, TaskShown, TaskState, Time};
use w::master::response::get_frameworks::Framework;

impl From<&FrameworkView> for Framework {
    fn from(view: &FrameworkView) -> Self {
        let offers = view.offers.iter().map(|offer| offer::write(offer, Reader::MODERN));
        let suppressed = view.suppressed_roles.iter().map(|role| role.as_str().to_owned());
        Self {
            framework_info: Some((&view.info).into()),
            active: Some(view.active),
            connected: Some(view.connected),
            registered_time: Some(view.registered.into()),
            reregistered_time: view.reregistered.map(Into::into),
            unregistered_time: view.unregistered.map(Into::into),
            offers: offers.collect(),
            allocated_resources: resources::plain(&view.allocated),
            offered_resources: resources::plain(&view.offered),
            recovered: Some(view.recovered),
            suppressed_roles: suppressed.collect(),
            demands: view.demands.iter().map(Into::into).collect(),
            inverse_offers: view.inverse_offers.iter().map(Into::into).collect(),
            offer_constraints: view.offer_constraints.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<Framework> for FrameworkView {
    type Error = DecodeError;
    fn try_from(wire: Framework) -> Result<Self, DecodeError> {
        Ok(Self {
            info: need(wire.framework_info, "framework_info")?,
            active: present(wire.active, "active")?,
            connected: present(wire.connected, "connected")?,
            recovered: present(wire.recovered, "recovered")?,
            registered: maybe(wire.registered_time, "registered_time")?.unwrap_or(Time::ZERO),
            reregistered: maybe(wire.reregistered_time, "reregistered_time")?,
            unregistered: maybe(wire.unregistered_time, "unregistered_time")?,
            suppressed_roles: list(wire.suppressed_roles, "suppressed_roles")?,
            offers: list(wire.offers, "offers")?,
            allocated: resources::read_plain(wire.allocated_resources, "allocated_resources")?,
            offered: resources::read_plain(wire.offered_resources, "offered_resources")?,
            demands: list(wire.demands, "demands")?,
            inverse_offers: list(wire.inverse_offers, "inverse_offers")?,
            offer_constraints: maybe(wire.offer_constraints, "offer_constraints")?,
        })
    }
}

impl From<&TaskView> for tail::Task {
    fn from(view: &TaskView) -> Self {
        let style = Style { role: Some(&view.role), old_role: false };
        let known = w::Task {
            name: Some(view.name.to_string()),
            task_id: Some((&view.task_id).into()),
            framework_id: Some((&view.framework_id).into()),
            executor_id: view.executor_id.as_ref().map(Into::into),
            agent_id: Some((&view.agent_id).into()),
            state: Some(i32::from(view.state as u8)),
            resources: resources::write(&view.resources, style),
            statuses: view.statuses.iter().map(Into::into).collect(),
            role: Some(view.role.as_str().to_owned()),
        };
        let tail = view.shown.as_ref().map(|shown| shown.bytes.to_vec()).unwrap_or_default();
        Self { known, tail }
    }
}

impl TryFrom<tail::Task> for TaskView {
    type Error = DecodeError;
    fn try_from(wire: tail::Task) -> Result<Self, DecodeError> {
        let tail::Task { known: wire, tail } = wire;
        let (resources, mut role) = resources::read(wire.resources, "resources")?;
        if let Some(name) = wire.role {
            resources::agree(&mut role, &name).at("role")?;
        }
        Ok(Self {
            name: text(wire.name, "name")?,
            task_id: need(wire.task_id, "task_id")?,
            framework_id: need(wire.framework_id, "framework_id")?,
            agent_id: need(wire.agent_id, "agent_id")?,
            executor_id: maybe(wire.executor_id, "executor_id")?,
            state: present(known(wire.state, TaskState::from_number), "state")?,
            resources,
            role: role.unwrap_or_else(Role::any),
            statuses: list(wire.statuses, "statuses")?,
            shown: TaskShown::of(tail),
        })
    }
}

impl From<&RoleView> for w::Role {
    fn from(view: &RoleView) -> Self {
        let quota = view.quota.as_ref().map(w::quota::QuotaConfig::from).unwrap_or_default();
        Self {
            name: Some(view.role.as_str().to_owned()),
            weight: Some(view.weight_milli as f64 / 1000.0),
            frameworks: view.frameworks.iter().map(Into::into).collect(),
            resources: resources::plain(&view.allocated),
            dominant_share_ppm: Some(view.dominant_share_ppm),
            guarantees: quota.guarantees,
            limits: quota.limits,
            consumed: resources::write_amounts(view.consumed.iter()),
            reserved: resources::write_amounts(view.reserved.iter()),
        }
    }
}

impl TryFrom<w::Role> for RoleView {
    type Error = DecodeError;
    fn try_from(wire: w::Role) -> Result<Self, DecodeError> {
        let role = Role::new(present(wire.name, "name")?).at("name")?;
        let quota = QuotaConfig {
            role: role.clone(),
            guarantees: resources::read_quantities(wire.guarantees, "guarantees")?,
            limits: resources::read_amounts(wire.limits, "limits")?,
        };
        Ok(Self {
            role,
            quota: (!quota.is_none()).then_some(quota),
            weight_milli: resources::milli(present(wire.weight, "weight")?, "weight")?,
            frameworks: list(wire.frameworks, "frameworks")?,
            allocated: resources::read_plain(wire.resources, "resources")?,
            dominant_share_ppm: wire.dominant_share_ppm.unwrap_or(0),
            consumed: resources::read_quantities(wire.consumed, "consumed")?,
            reserved: resources::read_quantities(wire.reserved, "reserved")?,
        })
    }
}
