//! Whole stores on a real disk, with archives made here, honest and other.

mod archives;
mod hostile;
mod keeping;
mod layouts;
mod rig;
