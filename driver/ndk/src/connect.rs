//! Connecting and accepting, entirely by callbacks: no thread waits for a peer.

use crate::address::{SockAddr, socket_addr_from_raw};
use crate::endpoint::{Answer, Endpoint, Handler};
use crate::faults::Fault;
use crate::object::slot;
use crate::shared_endpoint::SharedEndpoint;
use abi::NTSTATUS;
use abi::ndk::{NDK_CONNECTOR, NDK_FN_GET_LOCAL_ADDRESS};
use abi::status::{
    STATUS_CONNECTION_REFUSED, STATUS_INTERNAL_ERROR, STATUS_INVALID_BUFFER_SIZE, STATUS_PENDING, nt_success,
};
use abi::wsk::{SOCKADDR, SOCKADDR_INET};
use core::ffi::c_void;
use core::mem::{MaybeUninit, size_of};
use core::net::SocketAddr;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering;
use kernel::pool::Shared;

/// Octets of private data the largest transport carries (iWARP: 512).
const PRIVATE_DATA_MAX: usize = 512;
/// RDMA reads served and issued: rsockets uses none; iWARP's peer-to-peer mode may need one while connecting.
const READ_LIMIT: u32 = 1;

/// Where a connection goes out from.
pub enum Source<'a> {
    /// An address of the adapter, for this connection alone (`NdkConnect`). Port 0 lets the provider choose.
    Address(SocketAddr),
    /// One that connections to several destinations share (`NdkConnectWithSharedEndpoint`).
    Shared(&'a SharedEndpoint),
}

impl From<SocketAddr> for Source<'_> {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}

impl<'a> From<&'a SharedEndpoint> for Source<'a> {
    fn from(endpoint: &'a SharedEndpoint) -> Self {
        Self::Shared(endpoint)
    }
}

impl<H: Handler> Endpoint<H> {
    /// Connects from `source` to `remote` and sends `data`. The answer is [`Handler::established`]. All receives are
    /// posted before. Call once, on an active endpoint. IRQL <= DISPATCH_LEVEL.
    pub fn connect<'a>(this: &Shared<Self>, source: impl Into<Source<'a>>, remote: SocketAddr, data: &[u8]) {
        let Some(_use) = this.enter() else { return this.refuse() };
        let target = SockAddr::from(remote);
        let (connector, qp) = (this.connector(), this.qp.as_ptr());
        let (octets, length) = (data.as_ptr().cast(), data.len() as u32);
        let context = this.expect_answer(Answer::Connect);
        let status = match source.into() {
            Source::Address(local) => {
                let local = SockAddr::from(local);
                let connect = slot!(connector, NdkConnect);
                // SAFETY: connector and QP are open (`_use`); addresses and data are read during the call.
                unsafe {
                    connect(
                        connector,
                        qp,
                        local.as_ptr(),
                        local.length(),
                        target.as_ptr(),
                        target.length(),
                        READ_LIMIT,
                        READ_LIMIT,
                        octets,
                        length,
                        connected::<H>,
                        context,
                    )
                }
            }
            Source::Shared(from) => {
                let connect = slot!(connector, NdkConnectWithSharedEndpoint);
                // SAFETY: as above; the shared endpoint is open as long as `from` lives.
                unsafe {
                    connect(
                        connector,
                        qp,
                        from.object(),
                        target.as_ptr(),
                        target.length(),
                        READ_LIMIT,
                        READ_LIMIT,
                        octets,
                        length,
                        connected::<H>,
                        context,
                    )
                }
            }
        };
        if status != STATUS_PENDING {
            connected::<H>(context, status);
        }
    }

    /// Accepts with `data`. The answer is [`Handler::established`]. All receives are posted before. Call once, on a
    /// passive endpoint. IRQL <= DISPATCH_LEVEL.
    pub fn accept(this: &Shared<Self>, data: &[u8]) {
        let Some(_use) = this.enter() else { return this.refuse() };
        let connector = this.connector();
        let accept = slot!(connector, NdkAccept);
        let context = this.expect_answer(Answer::Complete);
        // SAFETY: connector and QP are open (`_use`); data is read during the call.
        let status = unsafe {
            accept(
                connector,
                this.qp.as_ptr(),
                READ_LIMIT,
                READ_LIMIT,
                data.as_ptr().cast(),
                data.len() as u32,
                Some(disconnected::<H>),
                context,
                completed::<H>,
                context,
            )
        };
        if status != STATUS_PENDING {
            completed::<H>(context, status);
        }
    }

    /// Nothing can come of a connect or an accept: the endpoint is being closed.
    fn refuse(&self) {
        self.answer(STATUS_CONNECTION_REFUSED);
    }

    fn answer(&self, status: NTSTATUS) {
        self.handler.tell(|handler| handler.established(status));
    }

    /// The peer has rejected, or nobody listens there. The page of NdkGetConnectionData has the data of rejections, too; a
    /// provider that does not give it has said no less than without this.
    fn hear_refusal(&self) {
        let Some(_use) = self.enter() else { return };
        let Some(connector) = NonNull::new(self.connector()) else { return };
        let mut data = [0; PRIVATE_DATA_MAX];
        if let Ok(octets) = connection_data(connector, &mut data) {
            self.handler.tell(|handler| handler.refused(octets));
        }
    }

    /// The peer has accepted: look at its data, then complete the connection or reject it.
    fn complete_connect(this: &Shared<Self>) {
        let Some(_use) = this.enter() else { return this.refuse() };
        let connector = this.connector();
        let mut data = [0; PRIVATE_DATA_MAX];
        let read = NonNull::new(connector).ok_or(STATUS_INTERNAL_ERROR);
        let answer = match read.and_then(|connector| connection_data(connector, &mut data)) {
            Ok(octets) if this.handler.tell(|handler| handler.peer_data(octets)) == Some(true) => Ok(()),
            Ok(_) => Err(STATUS_CONNECTION_REFUSED),
            Err(status) => Err(status),
        };
        if let Err(status) = answer {
            let reject = slot!(connector, NdkReject);
            // SAFETY: the connector is open and waits for the decision; no data goes with it.
            unsafe { reject(connector, ptr::null(), 0) };
            return this.answer(status);
        }
        let complete = slot!(connector, NdkCompleteConnect);
        let context = this.expect_answer(Answer::Complete);
        // SAFETY: as in `accept`.
        let status =
            unsafe { complete(connector, Some(disconnected::<H>), context, completed::<H>, context) };
        if status != STATUS_PENDING {
            completed::<H>(context, status);
        }
    }
}

