//! The bytes of an IRP that belong to the driver holding it, and what this crate keeps in them.
//!
//! | place | holds |
//! |---|---|
//! | `Tail.Overlay.DriverContext[0..2]` | the reference to the owner, or while posted to the request object |
//! | `Tail.Overlay.DriverContext[2..4]` | bytes 32..48 of the request record |
//! | `Tail.Overlay.ListEntry` | links of the list the IRP is in |
//! | `Parameters` of our stack location | bytes 0..32 of the request record |
//! | `IoStatus` | the outcome, once decided |
//!
//! Everything goes through raw pointers to single fields: the client may be in `IoCancelIrp`, which writes `Cancel`,
//! `CancelIrql` and `CancelRoutine` at the same time, so there is never a reference to the whole IRP.

use core::ffi::c_void;
use core::mem::{MaybeUninit, offset_of};
use core::ptr::{self, NonNull};

use abi::nt::{
    IO_STACK_LOCATION, IO_STACK_LOCATION_PARAMETERS, IO_STATUS_BLOCK, IRP, IRP_TAIL_OVERLAY, LIST_ENTRY,
};

use crate::keeper::{Keeper, Release};
use crate::outcome::Outcome;

/// Bytes of `Parameters`.
const PARAMETERS_BYTES: usize = size_of::<IO_STACK_LOCATION_PARAMETERS>();
/// Bytes of `DriverContext[2..4]`.
const CONTEXT_BYTES: usize = 2 * size_of::<*mut c_void>();

/// Size limit, in bytes, of the request record that is kept inside a parked or held IRP: enough for a copied
/// `WSK_BUF`, flags, and progress.
pub const RECORD_BYTES: usize = PARAMETERS_BYTES + CONTEXT_BYTES;

/// `ListEntry` inside an IRP, in bytes.
const LIST_ENTRY_OFFSET: usize = offset_of!(IRP, Tail) + offset_of!(IRP_TAIL_OVERLAY, ListEntry);

/// `Tail.Overlay.DriverContext[index]`; `index` is at most 3.
///
/// # Safety
/// `irp` is live; the result is valid as long as it is.
unsafe fn driver_context(irp: NonNull<IRP>, index: usize) -> *mut *mut c_void {
    // SAFETY: as for this function.
    let words = unsafe { kernel::irp::driver_context(irp.as_ptr()) };
    // SAFETY: one of the four words.
    unsafe { words.cast::<*mut c_void>().add(index) }
}

/// `Tail.Overlay.ListEntry`.
///
/// # Safety
/// `irp` is live; the result is valid as long as it is.
pub(crate) unsafe fn list_entry(irp: NonNull<IRP>) -> *mut LIST_ENTRY {
    // SAFETY: as for this function.
    unsafe { kernel::irp::list_entry(irp.as_ptr()) }
}

/// The IRP whose `ListEntry` is at `entry`.
///
/// # Safety
/// `entry` is null or came from [`list_entry`] of a live IRP.
pub(crate) unsafe fn irp_of(entry: *mut LIST_ENTRY) -> Option<NonNull<IRP>> {
    let entry = NonNull::new(entry)?;
    // SAFETY: the entry lies at this offset inside its IRP.
    Some(unsafe { entry.byte_sub(LIST_ENTRY_OFFSET) }.cast())
}

/// Stores what the IRP carries until it has been completed.
///
/// # Safety
/// The driver holds `irp`, and no cancel routine is set.
pub(crate) unsafe fn set_keeper(irp: NonNull<IRP>, keeper: Keeper) {
    // SAFETY: as for this function.
    let owner = unsafe { driver_context(irp, 0) };
    // SAFETY: free for the driver that holds the IRP.
    unsafe { owner.write(keeper.owner.cast_mut()) };
    // SAFETY: as for this function.
    let release = unsafe { driver_context(irp, 1) };
    // SAFETY: as above.
    unsafe { release.cast::<Option<Release>>().write(keeper.release) };
}

/// What [`set_keeper`] stored.
///
/// # Safety
/// The driver holds `irp`, and nobody else writes its keeper meanwhile.
pub(crate) unsafe fn keeper(irp: NonNull<IRP>) -> Keeper {
    // SAFETY: as for this function.
    let owner = unsafe { driver_context(irp, 0) };
    // SAFETY: written when the IRP was entered or later.
    let owner = unsafe { owner.read() }.cast_const();
    // SAFETY: as for this function.
    let release = unsafe { driver_context(irp, 1) };
    // SAFETY: as above, with this type.
    let release = unsafe { release.cast::<Option<Release>>().read() };
    Keeper { owner, release }
}

