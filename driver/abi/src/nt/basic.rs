//! Scalars, strings, lists, identifiers and processor masks (`ntdef.h`, `wdm.h`).

use core::ffi::c_void;

use crate::{NTSTATUS, layout};

/// Pointer to anything (`ntdef.h`).
pub type PVOID = *mut c_void;
/// Kernel or user handle; zero or minus one where a page says so (`ntdef.h`).
pub type HANDLE = *mut c_void;
/// One byte; zero is false, everything else true (`ntdef.h`).
pub type BOOLEAN = u8;
/// `C` type of the kernel's small signed sizes and type codes (`ntdef.h`).
pub type CSHORT = i16;
/// UTF-16 code unit (`ntdef.h`).
pub type WCHAR = u16;
/// A 64-bit signed count; the halves of the C union are left out (`ntdef.h`).
pub type LARGE_INTEGER = i64;
/// A 64-bit unsigned count (`ntdef.h`).
pub type ULARGE_INTEGER = u64;
/// Physical address of a byte (`ntdef.h`).
pub type PHYSICAL_ADDRESS = i64;
/// Access rights to an object (`wdm.h`).
pub type ACCESS_MASK = u32;
/// Interrupt request level (`wdm.h`, *Managing Hardware Priorities*).
pub type KIRQL = u8;
/// Mode a request came from: [`KernelMode`] or [`UserMode`] (`wdm.h`).
pub type KPROCESSOR_MODE = i8;
/// Bit per processor of one group (`wdm.h`).
pub type KAFFINITY = usize;

pub const TRUE: BOOLEAN = 1;
pub const FALSE: BOOLEAN = 0;

/// Ordinary threads; everything is allowed.
pub const PASSIVE_LEVEL: KIRQL = 0;
/// Asynchronous procedure calls are held off; waits and paged memory are still allowed.
pub const APC_LEVEL: KIRQL = 1;
/// The dispatcher is held off: non-paged memory only, no waits.
pub const DISPATCH_LEVEL: KIRQL = 2;

pub const KernelMode: KPROCESSOR_MODE = 0;
pub const UserMode: KPROCESSOR_MODE = 1;

/// Bytes in a page on every 64-bit Windows.
pub const PAGE_SIZE: usize = 4096;
/// log2 of [`PAGE_SIZE`].
pub const PAGE_SHIFT: u32 = 12;
/// Alignment of pool blocks, IRPs and device objects (`wdm.h`).
pub const MEMORY_ALLOCATION_ALIGNMENT: usize = 16;

macro_rules! opaque {
    ($($(#[$doc:meta])* $name:ident, $pointer:ident;)*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Debug)]
            pub struct $name {
                Opaque: [u8; 0],
            }
            #[doc = concat!("Pointer to [`", stringify!($name), "`].")]
            pub type $pointer = *mut $name;
        )*
    };
}

opaque! {
    /// A process object; only ever behind a pointer (`wdm.h`).
    EPROCESS, PEPROCESS;
    /// A thread object; only ever behind a pointer (`wdm.h`).
    ETHREAD, PETHREAD;
    /// The kernel's part of a thread object (`wdm.h`).
    KTHREAD, PKTHREAD;
    /// Type of a kernel object, such as what `IoFileObjectType` points to (`wdm.h`).
    OBJECT_TYPE, POBJECT_TYPE;
}

/// Security descriptor in either form; only ever passed on (`ntdef.h`).
pub type PSECURITY_DESCRIPTOR = *mut c_void;

/// Globally unique identifier (`guiddef.h`): the first three fields are numbers, the last is bytes in print order.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}
layout!(GUID: 16, 4; Data1 0x0, Data2 0x4, Data3 0x6, Data4 0x8);

/// Locally unique identifier (`ntdef.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LUID {
    pub LowPart: u32,
    pub HighPart: i32,
}
layout!(LUID: 8, 4; LowPart 0x0, HighPart 0x4);

/// Doubly linked list head or link (`ntdef.h`). An empty head and an unlinked link point to themselves.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct LIST_ENTRY {
    pub Flink: *mut LIST_ENTRY,
    pub Blink: *mut LIST_ENTRY,
}
layout!(LIST_ENTRY: 16, 8; Flink 0x0, Blink 0x8);

/// Singly linked list head or link (`ntdef.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct SINGLE_LIST_ENTRY {
    pub Next: *mut SINGLE_LIST_ENTRY,
}
layout!(SINGLE_LIST_ENTRY: 8, 8; Next 0x0);

/// Counted UTF-16 string (`ntdef.h`). Lengths are bytes and leave out a terminating NUL, which need not be there.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct UNICODE_STRING {
    /// Bytes in use.
    pub Length: u16,
    /// Bytes of room.
    pub MaximumLength: u16,
    pub Buffer: *mut WCHAR,
}
layout!(UNICODE_STRING: 16, 8; Length 0x0, MaximumLength 0x2, Buffer 0x8);
/// Pointer to [`UNICODE_STRING`].
pub type PUNICODE_STRING = *mut UNICODE_STRING;
/// Pointer to a constant [`UNICODE_STRING`].
pub type PCUNICODE_STRING = *const UNICODE_STRING;

/// Final status and count of a request (`wdm.h`). In C `Status` shares its place with a pointer.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct IO_STATUS_BLOCK {
    pub Status: NTSTATUS,
    /// Bytes moved, or what the request's page says: for `WskSocket` and `WskAccept` the new socket.
    pub Information: usize,
}
layout!(IO_STATUS_BLOCK: 16, 8; Status 0x0, Information 0x8);
/// Pointer to [`IO_STATUS_BLOCK`].
pub type PIO_STATUS_BLOCK = *mut IO_STATUS_BLOCK;

/// Name and options of an object that is to be opened or made (`ntdef.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct OBJECT_ATTRIBUTES {
    /// Size of this structure in bytes.
    pub Length: u32,
    /// Directory the name is relative to; null for a full name.
    pub RootDirectory: HANDLE,
    pub ObjectName: PUNICODE_STRING,
    /// `OBJ_*`.
    pub Attributes: u32,
    pub SecurityDescriptor: *mut c_void,
    pub SecurityQualityOfService: *mut c_void,
}
layout!(OBJECT_ATTRIBUTES: 48, 8;
    Length 0x0, RootDirectory 0x8, ObjectName 0x10, Attributes 0x18, SecurityDescriptor 0x20,
    SecurityQualityOfService 0x28);

pub const OBJ_INHERIT: u32 = 0x0000_0002;
pub const OBJ_CASE_INSENSITIVE: u32 = 0x0000_0040;
pub const OBJ_OPENIF: u32 = 0x0000_0080;
/// The handle belongs to the system process and no user thread can use it.
pub const OBJ_KERNEL_HANDLE: u32 = 0x0000_0200;
pub const OBJ_FORCE_ACCESS_CHECK: u32 = 0x0000_0400;

/// Processors of one group (`miniport.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GROUP_AFFINITY {
    pub Mask: KAFFINITY,
    pub Group: u16,
    /// Zero; the kernel refuses anything else.
    pub Reserved: [u16; 3],
}
layout!(GROUP_AFFINITY: 16, 8; Mask 0x0, Group 0x8, Reserved 0xA);

/// One processor as group and number within it (`miniport.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PROCESSOR_NUMBER {
    pub Group: u16,
    pub Number: u8,
    pub Reserved: u8,
}
layout!(PROCESSOR_NUMBER: 4, 2; Group 0x0, Number 0x2, Reserved 0x3);
