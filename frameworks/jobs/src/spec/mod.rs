//! A job's specification: text in YAML, TOML or JSON to a group of units, or all that is wrong.
//!
//! Every field is documented in `docs/jobs.md`. What the text alone cannot tell (whether the name
//! is free, whether any agent is large enough) is looked at when it is submitted.

pub(crate) mod duration;
mod fields;
mod placement;

use crate::api::Problem;
use driver::core::{Command, ExitRule, GroupSpec, Kind, Retry, Template};
use fields::{Field, Fields, Problems};
use proto::Role;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The most bytes of a specification.
pub const MAX_BYTES: usize = 256 * 1024;

/// Labels of a group under which its text and the text's format are kept.
pub(crate) const TEXT_LABEL: &str = "spec";
pub(crate) const FORMAT_LABEL: &str = "format";

/// How a specification is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// YAML; reads JSON too.
    Yaml,
    /// TOML.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// By its name, as in `?format=` and at the end of file names.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "yaml" | "yml" => Some(Self::Yaml),
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yaml => "yaml",
            Self::Toml => "toml",
            Self::Json => "json",
        }
    }
}

/// A specification whose every field holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The role that it names.
    pub role: Option<String>,
    /// The group that it describes.
    pub group: GroupSpec,
}

/// Reads a specification.
///
/// # Errors
/// Everything that is wrong with it, each with its path.
pub fn parse(text: &str, format: Format) -> Result<Spec, Vec<Problem>> {
    let whole = |problem: String| vec![Problem { path: String::new(), problem }];
    if text.len() > MAX_BYTES {
        return Err(whole(format!("must have at most {MAX_BYTES} bytes, has {}", text.len())));
    }
    let tree = read(text, format).map_err(whole)?;
    let problems = Problems::default();
    let group = job(&Field::root(&tree, &problems));
    let list = problems.into_list();
    match group {
        Some((role, mut group)) if list.is_empty() => {
            group.labels.insert(TEXT_LABEL.to_owned(), text.to_owned());
            group.labels.insert(FORMAT_LABEL.to_owned(), format.name().to_owned());
            Ok(Spec { role, group })
        }
        Some(_) | None => Err(list),
    }
}

fn read(text: &str, format: Format) -> Result<Value, String> {
    let not = |error: String| {
        let first = error.lines().next().unwrap_or_default();
        format!("is no {}: {first}", format.name().to_uppercase())
    };
    match format {
        Format::Yaml => {
            let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
            serde_saphyr::from_str_with_options(text, options).map_err(|e| not(e.to_string()))
        }
        Format::Toml => toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| {
                text.as_bytes()[..span.start.min(text.len())]
                    .iter()
                    .filter(|b| **b == b'\n')
                    .count()
            });
            format!("is no TOML: line {}: {}", line + 1, error.message())
        }),
        Format::Json => serde_json::from_str(text).map_err(|error| not(error.to_string())),
    }
}

const FIELDS: [&str; 12] = [
    "kind",
    "name",
    "role",
    "array",
    "replicas",
    "retry",
    "timeLimit",
    "pendingTtl",
    "onExit",
    "task",
    "hard",
    "soft",
];
/// Fields that only one kind has.
const OF_BATCH: [&str; 4] = ["array", "timeLimit", "pendingTtl", "onExit"];

fn job(root: &Field<'_>) -> Option<(Option<String>, GroupSpec)> {
    let fields = root.fields("a map of fields such as kind, name and task", &FIELDS)?;
    let kind = kind(&fields);
    let name = name(&fields);
    let role = role(&fields);
    let count = match kind {
        Some(Kind::Ledger) => fields.get("array").map_or(Some(1), |field| array(&field)),
        Some(Kind::Replica) => {
            fields.get("replicas").map_or(Some(1), |field| field.whole(0, GroupSpec::MAX_UNITS))
        }
        None => None,
    };
    foreign_fields(&fields, kind);
    let retry = fields.get("retry").map_or(Some(Retry::default()), |field| retry(&field, kind));
    let batch = |key| fields.get(key).filter(|_| kind != Some(Kind::Replica));
    let run_limit = batch("timeLimit").and_then(|field| field.some_duration());
    let pending_limit = batch("pendingTtl").and_then(|field| field.some_duration());
    let on_exit = batch("onExit").and_then(|field| on_exit(&field)).unwrap_or_default();
    let template = match fields.get("task") {
        Some(field) => task(&field),
        None => {
            fields.wrong("task", "is missing: say what to run, such as task: {command: date}");
            None
        }
    };
    let rules = placement::rules(&fields);
    let mut group = GroupSpec::new(name?, kind?, count?, template?);
    group.template.rules = rules;
    group.retry = retry?;
    group.run_limit = run_limit;
    group.pending_limit = pending_limit;
    group.on_exit = on_exit;
    Some((role, group))
}

