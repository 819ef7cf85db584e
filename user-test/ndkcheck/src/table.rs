//! The slots, a file for each table, and what they share.

pub(crate) mod adapter;
pub(crate) mod connector;
pub(crate) mod cq;
pub(crate) mod listener;
pub(crate) mod mr;
pub(crate) mod mw;
pub(crate) mod pd;
pub(crate) mod qp;
pub(crate) mod shared_endpoint;
pub(crate) mod srq;

use std::ffi::c_void;
use std::ptr;

use abi::NTSTATUS;
use abi::ndk::{NDK_FN_CREATE_COMPLETION, NDK_FN_REQUEST_COMPLETION, NDK_OBJECT_HEADER};
use abi::status::{STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING, nt_success};

use crate::check::Refused;
use crate::object::{Call, Ref};
use crate::request::{Completion, Opaque, Returned};
use crate::script::Slot;

/// What a call returns whose checks have come to this.
fn answer(checked: Result<NTSTATUS, Refused>) -> NTSTATUS {
    checked.unwrap_or(STATUS_INVALID_DEVICE_REQUEST)
}

/// Declares `query_extension` for a table.
macro_rules! extension_slot {
    ($kind:ident) => {
        /// `NDK_FN_QUERY_EXTENSION_INTERFACE`.
        ///
        /// # Safety
        /// As the function type says.
        unsafe extern "system" fn query_extension(
            object: *mut abi::ndk::NDK_OBJECT_HEADER,
            id: *const abi::nt::GUID,
            version: abi::ndk::NDK_VERSION,
            interface: *mut abi::ndk::NDK_EXTENSION_INTERFACE,
        ) -> abi::NTSTATUS {
            // SAFETY: a proxy (consumer).
            let call = unsafe { crate::object::enter(object, "NdkQueryExtension", abi::nt::DISPATCH_LEVEL) };
            super::answer(call.map(|call| {
                crate::object::forward!(
                    call.object,
                    abi::ndk::$kind,
                    NdkQueryExtension(id, version, interface)
                )
            }))
        }
    };
}
use extension_slot;

/// Declares `close` for a table. `$before` looks at the object and gives what is to be done when the close has ended.
macro_rules! close_slot {
    ($kind:ident, $member:ident, $slot:ident, $before:path) => {
        /// `NDK_FN_CLOSE_OBJECT`.
        ///
        /// # Safety
        /// As the function type says.
        unsafe extern "system" fn close(
            object: *mut abi::ndk::NDK_OBJECT_HEADER,
            completion: abi::ndk::NDK_FN_CLOSE_COMPLETION,
            context: *mut std::ffi::c_void,
        ) -> abi::NTSTATUS {
            let close = || {
                let name = stringify!($member);
                // SAFETY: a proxy (consumer).
                let call = unsafe { crate::object::enter(object, name, abi::nt::DISPATCH_LEVEL) }?;
                let done = $before(&call)?;
                let object = call.object;
                Ok(call.close(crate::script::Slot::$slot, completion, context, done, |context| {
                    let closed = crate::request::closed;
                    crate::object::forward!(object, abi::ndk::$kind, $member(closed, context))
                }))
            };
            super::answer(close())
        }
    };
}
use close_slot;

/// For objects whose close has no rules of its own.
fn nothing_special(_call: &Call) -> Result<impl FnOnce() + Send + 'static, Refused> {
    Ok(|| ())
}

/// Makes a create: `proxy` gets the new object, `settled` hears whether there is one.
fn create<T>(
    call: &Call,
    slot: Slot,
    (completion, context): (NDK_FN_CREATE_COMPLETION, *mut c_void),
    proxy: Ref,
    settled: impl FnOnce(bool) + Send + 'static,
    forward: impl FnOnce(*mut c_void, *mut *mut T) -> NTSTATUS,
) -> Returned {
    let done = move |status, inner: *mut NDK_OBJECT_HEADER| {
        let made = nt_success(status) && !inner.is_null();
        if made {
            proxy.open(inner);
        }
        settled(made);
        if made { proxy.header() } else { ptr::null_mut() }
    };
    let completion = Completion::Create(completion, Opaque(context));
    call.control(slot, completion, Box::new(done), |context| {
        let mut made = ptr::null_mut();
        let status = forward(context, &raw mut made);
        (status, made.cast())
    })
}

/// Gives the object of a create that has succeeded inline to the consumer; what the call returns.
///
/// # Safety
/// `out` is valid for a write.
unsafe fn give<T>((status, object): Returned, out: *mut *mut T) -> NTSTATUS {
    if nt_success(status) && status != STATUS_PENDING {
        // SAFETY: valid (caller).
        unsafe { out.write(object.cast()) };
    }
    status
}

/// Makes a request; `done` hears how it ended before the consumer does.
fn request(
    call: &Call,
    slot: Slot,
    (completion, context): (NDK_FN_REQUEST_COMPLETION, *mut c_void),
    done: impl FnOnce(NTSTATUS) + Send + 'static,
    forward: impl FnOnce(*mut c_void) -> NTSTATUS,
) -> NTSTATUS {
    let done = Box::new(move |status, _| {
        done(status);
        ptr::null_mut()
    });
    let completion = Completion::Request(Some(completion), Opaque(context));
    call.control(slot, completion, done, |context| (forward(context), ptr::null_mut())).0
}
