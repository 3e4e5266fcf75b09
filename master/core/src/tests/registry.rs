//! The registry's facts, apart from the master.

use crate::registry::{Registry, RegistryOp};
use crate::testing::*;
use proptest::prelude::*;
use proto::{AgentInfo, FrameworkInfo, Time};
use std::sync::Arc;

fn info(n: u8) -> AgentInfo {
    AgentInfo { id: Some(agent_id(&format!("S{n}"))), ..agent_info("h", cpus_mem(1, 64)) }
}

fn framework(n: u8) -> FrameworkInfo {
    FrameworkInfo { id: Some(framework_id(&format!("F{n}"))), ..framework_info("f", &["*"], &[]) }
}

fn op() -> impl Strategy<Value = RegistryOp> {
    let time = (0_u64..1000).prop_map(Time::from_millis);
    (0_u8..16, 0_u8..60, time).prop_map(|(kind, n, at)| match kind {
        0 => RegistryOp::FoundCluster { cluster_id: Arc::from("c") },
        1 => RegistryOp::BeginEpoch { epoch: u64::from(n), master_id: master_id() },
        2 | 3 => RegistryOp::AdmitAgent {
            info: info(n % 5),
            version: Arc::from("1"),
            nonce: (n % 2 == 0).then_some(u64::from(n)),
            registered: at,
        },
        4 => RegistryOp::MarkUnreachable { agent_id: agent_id(&format!("S{}", n % 5)), since: at },
        5 => RegistryOp::MarkReachable { agent_id: agent_id(&format!("S{}", n % 5)) },
        6 => RegistryOp::RemoveAgent { agent_id: agent_id(&format!("S{}", n % 5)) },
        7 => RegistryOp::HoldFramework { info: framework(n), registered: at, deadline: at },
        8 => RegistryOp::ReleaseFramework { framework_id: framework_id(&format!("F{n}")) },
        9 | 10 => {
            RegistryOp::CompleteFramework { info: framework(n), registered: at, unregistered: at }
        }
        11 => RegistryOp::OpenState { info: framework(n % 3), registered: at },
        12 | 13 => RegistryOp::PutState {
            framework_id: framework_id(&format!("F{}", n % 3)),
            key: Arc::from(format!("k{}", n % 4)),
            value: Arc::from([n; 3].as_slice()),
            version: at.as_millis(),
            write: (n % 2 == 0).then_some(u64::from(n)),
        },
        14 => RegistryOp::DeleteState {
            framework_id: framework_id(&format!("F{}", n % 3)),
            key: Arc::from(format!("k{}", n % 4)),
            version: at.as_millis(),
        },
        _ if n % 5 == 0 => RegistryOp::ForgetState {
            framework_id: framework_id(&format!("F{}", n % 3)),
            keys: Vec::new(),
        },
        _ => RegistryOp::SetWeight { role: role("r"), weight_milli: u64::from(n) * 100 },
    })
}

fn master_id() -> proto::MasterId {
    proto::MasterId::new("m").unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The snapshot of any registry rebuilds exactly that registry.
    #[test]
    fn facts_rebuild_the_registry(ops in prop::collection::vec(op(), 0..300)) {
        let mut registry = Registry::new();
        for op in &ops {
            registry.apply(op);
        }
        let mut rebuilt = Registry::new();
        for op in registry.facts() {
            rebuilt.apply(&op);
        }
        prop_assert_eq!(&rebuilt, &registry);
        prop_assert!(registry.completed().len() <= Registry::COMPLETED_KEPT);
    }
}

#[test]
fn an_agent_described_anew_keeps_its_history() {
    let mut registry = Registry::new();
    let admit = |nonce, at| RegistryOp::AdmitAgent {
        info: info(1),
        version: Arc::from("1"),
        nonce,
        registered: Time::from_millis(at),
    };
    registry.apply(&admit(Some(7), 1));
    registry.apply(&RegistryOp::MarkUnreachable { agent_id: agent_id("S1"), since: Time::ZERO });
    registry.apply(&admit(None, 9));
    let agent = &registry.agents()[&agent_id("S1")];
    assert_eq!((agent.nonce, agent.registered), (Some(7), Time::from_millis(1)));
    assert_eq!(agent.unreachable, Some(Time::ZERO));
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let mut registry = Registry::new();
    registry.apply(&RegistryOp::MarkUnreachable { agent_id: agent_id("x"), since: Time::ZERO });
    registry.apply(&RegistryOp::MarkReachable { agent_id: agent_id("x") });
    registry.apply(&RegistryOp::RemoveAgent { agent_id: agent_id("x") });
    registry.apply(&RegistryOp::ReleaseFramework { framework_id: framework_id("x") });
    let nameless = agent_info("h", cpus_mem(1, 64));
    let (version, registered) = (Arc::from("1"), Time::ZERO);
    registry.apply(&RegistryOp::AdmitAgent { info: nameless, version, nonce: None, registered });
    assert_eq!(registry, Registry::new());
}
