//! One host, and the running tasks whose end could make it take a task.

use std::collections::BTreeMap;

use crate::attribute::{Attributes, lookup};
use crate::cluster::wants_host_alone;
use crate::constraint::Constraint;
use crate::id::{GroupName, HostId, TaskId};
use crate::request::{TaskClass, TaskRequest};
use crate::resources::Resources;
use crate::scheduler::TaskScheduler;
use crate::status::HostStatus;

use super::Preemptible;

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

    /// All its tasks.
    pub(super) fn tasks(&self) -> Vec<TaskId> {
        self.pieces.iter().map(|piece| piece.of.task.clone()).collect()
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
        let wide = wide_rules(&task.class);
        let mut fields = Vec::new();
        for status in self.hosts() {
            let here = on_host.get(&status.host).map_or(&[][..], Vec::as_slice);
            if (here.is_empty() && wide.is_empty())
                || !self.may_use(&status.host, &status.attributes)
                || !passes_tests(&task.class, &status)
            {
                continue;
            }
            let mut pieces: Vec<Piece<'a>> =
                here.iter().filter_map(|of| self.piece(of, task)).collect();
            for (rule, level) in &wide {
                let elsewhere =
                    candidates.iter().filter(|of| !here.iter().any(|other| other.task == of.task));
                let place =
                    |host: &HostId, attributes: &Attributes| lookup(host, attributes, level);
                let Some(place_here) = place(&status.host, &status.attributes) else { continue };
                for of in elsewhere {
                    let Some(host) = self.running_on(&of.task) else { continue };
                    let same = lookup(host, &self.attributes_of(host).0, level).as_ref()
                        == Some(&place_here);
                    let known = pieces.iter().any(|piece| piece.of.task == of.task);
                    if !same || known {
                        continue;
                    }
                    if let Some(mut piece) = self.piece(of, task)
                        && self.running_of(&of.task).is_some_and(|(class, _)| rule.is_about(class))
                    {
                        piece.frees.fill(0);
                        pieces.push(piece);
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
        let free = dimensions(&self.free_on(status), ports, class);
        let wanted = dimensions(&class.demand, class.ports, class);
        wanted.iter().zip(free).map(|(wanted, free)| wanted.saturating_sub(free)).collect()
    }
}

/// A rule that looks beyond one host.
struct WideRule<'a> {
    key: &'a GroupName,
}

impl WideRule<'_> {
    fn is_about(&self, class: &TaskClass) -> bool {
        class.group == *self.key || class.keys.contains(self.key)
    }
}

/// The rules of a class that a task on another host can break, with the columns of their levels.
fn wide_rules(class: &TaskClass) -> Vec<(WideRule<'_>, &str)> {
    let of = |rule| match rule {
        &Constraint::UniqueAttribute { ref name } | &Constraint::Balanced { ref name, .. } => {
            Some((WideRule { key: &class.group }, name.as_str()))
        }
        Constraint::AntiAffinity { key, level } | Constraint::Spread { key, level, .. } => {
            Some((WideRule { key }, level.column()))
        }
        Constraint::Attribute { .. }
        | Constraint::UniqueHost
        | Constraint::Affinity { .. }
        | Constraint::ExclusiveHost
        | Constraint::Custom(_) => None,
    };
    class.hard.iter().filter_map(of).collect()
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
