//! `tepui exec` and `tepui attach`: people in containers of tasks.
//!
//! The master says which agent has the task; all else goes between this process and that agent, over
//! the calls of Mesos' agent API. One connection brings what the program prints, and the session lives
//! as long as it does; another one takes what is typed.

pub(crate) mod attach;
mod channel;
pub(crate) mod exec;
pub(crate) mod limits;
mod terminal;

use crate::failure::{Code, Failure};
use crate::{Server, discover};
use channel::Channel;
use proto::operator::{Call, Response, TaskView};
use proto::{ContainerId, agent_api};

/// Where a task runs.
struct Place {
    agent: Channel,
    container: ContainerId,
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
    let agent = Channel::new(format!("{}:{}", agent.info.hostname, agent.info.port));
    let asked = agent_api::Call::GetContainers { show_nested: false, show_standalone: false };
    let agent_api::Response::Containers(containers) = agent.call(&asked).await? else {
        return Err(Failure::other_answer());
    };
    let container = containers.into_iter().find(|container| {
        container.framework_id.as_ref() == Some(&view.framework_id)
            && container.executor_id.as_ref().is_some_and(|id| id.as_str() == task)
    });
    let container = container.ok_or_else(|| {
        let message = format!("task {task} is not running on agent {} (any more)", view.agent_id);
        Failure::new(Code::NotFound, message)
    })?;
    Ok(Place { agent, container: container.container_id })
}
