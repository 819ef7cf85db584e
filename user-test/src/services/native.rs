//! Where the drivers' crates run in this process there are no services.

use super::Install;
use crate::failure::Failure;

fn nothing_to(verb: &str) -> Failure {
    let text = format!(
        "there is nothing to {verb} here: this build runs the driver inside each command. Use wskrdma-test.exe on Windows"
    );
    Failure::Unavailable(text)
}

/// Fails: there is no service manager.
pub(crate) fn install(_: &Install) -> Result<Vec<String>, Failure> {
    Err(nothing_to("install"))
}

/// Fails: there is no service manager.
pub(crate) fn uninstall() -> Result<Vec<String>, Failure> {
    Err(nothing_to("uninstall"))
}

/// There is nothing to start here: the first device that is opened starts the world.
pub(crate) fn start() -> Result<Vec<String>, Failure> {
    Ok(vec!["the native world starts with each command".to_owned()])
}

/// There is nothing to stop here.
pub(crate) fn stop() -> Result<Vec<String>, Failure> {
    Ok(vec!["the native world stops with each command".to_owned()])
}
