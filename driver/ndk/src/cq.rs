//! Completion queues, shared by the endpoints of an adapter.
//!
//! All reaping and arming of one queue happens in *passes*, which never overlap: a pass drains the queue, closes the
//! books of endpoints that are going away, and arms. Drain-then-arm loses no wake-up (NDKPI, "NdkArmCq"). A pass
//! that has done [`PASS_LIMIT`] entries continues in a DPC, so that one busy queue does not keep a processor.

use crate::TAG;
use crate::adapter::{Adapter, Use};
use crate::attachment::{Attached, Attachee, Attachment, Waiting};
use crate::faults::{Fault, Faults};
use crate::gate::Gate;
use crate::handles::{self, Reserved};
use crate::object::slot;
use crate::table::{self, Key, Table};
use crate::wait::{self, Closing};
use abi::NTSTATUS;
use abi::ndk::{NDK_CQ, NDK_CQ_NOTIFY_ANY, NDK_RESULT, NDK_RESULT_EX};
use abi::status::nt_success;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use heapless::Vec;
use kernel::dpc::Dpc;
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::processor::Processor;
use kernel::rundown::Rundown;
use kernel::timer::Timer;

/// Entries taken in one call of the provider.
const BATCH: usize = 32;
/// Entries one pass handles before it yields.
const PASS_LIMIT: usize = 256;

/// One completion: what the endpoint's handler sees.
#[derive(Clone, Copy, Debug)]
pub struct Completion {
    /// How the request ended; CANCELLED for flushed ones.
    pub status: NTSTATUS,
    /// Octets received; meaningful for successful receives only.
    pub octets: u32,
    /// The context given when the request was posted.
    pub context: usize,
}

struct Lists {
    retiring: Waiting,
    disconnected: Waiting,
    /// Kept until the queue is closed, because their entries may still come.
    abandoned: Waiting,
    attached: Attached,
}

pub(crate) struct Cq {
    object: NonNull<NDK_CQ>,
    /// Where the provider was asked to notify.
    processor: Processor,
    /// NdkGetCqResultsEx exists (NDKPI 1.2).
    extended: bool,
    gate: Gate,
    /// Continues passes; gone with the queue.
    again: SpinLock<Option<Dpc>>,
    room: AtomicU32,
    failed: AtomicBool,
    lists: SpinLock<Lists>,
    /// Somebody may be on the lists that passes look at. Most passes find nobody, and need not take the lock to see that.
    listed: AtomicBool,
    /// By the contexts of their queue pairs. Only passes look there, and endpoints go in passes only, or when there is none
    /// any more.
    endpoints: SpinLock<Table<Attachee>>,
    /// The context of the notification; bound until the queue is closed.
    notification: Reserved,
    /// Set while endpoints wait for entries; gone with the queue.
    patience: SpinLock<Option<Timer>>,
    /// How long they wait, in units of 100 ns.
    entry_limit: u64,
    patience_set: AtomicBool,
    patience_over: AtomicBool,
    faults: Shared<Faults>,
    /// Passes under way: the close waits for them.
    passes: Rundown,
    closing: Closing,
}

// SAFETY: the NDK object may be used from any thread; reaping and arming are serialised by the gate.
unsafe impl Send for Cq {}
// SAFETY: as above.
unsafe impl Sync for Cq {}

extern "system" fn notified(context: *mut c_void, status: NTSTATUS) {
    let Some(cq) = handles::find::<Cq>(context, Fault::EventTooMany) else { return };
    if !nt_success(status) {
        cq.failed.store(true, Ordering::SeqCst);
    }
    cq.pass();
}

unsafe fn continue_pass(context: *mut c_void) {
    // SAFETY: the context is the queue, whose close drops the DPC.
    unsafe { &*context.cast::<Cq>() }.pass();
}

unsafe fn lose_patience(context: *mut c_void) {
    // SAFETY: the context is the queue, whose close drops the timer.
    let cq = unsafe { &*context.cast::<Cq>() };
    cq.patience_set.store(false, Ordering::Release);
    cq.patience_over.store(true, Ordering::Release);
    cq.pass();
}

