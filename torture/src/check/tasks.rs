//! I2, I3, I5, I7, I9, I10: what was launched, what was told of it, and what really ran.

use super::{Verdict, number};
use crate::history::{Entry, Fact};
use std::collections::{BTreeMap, BTreeSet};

/// A scheduler that is killed so soon after it wrote a launch down may not have sent it.
const UNSENT: u64 = 1_000_000_000;

/// What is known of one task.
#[derive(Debug, Default)]
struct Task<'a> {
    launched: Option<(u64, &'a str)>,
    spent: bool,
    /// State, and whether it had a uuid that was not told before.
    told: Vec<(&'a str, bool)>,
    /// What each uuid said first.
    uuids: BTreeMap<&'a str, &'a str>,
    /// The uuids that said something else later.
    wavering: Vec<String>,
    why: &'a str,
    instances: Vec<Instance<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Instance<'a> {
    agent: &'a str,
    began: u64,
    alive: u64,
    ended: Option<u64>,
}

fn tasks(history: &[Entry]) -> BTreeMap<&str, Task<'_>> {
    let mut tasks: BTreeMap<&str, Task<'_>> = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Launched { framework, task, spent, .. } => {
                let task = tasks.entry(task).or_default();
                task.launched = Some((entry.at, framework));
                task.spent = *spent;
            }
            Fact::Told { task, state, uuid, why, .. } => {
                let task = tasks.entry(task).or_default();
                let is_new = uuid.as_deref().is_some_and(|uuid| task.says(uuid, state));
                task.told.push((state, is_new));
                task.why = why;
            }
            Fact::Instance { task, agent, began, alive, ended, .. } => {
                let instance = Instance { agent, began: *began, alive: *alive, ended: *ended };
                tasks.entry(task).or_default().instances.push(instance);
            }
            _ => {}
        }
    }
    tasks
}

fn is_end(state: &str) -> bool {
    const LIVE: [&str; 6] = [
        "TASK_STAGING",
        "TASK_STARTING",
        "TASK_RUNNING",
        "TASK_KILLING",
        "TASK_UNREACHABLE",
        "TASK_UNKNOWN",
    ];
    !LIVE.contains(&state)
}

impl<'a> Task<'a> {
    /// Whether this uuid was not told before.
    fn says(&mut self, uuid: &'a str, state: &'a str) -> bool {
        let Some(before) = self.uuids.insert(uuid, state) else { return true };
        if before != state {
            self.wavering.push(format!("{uuid} said {before}, then {state}"));
        }
        false
    }

    fn ends(&self) -> BTreeSet<&'a str> {
        self.told.iter().map(|(state, _)| *state).filter(|state| is_end(state)).collect()
    }
}

/// I2: every launch ends in exactly one way, and its framework is told; jobs end with all units.
pub(super) fn each_ends_once(history: &[Entry]) -> Verdict {
    let kills: Vec<u64> = history
        .iter()
        .filter(|entry| matches!(&entry.fact, Fact::Fault { row, .. } if row == "F28"))
        .map(|entry| entry.at)
        .collect();
    let (mut launches, mut ran, mut violations) = (0, 0, Vec::new());
    for (name, task) in tasks(history) {
        let Some((at, _)) = task.launched else { continue };
        launches += 1;
        ran += usize::from(!task.instances.is_empty());
        let ends = task.ends();
        let unsent = || kills.iter().any(|kill| (at..at + UNSENT).contains(kill));
        match ends.len() {
            1 => {}
            0 if task.told.is_empty() && task.instances.is_empty() && unsent() => {}
            0 => violations.push(format!("{name}: its end was never told, only {:?}", task.told)),
            _ => violations.push(format!("{name}: ended as {ends:?}")),
        }
        let finished = task.instances.iter().any(|instance| instance.ended.is_some());
        if ends.contains("TASK_FINISHED") && !finished {
            violations.push(format!("{name}: told as finished, and did not come to its end"));
        }
    }
    let (mut units, mut jobs) = (0, BTreeMap::new());
    for entry in history {
        match &entry.fact {
            Fact::Submitted { job, units } => {
                jobs.insert(job, (*units, None));
            }
            Fact::Ended { job, succeeded } => {
                if let Some(job) = jobs.get_mut(job) {
                    job.1 = Some(*succeeded);
                }
            }
            _ => {}
        }
    }
    for (job, (wanted, succeeded)) in &jobs {
        units += wanted;
        if *succeeded != Some(*wanted) {
            violations.push(format!("job {job}: {succeeded:?} of {wanted} units succeeded"));
        }
    }
    Verdict {
        id: "I2",
        claim: "each launch ends in exactly one way and its framework is told; jobs end whole",
        counted: format!(
            "{} launches of which {} ran, {} jobs with {units} units: {} without a right end",
            number(launches),
            number(ran),
            jobs.len(),
            violations.len()
        ),
        cases: ran,
        violations,
    }
}

/// I3: no task runs twice, at one time or at all.
pub(super) fn one_instance(history: &[Entry]) -> Verdict {
    let (mut instances, mut violations) = (0, Vec::new());
    for (name, task) in tasks(history) {
        instances += task.instances.len();
        if let [first, second, ..] = task.instances.as_slice() {
            let overlap = second.began <= first.alive && first.began <= second.alive;
            violations.push(format!(
                "{name} ran on {} and on {}, {}",
                first.agent,
                second.agent,
                if overlap { "at one time" } else { "one after the other" }
            ));
        }
    }
    Verdict {
        id: "I3",
        claim: "no task has two instances",
        counted: format!("{} processes, {} twice", number(instances), violations.len()),
        cases: instances,
        violations,
    }
}

