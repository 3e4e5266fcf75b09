//! Everything as it stands, as changes: where a new copy begins, and what a copy is held against.

use super::feed::{FactKind, fact_kind, task_record};
use super::{Book, Change, FrameworkRecord, TaskRecord};
use crate::framework::{Framework, PastFramework};
use crate::invariants::Violation;
use crate::state::Master;
use crate::task::PastTask;
use proto::FrameworkId;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

impl Master {
    /// Changes that put a new copy in the state in which this core is. Takes time in proportion to
    /// all there is: for the beginning, not for reads.
    pub fn snapshot(&self) -> Vec<Change> {
        let mut all = Vec::new();
        let cluster = |op: &_| matches!(fact_kind(op), FactKind::Cluster);
        all.extend(self.registry.facts().into_iter().filter(cluster).map(Change::Fact));
        for id in self.registry.agents().keys() {
            all.extend(self.agent_record(id).map(|record| Change::Agent(Arc::new(record))));
        }
        for (ord, _) in self.agents.iter() {
            all.push(Change::Load(Arc::new(self.agent_load(ord))));
        }
        for past in &self.past {
            past_framework(past, &mut all);
        }
        for ord in self.framework_ids.values() {
            self.snapshot_framework(&self.frameworks[*ord], &mut all);
        }
        all
    }

    fn snapshot_framework(&self, framework: &Framework, all: &mut Vec<Change>) {
        all.push(Change::Framework(Arc::new(self.framework_record(framework))));
        all.push(self.demand_change(framework));
        past_tasks(&framework.id, &framework.completed, all);
        let tasks = framework.tasks.iter().chain(&framework.unreachable);
        all.extend(tasks.map(|(task_id, task)| {
            Change::Task(Arc::new(task_record(&framework.id, task_id, task)))
        }));
    }

    /// What is wrong with a copy that was fed all that was published (M18). What is told at a pace
    /// may be late, and then waits to be told.
    pub fn differences(&self, book: &Book) -> Vec<Violation> {
        let mut fresh = Book::new(self.options.completed_tasks);
        self.snapshot().into_iter().for_each(|change| fresh.apply(change));
        let mut found = Vec::new();
        let mut unless = |holds: bool, what: &dyn Fn() -> String| {
            if !holds {
                found.push(Violation { id: "M18", what: what() });
            }
        };
        unless(book.agents == fresh.agents, &|| {
            format!("agents are {:?}, published are {:?}", fresh.agents, book.agents)
        });
        unless(book.facts == fresh.facts, &|| "facts that were not published".to_owned());
        unless(book.past == fresh.past, &|| {
            format!("over are {:?}, published are {:?}", fresh.past, book.past)
        });
        let ids: BTreeSet<&FrameworkId> =
            fresh.frameworks.keys().chain(book.frameworks.keys()).collect();
        for id in ids {
            let (mut is, told) =
                (fresh.frameworks.get(id).cloned(), book.frameworks.get(id).cloned());
            let late = self.framework_ord(id).is_some_and(|ord| self.publisher.has_demand(ord));
            if let (true, Some(is), Some(told)) = (late, &mut is, &told) {
                is.demands = told.demands.clone();
            }
            unless(is == told, &|| format!("{id} is {is:?}, published is {told:?}"));
        }
        for (id, ord) in &self.agent_ids {
            let same = fresh.loads.get(id) == book.loads.get(id);
            unless(same || self.publisher.has_load(*ord), &|| {
                format!("{id}: {:?} is published of {:?}", book.loads.get(id), fresh.loads.get(id))
            });
        }
        unless(book.loads.keys().all(|id| self.agent_ids.contains_key(id)), &|| {
            "a load of an agent that is not registered".to_owned()
        });
        found
    }
}

/// Tasks that are over come into being and end.
fn past_tasks(id: &FrameworkId, tasks: &VecDeque<PastTask>, all: &mut Vec<Change>) {
    for past in tasks {
        all.push(Change::Task(Arc::new(TaskRecord {
            framework_id: id.clone(),
            task_id: past.task_id.clone(),
            name: past.name.clone(),
            agent_id: past.agent_id.clone(),
            role: past.role.clone(),
            resources: past.resources.clone(),
            executor_id: None,
            shown: None,
            state: past.step.state,
            steps: vec![past.step],
            status: None,
            unreachable_since: None,
        })));
        let (framework_id, task_id) = (id.clone(), past.task_id.clone());
        all.push(Change::TaskEnded { framework_id, task_id, step: past.step });
    }
}

fn past_framework(past: &PastFramework, all: &mut Vec<Change>) {
    let Some(id) = past.facts.info.id.clone() else { return };
    all.push(Change::Framework(Arc::new(FrameworkRecord {
        id: id.clone(),
        info: Arc::new(past.facts.info.clone()),
        connected: false,
        recovered: false,
        registered: past.facts.registered,
        reregistered: None,
        failover_deadline: None,
        suppressed: Vec::new(),
        constraints: None,
    })));
    past_tasks(&id, &past.tasks, all);
    let unregistered = past.facts.unregistered;
    all.push(Change::FrameworkEnded { framework_id: id, unregistered });
}
