//! `NdkBuildLAM` and `NdkReleaseLAM`.

use core::ffi::c_void;
use core::mem::offset_of;

use abi::NTSTATUS;
use abi::ndk::{NDK_ADAPTER, NDK_FN_REQUEST_COMPLETION, NDK_LOGICAL_ADDRESS, NDK_LOGICAL_ADDRESS_MAPPING};
use abi::nt::MDL;
use abi::status::{STATUS_BUFFER_TOO_SMALL, STATUS_SUCCESS};
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::answer::{Holder, Request};
use crate::life::from_handle;
use crate::memory::{Extent, MappingHandle, Pages};

/// Where the page array begins.
const ARRAY_OFFSET: usize = offset_of!(NDK_LOGICAL_ADDRESS_MAPPING, AdapterPageArray);

/// `NDK_FN_BUILD_LAM`. The outputs are written during the call, whatever the answer mode.
///
/// # Safety
/// As the function type says.
pub(crate) unsafe extern "system" fn build(
    adapter: *mut NDK_ADAPTER,
    mdl: *mut MDL,
    length: usize,
    completion: Option<NDK_FN_REQUEST_COMPLETION>,
    context: *mut c_void,
    lam: *mut NDK_LOGICAL_ADDRESS_MAPPING,
    lam_size: *mut u32,
    first_byte_offset: *mut u32,
) -> NTSTATUS {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    let output = Output { lam, lam_size, first_byte_offset };
    let Some(completion) = completion else {
        // SAFETY: as the function type says.
        return unsafe { build_now(&adapter, mdl, length, &output) };
    };
    // SAFETY: the consumer's promise with the request.
    let request = match unsafe { Request::prompt(Holder::from(&adapter), completion, context) } {
        Ok(request) => request,
        Err(status) => return status,
    };
    // SAFETY: as the function type says.
    let status = unsafe { build_now(&adapter, mdl, length, &output) };
    request.answer(status)
}

/// The consumer's output cells.
struct Output {
    lam: *mut NDK_LOGICAL_ADDRESS_MAPPING,
    lam_size: *mut u32,
    first_byte_offset: *mut u32,
}

/// # Safety
/// As [`build`].
unsafe fn build_now(adapter: &Adapter, mdl: *mut MDL, length: usize, output: &Output) -> NTSTATUS {
    // SAFETY: a valid chain that nobody changes during the request (consumer).
    let extent = match unsafe { Extent::of(mdl, length) } {
        Ok(extent) => extent,
        Err(status) => return status,
    };
    let needed = (ARRAY_OFFSET + extent.pages() * size_of::<NDK_LOGICAL_ADDRESS>()) as u32;
    // SAFETY: valid (consumer).
    let room = unsafe { output.lam_size.read() };
    // SAFETY: valid (consumer).
    unsafe { output.lam_size.write(needed) };
    if room < needed {
        return STATUS_BUFFER_TOO_SMALL;
    }
    // SAFETY: the chain `extent` was made from, with pages that stay locked until the release (consumer).
    let pages = match unsafe { Pages::map(mdl, &extent) } {
        Ok(pages) => pages,
        Err(status) => return status,
    };
    let array = output.lam.cast::<u8>().wrapping_add(ARRAY_OFFSET).cast::<NDK_LOGICAL_ADDRESS>();
    let built = adapter.core().memory().build_mapping(adapter.name(), pages, |page, address| {
        // SAFETY: the buffer has room for all pages (checked), and the array is 8-aligned like the structure.
        unsafe { array.wrapping_add(page).write(address) };
    });
    let handle = match built {
        Ok(handle) => handle,
        Err(status) => return status,
    };
    let context = core::ptr::without_provenance_mut(handle.to_word());
    // SAFETY: room for the structure (checked).
    unsafe { (*output.lam).AdapterContext = context };
    // SAFETY: as above.
    unsafe { (*output.lam).AdapterPageCount = extent.pages() as u32 };
    // SAFETY: valid (consumer).
    unsafe { output.first_byte_offset.write(extent.first_byte_offset as u32) };
    STATUS_SUCCESS
}

/// `NDK_FN_RELEASE_LAM`.
///
/// # Safety
/// As the function type says.
pub(crate) unsafe extern "system" fn release(
    adapter: *mut NDK_ADAPTER,
    lam: *mut NDK_LOGICAL_ADDRESS_MAPPING,
) {
    // SAFETY: an open adapter (consumer).
    let adapter: Shared<Adapter> = unsafe { from_handle(adapter.cast()) };
    // SAFETY: a mapping that `build` wrote (consumer).
    let word = unsafe { (*lam).AdapterContext };
    adapter.core().memory().release_mapping(adapter.name(), MappingHandle::from_word(word.addr()));
}
