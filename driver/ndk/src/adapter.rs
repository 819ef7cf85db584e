//! An opened adapter.

use crate::TAG;
use crate::cq::Cq;
use crate::faults::{Fault, Faults};
use crate::handles::{Handles, Reserved};
use crate::object::slot;
use crate::post::GATHER_MAX;
use crate::wait::{self, Closing, Patience};
use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_ADAPTER_INFO, NDK_PD, NDK_VERSION};
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INSUFFICIENT_RESOURCES, STATUS_IO_TIMEOUT, STATUS_NOT_SUPPORTED,
    STATUS_QUOTA_EXCEEDED, nt_success,
};
use core::ffi::c_void;
use core::mem::{size_of, zeroed};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use heapless::Vec;
use kernel::event::{Event, EventType};
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::processor::Processor;
use kernel::rundown::{Rundown, RundownGuard};
use kernel::thread::Thread;

/// Completion queues an adapter may get; each serves many endpoints.
const CQ_MAX: usize = 256;
/// Entries a new completion queue asks for, if the adapter has that many: 16 endpoints of common depth. Each processor that
/// connects or accepts gets queues of its own, so they are not larger.
const CQ_DEPTH: u32 = 1 << 14;
/// Private data, in octets, that the stream protocol needs in both directions.
const PRIVATE_DATA: u32 = 40;

/// How an adapter is given back to where it was opened.
#[derive(Clone, Copy)]
pub struct CloseAdapter {
    /// Closes the adapter and blocks until every callback has returned. IRQL: PASSIVE_LEVEL.
    pub close: unsafe fn(context: *mut c_void, adapter: NonNull<NDK_ADAPTER>),
    /// Handed to `close`.
    pub context: *mut c_void,
}

/// What an adapter's provider and the connections over it are held to.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the provider may take to end a request that a thread waits for, in units of 100 ns.
    pub answer: u64,
    /// How long the entries of a closed queue pair are waited for, in units of 100 ns, at least; at most twice as long. They are
    /// placed before its close ends by every provider known, but no page promises it.
    pub entries: u64,
    /// Octets of memory that may be registered at a time.
    pub memory: u64,
}

/// The limits and properties that this driver uses, of `NDK_ADAPTER_INFO`.
#[derive(Clone, Copy, Debug)]
pub struct AdapterInfo {
    /// NDKPI version in force.
    pub version: (u16, u16),
    /// NDK_RDMA_TECHNOLOGY; 0 when the provider does not say.
    pub technology: u32,
    /// NDK_ADAPTER_FLAG_*.
    pub flags: u32,
    /// Octets of the largest region.
    pub max_registration: usize,
    /// Octets in one request.
    pub max_transfer: u32,
    /// Octets of inline data in one request.
    pub max_inline: u32,
    /// Elements of one Send or Write.
    pub max_gather: u32,
    /// Receives per queue pair.
    pub max_receives: u32,
    /// Initiator requests per queue pair.
    pub max_initiators: u32,
    /// Entries per completion queue.
    pub max_cq_depth: u32,
    /// Pages of a fast registration that the adapter likes best; 0: it knows none.
    pub fast_pages: u32,
}

impl AdapterInfo {
    /// Elements of one Send or Write that an endpoint asks for.
    #[must_use]
    pub fn gather(&self) -> u32 {
        self.max_gather.clamp(1, GATHER_MAX)
    }
}

/// An opened NDK adapter, its protection domain and its completion queues.
pub struct Adapter {
    object: NonNull<NDK_ADAPTER>,
    close: CloseAdapter,
    info: AdapterInfo,
    pd: NonNull<NDK_PD>,
    /// Of the protection domain: for local elements with logical addresses.
    privileged_token: u32,
    /// For the protection domain.
    closing: Closing,
    cqs: SpinLock<Vec<Shared<Cq>, CQ_MAX>>,
    faults: Shared<Faults>,
    handles: Shared<Handles>,
    limits: Limits,
    memory: Shared<AtomicU64>,
    users: Rundown,
    /// Has the thread close the adapter.
    close_now: Event,
    closed: Event,
    is_closed: AtomicBool,
    /// Closes the adapter, so that nobody else has to wait for a provider that does not end that. There from the beginning
    /// until it has.
    closer: SpinLock<Option<Thread>>,
}

// SAFETY: NDK objects may be used from any thread and processor; what is ours is behind locks.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

