//! Makes the generated code from the .proto files and compares it with what is committed, so that
//! nobody needs a protobuf compiler to build. `UPDATE=1 cargo test -p proto fresh` rewrites.
//!
//! Two things are made: prost's structs (`src/wire/*.rs`) and the schema table
//! (`src/schema/table.rs`) that the JSON transcoder and the check before decoding read. Prost gets
//! a changed view of the schema: every singular field optional (presence is checked by the table),
//! and of five messages only the fields that decisions read; the rest of them travels as bytes
//! (`src/wire/tail.rs`). The table gets the whole schema.

use super::{MESOS, TEPUI};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Messages that we read only in part, with the fields that we read.
const TAILED: [(&str, &[&str]); 5] = [
    (
        ".mesos.v1.TaskInfo",
        &[
            "name",
            "task_id",
            "agent_id",
            "resources",
            "executor",
            "kill_policy",
            "max_completion_time",
            "limits",
        ],
    ),
    (".mesos.v1.ExecutorInfo", &["executor_id", "framework_id", "resources"]),
    (
        ".mesos.v1.Resource",
        &["name", "type", "scalar", "ranges", "set", "revocable", "allocation_info"],
    ),
    (
        ".mesos.v1.Task",
        &[
            "name",
            "task_id",
            "framework_id",
            "executor_id",
            "agent_id",
            "state",
            "resources",
            "statuses",
            "role",
        ],
    ),
    (".tepui.v1.TaskShown", &[]),
];

/// Fields that no struct has: Mesos defines them, JSON knows them, and nobody here reads them.
const UNREAD: [&str; 21] = [
    ".mesos.v1.ContainerStatus.executor_pid",
    ".mesos.v1.HealthCheck.HTTPCheckInfo.statuses",
    ".mesos.v1.MasterInfo.domain",
    ".mesos.v1.NetworkInfo.groups",
    ".mesos.v1.NetworkInfo.labels",
    ".mesos.v1.NetworkInfo.name",
    ".mesos.v1.NetworkInfo.port_mappings",
    ".mesos.v1.OperationStatus.resource_provider_id",
    ".mesos.v1.Secret.reference",
    ".mesos.v1.TaskStatus.labels",
    ".mesos.v1.URL.fragment",
    ".mesos.v1.URL.query",
    ".mesos.v1.Volume.host_path",
    ".mesos.v1.Volume.image",
    ".mesos.v1.Volume.source",
    ".mesos.v1.agent.Response.GetContainers.Container.container_status",
    ".mesos.v1.master.Response.GetMaster.elected_time",
    ".mesos.v1.quota.QuotaInfo.principal",
    ".mesos.v1.quota.QuotaStatus.infos",
    ".mesos.v1.scheduler.Call.AcknowledgeOperationStatus.resource_provider_id",
    ".mesos.v1.scheduler.Call.ReconcileOperations.Operation.resource_provider_id",
];

/// Fields behind a pointer: their messages stand in lists, where an element of few bytes must not
/// become a struct of many.
const BOXED: [&str; 12] = [
    ".mesos.v1.Offer.Operation.create",
    ".mesos.v1.Offer.Operation.destroy",
    ".mesos.v1.Offer.Operation.grow_volume",
    ".mesos.v1.Offer.Operation.id",
    ".mesos.v1.Offer.Operation.launch",
    ".mesos.v1.Offer.Operation.launch_group",
    ".mesos.v1.Offer.Operation.reserve",
    ".mesos.v1.Offer.Operation.shrink_volume",
    ".mesos.v1.Offer.Operation.unreserve",
    ".mesos.v1.Request.agent_id",
    ".mesos.v1.Request.deadline",
    ".mesos.v1.TaskInfo.executor",
];

