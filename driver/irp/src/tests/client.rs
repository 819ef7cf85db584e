//! The client's side of an IRP: allocates it, counts completions, and notices when the driver touches it afterwards.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU8, Ordering};
use std::boxed::Box;
use std::format;
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::STATUS_MORE_PROCESSING_REQUIRED;
use kernel::irp::InvokeOn;

use super::explore;
use crate::owned::OwnedIrp;
use crate::sync::CANCEL_SPIN_LOCK;

// The kernel crate has no reason to take the cancel lock; a canceller that can be interrupted half-way does.
unsafe extern "C-unwind" {
    fn IoAcquireCancelSpinLock(irql: *mut u8);
    fn IoReleaseCancelSpinLock(irql: u8);
}

/// What a completion routine saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: NTSTATUS,
    pub(crate) information: usize,
    pub(crate) pending_returned: bool,
}

/// What the completion routine does beside taking notes; it gets the client's number.
type Then = Box<dyn Fn() + Send + Sync>;

struct Notes {
    name: usize,
    seen: Mutex<Vec<Seen>>,
    log: Arc<Log>,
    then: Option<Then>,
}

/// The order of completions among several clients.
#[derive(Default)]
pub(crate) struct Log(Mutex<Vec<usize>>);

impl Log {
    pub(crate) fn note(&self, name: usize) {
        self.0.lock().unwrap().push(name);
    }

    pub(crate) fn names(&self) -> Vec<usize> {
        self.0.lock().unwrap().clone()
    }
}

/// Fills the driver's words of an IRP that was given back, so that a driver that still reads them is led astray.
const POISON: [usize; 4] = [0xA5A5_A5A5_A5A5_A5A5; 4];

/// One IRP with one stack location, used once.
pub(crate) struct Client {
    irp: kernel::irp::OwnedIrp,
    notes: Arc<Notes>,
}

impl Client {
    pub(crate) fn new(name: usize) -> Self {
        Self::build(name, Arc::default(), None)
    }

    /// Notes its completion in `log` as well.
    pub(crate) fn logging(name: usize, log: &Arc<Log>) -> Self {
        Self::build(name, Arc::clone(log), None)
    }

    /// Runs `then` at the end of its completion routine.
    pub(crate) fn with_routine(name: usize, log: &Arc<Log>, then: impl Fn() + Send + Sync + 'static) -> Self {
        Self::build(name, Arc::clone(log), Some(Box::new(then)))
    }

    fn build(name: usize, log: Arc<Log>, then: Option<Then>) -> Self {
        let irp = kernel::irp::OwnedIrp::try_new(1).unwrap();
        let notes = Arc::new(Notes { name, seen: Mutex::default(), log, then });
        let context = Arc::as_ptr(&notes).cast_mut().cast();
        // SAFETY: a fresh IRP; the notes live as long as the client, which outlives the request.
        unsafe { kernel::irp::set_completion_routine(irp.as_ptr(), completed, context, InvokeOn::ALL) };
        Self { irp, notes }
    }

    /// Hands the IRP to the driver, as a WSK function would.
    pub(crate) fn enter(&self) -> OwnedIrp {
        // SAFETY: a fresh IRP with one location, entered once.
        unsafe { crate::enter(self.irp.as_ptr()) }.unwrap()
    }

    pub(crate) fn irp(&self) -> *mut IRP {
        self.irp.as_ptr()
    }

    /// `IoCancelIrp`, with a step between its two writes. Returns whether a cancel routine was called.
    pub(crate) fn cancel(&self) -> bool {
        let irp = self.irp.as_ptr();
        explore::acquire(CANCEL_SPIN_LOCK);
        let mut irql = 0;
        // SAFETY: released below or by the cancel routine.
        unsafe { IoAcquireCancelSpinLock(&raw mut irql) };
        // SAFETY: the client's IRP; `CancelIrql` belongs to the holder of the lock.
        unsafe { (*irp).CancelIrql = irql };
        // SAFETY: as above.
        let flag = unsafe { &raw mut (*irp).Cancel };
        // SAFETY: a byte of a live IRP.
        unsafe { AtomicU8::from_ptr(flag) }.store(1, Ordering::Release);
        explore::step();
        // SAFETY: the IRP is live until the client frees it, which is after this call.
        if let Some(routine) = unsafe { kernel::irp::set_cancel_routine(irp, None) } {
            // SAFETY: taken out just now, with the lock held: the call `IoCancelIrp` makes.
            unsafe { routine(ptr::null_mut(), irp) };
            return true;
        }
        // SAFETY: taken above.
        unsafe { IoReleaseCancelSpinLock(irql) };
        explore::release(CANCEL_SPIN_LOCK);
        false
    }

    /// The completions so far: more than one is the bug that everything here is about.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.notes.seen.lock().unwrap().clone()
    }

    pub(crate) fn is_completed(&self) -> bool {
        !self.seen().is_empty()
    }

    /// The one completion.
    pub(crate) fn outcome(&self) -> (NTSTATUS, usize) {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "completed exactly once: {seen:?}");
        assert!(seen[0].pending_returned, "marked pending");
        self.assert_untouched();
        (seen[0].status, seen[0].information)
    }

    /// Nothing was written to the driver's places after the completion routine ran.
    fn assert_untouched(&self) {
        // SAFETY: the IRP is the client's again.
        for words in unsafe { driver_words(self.irp.as_ptr()) } {
            // SAFETY: four words of the client's IRP.
            assert_eq!(unsafe { words.read() }, POISON, "the IRP was written after its completion");
        }
    }
}

impl core::fmt::Debug for Client {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client").field("name", &self.notes.name).finish_non_exhaustive()
    }
}

/// # Safety
/// Called by the completion of a client's IRP, with the client's notes.
unsafe extern "system" fn completed(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the client keeps the notes alive.
    let notes = unsafe { &*context.cast_const().cast::<Notes>() };
    // SAFETY: the IRP is the client's again.
    let (status, information) = unsafe { kernel::irp::result(irp) };
    // SAFETY: as above.
    let pending_returned = unsafe { (*irp).PendingReturned } != 0;
    // SAFETY: as above.
    for words in unsafe { driver_words(irp) } {
        // SAFETY: four words of the client's IRP.
        unsafe { words.write(POISON) };
    }
    notes.log.note(notes.name);
    notes.seen.lock().unwrap().push(Seen { status, information, pending_returned });
    if let Some(then) = &notes.then {
        then();
    }
    STATUS_MORE_PROCESSING_REQUIRED
}

/// The words of an IRP that were the driver's until it completed: `DriverContext`, then `Parameters`.
///
/// # Safety
/// The IRP is the client's, completed; the pointers are valid while it is.
unsafe fn driver_words(irp: *mut IRP) -> [*mut [usize; 4]; 2] {
    // SAFETY: as for this function.
    let contexts = unsafe { kernel::irp::driver_context(irp) };
    // SAFETY: completion has given the driver's location back, so it is the next one again.
    let location = unsafe { kernel::irp::next_stack_location(irp) };
    // SAFETY: a location of the client's own IRP.
    let parameters = unsafe { &raw mut (*location).Parameters };
    [contexts.cast(), parameters.cast()]
}

/// `work` ends in bug check `DRIVER_VIOLATION` with `which` as its first parameter.
pub(crate) fn assert_violation(which: usize, work: impl FnOnce() + Send) {
    let stop = ksim::stops(work).expect("the machine went on");
    assert!(stop.is(ksim::stop::DRIVER_VIOLATION), "{}", stop.text);
    assert!(stop.text.contains(&format!("({which:#x},")), "{}", stop.text);
}
