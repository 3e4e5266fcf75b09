//! Which faults there are, and in which order a seed brings them.

use crate::dice::Dice;

/// A fault: a row of the fault matrix in one of its kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    KillLeader,
    StopLeader,
    CutDrop,
    CutReset,
    CutNoRoute,
    CutLink,
    OneWay,
    Bridge,
    Flapping,
    FsyncError,
    FullDisk,
    FlippedBit,
    TornLog,
    LostDisk,
    NoQuorum,
    KillAgents,
    KillSchedulers,
    ClockJump,
    AllDown,
    Everything,
}

/// What no run of five minutes may lack: these come first.
pub(crate) const FIRST: [Kind; 15] = [
    Kind::KillLeader,
    Kind::StopLeader,
    Kind::CutDrop,
    Kind::CutReset,
    Kind::CutNoRoute,
    Kind::OneWay,
    Kind::FsyncError,
    Kind::FullDisk,
    Kind::FlippedBit,
    Kind::TornLog,
    Kind::LostDisk,
    Kind::NoQuorum,
    Kind::KillSchedulers,
    Kind::ClockJump,
    Kind::AllDown,
];

/// The others.
const THEN: [Kind; 5] =
    [Kind::CutLink, Kind::Bridge, Kind::Flapping, Kind::KillAgents, Kind::Everything];

impl Kind {
    /// The row of the fault matrix, and the name on the page.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::KillLeader => ("F1", "leader killed"),
            Self::StopLeader => ("F2", "leader stopped"),
            Self::CutDrop => ("F3", "leader cut off: drop"),
            Self::CutReset => ("F3", "leader cut off: reset"),
            Self::CutNoRoute => ("F3", "leader cut off: no route"),
            Self::CutLink => ("F3", "leader's link down"),
            Self::OneWay => ("F4", "leader is deaf to one"),
            Self::Bridge => ("F5", "one sees both halves"),
            Self::Flapping => ("F6", "leader's links flap"),
            Self::FsyncError => ("F9", "fsync fails"),
            Self::FullDisk => ("F10", "disk full"),
            Self::FlippedBit => ("F11", "bit flipped in the log"),
            Self::TornLog => ("F11", "log torn"),
            Self::LostDisk => ("F13", "disk lost, replaced"),
            Self::NoQuorum => ("F14", "two of three gone"),
            Self::KillAgents => ("F17", "agents killed"),
            Self::KillSchedulers => ("F28", "schedulers killed"),
            Self::ClockJump => ("F36", "clock a year off"),
            Self::AllDown => ("I10", "all masters down"),
            Self::Everything => ("F28", "everything killed"),
        }
    }

    /// Row and name, as a history names what it must have.
    pub(crate) fn full_name(self) -> String {
        let (row, name) = self.names();
        format!("{row} {name}")
    }
}

/// The order in which a seed brings faults, without end: each once before any comes again, and
/// those that no run may lack before the others.
#[derive(Debug)]
pub(crate) struct Order {
    dice: Dice,
    left: Vec<Kind>,
}

impl Order {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), left: Vec::new() }
    }
}

impl Iterator for Order {
    type Item = Kind;

    fn next(&mut self) -> Option<Kind> {
        if self.left.is_empty() {
            // They are taken from the end.
            for some in [&THEN[..], &FIRST[..]] {
                let mut some = some.to_vec();
                self.dice.shuffle(&mut some);
                self.left.extend(some);
            }
        }
        self.left.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_once_before_any_comes_again_and_a_seed_tells_the_order() {
        let all = FIRST.len() + THEN.len();
        let first: Vec<Kind> = Order::new(7).take(all).collect();
        assert!(FIRST.iter().all(|kind| first[..FIRST.len()].contains(kind)));
        assert!(THEN.iter().all(|kind| first[FIRST.len()..].contains(kind)));
        assert_eq!(first, Order::new(7).take(all).collect::<Vec<_>>());
        assert_ne!(first, Order::new(8).take(all).collect::<Vec<_>>());
    }
}
