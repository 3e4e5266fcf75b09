//! The ranking against a plain sorted list, and roll-back against a cluster that never placed.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::block::BLOCK;
use super::columns::{Demand, covers};
use super::ranking::Shelf;
use super::seek::{Cursor, Reach, Wanted};
use super::*;
use crate::fitness::{Fitness, float};
use crate::quantity::Milli;
use crate::request::TaskClass;
use crate::resources::Resources;

fn resources(cpus: u64, mem: u64) -> Resources {
    let thousandths = Milli::from_thousandths;
    Resources { cpus: thousandths(cpus), mem: thousandths(mem), ..Resources::default() }
}

/// Hosts of two kinds, so that there are two shelves of many blocks. The sizes are prime: different amounts
/// never make one fitness, whose hosts would stand in no order that a test could name.
fn cluster(hosts: usize, fitness: &Fitness) -> Cluster {
    let mut cluster = Cluster::new(fitness.weights(), false);
    for host in 0..hosts {
        let name = format!("h{:04}", host * 7919 % hosts);
        let kind = 1 + host as u64 % 2;
        let lease = Lease::new(name.as_str(), name.as_str(), resources(101 * kind, 103 * kind));
        cluster.add_lease(lease).unwrap();
    }
    cluster.begin();
    cluster
}

fn demand(cluster: &Cluster, cpus: u64, mem: u64) -> Demand {
    cluster.columns().demand_of(&TaskClass::new("g", resources(cpus, mem)))
}

/// The hosts with room in the order of a shelf.
fn along(shelf: &Shelf, cluster: &Cluster, demand: &Demand) -> Vec<usize> {
    let mut hosts = Vec::new();
    let mut cursor = Cursor::default();
    let wanted = Wanted::new(&demand.amounts);
    while let Some(at) = shelf.seek(cursor, &wanted, cluster.columns(), Reach::ALL) {
        hosts.push(shelf.host(at));
        cursor = shelf.next(at);
    }
    hosts
}

/// Hosts with room, by kind, best first, then by name.
fn sorted(cluster: &Cluster, demand: &Demand, sign: f64) -> Vec<Vec<usize>> {
    let columns = cluster.columns();
    let mut shelves: BTreeMap<[u64; 4], Vec<usize>> = BTreeMap::new();
    for host in cluster.names().in_order() {
        if columns.is_offered(host) && covers(columns.free(host), &demand.amounts) {
            shelves.entry(*columns.total(host)).or_default().push(host);
        }
    }
    for hosts in shelves.values_mut() {
        let used = |host: &usize| {
            let (used, total) = (columns.used(*host), columns.total(*host));
            sign * (float(used[0]) / float(total[0]) + float(used[1]) / float(total[1]))
        };
        hosts.sort_by(|a, b| used(b).total_cmp(&used(a)));
    }
    shelves.into_values().filter(|hosts| !hosts.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn shelves_are_in_order_after_any_changes(
        hosts in 1..700_usize,
        spread in any::<bool>(),
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..9_u8, 1..60_u64, 1..60_u64), 0..600),
        wanted in (1..120_u64, 1..120_u64),
    ) {
        let fitness = if spread { Fitness::cpu_memory_spreader() } else { Fitness::cpu_memory_packer() };
        let mut cluster = cluster(hosts, &fitness);
        let names: Vec<HostId> = cluster.names().in_order().map(|h| cluster.names().id(h).clone()).collect();
        let mut taken: Vec<Demand> = Vec::new();
        for (pick, what, cpus, mem) in steps {
            let name = &names[pick.index(names.len())];
            match what {
                1.. => {
                    let demand = demand(&cluster, cpus, mem);
                    let Some(host) = cluster.names().get(name) else { continue };
                    let group = cluster.group(&"g".into());
                    if covers(cluster.columns().free(host), &demand.amounts) {
                        cluster.take(host, group, &demand, false, Vec::new());
                        taken.push(demand);
                    }
                }
                0 => {
                    let keep = pick.index(taken.len() + 1);
                    cluster.roll_back(keep, |position| &taken[position]);
                    taken.truncate(keep);
                }
            }
        }
        let wanted = demand(&cluster, wanted.0, wanted.1);
        let ranking = cluster.ranking().unwrap();
        let found: Vec<Vec<usize>> = ranking
            .shelves()
            .map(|shelf| along(shelf, &cluster, &wanted))
            .filter(|hosts| !hosts.is_empty())
            .collect();
        prop_assert_eq!(found, sorted(&cluster, &wanted, if spread { -1.0 } else { 1.0 }));
    }

    #[test]
    fn what_is_rolled_back_was_never_there(hosts in 1..80_usize, takes in prop::collection::vec(0..80_usize, 1..60)) {
        let fitness = Fitness::cpu_memory_packer();
        let before = cluster(hosts, &fitness);
        let mut cluster = before.clone();
        let demand = demand(&cluster, 1, 2);
        let group = cluster.group(&"g".into());
        for pick in takes {
            let host = pick % hosts;
            if covers(cluster.columns().free(host), &demand.amounts) {
                cluster.take(host, group, &demand, pick % 2 == 0, Vec::new());
            }
        }
        cluster.roll_back(0, |_| &demand);
        for host in 0..hosts {
            prop_assert_eq!(cluster.columns().free(host), before.columns().free(host));
            prop_assert_eq!(cluster.columns().used(host), before.columns().used(host));
            prop_assert_eq!(cluster.columns().is_held(host), before.columns().is_held(host));
            prop_assert_eq!(cluster.groups().on_host(group, host), 0);
        }
        let wanted = self::demand(&cluster, 1, 1);
        prop_assert_eq!(sorted(&cluster, &wanted, 1.0), sorted(&before, &wanted, 1.0));
    }
}

