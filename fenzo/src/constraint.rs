//! Constraints: where a task may run (hard) or would rather run (soft).
//!
//! They are first-class values, so that the scheduler can index them, explain them and compare them; a
//! closure is the way out for what they cannot say. Each constraint here is only described; a pass decides
//! it against the hosts of that pass.

use std::cmp::Ordering;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::attribute::{AttributeTest, AttributeValue};
use crate::id::GroupName;
use crate::request::TaskClass;
use crate::topology::Level;
use crate::view::HostView;

/// A rule about the host of a task.
///
/// "Co-tasks" are the tasks of the same group that run already or were placed earlier in the same run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Constraint {
    /// The host's attribute passes a test. The name [`HOSTNAME`](crate::HOSTNAME) tests the host's own name.
    Attribute {
        /// Name of the attribute.
        name: String,
        /// What must hold for it.
        test: AttributeTest,
    },
    /// No co-task is on the host.
    UniqueHost,
    /// No co-task is on any host with the same value of the attribute. A host without the attribute is
    /// refused; a co-task on a host whose attributes are unknown stands in nobody's way.
    UniqueAttribute {
        /// Name of the attribute.
        name: String,
    },
    /// Co-tasks are spread evenly over the values of an attribute ("zone"): with the task, no value has more
    /// than `max_skew` more co-tasks than the value that has fewest. The values are those of all known hosts
    /// that pass the class's hard attribute tests. A host without the attribute is refused.
    Balanced {
        /// Name of the attribute.
        name: String,
        /// Greatest permitted difference; 0 is taken as 1, as nothing could be placed otherwise.
        max_skew: u32,
        /// How many values the cluster is expected to have: while fewer are known, the missing ones count as
        /// values without co-tasks. 0 expects nothing.
        expected_values: u32,
    },
    /// Tasks that have a key (the name of their group, or one of [`TaskClass::keys`]) are at the same place of a
    /// level. Where the class has the key itself and nobody else has it yet, any place will do: so the tasks of
    /// a group gather at one place.
    Affinity {
        /// The key.
        key: GroupName,
        /// The level: hosts, racks, zones.
        level: Level,
    },
    /// No task that has a key is at the same place of a level. It looks at where others are, and does not keep
    /// them off later. A host that is at no place of the level is refused.
    AntiAffinity {
        /// The key.
        key: GroupName,
        /// The level.
        level: Level,
    },
    /// Tasks that have a key are spread evenly over the places of a level, as with [`Constraint::Balanced`].
    Spread {
        /// The key.
        key: GroupName,
        /// The level.
        level: Level,
        /// Greatest permitted difference; 0 is taken as 1.
        max_skew: u32,
    },
    /// No other task is on the host and, if this is a hard constraint, none joins while this one runs. It
    /// sees the tasks of this scheduler only.
    ExclusiveHost,
    /// A closure.
    Custom(CustomConstraint),
}

impl Constraint {
    /// The host's attribute `name` passes `test`.
    pub fn attribute(name: impl Into<String>, test: AttributeTest) -> Self {
        Self::Attribute { name: name.into(), test }
    }

    /// The host's attribute `name` has this value.
    pub fn equals(name: impl Into<String>, value: impl Into<AttributeValue>) -> Self {
        Self::attribute(name, AttributeTest::Equals(value.into()))
    }

    /// At most one task of the group for each value of the attribute `name`.
    pub fn unique_attribute(name: impl Into<String>) -> Self {
        Self::UniqueAttribute { name: name.into() }
    }

    /// Tasks of the group spread over the values of the attribute `name`, with a skew of at most one.
    pub fn balanced(name: impl Into<String>) -> Self {
        Self::Balanced { name: name.into(), max_skew: 1, expected_values: 0 }
    }

    /// At a place of the level where a task with the key is.
    pub fn affinity(key: impl Into<GroupName>, level: Level) -> Self {
        Self::Affinity { key: key.into(), level }
    }

    /// At a place of the level where no task with the key is.
    pub fn anti_affinity(key: impl Into<GroupName>, level: Level) -> Self {
        Self::AntiAffinity { key: key.into(), level }
    }

    /// Tasks with the key spread over the places of the level, with a skew of at most one.
    pub fn spread(key: impl Into<GroupName>, level: Level) -> Self {
        Self::Spread { key: key.into(), level, max_skew: 1 }
    }

