//! Agents and supervisors that are killed while they run what is more than plain tasks: one on an
//! image, one whose files are fetched, a group of two, and a custom executor with its own. What
//! comes after is as in `survival`.

use crate::rig::{Master, framework, framework_id};
use crate::survival::{Case, Place, Told, survive_each, until};
use crate::{containers, executors, fetch, groups};
use agent::crash::{AGENT_KINDS, SUPERVISOR_KINDS};
use proto::agent_link::AgentEvent;
use proto::{ContainerInfo, Role, TaskBody, TaskId, TaskInfo, TaskPayload};
use std::sync::Arc;

/// Places that every container comes by, where the first few arrivals are those of several kinds.
const ON_THE_WAY: [&str; 14] = [
    "launch-ordered",
    "launch-heard",
    "task-started",
    "launch-told",
    "update-sent",
    "commit-begins",
    "commit-durable",
    "kill-taken",
    "child-reaped",
    "end-concluded",
    "end-told",
    "berth-vacated",
    "end-heard",
    "forget-taken",
];

/// A task with a host name of its own, and walls for that.
fn walled(mut task: TaskInfo) -> TaskInfo {
    let hostname = Some("walled".into());
    let container = Some(ContainerInfo { hostname, ..ContainerInfo::default() });
    let body = task.payload.open().unwrap();
    task.payload = TaskPayload::new(&TaskBody { container, ..TaskBody::clone(&body) });
    task
}

/// What is done with the agent that is to be killed. Ends early when it is.
pub(crate) async fn story(place: &Place, master: &mut Master, told: &mut Told) {
    let (server, _) = fetch::serve(vec![("/plain", b"plain text".to_vec())]).await;
    let walls = place.images().exists();
    let mut link = master.admit_knowing(None, Vec::new()).await;
    let uris = vec![fetch::uri(format!("http://{server}/plain"))];
    let mut plain = vec![fetch::task("fetched", "exec sleep 1000", uris)];
    if walls {
        let image = Some("tools/busybox:1".into());
        let asked = ContainerInfo { image, ..ContainerInfo::default() };
        let line = "echo x > $MESOS_SANDBOX/file; exec busybox sleep 1000";
        plain.push(containers::contained("image", line, asked));
    }
    let pod = groups::executor("pod");
    let members = ["a", "b"].map(|id| groups::member(id, &pod, "exec sleep 1000"));
    let members = members.map(|task| if walls { walled(task) } else { task });
    let own = executors::executor("own", &executors::program("json"));
    let employed = executors::task("employed", "", &own);

    let all = plain.iter().chain(&members).chain([&employed]);
    let ids: Vec<String> = all.map(|task| task.task_id.to_string()).collect();
    told.0.extend(ids.iter().map(|id| (id.clone(), None)));
    let framework = || Arc::new(framework());
    link.tell(AgentEvent::Run { framework: framework(), role: Role::any(), tasks: plain });
    for (tasks, start) in [(members.into(), &pod), (vec![employed], &own)] {
        let (framework, role) = (framework(), Role::any());
        let start = vec![start.executor_id.clone()];
        link.tell(AgentEvent::RunByExecutors { framework, role, tasks, start });
    }
    let begun = |told: &Told| ids.iter().all(|id| told.state(id).is_some());
    if !told.hear(&mut link, begun).await {
        return;
    }
    // One of a group is all of it.
    for id in ["fetched", "image", "a"].into_iter().filter(|id| ids.iter().any(|own| own == id)) {
        let (framework_id, task_id) = (framework_id(), TaskId::new(id).unwrap());
        link.tell(AgentEvent::Kill { framework_id, task_id, grace: None, draining: false });
    }
    let (framework_id, executor_id) = (framework_id(), own.executor_id.clone());
    link.tell(AgentEvent::ShutdownExecutor { framework_id, executor_id });
    if !told.hear(&mut link, |told| told.living().is_empty()).await {
        return;
    }
    // What is done after the last update: records, sandboxes and what groups shared go. The agent
    // may have something to say of it.
    tokio::select! {
        () = until(|| place.marker().exists()) => {}
        () = async { while link.next_or_end().await.is_some() {} } => {}
    }
}

/// Every place that this story alone comes by, and some that all do.
pub(crate) async fn survive_all(cgroups: bool) {
    let walls = containers::may_run();
    let own = AGENT_KINDS.iter().chain(&SUPERVISOR_KINDS).map(|place| (*place, 1));
    let usual = ON_THE_WAY.iter().flat_map(|place| (1..=3).map(|arrival| (*place, arrival)));
    let collected = [("collect-begins", 2), ("sandbox-removed", 2), ("walls-raised", 2)];
    let cases = own.chain(usual).chain(collected).filter(|(place, _)| match *place {
        "image-held" | "layer-made" | "mounts-made" | "layer-discarded" | "walls-raised" => walls,
        // Where there are no cgroups the tasks of a group share a directory only.
        "pod-made" | "pod-left" => walls && cgroups,
        _ => true,
    });
    survive_each(cases.map(|(place, arrival)| Case { place, arrival, cgroups, kinds: true })).await;
}

#[tokio::test]
async fn kills_on_the_ways_of_images_groups_and_executors_leave_an_agent_that_starts() {
    survive_all(false).await;
}
