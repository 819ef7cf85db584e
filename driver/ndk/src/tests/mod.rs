//! The consumer over the software adapter, in each of its three ways to answer.

mod adapter;
mod connecting;
mod gate;
mod harness;
mod listening;
mod memory;
mod posting;
mod scarcity;
mod teardown;
