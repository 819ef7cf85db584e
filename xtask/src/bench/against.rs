//! Two revisions, pair by pair: each way of the present tree beside the same way of another revision, in turns.

use std::fs;

use anyhow::{Context, Result, bail};
use duct::cmd;

use super::program::Program;
use super::samples::Row;
use super::tables::{short, table};
use crate::command;
use crate::progress::step;
use crate::workspace::Workspace;

/// Turns that each takes.
const TURNS: usize = 5;
const TURNS_QUICK: usize = 2;

/// What one way took in each turn: here, and there.
type Pair = (Row, Vec<(f64, f64)>);

/// Measures both and prints the ratio of each way's medians.
///
/// # Errors
///
/// If the revision is none, or has no such program.
pub(super) fn run(workspace: &Workspace, revision: &str, quick: bool) -> Result<()> {
    let folder = workspace.target().join("bench/against");
    let tree = folder.join("tree");
    // One of an earlier run is given up.
    let _ = command::quiet("git", &cmd!("git", "worktree", "remove", "--force", &tree).dir(workspace.root()));
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let add = cmd!("git", "worktree", "add", "--detach", &tree, revision).dir(workspace.root());
    command::quiet("git worktree add", &add)?;
    let both = (|| {
        let here = step("build this tree", || Program::build(workspace.root(), workspace.target()))?;
        let there = step(format!("build {revision}"), || Program::build(&tree, &folder.join("target")))?;
        pairs(&here, &there, if quick { TURNS_QUICK } else { TURNS })
    })();
    let removed = cmd!("git", "worktree", "remove", "--force", &tree).dir(workspace.root());
    command::quiet("git worktree remove", &removed)?;
    let mut pairs = both?;
    if pairs.is_empty() {
        bail!("{revision} and this tree have no way in common");
    }
    let heading = ["measure", "way", "parameter", "here, ns", "there, ns", "here / there"];
    let mut table = table(&heading.map(str::to_owned));
    for (row, turns) in &mut pairs {
        let mut ratios: Vec<f64> = turns.iter().map(|(here, there)| here / there).collect();
        turns.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (here, there) = turns.get(turns.len() / 2).copied().unwrap_or((f64::NAN, f64::NAN));
        let numbers = [short(here), short(there), short(median(&mut ratios))];
        let names = [row.measure.clone(), row.way.clone(), row.parameter.to_string()];
        table.add_row(names.into_iter().chain(numbers));
    }
    println!("{table}");
    Ok(())
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(f64::NAN)
}

fn pairs(here: &Program, there: &Program, turns: usize) -> Result<Vec<Pair>> {
    let mut all: Vec<Pair> = Vec::new();
    for turn in 1..=turns {
        let (ours, theirs) =
            step(format!("turn {turn} of {turns}"), || Ok((here.time(true)?, there.time(true)?)))?;
        for row in ours {
            let same = |other: &&Row| {
                other.measure == row.measure && other.way == row.way && other.parameter == row.parameter
            };
            let Some(other) = theirs.iter().find(same) else { continue };
            let pair = (row.median(), other.median());
            match all.iter_mut().find(|(known, _)| same(&known)) {
                Some((_, turns)) => turns.push(pair),
                None => all.push((row, vec![pair])),
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_in_any_order() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert!(median(&mut []).is_nan());
    }
}
