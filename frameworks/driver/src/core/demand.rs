//! What the framework wants from the master, and when to say so: REQUEST, REVIVE, SUPPRESS.
//!
//! Growth is stated at once, shrinking rarely, and silence is asked for only after a short while
//! of idleness. It decides; the driver makes the calls.

use super::options::Options;
use proto::{Resources, Time};
use std::time::Duration;

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Want {
    /// No offers.
    #[default]
    Nothing,
    /// Any offers: the framework decides by itself.
    Anything,
    /// So many bundles of these resources.
    Bundles(Vec<(Resources, u32)>),
}

/// What is to be said now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saying {
    /// State the demand.
    pub(crate) request: bool,
    /// Ask for offers again.
    pub(crate) revive: bool,
    /// Give back what is held and ask for silence.
    pub(crate) suppress: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Demand {
    want: Want,
    /// What the master was told, less the launches since: it takes them off by itself, and which
    /// bundle it takes them off is its affair, so each is at least this.
    stated: Vec<(Resources, u32)>,
    suppressed: bool,
    /// Whether offers were refused for a while since the last REVIVE.
    filtered: bool,
    idle_since: Option<Time>,
    restate_at: Option<Time>,
    grown_at: Time,
    /// Whether there is work that none of the refused offers was held against.
    untried: bool,
}

/// Counts are compared by their magnitude, so that a queue of a million is not restated for each
/// unit that leaves it.
fn magnitude(count: u32) -> u32 {
    u32::BITS - count.leading_zeros()
}

fn bundles(want: &Want) -> &[(Resources, u32)] {
    match want {
        Want::Nothing | Want::Anything => &[],
        Want::Bundles(bundles) => bundles,
    }
}

fn alike(a: &[(Resources, u32)], b: &[(Resources, u32)]) -> bool {
    let same = |((r, n), (s, m)): (&(Resources, u32), &(Resources, u32))| {
        r == s && magnitude(*n) == magnitude(*m)
    };
    a.len() == b.len() && a.iter().zip(b).all(same)
}

impl Demand {
    pub(crate) fn want(&self) -> &Want {
        &self.want
    }

    pub(crate) fn is_suppressed(&self) -> bool {
        self.suppressed
    }

    /// The role is to be suppressed in a SUBSCRIBE that is made now; what was stated is forgotten.
    pub(crate) fn subscribing(&mut self) -> bool {
        self.suppressed = self.want == Want::Nothing;
        self.idle_since = None;
        self.restate_at = None;
        self.filtered = false;
        self.stated.clear();
        self.suppressed
    }

    /// The subscription stands: what is to be said of the demand.
    pub(crate) fn subscribed(&mut self, now: Time) -> Saying {
        self.say(now, true)
    }

    /// There is work of a kind that was not waiting before: what was refused may suit it.
    pub(crate) fn renew(&mut self) {
        self.untried = true;
    }

    /// Offers were refused for a while.
    pub(crate) fn refused(&mut self) {
        self.filtered = true;
    }

    /// How long resources that fit nothing are refused now.
    pub(crate) fn refuse(&self, now: Time, options: &Options) -> Duration {
        const JUST_NOW: Duration = Duration::from_secs(1);
        if now.since(self.grown_at) < JUST_NOW {
            options.refuse.min(JUST_NOW)
        } else {
            options.refuse
        }
    }

    /// Takes note of what is wanted from now on.
    pub(crate) fn set(&mut self, now: Time, want: Want, open: bool, options: &Options) -> Saying {
        let untried = open && std::mem::take(&mut self.untried) && self.filtered;
        if self.want == want && !untried && !(open && self.has_grown()) {
            return Saying::default();
        }
        self.want = want;
        if self.want == Want::Nothing {
            if self.idle_since.is_none() && !self.suppressed {
                self.idle_since = Some(now);
            }
            return Saying::default();
        }
        self.idle_since = None;
        if !open {
            return Saying::default();
        }
        if self.suppressed || untried || self.has_grown() {
            return self.say(now, true);
        }
        if !alike(bundles(&self.want), &self.stated) && self.restate_at.is_none() {
            self.restate_at = Some(now + options.restate);
        }
        Saying::default()
    }

    /// Tasks were launched: the master takes them off what it was told.
    pub(crate) fn launched(&mut self, tasks: usize) {
        let tasks = u32::try_from(tasks).unwrap_or(u32::MAX);
        for (_, count) in &mut self.stated {
            *count = count.saturating_sub(tasks);
        }
    }

    fn has_grown(&self) -> bool {
        bundles(&self.want).iter().any(|(resources, count)| {
            let stated = self.stated.iter().find(|(stated, _)| stated == resources);
            stated.is_none_or(|(_, stated)| magnitude(*stated) < magnitude(*count))
        })
    }

