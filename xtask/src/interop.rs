//! `cargo xtask interop`: unmodified Linux programs over the kernel's software iWARP as peers of the driver.
//!
//! | module | is |
//! |---|---|
//! | `packages`, `image` | the guest: Debian's packages, the iWARP module, a file system in memory; kept between runs |
//! | `guest` | QEMU, and scripts that run in it |

mod guest;
mod image;
mod packages;

use std::time::Duration;

use anyhow::Result;

use crate::Told;
use crate::progress::{note, step};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use guest::Guest;

/// The command.
///
/// # Errors
///
/// [`Told`], if a scenario failed: the table has been printed.
pub fn run(workspace: &Workspace, _only: &[String]) -> Result<()> {
    if let Err(error) = setup::ensure(workspace, &[Need::Interop]) {
        println!("interop: not run: {error:#}");
        return Ok(());
    }
    let image = image::ensure(workspace)?;
    let folder = crate::demo::machine::folder(workspace)?;
    let mut guest = step("start the guest", || Guest::start(&image, folder.path(), &[]))?;
    let script = guest.run("rping -s -a 10.0.2.15 -C 10 & listening 7174; rping -c -a 10.0.2.15 -C 10 -v")?;
    let ended = script.wait(Duration::from_secs(60))?;
    note(&ended.output);
    if ended.code != 0 {
        note(guest.console());
        return Err(Told.into());
    }
    Ok(())
}
