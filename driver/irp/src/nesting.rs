//! Completing lists of IRPs with a bound on how deeply that nests.
//!
//! A completion routine may call the driver, whose call may complete another IRP, and so on until the kernel stack
//! (24 KiB) is used up. The kernel has no thread-local storage in which to count, and a count per socket would not bound
//! a chain through many sockets. So the count belongs to the *stack*: the address of a local variable names a window
//! of addresses, and each window counts the flushes in progress on it. A kernel stack touches at most two windows, so
//! no stack carries more than twice [`DEPTH_MAX`] flushes. Several stacks may share a window (neighbours, or a hash
//! collision): that can only defer earlier, never nest deeper.
//!
//! A flush beyond the bound leaves its IRPs to a work item. It must not leave them to another flush in progress, which
//! may be on the stack of a client that holds a lock which a completion routine takes.

use core::ffi::c_void;
use core::fmt;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use kernel::lock::SpinLock;
use kernel::pool::{AllocError, PoolTag};
use kernel::work::WorkItem;

use crate::owned;
use crate::raw_list::RawList;

/// Flushes in progress per window before the next one is deferred.
pub(crate) const DEPTH_MAX: usize = 8;

/// log2 of the window size in bytes: larger than any kernel stack, so that a stack touches at most two.
const WINDOW_SHIFT: u32 = 17;
/// Windows counted apart; a power of two.
const WINDOWS: usize = 64;

/// The flushes in progress in one window of stack addresses (or several, by collision). On a cache line of its own.
#[repr(align(64))]
struct Window(AtomicUsize);

static DEPTHS: [Window; WINDOWS] = [const { Window(AtomicUsize::new(0)) }; WINDOWS];

/// What was deferred, and who completes it.
struct Deferred {
    /// Concluded IRPs, in order. Empty while there is no work item.
    irps: RawList,
    item: Option<WorkItem>,
    /// How many [`CompletionWorker`]s live.
    users: usize,
}

static DEFERRED: SpinLock<Deferred> = SpinLock::new(Deferred { irps: RawList::new(), item: None, users: 0 });

/// Lets completions that would nest too deeply go on in a work item, as long as it lives.
///
/// The driver makes one when it starts, after `kernel::init`, and drops it when it is unloaded. Without one, completions
/// nest as deeply as clients make them. PASSIVE_LEVEL for both; the drop waits for a run in progress and then completes
/// itself what was left to it. Where several drivers live in one process, the last drop ends it.
#[must_use = "completions are deferred only while it lives"]
pub struct CompletionWorker(());

impl CompletionWorker {
    /// Starts deferring.
    ///
    /// # Errors
    /// [`AllocError`]: no memory.
    pub fn start(tag: PoolTag) -> Result<Self, AllocError> {
        // SAFETY: the routine needs no context and uses statics only.
        let item = unsafe { WorkItem::new(tag, complete_deferred, ptr::null_mut()) }?;
        let mut deferred = DEFERRED.lock();
        deferred.users += 1;
        let surplus = if deferred.item.is_none() { deferred.item.replace(item) } else { Some(item) };
        drop(deferred);
        // Outside the lock: dropping a work item may wait.
        drop(surplus);
        Ok(Self(()))
    }
}

impl Drop for CompletionWorker {
    fn drop(&mut self) {
        let item = {
            let mut deferred = DEFERRED.lock();
            deferred.users -= 1;
            if deferred.users == 0 { deferred.item.take() } else { None }
        };
        if item.is_none() {
            return;
        }
        // After this no run is in progress and none begins.
        drop(item);
        let left = mem::take(&mut DEFERRED.lock().irps);
        finish_all(left);
    }
}

impl fmt::Debug for CompletionWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompletionWorker")
    }
}

/// Completes each IRP of `irps` in order, now or, where that would nest too deeply, in the work item.
///
/// The IRPs are concluded. IRQL ≤ DISPATCH_LEVEL, no lock of the driver's held.
pub(crate) fn complete_all(irps: RawList) {
    one_deeper(|depth| {
        let now = if depth < DEPTH_MAX { Err(irps) } else { defer(irps) };
        if let Err(irps) = now {
            finish_all(irps);
        }
    });
}

/// Runs `flush`, counted in the window of the present stack; it gets the flushes that were in progress already.
fn one_deeper(flush: impl FnOnce(usize)) {
    let marker = 0_u8;
    let stack = (&raw const marker).addr();
    match DEPTHS.get((stack >> WINDOW_SHIFT) & (WINDOWS - 1)) {
        Some(Window(depth)) => {
            flush(depth.fetch_add(1, Ordering::Relaxed));
            depth.fetch_sub(1, Ordering::Relaxed);
        }
        None => flush(0),
    }
}

/// Leaves `irps` to the work item; gives them back if there is none.
fn defer(mut irps: RawList) -> Result<(), RawList> {
    let mut deferred = DEFERRED.lock();
    let Deferred { irps: waiting, item: Some(item), .. } = &mut *deferred else { return Err(irps) };
    waiting.append(&mut irps);
    item.queue();
    Ok(())
}

fn finish_all(mut irps: RawList) {
    while let Some(irp) = irps.pop_front() {
        // SAFETY: lists given to this module hold concluded IRPs; this one was taken out just now, and no lock of the
        // driver's is held.
        unsafe { owned::finish(irp) };
    }
}

/// The work item's routine: one pass over what is there. Whatever is deferred meanwhile asks for another run.
///
/// # Safety
/// At any time: it uses statics only. It is `unsafe` because a work item's routine is.
unsafe fn complete_deferred(_: *mut c_void) {
    let irps = mem::take(&mut DEFERRED.lock().irps);
    one_deeper(|_| finish_all(irps));
}
