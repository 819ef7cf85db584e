//! The kernel's routines on Windows: calls through `wdk-sys`, whose generated types are this project's by layout.
//!
//! C enumerations are named through `wdk-sys`, because their integer type depends on the headers it was made from.

#![expect(non_snake_case, reason = "the kernel's names")]

use core::arch::asm;
use core::ffi::c_void;
use core::mem::{align_of, size_of, transmute};
use core::ptr;

use abi::NTSTATUS;
use abi::ndis::{
    NDIS_FILTER_ATTRIBUTES, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_STATUS,
    NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION,
};
use abi::netio::{MIB_IPFORWARD_ROW2, MIB_UNICASTIPADDRESS_TABLE, PUNICAST_IPADDRESS_CHANGE_CALLBACK};
use abi::nmr::{NPI_CLIENT_CHARACTERISTICS, NPI_PROVIDER_CHARACTERISTICS};
use abi::nt::{
    DEVICE_OBJECT, DRIVER_OBJECT, HANDLE, IO_STACK_LOCATION, IRP, KDPC, KEVENT, KTIMER, KernelMode, MDL,
    OBJECT_ATTRIBUTES, PIO_WORKITEM, PIO_WORKITEM_ROUTINE, PKDEFERRED_ROUTINE, PKSTART_ROUTINE, POBJECT_TYPE,
    UNICODE_STRING,
};
use abi::wsk::{SOCKADDR_INET, WSK_CLIENT_NPI, WSK_PROVIDER_NPI, WSK_REGISTRATION};
use wdk_sys::ntddk;

/// Proves that a type of this project and the generated one are the same memory.
macro_rules! same_layout {
    ($($ours:ty = $theirs:ty),* $(,)?) => {
        const _: () = {
            $(assert!(size_of::<$ours>() == size_of::<$theirs>(), stringify!($ours));
            assert!(align_of::<$ours>() >= align_of::<$theirs>(), stringify!($ours));)*
        };
    };
}
same_layout!(
    IRP = wdk_sys::IRP,
    IO_STACK_LOCATION = wdk_sys::IO_STACK_LOCATION,
    MDL = wdk_sys::MDL,
    KEVENT = wdk_sys::KEVENT,
    KDPC = wdk_sys::KDPC,
    KTIMER = wdk_sys::KTIMER,
    OBJECT_ATTRIBUTES = wdk_sys::OBJECT_ATTRIBUTES,
    UNICODE_STRING = wdk_sys::UNICODE_STRING,
);

/// `KUSER_SHARED_DATA.InterruptTime`, which is what `KeQueryInterruptTime` reads.
const SHARED_INTERRUPT_TIME: usize = 0xFFFF_F780_0000_0008;

// Not among what `wdk-sys` declares.
#[link(name = "netio")]
unsafe extern "system" {
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
}

// As above.
#[link(name = "ndis")]
unsafe extern "system" {
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

/// Defines calls that differ from `wdk-sys`'s only in the types behind the pointers marked `[cast]`.
macro_rules! forward {
    ($(fn $name:ident($($argument:ident: $type:ty $([$cast:ident])?),*) $(-> $result:ty $([$after:ident])?)?;)*) => {
        $(
            /// # Safety
            /// As the routine's page says; the pointers are valid for it.
            pub(crate) unsafe fn $name($($argument: $type),*) $(-> $result)? {
                // SAFETY: as promised by the caller; the types behind the pointers are the same memory.
                let result = unsafe { ntddk::$name($($argument $(.$cast())?),*) };
                result $($(.$after())?)?
            }
        )*
    };
}

forward! {
    fn ExFreePoolWithTag(memory: *mut c_void, tag: u32);
    fn MmGetSystemRoutineAddress(name: *mut UNICODE_STRING [cast]) -> *mut c_void;

    fn KeAcquireSpinLockRaiseToDpc(lock: *mut usize [cast]) -> u8;
    fn KeReleaseSpinLock(lock: *mut usize [cast], new: u8);

    fn KeSetEvent(event: *mut KEVENT [cast], increment: i32, wait: u8) -> i32;
    fn KeClearEvent(event: *mut KEVENT [cast]);
    fn KeFlushQueuedDpcs();
    fn KeCancelTimer(timer: *mut KTIMER [cast]) -> u8;

    fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT [cast]) -> PIO_WORKITEM [cast];
    fn IoFreeWorkItem(item: PIO_WORKITEM [cast]);

    fn PsGetCurrentThreadId() -> HANDLE;
    fn ObReferenceObjectByHandle(
        handle: HANDLE,
        access: u32,
        kind: POBJECT_TYPE [cast],
        mode: i8,
        object: *mut *mut c_void,
        information: *mut c_void [cast]
    ) -> NTSTATUS;
    fn ZwClose(handle: HANDLE) -> NTSTATUS;

    fn IoAllocateIrp(stack_size: i8, charge_quota: u8) -> *mut IRP [cast];
    fn IoFreeIrp(irp: *mut IRP [cast]);
    fn IoReuseIrp(irp: *mut IRP [cast], status: NTSTATUS);
    fn IoCancelIrp(irp: *mut IRP [cast]) -> u8;
    fn IoReleaseCancelSpinLock(irql: u8);
    fn IofCompleteRequest(irp: *mut IRP [cast], boost: i8);

    fn IoAllocateMdl(
        address: *mut c_void,
        length: u32,
        secondary: u8,
        charge_quota: u8,
        irp: *mut IRP [cast]
    ) -> *mut MDL [cast];
    fn IoFreeMdl(mdl: *mut MDL [cast]);
    fn MmBuildMdlForNonPagedPool(mdl: *mut MDL [cast]);
}

