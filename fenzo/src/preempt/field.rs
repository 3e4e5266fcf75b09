//! One host, and the running tasks whose end could make it take a task.

use std::collections::BTreeMap;

use crate::attribute::{AttributeValue, lookup};
use crate::cluster::wants_host_alone;
use crate::constraint::Constraint;
use crate::id::{GroupName, HostId, TaskId};
use crate::request::{TaskClass, TaskRequest};
use crate::resources::Resources;
use crate::scheduler::TaskScheduler;
use crate::status::HostStatus;

use super::Preemptible;

/// Of the tasks elsewhere that a rule is about, so many are looked at: the cheapest, and one is as good as
/// another. Where all of them would have to end, there is no plan beyond this many.
const ELSEWHERE: usize = 16;

/// A running task that could be ended.
pub(super) struct Piece<'a> {
    pub(super) of: &'a Preemptible,
    pub(super) group: GroupName,
    /// What its end frees on the host, by dimension of [`Field::lack`].
    pub(super) frees: Vec<u64>,
    /// The task cannot be on the host as long as this one runs.
    pub(super) must: bool,
}

/// A host with those pieces, in order of priority, lost work and id.
pub(super) struct Field<'a> {
    host: HostId,
    /// What the host lacks, by dimension: the measures, ports, and the scalars that the task demands.
    pub(super) lack: Vec<u64>,
    pub(super) pieces: Vec<Piece<'a>>,
}

impl<'a> Field<'a> {
    pub(super) fn host(&self) -> &HostId {
        &self.host
    }

    /// Some of its tasks, in order of id.
    pub(super) fn tasks_of(&self, chosen: &[usize]) -> Vec<TaskId> {
        let task = |piece: &usize| self.pieces[*piece].of.task.clone();
        let mut tasks: Vec<TaskId> = chosen.iter().map(task).collect();
        tasks.sort_unstable();
        tasks
    }

    /// Whether the end of a task can make a host worse for a class, by its rules.
    pub(super) fn may_lose_by_ending(class: &TaskClass) -> bool {
        class.hard.iter().any(|rule| match rule {
            Constraint::Affinity { .. }
            | Constraint::Balanced { .. }
            | Constraint::Spread { .. }
            | Constraint::Custom(_) => true,
            Constraint::Attribute { .. }
            | Constraint::UniqueHost
            | Constraint::UniqueAttribute { .. }
            | Constraint::AntiAffinity { .. }
            | Constraint::ExclusiveHost => false,
        })
    }
}

impl TaskScheduler {
    /// Whether amounts alone decide where a class fits, so that nothing needs proof.
    pub(super) fn is_told_by_sums(&self, class: &TaskClass) -> bool {
        class.hard.is_empty()
            && class.sets.is_empty()
            && class.devices.is_empty()
            && class.ports == 0
            && self.judges_by_room()
    }

