//! Pool memory registered with an adapter.

use crate::adapter::{Adapter, Charge, Use};
use crate::handles::{self, Reserved};
use crate::object::{ignore, slot};
use crate::{TAG, TAG_MEMORY, wait};
use abi::NTSTATUS;
use abi::ndk::{NDK_MR, NDK_MR_FLAG, NDK_SGE, NDK_SGE_ADDRESS};
use abi::status::{STATUS_INVALID_PARAMETER, STATUS_PENDING};
use core::ffi::c_void;
use core::ptr::NonNull;
use kernel::lock::SpinLock;
use kernel::pool::Shared;
use kernel::region::Region;

/// What a registration allows beside reading it locally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The adapter may write it for local requests (receives).
    LocalWrite,
    /// The peer may write it, too.
    RemoteWrite,
}

/// Page-aligned non-paged memory, zeroed, registered as one region with its own tokens (`NdkRegisterMr`).
///
/// The virtual address is the address in scatter/gather elements and the address that a peer writes to. Closing it ends
/// every access: the region is deregistered and closed. The octets stay until it is dropped, which closes it too, and the
/// pool is freed when the provider says that the close is over. Close or drop it only when no posted request uses it. Drop:
/// IRQL <= DISPATCH_LEVEL.
pub struct Memory {
    body: Shared<Body>,
    local_token: u32,
    remote_token: u32,
}

struct Body {
    region: Region,
    mr: NonNull<NDK_MR>,
    /// For the completion of the close; gone once that has begun.
    context: SpinLock<Option<Reserved>>,
    /// After the region, whose octets are counted until they are free.
    _charge: Charge,
}

// SAFETY: the MR is used through the provider's functions, which may be called from any thread; the region's bytes
// are reached through `Region`'s own bounds-checked copies.
unsafe impl Send for Body {}
// SAFETY: as above.
unsafe impl Sync for Body {}

impl Memory {
    /// Allocates and registers `len` octets. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, DEVICE_NOT_READY (the adapter is being closed), INVALID_PARAMETER for a length of 0 or
    /// beyond the adapter's limit, QUOTA_EXCEEDED (as much is registered as [`Limits::memory`](crate::Limits) allows), or the
    /// provider's status; nothing is left behind.
    pub fn register(adapter: &Shared<Adapter>, len: usize, access: Access) -> Result<Self, NTSTATUS> {
        if len == 0 || len > adapter.info().max_registration {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // What is registered keeps the protection domain from closing; until then this does.
        let _open = adapter.enter()?;
        let charge = adapter.charge(len)?;
        let region = Region::try_new(TAG_MEMORY, len).map_err(|e| e.status())?;
        let context = SpinLock::new(Some(adapter.context()?));
        let pd = adapter.pd();
        let create = slot!(pd, NdkCreateMr);
        let mr = wait::create(&adapter.patience(), Use::new(adapter)?, |_, done, context, out| {
            // SAFETY: the PD lives as long as the adapter; FALSE: an ordinary region; the cell outlives the request.
            unsafe { create(pd, 0, done, context, out) }
        })?;
        // Before anything is registered: from then on the provider says when the region may be freed.
        let body = Shared::try_new(TAG, Body { region, mr, context, _charge: charge });
        let body = body.map_err(|no_memory| {
            close_now(mr);
            no_memory.status()
        })?;
        let flags = match access {
            Access::LocalWrite => NDK_MR_FLAG::ALLOW_LOCAL_WRITE,
            Access::RemoteWrite => NDK_MR_FLAG::ALLOW_REMOTE_WRITE,
        };
        let (mdl, object) = (body.region.mdl(), mr.as_ptr());
        let register = slot!(object, NdkRegisterMr);
        let registered = wait::request(&adapter.patience(), (), |(), done, context| {
            // SAFETY: the MDL describes `len` octets of non-paged pool that live until the MR is closed.
            unsafe { register(object, mdl, len, flags.bits(), done, context) }
        });
        if let Err(status) = registered {
            // What did not end is ended by the close, and until then the region stays.
            let context = body.context.lock().take();
            if let Some(context) = context {
                close_body(body, context);
            }
            return Err(status);
        }
        let local = slot!(object, NdkGetLocalTokenFromMr);
        // SAFETY: the MR is registered.
        let local_token = unsafe { local(object) };
        let remote = slot!(object, NdkGetRemoteTokenFromMr);
        // SAFETY: the MR is registered.
        let remote_token = unsafe { remote(object) };
        Ok(Self { body, local_token, remote_token })
    }

    /// Ends every access of the adapter and of the peer; the octets stay. Any number of times. IRQL <= DISPATCH_LEVEL.
    pub fn close(&self) {
        let reserved = self.body.context.lock().take();
        let Some(reserved) = reserved else { return };
        let mr = self.body.mr.as_ptr();
        let context = reserved.issue(self.body.clone());
        let deregister = slot!(mr, NdkDeregisterMr);
        // SAFETY: the MR is registered and no request uses it; the body lives until the close has ended.
        let status = unsafe { deregister(mr, deregistered, context) };
        if status != STATUS_PENDING {
            deregistered(context, status);
        }
    }

    /// The memory: for copies in and out.
    #[must_use]
    pub fn region(&self) -> &Region {
        &self.body.region
    }

    /// The address a peer writes to, of octet 0.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.body.region.as_ptr().addr() as u64
    }

    /// The token a peer needs. A number in host order, as a verbs `rkey`.
    #[must_use]
    pub fn remote_token(&self) -> u32 {
        self.remote_token
    }

    /// The region, and the address of `len` octets at `offset`; `None` when they are not inside the memory.
    pub(crate) fn part(&self, offset: usize, len: u32) -> Option<(*mut NDK_MR, *mut c_void)> {
        let end = offset.checked_add(len as usize)?;
        if end > self.body.region.len() {
            return None;
        }
        Some((self.body.mr.as_ptr(), self.body.region.as_ptr().wrapping_add(offset).cast()))
    }

    /// A scatter/gather element for `len` octets at `offset`; `None` when they are not inside the memory.
    pub(crate) fn element(&self, offset: usize, len: u32) -> Option<NDK_SGE> {
        let (_, address) = self.part(offset, len)?;
        Some(NDK_SGE {
            Anonymous: NDK_SGE_ADDRESS { VirtualAddress: address },
            Length: len,
            MemoryRegionToken: self.local_token,
        })
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.close();
    }
}

/// A failed deregistration makes no difference: the close ends every access.
extern "system" fn deregistered(context: *mut c_void, _status: NTSTATUS) {
    if let Some((body, context)) = handles::take::<Body>(context) {
        close_body(body, context);
    }
}

/// Closes the MR of the body and lets go of the body when that is over.
fn close_body(body: Shared<Body>, context: Reserved) {
    let mr = body.mr.as_ptr();
    let close = slot!(mr, NdkCloseMr);
    let context = context.issue(body);
    // SAFETY: the MR is open and is not used after this.
    let status = unsafe { close(mr.cast(), body_closed, context) };
    if status != STATUS_PENDING {
        body_closed(context);
    }
}

extern "system" fn body_closed(context: *mut c_void) {
    drop(handles::take::<Body>(context));
}

/// Closes an MR that was never registered; nothing depends on when that ends.
fn close_now(mr: NonNull<NDK_MR>) {
    let mr = mr.as_ptr();
    let close = slot!(mr, NdkCloseMr);
    // SAFETY: the MR is open and is not used after this. A pending close ends with `ignore`.
    unsafe { close(mr.cast(), ignore, core::ptr::null_mut()) };
}
