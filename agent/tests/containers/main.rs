//! Real containers: a real supervisor process, real tasks, real cgroups where they are permitted.

mod life;
mod limits;
mod restart;
mod rig;
