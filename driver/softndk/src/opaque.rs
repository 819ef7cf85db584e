//! Words that belong to the consumer.

use core::ffi::c_void;

/// A context word of the consumer: kept and given back, never followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opaque(pub(crate) *mut c_void);

// SAFETY: the word is never dereferenced here; NDKPI lets a callback with it run on any processor.
unsafe impl Send for Opaque {}
// SAFETY: as for `Send`.
unsafe impl Sync for Opaque {}
