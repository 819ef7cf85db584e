//! The system's WSK as a client meets it. A process of its own: other tests of the simulation damage memory on purpose.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

extern crate wskrdma_ksim as ksim;

mod bridge;
mod connection;
mod datagram;
mod events;
mod harness;
mod inspect;
mod names;
mod options;
mod registration;
mod stress;
