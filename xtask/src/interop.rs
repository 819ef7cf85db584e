//! `cargo xtask interop`: unmodified Linux programs over the kernel's software iWARP as peers of the driver.
//!
//! | module | is |
//! |---|---|
//! | `packages`, `image` | the guest: Debian's packages, the iWARP module, a file system in memory; kept between runs |
//! | `guest` | QEMU, and scripts that run in it |
//! | `ours` | the other end, the driver in a process of this machine |
//! | `stage`, `scenarios` | what is done with both, and what the capture has to show of it |

mod guest;
mod image;
mod ours;
mod packages;
mod scenarios;
mod stage;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::progress::step;
use crate::setup::{self, Need};
use crate::test::tally::Tally;
use crate::workspace::Workspace;
use guest::Guest;
use scenarios::{SCENARIOS, Scenario};
use stage::{Expected, From, Stage};

/// Prints the names of all scenarios.
pub fn list() {
    for scenario in SCENARIOS {
        println!("{:24} {}", scenario.name, scenario.about);
    }
}

/// The command: runs the scenarios that are called so, or begin so; all without any.
///
/// # Errors
///
/// [`crate::Told`], if a scenario failed; or there is none of that name.
pub fn run(workspace: &Workspace, only: &[String]) -> Result<()> {
    let chosen = choose(only)?;
    let mut tally = Tally::default();
    count(workspace, &chosen, &mut tally);
    tally.finish()
}

fn choose(only: &[String]) -> Result<Vec<&'static Scenario>> {
    if let Some(unknown) = only.iter().find(|&name| !SCENARIOS.iter().any(|s| s.name.starts_with(name))) {
        bail!("there is no scenario {unknown}; cargo xtask interop --list prints all");
    }
    let chosen =
        |scenario: &&Scenario| only.is_empty() || only.iter().any(|name| scenario.name.starts_with(name));
    Ok(SCENARIOS.iter().filter(chosen).collect())
}

/// What has come of a scenario.
struct Row {
    scenario: &'static Scenario,
    port: u16,
    seconds: f64,
    /// What its capture has to show, if it has passed.
    expected: Option<Expected>,
    /// Whether it does, if that was looked at.
    as_said: Option<bool>,
}

/// Over the rows.
const HEAD: &str = "scenario          who connects   result  seconds  capture";

impl Row {
    fn line(&self) -> String {
        let who = if self.scenario.from == From::Linux { "Linux" } else { "we" };
        let name = self.scenario.name.trim_end_matches("-from-linux").trim_end_matches("-to-linux");
        let result = if self.expected.is_some() { "passed" } else { "FAILED" };
        let capture = self.as_said.map_or("not read", |good| if good { "good" } else { "FAILED" });
        format!("{name:17} {who:14} {result:7} {:7.1}  {capture}", self.seconds)
    }
}

/// What every scenario needs.
struct Means {
    program: PathBuf,
    folder: PathBuf,
}

fn prepare(workspace: &Workspace) -> Result<Means> {
    let program = step("build our end", || ours::build(workspace))?;
    // What a failed run has left is for whoever looks at it until the next one.
    let folder = workspace.state("interop-run");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let shared = folder.join("shared");
    fs::create_dir_all(&shared).with_context(|| shared.display().to_string())?;
    step("build the guest's program", || guest::build(&shared))?;
    Ok(Means { program, folder })
}