    /// The hosts that could take the task if some of the candidates ended.
    pub(super) fn fields<'a>(
        &self,
        task: &TaskRequest,
        candidates: &[&'a Preemptible],
    ) -> Vec<Field<'a>> {
        let mut on_host: BTreeMap<HostId, Vec<&'a Preemptible>> = BTreeMap::new();
        for candidate in candidates {
            if let Some(host) = self.running_on(&candidate.task) {
                on_host.entry(host.clone()).or_default().push(candidate);
            }
        }
        let wide = self.wide_candidates(&task.class, candidates);
        let mut fields = Vec::new();
        'hosts: for host in self.cluster.occupied() {
            let here = on_host.get(self.cluster.names().id(host)).map_or(&[][..], Vec::as_slice);
            if here.is_empty() && wide.is_empty() {
                continue;
            }
            // Who has the host for itself and is not to be ended keeps everybody off.
            let stays = |task: &TaskId| here.iter().all(|of| of.task != *task);
            let mut running = self.cluster.running_of(host);
            if running.any(|(task, running)| wants_host_alone(&running.class) && stays(task)) {
                continue;
            }
            let status = HostStatus::new(&self.cluster, host, None);
            if !self.may_use(&status.host, &status.attributes)
                || !passes_tests(&task.class, &status)
            {
                continue;
            }
            let mut pieces: Vec<Piece<'a>> =
                here.iter().filter_map(|of| self.piece(of, task)).collect();
            for Wide { level, all, by_place } in &wide {
                let place = lookup(&status.host, &status.attributes, level);
                let there = place.and_then(|place| by_place.get(&place));
                let there = there.map_or(&[][..], Vec::as_slice);
                if *all && there.len() > ELSEWHERE {
                    continue 'hosts;
                }
                let mut looked_at = 0;
                for of in there {
                    if looked_at == ELSEWHERE {
                        break;
                    }
                    if let Some(known) = pieces.iter_mut().find(|piece| piece.of.task == of.task) {
                        known.must |= *all;
                        continue;
                    }
                    if let Some(mut piece) = self.piece(of, task) {
                        // It frees nothing here.
                        piece.frees.fill(0);
                        piece.must = *all;
                        pieces.push(piece);
                        looked_at += 1;
                    }
                }
            }
            if pieces.is_empty() {
                continue;
            }
            pieces.sort_by_key(|piece| (piece.of.priority, piece.of.lost_work, &piece.of.task));
            let lack = self.lack(&status, &task.class);
            fields.push(Field { host: status.host, lack, pieces });
        }
        fields
    }

    /// The candidates that a rule of the class is about, by the level of the rule and their place there.
    fn wide_candidates<'a, 'c>(
        &self,
        class: &'c TaskClass,
        candidates: &[&'a Preemptible],
    ) -> Vec<Wide<'a, 'c>> {
        let mut wide = Vec::new();
        for (key, level, all) in wide_rules(class) {
            let mut by_place: BTreeMap<AttributeValue, Vec<&'a Preemptible>> = BTreeMap::new();
            for of in candidates {
                let Some((class, _)) = self.running_of(&of.task) else { continue };
                let Some(host) = self.running_on(&of.task) else { continue };
                let place = lookup(host, &self.attributes_of(host).0, level);
                if let Some(place) = place
                    && (class.group == *key || class.keys.contains(key))
                {
                    by_place.entry(place).or_default().push(of);
                }
            }
            for there in by_place.values_mut() {
                there.sort_by_key(|of| (of.priority, of.lost_work, &of.task));
            }
            wide.push(Wide { level, all, by_place });
        }
        wide
    }

    fn piece<'a>(&self, of: &'a Preemptible, task: &TaskRequest) -> Option<Piece<'a>> {
        let (class, _) = self.running_of(&of.task)?;
        let frees = dimensions(&class.demand, class.ports, &task.class);
        let own = |other: &TaskClass| {
            other.group == task.class.group || other.keys.contains(&task.class.group)
        };
        let must = wants_host_alone(class)
            || task.class.hard.iter().any(|rule| match rule {
                Constraint::ExclusiveHost => true,
                Constraint::UniqueHost => own(class),
                Constraint::AntiAffinity { key, level } => {
                    level.is_host() && (class.group == *key || class.keys.contains(key))
                }
                Constraint::Attribute { .. }
                | Constraint::UniqueAttribute { .. }
                | Constraint::Balanced { .. }
                | Constraint::Affinity { .. }
                | Constraint::Spread { .. }
                | Constraint::Custom(_) => false,
            });
        Some(Piece { of, group: class.group.clone(), frees, must })
    }

    fn lack(&self, status: &HostStatus, class: &TaskClass) -> Vec<u64> {
        let ports = u32::try_from(self.free_ports(&status.host)).unwrap_or(u32::MAX);
        let offered = dimensions(&status.offered, ports, class);
        let wanted = dimensions(&class.demand, class.ports, class);
        // A lease of all that a host has tells nothing of what is free; tasks may even run on more than that.
        let used = match self.cluster.is_single_lease() && !status.leases.is_empty() {
            true => dimensions(&status.used, 0, class),
            false => vec![0; offered.len()],
        };
        let lack = |((wanted, used), offered): ((u64, u64), u64)| match wanted {
            0 => 0,
            _ => wanted.saturating_add(used).saturating_sub(offered),
        };
        wanted.into_iter().zip(used).zip(offered).map(lack).collect()
    }
}

/// The candidates that a rule beyond one host is about.
struct Wide<'a, 'c> {
    /// The column of its level.
    level: &'c str,
    /// As long as any of them runs at a place, the task cannot go there.
    all: bool,
    /// The cheapest first.
    by_place: BTreeMap<AttributeValue, Vec<&'a Preemptible>>,
}

/// The rules of a class that a task on another host can break: the key, the column of the level, and whether any
/// task breaks them.
fn wide_rules(class: &TaskClass) -> Vec<(&GroupName, &str, bool)> {
    class.hard.iter().filter_map(|rule| wide_rule(&class.group, rule)).collect()
}

fn wide_rule<'c>(
    group: &'c GroupName,
    rule: &'c Constraint,
) -> Option<(&'c GroupName, &'c str, bool)> {
    match rule {
        Constraint::UniqueAttribute { name } => Some((group, name, true)),
        Constraint::Balanced { name, .. } => Some((group, name, false)),
        Constraint::AntiAffinity { key, level } => Some((key, level.column(), true)),
        Constraint::Spread { key, level, .. } => Some((key, level.column(), false)),
        Constraint::Attribute { .. }
        | Constraint::UniqueHost
        | Constraint::Affinity { .. }
        | Constraint::ExclusiveHost
        | Constraint::Custom(_) => None,
    }
}

fn passes_tests(class: &TaskClass, status: &HostStatus) -> bool {
    class.hard.iter().all(|rule| match rule {
        Constraint::Attribute { name, test } => test.holds(&status.host, &status.attributes, name),
        Constraint::UniqueHost
        | Constraint::UniqueAttribute { .. }
        | Constraint::Balanced { .. }
        | Constraint::Affinity { .. }
        | Constraint::AntiAffinity { .. }
        | Constraint::Spread { .. }
        | Constraint::ExclusiveHost
        | Constraint::Custom(_) => true,
    })
}

/// The measures, ports, and the scalars that a class demands, in thousandths.
fn dimensions(amounts: &Resources, ports: u32, class: &TaskClass) -> Vec<u64> {
    let mut all = amounts.measures().to_vec();
    all.push(u64::from(ports));
    let scalar = |name| amounts.scalars.get(name).map_or(0, |amount| amount.thousandths());
    all.extend(class.demand.scalars.keys().map(scalar));
    all
}
