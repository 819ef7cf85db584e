//! The kernel's routines as symbols of the simulated kernel.
//!
//! The simulated kernel panics where the real one would stop the machine, hence `C-unwind`.

use core::ffi::c_void;
use core::ptr;

use abi::NTSTATUS;
use abi::ndis::{
    NDIS_FILTER_ATTRIBUTES, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_STATUS,
    NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION,
};
use abi::netio::{MIB_IPFORWARD_ROW2, MIB_UNICASTIPADDRESS_TABLE, PUNICAST_IPADDRESS_CHANGE_CALLBACK};
use abi::nmr::{NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS};
use abi::nt::{
    CriticalWorkQueue, DEVICE_OBJECT, DRIVER_OBJECT, DelayedWorkQueue, Executive, HANDLE, IRP, KDPC, KEVENT,
    KTIMER, KernelMode, MDL, MmCached, NotificationEvent, NotificationTimer, OBJECT_ATTRIBUTES, PIO_WORKITEM,
    PIO_WORKITEM_ROUTINE, PKDEFERRED_ROUTINE, PKSTART_ROUTINE, POBJECT_TYPE, SynchronizationEvent,
    UNICODE_STRING,
};
use abi::wsk::{SOCKADDR_INET, WSK_CLIENT_NPI, WSK_PROVIDER_NPI, WSK_REGISTRATION};