/// Where the messages are that we encode and decode.
const ROOTS: [&str; 20] = [
    ".mesos.v1.scheduler.Call",
    ".mesos.v1.scheduler.Event",
    ".mesos.v1.master.Call",
    ".mesos.v1.master.Response",
    ".mesos.v1.master.Event",
    ".mesos.v1.executor.Call",
    ".mesos.v1.executor.Event",
    ".mesos.v1.agent.Call",
    ".mesos.v1.agent.Response",
    ".mesos.v1.agent.ProcessIO",
    ".mesos.v1.AgentInfo",
    ".mesos.v1.FrameworkInfo",
    ".mesos.v1.OperationStatus",
    ".mesos.v1.TaskInfo",
    ".mesos.v1.TaskStatus",
    ".tepui.v1.AgentCall",
    ".tepui.v1.AgentEvent",
    ".tepui.v1.TaskPayload",
    ".tepui.v1.ResourceTail",
    ".tepui.v1.ResourceList",
];

/// A part of a message that is checked as a whole: nothing reads its schema by itself.
const PART: &str = ".tepui.v1.ResourceTail";

#[test]
fn generated_code_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set =
        protox::compile(MESOS.iter().chain(&TEPUI), [root]).expect("the .proto files compile");
    let mut made = rust(&set);
    made.push((PathBuf::from("src/schema/table.rs"), table(&set)));
    let mut stale = Vec::new();
    for (path, text) in made {
        let path = root.join(path);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, text).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != text {
            stale.push(path);
        }
    }
    assert!(stale.is_empty(), "stale: {stale:?}; run UPDATE=1 cargo test -p proto fresh");
}

// ---- Prost's structs ---------------------------------------------------------------------------

fn rust(set: &FileDescriptorSet) -> Vec<(PathBuf, String)> {
    let reachable = reachable(set, is_read);
    let mut set = set.clone();
    for file in &mut set.file {
        let package = format!(".{}", file.package());
        file.service.clear();
        file.source_code_info = None;
        for message in &mut file.message_type {
            view(message, &package, &reachable);
        }
        retain(&mut file.message_type, &mut file.enum_type, &package, &reachable);
    }
    set.file.push(tail_file());
    let mut config = prost_build::Config::new();
    config.btree_map(["."]).skip_debug(["."]).extern_path(".tail", "crate::wire::tail");
    for path in BOXED {
        config.boxed(path);
    }
    let requests: Vec<_> = set
        .file
        .into_iter()
        .filter(|file| file.package() != "tail" || !file.message_type.is_empty())
        .map(|file| (prost_build::Module::from_protobuf_package_name(file.package()), file))
        .collect();
    let mut by_module: BTreeMap<String, String> = BTreeMap::new();
    for (module, text) in config.generate(requests).expect("prost generates") {
        let name = module.to_file_name_or("none");
        if name != "tail.rs" {
            by_module.insert(name, text);
        }
    }
    let dir = Path::new("src/wire");
    by_module.into_iter().map(|(name, text)| (dir.join(name), text)).collect()
}

/// The package that stands for messages with a tail; its types are written by hand. A list of
/// doubles keeps prost from deriving Copy, Eq and Hash for what holds them.
fn tail_file() -> FileDescriptorProto {
    let mut numbers =
        FieldDescriptorProto { name: Some("numbers".to_owned()), ..Default::default() };
    numbers.number = Some(1);
    numbers.set_label(Label::Repeated);
    numbers.set_type(Type::Double);
    FileDescriptorProto {
        name: Some("tail.proto".to_owned()),
        package: Some("tail".to_owned()),
        syntax: Some("proto2".to_owned()),
        message_type: TAILED
            .iter()
            .map(|(name, _)| DescriptorProto {
                name: name.rsplit('.').next().map(str::to_owned),
                field: vec![numbers.clone()],
                ..DescriptorProto::default()
            })
            .collect(),
        ..FileDescriptorProto::default()
    }
}

