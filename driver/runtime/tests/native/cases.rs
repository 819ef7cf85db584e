//! Every case of the table, over the software adapter in each of its three ways to answer.

use cases::CASES;
use wskrdma_runtime::{AnswerMode, Config};

use crate::world::Native;

/// Runs every case in a provider of its own, with a client made by `client`.
fn run_all(answers: AnswerMode, client: impl Fn(Native) -> Native) {
    let _alone = ksim::exclusive();
    let mut failures = Vec::new();
    for case in CASES {
        let mut world = client(Native::start(Config { answers, ..Config::default() }));
        let result = (case.run)(&mut world);
        if let Err(failure) = result {
            eprintln!("{} ({}): {failure}", case.name, case.section);
            failures.push(case.name);
        }
        world.finish();
    }
    assert!(failures.is_empty(), "{} of {} cases failed: {failures:?}", failures.len(), CASES.len());
}

#[test]
fn every_case_passes_over_an_adapter_that_answers_inline() {
    run_all(AnswerMode::Inline, |client| client);
}

#[test]
fn every_case_passes_over_an_adapter_that_answers_later() {
    run_all(AnswerMode::Later, |client| client);
}

#[test]
fn every_case_passes_over_an_adapter_that_answers_early() {
    run_all(AnswerMode::Early, |client| client);
}

#[test]
fn every_case_passes_with_its_calls_made_at_dispatch_level() {
    run_all(AnswerMode::Inline, Native::at_dispatch_level);
}
