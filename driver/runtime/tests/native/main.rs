//! The whole driver in this process: provider and software adapter over the simulated kernel, driven by a WSK client.
//!
//! | module | does |
//! |---|---|
//! | `world` | a WSK client whose every IRP is watched, and the check that nothing is left behind |
//! | `calls`, `stage` | what that client calls, and takes for granted |
//! | `cases` | runs the table of [`cases`](::cases) |
//! | `closing` | looks at what a close tells requests |
//! | `crank` | stops the kernel's queues and turns them by hand |
//! | `suspension` | cancels, closes and aborts at every moment of every operation |
//! | `scarcity` | lets every allocation fail once |
//! | `reentrancy` | calls the provider from completion routines |
//! | `filter` | has NICs come and go |
//! | `consumer` | is another NDK consumer, the example of the documentation |
//! | `iwarp` | has the sockets' streams go over the simulated system's TCP |
//! | `nmr` | finds the provider through the Network Module Registrar |
//! | `status` | asks for the status while sockets come and go |
//! | `stress` | does everything at once |
#![cfg(test)]

mod calls;
mod cases;
mod closing;
mod consumer;
mod crank;
mod filter;
mod iwarp;
mod nmr;
mod reentrancy;
mod scarcity;
mod stage;
mod status;
mod stress;
mod suspension;
mod world;
