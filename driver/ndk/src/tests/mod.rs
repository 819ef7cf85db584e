//! The consumer over the software adapter, in each of its three ways to answer.

mod adapter;
mod connecting;
mod exposing;
mod gate;
mod harness;
mod listening;
mod memory;
mod misbehaving;
mod posting;
mod scarcity;
mod sharing;
mod teardown;