/// I5: no offer is made twice, and nothing comes of one that was used before.
pub(super) fn no_offer_twice(history: &[Entry]) -> Verdict {
    let (mut offers, mut violations) = (BTreeSet::new(), Vec::new());
    for entry in history {
        if let Fact::Offered { offer, framework, .. } = &entry.fact
            && !offers.insert(offer)
        {
            violations.push(format!("offer {offer} was made once more, to {framework}"));
        }
    }
    let mut spent = 0;
    for (name, task) in tasks(history) {
        if task.spent {
            spent += 1;
            if !task.instances.is_empty() {
                violations.push(format!("{name} ran with an offer that was used before"));
            }
        }
    }
    Verdict {
        id: "I5",
        claim: "no offer is made twice, and nothing is launched with one that was used",
        counted: format!("{} offers, {spent} used again on purpose", number(offers.len())),
        cases: offers.len().min(spent),
        violations,
    }
}

/// I7: updates come in order; nothing follows an end but the same end.
pub(super) fn updates_in_order(history: &[Entry]) -> Verdict {
    let rank = |state: &str| match state {
        "TASK_STAGING" => 0,
        "TASK_STARTING" => 1,
        "TASK_RUNNING" => 2,
        "TASK_KILLING" => 3,
        _ => 4,
    };
    let (mut updates, mut again, mut violations) = (0, 0, Vec::new());
    for (name, task) in tasks(history) {
        updates += task.told.len();
        let first_end = task.told.iter().position(|(state, _)| is_end(state));
        let after = first_end.map_or(&[][..], |end| &task.told[end..]);
        if let Some((state, _)) = after.iter().find(|(state, _)| !is_end(state)) {
            violations.push(format!("{name}: {state} after {}", after[0].0));
        }
        again += task.told.len() - task.uuids.len().min(task.told.len());
        violations.extend(task.wavering.iter().map(|what| format!("{name}: {what}")));
        let new: Vec<&str> =
            task.told.iter().filter(|(_, is_new)| *is_new).map(|(state, _)| *state).collect();
        for pair in new.windows(2).filter(|pair| rank(pair[1]) < rank(pair[0])) {
            violations.push(format!("{name}: {} after {}", pair[1], pair[0]));
        }
    }
    Verdict {
        id: "I7",
        claim: "updates come in order, the same one always says the same, and nothing follows an end",
        counted: format!("{} updates, {} of them again", number(updates), number(again)),
        cases: updates.min(again),
        violations,
    }
}

/// I9: what runs comes to its own end, whatever happens to masters, agents and frameworks.
pub(super) fn none_is_killed(history: &[Entry]) -> Verdict {
    let (mut ran, mut violations) = (0, Vec::new());
    for (name, task) in tasks(history) {
        for instance in &task.instances {
            ran += 1;
            if instance.ended.is_none() {
                violations.push(format!("{name} on {} was killed", instance.agent));
            }
        }
        let wrong = task.ends().into_iter().find(|end| *end != "TASK_FINISHED");
        if let Some(wrong) = wrong.filter(|_| !task.instances.is_empty()) {
            violations.push(format!("{name} ran and is told as {wrong}: {}", task.why));
        }
    }
    let mut ids: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut subscriptions = 0;
    for entry in history {
        if let Fact::Subscribed { framework, id } = &entry.fact {
            subscriptions += 1;
            ids.entry(framework).or_default().insert(id);
        }
    }
    for (framework, ids) in ids.iter().filter(|(_, ids)| ids.len() > 1) {
        violations.push(format!("{framework} was not known any more: it has had the ids {ids:?}"));
    }
    Verdict {
        id: "I9",
        claim: "no fault of masters, agents or frameworks kills a task or ends a framework",
        counted: format!(
            "{} tasks ran, {subscriptions} subscriptions of {} frameworks: {} killed or ended",
            number(ran),
            ids.len(),
            violations.len()
        ),
        cases: ran.min(subscriptions),
        violations,
    }
}

/// I10: with all masters down, what runs goes on.
pub(super) fn all_live_without_masters(history: &[Entry]) -> Verdict {
    let mut outages = BTreeMap::new();
    for entry in history {
        match &entry.fact {
            Fact::Fault { id, row, .. } if row == "I10" => {
                outages.insert(*id, (entry.at, None));
            }
            Fact::Healed { id } => {
                if let Some(outage) = outages.get_mut(id) {
                    outage.1 = Some(entry.at);
                }
            }
            _ => {}
        }
    }
    let (mut through, mut seconds, mut violations) = (0, 0, Vec::new());
    let tasks = tasks(history);
    for (from, to) in outages.values().filter_map(|(from, to)| Some((*from, (*to)?))) {
        seconds += (to - from) / 1_000_000_000;
        for (name, task) in &tasks {
            for instance in task.instances.iter().filter(|instance| instance.began < from) {
                through += usize::from(instance.alive > to);
                if instance.ended.is_none() && (from..to).contains(&instance.alive) {
                    violations.push(format!("{name} on {} ended in the outage", instance.agent));
                }
            }
        }
    }
    Verdict {
        id: "I10",
        claim: "tasks run on while all masters are down",
        counted: format!(
            "{} outages of {seconds} s in all, {through} tasks lived through one",
            outages.len()
        ),
        cases: through,
        violations,
    }
}
