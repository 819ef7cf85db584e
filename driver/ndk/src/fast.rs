//! Fast registration: memory that a peer may reach for as long as requests on the queue pair say.
//!
//! The region is made beforehand, at PASSIVE_LEVEL. Opening and shutting it are requests on the initiator queue of a connected
//! queue pair (`NdkFastRegister`, `NdkInvalidate`), with completions as any other. Memory that was open is its owner's again when
//! the completion of the invalidation has come, or the endpoint is closed.

use crate::adapter::{Adapter, Use};
use crate::endpoint::Handler;
use crate::handles::{self, Reserved};
use crate::lam::Mapping;
use crate::memory::Access;
use crate::object::{ignore, slot};
use crate::post::Poster;
use crate::wait;
use abi::NTSTATUS;
use abi::ndk::{NDK_MR, NDK_OBJECT_HEADER, NDK_OP_FLAG};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_PENDING};
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};
use kernel::pool::Shared;

/// A region for fast registration (`NdkCreateMr` with FastRegister, `NdkInitializeFastRegisterMr`).
///
/// Drop it only when no request that names it is outstanding. Drop: IRQL <= DISPATCH_LEVEL.
pub struct FastRegion {
    mr: NonNull<NDK_MR>,
    /// For the completion of a close that somebody waits for.
    context: Option<Reserved>,
    user: ManuallyDrop<Use>,
}

// SAFETY: NDK objects may be used from any thread.
unsafe impl Send for FastRegion {}
// SAFETY: as above; what changes them are requests, which the poster serialises.
unsafe impl Sync for FastRegion {}

impl FastRegion {
    /// For up to `pages` pages that a peer may be let into. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The provider's: IMPLEMENTATION_LIMIT (too many pages; `FRMRPageCount` is the number it likes best),
    /// INSUFFICIENT_RESOURCES; DEVICE_NOT_READY when the adapter is being closed.
    pub fn create(adapter: &Shared<Adapter>, pages: u32) -> Result<Self, NTSTATUS> {
        let user = Use::new(adapter)?;
        let context = adapter.context()?;
        let pd = adapter.pd();
        let create = slot!(pd, NdkCreateMr);
        let mr = wait::create(&adapter.patience(), Use::new(adapter)?, |_, done, context, out| {
            // SAFETY: the PD lives as long as the adapter; TRUE: for fast registration; the cell outlives the request.
            unsafe { create(pd, 1, done, context, out) }
        })?;
        // From here on the drop closes what was created.
        let this = Self { mr, context: Some(context), user: ManuallyDrop::new(user) };
        let initialize = slot!(mr.as_ptr(), NdkInitializeFastRegisterMr);
        wait::request(&adapter.patience(), (), |(), done, context| {
            // SAFETY: the region is open; TRUE: for the peer, too; the cell outlives the request.
            unsafe { initialize(mr.as_ptr(), pages, 1, done, context) }
        })?;
        Ok(this)
    }

    pub(crate) fn header(&self) -> *mut NDK_OBJECT_HEADER {
        self.mr.as_ptr().cast()
    }

    /// The token that the peer needs, of the last registration. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn remote_token(&self) -> u32 {
        let get = slot!(self.mr.as_ptr(), NdkGetRemoteTokenFromMr);
        // SAFETY: the region is open and initialised.
        unsafe { get(self.mr.as_ptr()) }
    }
}

/// Who waits for the end of a region.
pub trait RegionOwner: Send + Sync + Sized + 'static {
    /// The region is closed: no peer reaches the memory any more. Exactly once, before [`FastRegion::close`] returns, later,
    /// or on another thread; no lock of this crate is held. IRQL <= DISPATCH_LEVEL.
    fn region_closed(this: Shared<Self>);
}

extern "system" fn closed<T: RegionOwner>(context: *mut c_void) {
    if let Some((owner, _done)) = handles::take::<T>(context) {
        T::region_closed(owner);
    }
}

impl FastRegion {
    /// Closes the region, which ends every access that an endpoint left open when it was closed itself. IRQL <=
    /// DISPATCH_LEVEL.
    pub fn close<T: RegionOwner>(mut self, owner: Shared<T>) {
        // There until here.
        let Some(context) = self.context.take() else { return };
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once: the drop does not run.
        let user = unsafe { ManuallyDrop::take(&mut this.user) };
        let context = context.issue(owner);
        let close = slot!(this.mr.as_ptr(), NdkCloseMr);
        // SAFETY: open and not used after this.
        let status = unsafe { close(this.header(), closed::<T>, context) };
        drop(user);
        if status != STATUS_PENDING {
            closed::<T>(context);
        }
    }
}

impl Drop for FastRegion {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let user = unsafe { ManuallyDrop::take(&mut self.user) };
        let close = slot!(self.mr.as_ptr(), NdkCloseMr);
        // The adapter's own close waits for this one, so nothing has to follow its end. The use is given back only after the
        // call, which needs the adapter.
        // SAFETY: open and not used after this.
        unsafe { close(self.header(), ignore, ptr::null_mut()) };
        drop(user);
    }
}

impl<H: Handler> Poster<H> {
    /// Posts the registration of `len` octets from `offset` of `mapping` on (`NdkFastRegister`) and returns the address and the
    /// token for the peer, which may be told at once: requests behind this one find the region open. The address says nothing
    /// of where the octets are; `base`, a multiple of PAGE_SIZE and not 0, is its page. The mapping stays until the region is
    /// invalidated or closed.
    ///
    /// # Errors
    /// INVALID_PARAMETER for octets outside the mapping, or none; or the provider's status. Nothing was posted.
    pub fn fast_register(
        &mut self,
        region: &FastRegion,
        (mapping, offset, len): (&Mapping, usize, usize),
        base: u64,
        access: Access,
        context: usize,
    ) -> Result<(u64, u32), NTSTATUS> {
        let qp = self.qp();
        let register = slot!(qp, NdkFastRegister);
        let (pages, first) = mapping.pages_of(offset, len).ok_or(STATUS_INVALID_PARAMETER)?;
        let address = base.checked_add(first.into()).ok_or(STATUS_INVALID_PARAMETER)?;
        let start = usize::try_from(address).map_err(|_| STATUS_INVALID_PARAMETER)?;
        let rights = match access {
            Access::LocalWrite => NDK_OP_FLAG::ALLOW_LOCAL_WRITE,
            Access::RemoteWrite => NDK_OP_FLAG::ALLOW_REMOTE_WRITE,
        };
        self.counted(|| {
            // SAFETY: the queue pair is open as long as its poster lives, the region as long as its owner; the array is read
            // during the call; `&mut self` serialises the queue.
            unsafe {
                register(
                    qp,
                    ptr::without_provenance_mut(context),
                    region.mr.as_ptr(),
                    pages.len() as u32,
                    pages.as_ptr(),
                    first,
                    len,
                    ptr::without_provenance(start),
                    rights.bits(),
                )
            }
        })?;
        Ok((address, region.remote_token()))
    }
}