#[test]
fn a_host_without_leases_and_tasks_is_forgotten() {
    let mut cluster = cluster(3, &Fitness::Any);
    assert_eq!(cluster.names().known(), 3);
    assert!(cluster.remove_lease(&"h0001".into()));
    cluster.begin();
    assert_eq!((cluster.names().known(), cluster.names().get(&"h0001".into())), (2, None));
}

/// A column is there for good, on every host.
#[test]
fn scalars_without_an_amount_cost_no_column() {
    let mut cluster = cluster(3, &Fitness::cpu_packer());
    let before = cluster.columns().dimensions();
    for n in 0..100_u64 {
        let scalars = [(format!("x-{n}"), Milli::ZERO), ("gpus".to_owned(), Milli::whole(n))];
        let demand = Resources { scalars: scalars.into(), ..resources(1, 1) };
        let id = format!("l{n}");
        cluster.add_lease(Lease::new(id.as_str(), "h0001", demand.clone())).unwrap();
        let class = Arc::new(TaskClass::new("g", demand));
        let running = Running { class, ports: vec![], sets: vec![], devices: vec![] };
        cluster.add_task(format!("t{n}").into(), running, &"h0002".into());
        cluster.begin();
        assert_eq!(cluster.columns().dimensions(), before + usize::from(n > 0));
    }
}

/// Two states may have one digest, by chance or because somebody made them so: hosts are taken for alike only if
/// they are.
#[test]
fn hosts_of_one_digest_that_are_not_alike_are_kept_apart() {
    let fitness = Fitness::cpu_packer();
    let mut cluster = Cluster::new(fitness.weights(), false);
    for host in 0..200 {
        let name = format!("h{host:03}");
        cluster.add_lease(Lease::new(name.as_str(), name.as_str(), resources(100, 100))).unwrap();
    }
    cluster.begin();
    let Cluster { columns, names, ranking, .. } = &mut cluster;
    let ranking = ranking.as_mut().unwrap();
    let of = |host: usize, round: usize| host * 7 % 3 + round % 2;
    for round in 0..3 {
        for host in 0..200 {
            columns.set_likeness(host, 7);
            // Those that were updated in this round are of another kind than before.
            let kind = |other: usize| of(other, if other <= host { round } else { round + 1 });
            ranking.update(host, columns, names, |one, other| kind(one) == kind(other));
        }
        let demand = vec![0; columns.dimensions()];
        let wanted = Wanted::new(&demand);
        let shelf = ranking.shelves().next().unwrap();
        let seek = |from| shelf.seek(from, &wanted, columns, Reach::ALL);
        let (mut cursor, mut runs, mut hosts) = (Cursor::default(), 0, 0);
        while let Some(at) = seek(cursor) {
            let first = of(shelf.host(at), round);
            runs += 1;
            let rest = seek(shelf.after_alike(at)).map(|next| shelf.host(next));
            cursor = at;
            while let Some(next) = seek(cursor)
                && Some(shelf.host(next)) != rest
            {
                assert_eq!(of(shelf.host(next), round), first);
                hosts += 1;
                cursor = shelf.next(next);
            }
        }
        assert_eq!(hosts, 200);
        assert!((3..=6).contains(&runs), "{runs}");
    }
}

/// The neighbour of a host that stands first in its block is the last one of the block before.
#[test]
fn a_host_that_is_no_longer_alike_is_told_apart_at_the_border_of_a_block() {
    let fitness = Fitness::cpu_packer();
    let mut cluster = Cluster::new(fitness.weights(), false);
    for host in 0..=BLOCK {
        let name = format!("h{host:03}");
        cluster.add_lease(Lease::new(name.as_str(), name.as_str(), resources(100, 100))).unwrap();
    }
    cluster.begin();
    let Cluster { columns, names, ranking, .. } = &mut cluster;
    let ranking = ranking.as_mut().unwrap();
    *ranking = Ranking::new(fitness.weights().unwrap());
    for host in 0..=BLOCK {
        columns.set_likeness(host, 7);
        ranking.update(host, columns, names, |_, _| true);
    }
    let shelf = ranking.shelves().next().unwrap();
    assert_eq!((shelf.blocks.len(), shelf.firsts[1].host), (2, BLOCK));
    ranking.update(BLOCK, columns, names, |one, other| (one == BLOCK) == (other == BLOCK));
    let demand = vec![0; columns.dimensions()];
    let wanted = Wanted::new(&demand);
    let shelf = ranking.shelves().next().unwrap();
    let seek = |from| shelf.seek(from, &wanted, columns, Reach::ALL);
    let first = seek(Cursor::default()).unwrap();
    let next = seek(shelf.after_alike(first)).expect("one is not like the others");
    assert!(shelf.host(first) == BLOCK || shelf.host(next) == BLOCK);
}
