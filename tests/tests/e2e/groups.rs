//! Task groups: two tasks that share a file, processes and localhost, and end as one.

use crate::cluster::{Cluster, free_port, wait_for};
use crate::framework::Framework;
use crate::http::get;
use proto::{
    CommandInfo, ContainerInfo, ExecutorId, ExecutorInfo, Filters, Offer, Operation, Resources,
    TaskBody, TaskGroup, TaskId, TaskInfo, TaskPayload, TaskState,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A task, within walls or not.
fn member(offer: &Offer, name: &str, line: &str, walls: bool) -> TaskInfo {
    let command = CommandInfo {
        shell: true,
        value: Some(line.into()),
        user: walls.then(|| Arc::from("nobody")),
        ..CommandInfo::default()
    };
    let container =
        walls.then(|| ContainerInfo { hostname: Some(name.into()), ..ContainerInfo::default() });
    TaskInfo {
        name: name.into(),
        task_id: TaskId::new(name).unwrap(),
        agent_id: offer.agent_id.clone(),
        resources: Resources::cpus_mem(100, 16_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: None,
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody {
            command: Some(command),
            container,
            ..TaskBody::default()
        }),
    }
}

fn launch(framework: &Framework, offer: Offer, tasks: Vec<TaskInfo>) {
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new("pod").unwrap(),
        framework_id: None,
        resources: Resources::cpus_mem(10, 32_000),
        // Of type DEFAULT.
        payload: Arc::from([15 << 3, 1]),
    };
    let group = TaskGroup { executor: Some(executor), tasks, unreadable: Vec::new() };
    framework.call(proto::scheduler::CallBody::Accept {
        offer_ids: vec![offer.id],
        operations: vec![Operation::LaunchGroup(Box::new(group))],
        filters: Filters { refuse: Duration::ZERO },
    });
}

/// How all of these end.
fn ends(framework: &mut Framework, count: usize) -> BTreeMap<String, (TaskState, String)> {
    let mut ends = BTreeMap::new();
    while ends.len() < count {
        let status = framework.update();
        if status.state.is_terminal() {
            let message = status.message.as_deref().unwrap_or_default().to_owned();
            ends.insert(status.task_id.to_string(), (status.state, message));
        }
    }
    ends
}

/// Waits until nothing is left of what groups of the first agent shared.
fn is_removed(cluster: &Cluster) {
    let all = cluster.place.path().join("agent-0/volumes/.groups");
    let is_empty = || std::fs::read_dir(&all).is_ok_and(|mut left| left.next().is_none());
    wait_for("the group's directory to go", || is_empty().then_some(()));
}

/// Operators see the group's executor in all the lists that there are.
fn is_listed(cluster: &Cluster) {
    let named = |list: &Value| list[0]["executor_info"]["executor_id"]["value"] == "pod";
    wait_for("the executor in the lists", || {
        let alone = cluster.operator("GET_EXECUTORS")?["get_executors"]["executors"].take();
        let state = cluster.operator("GET_STATE")?["get_state"]["get_executors"].take();
        let old = get(&cluster.master_address, "/state")?.body;
        let old: Value = serde_json::from_str(&old).ok()?;
        let executor = &old["frameworks"][0]["executors"][0];
        let same = executor["executor_id"] == "pod" && executor["type"] == "DEFAULT";
        (named(&alone) && named(&state["executors"]) && same).then_some(())
    });
}

#[test]
fn a_task_that_fails_ends_its_group_and_one_that_finishes_does_not() {
    let cluster = Cluster::start(1, "cpus:2;mem:1024", false);
    let mut framework = Framework::subscribe(&cluster);
    let offer = framework.offer();
    let waits = "until test -e group/last; do sleep 0.02; done";
    let tasks = vec![
        member(&offer, "first", "echo one > group/file", false),
        member(&offer, "second", &format!("{waits}; grep one group/file && exit 3"), false),
        member(&offer, "third", "sleep 1000", false),
    ];
    launch(&framework, offer, tasks);
    framework.state(&TaskId::new("first").unwrap(), TaskState::Finished);
    is_listed(&cluster);
    let shared = cluster.place.path().join("agent-0/volumes/.groups");
    let one = std::fs::read_dir(&shared).unwrap().next().unwrap().unwrap();
    std::fs::write(one.path().join("last"), "").unwrap();
    let ends = ends(&mut framework, 2);
    assert_eq!(ends["second"].0, TaskState::Failed);
    let (state, message) = &ends["third"];
    assert_eq!(*state, TaskState::Killed);
    assert!(message.contains("another task of its group did not finish"), "{message}");
    is_removed(&cluster);
    // The id is free again, and one that does not fit takes the whole group with it.
    let offer = framework.offer();
    let much = TaskInfo {
        resources: Resources::cpus_mem(64_000, 16_000),
        ..member(&offer, "fifth", "true", false)
    };
    let tasks = vec![member(&offer, "fourth", "true", false), much];
    launch(&framework, offer, tasks);
    let ends = self::ends(&mut framework, 2);
    assert!(ends.values().all(|(state, _)| *state == TaskState::Error), "{ends:?}");
}

mod cgroup {
    use super::*;

    #[test]
    #[ignore = "group cgroup: root, for cgroups and walls, and /usr/bin/busybox"]
    fn tasks_of_a_group_share_a_file_processes_and_localhost_within_their_walls() {
        let cluster = Cluster::start(1, "cpus:2;mem:1024", false);
        let mut framework = Framework::subscribe(&cluster);
        let offer = framework.offer();
        let port = free_port();
        let serve = format!(
            "echo hello > group/hello; exec busybox httpd -f -p 127.0.0.1:{port} -h \"$PWD/group\""
        );
        let look = format!(
            "until busybox wget -q -O- http://127.0.0.1:{port}/hello | grep hello; do sleep 0.05; done
             cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -q 'httpd -[f]' || exit 4
             grep hello group/hello && test $(ls -d /proc/[0-9]* | wc -l) -lt 16 && exit 3"
        );
        let tasks =
            vec![member(&offer, "server", &serve, true), member(&offer, "client", &look, true)];
        launch(&framework, offer, tasks);
        let ends = ends(&mut framework, 2);
        let (state, message) = &ends["client"];
        assert_eq!(*state, TaskState::Failed, "{ends:?}");
        assert!(message.contains("exited with status 3"), "{ends:?}\n{}", cluster.logs());
        assert_eq!(ends["server"].0, TaskState::Killed, "{ends:?}");
        is_removed(&cluster);
    }
}
