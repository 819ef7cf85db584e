//! Processors: each host thread is one, with an IRQL and the spin locks it holds.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi::nt::{APC_LEVEL, DISPATCH_LEVEL, KIRQL, PASSIVE_LEVEL, PROCESSOR_NUMBER};

use crate::stop::{BugCheck, IRQL_NOT_LESS_OR_EQUAL, IRQL_UNEXPECTED_VALUE};
use crate::{bare, dpc, sim, stop, wine};

thread_local! {
    static LEVEL: Cell<KIRQL> = const { Cell::new(PASSIVE_LEVEL) };
    static HELD: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
    static IDENTITY: usize = next_identity();
}

/// Identities of tasks begin here.
const TASKS: usize = 1 << 32;

/// A multiple of four, as thread identifiers of Windows are, and never zero.
fn next_identity() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(4);
    NEXT.fetch_add(4, Ordering::Relaxed)
}

/// The IRQL of the calling thread's processor.
#[must_use]
pub fn irql() -> KIRQL {
    LEVEL.get()
}

/// How many spin locks the calling thread holds.
#[must_use]
pub fn locks_held() -> usize {
    HELD.with_borrow(Vec::len)
}

/// A number that is this thread's alone.
pub(crate) fn identity() -> usize {
    // Tasks of a run are numbered alike in every run of the seed.
    sim::task().map_or_else(|| IDENTITY.with(|identity| *identity), |task| TASKS + task * 4)
}

pub(crate) fn set_irql(level: KIRQL) {
    LEVEL.set(level);
    if level < DISPATCH_LEVEL && dpc::has_own() {
        dpc::run_own(level);
    }
}

/// The level while DPCs of this processor run; their end lowers it.
pub(crate) fn raise_for_dpcs() {
    LEVEL.set(DISPATCH_LEVEL);
}

/// The DPCs of this processor have run.
pub(crate) fn lower_after_dpcs(level: KIRQL) {
    LEVEL.set(level);
}

/// Stops unless the processor is at most at `limit`.
pub(crate) fn require_at_most(limit: KIRQL, routine: &str) {
    let level = irql();
    if level > limit && !bare::is_unchecked() {
        stop!(IRQL_NOT_LESS_OR_EQUAL, "{routine} at IRQL {level}, allowed up to {limit}");
    }
}

/// Stops unless the processor may wait: at most APC_LEVEL, and no spin lock held.
pub(crate) fn require_may_wait(routine: &str) {
    require_at_most(APC_LEVEL, routine);
    require_no_locks(IRQL_NOT_LESS_OR_EQUAL, routine);
}

/// Stops with `check` if a spin lock is held.
pub(crate) fn require_no_locks(check: BugCheck, routine: &str) {
    let held = locks_held();
    if held != 0 {
        stop!(check, "{routine} with {held} spin lock(s) held");
    }
}

pub(crate) fn lock_taken(address: usize) {
    HELD.with_borrow_mut(|held| held.push(address));
}

/// Forgets a lock; the level may drop below DISPATCH_LEVEL only with the last one.
pub(crate) fn lock_released(address: usize, new: KIRQL) {
    let left = HELD.with_borrow_mut(|held| {
        if let Some(index) = held.iter().rposition(|&other| other == address) {
            held.remove(index);
        }
        held.len()
    });
    if left != 0 && new < DISPATCH_LEVEL {
        stop!(IRQL_UNEXPECTED_VALUE, "IRQL {new} with {left} spin lock(s) still held: released out of order");
    }
    set_irql(new);
}

/// Runs a routine of the driver's as the kernel does: at `level`, to which it must return, without locks.
pub(crate) fn call_at(level: KIRQL, check: BugCheck, what: &str, routine: impl FnOnce()) {
    let before = irql();
    set_irql(level);
    routine();
    let after = irql();
    if after != level {
        stop!(check, "{what} called at IRQL {level} returned at IRQL {after}");
    }
    require_no_locks(check, what);
    set_irql(before);
}

/// `KeGetCurrentIrql`.
#[unsafe(no_mangle)]
extern "C-unwind" fn KeGetCurrentIrql() -> KIRQL {
    if wine::is_imitated() { PASSIVE_LEVEL } else { irql() }
}

/// `KfRaiseIrql`.
#[unsafe(no_mangle)]
extern "C-unwind" fn KfRaiseIrql(new: KIRQL) -> KIRQL {
    let old = irql();
    if new < old {
        stop!(IRQL_NOT_LESS_OR_EQUAL, "raising from IRQL {old} to {new}");
    }
    set_irql(new);
    old
}

/// `KeLowerIrql`.
#[unsafe(no_mangle)]
extern "C-unwind" fn KeLowerIrql(new: KIRQL) {
    let old = irql();
    if new > old {
        stop!(IRQL_NOT_LESS_OR_EQUAL, "lowering from IRQL {old} to {new}");
    }
    if new < DISPATCH_LEVEL {
        require_no_locks(IRQL_UNEXPECTED_VALUE, "KeLowerIrql");
    }
    set_irql(new);
}

/// `PsGetCurrentThreadId`.
#[unsafe(no_mangle)]
extern "C-unwind" fn PsGetCurrentThreadId() -> *mut c_void {
    std::ptr::without_provenance_mut(identity())
}

/// Processors that threads are counted among, in turn, while somebody wants them spread.
const NUMBERS: usize = 4;

/// How many want threads spread over processors.
static SPREADS: AtomicUsize = AtomicUsize::new(0);

/// While it lives, threads have processors of their own, in turn; without it all have the first one, so that what belongs to a
/// processor is one thing for all of them.
#[must_use]
pub struct Spread(());

/// Spreads threads over processors.
pub fn spread() -> Spread {
    SPREADS.fetch_add(1, Ordering::SeqCst);
    Spread(())
}

impl Drop for Spread {
    fn drop(&mut self) {
        SPREADS.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `KeGetCurrentProcessorNumberEx`: a thread keeps its processor, a task of a deterministic run while it is raised.
///
/// # Safety
/// `number` is null or writable.
pub(crate) unsafe extern "C-unwind" fn current_number(number: *mut PROCESSOR_NUMBER) -> u32 {
    let numbers = if SPREADS.load(Ordering::SeqCst) == 0 { 1 } else { NUMBERS };
    let index = sim::processor().unwrap_or_else(|| identity() / 4 % numbers) as u8;
    if !number.is_null() {
        // SAFETY: as promised by the caller.
        unsafe { number.write(PROCESSOR_NUMBER { Group: 0, Number: index, Reserved: 0 }) };
    }
    u32::from(index)
}
