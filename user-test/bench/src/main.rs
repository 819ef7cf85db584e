//! Measurements. `cargo xtask bench` runs them all and makes a report of them.
//!
//! | module | is |
//! |---|---|
//! | `engine` | operation counts of the stream engine alone |
//! | `world`, `socket`, `request` | the whole driver in this process, and a WSK client of it |
//! | `ways` | the ways that stand beside each other |
//! | `measure`, `cases` | time |

mod cases;
mod counts;
mod engine;
mod layer;
mod measure;
mod request;
mod socket;
mod ways;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use cases::{Path, Stage};
use clap::{Parser, Subcommand};
use world::Rings;

/// Measurements of the driver in this process, over the simulated kernel.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Time of all ways beside each other; a line of JSON for each.
    Time {
        /// Fewer sizes and samples.
        #[arg(long)]
        quick: bool,
    },
    /// Operation counts of messages; a line of JSON for each kind.
    Counts,
    /// One way so many times, for a program that counts instructions inside the function `measured`.
    Once {
        /// ping-pong or stream.
        measure: String,
        /// The way's name.
        way: String,
        /// Octets of a message.
        octets: usize,
        /// Times.
        times: u64,
        /// The driver's connections go over TCP.
        #[arg(long)]
        tcp: bool,
    },
    /// Operation counts of the stream engine for several sizes of messages.
    Engine,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Time { quick } => {
            ksim::bare::without_checks();
            cases::all(quick, |row| println!("{}", serde_json::json!(row)))
        }
        Command::Counts => {
            ksim::bare::run_own_dpcs();
            counts::all(|counts| println!("{counts}"))
        }
        Command::Once { measure, way, octets, times, tcp } => {
            ksim::bare::without_checks();
            let path = if tcp { Path::Tcp } else { Path::Rdma };
            let stage = Stage::start(path, Rings::Whole)?;
            let mut way = stage.way(&measure, &way, octets)?;
            way.run(256)?;
            measure::measured(&mut *way, times)
        }
        Command::Engine => engine::print(),
    }
}
