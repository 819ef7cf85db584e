//! The same WSK client under Wine, over `wskrdma.sys` and over Wine's own `netio.sys`.
//!
//! What runs is a case of `user-test/cases` inside the test client, so that both providers are asked for the very same, and the
//! client itself takes the time.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::samples::UnderWine;
use crate::build::{Action, Build};
use crate::conformance::{NETIO_ARGUMENTS, POLICY, ran};
use crate::demo::machine::Machine;
use crate::progress::step;
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// The case: a thousand messages of 64 octets, and as many answers.
const CASE: &str = "load-small-messages";
/// How often it runs over each; the shortest time counts.
const ROUNDS: u32 = 5;

/// Runs the case over both.
///
/// # Errors
///
/// If Wine does not start, or the case does not pass.
pub(super) fn run(workspace: &Workspace) -> Result<UnderWine> {
    setup::ensure(workspace, Need::ALL)?;
    let dist = Build { action: Action::Build, release: true, only: Vec::new() }.run(workspace)?;
    step("run the same client under Wine", || {
        let machine = Machine::with_policy(workspace, &dist, POLICY)?;
        machine.start_drivers()?;
        let (mut ours, mut netio) = (f64::INFINITY, f64::INFINITY);
        for round in 0..ROUNDS {
            ours = ours.min(milliseconds(&machine, &[])?);
            // A port is not free again at once.
            let port = (41_000 + round).to_string();
            let arguments =
                NETIO_ARGUMENTS.iter().map(|&argument| if argument == "41000" { &port } else { argument });
            netio = netio.min(milliseconds(&machine, &arguments.collect::<Vec<_>>())?);
        }
        machine.stop_drivers()?;
        Ok(UnderWine { ours, netio })
    })
}

fn milliseconds(machine: &Machine, arguments: &[&str]) -> Result<f64> {
    let arguments: Vec<_> = arguments.iter().copied().chain([CASE]).collect();
    let ran = ran::run(&machine.harness(), &arguments)?;
    let [case] = ran.as_slice() else { bail!("{} cases were run", ran.len()) };
    if let Some(wrong) = case.wrong().into_iter().next() {
        bail!("{CASE} {}: {wrong}", arguments.join(" "));
    }
    case.json.get("milliseconds").and_then(Value::as_f64).context("a case without its time")
}
