//! Incoming connections.

use crate::adapter::{Adapter, Use};
use crate::address::SockAddr;
use crate::connect::{connection_data, connection_data_length, local_address, peer_address, read_address};
use crate::object::{ignore, slot};
use crate::{TAG, wait};
use abi::NTSTATUS;
use abi::ndk::{NDK_CONNECTOR, NDK_LISTENER};
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_PENDING};
use core::ffi::c_void;
use core::mem::{ManuallyDrop, forget};
use core::net::SocketAddr;
use core::ptr::{self, NonNull};
use kernel::pool::{PoolBox, Shared};

/// Takes connection requests of a [`Listener`].
pub trait ListenHandler: Send + Sync + 'static {
    /// A request arrived. It must be accepted ([`Endpoint::passive`](crate::Endpoint::passive)) or dropped, which
    /// rejects it. Several calls may run at once, also after the drop of the listener began. Must not block:
    /// IRQL <= DISPATCH_LEVEL.
    fn incoming(&self, incoming: Incoming);
}

/// A connection request that is not decided yet. Dropping it rejects it.
pub struct Incoming {
    connector: NonNull<NDK_CONNECTOR>,
    user: ManuallyDrop<Use>,
}

// SAFETY: NDK objects may be used from any thread.
unsafe impl Send for Incoming {}
// SAFETY: as above; the methods that take `&self` only read.
unsafe impl Sync for Incoming {}

impl Incoming {
    pub(crate) fn new(connector: NonNull<NDK_CONNECTOR>, user: Use) -> Self {
        Self { connector, user: ManuallyDrop::new(user) }
    }

    /// The adapter that received it.
    #[must_use]
    pub fn adapter(&self) -> &Shared<Adapter> {
        &self.user
    }

    pub(crate) fn into_parts(mut self) -> (NonNull<NDK_CONNECTOR>, Use) {
        // SAFETY: `self` is forgotten at once, so nothing else takes it.
        let user = unsafe { ManuallyDrop::take(&mut self.user) };
        let connector = self.connector;
        forget(self);
        (connector, user)
    }

    /// The caller's private data, padded to what the transport carries. Before accepting. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INVALID_BUFFER_SIZE when `data` is shorter than what the transport carries, or the provider's status.
    pub fn private_data<'a>(&self, data: &'a mut [u8]) -> Result<&'a [u8], NTSTATUS> {
        connection_data(self.connector, data)
    }

    /// Whether the peer still waits for the answer, as far as the provider tells before it is asked to accept, and the
    /// adapter waits for nobody to let go of it: NDKPI has no event for a peer that gives up, so whoever keeps a request for
    /// long has to look. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.adapter().enter().is_ok() && connection_data_length(self.connector).is_ok()
    }

    /// Refuses it with `data` (`NdkReject`), read during the call; at most what the adapter carries with an answer. The drop
    /// refuses, too, but by closing alone. IRQL <= DISPATCH_LEVEL.
    pub fn reject(self, data: &[u8]) {
        let connector = self.connector.as_ptr();
        let reject = slot!(connector, NdkReject);
        // The peer may have given up; then there is nobody to tell.
        // SAFETY: the connector is open and waits for the decision; the data is read during the call.
        let _status = unsafe { reject(connector, data.as_ptr().cast(), data.len() as u32) };
    }

    /// Local and peer address; `None` when the provider does not tell. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((local_address(self.connector)?, peer_address(self.connector)?))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // SAFETY: taken once: `into_parts` forgets `self`.
        let user = unsafe { ManuallyDrop::take(&mut self.user) };
        let connector = self.connector.as_ptr();
        let close = slot!(connector, NdkCloseConnector);
        // The adapter's own close waits for this one, so nothing has to follow its end. The use is given back only
        // after the call, which needs the adapter.
        // SAFETY: the connector is open and not used after this.
        unsafe { close(connector.cast(), ignore, ptr::null_mut()) };
        drop(user);
    }
}

/// Listens at one address of an adapter.
///
/// Dropping it refuses new requests at once. The address stays in use until every connection accepted over it is
/// closed (NDKPI). Drop: IRQL <= DISPATCH_LEVEL.
pub struct Listener<L: ListenHandler> {
    body: ManuallyDrop<PoolBox<Body<L>>>,
    address: SocketAddr,
}

struct Body<L: ListenHandler> {
    object: NonNull<NDK_LISTENER>,
    handler: Shared<L>,
    user: Use,
}

