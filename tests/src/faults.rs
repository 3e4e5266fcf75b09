//! Which faults a run has, how often, and how bad: drawn once from the seed.
//!
//! Each run enables a random part of them (swarm testing), so that some runs are calm, some have
//! one fault only, and some have everything. It says what shall happen and when; the world makes
//! it happen.

use crate::group::Masters;
use crate::prng::Prng;
use std::time::Duration;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The master's process is killed.
    MasterCrash,
    /// The master's process is killed between two effects of one step.
    MasterCrashMidStep,
    /// No master leads for minutes.
    MasterOutage,
    /// An agent's process is killed; its tasks go on.
    AgentCrash,
    /// An agent's process is killed between two effects of one step.
    AgentCrashMidStep,
    /// A host is started anew: its tasks die, its boot id changes.
    HostReboot,
    /// A supervisor is lost with its tasks while the agent goes on.
    SupervisorCrash,
    /// A scheduler is killed and started again from its store.
    SchedulerCrash,
    /// A scheduler is killed between two effects of one step.
    SchedulerCrashMidStep,
    /// A connection is reset.
    Reset,
    /// One end of a connection is gone and the other does not know.
    HalfOpen,
    /// A node and the master do not reach each other.
    Partition,
    /// Only one direction is cut.
    OneWay,
    /// A way is stopped for moments.
    Clog,
    /// All ways are stopped one by one, and freed in another order.
    Swizzle,
    /// A disk becomes slow.
    SlowDisk,
    /// A node is killed, and killed again while it starts, in the middle of taking back what it
    /// knew.
    CrashAtStart,
    /// Records of an agent's checkpoint cannot be read when it starts.
    CorruptRecords,
    /// A node is killed, and its clock is another one when it starts.
    ClockJump,
    /// Calls of HTTP frameworks are sent twice.
    DuplicateCalls,
    /// Calls of HTTP frameworks overtake each other.
    ReorderedCalls,
    /// A master, mostly the leader, and the other masters do not hear each other; agents and
    /// frameworks go on hearing it.
    LeaderCutOff,
    /// A master does not hear the others, or is not heard by them.
    MastersOneWay,
    /// Two halves of the masters do not hear each other, and one of them hears both.
    Bridge,
    /// The ways between a master and the others come and go.
    FlappingLink,
    /// No master hears another.
    MastersApart,
    /// Everything between a master and the others takes half a second longer.
    SlowLink,
    /// Several masters are killed, or all.
    MastersCrash,
    /// A master is stopped like a process by SIGSTOP, and goes on later.
    MasterStopped,
    /// The leader is asked to hand over.
    HandOver,
    /// The disk of a master is full for a while.
    FullDisk,
    /// All masters are killed at once, and what was not durable is gone.
    PowerCut,
    /// A master is killed between two effects of its registrar.
    CrashAtEffect,
    /// A master is killed at a named place of its registrar.
    CrashAtPoint,
    /// The disk of a master is lost: it comes back as a new member.
    LostDisk,
    /// The end of a master's log cannot be read when it starts.
    TornLog,
    /// A master leaves the others and joins them again.
    Leaving,
    /// A bit of a master's log, snapshot or promises is another one when it starts.
    FlippedBit,
    /// A master comes back under another address.
    Moved,
}

/// A place of a master's registrar, or of its way to the lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// Its member was elected, and the master does not know it yet.
    Elected,
    /// It knows that what it has is new.
    Read,
    /// It has put to the vote that it begins an epoch.
    EpochProposed,
    /// That is agreed upon, and there is no core yet.
    EpochAgreed,
    /// The core is made and has done nothing.
    CoreMade,
    /// A write is on its way to the disk.
    Writing,
    /// The sync of a write fails: what it wrote may be there at the next start or not.
    SyncFailed,
    /// It is durable, and the member does not know it yet.
    Written,
    /// An entry is applied.
    Applied,
    /// What it proposed is agreed upon, and the master does not know it yet.
    Committed,
    /// A snapshot is durable, and the member does not know it yet.
    SnapshotTaken,
    /// A snapshot of another one replaced the state.
    Restored,
    /// Entries that are in a snapshot are gone.
    Compacted,
    /// It has dropped its core because it leads no more.
    LeadLost,
}

