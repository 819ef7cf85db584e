//! The program as a person runs it: arguments, a terminal or a pipe, Ctrl-C, exit codes. The driver's crates run inside each
//! process; what crosses processes goes over the host's TCP, by iWARP.
#![cfg(test)]
#![cfg(unix)]

mod files;
mod looking;
mod terminal;
mod words;

use assert_cmd::Command;
use serde_json::Value;
use std::time::Duration;

/// No command of these tests takes so long unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// The program with these arguments.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wskrdma-test"));
    command.args(arguments).timeout(LIMIT);
    command
}

/// Runs it; exit code, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = program(arguments).output().unwrap();
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let code = output.status.code().unwrap_or_else(|| panic!("{arguments:?} took longer than {LIMIT:?}"));
    (code, text(&output.stdout), text(&output.stderr))
}

/// Runs it, expects success, and gives what it printed.
fn done(arguments: &[&str]) -> String {
    let (code, out, error) = run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    out
}

/// The JSON objects that it printed, one a line; nothing else may be there.
fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// A TCP port of the host that is free now.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
