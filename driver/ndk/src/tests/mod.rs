//! The consumer over the software adapter, in each of its three ways to answer.

mod adapter;
mod connecting;
#[expect(dead_code, reason = "here it is only held")]
#[path = "../../../runtime/tests/native/crank.rs"]
mod crank;
mod exposing;
mod gate;
mod harness;
mod listening;
mod memory;
mod misbehaving;
mod patience;
mod posting;
mod scarcity;
mod sharing;
mod strays;
mod teardown;