impl Adapter {
    /// Takes over an opened adapter: reads its limits and creates a protection domain. On failure the adapter is
    /// closed again, unless that is not possible (IO_TIMEOUT). IRQL: PASSIVE_LEVEL.
    ///
    /// # Safety
    /// `object` is an open adapter that nobody else uses; `close` gives exactly this adapter back.
    ///
    /// # Errors
    /// NOT_SUPPORTED when a limit is below what the stream protocol needs, INSUFFICIENT_RESOURCES, or the provider's
    /// status, DEVICE_NOT_READY for its IO_TIMEOUT. IO_TIMEOUT: the provider did not answer; the adapter stays open, because the provider is not done with it.
    pub unsafe fn adopt(
        object: NonNull<NDK_ADAPTER>,
        close: CloseAdapter,
        limits: Limits,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let adopted = query(object).and_then(|info| {
            Shared::try_new_cyclic(TAG, |_| {
                let users = Rundown::new()?;
                let faults = Shared::try_new(TAG, Faults::default())?;
                let handles = Handles::open(&faults).map_err(Failed)?;
                let closing = Closing::new(&handles).map_err(Failed)?;
                let memory = Shared::try_new(TAG, AtomicU64::new(0))?;
                let close_now = Event::new(EventType::Notification, false)?;
                let closed = Event::new(EventType::Notification, false)?;
                let adapter = object.as_ptr();
                let create = slot!(adapter, NdkCreatePd);
                // The last thing that can fail: the protection domain is never closed here.
                let patience = Patience { limit: limits.answer, faults: &faults, handles: &handles };
                let pd = wait::create(&patience, (), |(), done, context, out| {
                    // SAFETY: the adapter is open; the cell outlives the request.
                    unsafe { create(adapter, done, context, out) }
                });
                // A provider that says so itself has answered, and is done with the adapter.
                let pd = pd.map_err(|status| match status {
                    STATUS_IO_TIMEOUT if faults.count(Fault::Unanswered) == 0 => {
                        Failed(STATUS_DEVICE_NOT_READY)
                    }
                    status => Failed(status),
                })?;
                let cqs = SpinLock::new(Vec::new());
                let mut privileged_token = 0;
                let get = slot!(pd.as_ptr(), NdkGetPrivilegedMemoryRegionToken);
                // SAFETY: the PD is open.
                unsafe { get(pd.as_ptr(), &mut privileged_token) };
                Ok(Self {
                    object,
                    close,
                    info,
                    pd,
                    privileged_token,
                    closing,
                    cqs,
                    faults,
                    handles,
                    limits,
                    memory,
                    users,
                    close_now,
                    closed,
                    is_closed: AtomicBool::new(false),
                    closer: SpinLock::new(None),
                })
            })
            .map_err(|Failed(status)| status)
        });
        let adapter = adopted.inspect_err(|status| {
            if *status != STATUS_IO_TIMEOUT {
                // SAFETY: the caller's promise; nothing was created on the adapter.
                unsafe { (close.close)(close.context, object) };
            }
        })?;
        match Self::start_closer(&adapter) {
            Ok(()) => Ok(adapter),
            Err(status) => {
                adapter.close_all();
                Err(status)
            }
        }
    }

    /// Starts the thread that closes the adapter. IRQL: PASSIVE_LEVEL.
    fn start_closer(this: &Shared<Self>) -> Result<(), NTSTATUS> {
        let begun = Event::new(EventType::Notification, false).map_err(|e| e.status())?;
        // The thread's reference: dropped by whoever has waited for the thread's end.
        let adapter = Shared::into_raw(this.clone());
        let start = Start { adapter, begun: &begun };
        // SAFETY: the reference keeps the adapter for the thread; `start` stays until the thread has looked at it.
        match unsafe { Thread::spawn(TAG, close_when_told, (&raw const start).cast_mut().cast()) } {
            Ok(thread) => {
                begun.wait_forever();
                *this.closer.lock() = Some(thread);
                Ok(())
            }
            Err(status) => {
                // SAFETY: there is no thread.
                drop(unsafe { Shared::from_raw(adapter) });
                Err(status)
            }
        }
    }

    /// Limits and properties.
    #[must_use]
    pub fn info(&self) -> &AdapterInfo {
        &self.info
    }

    /// How often the provider has broken this promise.
    #[must_use]
    pub fn faults(&self, fault: Fault) -> u32 {
        self.faults.count(fault)
    }

    /// Octets of memory that are registered now, or that the provider has not given back.
    #[must_use]
    pub fn registered(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }

    /// Counts so many octets, unless they are more than the limit allows.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED.
    pub(crate) fn charge(&self, octets: usize) -> Result<Charge, NTSTATUS> {
        let octets = octets as u64;
        let charged = |now: u64| now.checked_add(octets).filter(|sum| *sum <= self.limits.memory);
        match self.memory.fetch_update(Ordering::Relaxed, Ordering::Relaxed, charged) {
            Ok(_) => Ok(Charge { memory: self.memory.clone(), octets }),
            Err(_) => Err(STATUS_QUOTA_EXCEEDED),
        }
    }

