//! Posting work requests.

use crate::adapter::AdapterInfo;
use crate::endpoint::{Endpoint, Handler};
use crate::fast::FastRegion;
use crate::lam::Mapping;
use crate::object::slot;
use crate::window::Window;
use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NDK_QP, NDK_SGE, NDK_SGE_ADDRESS};
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_INVALID_PARAMETER, STATUS_SUCCESS, nt_success};
use core::sync::atomic::{AtomicU32, Ordering};
use heapless::Vec;
use kernel::pool::Shared;

/// Context of silent requests. They leave an entry only when they fail; such an entry was not counted.
pub(crate) const SILENT: usize = usize::MAX;
/// Inline data asked for at creation: enough for a stream message.
pub(crate) const INLINE_MAX: u32 = 16;
/// Elements of a request asked for at creation, if the adapter has as many: 64 KiB of pages that lie apart.
pub(crate) const GATHER_MAX: u32 = 16;

/// The elements of one request.
pub(crate) type Elements = Vec<NDK_SGE, { GATHER_MAX as usize }>;

/// Octets of an endpoint's registered memory.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// Which memory, by its place in the list given at creation.
    pub memory: usize,
    /// First octet.
    pub offset: usize,
    /// Octets.
    pub len: u32,
}

/// Octets that a request reads.
#[derive(Clone, Copy)]
pub enum Local<'a> {
    /// Of the endpoint's registered memory.
    Piece(Piece),
    /// Of a mapping, which stays until the completion of the request: `len` octets from `offset` on, as far as
    /// [`Mapping::reach`] says at most.
    Mapped {
        /// The mapping.
        mapping: &'a Mapping,
        /// First octet.
        offset: usize,
        /// Octets.
        len: u32,
    },
}

impl Local<'_> {
    /// Octets.
    const fn len(&self) -> u32 {
        match self {
            Self::Piece(piece) => piece.len,
            Self::Mapped { len, .. } => *len,
        }
    }
}

impl From<Piece> for Local<'_> {
    fn from(piece: Piece) -> Self {
        Self::Piece(piece)
    }
}

