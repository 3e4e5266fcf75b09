//! Custom executors, and people in their containers.

use crate::cluster::{Cluster, wait_for};
use crate::framework::Framework;
use proto::{
    CommandInfo, ExecutorId, ExecutorInfo, Filters, Operation, Resources, TaskBody, TaskId,
    TaskInfo, TaskPayload,
};
use std::collections::BTreeMap;
use std::time::Duration;

#[test]
fn people_go_into_the_container_of_a_task_s_executor_and_change_no_limits() {
    let cluster = Cluster::start(1, "cpus:2;mem:1024", false);
    let mut framework = Framework::subscribe(&cluster);
    let offer = framework.offer();
    // It has a minute to subscribe, and people come before that.
    let line = "echo mine > here; sleep 1000";
    let command = CommandInfo { shell: true, value: Some(line.into()), ..CommandInfo::default() };
    let body = TaskBody { command: Some(command), ..TaskBody::default() };
    let executor = ExecutorInfo {
        executor_id: ExecutorId::new("own").unwrap(),
        framework_id: None,
        resources: Resources::cpus_mem(100, 32_000),
        // The command has the number of a task's.
        payload: TaskPayload::new(&body).bytes,
    };
    let task = TaskInfo {
        name: "t".into(),
        task_id: TaskId::new("t").unwrap(),
        agent_id: offer.agent_id.clone(),
        resources: Resources::cpus_mem(100, 16_000),
        allocation_role: None,
        limits: BTreeMap::new(),
        executor: Some(executor),
        kill_grace: None,
        max_completion_time: None,
        payload: TaskPayload::new(&TaskBody::default()),
    };
    framework.call(proto::scheduler::CallBody::Accept {
        offer_ids: vec![offer.id],
        operations: vec![Operation::Launch(vec![task])],
        filters: Filters { refuse: Duration::ZERO },
    });
    let look = "until test -s here; do sleep 0.02; done; cat here";
    let words = wait_for("the executor's container", || {
        let (code, out, _) = cluster.tepui(&["exec", "t", "--", "sh", "-c", look]);
        (code == 0).then_some(out)
    });
    assert_eq!(words, "mine\n");
    let (code, _, err) = cluster.tepui(&["limits", "t", "--cpus", "1"]);
    assert_ne!(code, 0);
    assert!(err.contains("the container is that of executor own"), "{err}");
}
