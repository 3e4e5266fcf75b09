//! Settings: what is taken, and what is refused with which sentence.

use super::{Config, Layout, attributes, resources};
use crate::probe::{CgroupSupport, Machine};
use proto::{AttributeValue, Resources};
use std::ffi::OsString;

fn machine() -> Machine {
    Machine {
        cpus_milli: 8_000,
        memory_total_bytes: 16 << 30,
        memory_offer_bytes: 15 << 30,
        disk_total_bytes: 100 << 30,
        disk_offer_bytes: 95 << 30,
        boot_id: "b".to_owned(),
        hostname: "host".to_owned(),
        cgroups: CgroupSupport::Absent,
    }
}

fn config() -> Config {
    Config::new(vec!["127.0.0.1:5050".to_owned()], "/w", vec![OsString::from("tepui")])
}

#[test]
fn mesos_text_form_is_read() {
    let all = resources("cpus:4.5; mem:1024;ports:[31000-32000, 33000-33001];disks:{a,b}").unwrap();
    assert_eq!(all.to_string(), "cpus:4.5; disks:{a,b}; mem:1024; ports:[31000-32000,33000-33001]");
    assert_eq!(resources("").unwrap(), Resources::new());
    assert_eq!(resources("cpus:1;cpus:2").unwrap().cpus(), 3_000);
}

#[test]
fn mesos_json_form_is_read() {
    let text = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":2}},
                   {"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":5}]}},
                   {"name":"x","type":"SET","set":{"item":["a"]}}]"#;
    assert_eq!(resources(text).unwrap().to_string(), "cpus:2; ports:[1-5]; x:{a}");
}

#[test]
fn resources_are_reserved_in_text_and_in_json() {
    let text = "cpus(eng/prod):4;mem(eng/prod):1024;cpus(*):2;ports(a:b):[1-5];mem:512";
    let all = resources(text).unwrap();
    let eng = proto::Role::new("eng/prod").unwrap();
    assert_eq!(all.reserved_to(&eng).to_string().matches("(STATIC,eng/prod)").count(), 2);
    assert_eq!(all.unreserved().to_string(), "cpus:2; mem:512");
    assert_eq!(all.cpus(), 6_000);
    let json = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":4},"role":"eng/prod"},
                   {"name":"mem","scalar":{"value":1024},
                    "reservations":[{"type":"STATIC","role":"eng/prod"}]},
                   {"name":"cpus","scalar":{"value":2},"role":"*"},
                   {"name":"ports","ranges":{"range":[{"begin":1,"end":5}]},"role":"a:b"},
                   {"name":"mem","scalar":{"value":512}}]"#;
    assert_eq!(resources(json).unwrap(), all);
    // What is reserved is not measured again for everybody.
    let mut config = config();
    config.resources = Some("cpus(eng):2".to_owned());
    let info = config.agent_info(&machine(), 0, "h", 5051).unwrap();
    assert_eq!((info.resources.cpus(), info.resources.unreserved().cpus()), (2_000, 0));
    assert_eq!(info.resources.unreserved().mem(), 15_360_000);
}

#[test]
fn wrong_resources_are_refused_with_the_entry() {
    for (text, part) in [
        ("cpus", "NAME:VALUE"),
        ("cpus:many", "should be a number"),
        ("cpus:-1", "no amount"),
        ("cpus:nan", "no amount"),
        ("cpus:", "no value"),
        ("ports:[5-1]", "'5-1'"),
        ("ports:[1-2", "not closed"),
        ("cpus(role:4", "NAME(ROLE):VALUE"),
        ("cpus(role)x:4", "NAME(ROLE):VALUE"),
        ("cpus(a//b):4", "empty component"),
        ("cpus():4", "empty"),
        ("cpus):4", "not opened"),
        ("(role):4", "name"),
        ("cpus(role):4;cpus:[1-2]", "another kind"),
        ("[{\"name\":\"cpus\",\"scalar\":{\"value\":-1}}]", "resources[0].scalar.value"),
        (
            r#"[{"name":"cpus","scalar":{"value":1},
                 "reservations":[{"type":"DYNAMIC","role":"a"}]}]"#,
            "only STATIC",
        ),
        (
            r#"[{"name":"cpus","scalar":{"value":1},
                 "reservations":[{"type":"STATIC","role":"a"},{"type":"DYNAMIC","role":"a/b"}]}]"#,
            "only STATIC",
        ),
        (
            r#"[{"name":"disk","scalar":{"value":1},"role":"a",
                 "disk":{"persistence":{"id":"v"}}}]"#,
            "volumes are made at run time",
        ),
        (
            r#"[{"name":"disk","scalar":{"value":1},
                 "disk":{"source":{"type":"MOUNT","mount":{"root":"/mnt"}}}}]"#,
            "not built yet",
        ),
        (r#"[{"name":"cpus","scalar":{"value":1},"revocable":{}}]"#, "revocable"),
        ("cpus:1;cpus:[1-2]", "another kind"),
        (":1", "name"),
        ("[{\"name\":\"cpus\"}]", "needs a scalar"),
        ("[{\"scalar\":{\"value\":1}}]", "needs a name"),
        ("[1", "JSON"),
        ("{}", "JSON"),
    ] {
        let error = resources(text).unwrap_err().to_string();
        assert!(error.starts_with("--resources") && error.contains(part), "{text}: {error}");
    }
}