/// What [`Poster::invalidate`] shuts.
pub enum Opened<'a> {
    /// A fast registration.
    Region(&'a FastRegion),
    /// A window.
    Window(&'a Window),
}

/// The right to post to one queue pair.
///
/// There is one per endpoint and it cannot be copied, so both queues are posted to by one party at a time, as the
/// provider demands: the owner keeps it behind the lock of its connection. Only [`Poster::close`] closes the queue
/// pair, so whoever has a poster has an open queue pair. IRQL <= DISPATCH_LEVEL.
#[must_use = "an endpoint ends only through Poster::close"]
pub struct Poster<H: Handler> {
    pub(crate) endpoint: Shared<Endpoint<H>>,
    /// Octets that go inline at most.
    inline: u32,
    /// Elements that a Send or a Write has at most.
    max_gather: usize,
    /// For elements of mappings.
    privileged_token: u32,
}

impl<H: Handler> Poster<H> {
    pub(crate) fn new(endpoint: Shared<Endpoint<H>>, info: AdapterInfo, privileged_token: u32) -> Self {
        let max_gather = info.gather() as usize;
        Self { endpoint, inline: info.max_inline.min(INLINE_MAX), max_gather, privileged_token }
    }

    fn element(&self, piece: Piece) -> Result<NDK_SGE, NTSTATUS> {
        self.endpoint
            .memory(piece.memory)
            .and_then(|m| m.element(piece.offset, piece.len))
            .ok_or(STATUS_INVALID_PARAMETER)
    }

    /// Adds the elements of `local` to those that are in the list.
    ///
    /// # Errors
    /// INVALID_PARAMETER: octets outside the memory or the mapping, or more elements than a request may have.
    fn gather(&self, elements: &mut Elements, local: Local<'_>) -> Result<(), NTSTATUS> {
        let (mapping, offset, len) = match local {
            Local::Piece(piece) => {
                return elements.push(self.element(piece)?).map_err(|_| STATUS_INVALID_PARAMETER);
            }
            Local::Mapped { mapping, offset, len } => (mapping, offset, len),
        };
        let mut left = len as usize;
        for (address, run) in mapping.runs(offset) {
            let octets = run.min(left);
            if octets == 0 {
                break;
            }
            let element = NDK_SGE {
                Anonymous: NDK_SGE_ADDRESS { LogicalAddress: address },
                Length: u32::try_from(octets).map_err(|_| STATUS_INVALID_PARAMETER)?,
                MemoryRegionToken: self.privileged_token,
            };
            elements.push(element).map_err(|_| STATUS_INVALID_PARAMETER)?;
            left = left.saturating_sub(octets);
        }
        if left == 0 && elements.len() <= self.max_gather { Ok(()) } else { Err(STATUS_INVALID_PARAMETER) }
    }

    /// A post has failed: the connection is lost. [`Handler::disconnected`] tells so, unless it has or will anyway, once
    /// every entry that is in the completion queue now has been delivered: the peer may have closed, and its last messages
    /// be among them. Any number of times. IRQL <= DISPATCH_LEVEL.
    pub fn give_up(&self) {
        self.endpoint.give_up();
    }

    fn outstanding(&self) -> &AtomicU32 {
        self.endpoint.outstanding()
    }

    pub(crate) fn qp(&self) -> *mut NDK_QP {
        self.endpoint.qp.as_ptr()
    }

    /// Counts the request before it is posted: its entry may be taken before the call returns.
    pub(crate) fn counted(&self, post: impl FnOnce() -> NTSTATUS) -> Result<(), NTSTATUS> {
        self.outstanding().fetch_add(1, Ordering::AcqRel);
        posted(post()).inspect_err(|_| {
            self.outstanding().fetch_sub(1, Ordering::AcqRel);
        })
    }

    /// Posts a receive (NdkReceive); `context` comes back in its completion. Allowed before connecting.
    ///
    /// # Errors
    /// INVALID_PARAMETER for octets outside the memory, or the provider's status: nothing was posted.
    pub fn receive(&mut self, piece: Piece, context: usize) -> Result<(), NTSTATUS> {
        let element = self.element(piece)?;
        let qp = self.qp();
        let receive = slot!(qp, NdkReceive);
        self.counted(|| {
            // SAFETY: the queue pair is open as long as its poster lives; the element lies in registered memory; the
            // array is read during the call; `&mut self` serialises the queue.
            unsafe { receive(qp, core::ptr::without_provenance_mut(context), &element, 1) }
        })
    }

    /// Posts a silent write (NdkWrite), deferred: a [`Poster::send`] must follow, which rings the doorbell and whose
    /// completion says that this one is over.
    ///
    /// # Errors
    /// INVALID_PARAMETER for octets outside the memory or beyond the mapping's reach, or the provider's status: nothing was
    /// posted.
    pub fn write<'a>(
        &mut self,
        local: impl Into<Local<'a>>,
        remote_address: u64,
        remote_token: u32,
    ) -> Result<(), NTSTATUS> {
        let mut elements = Elements::new();
        self.gather(&mut elements, local.into())?;
        let qp = self.qp();
        let write = slot!(qp, NdkWrite);
        let flags = NDK_OP_FLAG::SILENT_SUCCESS.union(NDK_OP_FLAG::DEFER).bits();
        let context = core::ptr::without_provenance_mut(SILENT);
        let (list, count) = (elements.as_ptr(), elements.len() as u32);
        // SAFETY: as in `receive`; the pages of a mapping stay locked as long as it lives.
        posted(unsafe { write(qp, context, list, count, remote_address, remote_token, flags) })
    }

    /// Posts a write of no octets (NdkWrite without elements), whose completion carries `context`: it tells whether the
    /// peer's end of the connection is still there. Nothing comes of it at the peer. That a list may be empty NDSPI says
    /// and NDKPI does not; a provider that refuses it does so here.
    ///
    /// # Errors
    /// The provider's status: nothing was posted.
    pub fn probe(&mut self, remote_address: u64, remote_token: u32, context: usize) -> Result<(), NTSTATUS> {
        let qp = self.qp();
        let write = slot!(qp, NdkWrite);
        let context = core::ptr::without_provenance_mut(context);
        let flags = NDK_OP_FLAG::empty().bits();
        self.counted(|| {
            // SAFETY: as in `receive`; the list is empty.
            unsafe { write(qp, context, core::ptr::null(), 0, remote_address, remote_token, flags) }
        })
    }

    /// Posts a send (NdkSend) whose completion carries `context`. Few octets go inline where the adapter can.
    ///
    /// # Errors
    /// INVALID_PARAMETER for octets outside the memory, or the provider's status: nothing was posted, and writes
    /// before it run all the same.
    pub fn send(&mut self, piece: Piece, context: usize) -> Result<(), NTSTATUS> {
        let element = self.element(piece)?;
        self.send_elements(&[element], piece.len <= self.inline, context)
    }

    /// The same for octets from two places. The adapter gathers ([`AdapterInfo::gather`]) 2 elements or more; 3 for the
    /// octets of a mapping, which are no more than a page.
    ///
    /// # Errors
    /// As [`Poster::send`].
    pub fn send_both<'a>(
        &mut self,
        first: Piece,
        second: impl Into<Local<'a>>,
        context: usize,
    ) -> Result<(), NTSTATUS> {
        let second = second.into();
        let mut elements = Elements::new();
        self.gather(&mut elements, first.into())?;
        self.gather(&mut elements, second)?;
        // What goes inline is read by its virtual address.
        let inline =
            matches!(second, Local::Piece(_)) && first.len.saturating_add(second.len()) <= self.inline;
        self.send_elements(&elements, inline, context)
    }

    fn send_elements(&mut self, elements: &[NDK_SGE], inline: bool, context: usize) -> Result<(), NTSTATUS> {
        let qp = self.qp();
        let send = slot!(qp, NdkSend);
        let flags = if inline { NDK_OP_FLAG::INLINE } else { NDK_OP_FLAG::empty() }.bits();
        let (list, count) = (elements.as_ptr(), elements.len() as u32);
        self.counted(|| {
            // SAFETY: as in `write`; inline data are read during the call, and are pool memory.
            unsafe { send(qp, core::ptr::without_provenance_mut(context), list, count, flags) }
        })
    }

    /// Posts the end of a registration or binding (`NdkInvalidate`). With its completion no access by the peer is under way any
    /// more, and none begins.
    ///
    /// # Errors
    /// The provider's status; nothing was posted.
    pub fn invalidate(&mut self, opened: &Opened<'_>, context: usize) -> Result<(), NTSTATUS> {
        let object = match opened {
            Opened::Region(region) => region.header(),
            Opened::Window(window) => window.header(),
        };
        let qp = self.qp();
        let invalidate = slot!(qp, NdkInvalidate);
        self.counted(|| {
            // SAFETY: as in `receive`; the region or window is open as long as `opened` lives.
            unsafe { invalidate(qp, core::ptr::without_provenance_mut(context), object, 0) }
        })
    }
}

/// Whether a request was posted: only SUCCESS says so. Another status that counts as a success elsewhere is none that a post
/// may return.
fn posted(status: NTSTATUS) -> Result<(), NTSTATUS> {
    match status {
        STATUS_SUCCESS => Ok(()),
        status if nt_success(status) => Err(STATUS_INTERNAL_ERROR),
        status => Err(status),
    }
}
