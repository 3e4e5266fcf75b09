//! Secrets reach who runs the task, and nobody whom a task is only shown or written about.

use crate::refusals::task;
use proto::operator::{ExecutorView, Response};
use proto::{Encoding, ExecutorInfo, Limits, TaskInfo, TaskPayload, TaskShown, Wire};

const VALUE: &str = "hunter2-and-more";
/// The same in base64.
const DATA: &str = "aHVudGVyMi1hbmQtbW9yZQ==";

fn secret(name: &str) -> String {
    format!(
        r#"{{"name":"{name}","type":"SECRET","secret":{{"type":"VALUE","value":{{"data":"{DATA}"}}}}}}"#
    )
}

/// A task whose command and whose health check have a secret each, and an open variable.
fn with_secrets() -> TaskInfo {
    let (own, looks) = (secret("TOKEN"), secret("PASSWORD"));
    let open = r#"{"name":"OPEN","value":"seen"}"#;
    read(&format!(
        r#""command":{{"value":"true","environment":{{"variables":[{own},{open}]}}}},
           "health_check":{{"type":"COMMAND","command":{{"value":"look",
               "environment":{{"variables":[{looks},{open}]}}}}}}"#
    ))
    .unwrap()
}

fn read(rest: &str) -> Result<TaskInfo, proto::DecodeError> {
    TaskInfo::decode(task(rest).as_bytes(), Encoding::Json, &Limits::DEFAULT)
}

fn problem(variable: &str) -> String {
    let rest =
        format!(r#""command":{{"value":"true","environment":{{"variables":[{variable}]}}}}"#);
    read(&rest).unwrap().payload.open().unwrap_err().to_string()
}

fn holds(bytes: &[u8], value: &str) -> bool {
    bytes.windows(value.len()).any(|window| window == value.as_bytes())
}

#[test]
fn who_runs_a_task_gets_its_secrets_and_no_text_about_it_has_them() {
    let task = with_secrets();
    let again =
        TaskInfo::decode(&task.encode(Encoding::Protobuf), Encoding::Protobuf, &Limits::DEFAULT);
    assert_eq!(again.as_ref(), Ok(&task));
    let body = task.payload.open().unwrap();
    let command = body.command.as_ref().unwrap();
    let (name, secret) = &command.secrets[0];
    assert_eq!((&**name, secret.reveal()), ("TOKEN", VALUE));
    assert_eq!(command.environment, [("OPEN".into(), "seen".into())]);
    for text in [format!("{task:?}"), format!("{body:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!text.contains("104, 117, 110"), "its bytes: {text}");
    }
}

#[test]
fn what_is_shown_has_names_alone() {
    let shown = with_secrets().payload.shown().as_ref().map(TaskShown::to_json).unwrap();
    assert!(shown.contains(r#"{"name":"PASSWORD","type":"SECRET"}"#), "{shown}");
    assert!(shown.contains(r#"{"name":"OPEN","value":"seen","type":"VALUE"}"#), "{shown}");
    assert!(!shown.contains(DATA), "{shown}");

    let command = format!(
        r#""command":{{"value":"true","environment":{{"variables":[{}]}}}}"#,
        secret("TOKEN")
    );
    let view = ExecutorView {
        info: ExecutorInfo {
            executor_id: proto::ExecutorId::new("e").unwrap(),
            framework_id: None,
            resources: proto::Resources::default(),
            payload: read(&command).unwrap().payload.bytes,
        },
        agent_id: proto::AgentId::new("a").unwrap(),
    };
    let response = Response::Executors(vec![view]);
    let text = String::from_utf8(response.encode(Encoding::Json).to_vec()).unwrap();
    assert!(text.contains(r#"{"name":"TOKEN","type":"SECRET"}"#), "{text}");
    assert!(!text.contains(DATA), "{text}");
    assert!(!holds(&response.encode(Encoding::Protobuf), VALUE));
}

#[test]
fn without_its_secrets_a_task_is_opened_as_before() {
    let payload = with_secrets().payload;
    assert!(holds(&payload.bytes, VALUE));
    let without = payload.without_secrets().unwrap();
    assert!(!holds(&without.bytes, VALUE) && !holds(&without.bytes, "PASSWORD"));
    let body = without.open().unwrap();
    let command = body.command.unwrap();
    assert!(command.secrets.is_empty());
    assert_eq!(command.environment, [("OPEN".into(), "seen".into())]);
    assert!(body.checks.is_some() && without.has_command);
    assert_eq!(without.without_secrets(), None::<TaskPayload>, "there are none left");
}

#[test]
fn what_is_wrong_with_a_secret_is_said_without_it() {
    let at = |rest: &str| format!("command.environment.variables[0].{rest}");
    for (variable, expected) in [
        (
            r#"{"name":"A","type":"SECRET"}"#.to_owned(),
            "Missing required fields: command.environment.variables[0].secret".to_owned(),
        ),
        (
            r#"{"name":"A","type":"SECRET","secret":{"type":"REFERENCE","reference":{"name":"n"}}}"#
                .to_owned(),
            at("secret.type: must be VALUE: there is no store of secrets that a REFERENCE could \
                lead to"),
        ),
        (
            r#"{"name":"A","type":"SECRET","secret":{"type":"VALUE","value":{"data":"//8="}}}"#
                .to_owned(),
            at("secret.value.data: must be UTF-8, as variables are"),
        ),
    ] {
        assert_eq!(problem(&variable), expected);
    }
}