impl Cq {
    /// Creates a queue of `depth` entries and arms it. That its callbacks run on `processor` is a wish (NDKPI).
    /// IRQL: PASSIVE_LEVEL.
    pub(crate) fn create(
        adapter: &Shared<Adapter>,
        processor: Processor,
        depth: u32,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let cq: Shared<Self> = Shared::try_new_cyclic(TAG, |this: *const Self| {
            let context = this.cast_mut().cast::<c_void>();
            // SAFETY: `continue_pass` takes the address of the queue, whose close drops the DPC.
            let again = unsafe { Dpc::new(TAG, continue_pass, context) }.map_err(|e| Failed(e.status()))?;
            // SAFETY: `lose_patience` takes the address of the queue, whose close drops the timer.
            let patience =
                unsafe { Timer::new(TAG, lose_patience, context) }.map_err(|e| Failed(e.status()))?;
            let passes = Rundown::new().map_err(|e| Failed(e.status()))?;
            let closing = Closing::new(adapter.handles()).map_err(Failed)?;
            let notification = adapter.context().map_err(Failed)?;
            let endpoints = SpinLock::new(Table::new()?);
            let object = adapter.object();
            let create = slot!(object, NdkCreateCq);
            let kept = (Use::new(adapter).map_err(Failed)?, processor.affinity());
            let created = wait::create(&adapter.patience(), kept, |(_, affinity), done, request, out| {
                let context = notification.context();
                // SAFETY: the adapter is open; nothing is notified before the first arm, when the context is bound.
                unsafe { create(object, depth, notified, context, affinity, done, request, out) }
            });
            let object = created.map_err(Failed)?;
            Ok::<_, Failed>(Self {
                object,
                processor,
                extended: adapter.info().version >= (1, 2),
                gate: Gate::new(),
                again: SpinLock::new(Some(again)),
                room: AtomicU32::new(depth),
                failed: AtomicBool::new(false),
                lists: SpinLock::new(Lists {
                    retiring: Waiting::new(|a| &a.next_retiring),
                    disconnected: Waiting::new(|a| &a.next_disconnected),
                    abandoned: Waiting::new(|a| &a.next_retiring),
                    attached: Attached::new(),
                }),
                listed: AtomicBool::new(false),
                endpoints,
                notification,
                patience: SpinLock::new(Some(patience)),
                entry_limit: adapter.entry_limit(),
                patience_set: AtomicBool::new(false),
                patience_over: AtomicBool::new(false),
                faults: adapter.fault_counts().clone(),
                passes,
                closing,
            })
        })
        .map_err(|Failed(status)| status)?;
        cq.notification.bind(cq.clone());
        cq.pass();
        Ok(cq)
    }

