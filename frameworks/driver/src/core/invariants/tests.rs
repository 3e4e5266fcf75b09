//! Planted violations: each invariant is reported when it is broken.
