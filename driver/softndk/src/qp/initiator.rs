//! What a queue pair does to its peer: the initiator queue and its state.

use abi::NTSTATUS;
use abi::ndk::{
    NDK_OP_FLAG, NDK_OPERATION_TYPE, NDK_SGE, NdkOperationTypeInvalidate, NdkOperationTypeRead,
    NdkOperationTypeSend, NdkOperationTypeWrite,
};
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_DATA_OVERRUN, STATUS_INVALID_PARAMETER,
    STATUS_NO_MORE_ENTRIES,
};
use kernel::pool::{AllocError, PoolSlice, Shared};

use super::element::{Element, total_bytes};
use crate::config::TRANSFER_BYTES_MAX;
use crate::fabric::Peer;
use crate::opaque::Opaque;
use crate::stream::Stream;
use crate::tag;

/// Where a queue pair stands with requests of its own.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Not connected yet.
    Idle,
    /// Connected.
    Ready(Peer),
    /// A consumer has disconnected, here or there: no more requests, but receives stay.
    Closing,
    /// For ever.
    Dead,
}

/// A request that goes to the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// The token the peer is to invalidate.
    Send {
        invalidate: Option<u32>,
    },
    Write {
        address: u64,
        token: u32,
    },
    Read {
        address: u64,
        token: u32,
    },
    /// It concerns this end only, and waits its turn behind requests that a stream has not carried out.
    Local(Local),
}

/// A request that concerns this end only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Local {
    /// It is done, and has only to complete.
    Done { kind: NDK_OPERATION_TYPE, status: NTSTATUS },
    /// `NdkInvalidate` of the region or window at that place.
    Invalidate { place: u32 },
}

impl Operation {
    pub(crate) const fn kind(self) -> NDK_OPERATION_TYPE {
        match self {
            Self::Send { .. } => NdkOperationTypeSend,
            Self::Write { .. } => NdkOperationTypeWrite,
            Self::Read { .. } => NdkOperationTypeRead,
            Self::Local(Local::Done { kind, .. }) => kind,
            Self::Local(Local::Invalidate { .. }) => NdkOperationTypeInvalidate,
        }
    }

    /// Flags the function of this operation takes.
    const fn flags(self) -> NDK_OP_FLAG {
        let common = NDK_OP_FLAG::SILENT_SUCCESS.union(NDK_OP_FLAG::READ_FENCE).union(NDK_OP_FLAG::DEFER);
        match self {
            Self::Send { .. } => common.union(NDK_OP_FLAG::SEND_AND_SOLICIT_EVENT).union(NDK_OP_FLAG::INLINE),
            Self::Write { .. } => common.union(NDK_OP_FLAG::INLINE),
            Self::Read { .. } => common.union(NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE),
            // Checked by whoever posts them.
            Self::Local(_) => NDK_OP_FLAG::all(),
        }
    }
}

/// A request as it is posted.
#[derive(Clone, Copy)]
pub(crate) struct Post<'a> {
    pub(crate) operation: Operation,
    pub(crate) context: Opaque,
    pub(crate) sgl: &'a [NDK_SGE],
    pub(crate) flags: NDK_OP_FLAG,
}

/// A request in the queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) operation: Operation,
    pub(crate) context: Opaque,
    pub(crate) flags: NDK_OP_FLAG,
    elements: usize,
    inline_bytes: usize,
    at: usize,
}

/// The initiator queue, in posting order: first those that a stream has started, then those that it may start, then the deferred
/// ones. In memory only deferred requests stay in it: every other post runs it empty.
#[derive(Debug)]
pub(crate) struct Initiator {
    pub(crate) phase: Phase,
    /// Silent requests since the last completion entry.
    pub(crate) silent: u32,
    works: PoolSlice<Option<Work>>,
    elements: PoolSlice<Element>,
    elements_max: usize,
    inline: PoolSlice<u8>,
    inline_max: usize,
    head: usize,
    len: usize,
    /// Requests that may be started, from the head on, the started ones among them.
    released: usize,
    /// Requests that the stream has taken and that are not complete, from the head on.
    started: usize,
}

