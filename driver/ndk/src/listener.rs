//! Incoming connections.

use crate::adapter::{Adapter, Use};
use crate::address::SockAddr;
use crate::connect::{connection_data, connection_data_length, local_address, peer_address, read_address};
use crate::faults::Fault;
use crate::handles::{self, Reserved};
use crate::object::{ignore, slot};
use crate::{TAG, wait};
use abi::NTSTATUS;
use abi::ndk::{NDK_CONNECTOR, NDK_LISTENER};
use abi::status::{STATUS_INTERNAL_ERROR, STATUS_PENDING};
use core::ffi::c_void;
use core::mem::{ManuallyDrop, forget};
use core::net::SocketAddr;
use core::ptr::{self, NonNull};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

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
    body: Shared<Body<L>>,
    address: SocketAddr,
}

struct Body<L: ListenHandler> {
    object: NonNull<NDK_LISTENER>,
    handler: Shared<L>,
    /// Of the connect event.
    events: Reserved,
    /// For the completion of the close.
    closing: SpinLock<Option<Reserved>>,
    user: Use,
}

// SAFETY: NDK objects may be used from any thread; the handler is shared and thread-safe.
unsafe impl<L: ListenHandler> Send for Body<L> {}
// SAFETY: as above.
unsafe impl<L: ListenHandler> Sync for Body<L> {}

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
        let events = adapter.context()?;
        let closing = SpinLock::new(Some(adapter.context()?));
        let built = Shared::try_new_cyclic(TAG, |_| {
            let kept = Use::new(adapter).map_err(Failed)?;
            let created = wait::create(&adapter.patience(), kept, |_, done, request, out| {
                // SAFETY: the adapter is open; no event comes before the listener listens, when the context is bound.
                unsafe { create(object, incoming::<L>, events.context(), done, request, out) }
            });
            Ok(Body { object: created.map_err(Failed)?, handler, events, closing, user })
        });
        let body = built.map_err(|Failed(status)| status)?;
        body.events.bind(body.clone());
        let listener = body.object.as_ptr();
        // From here on the drop closes what was created.
        let mut this = Self { body, address };
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

#[cfg(test)]
impl<L: ListenHandler> Listener<L> {
    /// Its connect event, which may be made at any time; the connector is given away.
    pub(crate) fn event(&self) -> impl Fn(NonNull<NDK_CONNECTOR>) + use<L> {
        let context = self.body.events.context();
        move |connector| {
            // SAFETY: the caller's connector.
            unsafe { incoming::<L>(context, connector.as_ptr()) };
        }
    }
}

impl<L: ListenHandler> Drop for Listener<L> {
    fn drop(&mut self) {
        let closing = self.body.closing.lock().take();
        let Some(closing) = closing else { return };
        let listener = self.body.object.as_ptr();
        let close = slot!(listener, NdkCloseListener);
        let context = closing.issue(self.body.clone());
        // SAFETY: the listener is open and not used after this; the body lives until the close has ended.
        let status = unsafe { close(listener.cast(), closed::<L>, context) };
        if status != STATUS_PENDING {
            closed::<L>(context);
        }
    }
}

extern "system" fn closed<L: ListenHandler>(context: *mut c_void) {
    if let Some((body, _done)) = handles::take::<Body<L>>(context) {
        drop(body.events.unbind::<Body<L>>());
    }
}

unsafe extern "system" fn incoming<L: ListenHandler>(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    let body = handles::find::<Body<L>>(context, Fault::EventTooMany);
    let Some(connector) = NonNull::new(connector) else { return };
    match body.map(|body| (Use::new(&body.user), body)) {
        Some((Ok(user), body)) => body.handler.incoming(Incoming::new(connector, user)),
        // Nobody is there, or the adapter is being closed.
        _ => {
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
