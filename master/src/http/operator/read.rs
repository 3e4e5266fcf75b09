//! Reads of the operator API, from the copy of the state, in bounded pieces.
//!
//! A list is encoded a few elements at a time. In protobuf the pieces of an answer are messages
//! that merge into the whole, which is what the encoding means by repeating a field. In JSON what
//! is around the elements is written once, and cut off each piece.

use super::subscribe::HEARTBEAT;
use crate::http::json::{Fields, Json};
use crate::http::pieces::{Pieces, Unread};
use crate::http::select::Wanted;
use crate::reads::{AgentRow, Beginning, Form, Model, Run, views};
use master_core::publish::{ExecutorBrief, PastTask, TaskRecord};
use master_core::registry::KnownOperation;
use proto::operator::{
    AgentStanding, AgentView, Call, Event, ExecutorView, FrameworkView, Response, State,
    StreamEvent, TasksView,
};
use proto::{Encoding, FrameworkId, Wire};
use std::sync::Arc;

/// Elements that are encoded at a time.
const AT_A_TIME: usize = 64;

/// What is read of the copy, if the call is such a read.
pub(crate) fn read_of(call: &Call) -> Option<(&Call, Wanted)> {
    let (call, wanted) = match call {
        Call::Select(selection) => (&selection.call, Wanted::of(selection)),
        call => (call, Wanted::all()),
    };
    let is_read = matches!(
        call,
        Call::GetState
            | Call::GetAgents
            | Call::GetFrameworks
            | Call::GetTasks
            | Call::GetRoles
            | Call::GetOperations
    );
    is_read.then_some((call, wanted))
}

/// The answer to a read when there is nothing.
fn nothing(call: &Call) -> Option<Response> {
    Some(match call {
        Call::GetState => Response::State(Box::default()),
        Call::GetAgents => Response::Agents(Vec::new()),
        Call::GetFrameworks => Response::Frameworks(Vec::new(), Vec::new()),
        Call::GetTasks => Response::Tasks(none()),
        Call::GetRoles => Response::Roles(Vec::new()),
        Call::GetOperations => Response::Operations(Vec::new()),
        _ => return None,
    })
}

/// Writes the answer to a read.
pub(crate) async fn write(
    out: &mut Pieces,
    model: &Model,
    call: &Call,
    wanted: &Wanted,
    encoding: Encoding,
) -> Result<(), Unread> {
    let mut answer = Answer { out, encoding, what: What::Part, wanted };
    if let (Encoding::Protobuf, Some(empty)) = (encoding, nothing(call)) {
        // Also an answer without elements says what it is.
        answer.out.json.raw_bytes(&empty.encode(encoding));
    }
    let name = match call {
        Call::GetState => {
            answer.what = What::State;
            answer.raw("{\"type\":\"GET_STATE\",\"get_state\":");
            state(&mut answer, model).await?;
            answer.raw("}");
            return Ok(());
        }
        Call::GetAgents => "agents",
        Call::GetFrameworks => "frameworks",
        Call::GetTasks => "tasks",
        Call::GetRoles => "roles",
        Call::GetOperations => "operations",
        _ => return Ok(()),
    };
    answer.raw(&format!("{{\"type\":\"GET_{0}\",\"get_{name}\":{{", name.to_ascii_uppercase()));
    part(&mut answer, model, call).await?;
    answer.raw("}}");
    Ok(())
}

/// Writes the members of an answer in JSON, into the object that is open.
pub(crate) async fn members(
    out: &mut Pieces,
    model: &Model,
    call: &Call,
    wanted: &Wanted,
) -> Result<(), Unread> {
    part(&mut Answer { out, encoding: Encoding::Json, what: What::Part, wanted }, model, call).await
}

/// The whole state.
async fn state(answer: &mut Answer<'_>, model: &Model) -> Result<(), Unread> {
    answer.raw("{\"get_tasks\":{");
    part(answer, model, &Call::GetTasks).await?;
    answer.raw("},\"get_executors\":{");
    executors(answer, model).await?;
    answer.raw("},\"get_frameworks\":{");
    part(answer, model, &Call::GetFrameworks).await?;
    answer.raw("},\"get_agents\":{");
    part(answer, model, &Call::GetAgents).await?;
    answer.raw("}}");
    Ok(())
}

/// The first event of a stream.
pub(crate) fn first_event(beginning: &Beginning, state: Option<Box<State>>) -> StreamEvent {
    let stream = Arc::clone(&beginning.stream);
    let event = Event::Subscribed { state, heartbeat_interval: HEARTBEAT, stream };
    StreamEvent { sequence: Some(beginning.sequence), event }
}

