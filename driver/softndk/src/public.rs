//! The part of an object that the consumer sees.

use core::cell::UnsafeCell;
use core::ptr;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_EXTENSION_INTERFACE, NDK_OBJECT_HEADER, NDK_OBJECT_HEADER_RESERVED_BLOCK, NDK_OBJECT_TYPE,
    NDK_VERSION,
};
use abi::nt::GUID;
use abi::status::STATUS_NOT_SUPPORTED;

/// The public structure of an object, always its first member, so that both have one address.
///
/// It is written once, at creation. Afterwards it belongs to the layer above, which may replace the dispatch table and
/// keeps its own pointers in the reserved block; this provider knows objects by their address and never reads it.
#[repr(transparent)]
#[derive(Debug)]
pub(crate) struct Public<T>(UnsafeCell<T>);

// SAFETY: the provider makes no access after creation, so it has nothing to race with.
unsafe impl<T> Send for Public<T> {}
// SAFETY: as for `Send`.
unsafe impl<T> Sync for Public<T> {}

impl<T> Public<T> {
    pub(crate) const fn new(object: T) -> Self {
        Self(UnsafeCell::new(object))
    }
}

/// The header of a new object.
pub(crate) const fn header(version: NDK_VERSION, object_type: NDK_OBJECT_TYPE) -> NDK_OBJECT_HEADER {
    NDK_OBJECT_HEADER {
        Version: version,
        ObjectType: object_type,
        NdkReserved: NDK_OBJECT_HEADER_RESERVED_BLOCK { rf: [ptr::null_mut(); 4] },
    }
}

/// `NdkQueryExtension` of every object: there are no extensions.
///
/// # Safety
/// None: nothing is touched.
pub(crate) unsafe extern "system" fn query_extension(
    _: *mut NDK_OBJECT_HEADER,
    _: *const GUID,
    _: NDK_VERSION,
    _: *mut NDK_EXTENSION_INTERFACE,
) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}
