//! Attributes of agents.

use super::{At, present, resources, text, w};
use crate::{Attribute, AttributeValue, DecodeError};
use w::value::Type;

/// The most of a scalar attribute in units, on either side of zero.
const MOST: f64 = 1e12;

impl From<&Attribute> for w::Attribute {
    fn from(attribute: &Attribute) -> Self {
        let mut wire = Self { name: Some(attribute.name.to_string()), ..Self::default() };
        match &attribute.value {
            AttributeValue::Text(text) => {
                wire.r#type = Some(Type::Text as i32);
                wire.text = Some(w::value::Text { value: Some(text.to_string()) });
            }
            AttributeValue::Scalar(milli) => {
                wire.r#type = Some(Type::Scalar as i32);
                wire.scalar = Some(resources::scalar(*milli as f64 / 1000.0));
            }
            AttributeValue::Ranges(ranges) => {
                wire.r#type = Some(Type::Ranges as i32);
                wire.ranges = Some(resources::write_ranges(ranges));
            }
        }
        wire
    }
}

impl TryFrom<w::Attribute> for Attribute {
    type Error = DecodeError;
    fn try_from(wire: w::Attribute) -> Result<Self, DecodeError> {
        let name = text(wire.name, "name")?;
        if name.is_empty() {
            return Err(DecodeError::new("name", "must not be empty"));
        }
        let kind = wire.r#type.and_then(|number| Type::try_from(number).ok());
        let value = match present(kind, "type")? {
            Type::Text => {
                AttributeValue::Text(text(present(wire.text, "text")?.value, "text.value")?)
            }
            Type::Scalar => {
                let scalar = present(wire.scalar, "scalar")?.value;
                let value = present(scalar, "scalar.value")?;
                if !value.is_finite() || value.abs() > MOST {
                    let problem = format!("must be a number from -{MOST} to {MOST}, is {value}");
                    return Err(DecodeError::new("scalar.value", problem));
                }
                AttributeValue::Scalar((value * 1000.0).round() as i64)
            }
            Type::Ranges => {
                let ranges = present(wire.ranges, "ranges")?;
                AttributeValue::Ranges(resources::read_ranges(ranges).at("ranges")?)
            }
            Type::Set => return Err(DecodeError::new("type", "must be TEXT, SCALAR or RANGES")),
        };
        Ok(Self { name, value })
    }
}
