//! Time: ways beside each other, in turns, so that what else the machine does meets all of them.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use crate::ways::Way;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// One sample takes about so long.
    pub(crate) slice: Duration,
    /// Samples of each way.
    pub(crate) samples: usize,
}

/// What one way has shown.
#[derive(Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) measure: &'static str,
    /// By which way.
    pub(crate) way: &'static str,
    /// Octets of a message, or how many sockets there are.
    pub(crate) parameter: usize,
    /// Nanoseconds for each time, one number a sample.
    pub(crate) nanoseconds: Vec<f64>,
}

/// A way and its name.
pub(crate) type Named<'a> = (&'static str, Box<dyn Way + 'a>);

/// The function that instructions are counted in.
#[inline(never)]
pub(crate) fn measured(way: &mut dyn Way, times: u64) -> Result<()> {
    way.run(times)
}

fn timed(way: &mut dyn Way, times: u64) -> Result<Duration> {
    let begin = Instant::now();
    measured(way, times)?;
    Ok(begin.elapsed())
}

/// How many times fill a slice.
fn times_for(way: &mut dyn Way, slice: Duration) -> Result<u64> {
    let mut times = 1_u64;
    loop {
        let took = timed(way, times)?;
        if took * 4 >= slice {
            let more = slice.as_secs_f64() / took.as_secs_f64().max(1e-9);
            return Ok(((times as f64 * more) as u64).max(1));
        }
        times *= 2;
    }
}

/// Measures ways in turns.
///
/// # Errors
/// The first that a way had.
pub(crate) fn compare(
    measure: &'static str,
    parameter: usize,
    plan: Plan,
    ways: Vec<Named<'_>>,
) -> Result<Vec<Row>> {
    let mut all = Vec::new();
    for (name, mut way) in ways {
        let times = times_for(&mut *way, plan.slice)?;
        let row = Row { measure, way: name, parameter, nanoseconds: Vec::with_capacity(plan.samples) };
        all.push((row, way, times));
    }
    for _ in 0..plan.samples {
        for (row, way, times) in &mut all {
            let took = timed(&mut **way, *times)?;
            row.nanoseconds.push(took.as_secs_f64() * 1e9 / *times as f64);
        }
    }
    Ok(all.into_iter().map(|(row, _, _)| row).collect())
}

/// How long each single time takes, in nanoseconds; as many as asked for.
///
/// # Errors
/// The way's.
pub(crate) fn singly(
    measure: &'static str,
    parameter: usize,
    count: usize,
    (way, mut it): Named<'_>,
) -> Result<Row> {
    measured(&mut *it, count as u64 / 10)?;
    let one = |_| timed(&mut *it, 1).map(|took| took.as_secs_f64() * 1e9);
    Ok(Row { measure, way, parameter, nanoseconds: (0..count).map(one).collect::<Result<_>>()? })
}
