//! WskControlClient, and the functions of WSK_PROVIDER_NDK_DISPATCH.

use super::control::{Output, answer, bring, fail};
use super::provider::client;
use crate::client::{Client, ClientUse};
use crate::control::Reply;
use crate::control::client::{Answer, decide, names_npi, needs_irp};
use abi::NTSTATUS;
use abi::ndis::NET_IFINDEX;
use abi::ndk::{NDK_ADAPTER, NDK_VERSION, WSK_PROVIDER_NDK_DISPATCH};
use abi::nt::IRP;
use abi::status::{
    STATUS_DEVICE_NOT_READY, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
    STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS, nt_success,
};
use abi::wsk::{
    NPI_WSK_INTERFACE_ID, PWSK_CLIENT, WSK_EVENT_CALLBACK_CONTROL, WSK_EVENT_RECEIVE_FROM,
    WSK_SET_STATIC_EVENT_CALLBACKS,
};
use core::ffi::c_void;
use core::ptr;
use irp::pend;
use kernel::irql;

/// WskControlClient.
pub(super) unsafe extern "system" fn wsk_control_client(
    target: PWSK_CLIENT,
    code: u32,
    input_size: usize,
    input: *mut c_void,
    output_size: usize,
    output: *mut c_void,
    returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    // SAFETY: the client's pointer.
    let Some(this) = (unsafe { client(target) }) else {
        // SAFETY: the client's IRP, entered once.
        return unsafe { fail(irp, STATUS_INVALID_HANDLE) };
    };
    let place = Output { size: output_size, buffer: output, returned };
    let Some(user) = Client::enter(&this) else {
        // SAFETY: the client's buffers and IRP, entered once.
        return unsafe { answer(&this, place, irp, Err(STATUS_DEVICE_NOT_READY)) };
    };
    let system = user.system();
    // SAFETY: the client's input, readable during the call.
    let brought = unsafe { bring(input, input_size, names_npi(code)) };
    let result = match decide(code, &brought, this.has_sockets()) {
        Answer::System if !this.has_system_controls() => Err(STATUS_NOT_SUPPORTED),
        Answer::System => match system {
            Some((client, functions)) => {
                // SAFETY: the client's own parameters and its untouched IRP, for the function that they are meant for.
                return unsafe {
                    (functions.WskControlClient)(
                        client,
                        code,
                        input_size,
                        input,
                        output_size,
                        output,
                        returned,
                        irp,
                    )
                };
            }
            None => Err(STATUS_DEVICE_NOT_READY),
        },
        _ if irp.is_null() && needs_irp(code) => Err(STATUS_REQUEST_NOT_ACCEPTED),
        Answer::ListChange => {
            // SAFETY: the client's IRP, entered once.
            return unsafe { pend(irp, |irp| Client::await_list_change(&this, irp)) };
        }
        Answer::StaticEvents(mask) => set_static_events(&user, mask),
        Answer::NdkDispatch => Ok(Reply::of(NDK_DISPATCH)),
        Answer::Done(status) => Err(status),
    };
    // SAFETY: the client's buffers and IRP, entered once.
    unsafe { answer(&this, place, irp, result) }
}

/// Enables events for good. Datagram sockets are the system's, and so is their event.
fn set_static_events(user: &ClientUse, mask: u32) -> Result<Reply, NTSTATUS> {
    if mask & WSK_EVENT_RECEIVE_FROM != 0
        && let Some((client, functions)) = user.system()
    {
        let mut control =
            WSK_EVENT_CALLBACK_CONTROL { NpiId: &NPI_WSK_INTERFACE_ID, EventMask: WSK_EVENT_RECEIVE_FROM };
        // SAFETY: a call as its page says, without an IRP.
        let status = unsafe {
            (functions.WskControlClient)(
                client,
                WSK_SET_STATIC_EVENT_CALLBACKS,
                size_of::<WSK_EVENT_CALLBACK_CONTROL>(),
                (&raw mut control).cast(),
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        if !nt_success(status) {
            return Err(status);
        }
    }
    user.set_static_events(mask).map(|()| Reply::EMPTY)
}

/// WSK_PROVIDER_NDK_DISPATCH.
static NDK_DISPATCH: WSK_PROVIDER_NDK_DISPATCH = WSK_PROVIDER_NDK_DISPATCH {
    WskOpenNdkAdapter: wsk_open_ndk_adapter,
    WskCloseNdkAdapter: wsk_close_ndk_adapter,
};

/// WskOpenNdkAdapter. IRQL: PASSIVE_LEVEL.
unsafe extern "system" fn wsk_open_ndk_adapter(
    target: PWSK_CLIENT,
    version: NDK_VERSION,
    if_index: NET_IFINDEX,
    out: *mut *mut NDK_ADAPTER,
) -> NTSTATUS {
    if out.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    // SAFETY: the client's variable.
    unsafe { out.write(ptr::null_mut()) };
    // SAFETY: the client's pointer.
    let Some(this) = (unsafe { client(target) }) else { return STATUS_INVALID_HANDLE };
    if irql::current() > irql::PASSIVE_LEVEL {
        return STATUS_REQUEST_NOT_ACCEPTED;
    }
    let Some(user) = Client::enter(&this) else { return STATUS_DEVICE_NOT_READY };
    match this.provider().ndk().open(user, version, if_index) {
        Ok(adapter) => {
            // SAFETY: the client's variable.
            unsafe { out.write(adapter.as_ptr()) };
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// WskCloseNdkAdapter. IRQL: PASSIVE_LEVEL.
unsafe extern "system" fn wsk_close_ndk_adapter(target: PWSK_CLIENT, adapter: *mut NDK_ADAPTER) {
    // SAFETY: the client's pointer.
    if let Some(this) = unsafe { client(target) } {
        this.provider().ndk().close(adapter);
    }
}
