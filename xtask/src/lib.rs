//! All tooling: setup, build, demo, test, package, verify, ci.
//!
//! Every command first calls [`setup::ensure`], so that on a fresh machine any of them works at once. The commands are in
//! `main.rs`; what they are made of is here, for tests of other crates as well.
//!
//! | module | is |
//! |---|---|
//! | [`workspace`] | where things are |
//! | [`command`], [`progress`] | running programs, and showing what happens |
//! | [`setup`] | what a machine needs |
//! | `kit` | the stand-in for an installed WDK |
//! | [`build`] | the Windows artefacts |
//! | [`wine`] | running them under Wine |
//! | [`tidy`] | rules of the repository |

pub mod build;
pub mod command;
mod kit;
pub mod progress;
pub mod setup;
pub mod tidy;
pub mod wine;
pub mod workspace;
