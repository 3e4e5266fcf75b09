//! Sessions in containers: what goes in, what comes out, and whose it is.

use super::{At, maybe, need, present, w};
use crate::agent_api::{AttachInput, ContainerPath, ProcessIo, StandardStream, WindowSize};
use crate::{ContainerId, DecodeError};
use bytes::Bytes;
use w::agent::call::attach_container_input as input;
use w::agent::process_io::{self as wire, control, data};
use w::tty_info::WindowSize as WireSize;

impl From<&ContainerPath> for w::ContainerId {
    fn from(path: &ContainerPath) -> Self {
        let parent = path.parent.as_ref().map(|parent| Box::new(parent.into()));
        Self { parent, ..Self::from(&path.id) }
    }
}

impl TryFrom<w::ContainerId> for ContainerPath {
    type Error = DecodeError;
    fn try_from(mut wire: w::ContainerId) -> Result<Self, DecodeError> {
        let parent = wire.parent.take();
        if parent.as_ref().is_some_and(|parent| parent.parent.is_some()) {
            let problem = "a container is nested in that of a task, and no deeper";
            return Err(DecodeError::new("parent.parent", problem));
        }
        let parent = parent.map(|parent| ContainerId::try_from(*parent)).transpose();
        Ok(Self { parent: parent.at("parent")?, id: wire.try_into()? })
    }
}

/// A container's name that must be there.
pub(super) fn path(
    wire: Option<w::ContainerId>,
    message: &'static str,
) -> Result<ContainerPath, DecodeError> {
    need(wire, "container_id").at(message)
}

pub(super) fn tty(size: Option<WindowSize>) -> w::TtyInfo {
    let window_size = size
        .map(|size| WireSize { rows: Some(size.rows.into()), columns: Some(size.columns.into()) });
    w::TtyInfo { window_size }
}

pub(super) fn read_tty(wire: w::TtyInfo) -> Result<Option<WindowSize>, DecodeError> {
    let Some(size) = wire.window_size else { return Ok(None) };
    let number = |given: Option<u32>, field: &'static str| {
        let given = present(given, field)?;
        u16::try_from(given)
            .map_err(|_| DecodeError::new(field, format!("is {given}, at most 65535 is allowed")))
    };
    let rows = number(size.rows, "rows").at("window_size")?;
    let columns = number(size.columns, "columns").at("window_size")?;
    Ok(Some(WindowSize { rows, columns }))
}

impl From<&AttachInput> for w::agent::call::AttachContainerInput {
    fn from(attach: &AttachInput) -> Self {
        match attach {
            AttachInput::Container(container) => Self {
                r#type: Some(input::Type::ContainerId as i32),
                container_id: Some(container.into()),
                process_io: None,
            },
            AttachInput::Io(io) => Self {
                r#type: Some(input::Type::ProcessIo as i32),
                container_id: None,
                process_io: Some(io.into()),
            },
        }
    }
}

impl TryFrom<w::agent::call::AttachContainerInput> for AttachInput {
    type Error = DecodeError;
    fn try_from(wire: w::agent::call::AttachContainerInput) -> Result<Self, DecodeError> {
        let kind = wire.r#type.and_then(|number| input::Type::try_from(number).ok());
        match present(kind, "type")? {
            input::Type::ContainerId => {
                Ok(Self::Container(need(wire.container_id, "container_id")?))
            }
            input::Type::ProcessIo => Ok(Self::Io(need(wire.process_io, "process_io")?)),
            input::Type::Unknown => Err(DecodeError::new("type", "UNKNOWN is not known here")),
        }
    }
}

impl From<&ProcessIo> for w::agent::ProcessIo {
    fn from(io: &ProcessIo) -> Self {
        let control = |control| Self {
            r#type: Some(wire::Type::Control as i32),
            control: Some(control),
            data: None,
        };
        match io {
            ProcessIo::Data(stream, bytes) => {
                let kind = match stream {
                    StandardStream::Stdin => data::Type::Stdin,
                    StandardStream::Stdout => data::Type::Stdout,
                    StandardStream::Stderr => data::Type::Stderr,
                };
                let data = wire::Data { r#type: Some(kind as i32), data: Some(bytes.to_vec()) };
                Self { r#type: Some(wire::Type::Data as i32), data: Some(data), control: None }
            }
            ProcessIo::Resized(size) => control(wire::Control {
                r#type: Some(control::Type::TtyInfo as i32),
                tty_info: Some(tty(Some(*size))),
                heartbeat: None,
            }),
            ProcessIo::Heartbeat { interval } => control(wire::Control {
                r#type: Some(control::Type::Heartbeat as i32),
                tty_info: None,
                heartbeat: Some(control::Heartbeat { interval: interval.map(Into::into) }),
            }),
        }
    }
}

impl TryFrom<w::agent::ProcessIo> for ProcessIo {
    type Error = DecodeError;
    fn try_from(io: w::agent::ProcessIo) -> Result<Self, DecodeError> {
        let kind = io.r#type.and_then(|number| wire::Type::try_from(number).ok());
        match present(kind, "type")? {
            wire::Type::Data => read_data(present(io.data, "data")?).at("data"),
            wire::Type::Control => read_control(present(io.control, "control")?).at("control"),
            wire::Type::Unknown => Err(DecodeError::new("type", "UNKNOWN is not known here")),
        }
    }
}

fn read_data(wire: wire::Data) -> Result<ProcessIo, DecodeError> {
    let kind = wire.r#type.and_then(|number| data::Type::try_from(number).ok());
    let stream = match present(kind, "type")? {
        data::Type::Stdin => StandardStream::Stdin,
        data::Type::Stdout => StandardStream::Stdout,
        data::Type::Stderr => StandardStream::Stderr,
        data::Type::Unknown => return Err(DecodeError::new("type", "UNKNOWN is not known here")),
    };
    Ok(ProcessIo::Data(stream, Bytes::from(wire.data.unwrap_or_default())))
}

fn read_control(wire: wire::Control) -> Result<ProcessIo, DecodeError> {
    let kind = wire.r#type.and_then(|number| control::Type::try_from(number).ok());
    match present(kind, "type")? {
        control::Type::TtyInfo => {
            let size = read_tty(present(wire.tty_info, "tty_info")?).at("tty_info")?;
            let size = size.ok_or_else(|| DecodeError::missing("window_size"));
            Ok(ProcessIo::Resized(size.at("tty_info")?))
        }
        control::Type::Heartbeat => {
            let interval = wire.heartbeat.and_then(|heartbeat| heartbeat.interval);
            Ok(ProcessIo::Heartbeat { interval: maybe(interval, "heartbeat.interval")? })
        }
        control::Type::Unknown => Err(DecodeError::new("type", "UNKNOWN is not known here")),
    }
}
