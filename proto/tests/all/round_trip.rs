//! What is decoded is what was encoded, for every message and in each encoding; and whatever else
//! arrives is an error, never a panic.

use proptest::prelude::*;
use proto::{Encoding, Limits, Wire, testing};

/// A failure is printed with its smallest input; nothing is written beside the tests.
fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn same<T: Wire + PartialEq + std::fmt::Debug>(value: &T) -> Result<(), TestCaseError> {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let bytes = value.encode(encoding);
        if encoding == Encoding::Json {
            prop_assert!(bytes.iter().all(|byte| (b' '..=b'~').contains(byte)));
        }
        match T::decode(&bytes, encoding, &Limits::DEFAULT) {
            Ok(decoded) => prop_assert_eq!(&decoded, value),
            Err(error) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                return Err(TestCaseError::fail(format!("{encoding:?}: {error}\n{text}")));
            }
        }
    }
    Ok(())
}

/// Whether tasks, operations or a framework in it could not be read.
fn is_partly_unread(debug: &str) -> bool {
    ["Unreadable([", "UnreadableTask", "Invalid(InvalidOperation", "Unsubscribable("]
        .iter()
        .any(|mark| debug.contains(mark))
}

/// Decodes what was changed in one place: any answer is right, as long as there is one; and what
/// was accepted is read again as it was written.
fn mutated<T: Wire + Clone + PartialEq + std::fmt::Debug>(
    value: &T,
    at: prop::sample::Index,
    change: &[u8],
) -> Result<(), TestCaseError> {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let mut bytes = value.encode(encoding).to_vec();
        if bytes.is_empty() {
            continue;
        }
        let at = at.index(bytes.len());
        let end = (at + 1).min(bytes.len());
        bytes.splice(at..end, change.iter().copied());
        if let Ok(decoded) = T::decode(&bytes, encoding, &Limits::DEFAULT) {
            for again in [Encoding::Protobuf, Encoding::Json] {
                let encoded = decoded.encode(again);
                let result = T::decode(&encoded, again, &Limits::DEFAULT);
                match again {
                    // What could not be read is written as its ids alone.
                    _ if is_partly_unread(&format!("{decoded:?}")) => {
                        prop_assert!(result.is_ok(), "{result:?}");
                    }
                    Encoding::Protobuf => prop_assert_eq!(result, Ok(decoded.clone())),
                    // Defaults that an opaque payload left out are said.
                    Encoding::Json => prop_assert!(result.is_ok(), "{result:?}"),
                }
            }
        }
    }
    Ok(())
}

macro_rules! messages {
    ($($name:ident: $strategy:expr;)*) => {$(
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(cases())]

                #[test]
                fn is_decoded_as_it_was_encoded(value in $strategy) {
                    same(&value)?;
                }

                #[test]
                fn survives_changes(
                    value in $strategy,
                    at in any::<prop::sample::Index>(),
                    change in prop::collection::vec(any::<u8>(), 0..4),
                ) {
                    mutated(&value, at, &change)?;
                }
            }
        }
    )*};
}

messages! {
    call: testing::call();
    event: testing::event();
    operator_call: testing::operator_call();
    operator_response: testing::operator_response();
    operator_event: testing::operator_event();
    operation_status: testing::operation_status();
    resources: testing::resources();
    executor_call: testing::executor_call();
    executor_event: testing::executor_event();
    agent_api_call: testing::agent_api_call();
    agent_api_response: testing::agent_api_response();
    process_io: testing::process_io();
    agent_call: testing::agent_call();
    agent_event: testing::agent_event();
    command: testing::command();
    task_info: testing::task_info();
    task_status: testing::task_status();
    framework_info: testing::framework_info();
    agent_info: testing::agent_info();
}

