//! Calls through dispatch tables.

use core::ffi::c_void;

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

/// The close completion of an object whose end nothing has to follow: the adapter's own close waits for it.
pub(crate) unsafe extern "system" fn ignore(_context: *mut c_void) {}
