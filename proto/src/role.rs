//! Roles: paths such as `eng/prod` that share the cluster by weight.

use crate::InvalidValue;
use std::fmt;
use std::sync::Arc;

/// A valid role: `*`, or components joined by `/`, none empty, `.`, `..` or `*`, none that begins
/// with `-`, no white space or backspace (Mesos `common/roles.cpp`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Role(Arc<str>);

impl Role {
    /// Longest role in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Checks and makes the role.
    ///
    /// # Errors
    /// Says which rule `value` breaks.
    pub fn new(value: impl Into<Arc<str>>) -> Result<Self, InvalidValue> {
        let value = value.into();
        let invalid = |problem: String| Err(InvalidValue::new("role", problem));
        if &*value == "*" {
            return Ok(Self(value));
        }
        if value.is_empty() {
            return invalid("must not be empty".to_owned());
        }
        if value.len() > Self::MAX_BYTES {
            return invalid(format!("must have at most {} bytes", Self::MAX_BYTES));
        }
        if let Some(bad) = value.chars().find(|c| c.is_whitespace() || c.is_control()) {
            return invalid(format!("'{}' must not contain {bad:?}", value.escape_debug()));
        }
        for component in value.split('/') {
            match component {
                "" => return invalid(format!("'{value}' must not have an empty component")),
                "." | ".." | "*" => {
                    return invalid(format!("'{value}' must not have the component '{component}'"));
                }
                _ if component.starts_with('-') => {
                    return invalid(format!(
                        "'{value}' must not have a component that begins with '-'"
                    ));
                }
                _ => {}
            }
        }
        Ok(Self(value))
    }

    /// The role of frameworks that name none: `*`.
    pub fn any() -> Self {
        Self(Arc::from("*"))
    }

    /// The role as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The role that this one is a part of: of `eng/prod` it is `eng`, of `eng` there is none.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(Arc::from(parent)))
    }

    /// Whether it lies below `other`: `eng/prod` is below `eng`, not below itself or `engine`.
    pub fn is_below(&self, other: &Self) -> bool {
        let rest = self.0.strip_prefix(&*other.0);
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// The components from the root: `eng`, `prod`.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
