//! Between domain types and prost's structs: one file for each noun, the only ones that see both.
//!
//! Going out cannot fail. Coming in parses: what comes out satisfies the domain types' invariants,
//! or an error names the field. Presence and sizes were checked before (`schema::check`); the
//! conversions ask again rather than rely on it, and never panic.

mod agent;
mod agent_api_call;
mod agent_api_response;
mod agent_api_session;
mod agent_api_views;
mod agent_call;
mod agent_event;
mod attributes;
mod check;
mod constraints;
mod container;
mod decline_in;
mod executor;
mod executor_info;
mod flavor;
mod framework;
mod id;
mod maintenance;
mod offer;
mod offers_out;
mod operation;
mod operator_agents;
mod operator_call;
mod operator_call_read;
mod operator_event;
mod operator_masters;
mod operator_response;
mod operator_response_read;
mod operator_views;
mod quota;
mod resources;
mod scheduler_call;
mod scheduler_event;
mod scheduler_state;
mod task;
mod task_payload;
mod task_shown;
mod task_status;
mod time;

use crate::schema::{self, check};
use crate::{DecodeError, Encoding, InvalidValue, Limits, Wire, json};
use bytes::Bytes;
use std::sync::Arc;

/// The bytes of a wire message in `encoding`.
fn write(
    message: &impl prost::Message,
    schema: &'static schema::Message,
    encoding: Encoding,
) -> Bytes {
    let bytes = message.encode_to_vec();
    match encoding {
        Encoding::Protobuf => bytes.into(),
        Encoding::Json => json::write(schema, &bytes).into(),
    }
}

/// Checks and reads a wire message.
fn read<W: prost::Message + Default>(
    bytes: &[u8],
    schema: &'static schema::Message,
    encoding: Encoding,
    limits: &Limits,
) -> Result<W, DecodeError> {
    let transcoded;
    let bytes = match encoding {
        Encoding::Protobuf => bytes,
        Encoding::Json => {
            transcoded = json::read(schema, bytes, limits)?;
            &transcoded
        }
    };
    check(schema, bytes, limits)?;
    W::decode(bytes).map_err(|error| DecodeError::new("", error.to_string()))
}

/// Gives a domain type its wire form, from its conversions and its schema.
macro_rules! wire {
    ($($domain:ty => $wire:ty, $schema:ident;)*) => {$(
        impl Wire for $domain {
            fn encode(&self, encoding: Encoding) -> Bytes {
                write(&<$wire>::from(self), &schema::$schema, encoding)
            }

            fn decode(
                bytes: &[u8],
                encoding: Encoding,
                limits: &Limits,
            ) -> Result<Self, DecodeError> {
                read::<$wire>(bytes, &schema::$schema, encoding, limits)?.try_into()
            }
        }
    )*};
}

use crate::wire::mesos::v1 as w;
use crate::wire::tail;
use crate::wire::tepui::v1 as link;

wire! {
    crate::operator::Call => w::master::Call, MESOS__V1__MASTER__CALL;
    crate::operator::Response => w::master::Response, MESOS__V1__MASTER__RESPONSE;
    crate::operator::StreamEvent => w::master::Event, MESOS__V1__MASTER__EVENT;
    crate::executor::Call => w::executor::Call, MESOS__V1__EXECUTOR__CALL;
    crate::executor::Event => w::executor::Event, MESOS__V1__EXECUTOR__EVENT;
    crate::agent_api::Call => w::agent::Call, MESOS__V1__AGENT__CALL;
    crate::agent_api::Response => w::agent::Response, MESOS__V1__AGENT__RESPONSE;
    crate::agent_api::ProcessIo => w::agent::ProcessIo, MESOS__V1__AGENT__PROCESS_IO;
    crate::agent_link::AgentCall => link::AgentCall, TEPUI__V1__AGENT_CALL;
    crate::agent_link::AgentEvent => link::AgentEvent, TEPUI__V1__AGENT_EVENT;
    crate::agent_link::Command => link::AgentEvent, TEPUI__V1__AGENT_EVENT;
    crate::TaskInfo => tail::TaskInfo, MESOS__V1__TASK_INFO;
    crate::TaskStatus => w::TaskStatus, MESOS__V1__TASK_STATUS;
    crate::FrameworkInfo => w::FrameworkInfo, MESOS__V1__FRAMEWORK_INFO;
    crate::AgentInfo => w::AgentInfo, MESOS__V1__AGENT_INFO;
    crate::OperationStatus => w::OperationStatus, MESOS__V1__OPERATION_STATUS;
    crate::Resources => link::ResourceList, TEPUI__V1__RESOURCE_LIST;
}

// ---- Presence and paths ------------------------------------------------------------------------

/// Says where in the message an error is.
trait At<T> {
    fn at(self, field: &str) -> Result<T, DecodeError>;
}

impl<T> At<T> for Result<T, DecodeError> {
    fn at(self, field: &str) -> Result<T, DecodeError> {
        self.map_err(|error| error.within(field))
    }
}

impl<T> At<T> for Result<T, InvalidValue> {
    fn at(self, field: &str) -> Result<T, DecodeError> {
        self.map_err(|error| DecodeError::from(error).within(field))
    }
}

/// A field that must be there.
fn present<T>(value: Option<T>, field: &str) -> Result<T, DecodeError> {
    value.ok_or_else(|| DecodeError::missing(field))
}

/// A field that must be there, converted.
fn need<W, D>(value: Option<W>, field: &str) -> Result<D, DecodeError>
where
    D: TryFrom<W, Error = DecodeError>,
{
    D::try_from(present(value, field)?).at(field)
}

/// A field that may be absent, converted.
fn maybe<W, D>(value: Option<W>, field: &str) -> Result<Option<D>, DecodeError>
where
    D: TryFrom<W, Error = DecodeError>,
{
    value.map(D::try_from).transpose().at(field)
}

/// A list, converted.
fn list<W, D, C: FromIterator<D>>(values: Vec<W>, field: &str) -> Result<C, DecodeError>
where
    D: TryFrom<W, Error = DecodeError>,
{
    list_with(values, field, D::try_from)
}

/// A list, converted by `convert`.
fn list_with<W, D, C: FromIterator<D>>(
    values: Vec<W>,
    field: &str,
    convert: impl Fn(W) -> Result<D, DecodeError>,
) -> Result<C, DecodeError> {
    let convert =
        |(i, value)| convert(value).map_err(|error| error.within(&format!("[{i}]")).within(field));
    values.into_iter().enumerate().map(convert).collect()
}

/// A text that must be there.
fn text(value: Option<String>, field: &str) -> Result<Arc<str>, DecodeError> {
    Ok(present(value, field)?.into())
}

/// A number of TCP port.
fn port(value: impl TryInto<u16>, field: &str) -> Result<u16, DecodeError> {
    value.try_into().map_err(|_| DecodeError::new(field, "must be a port, 0 to 65535"))
}

/// A number of a wire enum as the domain's value; an unknown number is as if it were not there.
fn known<T>(number: Option<i32>, from: impl Fn(i32) -> Option<T>) -> Option<T> {
    number.and_then(from)
}
