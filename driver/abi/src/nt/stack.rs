//! Stack locations of an IRP (`wdm.h`, *I/O Stack Locations*).

use core::ffi::c_void;

use bitflags::bitflags;

use super::{DEVICE_OBJECT, FILE_OBJECT, IRP, LARGE_INTEGER};
use crate::{NTSTATUS, layout};

/// Called when a lower driver has completed the IRP (`IO_COMPLETION_ROUTINE`, `wdm.h`). IRQL up to `DISPATCH_LEVEL`.
///
/// `STATUS_MORE_PROCESSING_REQUIRED` takes the IRP back from the I/O manager; anything else lets completion go on.
/// For WSK requests `DeviceObject` is null.
pub type PIO_COMPLETION_ROUTINE = unsafe extern "system" fn(
    DeviceObject: *mut DEVICE_OBJECT,
    Irp: *mut IRP,
    Context: *mut c_void,
) -> NTSTATUS;

/// One driver's part of an IRP (`wdm.h`). The array lies behind the IRP; the next driver's has the lower address.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct IO_STACK_LOCATION {
    /// `IRP_MJ_*`.
    pub MajorFunction: u8,
    pub MinorFunction: u8,
    pub Flags: u8,
    /// `SL_*`.
    pub Control: u8,
    pub Parameters: IO_STACK_LOCATION_PARAMETERS,
    /// Null for WSK requests.
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub FileObject: *mut FILE_OBJECT,
    /// Routine of the driver *above* this location.
    pub CompletionRoutine: Option<PIO_COMPLETION_ROUTINE>,
    pub Context: *mut c_void,
}
layout!(IO_STACK_LOCATION: 72, 8;
    MajorFunction 0x00, MinorFunction 0x01, Flags 0x02, Control 0x03, Parameters 0x08, DeviceObject 0x28,
    FileObject 0x30, CompletionRoutine 0x38, Context 0x40);
/// Pointer to [`IO_STACK_LOCATION`].
pub type PIO_STACK_LOCATION = *mut IO_STACK_LOCATION;

/// `IO_STACK_LOCATION.Parameters`: the members for requests that reach a control device or a file.
#[repr(C)]
#[derive(Clone, Copy)]
pub union IO_STACK_LOCATION_PARAMETERS {
    pub Create: IO_PARAMETERS_CREATE,
    pub Read: IO_PARAMETERS_READ_WRITE,
    pub Write: IO_PARAMETERS_READ_WRITE,
    pub QueryFile: IO_PARAMETERS_QUERY_FILE,
    pub FileSystemControl: IO_PARAMETERS_FILE_SYSTEM_CONTROL,
    pub DeviceIoControl: IO_PARAMETERS_DEVICE_IO_CONTROL,
    pub Others: IO_PARAMETERS_OTHERS,
}
layout!(IO_STACK_LOCATION_PARAMETERS: 32, 8;
    Create 0x0, Read 0x0, Write 0x0, QueryFile 0x0, FileSystemControl 0x0, DeviceIoControl 0x0, Others 0x0);

/// `Parameters.Create`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_PARAMETERS_CREATE {
    pub SecurityContext: *mut c_void,
    pub Options: u32,
    pub Pad0: u32,
    pub FileAttributes: u16,
    pub ShareAccess: u16,
    pub Pad1: u32,
    pub EaLength: u32,
    pub Pad2: u32,
}
layout!(IO_PARAMETERS_CREATE: 32, 8;
    SecurityContext 0x0, Options 0x8, Pad0 0xC, FileAttributes 0x10, ShareAccess 0x12, Pad1 0x14, EaLength 0x18,
    Pad2 0x1C);

/// `Parameters.Read` and `Parameters.Write`. Lengths and offsets are bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_PARAMETERS_READ_WRITE {
    pub Length: u32,
    pub Pad0: u32,
    pub Key: u32,
    /// Absent from older headers.
    pub Flags: u32,
    pub ByteOffset: LARGE_INTEGER,
}
layout!(IO_PARAMETERS_READ_WRITE: 24, 8; Length 0x0, Pad0 0x4, Key 0x8, Flags 0xC, ByteOffset 0x10);

/// `Parameters.QueryFile`.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub struct IO_PARAMETERS_QUERY_FILE {
    pub Length: u32,
    pub Pad0: u32,
    pub FileInformationClass: i32,
    pub Pad1: u32,
}
layout!(IO_PARAMETERS_QUERY_FILE: 16, 8; Length 0x0, Pad0 0x4, FileInformationClass 0x8, Pad1 0xC);

/// `Parameters.FileSystemControl`. Lengths are bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_PARAMETERS_FILE_SYSTEM_CONTROL {
    pub OutputBufferLength: u32,
    pub Pad0: u32,
    pub InputBufferLength: u32,
    pub Pad1: u32,
    pub FsControlCode: u32,
    pub Pad2: u32,
    pub Type3InputBuffer: *mut c_void,
}
layout!(IO_PARAMETERS_FILE_SYSTEM_CONTROL: 32, 8;
    OutputBufferLength 0x0, Pad0 0x4, InputBufferLength 0x8, Pad1 0xC, FsControlCode 0x10, Pad2 0x14,
    Type3InputBuffer 0x18);

