//! Whole stores on a real disk, with archives made here, honest and other.

mod archives;
mod fetched;
mod hostile;
mod keeping;
mod layouts;
mod rig;
