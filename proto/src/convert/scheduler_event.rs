//! Events of the scheduler API.

use super::offer::{self, Reader};
use super::{
    At, list, maybe, need, offers_out, port, present, read, scheduler_state, schema, text, time, w,
    write,
};
use crate::scheduler::{Event, MasterInfo};
use crate::{Capabilities, Capability, DecodeError, Encoding, Limits, MasterId, Wire};
use bytes::Bytes;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use w::scheduler::event::{self as wire, Type};

/// Mesos' interval of heartbeats, for masters that do not say theirs.
const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(15);

impl Event {
    /// The event as a framework of these capabilities wants it: offers name their role only to
    /// frameworks with MULTI_ROLE, and unreserved resources say `role: "*"` to frameworks without
    /// RESERVATION_REFINEMENT. `Wire::encode` writes for a framework that has both.
    pub fn encode_for(&self, capabilities: Capabilities, encoding: Encoding) -> Bytes {
        let reader = Reader {
            multi_role: capabilities.has(Capability::MultiRole),
            refinement: capabilities.has(Capability::ReservationRefinement),
        };
        self.encode_to(reader, encoding)
    }

    fn encode_to(&self, reader: Reader, encoding: Encoding) -> Bytes {
        match (self, encoding) {
            (Self::Offers(offers), Encoding::Protobuf) => offers_out::write(offers, reader),
            _ => write(&event(self, reader), &schema::MESOS__V1__SCHEDULER__EVENT, encoding),
        }
    }
}

impl Wire for Event {
    fn encode(&self, encoding: Encoding) -> Bytes {
        self.encode_to(Reader::MODERN, encoding)
    }

    fn decode(bytes: &[u8], encoding: Encoding, limits: &Limits) -> Result<Self, DecodeError> {
        let schema = &schema::MESOS__V1__SCHEDULER__EVENT;
        read::<w::scheduler::Event>(bytes, schema, encoding, limits)?.try_into()
    }
}

fn event(event: &Event, reader: Reader) -> w::scheduler::Event {
    let mut out = w::scheduler::Event::default();
    let kind = match event {
        Event::Subscribed { framework_id, heartbeat_interval, master } => {
            out.subscribed = Some(wire::Subscribed {
                framework_id: Some(framework_id.into()),
                heartbeat_interval_seconds: Some(heartbeat_interval.as_secs_f64()),
                master_info: Some(master.into()),
            });
            Type::Subscribed
        }
        Event::Offers(offers) => {
            let offers = offers.iter().map(|offer| offer::write(offer, reader)).collect();
            out.offers = Some(wire::Offers { offers });
            Type::Offers
        }
        Event::Rescind(offer_id) => {
            out.rescind = Some(wire::Rescind { offer_id: Some(offer_id.into()) });
            Type::Rescind
        }
        Event::Update(status) => {
            out.update = Some(wire::Update { status: Some(status.into()) });
            Type::Update
        }
        Event::Message { agent_id, executor_id, data } => {
            out.message = Some(wire::Message {
                agent_id: Some(agent_id.into()),
                executor_id: Some(executor_id.into()),
                data: Some(data.to_vec()),
            });
            Type::Message
        }
        Event::Failure { agent_id, executor_id, status } => {
            let agent_id = agent_id.as_ref().map(Into::into);
            let executor_id = executor_id.as_ref().map(Into::into);
            out.failure = Some(wire::Failure { agent_id, executor_id, status: *status });
            Type::Failure
        }
        Event::Error(message) => {
            out.error = Some(wire::Error { message: Some(message.to_string()) });
            Type::Error
        }
        Event::Heartbeat => Type::Heartbeat,
        Event::InverseOffers(offers) => {
            let inverse_offers = offers.iter().map(Into::into).collect();
            out.inverse_offers = Some(wire::InverseOffers { inverse_offers });
            Type::InverseOffers
        }
        Event::RescindInverseOffer(id) => {
            let inverse_offer_id = Some(id.into());
            out.rescind_inverse_offer = Some(wire::RescindInverseOffer { inverse_offer_id });
            Type::RescindInverseOffer
        }
        Event::UpdateOperationStatus(status) => {
            let status = Some(status.into());
            out.update_operation_status = Some(wire::UpdateOperationStatus { status });
            Type::UpdateOperationStatus
        }
        Event::Refused { call, code, message } => {
            out.refused = Some(write_refused(call, *code, message));
            Type::Refused
        }
        Event::State(answer) => {
            out.state = Some(scheduler_state::write_answer(answer));
            Type::State
        }
    };
    out.r#type = Some(kind as i32);
    out
}

fn write_refused(call: &str, code: u16, message: &str) -> wire::Refused {
    wire::Refused {
        call: Some(call.to_owned()),
        code: Some(code.into()),
        message: Some(message.to_owned()),
    }
}

