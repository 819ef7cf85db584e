//! Building and running `wskrdma-bench`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use duct::cmd;
use serde_json::Value;

use super::callgrind;
use super::samples::{Instructions, Row};
use super::targets::SMALL;
use crate::command;

/// Times that instructions are counted of.
const TIMES: u64 = 1000;

/// What instructions are counted of: measure, way, whether the driver's connections go over TCP.
const COUNTED: &[(&str, &str, bool)] = &[
    ("ping-pong", "wsk-receive", false),
    ("ping-pong", "wsk-indication", false),
    ("ping-pong", "raw-ndk", false),
    ("stream", "wsk-receive", false),
    ("stream", "wsk-indication", false),
    ("stream", "raw-ndk", false),
    ("fallback", "wsk-receive", true),
    ("fallback", "system-receive", true),
];

/// The program.
#[derive(Debug)]
pub(super) struct Program(PathBuf);

impl Program {
    /// Builds it, optimised, from the repository at `root` into `target`.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub(super) fn build(root: &Path, target: &Path) -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = cmd!(cargo, "build", "--quiet", "--release", "--package=wskrdma-bench");
        command::quiet("cargo build", &build.dir(root).env("CARGO_TARGET_DIR", target))?;
        Ok(Self(target.join("release/wskrdma-bench")))
    }

    fn lines(&self, arguments: &[&str]) -> Result<String> {
        let run = cmd(&self.0, arguments).stdin_null();
        run.read().with_context(|| format!("wskrdma-bench {}", arguments.join(" ")))
    }

    /// Time of all ways.
    ///
    /// # Errors
    ///
    /// The program's.
    pub(super) fn time(&self, quick: bool) -> Result<Vec<Row>> {
        let arguments = if quick { &["time", "--quick"][..] } else { &["time"] };
        self.lines(arguments)?.lines().map(Row::read).collect()
    }

    /// Operation counts.
    ///
    /// # Errors
    ///
    /// The program's.
    pub(super) fn counts(&self) -> Result<Vec<Value>> {
        let lines = self.lines(&["counts"])?;
        lines.lines().map(|line| serde_json::from_str(line).context(line.to_owned())).collect()
    }

    /// Instructions of small messages; what valgrind writes is kept in `folder`.
    ///
    /// # Errors
    ///
    /// The program's, or valgrind's.
    pub(super) fn instructions(&self, folder: &Path) -> Result<Vec<Instructions>> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        COUNTED.iter().map(|&(measure, way, tcp)| self.counted(folder, measure, way, tcp)).collect()
    }

    fn counted(&self, folder: &Path, measure: &str, way: &str, tcp: bool) -> Result<Instructions> {
        let file = folder.join(format!("{measure}.{way}.out"));
        let out = format!("--callgrind-out-file={}", file.display());
        let fixed = ["--tool=callgrind", "--toggle-collect=*measure::measured*", &out].map(str::to_owned);
        let (size, times) = (SMALL.to_string(), TIMES.to_string());
        // The fallback is measured by exchanges of messages, too.
        let pattern = if measure == "stream" { "stream" } else { "ping-pong" };
        let once = ["once", pattern, way, &size, &times].map(str::to_owned);
        let program = self.0.display().to_string();
        let tcp = tcp.then(|| "--tcp".to_owned());
        let arguments = fixed.into_iter().chain([program]).chain(once).chain(tcp);
        command::quiet("valgrind", &cmd("valgrind", arguments))?;
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let parts = callgrind::parts(&text).with_context(|| file.display().to_string())?;
        let messages = if pattern == "stream" { TIMES } else { 2 * TIMES };
        Ok(Instructions { measure: measure.to_owned(), way: way.to_owned(), messages, parts })
    }
}
