//! The table of every connector.

use core::ffi::c_void;
use core::net::SocketAddr;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CONNECTOR, NDK_CONNECTOR_DISPATCH, NDK_FN_DISCONNECT_EVENT_CALLBACK,
    NDK_FN_DISCONNECT_EVENT_CALLBACK_EX, NDK_FN_REQUEST_COMPLETION, NDK_QP, NDK_SHARED_ENDPOINT,
};
use abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_CONNECTION_INVALID, STATUS_INVALID_BUFFER_SIZE,
    STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use abi::wsk::SOCKADDR;
use kernel::pool::Shared;

use super::Connector;
use super::establish::From;
use crate::address;
use crate::answer::{Holder, Request};
use crate::config::PRIVATE_DATA_BYTES;
use crate::events::{DisconnectCallback, Job};
use crate::fabric::{DisconnectEvent, Handshake, PrivateData, ReadLimits, Side};
use crate::life::{Object as _, close, from_handle};
use crate::opaque::Opaque;
use crate::public::query_extension;

pub(super) static DISPATCH: NDK_CONNECTOR_DISPATCH = NDK_CONNECTOR_DISPATCH {
    NdkCloseConnector: close::<Connector>,
    NdkQueryExtension: query_extension,
    NdkConnect: connect,
    NdkConnectWithSharedEndpoint: connect_with_shared_endpoint,
    NdkCompleteConnect: complete_connect,
    NdkAccept: accept,
    NdkReject: reject,
    NdkGetConnectionData: get_connection_data,
    NdkGetLocalAddress: get_local_address,
    NdkGetPeerAddress: get_peer_address,
    NdkDisconnect: disconnect,
    NdkCompleteConnectEx: complete_connect_ex,
    NdkAcceptEx: accept_ex,
};

/// The consumer's private data.
///
/// # Errors
/// `STATUS_INVALID_BUFFER_SIZE`: more than the adapter carries.
///
/// # Safety
/// `data` is null or readable for `length` bytes.
unsafe fn private_data(data: *const c_void, length: u32) -> Result<PrivateData, NTSTATUS> {
    let mut copy = [0; PRIVATE_DATA_BYTES];
    let length = length as usize;
    if data.is_null() {
        return Ok(PrivateData::default());
    }
    let Some(place) = copy.get_mut(..length) else { return Err(STATUS_INVALID_BUFFER_SIZE) };
    // SAFETY: readable (caller), and the place is as long.
    unsafe { core::ptr::copy_nonoverlapping(data.cast::<u8>(), place.as_mut_ptr(), length) };
    PrivateData::new(place).ok_or(STATUS_INVALID_BUFFER_SIZE)
}

/// Room for the consumer's disconnect event, if it wants one.
fn event(
    connector: &Shared<Connector>,
    callback: Option<DisconnectCallback>,
    context: *mut c_void,
) -> Result<Option<DisconnectEvent>, NTSTATUS> {
    let Some(callback) = callback else { return Ok(None) };
    let mut job = Job::new()?;
    job.keep(Holder::from(connector));
    Ok(Some(DisconnectEvent {
        callback,
        context: Opaque(context),
        adapter: connector.adapter().clone(),
        job,
    }))
}

/// What `NdkConnect` and `NdkConnectWithSharedEndpoint` have in common, as they got it.
struct ConnectArguments {
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    destination: *const SOCKADDR,
    destination_length: u32,
    limits: ReadLimits,
    data: *const c_void,
    data_length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
}

/// # Safety
/// The arguments are as the function types say.
unsafe fn connect_from(arguments: &ConnectArguments, from: Result<From, NTSTATUS>) -> NTSTATUS {
    // SAFETY: open (consumer).
    let connector: Shared<Connector> = unsafe { from_handle(arguments.connector.cast()) };
    // SAFETY: open (consumer).
    let qp = unsafe { from_handle(arguments.qp.cast()) };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe {
        Request::pending(Holder::from(&connector), arguments.completion, arguments.context)
    } {
        Ok(request) => request,
        Err(status) => return status,
    };
    // SAFETY: readable for its length (consumer).
    let destination = unsafe { address::read(arguments.destination, arguments.destination_length) };
    // SAFETY: readable for its length (consumer).
    let data = unsafe { private_data(arguments.data, arguments.data_length) };
    let checked = from.and_then(|from| Ok((from, destination?, data?)));
    match checked {
        Ok((from, destination, data)) => {
            let handshake = Handshake { qp, limits: arguments.limits, data };
            Connector::connect(&connector, handshake, from, destination, request)
        }
        Err(status) => request.answer(status),
    }
}

