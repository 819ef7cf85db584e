//! What a run has to say: one line of JSON, whether it ends well or not.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use ksim::sim::{self, Summary};
use serde_json::json;

use crate::plan::Plan;

/// How often something has happened.
static SEEN: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

/// Counts something that has happened.
pub(crate) fn count(what: String) {
    *SEEN.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
}

fn seen() -> BTreeMap<String, u64> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn say(what: &serde_json::Value) {
    let mut out = std::io::stdout().lock();
    // Nobody reads it any more: nothing to be told.
    let _ = writeln!(out, "{what}").and_then(|()| out.flush());
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

fn conditions(plan: &Plan) -> String {
    let Plan { steps: _, seed: _, schedule, .. } = plan;
    let plan = Plan { steps: Vec::new(), ..plan.clone() };
    format!(
        "{:?}, {} processors, {} switches of 1024, {:?}; rdma required {}, adapter {:?}, system {:?}, ring {}, send {}, \
         zero copy {}, window {}, raised {}, {:?}",
        plan.fabric,
        schedule.processors,
        schedule.switches_of_1024,
        schedule.strategy,
        plan.required,
        plan.adapter_answers,
        plan.system_answers,
        plan.ring_octets,
        plan.send_octets,
        plan.zero_copy_octets,
        plan.receive_window,
        plan.raised,
        plan.faults,
    )
}

/// From here on a panic on any task is the end of the run, and its report.
pub(crate) fn watch(plan: &Plan) {
    let (seed, conditions, steps) = (plan.seed, conditions(plan), steps(plan));
    std::panic::set_hook(Box::new(move |panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        say(&json!({
            "seed": seed, "passed": false, "failure": text, "place": place, "conditions": conditions, "steps": steps,
            "trace": sim::trace(),
            "stack": std::backtrace::Backtrace::force_capture().to_string(),
        }));
        std::process::exit(1);
    }));
}

/// A run that has ended well.
pub(crate) fn passed(plan: &Plan, summary: &Summary, trace: &[String]) -> ExitCode {
    say(&json!({
        "seed": plan.seed,
        "passed": true,
        "hash": format!("{:016x}", summary.hash),
        "conditions": conditions(plan),
        "steps": steps(plan),
        "entries": summary.steps,
        "switches": summary.switches,
        "milliseconds": u64::try_from(summary.time.as_millis()).unwrap_or(u64::MAX),
        "failed_allocations": summary.failed_allocations,
        "seen": seen(),
        "trace": trace,
    }));
    ExitCode::SUCCESS
}

/// What the driver or the run has done wrong: the end of the run.
#[expect(clippy::panic, reason = "the panic hook makes the report")]
pub(crate) fn violation(text: std::fmt::Arguments<'_>) -> ! {
    panic!("{text}")
}

/// `demand!(condition, "what is wrong", …)`: ends the run unless it holds.
macro_rules! demand {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            $crate::report::violation(::core::format_args!($($text)+));
        }
    };
}

pub(crate) use demand;
