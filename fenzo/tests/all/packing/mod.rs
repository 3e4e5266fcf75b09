//! Devices by id, the fitnesses for them, and looking ahead.

mod devices;
mod look_ahead;
mod openb;
