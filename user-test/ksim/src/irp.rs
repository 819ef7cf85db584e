//! The I/O manager's treatment of IRPs: allocation, completion, cancellation.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, DISPATCH_LEVEL, FALSE, IO_PARAMETERS_OTHERS, IO_STACK_LOCATION, IO_TYPE_IRP, IRP, KIRQL,
    PDRIVER_CANCEL, PIO_COMPLETION_ROUTINE, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
    SL_PENDING_RETURNED, TRUE,
};
use abi::status::{STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, nt_success};

use crate::stop::{
    CANCEL_STATE_IN_COMPLETED_IRP, DRIVER_VERIFIER_IOMANAGER_VIOLATION, IRQL_UNEXPECTED_VALUE,
    MULTIPLE_IRP_COMPLETE_REQUESTS,
};
use crate::{bare, pool, processor, sim, spinlock, stop, tally};

const TAG: u32 = u32::from_le_bytes(*b"Irp ");

/// The system's one cancel spin lock.
static CANCEL_LOCK: AtomicUsize = AtomicUsize::new(0);

/// Bytes of an IRP with that many locations (`IoSizeOfIrp`).
#[must_use]
pub const fn size_of_irp(stack_size: i8) -> usize {
    size_of::<IRP>() + stack_size.unsigned_abs() as usize * size_of::<IO_STACK_LOCATION>()
}

/// The place of `Tail.Overlay.CurrentStackLocation`.
///
/// # Safety
/// `irp` is valid.
pub(crate) unsafe fn current_location(irp: *mut IRP) -> *mut *mut IO_STACK_LOCATION {
    // SAFETY: as promised by the caller; only an address is computed.
    unsafe { &raw mut (*irp).Tail.Overlay.CurrentStackLocation }
}

/// # Safety
/// `irp` has at least `stack_size` locations behind it and is nobody's.
unsafe fn initialize(irp: *mut IRP, bytes: usize, stack_size: i8) {
    // SAFETY: as promised by the caller.
    unsafe { irp.cast::<u8>().write_bytes(0, bytes) };
    let header = size_of_irp(0);
    // SAFETY: as promised by the caller; all zeroes are a valid IRP.
    let fields = unsafe { &mut *irp };
    fields.Type = IO_TYPE_IRP;
    fields.Size = u16::try_from(bytes).unwrap_or(u16::MAX);
    fields.StackCount = stack_size;
    fields.CurrentLocation = stack_size + 1;
    let end = header + usize::from(stack_size.unsigned_abs()) * size_of::<IO_STACK_LOCATION>();
    // SAFETY: the locations lie behind the IRP, in the same memory.
    fields.Tail.Overlay.CurrentStackLocation = unsafe { irp.byte_add(end) }.cast();
}

/// What is wrong with an IRP that somebody hands over as a live one, if anything.
///
/// # Safety
/// `irp` is readable: live, or freed not long ago.
unsafe fn not_live(irp: *mut IRP) -> Option<&'static str> {
    // SAFETY: as promised by the caller.
    match unsafe { (*irp).Type } {
        IO_TYPE_IRP => None,
        _ => Some("is no IRP, or freed"),
    }
}

/// # Safety
/// `irp` is readable.
unsafe fn require_not_outstanding(irp: *mut IRP, routine: &str) {
    if bare::is_unchecked() {
        return;
    }
    // SAFETY: as promised by the caller.
    if let Some(why) = unsafe { not_live(irp) } {
        stop!(DRIVER_VERIFIER_IOMANAGER_VIOLATION, "{routine}: {:#x} {why}", irp.addr());
    }
    // SAFETY: as promised by the caller.
    let fields = unsafe { &*irp };
    if fields.CurrentLocation <= fields.StackCount {
        stop!(DRIVER_VERIFIER_IOMANAGER_VIOLATION, "{routine}: the IRP at {:#x} is outstanding", irp.addr());
    }
}

