//! The program on a terminal.

use super::LIMIT;
use expectrl::process::unix::WaitStatus;
use expectrl::{ControlCode, Eof, Expect, Session};
use std::process::Command;

/// Starts the program on a terminal of its own.
fn on_a_terminal(arguments: &[&str]) -> expectrl::session::OsSession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wskrdma-test"));
    command.args(arguments).env("TERM", "xterm");
    let mut session = Session::spawn(command).unwrap();
    session.set_expect_timeout(Some(LIMIT));
    session
}

/// Its exit code, after everything it has printed was read.
fn end(session: &mut expectrl::session::OsSession) -> i32 {
    session.expect(Eof).unwrap();
    match session.get_process().wait().unwrap() {
        WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn watch_redraws_until_ctrl_c() {
    let mut session = on_a_terminal(&["watch", "--interval", "0.05"]);
    session.expect("look 0").unwrap();
    // The screen is cleared in between.
    session.expect("\u{1b}[2J").unwrap();
    session.expect("look 2").unwrap();
    session.send(ControlCode::EndOfText).unwrap();
    assert_eq!(end(&mut session), 0);
}

#[test]
fn a_narrow_terminal_gets_narrow_tables() {
    let mut session = on_a_terminal(&["adapters"]);
    session.get_process_mut().set_window_size(40, 10).unwrap();
    session.expect("software").unwrap();
    assert_eq!(end(&mut session), 0);
}

#[test]
fn ctrl_c_ends_a_run_of_cases() {
    let mut session = on_a_terminal(&["cases"]);
    session.expect("passed").unwrap();
    session.send(ControlCode::EndOfText).unwrap();
    session.expect("ended by Ctrl-C").unwrap();
    assert_eq!(end(&mut session), 130);
}

#[test]
fn a_transfer_has_a_progress_bar_and_no_json() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
    std::fs::write(&file, vec![7; 3 << 20]).unwrap();
    let mut session = on_a_terminal(&["transfer", file.to_str().unwrap(), copy.to_str().unwrap()]);
    session.expect("3145728 octets, SHA-256").unwrap();
    assert_eq!(end(&mut session), 0);
}

#[test]
fn a_trace_is_followed_until_ctrl_c() {
    let mut session = on_a_terminal(&["trace", "--follow"]);
    session.expect("DriverStarted").unwrap();
    session.send(ControlCode::EndOfText).unwrap();
    assert_eq!(end(&mut session), 0);
}
