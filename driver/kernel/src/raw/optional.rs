//! Routines that not every system has, looked up once by name.
//!
//! An import that is missing would keep the driver from loading (Windows) or raise when it is called (Wine).

use core::ffi::c_void;
use core::{mem, ptr};

use abi::etw::{PFN_ETW_REGISTER, PFN_ETW_SET_INFORMATION, PFN_ETW_UNREGISTER, PFN_ETW_WRITE_TRANSFER};
use abi::nt::{NonPagedPoolNx, POOL_FLAG_NON_PAGED, PROCESSOR_NUMBER, UNICODE_STRING};
use spin::Once;

use super::MmGetSystemRoutineAddress;

/// `ExAllocatePool2` (`wdm.h`): Windows 10, version 2004 and later.
type ExAllocatePool2 = unsafe extern "system-unwind" fn(flags: u64, bytes: usize, tag: u32) -> *mut c_void;
/// `ExAllocatePoolWithTag` (`wdm.h`): every system; deprecated where there is the other.
type ExAllocatePoolWithTag =
    unsafe extern "system-unwind" fn(pool_type: i32, bytes: usize, tag: u32) -> *mut c_void;

/// `KeGetCurrentProcessorNumberEx` (`wdm.h`): Windows 7 and later.
type KeGetCurrentProcessorNumberEx = unsafe extern "system-unwind" fn(number: *mut PROCESSOR_NUMBER) -> u32;

/// Event Tracing for Windows: all of it or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Etw {
    pub(crate) register: PFN_ETW_REGISTER,
    pub(crate) unregister: PFN_ETW_UNREGISTER,
    pub(crate) set_information: PFN_ETW_SET_INFORMATION,
    pub(crate) write_transfer: PFN_ETW_WRITE_TRANSFER,
}

/// The system's allocator.
#[derive(Clone, Copy)]
enum Allocator {
    Zeroing(ExAllocatePool2),
    Plain(ExAllocatePoolWithTag),
    /// A system without either has no memory to give.
    Missing,
}

/// The address of a routine the kernel exports, or null. PASSIVE_LEVEL.
fn routine<const CHARACTERS: usize>(name: &[u8; CHARACTERS]) -> *mut c_void {
    let mut text = name.map(u16::from);
    let bytes = u16::try_from(size_of_val(&text)).unwrap_or(0);
    let mut name = UNICODE_STRING { Length: bytes, MaximumLength: bytes, Buffer: text.as_mut_ptr() };
    // SAFETY: the string and its buffer live during the call, which only reads them.
    unsafe { MmGetSystemRoutineAddress(&raw mut name) }
}

fn allocator() -> Allocator {
    static ALLOCATOR: Once<Allocator> = Once::new();
    *ALLOCATOR.call_once(|| {
        let zeroing = routine(b"ExAllocatePool2");
        // SAFETY: null is `None`; otherwise the kernel exports a routine of this type under this name.
        let zeroing = unsafe { mem::transmute::<*mut c_void, Option<ExAllocatePool2>>(zeroing) };
        let plain = routine(b"ExAllocatePoolWithTag");
        // SAFETY: as above.
        let plain = unsafe { mem::transmute::<*mut c_void, Option<ExAllocatePoolWithTag>>(plain) };
        zeroing.map(Allocator::Zeroing).or(plain.map(Allocator::Plain)).unwrap_or(Allocator::Missing)
    })
}

fn processor_number() -> Option<KeGetCurrentProcessorNumberEx> {
    static NUMBER: Once<Option<KeGetCurrentProcessorNumberEx>> = Once::new();
    *NUMBER.call_once(|| {
        let number = routine(b"KeGetCurrentProcessorNumberEx");
        // SAFETY: null is `None`; otherwise the kernel exports a routine of this type under this name.
        unsafe { mem::transmute::<*mut c_void, Option<KeGetCurrentProcessorNumberEx>>(number) }
    })
}

/// ETW, if the system has what is used of it.
pub(crate) fn etw() -> Option<Etw> {
    static ETW: Once<Option<Etw>> = Once::new();
    *ETW.call_once(|| {
        let register = routine(b"EtwRegister");
        // SAFETY: null is `None`; otherwise the kernel exports a routine of this type under this name.
        let register = unsafe { mem::transmute::<*mut c_void, Option<PFN_ETW_REGISTER>>(register) };
        let unregister = routine(b"EtwUnregister");
        // SAFETY: as above.
        let unregister = unsafe { mem::transmute::<*mut c_void, Option<PFN_ETW_UNREGISTER>>(unregister) };
        let set = routine(b"EtwSetInformation");
        // SAFETY: as above.
        let set = unsafe { mem::transmute::<*mut c_void, Option<PFN_ETW_SET_INFORMATION>>(set) };
        let write = routine(b"EtwWriteTransfer");
        // SAFETY: as above.
        let write = unsafe { mem::transmute::<*mut c_void, Option<PFN_ETW_WRITE_TRANSFER>>(write) };
        Some(Etw {
            register: register?,
            unregister: unregister?,
            set_information: set?,
            write_transfer: write?,
        })
    })
}

/// Looks for the routines, so that later calls may come at a higher IRQL. PASSIVE_LEVEL.
pub(crate) fn resolve() {
    allocator();
    processor_number();
    etw();
}

/// The processor that this thread runs on at the moment; the first one where the system does not tell. IRQL ≤ DISPATCH_LEVEL.
pub(crate) fn current_processor() -> PROCESSOR_NUMBER {
    let mut number = PROCESSOR_NUMBER { Group: 0, Number: 0, Reserved: 0 };
    if let Some(get) = processor_number() {
        // SAFETY: any IRQL; the cell is writable.
        unsafe { get(&raw mut number) };
    }
    number
}

/// Zeroed non-paged pool, or null. `bytes` is not zero. IRQL ≤ DISPATCH_LEVEL.
pub(crate) fn allocate_zeroed(bytes: usize, tag: u32) -> *mut c_void {
    match allocator() {
        // SAFETY: non-paged; failure is null.
        Allocator::Zeroing(allocate) => unsafe { allocate(POOL_FLAG_NON_PAGED, bytes, tag) },
        Allocator::Plain(allocate) => {
            // SAFETY: non-paged and not executable; failure is null.
            let memory = unsafe { allocate(NonPagedPoolNx, bytes, tag) };
            if !memory.is_null() {
                // SAFETY: `bytes` fresh bytes.
                unsafe { ptr::write_bytes(memory.cast::<u8>(), 0, bytes) };
            }
            memory
        }
        Allocator::Missing => ptr::null_mut(),
    }
}
