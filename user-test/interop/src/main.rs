//! The other end of `cargo xtask interop`: the driver in a process of this machine as a peer of Linux programs, and the judge of
//! what was captured between them.
//!
//! Every command prints one line of JSON for each thing that has happened, for the program that started it.

mod capture;
mod ndk;
mod peer;
mod rping;
mod socket;
mod steps;
mod world;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use peer::Peer;
use rping::Rping;

/// Peers of Linux programs, and captures of them.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Be a peer of Linux programs.
    Peer(Peer),
    /// Be a peer of rping.
    Rping(Rping),
    /// Judge captured connections by the wire references, one line each.
    Capture {
        /// A pcap file.
        file: PathBuf,
        /// Addresses of the Linux end.
        #[arg(long, required = true, value_delimiter = ',')]
        linux: Vec<IpAddr>,
        /// Ports that were listened on; others' connections are left out.
        #[arg(long, required = true, value_delimiter = ',')]
        ports: Vec<u16>,
    },
}

/// Tells the program that has started this one.
fn tell(what: &serde_json::Value) {
    println!("{what}");
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
        Command::Peer(peer) => peer.run(),
        Command::Rping(rping) => rping.run(),
        Command::Capture { file, linux, ports } => {
            for connection in capture::read(&file, &linux, &ports)? {
                println!("{}", serde_json::to_string(&connection)?);
            }
            Ok(())
        }
    }
}
