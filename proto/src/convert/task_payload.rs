//! The part of a task that travels unread: made by who describes a task, opened by who runs it.

use super::check::{self, CHECK_FIELD, HEALTH_CHECK_FIELD};
use super::framework::{read_labels, write_labels};
use super::{At, container, link, list_with, present, read, text, w};
use crate::schema::{self, Reader, Value};
use crate::{CommandInfo, DecodeError, Encoding, FetchUri, Limits, Secret, TaskBody, TaskPayload};
use prost::Message;
use std::sync::Arc;
use w::command_info::Uri;
use w::environment::{Variable, variable};
use w::r_limit_info::{RLimit, r_limit};

/// `ContainerInfo.Type`.
const DOCKER_CONTAINER: i32 = 1;
const MESOS_CONTAINER: i32 = 2;
/// `Environment.Variable.Type`.
const SECRET: i32 = variable::Type::Secret as i32;
/// The number of the field `data` of `TaskInfo`.
const DATA: u32 = 6;
/// The number of the field `docker` of `ContainerInfo`.
const DOCKER: u32 = 3;

impl TaskPayload {
    /// Encodes a body. A resource limit of a name that Mesos does not know is refused when the
    /// payload is opened.
    pub fn new(body: &TaskBody) -> Self {
        let rlimits = body.command.iter().flat_map(|command| &command.rlimits);
        let rlimits: Vec<RLimit> = rlimits.map(write_rlimit).collect();
        let asked = !rlimits.is_empty() || body.container.is_some();
        let container = asked.then(|| {
            let mut wire = link::Container {
                r#type: Some(match body.container.as_ref().and_then(|c| c.docker.as_ref()) {
                    Some(_) => DOCKER_CONTAINER,
                    None => MESOS_CONTAINER,
                }),
                rlimit_info: (!rlimits.is_empty()).then_some(w::RLimitInfo { rlimits }),
                ..link::Container::default()
            };
            if let Some(asked) = &body.container {
                container::write(asked, &mut wire);
            }
            wire
        });
        let checks = body.checks.as_deref();
        let wire = link::TaskPayload {
            data: body.data.as_deref().map(<[u8]>::to_vec),
            command: body.command.as_ref().map(Into::into),
            container,
            labels: write_labels(&body.labels),
            health_check: checks.and_then(|checks| checks.health.as_ref()).map(Into::into),
            check: checks.and_then(|checks| checks.check.as_ref()).map(Into::into),
            discovery: (!body.named_ports.is_empty()).then(|| write_ports(&body.named_ports)),
        };
        Self {
            bytes: wire.encode_to_vec().into(),
            has_command: body.command.is_some(),
            has_container: false,
            checks: body.checks.clone(),
        }
    }

    /// The same without data for a custom executor, which may be large.
    pub fn without_data(&self) -> Self {
        let mut bytes = Vec::new();
        let mut reader = Reader::new(&self.bytes);
        let mut rest = reader.rest();
        // The bytes were checked when they came, or are our own.
        while let Ok(Some((number, _))) = reader.field() {
            let length = rest.len() - reader.rest().len();
            if number != DATA {
                bytes.extend_from_slice(&rest[..length]);
            }
            rest = reader.rest();
        }
        Self { bytes: bytes.into(), ..self.clone() }
    }

    /// The same without the environment variables that are secrets, for what is kept on disk and for
    /// a task that has them already. None when it has no secrets.
    pub fn without_secrets(&self) -> Option<Self> {
        let message = &schema::TEPUI__V1__TASK_PAYLOAD;
        let bytes = schema::without_secrets(message, &self.bytes, schema::Left::Nothing)?;
        // What was read before is read again.
        Self::from_bytes(bytes.into()).ok()
    }

    /// Takes fields as they came and notes which there are.
    pub(super) fn from_bytes(bytes: Arc<[u8]>) -> Result<Self, DecodeError> {
        let (mut has_command, mut has_container, mut checks) = (false, false, None);
        let mut reader = Reader::new(&bytes);
        while let Some((number, value)) = reader.field().map_err(|e| DecodeError::new("", e))? {
            match (number, value) {
                (7, _) => has_command = true,
                (9, Value::Bytes(container)) => has_container |= asks_for_container(container)?,
                (field @ (HEALTH_CHECK_FIELD | CHECK_FIELD), Value::Bytes(bytes)) => {
                    check::gather(&mut checks, field, bytes)?;
                }
                _ => {}
            }
        }
        let checks = checks.map(Arc::new);
        Ok(Self { bytes, has_command, has_container, checks })
    }

    /// Decodes what an agent needs to run a command task.
    ///
    /// # Errors
    /// When the bytes are not a piece of a task, or ask for what no agent can do (references to
    /// secrets, resource limits of unknown names, volumes of Docker).
    pub fn open(&self) -> Result<TaskBody, DecodeError> {
        let schema = &schema::TEPUI__V1__TASK_PAYLOAD;
        let wire: link::TaskPayload =
            read(&self.bytes, schema, Encoding::Protobuf, &Limits::DEFAULT)?;
        let mut container = wire.container.unwrap_or_default();
        let rlimits = container.rlimit_info.take();
        let rlimits: Vec<_> = list_with(
            rlimits.unwrap_or_default().rlimits,
            "container.rlimit_info.rlimits",
            read_rlimit,
        )?;
        let command = wire.command.map(CommandInfo::try_from).transpose().at("command")?;
        Ok(TaskBody {
            command: command.map(|command| CommandInfo { rlimits, ..command }),
            labels: read_labels(wire.labels).at("labels")?,
            data: wire.data.map(Into::into),
            container: container::read(container).at("container")?,
            checks: self.checks.clone(),
            named_ports: read_ports(wire.discovery.unwrap_or_default()).at("discovery")?,
        })
    }
}

