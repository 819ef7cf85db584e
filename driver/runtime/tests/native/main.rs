//! The whole driver in this process: provider and software adapter over the simulated kernel, driven by a WSK client.
//!
//! | module | does |
//! |---|---|
//! | `world` | a WSK client whose every IRP is watched, and the check that nothing is left behind |
//! | `cases` | runs the table of [`cases`](::cases) |
#![cfg(test)]

mod cases;
mod world;