extern "system" fn connected<H: Handler>(context: *mut c_void, status: NTSTATUS) {
    let Some(this) = Endpoint::<H>::of(context, Fault::AnsweredTwice) else { return };
    if !this.take_answer(Answer::Connect) {
        return;
    }
    if nt_success(status) {
        return Endpoint::complete_connect(&this);
    }
    if status == STATUS_CONNECTION_REFUSED {
        this.hear_refusal();
    }
    this.answer(status);
}

extern "system" fn completed<H: Handler>(context: *mut c_void, status: NTSTATUS) {
    let Some(this) = Endpoint::<H>::of(context, Fault::AnsweredTwice) else { return };
    if !this.take_answer(Answer::Complete) {
        return;
    }
    this.established.store(nt_success(status), Ordering::SeqCst);
    this.answer(status);
    if this.cq.has_failed() {
        this.queue_failed();
    }
}

extern "system" fn disconnected<H: Handler>(context: *mut c_void) {
    let Some(this) = Endpoint::<H>::of(context, Fault::EventTooMany) else { return };
    if this.may_be_told_of_disconnect() {
        // SAFETY: this is reached once, and not after the close of the connector.
        unsafe { this.cq.disconnected(this.attachment()) };
    }
}

/// Reads the peer's private data by its exact size: some providers give nothing for a larger buffer.
pub(crate) fn connection_data(connector: NonNull<NDK_CONNECTOR>, data: &mut [u8]) -> Result<&[u8], NTSTATUS> {
    let mut length = connection_data_length(connector)?;
    let exact = data.get_mut(..length as usize).ok_or(STATUS_INVALID_BUFFER_SIZE)?;
    if exact.is_empty() {
        return Ok(exact);
    }
    let connector = connector.as_ptr();
    let get = slot!(connector, NdkGetConnectionData);
    // SAFETY: as above; the buffer has `length` octets.
    let status =
        unsafe { get(connector, ptr::null_mut(), ptr::null_mut(), exact.as_mut_ptr().cast(), &mut length) };
    if nt_success(status) { Ok(exact) } else { Err(status) }
}

/// The size of the peer's private data.
pub(crate) fn connection_data_length(connector: NonNull<NDK_CONNECTOR>) -> Result<u32, NTSTATUS> {
    let connector = connector.as_ptr();
    let get = slot!(connector, NdkGetConnectionData);
    let mut length = 0;
    // SAFETY: the connector is open and in the window for this call; NULL with length 0 asks for the size.
    let status = unsafe { get(connector, ptr::null_mut(), ptr::null_mut(), ptr::null_mut(), &mut length) };
    if nt_success(status) { Ok(length) } else { Err(status) }
}

/// Calls an address function with room for both families.
fn address(connector: NonNull<NDK_CONNECTOR>, get: NDK_FN_GET_LOCAL_ADDRESS) -> Option<SocketAddr> {
    read_address(|address, length| {
        // SAFETY: the connector is open; `address` has room for `*length` octets.
        unsafe { get(connector.as_ptr(), address, length) }
    })
}

/// Reads an address through a function that fills a buffer of a given length.
pub(crate) fn read_address(get: impl FnOnce(*mut SOCKADDR, *mut u32) -> NTSTATUS) -> Option<SocketAddr> {
    let mut raw = MaybeUninit::<SOCKADDR_INET>::zeroed();
    let mut length = size_of::<SOCKADDR_INET>() as u32;
    let status = get(raw.as_mut_ptr().cast(), &mut length);
    if !nt_success(status) {
        return None;
    }
    // SAFETY: 28 octets, all initialised.
    unsafe { socket_addr_from_raw(raw.as_ptr().cast()) }
}

/// The connector's local address.
pub(crate) fn local_address(connector: NonNull<NDK_CONNECTOR>) -> Option<SocketAddr> {
    address(connector, slot!(connector.as_ptr(), NdkGetLocalAddress))
}

/// The connector's peer address.
pub(crate) fn peer_address(connector: NonNull<NDK_CONNECTOR>) -> Option<SocketAddr> {
    address(connector, slot!(connector.as_ptr(), NdkGetPeerAddress))
}
