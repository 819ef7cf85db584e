//! The tests that cargo runs on this machine.

use std::env;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::cargo_output::{CargoOutput, Suite};
use super::tally::Tally;
use crate::command;
use crate::tidy::members::Member;
use crate::workspace::Workspace;

/// No test prints nothing for so long, and no crate takes the compiler so long.
const SILENCE: Duration = Duration::from_mins(5);

/// Runs the tests of the default members, then the unit tests of the crates whose product is for Windows only.
pub(super) fn run(workspace: &Workspace, members: &[Member], tally: &mut Tally) {
    cargo_test(workspace, "the native crates", &[], tally);
    let others: Vec<_> = members
        .iter()
        .filter(|member| !member.is_default)
        .map(|member| format!("--package={}", member.name))
        .chain(["--lib".to_owned()])
        .collect();
    cargo_test(workspace, "the crates for Windows", &others, tally);
}

fn cargo_test(workspace: &Workspace, what: &str, arguments: &[String], tally: &mut Tally) {
    let mut output = CargoOutput::default();
    let mut failures = 0;
    let mut tell = |suite: Suite, tally: &mut Tally| {
        failures += suite.counted.failed;
        for (test, reason) in &suite.ignored {
            let reason = if reason.is_empty() { "it is marked so" } else { reason };
            tally.not_run(&format!("{}: {test}", suite.name), reason);
        }
        if suite.counted.passed + suite.counted.failed > 0 {
            tally.suite(&suite.name, suite.counted, &suite.output);
        }
    };
    let status = listen(workspace, arguments, |line| {
        if let Some(suite) = output.line(line) {
            tell(suite, tally);
        }
    });
    if let Some(suite) = output.end() {
        tell(suite, tally);
    }
    // A test that fails is told above; anything else that makes cargo fail is told here.
    let wrong = match status {
        Ok(true) => None,
        Ok(false) if failures > 0 => Some("tests failed, see above".to_owned()),
        Ok(false) => Some(output.outside()),
        Err(error) => Some(format!("{error:#}")),
    };
    tally.judge(&format!("cargo test of {what}"), &Vec::from_iter(wrong));
}

/// Runs `cargo test`, and hands each line to `hear`. Returns whether cargo was content.
fn listen(workspace: &Workspace, arguments: &[String], mut hear: impl FnMut(&str)) -> Result<bool> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let fixed = ["test", "--no-fail-fast", "--color=never"].map(str::to_owned);
    let command = cmd(cargo, fixed.iter().chain(arguments)).dir(workspace.root()).stdin_null();
    let command = command.env("CARGO_TERM_PROGRESS_WHEN", "never").stderr_to_stdout().unchecked();
    let reader = Arc::new(command.reader().context("cannot start cargo test")?);
    let (sender, lines) = mpsc::channel();
    let listener = Arc::clone(&reader);
    thread::spawn(move || {
        for line in BufReader::new(&*listener).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => hear(&line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                hear(&format!("nothing was printed for {} min", SILENCE.as_secs() / 60));
                // The program that hangs is ended, and cargo goes on with the next one.
                if !end_children(&reader.pids()) {
                    reader.kill()?;
                    bail!("cargo test hangs and was ended");
                }
            }
        }
    }
    let output = reader.try_wait()?.context("cargo test has closed its output and goes on")?;
    Ok(output.status.success())
}

/// Ends the programs that these processes have started. Returns whether there were any.
fn end_children(parents: &[u32]) -> bool {
    let parents: Vec<_> = parents.iter().map(u32::to_string).collect();
    command::quiet("pkill", &cmd!("pkill", "-KILL", "-P", parents.join(","))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_hangs_is_ended_and_its_parent_goes_on() {
        let parent =
            cmd!("sh", "-c", "echo ready; sleep 600; echo on").stderr_null().reader().expect("a shell");
        let mut lines = BufReader::new(&parent).lines().map_while(Result::ok);
        assert_eq!(lines.next().as_deref(), Some("ready"));
        while !end_children(&parent.pids()) {
            // The shell has not started it yet.
            thread::yield_now();
        }
        assert_eq!(lines.next().as_deref(), Some("on"));
        assert!(!end_children(&parent.pids()));
    }
}
