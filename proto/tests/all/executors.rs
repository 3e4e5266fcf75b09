//! What is read of an executor beyond its id and resources.

use proto::{Encoding, ExecutorInfo, ExecutorKind, Limits, TaskInfo, Wire};
use std::time::Duration;

fn executor(fields: &str) -> ExecutorInfo {
    let text = format!(
        r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"a"}},"resources":[],
        "executor":{{"executor_id":{{"value":"e"}}{fields}}}}}"#
    );
    let task = TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap();
    task.executor.unwrap()
}

fn as_task(executor: &ExecutorInfo) -> TaskInfo {
    let agent_id = proto::AgentId::new("a").unwrap();
    executor.as_task(agent_id, executor.resources.clone()).unwrap()
}

#[test]
fn what_an_executor_does_not_say_has_defaults() {
    let bare = executor("");
    assert_eq!(bare.kind(), ExecutorKind::Custom);
    assert_eq!(bare.shutdown_grace().unwrap(), None);
    assert_eq!(&*bare.name(), "e");
    let task = as_task(&bare);
    assert_eq!(task.task_id.as_str(), "e");
    assert!(!task.payload.has_command);
    assert_eq!(task.executor, Some(bare));
}

#[test]
fn what_an_executor_says_is_read_and_its_command_is_that_of_a_task() {
    let whole = executor(
        r#","type":"CUSTOM","name":"mine","data":"AAEC","source":"s",
        "shutdown_grace_period":{"nanoseconds":1500000000},
        "command":{"value":"./run","environment":{"variables":[{"name":"A","value":"b"}]}},
        "container":{"type":"MESOS","hostname":"h"},
        "labels":{"labels":[{"key":"k","value":"v"}]}"#,
    );
    assert_eq!(whole.kind(), ExecutorKind::Custom);
    assert_eq!(whole.shutdown_grace().unwrap(), Some(Duration::from_millis(1500)));
    assert_eq!(&*whole.name(), "mine");
    let task = as_task(&whole);
    assert!(task.payload.has_command);
    let body = task.payload.open().unwrap();
    let command = body.command.unwrap();
    assert_eq!(command.value.as_deref(), Some("./run"));
    assert_eq!(command.environment, [("A".into(), "b".into())]);
    assert_eq!(body.container.as_ref().unwrap().hostname.as_deref(), Some("h"));
    assert_eq!(whole.container().unwrap(), body.container);
    assert_eq!(executor("").container().unwrap(), None);
    assert_eq!(body.labels, [("k".into(), Some("v".into()))]);
    assert_eq!(body.data, None);
    // It comes back whole from where it is kept.
    let bytes = task.encode(Encoding::Protobuf);
    let again = TaskInfo::decode(&bytes, Encoding::Protobuf, &Limits::DEFAULT).unwrap();
    assert_eq!(again, task);
    assert_eq!(again.executor, Some(whole));
}

#[test]
fn executors_of_the_agents_own_are_told_apart() {
    assert_eq!(executor(r#","type":"DEFAULT""#).kind(), ExecutorKind::Default);
    assert!(executor(r#","shutdown_grace_period":{"nanoseconds":-1}"#).shutdown_grace().is_err());
}
