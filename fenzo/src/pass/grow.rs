//! Dealing out what a pass has left to the tasks that can use more than they demand.
//!
//! On each host and for each resource, those that can use more grow evenly: nobody gets more than another that
//! could use it too. It must never give more than is free, than a task can use, or than its group may have.

use std::collections::BTreeMap;

use crate::quantity::Milli;
use crate::resources::{Resource, Resources};
use crate::result::PlacedTask;

use super::Pass;

/// A task that could use more of a resource.
struct Wish {
    /// Position among the placements.
    placement: usize,
    group: usize,
    /// How much more.
    room: u64,
}

/// By host, those with smaller names first, and by resource with its dimension.
type Wishes = BTreeMap<(u64, usize, Resource), (usize, Vec<Wish>)>;

impl Pass<'_> {
    /// Grows the elastic ones of these placements.
    pub(super) fn grow(&self, placed: &mut [(usize, usize, PlacedTask)]) {
        // What groups have grown by in this pass, by measure.
        let mut grown: BTreeMap<usize, [u64; 4]> = BTreeMap::new();
        for ((_, host, resource), (dimension, mut wishes)) in self.wishes(placed) {
            let mut left = self.cluster.columns().free(host)[dimension];
            // What those at the limit of their group leave is dealt out again, to the others alone: so there
            // are at most as many rounds as groups, and one more.
            while left > 0 {
                wishes.retain(|wish| {
                    let growth = grown.entry(wish.group).or_default();
                    wish.room > 0
                        && self.limit_left(placed[wish.placement].1, dimension, growth) > 0
                });
                if wishes.is_empty() {
                    break;
                }
                // Those that can use least first: what they leave is the others'.
                wishes.sort_by_key(|wish| (wish.room, wish.placement));
                let mut sharing = wishes.len() as u64;
                for Wish { placement, group, room } in &mut wishes {
                    let growth = grown.entry(*group).or_default();
                    let limit = self.limit_left(placed[*placement].1, dimension, growth);
                    let more = (*room).min(left / sharing).min(limit);
                    sharing -= 1;
                    left -= more;
                    *room -= more;
                    if let Some(growth) = growth.get_mut(dimension) {
                        *growth = growth.saturating_add(more);
                    }
                    if more > 0 {
                        let task = &mut placed[*placement].2;
                        let demand = &task.request.class.demand;
                        let amounts = task.grown.get_or_insert_with(|| Box::new(demand.clone()));
                        add(amounts, &resource, more);
                    }
                }
            }
        }
    }

    fn wishes(&self, placed: &[(usize, usize, PlacedTask)]) -> Wishes {
        let mut wishes = Wishes::new();
        for (placement, (host, class, task)) in placed.iter().enumerate() {
            for (resource, most) in &task.request.class.most {
                let Some(dimension) = self.cluster.columns().dimension(resource) else { continue };
                let demand = self.classes[*class].demand().amounts[dimension];
                let room = most.thousandths().saturating_sub(demand);
                let wish = Wish { placement, group: self.classes[*class].group(), room };
                let label = self.cluster.names().label(*host);
                let of = wishes.entry((label, *host, resource.clone()));
                of.or_insert_with(|| (dimension, Vec::new())).1.push(wish);
            }
        }
        wishes
    }

    /// How much more of a dimension a class's group may have.
    fn limit_left(&self, class: usize, dimension: usize, grown: &[u64; 4]) -> u64 {
        let rules = &self.classes[class];
        let Some(grown) = grown.get(dimension) else { return u64::MAX };
        let used = self.cluster.groups().used(rules.group());
        let left = self.bounds.limits.left(&rules.class().group, used, dimension);
        left.saturating_sub(*grown)
    }
}

fn add(amounts: &mut Resources, resource: &Resource, more: u64) {
    let amount = match resource {
        Resource::Cpus => &mut amounts.cpus,
        Resource::Memory => &mut amounts.mem,
        Resource::Disk => &mut amounts.disk,
        Resource::Network => &mut amounts.network,
        Resource::Scalar(name) => amounts.scalars.entry(name.clone()).or_default(),
        Resource::Ports => return,
    };
    *amount = amount.saturating_add(Milli::from_thousandths(more));
}
