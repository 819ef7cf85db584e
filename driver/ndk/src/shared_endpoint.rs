//! Shared endpoints: one local address and port for many outgoing connections.

use crate::adapter::{Adapter, Use};
use crate::address::SockAddr;
use crate::connect::read_address;
use crate::object::{ignore, slot};
use crate::wait;
use abi::NTSTATUS;
use abi::ndk::NDK_SHARED_ENDPOINT;
use abi::status::STATUS_INTERNAL_ERROR;
use core::mem::ManuallyDrop;
use core::net::SocketAddr;
use core::ptr::{self, NonNull};
use kernel::pool::Shared;

/// A local address of an adapter that connections go out from (`NDK_SHARED_ENDPOINT`), each to another destination.
///
/// Dropping it closes it. The address stays in use until every connection from it is closed (NDKPI), but no other can be
/// made from it, so who wants to connect again keeps it. Drop: IRQL <= DISPATCH_LEVEL.
pub struct SharedEndpoint {
    object: NonNull<NDK_SHARED_ENDPOINT>,
    address: SocketAddr,
    user: ManuallyDrop<Use>,
}

// SAFETY: NDK objects may be used from any thread.
unsafe impl Send for SharedEndpoint {}
// SAFETY: as above; the methods only read.
unsafe impl Sync for SharedEndpoint {}

impl SharedEndpoint {
    /// Takes `address` (`NdkCreateSharedEndpoint`); port 0 lets the provider choose. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The provider's: SHARING_VIOLATION (in use), INVALID_ADDRESS (not the adapter's), TOO_MANY_ADDRESSES (no ephemeral
    /// port left), INSUFFICIENT_RESOURCES; DEVICE_NOT_READY when the adapter is being closed.
    pub fn create(adapter: &Shared<Adapter>, address: SocketAddr) -> Result<Self, NTSTATUS> {
        let user = Use::new(adapter)?;
        let object = adapter.object();
        let create = slot!(object, NdkCreateSharedEndpoint);
        let kept = (Use::new(adapter)?, SockAddr::from(address));
        let made = wait::create(&adapter.patience(), kept, |(_, at), done, context, out| {
            // SAFETY: the adapter is open; the address stays until the request ends; the cell outlives the request.
            unsafe { create(object, at.as_ptr(), at.length(), done, context, out) }
        })?;
        // From here on the drop closes what was created.
        let mut this = Self { object: made, address, user: ManuallyDrop::new(user) };
        let get = slot!(made.as_ptr(), NdkGetLocalAddress);
        this.address = read_address(|to, length| {
            // SAFETY: the endpoint is open; `to` has room for `*length` octets.
            unsafe { get(made.as_ptr(), to, length) }
        })
        .ok_or(STATUS_INTERNAL_ERROR)?;
        Ok(this)
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The adapter whose address it is.
    #[must_use]
    pub fn adapter(&self) -> &Shared<Adapter> {
        &self.user
    }

    pub(crate) fn object(&self) -> *mut NDK_SHARED_ENDPOINT {
        self.object.as_ptr()
    }
}

impl Drop for SharedEndpoint {
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let user = unsafe { ManuallyDrop::take(&mut self.user) };
        let object = self.object.as_ptr();
        let close = slot!(object, NdkCloseSharedEndpoint);
        // It may pend until the connections from it are closed; the adapter's own close waits for that, so nothing has to
        // follow its end. The use is given back only after the call, which needs the adapter.
        // SAFETY: the endpoint is open and not used after this.
        unsafe { close(object.cast(), ignore, ptr::null_mut()) };
        drop(user);
    }
}