fn known(name: &str) -> Option<&'static [&'static str]> {
    TAILED.iter().find(|(tailed, _)| *tailed == name).map(|(_, fields)| *fields)
}

fn is_read(message: &str, field: &str) -> bool {
    known(message).is_none_or(|known| known.contains(&field))
        && !UNREAD.contains(&format!("{message}.{field}").as_str())
}

fn view(message: &mut DescriptorProto, parent: &str, reachable: &BTreeSet<String>) {
    let name = format!("{parent}.{}", message.name());
    message.field.retain(|field| is_read(&name, field.name()));
    for field in &mut message.field {
        if field.label() == Label::Required {
            field.set_label(Label::Optional);
        }
        // Prost's defaults would hide absence; the conversions state ours.
        field.default_value = None;
        if known(field.type_name()).is_some() {
            field.type_name = field.type_name().rsplit('.').next().map(|n| format!(".tail.{n}"));
        }
        if let Some(options) = &mut field.options {
            options.deprecated = None;
        }
    }
    for nested in &mut message.nested_type {
        view(nested, &name, reachable);
    }
    retain(&mut message.nested_type, &mut message.enum_type, &name, reachable);
}

fn retain(
    messages: &mut Vec<DescriptorProto>,
    enums: &mut Vec<EnumDescriptorProto>,
    parent: &str,
    reachable: &BTreeSet<String>,
) {
    let used = |name: &str| {
        let name = format!("{parent}.{name}");
        reachable.iter().any(|r| *r == name || r.starts_with(&format!("{name}.")))
    };
    messages.retain(|message| used(message.name()));
    enums.retain(|kind| used(kind.name()));
}

/// Full names of all messages and enums that the roots need through fields that count.
fn reachable(set: &FileDescriptorSet, counts: impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
    let messages = all_messages(set);
    let mut found = BTreeSet::new();
    let mut next: Vec<String> = ROOTS.iter().map(|root| (*root).to_owned()).collect();
    while let Some(name) = next.pop() {
        if !found.insert(name.clone()) {
            continue;
        }
        let Some(message) = messages.get(&name) else { continue };
        for field in &message.field {
            if counts(&name, field.name()) && !field.type_name().is_empty() {
                next.push(field.type_name().to_owned());
            }
        }
    }
    found
}

fn all_messages(set: &FileDescriptorSet) -> BTreeMap<String, DescriptorProto> {
    fn add(into: &mut BTreeMap<String, DescriptorProto>, message: &DescriptorProto, parent: &str) {
        let name = format!("{parent}.{}", message.name());
        for nested in &message.nested_type {
            add(into, nested, &name);
        }
        into.insert(name, message.clone());
    }
    let mut all = BTreeMap::new();
    for file in &set.file {
        for message in &file.message_type {
            add(&mut all, message, &format!(".{}", file.package()));
        }
    }
    all
}

fn all_enums(set: &FileDescriptorSet) -> BTreeMap<String, EnumDescriptorProto> {
    let mut all = BTreeMap::new();
    for file in &set.file {
        for kind in &file.enum_type {
            all.insert(format!(".{}.{}", file.package(), kind.name()), kind.clone());
        }
    }
    for (name, message) in all_messages(set) {
        for kind in &message.enum_type {
            all.insert(format!("{name}.{}", kind.name()), kind.clone());
        }
    }
    all
}

// ---- The schema table --------------------------------------------------------------------------

