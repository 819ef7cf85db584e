//! Finds the driver and asks it for its registration functions. `PASSIVE_LEVEL` throughout.
//!
//! Documented calls only: the device is opened by name, the file object leads to the device object, and an
//! IRP of the library's own asks (*Creating IRPs for Drivers*). The handle stays open: it keeps the driver
//! from being unloaded.

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, FALSE, FILE_OBJECT, FILE_READ_DATA, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_SYNCHRONOUS_IO_NONALERT, HANDLE, IO_PARAMETERS_DEVICE_IO_CONTROL, IO_STACK_LOCATION,
    IO_STACK_LOCATION_PARAMETERS, IO_STATUS_BLOCK, IRP, IRP_ASSOCIATED_IRP, IRP_MJ_INTERNAL_DEVICE_CONTROL,
    KEVENT, KernelMode, OBJ_CASE_INSENSITIVE, OBJ_KERNEL_HANDLE, OBJECT_ATTRIBUTES, SL_INVOKE_ON_CANCEL,
    SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS, SYNCHRONIZE, UNICODE_STRING,
};
use abi::status::{STATUS_MORE_PROCESSING_REQUIRED, nt_success};

use crate::kernel;
use control::provider::{
    DEVICE_NAME, IOCTL_INTERNAL_WSKRDMA_PROVIDER, WSKRDMA_PROVIDER_REQUEST_LENGTH,
    WSKRDMA_REGISTRATION_ENTRIES, accept, question,
};

/// UTF-16 units of the device's name, which is plain ASCII.
const NAME_UNITS: usize = DEVICE_NAME.len();
/// The device's name as the kernel wants it.
static NAME: [u16; NAME_UNITS] = {
    let mut units = [0; NAME_UNITS];
    let (mut bytes, mut slots) = (DEVICE_NAME.as_bytes(), units.as_mut_slice());
    while let ([byte, more_bytes @ ..], [slot, more_slots @ ..]) = (bytes, slots) {
        *slot = *byte as u16;
        (bytes, slots) = (more_bytes, more_slots);
    }
    units
};
/// Bytes of [`NAME`].
const NAME_LENGTH: u16 = (NAME_UNITS * 2) as u16;

/// An open handle to the driver's device. Dropping it closes the device, after which the driver may be
/// unloaded.
pub(crate) struct Hold(HANDLE);

impl Drop for Hold {
    fn drop(&mut self) {
        // SAFETY: opened by `open`, closed once, and by the kernel's own right.
        unsafe { kernel::ZwClose(self.0) };
    }
}

/// A counted reference to a file object.
struct File(*mut FILE_OBJECT);

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: the reference is this value's own.
        unsafe { kernel::ObfDereferenceObject(self.0.cast()) };
    }
}

/// The driver's functions and what keeps them there, or nothing where the driver is absent or declines.
pub(crate) fn find() -> Option<(WSKRDMA_REGISTRATION_ENTRIES, Hold)> {
    let hold = open()?;
    let file = reference(&hold)?;
    let device = device_of(&file)?;
    let entries = ask(&file, device)?;
    Some((entries, hold))
}

/// Opens the device. It fails where the driver is absent, still in its `DriverEntry`, or about to be
/// unloaded.
fn open() -> Option<Hold> {
    let mut name =
        UNICODE_STRING { Length: NAME_LENGTH, MaximumLength: NAME_LENGTH, Buffer: NAME.as_ptr().cast_mut() };
    let attributes = OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: ptr::null_mut(),
        ObjectName: &raw mut name,
        Attributes: OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE,
        SecurityDescriptor: ptr::null_mut(),
        SecurityQualityOfService: ptr::null_mut(),
    };
    let mut handle = ptr::null_mut();
    let mut outcome = IO_STATUS_BLOCK { Status: 0, Information: 0 };
    // SAFETY: all pointers are to locals or statics that outlive the call; the name is only read.
    let status = unsafe {
        kernel::ZwOpenFile(
            &raw mut handle,
            FILE_READ_DATA | SYNCHRONIZE,
            &raw const attributes,
            &raw mut outcome,
            FILE_SHARE_READ | FILE_SHARE_WRITE,
            FILE_SYNCHRONOUS_IO_NONALERT,
        )
    };
    // Lazily: a handle that was not opened must not be closed.
    nt_success(status).then(|| Hold(handle))
}

/// The file object behind the handle.
fn reference(hold: &Hold) -> Option<File> {
    settle(hold);
    let mut object = ptr::null_mut();
    // SAFETY: the handle is open. No object type need be named: what was opened through a device is a file.
    let status = unsafe {
        kernel::ObReferenceObjectByHandle(
            hold.0,
            FILE_READ_DATA,
            ptr::null_mut(),
            KernelMode,
            &raw mut object,
            ptr::null_mut(),
        )
    };
    // Lazily: a reference that was not taken must not be dropped.
    nt_success(status).then(|| File(object.cast()))
}

