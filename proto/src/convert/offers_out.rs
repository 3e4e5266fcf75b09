//! OFFERS in protobuf, straight from offers to bytes.
//!
//! No message leaves a master as often: a thousand frameworks decline what they get as fast as they
//! get it. Through prost's structs every text of an offer would be copied into one of its own
//! first. The bytes are those that prost writes for the same structs; what few offers have
//! (reservations, disks, domains) is written by prost here, too.

use super::offer::Reader;
use super::resources::{Style, write_piece};
use super::w;
use crate::{Attribute, AttributeValue, Offer, Piece, Value};
use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, message};
use std::net::IpAddr;
use w::scheduler::event::Type as EventType;
use w::value::Type;

/// About how many bytes an offer has: a wrong guess costs one copy.
const USUAL: usize = 400;

/// An OFFERS event.
pub(super) fn write(offers: &[Offer], reader: Reader) -> Bytes {
    let mut out = Out(Vec::with_capacity(16 + offers.len() * USUAL));
    out.number(1, EventType::Offers as u64);
    out.message(3, |out| {
        for one in offers {
            out.message(1, |out| offer(out, one, reader));
        }
    });
    out.0.into()
}

fn offer(out: &mut Out, offer: &Offer, reader: Reader) {
    let role = reader.multi_role.then_some(&offer.role);
    let style = Style { role, old_role: !reader.refinement };
    out.id(1, offer.id.as_str());
    out.id(2, offer.framework_id.as_str());
    out.id(3, offer.agent_id.as_str());
    out.text(4, &offer.hostname);
    for one in offer.resources.pieces() {
        if one.flavor.is_plain() && !style.old_role {
            out.message(5, |out| piece(out, one, style));
        } else {
            out.prost(5, &write_piece(one, style));
        }
    }
    for id in &offer.executor_ids {
        out.id(6, id.as_str());
    }
    for one in &*offer.attributes {
        attribute(out, one);
    }
    url(out, &offer.hostname, offer.port);
    if let Some(unavailability) = offer.unavailability {
        out.prost(9, &w::Unavailability::from(unavailability));
    }
    if let Some(role) = role {
        out.id(10, role.as_str());
    }
    if let Some(domain) = &offer.domain {
        out.prost(11, &w::DomainInfo::from(domain));
    }
}

/// A plain piece of resources.
fn piece(out: &mut Out, piece: &Piece, style: Style<'_>) {
    out.text(1, piece.name.as_str());
    match &piece.value {
        Value::Scalar(milli) => {
            out.number(2, Type::Scalar as u64);
            out.message(3, |out| out.double(1, *milli as f64 / 1000.0));
        }
        Value::Ranges(ranges) => {
            out.number(2, Type::Ranges as u64);
            out.message(4, |out| {
                for (begin, end) in ranges.pairs() {
                    out.message(1, |out| {
                        out.number(1, *begin);
                        out.number(2, *end);
                    });
                }
            });
        }
        Value::Set(items) => {
            out.number(2, Type::Set as u64);
            out.message(5, |out| items.iter().for_each(|item| out.text(1, item)));
        }
    }
    if let Some(role) = style.role {
        out.id(11, role.as_str());
    }
}

fn attribute(out: &mut Out, attribute: &Attribute) {
    match &attribute.value {
        AttributeValue::Text(text) => out.message(7, |out| {
            out.text(1, &attribute.name);
            out.number(2, Type::Text as u64);
            out.message(5, |out| out.text(1, text));
        }),
        AttributeValue::Scalar(_) | AttributeValue::Ranges(_) => {
            out.prost(7, &w::Attribute::from(attribute));
        }
    }
}

/// Where the agent's API is.
fn url(out: &mut Out, hostname: &str, port: u16) {
    out.message(8, |out| {
        out.text(1, "http");
        out.message(2, |out| {
            out.text(1, hostname);
            if let Ok(ip) = hostname.parse::<IpAddr>() {
                out.text(2, &ip.to_string());
            }
            out.number(3, port.into());
        });
        out.text(3, super::offer::AGENT_PATH);
    });
}

/// Bytes of a message under way.
struct Out(Vec<u8>);

impl Out {
    fn number(&mut self, field: u32, value: u64) {
        encode_key(field, WireType::Varint, &mut self.0);
        encode_varint(value, &mut self.0);
    }

    fn double(&mut self, field: u32, value: f64) {
        encode_key(field, WireType::SixtyFourBit, &mut self.0);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn text(&mut self, field: u32, text: &str) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        encode_varint(text.len() as u64, &mut self.0);
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A message whose one field, of number 1, is a text: ids, and the role of an allocation.
    fn id(&mut self, field: u32, value: &str) {
        self.message(field, |out| out.text(1, value));
    }

    /// A message made by prost.
    fn prost(&mut self, field: u32, content: &impl Message) {
        message::encode(field, content, &mut self.0);
    }

    /// A message. Its length goes before it once it is known: most are shorter than 128 bytes and
    /// have one byte of length, which is left free; others are moved to make room.
    fn message(&mut self, field: u32, content: impl FnOnce(&mut Self)) {
        encode_key(field, WireType::LengthDelimited, &mut self.0);
        let at = self.0.len();
        self.0.push(0);
        content(self);
        let len = self.0.len() - at - 1;
        if len < 0x80 {
            self.0[at] = len as u8;
            return;
        }
        let more = prost::encoding::encoded_len_varint(len as u64) - 1;
        self.0.resize(self.0.len() + more, 0);
        self.0.copy_within(at + 1..at + 1 + len, at + 1 + more);
        let mut place = &mut self.0[at..=at + more];
        encode_varint(len as u64, &mut place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Event;
    use crate::testing;
    use proptest::prelude::*;

    /// As it would be written through prost's structs.
    fn by_prost(offers: &[Offer], reader: Reader) -> Vec<u8> {
        let offers = offers.iter().map(|offer| super::super::offer::write(offer, reader));
        let event = w::scheduler::Event {
            r#type: Some(EventType::Offers as i32),
            offers: Some(w::scheduler::event::Offers { offers: offers.collect() }),
            ..w::scheduler::Event::default()
        };
        event.encode_to_vec()
    }

    proptest! {
        #[test]
        fn the_bytes_are_prosts(
            event in testing::event(),
            name in "[a-z]{1,200}",
            multi_role: bool,
            refinement: bool,
        ) {
            let Event::Offers(mut offers) = event else { return Ok(()) };
            let reader = Reader { multi_role, refinement };
            prop_assert_eq!(&write(&offers, reader)[..], by_prost(&offers, reader));
            // Lengths of one byte and of more.
            for (at, offer) in offers.iter_mut().enumerate() {
                let hostname = if at % 2 == 0 { name.clone() } else { "10.0.0.1".to_owned() };
                offer.hostname = hostname.into();
            }
            let many: Vec<Offer> = offers.iter().cycle().take(offers.len() * 60).cloned().collect();
            prop_assert_eq!(&write(&many, reader)[..], by_prost(&many, reader));
        }
    }
}
