//! The transcoder alone: text in, text out, over messages of the schema.

use super::{read, write};
use crate::schema::{
    MESOS__V1__DISCOVERY_INFO, MESOS__V1__FILTERS, MESOS__V1__FRAMEWORK_INFO,
    MESOS__V1__HEALTH_CHECK, MESOS__V1__TASK_INFO, MESOS__V1__TASK_STATUS, Message,
};
use crate::{DecodeError, Limits};

fn again(message: &'static Message, text: &str) -> Result<String, DecodeError> {
    let bytes = read(message, text.as_bytes(), &Limits::DEFAULT)?;
    Ok(String::from_utf8(write(message, &bytes)).unwrap())
}

#[test]
fn text_is_ascii_whatever_it_says() {
    let text = r#"{"user":"é\n\u00e9\ud83d\ude00😀\u0001","name":""}"#;
    let expected = "{\"user\":\"\\u00e9\\n\\u00e9\\ud83d\\ude00\\ud83d\\ude00\\u0001\",\"name\":\"\",\
                    \"failover_timeout\":0.0,\"checkpoint\":false}";
    assert_eq!(again(&MESOS__V1__FRAMEWORK_INFO, text).unwrap(), expected);
}

#[test]
fn numbers_in_all_their_forms() {
    let message = &MESOS__V1__HEALTH_CHECK;
    for (text, expected) in [
        (r#"{"http":{"port":80,"statuses":[200,"201",2.02e2]}}"#, r#""statuses":[200,201,202]"#),
        (r#"{"http":{"port":80,"statuses":204}}"#, r#""statuses":[204]"#),
        (r#"{"http":{"port":80,"statuses":[null,1]}}"#, r#""statuses":[1]"#),
        (r#"{"delay_seconds":"Infinity"}"#, r#""delay_seconds":"Infinity""#),
        (r#"{"delay_seconds":"1e3"}"#, r#""delay_seconds":1000.0"#),
        (r#"{"delay_seconds":15}"#, r#""delay_seconds":15.0"#),
        (r#"{"delay_seconds":null}"#, r#""delay_seconds":15.0"#),
        (r#"{"consecutive_failures":7.0}"#, r#""consecutive_failures":7"#),
    ] {
        let out = again(message, text).unwrap();
        assert!(out.contains(expected), "{text} -> {out}");
    }
    for text in [
        r#"{"consecutive_failures":-1}"#,
        r#"{"consecutive_failures":4294967296}"#,
        r#"{"consecutive_failures":1.5}"#,
        r#"{"consecutive_failures":true}"#,
        r#"{"delay_seconds":"NaN"}"#,
        r#"{"delay_seconds":"nan"}"#,
        r#"{"delay_seconds":[1]}"#,
        r#"{"delay_seconds":01}"#,
        r#"{"delay_seconds":.5}"#,
    ] {
        assert!(again(message, text).is_err(), "{text}");
    }
}

#[test]
fn maps_are_objects() {
    let text =
        r#"{"name":"t","limits":{"cpus":{"value":1.5},"mem":{"value":"Infinity"},"x":null}}"#;
    let out = again(&MESOS__V1__TASK_INFO, text).unwrap();
    assert!(out.contains(r#""limits":{"cpus":{"value":1.5},"mem":{"value":"Infinity"}}"#), "{out}");
}

#[test]
fn errors_name_the_field() {
    for (text, expected) in [
        (r#"{"task_id":{"value":5}}"#, "task_id.value: must be a string, is a number"),
        (
            r#"{"resources":[{},{"scalar":{"value":"x"}}]}"#,
            "resources[1].scalar.value: must be a number",
        ),
        (r#"{"limits":{"cpus":7}}"#, "limits['cpus']: must be an object, is a number"),
        (r#"{"data":"%"}"#, "data: is not base64: Invalid symbol 37, offset 0."),
        (r#"{"name":"a"#, "name: not JSON: the text ends in a string at byte 10"),
        (r#"{"name":"a",}"#, "not JSON: a key is due at byte 12"),
        (r#"{"name":"a"} x"#, "not JSON: more text after the end at byte 13"),
        (r#"{"resources":[{"type":"CUBE"}]}"#, "resources[0].type: 'CUBE' is no known value"),
        ("[]", "must be an object, is a list"),
        ("", "not JSON: the text ends where a value is due at byte 0"),
    ] {
        let error = again(&MESOS__V1__TASK_INFO, text).unwrap_err().to_string();
        assert_eq!(error, expected, "{text}");
    }
}

#[test]
fn long_nested_messages_have_the_right_length() {
    for len in [0, 1, 125, 126, 127, 128, 129, 16_383, 16_384, 20_000] {
        let text = format!(
            r#"{{"container_status":{{"container_id":{{"value":"{}"}}}}}}"#,
            "x".repeat(len)
        );
        assert_eq!(again(&MESOS__V1__TASK_STATUS, &text).unwrap(), text);
    }
}

#[test]
fn limits_hold_before_anything_is_built() {
    let limits = Limits { depth: 3, body_bytes: 60, ..Limits::DEFAULT };
    let read = |text: &str| read(&MESOS__V1__FILTERS, text.as_bytes(), &limits);
    assert!(read(r#"{"x":[[1]]}"#).is_ok());
    assert!(read(r#"{"x":[[[1]]]}"#).unwrap_err().problem.starts_with("nested deeper than 3"));
    assert!(read(&" ".repeat(61)).unwrap_err().problem.starts_with("the message has 61 bytes"));
}

#[test]
fn a_value_that_an_enum_lacks_does_not_hide_one_that_it_has() {
    // Twice `visibility`: CLUSTER, and what nobody knows.
    let bytes = [8, 1, 8, 0x80, 0x80, 1];
    crate::schema::check(&MESOS__V1__DISCOVERY_INFO, &bytes, &Limits::DEFAULT).unwrap();
    let text = write(&MESOS__V1__DISCOVERY_INFO, &bytes);
    assert_eq!(String::from_utf8(text).unwrap(), r#"{"visibility":"CLUSTER"}"#);
}
