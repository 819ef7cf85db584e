//! File objects and the constants for opening them (`wdm.h`).

use core::ffi::c_void;

use super::{BOOLEAN, CSHORT, DEVICE_OBJECT, KEVENT, KSPIN_LOCK, LARGE_INTEGER, LIST_ENTRY, UNICODE_STRING};
use crate::{NTSTATUS, layout};

/// An open file or device (`wdm.h`); the I/O manager's and, through the two contexts, the device's driver's.
#[repr(C)]
#[derive(Debug)]
pub struct FILE_OBJECT {
    /// [`IO_TYPE_FILE`](super::IO_TYPE_FILE).
    pub Type: CSHORT,
    pub Size: CSHORT,
    pub DeviceObject: *mut DEVICE_OBJECT,
    pub Vpb: *mut c_void,
    pub FsContext: *mut c_void,
    pub FsContext2: *mut c_void,
    pub SectionObjectPointer: *mut c_void,
    pub PrivateCacheMap: *mut c_void,
    pub FinalStatus: NTSTATUS,
    pub RelatedFileObject: *mut FILE_OBJECT,
    pub LockOperation: BOOLEAN,
    pub DeletePending: BOOLEAN,
    pub ReadAccess: BOOLEAN,
    pub WriteAccess: BOOLEAN,
    pub DeleteAccess: BOOLEAN,
    pub SharedRead: BOOLEAN,
    pub SharedWrite: BOOLEAN,
    pub SharedDelete: BOOLEAN,
    pub Flags: u32,
    pub FileName: UNICODE_STRING,
    pub CurrentByteOffset: LARGE_INTEGER,
    pub Waiters: u32,
    pub Busy: u32,
    pub LastLock: *mut c_void,
    pub Lock: KEVENT,
    pub Event: KEVENT,
    pub CompletionContext: *mut c_void,
    pub IrpListLock: KSPIN_LOCK,
    pub IrpList: LIST_ENTRY,
    pub FileObjectExtension: *mut c_void,
}
layout!(FILE_OBJECT: 216, 8;
    Type 0x00, Size 0x02, DeviceObject 0x08, Vpb 0x10, FsContext 0x18, FsContext2 0x20, SectionObjectPointer 0x28,
    PrivateCacheMap 0x30, FinalStatus 0x38, RelatedFileObject 0x40, LockOperation 0x48, DeletePending 0x49,
    ReadAccess 0x4A, WriteAccess 0x4B, DeleteAccess 0x4C, SharedRead 0x4D, SharedWrite 0x4E, SharedDelete 0x4F,
    Flags 0x50, FileName 0x58, CurrentByteOffset 0x68, Waiters 0x70, Busy 0x74, LastLock 0x78, Lock 0x80,
    Event 0x98, CompletionContext 0xB0, IrpListLock 0xB8, IrpList 0xC0, FileObjectExtension 0xD0);
/// Pointer to [`FILE_OBJECT`].
pub type PFILE_OBJECT = *mut FILE_OBJECT;

pub const FILE_READ_DATA: u32 = 0x0000_0001;
pub const FILE_WRITE_DATA: u32 = 0x0000_0002;
pub const SYNCHRONIZE: u32 = 0x0010_0000;
pub const GENERIC_READ: u32 = 0x8000_0000;
pub const GENERIC_WRITE: u32 = 0x4000_0000;
pub const FILE_SHARE_READ: u32 = 0x0000_0001;
pub const FILE_SHARE_WRITE: u32 = 0x0000_0002;
pub const FILE_SHARE_DELETE: u32 = 0x0000_0004;
pub const FILE_ATTRIBUTE_NORMAL: u32 = 0x0000_0080;
/// `CreateDisposition`: open what exists.
pub const FILE_OPEN: u32 = 0x0000_0001;
pub const FILE_SYNCHRONOUS_IO_NONALERT: u32 = 0x0000_0020;
pub const FILE_NON_DIRECTORY_FILE: u32 = 0x0000_0040;
