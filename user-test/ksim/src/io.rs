//! A device control request as the I/O manager makes it for a METHOD_BUFFERED code.

use std::ffi::c_void;
use std::ptr::NonNull;

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, IO_PARAMETERS_DEVICE_IO_CONTROL, IRP, IRP_MJ_DEVICE_CONTROL, SL_INVOKE_ON_CANCEL,
    SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
};
use abi::status::STATUS_MORE_PROCESSING_REQUIRED;

use crate::host::{self, Condvar, Mutex};
use crate::irp::{IoAllocateIrp, IoFreeIrp, current_location};
use crate::pool;

const TAG: u32 = u32::from_le_bytes(*b"IoSb");

struct Done {
    result: Mutex<Option<(NTSTATUS, usize)>>,
    changed: Condvar,
}

unsafe extern "system" fn completed(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: whoever made the request waits for this call and keeps `Done` until then.
    let done = unsafe { &*context.cast::<Done>() };
    // SAFETY: in its completion routine the IRP is the requestor's.
    let block = unsafe { (*irp).IoStatus };
    *host::lock(&done.result) = Some((block.Status, block.Information));
    done.changed.notify_all();
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Makes an `IRP_MJ_DEVICE_CONTROL` with METHOD_BUFFERED, hands it to `dispatch` with the driver's location current,
/// waits for its completion, and copies the reply to `output`. Returns the status and the octets copied.
///
/// The system buffer is pool, as on Windows, so a driver that writes beside it is caught.
pub fn device_io_control(
    code: u32,
    input: &[u8],
    output: &mut [u8],
    dispatch: impl FnOnce(NonNull<IRP>) -> NTSTATUS,
) -> (NTSTATUS, usize) {
    let done = Done { result: Mutex::new(None), changed: Condvar::new() };
    let bytes = input.len().max(output.len());
    let buffer = if bytes == 0 { std::ptr::null_mut() } else { pool::ExAllocatePool2(0x40, bytes, TAG) };
    assert!(bytes == 0 || !buffer.is_null(), "no memory for a system buffer");
    if !input.is_empty() {
        // SAFETY: the pool block holds at least `input.len()` bytes.
        unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(input.as_ptr(), input.len()) };
    }
    let Some(irp) = NonNull::new(IoAllocateIrp(1, 0)) else { unreachable!("no memory for an IRP") };
    // SAFETY: a fresh IRP.
    let place = unsafe { current_location(irp.as_ptr()) };
    // SAFETY: a fresh IRP.
    let fields = unsafe { &mut *irp.as_ptr() };
    fields.AssociatedIrp.SystemBuffer = buffer;
    fields.CurrentLocation -= 1;
    // SAFETY: as computed above.
    let end = unsafe { *place };
    // SAFETY: one location lies below the end.
    let location = unsafe { end.sub(1) };
    // SAFETY: the IRP is ours.
    unsafe { *place = location };
    // SAFETY: the location lies behind the IRP.
    let driver = unsafe { &mut *location };
    driver.MajorFunction = IRP_MJ_DEVICE_CONTROL;
    driver.Parameters.DeviceIoControl = IO_PARAMETERS_DEVICE_IO_CONTROL {
        OutputBufferLength: u32::try_from(output.len()).unwrap_or(u32::MAX),
        InputBufferLength: u32::try_from(input.len()).unwrap_or(u32::MAX),
        IoControlCode: code,
        // SAFETY: plain integers and pointers, for which zero is a value.
        ..unsafe { std::mem::zeroed() }
    };
    driver.CompletionRoutine = Some(completed);
    driver.Context = std::ptr::from_ref(&done).cast_mut().cast();
    driver.Control = SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL;

    let _returned = dispatch(irp);
    let mut result = host::lock(&done.result);
    let (status, information) = loop {
        match *result {
            Some(result) => break result,
            None => result = host::wait(&done.changed, result, "a device control request"),
        }
    };
    drop(result);
    assert!(
        information <= output.len(),
        "Information {information} is more than the caller's {} bytes",
        output.len()
    );
    // As the I/O manager: octets are copied for successes and warnings, not for errors.
    let copied = if (status.cast_unsigned() >> 30) == 3 { 0 } else { information };
    if copied != 0 {
        // SAFETY: the system buffer has at least that many bytes, and the driver is done with it.
        unsafe { buffer.cast::<u8>().copy_to_nonoverlapping(output.as_mut_ptr(), copied) };
    }
    // SAFETY: completed, and kept by the completion routine.
    unsafe { IoFreeIrp(irp.as_ptr()) };
    if !buffer.is_null() {
        pool::ExFreePoolWithTag(buffer, TAG);
    }
    (status, copied)
}