#[test]
fn attributes_are_text_numbers_or_ranges() {
    let all = attributes("zone:a;level:10;racks:[1-3]").unwrap();
    let values: Vec<_> = all.iter().map(|attribute| attribute.value.clone()).collect();
    assert_eq!(values[0], AttributeValue::Text("a".into()));
    assert_eq!(values[1], AttributeValue::Scalar(10_000));
    assert!(matches!(values[2], AttributeValue::Ranges(_)));
    assert!(attributes("keys:{a,b}").unwrap_err().to_string().contains("sets"));
}

#[test]
fn both_are_read_from_files_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        std::fs::write(dir.path().join(name), text).unwrap();
        format!("file://{}", dir.path().join(name).display())
    };
    let text = file("resources", b"cpus:4\nmem:1024\n");
    assert_eq!(resources(&text).unwrap().to_string(), "cpus:4; mem:1024");
    let json = file("json", br#"[{"name":"cpus","scalar":{"value":2}}]"#);
    assert_eq!(resources(&json).unwrap().to_string(), "cpus:2");
    let text = file("attributes", b"zone:a\nrack:[1-3]\n");
    assert_eq!(attributes(&text).unwrap().len(), 2);
    let wrong = file("wrong", b"cpus:many");
    assert!(resources(&wrong).unwrap_err().to_string().contains("cpus:many"));
    for (given, problem) in [
        ("file:///no/such/file".to_owned(), "cannot be read"),
        (file("large", &vec![b' '; (1 << 20) + 1]), "larger than 1 MiB"),
        (file("binary", &[0xff, 0xfe]), "cannot be read"),
    ] {
        let error = resources(&given).unwrap_err().to_string();
        assert!(error.contains(problem) && error.contains("file://"), "{error}");
    }
}

#[test]
fn what_is_not_named_is_measured() {
    let mut config = config();
    config.resources = Some("cpus:2;gpus:1".to_owned());
    let info = config.agent_info(&machine(), 0, "h", 5051).unwrap();
    assert_eq!(
        info.resources.to_string(),
        "cpus:2; disk:97280; gpus:1; mem:15360; ports:[31000-32000]"
    );
}

#[test]
fn gpus_that_were_found_are_offered_and_no_more() {
    let mut config = config();
    let offered = |config: &Config, found| {
        let info = config.agent_info(&machine(), found, "h", 5051);
        info.map(|info| info.resources.scalar("gpus")).map_err(|error| error.to_string())
    };
    assert_eq!(offered(&config, 2), Ok(2_000));
    assert_eq!(offered(&config, 0), Ok(0));
    config.resources = Some("gpus:1".to_owned());
    assert_eq!(offered(&config, 2), Ok(1_000));
    for wrong in ["gpus:3", "gpus:1.5"] {
        config.resources = Some(wrong.to_owned());
        let error = offered(&config, 2).unwrap_err();
        assert!(error.starts_with(&format!("--resources '{wrong}'")), "{error}");
        assert!(error.contains("this machine has 2 GPUs"), "{error}");
    }
}

#[test]
fn wrong_settings_are_named() {
    assert!(config().check().is_ok());
    let refusal = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    assert!(refusal(|c| c.masters.clear()).contains("--master"));
    assert!(refusal(|c| c.masters = vec!["host".to_owned()]).contains("HOST:PORT"));
    assert!(refusal(|c| c.masters = vec![":5050".to_owned()]).contains("HOST:PORT"));
    assert!(refusal(|c| c.hostname = Some(String::new())).contains("--hostname"));
    assert!(refusal(|c| c.resources = Some("x".to_owned())).contains("--resources"));
    assert!(refusal(|c| c.attributes = Some("x".to_owned())).contains("--attributes"));
    assert!(refusal(|c| c.supervise.clear()).contains("supervisor"));
    assert!(refusal(|c| c.disk_watch_interval = std::time::Duration::ZERO).contains("watch"));
}

#[test]
fn a_work_directory_that_is_too_long_for_a_socket_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("x".repeat(100));
    let error = Layout::make(&long).unwrap_err().to_string();
    assert!(error.contains("too long") && error.contains("at most"), "{error}");
}

#[test]
fn one_work_directory_has_one_name() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    assert_eq!(Layout::make(&a).unwrap().name, Layout::make(&a).unwrap().name);
    assert_ne!(Layout::make(&a).unwrap().name, Layout::make(&b).unwrap().name);
}