/// The two places of a record, and how its bytes divide between them.
struct RecordPlaces {
    parameters: *mut u8,
    contexts: *mut u8,
    head_bytes: usize,
    tail_bytes: usize,
}

impl RecordPlaces {
    /// # Safety
    /// The driver holds `irp`.
    unsafe fn of<R>(irp: NonNull<IRP>) -> Self {
        const { assert!(size_of::<R>() <= RECORD_BYTES, "the request record does not fit into an IRP") };
        // SAFETY: as for this function.
        let location: *mut IO_STACK_LOCATION = unsafe { kernel::irp::current_stack_location(irp.as_ptr()) };
        // SAFETY: the location that was taken at entry.
        let parameters = unsafe { &raw mut (*location).Parameters }.cast();
        // SAFETY: as for this function.
        let contexts = unsafe { driver_context(irp, 2) }.cast();
        let head_bytes = size_of::<R>().min(PARAMETERS_BYTES);
        Self { parameters, contexts, head_bytes, tail_bytes: size_of::<R>() - head_bytes }
    }
}

/// Keeps `record` inside the IRP.
///
/// # Safety
/// The driver holds `irp`, and nobody else reads or writes its record meanwhile.
pub(crate) unsafe fn store_record<R: Copy>(irp: NonNull<IRP>, record: &R) {
    // SAFETY: as for this function.
    let places = unsafe { RecordPlaces::of::<R>(irp) };
    let source = ptr::from_ref(record).cast::<u8>();
    // SAFETY: the head fits both sides; the IRP is not inside `record`.
    unsafe { ptr::copy_nonoverlapping(source, places.parameters, places.head_bytes) };
    // SAFETY: the head is not longer than the record.
    let rest = unsafe { source.add(places.head_bytes) };
    // SAFETY: the tail fits both sides.
    unsafe { ptr::copy_nonoverlapping(rest, places.contexts, places.tail_bytes) };
}

/// The record that [`store_record`] kept.
///
/// # Safety
/// The driver holds `irp`, stored a record of this type, and nobody else writes it meanwhile.
pub(crate) unsafe fn load_record<R: Copy>(irp: NonNull<IRP>) -> R {
    // SAFETY: as for this function.
    let places = unsafe { RecordPlaces::of::<R>(irp) };
    let mut record = MaybeUninit::<R>::uninit();
    let target = record.as_mut_ptr().cast::<u8>();
    // SAFETY: the head fits both sides.
    unsafe { ptr::copy_nonoverlapping(places.parameters.cast_const(), target, places.head_bytes) };
    // SAFETY: the head is not longer than the record.
    let rest = unsafe { target.add(places.head_bytes) };
    // SAFETY: the tail fits both sides.
    unsafe { ptr::copy_nonoverlapping(places.contexts.cast_const(), rest, places.tail_bytes) };
    // SAFETY: every byte was copied from a record of this type.
    unsafe { record.assume_init() }
}

/// `IoStatus`.
///
/// # Safety
/// `irp` is live; the result is valid as long as it is.
unsafe fn io_status_block(irp: NonNull<IRP>) -> *mut IO_STATUS_BLOCK {
    // SAFETY: inside the IRP.
    unsafe { &raw mut (*irp.as_ptr()).IoStatus }
}

/// Stores the outcome for the client.
///
/// # Safety
/// The driver holds `irp`, and the caller alone decides its outcome.
pub(crate) unsafe fn set_io_status(irp: NonNull<IRP>, outcome: Outcome) {
    // SAFETY: as for this function.
    let block = unsafe { io_status_block(irp) };
    // SAFETY: the driver's to write until completion.
    unsafe { block.write(IO_STATUS_BLOCK { Status: outcome.status(), Information: outcome.information() }) };
}

/// What [`set_io_status`] stored.
///
/// # Safety
/// The driver holds `irp`.
pub(crate) unsafe fn io_status(irp: NonNull<IRP>) -> Outcome {
    // SAFETY: as for this function.
    let block = unsafe { io_status_block(irp) };
    // SAFETY: an IRP has a status block from its allocation on.
    let block = unsafe { block.read() };
    Outcome::partial(block.Status, block.Information)
}
