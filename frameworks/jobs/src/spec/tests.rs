//! Tests of specifications: what is read, and what is said of what is wrong.

use super::*;
use driver::core::{Rule, RuleTest};

fn yaml(text: &str) -> Result<Spec, String> {
    parse(text, Format::Yaml).map_err(|problems| {
        problems.iter().map(|problem| format!("{problem}\n")).collect::<String>()
    })
}

#[test]
fn everything_wrong_with_a_specification_is_said_at_once() {
    let said = yaml(include_str!("twenty_errors.yaml")).unwrap_err();
    if std::env::var_os("UPDATE").is_some() {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/spec/twenty_errors.txt");
        std::fs::write(golden, &said).unwrap();
        return;
    }
    assert_eq!(said, include_str!("twenty_errors.txt"));
    assert!(said.lines().count() >= 20);
}

const BATCH: &str = "
kind: batch
name: sums
role: jobs
array: 0-567
retry: {user: 3, platform: 5, timeout: 1, backoff: 500ms..1m}
timeLimit: 5m
pendingTtl: 1h
onExit: {42: fail, 75: retry, 143: disrupted, 3: succeed}
task:
  exec: [sha256sum, $TEPUI_INDEX, 7]
  cpus: 0.25
  mem: 64
  disk: 10
  ports: 1
  limits: {mem: 128}
  env: {A: b, N: 3}
  user: nobody
  image: tools:1
  killGrace: 10s
hard:
  - uniqueHost
  - {attribute: zone, in: [a, b]}
  - {attribute: level, atLeast: 2.5}
  - {attribute: gpu, exists: false}
soft:
  - {spread: zone, weight: 0.5}
  - exclusiveHost
";

#[test]
fn every_field_of_a_batch_is_read() {
    let Spec { role, group } = yaml(BATCH).unwrap();
    assert_eq!(role.as_deref(), Some("jobs"));
    assert_eq!((group.name.as_str(), group.kind, group.count), ("sums", Kind::Ledger, 568));
    let retry = Retry {
        user: 3,
        platform: 5,
        timeout: 1,
        backoff_first: Duration::from_millis(500),
        backoff_most: Duration::from_secs(60),
    };
    assert_eq!(group.retry, retry);
    assert_eq!(group.run_limit, Some(Duration::from_secs(300)));
    assert_eq!(group.pending_limit, Some(Duration::from_secs(3600)));
    let on_exit = [
        (3, ExitRule::Succeed),
        (42, ExitRule::Fail),
        (75, ExitRule::Retry),
        (143, ExitRule::Disrupted),
    ];
    assert_eq!(group.on_exit, BTreeMap::from(on_exit));
    let template = &group.template;
    let amounts = [("cpus", 250), ("disk", 10_000), ("mem", 64_000)];
    assert_eq!(template.resources, amounts.map(|(name, milli)| (name.to_owned(), milli)).into());
    assert_eq!((template.ports, template.memory_limit), (1, Some(128_000)));
    assert_eq!(template.kill_grace, Some(Duration::from_secs(10)));
    let command = &template.command;
    assert_eq!((command.shell, command.value.as_str()), (false, "sha256sum"));
    assert_eq!(command.arguments, ["sha256sum", "$TEPUI_INDEX", "7"]);
    assert_eq!(command.environment, [("A".into(), "b".into()), ("N".into(), "3".into())]);
    assert_eq!(command.user.as_deref(), Some("nobody"));
    assert_eq!(command.image.as_deref(), Some("tools:1"));
    let hard = |test| Rule { test, weight: None };
    let rules = [
        hard(RuleTest::UniqueHost),
        hard(RuleTest::In("zone".into(), vec!["a".into(), "b".into()])),
        hard(RuleTest::AtLeast("level".into(), 2500)),
        hard(RuleTest::Absent("gpu".into())),
        Rule { test: RuleTest::Spread("zone".into()), weight: Some(500) },
        Rule { test: RuleTest::ExclusiveHost, weight: Some(1000) },
    ];
    assert_eq!(template.rules, rules);
    assert_eq!(group.labels["spec"], BATCH);
}