/// Writes the first event of a stream.
pub(crate) async fn subscribed(
    out: &mut Pieces,
    beginning: &Beginning,
    encoding: Encoding,
) -> Result<(), Unread> {
    let Some(model) = &beginning.model else {
        out.json.raw_bytes(&first_event(beginning, None).encode(encoding));
        return Ok(());
    };
    let empty = Box::<State>::default();
    let frame = first_event(beginning, Some(empty.clone())).encode(encoding);
    let wanted = Wanted::all();
    let mut answer = Answer { out, encoding, what: What::Subscribed(beginning), wanted: &wanted };
    match encoding {
        Encoding::Protobuf => {
            answer.out.json.raw_bytes(&frame);
            state(&mut answer, model).await
        }
        Encoding::Json => {
            let hole = Response::State(empty).encode(encoding);
            let hole = hole.strip_prefix(b"{\"type\":\"GET_STATE\",\"get_state\":");
            let hole = hole.and_then(|rest| rest.strip_suffix(b"}")).expect("a state is an object");
            let at = frame.windows(hole.len()).position(|window| window == hole);
            let at = at.expect("the state stands in the event");
            answer.out.json.raw_bytes(&frame[..at]);
            state(&mut answer, model).await?;
            answer.out.json.raw_bytes(&frame[at + hole.len()..]);
            Ok(())
        }
    }
}

/// The members of one kind.
async fn part(answer: &mut Answer<'_>, model: &Model, call: &Call) -> Result<(), Unread> {
    match call {
        Call::GetAgents => agents(answer, model).await,
        Call::GetFrameworks => frameworks(answer, model).await,
        Call::GetTasks => tasks(answer, model).await,
        Call::GetRoles => {
            let wanted = answer.wanted;
            let all = model.role_views().filter(|role| wanted.role(&role.role));
            answer.list(&mut true, "roles", all, |roles, _| Response::Roles(roles)).await
        }
        Call::GetOperations => {
            let wanted = answer.wanted;
            let fits = |(_, one): &(&_, &KnownOperation)| {
                wanted.of_agent(one.framework_id.as_ref(), &one.agent_id)
            };
            let all = model.facts.operations().iter().filter(fits);
            let all = all.map(|(uuid, operation)| operation.view(*uuid));
            answer.list(&mut true, "operations", all, |all, _| Response::Operations(all)).await
        }
        _ => Ok(()),
    }
}

async fn agents(answer: &mut Answer<'_>, model: &Model) -> Result<(), Unread> {
    let mut first = true;
    some_agents(answer, &mut first, "agents", model).await?;
    // In protobuf they go with those in full.
    if answer.encoding == Encoding::Json {
        let all = chosen_agents(answer.wanted, model, true);
        answer.list(&mut first, RECOVERED, all, |agents, _| Response::Agents(agents)).await?;
    }
    some_agents(answer, &mut first, RECOVERED_IN_FULL, model).await
}

/// Agents that have not come back yet, as Mesos tells them.
const RECOVERED: &str = "recovered_agents";
/// The same, with all that is known of them.
const RECOVERED_IN_FULL: &str = "recovered_in_full";

fn is_recovered(row: &AgentRow) -> bool {
    row.record.standing == AgentStanding::Recovered
}

fn chosen_agents<'m>(
    wanted: &'m Wanted,
    model: &'m Model,
    recovered: bool,
) -> impl Iterator<Item = AgentView> + 'm {
    let all = model.agents.iter().filter(|(id, _)| wanted.agent(id));
    all.map(|(_, row)| row).filter(move |row| is_recovered(row) == recovered).map(views::agent)
}

/// Agents in the list of this name.
async fn some_agents(
    answer: &mut Answer<'_>,
    first: &mut bool,
    name: &str,
    model: &Model,
) -> Result<(), Unread> {
    let recovered = name == RECOVERED_IN_FULL;
    if answer.shares() {
        let one = |_: &_, row: &_| {
            let within = if is_recovered(row) { RECOVERED_IN_FULL } else { "agents" };
            (Response::Agents(vec![views::agent(row)]), within)
        };
        let runs = model.agents.runs();
        let runs = runs.flat_map(|run| run.only(|_, row| is_recovered(row) == recovered));
        return answer.runs(first, name, runs.collect(), one).await;
    }
    let make = |agents, in_state| match in_state {
        false => Response::Agents(agents),
        true => state_of(State { agents, ..State::default() }),
    };
    let all = chosen_agents(answer.wanted, model, recovered);
    answer.list(first, name, all, make).await
}