/// # Safety
/// Never unsafe: any IRQL, any parameters.
pub(crate) unsafe fn KeBugCheckEx(code: u32, p1: usize, p2: usize, p3: usize, p4: usize) -> ! {
    let [p1, p2, p3, p4] = [p1, p2, p3, p4].map(|parameter| parameter as u64);
    // SAFETY: any IRQL, any parameters; it does not return.
    unsafe { ntddk::KeBugCheckEx(code, p1, p2, p3, p4) }
}

/// # Safety
/// `text` ends in a zero byte.
pub(crate) unsafe fn debug_print(component: u32, level: u32, text: *const u8) {
    // SAFETY: one string argument for one `%s`.
    unsafe { ntddk::DbgPrintEx(component, level, c"%s".as_ptr(), text) };
}

/// # Safety
/// Never unsafe: reads this processor's level.
pub(crate) unsafe fn KeGetCurrentIrql() -> u8 {
    let level: u64;
    // SAFETY: kernel code may read the task priority register, which is the IRQL.
    unsafe { asm!("mov {}, cr8", out(reg) level, options(nomem, nostack, preserves_flags)) };
    let [level, ..] = level.to_le_bytes();
    level
}

/// Units of 100 ns since the system started.
///
/// Read as x64 headers do inline. (Wine has a routine of that name, which counts milliseconds; it serves this read.)
///
/// Never inlined: Wine reads the page for the driver, but only for plain loads, and not when the load is part of an addition.
#[inline(never)]
pub(crate) fn interrupt_time() -> u64 {
    let time = ptr::with_exposed_provenance::<u64>(SHARED_INTERRUPT_TIME);
    // SAFETY: a page that is mapped at this address in every x64 Windows; 64-bit reads of it are atomic.
    unsafe { time.read_volatile() }
}

/// `KeInitializeEvent`.
///
/// # Safety
/// `event` is memory for an event that nobody waits for.
pub(crate) unsafe fn initialize_event(event: *mut KEVENT, synchronization: bool, state: bool) {
    use wdk_sys::_EVENT_TYPE::{NotificationEvent, SynchronizationEvent};
    let kind = if synchronization { SynchronizationEvent } else { NotificationEvent };
    // SAFETY: as promised by the caller.
    unsafe { ntddk::KeInitializeEvent(event.cast(), kind, u8::from(state)) };
}

/// # Safety
/// `object` is a dispatcher object that stays valid during the wait; `due` is null or readable.
pub(crate) unsafe fn wait(object: *mut c_void, due: *const i64) -> NTSTATUS {
    let due = due.cast_mut().cast();
    // SAFETY: as promised by the caller; not alertable. The kernel only reads the time.
    unsafe { ntddk::KeWaitForSingleObject(object, wdk_sys::_KWAIT_REASON::Executive, KernelMode, 0, due) }
}