/// `FileFsDeviceInformation` (`wdm.h`).
const FILE_FS_DEVICE_INFORMATION: i32 = 4;

/// Asks a question about the open device whose answer does not matter.
///
/// On Windows the I/O manager answers it by itself. Wine returns from `ZwOpenFile` before the device has seen
/// the open; a file object that is looked up so early is an empty one, and the process dies when it is
/// closed. Any request that is waited for comes after the open.
fn settle(hold: &Hold) {
    let mut outcome = IO_STATUS_BLOCK { Status: 0, Information: 0 };
    let mut device_type_and_characteristics = [0_u32; 2];
    // SAFETY: the handle is open for synchronous requests, and both outputs outlive the call.
    unsafe {
        kernel::ZwQueryVolumeInformationFile(
            hold.0,
            &raw mut outcome,
            (&raw mut device_type_and_characteristics).cast(),
            size_of::<[u32; 2]>() as u32,
            FILE_FS_DEVICE_INFORMATION,
        )
    };
}

/// The device that requests for the file go to first.
fn device_of(file: &File) -> Option<*mut DEVICE_OBJECT> {
    // SAFETY: the file object is referenced.
    let device = unsafe { kernel::IoGetRelatedDeviceObject(file.0) };
    if !device.is_null() {
        return Some(device);
    }
    // Wine has no answer to that. There the file object names its device, or none where the device is another
    // process's, which cannot be called.
    // SAFETY: as above.
    let device = unsafe { (*file.0).DeviceObject };
    (!device.is_null()).then_some(device)
}

/// Sends the request and waits for the answer.
fn ask(file: &File, device: *mut DEVICE_OBJECT) -> Option<WSKRDMA_REGISTRATION_ENTRIES> {
    // SAFETY: the device exists while the file is referenced.
    let stack_size = unsafe { (*device).StackSize };
    // SAFETY: no precondition.
    let irp = unsafe { kernel::IoAllocateIrp(stack_size, FALSE) };
    if irp.is_null() {
        return None;
    }
    let mut request = question();
    let mut event = MaybeUninit::<KEVENT>::uninit();
    // SAFETY: memory for an event; the wait below ends before it goes away.
    unsafe { kernel::initialize_event(event.as_mut_ptr()) };
    let length = u32::from(WSKRDMA_PROVIDER_REQUEST_LENGTH);
    let stack = IO_STACK_LOCATION {
        MajorFunction: IRP_MJ_INTERNAL_DEVICE_CONTROL,
        MinorFunction: 0,
        Flags: 0,
        Control: SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL,
        Parameters: IO_STACK_LOCATION_PARAMETERS {
            DeviceIoControl: IO_PARAMETERS_DEVICE_IO_CONTROL {
                OutputBufferLength: length,
                Pad0: 0,
                InputBufferLength: length,
                Pad1: 0,
                IoControlCode: IOCTL_INTERNAL_WSKRDMA_PROVIDER,
                Pad2: 0,
                Type3InputBuffer: ptr::null_mut(),
            },
        },
        DeviceObject: ptr::null_mut(),
        FileObject: file.0,
        CompletionRoutine: Some(completed),
        Context: event.as_mut_ptr().cast(),
    };
    // SAFETY: a fresh IRP is this function's.
    let tail = unsafe { (*irp).Tail };
    // SAFETY: the overlay is the member in use between allocation and completion.
    let overlay = unsafe { tail.Overlay };
    let next = overlay.CurrentStackLocation.wrapping_sub(1);
    // SAFETY: the current location is one past the last. The device's stack has at least one, so the next is
    // there.
    unsafe { next.write(stack) };
    // SAFETY: the IRP is this function's.
    unsafe { (*irp).AssociatedIrp = IRP_ASSOCIATED_IRP { SystemBuffer: (&raw mut request).cast() } };
    // SAFETY: the IRP is set up for a device that exists; buffer and event outlive it, because of the wait.
    unsafe { kernel::IofCallDriver(device, irp) };
    // SAFETY: initialised above, and the completion routine sets it however the request ends.
    unsafe { kernel::wait_for_event(event.as_mut_ptr()) };
    // SAFETY: the completion routine has given the IRP back.
    let outcome = unsafe { (*irp).IoStatus };
    // SAFETY: as above; the last use.
    unsafe { kernel::IoFreeIrp(irp) };
    accept(outcome.Status, outcome.Information, &request)
}

/// Gives the IRP back to [`ask`], which waits for the event in `context`. Up to `DISPATCH_LEVEL`.
///
/// # Safety
/// Called by the I/O manager for the IRP that `ask` has sent.
unsafe extern "system" fn completed(_: *mut DEVICE_OBJECT, _: *mut IRP, context: *mut c_void) -> NTSTATUS {
    // SAFETY: the context is the event of a thread that waits for it.
    unsafe { kernel::set_event(context.cast()) };
    STATUS_MORE_PROCESSING_REQUIRED
}