fn kind(fields: &Fields<'_>) -> Option<Kind> {
    let Some(field) = fields.get("kind") else {
        fields.wrong("kind", "is missing: batch or service");
        return None;
    };
    match field.text()? {
        "batch" => Some(Kind::Ledger),
        "service" => Some(Kind::Replica),
        other => {
            field.wrong(format!("must be batch or service, is '{}'", other.escape_debug()));
            None
        }
    }
}

fn name(fields: &Fields<'_>) -> Option<String> {
    let Some(field) = fields.get("name") else {
        fields.wrong("name", "is missing: a name that no living job has");
        return None;
    };
    let name = field.text()?;
    let good = name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !good {
        field.wrong("must be 1 to 63 letters, digits, '-' and '_'");
    }
    good.then(|| name.to_owned())
}

fn role(fields: &Fields<'_>) -> Option<String> {
    let field = fields.get("role")?;
    let role = field.text()?;
    match Role::new(role) {
        Ok(_) => Some(role.to_owned()),
        Err(error) => {
            field.wrong(format!("is no role: {error}"));
            None
        }
    }
}

/// `568`, or `0-567`.
fn array(field: &Field<'_>) -> Option<u32> {
    let Some(text) = field.value.as_str() else { return field.whole(1, GroupSpec::MAX_UNITS) };
    let range = text.split_once('-').and_then(|(first, last)| {
        Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
    });
    match range {
        Some((0, last)) if last < GroupSpec::MAX_UNITS => Some(last + 1),
        Some((0, _)) => {
            field.wrong(format!("must have at most {} units, is {text}", GroupSpec::MAX_UNITS));
            None
        }
        Some((first, _)) => {
            field.wrong(format!("must begin at 0, begins at {first}"));
            None
        }
        None => {
            let shown = text.escape_debug();
            field.wrong(format!(
                "must be a number of units, or a range such as 0-567, is '{shown}'"
            ));
            None
        }
    }
}

fn foreign_fields(fields: &Fields<'_>, kind: Option<Kind>) {
    let (foreign, of, here): (&[&str], _, _) = match kind {
        Some(Kind::Ledger) => (&["replicas"], "service", "batch"),
        Some(Kind::Replica) => (&OF_BATCH, "batch", "service"),
        None => return,
    };
    for key in foreign.iter().filter(|key| fields.get(key).is_some()) {
        fields.wrong(key, format!("goes with kind: {of}, and this is a {here}"));
    }
}

fn retry(field: &Field<'_>, kind: Option<Kind>) -> Option<Retry> {
    let known = ["user", "platform", "timeout", "backoff"];
    let fields = field.fields("a map with user, platform, timeout and backoff", &known)?;
    let mut retry = Retry::default();
    if kind == Some(Kind::Replica) {
        for key in ["user", "platform", "timeout"] {
            if fields.get(key).is_some() {
                fields
                    .wrong(key, "goes with kind: batch; what ends in a service is always replaced");
            }
        }
    } else {
        let budget =
            |key, default| fields.get(key).map_or(Some(default), |field| field.whole(0, 1_000_000));
        let (user, platform) = (budget("user", retry.user), budget("platform", retry.platform));
        let timeout = budget("timeout", retry.timeout);
        (retry.user, retry.platform, retry.timeout) = (user?, platform?, timeout?);
    }
    if let Some(field) = fields.get("backoff") {
        (retry.backoff_first, retry.backoff_most) = backoff(&field)?;
    }
    Some(retry)
}

/// `1s..60s`, or one duration for both.
fn backoff(field: &Field<'_>) -> Option<(Duration, Duration)> {
    let text = field.text()?;
    let (first, most) = text.split_once("..").unwrap_or((text, text));
    let (first, most) = match (duration::parse(first.trim()), duration::parse(most.trim())) {
        (Ok(first), Ok(most)) => (first, most),
        (Err(_), _) | (_, Err(_)) => {
            let shown = text.escape_debug();
            field.wrong(format!("must be two durations such as 1s..60s, is '{shown}'"));
            return None;
        }
    };
    if first > most {
        let (first, most) = (duration::show(first), duration::show(most));
        field.wrong(format!("must begin with the shorter wait, is {first}..{most}"));
        return None;
    }
    Some((first, most))
}

