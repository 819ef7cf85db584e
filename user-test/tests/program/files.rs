//! Files and messages between two processes.

use super::{LIMIT, done, free_port, objects, program, run};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

/// A program that listens, until the test ends.
struct Listening {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Listening {
    /// Starts it and waits until it listens.
    fn start(arguments: &[&str]) -> Self {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_wskrdma-test"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(first["event"], "listening");
        Self { child, lines }
    }

    /// Its next line.
    fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }

    fn interrupt(&self) {
        let kill = std::process::Command::new("kill").args(["-INT", &self.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    fn end(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_file_crosses_processes_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
    let octets: Vec<u8> = (0..700_001u32).map(|i| (i ^ (i >> 8)) as u8).collect();
    std::fs::write(&file, &octets).unwrap();
    let port = free_port();
    let (ports, at) = (port.to_string(), format!("127.0.0.1:{port}"));
    let mut receiver =
        Listening::start(&["--json", "--host-ports", &ports, "recv", &at, copy.to_str().unwrap()]);
    let out = done(&["--json", "--host-ports", &ports, "send", file.to_str().unwrap(), &at]);
    let sent = objects(&out).pop().unwrap();
    let received = receiver.next();
    assert_eq!(receiver.end(), 0);
    assert_eq!((sent["event"].as_str(), received["event"].as_str()), (Some("sent"), Some("received")));
    assert_eq!(sent["sha256"], received["sha256"]);
    assert_eq!((sent["path"].as_str(), received["path"].as_str()), (Some("rdma"), Some("rdma")));
    assert!(std::fs::read(copy).unwrap() == octets, "the copy differs");
}

#[test]
fn an_echo_serves_several_callers_and_a_benchmark_until_ctrl_c() {
    let port = free_port();
    let (ports, at) = (port.to_string(), format!("127.0.0.1:{port}"));
    let mut server = Listening::start(&["--json", "--host-ports", &ports, "echo", "--listen", &at]);
    for _ in 0..2 {
        done(&["--host-ports", &ports, "echo", &at, "--count", "5"]);
        assert_eq!(server.next()["event"], "echoed");
    }
    let bench = ["--json", "--host-ports", &ports, "bench", &at, "--sizes", "512", "--duration", "0.2"];
    assert!(objects(&done(&bench)).pop().unwrap()["messages"].as_u64().unwrap() > 0);
    assert_eq!(server.next()["event"], "echoed");
    server.interrupt();
    assert_eq!(server.end(), 0, "that is how a listener is ended");
}

#[test]
fn ctrl_c_ends_a_receiver_that_nobody_connects_to() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    let mut receiver = Listening::start(&["--json", "recv", "127.0.0.1:0", copy.to_str().unwrap()]);
    receiver.interrupt();
    let error = receiver.next();
    assert_eq!((error["event"].as_str(), error["code"].as_i64()), (Some("error"), Some(130)));
    assert_eq!(receiver.end(), 130);
}

#[test]
fn a_sender_whose_receiver_dies_fails_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (file, copy) = (folder.path().join("file"), folder.path().join("copy"));
    std::fs::File::create(&file).unwrap().set_len(1 << 30).unwrap();
    let port = free_port();
    let (ports, at) = (port.to_string(), format!("127.0.0.1:{port}"));
    let mut receiver =
        Listening::start(&["--json", "--host-ports", &ports, "recv", &at, copy.to_str().unwrap()]);
    let mut sender = std::process::Command::new(env!("CARGO_BIN_EXE_wskrdma-test"))
        .args(["--json", "--host-ports", &ports, "send", file.to_str().unwrap(), &at])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(sender.stdout.take().unwrap()).lines();
    // It has begun.
    assert!(lines.next().unwrap().unwrap().contains("progress"));
    receiver.child.kill().unwrap();
    receiver.child.wait().unwrap();
    let last: Value = serde_json::from_str(&lines.map_while(Result::ok).last().unwrap()).unwrap();
    assert_eq!(last["event"], "error", "{last}");
    assert!(last["message"].as_str().unwrap().contains("STATUS_CONNECTION_"), "{last}");
    assert_eq!(sender.wait().unwrap().code(), Some(1));
}

#[test]
fn nobody_listens_there() {
    let port = free_port();
    let (ports, at) = (port.to_string(), format!("127.0.0.1:{port}"));
    let (code, _, error) = run(&["--host-ports", &ports, "echo", &at]);
    assert_eq!(code, 1);
    assert!(error.contains(&at) && error.contains("STATUS_"), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_wskrdma-test"))
        .args(["cases", "--list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!error.contains("panicked"), "{error}");
    // Here only to be used by every file of these tests.
    assert!(program(&["--version"]).timeout(LIMIT).output().unwrap().status.success());
}
