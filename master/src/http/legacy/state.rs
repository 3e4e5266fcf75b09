//! `/state` and `/state-summary`: everything, and the least that a dashboard needs.

use super::query::Query;
use super::{About, agents, frameworks};
use crate::MESOS_VERSION;
use crate::http::json::{Element, Json};
use crate::http::pieces::{Pieces, Unread};
use crate::reads::{AgentRow, Model, Share};
use proto::operator::AgentStanding;
use proto::{AgentId, FrameworkId, TaskState};
use std::collections::{BTreeMap, BTreeSet};

pub(super) async fn write(
    out: &mut Pieces,
    model: &Model,
    query: &Query,
    about: &About,
) -> Result<(), Unread> {
    out.json.begin_object();
    master(&mut out.json, model, about);
    let wanted = query.wanted(usize::MAX);
    agents::members(out, model, &wanted).await?;
    frameworks::members(out, model, &wanted).await?;
    out.json.name("orphan_tasks").texts([]);
    out.json.end_object();
    Ok(())
}

fn master(json: &mut Json, model: &Model, about: &About) {
    json.name("version").text(MESOS_VERSION);
    json.name("tepui_version").text(&about.version);
    json.name("start_time").double(about.started.as_secs_f64());
    json.name("elected_time").double(about.started.as_secs_f64());
    json.name("id").text(about.master_id.as_str());
    json.name("pid").text(&format!("master@{}", about.authority));
    json.name("hostname").text(&about.hostname);
    json.name("capabilities").texts([]);
    let mut counts = [0; 3];
    for (_, row) in model.agents.iter() {
        match row.record.standing {
            AgentStanding::Unreachable => counts[2] += 1,
            standing if agents::is_active(standing) => counts[0] += 1,
            _ => counts[1] += u64::from(row.record.is_registered()),
        }
    }
    for (name, count) in
        ["activated_slaves", "deactivated_slaves", "unreachable_slaves"].into_iter().zip(counts)
    {
        // Mesos has doubles here.
        json.name(name).double(count as f64);
    }
    if let Some(cluster) = &about.cluster {
        json.name("cluster").text(cluster);
    }
    json.name("leader").text(&format!("master@{}", about.authority));
    json.name("leader_info").begin_object();
    json.name("id").text(about.master_id.as_str());
    json.name("pid").text(&format!("master@{}", about.authority));
    json.name("port").int(u64::from(about.port));
    json.name("hostname").text(&about.hostname);
    json.end_object();
    json.name("flags");
    flags(json, about);
}

/// The flags as an object.
pub(super) fn flags(json: &mut Json, about: &About) {
    json.begin_object();
    for (name, value) in &about.flags {
        json.name(name).text(value);
    }
    json.end_object();
}

/// How many tasks there are in each state, and with whom.
#[derive(Default)]
struct Tally<'a> {
    states: BTreeMap<TaskState, u64>,
    agents: BTreeSet<&'a AgentId>,
    frameworks: BTreeSet<&'a FrameworkId>,
}

/// The states that Mesos counts.
const COUNTED: [TaskState; 10] = [
    TaskState::Staging,
    TaskState::Starting,
    TaskState::Running,
    TaskState::Killing,
    TaskState::Finished,
    TaskState::Killed,
    TaskState::Failed,
    TaskState::Lost,
    TaskState::Error,
    TaskState::Unreachable,
];

pub(super) async fn summary(
    out: &mut Pieces,
    model: &Model,
    query: &Query,
    about: &About,
) -> Result<(), Unread> {
    let (mut by_agent, mut by_framework) = (BTreeMap::new(), BTreeMap::new());
    let known = model.tasks.iter().map(|((id, _), task)| (id, &task.agent_id, task.state));
    let over = model.completed.iter().map(|((id, _), task)| (id, &task.agent_id, task.step.state));
    for (framework, agent, state) in known.chain(over) {
        let tally: &mut Tally<'_> = by_agent.entry(agent).or_default();
        *tally.states.entry(state).or_default() += 1;
        tally.frameworks.insert(framework);
        let tally: &mut Tally<'_> = by_framework.entry(framework).or_default();
        *tally.states.entry(state).or_default() += 1;
        tally.agents.insert(agent);
    }
    let (wanted, none) = (query.wanted(usize::MAX), Tally::default());
    let fields = &wanted.fields;
    out.json.begin_object();
    out.json.name("hostname").text(&about.hostname);
    if let Some(cluster) = &about.cluster {
        out.json.name("cluster").text(cluster);
    }
    out.json.name("slaves").begin_list();
    let here = |row: &AgentRow| row.record.is_registered();
    let all = model.agents.iter().filter(|(id, row)| wanted.agent(id) && here(row));
    for (id, row) in wanted.page.of(all) {
        out.json.begin_object();
        let mut element = Element::new(&mut out.json, fields);
        agents::summary(&mut element, row);
        let tally = by_agent.get(id).unwrap_or(&none);
        states(&mut element, tally);
        element.texts("framework_ids", tally.frameworks.iter().map(|id| id.as_str()));
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.name("frameworks").begin_list();
    let (sums, no_share) = (model.sums(), Share::default());
    let all = model.frameworks.iter();
    let all = all.filter(|(id, row)| wanted.framework(id, &row.record.info.roles));
    for (id, row) in wanted.page.of(all) {
        out.json.begin_object();
        let mut element = Element::new(&mut out.json, fields);
        let share = sums.frameworks.get(id).unwrap_or(&no_share);
        frameworks::summary(&mut element, &row.record, share);
        let tally = by_framework.get(id).unwrap_or(&none);
        states(&mut element, tally);
        element.texts("slave_ids", tally.agents.iter().map(|id| id.as_str()));
        out.json.end_object();
        out.breathe().await?;
    }
    out.json.end_list();
    out.json.end_object();
    Ok(())
}

fn states(element: &mut Element<'_>, tally: &Tally<'_>) {
    for state in COUNTED {
        element.int(state.name(), tally.states.get(&state).copied().unwrap_or(0));
    }
}

/// `/flags`.
pub(super) async fn write_flags(out: &mut Pieces, about: &About) -> Result<(), Unread> {
    out.json.begin_object();
    out.json.name("flags");
    flags(&mut out.json, about);
    out.json.end_object();
    out.breathe().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::json::Fields;

    #[test]
    fn fields_of_elements_are_chosen() {
        let mut json = Json::default();
        let fields = Fields::parse(Some("TASK_RUNNING"));
        let mut tally = Tally::default();
        tally.states.insert(TaskState::Running, 3);
        json.begin_object();
        states(&mut Element::new(&mut json, &fields), &tally);
        json.end_object();
        assert_eq!(json.take(), br#"{"TASK_RUNNING":3}"#);
    }
}