impl Point {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Elected,
        Self::Read,
        Self::EpochProposed,
        Self::EpochAgreed,
        Self::CoreMade,
        Self::Writing,
        Self::SyncFailed,
        Self::Written,
        Self::Applied,
        Self::Committed,
        Self::SnapshotTaken,
        Self::Restored,
        Self::Compacted,
        Self::LeadLost,
    ];
}

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 39] = [
        Self::MasterCrash,
        Self::MasterCrashMidStep,
        Self::MasterOutage,
        Self::AgentCrash,
        Self::AgentCrashMidStep,
        Self::HostReboot,
        Self::SupervisorCrash,
        Self::SchedulerCrash,
        Self::SchedulerCrashMidStep,
        Self::Reset,
        Self::HalfOpen,
        Self::Partition,
        Self::OneWay,
        Self::Clog,
        Self::Swizzle,
        Self::SlowDisk,
        Self::CrashAtStart,
        Self::CorruptRecords,
        Self::ClockJump,
        Self::DuplicateCalls,
        Self::ReorderedCalls,
        Self::LeaderCutOff,
        Self::MastersOneWay,
        Self::Bridge,
        Self::FlappingLink,
        Self::MastersApart,
        Self::SlowLink,
        Self::MastersCrash,
        Self::MasterStopped,
        Self::HandOver,
        Self::FullDisk,
        Self::PowerCut,
        Self::CrashAtEffect,
        Self::CrashAtPoint,
        Self::LostDisk,
        Self::TornLog,
        Self::Leaving,
        Self::FlippedBit,
        Self::Moved,
    ];

    /// Whether it can only happen to several masters.
    pub fn is_of_masters(self) -> bool {
        self >= Self::LeaderCutOff
    }

    /// Whether it can happen to these masters.
    fn befalls(self, masters: Masters) -> bool {
        match masters {
            Masters::Alone => !self.is_of_masters(),
            Masters::Ideal(_) => self < Self::LostDisk,
            Masters::Raft(_) => true,
        }
    }

    /// The mean time between two of them, in seconds: from the wildest run to the calmest.
    fn mean_seconds(self) -> (u64, u64) {
        match self {
            Self::MasterCrash | Self::MasterCrashMidStep => (30, 300),
            Self::MasterOutage => (300, 900),
            Self::AgentCrash | Self::AgentCrashMidStep => (10, 120),
            Self::HostReboot | Self::SupervisorCrash => (60, 600),
            Self::SchedulerCrash | Self::SchedulerCrashMidStep => (20, 200),
            Self::Reset | Self::HalfOpen => (5, 100),
            Self::Partition | Self::OneWay => (20, 200),
            Self::Clog => (2, 60),
            Self::CrashAtStart | Self::CorruptRecords | Self::ClockJump => (40, 400),
            Self::Swizzle | Self::SlowDisk => (30, 300),
            Self::DuplicateCalls | Self::ReorderedCalls => (0, 0),
            Self::CrashAtEffect | Self::CrashAtPoint => (10, 100),
            Self::LeaderCutOff | Self::MastersOneWay | Self::MasterStopped | Self::HandOver => {
                (20, 200)
            }
            Self::Bridge | Self::FlappingLink | Self::SlowLink => (30, 300),
            Self::TornLog | Self::Leaving | Self::LostDisk | Self::FlippedBit | Self::Moved => {
                (40, 400)
            }
            Self::MastersApart | Self::MastersCrash | Self::FullDisk | Self::PowerCut => (60, 600),
        }
    }
}

/// The faults of one run.
#[derive(Clone, Debug)]
pub struct Faults {
    means: Vec<(Fault, Duration)>,
    duplicates: bool,
    reorders: bool,
    /// The places at which `CrashAtPoint` lets a master end.
    points: Vec<Point>,
    /// No more faults happen.
    healed: bool,
}

impl Faults {
    /// Draws them for these masters.
    pub fn draw(random: &mut Prng, masters: Masters) -> Self {
        // How likely each is: a calm run has few, a wild one nearly all.
        let likely = [0, 15, 30, 50, 80][random.index(5)];
        let mut means = Vec::new();
        for fault in Fault::ALL.into_iter().filter(|fault| fault.befalls(masters)) {
            let (wild, calm) = fault.mean_seconds();
            if random.percent(likely) {
                means.push((fault, Duration::from_secs(random.between(wild, calm))));
            }
        }
        Self::of(means)
    }

    /// Just these, with their mean times.
    pub fn of(mut means: Vec<(Fault, Duration)>) -> Self {
        let has = |fault| means.iter().any(|(kind, _)| *kind == fault);
        let duplicates = has(Fault::DuplicateCalls);
        let reorders = has(Fault::ReorderedCalls);
        means.retain(|(_, mean)| !mean.is_zero());
        Self { means, duplicates, reorders, points: Point::ALL.to_vec(), healed: false }
    }

    /// The same, but masters end at these places only, of all that have a name.
    #[must_use]
    pub fn at_points(mut self, points: &[Point]) -> Self {
        self.points = points.to_vec();
        self
    }

    /// Where masters are made to end.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// None at all.
    pub fn none() -> Self {
        Self::of(Vec::new())
    }

    /// The kinds that happen at times of their own, with their mean times.
    pub fn timed(&self) -> &[(Fault, Duration)] {
        &self.means
    }

    /// Whether calls over HTTP may be sent twice now.
    pub fn duplicates(&self) -> bool {
        self.duplicates && !self.healed
    }

    /// Whether calls over HTTP may overtake each other now.
    pub fn reorders(&self) -> bool {
        self.reorders && !self.healed
    }

    /// From now on nothing goes wrong any more.
    pub fn heal(&mut self) {
        self.healed = true;
    }

    /// Whether nothing goes wrong any more.
    pub fn healed(&self) -> bool {
        self.healed
    }

    /// One word a kind, for people.
    pub fn names(&self) -> String {
        let timed = self.means.iter().map(|(kind, mean)| format!("{kind:?}/{}s", mean.as_secs()));
        let mut names: Vec<String> = timed.collect();
        names.extend(self.duplicates.then(|| "DuplicateCalls".to_owned()));
        names.extend(self.reorders.then(|| "ReorderedCalls".to_owned()));
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_differ_in_their_faults_and_every_kind_is_drawn() {
        let mut seen = std::collections::BTreeSet::new();
        let mut calm = 0;
        for seed in 0..200 {
            let faults = Faults::draw(&mut Prng::new(seed), Masters::Raft(3));
            calm += u32::from(faults.names() == "none");
            seen.extend(faults.timed().iter().map(|(kind, _)| *kind));
            seen.extend(faults.duplicates().then_some(Fault::DuplicateCalls));
            seen.extend(faults.reorders().then_some(Fault::ReorderedCalls));
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), Fault::ALL);
        assert!((10..100).contains(&calm), "{calm}");
    }
}
