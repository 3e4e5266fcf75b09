//! Checks of tasks: Mesos' defaults, and what is refused of them, by name.

use crate::refusals::task;
use proto::{
    Check, CheckKind, Encoding, HealthCheck, Limits, TaskInfo, TaskPayload, TaskShown, Wire,
};
use std::time::Duration;

fn read(rest: &str) -> Result<TaskInfo, proto::DecodeError> {
    TaskInfo::decode(task(rest).as_bytes(), Encoding::Json, &Limits::DEFAULT)
}

fn payload(rest: &str) -> TaskPayload {
    read(rest).unwrap().payload
}

fn problem(rest: &str) -> String {
    read(rest).unwrap_err().to_string()
}

#[test]
fn what_is_not_said_is_as_with_mesos() {
    let said = payload(
        r#""health_check":{"type":"TCP","tcp":{"port":80}},"check":{"type":"HTTP","http":{"port":81}}"#,
    );
    let checks = said.checks.clone().unwrap();
    let timed = |kind| Check {
        kind,
        delay: Duration::from_secs(15),
        interval: Duration::from_secs(10),
        timeout: Duration::from_secs(20),
    };
    let expected = HealthCheck {
        check: timed(CheckKind::Tcp { port: 80, ipv6: false }),
        consecutive_failures: 3,
        grace_period: Duration::from_secs(10),
    };
    assert_eq!(checks.health.as_ref(), Some(&expected));
    let expected = timed(CheckKind::Http { port: 81, path: None, ipv6: false });
    assert_eq!(checks.check.as_ref(), Some(&expected));
    assert_eq!(payload(r#""labels":{}"#).checks, None);
    assert_eq!(said.open().unwrap().checks, Some(checks));
    assert_eq!(
        said.shown().as_ref().map(TaskShown::to_json).as_deref(),
        Some(concat!(
            r#"{"health_check":{"delay_seconds":15.0,"interval_seconds":10.0,"#,
            r#""timeout_seconds":20.0,"consecutive_failures":3,"grace_period_seconds":10.0,"#,
            r#""type":"TCP","tcp":{"port":80,"protocol":"IPv4"}}}"#,
        )),
    );
}

#[test]
fn what_is_wrong_with_a_check_is_said() {
    let health = |rest: &str| problem(&format!(r#""health_check":{{{rest}}}"#));
    let plain = |rest: &str| problem(&format!(r#""check":{{{rest}}}"#));
    for (said, expected) in [
        (health(""), "Missing required fields: health_check.type"),
        (health(r#""type":"UNKNOWN""#), "health_check.type: must be COMMAND, HTTP or TCP, is 0"),
        (health(r#""type":"TCP""#), "health_check.tcp: must be given for a check of type TCP"),
        (
            health(r#""type":"TCP","tcp":{"port":1},"http":{"port":1}"#),
            "health_check.http: must not be given for a check of type TCP",
        ),
        (
            health(r#""type":"COMMAND","command":{"value":"a"},"tcp":{"port":1}"#),
            "health_check.tcp: must not be given for a check of type COMMAND",
        ),
        (
            health(r#""type":"COMMAND","command":{}"#),
            "Missing required fields: health_check.command.value",
        ),
        (
            health(r#""type":"TCP","tcp":{"port":0}"#),
            "health_check.tcp.port: must be a port, 1 to 65535, is 0",
        ),
        (
            health(r#""type":"TCP","tcp":{"port":65536}"#),
            "health_check.tcp.port: must be a port, 0 to 65535",
        ),
        (health(r#""type":"TCP","tcp":{}"#), "Missing required fields: health_check.tcp.port"),
        (
            health(r#""type":"TCP","tcp":{"port":1},"delay_seconds":-1"#),
            "health_check.delay_seconds: must be a number of seconds from 0 to 9223372036, is -1",
        ),
        (
            health(r#""type":"TCP","tcp":{"port":1},"grace_period_seconds":-0.5"#),
            "health_check.grace_period_seconds: must be a number of seconds from 0 to 9223372036, is -0.5",
        ),
        (
            health(r#""type":"HTTP","http":{"port":1,"scheme":"https"}"#),
            "health_check.http.scheme: https cannot be had; use http",
        ),
        (
            health(r#""type":"HTTP","http":{"port":1,"path":"a"}"#),
            "health_check.http.path: must begin with '/' and have 2000 bytes at most",
        ),
        (
            health(r#""type":"HTTP","http":{"port":1,"path":"/a\r\nHost: b"}"#),
            "health_check.http.path: must be printable ASCII without blanks; write others as %20",
        ),
        (plain(r#""type":"HTTP""#), "check.http: must be given for a check of type HTTP"),
        (
            plain(r#""type":"TCP","tcp":{"port":1},"timeout_seconds":-2"#),
            "check.timeout_seconds: must be a number of seconds from 0 to 9223372036, is -2",
        ),
        (
            plain(r#""type":"COMMAND","command":{"command":{"value":"a","uris":[{"value":"b"}]}}"#),
            "check.command.command.uris: cannot be fetched for a check; name them in the task",
        ),
    ] {
        assert_eq!(said, expected);
    }
}

#[test]
fn data_are_left_out_and_nothing_else_is() {
    let rest = r#""command":{"value":"a"},"discovery":{"visibility":"CLUSTER","ports":{"ports":[{"number":31000,"name":"http"},{"number":31001}]}},"check":{"type":"TCP","tcp":{"port":1}}"#;
    let (bare, full) = (payload(rest), payload(&format!(r#""data":"eHh4",{rest}"#)));
    assert_ne!(full, bare);
    assert_eq!(full.without_data(), bare);
    assert_eq!(bare.without_data(), bare);
    assert_eq!(bare.open().unwrap().named_ports, [("http".into(), 31000)]);
}
