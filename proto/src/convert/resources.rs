//! Resources: a list of wire resources and the role they are allocated to, as one value.
//!
//! On the wire each resource may say which role it is allocated to; here the holder (offer, task)
//! says it once, so the resources of one list must agree.

use super::{At, flavor, list_with, present, tail, w};
use crate::error::{self, shown};
use crate::wire::tepui::v1::ResourceList;
use crate::{DecodeError, Piece, Quantities, Ranges, ResourceName, Resources, Role, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use w::value::Type;

/// The most of a scalar, in units: 10^12. Thousandths of it are exact in a double.
const MOST: f64 = 1e12;

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

pub(super) fn write_piece(piece: &Piece, style: Style<'_>) -> tail::Resource {
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
    let tail = flavor::write(&piece.flavor, style.old_role);
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
        read_one(value, &mut role)
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
    sums(&resources).map_err(|error| error.within(field))?;
    // Amounts of nothing are gone, and what they said with them.
    let role = role.filter(|_| !resources.is_empty());
    Ok((resources, role))
}

/// Equal resources of a list are one amount, which must be one that can be written again.
fn sums(resources: &Resources) -> Result<(), DecodeError> {
    match resources.pieces().iter().find(|piece| piece.size() as f64 / 1000.0 > MOST) {
        None => Ok(()),
        Some(piece) => {
            let problem = format!("'{}' adds up to more than {MOST}", shown(piece.name.as_str()));
            Err(DecodeError::new("", problem))
        }
    }
}

/// Reads one resource and notes the role that it is allocated to.
pub(super) fn read_one(
    value: tail::Resource,
    role: &mut Option<Role>,
) -> Result<Piece, DecodeError> {
    let allocated = value.known.allocation_info.as_ref().and_then(|info| info.role.as_deref());
    if let Some(name) = allocated {
        agree(role, name).at("allocation_info.role")?;
    }
    read_piece(value)
}

/// Amounts by name, as a map.
pub(super) fn write_amounts<'a>(
    amounts: impl IntoIterator<Item = (&'a ResourceName, u64)>,
) -> BTreeMap<String, w::value::Scalar> {
    let amount = |(name, milli): (&ResourceName, u64)| {
        (name.as_str().to_owned(), scalar(milli as f64 / 1000.0))
    };
    amounts.into_iter().map(amount).collect()
}

/// Amounts by name, zeros included.
pub(super) fn read_amounts(
    wire: BTreeMap<String, w::value::Scalar>,
    field: &str,
) -> Result<BTreeMap<ResourceName, u64>, DecodeError> {
    let amount = |(name, value): (String, w::value::Scalar)| {
        if name.is_empty() {
            return Err(DecodeError::new("", "must have no empty name").within(field));
        }
        let read = present(value.value, "value").and_then(|value| milli(value, "value"));
        let read = read.map_err(|error| error.under(&name).within(field))?;
        Ok((ResourceName::new(name), read))
    };
    wire.into_iter().map(amount).collect()
}

/// Amounts by name, where zero is the same as nothing.
pub(super) fn read_quantities(
    wire: BTreeMap<String, w::value::Scalar>,
    field: &str,
) -> Result<Quantities, DecodeError> {
    let mut all = Quantities::default();
    for (name, milli) in read_amounts(wire, field)? {
        all.add(&name, milli);
    }
    Ok(all)
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
    let flavor = flavor::read(known.revocable.is_some(), &tail, &name)?;
    if flavor.special.as_ref().is_some_and(|special| special.disk.is_some())
        && !matches!(value, Value::Scalar(_))
    {
        return Err(DecodeError::new("type", "must be SCALAR for disks"));
    }
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

impl From<&Resources> for ResourceList {
    fn from(resources: &Resources) -> Self {
        Self { resources: plain(resources) }
    }
}

impl TryFrom<ResourceList> for Resources {
    type Error = DecodeError;
    fn try_from(wire: ResourceList) -> Result<Self, DecodeError> {
        read_plain(wire.resources, "resources")
    }
}
