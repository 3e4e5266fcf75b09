//! Steps of the scheduler.
