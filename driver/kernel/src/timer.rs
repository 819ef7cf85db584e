//! One-shot timers (`KTIMER`) whose routine runs at DISPATCH_LEVEL.

use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::fmt;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicI32, Ordering};

use abi::nt::{KDPC, KTIMER};

use crate::dpc::Dpc;
use crate::gate::Routine;
use crate::pool::{AllocError, PoolBox, PoolTag};
use crate::{bugcheck, dpc, environment, invariant, irql, raw, time};
use sleeper::Sleeper;

/// Calls a routine at DISPATCH_LEVEL once a time has passed.
///
/// The timer fires once for each [`set`](Self::set); the routine may set it again. Runs coalesce and never overlap, as
/// for a [`Dpc`], which does the running.
///
/// Where the system forgets DPCs (Wine does), it waits for its own timers while it sets them again, and for the wrong
/// locks: there a thread of the timer's own does the waiting.
pub struct Timer(Kind);

enum Kind {
    Kernel(PoolBox<Inner>),
    Thread(Sleeper),
}

/// What the kernel holds the addresses of.
struct Inner {
    timer: UnsafeCell<MaybeUninit<KTIMER>>,
    /// The timer's own DPC, which does nothing but queue `run`.
    expired: UnsafeCell<MaybeUninit<KDPC>>,
    run: Dpc,
    /// Expiries that are set or on their way: none is, if it is not positive.
    due: AtomicI32,
}

// SAFETY: only the kernel's timer and DPC routines, which any processor may call, touch the cells.
unsafe impl Send for Inner {}
// SAFETY: as for `Send`.
unsafe impl Sync for Inner {}

impl Timer {
    /// A timer that is not set and will call `routine(context)`. IRQL: PASSIVE_LEVEL, after [`init`](crate::init).
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    ///
    /// # Safety
    /// `routine` may be called with `context`, at DISPATCH_LEVEL and on any thread, until the drop of the `Timer` has
    /// returned.
    pub unsafe fn new(tag: PoolTag, routine: Routine, context: *mut c_void) -> Result<Self, AllocError> {
        // SAFETY: as promised by the caller; the DPC lives no longer than the timer.
        let run = unsafe { Dpc::new(tag, routine, context)? };
        if !environment::runs_dpcs() {
            return Ok(Self(Kind::Thread(Sleeper::new(tag, run)?)));
        }
        let timer = UnsafeCell::new(MaybeUninit::zeroed());
        let expired = UnsafeCell::new(MaybeUninit::zeroed());
        let inner = PoolBox::try_new(tag, Inner { timer, expired, run, due: AtomicI32::new(0) })?;
        // SAFETY: memory for a `KTIMER` at its final address.
        unsafe { raw::initialize_timer(inner.timer.get().cast()) };
        // SAFETY: memory for a `KDPC` at its final address.
        unsafe { raw::KeInitializeDpc(inner.expired.get().cast(), on_expiry, inner.as_ptr().cast()) };
        Ok(Self(Kind::Kernel(inner)))
    }

    /// Sets the timer to fire after `delay` (in units of 100 ns); a time set before is forgotten (`KeSetTimerEx`).
    /// IRQL ≤ DISPATCH_LEVEL.
    pub fn set(&self, delay: u64) {
        let inner = match &self.0 {
            Kind::Kernel(inner) => inner,
            Kind::Thread(sleeper) => return sleeper.set(delay),
        };
        // Zero would be a moment of the calendar.
        let due = time::relative_due(delay.max(1));
        // Before it can expire.
        inner.due.fetch_add(1, Ordering::AcqRel);
        // SAFETY: initialised in `new`, at a stable address until the drop has cancelled the timer.
        let was_set = unsafe { raw::set_timer(inner.timer.get().cast(), due, inner.expired.get().cast()) };
        if was_set {
            inner.due.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Forgets the time set (`KeCancelTimer`). IRQL ≤ DISPATCH_LEVEL.
    ///
    /// The routine may still run, or run once more, when this returns.
    pub fn cancel(&self) {
        let inner = match &self.0 {
            Kind::Kernel(inner) => inner,
            Kind::Thread(sleeper) => return sleeper.cancel(),
        };
        // SAFETY: initialised in `new`.
        if unsafe { raw::KeCancelTimer(inner.timer.get().cast()) } != 0 {
            inner.due.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl fmt::Debug for Timer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

/// Cancels and waits until the routine has returned. PASSIVE_LEVEL, not inside the routine.
impl Drop for Timer {
    fn drop(&mut self) {
        let level = irql::current();
        invariant!(level == irql::PASSIVE_LEVEL, bugcheck::IRQL_TOO_HIGH, usize::from(level));
        self.cancel();
        // The DPC of a timer that has just expired may still be queued or running. After that nobody queues `run`, whose
        // own drop waits for the routine. (A sleeper's drop waits for its thread.)
        if let Kind::Kernel(inner) = &self.0
            && inner.due.load(Ordering::Acquire) > 0
        {
            dpc::flush();
        }
    }
}

/// `KDEFERRED_ROUTINE` of a timer that has expired.
unsafe extern "system" fn on_expiry(_: *mut KDPC, context: *mut c_void, _: *mut c_void, _: *mut c_void) {
    // SAFETY: the context is the timer's inner part, which lives until the drop has waited for this routine.
    let inner = unsafe { &*context.cast::<Inner>() };
    inner.run.queue();
    // The last access: from here on a drop does not wait.
    inner.due.fetch_sub(1, Ordering::AcqRel);
}

mod sleeper;

#[cfg(test)]
mod tests;
