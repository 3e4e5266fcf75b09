//! Core steps: given a small state, feed one input, compare the effects.

mod smoke;
