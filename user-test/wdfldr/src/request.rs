//! Requests that the driver holds.

use core::ffi::c_void;
use core::ptr;

use abi::NTSTATUS;
use abi::nt::{IO_NO_INCREMENT, IO_STATUS_BLOCK, IRP};
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};

use crate::bind::Client;
use crate::device::Device;
use crate::queue::{parameters, stack_location};
use crate::report::broken;
use crate::rules::{Direction, check_buffer, is_information_plausible};
use crate::slots::{Entry, Slots};
use crate::wdf::{Globals, Handle};
use crate::{nt, object};

/// Every request that was presented and not completed.
pub(crate) static REQUESTS: Slots = Slots::new();

/// A request's number as the driver sees it.
pub(crate) fn to_handle(request: usize) -> Handle {
    ptr::without_provenance_mut(request)
}

/// Completes an IRP that no driver has seen, or that its driver has given back.
pub(crate) fn finish_irp(irp: *mut IRP, status: NTSTATUS, information: usize) -> NTSTATUS {
    // SAFETY: the IRP is with this driver, which gives it up below.
    unsafe { (*irp).IoStatus = IO_STATUS_BLOCK { Status: status, Information: information } };
    // SAFETY: as above; it is not touched again.
    unsafe { nt::IofCompleteRequest(irp, IO_NO_INCREMENT) };
    status
}

/// WdfRequestComplete.
pub(crate) unsafe extern "system" fn request_complete(
    globals: *mut Globals,
    request: Handle,
    status: NTSTATUS,
) {
    const NAME: &str = "WdfRequestComplete";
    let irp = irp_of(globals, request, NAME);
    // SAFETY: the request is under way, so its IRP is ours.
    let information = unsafe { (*irp).IoStatus.Information };
    complete(request, status, information, NAME);
}

/// WdfRequestCompleteWithInformation.
pub(crate) unsafe extern "system" fn request_complete_with_information(
    globals: *mut Globals,
    request: Handle,
    status: NTSTATUS,
    information: usize,
) {
    const NAME: &str = "WdfRequestCompleteWithInformation";
    irp_of(globals, request, NAME);
    complete(request, status, information, NAME);
}

/// WdfRequestIsCanceled.
pub(crate) unsafe extern "system" fn request_is_canceled(globals: *mut Globals, request: Handle) -> u8 {
    let irp = irp_of(globals, request, "WdfRequestIsCanceled");
    // SAFETY: the request is under way, so its IRP is ours.
    unsafe { (*irp).Cancel }
}

/// WdfRequestRetrieveInputBuffer.
pub(crate) unsafe extern "system" fn request_retrieve_input_buffer(
    globals: *mut Globals,
    request: Handle,
    minimum: usize,
    buffer: *mut *mut c_void,
    length: *mut usize,
) -> NTSTATUS {
    let irp = irp_of(globals, request, "WdfRequestRetrieveInputBuffer");
    // SAFETY: the driver's variables.
    unsafe { retrieve(irp, Direction::Input, minimum, buffer, length) }
}

/// WdfRequestRetrieveOutputBuffer.
pub(crate) unsafe extern "system" fn request_retrieve_output_buffer(
    globals: *mut Globals,
    request: Handle,
    minimum: usize,
    buffer: *mut *mut c_void,
    length: *mut usize,
) -> NTSTATUS {
    let irp = irp_of(globals, request, "WdfRequestRetrieveOutputBuffer");
    // SAFETY: the driver's variables.
    unsafe { retrieve(irp, Direction::Output, minimum, buffer, length) }
}

/// WdfRequestGetRequestorMode.
pub(crate) unsafe extern "system" fn request_get_requestor_mode(
    globals: *mut Globals,
    request: Handle,
) -> i8 {
    let irp = irp_of(globals, request, "WdfRequestGetRequestorMode");
    // SAFETY: the request is under way, so its IRP is ours.
    unsafe { (*irp).RequestorMode }
}

/// WdfRequestGetIoQueue.
pub(crate) unsafe extern "system" fn request_get_io_queue(globals: *mut Globals, request: Handle) -> Handle {
    const NAME: &str = "WdfRequestGetIoQueue";
    Client::calling(globals, NAME);
    let device = ptr::with_exposed_provenance_mut(entry_of(request, NAME).device);
    object::borrow::<Device>(device, NAME).queue_handle()
}

/// WdfRequestWdmGetIrp.
pub(crate) unsafe extern "system" fn request_wdm_get_irp(globals: *mut Globals, request: Handle) -> *mut IRP {
    irp_of(globals, request, "WdfRequestWdmGetIrp")
}

fn entry_of(request: Handle, function: &str) -> Entry {
    match REQUESTS.get(request.addr()) {
        Some(entry) => entry,
        None => {
            broken!("{function}: request {request:p} is not under way: completed before, or never presented")
        }
    }
}

fn irp_of(globals: *mut Globals, request: Handle, function: &str) -> *mut IRP {
    Client::calling(globals, function);
    ptr::with_exposed_provenance_mut(entry_of(request, function).irp)
}

fn complete(request: Handle, status: NTSTATUS, information: usize, function: &str) {
    if status == STATUS_PENDING {
        broken!("{function}: completed with STATUS_PENDING");
    }
    let Some(entry) = REQUESTS.remove(request.addr()) else {
        broken!("{function}: request {request:p} was completed twice at once");
    };
    let irp = ptr::with_exposed_provenance_mut(entry.irp);
    // SAFETY: the request was under way until now, and nobody else has ended it.
    let parameters = parameters(unsafe { stack_location(irp) });
    if !is_information_plausible(parameters.IoControlCode, parameters.OutputBufferLength, information) {
        broken!(
            "{function}: {information} bytes of reply for a buffer of {} (code {:#x})",
            parameters.OutputBufferLength,
            parameters.IoControlCode
        );
    }
    finish_irp(irp, status, information);
}

/// # Safety
///
/// `irp` is under way; `buffer` is a variable, `length` one or null.
unsafe fn retrieve(
    irp: *mut IRP,
    direction: Direction,
    minimum: usize,
    buffer: *mut *mut c_void,
    length: *mut usize,
) -> NTSTATUS {
    // SAFETY: the caller's promise.
    let parameters = parameters(unsafe { stack_location(irp) });
    let available = match direction {
        Direction::Input => parameters.InputBufferLength,
        Direction::Output => parameters.OutputBufferLength,
    };
    if let Err(status) = check_buffer(parameters.IoControlCode, direction, available, minimum) {
        return status;
    }
    // SAFETY: the caller's promise.
    let associated = unsafe { (*irp).AssociatedIrp };
    // SAFETY: for the methods that get here this member is in force.
    let system_buffer = unsafe { associated.SystemBuffer };
    // SAFETY: the caller's promise.
    unsafe { *buffer = system_buffer };
    if !length.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *length = available as usize };
    }
    STATUS_SUCCESS
}
