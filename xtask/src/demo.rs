//! `cargo xtask demo`: a file goes through the driver, and the copy is compared.
//!
//! | module | is |
//! |---|---|
//! | `harness` | starting `wskrdma-test` in a world, and listening to it |
//! | `event` | what it says |
//! | `machine` | a Wine prefix with both drivers |
//! | `content` | files: made up, hashed |
//! | `screen` | progress and result, for a person |

pub(crate) mod content;
mod event;
pub(crate) mod harness;
pub(crate) mod machine;
mod screen;

use std::fs::{self, File};
use std::path::Path;
use std::str::FromStr;
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail};

use crate::Told;
use crate::build::{Action, Build};
use crate::progress::{note, step};
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use event::Outcome;
use harness::Harness;
use machine::Machine;
use screen::Screen;

/// Length of the file that is made up when none is named, in bytes.
const DEFAULT_LENGTH: u64 = 16 << 20;

/// What the drivers run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum World {
    /// The images, in Wine's kernel.
    Wine,
    /// The crates, in a process of this machine over the simulated kernel.
    Native,
}

impl FromStr for World {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "wine" => Ok(Self::Wine),
            "native" => Ok(Self::Native),
            _ => bail!("there is no world {word}; there are wine and native"),
        }
    }
}

/// The command. Its last line says how it ended.
///
/// # Errors
///
/// [`Told`], if anything went wrong: the line has been printed.
pub fn run(workspace: &Workspace, world: &str, file: Option<&Path>) -> Result<()> {
    match demonstrate(workspace, world, file) {
        Ok(outcome) => {
            println!("demo: PASS {} bytes sha256 {} path {}", outcome.bytes, outcome.sha256, outcome.path);
            Ok(())
        }
        Err(error) => {
            let text = format!("{error:#}");
            let (sentence, details) = text.split_once('\n').unwrap_or((text.as_str(), ""));
            if !details.is_empty() {
                eprintln!("{details}");
            }
            println!("demo: FAIL {}", sentence.trim_end_matches(':'));
            Err(Told.into())
        }
    }
}

fn demonstrate(workspace: &Workspace, world: &str, file: Option<&Path>) -> Result<Outcome> {
    let world: World = world.parse()?;
    if let Some(file) = file {
        check_readable(file)?;
    }
    let folder = machine::folder(workspace)?;
    let file = match file {
        Some(file) => std::path::absolute(file)?,
        None => content::make(&folder.path().join("file"), DEFAULT_LENGTH)?,
    };
    let copy = folder.path().join("copy");
    let outcome = match world {
        World::Native => {
            let program = step("build wskrdma-test", || harness::build_native(workspace, true))?;
            transfer(&Harness::native(program), &file, &copy)?
        }
        World::Wine => in_wine(workspace, &file, &copy)?,
    };
    judge(&outcome, &file, &copy)?;
    Ok(outcome)
}

fn in_wine(workspace: &Workspace, file: &Path, copy: &Path) -> Result<Outcome> {
    setup::ensure(workspace, Need::ALL)?;
    let dist = Build { action: Action::Build, release: true, only: Vec::new() }.run(workspace)?;
    let machine = step("make a machine", || Machine::new(workspace, &dist))?;
    step("start the drivers", || machine.start_drivers())?;
    let outcome = transfer(&machine.harness(), file, copy);
    let outcome = outcome.map_err(|error| anyhow!("{error:#}\n{}", machine.last_words()));
    let stopped = step("stop the drivers", || machine.stop_drivers());
    let outcome = outcome?;
    stopped?;
    machine.check_quiet()?;
    Ok(outcome)
}

fn transfer(harness: &Harness, file: &Path, copy: &Path) -> Result<Outcome> {
    let mut screen = Screen::new();
    let outcome = harness.transfer(file, copy, &mut |bytes, total| screen.progress(bytes, total));
    screen.end();
    let outcome = outcome?;
    println!("{}", screen::table(&outcome));
    Ok(outcome)
}

/// Compares the file and its copy, without believing the program that made it.
fn judge(outcome: &Outcome, file: &Path, copy: &Path) -> Result<()> {
    let (sent, arrived) = step("compare SHA-256", || {
        let (sent, arrived) = thread::scope(|scope| {
            let arrived = scope.spawn(|| content::sha256(copy));
            (content::sha256(file), arrived.join())
        });
        Ok((sent?, arrived.map_err(|_| anyhow!("the thread that reads the copy failed"))??))
    })?;
    let length = fs::metadata(file)?.len();
    note(format_args!("file {sent}"));
    note(format_args!("copy {arrived}"));
    judged(outcome, length, &sent, &arrived)
}

fn judged(outcome: &Outcome, length: u64, sent: &str, arrived: &str) -> Result<()> {
    if sent != arrived {
        bail!("the copy differs: SHA-256 {arrived} instead of {sent}");
    }
    if outcome.bytes != length || outcome.sha256 != sent {
        bail!(
            "wskrdma-test tells of {} bytes with SHA-256 {}, which is not the file",
            outcome.bytes,
            outcome.sha256
        );
    }
    if outcome.path != "rdma" {
        bail!("the file arrived, but by the path {} instead of rdma", outcome.path);
    }
    Ok(())
}

fn check_readable(file: &Path) -> Result<()> {
    let name = file.display();
    let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
    if !opened.metadata().with_context(|| format!("cannot read {name}"))?.is_file() {
        bail!("cannot read {name}: it is not a file");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome() -> Outcome {
        Outcome { bytes: 3, sha256: "aa".to_owned(), path: "rdma".to_owned(), ..Outcome::default() }
    }

    #[test]
    fn only_an_equal_copy_by_rdma_passes() {
        assert!(judged(&outcome(), 3, "aa", "aa").is_ok());
        let wrong = |outcome: Outcome, length, sent, arrived| {
            judged(&outcome, length, sent, arrived).expect_err("something is wrong").to_string()
        };
        assert!(wrong(outcome(), 3, "aa", "bb").contains("differs"));
        assert!(wrong(outcome(), 4, "aa", "aa").contains("3 bytes"));
        assert!(wrong(outcome(), 3, "bb", "bb").contains("which is not the file"));
        let by_tcp = Outcome { path: "tcp".to_owned(), ..outcome() };
        assert!(wrong(by_tcp, 3, "aa", "aa").contains("path tcp"));
    }

    #[test]
    fn a_world_has_one_of_two_names() {
        assert_eq!("wine".parse::<World>().ok(), Some(World::Wine));
        assert_eq!("native".parse::<World>().ok(), Some(World::Native));
        assert!("windows".parse::<World>().is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing] {
            let message = format!("{:#}", check_readable(path).expect_err("no file"));
            assert!(message.starts_with(&format!("cannot read {}", path.display())), "{message}");
        }
    }
}
