//! A request that a queue has handed over (`wdfrequest.h`).

use abi::NTSTATUS;
use core::{ptr, slice};
use wdk_sys::{WDFREQUEST, call_unsafe_wdf_function_binding};

use super::check;

/// A request that must be completed, once. IRQL ≤ DISPATCH_LEVEL.
#[derive(Debug)]
pub(crate) struct Request(WDFREQUEST);

/// The lengths of a device control request, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    /// What the caller sent.
    pub(crate) input: usize,
    /// Room for the reply.
    pub(crate) output: usize,
}

impl Request {
    /// Takes over the request of a queue's callback.
    ///
    /// # Safety
    ///
    /// `handle` was handed to the calling callback, which does nothing else with it.
    pub(crate) unsafe fn from_callback(handle: WDFREQUEST) -> Self {
        Self(handle)
    }

    /// The one buffer of a METHOD_BUFFERED request, as long as the longer of the two.
    ///
    /// # Errors
    ///
    /// INVALID_DEVICE_REQUEST for a request of another method.
    pub(crate) fn buffer(&mut self, buffers: Buffers) -> Result<&mut [u8], NTSTATUS> {
        let length = buffers.input.max(buffers.output);
        if length == 0 {
            // The framework refuses to hand out an empty buffer.
            return Ok(&mut []);
        }
        let mut start = ptr::null_mut();
        let status = if buffers.input >= buffers.output {
            // SAFETY: the request is ours until it is completed; `start` lives during the call.
            unsafe {
                call_unsafe_wdf_function_binding!(
                    WdfRequestRetrieveInputBuffer,
                    self.0,
                    length,
                    &raw mut start,
                    ptr::null_mut(),
                )
            }
        } else {
            // SAFETY: as above.
            unsafe {
                call_unsafe_wdf_function_binding!(
                    WdfRequestRetrieveOutputBuffer,
                    self.0,
                    length,
                    &raw mut start,
                    ptr::null_mut(),
                )
            }
        };
        check(status)?;
        // SAFETY: the I/O manager's buffer has at least `length` bytes and lives until the request is completed,
        // which takes the request and so ends this borrow; nobody else uses it meanwhile.
        Ok(unsafe { slice::from_raw_parts_mut(start.cast(), length) })
    }

    /// Whether kernel mode sent it.
    pub(crate) fn is_from_kernel(&self) -> bool {
        // SAFETY: the request is ours until it is completed.
        let mode = unsafe { call_unsafe_wdf_function_binding!(WdfRequestGetRequestorMode, self.0) };
        mode == abi::nt::KernelMode
    }

    /// Completes the request with a reply of `length` bytes.
    pub(crate) fn complete(self, status: NTSTATUS, length: usize) {
        // SAFETY: the request is ours and is given up here.
        unsafe {
            call_unsafe_wdf_function_binding!(
                WdfRequestCompleteWithInformation,
                self.0,
                status,
                length as u64
            );
        };
    }
}
