//! Identifiers: newtypes over shared strings, made by one macro, checked once when made.
//!
//! Rules (Mesos `common/validation.cpp`): not empty, at most 255 bytes, not `.` or `..`, no
//! slash, no backslash, no control character.

use crate::InvalidValue;
use std::fmt;
use std::sync::Arc;

/// Longest id in bytes, as Mesos has it.
pub(crate) const MAX_ID_BYTES: usize = 255;

fn check(what: &'static str, value: &str) -> Result<(), InvalidValue> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=MAX_ID_BYTES).contains(&value.len()) && value.bytes().all(plain) {
        // Nearly every id is of these.
        return Ok(());
    }
    if value.is_empty() {
        return Err(InvalidValue::new(what, "must not be empty"));
    }
    if value.len() > MAX_ID_BYTES {
        let problem = format!("must have at most {MAX_ID_BYTES} bytes, has {}", value.len());
        return Err(InvalidValue::new(what, problem));
    }
    if value == "." || value == ".." {
        return Err(InvalidValue::new(what, format!("must not be '{value}'")));
    }
    if let Some(bad) = value.chars().find(|c| *c == '/' || *c == '\\' || c.is_control()) {
        return Err(InvalidValue::new(what, format!("must not contain {bad:?}")));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and makes the id.
            ///
            /// # Errors
            /// Says which rule of ids `value` breaks.
            pub fn new(value: impl Into<Arc<str>>) -> Result<Self, InvalidValue> {
                let value = value.into();
                check($what, &value)?;
                Ok(Self(value))
            }

            /// The id as it stands on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = InvalidValue;
            fn from_str(value: &str) -> Result<Self, InvalidValue> {
                Self::new(value)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id! {
    /// A cluster's identity: drawn when it is founded, or given by its operator.
    ClusterId, "ClusterID"
}
id! {
    /// A master process' identity, new at each start of a cluster's first leader.
    MasterId, "MasterID"
}
id! {
    /// `<master id>-<four digits>`, given by the master at the first SUBSCRIBE.
    FrameworkId, "FrameworkID"
}
id! {
    /// `<master id>-S<n>`, given by the master at registration.
    AgentId, "AgentID"
}
id! {
    /// `<master id>-O<n>`.
    OfferId, "OfferID"
}
id! {
    /// Chosen by the framework, unique within it.
    TaskId, "TaskID"
}
id! {
    /// Chosen by the framework; for a command task the agent uses the task's id.
    ExecutorId, "ExecutorID"
}
id! {
    /// Chosen by the agent, one for each launch.
    ContainerId, "ContainerID"
}
id! {
    /// Chosen by the framework, unique within it.
    OperationId, "OperationID"
}
id! {
    /// The id of a persistent volume, unique for its role on its agent.
    VolumeId, "Persistence.id"
}

/// The identity of one status update: 16 bytes chosen by the agent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusUuid(pub [u8; 16]);

impl StatusUuid {
    /// Takes the 16 bytes of the wire.
    ///
    /// # Errors
    /// When there are not exactly 16.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidValue> {
        <[u8; 16]>::try_from(bytes).map(Self).map_err(|_| {
            InvalidValue::new("UUID", format!("must have 16 bytes, has {}", bytes.len()))
        })
    }
}

impl fmt::Display for StatusUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, byte) in self.0.iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for StatusUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
