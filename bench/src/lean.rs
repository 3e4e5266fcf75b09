//! A framework's end of the wire that reads of an OFFERS event only what a DECLINE needs: the ids.
//!
//! One process plays a thousand frameworks, on processors that it shares with the master: what they
//! would do with an offer besides is not what is measured. Events must be right: it panics.

use bytes::Bytes;
use proto::FrameworkId;

/// The DECLINE of all offers of an event, without a filter, and how many they are; none when the
/// event is another.
pub(crate) fn decline(framework_id: &[u8], event: &[u8]) -> Option<(Bytes, usize)> {
    let offers = fields(event).find(|(number, _)| *number == 3)?.1;
    let mut body = Vec::with_capacity(event.len() / 6);
    let mut count = 0;
    for (_, offer) in fields(offers).filter(|(number, _)| *number == 1) {
        let (_, id) = fields(offer).find(|(number, _)| *number == 1).expect("an offer has an id");
        put(&mut body, 1, id);
        count += 1;
    }
    // Filters with `refuse_seconds` of zero.
    put(&mut body, 2, &[0x09, 0, 0, 0, 0, 0, 0, 0, 0]);
    let mut call = Vec::with_capacity(body.len() + framework_id.len() + 16);
    put(&mut call, 1, framework_id);
    // The type, DECLINE.
    call.extend([0x10, 4]);
    put(&mut call, 5, &body);
    Some((call.into(), count))
}

/// A framework's id as a message.
pub(crate) fn message_of(id: &FrameworkId) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, 1, id.as_str().as_bytes());
    bytes
}

/// The fields of a message that are texts, bytes or messages, with their numbers.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let key = varint(&mut rest);
            match key & 7 {
                0 => drop(varint(&mut rest)),
                1 => rest = &rest[8..],
                2 => {
                    let len = varint(&mut rest) as usize;
                    let (content, behind) = rest.split_at(len);
                    rest = behind;
                    return Some((key >> 3, content));
                }
                other => panic!("wire type {other}"),
            }
        }
    })
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for at in 0.. {
        let byte = rest[at];
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = &rest[at + 1..];
            break;
        }
    }
    value
}

fn put(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.push(number << 3 | 2);
    let mut len = content.len();
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::scheduler::{Call, CallBody, Event};
    use proto::{AgentId, Encoding, Filters, Offer, OfferId, Resources, Role, Wire};
    use std::sync::Arc;

    #[test]
    fn all_offers_are_declined_as_a_framework_would() {
        let framework_id = FrameworkId::new("f-0001").unwrap();
        let offer = |n: u32| Offer {
            id: OfferId::new(format!("m-O{n}")).unwrap(),
            framework_id: framework_id.clone(),
            agent_id: AgentId::new("a").unwrap(),
            hostname: Arc::from("h"),
            port: 1,
            role: Role::any(),
            resources: Resources::cpus_mem(1_000, 1_000),
            attributes: Arc::default(),
            domain: None,
            executor_ids: Vec::new(),
            unavailability: None,
        };
        let offers: Vec<Offer> = (0..300).map(offer).collect();
        let ids = offers.iter().map(|offer| offer.id.clone()).collect();
        let event = Event::Offers(offers).encode(Encoding::Protobuf);
        let (call, count) = decline(&message_of(&framework_id), &event).unwrap();
        let body = CallBody::Decline { offer_ids: ids, filters: Filters::none() };
        let usual = Call { framework_id: Some(framework_id.clone()), body };
        assert_eq!((call, count), (usual.encode(Encoding::Protobuf), 300));
        let heartbeat = Event::Heartbeat.encode(Encoding::Protobuf);
        assert_eq!(decline(&message_of(&framework_id), &heartbeat), None);
    }
}
