//! An IRP as a client on a hot path uses it: allocated once, used again and again, told of by its completion routine alone.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, IO_STACK_LOCATION, IRP, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
};
use abi::status::{STATUS_MORE_PROCESSING_REQUIRED, STATUS_SUCCESS};
use abi::wsk::WSK_BUF;
use ksim::buffer::{Chain, Pages};

unsafe extern "C-unwind" {
    fn IoAllocateIrp(stack_size: i8, charge_quota: u8) -> *mut IRP;
    fn IoFreeIrp(irp: *mut IRP);
    fn IoReuseIrp(irp: *mut IRP, status: NTSTATUS);
}

/// What a completion routine does: called with what was given to [`Request::then`] and the octets of the request.
pub(crate) type Then = unsafe fn(*const c_void, usize);

/// One request with its buffer. It stays where it is while it is outstanding.
pub(crate) struct Request {
    irp: *mut IRP,
    chain: Chain,
    octets: usize,
    outstanding: AtomicBool,
    status: AtomicI32,
    then: Cell<Option<(Then, *const c_void)>>,
}

// SAFETY: an IRP is for any thread.
unsafe impl Send for Request {}
// SAFETY: what is told of a completion is atomic; the rest is touched while the request is not outstanding.
unsafe impl Sync for Request {}

impl Request {
    /// A request with a buffer of so many octets of non-paged pool.
    pub(crate) fn new(octets: usize) -> Self {
        // SAFETY: any IRQL up to DISPATCH_LEVEL.
        let irp = unsafe { IoAllocateIrp(1, 0) };
        assert!(!irp.is_null(), "no memory for an IRP");
        let data: Vec<u8> = (0..octets).map(|index| index as u8).collect();
        Self {
            irp,
            chain: Chain::new(&data, &[], Pages::NonPagedPool),
            octets,
            outstanding: AtomicBool::new(false),
            status: AtomicI32::new(0),
            then: Cell::new(None),
        }
    }

    /// Calls `then` inside each completion.
    ///
    /// # Safety
    /// `context` is what `then` takes, as long as the request may be completed.
    pub(crate) unsafe fn then(&self, then: Then, context: *const c_void) {
        self.then.set(Some((then, context)));
    }

    /// Makes the IRP ready for one call of the provider's, which gets it with the buffer.
    pub(crate) fn submit(&self, call: impl FnOnce(*mut WSK_BUF, *mut IRP) -> NTSTATUS) {
        self.outstanding.store(true, Ordering::Relaxed);
        // SAFETY: owned and not outstanding.
        unsafe { IoReuseIrp(self.irp, STATUS_SUCCESS) };
        // SAFETY: as above, and it has one location.
        unsafe { set_completion_routine(self.irp, ptr::from_ref(self).cast_mut().cast()) };
        let mut buffer = self.chain.wsk_buf(0, self.octets);
        // What a function returns its IRP tells as well.
        let _returned = call(&mut buffer, self.irp);
    }

    /// Whether it is completed.
    pub(crate) fn is_done(&self) -> bool {
        !self.outstanding.load(Ordering::Acquire)
    }

    /// Waits for the completion, as a thread with nothing else to do: it watches.
    pub(crate) fn wait(&self) {
        let mut tries = 0_u32;
        while !self.is_done() {
            tries = tries.wrapping_add(1);
            if tries.is_multiple_of(64) {
                std::thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// The status of the last completion.
    pub(crate) fn status(&self) -> NTSTATUS {
        self.status.load(Ordering::Relaxed)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        assert!(self.is_done(), "an outstanding IRP is dropped");
        // SAFETY: owned and not outstanding.
        unsafe { IoFreeIrp(self.irp) };
    }
}

/// `IoSetCompletionRoutine` for all results.
///
/// # Safety
/// The caller owns `irp`, and it has a location left.
unsafe fn set_completion_routine(irp: *mut IRP, context: *mut c_void) {
    // SAFETY: as promised by the caller; only an address is computed.
    let place = unsafe { &raw mut (*irp).Tail.Overlay.CurrentStackLocation };
    // SAFETY: a field of the IRP.
    let current: *mut IO_STACK_LOCATION = unsafe { *place };
    // SAFETY: as promised by the caller.
    let next = unsafe { current.sub(1) };
    // SAFETY: a location of the IRP's that is the caller's.
    let next = unsafe { &mut *next };
    next.CompletionRoutine = Some(completed);
    next.Context = context;
    next.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
}

/// `IO_COMPLETION_ROUTINE` of every request.
unsafe extern "system" fn completed(_: *mut DEVICE_OBJECT, irp: *mut IRP, context: *mut c_void) -> NTSTATUS {
    // SAFETY: the request, which outlives its completion.
    let request = unsafe { &*context.cast::<Request>() };
    // SAFETY: a completion routine has the IRP.
    let fields = unsafe { &*irp };
    let octets = fields.IoStatus.Information;
    request.status.store(fields.IoStatus.Status, Ordering::Relaxed);
    let then = request.then.get();
    // From here on the request may be submitted again.
    request.outstanding.store(false, Ordering::Release);
    if let Some((then, context)) = then {
        // SAFETY: as promised with it.
        unsafe { then(context, octets) };
    }
    STATUS_MORE_PROCESSING_REQUIRED
}