impl TryFrom<w::scheduler::Event> for Event {
    type Error = DecodeError;
    fn try_from(event: w::scheduler::Event) -> Result<Self, DecodeError> {
        let kind = event.r#type.and_then(|number| Type::try_from(number).ok());
        match present(kind, "type")? {
            Type::Subscribed => {
                subscribed(present(event.subscribed, "subscribed")?).at("subscribed")
            }
            Type::Offers => {
                let offers = present(event.offers, "offers")?.offers;
                Ok(Self::Offers(list(offers, "offers").at("offers")?))
            }
            Type::Rescind => {
                let offer_id = present(event.rescind, "rescind")?.offer_id;
                Ok(Self::Rescind(need(offer_id, "offer_id").at("rescind")?))
            }
            Type::Update => {
                let status = present(event.update, "update")?.status;
                Ok(Self::Update(need(status, "status").at("update")?))
            }
            Type::Message => message(present(event.message, "message")?).at("message"),
            Type::Failure => failure(event.failure.unwrap_or_default()).at("failure"),
            Type::Error => {
                let message = present(event.error, "error")?.message;
                Ok(Self::Error(text(message, "message").at("error")?))
            }
            Type::Heartbeat => Ok(Self::Heartbeat),
            Type::State => scheduler_state::read_answer(present(event.state, "state")?).at("state"),
            Type::Refused => refused(present(event.refused, "refused")?).at("refused"),
            Type::InverseOffers => {
                let offers = present(event.inverse_offers, "inverse_offers")?.inverse_offers;
                Ok(Self::InverseOffers(list(offers, "inverse_offers").at("inverse_offers")?))
            }
            Type::RescindInverseOffer => {
                let field = "rescind_inverse_offer";
                let id = present(event.rescind_inverse_offer, field)?.inverse_offer_id;
                Ok(Self::RescindInverseOffer(need(id, "inverse_offer_id").at(field)?))
            }
            Type::UpdateOperationStatus => {
                let field = "update_operation_status";
                let status = present(event.update_operation_status, field)?.status;
                Ok(Self::UpdateOperationStatus(need(status, "status").at(field)?))
            }
            Type::Unknown => Err(DecodeError::new("type", "UNKNOWN is not known here")),
        }
    }
}

fn subscribed(wire: wire::Subscribed) -> Result<Event, DecodeError> {
    let field = "heartbeat_interval_seconds";
    let heartbeat_interval = wire
        .heartbeat_interval_seconds
        .map_or(Ok(DEFAULT_HEARTBEAT), |seconds| time::interval(seconds, field))?;
    Ok(Event::Subscribed {
        framework_id: need(wire.framework_id, "framework_id")?,
        heartbeat_interval,
        master: need(wire.master_info, "master_info")?,
    })
}

fn message(wire: wire::Message) -> Result<Event, DecodeError> {
    Ok(Event::Message {
        agent_id: need(wire.agent_id, "agent_id")?,
        executor_id: need(wire.executor_id, "executor_id")?,
        data: present(wire.data, "data")?.into(),
    })
}

fn failure(wire: wire::Failure) -> Result<Event, DecodeError> {
    Ok(Event::Failure {
        agent_id: maybe(wire.agent_id, "agent_id")?,
        executor_id: maybe(wire.executor_id, "executor_id")?,
        status: wire.status,
    })
}

fn refused(wire: wire::Refused) -> Result<Event, DecodeError> {
    Ok(Event::Refused {
        call: text(wire.call, "call")?,
        code: port(present(wire.code, "code")?, "code")
            .map_err(|_| DecodeError::new("code", "must be a status code"))?,
        message: text(wire.message, "message")?,
    })
}

impl From<&MasterInfo> for w::MasterInfo {
    fn from(info: &MasterInfo) -> Self {
        // Mesos packs the address in network order: the first part is the lowest byte.
        let ip = (info.ip != 0).then(|| Ipv4Addr::from(info.ip.to_le_bytes()).to_string());
        Self {
            id: Some(info.id.as_str().to_owned()),
            ip: Some(info.ip),
            port: Some(info.port.into()),
            pid: ip.as_ref().map(|ip| format!("master@{ip}:{}", info.port)),
            hostname: Some(info.hostname.to_string()),
            version: Some(info.version.to_string()),
            address: Some(w::Address {
                hostname: Some(info.hostname.to_string()),
                ip,
                port: Some(info.port.into()),
            }),
        }
    }
}

impl TryFrom<w::MasterInfo> for MasterInfo {
    type Error = DecodeError;
    fn try_from(wire: w::MasterInfo) -> Result<Self, DecodeError> {
        Ok(Self {
            id: MasterId::new(present(wire.id, "id")?).at("id")?,
            hostname: wire.hostname.map_or_else(|| Arc::from(""), Into::into),
            ip: present(wire.ip, "ip")?,
            port: port(present(wire.port, "port")?, "port")?,
            version: wire.version.map_or_else(|| Arc::from(""), Into::into),
        })
    }
}
