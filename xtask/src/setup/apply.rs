//! Doing what was decided.

use anyhow::{Context, Result};
use duct::cmd;

use super::library_source;
use super::machine::{Machine, Privilege};
use super::plan::{Step, install_command};
use crate::build::artefact::KERNEL_TARGET;
use crate::command;
use crate::progress::{note, step};
use crate::workspace::Workspace;

/// Does one step.
///
/// # Errors
///
/// A message that names what is still missing and the command that installs it.
pub(crate) fn apply(workspace: &Workspace, machine: &Machine, what: &Step) -> Result<()> {
    match what {
        Step::InstallPackages(packages) => install(machine.privilege, packages),
        Step::AddRustTarget => {
            let rustup = cmd!("rustup", "target", "add", KERNEL_TARGET).dir(workspace.root());
            let added = step(format!("add Rust's libraries for {KERNEL_TARGET}"), || {
                command::quiet("rustup", &rustup.env("RUSTUP_MAX_RETRIES", "0"))
            });
            if added.is_err() {
                note("rustup cannot download here: the images will be built with libraries from source");
            }
            Ok(())
        }
        Step::AddRustSources => add_sources(workspace, machine),
    }
}

fn install(privilege: Privilege, packages: &[&str]) -> Result<()> {
    let advice = || {
        format!(
            "cannot install {} (no network, or no such packages here); install with: {}",
            packages.join(", "),
            install_command(packages)
        )
    };
    let apt = |arguments: &[&str]| {
        let (program, prefix): (_, &[&str]) = match privilege {
            Privilege::Sudo => ("sudo", &["-n", "DEBIAN_FRONTEND=noninteractive", "apt-get"]),
            _ => ("apt-get", &[]),
        };
        let arguments: Vec<_> = prefix.iter().chain(arguments).copied().collect();
        command::quiet("apt-get", &cmd(program, arguments).env("DEBIAN_FRONTEND", "noninteractive"))
    };
    step("update the package lists", || apt(&["update"])).with_context(advice)?;
    let arguments: Vec<_> =
        ["install", "-y", "--no-install-recommends"].iter().chain(packages).copied().collect();
    step(format!("install {}", packages.join(" ")), || apt(&arguments)).with_context(advice)
}

fn add_sources(workspace: &Workspace, machine: &Machine) -> Result<()> {
    if machine.rustup {
        let rustup = cmd!("rustup", "component", "add", "rust-src").dir(workspace.root());
        let added = step("add the sources of Rust's standard library", || {
            command::quiet("rustup", &rustup.env("RUSTUP_MAX_RETRIES", "0"))?;
            // rustup believes its own list, whatever has become of the files.
            machine.rust.source_folder().is_dir().then_some(()).context("rustup installed nothing")
        });
        if added.is_ok() {
            return Ok(());
        }
        note("rustup cannot get them here: Debian's package has the same sources");
    }
    step("take the sources of Rust's standard library from Debian", || {
        library_source::install(workspace, machine)
    })
    .context(
        "the sources of Rust's standard library are missing; install with: rustup component add rust-src",
    )
}