/// `IoAllocateIrp`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn IoAllocateIrp(stack_size: i8, _charge_quota: u8) -> *mut IRP {
    let bytes = size_of_irp(stack_size);
    let irp = pool::allocate(bytes, TAG, 0).cast::<IRP>();
    if !irp.is_null() {
        // SAFETY: a fresh allocation with that many locations.
        unsafe { initialize(irp, bytes, stack_size) };
    }
    irp
}

/// `IoInitializeIrp`.
///
/// # Safety
/// `irp` is `packet_size` bytes of memory, enough for `stack_size` locations.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn IoInitializeIrp(irp: *mut IRP, packet_size: u16, stack_size: i8) {
    if usize::from(packet_size) < size_of_irp(stack_size) {
        stop!(
            DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            "{packet_size} bytes for an IRP with {stack_size} locations"
        );
    }
    // SAFETY: as promised by the caller.
    unsafe { initialize(irp, usize::from(packet_size), stack_size) };
}

/// `IoFreeIrp`.
///
/// # Safety
/// `irp` came from `IoAllocateIrp`.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoFreeIrp(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    unsafe { require_not_outstanding(irp, "IoFreeIrp") };
    pool::free(irp.cast(), TAG);
}

/// `IoReuseIrp`.
///
/// # Safety
/// `irp` is valid.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoReuseIrp(irp: *mut IRP, status: NTSTATUS) {
    // SAFETY: as promised by the caller.
    unsafe { require_not_outstanding(irp, "IoReuseIrp") };
    // SAFETY: as promised by the caller.
    let stack_size = unsafe { (*irp).StackCount };
    // SAFETY: as promised by the caller; nobody else has it.
    unsafe { initialize(irp, size_of_irp(stack_size), stack_size) };
    // SAFETY: as above.
    unsafe { (*irp).IoStatus.Status = status };
}

/// The cancel routine's slot, which everybody exchanges atomically.
///
/// # Safety
/// `irp` is valid for `'irp`.
pub(crate) unsafe fn cancel_routine<'irp>(irp: *mut IRP) -> &'irp AtomicPtr<()> {
    // SAFETY: as promised by the caller.
    let slot = unsafe { &raw mut (*irp).CancelRoutine };
    // SAFETY: a nullable function pointer is one word.
    unsafe { AtomicPtr::from_ptr(slot.cast()) }
}

/// Stops unless the IRP may be completed now.
///
/// # Safety
/// `irp` is readable: live, or freed not long ago.
unsafe fn require_completable(irp: *mut IRP) {
    if bare::is_unchecked() {
        return;
    }
    let address = irp.addr();
    processor::require_at_most(DISPATCH_LEVEL, "IofCompleteRequest");
    processor::require_no_locks(DRIVER_VERIFIER_IOMANAGER_VIOLATION, "IofCompleteRequest");
    // SAFETY: as promised by the caller.
    if let Some(why) = unsafe { not_live(irp) } {
        stop!(MULTIPLE_IRP_COMPLETE_REQUESTS, "{address:#x} {why}");
    }
    // SAFETY: as promised by the caller.
    let fields = unsafe { &*irp };
    if fields.CurrentLocation > fields.StackCount {
        stop!(MULTIPLE_IRP_COMPLETE_REQUESTS, "the IRP at {address:#x} has no location left to complete");
    }
    // Minus one is what a driver gets that never set a status.
    if matches!(fields.IoStatus.Status, STATUS_PENDING | -1) {
        let status = fields.IoStatus.Status;
        stop!(
            DRIVER_VERIFIER_IOMANAGER_VIOLATION,
            "the IRP at {address:#x} is completed with status {status:#x}"
        );
    }
    // SAFETY: as promised by the caller.
    if !unsafe { cancel_routine(irp) }.load(Ordering::Acquire).is_null() {
        stop!(
            CANCEL_STATE_IN_COMPLETED_IRP,
            "the IRP at {address:#x} is completed with its cancel routine set"
        );
    }
}