    pub(crate) fn fault_counts(&self) -> &Shared<Faults> {
        &self.faults
    }

    pub(crate) fn handles(&self) -> &Shared<Handles> {
        &self.handles
    }

    /// A context for a callback.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn context(&self) -> Result<Reserved, NTSTATUS> {
        Handles::reserve(&self.handles)
    }

    pub(crate) fn entry_limit(&self) -> u64 {
        self.limits.entries
    }

    pub(crate) fn patience(&self) -> Patience<'_> {
        Patience { limit: self.limits.answer, faults: &self.faults, handles: &self.handles }
    }

    pub(crate) fn object(&self) -> *mut NDK_ADAPTER {
        self.object.as_ptr()
    }

    pub(crate) fn pd(&self) -> *mut NDK_PD {
        self.pd.as_ptr()
    }

    pub(crate) fn privileged_token(&self) -> u32 {
        self.privileged_token
    }

    /// Keeps [`Adapter::close`] waiting for a request that is made on this thread.
    ///
    /// # Errors
    /// DEVICE_NOT_READY: the adapter is being closed.
    pub(crate) fn enter(&self) -> Result<RundownGuard<'_>, NTSTATUS> {
        self.users.acquire().ok_or(STATUS_DEVICE_NOT_READY)
    }

    /// A completion queue of the processor `here` with room for `entries` more, created when there is none; one of another
    /// processor where that is not possible. The room is taken; it is given back with [`Cq::release`]. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or the provider's status.
    pub(crate) fn cq(this: &Shared<Self>, here: Processor, entries: u32) -> Result<Shared<Cq>, NTSTATUS> {
        let with_room = |of: fn(&Cq, Processor) -> bool| {
            let cqs = this.cqs.lock();
            cqs.iter().find(|cq| of(cq, here) && cq.reserve(entries)).cloned()
        };
        if let Some(cq) = with_room(|cq, here| cq.processor() == here) {
            return Ok(cq);
        }
        Self::new_cq(this, here, entries).or_else(|status| with_room(|_, _| true).ok_or(status))
    }

    /// A new completion queue whose callbacks are to run `here`, with room taken for `entries`.
    fn new_cq(this: &Shared<Self>, here: Processor, entries: u32) -> Result<Shared<Cq>, NTSTATUS> {
        let depth = CQ_DEPTH.max(entries).min(this.info.max_cq_depth);
        let cq = Cq::create(this, here, depth)?;
        if !cq.reserve(entries) {
            cq.close();
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        let pushed = this.cqs.lock().push(cq.clone());
        if pushed.is_err() {
            cq.close();
            return Err(STATUS_INSUFFICIENT_RESOURCES);
        }
        Ok(cq)
    }

    /// Of each completion queue.
    #[cfg(test)]
    pub(crate) fn cq_processors(&self) -> Vec<Processor, CQ_MAX> {
        self.cqs.lock().iter().map(|cq| cq.processor()).collect()
    }

    /// Has the adapter closed: every endpoint, listener and region is waited for, then the provider. Nothing begins on it any
    /// more. Does not wait. Any number of times. IRQL <= DISPATCH_LEVEL.
    pub fn begin_close(&self) {
        self.users.begin();
        self.close_now.set();
    }

    /// The same, and waits until it is closed, for `limit` units of 100 ns at most; `true`: no code of this driver is called
    /// by the provider any more. `false`: something is not closed, because the provider has not said so. What the provider may
    /// use stays where it is, and whoever has opened the adapter must stay as well; the closing goes on by itself, and this
    /// may be called again. IRQL: PASSIVE_LEVEL, never from a provider's callback.
    #[must_use = "an adapter that is not closed must not lose what it was opened by"]
    pub fn close(&self, limit: u64) -> bool {
        self.begin_close();
        if !self.closed.wait(Some(limit)) {
            return false;
        }
        // The thread is about to end: it has nothing left to wait for.
        let closer = self.closer.lock().take();
        if let Some(closer) = closer {
            closer.join();
            // SAFETY: the reference of the thread, which is gone; the caller has another one.
            drop(unsafe { Shared::from_raw(core::ptr::from_ref(self)) });
        }
        true
    }

    /// Whether it is closed. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Closes what there is, however long that takes. IRQL: PASSIVE_LEVEL.
    fn close_all(&self) {
        self.users.wait();
        let cqs = core::mem::take(&mut *self.cqs.lock());
        for cq in &cqs {
            cq.close();
        }
        let pd = self.pd.as_ptr();
        let close = slot!(pd, NdkClosePd);
        // Ends when the last region is closed.
        // SAFETY: the PD is open, and nothing is created on it any more.
        self.closing.close(|done, context| unsafe { close(pd.cast(), done, context) });
        // SAFETY: the promise of `adopt`; every object on the adapter is closed.
        unsafe { (self.close.close)(self.close.context, self.object) };
        self.is_closed.store(true, Ordering::Release);
    }
}

