//! `install`, `uninstall`, `start` and `stop`: the services of both drivers.

use crate::failure::Failure;
use crate::report;
use clap::Args;
use std::path::PathBuf;

#[cfg(not(windows))]
mod native;
#[cfg(windows)]
mod windows;

#[cfg(not(windows))]
pub(crate) use native::{install, start, stop, uninstall};
#[cfg(windows)]
pub(crate) use windows::{install, start, stop, uninstall};

/// What `install` does.
#[derive(Args)]
pub(crate) struct Install {
    /// Folder with wskrdma.sys and, for tests, wskrdma-client.sys. They are copied into System32\\drivers.
    folder: PathBuf,
}

/// Prints what was done.
pub(crate) fn tell(json: bool, what: &str, done: Result<Vec<String>, Failure>) -> Result<(), Failure> {
    report::lines(json, what, &done?);
    Ok(())
}