async fn frameworks(answer: &mut Answer<'_>, model: &Model) -> Result<(), Unread> {
    let wanted = answer.wanted;
    let fits = |view: &FrameworkView| {
        view.info.id.as_ref().is_some_and(|id| wanted.framework(id, &view.info.roles))
    };
    let mut first = true;
    let make = |frameworks, in_state| match in_state {
        false => Response::Frameworks(frameworks, Vec::new()),
        true => state_of(State { frameworks, ..State::default() }),
    };
    answer.list(&mut first, "frameworks", model.framework_views().filter(fits), make).await?;
    let make = |completed_frameworks, in_state| match in_state {
        false => Response::Frameworks(Vec::new(), completed_frameworks),
        true => state_of(State { completed_frameworks, ..State::default() }),
    };
    let past = model.past_framework_views().filter(fits);
    answer.list(&mut first, "completed_frameworks", past, make).await
}

fn chosen_executors(wanted: &Wanted, model: &Model) -> Vec<ExecutorView> {
    let mut chosen = Vec::new();
    for load in model.agents.iter().filter_map(|(_, row)| row.load.as_ref()) {
        let fits = |own: &&ExecutorBrief| {
            wanted.of_agent(Some(&own.framework_id), &load.agent_id) && wanted.role(&own.role)
        };
        let fit = load.executors.iter().filter(fits);
        chosen.extend(fit.map(|own| views::executor(&load.agent_id, own)));
    }
    chosen
}

/// Those of the state; GET_EXECUTORS alone is no read of this kind.
async fn executors(answer: &mut Answer<'_>, model: &Model) -> Result<(), Unread> {
    let all = chosen_executors(answer.wanted, model).into_iter();
    let make = |executors, in_state| match in_state {
        false => Response::Executors(executors),
        true => state_of(State { executors, ..State::default() }),
    };
    answer.list(&mut true, "executors", all, make).await
}

async fn tasks(answer: &mut Answer<'_>, model: &Model) -> Result<(), Unread> {
    let mut first = true;
    living(answer, &mut first, "tasks", model, false).await?;
    let make = |completed, in_state| some_tasks(TasksView { completed, ..none() }, in_state);
    let wanted = answer.wanted;
    let fits = |((framework, _), task): &(&(FrameworkId, u64), &Arc<PastTask>)| {
        wanted.task(framework, &task.task_id, &task.agent_id, &task.role)
    };
    let past = model.completed.iter().filter(fits);
    let past = past.map(|((id, _), past)| views::past_task(id, past));
    answer.list(&mut first, "completed_tasks", past, make).await?;
    living(answer, &mut first, "unreachable_tasks", model, true).await
}

/// Tasks that are not over, on unreachable agents or on others.
async fn living(
    answer: &mut Answer<'_>,
    first: &mut bool,
    name: &str,
    model: &Model,
    unreachable: bool,
) -> Result<(), Unread> {
    let here = move |task: &TaskRecord| task.unreachable_since.is_some() == unreachable;
    if answer.shares() {
        let runs = model.tasks.runs().flat_map(move |run| run.only(|_, task| here(task)));
        // An element looks the same in each of the lists.
        let one = |_: &_, row: &Arc<TaskRecord>| {
            (Response::Tasks(TasksView { tasks: vec![views::task(row)], ..none() }), "tasks")
        };
        return answer.runs(first, name, runs.collect(), one).await;
    }
    let wanted = answer.wanted;
    let all = model.tasks.iter().map(|(_, task)| &**task).filter(|task| here(task));
    let all = all
        .filter(|task| wanted.task(&task.framework_id, &task.task_id, &task.agent_id, &task.role));
    let make = |all, in_state| match unreachable {
        false => some_tasks(TasksView { tasks: all, ..none() }, in_state),
        true => some_tasks(TasksView { unreachable: all, ..none() }, in_state),
    };
    answer.list(first, name, all.map(views::task), make).await
}

fn none() -> TasksView {
    TasksView::default()
}

fn some_tasks(tasks: TasksView, in_state: bool) -> Response {
    match in_state {
        false => Response::Tasks(tasks),
        true => state_of(State { tasks, ..State::default() }),
    }
}

fn state_of(state: State) -> Response {
    Response::State(Box::new(state))
}

struct Answer<'a> {
    out: &'a mut Pieces,
    encoding: Encoding,
    what: What<'a>,
    wanted: &'a Wanted,
}

