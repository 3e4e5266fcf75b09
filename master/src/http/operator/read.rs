//! Reads of the operator API, from the copy of the state, in bounded pieces.
//!
//! A list is encoded a few elements at a time. In protobuf the pieces of an answer are messages
//! that merge into the whole, which is what the encoding means by repeating a field. In JSON what
//! is around the elements is written once, and cut off each piece.

use super::subscribe::HEARTBEAT;
use crate::http::json::Json;
use crate::http::pieces::{Pieces, Unread};
use crate::reads::{Beginning, Form, Model, Run, views};
use master_core::publish::TaskRecord;
use proto::operator::{Call, Event, Response, State, StreamEvent, TaskView, TasksView};
use proto::{Encoding, Wire};
use std::sync::Arc;

/// Elements that are encoded at a time.
const AT_A_TIME: usize = 64;

/// The call is a read of the copy.
pub(crate) fn is_read(call: &Call) -> bool {
    matches!(
        call,
        Call::GetState | Call::GetAgents | Call::GetFrameworks | Call::GetTasks | Call::GetRoles
    )
}

/// The whole answer to a read, for those who cannot take it in pieces.
pub(crate) fn whole(model: &Model, call: &Call) -> Option<Response> {
    Some(match call {
        Call::GetState => Response::State(Box::new(model.state())),
        Call::GetAgents => Response::Agents(model.agent_views().collect()),
        Call::GetFrameworks => Response::Frameworks(
            model.framework_views().collect(),
            model.past_framework_views().collect(),
        ),
        Call::GetTasks => Response::Tasks(model.tasks_view()),
        Call::GetRoles => Response::Roles(model.role_views().collect()),
        _ => return None,
    })
}

/// Writes the answer to a read.
pub(crate) async fn write(
    out: &mut Pieces,
    model: &Model,
    call: &Call,
    encoding: Encoding,
) -> Result<(), Unread> {
    let mut answer = Answer { out, encoding, what: What::Part };
    if let (Encoding::Protobuf, Some(empty)) = (encoding, whole(&Model::default(), call)) {
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
        _ => return Ok(()),
    };
    answer.raw(&format!("{{\"type\":\"GET_{0}\",\"get_{name}\":{{", name.to_ascii_uppercase()));
    part(&mut answer, model, call).await?;
    answer.raw("}}");
    Ok(())
}

