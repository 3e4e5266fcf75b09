//! What fails in a pass: noted by class, and explained once, at once or together with others at the end.

use std::sync::Arc;

use crate::fitness::Combination;
use crate::request::TaskRequest;
use crate::result::{Explanation, Failure};

use super::class::Class;
use super::survey::Survey;
use super::{Pass, explain};

/// This many failures are worth a survey of all hosts.
const MANY: usize = 24;

/// With so many hosts, closures are not asked about all of them again to explain a failure.
const ASKED: u32 = 1024;

/// A class that failed is sought everywhere again after so many changes of hosts.
const CHANGED: usize = 64;

/// A failure that holds for every task of a class as long as nothing that could lift it has happened.
pub(super) struct KnownFailure {
    /// Position in the result's failures.
    position: usize,
    /// State of the class's group when it failed; matters if the class is balanced.
    group_version: u64,
    /// Changes of hosts in the pass when it failed; matters if a closure may change its mind.
    changes: usize,
    /// The hosts decided it, all of them.
    from_hosts: bool,
}

impl Pass<'_> {
    /// The failure that a task of the class is sure to share, if there is one.
    pub(super) fn known_failure(&self, class: usize) -> Option<usize> {
        let known = self.known_failures[class].as_ref()?;
        let rules = &self.classes[class];
        let group_changed = rules.version(self.cluster) != known.group_version;
        let anything_changed = self.cluster.changes().len() != known.changes;
        let asks_hosts = rules.has_closure() || self.fitness_may_rise(rules);
        let lifted = (rules.has_balance() && group_changed) || (asks_hosts && anything_changed);
        (!lifted).then_some(known.position)
    }

    /// The hosts that could take a class that failed, where those alone have to be asked that have changed since,
    /// and are few: tasks of the class may have changed them, and each that follows would go through all of them.
    pub(super) fn changed_since_failure(&self, class: usize) -> Option<Vec<usize>> {
        let known = self.known_failures[class].as_ref().filter(|known| known.from_hosts)?;
        let rules = &self.classes[class];
        if rules.version(self.cluster) != known.group_version {
            return None;
        }
        let changed = &self.cluster.changes()[known.changes..];
        if changed.len() > CHANGED {
            return None;
        }
        let mut changed = changed.to_vec();
        changed.sort_unstable_by_key(|host| self.cluster.names().label(*host));
        changed.dedup();
        Some(changed)
    }

    /// Whether a host that refused a class for its fitness may take it when others have been placed there.
    pub(super) fn fitness_may_rise(&self, rules: &Class<'_>) -> bool {
        if rules.minds_sets() && self.cluster.judges_sets() {
            return true;
        }
        let Some(weights) = self.choice.fitness.weights() else {
            return self.choice.fitness.has_closure()
                || self.choice.combination == Combination::Fenzo1;
        };
        // A packer says 0 of a host in which nothing is used that it looks at, for a task that uses none of it.
        let packed = || weights.iter().zip(rules.class().demand.measures());
        self.choice.combination == Combination::Fenzo1
            && weights.iter().any(|weight| *weight > 0.0)
            && packed().all(|(weight, demand)| *weight <= 0.0 || demand == 0)
    }

    /// Whether a host may refuse a class for its fitness alone: no survey counts such hosts.
    fn fitness_may_refuse(&self, rules: &Class<'_>) -> bool {
        let compatible = self.choice.combination == Combination::Fenzo1;
        let Some(weights) = self.choice.fitness.weights() else {
            return compatible || self.choice.fitness.has_closure();
        };
        // A packer says more than 0 of what the task uses.
        let demand = rules.class().demand.measures();
        let packs = || weights.iter().zip(demand).any(|(weight, of)| *weight > 0.0 && of > 0);
        compatible && weights.iter().any(|weight| *weight != 0.0) && !packs()
    }

    /// Notes that a task found no host, for this reason or for what the hosts say.
    pub(super) fn fail(&mut self, class: usize, task: &TaskRequest, known: Option<Explanation>) {
        let from_hosts = known.is_none();
        let position = match self.failure_of[class].filter(|_| from_hosts) {
            // It was explained once already.
            Some(position) => {
                self.failures[position].tasks.push(task.id.clone());
                position
            }
            None => {
                let position = self.failures.len();
                let explanation =
                    known.unwrap_or_else(|| self.explain_now_or_later(position, class));
                let tasks = vec![task.id.clone()];
                let explanation = Arc::new(explanation);
                self.failures.push(Failure { tasks, explanation, gang: None });
                position
            }
        };
        if from_hosts {
            self.failure_of[class] = Some(position);
        }
        self.known_failures[class] = Some(KnownFailure {
            position,
            group_version: self.classes[class].version(self.cluster),
            changes: self.cluster.changes().len(),
            from_hosts: from_hosts && self.domain.is_none(),
        });
    }

    /// Many failures are explained together at the end of the run, where that says the same or would cost too
    /// much.
    fn explain_now_or_later(&mut self, position: usize, class: usize) -> Explanation {
        let rules = &self.classes[class];
        let many = self.explained >= MANY;
        // What balance refuses now it may permit at the end of the run.
        let waits =
            rules.wants_room_alone() || (many && !rules.has_balance() && !rules.has_closure());
        let countable = self.is_countable(rules);
        // What a closure has said of many hosts is not asked again.
        let asked = rules.has_closure() && self.cluster.columns().offering() >= ASKED;
        if waits && countable {
            self.unexplained.push((position, class));
            return Explanation::default();
        }
        self.explained += 1;
        if (many || asked) && countable && !self.fitness_may_refuse(&self.classes[class]) {
            return self.explain_by_survey(class);
        }
        self.look_everywhere(class)
    }

    /// Whether a survey can explain a class. What closures refuse is known, because the search that found no host
    /// has asked about every host with room, or an index has kept count. Without a ranking no host could be named.
    fn is_countable(&self, rules: &Class<'_>) -> bool {
        Survey::can_explain(rules, self.cluster)
            && (self.cluster.ranking().is_some() || !rules.has_closure())
    }

    fn look_everywhere(&mut self, class: usize) -> Explanation {
        self.looks = self.looks.saturating_add(u64::from(self.cluster.columns().offering()));
        explain::explain(&self.classes[class], self.cluster, None)
    }

    /// Explains a class by what is known of all hosts. Once the run has worked as much as it may, hosts are
    /// counted but none is looked at.
    fn explain_by_survey(&mut self, class: usize) -> Explanation {
        let mut survey = match self.survey.take() {
            Some(survey) => survey,
            None => {
                self.looks =
                    self.looks.saturating_add(u64::from(self.cluster.columns().offering()));
                Survey::new(self.cluster)
            }
        };
        survey.catch_up(self.cluster);
        let near = if self.has_worked_enough() { None } else { self.cluster.ranking() };
        let (explanation, looks) = survey.explain(&self.classes[class], self.cluster, near);
        self.looks = self.looks.saturating_add(looks);
        self.survey = Some(survey);
        explanation
    }

    /// Explains what was left for the end.
    pub(super) fn explain_rest(&mut self) {
        let unexplained = std::mem::take(&mut self.unexplained);
        let many = self.explained + unexplained.len() >= MANY && self.cluster.ranking().is_some();
        for (position, class) in unexplained {
            let counts = many && !self.fitness_may_refuse(&self.classes[class]);
            let explanation = if counts || self.has_worked_enough() {
                self.explain_by_survey(class)
            } else {
                self.look_everywhere(class)
            };
            self.failures[position].explanation = Arc::new(explanation);
        }
    }
}