#[test]
fn the_three_formats_say_the_same() {
    let yaml = yaml("kind: service\nname: web\nreplicas: 2\ntask: {command: sleep 9, mem: 64}\n");
    let toml =
        "kind = 'service'\nname = 'web'\nreplicas = 2\n[task]\ncommand = 'sleep 9'\nmem = 64\n";
    let json =
        r#"{"kind":"service","name":"web","replicas":2,"task":{"command":"sleep 9","mem":64}}"#;
    let plain = |mut spec: Spec| {
        spec.group.labels.clear();
        spec
    };
    let yaml = plain(yaml.unwrap());
    assert_eq!(yaml.group.kind, Kind::Replica);
    assert_eq!(yaml, plain(parse(toml, Format::Toml).unwrap()));
    assert_eq!(yaml, plain(parse(json, Format::Json).unwrap()));
    assert_eq!(yaml, plain(parse(json, Format::Yaml).unwrap()));
}

#[test]
fn what_cannot_be_read_at_all_is_said_with_its_place() {
    for (text, format, part) in [
        ("kind: [", Format::Yaml, "is no YAML: "),
        ("kind: batch\nkind: batch", Format::Yaml, "is no YAML: "),
        ("kind = 'batch'\nname =", Format::Toml, "is no TOML: line 2"),
        ("{\"kind\": }", Format::Json, "line 1"),
        ("just words", Format::Yaml, "must be a map of fields"),
        ("", Format::Yaml, "must be a map of fields"),
    ] {
        let problems = parse(text, format).unwrap_err();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].problem.contains(part), "{text}: {problems:?}");
    }
    let long = " ".repeat(MAX_BYTES + 1);
    assert!(parse(&long, Format::Yaml).unwrap_err()[0].problem.contains("bytes"));
}

#[test]
fn aliases_cannot_blow_a_specification_up() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let list = [before.as_str(); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    assert!(parse(&text, Format::Yaml).is_err());
    let deep = "[".repeat(100_000);
    assert!(parse(&deep, Format::Yaml).is_err());
    assert!(parse(&deep, Format::Json).is_err());
}

#[test]
fn hard_rules_that_no_agent_can_meet_together_are_refused() {
    let with = |rules: &str| {
        yaml(&format!("kind: batch\nname: a\ntask: {{command: date}}\nhard: {rules}"))
    };
    for rules in [
        "[{attribute: z, equals: a}, {attribute: z, equals: b}]",
        "[{attribute: z, in: [a, b]}, {attribute: z, notIn: [b, a]}]",
        "[{attribute: z, exists: false}, {attribute: z, equals: a}]",
        "[{attribute: z, atLeast: 3}, {attribute: z, atMost: 2}]",
    ] {
        let said = with(rules).unwrap_err();
        assert_eq!(said, "hard[1]: contradicts hard[0]: no agent can meet both\n", "{rules}");
    }
    for rules in [
        "[{attribute: z, equals: a}, {attribute: y, equals: b}]",
        "[{attribute: z, in: [a, b]}, {attribute: z, not: b}]",
        "[{attribute: z, atLeast: 2}, {attribute: z, atMost: 2}]",
    ] {
        with(rules).unwrap();
    }
}

#[test]
fn fields_of_the_other_kind_are_refused() {
    let said = yaml(
        "kind: service\nname: a\narray: 3\ntimeLimit: 5s\nretry: {user: 1}\ntask: {command: date}",
    );
    let expected = "array: goes with kind: batch, and this is a service
timeLimit: goes with kind: batch, and this is a service
retry.user: goes with kind: batch; what ends in a service is always replaced
";
    assert_eq!(said.unwrap_err(), expected);
}

/// What is between the fences of this kind in the documentation.
fn fenced(kind: &str) -> Vec<String> {
    let documentation = include_str!("../../../../docs/jobs.md");
    let mut blocks = Vec::new();
    let mut inside: Option<(bool, String)> = None;
    for line in documentation.lines() {
        match (line.strip_prefix("```"), &mut inside) {
            (Some(opened), None) => inside = Some((opened == kind, String::new())),
            (Some(_), Some(_)) => {
                blocks.extend(inside.take().and_then(|(ours, block)| ours.then_some(block)));
            }
            (None, Some((_, block))) => {
                block.push_str(line);
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

#[test]
fn the_documentation_holds() {
    let examples = fenced("yaml");
    assert_eq!(examples.len(), 2);
    for example in &examples {
        yaml(example).unwrap();
    }
    let golden = include_str!("twenty_errors.txt");
    let shown = fenced("").concat();
    assert!(shown.lines().count() >= 6);
    for line in shown.lines() {
        assert!(golden.lines().any(|said| said == line), "{line}");
    }
    let documentation = include_str!("../../../../docs/jobs.md");
    for field in FIELDS.iter().chain(&TASK_FIELDS) {
        assert!(documentation.contains(&format!("\n| `{field}` |")), "{field}");
    }
}
