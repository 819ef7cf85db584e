//! Memory windows: a part of an endpoint's memory that a peer may reach for as long as requests on the queue pair say.
//!
//! As with [fast registration](crate::FastRegion), the window is made beforehand, and opening and shutting it are requests.

use crate::Piece;
use crate::adapter::{Adapter, Use};
use crate::endpoint::Handler;
use crate::object::{ignore, slot};
use crate::post::Poster;
use crate::wait;
use abi::NTSTATUS;
use abi::ndk::{NDK_MW, NDK_OBJECT_HEADER, NDK_OP_FLAG};
use abi::status::STATUS_INVALID_PARAMETER;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use kernel::pool::Shared;

/// A memory window (`NdkCreateMw`).
///
/// Drop it only when no request that names it is outstanding. Drop: IRQL <= DISPATCH_LEVEL.
pub struct Window {
    mw: NonNull<NDK_MW>,
    user: ManuallyDrop<Use>,
}

// SAFETY: NDK objects may be used from any thread.
unsafe impl Send for Window {}
// SAFETY: as above; what changes them are requests, which the poster serialises.
unsafe impl Sync for Window {}

impl Window {
    /// A window that is bound to nothing. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, DEVICE_NOT_READY (the adapter is being closed), or the provider's status: an adapter without
    /// windows has none to give.
    pub fn create(adapter: &Shared<Adapter>) -> Result<Self, NTSTATUS> {
        let user = Use::new(adapter)?;
        let pd = adapter.pd();
        let create = slot!(pd, NdkCreateMw);
        let mw = wait::create(&adapter.patience(), Use::new(adapter)?, |_, done, context, out| {
            // SAFETY: the PD lives as long as the adapter; the cell outlives the request.
            unsafe { create(pd, done, context, out) }
        })?;
        Ok(Self { mw, user: ManuallyDrop::new(user) })
    }

    pub(crate) fn header(&self) -> *mut NDK_OBJECT_HEADER {
        self.mw.as_ptr().cast()
    }

    /// The token that the peer needs, of the last bind. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn remote_token(&self) -> u32 {
        let get = slot!(self.mw.as_ptr(), NdkGetRemoteTokenFromMw);
        // SAFETY: the window is open.
        unsafe { get(self.mw.as_ptr()) }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let user = unsafe { ManuallyDrop::take(&mut self.user) };
        let close = slot!(self.mw.as_ptr(), NdkCloseMw);
        // The adapter's own close waits for this one, so nothing has to follow its end. The use is given back only after the
        // call, which needs the adapter.
        // SAFETY: open and not used after this.
        unsafe { close(self.header(), ignore, ptr::null_mut()) };
        drop(user);
    }
}

impl<H: Handler> Poster<H> {
    /// Posts the binding of a window to a part of the endpoint's memory (`NdkBind`), which the peer may write, and returns the
    /// token for the peer.
    ///
    /// # Errors
    /// INVALID_PARAMETER for octets outside the memory, or the provider's status: nothing was posted.
    pub fn bind(&mut self, window: &Window, piece: Piece, context: usize) -> Result<u32, NTSTATUS> {
        let memory = self.endpoint().memory(piece.memory).ok_or(STATUS_INVALID_PARAMETER)?;
        let (mr, address) = memory.part(piece.offset, piece.len).ok_or(STATUS_INVALID_PARAMETER)?;
        let qp = self.qp();
        let bind = slot!(qp, NdkBind);
        let flags = NDK_OP_FLAG::ALLOW_REMOTE_WRITE.bits();
        self.counted(|| {
            let context = ptr::without_provenance_mut(context);
            // SAFETY: the queue pair is open as long as its poster lives, the window as long as its owner, the region as long as
            // the endpoint; `&mut self` serialises the queue.
            unsafe { bind(qp, context, mr, window.mw.as_ptr(), address, piece.len as usize, flags) }
        })?;
        Ok(window.remote_token())
    }
}
