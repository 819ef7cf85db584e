//! The WSK conformance cases, run inside the test client by `wskrdma-test cases`, in any world.

use std::path::Path;

use anyhow::Result;

use super::tally::{Counted, Tally};
use super::wine::on_machine_with;
use crate::conformance::ran::{self, Ran};
use crate::conformance::{NETIO_ARGUMENTS, NETIO_FUNCTIONS, POLICY};
use crate::demo::harness::Harness;
use crate::workspace::Workspace;

/// Cases that Wine's own provider passes: what they ask for shows that the client talks to it.
const NETIO_CASES: &[&str] = &["socket-categories", "accept-before-connect", "send-small"];

/// The crates in a process of this machine.
pub(super) fn native(harness: &Harness, tally: &mut Tally) {
    let Some(ran) =
        tally.check("native: run the conformance cases in the test client", || ran::run(harness, &[]))
    else {
        return;
    };
    let wrong: Vec<_> = ran.iter().flat_map(told).collect();
    let passed = ran.iter().filter(|case| case.passed()).count() as u64;
    let ignored = ran.iter().filter(|case| case.skipped()).count() as u64;
    let counted = Counted { passed, failed: ran.len() as u64 - passed - ignored, ignored };
    tally.suite("native: conformance cases", counted, &wrong.join("\n"));
}

/// The images under Wine: each case is a test.
pub(super) fn wine(workspace: &Workspace, dist: &Path, tally: &mut Tally) {
    let (mut names, mut ran) = (Vec::new(), Vec::new());
    tally.check("wine: run the conformance cases in wskrdma-client.sys", || {
        on_machine_with(workspace, dist, POLICY, |machine| {
            machine.start_drivers()?;
            names = ran::names(&machine.harness())?;
            ran = ran::run(&machine.harness(), &[])?;
            // Requests that are never completed keep a driver loaded; that is told below.
            if ran.last().is_some_and(Ran::loses_the_machine) { Ok(()) } else { machine.stop_drivers() }
        })
    });
    for case in ran.iter().filter(|case| case.skipped()) {
        tally.not_run(&format!("wine: case {}", case.name), &case.why);
    }
    for case in ran.iter().filter(|case| !case.skipped()) {
        tally.judge(&format!("wine: case {}", case.name), &case.wrong());
    }
    for name in names.iter().filter(|name| !ran.iter().any(|case| case.name == **name)) {
        tally
            .not_run(&format!("wine: case {name}"), "a case before it left the client unable to run another");
    }
    tally.check("wine: the same client asks Wine's own WSK", || netio(workspace, dist, NETIO_ARGUMENTS));
    tally.check("wine: the driver's sockets run over Wine's TCP where the policy says so", || {
        // The same, but asked of the driver.
        netio(workspace, dist, NETIO_ARGUMENTS.get(1..).unwrap_or_default())
    });
}

/// Has the client run cases that Wine's netio.sys passes, with these arguments, on a machine without RDMA.
fn netio(workspace: &Workspace, dist: &Path, arguments: &[&str]) -> Result<()> {
    on_machine_with(workspace, dist, "never any any", |machine| {
        machine.start_drivers()?;
        let allowed = NETIO_FUNCTIONS.join(",");
        let allow = ["--allow", &allowed];
        let arguments: Vec<_> = arguments.iter().chain(&allow).chain(NETIO_CASES).copied().collect();
        let ran = ran::run(&machine.harness(), &arguments)?;
        let wrong: Vec<_> = ran.iter().flat_map(told).collect();
        if !wrong.is_empty() || ran.len() != NETIO_CASES.len() {
            anyhow::bail!("{} of {} cases ran\n{}", ran.len(), NETIO_CASES.len(), wrong.join("\n"));
        }
        machine.stop_drivers()
    })
}

/// What is wrong with a case, with its name.
fn told(case: &Ran) -> Option<String> {
    case.wrong().pop().map(|wrong| format!("{}: {wrong}", case.name))
}
