//! Ids: messages of one string in the Mesos API, bare strings in the private link.

use super::{At, present, w};
use crate::{
    AgentId, ContainerId, DecodeError, ExecutorId, FrameworkId, MasterId, OfferId, OperationId,
    Role, StatusUuid, TaskId,
};

macro_rules! messages {
    ($($id:ident),*) => {$(
        impl From<&$id> for w::$id {
            fn from(id: &$id) -> Self {
                Self { value: Some(id.as_str().to_owned()) }
            }
        }

        impl TryFrom<w::$id> for $id {
            type Error = DecodeError;
            fn try_from(id: w::$id) -> Result<Self, DecodeError> {
                Self::new(present(id.value, "value")?).at("value")
            }
        }
    )*};
}

messages!(FrameworkId, AgentId, OfferId, TaskId, ExecutorId, OperationId);

impl From<&ContainerId> for w::ContainerId {
    fn from(id: &ContainerId) -> Self {
        Self { value: Some(id.as_str().to_owned()), parent: None }
    }
}

impl TryFrom<w::ContainerId> for ContainerId {
    type Error = DecodeError;
    fn try_from(id: w::ContainerId) -> Result<Self, DecodeError> {
        Self::new(present(id.value, "value")?).at("value")
    }
}

macro_rules! strings {
    ($($id:ident),*) => {$(
        impl TryFrom<String> for $id {
            type Error = DecodeError;
            fn try_from(value: String) -> Result<Self, DecodeError> {
                Ok(Self::new(value)?)
            }
        }
    )*};
}

strings!(FrameworkId, AgentId, TaskId, ExecutorId, MasterId, Role);

impl TryFrom<Vec<u8>> for StatusUuid {
    type Error = DecodeError;
    fn try_from(bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Ok(Self::from_slice(&bytes)?)
    }
}

impl From<StatusUuid> for w::Uuid {
    fn from(uuid: StatusUuid) -> Self {
        Self { value: Some(uuid.0.to_vec()) }
    }
}

impl TryFrom<w::Uuid> for StatusUuid {
    type Error = DecodeError;
    fn try_from(uuid: w::Uuid) -> Result<Self, DecodeError> {
        Self::from_slice(&present(uuid.value, "value")?).at("value")
    }
}
