//! The slots of connectors.

use ksim::sync::Mutex;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::Ordering;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CONNECTOR, NDK_CONNECTOR_DISPATCH, NDK_FN_DISCONNECT_EVENT_CALLBACK,
    NDK_FN_DISCONNECT_EVENT_CALLBACK_EX, NDK_FN_REQUEST_COMPLETION, NDK_QP, NDK_SHARED_ENDPOINT,
};
use abi::nt::DISPATCH_LEVEL;
use abi::status::nt_success;
use abi::wsk::SOCKADDR;

use super::qp::nothing_deferred;
use super::{answer, close_slot, extension_slot, request};
use crate::check::{Refused, lock};
use crate::object::{Body, Call, Ref, enter, forward};
use crate::request::{Opaque, requested, tell_disconnect};
use crate::rule::Rule;
use crate::script::Slot;

/// How far a connector has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    /// NdkConnect is not over.
    Connecting,
    /// The peer has accepted; the reply is held back.
    Answered,
    /// NdkCompleteConnect is not over.
    Completing,
    /// A connect event has delivered it.
    Requested,
    /// NdkAccept is not over.
    Accepting,
    Established,
    /// NdkDisconnect was called.
    Disconnecting,
    /// Refused, or a step has failed.
    Failed,
}

/// The consumer's disconnect event.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    Plain(NDK_FN_DISCONNECT_EVENT_CALLBACK),
    WithReason(NDK_FN_DISCONNECT_EVENT_CALLBACK_EX),
}

/// A connector.
pub(crate) struct Connector {
    phase: Mutex<Phase>,
    qp: Mutex<Option<Ref>>,
    pub(crate) event: Mutex<Option<(Event, Opaque)>>,
}

impl Connector {
    /// One that the consumer makes.
    pub(crate) const fn idle() -> Self {
        Self { phase: Mutex::new(Phase::Idle), qp: Mutex::new(None), event: Mutex::new(None) }
    }

    /// One that a connect event delivers.
    pub(crate) const fn requested() -> Self {
        Self { phase: Mutex::new(Phase::Requested), qp: Mutex::new(None), event: Mutex::new(None) }
    }
}

/// `NDK_FN_DISCONNECT_EVENT_CALLBACK`, given to the provider.
///
/// # Safety
/// `context` is the proxy of the connector.
unsafe extern "system" fn disconnected(context: *mut c_void) {
    // SAFETY: the context of the request; the proxy outlives the connector.
    let connector = unsafe { Ref::from_raw(context.cast()) };
    tell_disconnect(&connector.shared_check(), connector, 0);
}

/// `NDK_FN_DISCONNECT_EVENT_CALLBACK_EX`, given to the provider.
///
/// # Safety
/// `context` is the proxy of the connector.
unsafe extern "system" fn disconnected_ex(context: *mut c_void, reason: u32) {
    // SAFETY: the context of the request; the proxy outlives the connector.
    let connector = unsafe { Ref::from_raw(context.cast()) };
    tell_disconnect(&connector.shared_check(), connector, reason);
}

/// The call's own connector.
fn body(call: &Call) -> Result<&Connector, Refused> {
    let Body::Connector(connector) = &call.object.body else { return Err(call.wrong_object()) };
    // SAFETY: the proxy lives as long as the check, which the call holds.
    Ok(unsafe { &*ptr::from_ref(connector) })
}

/// Goes from one of `from` to `to`.
fn step(call: &Call, rule: Rule, from: &[Phase], to: Phase) -> Result<(), Refused> {
    let mut phase = lock(&body(call)?.phase);
    let now = *phase;
    call.demand(from.contains(&now), rule, || format!("it is {now:?}"))?;
    *phase = to;
    Ok(())
}

/// A step is over: goes from `from` to `to` or to `Failed`, and tells whether it did; something else may have come between.
fn stepped(connector: Ref, from: Phase, status: NTSTATUS, to: Phase) -> bool {
    let Body::Connector(body) = &connector.body else { return false };
    let mut phase = lock(&body.phase);
    if *phase != from {
        return false;
    }
    *phase = if nt_success(status) { to } else { Phase::Failed };
    *phase == to
}

