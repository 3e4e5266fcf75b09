//! Prost's structs, generated from the .proto files by tests/all/fresh.rs and committed.
//!
//! Private: only the conversions (`convert/`) see them. They can be wrong in every way that the
//! domain types exclude.
#![allow(unreachable_pub, dead_code, clippy::all, reason = "generated code")]
#![allow(missing_docs, rust_2018_idioms, reason = "generated code")]

pub(crate) mod tail;

pub(crate) mod mesos {
    pub(crate) mod v1 {
        include!("mesos.v1.rs");
        pub(crate) mod agent {
            include!("mesos.v1.agent.rs");
        }
        pub(crate) mod allocator {
            include!("mesos.v1.allocator.rs");
        }
        pub(crate) mod executor {
            include!("mesos.v1.executor.rs");
        }
        pub(crate) mod maintenance {
            include!("mesos.v1.maintenance.rs");
        }
        pub(crate) mod master {
            include!("mesos.v1.master.rs");
        }
        pub(crate) mod quota {
            include!("mesos.v1.quota.rs");
        }
        pub(crate) mod scheduler {
            include!("mesos.v1.scheduler.rs");
        }
    }
}

pub(crate) mod tepui {
    pub(crate) mod v1 {
        include!("tepui.v1.rs");
    }
}
