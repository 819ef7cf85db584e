//! The commands of `cargo xtask`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use xtask::build::{Action, Build};
#[cfg(unix)]
use xtask::interop;
use xtask::test::Worlds;
use xtask::workspace::Workspace;
use xtask::{Told, bench, ci, conformance, demo, reference, setup, sim, test, tidy, verify, wine};

/// Builds, runs and checks wskrdma.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Install what the other commands need; they call this by themselves.
    Setup,
    /// Build the Windows artefacts into target/dist.
    Build(BuildArgs),
    /// Run clippy over the crates that only build for Windows.
    Clippy,
    /// Run every test; ends with a line that counts them.
    Test(TestArgs),
    /// Check format and lints, then run every test.
    Ci,
    /// Stream a file through the driver and compare the copy.
    Demo(DemoArgs),
    /// Run the WSK conformance cases in every world and write the page with the results.
    Conformance(ConformanceArgs),
    /// Run Linux programs over software iWARP, in a guest, as peers of the driver.
    #[cfg(unix)]
    Interop(InteropArgs),
    /// Write the pages that say what the code says.
    Reference,
    /// Measure the driver beside other ways; prints tables and writes target/bench/report.html and report.json.
    Bench(BenchArgs),
    /// Simulate whole machines with the driver, a seed each.
    Sim(SimArgs),
    /// Check what the design says about the repository.
    Tidy,
    /// Check the built images and the INF without running them.
    Verify,
    /// Make a Wine prefix in which the driver runs, and start it.
    Wine(WineArgs),
}

#[derive(Args)]
struct BuildArgs {
    /// Optimise, as for a release.
    #[arg(long)]
    release: bool,
    /// File names of the artefacts to build; all without any.
    artefacts: Vec<String>,
}

#[derive(Args)]
struct WineArgs {
    /// Folder of the Wine prefix; made if it does not exist.
    #[arg(long)]
    prefix: PathBuf,
    /// Use optimised images.
    #[arg(long)]
    release: bool,
    /// Stop and load the driver this many times before leaving it loaded.
    #[arg(long, default_value_t = 0)]
    reload: u32,
}

#[derive(Args)]
struct BenchArgs {
    /// Fewer sizes and samples, and nothing under Wine: less than three minutes.
    #[arg(long)]
    quick: bool,
    /// Compare with another revision, pair by pair, instead of the report.
    #[arg(long, value_name = "REV")]
    against: Option<String>,
}

#[derive(Args)]
struct ConformanceArgs {
    /// Run nothing: write the page from what earlier runs have left in this folder.
    #[arg(long)]
    from: Option<PathBuf>,
}

#[cfg(unix)]
#[derive(Args)]
struct InteropArgs {
    /// Scenarios to run, by their names or the beginnings of them; all without any.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// Print the names of all scenarios.
    #[arg(long, conflicts_with = "only")]
    list: bool,
}

#[derive(Args)]
struct SimArgs {
    /// Run this seed.
    #[arg(long, conflicts_with_all = ["count", "first"])]
    seed: Option<u64>,
    /// Leave out operations of it, by number.
    #[arg(long, requires = "seed", value_delimiter = ',')]
    without: Vec<usize>,
    /// Show its trace also if it ends well.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Run so many seeds.
    #[arg(long, default_value_t = sim::CI_SEEDS)]
    count: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    first: u64,
}

#[derive(Args)]
struct TestArgs {
    /// Which tests: native, wine or all.
    #[arg(long, default_value = "all")]
    world: Worlds,
}

#[derive(Args)]
struct DemoArgs {
    /// What the drivers run in: wine or native.
    #[arg(long, default_value = "wine")]
    world: String,
    /// The file; 16 MiB are made up without one.
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Told>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Setup => setup::run(&workspace),
        Command::Build(args) => {
            let build = Build { action: Action::Build, release: args.release, only: args.artefacts };
            build.run(&workspace).map(drop)
        }
        Command::Clippy => {
            Build { action: Action::Clippy, release: false, only: Vec::new() }.run(&workspace).map(drop)
        }
        Command::Verify => verify::run(&workspace),
        Command::Demo(args) => demo::run(&workspace, &args.world, args.file.as_deref()),
        Command::Test(args) => test::run(&workspace, args.world),
        Command::Conformance(args) => conformance::run(&workspace, args.from.as_deref()),
        #[cfg(unix)]
        Command::Interop(args) if args.list => {
            interop::list();
            Ok(())
        }
        #[cfg(unix)]
        Command::Interop(args) => interop::run(&workspace, &args.only),
        Command::Sim(SimArgs { seed, without, trace, count, first }) => {
            sim::run(&workspace, &sim::Request { seed, without, trace, count, first })
        }
        Command::Ci => ci::run(&workspace),
        Command::Reference => reference::run(&workspace),
        Command::Bench(args) => bench::run(&workspace, args.quick, args.against.as_deref()),
        Command::Tidy => tidy::run(&workspace),
        Command::Wine(args) => wine::command::run(&workspace, &args.prefix, args.release, args.reload),
    }
}
