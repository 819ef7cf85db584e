//! `wskrdma-test`: the harness program. It talks to the driver and to the test client by IOCTL.
//!
//! On Windows (and under Wine) the devices are those of the loaded drivers. On any other host the same crates run
//! inside this process over the simulated kernel.
//!
//! Exit codes: 0 done, 1 the work failed, 2 the command line is wrong.

mod cases;
mod device;
mod ntstatus;
mod pieces;
mod probe;
mod report;
mod status;
mod transfer;

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Tests and watches wskrdma, the WSK provider that carries streams over RDMA.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Arguments {
    /// Print one JSON object a line instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start both drivers: the provider, then the test client.
    Start,
    /// Stop both drivers: the test client, then the provider.
    Stop,
    /// Show which versions answer.
    Version,
    /// Show adapters, sockets and the path each one takes.
    Status,
    /// Send both devices requests that no right program makes, and check every answer.
    Probe,
    /// Run the WSK conformance cases inside the test client's driver.
    Cases(cases::Options),
    /// Stream a file through two sockets of the test client and write what arrives.
    Transfer {
        /// The file to send.
        file: PathBuf,
        /// Where to write the octets that arrive.
        copy: PathBuf,
        /// Local address that listens; port 0 lets the provider choose.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let text = |e: device::DeviceError| e.to_string();
    match &arguments.command {
        Command::Start => report::lines(arguments.json, "start", &device::start().map_err(text)?),
        Command::Stop => report::lines(arguments.json, "stop", &device::stop().map_err(text)?),
        Command::Version => status::version(arguments.json).map_err(text)?,
        Command::Status => {
            let driver = device::open_driver().map_err(text)?;
            status::show(arguments.json, &status::read(&*driver).map_err(text)?);
        }
        Command::Probe => return report::findings(arguments.json, &probe::run().map_err(text)?),
        Command::Cases(options) => return cases::run(arguments.json, options),
        Command::Transfer { file, copy, listen } => {
            let outcome = transfer::run(file, copy, *listen, &mut report::progress(arguments.json))?;
            report::outcome(arguments.json, &outcome);
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            report::error(arguments.json, &message);
            ExitCode::FAILURE
        }
    }
}
