//! All tooling: setup, build, demo, test, package, verify, ci.
//!
//! Every command first calls [`setup::ensure`], so that on a fresh machine any of them works at once. The
//! commands are in `main.rs`; what they are made of is here, for tests of other crates as well.
//!
//! | module | is |
//! |---|---|
//! | [`workspace`] | where things are |
//! | [`command`], [`progress`] | running programs, and showing what happens |
//! | [`setup`] | what a machine needs |
//! | `kit` | the stand-in for an installed WDK |
//! | [`build`] | the Windows artefacts |
//! | [`wine`] | running them under Wine |
//! | [`conformance`] | the WSK conformance cases in every world, as a page |
//! | `interop` | Linux programs as peers |
//! | [`bench`] | measurements, as tables and as a report |
//! | [`demo`] | a file through the driver, for a person to see |
//! | [`test`], [`ci`] | every test; everything that has to hold before a change lands |
//! | [`sim`] | seeded simulation |
//! | [`tidy`] | rules of the repository |
//! | [`verify`] | what can be said about the images and the INF without running them |

pub mod bench;
pub mod build;
pub mod ci;
pub mod command;
pub mod conformance;
pub mod demo;
#[cfg(unix)]
pub mod interop;
mod kit;
pub mod progress;
pub mod reference;
pub mod setup;
pub mod sim;
pub mod test;
pub mod tidy;
pub mod verify;
pub mod wine;
pub mod workspace;

/// A failure that has been told to the user already: only the exit code is missing.
#[derive(Debug)]
pub struct Told;

impl std::error::Error for Told {}

impl std::fmt::Display for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failed")
    }
}
