//! `cargo xtask setup`: what a fresh machine lacks, and how it gets it.
//!
//! Looking ([`machine`]), deciding ([`plan`]) and doing ([`apply`]) are apart, so that the decisions are tested
//! without a machine.

mod apply;
mod library_source;
mod machine;
mod plan;
#[cfg(test)]
mod tests;
mod tools;

use anyhow::Result;

use crate::progress;
use crate::workspace::Workspace;

pub(crate) use machine::RustLibraries;
pub use tools::Need;

/// Brings the machine to where `needs` are met; quick if they are.
///
/// # Errors
///
/// One message that names all that is missing and the command that installs it, if this program may not or cannot
/// do so.
pub fn ensure(workspace: &Workspace, needs: &[Need]) -> Result<()> {
    // On Windows the WDK is installed by its own installer, and wdk-build says so if it is missing.
    if cfg!(windows) {
        return Ok(());
    }
    let machine = machine::look(workspace, needs)?;
    for step in plan::plan(&machine)? {
        apply::apply(workspace, &machine, &step)?;
    }
    Ok(())
}

/// The command: meets every need and says so.
///
/// # Errors
///
/// Those of [`ensure`].
pub fn run(workspace: &Workspace) -> Result<()> {
    ensure(workspace, Need::ALL)?;
    progress::note("everything that build and wine need is here");
    Ok(())
}
