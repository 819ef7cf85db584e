//! Counts what passes the NDK dispatch tables: stands between the driver and the adapter.
//!
//! The objects stay the adapter's own. Only their table pointers are exchanged, for copies in which a few functions count and then
//! call the adapter's. That works with an adapter that answers creates inline.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::OnceLock;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::STATUS_SUCCESS;
use ndk::CloseAdapter;
use serde::Serialize;

/// What one thread has asked of adapters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(crate) struct Asked {
    /// NdkSend.
    pub(crate) sends: u64,
    /// NdkWrite.
    pub(crate) writes: u64,
    /// NdkReceive: a receive is posted again for each that is used up.
    pub(crate) receives: u64,
    /// Posts that the adapter is to begin with at once.
    pub(crate) doorbells: u64,
    /// Posts without a completion, if they succeed.
    pub(crate) silent: u64,
    /// Completion entries taken.
    pub(crate) completions: u64,
    /// Calls that ask for entries.
    pub(crate) polls: u64,
    /// Notifications asked for.
    pub(crate) arms: u64,
}

thread_local! {
    static ASKED: Cell<Asked> = const { Cell::new(Asked {
        sends: 0, writes: 0, receives: 0, doorbells: 0, silent: 0, completions: 0, polls: 0, arms: 0,
    }) };
}

/// What this thread has asked for since it was asked last.
pub(crate) fn take() -> Asked {
    ASKED.take()
}

fn note(what: impl FnOnce(&mut Asked)) {
    let mut asked = ASKED.get();
    what(&mut asked);
    ASKED.set(asked);
}

/// The adapter's tables.
struct Tables {
    adapter: NDK_ADAPTER_DISPATCH,
    pd: OnceLock<NDK_PD_DISPATCH>,
    qp: OnceLock<NDK_QP_DISPATCH>,
    cq: OnceLock<NDK_CQ_DISPATCH>,
}

static TABLES: OnceLock<Tables> = OnceLock::new();

/// Those that count.
static ADAPTER: OnceLock<NDK_ADAPTER_DISPATCH> = OnceLock::new();
static PD: OnceLock<NDK_PD_DISPATCH> = OnceLock::new();
static QP: OnceLock<NDK_QP_DISPATCH> = OnceLock::new();
static CQ: OnceLock<NDK_CQ_DISPATCH> = OnceLock::new();

/// The adapter's table of a kind. Nothing is created before the adapter is layered, nor called before it is created.
macro_rules! original {
    () => {
        match TABLES.get() {
            Some(tables) => tables,
            None => std::process::abort(),
        }
    };
    ($kind:ident) => {
        match TABLES.get().and_then(|tables| tables.$kind.get()) {
            Some(table) => table,
            None => std::process::abort(),
        }
    };
}

/// Puts the counting table into an adapter, for `Config::layer`.
///
/// # Safety
/// The adapter is open, and nobody else uses it.
pub(crate) unsafe fn put(
    adapter: NonNull<NDK_ADAPTER>,
    close: CloseAdapter,
) -> (NonNull<NDK_ADAPTER>, CloseAdapter) {
    // SAFETY: open; only an address is computed.
    let place = unsafe { &raw mut (*adapter.as_ptr()).Dispatch };
    // SAFETY: a field of an open object.
    let table = unsafe { *place };
    // SAFETY: tables live for ever.
    let table = unsafe { *table };
    let unknown = || Tables { adapter: table, pd: OnceLock::new(), qp: OnceLock::new(), cq: OnceLock::new() };
    let original = TABLES.get_or_init(unknown).adapter;
    let counting = ADAPTER.get_or_init(|| NDK_ADAPTER_DISPATCH {
        NdkCreateCq: create_cq,
        NdkCreatePd: create_pd,
        ..original
    });
    // SAFETY: nobody else uses the object.
    unsafe { place.write(counting) };
    (adapter, close)
}

/// Exchanges the table of a new object.
macro_rules! exchange {
    ($status:expr, $out:expr, $kind:ident, $counting:ident, $make:expr) => {{
        let status = $status;
        if status == STATUS_SUCCESS {
            // SAFETY: written by the create, which has succeeded.
            let object = unsafe { *$out };
            // SAFETY: open; only an address is computed.
            let place = unsafe { &raw mut (*object).Dispatch };
            // SAFETY: a field of an open object.
            let table = unsafe { *place };
            // SAFETY: tables live for ever.
            let table = *original!().$kind.get_or_init(|| unsafe { *table });
            // SAFETY: nobody else has the object yet.
            unsafe { place.write($counting.get_or_init(|| $make(table))) };
        }
        status
    }};
}

