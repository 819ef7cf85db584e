//! Tests of the completion manager over the simulated kernel.

pub(crate) mod explore;
