//! `cargo xtask bench`: what the driver costs, beside other ways in the same run.
//!
//! | module | is |
//! |---|---|
//! | `program` | building and running `wskrdma-bench` |
//! | `samples`, `callgrind` | what it told, and what valgrind counted |
//! | `under_wine` | the same client under Wine, over both providers |
//! | `targets` | what is aimed at |
//! | `tables`, `page`, `plots` | the report |
//! | `against` | two revisions, pair by pair |

mod against;
mod callgrind;
mod page;
mod plots;
mod program;
mod samples;
mod tables;
mod targets;
mod under_wine;

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

use crate::progress::{note, step};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use program::Program;
use samples::Data;
use targets::Target;

/// The command: measures, prints tables and writes the report; or compares with another revision.
///
/// # Errors
///
/// If something cannot be built or run. A target that is missed is in the report.
pub fn run(workspace: &Workspace, quick: bool, against: Option<&str>) -> Result<()> {
    setup::ensure(workspace, &[Need::Bench])?;
    if let Some(revision) = against {
        return against::run(workspace, revision, quick);
    }
    let data = measure(workspace, quick)?;
    let targets = targets::all(&data);
    tables::print(&data, &targets);
    write(workspace, &data, &targets)
}

fn measure(workspace: &Workspace, quick: bool) -> Result<Data> {
    let program = step("build wskrdma-bench", || Program::build(workspace.root(), workspace.target()))?;
    let counts = step("count operations", || program.counts())?;
    let instructions = step("count instructions", || program.instructions(&workspace.state("callgrind")))?;
    let rows = step("measure time", || program.time(quick))?;
    let wine = if quick { None } else { Some(under_wine::run(workspace)?) };
    Ok(Data { rows, counts, instructions, wine })
}

/// Writes what was found beside the other artefacts.
fn write(workspace: &Workspace, data: &Data, targets: &[Target]) -> Result<()> {
    let folder = workspace.target().join("bench");
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let rows = data.rows.iter().map(|row| {
        json!({ "measure": row.measure, "way": row.way, "parameter": row.parameter, "nanoseconds": row.samples() })
    });
    let instructions = data.instructions.iter().map(
        |one| json!({ "measure": one.measure, "way": one.way, "messages": one.messages, "parts": one.parts }),
    );
    let wine = data.wine.map(|wine| json!({ "milliseconds": wine.ours, "netio_milliseconds": wine.netio }));
    let report = json!({
        "targets": targets,
        "counts": data.counts,
        "instructions": instructions.collect::<Vec<_>>(),
        "samples": rows.collect::<Vec<_>>(),
        "wine": wine,
    });
    for (name, text) in [
        ("report.json", serde_json::to_string_pretty(&report)?),
        ("report.html", page::render(data, targets)?),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        note(format_args!("written: {}", path.display()));
    }
    Ok(())
}