/// `NDK_FN_CONNECT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn connect(
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    source: *const SOCKADDR,
    source_length: u32,
    destination: *const SOCKADDR,
    destination_length: u32,
    inbound: u32,
    outbound: u32,
    data: *const c_void,
    data_length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let limits = ReadLimits { inbound, outbound };
    let arguments = ConnectArguments {
        connector,
        qp,
        destination,
        destination_length,
        limits,
        data,
        data_length,
        completion,
        context,
    };
    // SAFETY: readable for its length (consumer).
    let source = unsafe { address::read(source, source_length) };
    // SAFETY: as the function type says.
    unsafe { connect_from(&arguments, source.map(From::Address)) }
}

/// `NDK_FN_CONNECT_WITH_SHARED_ENDPOINT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn connect_with_shared_endpoint(
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    endpoint: *mut NDK_SHARED_ENDPOINT,
    destination: *const SOCKADDR,
    destination_length: u32,
    inbound: u32,
    outbound: u32,
    data: *const c_void,
    data_length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let limits = ReadLimits { inbound, outbound };
    let arguments = ConnectArguments {
        connector,
        qp,
        destination,
        destination_length,
        limits,
        data,
        data_length,
        completion,
        context,
    };
    // SAFETY: open (consumer).
    let endpoint = unsafe { from_handle(endpoint.cast()) };
    // SAFETY: as the function type says.
    unsafe { connect_from(&arguments, Ok(From::Endpoint(endpoint))) }
}

/// # Safety
/// `connector` is open, and `completion` may be called with `context` once, at any IRQL up to DISPATCH_LEVEL.
unsafe fn complete(
    connector: *mut NDK_CONNECTOR,
    callback: Option<DisconnectCallback>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: open (caller).
    let connector: Shared<Connector> = unsafe { from_handle(connector.cast()) };
    // SAFETY: as promised by the caller.
    let request = match unsafe { Request::prompt(Holder::from(&connector), completion, context) } {
        Ok(request) => request,
        Err(status) => return status,
    };
    let completed = connector.end().and_then(|connection| {
        if connection.side() != Side::Active {
            return Err(STATUS_CONNECTION_INVALID);
        }
        connection.complete_connect(event(&connector, callback, event_context)?)
    });
    request.answer(completed.err().unwrap_or(STATUS_SUCCESS))
}

/// `NDK_FN_COMPLETE_CONNECT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn complete_connect(
    connector: *mut NDK_CONNECTOR,
    disconnect_event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let callback = disconnect_event.map(DisconnectCallback::Plain);
    // SAFETY: as the function type says.
    unsafe { complete(connector, callback, event_context, completion, context) }
}

/// `NDK_FN_COMPLETE_CONNECT_EX`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn complete_connect_ex(
    connector: *mut NDK_CONNECTOR,
    disconnect_event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK_EX>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let callback = disconnect_event.map(DisconnectCallback::WithReason);
    // SAFETY: as the function type says.
    unsafe { complete(connector, callback, event_context, completion, context) }
}

/// The arguments of both accepts, as they got them.
struct AcceptArguments {
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    limits: ReadLimits,
    data: *const c_void,
    data_length: u32,
    callback: Option<DisconnectCallback>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
}

/// # Safety
/// The arguments are as the function types say.
unsafe fn accept_any(arguments: &AcceptArguments) -> NTSTATUS {
    // SAFETY: open (consumer).
    let connector: Shared<Connector> = unsafe { from_handle(arguments.connector.cast()) };
    // SAFETY: open (consumer).
    let qp = unsafe { from_handle(arguments.qp.cast()) };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe {
        Request::pending(Holder::from(&connector), arguments.completion, arguments.context)
    } {
        Ok(request) => request,
        Err(status) => return status,
    };
    // SAFETY: readable for its length (consumer).
    let data = unsafe { private_data(arguments.data, arguments.data_length) };
    let event = event(&connector, arguments.callback, arguments.event_context);
    match data.and_then(|data| Ok((data, event?))) {
        Ok((data, event)) => {
            Connector::accept(&connector, Handshake { qp, limits: arguments.limits, data }, event, request)
        }
        Err(status) => request.answer(status),
    }
}

