//! `tepui agents`: the agents, how they stand and how full they are.

use crate::client::Client;
use crate::discover;
use crate::failure::Failure;
use crate::output::{self, Form, Table, bar, milli};
use crate::when;
use proto::operator::{AgentStanding, AgentView, DrainState};
use proto::{AttributeValue, Piece, Time};
use serde_json::{Value, json};

/// Prints all agents of the master.
pub(crate) async fn run(master: &Client, form: Form) -> Result<(), Failure> {
    let agents = discover::agents(master).await?;
    match form {
        Form::Table => table(&agents).print("no agent is registered"),
        Form::Json => output::print_json(&Value::Array(agents.iter().map(view).collect())),
    }
    Ok(())
}

fn table(agents: &[AgentView]) -> Table {
    let mut table =
        Table::new(&["AGENT", "ADDRESS", "STANDING", "CPUS", "MEM MB", "", "ATTRIBUTES"]);
    let now = when::now();
    for agent in agents {
        let total = &agent.info.resources;
        let used = &agent.allocated;
        table.row(vec![
            discover::id(agent).to_owned(),
            format!("{}:{}", agent.info.hostname, agent.info.port),
            shown(agent, now),
            format!("{}/{}", milli(used.cpus()), milli(total.cpus())),
            format!("{}/{}", milli(used.mem()), milli(total.mem())),
            bar(used.cpus(), total.cpus(), 10),
            attributes(agent),
        ]);
    }
    table
}

fn attributes(agent: &AgentView) -> String {
    let all: Vec<_> =
        agent.info.attributes.iter().map(|a| format!("{}:{}", a.name, a.value)).collect();
    all.join(";")
}

/// The word for a standing.
fn standing(standing: AgentStanding) -> &'static str {
    match standing {
        AgentStanding::Active => "active",
        AgentStanding::Suspect => "suspect",
        AgentStanding::Disconnected => "disconnected",
        AgentStanding::Recovered => "recovered",
        AgentStanding::Unreachable => "unreachable",
    }
}

/// Whether the master has it registered, though its stream may be broken.
fn is_registered(agent: &AgentView) -> bool {
    match agent.standing {
        AgentStanding::Active | AgentStanding::Suspect | AgentStanding::Disconnected => true,
        AgentStanding::Recovered | AgentStanding::Unreachable => false,
    }
}

/// Volumes and reservations made at run time: an agent that has some is never forgotten.
fn held(agent: &AgentView) -> (usize, usize) {
    let all = agent.info.resources.pieces();
    let volumes = all.iter().filter(|piece| piece.flavor.volume().is_some()).count();
    let is_kept = |piece: &&Piece| super::drain::is_kept(piece) && piece.flavor.volume().is_none();
    (volumes, all.iter().filter(is_kept).count())
}

/// How an agent stands, and what is on one that is not there.
fn shown(agent: &AgentView, now: Time) -> String {
    let (volumes, reservations) = held(agent);
    let some = [(volumes, "volume"), (reservations, "reservation")];
    let some: Vec<String> = some
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| super::drain::counted(count, what))
        .collect();
    let mut words = state(agent);
    if let Some(since) = agent.unreachable {
        let word = standing(AgentStanding::Unreachable);
        let away = when::show_duration(now.since(since));
        words = words.replacen(word, &format!("{word} for {away}"), 1);
    }
    if agent.disk_pressed {
        words += ", disk almost full: not offered";
    }
    if !is_registered(agent) && !some.is_empty() {
        words += &format!(", holds {}", some.join(" and "));
    }
    words
}

/// What keeps work from an agent by an operator's word.
fn held_back(agent: &AgentView) -> Option<&'static str> {
    match agent.drain.map(|drain| drain.state) {
        Some(drain) => Some(drain_word(drain)),
        None => agent.deactivated.then_some("deactivated"),
    }
}

fn drain_word(state: DrainState) -> &'static str {
    match state {
        DrainState::Draining => "draining",
        DrainState::Drained => "drained",
    }
}

