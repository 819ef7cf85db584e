//! `cargo xtask conformance`: the WSK conformance cases in every world there is here, as a page of the documentation.
//!
//! | module | is |
//! |---|---|
//! | `ran` | how a case ended, as `wskrdma-test` tells it, and asking it to run them |
//! | `page` | the page |
//!
//! The cases run natively, in `wskrdma-client.sys` under Wine against `wskrdma.sys`, and, those that ask for nothing Wine lacks,
//! in the same client against Wine's own `netio.sys`. What the runs said is kept beside the artefacts, as JSON.

pub(crate) mod page;
pub(crate) mod ran;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::build::{Action, Build};
use crate::demo::harness::{self, Harness};
use crate::demo::machine::Machine;
use crate::progress::{note, step};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use page::Row;
use ran::Ran;

/// The functions that Wine's netio.sys has. It completes no IRP of any other one, or ends its process.
pub(crate) const NETIO_FUNCTIONS: &[&str] =
    &["WskSocket", "WskBind", "WskAccept", "WskConnect", "WskSend", "WskReceive", "WskCloseSocket"];

/// Under Wine the cases run over RDMA alone: Wine's netio.sys does not know most of what they ask a socket's twin for.
pub(crate) const POLICY: &str = "require any any";

/// How cases are run against Wine's netio.sys: it never marks an IRP pending, and cannot tell the port it has chosen.
pub(crate) const NETIO_ARGUMENTS: &[&str] =
    &["--system", "--any-pending-returned", "--no-ipv6", "--own-ports", "41000", "--limit", "10"];

/// What the runs said.
struct Runs {
    native: Vec<Ran>,
    /// Natively with ports of their own: what each case asks for then.
    asking: Vec<Ran>,
    wine: Vec<Ran>,
    netio: Vec<Ran>,
}

/// The command: runs everything, and writes the page. With a folder it writes the page from what earlier runs have left there.
///
/// # Errors
///
/// If a world cannot be brought up or the page cannot be written. A case that fails is on the page.
pub fn run(workspace: &Workspace, from: Option<&Path>) -> Result<()> {
    let runs = match from {
        Some(folder) => Runs::read(folder)?,
        None => run_all(workspace)?,
    };
    let Runs { native, asking, wine, netio } = &runs;
    let rows = native.iter().map(|case| Row::of(case, asking, wine, netio)).collect::<Vec<_>>();
    let path = workspace.root().join(page::PATH);
    fs::write(&path, page::render(&rows)).with_context(|| path.display().to_string())?;
    note(format_args!("{} cases are on {}", rows.len(), page::PATH));
    Ok(())
}

/// Runs the cases in every world.
fn run_all(workspace: &Workspace) -> Result<Runs> {
    setup::ensure(workspace, Need::ALL)?;
    let program = step("build wskrdma-test", || harness::build_native(workspace, true))?;
    let here = Harness::native(program);
    let native = step("run the cases natively", || ran::run(&here, &[]))?;
    // What each asks for when its ports are its own.
    let asking = step("find out what each asks for", || ran::run(&here, &["--own-ports", "41000"]))?;
    let dist = Build { action: Action::Build, release: true, only: Vec::new() }.run(workspace)?;
    let wine = step("run the cases under Wine", || in_wine(workspace, &dist, &[], &[]))?;
    let comparable: Vec<_> = asking.iter().filter(|case| case.asks_only(NETIO_FUNCTIONS)).collect();
    let names: Vec<_> = comparable.iter().map(|case| case.name.as_str()).collect();
    let netio = step(format!("run {} cases against Wine's netio.sys", names.len()), || {
        in_wine(workspace, &dist, &names, NETIO_ARGUMENTS)
    })?;
    let runs = Runs { native, asking, wine, netio };
    let folder = workspace.state("conformance");
    runs.keep(&folder)?;
    note(format_args!("what the runs said is in {}", folder.display()));
    Ok(runs)
}

/// Runs cases under Wine, all without a name, on as many machines as it takes: a case may leave one that runs no other.
fn in_wine(workspace: &Workspace, dist: &Path, names: &[&str], arguments: &[&str]) -> Result<Vec<Ran>> {
    let mut rest: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut all = Vec::new();
    loop {
        let machine = Machine::with_policy(workspace, dist, POLICY)?;
        machine.start_drivers()?;
        if rest.is_empty() {
            rest = ran::names(&machine.harness())?;
        }
        let asked = arguments.iter().copied().chain(rest.iter().map(String::as_str)).collect::<Vec<_>>();
        let ran = ran::run(&machine.harness(), &asked)?;
        // The last one may have left the machine in a state in which nothing can be stopped.
        let lost = ran.last().is_none_or(Ran::loses_the_machine);
        rest.retain(|name| !ran.iter().any(|ran| ran.name == *name));
        let none = ran.is_empty();
        all.extend(ran);
        if !lost {
            machine.stop_drivers()?;
        }
        if none {
            anyhow::bail!("no case was run; {} are left\n{}", rest.len(), machine.last_words());
        }
        if rest.is_empty() {
            return Ok(all);
        }
    }
}

impl Runs {
    /// Keeps what the runs said, one file for each.
    fn keep(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        for (world, ran) in
            [("native", &self.native), ("asking", &self.asking), ("wine", &self.wine), ("netio", &self.netio)]
        {
            let lines: Vec<_> = ran.iter().map(|ran| ran.json.to_string()).collect();
            let path = folder.join(format!("{world}.json"));
            fs::write(&path, lines.join("\n")).with_context(|| path.display().to_string())?;
        }
        Ok(())
    }

    /// Reads what [`keep`](Self::keep) has written.
    fn read(folder: &Path) -> Result<Self> {
        let world = |world: &str| -> Result<Vec<Ran>> {
            let path = folder.join(format!("{world}.json"));
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let read = |line| -> Result<Ran> {
                Ran::read(&serde_json::from_str(line)?).context("a line is no case")
            };
            text.lines().map(read).collect::<Result<_>>().with_context(|| path.display().to_string())
        };
        Ok(Self {
            native: world("native")?,
            asking: world("asking")?,
            wine: world("wine")?,
            netio: world("netio")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_kept_is_read_again() {
        let case = |name: &str| Ran::read(&json!({ "case": name, "outcome": "passed" })).expect("a case");
        let runs = Runs {
            native: vec![case("a"), case("b")],
            asking: vec![case("a")],
            wine: Vec::new(),
            netio: vec![case("b")],
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        runs.keep(folder.path()).expect("a writable folder");
        let again = Runs::read(folder.path()).expect("what was kept");
        assert_eq!((again.native, again.asking), (runs.native, runs.asking));
        assert_eq!((again.wine, again.netio), (runs.wine, runs.netio));
        assert!(Runs::read(&folder.path().join("no")).is_err());
    }
}
