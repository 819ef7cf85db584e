//! Running one case in the kernel world, and saying how it ended.

use cases::{Case, Failure, Found};
use control::Address;
use control::client::cases::{
    FOUND_ADDRESS, FOUND_NOTHING, FOUND_NUMBER, FOUND_STATUS, OUTCOME_CANCELLED, OUTCOME_FAILED,
    OUTCOME_NOT_ALLOWED, OUTCOME_PASSED, OUTCOME_SKIPPED, OUTCOME_STUCK, OUTCOME_TIMED_OUT, RunReply, field,
};
use kernel::time::interrupt_time_100ns;

use crate::world::{Halt, Kernel, Stuck};

/// Interrupt time in a millisecond.
const MILLISECOND: u64 = 10_000;

/// Runs a case and clears away what it has left. PASSIVE_LEVEL.
///
/// The second value is `Err` if requests are never completed: the world must be kept.
pub(crate) fn run(case: &Case, world: &mut Kernel<'_>) -> (RunReply, Result<(), Stuck>) {
    let start = interrupt_time_100ns();
    let checked = (case.run)(world);
    if checked.is_err() {
        world.has_failed();
    }
    let cleared = world.clear();
    let mut reply = RunReply {
        outcome: OUTCOME_PASSED,
        found: FOUND_NOTHING,
        number: 0,
        address: Address::default(),
        asked: world.asked(),
        line: 0,
        milliseconds: 0,
        requests: world.requests(),
        reserved: 0,
        expected: field(""),
        file: field(""),
    };
    // The step that failed is told in any case: where a case was when its time was over says much.
    if let Err(failure) = &checked {
        tell(&mut reply, failure);
        // What the world cannot do says nothing about the provider.
        reply.outcome = if failure.is_skip() { OUTCOME_SKIPPED } else { OUTCOME_FAILED };
    }
    if let (OUTCOME_PASSED, Some(fault)) = (reply.outcome, world.fault()) {
        reply.outcome = OUTCOME_FAILED;
        reply.expected = field(fault.expected());
    }
    if let Some(halt) = world.halt() {
        let (outcome, expected) = match halt {
            Halt::NotAllowed(functions) => {
                reply.found = FOUND_NUMBER;
                reply.number = functions;
                (OUTCOME_NOT_ALLOWED, "the run allows what the case asks for")
            }
            Halt::TimedOut => (OUTCOME_TIMED_OUT, "the case ends before its time limit"),
            Halt::Cancelled => (OUTCOME_CANCELLED, "the run is not cancelled"),
            Halt::NoMemory => {
                (OUTCOME_FAILED, "there is memory for a request, and the socket has the function")
            }
        };
        reply.outcome = outcome;
        reply.expected = field(expected);
    }
    if cleared.is_err() {
        reply.outcome = OUTCOME_STUCK;
        // A step of the case's own that failed says more.
        if checked.is_ok() || world.halt().is_some() {
            reply.found = FOUND_NOTHING;
            reply.expected = field("every request is completed once its socket is closed");
        }
    }
    let took = interrupt_time_100ns().saturating_sub(start) / MILLISECOND;
    reply.milliseconds = u32::try_from(took).unwrap_or(u32::MAX);
    (reply, cleared)
}

/// Writes down a step that failed.
fn tell(reply: &mut RunReply, failure: &Failure) {
    reply.expected = field(failure.expected);
    reply.file = field(failure.at.file());
    reply.line = failure.at.line();
    (reply.found, reply.number) = match failure.found {
        Found::Nothing | Found::NotHere => (FOUND_NOTHING, 0),
        Found::Status(status) => (FOUND_STATUS, u64::from(status.cast_unsigned())),
        Found::Number(number) => (FOUND_NUMBER, number),
        Found::Address(address) => {
            reply.address = address.map(Address::from).unwrap_or_default();
            (FOUND_ADDRESS, 0)
        }
    };
}