    fn say(&mut self, now: Time, grown: bool) -> Saying {
        let request = !alike(bundles(&self.want), &self.stated);
        let revive = grown && self.want != Want::Nothing && (self.suppressed || self.filtered);
        if revive {
            self.suppressed = false;
            self.filtered = false;
        }
        if grown {
            self.grown_at = now;
        }
        if request {
            self.stated = bundles(&self.want).to_vec();
        }
        self.restate_at = None;
        Saying { request, revive, suppress: false }
    }

    pub(crate) fn deadline(&self, options: &Options) -> Option<Time> {
        let idle = self.idle_since.map(|since| since + options.idle_linger);
        [idle, self.restate_at].into_iter().flatten().min()
    }

    pub(crate) fn tick(&mut self, now: Time, options: &Options) -> Saying {
        if self.idle_since.is_some_and(|since| since + options.idle_linger <= now) {
            self.idle_since = None;
            self.suppressed = true;
            let request = !self.stated.is_empty();
            self.stated.clear();
            self.restate_at = None;
            return Saying { request, revive: false, suppress: true };
        }
        if self.restate_at.is_some_and(|at| at <= now) {
            return self.say(now, false);
        }
        Saying::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(count: u32) -> Want {
        Want::Bundles(vec![(Resources::cpus_mem(1000, 0), count)])
    }

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn growth_is_stated_at_once_and_shrinking_later() {
        let options = Options::new("t", vec!["m".into()]);
        let mut demand = Demand::default();
        assert!(demand.subscribing());
        assert_eq!(demand.subscribed(at(0)), Saying::default());
        let said = demand.set(at(10), wanted(100), true, &options);
        assert_eq!(said, Saying { request: true, revive: true, suppress: false });
        // Of the same magnitude: nothing to say.
        assert_eq!(demand.set(at(20), wanted(99), true, &options), Saying::default());
        assert_eq!(demand.deadline(&options), None);
        assert_eq!(demand.set(at(30), wanted(3), true, &options), Saying::default());
        assert_eq!(demand.deadline(&options), Some(at(1030)));
        assert!(demand.tick(at(1030), &options).request);
        assert!(demand.set(at(1040), wanted(9), true, &options).request);
    }

    #[test]
    fn work_of_another_kind_gets_back_what_was_refused() {
        let options = Options::new("t", vec!["m".into()]);
        let mut demand = Demand::default();
        demand.subscribing();
        demand.set(at(0), wanted(1_000_000), true, &options);
        demand.refused();
        assert_eq!(demand.set(at(10), wanted(1_000_001), true, &options), Saying::default());
        demand.renew();
        let said = demand.set(at(20), wanted(1_000_001), true, &options);
        assert_eq!(said, Saying { request: false, revive: true, suppress: false });
        // Nothing is refused any more: nothing to say.
        demand.renew();
        assert_eq!(demand.set(at(30), wanted(1_000_001), true, &options), Saying::default());
    }

    #[test]
    fn what_was_launched_is_stated_again_when_it_is_wanted_again() {
        let options = Options::new("t", vec!["m".into()]);
        let mut demand = Demand::default();
        demand.subscribing();
        assert!(demand.set(at(0), wanted(1), true, &options).request);
        demand.launched(1);
        assert_eq!(demand.set(at(1), Want::Nothing, true, &options), Saying::default());
        assert!(demand.set(at(2), wanted(1), true, &options).request);
        // The next unit is ready before the launch of the last was noticed.
        demand.launched(1);
        assert!(demand.set(at(3), wanted(1), true, &options).request);
        // A long queue shrinks on both sides alike.
        assert!(demand.set(at(4), wanted(1000), true, &options).request);
        demand.launched(100);
        assert_eq!(demand.set(at(5), wanted(900), true, &options), Saying::default());
    }

    #[test]
    fn silence_is_asked_for_only_after_the_linger() {
        let options = Options::new("t", vec!["m".into()]);
        let mut demand = Demand::default();
        demand.subscribing();
        demand.set(at(0), wanted(1), true, &options);
        demand.set(at(100), Want::Nothing, true, &options);
        assert_eq!(demand.deadline(&options), Some(at(600)));
        // Work that comes in between meets the open offers.
        demand.set(at(200), wanted(1), true, &options);
        assert_eq!(demand.deadline(&options), None);
        demand.set(at(300), Want::Nothing, true, &options);
        let said = demand.tick(at(800), &options);
        assert_eq!(said, Saying { request: true, revive: false, suppress: true });
        assert!(demand.is_suppressed());
    }

    #[test]
    fn filters_are_cleared_when_the_demand_grows() {
        let options = Options::new("t", vec!["m".into()]);
        let mut demand = Demand::default();
        demand.set(at(0), wanted(1), false, &options);
        assert!(!demand.subscribing());
        assert_eq!(demand.subscribed(at(1)), Saying { request: true, ..Saying::default() });
        demand.refused();
        assert!(demand.set(at(5), wanted(50), true, &options).revive);
        assert_eq!(demand.refuse(at(6), &options), Duration::from_secs(1));
        assert_eq!(demand.refuse(at(6000), &options), options.refuse);
    }
}