// SAFETY: NDK objects may be used from any thread; the handler is shared and thread-safe.
unsafe impl<L: ListenHandler> Send for Listener<L> {}
// SAFETY: as above.
unsafe impl<L: ListenHandler> Sync for Listener<L> {}

impl<L: ListenHandler> Listener<L> {
    /// Listens at `address`; port 0 lets the provider choose. Requests may arrive before this returns.
    /// IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The provider's: SHARING_VIOLATION (in use), INVALID_ADDRESS (not the adapter's), TOO_MANY_ADDRESSES (no
    /// ephemeral port left), INSUFFICIENT_RESOURCES; DEVICE_NOT_READY when the adapter is being closed.
    pub fn listen(
        adapter: &Shared<Adapter>,
        address: SocketAddr,
        handler: Shared<L>,
    ) -> Result<Self, NTSTATUS> {
        let user = Use::new(adapter)?;
        let object = adapter.object();
        let create = slot!(object, NdkCreateListener);
        let built: Result<PoolBox<Body<L>>, Failed> = PoolBox::try_new_cyclic(TAG, |body: *const Body<L>| {
            let context = body.cast_mut().cast::<c_void>();
            let kept = Use::new(adapter).map_err(Failed)?;
            let created = wait::create(&adapter.patience(), kept, |_, done, request, out| {
                // SAFETY: the adapter is open; no event comes before the listener listens, when the body is complete.
                unsafe { create(object, incoming::<L>, context, done, request, out) }
            });
            Ok(Body { object: created.map_err(Failed)?, handler, user })
        });
        let body = built.map_err(|Failed(status)| status)?;
        let listener = body.object.as_ptr();
        // From here on the drop closes what was created.
        let mut this = Self { body: ManuallyDrop::new(body), address };
        let listen = slot!(listener, NdkListen);
        wait::request(&adapter.patience(), SockAddr::from(address), |at, done, context| {
            // SAFETY: the listener is open; the address stays until the request ends.
            unsafe { listen(listener, at.as_ptr(), at.length(), done, context) }
        })?;
        let get = slot!(listener, NdkGetLocalAddress);
        this.address = read_address(|to, length| {
            // SAFETY: the listener listens; `to` has room for `*length` octets.
            unsafe { get(listener, to, length) }
        })
        .ok_or(STATUS_INTERNAL_ERROR)?;
        Ok(this)
    }

    /// The adapter that it listens on.
    #[must_use]
    pub fn adapter(&self) -> &Shared<Adapter> {
        &self.body.user
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl<L: ListenHandler> Drop for Listener<L> {
    fn drop(&mut self) {
        // SAFETY: the body is taken once, here.
        let body = unsafe { ManuallyDrop::take(&mut self.body) };
        let listener = body.object.as_ptr();
        let close = slot!(listener, NdkCloseListener);
        let context = PoolBox::into_raw(body).cast::<c_void>();
        // SAFETY: the listener is open and not used after this; the body lives until the close has ended.
        let status = unsafe { close(listener.cast(), closed::<L>, context) };
        if status != STATUS_PENDING {
            // SAFETY: the close is over without a callback, so this is the one call.
            unsafe { closed::<L>(context) };
        }
    }
}

unsafe extern "system" fn closed<L: ListenHandler>(context: *mut c_void) {
    // SAFETY: the context came from `PoolBox::into_raw`, and the close ends once.
    drop(unsafe { PoolBox::<Body<L>>::from_raw(context.cast()) });
}

unsafe extern "system" fn incoming<L: ListenHandler>(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    // SAFETY: the body outlives the listener, whose close waits for this callback.
    let body = unsafe { &*context.cast::<Body<L>>() };
    let Some(connector) = NonNull::new(connector) else { return };
    match Use::new(&body.user) {
        Ok(user) => body.handler.incoming(Incoming::new(connector, user)),
        Err(_) => {
            let connector = connector.as_ptr();
            let close = slot!(connector, NdkCloseConnector);
            // SAFETY: the connector is ours since the event, and undecided: closing rejects it.
            unsafe { close(connector.cast(), ignore, ptr::null_mut()) };
        }
    }
}

/// A status on its way out of `try_new_cyclic`.
struct Failed(NTSTATUS);

impl From<kernel::pool::AllocError> for Failed {
    fn from(e: kernel::pool::AllocError) -> Self {
        Self(e.status())
    }
}
