//! The gate: one operation more in any of these fails. One less is an improvement, and is written down here.

use std::sync::Once;

use super::{count, idle};
use crate::cases::{Path, Stage};
use crate::world::Rings;

/// What a thousand messages cost, both sides together, in this order: Sends, Writes, doorbells, completions, DPCs, completed IRPs,
/// locks of the driver, locks of the software adapter, allocations.
type Cost = [u64; 9];

/// Runs a test on the stage; one at a time, for there is one provider in a process.
fn on_stage<R>(rings: Rings, test: impl FnOnce(&Stage) -> R) -> R {
    static BOOT: Once = Once::new();
    BOOT.call_once(ksim::bare::run_own_dpcs);
    let _alone = ksim::exclusive();
    test(&Stage::start(Path::Rdma, rings).unwrap())
}

#[track_caller]
fn assert_costs(measure: &'static str, way: &'static str, octets: usize, expected: Cost) {
    let counts = on_stage(Rings::Whole, |stage| count(stage, measure, way, octets, 1000).unwrap());
    let ndk = counts.ndk;
    let allocations = counts.allocations.values().sum();
    let cost = [
        ndk.sends,
        ndk.writes,
        ndk.doorbells,
        ndk.completions,
        counts.dpcs,
        counts.completed_irps,
        counts.locks,
        counts.adapter_locks,
        allocations,
    ];
    assert_eq!(cost, expected, "{counts:#?}");
    // Nothing is left to a thread that has to be woken, and nobody asks for the time.
    assert_eq!([counts.work_items, counts.timers, counts.clock_reads], [0; 3], "{counts:#?}");
}

#[test]
fn small_messages_and_answers() {
    assert_costs("ping-pong", "wsk-receive", 64, [1000, 0, 1000, 2000, 500, 2000, 6500, 23_000, 0]);
    assert_costs("ping-pong", "wsk-indication", 64, [1000, 0, 1000, 2000, 500, 1000, 8500, 23_000, 0]);
}

#[test]
fn messages_of_a_page_and_answers() {
    assert_costs("ping-pong", "wsk-receive", 4096, [1062, 1062, 1062, 2124, 500, 2000, 6748, 25_271, 0]);
    assert_costs("ping-pong", "wsk-indication", 4096, [1062, 1062, 1062, 2124, 500, 1000, 8748, 25_271, 0]);
}

#[test]
fn a_stream_of_small_messages() {
    assert_costs("stream", "wsk-receive", 64, [1012, 1, 1012, 2024, 1000, 2000, 7048, 26_153, 0]);
    assert_costs("stream", "wsk-indication", 64, [1012, 1, 1012, 2024, 1000, 1000, 9048, 26_153, 0]);
}

#[test]
fn a_stream_of_large_messages() {
    assert_costs("stream", "wsk-receive", 65_536, [2012, 1000, 2012, 6024, 1000, 2000, 33_048, 98_132, 6000]);
    assert_costs(
        "stream",
        "wsk-indication",
        65_536,
        [2000, 2000, 2000, 4000, 1000, 1000, 22_000, 52_000, 3000],
    );
}

#[test]
fn an_idle_connection_keeps_so_much() {
    let idle = on_stage(Rings::Growing, |stage| idle(stage, 8).unwrap());
    let of = |tag: &str| idle.octets.get(tag).copied().unwrap_or_default();
    assert_eq!(of("WrMr"), 208_896, "registered memory: {:#?}", idle.octets);
    // A field more is no failure, a queue more is.
    assert!(of("WrNd") + of("WrSk") <= 10 << 10, "the driver's objects: {:#?}", idle.octets);
}
