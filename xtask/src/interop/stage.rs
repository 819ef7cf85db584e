//! What a scenario works with: the guest, peers of this machine, a port of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use duct::cmd;
use serde::Deserialize;

use super::guest::{Ended, Guest, Script};
use super::ours::Peer;
use crate::command;

/// How long anything may take. The guest is emulated, and the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(180);

/// The guest's addresses; the last one it makes of its Ethernet address, which is QEMU's first.
const LINUX: &str = "10.0.2.15,fec0::15,fec0::5054:ff:fe12:3456";
/// What scripts of the guest call the two ends.
const NAMES: &str = "here=10.0.2.15 there=10.0.2.2 here6=fec0::15 there6=fec0::2";

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Linux does, and the driver listens.
    Linux,
    /// The driver does, and Linux listens.
    Us,
}

/// What the capture has to show of a scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// Connections that were not refused.
    pub(crate) connections: usize,
    /// They are rsockets'.
    pub(crate) rsockets: bool,
    /// Octets that all of them carried, at least, both directions together.
    pub(crate) octets: u64,
}

/// One scenario's means.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    guest: &'a mut Guest,
    program: &'a Path,
    folder: PathBuf,
    /// Where one end listens.
    pub(crate) port: u16,
    /// What was run, to be shown with a failure.
    done: String,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(guest: &'a mut Guest, program: &'a Path, folder: &Path, port: u16) -> Self {
        Self { guest, program, folder: folder.to_owned(), port, done: String::new() }
    }

    /// Starts a script in the guest.
    ///
    /// # Errors
    ///
    /// If the guest has gone.
    pub(crate) fn linux(&mut self, script: &str) -> Result<Script> {
        let _ = writeln!(self.done, "in the guest: {script}");
        self.guest.run(&format!("{NAMES} port={}\n{script}\n", self.port))
    }

    /// Runs a script in the guest, which has to succeed.
    ///
    /// # Errors
    ///
    /// It fails, or takes too long.
    pub(crate) fn linux_done(&mut self, script: &str) -> Result<Ended> {
        succeed(&self.linux(script)?)
    }

    /// Starts a script in the guest, and waits until something listens there.
    ///
    /// # Errors
    ///
    /// It ends instead, or takes too long.
    pub(crate) fn linux_listens(&mut self, script: &str) -> Result<Script> {
        let script = self.linux(&format!("listening $port &\n{script}"))?;
        script.wait_for("listening", LIMIT)?;
        Ok(script)
    }

    /// Starts a peer on this machine at an address.
    ///
    /// # Errors
    ///
    /// It does not start.
    pub(crate) fn ours(&mut self, arguments: &[&str]) -> Result<Peer> {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let peer = Peer::start(self.program, &self.folder, &arguments)?;
        let _ = writeln!(self.done, "on this machine: {}", peer.command);
        Ok(peer)
    }

    /// Starts a peer that goes through `steps` with each connection: one that connects to the guest's port, or one that listens.
    ///
    /// # Errors
    ///
    /// It does not start, or does not listen.
    pub(crate) fn peer(&mut self, from: From, options: &[&str], steps: &[&str]) -> Result<Peer> {
        let at = format!("127.0.0.1:{}", self.port);
        self.peer_at(&at, from, options, steps)
    }

    /// The same at some address.
    ///
    /// # Errors
    ///
    /// As above.
    pub(crate) fn peer_at(&mut self, at: &str, from: From, options: &[&str], steps: &[&str]) -> Result<Peer> {
        let way = if from == From::Linux { "--listen" } else { "--connect" };
        let mut peer = self.ours(&[&["peer", way, at], options, steps].concat())?;
        if from == From::Linux {
            peer.wait_for("listening", LIMIT)?;
        }
        Ok(peer)
    }

    /// What to show with a failure.
    pub(crate) fn story(&self) -> String {
        format!(
            "{}capture: {}\nconsole:\n{}",
            self.done,
            self.guest.capture().display(),
            self.guest.console()
        )
    }
}

