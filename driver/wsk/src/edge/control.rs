//! WskControlSocket, and how any control request is answered: buffers, sizes, and the IRP where there is one.

use super::socket;
use crate::connection::ControlRequest;
use crate::control::socket::{Controlled, Operation, TwinUse};
use crate::control::{Answer, Brought, Input, Reply};
use abi::NTSTATUS;
use abi::nt::{GUID, IRP};
use abi::status::{
    STATUS_BUFFER_TOO_SMALL, STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_NOT_SUPPORTED,
    STATUS_REQUEST_NOT_ACCEPTED,
};
use abi::wsk::{WSK_CONTROL_SOCKET_TYPE, WSK_SOCKET};
use core::ffi::c_void;
use irp::{Outcome, enter, fail_unmarked, pend};
use kernel::pool::Shared;

/// Where a client wants its output.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) size: usize,
    pub(super) buffer: *mut c_void,
    /// OutputSizeReturned.
    pub(super) returned: *mut usize,
}

impl Output {
    /// Stores the size of the output, where the client wants it.
    ///
    /// # Safety
    /// `returned` is NULL or writable.
    unsafe fn tell(self, size: usize) {
        if !self.returned.is_null() {
            // SAFETY: the caller's promise; a client's variable need not be aligned.
            unsafe { self.returned.write_unaligned(size) };
        }
    }
}

/// Fails a request that reaches no client or socket.
///
/// # Safety
/// `irp` is NULL or the client's IRP, entered here.
pub(super) unsafe fn fail(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    if irp.is_null() {
        return status;
    }
    // SAFETY: the caller's promise.
    unsafe { fail_unmarked(irp, status) }
}

/// Answers a request: writes the output and its size, and completes the IRP where there is one, else returns the status.
/// The size is written in either case: there are clients that read it although they have passed an IRP.
///
/// # Safety
/// `output` is the client's; `irp` is NULL or the client's IRP, entered here.
pub(super) unsafe fn answer<T: Send + Sync + 'static>(
    on: &Shared<T>,
    output: Output,
    irp: *mut IRP,
    result: Result<Reply, NTSTATUS>,
) -> NTSTATUS {
    let (outcome, returned) = match result {
        Err(status) => (Outcome::failure(status), 0),
        Ok(reply) if reply.len() > output.size => (Outcome::failure(STATUS_BUFFER_TOO_SMALL), 0),
        Ok(reply) if reply.len() == 0 => (Outcome::success(0), 0),
        Ok(_) if output.buffer.is_null() => (Outcome::failure(STATUS_INVALID_PARAMETER), 0),
        Ok(reply) => {
            // SAFETY: the client's buffer, long enough.
            unsafe { reply.copy_to(output.buffer) };
            (Outcome::success(reply.len()), reply.len())
        }
    };
    // SAFETY: the client's variable.
    unsafe { output.tell(returned) };
    if irp.is_null() {
        return outcome.status();
    }
    // SAFETY: the caller's promise.
    unsafe { pend(irp, |irp| irp.keep(on).complete(outcome)) }
}

/// Copies the input, and the NPI identifier where the operation has one.
///
/// # Safety
/// `input` is NULL or readable for `size` octets, and so is the identifier that its first member points to where it is
/// as long as `names_npi` says.
pub(super) unsafe fn bring(input: *mut c_void, size: usize, names_npi: Option<usize>) -> Brought {
    // SAFETY: the caller's promise.
    let input = unsafe { Input::copy(input, size) };
    let npi = names_npi
        .filter(|needed| input.len() >= *needed)
        .and_then(|_| input.get::<*mut c_void>().ok())
        .filter(|npi| !npi.is_null())
        // SAFETY: the caller's promise; a client's identifier need not be aligned.
        .map(|npi| unsafe { npi.cast_const().cast::<GUID>().read_unaligned() });
    Brought { input, npi }
}

/// WskControlSocket of a category of sockets.
pub(super) unsafe extern "system" fn wsk_control_socket<T: Controlled>(
    target: *mut WSK_SOCKET,
    request: WSK_CONTROL_SOCKET_TYPE,
    code: u32,
    level: u32,
    input_size: usize,
    input: *mut c_void,
    output_size: usize,
    output: *mut c_void,
    returned: *mut usize,
    irp: *mut IRP,
) -> NTSTATUS {
    let output = Output { size: output_size, buffer: output, returned };
    // SAFETY: the client's socket.
    let Some(this) = (unsafe { socket::<T>(target) }) else {
        // SAFETY: the client's IRP, entered once.
        return unsafe { fail(irp, STATUS_INVALID_HANDLE) };
    };
    let decided = match Operation::find(request, code, level) {
        Err(status) => Answer::Done(Err(status)),
        Ok(None) => match this.with_options(|standing, _| standing.admits()) {
            Ok(()) => Answer::System,
            Err(status) => Answer::Done(Err(status)),
        },
        Ok(Some(operation)) if irp.is_null() && operation.needs_irp() => {
            Answer::Done(Err(STATUS_REQUEST_NOT_ACCEPTED))
        }
        Ok(Some(operation)) if irp.is_null() && returned.is_null() && operation.needs_returned() => {
            Answer::Done(Err(STATUS_INVALID_PARAMETER))
        }
        Ok(Some(operation)) => {
            // SAFETY: the client's input, readable during the call.
            let brought = unsafe { bring(input, input_size, operation.names_npi()) };
            operation.decide(&this, &brought)
        }
    };
    let result = match decided {
        Answer::Events(mask) => {
            // SAFETY: the client's variable. There is no output.
            unsafe { output.tell(0) };
            // SAFETY: the client's IRP, entered once.
            let irp = unsafe { enter(irp) }.ok();
            return T::events(&this, mask, irp.map(|irp| irp.keep(&this)));
        }
        Answer::Done(result) => result,
        Answer::Both(_) | Answer::System if let Some(using) = TwinUse::begin(&this) => {
            let twin = using.twin;
            // SAFETY: open until the end of this use.
            let functions = unsafe { twin.basic() };
            // SAFETY: the client's own parameters and its untouched IRP, for the function that they are meant for.
            return unsafe {
                (functions.WskControlSocket)(
                    twin.as_ptr(),
                    request,
                    code,
                    level,
                    input_size,
                    input,
                    output.size,
                    output.buffer,
                    returned,
                    irp,
                )
            };
        }
        Answer::Both(reply) => Ok(reply),
        Answer::System => {
            let (Ok(input_size), Ok(output_size)) = (u32::try_from(input_size), u32::try_from(output_size))
            else {
                // SAFETY: the client's IRP, entered once.
                return unsafe { fail(irp, STATUS_INVALID_PARAMETER) };
            };
            let request = ControlRequest {
                request,
                code,
                level,
                input_size,
                output_size,
                input,
                output: output.buffer,
                returned,
            };
            // SAFETY: the client's variable.
            unsafe { output.tell(0) };
            // Without an IRP nobody can be told later.
            // SAFETY: the client's IRP, entered once.
            let pended = unsafe { pend(irp, |irp| T::ask_for_twin(&this, request, irp.keep(&this))) };
            return if irp.is_null() { STATUS_NOT_SUPPORTED } else { pended };
        }
    };
    // SAFETY: the client's buffers and IRP, entered once.
    unsafe { answer(&this, output, irp, result) }
}
