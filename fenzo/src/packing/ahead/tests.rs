//! The bound and the plans against all packings of small cases.

use proptest::prelude::*;

use super::bound::fewest_hosts;
use super::plan::plan;
use super::*;

fn amounts() -> impl Strategy<Value = [u64; 2]> {
    [0..9_u64, 0..9_u64]
}

/// Fewest hosts by trying every way; `None` if the tasks do not fit.
fn fewest(rooms: &[[u64; 2]], tasks: &[[u64; 2]]) -> Option<usize> {
    fn place(left: &mut Vec<[u64; 2]>, used: &mut Vec<u32>, tasks: &[[u64; 2]]) -> Option<usize> {
        let Some((task, rest)) = tasks.split_first() else {
            return Some(used.iter().filter(|used| **used > 0).count());
        };
        let mut best = None;
        for host in 0..left.len() {
            if left[host][0] >= task[0] && left[host][1] >= task[1] {
                left[host] = [left[host][0] - task[0], left[host][1] - task[1]];
                used[host] += 1;
                let found = place(left, used, rest);
                best = best.into_iter().chain(found).min();
                used[host] -= 1;
                left[host] = [left[host][0] + task[0], left[host][1] + task[1]];
            }
        }
        best
    }
    place(&mut rooms.to_vec(), &mut vec![0; rooms.len()], tasks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn no_packing_beats_the_bound_and_a_plan_is_one(
        hosts in prop::collection::vec(amounts(), 1..5),
        tasks in prop::collection::vec(amounts(), 1..7),
    ) {
        let room = |(host, free): (usize, &[u64; 2])| Room { free: (*free).into(), hosts: vec![host] };
        let rooms: Vec<Room> = hosts.iter().enumerate().map(room).collect();
        let demands: Vec<&[u64]> = tasks.iter().map(|task| &task[..]).collect();
        let best = fewest(&hosts, &tasks);
        let mut work = 1_000_000;
        let found = plan(&rooms, &demands, 0, &mut work);
        let mut left = hosts.clone();
        for (task, host) in tasks.iter().zip(&found.host_of) {
            let Some(host) = host else { continue };
            for (left, amount) in left[*host].iter_mut().zip(task) {
                prop_assert!(*left >= *amount, "host {} is over-committed", host);
                *left -= amount;
            }
        }
        prop_assert_eq!(found.missed, found.host_of.iter().filter(|host| host.is_none()).count());
        if let Some(best) = best {
            prop_assert!(fewest_hosts(&rooms, &demands) <= best, "{} fit", best);
            prop_assert!(found.missed > 0 || found.hosts >= best);
        }
    }
}

#[test]
fn what_no_task_can_use_of_a_host_does_not_lower_the_bound() {
    // Tasks want as much memory as cpus; the memory of the last host is mostly of no use.
    let rooms = [
        Room { free: [4, 4].into(), hosts: vec![0, 1, 2] },
        Room { free: [4, 400].into(), hosts: vec![3] },
    ];
    let demands = [&[1, 1][..]; 16];
    assert_eq!(fewest_hosts(&rooms, &demands), 4);
}

#[test]
fn tasks_of_which_no_two_fit_need_a_host_each() {
    let rooms = [Room { free: [10].into(), hosts: (0..9).collect() }];
    let demands = [&[6][..]; 5];
    assert_eq!(fewest_hosts(&rooms, &demands), 5);
}

#[test]
fn without_work_there_is_no_plan() {
    let rooms = [Room { free: [10].into(), hosts: vec![0] }];
    assert_eq!(plan(&rooms, &[&[1][..]], 0, &mut 0).missed, 1);
}