    /// Takes a key for the endpoint of a queue pair that is about to be created. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn expect(&self) -> Result<Key, NTSTATUS> {
        table::reserve(&self.endpoints, |table| table)
    }

    /// Gives back a key that came to nothing.
    pub(crate) fn forget(&self, key: Key) {
        self.endpoints.lock().release(key);
    }

    /// The context of the queue pair of that endpoint.
    pub(crate) fn context(key: Key) -> *mut c_void {
        ptr::without_provenance_mut(key.to_bits() as usize)
    }

    pub(crate) fn processor(&self) -> Processor {
        self.processor
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn object(&self) -> *mut NDK_CQ {
        self.object.as_ptr()
    }

    /// Takes room for `entries`, if there is as much: an overrun would kill every queue pair on the queue.
    pub(crate) fn reserve(&self, entries: u32) -> bool {
        !self.failed.load(Ordering::Acquire)
            && self
                .room
                .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |room| room.checked_sub(entries))
                .is_ok()
    }

    /// Gives room back.
    pub(crate) fn release(&self, entries: u32) {
        self.room.fetch_add(entries, Ordering::AcqRel);
    }

    /// Whether the queue has failed: it delivers nothing any more.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Takes in a new endpoint, which hears of a failure of the queue by its `lose`. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `attachment` stays valid until its `retire` or `free` is called, and is taken in once.
    pub(crate) unsafe fn attach(&self, attachment: NonNull<Attachment>) {
        // SAFETY: valid (caller).
        let key = unsafe { attachment.as_ref() }.key;
        // The key is the endpoint's own, so nothing was there.
        let _ = self.endpoints.lock().put(key, Attachee(attachment));
        self.lists.lock().attached.insert(attachment);
        if self.has_failed() {
            self.go_on();
        }
    }

    /// Hands in an endpoint whose queue pair is closed. Its `retire` is called, outside locks, when no entry of it can
    /// be in the queue any more. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `attachment` stays valid until its `retire` is called, and is handed in once.
    pub(crate) unsafe fn retire(&self, attachment: NonNull<Attachment>) {
        self.list(|lists| lists.retiring.push(attachment));
        self.go_on();
    }

    /// Notes that the peer of an endpoint is gone. Its `disconnected` is called, outside locks, once every entry that
    /// is in the queue now has been delivered: the provider promises no order between event and entries, and the last
    /// message may be one of them. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// Called at most once for an endpoint, from its connector's disconnect event.
    pub(crate) unsafe fn disconnected(&self, attachment: NonNull<Attachment>) {
        self.list(|lists| lists.disconnected.push(attachment));
        self.go_on();
    }

    /// Puts endpoints on lists that the next pass looks at.
    fn list(&self, put: impl FnOnce(&mut Lists)) {
        put(&mut self.lists.lock());
        self.listed.store(true, Ordering::Release);
    }

    /// Takes who retires, and whose peer is gone, off the lists. Who is put on them later asks for a pass of its own.
    fn take_listed(&self) -> Option<(Waiting, Waiting)> {
        if !self.listed.swap(false, Ordering::AcqRel) {
            return None;
        }
        let mut lists = self.lists.lock();
        Some((lists.retiring.take(), lists.disconnected.take()))
    }

    /// Closes the queue and waits for the end of its callbacks. Every endpoint on it is gone. Once. IRQL: PASSIVE_LEVEL.
    pub(crate) fn close(&self) {
        self.passes.wait();
        // Here, because the last reference may go anywhere.
        let patience = self.patience.lock().take();
        drop(patience);
        let again = self.again.lock().take();
        drop(again);
        let object = self.object.as_ptr();
        let close = slot!(object, NdkCloseCq);
        // SAFETY: the queue is open, no pass is under way nor can begin, and it is not used again.
        self.closing.close(|done, context| unsafe { close(object.cast(), done, context) });
        let notified = self.notification.unbind::<Self>();
        drop(notified);
        let abandoned = self.lists.lock().abandoned.take();
        abandoned.each(|attachment| {
            // SAFETY: on the list, so valid until this.
            let free = unsafe { attachment.as_ref() }.free;
            // SAFETY: the function belongs to this attachment; the closed queue delivers nothing.
            unsafe { free(attachment) };
        });
    }

    /// Has a pass run soon.
    fn go_on(&self) {
        if let Some(again) = &*self.again.lock() {
            again.queue();
        }
    }

    fn pass(&self) {
        // Refused once the queue is being closed.
        let Some(_pass) = self.passes.acquire() else { return };
        if !self.gate.enter() {
            return;
        }
        loop {
            let patience_over = self.patience_over.swap(false, Ordering::AcqRel);
            // Taken before the queue is drained: what is on the lists may act once it was seen empty after that. Who
            // retires has been through its disconnect event, so it is on both lists or has been told already.
            let listed = self.take_listed();
            if !self.drain() {
                if let Some((retiring, disconnected)) = listed {
                    retiring.each(|a| self.list(|lists| lists.retiring.push(a)));
                    disconnected.each(|a| self.list(|lists| lists.disconnected.push(a)));
                }
                self.patience_over.fetch_or(patience_over, Ordering::AcqRel);
                // Still the runner's right: give it up and let the DPC take it.
                while !self.gate.leave() {}
                self.go_on();
                return;
            }
            if self.has_failed() {
                self.lose_all();
            }
            if let Some((retiring, disconnected)) = listed {
                disconnected.each(|attachment| {
                    // SAFETY: on the list, so valid: `retire` comes below or in a later pass.
                    let tell = unsafe { attachment.as_ref() }.disconnected;
                    // SAFETY: the function belongs to this attachment.
                    unsafe { tell(attachment) };
                });
                self.retire_finished(retiring, patience_over);
            }
            if !self.failed.load(Ordering::Acquire) {
                let object = self.object.as_ptr();
                let arm = slot!(object, NdkArmCq);
                // SAFETY: the queue is open; arming is serialised with reaping by the gate.
                unsafe { arm(object, NDK_CQ_NOTIFY_ANY) };
            }
            if self.gate.leave() {
                return;
            }
        }
    }

    /// Tells every endpoint that the queue has failed.
    fn lose_all(&self) {
        loop {
            let first = self.lists.lock().attached.pop();
            let Some(attachment) = first else { return };
            // SAFETY: endpoints retire in passes only, and this is one.
            let lose = unsafe { attachment.as_ref() }.lose;
            // SAFETY: the function belongs to this attachment.
            unsafe { lose(attachment) };
        }
    }

    /// Delivers entries until the queue is empty; `false` when the limit came first.
    fn drain(&self) -> bool {
        let mut done = 0usize;
        while done < PASS_LIMIT {
            let taken = if self.extended { self.reap::<NDK_RESULT_EX>() } else { self.reap::<NDK_RESULT>() };
            if taken == 0 {
                return true;
            }
            done = done.saturating_add(taken);
        }
        false
    }

    /// Takes a batch of entries and delivers them; how many there were.
    fn reap<R: Entry>(&self) -> usize {
        let mut raw = [const { MaybeUninit::<R>::uninit() }; BATCH];
        // SAFETY: the queue is open, reaping is serialised by the gate, `raw` has room for BATCH entries.
        let taken = unsafe { R::get(self.object.as_ptr(), raw.as_mut_ptr().cast(), BATCH as u32) } as usize;
        // One delivery for each run of entries of the same queue pair: one lookup, and one lock of the endpoint's, for the run.
        let mut run: Vec<Completion, BATCH> = Vec::new();
        let mut of = ptr::null_mut();
        for entry in raw.iter().take(taken) {
            // SAFETY: the provider has filled the first `taken` entries.
            let (qp, completion) = unsafe { entry.assume_init_ref() }.read();
            if qp != of {
                self.deliver(of, &run);
                run.clear();
                of = qp;
            }
            // There is room for all entries of a batch.
            let _ = run.push(completion);
        }
        self.deliver(of, &run);
        taken
    }

    /// Hands entries of one queue pair to its endpoint, unless that is given up. A queue pair that nobody has is the provider's
    /// fault.
    fn deliver(&self, qp: *mut c_void, entries: &[Completion]) {
        if entries.is_empty() {
            return;
        }
        let key = Key::from_bits(qp.addr() as u64);
        let endpoint = self.endpoints.lock().get(key).map(|endpoint| endpoint.0);
        let Some(attachment) = endpoint else { return self.faults.note(Fault::EntryTooMany) };
        // SAFETY: in the table, so kept: it retires in passes only, and this is one.
        let endpoint = unsafe { attachment.as_ref() };
        if !endpoint.abandoned.load(Ordering::Acquire) {
            // SAFETY: the function belongs to this attachment.
            unsafe { (endpoint.deliver)(attachment, entries) };
        }
    }

    /// Retires the endpoints whose last entry is taken. The queue was seen empty after they had been handed in, so
    /// none of their silent requests has left an entry either. A failed queue delivers nothing any more: all may go. Who has
    /// waited too long is abandoned.
    fn retire_finished(&self, list: Waiting, patience_over: bool) {
        let failed = self.failed.load(Ordering::Acquire);
        let mut waiting = false;
        list.each(|attachment| {
            // SAFETY: endpoints on the list stay valid until their `retire` is called.
            let a = unsafe { attachment.as_ref() };
            if failed || a.outstanding.load(Ordering::Acquire) == 0 {
                self.lists.lock().attached.remove(attachment);
                self.endpoints.lock().release(a.key);
                let retire = a.retire;
                // SAFETY: called once: the endpoint is on no list any more.
                unsafe { retire(attachment) };
            } else if patience_over && a.overdue.swap(true, Ordering::Relaxed) {
                a.abandoned.store(true, Ordering::Release);
                let abandon = a.abandon;
                {
                    let mut lists = self.lists.lock();
                    lists.attached.remove(attachment);
                    lists.abandoned.push(attachment);
                }
                // SAFETY: called once, instead of `retire`.
                unsafe { abandon(attachment) };
            } else {
                waiting = true;
                self.list(|lists| lists.retiring.push(attachment));
            }
        });
        if waiting
            && !self.patience_set.swap(true, Ordering::AcqRel)
            && let Some(patience) = &*self.patience.lock()
        {
            patience.set(self.entry_limit);
        }
    }
}

