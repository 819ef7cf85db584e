//! Runs of the simulation that every test run makes: the seeds that have failed before, a few others twice, and those with a
//! fault planted that it must find.

#![cfg(test)]

use std::process::{Command, Output};
use std::thread;

use serde_json::Value;

fn run(arguments: &[String]) -> Value {
    let output: Output = Command::new(env!("CARGO_BIN_EXE_wskrdma-sim")).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let report = said.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
    report.unwrap_or_else(|| {
        panic!("{arguments:?} made no report: {}", String::from_utf8_lossy(&output.stderr));
    })
}

fn seed(seed: u64) -> Value {
    run(&["--seed".to_owned(), seed.to_string()])
}

#[track_caller]
fn passes(number: u64) -> Value {
    let report = seed(number);
    assert_eq!(
        report["passed"], true,
        "seed {number}: {}\nagain: cargo xtask sim --seed {number}",
        report["failure"]
    );
    report
}

/// Calls `test` for each seed, on as many threads as the machine has.
fn each(seeds: &[u64], test: impl Fn(u64) + Sync) {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = seeds.len().div_ceil(workers).max(1);
    thread::scope(|scope| {
        for share in seeds.chunks(share) {
            scope.spawn(|| share.iter().for_each(|&seed| test(seed)));
        }
    });
}

#[test]
fn seeds_that_have_failed_pass() {
    let list = include_str!("../seeds.txt").lines().filter(|line| !line.starts_with('#'));
    let seeds: Vec<u64> = list.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    assert!(!seeds.is_empty());
    each(&seeds, |seed| {
        passes(seed);
    });
}

#[test]
fn the_same_seed_twice_is_the_same_run() {
    let seeds: Vec<u64> = (5000..5040).collect();
    each(&seeds, |number| {
        let (first, again) = (passes(number), passes(number));
        for key in ["hash", "entries", "switches", "milliseconds", "conditions", "steps", "seen"] {
            assert_eq!(first[key], again[key], "seed {number}: {key}");
        }
    });
}

#[test]
fn different_seeds_are_different_runs() {
    let hashes: std::collections::BTreeSet<String> =
        (5000..5010).map(|number| passes(number)["hash"].to_string()).collect();
    assert_eq!(hashes.len(), 10);
}

/// What must be found, and by which words.
const PLANTED: &[(&str, &str)] = &[
    ("octet", "is not its own"),
    ("end", "has not announced"),
    ("send", "octets that nobody has sent"),
    ("leak", "still allocated"),
];

/// A machine that could not find a fault that is there would be worth nothing.
#[test]
fn planted_faults_are_found() {
    for (plant, words) in PLANTED {
        let found = (0..40).any(|number: u64| {
            let report = run(&["--seed".to_owned(), number.to_string(), format!("--plant={plant}")]);
            report["passed"] == false && report["failure"].as_str().unwrap_or_default().contains(words)
        });
        assert!(found, "no seed finds the planted fault {plant:?}");
    }
}