/// Who reads nothing but the ports is told of the framework's own.
fn write_ports(ports: &[(Arc<str>, u16)]) -> w::DiscoveryInfo {
    let port = |(name, number): &(Arc<str>, u16)| w::Port {
        number: Some((*number).into()),
        name: Some(name.to_string()),
        ..w::Port::default()
    };
    w::DiscoveryInfo {
        visibility: Some(w::discovery_info::Visibility::Framework as i32),
        ports: Some(w::Ports { ports: ports.iter().map(port).collect() }),
        ..w::DiscoveryInfo::default()
    }
}

fn read_ports(wire: w::DiscoveryInfo) -> Result<Vec<(Arc<str>, u16)>, DecodeError> {
    let named = |wire: &w::Port| wire.name.as_deref().is_some_and(|name| !name.is_empty());
    let ports = wire.ports.unwrap_or_default().ports.into_iter().filter(named).collect();
    let read = |wire: w::Port| {
        let number = super::port(present(wire.number, "number")?, "number")?;
        Ok((text(wire.name, "name")?, number))
    };
    list_with(ports, "ports", read)
}

/// Whether a `ContainerInfo` asks for what no agent can make: for a type that is none, or, with type
/// MESOS, for Docker.
fn asks_for_container(container: &[u8]) -> Result<bool, DecodeError> {
    let mut reader = Reader::new(container);
    let (mut docker, mut only_docker) = (false, false);
    while let Some((number, value)) =
        reader.field().map_err(|e| DecodeError::new("container", e))?
    {
        match number {
            1 if value == Value::Varint(DOCKER_CONTAINER as u64) => docker = true,
            1 if value == Value::Varint(MESOS_CONTAINER as u64) => docker = false,
            1 => return Ok(true),
            number => only_docker |= number == DOCKER,
        }
    }
    Ok(only_docker && !docker)
}