/// `Parameters.DeviceIoControl`. Lengths are bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_PARAMETERS_DEVICE_IO_CONTROL {
    pub OutputBufferLength: u32,
    pub Pad0: u32,
    pub InputBufferLength: u32,
    pub Pad1: u32,
    /// See [`CTL_CODE`](super::CTL_CODE).
    pub IoControlCode: u32,
    pub Pad2: u32,
    /// Only for [`METHOD_NEITHER`](super::METHOD_NEITHER): a user address.
    pub Type3InputBuffer: *mut c_void,
}
layout!(IO_PARAMETERS_DEVICE_IO_CONTROL: 32, 8;
    OutputBufferLength 0x0, Pad0 0x4, InputBufferLength 0x8, Pad1 0xC, IoControlCode 0x10, Pad2 0x14,
    Type3InputBuffer 0x18);

/// `Parameters.Others`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_PARAMETERS_OTHERS {
    pub Argument1: *mut c_void,
    pub Argument2: *mut c_void,
    pub Argument3: *mut c_void,
    pub Argument4: *mut c_void,
}
layout!(IO_PARAMETERS_OTHERS: 32, 8; Argument1 0x0, Argument2 0x8, Argument3 0x10, Argument4 0x18);

/// The driver has returned `STATUS_PENDING`, or will.
pub const SL_PENDING_RETURNED: u8 = 0x01;
pub const SL_ERROR_RETURNED: u8 = 0x02;
/// Call the completion routine when `IRP.Cancel` is set.
pub const SL_INVOKE_ON_CANCEL: u8 = 0x20;
/// Call the completion routine when the status is a success.
pub const SL_INVOKE_ON_SUCCESS: u8 = 0x40;
/// Call the completion routine when the status is a failure.
pub const SL_INVOKE_ON_ERROR: u8 = 0x80;

bitflags! {
    /// `IO_STACK_LOCATION.Control` (`wdm.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct SL_CONTROL: u8 {
        const PENDING_RETURNED = SL_PENDING_RETURNED;
        const ERROR_RETURNED = SL_ERROR_RETURNED;
        const INVOKE_ON_CANCEL = SL_INVOKE_ON_CANCEL;
        const INVOKE_ON_SUCCESS = SL_INVOKE_ON_SUCCESS;
        const INVOKE_ON_ERROR = SL_INVOKE_ON_ERROR;
    }
}

pub const IRP_MJ_CREATE: u8 = 0x00;
pub const IRP_MJ_CREATE_NAMED_PIPE: u8 = 0x01;
pub const IRP_MJ_CLOSE: u8 = 0x02;
pub const IRP_MJ_READ: u8 = 0x03;
pub const IRP_MJ_WRITE: u8 = 0x04;
pub const IRP_MJ_QUERY_INFORMATION: u8 = 0x05;
pub const IRP_MJ_SET_INFORMATION: u8 = 0x06;
pub const IRP_MJ_QUERY_EA: u8 = 0x07;
pub const IRP_MJ_SET_EA: u8 = 0x08;
pub const IRP_MJ_FLUSH_BUFFERS: u8 = 0x09;
pub const IRP_MJ_QUERY_VOLUME_INFORMATION: u8 = 0x0A;
pub const IRP_MJ_SET_VOLUME_INFORMATION: u8 = 0x0B;
pub const IRP_MJ_DIRECTORY_CONTROL: u8 = 0x0C;
pub const IRP_MJ_FILE_SYSTEM_CONTROL: u8 = 0x0D;
pub const IRP_MJ_DEVICE_CONTROL: u8 = 0x0E;
pub const IRP_MJ_INTERNAL_DEVICE_CONTROL: u8 = 0x0F;
pub const IRP_MJ_SHUTDOWN: u8 = 0x10;
pub const IRP_MJ_LOCK_CONTROL: u8 = 0x11;
pub const IRP_MJ_CLEANUP: u8 = 0x12;
pub const IRP_MJ_CREATE_MAILSLOT: u8 = 0x13;
pub const IRP_MJ_QUERY_SECURITY: u8 = 0x14;
pub const IRP_MJ_SET_SECURITY: u8 = 0x15;
pub const IRP_MJ_POWER: u8 = 0x16;
pub const IRP_MJ_SYSTEM_CONTROL: u8 = 0x17;
pub const IRP_MJ_DEVICE_CHANGE: u8 = 0x18;
pub const IRP_MJ_QUERY_QUOTA: u8 = 0x19;
pub const IRP_MJ_SET_QUOTA: u8 = 0x1A;
pub const IRP_MJ_PNP: u8 = 0x1B;
/// Last index of `DRIVER_OBJECT.MajorFunction`.
pub const IRP_MJ_MAXIMUM_FUNCTION: u8 = IRP_MJ_PNP;