/// The connection is complete: requests may be posted.
fn established(connector: Ref) {
    let Body::Connector(body) = &connector.body else { return };
    if let Some(qp) = *lock(&body.qp)
        && let Body::Qp(qp) = &qp.body
    {
        qp.connected.store(true, Ordering::Release);
    }
}

/// No request of the connection touches memory any more.
fn dma_is_over(connector: Ref) {
    let Body::Connector(body) = &connector.body else { return };
    let qp = *lock(&body.qp);
    if let Some(Body::Qp(qp)) = qp.as_ref().map(|qp| &qp.body) {
        qp.dma_is_over(&connector.shared_check());
    }
}

/// The queue pair of a connect or accept, which has not been used before.
fn take_qp(call: &Call, qp: Ref) -> Result<(), Refused> {
    let Body::Qp(body) = &qp.body else { return Err(call.wrong_kind(qp)) };
    let used = body.used.swap(true, Ordering::AcqRel);
    call.demand(!used, Rule::QpReuse, || format!("{} has had its connection", *qp))?;
    *lock(&self::body(call)?.qp) = Some(qp);
    Ok(())
}

/// Holds the length of private data against its limit.
fn private_data(call: &Call, data: *const c_void, length: u32, most: u32) -> Result<(), Refused> {
    let long = || format!("{length} bytes of private data, {most} allowed");
    call.demand(data.is_null() || length <= most, Rule::PrivateData, long)
}

/// A connector that is closed, whose close ends all DMA.
fn closing(call: &Call) -> Result<impl FnOnce() + Send + 'static, Refused> {
    let object = call.object;
    *lock(&body(call)?.phase) = Phase::Failed;
    Ok(move || dma_is_over(object))
}

extension_slot!(NDK_CONNECTOR);
close_slot!(NDK_CONNECTOR, NdkCloseConnector, CloseConnector, closing);

pub(crate) static TABLE: NDK_CONNECTOR_DISPATCH = NDK_CONNECTOR_DISPATCH {
    NdkCloseConnector: close,
    NdkQueryExtension: query_extension,
    NdkConnect: connect,
    NdkConnectWithSharedEndpoint: connect_with_shared_endpoint,
    NdkCompleteConnect: complete_connect,
    NdkAccept: accept,
    NdkReject: reject,
    NdkGetConnectionData: connection_data,
    NdkGetLocalAddress: local_address,
    NdkGetPeerAddress: peer_address,
    NdkDisconnect: disconnect,
    NdkCompleteConnectEx: complete_connect_ex,
    NdkAcceptEx: accept_ex,
};

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
    length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let connect = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkConnect", DISPATCH_LEVEL) }?;
        private_data(&call, data, length, call.check.info.MaxCallerData)?;
        // SAFETY: a proxy (consumer).
        let qp = unsafe { call.other(qp) }?;
        step(&call, Rule::ConnectorState, &[Phase::Idle], Phase::Connecting)?;
        take_qp(&call, qp)?;
        let object = call.object;
        let done = move |status| {
            stepped(object, Phase::Connecting, status, Phase::Answered);
        };
        Ok(request(&call, Slot::Connect, (completion, context), done, |context| {
            let (qp, ended) = (qp.inner(), requested);
            forward!(
                object,
                NDK_CONNECTOR,
                NdkConnect(
                    qp,
                    source,
                    source_length,
                    destination,
                    destination_length,
                    inbound,
                    outbound,
                    data,
                    length,
                    ended,
                    context
                )
            )
        }))
    };
    answer(connect())
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
    length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let connect = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkConnectWithSharedEndpoint", DISPATCH_LEVEL) }?;
        private_data(&call, data, length, call.check.info.MaxCallerData)?;
        // SAFETY: a proxy (consumer).
        let endpoint = unsafe { call.other(endpoint) }?;
        if !matches!(endpoint.body, Body::SharedEndpoint) {
            return Err(call.wrong_kind(endpoint));
        }
        // SAFETY: a proxy (consumer).
        let qp = unsafe { call.other(qp) }?;
        step(&call, Rule::ConnectorState, &[Phase::Idle], Phase::Connecting)?;
        take_qp(&call, qp)?;
        let object = call.object;
        let done = move |status| {
            stepped(object, Phase::Connecting, status, Phase::Answered);
        };
        Ok(request(&call, Slot::ConnectWithSharedEndpoint, (completion, context), done, |context| {
            let (qp, endpoint, ended) = (qp.inner(), endpoint.inner(), requested);
            forward!(
                object,
                NDK_CONNECTOR,
                NdkConnectWithSharedEndpoint(
                    qp,
                    endpoint,
                    destination,
                    destination_length,
                    inbound,
                    outbound,
                    data,
                    length,
                    ended,
                    context
                )
            )
        }))
    };
    answer(connect())
}

