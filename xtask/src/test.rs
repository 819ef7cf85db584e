//! `cargo xtask test`: every test there is, and a line that counts them.
//!
//! | module | is |
//! |---|---|
//! | `tally` | the count |
//! | `host` | the tests that cargo runs on this machine |
//! | `cargo_output` | reading what `cargo test` prints |
//! | `cases` | the conformance cases inside the test client, in any world |
//! | `transfer` | files through the drivers, in any world |
//! | `wine` | the images under Wine |

mod cargo_output;
mod cases;
mod host;
pub(crate) mod tally;
mod transfer;
mod wine;

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Error, Result, bail};

use crate::build::{Action, Build};
use crate::setup::{self, Need};
use crate::tidy;
use crate::verify;
use crate::workspace::Workspace;
use tally::Tally;

/// Which tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worlds {
    /// What needs no Windows image.
    Native,
    /// What needs one: static checks, and runs under Wine.
    Wine,
    /// Both.
    All,
}

impl FromStr for Worlds {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "native" => Ok(Self::Native),
            "wine" => Ok(Self::Wine),
            "all" => Ok(Self::All),
            _ => bail!("there are native, wine and all"),
        }
    }
}

/// The command. Its last line counts what passed and what failed.
///
/// # Errors
///
/// [`crate::Told`], if anything failed: it has been printed.
pub fn run(workspace: &Workspace, worlds: Worlds) -> Result<()> {
    let mut tally = Tally::default();
    count(workspace, worlds, &mut tally);
    tally.finish()
}

/// Runs the tests of `worlds`.
pub(crate) fn count(workspace: &Workspace, worlds: Worlds, tally: &mut Tally) {
    let needs: &[Need] = if worlds == Worlds::Native { &[Need::Build] } else { Need::ALL };
    if tally.check("set up this machine", || setup::ensure(workspace, needs)).is_none() {
        tally.not_run("every test", "the machine lacks something");
        return;
    }
    if worlds == Worlds::Wine {
        tally.not_run("the native tests", "only those of Wine were asked for");
    } else {
        native(workspace, tally);
    }
    if worlds == Worlds::Native {
        tally.not_run(
            "the checks of the images and the tests under Wine",
            "only the native ones were asked for",
        );
    } else {
        windows(workspace, tally);
    }
    tally.not_run(
        "Windows, Driver Verifier, HLK, InfVerif, RDMA NICs",
        "this machine has none; see docs/testing.md",
    );
}

fn native(workspace: &Workspace, tally: &mut Tally) {
    if let Some(repository) = tally.check("read the repository", || tidy::Repository::read(workspace)) {
        for rule in tidy::RULES {
            let findings = rule.findings(&repository);
            tally.judge(&format!("tidy: {}", rule.name), &findings);
        }
        host::run(workspace, &repository.members, tally);
    }
    transfer::native(workspace, tally);
}

fn windows(workspace: &Workspace, tally: &mut Tally) {
    let Some(dist) = tally.check("build the artefacts", || build(workspace)) else {
        tally.not_run("the checks of the images and the tests under Wine", "the artefacts cannot be built");
        return;
    };
    if let Some(report) = tally.check("read the artefacts", || verify::report(workspace, &dist)) {
        for verdict in &report.verdicts {
            tally.judge(&format!("verify: {}", verdict.name), &verdict.wrong);
        }
    }
    wine::run(workspace, &dist, tally);
}

/// What ships is what is tested: the optimised artefacts.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    Build { action: Action::Build, release: true, only: Vec::new() }.run(workspace)
}