/// Whether a location asks for its routine to be called.
fn wants_call(control: u8, status: NTSTATUS, cancelled: bool) -> bool {
    let result = if nt_success(status) { SL_INVOKE_ON_SUCCESS } else { SL_INVOKE_ON_ERROR };
    control & result != 0 || (cancelled && control & SL_INVOKE_ON_CANCEL != 0)
}

/// `IofCompleteRequest`: takes the locations off from the completing driver's upwards and calls their routines.
///
/// # Safety
/// `irp` is an IRP.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IofCompleteRequest(irp: *mut IRP, _boost: i8) {
    // SAFETY: as promised by the caller.
    unsafe { require_completable(irp) };
    tally::note(|counts| counts.completed_irps += 1);
    sim::point("IofCompleteRequest");
    // SAFETY: until a routine keeps the IRP, it is the I/O manager's.
    while let Some(popped) = unsafe { pop_location(irp) } {
        match popped.routine {
            Some(routine) => {
                let level = processor::irql();
                // SAFETY: set by the driver above for this call.
                let status = unsafe { routine(popped.device_above, irp, popped.context) };
                if processor::irql() != level {
                    stop!(
                        IRQL_UNEXPECTED_VALUE,
                        "a completion routine called at {level} returned at another IRQL"
                    );
                }
                processor::require_no_locks(IRQL_UNEXPECTED_VALUE, "a completion routine's return");
                if status == STATUS_MORE_PROCESSING_REQUIRED {
                    return;
                }
            }
            // SAFETY: the I/O manager's, as above.
            None => unsafe { propagate_pending(irp) },
        }
    }
    stop!(
        DRIVER_VERIFIER_IOMANAGER_VIOLATION,
        "the IRP at {:#x} was allocated by a driver, but no routine kept it with MORE_PROCESSING_REQUIRED",
        irp.addr(),
    );
}

/// A location that has been taken off, as far as it is needed afterwards.
struct Popped {
    /// The routine, if it is to be called.
    routine: Option<PIO_COMPLETION_ROUTINE>,
    context: *mut c_void,
    /// The device object of the location above; null at the top.
    device_above: *mut DEVICE_OBJECT,
}

/// Takes the current location off; `None` at the end.
///
/// # Safety
/// `irp` is the I/O manager's.
unsafe fn pop_location(irp: *mut IRP) -> Option<Popped> {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_location(irp) };
    // SAFETY: as promised by the caller.
    let fields = unsafe { &mut *irp };
    if fields.CurrentLocation > fields.StackCount {
        return None;
    }
    // SAFETY: a field of the IRP.
    let location = unsafe { *place };
    // SAFETY: the location was taken, so it is one of the IRP's.
    let above = unsafe { location.add(1) };
    // SAFETY: as above; used up from here on.
    let location = unsafe { &mut *location };
    fields.CurrentLocation += 1;
    fields.Tail.Overlay.CurrentStackLocation = above;
    fields.PendingReturned = location.Control & SL_PENDING_RETURNED;
    let called = wants_call(location.Control, fields.IoStatus.Status, fields.Cancel != 0);
    let device_above = if fields.CurrentLocation > fields.StackCount {
        ptr::null_mut()
    } else {
        // SAFETY: not the end, so a location of the IRP's.
        unsafe { (*above).DeviceObject }
    };
    clear_location(location);
    Some(Popped {
        routine: location.CompletionRoutine.filter(|_| called),
        context: location.Context,
        device_above,
    })
}

/// Marks the location above pending if the one taken off was, because no routine has had the chance to do so.
///
/// # Safety
/// `irp` is the I/O manager's.
unsafe fn propagate_pending(irp: *mut IRP) {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_location(irp) };
    // SAFETY: as promised by the caller.
    let fields = unsafe { &*irp };
    if fields.PendingReturned != 0 && fields.CurrentLocation <= fields.StackCount {
        // SAFETY: a field of the IRP.
        let above = unsafe { *place };
        // SAFETY: not the end, so a location of the IRP's.
        unsafe { (*above).Control |= SL_PENDING_RETURNED };
    }
}

