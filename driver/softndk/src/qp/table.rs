//! The table of every queue pair.

use core::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_LOGICAL_ADDRESS, NDK_MR, NDK_MW, NDK_OBJECT_HEADER, NDK_OP_FLAG, NDK_QP, NDK_QP_DISPATCH, NDK_SGE,
};
use abi::status::STATUS_INVALID_PARAMETER;
use kernel::pool::Shared;

use super::Qp;
use super::element::list;
use super::initiator::{Operation, Post};
use super::local::Wanted;
use crate::fabric::Cause;
use crate::life::{close, from_handle};
use crate::mr::{Mr, place_of};
use crate::mw::Mw;
use crate::opaque::Opaque;
use crate::public::query_extension;

pub(super) static DISPATCH: NDK_QP_DISPATCH = NDK_QP_DISPATCH {
    NdkCloseQp: close::<Qp>,
    NdkQueryExtension: query_extension,
    NdkFlush: flush,
    NdkSend: send,
    NdkReceive: receive,
    NdkBind: bind,
    NdkFastRegister: fast_register,
    NdkInvalidate: invalidate,
    NdkRead: read,
    NdkWrite: write,
    NdkSendAndInvalidate: send_and_invalidate,
};

/// `NDK_FN_FLUSH`. The connection is lost with it.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn flush(qp: *mut NDK_QP) {
    // SAFETY: open (consumer).
    let qp: Shared<Qp> = unsafe { from_handle(qp.cast()) };
    qp.die();
    qp.break_link(Cause::Flush);
}

/// Posts to the peer.
///
/// # Safety
/// `qp` is open; `sgl` is readable for `count` elements, and with the inline flag each element's bytes are.
unsafe fn post(
    qp: *mut NDK_QP,
    operation: Operation,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    flags: u32,
) -> NTSTATUS {
    // SAFETY: open (caller).
    let qp: Shared<Qp> = unsafe { from_handle(qp.cast()) };
    let Some(flags) = NDK_OP_FLAG::from_bits(flags) else {
        qp.kick();
        return STATUS_INVALID_PARAMETER;
    };
    // SAFETY: readable (caller).
    let sgl = unsafe { list(sgl, count) };
    // SAFETY: as promised by the caller.
    unsafe { qp.post(&Post { operation, context: Opaque(context), sgl, flags }) }
}

/// `NDK_FN_SEND`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn send(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    flags: u32,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    unsafe { post(qp, Operation::Send { invalidate: None }, context, sgl, count, flags) }
}

/// `NDK_FN_SEND_AND_INVALIDATE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn send_and_invalidate(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    flags: u32,
    remote_token: u32,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    unsafe { post(qp, Operation::Send { invalidate: Some(remote_token) }, context, sgl, count, flags) }
}

/// `NDK_FN_READ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn read(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    remote_address: u64,
    remote_token: u32,
    flags: u32,
) -> NTSTATUS {
    let operation = Operation::Read { address: remote_address, token: remote_token };
    // SAFETY: as the function type says.
    unsafe { post(qp, operation, context, sgl, count, flags) }
}

/// `NDK_FN_WRITE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn write(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    remote_address: u64,
    remote_token: u32,
    flags: u32,
) -> NTSTATUS {
    let operation = Operation::Write { address: remote_address, token: remote_token };
    // SAFETY: as the function type says.
    unsafe { post(qp, operation, context, sgl, count, flags) }
}

/// `NDK_FN_RECEIVE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn receive(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let qp: Shared<Qp> = unsafe { from_handle(qp.cast()) };
    // SAFETY: readable (consumer).
    let sgl = unsafe { list(sgl, count) };
    qp.post_receive(Opaque(context), sgl)
}

/// `NDK_FN_BIND`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn bind(
    qp: *mut NDK_QP,
    context: *mut c_void,
    mr: *mut NDK_MR,
    mw: *mut NDK_MW,
    virtual_address: *const c_void,
    length: usize,
    flags: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let qp: Shared<Qp> = unsafe { from_handle(qp.cast()) };
    // SAFETY: open (consumer).
    let mr: Shared<Mr> = unsafe { from_handle(mr.cast()) };
    // SAFETY: open (consumer).
    let mw: Shared<Mw> = unsafe { from_handle(mw.cast()) };
    qp.post_bind(Opaque(context), &mr, &mw, (virtual_address.addr() as u64, length), flags)
}

/// `NDK_FN_FAST_REGISTER`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn fast_register(
    qp: *mut NDK_QP,
    context: *mut c_void,
    mr: *mut NDK_MR,
    page_count: u32,
    page_array: *const NDK_LOGICAL_ADDRESS,
    first_byte_offset: u32,
    length: usize,
    base: *const c_void,
    flags: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let qp: Shared<Qp> = unsafe { from_handle(qp.cast()) };
    // SAFETY: open (consumer).
    let mr: Shared<Mr> = unsafe { from_handle(mr.cast()) };
    let pages = if page_count == 0 || page_array.is_null() {
        &[]
    } else {
        // SAFETY: readable for `page_count` addresses during the call (consumer).
        unsafe { core::slice::from_raw_parts(page_array, page_count as usize) }
    };
    let wanted = Wanted { pages, first_byte_offset, length, base: base.addr() as u64 };
    qp.post_fast_register(Opaque(context), &mr, &wanted, flags)
}

/// `NDK_FN_INVALIDATE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn invalidate(
    qp: *mut NDK_QP,
    context: *mut c_void,
    mr_or_mw: *mut NDK_OBJECT_HEADER,
    flags: u32,
) -> NTSTATUS {
    // SAFETY: open (consumer).
    let qp: Shared<Qp> = unsafe { from_handle(qp.cast()) };
    // SAFETY: open (consumer).
    let place = unsafe { place_of(mr_or_mw) };
    qp.post_invalidate(Opaque(context), place, flags)
}
