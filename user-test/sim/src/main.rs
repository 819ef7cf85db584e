//! Seeded simulation of whole machines with the driver: one process is one seed.
//!
//! A seed decides the machines, what goes wrong, what their clients do, and every choice that the simulated kernel has: who
//! runs, what fails, when a provider answers. [`ksim::sim`] makes the run; this program makes machines and clients, and holds
//! everything that a client can see against a model. `cargo xtask sim` runs many seeds and makes failures small.
//!
//! | module | is |
//! |---|---|
//! | `plan` | a seed read out: conditions and operations |
//! | `machine`, `nic` | a kernel world with the driver running in it; a NIC with RDMA |
//! | `breaks` | what happens to a machine beside that |
//! | `request`, `callbacks` | a WSK call with its IRP; event callbacks |
//! | `actor` | a client that does its operations, one task |
//! | `model` | what a byte stream and its two sockets may do |
//! | `plant` | faults that are put in on purpose, to see them found |
//! | `scenario` | all of it from the start of the machines to the proof that nothing is left |
//! | `report` | one line of JSON |
//!
//! It is for one run in one process: what a run leaves in statics would be the next one's weather.

mod actor;
mod breaks;
mod callbacks;
mod machine;
mod model;
mod nic;
mod plan;
mod plant;
mod report;
mod request;
mod scenario;

use std::process::ExitCode;

use clap::Parser;
use plan::Plan;

/// Runs one seed, and prints one line of JSON.
#[derive(Parser)]
struct Cli {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// Numbers of operations that are left out.
    #[arg(long, value_delimiter = ',')]
    without: Vec<usize>,
    /// Put the trace into the report of a run that ends well, with every change of tasks.
    #[arg(long)]
    trace: bool,
    /// Plant a fault that the run has to find.
    #[arg(long)]
    plant: Option<plant::Plant>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut plan = Plan::draw(cli.seed);
    plan.leave_out(&cli.without);
    plan.schedule.trace_switches = cli.trace;
    plant::set(cli.plant);
    report::watch(&plan);
    let schedule = plan.schedule;
    let run = || {
        scenario::play(&plan);
        if cli.trace { ksim::sim::trace() } else { Vec::new() }
    };
    let (trace, summary) = ksim::sim::run(cli.seed, schedule, run);
    report::passed(&plan, &summary, &trace)
}
