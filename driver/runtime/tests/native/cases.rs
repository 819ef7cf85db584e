//! Every case of the table, over the software adapter in each of its three ways to answer.

use cases::{CASES, Case};
use wskrdma_runtime::{AnswerMode, Config};

use crate::world::{Native, rules};

/// The cases to be run: all, or those with the value of `WSKRDMA_CASES` in their name.
fn chosen() -> impl Iterator<Item = &'static Case> {
    let part = std::env::var("WSKRDMA_CASES").unwrap_or_default();
    CASES.iter().filter(move |case| case.name.contains(&part))
}

/// Runs a case; whether it passed. This world can do everything: a case that is left out has failed.
fn passes(case: &Case, world: &mut Native) -> bool {
    let result = (case.run)(world);
    if let Err(failure) = &result {
        eprintln!("{} ({}): {failure}", case.name, case.section);
    }
    result.is_ok()
}

#[track_caller]
fn assert_none(failed: &[&str]) {
    assert!(failed.is_empty(), "{} of {} cases failed: {failed:?}", failed.len(), CASES.len());
}

/// Runs every case in one provider, one after the other: none leaves anything that the next one stumbles over.
fn run_all_in_one(answers: AnswerMode, client: impl Fn(Native) -> Native) {
    let _alone = ksim::exclusive();
    let mut world = client(Native::start(Config { answers, ..Config::default() }));
    let mut failed = Vec::new();
    for case in chosen() {
        if !passes(case, &mut world) {
            failed.push(case.name);
        }
        world.clear();
        ksim::quiesce();
        assert_eq!(irp::account().outstanding(), 0, "{}: IRPs are outstanding", case.name);
    }
    world.finish();
    assert_none(&failed);
}

/// Each in a provider of its own: whatever a case leaves behind is its own.
#[test]
fn every_case_passes_over_an_adapter_that_answers_inline() {
    let _alone = ksim::exclusive();
    let mut failed = Vec::new();
    for case in chosen() {
        let mut world = Native::start(Config { answers: AnswerMode::Inline, ..Config::default() });
        if !passes(case, &mut world) {
            failed.push(case.name);
        }
        world.finish();
    }
    assert_none(&failed);
}

#[test]
fn every_case_passes_over_an_adapter_that_answers_later() {
    run_all_in_one(AnswerMode::Later, |client| client);
}

#[test]
fn every_case_passes_over_an_adapter_that_answers_early() {
    run_all_in_one(AnswerMode::Early, |client| client);
}

#[test]
fn every_case_passes_with_its_calls_made_at_dispatch_level() {
    run_all_in_one(AnswerMode::Inline, Native::at_dispatch_level);
}

/// What a client sees is the same where RDMA is not to be used: the system's sockets serve it, under the same tables.
#[test]
fn every_case_passes_over_tcp() {
    let _alone = ksim::exclusive();
    let settings = rules("never any any");
    let mut world = Native::start(Config { answers: AnswerMode::Inline, settings, ..Config::default() });
    let mut failed = Vec::new();
    for case in chosen() {
        if !passes(case, &mut world) {
            failed.push(case.name);
        }
        world.clear();
        ksim::quiesce();
        assert_eq!(irp::account().outstanding(), 0, "{}: IRPs are outstanding", case.name);
    }
    world.finish();
    assert_none(&failed);
}

/// Cases that do not hold over iWARP, which is said in `docs/software-adapter.md`: TCP gives a listener's port back a moment after the
/// socket's close, which does not wait for the adapter's listener.
const NOT_OVER_IWARP: &[&str] = &["bind-port-comes-back"];

/// Over iWARP, each in a provider of its own. No twins: they would take the ports that iWARP needs.
#[test]
fn every_case_passes_over_iwarp() {
    let _alone = ksim::exclusive();
    let mut failed = Vec::new();
    for case in chosen().filter(|case| !NOT_OVER_IWARP.contains(&case.name)) {
        let settings = rules("require any any");
        let mut world = Native::start_over_iwarp(Config { settings, ..Config::default() });
        if !passes(case, &mut world) {
            failed.push(case.name);
        }
        world.finish();
    }
    assert_none(&failed);
}
