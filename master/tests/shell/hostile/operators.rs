//! Hostile requests of operators: calls of the operator API, and the old endpoints that stand for
//! such calls.

use super::{Cases, OPERATOR};
use crate::client::JSON;
use serde_json::json;

/// Calls of an operator that lack something or speak of what is not there.
pub(super) fn calls(cases: &mut Cases) {
    for kind in [
        "TEARDOWN",
        "MARK_AGENT_GONE",
        "FORGET_AGENT",
        "DRAIN_AGENT",
        "DEACTIVATE_AGENT",
        "REACTIVATE_AGENT",
        "UPDATE_MAINTENANCE_SCHEDULE",
        "START_MAINTENANCE",
        "STOP_MAINTENANCE",
        "EXPLAIN",
        "READ_FILE",
        "LIST_FILES",
        "RESERVE_RESOURCES",
        "CREATE_VOLUMES",
        "UPDATE_WEIGHTS",
    ] {
        cases.json(OPERATOR, &json!({ "type": kind }), 400);
    }
    let nobody = json!({"agent_id": {"value": "nobody"}});
    for (kind, status) in [
        ("MARK_AGENT_GONE", 404),
        ("FORGET_AGENT", 404),
        ("DRAIN_AGENT", 400),
        ("DEACTIVATE_AGENT", 400),
        ("REACTIVATE_AGENT", 400),
    ] {
        let mut call = json!({ "type": kind });
        call[kind.to_ascii_lowercase()] = nobody.clone();
        cases.json(OPERATOR, &call, status);
        call[kind.to_ascii_lowercase()] = json!({"agent_id": {"value": ""}});
        cases.json(OPERATOR, &call, 400);
    }
    let call = json!({"type": "TEARDOWN", "teardown": {"framework_id": {"value": "nobody"}}});
    cases.json(OPERATOR, &call, 400);
    let call = json!({"type": "EXPLAIN", "explain": {"framework_id": {"value": "nobody"}}});
    cases.json(OPERATOR, &call, 400);
    let call = json!({"type": "READ_FILE", "read_file": {"path": "/etc/passwd", "offset": 0}});
    cases.json(OPERATOR, &call, 404);
    let call = json!({"type": "LIST_FILES", "list_files": {"path": "/"}});
    cases.json(OPERATOR, &call, 404);
    for (path, body) in [
        ("/teardown", ""),
        ("/teardown", "frameworkId="),
        ("/teardown", "frameworkId=nobody"),
        ("/teardown", "frameworkId=a%2Fb"),
        ("/maintenance/schedule", "{"),
        ("/maintenance/schedule", "[]x"),
        ("/maintenance/schedule", r#"{"windows":[{}]}"#),
        ("/machine/down", ""),
        ("/machine/down", "{}"),
        ("/machine/down", r#"[{"hostname":"nobody"}]"#),
        ("/machine/up", r#"[{"hostname":"nobody"}]"#),
        ("/reserve", ""),
        ("/reserve", "slaveId=x"),
        ("/reserve", "slaveId=x&resources={"),
        ("/unreserve", "resources=[]"),
        ("/create-volumes", "slaveId=x&volumes=7"),
        ("/destroy-volumes", "slaveId=&volumes=[]"),
    ] {
        cases.add("POST", path, &[], body, &[400]);
    }
    cases.add("PUT", "/weights", &[], "{", &[400]);
    cases.add("PUT", "/weights", &[], r#"[{"role":"a b","weight":1}]"#, &[400]);
    cases.add("PUT", "/weights", &[], r#"[{"role":"a","weight":-1}]"#, &[400]);
}

/// The newer calls and the old endpoints that stand for calls: bodies that lack something, say it
/// wrongly, or would be another call if they were believed.
pub(super) fn forwarded(cases: &mut Cases) {
    for kind in ["SET_LOGGING_LEVEL", "SET_QUOTA", "UPDATE_QUOTA", "REMOVE_QUOTA", "GROW_VOLUME"] {
        cases.json(OPERATOR, &json!({ "type": kind }), 400);
        cases.json(OPERATOR, &json!({"type": kind, kind.to_ascii_lowercase(): []}), 400);
    }
    for (member, value) in [
        ("level", json!(-1)),
        ("level", json!("x")),
        ("level", json!(4_294_967_296_u64)),
        ("duration", json!({"nanoseconds": -1})),
        ("duration", json!(10)),
    ] {
        let mut set = json!({"level": 1, "duration": {"nanoseconds": 1}});
        set[member] = value;
        let call = json!({"type": "SET_LOGGING_LEVEL", "set_logging_level": set});
        cases.json(OPERATOR, &call, 400);
    }
    for select in [
        json!({"role": "a b"}),
        json!({"role": ""}),
        json!({"framework_id": {}}),
        json!({"agent_id": {"value": "a/b"}}),
        json!({"task_id": "t"}),
        json!({"limit": -1}),
        json!({"offset": "x"}),
        json!({"fields": [{}]}),
        json!([1]),
    ] {
        cases.json(OPERATOR, &json!({"type": "GET_TASKS", "select": select}), 400);
    }
    for kind in ["GET_HEALTH", "SUBSCRIBE", "GET_METRICS", "NO_SUCH"] {
        cases.json(OPERATOR, &json!({"type": kind, "select": {"limit": 1}}), 400);
    }
    let both = json!({"framework_id": {"value": "f"}, "role": "r"});
    cases.json(OPERATOR, &json!({"type": "EXPLAIN", "explain": both}), 400);
    let deep = format!("[{}{}]", "[],".repeat(300_000), "[]");
    let another = r#"[]},"teardown":{"framework_id":{"value":"x"}},"type":"TEARDOWN","a":{"b":[]"#;
    for path in ["/machine/down", "/machine/up", "/maintenance/schedule", "/quota"] {
        for body in ["", "1,2", "{}}", "[", "\"", another, "\u{feff}[]", &deep] {
            cases.add("POST", path, &[], body, &[400]);
        }
    }
    quotas(cases);
    for (method, path) in [
        ("PUT", "/quota"),
        ("DELETE", "/offers"),
        ("PUT", "/operations"),
        ("DELETE", "/logging/toggle"),
    ] {
        cases.add(method, path, &[], "", &[405]);
    }
    for query in ["level=1", "duration=1secs", "level=x&duration=1secs", "level=1&duration=-1secs"]
    {
        cases.add("POST", &format!("/logging/toggle?{query}"), &[], "", &[400]);
    }
    cases.add("POST", "/logging/toggle?level=1&duration=1secs", &[], "", &[501]);
    let path = format!("{OPERATOR}?fields=name");
    let headers = [JSON, ("Accept", "application/x-protobuf")];
    cases.add("POST", &path, &headers, r#"{"type":"GET_TASKS"}"#, &[400]);
}

fn quotas(cases: &mut Cases) {
    for body in [
        r#"{}"#,
        r#"{"role":"a b","guarantee":[]}"#,
        r#"{"role":"r","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]}"#,
        r#"{"role":"r","guarantee":[{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":2}]}}]}"#,
        r#"{"role":{},"guarantee":[]}"#,
    ] {
        cases.add("POST", "/quota", &[], body, &[400]);
    }
    for path in ["/quota", "/quota/", "/quota/nobody", "/quota/a%20b", "/quota/a//b"] {
        cases.add("DELETE", path, &[], "", &[400]);
    }
}
