//! Where the cluster's own programs listen, as far as this agent knows: tasks with networks of their
//! own have no business there.

use crate::supervisor::task::Closed;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use tokio::sync::watch;

/// Addresses that are kept at the most. Masters are few; they tell who leads.
const MOST: usize = 1024;

/// What is known so far. It becomes more as masters are met, and never less: who was a master may
/// be one again.
#[derive(Clone, Debug)]
pub(crate) struct Endpoints(Arc<watch::Sender<Closed>>);

impl Endpoints {
    /// Those of an agent that listens at this port, and where the server hears of more.
    pub(crate) fn of(own: u16) -> (Self, watch::Receiver<Closed>) {
        let closed = Closed { here: [own].into(), ..Closed::default() };
        let (sender, receiver) = watch::channel(closed);
        (Self(Arc::new(sender)), receiver)
    }

    /// A master is at `HOST:PORT`. One whose name is not known is learned of when it is tried again.
    pub(crate) async fn learn(&self, address: &str) {
        let Ok(found) = tokio::net::lookup_host(address).await else { return };
        for place in found {
            // There is no IPv6 in tasks' networks.
            let SocketAddr::V4(place) = place else { continue };
            self.0.send_if_modified(|closed| add(closed, place));
        }
    }
}

/// Whether this is news. What listens at one address of this host may do so at all of them.
fn add(closed: &mut Closed, place: SocketAddrV4) -> bool {
    if closed.here.len() + closed.there.len() >= MOST {
        return false;
    }
    match is_here(*place.ip()) {
        true => closed.here.insert(place.port()),
        false => closed.there.insert(place),
    }
}

/// Whether an address is this host's: then one may listen there.
fn is_here(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn masters_are_closed_at_their_addresses_and_on_this_host_at_all_of_its_own() {
        let (endpoints, mut closed) = Endpoints::of(5051);
        assert_eq!(closed.borrow_and_update().here, [5051].into());
        endpoints.learn("127.0.0.1:5050").await;
        endpoints.learn("0.0.0.0:5049").await;
        // Of a range for documents.
        endpoints.learn("192.0.2.7:5050").await;
        endpoints.learn("[::1]:5048").await;
        endpoints.learn("no.such.invalid:5050").await;
        let told = closed.borrow_and_update().clone();
        assert_eq!(told.here, [5049, 5050, 5051].into());
        assert_eq!(told.there, ["192.0.2.7:5050".parse().unwrap()].into());
        endpoints.learn("192.0.2.7:5050").await;
        assert!(!closed.has_changed().unwrap(), "nothing new");
    }

    #[test]
    fn they_are_not_without_end() {
        let mut closed = Closed::default();
        let places = (0..=u16::MAX).map(|port| SocketAddrV4::new([192, 0, 2, 7].into(), port));
        let news = places.filter(|place| add(&mut closed, *place)).count();
        assert_eq!((news, closed.there.len()), (MOST, MOST));
    }
}
