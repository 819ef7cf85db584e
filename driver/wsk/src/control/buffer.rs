//! Input that was copied from a client, and the reply that will be copied to it.

use abi::NTSTATUS;
use abi::status::STATUS_INVALID_PARAMETER;
use abi::wsk::{
    PFN_WSK_RECEIVE_EX_EVENT, WSK_EVENT_CALLBACK_CONTROL, WSK_EXTENSION_CONTROL_IN, WSK_TDI_MAP_INFO,
};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr;

/// Octets of the longest input of an operation that is decided here (WSK_EXTENSION_CONTROL_IN).
const INPUT_MAX: usize = 24;
/// Octets of the longest reply.
const REPLY_MAX: usize = 64;

/// Types that a client's octets may be read as.
///
/// # Safety
/// Whatever a client may put there according to the operation's page is a value of the type; it is at most
/// [`INPUT_MAX`] octets long.
pub(crate) unsafe trait FromClient: Copy {}

// SAFETY: any octets are a value.
unsafe impl FromClient for u8 {}
// SAFETY: as above.
unsafe impl FromClient for u32 {}
// SAFETY: as above.
unsafe impl FromClient for [u32; 3] {}
// SAFETY: as above; a pointer is not followed by reading it.
unsafe impl FromClient for *mut c_void {}
// SAFETY: as above.
unsafe impl FromClient for WSK_EVENT_CALLBACK_CONTROL {}
// SAFETY: as above.
unsafe impl FromClient for WSK_EXTENSION_CONTROL_IN {}
// SAFETY: as above.
unsafe impl FromClient for WSK_TDI_MAP_INFO {}
// SAFETY: the client's function, or NULL.
unsafe impl FromClient for Option<PFN_WSK_RECEIVE_EX_EVENT> {}

/// The input of a request: a copy, because the client's buffer may change while it is looked at.
pub(crate) struct Input {
    len: usize,
    octets: MaybeUninit<[u8; INPUT_MAX]>,
}

impl Input {
    /// Copies what the client passes; NULL counts as no octets. Octets beyond the longest input are not looked at.
    ///
    /// # Safety
    /// `from` is NULL or readable for `len` octets.
    pub(crate) unsafe fn copy(from: *const c_void, len: usize) -> Self {
        let len = if from.is_null() { 0 } else { len };
        let mut octets = MaybeUninit::<[u8; INPUT_MAX]>::uninit();
        // SAFETY: readable, as promised, and room for the shorter of both.
        unsafe {
            ptr::copy_nonoverlapping(from.cast(), octets.as_mut_ptr().cast::<u8>(), len.min(INPUT_MAX))
        };
        Self { len, octets }
    }

    /// Octets that the client passed.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// The input as `T`. A longer one is tolerated: clients pass a union for any of its members.
    ///
    /// # Errors
    /// INVALID_PARAMETER: it is shorter.
    pub(crate) fn get<T: FromClient>(&self) -> Result<T, NTSTATUS> {
        const { assert!(size_of::<T>() <= INPUT_MAX) };
        if self.len < size_of::<T>() {
            return Err(STATUS_INVALID_PARAMETER);
        }
        // SAFETY: so many octets were copied, and they are a value of `T`.
        Ok(unsafe { self.octets.as_ptr().cast::<T>().read_unaligned() })
    }

    /// An option that is on or off: a ULONG.
    ///
    /// # Errors
    /// INVALID_PARAMETER: shorter than that.
    pub(crate) fn flag(&self) -> Result<bool, NTSTATUS> {
        Ok(self.get::<u32>()? != 0)
    }
}

/// The output of a request that has succeeded.
#[derive(Clone, Copy)]
pub(crate) struct Reply {
    len: usize,
    octets: MaybeUninit<[u8; REPLY_MAX]>,
}

impl Reply {
    /// No octets.
    pub(crate) const EMPTY: Self = Self { len: 0, octets: MaybeUninit::uninit() };

    /// The octets of `value`.
    pub(crate) fn of<T: Copy>(value: T) -> Self {
        const { assert!(size_of::<T>() <= REPLY_MAX) };
        let mut reply = Self { len: size_of::<T>(), ..Self::EMPTY };
        // SAFETY: there is room for `T`.
        unsafe { reply.octets.as_mut_ptr().cast::<T>().write_unaligned(value) };
        reply
    }

    /// Octets.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Copies the octets to a client.
    ///
    /// # Safety
    /// `to` is writable for [`Reply::len`] octets.
    pub(crate) unsafe fn copy_to(&self, to: *mut c_void) {
        // SAFETY: writable, as promised; `len` octets are there. Padding inside `T` is copied as it is.
        unsafe { ptr::copy_nonoverlapping(self.octets.as_ptr().cast::<u8>(), to.cast(), self.len) };
    }
}
