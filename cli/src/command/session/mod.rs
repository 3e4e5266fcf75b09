//! `tepui exec` and `tepui attach`: people in containers of tasks, and of custom executors.
//!
//! The master says which agent has the task, and carries what goes between this process and that agent:
//! the calls of Mesos' agent API. Where it will or can not, the agent itself is asked. One connection brings what the program prints, and the session lives
//! as long as it does; another one takes what is typed.

pub(crate) mod attach;
mod channel;
pub(crate) mod exec;
pub(crate) mod limits;
mod terminal;

use crate::failure::{Code, Failure};
use crate::{Server, discover};
use channel::{Channel, Records};
use proto::operator::{Call, Response, TaskView};
use proto::{ContainerId, agent_api};

/// Where a task runs.
struct Place {
    /// The ways to its agent, the best one first.
    ways: Vec<Channel>,
    container: ContainerId,
}

impl Place {
    /// The way that leads to its agent and nowhere else.
    fn direct(&self) -> Result<&Channel, Failure> {
        // It stands last: `find` puts it there.
        self.ways.last().ok_or_else(Failure::other_answer)
    }

    /// One call whose answer is a stream of records, by the first way that takes it.
    async fn records(&self, call: &agent_api::Call) -> Result<(&Channel, Records<'_>), Failure> {
        let mut refusal = None;
        for way in &self.ways {
            match way.records(call).await {
                Ok(records) => return Ok((way, records)),
                Err(failure) if is_of_the_way(&failure) => worse(&mut refusal, failure),
                Err(failure) => return Err(failure),
            }
        }
        Err(refusal.unwrap_or_else(Failure::other_answer))
    }
}

/// Whether another way may lead to an agent that this one did not lead to.
fn is_of_the_way(failure: &Failure) -> bool {
    [Code::Denied as u8, Code::Unavailable as u8].contains(&failure.code)
}

/// Of two reasons the one that says more: who may not must know it.
fn worse(kept: &mut Option<Failure>, failure: Failure) {
    if kept.as_ref().is_none_or(|kept| kept.code != Code::Denied as u8) {
        *kept = Some(failure);
    }
}

/// Finds the container of a task that runs.
async fn find(server: &Server, named: &str, framework: Option<&str>) -> Result<Place, Failure> {
    let (task, framework) = super::logs::task_of(server, named, framework).await?;
    let master = discover::master(server);
    let Response::Tasks(all) = master.operator(&Call::GetTasks).await? else {
        return Err(Failure::other_answer());
    };
    let is_meant = |view: &&TaskView| {
        view.task_id.as_str() == task
            && framework.as_ref().is_none_or(|id| view.framework_id.as_str() == id)
    };
    let found: Vec<&TaskView> = all.tasks.iter().filter(is_meant).collect();
    let view = match found[..] {
        [] => {
            let message = format!("no task {task} is running");
            return Err(Failure::new(Code::NotFound, message).next("tepui ps lists what runs"));
        }
        [view] => view,
        [first, ..] => {
            let message = format!("{} frameworks have a task {task}", found.len());
            let next =
                format!("say which one is meant, such as --framework {}", first.framework_id);
            return Err(Failure::new(Code::Conflict, message).next(next));
        }
    };
    let agents = discover::agents(&master).await?;
    let agent = agents.iter().find(|agent| discover::id(agent) == view.agent_id.as_str());
    let agent = agent.ok_or_else(|| {
        let message = format!("agent {}, which has task {task}, is not there", view.agent_id);
        Failure::new(Code::Unavailable, message)
    })?;
    let mut ways: Vec<Channel> = server
        .master
        .split(',')
        .map(|master| Channel::by_master(master.to_owned(), view.agent_id.clone()))
        .collect();
    ways.push(Channel::direct(format!("{}:{}", agent.info.hostname, agent.info.port)));
    let containers = containers(&mut ways).await?;
    let of = |name: &str| {
        containers.iter().find(|container| {
            container.framework_id.as_ref() == Some(&view.framework_id)
                && container.executor_id.as_ref().is_some_and(|id| id.as_str() == name)
        })
    };
    // A custom executor has one container for all of its tasks.
    let container = of(&task).or_else(|| of(view.executor_id.as_ref()?.as_str()));
    let container = container.ok_or_else(|| {
        let message = format!("task {task} is not running on agent {} (any more)", view.agent_id);
        Failure::new(Code::NotFound, message)
    })?;
    Ok(Place { ways, container: container.container_id.clone() })
}

/// The containers of an agent, by the first way that leads to it; those before it are given up.
async fn containers(ways: &mut Vec<Channel>) -> Result<Vec<agent_api::ContainerView>, Failure> {
    let asked = agent_api::Call::GetContainers { show_nested: false, show_standalone: false };
    let mut refusal = None;
    while let Some(way) = ways.first_mut() {
        match way.find(&asked).await {
            Ok(agent_api::Response::Containers(containers)) => {
                // One that leads is as good as all, and the agent itself is the last.
                ways.drain(1..ways.len().saturating_sub(1).max(1));
                return Ok(containers);
            }
            Ok(_) => return Err(Failure::other_answer()),
            // A master of another release carries nothing.
            Err(failure) if is_of_the_way(&failure) || ways.len() > 1 => {
                worse(&mut refusal, failure);
                ways.remove(0);
            }
            Err(failure) => return Err(failure),
        }
    }
    Err(refusal.unwrap_or_else(Failure::other_answer))
}
