//! A violation that nobody expects ends the process, from any thread, and says which rule.

use std::process::Command;

use abi::ndk::NDK_CQ_NOTIFY_ANY;

use super::harness::*;
use crate::rule::Rule;

/// Set for the process that is to die.
const VICTIM: &str = "NDKCHECK_VICTIM";
const NAME: &str = "tests::stopping::an_unexpected_violation_ends_the_process";

#[test]
fn an_unexpected_violation_ends_the_process() {
    if std::env::var_os(VICTIM).is_some() {
        return break_a_rule();
    }
    let program = std::env::current_exe().unwrap();
    let died = Command::new(program).args(["--exact", NAME]).env(VICTIM, "1").output().unwrap();
    assert!(!died.status.success());
    let said = String::from_utf8_lossy(&died.stderr);
    let head = format!("*** NDK CONTRACT {} (NDKPI reference, section 10)", Rule::UseAfterClose.name());
    assert!(said.contains(&head) && said.contains(Rule::UseAfterClose.text()), "{said}");
    assert!(said.contains("in thread a consumer: NdkArmCq of completion queue"), "{said}");
}

fn break_a_rule() {
    let world = World::new();
    let cq = world.cq(8);
    call!(cq, NdkCloseCq(told, Bell::new().context()));
    let address = cq.expose_provenance();
    let consumer = move || {
        let cq: *mut abi::ndk::NDK_CQ = std::ptr::with_exposed_provenance_mut(address);
        call!(cq, NdkArmCq(NDK_CQ_NOTIFY_ANY));
    };
    let thread = std::thread::Builder::new().name("a consumer".to_owned()).spawn(consumer).unwrap();
    let _ = thread.join();
    // Not reached.
    world.finish();
}
