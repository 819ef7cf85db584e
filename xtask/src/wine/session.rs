//! A running prefix.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::debug_output::DebugOutput;
use super::prefix::Prefix;

/// How long the services of a prefix stay when no program runs in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Linger {
    /// So long, should this process die without ending them.
    Seconds(u32),
    /// Until somebody stops them.
    Forever,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// What it printed, on both streams.
    pub output: String,
}

/// A prefix whose services run. They are ended when it is dropped, unless they are to stay for ever.
#[derive(Debug)]
pub struct Session {
    prefix: Prefix,
    linger: Linger,
}

impl Session {
    /// Ends what runs in the prefix and starts it anew, with a new log.
    pub(super) fn start(prefix: Prefix, linger: Linger) -> Result<Self> {
        prefix.stop()?;
        let session = Self { prefix, linger };
        let persist = match linger {
            Linger::Seconds(seconds) => format!("-p{seconds}"),
            Linger::Forever => "-p".to_owned(),
        };
        // The server outlives this process, and must not keep its streams open.
        let server = session.prefix.server([persist.as_str()]).stdin_null().stdout_null().stderr_null();
        server.run().context("starting Wine's server")?;
        // Services and drivers inherit the error stream of the program that starts them, and write their debug
        // output there.
        let log = File::create(session.log_path()).context("creating Wine's log")?;
        let first = session.prefix.talking_wine(["cmd", "/c", "exit"]);
        let first = first.stdin_null().stdout_null().stderr_file(log).unchecked();
        if !first.run().context("starting Wine")?.status.success() {
            bail!("Wine does not start; see {}", session.log_path().display());
        }
        Ok(session)
    }

    /// The prefix.
    pub fn prefix(&self) -> &Prefix {
        &self.prefix
    }

    /// Copies a kernel image to where drivers are.
    ///
    /// # Errors
    ///
    /// If it cannot be copied.
    pub fn install_image(&self, image: &Path) -> Result<()> {
        let name = image.file_name().context("an image has a name")?;
        let destination = self.prefix.drivers().join(name);
        // Never through a link: the file may be shared with the template.
        if destination.exists() {
            fs::remove_file(&destination).with_context(|| destination.display().to_string())?;
        }
        fs::copy(image, &destination).with_context(|| image.display().to_string())?;
        Ok(())
    }

    /// Runs a Windows program to its end.
    ///
    /// # Errors
    ///
    /// If it cannot be started, or runs longer than `limit`; it is then killed.
    pub fn run(&self, program: &Path, arguments: &[&str], limit: Duration) -> Result<Finished> {
        let name = program.display().to_string();
        let command = self.prefix.wine([name.as_str()].into_iter().chain(arguments.iter().copied()));
        let command = command.stdin_null().stderr_to_stdout().stdout_capture().unchecked();
        let handle = command.start().with_context(|| format!("starting {name}"))?;
        let Some(output) = handle.wait_timeout(limit)? else {
            handle.kill()?;
            bail!("{name} has not ended after {} s", limit.as_secs());
        };
        let code = output.status.code().with_context(|| format!("{name} was killed"))?;
        Ok(Finished { code, output: String::from_utf8_lossy(&output.stdout).replace('\r', "") })
    }

    /// What drivers have printed so far, and what Wine has to say about crashes.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn debug_output(&self) -> Result<DebugOutput> {
        let log = fs::read(self.log_path()).context("reading Wine's log")?;
        Ok(DebugOutput::parse(&String::from_utf8_lossy(&log)))
    }

    /// Waits until a driver has printed a line that contains `text`.
    ///
    /// # Errors
    ///
    /// If it has not within `limit`.
    pub fn wait_for_line(&self, text: &str, limit: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            if self.debug_output()?.lines().iter().any(|line| line.contains(text)) {
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!("no driver has printed \"{text}\" within {} s", limit.as_secs());
            }
            // Wine tells nobody that its log has grown.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The file with everything that drivers print.
    pub fn log_path(&self) -> PathBuf {
        self.prefix.root().join("debug.log")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.linger != Linger::Forever {
            // Nothing can be done about a failure here; the server ends by itself a little later.
            let _ = self.prefix.stop();
        }
    }
}