impl From<&CommandInfo> for w::CommandInfo {
    fn from(command: &CommandInfo) -> Self {
        let uri = |uri: &FetchUri| Uri {
            value: Some(uri.value.to_string()),
            executable: Some(uri.executable),
            extract: Some(uri.extract),
            cache: Some(uri.cache),
            output_file: uri.output_file.as_deref().map(str::to_owned),
        };
        let variable = |(name, value): &(Arc<str>, Arc<str>)| Variable {
            name: Some(name.to_string()),
            value: Some(value.to_string()),
            r#type: Some(variable::Type::Value as i32),
            ..Variable::default()
        };
        let secret = |(name, secret): &(Arc<str>, Secret)| Variable {
            name: Some(name.to_string()),
            r#type: Some(variable::Type::Secret as i32),
            secret: Some(w::Secret {
                r#type: Some(w::secret::Type::Value as i32),
                value: Some(w::secret::Value { data: Some(secret.reveal().into()) }),
            }),
            ..Variable::default()
        };
        let plain = command.environment.iter().map(variable);
        let variables: Vec<_> = plain.chain(command.secrets.iter().map(secret)).collect();
        Self {
            uris: command.uris.iter().map(uri).collect(),
            environment: (!variables.is_empty()).then_some(w::Environment { variables }),
            value: command.value.as_deref().map(str::to_owned),
            user: command.user.as_deref().map(str::to_owned),
            shell: Some(command.shell),
            arguments: command.arguments.iter().map(|argument| argument.to_string()).collect(),
        }
    }
}

impl TryFrom<w::CommandInfo> for CommandInfo {
    type Error = DecodeError;
    fn try_from(wire: w::CommandInfo) -> Result<Self, DecodeError> {
        let (mut environment, mut secrets) = (Vec::new(), Vec::new());
        let variables = wire.environment.unwrap_or_default().variables;
        let given: Vec<_> = list_with(variables, "environment.variables", read_variable)?;
        for (name, given) in given {
            match given {
                Given::Openly(value) => environment.push((name, value)),
                Given::Secretly(secret) => secrets.push((name, secret)),
            }
        }
        Ok(Self {
            shell: wire.shell.unwrap_or(true),
            value: wire.value.map(Into::into),
            arguments: wire.arguments.into_iter().map(Into::into).collect(),
            environment,
            secrets,
            user: wire.user.map(Into::into),
            uris: list_with(wire.uris, "uris", read_uri)?,
            rlimits: Vec::new(),
        })
    }
}

/// How a variable's value is given.
enum Given {
    Openly(Arc<str>),
    Secretly(Secret),
}

/// Errors say nothing of a secret's value.
fn read_variable(wire: Variable) -> Result<(Arc<str>, Given), DecodeError> {
    let name = text(wire.name, "name")?;
    if wire.r#type != Some(SECRET) {
        return Ok((name, Given::Openly(wire.value.unwrap_or_default().into())));
    }
    let secret = present(wire.secret, "secret")?;
    if present(secret.r#type, "secret.type")? != w::secret::Type::Value as i32 {
        let problem = "must be VALUE: there is no store of secrets that a REFERENCE could lead to";
        return Err(DecodeError::new("secret.type", problem));
    }
    let data = present(secret.value.and_then(|value| value.data), "secret.value.data")?;
    let value = String::from_utf8(data)
        .map_err(|_| DecodeError::new("secret.value.data", "must be UTF-8, as variables are"))?;
    Ok((name, Given::Secretly(Secret::new(value))))
}

fn read_uri(wire: Uri) -> Result<FetchUri, DecodeError> {
    Ok(FetchUri {
        value: text(wire.value, "value")?,
        executable: wire.executable.unwrap_or(false),
        extract: wire.extract.unwrap_or(true),
        cache: wire.cache.unwrap_or(false),
        output_file: wire.output_file.map(Into::into),
    })
}

type Rlimit = (Arc<str>, Option<u64>, Option<u64>);

fn write_rlimit((name, soft, hard): &Rlimit) -> RLimit {
    let kind = r_limit::Type::from_str_name(name).unwrap_or(r_limit::Type::Unknown);
    RLimit { r#type: Some(kind as i32), hard: *hard, soft: *soft }
}

fn read_rlimit(wire: RLimit) -> Result<Rlimit, DecodeError> {
    let kind = wire.r#type.and_then(|number| r_limit::Type::try_from(number).ok());
    match present(kind, "type")? {
        r_limit::Type::Unknown => Err(DecodeError::new("type", "is not a known resource limit")),
        kind => Ok((Arc::from(kind.as_str_name()), wire.soft, wire.hard)),
    }
}