/// What an answer's elements stand in.
#[derive(Clone, Copy)]
enum What<'a> {
    /// An answer with one kind of them.
    Part,
    /// The whole state.
    State,
    /// The whole state, at the beginning of a stream.
    Subscribed(&'a Beginning),
}

impl Answer<'_> {
    /// What is around the elements in JSON.
    fn raw(&mut self, text: &str) {
        if self.encoding == Encoding::Json {
            self.out.json.raw(text);
        }
    }

    /// Whether elements may be taken as others wrote them.
    fn shares(&self) -> bool {
        self.encoding == Encoding::Json && self.wanted.is_all()
    }

    fn begin(&mut self, first: &mut bool, name: &str) {
        let comma = if std::mem::replace(first, false) { "" } else { "," };
        self.raw(&format!("{comma}\"{name}\":["));
    }

    /// Elements in JSON, of which those that were written before are not written again; `one` makes
    /// an answer with one of them, and says under which name that has it.
    async fn runs<'m, K: 'm, V: 'm>(
        &mut self,
        first: &mut bool,
        name: &str,
        runs: Vec<Run<'m, K, V>>,
        one: impl Fn(&K, &V) -> (Response, &'static str),
    ) -> Result<(), Unread> {
        let mut begun = false;
        for run in runs {
            if !std::mem::replace(&mut begun, true) {
                self.begin(first, name);
            }
            let write = |json: &mut Json, key: &K, value: &V| {
                let (answer, within) = one(key, value);
                json.value(elements(&answer.encode(Encoding::Json), within));
            };
            self.out.elements(&run, Form::V1, write).await?;
        }
        if begun {
            self.raw("]");
        }
        Ok(())
    }

    /// The part that is wanted of a list.
    async fn list<T>(
        &mut self,
        first: &mut bool,
        name: &str,
        all: impl Iterator<Item = T>,
        make: impl Fn(Vec<T>, bool) -> Response,
    ) -> Result<(), Unread> {
        let mut begun = false;
        let mut all = self.wanted.page.of(all);
        let is_whole = self.wanted.fields.is_all();
        let at_a_time = if is_whole { AT_A_TIME } else { 1 };
        loop {
            let some: Vec<T> = all.by_ref().take(at_a_time).collect();
            if some.is_empty() {
                break;
            }
            if self.encoding == Encoding::Protobuf {
                self.message(some, &make);
            } else {
                if !std::mem::replace(&mut begun, true) {
                    self.begin(first, name);
                }
                let encoded = make(some, false).encode(Encoding::Json);
                let elements = elements(&encoded, name);
                match is_whole {
                    true => self.out.json.value(elements),
                    false => self.out.json.value(&projected(elements, &self.wanted.fields)),
                }
            }
            self.out.breathe().await?;
        }
        if begun {
            self.raw("]");
        }
        Ok(())
    }

    /// Some elements as a message that merges into the answer.
    fn message<T>(&mut self, some: Vec<T>, make: impl Fn(Vec<T>, bool) -> Response) {
        let message = match self.what {
            What::Part => make(some, false).encode(self.encoding),
            What::State => make(some, true).encode(self.encoding),
            What::Subscribed(beginning) => match make(some, true) {
                Response::State(state) => first_event(beginning, Some(state)).encode(self.encoding),
                other => other.encode(self.encoding),
            },
        };
        self.out.json.raw_bytes(&message);
    }
}

/// An element with the fields that are wanted.
fn projected(element: &[u8], fields: &Fields) -> Vec<u8> {
    let mut element: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(element).expect("an element was written as an object");
    element.retain(|name, _| fields.wants(name));
    let mut json = Json::default();
    json.begin_object();
    for (name, value) in &element {
        json.name(name).any(value);
    }
    json.end_object();
    json.take()
}

/// The elements of a list in an answer that has no other, without its brackets.
fn elements<'a>(encoded: &'a [u8], name: &str) -> &'a [u8] {
    let opening = format!("\"{name}\":[");
    let begin = encoded.windows(opening.len()).position(|window| window == opening.as_bytes());
    let begin = begin.expect("a list of elements stands under its name") + opening.len();
    let rest = &encoded[begin..];
    if name == RECOVERED {
        let next = format!("],\"{RECOVERED_IN_FULL}\":[");
        let end = rest.windows(next.len()).position(|window| window == next.as_bytes());
        return &rest[..end.expect("they are told twice")];
    }
    rest.strip_suffix(b"]}}").expect("an answer ends with its list")
}
