//! `cargo xtask ci`: everything that has to hold before a change lands.

use std::env;

use anyhow::{Context, Result};
use duct::cmd;

use crate::build::{Action, Build};
use crate::command;
use crate::setup::{self, Need};
use crate::sim;
use crate::test::tally::Tally;
use crate::test::{self, Worlds};
use crate::workspace::Workspace;

/// The command: formatting, lints, then all of `test`, of which the rules of the repository, the build and the checks of the
/// images are a part, then the seeds of the simulation. Goes on after a failure, so that one run tells all there is to tell.
///
/// # Errors
///
/// [`crate::Told`], if anything failed.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mut tally = Tally::default();
    tally.check("set up this machine for everything", || {
        components(workspace)?;
        setup::ensure(workspace, Need::ALL)
    });
    tally.check("formatting", || cargo(workspace, &["fmt", "--all", "--check", "--", "--files-with-diff"]));
    tally.check("lints of the native crates", || {
        cargo(workspace, &["clippy", "--quiet", "--all-targets", "--", "--deny=warnings"])
    });
    tally.check("lints of the crates for Windows", || {
        Build { action: Action::Clippy, release: false, only: Vec::new() }.run(workspace).map(drop)
    });
    test::count(workspace, Worlds::All, &mut tally);
    tally.check(&format!("{} seeds of the simulation", sim::CI_SEEDS), || sim::check(workspace));
    tally.not_run("interoperation with Linux", "not every scenario passes yet: cargo xtask interop");
    tally.finish()
}

/// rustup installs a minimal toolchain; formatter and lints come by themselves only where somebody asked for them.
fn components(workspace: &Workspace) -> Result<()> {
    let has = |tool: &str| cargo(workspace, &[tool, "--version"]).is_ok();
    if has("fmt") && has("clippy") {
        return Ok(());
    }
    let rustup = cmd!("rustup", "component", "add", "rustfmt", "clippy").dir(workspace.root());
    command::quiet("rustup", &rustup)
        .context("rustfmt and clippy are missing; install with: rustup component add rustfmt clippy")
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let what = format!("cargo {}", arguments.join(" "));
    command::quiet(&what, &cmd(cargo, arguments).dir(workspace.root()))
}
