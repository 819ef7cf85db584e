//! `cargo xtask sim`: seeded simulation of whole machines with the driver.
//!
//! One seed is one process of `wskrdma-sim`, so no run can spoil another one and one that aborts is only its own end. A failure is
//! made small: operations are left out as long as the run fails in the same way.

mod shrink;

use std::env;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use duct::cmd;
use serde_json::Value;

use crate::progress::{note, step, steps};
use crate::workspace::Workspace;
use crate::{Told, command};

/// Seeds of `cargo xtask ci`.
pub const CI_SEEDS: u64 = 2000;
/// How long a run may take by the host's clock; it takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(120);
/// Lines of the trace that are shown.
const TRACE_LINES: usize = 60;
/// Failures of one command that are made small.
const SHRUNK_MAX: usize = 3;

/// What to run.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// One seed.
    pub seed: Option<u64>,
    /// Numbers of operations that are left out of it.
    pub without: Vec<usize>,
    /// Show its trace also if it ends well.
    pub trace: bool,
    /// So many seeds.
    pub count: u64,
    /// The first of them.
    pub first: u64,
}

/// A run that has ended.
struct Run {
    seed: u64,
    /// Its report; for a process that made none, one with what is known.
    report: Value,
}

impl Run {
    fn passed(&self) -> bool {
        self.report.get("passed").and_then(Value::as_bool).unwrap_or(false)
    }

    fn text(&self, key: &str) -> &str {
        self.report.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn lines(&self, key: &str) -> Vec<&str> {
        let lines = self.report.get(key).and_then(Value::as_array);
        lines.map(|lines| lines.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
    }

    /// What kind of failure it is: its first line without numbers, which change when operations are left out.
    fn kind(&self) -> String {
        let line = self.text("failure").lines().next().unwrap_or_default();
        line.chars().filter(|letter| !letter.is_ascii_digit()).take(100).collect()
    }

    /// The numbers of its operations.
    fn operations(&self) -> Vec<usize> {
        let number = |line: &&str| line.split_whitespace().next().and_then(|word| word.parse().ok());
        self.lines("steps").iter().filter_map(number).collect()
    }
}

/// The program, built.
struct Program(PathBuf);

impl Program {
    fn build(workspace: &Workspace) -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let arguments = ["build", "--quiet", "-p", "wskrdma-sim"];
        let build = cmd(cargo, arguments).dir(workspace.root());
        step("build the simulation", || command::quiet("cargo build -p wskrdma-sim", &build))?;
        Ok(Self(workspace.target().join("debug").join("wskrdma-sim")))
    }

    /// Runs a seed.
    fn run(&self, seed: u64, without: &[usize], trace: bool) -> Result<Run> {
        let mut arguments = vec!["--seed".to_owned(), seed.to_string()];
        if !without.is_empty() {
            let numbers: Vec<String> = without.iter().map(usize::to_string).collect();
            arguments.push(format!("--without={}", numbers.join(",")));
        }
        if trace {
            arguments.push("--trace".to_owned());
        }
        let process = cmd(&self.0, arguments).stdout_capture().stderr_capture().stdin_null().unchecked();
        let process = process.start().context("cannot start the simulation")?;
        let output = process.wait_timeout(PATIENCE)?.cloned();
        let Some(output) = output else {
            process.kill()?;
            let failure = format!("the run does not end within {} s", PATIENCE.as_secs());
            return Ok(Run { seed, report: serde_json::json!({ "failure": failure }) });
        };
        let said = String::from_utf8_lossy(&output.stdout);
        let report = said.lines().last().and_then(|line| serde_json::from_str(line).ok());
        let report = report.unwrap_or_else(|| {
            let complaint = String::from_utf8_lossy(&output.stderr);
            serde_json::json!({ "failure": format!("the run made no report ({}): {complaint}", output.status) })
        });
        Ok(Run { seed, report })
    }

    /// Leaves out what is not needed for the failure. Returns the smaller run and what it is without.
    fn shrink(&self, run: Run, without: &[usize]) -> Result<(Run, Vec<usize>)> {
        let (kind, seed) = (run.kind(), run.seed);
        let operations = run.operations();
        let mut left_out = without.to_vec();
        let mut smallest = run;
        step(format!("leave operations out of seed {seed}"), || {
            let needed = shrink::shrink(&operations, |kept| {
                let mut out = without.to_vec();
                out.extend(operations.iter().filter(|number| !kept.contains(number)));
                let run = self.run(seed, &out, false)?;
                let same = !run.passed() && run.kind() == kind;
                if same {
                    (smallest, left_out) = (run, out);
                }
                Ok(same)
            });
            needed.map(drop)
        })?;
        Ok((smallest, left_out))
    }

    /// Tells of a failure, made small.
    fn tell(&self, run: Run, without: &[usize]) -> Result<()> {
        let (run, without) = self.shrink(run, without)?;
        println!("\nseed {} fails: {}", run.seed, run.text("failure"));
        if !run.text("place").is_empty() {
            println!("at {}", run.text("place"));
        }
        println!("\nconditions: {}\noperations:", run.text("conditions"));
        for line in run.lines("steps") {
            println!("  {line}");
        }
        let trace = run.lines("trace");
        println!("the end of the trace:");
        for line in trace.get(trace.len().saturating_sub(TRACE_LINES)..).unwrap_or_default() {
            println!("  {line}");
        }
        let numbers: Vec<String> = without.iter().map(usize::to_string).collect();
        let rest =
            if numbers.is_empty() { String::new() } else { format!(" --without {}", numbers.join(",")) };
        println!("again: cargo xtask sim --seed {}{rest}", run.seed);
        Ok(())
    }

    /// Runs so many seeds; those that failed.
    fn run_all(&self, first: u64, count: u64) -> Result<Vec<Run>> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let failed = Mutex::new(Vec::new());
        steps(format!("{count} seeds from {first} on"), count, |done| {
            let work = || -> Result<()> {
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let run = self.run(first.wrapping_add(number), &[], false)?;
                    if !run.passed() {
                        failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(run);
                    }
                    done();
                }
                Ok(())
            };
            std::thread::scope(|scope| {
                let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
                for worker in workers {
                    let result =
                        worker.join().unwrap_or_else(|_| bail!("a thread of this command has panicked"));
                    if let Err(error) = result {
                        stop.store(true, Ordering::Relaxed);
                        return Err(error);
                    }
                }
                Ok(())
            })
        })?;
        let mut failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        failed.sort_by_key(|run| run.seed);
        Ok(failed)
    }
}

