//! Tests over the simulated kernel, which reports an IRP that is completed twice, completed under a lock, or freed too
//! early. `explore` decides the order of steps where several parties race.

extern crate ksim as _;

mod batch;
mod client;
mod entry;
pub(crate) mod explore;
mod posted_races;
mod queue;
mod queue_races;
mod socket;