/// How an agent stands, and what an operator decided about it.
pub(crate) fn state(agent: &AgentView) -> String {
    let standing = match agent.standing {
        // Since the master started: it has its time to come back.
        AgentStanding::Recovered => "expected",
        other => standing(other),
    };
    match held_back(agent) {
        None => standing.to_owned(),
        Some(word) if agent.standing == AgentStanding::Active => word.to_owned(),
        Some(word) => format!("{standing}, {word}"),
    }
}

/// Quantities as JSON: cpus and MB as numbers.
pub(crate) fn quantities(resources: &proto::Resources) -> Value {
    let map = resources
        .quantities()
        .iter()
        .map(|(name, milli)| (name.to_string(), json!(milli as f64 / 1000.0)))
        .collect();
    Value::Object(map)
}

fn view(agent: &AgentView) -> Value {
    let attributes: serde_json::Map<String, Value> = agent
        .info
        .attributes
        .iter()
        .map(|a| {
            let value = match &a.value {
                AttributeValue::Text(text) => json!(&**text),
                AttributeValue::Scalar(milli) => json!(*milli as f64 / 1000.0),
                AttributeValue::Ranges(ranges) => json!(ranges.to_string()),
            };
            (a.name.to_string(), value)
        })
        .collect();
    json!({
        "agent_id": agent.info.id.as_ref().map(proto::AgentId::as_str),
        "hostname": &*agent.info.hostname,
        "port": agent.info.port,
        "standing": standing(agent.standing),
        "unreachable_since": agent.unreachable.map(when::show),
        "held": { "volumes": held(agent).0, "reservations": held(agent).1 },
        "deactivated": agent.deactivated,
        "disk_pressed": agent.disk_pressed,
        "drain": agent.drain.map(|drain| json!({
            "state": drain_word(drain.state),
            "max_grace_seconds": drain.max_grace.map(|grace| grace.as_secs_f64()),
            "mark_gone": drain.mark_gone,
        })),
        "version": &*agent.version,
        "total": quantities(&agent.info.resources),
        "allocated": quantities(&agent.allocated),
        "offered": quantities(&agent.offered),
        "reserved": quantities(&agent.info.resources.reserved()),
        "attributes": attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::drain::tests::{agent, piece};
    use proto::ReservationKind::Dynamic;
    use std::time::Duration;

    #[test]
    fn an_agent_whose_disk_is_not_offered_says_why() {
        let mut full = agent(Vec::new());
        assert_eq!(view(&full)["disk_pressed"], json!(false));
        full.disk_pressed = true;
        assert_eq!(shown(&full, Time::ZERO), "active, disk almost full: not offered");
        assert_eq!(view(&full)["disk_pressed"], json!(true));
    }

    #[test]
    fn an_agent_that_is_not_there_shows_what_is_on_it() {
        let pieces = vec![
            piece("disk", 1000, Dynamic, Some("a")),
            piece("disk", 1000, Dynamic, Some("b")),
            piece("cpus", 500, Dynamic, None),
        ];
        let mut holds = agent(pieces);
        let now = Time::from_nanos(0) + Duration::from_secs(3900);
        assert_eq!(shown(&holds, now), "active");
        holds.standing = AgentStanding::Unreachable;
        holds.unreachable = Some(Time::from_nanos(0));
        assert_eq!(shown(&holds, now), "unreachable for 1h5m, holds 2 volumes and 1 reservation");
        assert_eq!(view(&holds)["unreachable_since"], "1970-01-01T00:00:00Z");
        assert_eq!(view(&holds)["held"], json!({ "volumes": 2, "reservations": 1 }));
        holds.standing = AgentStanding::Recovered;
        holds.unreachable = None;
        assert_eq!(view(&holds)["unreachable_since"], Value::Null);
        holds.deactivated = true;
        assert_eq!(shown(&holds, now), "expected, deactivated, holds 2 volumes and 1 reservation");
        let mut plain = agent(Vec::new());
        plain.standing = AgentStanding::Unreachable;
        assert_eq!(shown(&plain, now), "unreachable");
    }
}
