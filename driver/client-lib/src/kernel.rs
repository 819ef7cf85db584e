//! The calls into `ntoskrnl.exe`. The client's own link line names its import library.

use core::ffi::c_void;
use core::ptr::{self, NonNull};

use abi::NTSTATUS;
use abi::nt::{
    ACCESS_MASK, BOOLEAN, DEVICE_OBJECT, EVENT_TYPE, Executive, FALSE, FILE_OBJECT, HANDLE, IRP, KEVENT,
    KPROCESSOR_MODE, KWAIT_REASON, KernelMode, LARGE_INTEGER, NonPagedPoolNx, NotificationEvent,
    OBJECT_ATTRIBUTES, PIO_STATUS_BLOCK, POBJECT_TYPE, POOL_TYPE,
};

unsafe extern "system" {
    fn ExAllocatePoolWithTag(PoolType: POOL_TYPE, NumberOfBytes: usize, Tag: u32) -> *mut c_void;
    fn ExFreePoolWithTag(P: *mut c_void, Tag: u32);
    fn KeInitializeEvent(Event: *mut KEVENT, Type: EVENT_TYPE, State: BOOLEAN);
    fn KeSetEvent(Event: *mut KEVENT, Increment: i32, Wait: BOOLEAN) -> i32;
    fn KeWaitForSingleObject(
        Object: *mut c_void,
        WaitReason: KWAIT_REASON,
        WaitMode: KPROCESSOR_MODE,
        Alertable: BOOLEAN,
        Timeout: *const LARGE_INTEGER,
    ) -> NTSTATUS;
    pub(crate) fn IoAllocateIrp(StackSize: i8, ChargeQuota: BOOLEAN) -> *mut IRP;
    pub(crate) fn IoFreeIrp(Irp: *mut IRP);
    pub(crate) fn IofCallDriver(DeviceObject: *mut DEVICE_OBJECT, Irp: *mut IRP) -> NTSTATUS;
    pub(crate) fn IoGetRelatedDeviceObject(FileObject: *mut FILE_OBJECT) -> *mut DEVICE_OBJECT;
    pub(crate) fn ObReferenceObjectByHandle(
        Handle: HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectType: POBJECT_TYPE,
        AccessMode: KPROCESSOR_MODE,
        Object: *mut *mut c_void,
        HandleInformation: *mut c_void,
    ) -> NTSTATUS;
    pub(crate) fn ObfDereferenceObject(Object: *mut c_void) -> isize;
    pub(crate) fn ZwClose(Handle: HANDLE) -> NTSTATUS;
    pub(crate) fn ZwOpenFile(
        FileHandle: *mut HANDLE,
        DesiredAccess: ACCESS_MASK,
        ObjectAttributes: *const OBJECT_ATTRIBUTES,
        IoStatusBlock: PIO_STATUS_BLOCK,
        ShareAccess: u32,
        OpenOptions: u32,
    ) -> NTSTATUS;
    pub(crate) fn ZwQueryVolumeInformationFile(
        FileHandle: HANDLE,
        IoStatusBlock: PIO_STATUS_BLOCK,
        FsInformation: *mut c_void,
        Length: u32,
        FsInformationClass: i32,
    ) -> NTSTATUS;
}

/// Pool tag, as a debugger shows it: `WrCl`.
const TAG: u32 = u32::from_le_bytes(*b"WrCl");

/// Non-paged memory, aligned to 16 bytes. Up to `DISPATCH_LEVEL`.
///
/// By the older allocator: `ExAllocatePool2` is missing before Windows 10 2004, and a client that linked it
/// would not load there.
pub(crate) fn allocate(bytes: usize) -> Option<NonNull<c_void>> {
    // SAFETY: not more than the documented IRQL; the size is not zero.
    NonNull::new(unsafe { ExAllocatePoolWithTag(NonPagedPoolNx, bytes, TAG) })
}

/// Frees what [`allocate`] gave. Up to `DISPATCH_LEVEL`.
///
/// # Safety
/// `block` is from there, and this is the last use.
pub(crate) unsafe fn free(block: NonNull<c_void>) {
    // SAFETY: the caller vouches for it.
    unsafe { ExFreePoolWithTag(block.as_ptr(), TAG) }
}

/// Makes a cleared notification event.
///
/// # Safety
/// `event` is resident memory for one, at its final address.
pub(crate) unsafe fn initialize_event(event: *mut KEVENT) {
    // SAFETY: the caller vouches for it.
    unsafe { KeInitializeEvent(event, NotificationEvent, FALSE) }
}

/// Sets an event. Up to `DISPATCH_LEVEL`.
///
/// # Safety
/// `event` is initialised.
pub(crate) unsafe fn set_event(event: *mut KEVENT) {
    // SAFETY: the caller vouches for it; with `Wait` false the dispatcher is released before the call
    // returns.
    unsafe { KeSetEvent(event, 0, FALSE) };
}

/// Waits for an event, however long it takes. `PASSIVE_LEVEL`.
///
/// # Safety
/// `event` is initialised. It may be on this thread's stack: a kernel-mode wait keeps that resident.
pub(crate) unsafe fn wait_for_event(event: *mut KEVENT) {
    // SAFETY: the caller vouches for it. Without a timeout and not alertable the wait ends in one way only.
    unsafe { KeWaitForSingleObject(event.cast(), Executive, KernelMode, FALSE, ptr::null()) };
}