/// Makes a used location look unused, but leaves the routine and its context, as the kernel does.
fn clear_location(location: &mut IO_STACK_LOCATION) {
    location.MinorFunction = 0;
    location.Flags = 0;
    location.Control = 0;
    location.FileObject = ptr::null_mut();
    let null = ptr::null_mut();
    location.Parameters.Others =
        IO_PARAMETERS_OTHERS { Argument1: null, Argument2: null, Argument3: null, Argument4: null };
}

/// `IoCancelIrp`.
///
/// # Safety
/// `irp` is an IRP that is not freed during the call unless its cancel routine completes it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn IoCancelIrp(irp: *mut IRP) -> u8 {
    processor::require_at_most(DISPATCH_LEVEL, "IoCancelIrp");
    let (level, locks) = (processor::irql(), processor::locks_held());
    let irql = spinlock::acquire(&CANCEL_LOCK);
    // SAFETY: as promised by the caller.
    if let Some(why) = unsafe { not_live(irp) } {
        // A test goes on after the stop, and so do those beside it.
        spinlock::release(&CANCEL_LOCK, irql);
        stop!(DRIVER_VERIFIER_IOMANAGER_VIOLATION, "IoCancelIrp: {:#x} {why}", irp.addr());
    }
    // SAFETY: as promised by the caller.
    let cancel = unsafe { &raw mut (*irp).Cancel };
    // SAFETY: a byte of a valid IRP, which others read atomically.
    unsafe { AtomicU8::from_ptr(cancel) }.store(1, Ordering::Release);
    sim::point("IoCancelIrp");
    // SAFETY: as promised by the caller.
    let routine = unsafe { cancel_routine(irp) }.swap(ptr::null_mut(), Ordering::AcqRel);
    // SAFETY: null is `None`, and anything else was stored as a function pointer of this type.
    let routine = unsafe { std::mem::transmute::<*mut (), Option<PDRIVER_CANCEL>>(routine) };
    let Some(routine) = routine else {
        spinlock::release(&CANCEL_LOCK, irql);
        return FALSE;
    };
    // SAFETY: the routine has not run, so the IRP is still the driver's.
    unsafe { (*irp).CancelIrql = irql };
    // SAFETY: as above.
    let device = unsafe { current_device(irp) };
    // SAFETY: set by the driver for this call.
    unsafe { routine(device, irp) };
    if processor::locks_held() != locks || processor::irql() != level {
        stop!(IRQL_UNEXPECTED_VALUE, "a cancel routine returned without releasing the cancel spin lock");
    }
    TRUE
}

/// The device object of the current location; null if none is taken.
///
/// # Safety
/// `irp` is valid.
unsafe fn current_device(irp: *mut IRP) -> *mut DEVICE_OBJECT {
    // SAFETY: as promised by the caller.
    let place = unsafe { current_location(irp) };
    // SAFETY: as promised by the caller.
    let current = unsafe { (*irp).CurrentLocation };
    // SAFETY: as promised by the caller.
    let taken = current <= unsafe { (*irp).StackCount };
    if !taken {
        return ptr::null_mut();
    }
    // SAFETY: a field of the IRP.
    let location = unsafe { *place };
    // SAFETY: a taken location of the IRP's.
    unsafe { (*location).DeviceObject }
}

/// `IoAcquireCancelSpinLock`.
///
/// # Safety
/// `irql` is writable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn IoAcquireCancelSpinLock(irql: *mut KIRQL) {
    let before = spinlock::acquire(&CANCEL_LOCK);
    // SAFETY: as promised by the caller.
    unsafe { irql.write(before) };
}

/// `IoReleaseCancelSpinLock`.
#[unsafe(no_mangle)]
pub(crate) extern "C-unwind" fn IoReleaseCancelSpinLock(irql: KIRQL) {
    spinlock::release(&CANCEL_LOCK, irql);
}
