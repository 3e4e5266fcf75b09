//! What a connection promises: order, loss of tails only, ends that are learned of.

use super::*;

const PEER: Peer = Peer::Agent(0);

fn network() -> (Network<u32>, Conn) {
    let mut network = Network::new(Prng::new(1));
    network.join(PEER, 1, Duration::from_millis(1), Duration::from_millis(5));
    let conn = network.dial(PEER, 0);
    assert!(network.open(conn));
    (network, conn)
}

/// Runs all arrivals until nothing is scheduled any more.
fn settle(network: &mut Network<u32>, mut due: Vec<Due>) -> Vec<(Direction, Arrival<u32>)> {
    let mut seen = Vec::new();
    while let Some(first) = due.iter().min().copied() {
        due.retain(|other| *other != first);
        let (at, conn, way) = first;
        let (arrival, next) = network.arrive(at, conn, way);
        due.extend(next);
        if arrival != Arrival::Nothing {
            seen.push((way, arrival));
        }
    }
    seen
}

fn at(millis: u64) -> Time {
    Time::from_millis(millis)
}

#[test]
fn a_connection_keeps_its_order() {
    let (mut network, conn) = network();
    let due: Vec<Due> =
        (0..50).filter_map(|n| network.send(at(n / 10), conn, Direction::Up, n as u32)).collect();
    assert_eq!(due.len(), 1, "one arrival is scheduled at a time");
    let seen = settle(&mut network, due);
    let expected: Vec<_> = (0..50).map(|n| (Direction::Up, Arrival::Packet(n))).collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_blocked_way_holds_back_and_loses_nothing() {
    let (mut network, conn) = network();
    network.block((PEER, 0), Direction::Up, at(100));
    let due = network.send(at(0), conn, Direction::Up, 1).into_iter().collect();
    assert_eq!(settle(&mut network, due), []);
    assert_eq!(network.released(at(50), PEER), []);
    let due = network.released(at(100), PEER);
    assert_eq!(settle(&mut network, due), [(Direction::Up, Arrival::Packet(1))]);
}

#[test]
fn a_close_arrives_after_what_was_sent_before() {
    let (mut network, conn) = network();
    let mut due: Vec<Due> = network.send(at(0), conn, Direction::Down, 1).into_iter().collect();
    due.extend(network.close(at(0), conn, Direction::Down));
    let seen = settle(&mut network, due);
    assert_eq!(seen, [(Direction::Down, Arrival::Packet(1)), (Direction::Down, Arrival::Closed)]);
    assert_eq!(network.peer(conn), None);
}

#[test]
fn a_half_open_end_answers_with_a_reset() {
    let (mut network, conn) = network();
    network.vanish(conn, Direction::Up);
    let due = network.send(at(0), conn, Direction::Down, 1).into_iter().collect();
    assert_eq!(settle(&mut network, due), [(Direction::Up, Arrival::Closed)]);
    assert_eq!(network.peer(conn), None);
}

#[test]
fn a_reset_reaches_both_ends_and_loses_tails_only() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 0..50 {
        let (mut network, conn) = network();
        network.random = Prng::new(seed);
        let mut due: Vec<Due> =
            (0..4).filter_map(|n| network.send(at(0), conn, Direction::Up, n)).collect();
        due.extend(network.reset(at(0), conn));
        let mut seen = settle(&mut network, due);
        for way in Direction::BOTH {
            assert!(seen.contains(&(way, Arrival::Closed)), "{way:?} is not told");
        }
        seen.retain(|(way, arrival)| *way == Direction::Up && *arrival != Arrival::Closed);
        let expected: Vec<_> =
            (0..seen.len() as u32).map(|n| (Direction::Up, Arrival::Packet(n))).collect();
        assert_eq!(seen, expected);
        lengths.insert(seen.len());
        assert_eq!(network.peer(conn), None);
    }
    assert!(lengths.len() > 2, "{lengths:?}");
}