fn all_decoders(bytes: &[u8], encoding: Encoding) {
    use proto::{AgentInfo, FrameworkInfo, OperationStatus, Resources, TaskInfo, TaskStatus};
    use proto::{agent_api, agent_link, executor, operator, scheduler};
    let limits = &Limits::DEFAULT;
    drop(scheduler::Call::decode(bytes, encoding, limits));
    drop(scheduler::Event::decode(bytes, encoding, limits));
    drop(operator::Call::decode(bytes, encoding, limits));
    drop(operator::Response::decode(bytes, encoding, limits));
    drop(operator::StreamEvent::decode(bytes, encoding, limits));
    drop(OperationStatus::decode(bytes, encoding, limits));
    drop(Resources::decode(bytes, encoding, limits));
    drop(executor::Call::decode(bytes, encoding, limits));
    drop(executor::Event::decode(bytes, encoding, limits));
    drop(agent_api::Call::decode(bytes, encoding, limits));
    drop(agent_api::Response::decode(bytes, encoding, limits));
    drop(agent_api::ProcessIo::decode(bytes, encoding, limits));
    drop(agent_link::AgentCall::decode(bytes, encoding, limits));
    drop(agent_link::AgentEvent::decode(bytes, encoding, limits));
    drop(agent_link::Command::decode(bytes, encoding, limits));
    drop(TaskInfo::decode(bytes, encoding, limits));
    drop(TaskStatus::decode(bytes, encoding, limits));
    drop(FrameworkInfo::decode(bytes, encoding, limits));
    drop(AgentInfo::decode(bytes, encoding, limits));
}

/// JSON that is well-formed, about anything, with some names that mean something.
fn json() -> impl Strategy<Value = String> {
    let key = prop_oneof![
        "[a-z_]{0,8}",
        prop::sample::select(vec![
            "type",
            "value",
            "name",
            "subscribe",
            "accept",
            "operations",
            "launch",
            "task_infos",
            "resources",
            "scalar",
            "ranges",
            "range",
            "begin",
            "end",
            "framework_info",
            "roles",
            "limits",
            "offers",
            "update",
            "status",
            "uuid",
            "task_id",
            "state",
            "register",
            "info",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<f64>().prop_filter("JSON has no NaN", |v| v.is_finite()).prop_map(|v| v.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        prop::sample::select(vec![
            "\"SUBSCRIBE\"",
            "\"ACCEPT\"",
            "\"LAUNCH\"",
            "\"SCALAR\"",
            "\"RANGES\"",
            "\"UPDATE\"",
            "\"TASK_RUNNING\"",
            "\"Infinity\"",
            "\"AAAAAAAAAAAAAAAAAAAAAA==\"",
            "\"\\ud83d\"",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        let member = (key.clone(), inner.clone()).prop_map(|(k, v)| format!("\"{k}\":{v}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn arbitrary_bytes_are_no_danger(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        all_decoders(&bytes, Encoding::Protobuf);
        all_decoders(&bytes, Encoding::Json);
    }

    #[test]
    fn arbitrary_json_is_no_danger(text in json()) {
        all_decoders(text.as_bytes(), Encoding::Json);
    }

    #[test]
    fn payloads_open_as_they_were_made(body in testing::task_body()) {
        let payload = proto::TaskPayload::new(&body);
        prop_assert_eq!(payload.has_command, body.command.is_some());
        prop_assert_eq!(payload.open().unwrap(), body);
    }
}

/// Labels, discovery, container and health check of a task are shown as they were said, and nothing else is.
#[test]
fn what_is_shown_of_a_task() {
    let task = |rest: &str| {
        let text = format!(
            r#"{{"name":"t","task_id":{{"value":"t"}},"agent_id":{{"value":"a"}},"data":"eA=="{rest}}}"#
        );
        proto::TaskInfo::decode(text.as_bytes(), Encoding::Json, &Limits::DEFAULT).unwrap()
    };
    assert_eq!(task("").payload.shown(), None);
    let shown = concat!(
        r#""labels":{"labels":[{"key":"k","value":"v"}]},"#,
        r#""discovery":{"visibility":"CLUSTER","name":"n"},"#,
        r#""container":{"type":"MESOS"}"#,
    );
    let shown_of = |rest: &str| task(rest).payload.shown().unwrap().to_json();
    assert_eq!(shown_of(&format!(",{shown}")), format!("{{{shown}}}"));
    assert_eq!(shown_of(r#","container":{"type":"MESOS"}"#), r#"{"container":{"type":"MESOS"}}"#);
}
