//! The supervisor: the small process that runs an agent's tasks and outlives the agent.
//!
//! One per agent, in a session and cgroup of its own. It forks the tasks, owns their exit
//! statuses and their output, and keeps doing so while the agent is killed, upgraded or restarted;
//! a new agent connects to its socket, hears of everything that runs or has ended without being
//! acknowledged, and carries on. It decides nothing by itself except what must happen without an
//! agent: ending a task whose kill grace has run out, and killing a container that ran out of
//! memory.
//!
//! It uses no async runtime and little memory, because spawning is cheap only from a small
//! process. It must never block on the agent or on a task, and never reuse anything of one task
//! for another before it has checked that nothing of the former is left.

pub(crate) mod client;
pub mod options;
pub mod task;
pub(crate) mod wire;
