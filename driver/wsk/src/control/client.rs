//! WskControlClient.

use super::Brought;
use abi::NTSTATUS;
use abi::ndk::WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER};
use abi::wsk::{
    WSK_EVENT_ACCEPT, WSK_EVENT_CALLBACK_CONTROL, WSK_EVENT_DISCONNECT, WSK_EVENT_RECEIVE,
    WSK_EVENT_RECEIVE_FROM, WSK_EVENT_SEND_BACKLOG, WSK_SET_STATIC_EVENT_CALLBACKS,
    WSK_TRANSPORT_LIST_CHANGE,
};

/// The events that may be enabled for good.
const STATIC_EVENTS: u32 = WSK_EVENT_ACCEPT
    | WSK_EVENT_RECEIVE
    | WSK_EVENT_DISCONNECT
    | WSK_EVENT_SEND_BACKLOG
    | WSK_EVENT_RECEIVE_FROM;

/// How a request of a client is answered.
pub(crate) enum Answer {
    /// With a failure.
    Done(NTSTATUS),
    /// By the system's provider, which gets the client's own IRP.
    System,
    /// WSK_SET_STATIC_EVENT_CALLBACKS with this mask.
    StaticEvents(u32),
    /// WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH.
    NdkDispatch,
    /// WSK_TRANSPORT_LIST_CHANGE: the IRP waits here, because WskDeregister cancels it before it waits for anything.
    ListChange,
}

/// Whether an IRP has to be there where this provider answers. Where it does not it may be all the same.
pub(crate) const fn needs_irp(code: u32) -> bool {
    code == WSK_TRANSPORT_LIST_CHANGE
}

/// Octets of the input whose first member points to an NPI identifier; `None`: there is no such member.
pub(crate) const fn names_npi(code: u32) -> Option<usize> {
    match code {
        WSK_SET_STATIC_EVENT_CALLBACKS => Some(size_of::<WSK_EVENT_CALLBACK_CONTROL>()),
        _ => None,
    }
}

/// Decides. `has_sockets`: the client has made a socket.
pub(crate) fn decide(code: u32, brought: &Brought, has_sockets: bool) -> Answer {
    let input = &brought.input;
    match code {
        WSK_SET_STATIC_EVENT_CALLBACKS => {
            let mask = input.get::<WSK_EVENT_CALLBACK_CONTROL>().and_then(|control| {
                brought.is_wsk()?;
                match control.EventMask {
                    0 => Err(STATUS_INVALID_PARAMETER),
                    mask if mask & !STATIC_EVENTS != 0 => Err(STATUS_INVALID_PARAMETER),
                    _ if has_sockets => Err(STATUS_INVALID_DEVICE_STATE),
                    mask => Ok(mask),
                }
            });
            mask.map_or_else(Answer::Done, Answer::StaticEvents)
        }
        WSKNDK_GET_WSK_PROVIDER_NDK_DISPATCH => Answer::NdkDispatch,
        WSK_TRANSPORT_LIST_CHANGE => Answer::ListChange,
        _ => Answer::System,
    }
}
