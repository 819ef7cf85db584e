//! The slots of shared endpoints.

use abi::NTSTATUS;
use abi::ndk::{NDK_SHARED_ENDPOINT, NDK_SHARED_ENDPOINT_DISPATCH};
use abi::nt::DISPATCH_LEVEL;
use abi::wsk::SOCKADDR;

use super::{answer, close_slot, extension_slot, nothing_special};
use crate::object::{enter, forward};

extension_slot!(NDK_SHARED_ENDPOINT);
close_slot!(NDK_SHARED_ENDPOINT, NdkCloseSharedEndpoint, CloseSharedEndpoint, nothing_special);

pub(crate) static TABLE: NDK_SHARED_ENDPOINT_DISPATCH = NDK_SHARED_ENDPOINT_DISPATCH {
    NdkCloseSharedEndpoint: close,
    NdkQueryExtension: query_extension,
    NdkGetLocalAddress: local_address,
};

/// `NDK_FN_GET_SHARED_ENDPOINT_LOCAL_ADDRESS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn local_address(
    endpoint: *mut NDK_SHARED_ENDPOINT,
    address: *mut SOCKADDR,
    length: *mut u32,
) -> NTSTATUS {
    // SAFETY: a proxy (consumer).
    let call = unsafe { enter(endpoint, "NdkGetLocalAddress", DISPATCH_LEVEL) };
    answer(call.map(|call| forward!(call.object, NDK_SHARED_ENDPOINT, NdkGetLocalAddress(address, length))))
}