fn count(workspace: &Workspace, chosen: &[&'static Scenario], tally: &mut Tally) {
    let image = match setup::ensure(workspace, &[Need::Interop]).and_then(|()| image::ensure(workspace)) {
        Ok(image) => image,
        Err(error) => return tally.not_run("interoperation with Linux", &format!("{error:#}")),
    };
    let Some(means) = tally.check("build our end of the interoperation", || prepare(workspace)) else {
        return;
    };
    let started = tally.check("start the Linux guest", || {
        let ports = free_ports(chosen.len())?;
        let inwards = chosen.iter().zip(&ports).filter(|(scenario, _)| scenario.from == From::Us);
        let inwards: Vec<u16> = inwards.map(|(_, &port)| port).collect();
        Ok((Guest::start(&image, &means.folder, &inwards)?, ports))
    });
    let Some((mut guest, ports)) = started else { return };
    let mut rows = Vec::new();
    for (&scenario, &port) in chosen.iter().zip(&ports) {
        let start = Instant::now();
        let expected = tally.check(scenario.name, || play(&mut guest, &means, scenario, port));
        rows.push(Row { scenario, port, seconds: start.elapsed().as_secs_f64(), expected, as_said: None });
    }
    let capture = guest.capture();
    // QEMU writes the last packets when it ends.
    drop(guest);
    read_capture(&means, &capture, &mut rows, tally);
    println!("{HEAD}");
    for row in &rows {
        println!("{}", row.line());
    }
    if tally.has_passed() {
        // Some hundred megabytes that nobody looks at.
        let _ = fs::remove_dir_all(&means.folder);
    }
}

/// Judges what was captured of each scenario that has passed.
fn read_capture(means: &Means, capture: &Path, rows: &mut [Row], tally: &mut Tally) {
    let expected: Vec<(u16, Expected)> =
        rows.iter().filter_map(|row| Some((row.port, row.expected?))).collect();
    if expected.is_empty() {
        return;
    }
    let judged = tally.check("read the capture", || stage::judge(&means.program, capture, &expected));
    for (port, mut wrong) in judged.unwrap_or_default() {
        let Some(row) = rows.iter_mut().find(|row| row.port == port) else { continue };
        row.as_said = Some(wrong.is_empty());
        if !wrong.is_empty() {
            wrong.push(format!("capture: {}, port {port}", capture.display()));
            wrong.push(again(row.scenario));
        }
        tally.judge(&format!("what {} said", row.scenario.name), &wrong);
    }
}

fn play(guest: &mut Guest, means: &Means, scenario: &Scenario, port: u16) -> Result<Expected> {
    let mut stage = Stage::new(guest, &means.program, &means.folder, port);
    scenario.run(&mut stage).map_err(|error| error.context(format!("{}\n{}", again(scenario), stage.story())))
}

/// How to see it again.
fn again(scenario: &Scenario) -> String {
    format!("again: cargo xtask interop --only {}", scenario.name)
}

/// Ports that nothing on this machine listens on, different ones.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bound: Result<Vec<TcpListener>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let bound = bound.context("no free port")?;
    bound.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_has_come_of_a_scenario() {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == "http-to-linux").unwrap();
        let expected = Some(Expected { connections: 1, rsockets: true, octets: 0 });
        let mut row = Row { scenario, port: 7, seconds: 1.25, expected, as_said: Some(true) };
        assert_eq!(
            row.line().split_whitespace().collect::<Vec<_>>(),
            ["http", "we", "passed", "1.2", "good"]
        );
        row.as_said = Some(false);
        assert!(row.line().ends_with(" FAILED"));
        (row.expected, row.as_said) = (None, None);
        assert!(row.line().contains("FAILED") && row.line().ends_with("not read"));
    }

    #[test]
    fn scenarios_are_chosen_by_the_beginnings_of_their_names() {
        let names = |only: &[&str]| {
            let only: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
            choose(&only).map(|chosen| chosen.iter().map(|scenario| scenario.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).unwrap().len(), SCENARIOS.len());
        assert_eq!(names(&["rping"]).unwrap(), ["rping-from-linux", "rping-to-linux"]);
        assert_eq!(names(&["ipv6-to-linux", "http-from"]).unwrap(), ["http-from-linux", "ipv6-to-linux"]);
        assert!(names(&["nothing"]).unwrap_err().to_string().contains("nothing"));
    }
}
