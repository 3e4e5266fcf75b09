//! What comes to a master: streams, HTTP requests, and an operator's questions.

use crate::network::{Conn, Peer};
use crate::node::master::Asker;
use crate::world::{Node, Packet, World};
use master_core::{ConnectionId, Effect, Input, Master, RequestId};
use proto::operator::{self, Response, State};
use proto::scheduler::{self, CallBody};

impl World {
    /// Something arrived on a stream to a master.
    pub(crate) fn master_hears(
        &mut self,
        host: usize,
        conn: Conn,
        peer: Peer,
        packet: Option<Packet>,
    ) {
        let connection = ConnectionId(conn);
        let node = &mut self.masters[host];
        if node.core.is_none() && self.group.is_some() {
            // It does not lead any more, and the stream is being ended.
            return;
        }
        let input = match packet {
            Some(Packet::AgentCall(call)) => Input::AgentCall { connection, call },
            Some(Packet::Call(call)) => match call.body {
                CallBody::Subscribe(subscribe) => {
                    node.streams.insert(conn);
                    let framework_id = call.framework_id;
                    Input::Subscribe { connection, framework_id, call: subscribe, principal: None }
                }
                _ => {
                    let request = node.request(Asker::Stream(conn));
                    Input::Call { request, connection: Some(connection), call }
                }
            },
            Some(Packet::AgentEvent(_) | Packet::Event(_) | Packet::NotLeading(_)) => return,
            None => {
                node.streams.remove(&conn);
                match peer {
                    Peer::Agent(_) => Input::AgentClosed { connection },
                    Peer::Framework(_) => Input::FrameworkClosed { connection },
                }
            }
        };
        self.step_master(host, input);
    }

    /// An HTTP request other than SUBSCRIBE arrived; `stream` is what its header names.
    pub(crate) fn master_gets(&mut self, host: usize, stream: Option<Conn>, call: scheduler::Call) {
        let node = &mut self.masters[host];
        if node.core.is_none() {
            return;
        }
        let request = node.request(Asker::Http);
        let known = stream.filter(|conn| node.streams.contains(conn));
        let connection = known.map(ConnectionId);
        self.step_master(host, Input::Call { request, connection, call });
    }

    /// The number of an operator's request to a master, which waits for its answer.
    pub(crate) fn operator_request(&mut self, host: usize) -> RequestId {
        self.masters[host].request(Asker::Http)
    }

    /// What the master answers to GET_STATE now.
    pub(crate) fn state_of_master(&mut self, host: usize) -> Option<State> {
        let answers = self.asked_of_master(host, operator::Call::GetState);
        answers.into_iter().find_map(|response| match response {
            Response::State(state) => Some(*state),
            _ => None,
        })
    }

    /// What the master answers now to a call that changes nothing.
    pub(crate) fn asked_of_master(&mut self, host: usize, call: operator::Call) -> Vec<Response> {
        if self.masters[host].core.is_none() {
            return Vec::new();
        }
        let request = self.masters[host].request(Asker::Http);
        let effects = self.step_master_core(host, Input::Operator { request, call });
        let mut answers = Vec::new();
        for effect in effects.into_iter().flatten() {
            match effect {
                Effect::Answer { response, .. } => answers.push(*response),
                Effect::Persist(op) => self.masters[host].outbox.persist(op),
                effect => self.masters[host].outbox.push(effect),
            }
        }
        self.pump_master(host);
        let deadline = self.masters[host].core.as_ref().and_then(Master::deadline);
        self.arrange_wake(Node::Master(host), deadline);
        answers
    }
}
