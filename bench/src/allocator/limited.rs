//! A role at its limit beside many free agents: what the end of one of its tasks costs.

use super::workload::{FOR_EVER, add_agents, task, whole_agent};
use super::world::{World, timed};
use crate::stats::median;
use master_core::{ConnectionId, Effect, Input};
use proto::agent_link::AgentCall;
use proto::scheduler::{CallBody, Event};
use proto::{
    AgentId, Filters, Flavor, Offer, Operation, Piece, ResourceName, Resources, Source, TaskId,
    TaskState, TaskStatus, Value,
};

const ROLE: &str = "batch";
const TASKS: usize = 100;

/// Microseconds, medians.
pub(super) struct Limited {
    /// From the end of a task to the offer of what it had.
    pub(super) ended: f64,
    /// From the refusal of that offer to the offer of another agent.
    pub(super) refused: f64,
}

/// Agents with nothing but plain resources.
pub(super) fn plain_agent() -> Resources {
    whole_agent()
}

/// Agents that have something besides that no quota counts, and that some frameworks cannot use.
pub(super) fn mixed_agent() -> Resources {
    let mut all = whole_agent();
    all.add_piece(Piece {
        name: ResourceName::new("cpus"),
        flavor: Flavor { revocable: true, special: None },
        value: Value::Scalar(8_000),
    });
    all
}

/// One framework whose role may have one task; all agents are free. Its task ends, it refuses the
/// offer that it gets then, and launches the next one from the offer of another agent.
pub(super) fn limited(agents: usize, agent: &Resources) -> Limited {
    let mut world = World::new();
    let stream = world.framework(ROLE);
    world.settle();
    let one = task("task", &AgentId::new("agent").expect("a valid id")).resources;
    world.limit(ROLE, &one);
    let links = add_agents(&mut world, agents, agent);
    world.settle();
    let (mut ended, mut refused) = (Vec::new(), Vec::new());
    for number in 0..TASKS {
        let offer = only_offer(&mut world);
        let id = format!("task-{number}");
        let operations = vec![Operation::Launch(vec![task(&id, &offer.agent_id)])];
        let offer_ids = vec![offer.id];
        let accept = CallBody::Accept { offer_ids, operations, filters: Filters::none() };
        world.call(stream, accept);
        world.settle();
        world.effects.clear();
        let end = end_of(&world, stream, &links, &id, &offer.agent_id);
        ended.push(timed(|| {
            world.step(end);
            world.settle();
        }));
        let offer_ids = vec![only_offer(&mut world).id];
        refused.push(timed(|| {
            world.call(stream, CallBody::Decline { offer_ids, filters: FOR_EVER });
            world.settle();
        }));
    }
    Limited { ended: median(&ended) * 1e3, refused: median(&refused) * 1e3 }
}

fn only_offer(world: &mut World) -> Offer {
    let mut all = world.effects.drain(..).flat_map(|effect| match effect {
        Effect::ToFramework { event: Event::Offers(offers), .. } => offers,
        _ => Vec::new(),
    });
    let offer = all.next().expect("there is room for an offer");
    assert!(all.next().is_none(), "there is room for one offer");
    offer
}

/// The update of an agent that says that the task has ended.
fn end_of(
    world: &World,
    stream: ConnectionId,
    links: &[ConnectionId],
    id: &str,
    agent_id: &AgentId,
) -> Input {
    // Agents are numbered as they come.
    let (_, number) = agent_id.as_str().rsplit_once("-S").expect("an agent's id has a number");
    let connection = links[number.parse::<usize>().expect("a number")];
    let task_id = TaskId::new(id).expect("a valid id");
    let latest_state = TaskState::Finished;
    let mut status = TaskStatus::new(task_id, latest_state, Source::Executor, world.now);
    status.agent_id = Some(agent_id.clone());
    let framework_id = world.frameworks[&stream].clone();
    let call = AgentCall::Update { framework_id, status: Box::new(status), latest_state };
    Input::AgentCall { connection, call }
}
