//! One timer for all connects.
//!
//! A connection that waits for time to pass asks to be looked at then ([`Clock::wake_in`]). When the timer fires, every one
//! is looked at, and asks again if it still waits. Connects are rare and short, so none needs a timer of its own.

use crate::TAG_PROVIDER;
use crate::connection::Connection;
use crate::provider::Provider;
use crate::socket::Socket;
use core::ffi::c_void;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};
use kernel::time;
use kernel::timer::Timer;

/// The provider's timer.
pub(crate) struct Clock(SpinLock<State>);

struct State {
    /// There from the beginning until the provider stops.
    timer: Option<Timer>,
    /// When it fires, in units of 100 ns of interrupt time; the end of time: it is not set.
    next: u64,
}

impl Clock {
    pub(crate) const fn new() -> Self {
        Self(SpinLock::new(State { timer: None, next: u64::MAX }))
    }

    /// Makes the timer. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn start(provider: &Shared<Provider>) -> Result<(), AllocError> {
        let context = Shared::as_ptr(provider).cast_mut().cast();
        // SAFETY: the timer is dropped by `stop`, or with the provider.
        let timer = unsafe { Timer::new(TAG_PROVIDER, fired, context) }?;
        provider.clock().0.lock().timer = Some(timer);
        Ok(())
    }

    /// Drops the timer. IRQL: PASSIVE_LEVEL.
    pub(crate) fn stop(&self) {
        let timer = self.0.lock().timer.take();
        drop(timer);
    }

    /// Has every connection looked at after `delay`, in units of 100 ns, or earlier. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn wake_in(&self, delay: u64) {
        let due = time::interrupt_time_100ns().saturating_add(delay);
        let mut state = self.0.lock();
        if due < state.next
            && let Some(timer) = &state.timer
        {
            timer.set(delay);
            state.next = due;
        }
    }
}

/// The timer's routine.
///
/// # Safety
/// `context` is the [`Provider`] whose timer this is.
unsafe fn fired(context: *mut c_void) {
    // SAFETY: the provider's timer does not outlive it.
    let provider = unsafe { &*context.cast_const().cast::<Provider>() };
    provider.clock().0.lock().next = u64::MAX;
    let now = time::interrupt_time_100ns();
    provider.each_socket(|socket| {
        if let Socket::Connection(connection) = socket {
            Connection::time_has_passed(&connection, now);
        }
    });
}