/// Waits for a script that has to succeed.
///
/// # Errors
///
/// It fails, or takes too long.
pub(crate) fn succeed(script: &Script) -> Result<Ended> {
    let ended = script.wait(LIMIT)?;
    ensure!(ended.code == 0, "the guest's program failed with code {}:\n{}", ended.code, ended.output);
    Ok(ended)
}

/// A captured connection, as the judge tells of it.
#[derive(Debug, Clone, Default, Deserialize)]
struct Captured {
    port: u16,
    octets: [u64; 2],
    messages: [u64; 2],
    crc: bool,
    rsockets: bool,
    faults: Vec<String>,
}

/// Reads the capture, and finds what is wrong with the connections of each port.
///
/// # Errors
///
/// If it cannot be read.
pub(crate) fn judge(
    program: &Path,
    capture: &Path,
    expected: &[(u16, Expected)],
) -> Result<Vec<(u16, Vec<String>)>> {
    let ports: Vec<String> = expected.iter().map(|(port, _)| port.to_string()).collect();
    let read = cmd!(program, "capture", capture, "--linux", LINUX, "--ports", ports.join(","));
    let output = command::output("the judge of captures", &read)?;
    let connections: Result<Vec<Captured>, _> = output.lines().map(serde_json::from_str).collect();
    let connections = connections.context("the judge's words")?;
    Ok(expected.iter().map(|(port, expected)| (*port, wrong(*port, expected, &connections))).collect())
}

/// What is wrong with the connections of a port.
fn wrong(port: u16, expected: &Expected, connections: &[Captured]) -> Vec<String> {
    // One that was refused exchanged no FPDU.
    let mine =
        connections.iter().filter(|connection| connection.port == port && connection.messages != [0, 0]);
    let mine: Vec<&Captured> = mine.collect();
    let faults = mine.iter().flat_map(|connection| &connection.faults);
    let mut wrong: Vec<String> = faults.map(|fault| format!("in the capture: {fault}")).collect();
    if mine.len() != expected.connections {
        wrong.push(format!("the capture has {} connections, not {}", mine.len(), expected.connections));
    }
    if let Some(other) = mine.iter().find(|connection| connection.rsockets != expected.rsockets) {
        wrong.push(format!("not what was to be spoken: {other:?}"));
    }
    if let Some(plain) = mine.iter().find(|connection| !connection.crc) {
        wrong.push(format!("a connection without CRC: {plain:?}"));
    }
    let octets: u64 = mine.iter().flat_map(|connection| connection.octets).sum();
    if octets < expected.octets {
        wrong.push(format!("the capture has {octets} octets of streams, not {}", expected.octets));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_has_to_show_what_was_done() {
        let expected = Expected { connections: 2, rsockets: true, octets: 60 };
        let judged = |connections: &[Captured]| wrong(7, &expected, connections);
        let good = Captured {
            port: 7,
            octets: [10, 20],
            messages: [3, 2],
            crc: true,
            rsockets: true,
            faults: Vec::new(),
        };
        let other = Captured { port: 8, ..good.clone() };
        let refused = Captured { messages: [0, 0], crc: false, ..good.clone() };
        assert_eq!(judged(&[good.clone(), good.clone(), other, refused]), Vec::<String>::new());
        assert_eq!(judged(std::slice::from_ref(&good)).len(), 2, "a connection and its octets are missing");
        for bad in [
            Captured { faults: vec!["we: wrong".to_owned()], ..good.clone() },
            Captured { crc: false, ..good.clone() },
            Captured { rsockets: false, ..good.clone() },
            Captured { octets: [9, 20], ..good.clone() },
        ] {
            assert_eq!(judged(&[good.clone(), bad.clone()]).len(), 1, "{bad:?}");
        }
    }
}
