//! This machine's end: a process with the driver in it, and what it tells.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use duct::cmd;
use serde::Deserialize;

use crate::command;
use crate::workspace::Workspace;

/// What has come of a connection, as our end tells.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Outcome {
    /// SHA-256 of what it sent.
    pub(crate) sent_sha256: String,
    /// Octets that it received, without a header of HTTP, and their SHA-256.
    pub(crate) received: u64,
    pub(crate) received_sha256: String,
    /// It saw the orderly end of the peer's direction.
    pub(crate) ended: bool,
    /// The error that it waited for.
    pub(crate) lost: Option<String>,
    /// Pings that it made or answered.
    pub(crate) pings: u64,
}

/// A line of our end.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Told {
    said: Option<String>,
    connection: Option<Outcome>,
}

/// A running peer. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Child,
    said: Receiver<Told>,
    errors: PathBuf,
    /// What it was started with.
    pub(crate) command: String,
}

/// Builds the program.
///
/// # Errors
///
/// What cargo says.
pub(crate) fn build(workspace: &Workspace) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = cmd!(cargo, "build", "--quiet", "--package", "wskrdma-interop").dir(workspace.root());
    command::quiet("cargo build", &build)?;
    Ok(workspace.native().join("wskrdma-interop"))
}

impl Peer {
    /// Starts a peer; what it has to complain about goes to a file in `folder`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn start(program: &Path, folder: &Path, arguments: &[String]) -> Result<Self> {
        let errors = folder.join("ours");
        let mut process = Command::new(program);
        process.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        process.stderr(File::create(&errors).with_context(|| errors.display().to_string())?);
        let mut process = process.spawn().with_context(|| program.display().to_string())?;
        let output = BufReader::new(process.stdout.take().context("a process without output")?);
        let (sender, said) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let told = serde_json::from_str(&line).unwrap_or_default();
                if sender.send(told).is_err() {
                    return;
                }
            }
        });
        let quoted = arguments.iter().map(|argument| format!("'{argument}'"));
        let command = format!("{} {}", program.display(), quoted.collect::<Vec<_>>().join(" "));
        Ok(Self { process, said, errors, command })
    }

    /// The next thing that it tells.
    ///
    /// # Errors
    ///
    /// It ends instead, or takes longer.
    fn next(&mut self, limit: Duration) -> Result<Told> {
        match self.said.recv_timeout(limit) {
            Ok(told) => Ok(told),
            Err(RecvTimeoutError::Timeout) => {
                bail!("our end says nothing for {} s\n{}", limit.as_secs(), self.complaint())
            }
            Err(RecvTimeoutError::Disconnected) => bail!("our end has ended\n{}", self.complaint()),
        }
    }

    /// Waits until it says a word.
    ///
    /// # Errors
    ///
    /// It says something else, ends, or takes longer.
    pub(crate) fn wait_for(&mut self, word: &str, limit: Duration) -> Result<()> {
        let told = self.next(limit)?;
        ensure!(
            told.said.as_deref() == Some(word),
            "our end says {told:?} where {word} is due\n{}",
            self.complaint()
        );
        Ok(())
    }

    /// Waits for the end: what it tells of each connection.
    ///
    /// # Errors
    ///
    /// It fails, or takes longer.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Vec<Outcome>> {
        let deadline = Instant::now() + limit;
        let mut connections = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.said.recv_timeout(left) {
                Ok(told) => connections.extend(told.connection),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    bail!("our end runs longer than {} s\n{}", limit.as_secs(), self.complaint())
                }
            }
        }
        let status = self.process.wait()?;
        ensure!(status.success(), "our end failed: {status}\n{}", self.complaint());
        Ok(connections)
    }

    /// Ends it as a crash would.
    ///
    /// # Errors
    ///
    /// If there is nothing to end.
    pub(crate) fn kill(mut self) -> Result<()> {
        ensure!(self.process.try_wait()?.is_none(), "our end has ended before\n{}", self.complaint());
        self.process.kill().context("cannot kill our end")?;
        self.process.wait()?;
        Ok(())
    }

    fn complaint(&self) -> String {
        fs::read_to_string(&self.errors).unwrap_or_default().trim_end().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_our_end_tells_is_read() {
        let read = |line: &str| serde_json::from_str::<Told>(line).unwrap_or_default();
        assert_eq!(read(r#"{"said":"listening"}"#).said.as_deref(), Some("listening"));
        let told = read(r#"{"connection":{"sent":1,"received":5,"ended":true,"lost":null}}"#);
        assert_eq!(told.connection, Some(Outcome { received: 5, ended: true, ..Outcome::default() }));
        assert_eq!(read("noise"), Told::default());
    }
}