unsafe extern "C-unwind" {
    pub(crate) fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    pub(crate) fn MmGetSystemRoutineAddress(name: *mut UNICODE_STRING) -> *mut c_void;

    pub(crate) fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> !;
    fn DbgPrintEx(component: u32, level: u32, format: *const u8, text: *const u8) -> u32;

    pub(crate) fn KeGetCurrentIrql() -> u8;
    pub(crate) fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize) -> u8;
    pub(crate) fn KeReleaseSpinLock(lock: *mut usize, new: u8);

    fn KeInitializeEvent(event: *mut KEVENT, kind: i32, state: u8);
    pub(crate) fn KeSetEvent(event: *mut KEVENT, increment: i32, wait: u8) -> i32;
    pub(crate) fn KeClearEvent(event: *mut KEVENT);
    fn KeWaitForSingleObject(
        object: *mut c_void,
        reason: i32,
        mode: i8,
        alertable: u8,
        due: *const i64,
    ) -> NTSTATUS;
    fn KeQueryInterruptTime() -> u64;

    pub(crate) fn KeInitializeDpc(dpc: *mut KDPC, routine: PKDEFERRED_ROUTINE, context: *mut c_void);
    fn KeInsertQueueDpc(dpc: *mut KDPC, argument1: *mut c_void, argument2: *mut c_void) -> u8;
    pub(crate) fn KeFlushQueuedDpcs();
    fn KeInitializeTimerEx(timer: *mut KTIMER, kind: i32);
    fn KeSetTimerEx(timer: *mut KTIMER, due: i64, period_ms: i32, dpc: *mut KDPC) -> u8;
    pub(crate) fn KeCancelTimer(timer: *mut KTIMER) -> u8;

    pub(crate) fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT) -> PIO_WORKITEM;
    pub(crate) fn IoFreeWorkItem(item: PIO_WORKITEM);
    fn IoQueueWorkItem(item: PIO_WORKITEM, routine: PIO_WORKITEM_ROUTINE, queue: i32, context: *mut c_void);

    pub(crate) fn PsGetCurrentThreadId() -> HANDLE;
    fn PsCreateSystemThread(
        handle: *mut HANDLE,
        access: u32,
        attributes: *mut OBJECT_ATTRIBUTES,
        process: HANDLE,
        client_id: *mut c_void,
        routine: PKSTART_ROUTINE,
        context: *mut c_void,
    ) -> NTSTATUS;
    pub(crate) fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: POBJECT_TYPE,
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void,
    ) -> NTSTATUS;
    fn ObfReferenceObject(object: *mut c_void) -> isize;
    fn ObfDereferenceObject(object: *mut c_void) -> isize;
    pub(crate) fn ZwClose(handle: HANDLE) -> NTSTATUS;

    pub(crate) fn IoAllocateIrp(stack_size: i8, charge_quota: u8) -> *mut IRP;
    pub(crate) fn IoFreeIrp(irp: *mut IRP);
    pub(crate) fn IoReuseIrp(irp: *mut IRP, status: NTSTATUS);
    pub(crate) fn IoCancelIrp(irp: *mut IRP) -> u8;
    pub(crate) fn IoReleaseCancelSpinLock(irql: u8);
    pub(crate) fn IofCompleteRequest(irp: *mut IRP, boost: i8);

    pub(crate) fn IoAllocateMdl(
        address: *mut c_void,
        length: u32,
        secondary: u8,
        charge_quota: u8,
        irp: *mut IRP,
    ) -> *mut MDL;
    pub(crate) fn IoFreeMdl(mdl: *mut MDL);
    pub(crate) fn MmBuildMdlForNonPagedPool(mdl: *mut MDL);
    fn MmMapLockedPagesSpecifyCache(
        mdl: *mut MDL,
        mode: i8,
        cache: i32,
        address: *mut c_void,
        bug_check: u32,
        priority: u32,
    ) -> *mut c_void;

    pub(crate) fn WskRegister(npi: *mut WSK_CLIENT_NPI, registration: *mut WSK_REGISTRATION) -> NTSTATUS;
    pub(crate) fn WskCaptureProviderNPI(
        registration: *mut WSK_REGISTRATION,
        wait_timeout: u32,
        npi: *mut WSK_PROVIDER_NPI,
    ) -> NTSTATUS;
    pub(crate) fn WskReleaseProviderNPI(registration: *mut WSK_REGISTRATION);
    pub(crate) fn WskDeregister(registration: *mut WSK_REGISTRATION);

    pub(crate) fn NmrRegisterProvider(
        characteristics: *const NPI_PROVIDER_CHARACTERISTICS,
        context: *mut c_void,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    pub(crate) fn NmrDeregisterProvider(handle: HANDLE) -> NTSTATUS;
    pub(crate) fn NmrWaitForProviderDeregisterComplete(handle: HANDLE) -> NTSTATUS;
    pub(crate) fn NmrProviderDetachClientComplete(binding: HANDLE);
    pub(crate) fn NmrRegisterClient(
        characteristics: *const NPI_CLIENT_CHARACTERISTICS,
        context: *mut c_void,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    pub(crate) fn NmrDeregisterClient(handle: HANDLE) -> NTSTATUS;
    pub(crate) fn NmrWaitForClientDeregisterComplete(handle: HANDLE) -> NTSTATUS;
    pub(crate) fn NmrClientAttachProvider(
        binding: HANDLE,
        client_context: *mut c_void,
        client_dispatch: *const c_void,
        provider_context: *mut *mut c_void,
        provider_dispatch: *mut *const c_void,
    ) -> NTSTATUS;
    pub(crate) fn NmrClientDetachProviderComplete(binding: HANDLE);

    pub(crate) fn GetUnicastIpAddressTable(
        family: u16,
        table: *mut *mut MIB_UNICASTIPADDRESS_TABLE,
    ) -> NTSTATUS;
    pub(crate) fn FreeMibTable(table: *mut c_void);
    pub(crate) fn NotifyUnicastIpAddressChange(
        family: u16,
        callback: PUNICAST_IPADDRESS_CHANGE_CALLBACK,
        context: *mut c_void,
        initial: u8,
        handle: *mut HANDLE,
    ) -> NTSTATUS;
    pub(crate) fn CancelMibChangeNotify2(handle: HANDLE) -> NTSTATUS;
    pub(crate) fn GetBestRoute2(
        luid: *mut u64,
        index: u32,
        source: *const SOCKADDR_INET,
        destination: *const SOCKADDR_INET,
        sort_options: u32,
        route: *mut MIB_IPFORWARD_ROW2,
        best_source: *mut SOCKADDR_INET,
    ) -> NTSTATUS;

    pub(crate) fn NdisGetVersion() -> u32;
    pub(crate) fn NdisFRegisterFilterDriver(
        driver: *mut DRIVER_OBJECT,
        context: NDIS_HANDLE,
        characteristics: *const NDIS_FILTER_DRIVER_CHARACTERISTICS,
        handle: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS;
    pub(crate) fn NdisFDeregisterFilterDriver(handle: NDIS_HANDLE);
    pub(crate) fn NdisFSetAttributes(
        module: NDIS_HANDLE,
        context: NDIS_HANDLE,
        attributes: *const NDIS_FILTER_ATTRIBUTES,
    ) -> NDIS_STATUS;
    pub(crate) fn NdisFNetPnPEvent(
        module: NDIS_HANDLE,
        event: *mut NET_PNP_EVENT_NOTIFICATION,
    ) -> NDIS_STATUS;
    pub(crate) fn NdisFDevicePnPEventNotify(module: NDIS_HANDLE, event: *mut NET_DEVICE_PNP_EVENT);
}

/// # Safety
/// `text` ends in a zero byte.
pub(crate) unsafe fn debug_print(component: u32, level: u32, text: *const u8) {
    // SAFETY: one string argument for one `%s`.
    unsafe { DbgPrintEx(component, level, c"%s".as_ptr().cast(), text) };
}

/// # Safety
/// `object` is a dispatcher object that stays valid during the wait; `due` is null or readable.
pub(crate) unsafe fn wait(object: *mut c_void, due: *const i64) -> NTSTATUS {
    // SAFETY: as promised by the caller; not alertable.
    unsafe { KeWaitForSingleObject(object, Executive, KernelMode, 0, due) }
}

/// # Safety
/// `dpc` is initialised and not queued.
pub(crate) unsafe fn insert_dpc(dpc: *mut KDPC) {
    // SAFETY: as promised by the caller; there are no arguments.
    unsafe { KeInsertQueueDpc(dpc, ptr::null_mut(), ptr::null_mut()) };
}

pub(crate) fn interrupt_time() -> u64 {
    // SAFETY: any IRQL.
    unsafe { KeQueryInterruptTime() }
}

/// `KeInitializeEvent`.
///
/// # Safety
/// `event` is memory for an event that nobody waits for.
pub(crate) unsafe fn initialize_event(event: *mut KEVENT, synchronization: bool, state: bool) {
    let kind = if synchronization { SynchronizationEvent } else { NotificationEvent };
    // SAFETY: as promised by the caller.
    unsafe { KeInitializeEvent(event, kind, u8::from(state)) };
}

/// `KeInitializeTimerEx` of a notification timer.
///
/// # Safety
/// `timer` is memory for a timer that is not set.
pub(crate) unsafe fn initialize_timer(timer: *mut KTIMER) {
    // SAFETY: as promised by the caller.
    unsafe { KeInitializeTimerEx(timer, NotificationTimer) };
}

/// `KeSetTimerEx` for one time. Whether the timer was set already.
///
/// # Safety
/// Both are initialised and stay valid until the timer is cancelled or the DPC has begun.
pub(crate) unsafe fn set_timer(timer: *mut KTIMER, due: i64, dpc: *mut KDPC) -> bool {
    // SAFETY: as promised by the caller.
    let was_set = unsafe { KeSetTimerEx(timer, due, 0, dpc) };
    was_set != 0
}

/// `IoQueueWorkItem`.
///
/// # Safety
/// `item` is not queued and stays until its call begins; `routine` may be called with `context`.
pub(crate) unsafe fn queue_work_item(
    item: PIO_WORKITEM,
    routine: PIO_WORKITEM_ROUTINE,
    critical: bool,
    context: *mut c_void,
) {
    let queue = if critical { CriticalWorkQueue } else { DelayedWorkQueue };
    // SAFETY: as promised by the caller.
    unsafe { IoQueueWorkItem(item, routine, queue, context) };
}

/// `PsCreateSystemThread` in the system process, with full access for the handle.
///
/// # Safety
/// `handle` is writable and `attributes` valid; `routine` may be called with `context` on another thread.
pub(crate) unsafe fn create_system_thread(
    handle: *mut HANDLE,
    attributes: *mut OBJECT_ATTRIBUTES,
    routine: PKSTART_ROUTINE,
    context: *mut c_void,
) -> NTSTATUS {
    let (access, null) = (super::THREAD_ALL_ACCESS, ptr::null_mut());
    // SAFETY: as promised by the caller; a null process is the system's, and nobody asks for the client id.
    unsafe { PsCreateSystemThread(handle, access, attributes, null, ptr::null_mut(), routine, context) }
}

/// # Safety
/// `object` is an object.
pub(crate) unsafe fn reference(object: *mut c_void) {
    // SAFETY: as promised by the caller.
    unsafe { ObfReferenceObject(object) };
}

/// # Safety
/// The caller has a reference on `object` and gives it up.
pub(crate) unsafe fn dereference(object: *mut c_void) {
    // SAFETY: as promised by the caller.
    unsafe { ObfDereferenceObject(object) };
}

/// Maps the pages of an MDL for the kernel; null if there is no room for a mapping.
///
/// # Safety
/// `mdl` describes locked pages that are not mapped, and nobody else maps it meanwhile.
pub(crate) unsafe fn map_locked_pages(mdl: *mut MDL, priority: u32) -> *mut c_void {
    // SAFETY: as promised by the caller; any address will do, and failure gives null instead of a bug check.
    unsafe { MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, ptr::null_mut(), 0, priority) }
}
