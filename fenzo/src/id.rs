//! The names of things: tasks, groups, leases and hosts.
//!
//! Newtypes over shared strings, so that a host's name cannot be passed where a task's id is meant, and
//! cloning one never copies text. They must never carry meaning beyond equality and order: order breaks
//! ties, and nothing else reads the text.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<Arc<str>> for $name {
            fn from(text: Arc<str>) -> Self {
                Self(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

id! {
    /// One task. Unique among the tasks a scheduler is asked to place and those it tracks as running.
    TaskId
}
id! {
    /// The group a task belongs to (its job or service): tasks of one group are each other's co-tasks,
    /// which unique and balanced constraints look at.
    GroupName
}
id! {
    /// One lease: an offer of a host's resources, as its owner names it.
    LeaseId
}
id! {
    /// One host (an agent). Leases with the same host add up; ties between hosts go to the smaller name.
    HostId
}
id! {
    /// A bucket of a queue's tier: the tasks of one owner, which share with those of others.
    BucketName
}
id! {
    /// What a device is: "gpu", or a licence of something. Requests ask for devices by kind.
    DeviceKind
}
id! {
    /// One device of a host, unique there among those of its kind.
    DeviceId
}
id! {
    /// The model of a device, which a request may name.
    DeviceModel
}