impl Initiator {
    pub(crate) fn new(depth: u32, elements_max: u32, inline_bytes: u32) -> Result<Self, AllocError> {
        let (depth, elements_max, inline_max) =
            (depth as usize, elements_max as usize, inline_bytes as usize);
        Ok(Self {
            phase: Phase::Idle,
            silent: 0,
            works: PoolSlice::try_new_with(tag::OBJECT, depth, |_| None)?,
            elements: PoolSlice::try_new_with(tag::OBJECT, depth * elements_max, |_| Element::default())?,
            elements_max,
            inline: PoolSlice::try_new_with(tag::OBJECT, depth * inline_max, |_| 0)?,
            inline_max,
            head: 0,
            len: 0,
            released: 0,
            started: 0,
        })
    }

    /// Checks a request against the limits of the queue pair.
    ///
    /// # Errors
    /// `STATUS_INVALID_PARAMETER`: a flag the operation does not take; `STATUS_DATA_OVERRUN`: too many elements;
    /// `STATUS_BUFFER_OVERFLOW`: too many bytes.
    pub(crate) fn check(&self, post: &Post<'_>) -> Result<(), NTSTATUS> {
        if !post.operation.flags().contains(post.flags) {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let inline = post.flags.contains(NDK_OP_FLAG::INLINE);
        if !inline && post.sgl.len() > self.elements_max {
            return Err(STATUS_DATA_OVERRUN);
        }
        let limit = if inline { self.inline_max as u64 } else { u64::from(TRANSFER_BYTES_MAX) };
        if total_bytes(post.sgl) > limit {
            return Err(STATUS_BUFFER_OVERFLOW);
        }
        Ok(())
    }

    /// Appends a request that was checked; copies its inline data.
    ///
    /// # Errors
    /// `STATUS_NO_MORE_ENTRIES`: the queue is full.
    ///
    /// # Safety
    /// With the inline flag, every element is an address readable for its length.
    pub(crate) unsafe fn push(&mut self, post: &Post<'_>) -> Result<(), NTSTATUS> {
        let depth = self.works.len();
        if self.len >= depth {
            return Err(STATUS_NO_MORE_ENTRIES);
        }
        let at = self.place(self.len);
        let mut work = Work {
            operation: post.operation,
            context: post.context,
            flags: post.flags,
            elements: 0,
            inline_bytes: 0,
            at,
        };
        if post.flags.contains(NDK_OP_FLAG::INLINE) {
            let mut rest = self.inline.get_mut(at * self.inline_max..(at + 1) * self.inline_max);
            for sge in post.sgl {
                let length = sge.Length as usize;
                let Some((place, left)) = rest.and_then(|rest| rest.split_at_mut_checked(length)) else {
                    return Err(STATUS_BUFFER_OVERFLOW);
                };
                // SAFETY: reads a pointer out of eight bytes of plain data.
                let data = unsafe { sge.Anonymous.VirtualAddress }.cast::<u8>();
                if length > 0 {
                    // SAFETY: readable (caller); the place is this queue's own and has as many bytes.
                    unsafe { core::ptr::copy_nonoverlapping(data, place.as_mut_ptr(), length) };
                }
                work.inline_bytes += length;
                rest = Some(left);
            }
        } else {
            let first = at * self.elements_max;
            let places = self.elements.get_mut(first..first + post.sgl.len()).ok_or(STATUS_DATA_OVERRUN)?;
            for (place, sge) in places.iter_mut().zip(post.sgl) {
                *place = Element::new(sge);
            }
            work.elements = post.sgl.len();
        }
        if let Some(place) = self.works.get_mut(at) {
            *place = Some(work);
        }
        self.len += 1;
        Ok(())
    }

    /// Takes the oldest request. Its data stays readable by [`data`](Self::data) until something is pushed.
    pub(crate) fn pop(&mut self) -> Option<Work> {
        if self.len == 0 {
            return None;
        }
        let work = self.works.get_mut(self.head)?.take();
        self.head = (self.head + 1).checked_rem(self.works.len()).unwrap_or(0);
        self.len -= 1;
        self.released = self.released.saturating_sub(1);
        self.started = self.started.saturating_sub(1);
        work
    }

    /// Whether nothing is in the queue.
    pub(crate) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Everything in the queue may be started.
    pub(crate) const fn release(&mut self) {
        self.released = self.len;
    }

    /// Appends a request that concerns this end only, whose slot is taken.
    pub(crate) fn push_local(&mut self, context: Opaque, flags: NDK_OP_FLAG, local: Local) {
        let at = self.place(self.len);
        let operation = Operation::Local(local);
        if let Some(place) = self.works.get_mut(at) {
            *place = Some(Work { operation, context, flags, elements: 0, inline_bytes: 0, at });
            self.len += 1;
        }
    }

    fn place(&self, index: usize) -> usize {
        (self.head + index).checked_rem(self.works.len()).unwrap_or(0)
    }

    fn get(&self, index: usize) -> Option<Work> {
        *self.works.get(self.place(index))?
    }

    fn set_operation(&mut self, index: usize, operation: Operation) {
        let place = self.place(index);
        if let Some(work) = self.works.get_mut(place).and_then(Option::as_mut) {
            work.operation = operation;
        }
    }

    /// The oldest request that may be started and is not.
    pub(super) fn next(&self) -> Option<Work> {
        if self.started < self.released { self.get(self.started) } else { None }
    }

    /// The one that [`next`](Self::next) gives is started.
    pub(super) const fn start(&mut self) {
        self.started += 1;
    }

    /// The one that [`next`](Self::next) gives is started, and done.
    pub(super) fn start_done(&mut self, kind: NDK_OPERATION_TYPE, status: NTSTATUS) {
        self.set_operation(self.started, Operation::Local(Local::Done { kind, status }));
        self.started += 1;
    }

    /// The oldest request, if it is started.
    pub(super) fn oldest(&self) -> Option<Work> {
        if self.started > 0 { self.get(0) } else { None }
    }

    /// The request that was started last.
    pub(super) fn latest(&self) -> Option<Work> {
        self.get(self.started.checked_sub(1)?)
    }

    /// The oldest read that is started.
    pub(super) fn oldest_read(&self) -> Option<Work> {
        let mut started = (0..self.started).filter_map(|index| self.get(index));
        started.find(|work| matches!(work.operation, Operation::Read { .. }))
    }

    /// Has the deferred requests complete with `STATUS_CANCELLED`, in their turn.
    pub(super) fn cancel_deferred(&mut self) {
        self.cancel_from(self.released);
    }

    /// Has all requests that are not started complete with `STATUS_CANCELLED`, in their turn.
    pub(super) fn cancel_unstarted(&mut self) {
        self.cancel_from(self.started);
    }

    fn cancel_from(&mut self, first: usize) {
        for index in first..self.len {
            if let Some(work) = self.get(index) {
                let done = Local::Done { kind: work.operation.kind(), status: STATUS_CANCELLED };
                self.set_operation(index, Operation::Local(done));
            }
        }
        self.release();
    }

    /// Carries an invalidation of `place` out that waits its turn, if there is one.
    pub(super) fn hurry_invalidation(&mut self, place: u32, invalidate: impl FnOnce() -> NTSTATUS) {
        let wanted = Operation::Local(Local::Invalidate { place });
        let waits = |index: &usize| self.get(*index).is_some_and(|work| work.operation == wanted);
        if let Some(index) = (self.started..self.len).find(waits) {
            let done = Local::Done { kind: NdkOperationTypeInvalidate, status: invalidate() };
            self.set_operation(index, Operation::Local(done));
        }
    }

    /// Who carries requests out, if it is not who posts them.
    pub(super) fn stream(&self) -> Option<Shared<Stream>> {
        match &self.phase {
            Phase::Ready(Peer::Stream { stream, .. }) => Some(stream.clone()),
            _ => None,
        }
    }

    /// The elements or the inline data of a request just taken.
    pub(crate) fn data(&self, work: &Work) -> Data<'_> {
        if work.flags.contains(NDK_OP_FLAG::INLINE) {
            let first = work.at * self.inline_max;
            Data::Inline(self.inline.get(first..first + work.inline_bytes).unwrap_or(&[]))
        } else {
            let first = work.at * self.elements_max;
            Data::Elements(self.elements.get(first..first + work.elements).unwrap_or(&[]))
        }
    }
}

/// Where the bytes of a request are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Data<'a> {
    Elements(&'a [Element]),
    Inline(&'a [u8]),
}
