//! Loading, unloading, and what a person can do wrong.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::demo::harness::Ended;
use crate::demo::machine::{CLIENT, DRIVER, Machine};

/// How often the driver is loaded and unloaded.
const RELOADS: u32 = 20;

/// Wine starts a service in a fraction of a second.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs `wskrdma-test` and hears what it says.
fn program(machine: &Machine, arguments: &[&str]) -> Result<Ended> {
    machine.harness().call(arguments, &mut |_, _| ())
}

/// Fails unless both drivers answer.
fn answers(machine: &Machine) -> Result<()> {
    let ended = program(machine, &["version"])?;
    match ended.code {
        0 => Ok(()),
        code => bail!("version ended with code {code}: {}", ended.error.unwrap_or_default()),
    }
}

/// Fails unless the program refused with this code and a sentence that contains `word`.
fn refuses(machine: &Machine, arguments: &[&str], code: i32, word: &str) -> Result<()> {
    let ended = program(machine, arguments)?;
    let said = ended.error.clone().unwrap_or_else(|| ended.text());
    if ended.code != code || !said.to_lowercase().contains(word) {
        bail!(
            "{arguments:?} ended with code {} and \"{said}\", not with {code} and \"…{word}…\"",
            ended.code
        );
    }
    Ok(())
}

pub(super) fn reload(machine: &Machine) -> Result<()> {
    for round in 1..=RELOADS {
        let once = || {
            machine.start_drivers()?;
            answers(machine)?;
            machine.stop_drivers()
        };
        once().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

pub(super) fn start_twice(machine: &Machine) -> Result<()> {
    machine.start_drivers()?;
    for service in [DRIVER, CLIENT] {
        let again = machine.session.run(Path::new("net"), &["start", service], LIMIT)?;
        if again.code == 0 {
            bail!("{service} could be started twice");
        }
        answers(machine).with_context(|| format!("after starting {service} again"))?;
    }
    machine.stop_drivers()?;
    machine.start_drivers()?;
    answers(machine)?;
    machine.stop_drivers()
}

pub(super) fn start_by_program(machine: &Machine) -> Result<()> {
    for arguments in [["start"], ["start"], ["version"], ["status"], ["stop"], ["stop"], ["start"], ["stop"]]
    {
        let ended = program(machine, &arguments)?;
        if ended.code != 0 {
            bail!("{arguments:?} ended with code {}: {}", ended.code, ended.error.unwrap_or_default());
        }
    }
    Ok(())
}

pub(super) fn without_drivers(machine: &Machine) -> Result<()> {
    for arguments in [["version"].as_slice(), &["status"], &["transfer", "C:\\windows\\win.ini", "C:\\copy"]]
    {
        refuses(machine, arguments, 3, "is the driver started?")?;
    }
    machine.start_drivers()?;
    answers(machine)?;
    machine.stop_drivers()
}

pub(super) fn probe(machine: &Machine) -> Result<()> {
    machine.start_drivers()?;
    let ended = program(machine, &["probe"])?;
    if ended.code != 0 {
        bail!(
            "probe ended with code {}: {}\n{}",
            ended.code,
            ended.error.clone().unwrap_or_default(),
            ended.text()
        );
    }
    answers(machine)?;
    machine.stop_drivers()
}

pub(super) fn bad_words(machine: &Machine) -> Result<()> {
    machine.start_drivers()?;
    refuses(machine, &["frobnicate"], 2, "frobnicate")?;
    refuses(machine, &["transfer"], 2, "required")?;
    refuses(machine, &["transfer", "C:\\no\\such\\file", "C:\\copy"], 1, "cannot read")?;
    refuses(machine, &["transfer", "C:\\windows", "C:\\copy"], 1, "cannot read")?;
    refuses(machine, &["transfer", "C:\\windows\\win.ini", "C:\\no\\such\\folder\\copy"], 1, "cannot write")?;
    answers(machine)?;
    machine.stop_drivers()
}
