//! `cargo xtask verify`: what can be said about the built images and the INF without running them.
//!
//! Microsoft's own tools for this (InfVerif, BinSkim, Driver Verifier) run on Windows only; a clean result here does not stand in
//! for theirs. Each check is a function from an image or an INF to what is wrong with it, and has a test in which it fails.
//!
//! | module | is |
//! |---|---|
//! | [`image`] | the checks of a kernel image |
//! | `policy` | what an image may import and export: `policy.toml` |
//! | [`inf`] | the checks of the INF |
//! | `strings` | searching a binary for text |

pub(crate) mod image;
pub(crate) mod inf;
mod policy;
mod strings;

use std::env;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::progress::{note, step};
use crate::tidy::sources::MACHINE_FOLDERS;
use crate::workspace::Workspace;
use image::Image;
use inf::Inf;
use policy::Policy;

/// The driver's INF, below the repository.
const INF: &str = "inf/wskrdma.inf";

/// One check that was made.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What was checked, and on which file.
    pub(crate) name: String,
    /// What is wrong; empty if nothing is.
    pub(crate) wrong: Vec<String>,
}

/// Everything that `verify` found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// One for each check and file.
    pub(crate) verdicts: Vec<Verdict>,
}

/// Checks what `build` left in `dist`, and the INF.
///
/// # Errors
///
/// If a file that has to be there cannot be read.
pub(crate) fn report(workspace: &Workspace, dist: &Path) -> Result<Report> {
    let mut report = Report::default();
    let policy = Policy::checked_in()?;
    let folders = machine_folders(workspace);
    for row in &policy.images {
        let path = dist.join(&row.file);
        let bytes =
            fs::read(&path).with_context(|| format!("{} (cargo xtask build makes it)", path.display()))?;
        let image = Image::parse(&bytes, row, &folders).with_context(|| row.file.clone())?;
        for check in image::CHECKS.iter().filter(|check| row.ships || !check.only_shipped) {
            let name = format!("{}: {}", row.file, check.name);
            report.verdicts.push(Verdict { name, wrong: check.findings(&image) });
        }
    }
    let library = "wskrdma.lib";
    let bytes = fs::read(dist.join(library)).with_context(|| library.to_owned())?;
    let wrong = strings::find(&bytes, &folders);
    report.verdicts.push(Verdict { name: format!("{library}: names no folder of the build machine"), wrong });

    let path = workspace.root().join(INF);
    let text = fs::read_to_string(&path).with_context(|| INF.to_owned())?;
    let parsed = Inf::parse(&text);
    for check in inf::CHECKS {
        let wrong = check.findings(&parsed);
        report.verdicts.push(Verdict { name: format!("{INF}: {}", check.name), wrong });
    }
    Ok(report)
}

/// The command.
///
/// # Errors
///
/// If a check fails; what is wrong has been printed.
pub fn run(workspace: &Workspace) -> Result<()> {
    let report = report(workspace, &workspace.dist())?;
    let mut failed = 0;
    for verdict in &report.verdicts {
        let outcome = step(&verdict.name, || if verdict.wrong.is_empty() { Ok(()) } else { bail!("wrong") });
        verdict.wrong.iter().for_each(note);
        failed += usize::from(outcome.is_err());
    }
    if failed > 0 {
        bail!("{failed} of {} checks failed", report.verdicts.len());
    }
    Ok(())
}

/// Folders whose names say where a binary was built: this machine's, and those of machines in general.
fn machine_folders(workspace: &Workspace) -> Vec<String> {
    let mut folders = vec![format!("{}/", workspace.root().display())];
    folders.extend(env::home_dir().map(|home| format!("{}/", home.display())));
    folders.extend(MACHINE_FOLDERS.map(str::to_owned));
    folders.retain(|folder| folder.len() > 1);
    folders.sort_unstable();
    folders.dedup();
    folders
}
