//! Calls through dispatch tables.

use abi::ndk::{NDK_OBJECT_HEADER, NDK_PD};
use core::ffi::c_void;
use core::ptr::NonNull;

/// Reads the function pointer in slot `$member` of the table behind `$object`.
///
/// The table is never taken as a reference: the one of an older provider ends earlier, and the layer above a
/// provider may replace it. `$object` must be a live NDK object whose reported version defines the slot.
macro_rules! slot {
    ($object:expr, $member:ident) => {{
        let object = $object;
        // SAFETY: the caller's object is live, so its public part may be read.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: the table of a live object is valid, and the reported version defines this slot.
        unsafe { (*table).$member }
    }};
}
pub(crate) use slot;

/// Closes an object that came about too late, by the close function that every table but the adapter's begins with. Nothing
/// has to follow its end: the adapter's own close waits for it. IRQL <= DISPATCH_LEVEL.
///
/// # Safety
/// `object` is open, not used by anybody, and not an adapter.
pub(crate) unsafe fn close_unused(object: NonNull<NDK_OBJECT_HEADER>) {
    // Every object has its header first, and the pointer to its table behind it; each table has the close in the same place.
    let close = slot!(object.cast::<NDK_PD>().as_ptr(), NdkClosePd);
    // SAFETY: the caller's promise.
    unsafe { close(object.as_ptr(), ignore, core::ptr::null_mut()) };
}

/// The close completion of an object whose end nothing has to follow: the adapter's own close waits for it.
pub(crate) unsafe extern "system" fn ignore(_context: *mut c_void) {}
