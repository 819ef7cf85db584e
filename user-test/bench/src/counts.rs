//! Operation counts of messages through the whole driver. They do not depend on the machine.

use anyhow::{Result, ensure};
use ksim::tally::{self, ByTag};
use serde::Serialize;

use crate::cases::{Path, Stage};
use crate::layer::{self, Asked};
use crate::world::Rings;

/// What so many messages have cost, both sides together.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Counts {
    pub(crate) measure: &'static str,
    pub(crate) way: &'static str,
    pub(crate) octets: usize,
    /// Messages that the rest is of.
    pub(crate) messages: u64,
    /// At the NDK dispatch tables.
    pub(crate) ndk: Asked,
    /// Spin locks of the driver's, without the software adapter's.
    pub(crate) locks: u64,
    /// Those of the software adapter, which a NIC does not have.
    pub(crate) adapter_locks: u64,
    /// By the pool tag of the memory that a lock lies in.
    pub(crate) locks_by_tag: ByTag,
    pub(crate) allocations: ByTag,
    /// What would be interrupts: runs of DPCs.
    pub(crate) dpcs: u64,
    pub(crate) completed_irps: u64,
    pub(crate) work_items: u64,
    pub(crate) timers: u64,
    pub(crate) clock_reads: u64,
}

/// Pool tags of the software adapter.
const ADAPTER: [&str; 5] = ["WrSo", "WrSj", "WrSm", "WrSp", "WrSt"];
/// Messages one way before it is counted.
const BEFORE: u64 = 512;

/// Counts `messages` of one way; of an exchange half of them are answers.
///
/// # Errors
/// The driver's status, or there is no such way.
pub(crate) fn count(
    stage: &Stage,
    measure: &'static str,
    way: &'static str,
    octets: usize,
    messages: u64,
) -> Result<Counts> {
    let mut running = stage.way(measure, way, octets)?;
    let times = if measure == "ping-pong" { messages / 2 } else { messages };
    running.run(BEFORE)?;
    layer::take();
    let mut result = Ok(());
    let counted = tally::count(|| result = running.run(times));
    let ndk = layer::take();
    result?;
    ensure!(ndk != Asked::default() || way == "raw-ndk", "this way does not cross the adapter's tables");
    let of_adapter = |tag: &str| ADAPTER.contains(&tag);
    let sum = |adapter| -> u64 {
        counted.locks.iter().filter(|(tag, _)| of_adapter(tag) == adapter).map(|(_, count)| count).sum()
    };
    Ok(Counts {
        measure,
        way,
        octets,
        messages,
        ndk,
        locks: sum(false),
        adapter_locks: sum(true),
        allocations: counted.allocations,
        dpcs: counted.dpcs,
        completed_irps: counted.completed_irps,
        work_items: counted.work_items,
        timers: counted.timers,
        clock_reads: counted.clock_reads,
        locks_by_tag: counted.locks,
    })
}

/// What an idle connection keeps allocated, one side.
#[derive(Serialize)]
pub(crate) struct Idle {
    measure: &'static str,
    /// Octets by pool tag.
    octets: ByTag,
}

/// Allocated now.
fn allocated() -> ByTag {
    ksim::leaks().into_iter().map(|usage| (usage.tag, usage.bytes as u64)).collect()
}

/// What so many idle connections keep, divided by the number of their ends. The client's own memory is not of the driver's tags.
fn idle(stage: &Stage, connections: u64) -> Result<Idle> {
    // What is made once is made.
    let first = stage.way("ping-pong", "wsk-receive", 64)?;
    let before = allocated();
    let all = (0..connections).map(|_| stage.way("ping-pong", "wsk-receive", 64));
    let all = all.collect::<Result<Vec<_>>>()?;
    ksim::quiesce();
    let mut octets = allocated();
    octets.retain(|tag, octets| {
        *octets = octets.saturating_sub(before.get(tag).copied().unwrap_or_default()) / (2 * connections);
        tag.starts_with("Wr") && *octets != 0
    });
    drop((first, all));
    Ok(Idle { measure: "idle", octets })
}

/// Every count of the report.
///
/// # Errors
/// As [`count`].
pub(crate) fn all(mut tell: impl FnMut(serde_json::Value)) -> Result<()> {
    let stage = Stage::start(Path::Rdma, Rings::Growing)?;
    tell(serde_json::json!(idle(&stage, 16)?));
    drop(stage);
    let stage = Stage::start(Path::Rdma, Rings::Whole)?;
    for measure in ["ping-pong", "stream"] {
        for way in ["wsk-receive", "wsk-indication", "raw-ndk"] {
            for octets in [64, 4096, 64 << 10] {
                tell(serde_json::json!(count(&stage, measure, way, octets, 1000)?));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