/// `KeInitializeDpc`.
///
/// # Safety
/// `dpc` is memory for a DPC that is not queued; `routine` may be called with `context`.
pub(crate) unsafe fn KeInitializeDpc(dpc: *mut KDPC, routine: PKDEFERRED_ROUTINE, context: *mut c_void) {
    // SAFETY: the same calling convention on this target, and the same memory behind the pointers.
    let routine = unsafe { transmute::<PKDEFERRED_ROUTINE, wdk_sys::PKDEFERRED_ROUTINE>(routine) };
    // SAFETY: as promised by the caller.
    unsafe { ntddk::KeInitializeDpc(dpc.cast(), routine, context) };
}

/// # Safety
/// `dpc` is initialised and not queued.
pub(crate) unsafe fn insert_dpc(dpc: *mut KDPC) {
    // SAFETY: as promised by the caller; there are no arguments.
    unsafe { ntddk::KeInsertQueueDpc(dpc.cast(), ptr::null_mut(), ptr::null_mut()) };
}

/// `KeInitializeTimerEx` of a notification timer.
///
/// # Safety
/// `timer` is memory for a timer that is not set.
pub(crate) unsafe fn initialize_timer(timer: *mut KTIMER) {
    let kind = wdk_sys::_TIMER_TYPE::NotificationTimer;
    // SAFETY: as promised by the caller.
    unsafe { ntddk::KeInitializeTimerEx(timer.cast(), kind) };
}

/// `KeSetTimerEx` for one time. Whether the timer was set already.
///
/// # Safety
/// Both are initialised and stay valid until the timer is cancelled or the DPC has begun.
pub(crate) unsafe fn set_timer(timer: *mut KTIMER, due: i64, dpc: *mut KDPC) -> bool {
    let due = wdk_sys::LARGE_INTEGER { QuadPart: due };
    // SAFETY: as promised by the caller.
    let was_set = unsafe { ntddk::KeSetTimerEx(timer.cast(), due, 0, dpc.cast()) };
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
    use wdk_sys::_WORK_QUEUE_TYPE::{CriticalWorkQueue, DelayedWorkQueue};
    let queue = if critical { CriticalWorkQueue } else { DelayedWorkQueue };
    // SAFETY: the same calling convention on this target, and the same memory behind the pointers.
    let routine = unsafe { transmute::<PIO_WORKITEM_ROUTINE, wdk_sys::PIO_WORKITEM_ROUTINE>(routine) };
    // SAFETY: as promised by the caller.
    unsafe { ntddk::IoQueueWorkItem(item.cast(), routine, queue, context) };
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
    // SAFETY: the same calling convention on this target.
    let routine = unsafe { transmute::<PKSTART_ROUTINE, wdk_sys::PKSTART_ROUTINE>(routine) };
    let (access, attributes, null) = (super::THREAD_ALL_ACCESS, attributes.cast(), ptr::null_mut());
    // SAFETY: as promised by the caller; a null process is the system's, and nobody asks for the client id.
    unsafe {
        ntddk::PsCreateSystemThread(handle, access, attributes, null, ptr::null_mut(), routine, context)
    }
}

/// # Safety
/// `object` is an object.
pub(crate) unsafe fn reference(object: *mut c_void) {
    // SAFETY: as promised by the caller.
    unsafe { ntddk::ObfReferenceObject(object) };
}

/// # Safety
/// The caller has a reference on `object` and gives it up.
pub(crate) unsafe fn dereference(object: *mut c_void) {
    // SAFETY: as promised by the caller.
    unsafe { ntddk::ObfDereferenceObject(object) };
}

/// Maps the pages of an MDL for the kernel; null if there is no room for a mapping.
///
/// # Safety
/// `mdl` describes locked pages that are not mapped, and nobody else maps it meanwhile.
pub(crate) unsafe fn map_locked_pages(mdl: *mut MDL, priority: u32) -> *mut c_void {
    let (mdl, cache) = (mdl.cast(), wdk_sys::_MEMORY_CACHING_TYPE::MmCached);
    // SAFETY: as promised by the caller; any address will do, and failure gives null instead of a bug check.
    unsafe { ntddk::MmMapLockedPagesSpecifyCache(mdl, KernelMode, cache, ptr::null_mut(), 0, priority) }
}