    /// A closure that says yes or no. `name` appears in explanations. See [`CustomConstraint`].
    pub fn custom<F>(name: impl Into<String>, test: F) -> Self
    where
        F: Fn(&TaskClass, &HostView<'_>) -> bool + Send + Sync + 'static,
    {
        Self::scored(name, move |class, host| if test(class, host) { 1.0 } else { 0.0 })
    }

    /// A closure that scores a host from 0 (refused, if hard) to 1 (as good as can be).
    pub fn scored<F>(name: impl Into<String>, score: F) -> Self
    where
        F: Fn(&TaskClass, &HostView<'_>) -> f64 + Send + Sync + 'static,
    {
        Self::Custom(CustomConstraint { name: name.into(), score: Arc::new(score) })
    }

    /// The same constraint as a wish: hosts that satisfy it are preferred, in proportion to `weight`.
    #[must_use]
    pub fn soft(self, weight: u32) -> SoftConstraint {
        SoftConstraint { constraint: self, weight }
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attribute { name, test } => write!(f, "{name} {test}"),
            Self::UniqueHost => f.write_str("one task of the group a host"),
            Self::UniqueAttribute { name } => write!(f, "one task of the group a {name}"),
            Self::Balanced { name, max_skew, expected_values: _ } => {
                write!(f, "tasks of the group balanced over {name} (skew {})", (*max_skew).max(1))
            }
            Self::Affinity { key, level } => write!(f, "a {level} where {key} is"),
            Self::AntiAffinity { key, level } => write!(f, "a {level} where no {key} is"),
            Self::Spread { key, level, max_skew } => {
                write!(f, "{key} spread over each {level} (skew {})", (*max_skew).max(1))
            }
            Self::ExclusiveHost => f.write_str("a host of its own"),
            Self::Custom(custom) => f.write_str(&custom.name),
        }
    }
}

/// A wish: a constraint with a weight.
///
/// It scores 1 where it holds and 0 where it does not. Some are graded: balance and spreading score
/// `1 / (1 + tasks beyond the permitted skew)` (over hosts: beyond none), anti-affinity `1 / (1 + tasks with
/// the key)`, affinity to places wider than a host the share of the tasks with the key that the fullest place
/// has, and a closure what it returns. The score of a host is the mean of its soft constraints' scores by
/// weight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SoftConstraint {
    /// What is wished for.
    pub constraint: Constraint,
    /// How much it counts against the other soft constraints of the task; 0 switches it off.
    pub weight: u32,
}

/// A constraint given as a closure.
///
/// The closure must depend on nothing but its two arguments: within a run it is asked again only about hosts
/// that have changed. What it returns is brought into 0 ..= 1; not-a-number is 0, and so is a panic, which
/// concerns no other host and no other task. Two custom constraints are equal if they have the same
/// name and share the same closure.
#[derive(Clone)]
pub struct CustomConstraint {
    name: String,
    score: Arc<Scorer>,
}

pub(crate) type Scorer = dyn Fn(&TaskClass, &HostView<'_>) -> f64 + Send + Sync;

impl CustomConstraint {
    /// The name that explanations use.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn score(&self, class: &TaskClass, host: &HostView<'_>) -> f64 {
        guarded(&*self.score, class, host)
    }

    fn identity(&self) -> (&str, *const ()) {
        (&self.name, Arc::as_ptr(&self.score).cast())
    }
}

/// Asks a plugin about a host; if it panics, its answer is 0.
pub(crate) fn guarded(plugin: &Scorer, class: &TaskClass, host: &HostView<'_>) -> f64 {
    unit(judged(plugin, class, host))
}

/// The same, but not-a-number if the plugin panics or says so.
pub(crate) fn judged(plugin: &Scorer, class: &TaskClass, host: &HostView<'_>) -> f64 {
    // A panic leaves nothing half done: plugins get shared references only.
    let answer = catch_unwind(AssertUnwindSafe(|| plugin(class, host)));
    answer.map_or(f64::NAN, |score| score.clamp(0.0, 1.0))
}

/// Brings a plugin's score into 0 ..= 1.
pub(crate) fn unit(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) }
}

impl fmt::Debug for CustomConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CustomConstraint").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for CustomConstraint {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for CustomConstraint {}

impl PartialOrd for CustomConstraint {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CustomConstraint {
    // The address orders classes in a look-up table, which nothing iterates: it decides no placement.
    fn cmp(&self, other: &Self) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}
