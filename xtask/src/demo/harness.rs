//! Starting `wskrdma-test` in a world, and listening to it.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use duct::{Expression, cmd};

use super::event::{Event, Outcome};
use crate::command;
use crate::conformance::ran::Ran;
use crate::workspace::Workspace;

/// A program that says nothing for so long is stuck: it reports every hundredth of its work.
const SILENCE: Duration = Duration::from_secs(120);

/// How many lines of a program that failed are shown.
const TAIL: usize = 20;

/// The program, in a world.
#[derive(Debug, Clone)]
pub(crate) struct Harness {
    program: PathBuf,
    /// Wine's loader and prefix.
    wine: Option<(PathBuf, PathBuf)>,
    silence: Duration,
}

/// How a call of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code.
    pub(crate) code: i32,
    /// What it said about an error.
    pub(crate) error: Option<String>,
    /// The conformance cases that it ran or listed.
    pub(crate) cases: Vec<Ran>,
    outcome: Option<Outcome>,
    text: Vec<String>,
}

impl Ended {
    /// What it printed last that was for a person.
    pub(crate) fn text(&self) -> String {
        self.text.join("\n")
    }
}

impl Harness {
    /// The program as built for this machine.
    pub(crate) fn native(program: PathBuf) -> Self {
        Self { program, wine: None, silence: SILENCE }
    }

    /// The program as built for Windows, in the prefix `root`.
    pub(crate) fn wine(program: PathBuf, loader: &Path, root: &Path) -> Self {
        Self { program, wine: Some((loader.to_owned(), root.to_owned())), silence: SILENCE }
    }

    /// Streams `file` through the drivers into `copy`; `progress` hears of bytes and their total.
    ///
    /// # Errors
    ///
    /// What the program says, or that it said nothing.
    pub(crate) fn transfer(
        &self,
        file: &Path,
        copy: &Path,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Outcome> {
        let ended = self.call(&["transfer", &self.path(file), &self.path(copy)], progress)?;
        match (ended.code, ended.error, ended.outcome) {
            (0, None, Some(outcome)) => Ok(outcome),
            (_, Some(error), _) => bail!("wskrdma-test: {error}"),
            (code, None, _) => bail!("wskrdma-test ended with code {code}:\n{}", ended.text.join("\n")),
        }
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or says nothing for too long.
    pub(crate) fn call(&self, arguments: &[&str], progress: &mut dyn FnMut(u64, u64)) -> Result<Ended> {
        let command = self.command(arguments).stdin_null().stderr_to_stdout().unchecked();
        let reader = Arc::new(command.reader().context("cannot start wskrdma-test")?);
        let (sender, lines) = mpsc::channel();
        let listener = Arc::clone(&reader);
        thread::spawn(move || {
            // It ends when the program does, or when nobody listens.
            for line in BufReader::new(&*listener).split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
            }
        });
        let mut ended = Ended { code: 0, error: None, cases: Vec::new(), outcome: None, text: Vec::new() };
        loop {
            match lines.recv_timeout(self.silence) {
                Ok(line) => match Event::parse(&line) {
                    Event::Progress { bytes, total } => progress(bytes, total),
                    Event::Transfer(outcome) => ended.outcome = Some(*outcome),
                    Event::Case(case) => ended.cases.push(*case),
                    Event::Error(message) => ended.error = Some(message),
                    Event::Text(text) => {
                        ended.text.drain(..(ended.text.len() + 1).saturating_sub(TAIL));
                        ended.text.push(text);
                    }
                },
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    reader.kill()?;
                    bail!("wskrdma-test has said nothing for {} s and was ended", self.silence.as_secs());
                }
            }
        }
        let output = reader.try_wait()?.context("wskrdma-test has closed its output and goes on")?;
        ended.code = output.status.code().context("wskrdma-test was killed")?;
        Ok(ended)
    }

