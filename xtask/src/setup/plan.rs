//! What has to be done, decided from what a machine has.

use std::fmt;

use super::machine::{Machine, Privilege};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Install these Debian packages.
    InstallPackages(Vec<&'static str>),
    /// Let rustup fetch the libraries for the kernel target. Allowed to fail: the sources do as well.
    AddRustTarget,
    /// Get the sources of Rust's libraries, from rustup or from Debian.
    AddRustSources,
}

/// Something is missing that this program may not install.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blocked {
    missing: Vec<&'static str>,
    command: String,
}

impl std::error::Error for Blocked {}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "missing: {}; install with: {}", self.missing.join(", "), self.command)
    }
}

/// The steps that bring `machine` to where it has to be, in order.
///
/// # Errors
///
/// [`Blocked`], which names everything that is missing at once.
pub(crate) fn plan(machine: &Machine) -> Result<Vec<Step>, Blocked> {
    let mut steps = Vec::new();
    let packages = packages(machine);
    if !packages.is_empty() {
        if !machine.apt || machine.privilege == Privilege::None {
            let missing = machine.missing.iter().map(|tool| tool.name).collect();
            return Err(Blocked { missing, command: install_command(&packages) });
        }
        steps.push(Step::InstallPackages(packages));
    }
    if machine.wants_rust && !machine.rust.sources {
        if !machine.rustup && !machine.apt {
            let missing = vec!["the sources of Rust's standard library"];
            return Err(Blocked { missing, command: "rustup component add rust-src".to_owned() });
        }
        // The program for user mode always needs the sources; with the built libraries a driver builds faster.
        if machine.rustup && !machine.rust.target {
            steps.push(Step::AddRustTarget);
        }
        steps.push(Step::AddRustSources);
    }
    Ok(steps)
}

/// What a person types to install `packages`.
pub(crate) fn install_command(packages: &[&str]) -> String {
    format!("sudo apt-get update && sudo apt-get install {}", packages.join(" "))
}

fn packages(machine: &Machine) -> Vec<&'static str> {
    let mut packages: Vec<_> = machine.missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    packages
}