fn table(set: &FileDescriptorSet) -> String {
    let mut out = String::from(
        "//! The schema of the wire as data. Generated by tests/all/fresh.rs from the .proto files; do\n\
         //! not edit.\n\n\
         use super::{Default, Enum, Field, Kind, Label, Message, Text};\n",
    );
    let reachable = reachable(set, |_, _| true);
    let mut messages = all_messages(set);
    messages.retain(|name, _| reachable.contains(name) && name != PART);
    for (name, kind) in all_enums(set) {
        if !reachable.contains(&name) {
            continue;
        }
        write!(out, "\nstatic {}: Enum = Enum {{ values: &[\n", constant(&name)).unwrap();
        for value in &kind.value {
            writeln!(out, "    (\"{}\", {}),", value.name(), value.number()).unwrap();
        }
        out.push_str("] };\n");
    }
    for (name, message) in &messages {
        let mut fields: Vec<_> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        assert!(fields.len() <= 32, "{name}: the check counts at most 32 fields a message");
        write!(
            out,
            "\npub(crate) static {}: Message = Message {{\n    fields: &[\n",
            constant(name)
        )
        .unwrap();
        for field in fields {
            let map = messages
                .get(field.type_name())
                .is_some_and(|m| m.options.as_ref().is_some_and(|o| o.map_entry()));
            let label = match field.label() {
                Label::Repeated if map => "Map",
                Label::Repeated => "Repeated",
                Label::Required => "Required",
                Label::Optional => "Optional",
            };
            writeln!(
                out,
                "        Field {{\n            name: \"{}\",\n            number: {},\n            \
                 label: Label::{label},\n            kind: {},\n            default: {},\n        }},",
                field.name(),
                field.number(),
                kind(name, field),
                default(field),
            )
            .unwrap();
        }
        out.push_str("    ],\n};\n");
    }
    out
}

fn constant(name: &str) -> String {
    let mut out = String::new();
    for part in name.split('.').filter(|part| !part.is_empty()) {
        if !out.is_empty() {
            out.push_str("__");
        }
        let mut lower = false;
        for c in part.chars() {
            if c.is_uppercase() && lower {
                out.push('_');
            }
            lower = c.is_lowercase() || c.is_ascii_digit();
            out.push(c.to_ascii_uppercase());
        }
    }
    out
}

/// Strings whose length `Limits::name_bytes` bounds; all others are texts.
fn is_name(message: &str, field: &str) -> bool {
    (message.ends_with("ID") && field == "value")
        || field == "role"
        || field == "roles"
        || field == "suppressed_roles"
        || field.ends_with("_id")
        || (field == "name"
            && [".mesos.v1.Resource", ".mesos.v1.Attribute", ".mesos.v1.Role"].contains(&message))
}

fn kind(message: &str, field: &prost_types::FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Double => "Kind::Double".to_owned(),
        Type::Int32 => "Kind::Int32".to_owned(),
        Type::Int64 => "Kind::Int64".to_owned(),
        Type::Uint32 => "Kind::Uint32".to_owned(),
        Type::Uint64 => "Kind::Uint64".to_owned(),
        Type::Fixed64 => "Kind::Fixed64".to_owned(),
        Type::Bool => "Kind::Bool".to_owned(),
        Type::Bytes => "Kind::Bytes".to_owned(),
        Type::String if is_name(message, field.name()) => "Kind::String(Text::Name)".to_owned(),
        Type::String => "Kind::String(Text::Free)".to_owned(),
        Type::Enum => format!("Kind::Enum(&{})", constant(field.type_name())),
        Type::Message => format!("Kind::Message(&{})", constant(field.type_name())),
        other => panic!("{message}.{}: {other:?} is not used so far", field.name()),
    }
}

fn default(field: &prost_types::FieldDescriptorProto) -> String {
    let deprecated = field.options.as_ref().is_some_and(|options| options.deprecated());
    let Some(value) = field.default_value.as_deref().filter(|_| !deprecated) else {
        return "Default::None".to_owned();
    };
    match field.r#type() {
        Type::Double => format!("Default::Double({:?})", value.parse::<f64>().unwrap()),
        Type::Bool => format!("Default::Bool({value})"),
        Type::Int32 | Type::Uint32 => format!("Default::Int({value})"),
        Type::Enum => format!("Default::Enum(\"{value}\")"),
        other => panic!("{}: a default of {other:?} is not used so far", field.name()),
    }
}