/// What the thread needs in order to begin.
struct Start<'a> {
    adapter: *const Adapter,
    begun: &'a Event,
}

/// The thread that closes an adapter.
///
/// # Safety
/// `context` is a [`Start`] that stays until its event is set; the adapter outlives the thread.
unsafe fn close_when_told(context: *mut c_void) {
    let adapter = {
        // SAFETY: the caller's promise.
        let start = unsafe { &*context.cast_const().cast::<Start<'_>>() };
        let adapter = start.adapter;
        start.begun.set();
        adapter
    };
    // SAFETY: the caller's promise.
    let adapter = unsafe { &*adapter };
    adapter.close_now.wait_forever();
    adapter.close_all();
    adapter.closed.set();
}

/// Registered octets, counted as long as this lives.
pub(crate) struct Charge {
    memory: Shared<AtomicU64>,
    octets: u64,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.memory.fetch_sub(self.octets, Ordering::Relaxed);
    }
}

/// Keeps [`Adapter::close`] waiting, and the adapter's memory alive.
pub(crate) struct Use(Shared<Adapter>);

impl Use {
    /// # Errors
    /// DEVICE_NOT_READY: the adapter is being closed.
    pub(crate) fn new(adapter: &Shared<Adapter>) -> Result<Self, NTSTATUS> {
        adapter.enter()?.forget();
        Ok(Self(adapter.clone()))
    }
}

impl core::ops::Deref for Use {
    type Target = Shared<Adapter>;

    fn deref(&self) -> &Shared<Adapter> {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        // SAFETY: one release for the guard forgotten in `new`; the adapter outlives this call through `self.0`.
        unsafe { self.0.users.release_forgotten() };
    }
}

/// A status on its way out of `try_new_cyclic`.
struct Failed(NTSTATUS);

impl From<kernel::pool::AllocError> for Failed {
    fn from(e: kernel::pool::AllocError) -> Self {
        Self(e.status())
    }
}

/// Reads the adapter's properties and refuses an adapter that cannot carry a stream.
fn query(object: NonNull<NDK_ADAPTER>) -> Result<AdapterInfo, NTSTATUS> {
    let adapter = object.as_ptr();
    // Zeroed first: providers built with older headers return a shorter structure.
    // SAFETY: NDK_ADAPTER_INFO is plain integers.
    let mut raw: NDK_ADAPTER_INFO = unsafe { zeroed() };
    let mut size = size_of::<NDK_ADAPTER_INFO>() as u32;
    let query = slot!(adapter, NdkQueryAdapterInfo);
    // SAFETY: the adapter is open; `raw` has `size` octets. PASSIVE_LEVEL is the caller's duty.
    let status = unsafe { query(adapter, &mut raw, &mut size) };
    if !nt_success(status) {
        return Err(status);
    }
    let NDK_VERSION { Major, Minor } = raw.Version;
    let fit = Major != 0
        && raw.MaxCallerData >= PRIVATE_DATA
        && raw.MaxCalleeData >= PRIVATE_DATA
        && raw.MaxReceiveQueueDepth >= 32
        && raw.MaxInitiatorQueueDepth >= 16
        && raw.MaxTransferLength >= 4096
        && raw.MaxRegistrationSize >= 1 << 20
        && raw.MaxInitiatorRequestSge >= 1
        && raw.MaxReceiveRequestSge >= 1
        && raw.MaxCqDepth >= 64;
    if !fit {
        return Err(STATUS_NOT_SUPPORTED);
    }
    Ok(AdapterInfo {
        version: (Major, Minor),
        technology: raw.RdmaTechnology,
        flags: raw.AdapterFlags,
        max_registration: raw.MaxRegistrationSize,
        max_transfer: raw.MaxTransferLength,
        max_inline: raw.MaxInlineDataSize,
        max_gather: raw.MaxInitiatorRequestSge,
        max_receives: raw.MaxReceiveQueueDepth,
        max_initiators: raw.MaxInitiatorQueueDepth,
        max_cq_depth: raw.MaxCqDepth,
        fast_pages: raw.FRMRPageCount,
    })
}
