//! Files through the drivers, in any world.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::cases;
use super::tally::Tally;
use crate::demo::harness::{self, Harness};
use crate::demo::{content, machine};
use crate::workspace::Workspace;

/// Lengths of the files, in bytes: nothing, the least, and many pieces with an odd rest.
pub(super) const LENGTHS: [(&str, u64); 3] =
    [("no byte", 0), ("one byte", 1), ("5 MiB and a bit", (5 << 20) + 7)];

/// The crates in a process of this machine.
pub(super) fn native(workspace: &Workspace, tally: &mut Tally) {
    let Some(program) = tally.check("native: build wskrdma-test", || harness::build_native(workspace, false))
    else {
        tally.not_run("native: transfers", "wskrdma-test cannot be built");
        return;
    };
    let harness = Harness::native(program);
    for (name, length) in LENGTHS {
        tally.check(&format!("native: transfer {name}"), || {
            let folder = machine::folder(workspace)?;
            transfer(&harness, folder.path(), length)
        });
    }
    cases::native(&harness, tally);
}

/// Sends a file of `length` bytes and compares what arrives, byte for byte.
///
/// # Errors
///
/// If anything is not as it has to be.
pub(super) fn transfer(harness: &Harness, folder: &Path, length: u64) -> Result<()> {
    let file = content::make(&folder.join("file"), length)?;
    let copy = folder.join("copy");
    let mut last = None;
    let outcome = harness.transfer(&file, &copy, &mut |bytes, _| last = Some(bytes))?;
    let (sent, arrived) = (fs::read(&file)?, fs::read(&copy).context("the copy")?);
    if sent != arrived {
        let place = sent.iter().zip(&arrived).position(|(sent, arrived)| sent != arrived);
        bail!(
            "{} bytes were sent, {} arrived; the first that differs is {place:?}",
            sent.len(),
            arrived.len()
        );
    }
    if outcome.bytes != length || last != Some(length) {
        bail!("{length} bytes were sent; progress ended at {last:?}, the result says {}", outcome.bytes);
    }
    if outcome.path != "rdma" {
        bail!("the path was {}", outcome.path);
    }
    if length > 0 && (outcome.sends == 0 || outcome.work_requests == 0 || outcome.completions == 0) {
        bail!("the bytes arrived without the adapter: {outcome:?}");
    }
    Ok(())
}
