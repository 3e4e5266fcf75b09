//! Whole groups on one thread, in virtual time, over a network and disks that fail by a script that
//! a seed wrote. After each step the properties are checked; at the end all must be well again.

mod checks;
mod faults;
mod membership;
mod runs;
mod world;