fn on_exit(field: &Field<'_>) -> Option<BTreeMap<i32, ExitRule>> {
    let fields = field.map("a map from exit codes to fail, retry, disrupted or succeed")?;
    let mut rules = BTreeMap::new();
    for (key, field) in fields.all() {
        let code = key.parse::<i32>().ok().filter(|code| (1..=255).contains(code));
        if code.is_none() {
            field.wrong("is no exit code: from 1 to 255 (a signal n counts as 128 + n)");
        }
        let rule = match field.text() {
            Some("fail") => Some(ExitRule::Fail),
            Some("retry") => Some(ExitRule::Retry),
            Some("disrupted") => Some(ExitRule::Disrupted),
            Some("succeed") => Some(ExitRule::Succeed),
            Some(other) => {
                let shown = other.escape_debug();
                field.wrong(format!("must be fail, retry, disrupted or succeed, is '{shown}'"));
                None
            }
            None => None,
        };
        if let (Some(code), Some(rule)) = (code, rule) {
            rules.insert(code, rule);
        }
    }
    Some(rules)
}

const TASK_FIELDS: [&str; 12] = [
    "command",
    "exec",
    "cpus",
    "mem",
    "disk",
    "gpus",
    "ports",
    "limits",
    "env",
    "user",
    "image",
    "killGrace",
];

fn task(field: &Field<'_>) -> Option<Template> {
    let fields = field.fields("a map with command or exec, cpus and mem", &TASK_FIELDS)?;
    let command = command(&fields);
    let mut resources = BTreeMap::new();
    for (name, default) in
        [("cpus", Some(1000)), ("mem", Some(128_000)), ("disk", None), ("gpus", None)]
    {
        let amount = match fields.get(name) {
            Some(field) => field.positive_milli(),
            None => default,
        };
        resources.extend(amount.map(|amount| (name.to_owned(), amount)));
    }
    let ports = fields.get("ports").map_or(Some(0), |field| field.whole(0, 1000));
    let memory_limit = limits(&fields, resources.get("mem").copied());
    let kill_grace = fields.get("killGrace").and_then(|field| field.duration());
    Some(Template {
        resources,
        ports: ports?,
        command: command?,
        rules: Vec::new(),
        kill_grace,
        memory_limit,
    })
}

/// The memory limit; every other limit is not one that agents enforce.
fn limits(task: &Fields<'_>, mem: Option<u64>) -> Option<u64> {
    let fields = task.get("limits")?.fields("a map with mem", &["mem"])?;
    let field = fields.get("mem")?;
    let limit = field.positive_milli()?;
    if mem.is_some_and(|mem| limit < mem) {
        field.wrong("must be at least what task.mem asks for");
        return None;
    }
    Some(limit)
}

fn command(task: &Fields<'_>) -> Option<Command> {
    let environment = task.get("env").map_or(Some(Vec::new()), |field| environment(&field));
    let user = task.get("user").map_or(Some(None), |field| field.scalar_text().map(Some));
    let image = task.get("image").map_or(Some(None), |field| field.text().map(Some));
    let mut command = match (task.get("command"), task.get("exec")) {
        (Some(_), Some(exec)) => {
            exec.wrong("cannot stand beside task.command: one of them");
            return None;
        }
        (Some(line), None) => {
            Command { shell: true, value: line.text()?.to_owned(), ..Command::default() }
        }
        (None, Some(exec)) => program(&exec)?,
        (None, None) => {
            task.wrong("command", "is missing: a command line, or exec with a list of arguments");
            return None;
        }
    };
    command.environment = environment?;
    command.user = user?;
    command.image = image?.map(str::to_owned);
    Some(command)
}

fn program(exec: &Field<'_>) -> Option<Command> {
    let items = exec.items(10_000)?;
    let words: Vec<Option<String>> = items.iter().map(Field::scalar_text).collect();
    let arguments: Vec<String> = words.into_iter().collect::<Option<_>>()?;
    match arguments.first().filter(|program| !program.is_empty()) {
        Some(program) => {
            Some(Command { shell: false, value: program.clone(), arguments, ..Command::default() })
        }
        None => {
            exec.wrong("must begin with the program");
            None
        }
    }
}

fn environment(field: &Field<'_>) -> Option<Vec<(String, String)>> {
    let fields = field.map("a map from names of variables to their values")?;
    if fields.len() > 1000 {
        field.wrong(format!("must have at most 1000 variables, has {}", fields.len()));
        return None;
    }
    let mut variables = Vec::new();
    for (name, value) in fields.all() {
        let mut letters = name.bytes();
        let good = letters.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
            && letters.all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !good {
            value.wrong("is no name of a variable: letters, digits and '_', no digit first");
        } else if name.starts_with("TEPUI_") {
            value.wrong("is set by the framework: take a name that does not begin with TEPUI_");
        }
        variables.extend(value.scalar_text().map(|text| (name.to_owned(), text)));
    }
    Some(variables)
}

#[cfg(test)]
mod tests;
