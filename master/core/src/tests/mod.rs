//! Core steps: given a small state, feed one input, compare the effects.

mod accept;
mod agents;
mod allocator;
mod bounds;
mod bulk;
mod calls;
mod demand;
mod drain;

mod explain;
mod explain_rules;
mod fairness;
mod invariants;
mod invariants_operations;
mod inverse;
mod kill;
mod life;
mod maintenance;
mod mesos_allocator;
mod mesos_changes;
mod mesos_metrics;
mod mesos_names;
mod mesos_sorter;
mod offers;
mod operation_ends;
mod operations;
mod operator;
mod oracle;
mod partition;
mod quota;
mod random;
mod random_operations;
mod reconcile;
mod recovery;
mod refusals;
mod registry;
mod removal;
mod reservations;
mod roles;

mod subscribe;
mod teardown;
mod update;
mod updates;
mod volume_operations;
mod volumes;
