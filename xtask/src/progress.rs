//! One line per step: a spinner while it runs, the time it took when it is done.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

/// Runs `work` under the heading `what`.
///
/// # Errors
///
/// Whatever `work` returns; the line then says that the step failed.
pub fn step<T>(what: impl Into<String>, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let what = what.into();
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg} {elapsed}")?);
    bar.set_message(what.clone());
    bar.enable_steady_tick(Duration::from_millis(100));
    let start = Instant::now();
    let result = work();
    bar.finish_and_clear();
    let seconds = start.elapsed().as_secs_f64();
    let mark = if result.is_ok() { "  done" } else { "FAILED" };
    eprintln!("{mark} {what} ({seconds:.1} s)");
    result
}

/// Says something that is not a step.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("       {text}");
}
