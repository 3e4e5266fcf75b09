//! Resources: a list of wire resources and the role they are allocated to, as one value.
//!
//! On the wire each resource may say which role it is allocated to; here the holder (offer, task)
//! says it once, so the resources of one list must agree.

use super::{At, list_with, present, tail, w};
use crate::error::{self, shown};
use crate::schema::{Reader, Value as Raw};
use crate::{DecodeError, Flavor, Piece, Ranges, ResourceName, Resources, Role, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use w::value::Type;

/// The most of a scalar, in units: 10^12. Thousandths of it are exact in a double.
const MOST: f64 = 1e12;

/// Field 6, `role`, with the value `*`: how old clients say "unreserved".
const UNRESERVED: &[u8] = &[0x32, 1, b'*'];

/// How a list of resources is written.
#[derive(Clone, Copy, Default)]
pub(super) struct Style<'a> {
    /// The role that each resource says it is allocated to.
    pub(super) role: Option<&'a Role>,
    /// Whether unreserved resources say so in the way of clients without
    /// RESERVATION_REFINEMENT.
    pub(super) old_role: bool,
}

pub(super) fn write(resources: &Resources, style: Style<'_>) -> Vec<tail::Resource> {
    resources.pieces().iter().map(|piece| write_piece(piece, style)).collect()
}

/// Resources that belong to no role (an agent's, a sum).
pub(super) fn plain(resources: &Resources) -> Vec<tail::Resource> {
    write(resources, Style::default())
}

fn write_piece(piece: &Piece, style: Style<'_>) -> tail::Resource {
    let mut known = w::Resource {
        name: Some(piece.name.as_str().to_owned()),
        revocable: piece.flavor.revocable.then_some(w::resource::RevocableInfo {}),
        allocation_info: style
            .role
            .map(|role| w::resource::AllocationInfo { role: Some(role.as_str().to_owned()) }),
        ..w::Resource::default()
    };
    match &piece.value {
        Value::Scalar(milli) => {
            known.r#type = Some(Type::Scalar as i32);
            known.scalar = Some(scalar(*milli as f64 / 1000.0));
        }
        Value::Ranges(ranges) => {
            known.r#type = Some(Type::Ranges as i32);
            known.ranges = Some(write_ranges(ranges));
        }
        Value::Set(items) => {
            known.r#type = Some(Type::Set as i32);
            let item = items.iter().map(|item| item.to_string()).collect();
            known.set = Some(w::value::Set { item });
        }
    }
    let tail = match &piece.flavor.special {
        Some(special) => special.to_vec(),
        None if style.old_role => UNRESERVED.to_vec(),
        None => Vec::new(),
    };
    tail::Resource { known, tail }
}

pub(super) fn scalar(value: f64) -> w::value::Scalar {
    w::value::Scalar { value: Some(value) }
}

pub(super) fn write_ranges(ranges: &Ranges) -> w::value::Ranges {
    let range =
        |(begin, end): &(u64, u64)| w::value::Range { begin: Some(*begin), end: Some(*end) };
    w::value::Ranges { range: ranges.pairs().iter().map(range).collect() }
}

/// Reads a list and the role on which its resources agree, if any of them says one.
pub(super) fn read(
    values: Vec<tail::Resource>,
    field: &str,
) -> Result<(Resources, Option<Role>), DecodeError> {
    let mut resources = Resources::new();
    let mut role: Option<Role> = None;
    for (i, value) in values.into_iter().enumerate() {
        let allocated = value.known.allocation_info.as_ref().and_then(|info| info.role.as_deref());
        let placed = match allocated {
            Some(name) => agree(&mut role, name).at("allocation_info.role"),
            None => Ok(()),
        };
        placed
            .and_then(|()| read_piece(value))
            .and_then(|piece| {
                let name = piece.name.clone();
                let added = resources.add_piece(piece);
                let problem = || {
                    format!("'{}' stands twice with different types of value", shown(name.as_str()))
                };
                added.then_some(()).ok_or_else(|| DecodeError::new("type", problem()))
            })
            .map_err(|error| error.within(&format!("[{i}]")).within(field))?;
    }
    // Amounts of nothing are gone, and what they said with them.
    let role = role.filter(|_| !resources.is_empty());
    Ok((resources, role))
}

