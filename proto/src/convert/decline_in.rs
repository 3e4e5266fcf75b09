//! DECLINE in protobuf, straight from bytes to the call.
//!
//! As `offers_out`, the way back: what is declined is read in one pass. Only the usual form is
//! read here: each field at most once, in its type, and nothing besides. Anything else, right or
//! wrong, is left to the general way, which also says what is wrong.

use super::w::scheduler::call::Type;
use crate::scheduler::{Call, CallBody};
use crate::schema::{Reader, Value};
use crate::{Filters, FrameworkId, Limits, OfferId};

/// Messages inside messages: the call, the decline, an id.
const DEPTH: usize = 3;

/// The call, if it is a DECLINE in the usual form.
pub(super) fn read(bytes: &[u8], limits: &Limits) -> Option<Call> {
    if bytes.len() > limits.body_bytes || limits.depth < DEPTH {
        return None;
    }
    let (mut framework_id, mut kind, mut body) = (None, None, None);
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.field().ok()? {
        let again = match field {
            (1, Value::Bytes(bytes)) => {
                framework_id.replace(FrameworkId::new(id(bytes, limits)?).ok()?).is_some()
            }
            (2, Value::Varint(number)) => kind.replace(number).is_some(),
            (5, Value::Bytes(bytes)) => body.replace(bytes).is_some(),
            _ => true,
        };
        if again {
            return None;
        }
    }
    if kind? != Type::Decline as u64 {
        return None;
    }
    let (offer_ids, filters) = decline(body?, limits)?;
    // Without one it is no call, and the general way says so.
    Some(Call { framework_id: Some(framework_id?), body: CallBody::Decline { offer_ids, filters } })
}

fn decline(bytes: &[u8], limits: &Limits) -> Option<(Vec<OfferId>, Filters)> {
    let mut offer_ids = Vec::new();
    let mut filters = None;
    let mut reader = Reader::new(bytes);
    while let Some(field) = reader.field().ok()? {
        match field {
            (1, Value::Bytes(bytes)) if offer_ids.len() < limits.list_items => {
                offer_ids.push(OfferId::new(id(bytes, limits)?).ok()?);
            }
            (2, Value::Bytes(bytes)) if filters.is_none() => filters = Some(refuse(bytes)?),
            _ => return None,
        }
    }
    Some((offer_ids, Filters::from_seconds(filters.flatten())))
}

/// `refuse_seconds` of filters.
fn refuse(bytes: &[u8]) -> Option<Option<f64>> {
    let mut reader = Reader::new(bytes);
    let seconds = match reader.field().ok()? {
        None => None,
        Some((1, Value::Fixed64(bits))) => Some(f64::from_bits(bits)),
        Some(_) => return None,
    };
    reader.rest().is_empty().then_some(seconds)
}

/// The text of a message whose one field is a text.
fn id<'a>(bytes: &'a [u8], limits: &Limits) -> Option<&'a str> {
    let mut reader = Reader::new(bytes);
    match reader.field().ok()? {
        Some((1, Value::Bytes(text))) if reader.rest().is_empty() => {
            (text.len() <= limits.name_bytes).then(|| std::str::from_utf8(text).ok()).flatten()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{self as convert, w};
    use super::*;
    use crate::{Encoding, Wire, schema, testing};
    use proptest::prelude::*;

    fn generally(bytes: &[u8], limits: &Limits) -> Option<Call> {
        let schema = &schema::MESOS__V1__SCHEDULER__CALL;
        let wire: w::scheduler::Call =
            convert::read(bytes, schema, Encoding::Protobuf, limits).ok()?;
        wire.try_into().ok()
    }

    proptest! {
        #[test]
        fn what_is_read_here_is_what_is_read_in_general(
            call in testing::call(),
            at: prop::sample::Index,
            byte: u8,
            list_items in 0..4_usize,
        ) {
            let limits = Limits { list_items, ..Limits::DEFAULT };
            let mut bytes = call.encode(Encoding::Protobuf).to_vec();
            let usual = read(&bytes, &Limits::DEFAULT);
            let is_decline = matches!(call.body, CallBody::Decline { .. });
            prop_assert_eq!(usual.is_some(), is_decline);
            for _ in 0..2 {
                for limits in [&limits, &Limits::DEFAULT] {
                    if let Some(call) = read(&bytes, limits) {
                        prop_assert_eq!(Some(call), generally(&bytes, limits));
                    }
                }
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
    }

    #[test]
    fn a_field_that_stands_twice_is_left_to_the_general_way() {
        let body = CallBody::Decline {
            offer_ids: vec![OfferId::new("o").unwrap()],
            filters: Filters::none(),
        };
        let call = Call { framework_id: Some(FrameworkId::new("f").unwrap()), body };
        let once = call.encode(Encoding::Protobuf);
        assert_eq!(read(&once, &Limits::DEFAULT), Some(call));
        assert_eq!(read(&[&once[..], &once[..]].concat(), &Limits::DEFAULT), None);
    }
}
