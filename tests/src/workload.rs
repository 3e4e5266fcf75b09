//! What the frameworks' owners want: groups of units, when they are submitted, scaled and killed.
//!
//! Drawn once from the seed. An owner repeats a request until it is answered, with the same token,
//! as a careful client does. It looks at nothing but the answers.

use crate::prng::Prng;
use driver::core::{Answer, Command, GroupId, GroupSpec, Input, Kind, Retry, Scheduler, Template};
use proto::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// How one group shall fare.
#[derive(Clone, Debug)]
struct Planned {
    at: Time,
    spec: GroupSpec,
    /// When it is killed, whole or one unit of it.
    kill: Option<(Time, Option<u32>)>,
    /// When it is scaled, and to what.
    scale: Option<(Time, u32)>,
    group: Option<GroupId>,
    /// A request about it is under way.
    asked: bool,
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Submit,
    Kill,
    Scale,
}

/// The work of one framework.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    groups: Vec<Planned>,
    asks: BTreeMap<u64, (usize, Ask)>,
    next_request: u64,
}

fn template(random: &mut Prng, cpus_most: u64) -> Template {
    let cpus = random.between(1, cpus_most / 100) * 100;
    let mem = random.between(32, 256) * 1000;
    Template {
        resources: BTreeMap::from([("cpus".to_owned(), cpus), ("mem".to_owned(), mem)]),
        command: Command { shell: true, value: "true".to_owned(), ..Command::default() },
        kill_grace: random.percent(50).then(|| random.millis(0, 8000)),
        ..Template::default()
    }
}

impl Plan {
    /// Draws the work of a framework, to be handed out before `end`.
    pub fn draw(random: &mut Prng, start: Time, end: Time) -> Self {
        let span = u64::try_from(end.since(start).as_millis()).unwrap_or(u64::MAX);
        let groups = (0..random.between(4, 14)).map(|n| Self::group(random, n, start, span));
        let mut groups: Vec<Planned> = groups.collect();
        groups.extend(random.percent(60).then(|| Self::replicas(random, start, span)));
        groups.sort_by_key(|planned| planned.at);
        Self { groups, ..Self::default() }
    }

    /// Units that each run to an end; those that never end are killed before the end.
    fn group(random: &mut Prng, n: u64, start: Time, span: u64) -> Planned {
        let names = ["ok", "ok", "ok", "flaky", "flaky", "failing", "long", "stubborn"];
        let name = names[random.index(names.len())];
        let at = start + Duration::from_millis(random.below(span * 4 / 5));
        let later = |random: &mut Prng| at + random.millis(0, span / 5);
        let count = random.between(1, 12) as u32;
        let mut spec = GroupSpec::new(name, Kind::Ledger, count, template(random, 1500));
        spec.token = Some(format!("{name}-{n}"));
        spec.retry = Retry {
            user: random.below(4) as u32,
            backoff_most: Duration::from_secs(10),
            ..Retry::default()
        };
        let endless = matches!(name, "long" | "stubborn");
        if endless && random.percent(30) {
            spec.run_limit = Some(random.millis(1000, 30_000));
        }
        let whole = endless || random.percent(10);
        let unit = random.percent(20).then(|| random.below(u64::from(count)) as u32);
        let kill = if whole {
            Some((later(random), None))
        } else {
            unit.map(|index| (later(random), Some(index)))
        };
        Planned { at, spec, kill, scale: None, group: None, asked: false }
    }

    /// A small service that is kept running, and sometimes scaled or killed.
    fn replicas(random: &mut Prng, start: Time, span: u64) -> Planned {
        let at = start + Duration::from_millis(random.below(span / 2));
        let count = random.between(1, 3) as u32;
        let mut spec = GroupSpec::new("long-kept", Kind::Replica, count, template(random, 200));
        spec.token = Some("replicas".to_owned());
        let later = |random: &mut Prng| at + random.millis(1000, span / 3);
        let scale = random.percent(40).then(|| (later(random), random.below(4) as u32));
        let kill = random.percent(30).then(|| (later(random), None));
        Planned { at, spec, kill, scale, group: None, asked: false }
    }

    /// The requests that are to be made now.
    pub fn due(&mut self, now: Time, healed: bool) -> Vec<Input> {
        let mut inputs = Vec::new();
        for (at, planned) in self.groups.iter_mut().enumerate() {
            if planned.asked {
                continue;
            }
            let passed = |time: Time| healed || time <= now;
            let request = self.next_request + 1;
            let (ask, input) = match &planned.group {
                None if passed(planned.at) => {
                    let spec = Box::new(planned.spec.clone());
                    (Ask::Submit, Input::Submit { request, spec })
                }
                Some(group) => {
                    let group = group.clone();
                    if let Some((_, count)) = planned.scale.filter(|(time, _)| passed(*time)) {
                        (Ask::Scale, Input::Scale { request, group, count })
                    } else if let Some((_, index)) = planned.kill.filter(|(time, _)| passed(*time))
                    {
                        (Ask::Kill, Input::Kill { request, group, index })
                    } else {
                        continue;
                    }
                }
                None => continue,
            };
            self.next_request = request;
            planned.asked = true;
            self.asks.insert(request, (at, ask));
            inputs.push(input);
        }
        inputs
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When a repeated request had a second effect.
    pub fn answered(&mut self, request: u64, answer: Answer) -> Result<(), String> {
        let Some((at, ask)) = self.asks.remove(&request) else {
            return Err(format!("request {request} was answered twice"));
        };
        let planned = &mut self.groups[at];
        planned.asked = false;
        match (ask, answer) {
            (Ask::Submit, Answer::Submitted(group) | Answer::AlreadySubmitted(group)) => {
                if planned.group.as_ref().is_some_and(|known| *known != group) {
                    return Err(format!("{:?} was taken on twice", planned.spec.token));
                }
                planned.group = Some(group);
            }
            (Ask::Submit, answer) => {
                return Err(format!("{:?} was answered {answer:?}", planned.spec.token));
            }
            // A group that has ended meanwhile may refuse.
            (Ask::Kill, _) => planned.kill = None,
            (Ask::Scale, _) => planned.scale = None,
        }
        Ok(())
    }

    /// The scheduler died: what was asked is not answered any more.
    pub fn lose_requests(&mut self) {
        self.asks.clear();
        for planned in &mut self.groups {
            planned.asked = false;
        }
    }

    /// What is not as it was wanted.
    pub fn unfulfilled(&self, core: &Scheduler) -> Option<String> {
        self.groups.iter().find_map(|planned| {
            let token = planned.spec.token.as_deref().unwrap_or_default();
            let Some(group) = &planned.group else { return Some(format!("{token} not submitted")) };
            let counts = core.counts(group)?;
            let moving = counts.pending + counts.launched + counts.killing + counts.unreachable;
            let open = moving + counts.running;
            let wanted = planned.kill.is_none() && planned.scale.is_none();
            let done = match planned.spec.kind {
                Kind::Ledger => open == 0,
                Kind::Replica => moving == 0,
            };
            (!done || !wanted).then(|| format!("{group}: {counts:?}"))
        })
    }

    /// Groups with the number of their units.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupId, &GroupSpec)> {
        self.groups.iter().filter_map(|p| Some((p.group.as_ref()?, &p.spec)))
    }
}