/// The command.
///
/// # Errors
///
/// [`Told`], if a seed fails: it has been told.
pub fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    let program = Program::build(workspace)?;
    let Some(seed) = request.seed else { return seeds(&program, request.first, request.count) };
    let run = program.run(seed, &request.without, request.trace)?;
    if !run.passed() {
        program.tell(run, &request.without)?;
        return Err(Told.into());
    }
    println!("seed {seed} passes: {}\nhash {}", run.text("conditions"), run.text("hash"));
    for line in run.lines(if request.trace { "trace" } else { "steps" }) {
        println!("  {line}");
    }
    Ok(())
}

/// The seeds of `cargo xtask ci`.
///
/// # Errors
///
/// If one fails.
pub fn check(workspace: &Workspace) -> Result<()> {
    seeds(&Program::build(workspace)?, 0, CI_SEEDS)
}

fn seeds(program: &Program, first: u64, count: u64) -> Result<()> {
    let failed = program.run_all(first, count)?;
    if failed.is_empty() {
        note(format!("{count} seeds passed"));
        return Ok(());
    }
    let numbers: Vec<String> = failed.iter().map(|run| run.seed.to_string()).collect();
    let mut kinds = Vec::new();
    for run in failed {
        // One of each kind says most.
        let kind = run.kind();
        if kinds.len() < SHRUNK_MAX && !kinds.contains(&kind) {
            kinds.push(kind);
            program.tell(run, &[])?;
        }
    }
    println!("\n{} of {count} seeds failed: {}", numbers.len(), numbers.join(" "));
    Err(Told.into())
}
