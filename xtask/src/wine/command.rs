//! `cargo xtask wine`: a prefix in which the driver runs.

use std::path::Path;

use anyhow::Result;

use super::service::GROUP;
use super::{Linger, Prefix};
use crate::build::{Action, Build};
use crate::progress::{note, step};
use crate::setup::{self, Need};
use crate::workspace::Workspace;

/// Service name of the driver.
const SERVICE: &str = "wskrdma";

/// Makes the prefix, starts the driver, stops and starts it `reload` times, and says how to go on.
///
/// # Errors
///
/// If anything fails, or a driver has broken a rule of the framework.
pub fn run(workspace: &Workspace, folder: &Path, release: bool, reload: u32) -> Result<()> {
    setup::ensure(workspace, &[Need::Build, Need::Wine])?;
    let images = ["wskrdma.sys", "test/wdfldr.sys"];
    let only = images.map(str::to_owned).to_vec();
    let dist = Build { action: Action::Build, release, only }.run(workspace)?;

    let prefix = Prefix::create(workspace, folder)?;
    let session = step("start Wine", || prefix.start(Linger::Forever))?;
    step("install and start the driver", || {
        for image in images {
            session.install_image(&dist.join(image))?;
        }
        session.create_service(SERVICE)?;
        session.set_driver_parameters(SERVICE)?;
        session.start_service(SERVICE)
    })?;
    if reload > 0 {
        step(format!("stop and start the driver {reload} times"), || {
            (0..reload).try_for_each(|_| {
                session.stop_service(SERVICE)?;
                session.start_service(SERVICE)
            })
        })?;
    }
    if let Some(error) = session.debug_output()?.errors().first() {
        anyhow::bail!("{error}");
    }

    let environment = format!("WINEPREFIX={}", session.prefix().root().display());
    let wine = format!("{environment} {}", session.prefix().loader().display());
    note("the driver runs; what drivers print goes to");
    note(format_args!("  {}", session.log_path().display()));
    note("to load another driver beside it, copy it to");
    note(format_args!("  {}", session.prefix().drivers().display()));
    note("and run");
    note(format_args!(
        "  {wine} sc create NAME type= kernel start= demand group= {GROUP} \
         binPath= 'C:\\windows\\system32\\drivers\\NAME.sys'"
    ));
    note(format_args!("  {wine} net start NAME"));
    note("to stop the driver, and to end everything in the prefix, run");
    note(format_args!("  {wine} net stop {SERVICE}"));
    note(format_args!("  {environment} {} -k", session.prefix().server_program().display()));
    Ok(())
}