/// Completes a connect, in either width: what both have in common.
fn complete(
    call: &Call,
    event: Option<Event>,
    event_context: *mut c_void,
    completion: (NDK_FN_REQUEST_COMPLETION, *mut c_void),
    forward: impl FnOnce(*mut c_void, *mut c_void) -> NTSTATUS,
) -> Result<NTSTATUS, Refused> {
    step(call, Rule::ConnectorState, &[Phase::Answered], Phase::Completing)?;
    *lock(&body(call)?.event) = event.map(|event| (event, Opaque(event_context)));
    let object = call.object;
    let done = move |status| {
        if stepped(object, Phase::Completing, status, Phase::Established) {
            established(object);
        }
    };
    Ok(request(call, Slot::CompleteConnect, completion, done, |context| {
        forward(object.as_ptr().cast(), context)
    }))
}

/// `NDK_FN_COMPLETE_CONNECT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn complete_connect(
    connector: *mut NDK_CONNECTOR,
    event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let go = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkCompleteConnect", DISPATCH_LEVEL) }?;
        let tell = event.map(|_| disconnected as NDK_FN_DISCONNECT_EVENT_CALLBACK);
        let (own, object) = (event.map(Event::Plain), call.object);
        complete(&call, own, event_context, (completion, context), |proxy, context| {
            forward!(object, NDK_CONNECTOR, NdkCompleteConnect(tell, proxy, requested, context))
        })
    };
    answer(go())
}

/// `NDK_FN_COMPLETE_CONNECT_EX`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn complete_connect_ex(
    connector: *mut NDK_CONNECTOR,
    event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK_EX>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let go = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkCompleteConnectEx", DISPATCH_LEVEL) }?;
        call.demand(call.check.has(2, 1), Rule::Version, || "a slot of NDKPI 2.1".to_owned())?;
        let tell = event.map(|_| disconnected_ex as NDK_FN_DISCONNECT_EVENT_CALLBACK_EX);
        let (own, object) = (event.map(Event::WithReason), call.object);
        complete(&call, own, event_context, (completion, context), |proxy, context| {
            forward!(object, NDK_CONNECTOR, NdkCompleteConnectEx(tell, proxy, requested, context))
        })
    };
    answer(go())
}

/// Accepts, in either width: what both have in common.
fn accept_with(
    call: &Call,
    qp: Ref,
    (data, length): (*const c_void, u32),
    event: Option<(Event, *mut c_void)>,
    completion: (NDK_FN_REQUEST_COMPLETION, *mut c_void),
    forward: impl FnOnce(*mut NDK_QP, *mut c_void, *mut c_void) -> NTSTATUS,
) -> Result<NTSTATUS, Refused> {
    private_data(call, data, length, call.check.info.MaxCalleeData)?;
    step(call, Rule::ConnectorState, &[Phase::Requested], Phase::Accepting)?;
    take_qp(call, qp)?;
    *lock(&body(call)?.event) = event.map(|(event, context)| (event, Opaque(context)));
    let object = call.object;
    let done = move |status| {
        if stepped(object, Phase::Accepting, status, Phase::Established) {
            established(object);
        }
    };
    Ok(request(call, Slot::Accept, completion, done, |context| {
        forward(qp.inner(), object.as_ptr().cast(), context)
    }))
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
    length: u32,
    event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let go = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkAccept", DISPATCH_LEVEL) }?;
        let tell = event.map(|_| disconnected as NDK_FN_DISCONNECT_EVENT_CALLBACK);
        let own = event.map(|event| (Event::Plain(event), event_context));
        let object = call.object;
        // SAFETY: a proxy (consumer).
        let qp = unsafe { call.other(qp) }?;
        accept_with(&call, qp, (data, length), own, (completion, context), |qp, proxy, context| {
            let ended = requested;
            forward!(
                object,
                NDK_CONNECTOR,
                NdkAccept(qp, inbound, outbound, data, length, tell, proxy, ended, context)
            )
        })
    };
    answer(go())
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
    length: u32,
    event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK_EX>,
    event_context: *mut c_void,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let go = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkAcceptEx", DISPATCH_LEVEL) }?;
        call.demand(call.check.has(2, 1), Rule::Version, || "a slot of NDKPI 2.1".to_owned())?;
        let tell = event.map(|_| disconnected_ex as NDK_FN_DISCONNECT_EVENT_CALLBACK_EX);
        let own = event.map(|event| (Event::WithReason(event), event_context));
        let object = call.object;
        // SAFETY: a proxy (consumer).
        let qp = unsafe { call.other(qp) }?;
        accept_with(&call, qp, (data, length), own, (completion, context), |qp, proxy, context| {
            let ended = requested;
            forward!(
                object,
                NDK_CONNECTOR,
                NdkAcceptEx(qp, inbound, outbound, data, length, tell, proxy, ended, context)
            )
        })
    };
    answer(go())
}

