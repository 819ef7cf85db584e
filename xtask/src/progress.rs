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
    tell_end(&what, result.is_ok(), start);
    result
}

/// Runs `work` under the heading `what`, with a bar that grows each time it says that one of `total` is done.
///
/// # Errors
///
/// As for [`step`].
pub fn steps<T>(
    what: impl Into<String>,
    total: u64,
    work: impl FnOnce(&(dyn Fn() + Sync)) -> Result<T>,
) -> Result<T> {
    let what = what.into();
    let bar = ProgressBar::new(total);
    bar.set_style(ProgressStyle::with_template(
        "{spinner} {msg} {wide_bar} {pos}/{len} {elapsed}, {eta} left",
    )?);
    bar.set_message(what.clone());
    bar.enable_steady_tick(Duration::from_millis(100));
    let start = Instant::now();
    let result = work(&|| bar.inc(1));
    bar.finish_and_clear();
    tell_end(&what, result.is_ok(), start);
    result
}

/// Says how a step has ended.
fn tell_end(what: &str, well: bool, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    let mark = if well { "  done" } else { "FAILED" };
    eprintln!("{mark} {what} ({seconds:.1} s)");
}

/// Says something that is not a step.
pub fn note(text: impl std::fmt::Display) {
    eprintln!("       {text}");
}
