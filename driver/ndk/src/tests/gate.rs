//! Every interleaving of the gate, and every reordering the memory model allows.

use core::sync::atomic::Ordering;
use std::vec::Vec;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicU32;
use loom::thread;

use crate::gate::{Gate, Word};

impl Word for AtomicU32 {
    fn new(value: u32) -> Self {
        Self::new(value)
    }

    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }

    fn compare_exchange(&self, current: u32, new: u32, ok: Ordering, err: Ordering) -> Result<u32, u32> {
        self.compare_exchange(current, new, ok, err)
    }
}

/// Something that only the runner may touch, and one word for each party to leave a note in.
struct Shop {
    gate: Gate<AtomicU32>,
    /// Notes that runs have seen, added up. Loom finds two runners at once.
    seen: UnsafeCell<u32>,
    notes: Vec<AtomicU32>,
}

impl Shop {
    fn new(parties: usize) -> Arc<Self> {
        let notes = (0..parties).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { gate: Gate::new(), seen: UnsafeCell::new(0), notes })
    }

    /// Leaves a note, then asks for a pass: what a completion queue does when it is notified.
    fn visit(&self, party: usize) {
        // Relaxed: it is the gate that has to publish it.
        self.notes[party].store(1, Ordering::Relaxed);
        if !self.gate.enter() {
            return;
        }
        loop {
            self.seen.with_mut(|seen| {
                for (party, note) in self.notes.iter().enumerate() {
                    let note = note.load(Ordering::Relaxed) << party;
                    // SAFETY: the gate lets one runner in; loom checks just that.
                    unsafe { *seen |= note };
                }
            });
            if self.gate.leave() {
                return;
            }
        }
    }

    fn seen(&self) -> u32 {
        // SAFETY: every party is done.
        self.seen.with(|seen| unsafe { *seen })
    }
}

#[test]
fn one_runs_at_a_time_and_no_note_is_missed() {
    loom::model(|| {
        let shop = Shop::new(2);
        let other = Arc::clone(&shop);
        let party = thread::spawn(move || other.visit(1));
        shop.visit(0);
        party.join().unwrap();
        assert_eq!(shop.seen(), 0b11);
    });
}

#[test]
fn the_gate_holds_for_three_parties() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let shop = Shop::new(3);
        let parties: Vec<_> = [1, 2]
            .into_iter()
            .map(|party| {
                let shop = Arc::clone(&shop);
                thread::spawn(move || shop.visit(party))
            })
            .collect();
        shop.visit(0);
        for party in parties {
            party.join().unwrap();
        }
        assert_eq!(shop.seen(), 0b111);
    });
}

/// A runner that gives up before its work is done (a pass that has reached its limit) asks for another run by itself.
#[test]
fn a_run_given_up_early_can_be_taken_up_by_anybody() {
    loom::model(|| {
        let shop = Shop::new(2);
        let other = Arc::clone(&shop);
        let party = thread::spawn(move || other.visit(1));
        if shop.gate.enter() {
            while !shop.gate.leave() {}
            shop.visit(0);
        } else {
            // The other one is running, and will look again; what it sees then is not ours.
            shop.visit(0);
        }
        party.join().unwrap();
        assert_eq!(shop.seen(), 0b11);
    });
}
