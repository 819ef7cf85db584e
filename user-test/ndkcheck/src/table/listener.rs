//! The slots of listeners.

use ksim::sync::Mutex;
use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CONNECTOR, NDK_FN_CONNECT_EVENT_CALLBACK, NDK_FN_REQUEST_COMPLETION, NDK_LISTENER,
    NDK_LISTENER_DISPATCH, NdkObjectTypeConnector,
};
use abi::nt::{BOOLEAN, DISPATCH_LEVEL};
use abi::status::nt_success;
use abi::wsk::SOCKADDR;

use super::connector::{self, Connector};
use super::{answer, close_slot, extension_slot, nothing_special, request};
use crate::check::{Check, Refused, lock};
use crate::object::{Body, Call, Object, Ref, enter, forward};
use crate::request::{Opaque, call_back, requested as ended};
use crate::rule::Rule;
use crate::script::Slot;

/// What a listener does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Idle,
    /// NdkListen is not over.
    Starting,
    Listening,
}

/// A listener.
pub(crate) struct Listener {
    event: NDK_FN_CONNECT_EVENT_CALLBACK,
    context: Opaque,
    phase: Mutex<Phase>,
}

impl Listener {
    pub(crate) const fn new(event: NDK_FN_CONNECT_EVENT_CALLBACK, context: Opaque) -> Self {
        Self { event, context, phase: Mutex::new(Phase::Idle) }
    }
}

/// `NDK_FN_CONNECT_EVENT_CALLBACK`, given to the provider.
///
/// # Safety
/// `context` is the proxy of the listener; the connector is handed over.
pub(super) unsafe extern "system" fn requested(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    // SAFETY: the context of the create; the proxy outlives the listener.
    let listener = unsafe { Ref::from_raw(context.cast()) };
    let Body::Listener(body) = &listener.body else { return };
    let check = listener.shared_check();
    let table = (&raw const connector::TABLE).cast();
    let proxy = Object::make(&check, NdkObjectTypeConnector, table, Body::Connector(Connector::requested()));
    proxy.open(connector.cast());
    call_back(&check, "the connect event", || {
        // SAFETY: the consumer's promise with the creation of the listener; the connector is the consumer's from here on.
        unsafe { (body.event)(body.context.0, proxy.as_ptr().cast()) };
    });
}

/// Makes the connect event without a connector; `false` when the object is no listener.
pub(crate) fn tell_nothing(check: &Check, listener: Ref) -> bool {
    let Body::Listener(body) = &listener.body else { return false };
    call_back(check, "the connect event", || {
        // SAFETY: the consumer's promise with the creation of the listener; there is no connector to hand over.
        unsafe { (body.event)(body.context.0, ptr::null_mut()) };
    });
    true
}

extension_slot!(NDK_LISTENER);
close_slot!(NDK_LISTENER, NdkCloseListener, CloseListener, nothing_special);

pub(crate) static TABLE: NDK_LISTENER_DISPATCH = NDK_LISTENER_DISPATCH {
    NdkCloseListener: close,
    NdkQueryExtension: query_extension,
    NdkListen: listen,
    NdkGetLocalAddress: local_address,
    NdkControlConnectEvents: control_connect_events,
};

/// The listener is in the phase that the call needs.
fn phase(call: &Call, needed: Phase) -> Result<&Mutex<Phase>, Refused> {
    let Body::Listener(body) = &call.object.body else { return Err(call.wrong_object()) };
    let now = *lock(&body.phase);
    call.demand(now == needed, Rule::ListenerState, || format!("it is {now:?}"))?;
    // SAFETY: the proxy lives as long as the check, which the call holds.
    Ok(unsafe { &*ptr::from_ref(&body.phase) })
}

/// `NDK_FN_LISTEN`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn listen(
    listener: *mut NDK_LISTENER,
    address: *const SOCKADDR,
    length: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let listen = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(listener, "NdkListen", DISPATCH_LEVEL) }?;
        *lock(phase(&call, Phase::Idle)?) = Phase::Starting;
        let object = call.object;
        let done = move |status| {
            if let Body::Listener(body) = &object.body {
                *lock(&body.phase) = if nt_success(status) { Phase::Listening } else { Phase::Idle };
            }
        };
        Ok(request(&call, Slot::Listen, (completion, context), done, |context| {
            forward!(object, NDK_LISTENER, NdkListen(address, length, ended, context))
        }))
    };
    answer(listen())
}

/// `NDK_FN_GET_LISTENER_LOCAL_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn local_address(
    listener: *mut NDK_LISTENER,
    address: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(listener, "NdkGetLocalAddress", DISPATCH_LEVEL) }?;
        phase(&call, Phase::Listening)?;
        Ok(forward!(call.object, NDK_LISTENER, NdkGetLocalAddress(address, length)))
    };
    answer(get())
}

/// `NDK_FN_CONTROL_CONNECT_EVENTS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn control_connect_events(listener: *mut NDK_LISTENER, pause: BOOLEAN) {
    // SAFETY: a proxy (consumer).
    let Ok(call) = (unsafe { enter(listener, "NdkControlConnectEvents", DISPATCH_LEVEL) }) else { return };
    forward!(call.object, NDK_LISTENER, NdkControlConnectEvents(pause));
}
