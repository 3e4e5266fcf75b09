//! The agent's shell with a scripted master and the real supervisor.

mod life;
mod restart;
mod rig;
mod start;
