//! Endpoints made ahead of the connections that need them.
//!
//! Each adapter has some: a queue pair with its room on a completion queue, and registered memory, the first ring included, as
//! every connection has them whose client has not asked for a shorter ring. A connect or an accept takes one and is spared the requests to the
//! adapter and the registrations; a work item makes another one in its place. What was taken never comes back: its peer
//! has been told of the memory.

use super::layout::Layout;
use super::{Connection, rings};
use crate::TAG_PROVIDER;
use crate::settings::Settings;
use abi::NTSTATUS;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU64, Ordering};
use heapless::Vec;
use kernel::lock::SpinLock;
use kernel::pool::{AllocError, Shared};
use kernel::processor::Processor;
use kernel::work::WorkItem;
use ndk::{Adapter, Memory, Prepared};

/// Endpoints that a pool may hold; the setting may ask for fewer.
const MOST: usize = 64;

/// What a pool has and has done, for the status reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolView {
    /// Endpoints that are ready.
    pub ready: u32,
    /// Connections that have taken one.
    pub hits: u64,
    /// Connections that found none and waited for their own.
    pub misses: u64,
}

/// What a connection needs before it knows its peer.
pub(super) struct Equipment {
    pub(super) endpoint: Prepared<Connection>,
    pub(super) ring: Shared<Memory>,
}

impl Equipment {
    /// IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Prepared::new`] and [`Memory::register`].
    pub(super) fn new(adapter: &Shared<Adapter>, layout: &Layout) -> Result<Self, NTSTATUS> {
        let ring = rings::register(adapter, layout.config.ring_len)?;
        let memories = layout.register(adapter)?;
        let endpoint = Prepared::new(adapter, Processor::current(), layout.depths(), memories)?;
        Ok(Self { endpoint, ring })
    }
}

/// The endpoints of one adapter.
pub(crate) struct Pool {
    adapter: Shared<Adapter>,
    layout: Layout,
    wanted: usize,
    work: WorkItem,
    hits: AtomicU64,
    misses: AtomicU64,
    state: SpinLock<State>,
}

struct State {
    ready: Vec<Equipment, MOST>,
    /// The adapter is to go.
    closed: bool,
}

impl Pool {
    /// An empty one. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn new(adapter: &Shared<Adapter>, settings: &Settings) -> Result<Shared<Self>, AllocError> {
        let layout = Layout::new(settings, None, adapter.info());
        Shared::try_new_cyclic(TAG_PROVIDER, |this: *const Self| {
            // SAFETY: each run is asked for with a reference, which the run takes.
            let work = unsafe { WorkItem::new_unawaited(TAG_PROVIDER, fill, this.cast_mut().cast()) }?;
            Ok(Self {
                adapter: adapter.clone(),
                layout,
                wanted: (settings.prepared_endpoints as usize).min(MOST),
                work,
                hits: AtomicU64::new(0),
                misses: AtomicU64::new(0),
                state: SpinLock::new(State { ready: Vec::new(), closed: false }),
            })
        })
    }

    /// Has the pool filled. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn refill(this: &Shared<Self>) {
        if this.wanted == 0 {
            return;
        }
        let reference = Shared::into_raw(this.clone());
        if !this.work.queue() {
            // SAFETY: the run that is asked for already has a reference of its own.
            drop(unsafe { Shared::from_raw(reference) });
        }
    }

    /// An endpoint for a connection with this layout, rather one whose completions come to this processor; `None`: there is
    /// none. IRQL <= DISPATCH_LEVEL.
    pub(super) fn take(this: &Shared<Self>, layout: &Layout) -> Option<Equipment> {
        if this.wanted == 0 || !layout.has_memory_of(&this.layout) {
            return None;
        }
        let here = Processor::current();
        let taken = {
            let mut state = this.state.lock();
            let near = state.ready.iter().position(|one| one.endpoint.processor() == here);
            let place = near.or_else(|| state.ready.len().checked_sub(1));
            place.map(|place| state.ready.swap_remove(place))
        };
        let count = if taken.is_some() { &this.hits } else { &this.misses };
        count.fetch_add(1, Ordering::Relaxed);
        Self::refill(this);
        taken
    }

    /// Closes what is ready; nothing is made any more. The adapter's own close waits for the end of all that. IRQL <=
    /// DISPATCH_LEVEL.
    pub(crate) fn close(&self) {
        let ready = {
            let mut state = self.state.lock();
            state.closed = true;
            core::mem::take(&mut state.ready)
        };
        drop(ready);
    }

    pub(crate) fn view(&self) -> PoolView {
        PoolView {
            ready: self.state.lock().ready.len() as u32,
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
        }
    }

    /// Makes one more; whether another one is wanted. IRQL: PASSIVE_LEVEL.
    fn make(&self) -> bool {
        let is_full = |state: &State| state.closed || state.ready.len() >= self.wanted;
        if is_full(&self.state.lock()) {
            return false;
        }
        // What is not to be had now is asked for again when the next one is taken.
        let Ok(made) = Equipment::new(&self.adapter, &self.layout) else { return false };
        let mut state = self.state.lock();
        if is_full(&state) {
            drop(state);
            drop(made);
            return false;
        }
        let refused = state.ready.push(made);
        drop(state);
        refused.is_ok()
    }
}

/// The work item's routine.
///
/// # Safety
/// `context` is a reference that [`Pool::refill`] gave to this run.
unsafe fn fill(context: *mut c_void) {
    // SAFETY: the caller's promise.
    let this = unsafe { Shared::<Pool>::from_raw(context.cast()) };
    while this.make() {}
}