/// `NDK_FN_ACCEPT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn accept(
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    inbound: u32,
    outbound: u32,
    data: *const c_void,
    data_length: u32,
    disconnect_event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let limits = ReadLimits { inbound, outbound };
    let callback = disconnect_event.map(DisconnectCallback::Plain);
    let arguments = AcceptArguments {
        connector,
        qp,
        limits,
        data,
        data_length,
        callback,
        event_context,
        completion,
        context,
    };
    // SAFETY: as the function type says.
    unsafe { accept_any(&arguments) }
}

/// `NDK_FN_ACCEPT_EX`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn accept_ex(
    connector: *mut NDK_CONNECTOR,
    qp: *mut NDK_QP,
    inbound: u32,
    outbound: u32,
    data: *const c_void,
    data_length: u32,
    disconnect_event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK_EX>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let limits = ReadLimits { inbound, outbound };
    let callback = disconnect_event.map(DisconnectCallback::WithReason);
    let arguments = AcceptArguments {
        connector,
        qp,
        limits,
        data,
        data_length,
        callback,
        event_context,
        completion,
        context,
    };
    // SAFETY: as the function type says.
    unsafe { accept_any(&arguments) }
}

/// `NDK_FN_REJECT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn reject(
    connector: *mut NDK_CONNECTOR,
    data: *const c_void,
    data_length: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let connector: Shared<Connector> = unsafe { from_handle(connector.cast()) };
    // SAFETY: readable for its length (consumer).
    let data = unsafe { private_data(data, data_length) };
    match (connector.end(), data) {
        (Ok(connection), Ok(data)) => connection.reject(data),
        (Err(status), _) | (_, Err(status)) => status,
    }
}

/// `NDK_FN_GET_CONNECTION_DATA`. The required data size is always the adapter's `MaxCallerData`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_connection_data(
    connector: *mut NDK_CONNECTOR,
    inbound: *mut u32,
    outbound: *mut u32,
    data: *mut c_void,
    data_length: *mut u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let connector: Shared<Connector> = unsafe { from_handle(connector.cast()) };
    let (limits, private) = match connector.end().and_then(|connection| connection.connection_data()) {
        Ok(found) => found,
        Err(status) => return status,
    };
    let private = private.padded();
    // SAFETY: valid (consumer).
    let room = unsafe { data_length.read() };
    if data.is_null() && room > 0 {
        return STATUS_INVALID_PARAMETER;
    }
    for (cell, value) in [(inbound, limits.inbound), (outbound, limits.outbound)] {
        if !cell.is_null() {
            // SAFETY: not null, so valid (consumer).
            unsafe { cell.write(value) };
        }
    }
    // SAFETY: valid (consumer).
    unsafe { data_length.write(private.len() as u32) };
    if data.is_null() {
        return STATUS_SUCCESS;
    }
    let copied = private.len().min(room as usize);
    // SAFETY: room for that many bytes (consumer), and the octets are at least as many.
    unsafe { core::ptr::copy_nonoverlapping(private.as_ptr(), data.cast::<u8>(), copied) };
    if copied < private.len() { STATUS_BUFFER_TOO_SMALL } else { STATUS_SUCCESS }
}

/// # Safety
/// As the function types say.
unsafe fn get_address(
    connector: *mut NDK_CONNECTOR,
    buffer: *mut SOCKADDR,
    length: *mut u32,
    which: impl FnOnce(Side) -> Side,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let connector: Shared<Connector> = unsafe { from_handle(connector.cast()) };
    let Ok(connection) = connector.end() else { return STATUS_INVALID_DEVICE_STATE };
    let address: SocketAddr = connection.address(which(connection.side()));
    // SAFETY: valid (consumer).
    unsafe { address::write(&address, buffer, length) }
}

/// `NDK_FN_GET_LOCAL_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_local_address(
    connector: *mut NDK_CONNECTOR,
    buffer: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    unsafe { get_address(connector, buffer, length, |side| side) }
}

/// `NDK_FN_GET_PEER_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_peer_address(
    connector: *mut NDK_CONNECTOR,
    buffer: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    unsafe { get_address(connector, buffer, length, Side::other) }
}

/// `NDK_FN_DISCONNECT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn disconnect(
    connector: *mut NDK_CONNECTOR,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let connector: Shared<Connector> = unsafe { from_handle(connector.cast()) };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe { Request::pending(Holder::from(&connector), completion, context) } {
        Ok(request) => request,
        Err(status) => return status,
    };
    match connector.end() {
        Ok(connection) => connection.disconnect(request),
        Err(status) => request.answer(status),
    }
}
