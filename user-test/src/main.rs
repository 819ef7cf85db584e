//! `wskrdma-test`: the harness program. It talks to the driver and to the test client by IOCTL.
//!
//! On Windows (and under Wine) the devices are those of the loaded drivers. On any other host the same crates run
//! inside this process over the simulated kernel.
//!
//! | module | is |
//! |---|---|
//! | `device`, `socket` | a device that answers IOCTLs; sockets of the test client |
//! | `status`, `watch`, `adapters`, `why`, `events` | looking at the driver |
//! | `policy` | its rules |
//! | `transfer`, `files`, `echo`, `bench` | octets through the driver |
//! | `cases`, `probe` | testing it |
//! | `services` | installing, starting and stopping it |
//! | `report`, `failure`, `ntstatus`, `interrupt` | what is printed, how a command ends, Ctrl-C |

mod adapters;
mod bench;
mod cases;
mod device;
mod echo;
mod events;
mod failure;
mod files;
mod interrupt;
mod ntstatus;
mod pieces;
mod policy;
mod probe;
mod report;
mod services;
mod socket;
mod status;
mod transfer;
mod watch;
mod why;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Tests and watches wskrdma, the WSK provider that carries streams over RDMA.
#[derive(Parser)]
#[command(version, arg_required_else_help = true, after_help = failure::EXIT_CODES)]
struct Arguments {
    /// Print one JSON object a line instead of text.
    #[arg(long, global = true)]
    json: bool,
    /// Ports that lead to other processes of this host, over iWARP: FIRST or FIRST-LAST. Connections to other ports stay in
    /// this process.
    #[cfg(not(windows))]
    #[arg(long, global = true, value_name = "PORTS", value_parser = device::host_ports)]
    host_ports: Option<(u16, u16)>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show adapters, sockets and the path each one takes.
    Status(status::Options),
    /// Show the status again and again, with rates.
    Watch(watch::Options),
    /// Show the NDK adapters, and the NICs whose adapter is not open and why.
    Adapters,
    /// Show what a connection would do, and which rule, adapter or earlier failure says so, before anybody connects.
    Why(why::Options),
    /// Show the rules of the policy, check others, or put them into force.
    Policy(policy::Options),
    /// Show what the driver has told of lately: its flight recorder, or that of a crash dump.
    Trace(events::Options),
    /// Show which versions answer.
    Version,
    /// Send back what arrives, or call such a listener and check what comes back.
    Echo(echo::Options),
    /// Send a file over a connection.
    Send(files::Send),
    /// Accept a connection and write what arrives to a file.
    Recv(files::Receive),
    /// Measure throughput and the times of messages.
    Bench(bench::Options),
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
    /// Run the WSK conformance cases inside the test client's driver.
    Cases(cases::Options),
    /// Send both devices requests that no right program makes, and check every answer.
    Probe,
    /// Make the services of both drivers from image files.
    Install(services::Install),
    /// Stop the services of both drivers and delete them.
    Uninstall,
    /// Start both drivers: the provider, then the test client.
    Start,
    /// Stop both drivers: the test client, then the provider.
    Stop,
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let json = arguments.json;
    #[cfg(not(windows))]
    device::join_host(arguments.host_ports);
    match &arguments.command {
        Command::Status(options) => status::run(json, options),
        Command::Watch(options) => watch::run(json, options),
        Command::Adapters => adapters::run(json),
        Command::Why(options) => why::run(json, options),
        Command::Policy(options) => policy::run(json, options),
        Command::Trace(options) => events::run(json, options),
        Command::Version => status::version(json),
        Command::Echo(options) => echo::run(json, options),
        Command::Send(options) => files::send(json, options),
        Command::Recv(options) => files::receive(json, options),
        Command::Bench(options) => bench::run(json, options),
        Command::Transfer { file, copy, listen } => {
            let outcome = transfer::run(file, copy, *listen, &mut report::progress(json))?;
            report::outcome(json, &outcome);
            Ok(())
        }
        Command::Cases(options) => cases::run(json, options),
        Command::Probe => report::findings(json, &probe::run()?),
        Command::Install(options) => services::tell(json, "install", services::install(options)),
        Command::Uninstall => services::tell(json, "uninstall", services::uninstall()),
        Command::Start => services::tell(json, "start", services::start()),
        Command::Stop => services::tell(json, "stop", services::stop()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::error(arguments.json, &failure);
            ExitCode::from(&failure)
        }
    }
}
