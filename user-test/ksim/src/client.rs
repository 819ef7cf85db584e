//! What a WSK client does with an IRP, for tests: hand it over, record its completion, wait, cancel.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP, KIRQL, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS};
use abi::status::{STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, STATUS_SUCCESS};

use crate::host::{self, Condvar, Mutex};
use crate::irp::{IoAllocateIrp, IoCancelIrp, IoFreeIrp, IoReuseIrp, current_location};
use crate::processor;

/// How an IRP was completed, as its completion routine found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// `IoStatus.Status`.
    pub status: NTSTATUS,
    /// `IoStatus.Information`.
    pub information: usize,
    /// Whether the provider had marked its location pending.
    pub pending_returned: bool,
    /// The IRQL of the completion routine.
    pub irql: KIRQL,
}

/// Called inside the completion routine: to call the provider again from there, for instance.
pub type Hook = Box<dyn FnMut(&Completion) + Send>;

struct State {
    outstanding: bool,
    completion: Option<Completion>,
    completions: usize,
    hook: Option<Hook>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// An IRP of a test client.
///
/// Each use is one [`submit`](Self::submit), the call of the provider with its result, and one
/// [`wait`](Self::wait). Dropping it while it is outstanding panics; that is a provider that never completed.
pub struct TestIrp {
    irp: *mut IRP,
    shared: Arc<Shared>,
}

// SAFETY: an IRP may be used from any thread; the rest is behind a mutex.
unsafe impl Send for TestIrp {}
// SAFETY: `&TestIrp` gives the address away and asks for cancellation, which any thread may.
unsafe impl Sync for TestIrp {}

impl TestIrp {
    /// An IRP with one stack location, as WSK asks for.
    #[must_use]
    pub fn new() -> Self {
        Self::with_stack_size(1)
    }

    /// An IRP with that many stack locations.
    #[must_use]
    pub fn with_stack_size(stack_size: i8) -> Self {
        let irp = IoAllocateIrp(stack_size, 0);
        assert!(!irp.is_null(), "no memory for a test's IRP");
        let state = Mutex::new(State { outstanding: false, completion: None, completions: 0, hook: None });
        Self { irp, shared: Arc::new(Shared { state, changed: Condvar::new() }) }
    }

    /// Has `hook` called inside the completion routine of the next and all later completions.
    ///
    /// It runs before anybody who waits is let through.
    #[must_use]
    pub fn with_hook(self, hook: impl FnMut(&Completion) + Send + 'static) -> Self {
        host::lock(&self.shared.state).hook = Some(Box::new(hook));
        self
    }

    /// Makes the IRP ready and counts it as outstanding; the pointer is for one call of the provider.
    #[must_use]
    pub fn submit(&self) -> *mut IRP {
        let mut state = host::lock(&self.shared.state);
        assert!(!state.outstanding, "the IRP is outstanding already");
        state.outstanding = true;
        state.completion = None;
        drop(state);
        // SAFETY: owned and not outstanding.
        unsafe { IoReuseIrp(self.irp, STATUS_SUCCESS) };
        let context = Arc::into_raw(Arc::clone(&self.shared)).cast_mut().cast();
        // SAFETY: owned, with at least one location left, of which the next is the client's to fill.
        unsafe { set_completion_routine(self.irp, context) };
        self.irp
    }

    /// Checks what the provider's function returned for the submitted IRP: always `STATUS_PENDING`.
    #[track_caller]
    pub fn assert_pending(&self, returned: NTSTATUS) -> &Self {
        assert_eq!(returned, STATUS_PENDING, "a WSK function that takes an IRP returns STATUS_PENDING");
        self
    }

    /// The IRP, for looking at; see [`submit`](Self::submit) for using it.
    #[must_use]
    pub fn as_ptr(&self) -> *mut IRP {
        self.irp
    }

    /// `IoCancelIrp`: whether a cancel routine was called.
    ///
    /// Allowed before, while and after the IRP is outstanding.
    pub fn cancel(&self) -> bool {
        // SAFETY: the IRP lives as long as `self`.
        unsafe { IoCancelIrp(self.irp) != 0 }
    }

    /// How the IRP was completed, if it has been since the last submission.
    #[must_use]
    pub fn completion(&self) -> Option<Completion> {
        host::lock(&self.shared.state).completion
    }

    /// How often the IRP has been completed in its life.
    #[must_use]
    pub fn completions(&self) -> usize {
        host::lock(&self.shared.state).completions
    }

    /// Waits for the completion; panics if it takes longer than a test has patience for (10 s).
    #[track_caller]
    pub fn wait(&self) -> Completion {
        let completion = self.wait_for(Duration::from_secs(10));
        assert!(completion.is_some(), "the IRP was not completed");
        completion.unwrap_or(Completion { status: 0, information: 0, pending_returned: false, irql: 0 })
    }

    /// Waits for the completion, at most that long.
    #[must_use]
    pub fn wait_for(&self, patience: Duration) -> Option<Completion> {
        processor::require_may_wait("waiting for an IRP");
        let deadline = host::now().saturating_add(patience);
        let mut state = host::lock(&self.shared.state);
        while state.completion.is_none() && host::now() < deadline {
            state = host::wait_until(&self.shared.changed, state, deadline, "an IRP");
        }
        state.completion
    }
}

impl Default for TestIrp {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TestIrp {
    fn drop(&mut self) {
        let outstanding = host::lock(&self.shared.state).outstanding;
        // During another panic a second one would end the process and hide the first.
        if outstanding && std::thread::panicking() {
            return;
        }
        assert!(!outstanding, "an outstanding IRP is dropped: the provider has not completed it");
        // SAFETY: owned and not outstanding.
        unsafe { IoFreeIrp(self.irp) };
    }
}

impl fmt::Debug for TestIrp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestIrp").field("completion", &self.completion()).finish_non_exhaustive()
    }
}

/// `IoSetCompletionRoutine` for all results.
///
/// # Safety
/// The caller owns `irp`, and it has a location left.
unsafe fn set_completion_routine(irp: *mut IRP, context: *mut c_void) {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_location(irp) };
    // SAFETY: a field of the IRP.
    let current = unsafe { *place };
    // SAFETY: as promised by the caller.
    let next = unsafe { current.sub(1) };
    // SAFETY: a location of the IRP's that is the caller's.
    let next = unsafe { &mut *next };
    next.CompletionRoutine = Some(completed);
    next.Context = context;
    next.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;
}

/// `IO_COMPLETION_ROUTINE` of every test IRP.
unsafe extern "system" fn completed(_: *mut DEVICE_OBJECT, irp: *mut IRP, context: *mut c_void) -> NTSTATUS {
    // SAFETY: the context of one submission, used by its one completion.
    let shared = unsafe { Arc::from_raw(context.cast_const().cast::<Shared>()) };
    // SAFETY: a completion routine has the IRP.
    let fields = unsafe { &*irp };
    let completion = Completion {
        status: fields.IoStatus.Status,
        information: fields.IoStatus.Information,
        pending_returned: fields.PendingReturned != 0,
        irql: processor::irql(),
    };
    // The hook is called without the lock: it may use the IRP's other methods, or the provider.
    let mut hook = host::lock(&shared.state).hook.take();
    if let Some(hook) = &mut hook {
        hook(&completion);
    }
    let mut state = host::lock(&shared.state);
    if state.hook.is_none() {
        state.hook = hook;
    }
    state.completions += 1;
    state.completion = Some(completion);
    state.outstanding = false;
    // From here on whoever waits may free or reuse the IRP.
    shared.changed.notify_all();
    drop(state);
    STATUS_MORE_PROCESSING_REQUIRED
}