    /// How the program has to be told of a file of this machine.
    pub(crate) fn path(&self, path: &Path) -> String {
        let path = path.display().to_string();
        if self.wine.is_some() { format!("Z:{}", path.replace('/', "\\")) } else { path }
    }

    fn command(&self, arguments: &[&str]) -> Expression {
        let arguments = ["--json"].iter().chain(arguments).map(|argument| (*argument).to_owned());
        let Some((loader, root)) = &self.wine else { return cmd(&self.program, arguments) };
        let program = self.program.display().to_string();
        cmd(loader, [program].into_iter().chain(arguments)).env("WINEPREFIX", root).env("WINEDEBUG", "-all")
    }
}

/// Builds the program for this machine, and says where it is.
///
/// # Errors
///
/// If it cannot be built.
pub(crate) fn build_native(workspace: &Workspace, release: bool) -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut arguments = vec!["build", "--quiet", "--package=wskrdma-test"];
    arguments.extend(release.then_some("--release"));
    command::quiet("cargo build", &cmd(cargo, arguments).dir(workspace.root()))?;
    let dist = workspace.dist();
    let target = dist.parent().context("the artefacts have a folder")?;
    Ok(target.join(if release { "release" } else { "debug" }).join("wskrdma-test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program that says what it is told to.
    fn pretender(script: &str, silence: Duration) -> (tempfile::TempDir, Harness) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let program = folder.path().join("program");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).expect("a writable folder");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("our own file");
        (folder, Harness { silence, ..Harness::native(program) })
    }

    fn transfer(script: &str) -> (Result<Outcome>, Vec<(u64, u64)>) {
        let (folder, harness) = pretender(script, SILENCE);
        let mut heard = Vec::new();
        let outcome =
            harness.transfer(folder.path(), folder.path(), &mut |bytes, total| heard.push((bytes, total)));
        (outcome, heard)
    }

    const PROGRESS: &str = "echo '{\"event\":\"progress\",\"bytes\":1,\"total\":2}'";
    const DONE: &str = "echo '{\"event\":\"transfer\",\"bytes\":2,\"seconds\":0.5,\"sha256\":\"aa\",\"adapter\":\"a\",\
                        \"path\":\"rdma\",\"sends\":1,\"receives\":2,\"work_requests\":3,\"completions\":4,\
                        \"credits\":5,\"copies_per_byte\":2.0}'";

    #[test]
    fn a_transfer_is_heard_to_its_end() {
        let (outcome, heard) = transfer(&format!("{PROGRESS}\n{DONE}"));
        assert_eq!(outcome.expect("a transfer").bytes, 2);
        assert_eq!(heard, [(1, 2)]);
    }

    #[test]
    fn what_the_program_says_is_the_error() {
        let (outcome, _) =
            transfer("echo '{\"event\":\"error\",\"message\":\"no driver\"}'; echo no driver >&2; exit 1");
        assert_eq!(outcome.expect_err("an error").to_string(), "wskrdma-test: no driver");
    }

    #[test]
    fn an_outcome_with_an_exit_code_is_an_error() {
        let (outcome, _) = transfer(&format!("{DONE}; echo crashed; exit 3"));
        let message = outcome.expect_err("an error").to_string();
        assert!(message.contains("code 3") && message.ends_with("crashed"), "{message}");
        assert!(transfer("true").0.is_err());
    }

    #[test]
    fn a_silent_program_is_ended() {
        let (folder, harness) = pretender("exec sleep 60", Duration::from_millis(100));
        let error = harness.transfer(folder.path(), folder.path(), &mut |_, _| ()).expect_err("silence");
        assert!(error.to_string().contains("said nothing"), "{error}");
    }

    #[test]
    fn windows_programs_are_told_windows_names() {
        let program = PathBuf::from("x.exe");
        let wine = Harness::wine(program.clone(), Path::new("wine"), Path::new("prefix"));
        assert_eq!(wine.path(Path::new("/a/b c")), "Z:\\a\\b c");
        assert_eq!(Harness::native(program).path(Path::new("/a/b c")), "/a/b c");
    }
}
