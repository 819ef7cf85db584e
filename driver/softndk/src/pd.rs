//! Protection domains.

use core::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CQ, NDK_FN_CREATE_COMPLETION, NDK_FN_SRQ_NOTIFICATION_CALLBACK, NDK_MR, NDK_MW, NDK_PD,
    NDK_PD_DISPATCH, NDK_QP, NDK_SRQ, NdkObjectTypePd,
};
use abi::nt::{BOOLEAN, GROUP_AFFINITY};
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::answer::{Creation, Holder};
use crate::life::{AnyObject, Hold, Life, Object, close, from_handle};
use crate::memory::{Domain, PRIVILEGED_TOKEN};
use crate::mr::Mr;
use crate::mw::Mw;
use crate::opaque::Opaque;
use crate::public::{Public, header, query_extension};
use crate::qp::{Limits, Qp};
use crate::srq::{self, Srq};
use crate::tag;

/// A protection domain (`NDK_PD`): queue pairs reach the regions of their own domain only.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Pd {
    public: Public<NDK_PD>,
    life: Life,
    adapter: Hold<Adapter>,
}

impl Pd {
    pub(crate) fn create(adapter: &Shared<Adapter>) -> Result<Shared<Self>, NTSTATUS> {
        let pd = Self {
            public: Public::new(NDK_PD {
                Header: header(adapter.version(), NdkObjectTypePd),
                Dispatch: &raw const DISPATCH,
            }),
            life: Life::new()?,
            adapter: Hold::new(adapter),
        };
        Ok(Shared::try_new(tag::OBJECT, pd)?)
    }

    /// What the queue pairs of this domain may name.
    pub(crate) fn domain(&self) -> Domain {
        Domain { pd: (&raw const *self).addr(), adapter: self.adapter.name() }
    }
}

impl Object for Pd {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.adapter.shared()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Pd(this)
    }

    fn release_antecedents(&self) {
        self.adapter.release();
    }
}

/// The table of every protection domain.
static DISPATCH: NDK_PD_DISPATCH = NDK_PD_DISPATCH {
    NdkClosePd: close::<Pd>,
    NdkQueryExtension: query_extension,
    NdkCreateMr: create_mr,
    NdkCreateMw: create_mw,
    NdkCreateSrq: create_srq,
    NdkCreateQp: create_qp,
    NdkCreateQpWithSrq: create_qp_with_srq,
    NdkGetPrivilegedMemoryRegionToken: get_privileged_memory_region_token,
};

/// Starts a create below the protection domain `pd`.
///
/// # Safety
/// `pd` is open, and `completion` may be called with `context` once, at any IRQL up to DISPATCH_LEVEL.
unsafe fn creation(
    pd: *mut NDK_PD,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
) -> Result<(Shared<Pd>, Creation), NTSTATUS> {
    // SAFETY: open (caller).
    let pd: Shared<Pd> = unsafe { from_handle(pd.cast()) };
    // SAFETY: as promised by the caller.
    let creation = unsafe { Creation::new(Holder::from(&pd), completion, context) }?;
    Ok((pd, creation))
}

/// `NDK_FN_CREATE_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_mr(
    pd: *mut NDK_PD,
    fast_register: BOOLEAN,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_MR,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    let (pd, creation) = match unsafe { creation(pd, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    let made = Mr::create(&pd, fast_register != 0);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_MW`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_mw(
    pd: *mut NDK_PD,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_MW,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    let (pd, creation) = match unsafe { creation(pd, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    let made = Mw::create(&pd);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_SRQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_srq(
    pd: *mut NDK_PD,
    depth: u32,
    max_receive_request_sge: u32,
    notify_threshold: u32,
    notification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
    notification_context: *mut c_void,
    _affinity: *const GROUP_AFFINITY,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_SRQ,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    let (pd, creation) = match unsafe { creation(pd, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    let sizes = srq::Sizes { depth, elements: max_receive_request_sge, threshold: notify_threshold };
    let made = Srq::create(&pd, sizes, notification, notification_context);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_QP`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_qp(
    pd: *mut NDK_PD,
    receive_cq: *mut NDK_CQ,
    initiator_cq: *mut NDK_CQ,
    qp_context: *mut c_void,
    receive_queue_depth: u32,
    initiator_queue_depth: u32,
    max_receive_request_sge: u32,
    max_initiator_request_sge: u32,
    inline_data_size: u32,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_QP,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    let (pd, creation) = match unsafe { creation(pd, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    // SAFETY: an open completion queue (consumer).
    let receive_cq = unsafe { from_handle(receive_cq.cast()) };
    // SAFETY: an open completion queue (consumer).
    let initiator_cq = unsafe { from_handle(initiator_cq.cast()) };
    let limits = Limits {
        receives: receive_queue_depth,
        initiators: initiator_queue_depth,
        receive_elements: max_receive_request_sge,
        initiator_elements: max_initiator_request_sge,
        inline_bytes: inline_data_size,
    };
    let made = Qp::create(&pd, &receive_cq, &initiator_cq, None, Opaque(qp_context), limits);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_CREATE_QP_WITH_SRQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_qp_with_srq(
    pd: *mut NDK_PD,
    receive_cq: *mut NDK_CQ,
    initiator_cq: *mut NDK_CQ,
    srq: *mut NDK_SRQ,
    qp_context: *mut c_void,
    initiator_queue_depth: u32,
    max_initiator_request_sge: u32,
    inline_data_size: u32,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_QP,
) -> NTSTATUS {
    // SAFETY: as the function type says.
    let (pd, creation) = match unsafe { creation(pd, completion, context) } {
        Ok(both) => both,
        Err(status) => return status,
    };
    // SAFETY: an open completion queue (consumer).
    let receive_cq = unsafe { from_handle(receive_cq.cast()) };
    // SAFETY: an open completion queue (consumer).
    let initiator_cq = unsafe { from_handle(initiator_cq.cast()) };
    // SAFETY: an open shared receive queue (consumer).
    let srq: Shared<Srq> = unsafe { from_handle(srq.cast()) };
    let limits = Limits {
        receives: 1,
        initiators: initiator_queue_depth,
        receive_elements: srq.elements_max(),
        initiator_elements: max_initiator_request_sge,
        inline_bytes: inline_data_size,
    };
    let made = Qp::create(&pd, &receive_cq, &initiator_cq, Some(&srq), Opaque(qp_context), limits);
    // SAFETY: valid (consumer).
    unsafe { creation.answer(made, out) }
}

/// `NDK_FN_GET_PRIVILEGED_MEMORY_REGION_TOKEN`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_privileged_memory_region_token(_pd: *mut NDK_PD, token: *mut u32) {
    // SAFETY: valid (consumer).
    unsafe { token.write(PRIVILEGED_TOKEN) };
}
