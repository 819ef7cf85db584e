//! Entries of the System event log (the error-log part of `wdm.h`). IRQL up to `DISPATCH_LEVEL`.

use core::ffi::c_void;

use crate::{NTSTATUS, layout};

/// An entry (`IO_ERROR_LOG_PACKET`). `DumpData` and the strings follow in the same allocation.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_ERROR_LOG_PACKET {
    /// `IRP_MJ_*` of the request that failed, or 0.
    pub MajorFunctionCode: u8,
    pub RetryCount: u8,
    /// Bytes of `DumpData`, a multiple of 4.
    pub DumpDataSize: u16,
    /// Strings: UTF-16 with NUL, one behind the other; the message calls them `%2`, `%3`, ….
    pub NumberOfStrings: u16,
    /// Bytes from the front of the entry to the first string.
    pub StringOffset: u16,
    pub EventCategory: u16,
    /// Number of the message in the driver's message table.
    pub ErrorCode: NTSTATUS,
    /// Where in the driver.
    pub UniqueErrorValue: u32,
    /// Status the request ended with.
    pub FinalStatus: NTSTATUS,
    pub SequenceNumber: u32,
    /// Code of the failed request if it was a device control.
    pub IoControlCode: u32,
    pub DeviceOffset: i64,
    /// The declared length 1 stands for `DumpDataSize` / 4.
    pub DumpData: [u32; 1],
}

layout!(IO_ERROR_LOG_PACKET: 0x30, 8;
    MajorFunctionCode 0x00, RetryCount 0x01, DumpDataSize 0x02, NumberOfStrings 0x04, StringOffset 0x06,
    EventCategory 0x08, ErrorCode 0x0C, UniqueErrorValue 0x10, FinalStatus 0x14, SequenceNumber 0x18,
    IoControlCode 0x1C, DeviceOffset 0x20, DumpData 0x28,
);

/// Bytes of the largest entry on 64-bit systems.
pub const ERROR_LOG_MAXIMUM_SIZE: u8 = 240;

/// `IoAllocateErrorLogEntry`: an entry of `EntrySize` bytes, or null. `IoObject` is the driver or a device.
pub type PFN_IO_ALLOCATE_ERROR_LOG_ENTRY =
    unsafe extern "system" fn(IoObject: *mut c_void, EntrySize: u8) -> *mut IO_ERROR_LOG_PACKET;

/// `IoWriteErrorLogEntry`: takes the entry over.
pub type PFN_IO_WRITE_ERROR_LOG_ENTRY = unsafe extern "system" fn(ElEntry: *mut IO_ERROR_LOG_PACKET);

/// `IoFreeErrorLogEntry`: gives an entry back that will not be written.
pub type PFN_IO_FREE_ERROR_LOG_ENTRY = unsafe extern "system" fn(ElEntry: *mut IO_ERROR_LOG_PACKET);