/// What a provider of one version or another puts into a completion queue.
trait Entry: Sized {
    /// Takes up to `count` entries.
    ///
    /// # Safety
    /// `cq` is open and has the function, nobody else reaps or arms it now, and there is room for `count` entries.
    unsafe fn get(cq: *mut NDK_CQ, entries: *mut Self, count: u32) -> u32;

    /// The context of its queue pair, and what became of the request.
    fn read(&self) -> (*mut c_void, Completion);
}

impl Entry for NDK_RESULT_EX {
    unsafe fn get(cq: *mut NDK_CQ, entries: *mut Self, count: u32) -> u32 {
        let get = slot!(cq, NdkGetCqResultsEx);
        // SAFETY: the caller's promise.
        unsafe { get(cq, entries, count) }
    }

    fn read(&self) -> (*mut c_void, Completion) {
        let Self { Status: status, BytesTransferred: octets, .. } = *self;
        (self.QPContext, Completion { status, octets, context: self.RequestContext.addr() })
    }
}

impl Entry for NDK_RESULT {
    unsafe fn get(cq: *mut NDK_CQ, entries: *mut Self, count: u32) -> u32 {
        let get = slot!(cq, NdkGetCqResults);
        // SAFETY: the caller's promise.
        unsafe { get(cq, entries, count) }
    }

    fn read(&self) -> (*mut c_void, Completion) {
        let Self { Status: status, BytesTransferred: octets, .. } = *self;
        (self.QPContext, Completion { status, octets, context: self.RequestContext.addr() })
    }
}

/// A status on its way out of `try_new_cyclic`.
struct Failed(NTSTATUS);

impl From<kernel::pool::AllocError> for Failed {
    fn from(e: kernel::pool::AllocError) -> Self {
        Self(e.status())
    }
}
