//! `cargo xtask build`: every Windows artefact, into `target/dist`.

mod archive;
pub mod artefact;
mod cross;
mod identity;
mod image;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::progress::{note, step};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use artefact::{ARTEFACTS, Artefact, Kind, Stage};
use cross::CrossCargo;

/// What cargo is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Compile and link.
    Build,
    /// Lint; links nothing.
    Clippy,
}

/// One build.
#[derive(Debug)]
pub struct Build {
    /// What to do.
    pub action: Action,
    /// Whether to optimise.
    pub release: bool,
    /// File names of the artefacts; all if empty.
    pub only: Vec<String>,
}

impl Build {
    /// Builds, and returns the folder with the artefacts.
    ///
    /// # Errors
    ///
    /// If the machine cannot be set up, a name in `only` is no artefact, or the compiler finds an error.
    pub fn run(&self, workspace: &Workspace) -> Result<PathBuf> {
        setup::ensure(workspace, &[Need::Build])?;
        let chosen = self.chosen()?;
        let cargo = CrossCargo::new(workspace)?;
        let dist = workspace.dist();
        for stage in [Stage::Libraries, Stage::Images] {
            let rows: Vec<_> = chosen.iter().copied().filter(|row| row.kind.stage() == stage).collect();
            for target in artefact::targets(&rows) {
                let group: Vec<_> =
                    rows.iter().copied().filter(|row| row.kind.target() == Some(target)).collect();
                cargo.run(self.action, self.optimised(stage), target, &group)?;
            }
            if self.action == Action::Build && !rows.is_empty() {
                let names: Vec<_> = rows.iter().map(|row| row.file).collect();
                step(format!("collect {}", names.join(", ")), || {
                    rows.iter().try_for_each(|row| self.collect(workspace, row, &dist))
                })?;
            }
        }
        if self.action == Action::Build {
            note(format_args!("the artefacts are in {}", dist.display()));
        }
        Ok(dist)
    }

    fn chosen(&self) -> Result<Vec<&'static Artefact>> {
        if let Some(unknown) = self.only.iter().find(|name| !ARTEFACTS.iter().any(|row| row.file == **name)) {
            let known: Vec<_> = ARTEFACTS.iter().map(|row| row.file).collect();
            bail!("{unknown} is no artefact; there are {}", known.join(", "));
        }
        let wanted = |row: &&Artefact| self.only.is_empty() || self.only.iter().any(|name| row.file == *name);
        Ok(ARTEFACTS.iter().filter(wanted).collect())
    }

    /// Copies what cargo made for `row` into `dist`, under the name that ships.
    fn collect(&self, workspace: &Workspace, row: &Artefact, dist: &Path) -> Result<()> {
        let destination = dist.join(row.file);
        let folder = destination.parent().unwrap_or(dist);
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let source = match row.kind.target() {
            None => workspace.root().join(row.source),
            Some(target) => {
                let profile = if self.optimised(row.kind.stage()) { "release" } else { "debug" };
                workspace.cross().join(target).join(profile).join(row.source)
            }
        };
        if row.kind == Kind::Archive {
            return archive::reduce(&source, &destination);
        }
        fs::copy(&source, &destination).with_context(|| source.display().to_string())?;
        if row.kind == Kind::Image {
            let symbols = copy_symbols(&source, &destination)?;
            image::finish(&destination, symbols.as_deref())?;
        }
        Ok(())
    }

    /// Libraries are always optimised: without that they need parts of the compiler's own library.
    fn optimised(&self, stage: Stage) -> bool {
        self.release || stage == Stage::Libraries
    }
}

fn copy_symbols(source: &Path, destination: &Path) -> Result<Option<PathBuf>> {
    let symbols = source.with_extension("pdb");
    if !symbols.exists() {
        return Ok(None);
    }
    // The name is recorded in the image, so it stays what the linker called it.
    let name = symbols.file_name().context("a file has a name")?;
    let copy = destination.with_file_name(name);
    fs::copy(&symbols, &copy).with_context(|| symbols.display().to_string())?;
    Ok(Some(copy))
}