unsafe extern "system" fn create_pd(
    adapter: *mut NDK_ADAPTER,
    done: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_PD,
) -> NTSTATUS {
    let create = original!().adapter.NdkCreatePd;
    // SAFETY: the caller's promise.
    let status = unsafe { create(adapter, done, context, out) };
    exchange!(status, out, pd, PD, |table| NDK_PD_DISPATCH { NdkCreateQp: create_qp, ..table })
}

unsafe extern "system" fn create_cq(
    adapter: *mut NDK_ADAPTER,
    depth: u32,
    notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
    notification_context: *mut c_void,
    affinity: *const abi::nt::GROUP_AFFINITY,
    done: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_CQ,
) -> NTSTATUS {
    let create = original!().adapter.NdkCreateCq;
    let status =
        // SAFETY: the caller's promise.
        unsafe { create(adapter, depth, notification, notification_context, affinity, done, context, out) };
    exchange!(status, out, cq, CQ, |table| NDK_CQ_DISPATCH {
        NdkArmCq: arm,
        NdkGetCqResults: get_results,
        NdkGetCqResultsEx: get_results_ex,
        ..table
    })
}

unsafe extern "system" fn create_qp(
    pd: *mut NDK_PD,
    receive_cq: *mut NDK_CQ,
    initiator_cq: *mut NDK_CQ,
    qp_context: *mut c_void,
    receives: u32,
    initiators: u32,
    receive_elements: u32,
    initiator_elements: u32,
    inline: u32,
    done: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_QP,
) -> NTSTATUS {
    let create = original!(pd).NdkCreateQp;
    // SAFETY: the caller's promise.
    let status = unsafe {
        create(
            pd,
            receive_cq,
            initiator_cq,
            qp_context,
            receives,
            initiators,
            receive_elements,
            initiator_elements,
            inline,
            done,
            context,
            out,
        )
    };
    exchange!(status, out, qp, QP, |table| NDK_QP_DISPATCH {
        NdkSend: send,
        NdkReceive: receive,
        NdkWrite: write,
        ..table
    })
}

/// A post with these flags.
fn posted(asked: &mut Asked, flags: u32) {
    asked.doorbells += u64::from(flags & NDK_OP_FLAG_DEFER == 0);
    asked.silent += u64::from(flags & NDK_OP_FLAG_SILENT_SUCCESS != 0);
}

unsafe extern "system" fn send(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    flags: u32,
) -> NTSTATUS {
    note(|asked| {
        asked.sends += 1;
        posted(asked, flags);
    });
    // SAFETY: the caller's promise.
    unsafe { (original!(qp).NdkSend)(qp, context, sgl, count, flags) }
}

unsafe extern "system" fn receive(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
) -> NTSTATUS {
    note(|asked| asked.receives += 1);
    // SAFETY: the caller's promise.
    unsafe { (original!(qp).NdkReceive)(qp, context, sgl, count) }
}

unsafe extern "system" fn write(
    qp: *mut NDK_QP,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
    address: u64,
    token: u32,
    flags: u32,
) -> NTSTATUS {
    note(|asked| {
        asked.writes += 1;
        posted(asked, flags);
    });
    // SAFETY: the caller's promise.
    unsafe { (original!(qp).NdkWrite)(qp, context, sgl, count, address, token, flags) }
}

unsafe extern "system" fn arm(cq: *mut NDK_CQ, kind: NDK_CQ_NOTIFY) {
    note(|asked| asked.arms += 1);
    // SAFETY: the caller's promise.
    unsafe { (original!(cq).NdkArmCq)(cq, kind) }
}

unsafe extern "system" fn get_results(cq: *mut NDK_CQ, results: *mut NDK_RESULT, count: u32) -> u32 {
    // SAFETY: the caller's promise.
    let taken = unsafe { (original!(cq).NdkGetCqResults)(cq, results, count) };
    note(|asked| {
        asked.polls += 1;
        asked.completions += u64::from(taken);
    });
    taken
}

unsafe extern "system" fn get_results_ex(cq: *mut NDK_CQ, results: *mut NDK_RESULT_EX, count: u32) -> u32 {
    // SAFETY: the caller's promise.
    let taken = unsafe { (original!(cq).NdkGetCqResultsEx)(cq, results, count) };
    note(|asked| {
        asked.polls += 1;
        asked.completions += u64::from(taken);
    });
    taken
}
