//! The images under Wine: the `.sys` files as they ship, driven by the `.exe`.
//!
//! Each case has a machine of its own, which is gone when it ends. A case fails as well if a driver broke a rule of the framework
//! or crashed, whatever the case itself made of it.

mod client_library;
mod driver;
mod iwarp;

use std::path::Path;

use anyhow::{Result, anyhow, bail};

use super::cases;
use super::tally::Tally;
use super::transfer::{self, LENGTHS};
use crate::demo::machine::{self, Machine};
use crate::workspace::Workspace;

/// A case on a machine with both drivers installed and none started.
struct Case {
    name: &'static str,
    run: fn(&Machine) -> Result<()>,
}

const CASES: &[Case] = &[
    Case { name: "load, ask for the version, unload, 20 times", run: driver::reload },
    Case { name: "start what is started already", run: driver::start_twice },
    Case { name: "start and stop by wskrdma-test", run: driver::start_by_program },
    Case { name: "wskrdma-test without drivers", run: driver::without_drivers },
    Case { name: "requests that no right program makes", run: driver::probe },
    Case { name: "bad command lines and files", run: driver::bad_words },
];

/// Runs the suite with the images in `dist`.
pub(super) fn run(workspace: &Workspace, dist: &Path, tally: &mut Tally) {
    for case in CASES {
        tally.check(&format!("wine: {}", case.name), || on_machine(workspace, dist, case.run));
    }
    tally.check("wine: transfers, one after the other on one machine", || {
        on_machine(workspace, dist, |machine| {
            machine.start_drivers()?;
            let folder = machine::folder(workspace)?;
            for (name, length) in LENGTHS {
                transfer::transfer(&machine.harness(), folder.path(), length)
                    .map_err(|error| anyhow!("{name}: {error:#}"))?;
            }
            machine.stop_drivers()
        })
    });
    iwarp::run(workspace, dist, tally);
    cases::wine(workspace, dist, tally);
    client_library::run(workspace, dist, tally);
}

/// Runs `case` on a new machine; a failure comes with what drivers printed last.
pub(super) fn on_machine(
    workspace: &Workspace,
    dist: &Path,
    case: impl FnOnce(&Machine) -> Result<()>,
) -> Result<()> {
    let machine = Machine::new(workspace, dist)?;
    judged(&machine, case(&machine))
}

/// The same with one rule of policy.
pub(super) fn on_machine_with(
    workspace: &Workspace,
    dist: &Path,
    rule: &str,
    case: impl FnOnce(&Machine) -> Result<()>,
) -> Result<()> {
    let machine = Machine::with_policy(workspace, dist, rule)?;
    judged(&machine, case(&machine))
}

fn judged(machine: &Machine, outcome: Result<()>) -> Result<()> {
    match outcome.and_then(|()| machine.check_quiet()) {
        Ok(()) => Ok(()),
        // Starting and stopping say by themselves what was printed.
        Err(error) if format!("{error:#}").contains('\n') => Err(error),
        Err(error) => bail!("{error:#}\n{}", machine.last_words()),
    }
}
