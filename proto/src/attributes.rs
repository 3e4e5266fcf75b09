//! Attributes of agents: facts such as `zone:a` that constraints are matched against.

use crate::Ranges;
use std::fmt;
use std::sync::Arc;

/// One attribute of an agent. Several of one name may stand together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attribute {
    /// Its name, such as `zone`.
    pub name: Arc<str>,
    /// Its value.
    pub value: AttributeValue,
}

impl Attribute {
    /// A text attribute.
    pub fn text(name: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), value: AttributeValue::Text(value.into()) }
    }
}

/// Mesos knows text, scalars and ranges here; sets are not accepted for attributes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttributeValue {
    /// Free text.
    Text(Arc<str>),
    /// A number in thousandths.
    Scalar(i64),
    /// Inclusive ranges.
    Ranges(Ranges),
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Scalar(milli) => write!(f, "{}", *milli as f64 / 1000.0),
            Self::Ranges(ranges) => write!(f, "{ranges}"),
        }
    }
}
