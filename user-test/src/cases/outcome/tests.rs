use super::*;
use control::Address;
use control::client::cases::{FOUND_NOTHING, field};

fn reply(outcome: u32) -> RunReply {
    RunReply {
        outcome,
        found: FOUND_NOTHING,
        number: 0,
        address: Address::default(),
        asked: 0b101,
        line: 0,
        milliseconds: 12,
        requests: 3,
        reserved: 0,
        expected: field("the request succeeds"),
        file: field("a/b.rs"),
    }
}

fn outcome(end: End) -> Outcome {
    let entry = Entry { number: 0, name: "send-small".to_owned(), section: "WskSend".to_owned() };
    Outcome { entry, provider: "wskrdma", end }
}

fn of(reply: RunReply) -> Outcome {
    outcome(End::Reply(Box::new(reply)))
}

#[test]
fn a_failure_says_what_was_expected_and_found_and_where() {
    let failed = of(RunReply { found: FOUND_STATUS, number: 0xC000_0120, line: 77, ..reply(OUTCOME_FAILED) });
    let text = failed.to_string();
    for part in ["failed", "send-small", "WskSend", "the request succeeds", "CANCELLED", "a/b.rs:77"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let value = failed.to_json();
    assert_eq!(value["status"], "0xc0000120");
    assert_eq!(value["asks"], json!(["WskSocket", "WskControlClient"]));
}

#[test]
fn what_is_not_allowed_is_named() {
    let refused = of(RunReply { found: FOUND_NUMBER, number: 1 << 17, ..reply(OUTCOME_NOT_ALLOWED) });
    assert!(refused.why().ends_with("found WskDisconnect"), "{}", refused.why());
    assert!(refused.not_allowed() && !refused.ends_the_run());
}

#[test]
fn a_pass_says_nothing_more() {
    let passed = of(reply(OUTCOME_PASSED));
    assert_eq!((passed.why(), passed.place()), (String::new(), String::new()));
    assert_eq!(passed.to_string().lines().count(), 1);
}

#[test]
fn only_a_run_without_failures_and_leftovers_is_good() {
    let totals = |ends: &[u32], chosen| {
        let outcomes: Vec<_> = ends.iter().map(|&end| of(reply(end))).collect();
        Totals::of(&outcomes, chosen)
    };
    let good = totals(&[OUTCOME_PASSED, OUTCOME_NOT_ALLOWED], 2);
    assert_eq!(good, Totals { passed: 1, failed: 0, not_allowed: 1, not_run: 0 });
    assert_eq!(good.verdict(false), Ok(()));
    assert!(good.verdict(true).is_err());
    assert!(totals(&[OUTCOME_PASSED, OUTCOME_TIMED_OUT], 2).verdict(false).is_err());
    assert!(totals(&[OUTCOME_PASSED], 2).verdict(false).is_err());
    assert!(outcome(End::Hung).ends_the_run() && of(reply(OUTCOME_STUCK)).ends_the_run());
    assert!(!of(reply(OUTCOME_FAILED)).ends_the_run());
}