/// `NDK_FN_REJECT`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn reject(
    connector: *mut NDK_CONNECTOR,
    data: *const c_void,
    length: u32,
) -> NTSTATUS {
    let reject = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkReject", DISPATCH_LEVEL) }?;
        private_data(&call, data, length, call.check.info.MaxCalleeData)?;
        step(&call, Rule::ConnectorState, &[Phase::Requested, Phase::Answered], Phase::Failed)?;
        if let Some(status) = call.check.script.refuses(Slot::Reject) {
            return Ok(status);
        }
        Ok(forward!(call.object, NDK_CONNECTOR, NdkReject(data, length)))
    };
    answer(reject())
}

/// `NDK_FN_GET_CONNECTION_DATA`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn connection_data(
    connector: *mut NDK_CONNECTOR,
    inbound: *mut u32,
    outbound: *mut u32,
    data: *mut c_void,
    length: *mut u32,
) -> NTSTATUS {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkGetConnectionData", DISPATCH_LEVEL) }?;
        let phase = *lock(&body(&call)?.phase);
        // A refusal may have brought data, too.
        let window = matches!(phase, Phase::Requested | Phase::Answered | Phase::Failed);
        call.demand(window, Rule::ConnectionData, || format!("it is {phase:?}"))?;
        // SAFETY: valid (consumer).
        let room = unsafe { length.read() };
        let nowhere = || format!("no buffer of {room} bytes");
        call.demand(!data.is_null() || room == 0, Rule::ConnectionData, nowhere)?;
        if let Some(status) = call.check.script.refuses(Slot::GetConnectionData) {
            return Ok(status);
        }
        Ok(forward!(call.object, NDK_CONNECTOR, NdkGetConnectionData(inbound, outbound, data, length)))
    };
    answer(get())
}

/// Asks for an address only where there is one.
fn has_address(call: &Call) -> Result<(), Refused> {
    let phase = *lock(&body(call)?.phase);
    call.demand(phase != Phase::Idle, Rule::AddressState, || format!("it is {phase:?}"))
}

/// `NDK_FN_GET_LOCAL_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn local_address(
    connector: *mut NDK_CONNECTOR,
    address: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkGetLocalAddress", DISPATCH_LEVEL) }?;
        has_address(&call)?;
        Ok(forward!(call.object, NDK_CONNECTOR, NdkGetLocalAddress(address, length)))
    };
    answer(get())
}

/// `NDK_FN_GET_PEER_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn peer_address(
    connector: *mut NDK_CONNECTOR,
    address: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkGetPeerAddress", DISPATCH_LEVEL) }?;
        has_address(&call)?;
        Ok(forward!(call.object, NDK_CONNECTOR, NdkGetPeerAddress(address, length)))
    };
    answer(get())
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
    let disconnect = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(connector, "NdkDisconnect", DISPATCH_LEVEL) }?;
        step(&call, Rule::Disconnect, &[Phase::Established], Phase::Disconnecting)?;
        let qp = *lock(&body(&call)?.qp);
        if let Some(qp) = qp {
            nothing_deferred(&call, qp)?;
        }
        let object = call.object;
        let done = move |_| dma_is_over(object);
        Ok(request(&call, Slot::Disconnect, (completion, context), done, |context| {
            forward!(object, NDK_CONNECTOR, NdkDisconnect(requested, context))
        }))
    };
    answer(disconnect())
}
