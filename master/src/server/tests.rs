//! The server between connections, core and registrar.

use super::*;
use crate::reads::{ReadLimits, Reads};
use crate::registrar::{Confirmed, Done};
use master_core::Registry;
use proto::{AgentId, AgentInfo, MasterId, Resources};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// Makes everything durable at once, and says that so many bytes are not.
struct Behind(Arc<AtomicUsize>);

impl Registrar for Behind {
    fn propose(&mut self, _: Vec<RegistryOp>, done: Done) {
        done(Ok(()));
    }

    fn backlog(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn surely_leads(&self) -> bool {
        true
    }

    fn confirm(&self) -> Confirmed<'_> {
        Box::pin(std::future::ready(()))
    }
}

/// A server that expects one agent back for a millisecond.
fn server(backlog: &Arc<AtomicUsize>) -> Server {
    let mut config = Config::new("/nowhere", "localhost");
    config.options.agent_reregister_timeout = Duration::from_millis(1);
    let mut registry = Registry::new();
    let info = AgentInfo {
        id: Some(AgentId::new("m-S0").unwrap()),
        hostname: Arc::from("host"),
        port: 1,
        resources: Resources::default(),
        attributes: Vec::new(),
        domain: None,
    };
    let (version, registered) = (Arc::from("1"), proto::Time::ZERO);
    registry.apply(&RegistryOp::AdmitAgent { info, version, nonce: None, registered });
    let opened = OpenRegistry {
        registry,
        master_id: MasterId::new("m").unwrap(),
        registrar: Box::new(Behind(Arc::clone(backlog))),
    };
    let limits = ReadLimits { at_a_time: config.reads, wait: config.read_wait };
    let (reads, feed) = Reads::start(1, config.cut_off_grace, limits).unwrap();
    let (http, agents, standing) = (Arc::default(), Arc::default(), Standing::of_nobody());
    let elsewhere = Elsewhere { http, reads: reads.counts(), agents, standing };
    let address = SocketAddr::from(([127, 0, 0, 1], 5050));
    Server::new(&config, address, opened, Clock::start(), feed, elsewhere)
}

#[tokio::test]
async fn while_the_disk_is_behind_nothing_is_read_and_no_time_passes() {
    let backlog = Arc::new(AtomicUsize::new(MAX_BACKLOG));
    let mut server = server(&backlog);
    let given_up = |server: &Server| server.core.counters().agents_unreachable;
    let (inbox, messages) = mpsc::channel(1);
    assert!(timeout(Duration::from_millis(100), server.serve(messages)).await.is_err());
    assert_eq!(given_up(&server), 0);
    drop(inbox);
    backlog.store(0, Ordering::Relaxed);
    for _ in 0..600 {
        let (_inbox, messages) = mpsc::channel(1);
        assert!(timeout(Duration::from_millis(100), server.serve(messages)).await.is_err());
        if given_up(&server) == 1 {
            return;
        }
    }
    panic!("the agent is expected for ever");
}