/// The whole state.
async fn state(answer: &mut Answer<'_>, model: &Model) -> Result<(), Unread> {
    answer.raw("{\"get_tasks\":{");
    part(answer, model, &Call::GetTasks).await?;
    answer.raw("},\"get_executors\":{},\"get_frameworks\":{");
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
    let mut answer = Answer { out, encoding, what: What::Subscribed(beginning) };
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
    let mut first = true;
    match call {
        Call::GetAgents => {
            let make = |agents, in_state| match in_state {
                false => Response::Agents(agents),
                true => state_of(State { agents, ..State::default() }),
            };
            if answer.encoding == Encoding::Protobuf {
                return answer.list(&mut first, "agents", model.agent_views(), make).await;
            }
            let runs = model.agents.runs();
            let one = |_: &_, row: &_| Response::Agents(vec![views::agent(row)]);
            answer.runs(&mut first, "agents", runs, one).await
        }
        Call::GetFrameworks => {
            let make = |frameworks, in_state| match in_state {
                false => Response::Frameworks(frameworks, Vec::new()),
                true => state_of(State { frameworks, ..State::default() }),
            };
            answer.list(&mut first, "frameworks", model.framework_views(), make).await?;
            let make = |completed_frameworks, in_state| match in_state {
                false => Response::Frameworks(Vec::new(), completed_frameworks),
                true => state_of(State { completed_frameworks, ..State::default() }),
            };
            let past = model.past_framework_views();
            answer.list(&mut first, "completed_frameworks", past, make).await
        }
        Call::GetTasks => {
            let make = |tasks, in_state| some_tasks(TasksView { tasks, ..none() }, in_state);
            answer.tasks(&mut first, "tasks", model, false, make).await?;
            let make =
                |completed, in_state| some_tasks(TasksView { completed, ..none() }, in_state);
            answer.list(&mut first, "completed_tasks", model.past_task_views(), make).await?;
            let make =
                |unreachable, in_state| some_tasks(TasksView { unreachable, ..none() }, in_state);
            answer.tasks(&mut first, "unreachable_tasks", model, true, make).await
        }
        Call::GetRoles => {
            let make = |roles, _| Response::Roles(roles);
            answer.list(&mut first, "roles", model.role_views(), make).await
        }
        _ => Ok(()),
    }
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

    async fn tasks(
        &mut self,
        first: &mut bool,
        name: &str,
        model: &Model,
        unreachable: bool,
        make: impl Fn(Vec<TaskView>, bool) -> Response,
    ) -> Result<(), Unread> {
        if self.encoding == Encoding::Protobuf {
            return self.list(first, name, model.task_views(unreachable), make).await;
        }
        let here = move |task: &Arc<TaskRecord>| task.unreachable_since.is_some() == unreachable;
        let runs = model.tasks.runs().flat_map(move |run| run.only(|_, task| here(task)));
        // Under one name, whichever of the lists it is for: an element looks the same in each.
        let one = |_: &_, row: &Arc<TaskRecord>| {
            Response::Tasks(TasksView { tasks: vec![views::task(row)], ..none() })
        };
        self.runs_as(first, name, "tasks", runs, one).await
    }

    /// Elements in JSON, of which those that were written before are not written again.
    async fn runs<'m, K: 'm, V: 'm>(
        &mut self,
        first: &mut bool,
        name: &str,
        runs: impl Iterator<Item = Run<'m, K, V>>,
        one: impl Fn(&K, &V) -> Response,
    ) -> Result<(), Unread> {
        self.runs_as(first, name, name, runs, one).await
    }

    /// As `runs`, of elements that an answer of one has under `within`.
    async fn runs_as<'m, K: 'm, V: 'm>(
        &mut self,
        first: &mut bool,
        name: &str,
        within: &str,
        runs: impl Iterator<Item = Run<'m, K, V>>,
        one: impl Fn(&K, &V) -> Response,
    ) -> Result<(), Unread> {
        let mut begun = false;
        for run in runs {
            if !begun {
                let comma = if *first { "" } else { "," };
                self.raw(&format!("{comma}\"{name}\":["));
            }
            (begun, *first) = (true, false);
            let write = |json: &mut Json, key: &K, value: &V| {
                json.value(elements(&one(key, value).encode(Encoding::Json), within));
            };
            self.out.elements(&run, Form::V1, write).await?;
        }
        if begun {
            self.raw("]");
        }
        Ok(())
    }

    async fn list<T>(
        &mut self,
        first: &mut bool,
        name: &str,
        mut all: impl Iterator<Item = T>,
        make: impl Fn(Vec<T>, bool) -> Response,
    ) -> Result<(), Unread> {
        let mut begun = false;
        loop {
            let some: Vec<T> = all.by_ref().take(AT_A_TIME).collect();
            if some.is_empty() {
                break;
            }
            match self.encoding {
                Encoding::Protobuf => {
                    let message = match self.what {
                        What::Part => make(some, false).encode(self.encoding),
                        What::State => make(some, true).encode(self.encoding),
                        What::Subscribed(beginning) => match make(some, true) {
                            Response::State(state) => {
                                first_event(beginning, Some(state)).encode(self.encoding)
                            }
                            other => other.encode(self.encoding),
                        },
                    };
                    self.out.json.raw_bytes(&message);
                }
                Encoding::Json => {
                    let separator = match (begun, *first) {
                        (true, _) => ",".to_owned(),
                        (false, true) => format!("\"{name}\":["),
                        (false, false) => format!(",\"{name}\":["),
                    };
                    self.raw(&separator);
                    let encoded = make(some, false).encode(Encoding::Json);
                    self.out.json.raw_bytes(elements(&encoded, name));
                }
            }
            (begun, *first) = (true, false);
            self.out.breathe().await?;
        }
        if begun {
            self.raw("]");
        }
        Ok(())
    }
}

/// The elements of the only list in an answer, without its brackets.
fn elements<'a>(encoded: &'a [u8], name: &str) -> &'a [u8] {
    let opening = format!("\"{name}\":[");
    let begin = encoded.windows(opening.len()).position(|window| window == opening.as_bytes());
    let begin = begin.expect("a list of elements stands under its name") + opening.len();
    encoded[begin..].strip_suffix(b"]}}").expect("an answer ends with its list")
}
