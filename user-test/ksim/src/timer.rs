//! Timers: one thread that signals them and queues their DPCs when they are due, and the clock.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use abi::nt::{
    BOOLEAN, DISPATCH_LEVEL, FALSE, KDPC, KTIMER, NotificationTimer, PASSIVE_LEVEL, TIMER_TYPE, TRUE,
};

use crate::event::{self, NOTIFICATION_TIMER, SYNCHRONIZATION_TIMER};
use crate::host::{self, Condvar, Mutex, Started};
use crate::stop::{DRIVER_VERIFIER_DETECTED_VIOLATION, TIMER_OR_DPC_INVALID};
use crate::{dpc, processor, sim, stop, tally};

/// What a timer that is set will do. The `KTIMER` itself is only touched under the lock.
struct Set {
    timer: usize,
    dpc: usize,
    period: Option<Duration>,
}

struct Timers {
    /// By due time and a number that tells timers with the same due time apart.
    set: BTreeMap<(Duration, u64), Set>,
    next: u64,
}

static TIMERS: Mutex<Timers> = Mutex::new(Timers { set: BTreeMap::new(), next: 0 });
static CHANGED: Condvar = Condvar::new();
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Whether no timer is past its due time: what expired has queued its DPC.
pub(crate) fn is_idle() -> bool {
    host::lock(&TIMERS).set.first_key_value().is_none_or(|(&(due, _), _)| due > host::now())
}

/// Whether a timer that is set lies in that memory.
pub(crate) fn is_set_within(range: &Range<usize>) -> bool {
    COUNT.load(Ordering::Acquire) != 0
        && host::lock(&TIMERS).set.values().any(|set| range.contains(&set.timer))
}

impl Timers {
    fn insert(&mut self, due: Duration, set: Set) {
        let number = self.next;
        self.next += 1;
        self.set.insert((due, number), set);
        COUNT.store(self.set.len(), Ordering::Release);
        CHANGED.notify_all();
    }

    /// Forgets a timer; whether it was set.
    fn remove(&mut self, timer: usize) -> bool {
        let before = self.set.len();
        self.set.retain(|_, set| set.timer != timer);
        COUNT.store(self.set.len(), Ordering::Release);
        self.set.len() != before
    }
}

fn timer_loop() {
    let mut timers = host::lock(&TIMERS);
    loop {
        let due = timers.set.first_key_value().map(|(&(due, _), _)| due);
        timers = match due {
            None => host::wait(&CHANGED, timers, "a timer"),
            Some(due) if due <= host::now() => {
                // A DPC that this processor runs itself waits until the lock is dropped.
                processor::set_irql(DISPATCH_LEVEL);
                expire(&mut timers);
                drop(timers);
                processor::set_irql(PASSIVE_LEVEL);
                host::lock(&TIMERS)
            }
            Some(due) => host::wait_until(&CHANGED, timers, due, "a timer to be due"),
        };
    }
}

/// Serves the timer that is due first, under the lock: `KeCancelTimer` finds it either set or done.
fn expire(timers: &mut Timers) {
    let Some(((due, _), set)) = timers.set.pop_first() else { return };
    COUNT.store(timers.set.len(), Ordering::Release);
    let timer = std::ptr::with_exposed_provenance_mut::<KTIMER>(set.timer);
    // SAFETY: a timer stays valid while it is set, which it was until here; the header comes first.
    unsafe { event::set_state(timer.cast(), true, "a timer") };
    let dpc = std::ptr::with_exposed_provenance_mut::<KDPC>(set.dpc);
    if !dpc.is_null() {
        // SAFETY: the DPC of a timer stays valid while the timer is set, and then until its call begins.
        unsafe { dpc::insert(dpc, [std::ptr::null_mut(); 2]) };
    }
    if let Some(period) = set.period {
        timers.insert(due + period, set);
    }
}

/// # Safety
/// `timer` is valid.
unsafe fn require_initialized(timer: *mut KTIMER) {
    // SAFETY: as promised by the caller.
    let kind = unsafe { (*timer).Header.Type };
    if !matches!(kind, NOTIFICATION_TIMER | SYNCHRONIZATION_TIMER) {
        stop!(TIMER_OR_DPC_INVALID, "the timer at {:#x} is not initialised, or freed", timer.addr());
    }
}

/// `KeInitializeTimerEx`.
///
/// # Safety
/// `timer` is memory for a timer that is not set.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeInitializeTimerEx(timer: *mut KTIMER, kind: TIMER_TYPE) {
    // SAFETY: as promised by the caller.
    unsafe { timer.cast::<u8>().write_bytes(0, size_of::<KTIMER>()) };
    let kind = if kind == NotificationTimer { NOTIFICATION_TIMER } else { SYNCHRONIZATION_TIMER };
    // SAFETY: as promised by the caller; the header comes first.
    unsafe { event::initialize(timer.cast(), kind, false) };
}

/// `KeSetTimerEx`.
///
/// # Safety
/// `timer` and `dpc` are valid while the timer is set; `dpc` may be null.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeSetTimerEx(
    timer: *mut KTIMER,
    due: i64,
    period_ms: i32,
    dpc: *mut KDPC,
) -> BOOLEAN {
    static STARTED: Started = Started::new();
    processor::require_at_most(DISPATCH_LEVEL, "KeSetTimerEx");
    tally::note(|counts| counts.timers += 1);
    // SAFETY: as promised by the caller.
    unsafe { require_initialized(timer) };
    if due > 0 {
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "KeSetTimerEx with an absolute time: not simulated");
    }
    if STARTED.is_first() {
        host::spawn("timer", timer_loop);
    }
    let mut timers = host::lock(&TIMERS);
    let was_set = timers.remove(timer.addr());
    // SAFETY: as promised by the caller; the header comes first.
    unsafe { event::set_state(timer.cast(), false, "KeSetTimerEx") };
    let delay = Duration::from_nanos(due.unsigned_abs().saturating_mul(100));
    let period = u64::try_from(period_ms).ok().filter(|&period| period != 0).map(Duration::from_millis);
    // A time beyond what the host can count is never reached.
    if let Some(due) = host::now().checked_add(delay) {
        let (timer, dpc) = (timer.expose_provenance(), dpc.expose_provenance());
        timers.insert(due, Set { timer, dpc, period });
    }
    if was_set { TRUE } else { FALSE }
}

/// `KeCancelTimer`.
///
/// # Safety
/// `timer` is valid.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn KeCancelTimer(timer: *mut KTIMER) -> BOOLEAN {
    processor::require_at_most(DISPATCH_LEVEL, "KeCancelTimer");
    // SAFETY: as promised by the caller.
    unsafe { require_initialized(timer) };
    sim::point("KeCancelTimer");
    if host::lock(&TIMERS).remove(timer.addr()) { TRUE } else { FALSE }
}

/// `KeQueryInterruptTime`: units of 100 ns since the simulation began.
#[unsafe(no_mangle)]
extern "C-unwind" fn KeQueryInterruptTime() -> u64 {
    tally::note(|counts| counts.clock_reads += 1);
    u64::try_from(host::now().as_nanos() / 100).unwrap_or(u64::MAX)
}