/// Reads a list whose role is of no interest.
pub(super) fn read_plain(
    values: Vec<tail::Resource>,
    field: &str,
) -> Result<Resources, DecodeError> {
    Ok(read(values, field)?.0)
}

/// Notes the role, which must be the same as noted before.
pub(super) fn agree(noted: &mut Option<Role>, name: &str) -> Result<(), DecodeError> {
    match noted {
        Some(role) if role.as_str() == name => Ok(()),
        Some(role) => {
            let problem =
                format!("'{}' differs from '{role}': one role only is allowed", shown(name));
            Err(DecodeError::new("", problem))
        }
        None => {
            *noted = Some(Role::new(name)?);
            Ok(())
        }
    }
}

fn read_piece(value: tail::Resource) -> Result<Piece, DecodeError> {
    let tail::Resource { known, tail } = value;
    let name = present(known.name, "name")?;
    if name.is_empty() {
        return Err(DecodeError::new("name", "must not be empty"));
    }
    let kind = known.r#type.and_then(|number| Type::try_from(number).ok());
    let value = match (present(kind, "type")?, known.scalar, known.ranges, known.set) {
        (Type::Scalar, scalar, None, None) => {
            let scalar = present(scalar, "scalar")?;
            Value::Scalar(milli(present(scalar.value, "scalar.value")?, "scalar.value")?)
        }
        (Type::Ranges, None, ranges, None) => {
            Value::Ranges(read_ranges(present(ranges, "ranges")?).at("ranges")?)
        }
        (Type::Set, None, None, set) => {
            let items = present(set, "set")?.item;
            Value::Set(items.into_iter().map(Arc::from).collect::<BTreeSet<_>>())
        }
        (Type::Text, ..) => {
            return Err(DecodeError::new("type", "must be SCALAR, RANGES or SET"));
        }
        (Type::Scalar | Type::Ranges | Type::Set, ..) => {
            let problem = "must have a value of its type and of no other";
            return Err(DecodeError::new("type", problem));
        }
    };
    let flavor = Flavor { revocable: known.revocable.is_some(), special: special(&tail)? };
    Ok(Piece { name: ResourceName::new(name), flavor, value })
}

/// A scalar in thousandths, rounded half up as Mesos does.
pub(super) fn milli(value: f64, field: &str) -> Result<u64, DecodeError> {
    if !value.is_finite() || !(0.0..=MOST).contains(&value) {
        let value = error::number(value);
        let problem = format!("must be a number from 0 to {MOST}, is {value}");
        return Err(DecodeError::new(field, problem));
    }
    // In range, so the cast is exact.
    Ok((value * 1000.0).round() as u64)
}

pub(super) fn read_ranges(ranges: w::value::Ranges) -> Result<Ranges, DecodeError> {
    let pairs: Vec<(u64, u64)> = list_with(ranges.range, "range", |range: w::value::Range| {
        let (begin, end) = (present(range.begin, "begin")?, present(range.end, "end")?);
        if end < begin {
            let problem = format!("must not be less than 'begin': {end} < {begin}");
            return Err(DecodeError::new("end", problem));
        }
        Ok((begin, end))
    })?;
    Ok(Ranges::new(pairs))
}

/// What sets a resource apart, in one order of its fields, so that equal things are equal bytes.
fn special(tail: &[u8]) -> Result<Option<Arc<[u8]>>, DecodeError> {
    if tail.is_empty() || tail == UNRESERVED {
        return Ok(None);
    }
    let mut pieces: Vec<(u32, &[u8])> = Vec::new();
    let mut reader = Reader::new(tail);
    loop {
        let before = reader.rest();
        let Some((number, value)) = reader.field().map_err(|e| DecodeError::new("", e))? else {
            break;
        };
        let bytes = &before[..before.len() - reader.rest().len()];
        // `role`, `disk`, `reservation`, `shared`, `provider_id`, `reservations`; nothing else
        // is known to set a resource apart.
        let counts = matches!(number, 6 | 7 | 8 | 10 | 12 | 13);
        if counts && (number, value) != (6, Raw::Bytes(b"*")) {
            pieces.push((number, bytes));
        }
    }
    pieces.sort_by_key(|(number, _)| *number);
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|(_, bytes)| bytes).copied().collect();
    Ok((!bytes.is_empty()).then(|| bytes.into()))
}
