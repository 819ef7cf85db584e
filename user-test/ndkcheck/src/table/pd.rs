//! The slots of protection domains.

use ksim::sync::Mutex;
use std::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_CQ, NDK_FN_CREATE_COMPLETION, NDK_FN_SRQ_NOTIFICATION_CALLBACK, NDK_MR, NDK_MW, NDK_PD,
    NDK_PD_DISPATCH, NDK_QP, NDK_SRQ, NdkObjectTypeMr, NdkObjectTypeMw, NdkObjectTypeQp, NdkObjectTypeSrq,
};
use abi::nt::{BOOLEAN, DISPATCH_LEVEL, GROUP_AFFINITY};

use super::mr::Mr;
use super::mw::Mw;
use super::qp::{Qp, Sizes};
use super::srq::Srq;
use super::{answer, close_slot, create, extension_slot, give, mr, mw, nothing_special, qp, srq};
use crate::check::{Refused, lock};
use crate::object::{Body, Call, Object, Ref, enter, forward};
use crate::request::{Opaque, created};
use crate::rule::Rule;
use crate::script::Slot;

/// A protection domain.
#[derive(Default)]
pub(crate) struct Pd {
    privileged: Mutex<Option<u32>>,
}

impl Pd {
    /// The privileged token.
    pub(crate) fn privileged(&self) -> Option<u32> {
        *lock(&self.privileged)
    }
}

/// Reads the privileged token of a new domain.
pub(super) fn read_privileged(pd: Ref) {
    let mut token = 0;
    forward!(pd, NDK_PD, NdkGetPrivilegedMemoryRegionToken(&raw mut token));
    if let Body::Pd(body) = &pd.body {
        *lock(&body.privileged) = Some(token);
    }
}

extension_slot!(NDK_PD);
close_slot!(NDK_PD, NdkClosePd, ClosePd, nothing_special);

pub(crate) static TABLE: NDK_PD_DISPATCH = NDK_PD_DISPATCH {
    NdkClosePd: close,
    NdkQueryExtension: query_extension,
    NdkCreateMr: create_mr,
    NdkCreateMw: create_mw,
    NdkCreateSrq: create_srq,
    NdkCreateQp: create_qp,
    NdkCreateQpWithSrq: create_qp_with_srq,
    NdkGetPrivilegedMemoryRegionToken: get_privileged_token,
};

/// `NDK_FN_CREATE_MR`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_mr(
    pd: *mut NDK_PD,
    fast: BOOLEAN,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_MR,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(pd, "NdkCreateMr", DISPATCH_LEVEL) }?;
        let object = call.object;
        let body = Body::Mr(Mr::new(object, fast != 0));
        let proxy = Object::make(&call.check, NdkObjectTypeMr, (&raw const mr::TABLE).cast(), body);
        let made = create(
            &call,
            Slot::CreateMr,
            (completion, context),
            proxy,
            |_| (),
            |context, made| forward!(object, NDK_PD, NdkCreateMr(fast, created, context, made)),
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
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
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(pd, "NdkCreateMw", DISPATCH_LEVEL) }?;
        let object = call.object;
        let body = Body::Mw(Mw::new(object));
        let proxy = Object::make(&call.check, NdkObjectTypeMw, (&raw const mw::TABLE).cast(), body);
        let made = create(
            &call,
            Slot::CreateMw,
            (completion, context),
            proxy,
            |_| (),
            |context, made| forward!(object, NDK_PD, NdkCreateMw(created, context, made)),
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// `NDK_FN_CREATE_SRQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn create_srq(
    pd: *mut NDK_PD,
    depth: u32,
    elements: u32,
    threshold: u32,
    notification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
    notification_context: *mut c_void,
    affinity: *const GROUP_AFFINITY,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_SRQ,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(pd, "NdkCreateSrq", DISPATCH_LEVEL) }?;
        let info = &call.check.info;
        within(&call, "receives", depth, info.MaxSrqDepth)?;
        within(&call, "receive elements", elements, info.MaxReceiveRequestSge)?;
        let object = call.object;
        let body = Body::Srq(Srq::new(object, depth, elements, notification, Opaque(notification_context)));
        let proxy = Object::make(&call.check, NdkObjectTypeSrq, (&raw const srq::TABLE).cast(), body);
        let told = proxy.as_ptr().cast();
        let tell = notification.map(|_| srq::notified as NDK_FN_SRQ_NOTIFICATION_CALLBACK);
        let made = create(
            &call,
            Slot::CreateSrq,
            (completion, context),
            proxy,
            |_| (),
            |context, made| {
                let done = created;
                forward!(
                    object,
                    NDK_PD,
                    NdkCreateSrq(depth, elements, threshold, tell, told, affinity, done, context, made)
                )
            },
        );
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// Holds a size against its limit.
fn within(call: &Call, what: &str, asked: u32, most: u32) -> Result<(), Refused> {
    call.demand(asked <= most, Rule::Limits, || format!("{asked} {what}, {most} allowed"))
}

/// Holds the sizes of a new queue pair against the limits of the adapter.
fn within_limits(call: &Call, sizes: &Sizes) -> Result<(), Refused> {
    let info = &call.check.info;
    within(call, "receives", sizes.receives, info.MaxReceiveQueueDepth)?;
    within(call, "initiator requests", sizes.initiators, info.MaxInitiatorQueueDepth)?;
    within(call, "receive elements", sizes.receive_elements, info.MaxReceiveRequestSge)?;
    let most = info.MaxInitiatorRequestSge.max(info.MaxReadRequestSge);
    within(call, "initiator elements", sizes.initiator_elements, most)?;
    within(call, "bytes of inline data", sizes.inline, info.MaxInlineDataSize)
}

/// The queue pair to be, with room taken on its completion queues.
///
/// # Safety
/// The completion queues are proxies.
unsafe fn prepare(
    call: &Call,
    (receive_cq, initiator_cq): (*mut NDK_CQ, *mut NDK_CQ),
    srq: Option<Ref>,
    context: *mut c_void,
    sizes: Sizes,
) -> Result<Ref, Refused> {
    within_limits(call, &sizes)?;
    // SAFETY: a proxy (caller).
    let receive = unsafe { call.other(receive_cq) }?;
    // SAFETY: a proxy (caller).
    let initiator = unsafe { call.other(initiator_cq) }?;
    let (Body::Cq(receive_body), Body::Cq(initiator_body)) = (&receive.body, &initiator.body) else {
        return Err(call.wrong_kind(receive));
    };
    // Both are taken whatever is said, so that both can be given back.
    let rooms = [receive_body.take_room(sizes.receives), initiator_body.take_room(sizes.initiators)];
    let body = Qp::new(call.object, receive, initiator, srq, Opaque(context), sizes);
    for room in rooms {
        if let Err(text) = room {
            body.give_room();
            return Err(call
                .check
                .broken(Rule::CqRoom, format!("{} of {}: {text}", call.name, *call.object)));
        }
    }
    Ok(Object::make(&call.check, NdkObjectTypeQp, (&raw const qp::TABLE).cast(), Body::Qp(body)))
}

/// Gives room back if there is no queue pair.
fn settled(proxy: Ref) -> impl FnOnce(bool) + Send + 'static {
    move |made| {
        if let (false, Body::Qp(body)) = (made, &proxy.body) {
            body.give_room();
        }
    }
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
    receives: u32,
    initiators: u32,
    receive_elements: u32,
    initiator_elements: u32,
    inline: u32,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_QP,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(pd, "NdkCreateQp", DISPATCH_LEVEL) }?;
        let sizes = Sizes { receives, initiators, receive_elements, initiator_elements, inline };
        // SAFETY: proxies (consumer).
        let proxy = unsafe { prepare(&call, (receive_cq, initiator_cq), None, qp_context, sizes) }?;
        let Body::Qp(body) = &proxy.body else { return Err(call.wrong_object()) };
        let (receive, initiator) = (body.receive_cq.inner(), body.initiator_cq.inner());
        let (object, own) = (call.object, proxy.as_ptr().cast());
        let made =
            create(&call, Slot::CreateQp, (completion, context), proxy, settled(proxy), |context, made| {
                let done = created;
                forward!(
                    object,
                    NDK_PD,
                    NdkCreateQp(
                        receive,
                        initiator,
                        own,
                        receives,
                        initiators,
                        receive_elements,
                        initiator_elements,
                        inline,
                        done,
                        context,
                        made
                    )
                )
            });
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
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
    initiators: u32,
    initiator_elements: u32,
    inline: u32,
    completion: NDK_FN_CREATE_COMPLETION,
    context: *mut c_void,
    out: *mut *mut NDK_QP,
) -> NTSTATUS {
    let make = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(pd, "NdkCreateQpWithSrq", DISPATCH_LEVEL) }?;
        // SAFETY: a proxy (consumer).
        let shared = unsafe { call.other(srq) }?;
        let Body::Srq(queue) = &shared.body else { return Err(call.wrong_kind(shared)) };
        let foreign = || format!("{} is of another protection domain", *shared);
        call.demand(queue.pd == call.object, Rule::ForeignObject, foreign)?;
        let sizes = Sizes { receives: 0, initiators, receive_elements: 0, initiator_elements, inline };
        // SAFETY: proxies (consumer).
        let proxy = unsafe { prepare(&call, (receive_cq, initiator_cq), Some(shared), qp_context, sizes) }?;
        let Body::Qp(body) = &proxy.body else { return Err(call.wrong_object()) };
        let (receive, initiator) = (body.receive_cq.inner(), body.initiator_cq.inner());
        let (object, own, slot) = (call.object, proxy.as_ptr().cast(), Slot::CreateQpWithSrq);
        let made = create(&call, slot, (completion, context), proxy, settled(proxy), |context, made| {
            let (shared, done) = (shared.inner(), created);
            forward!(
                object,
                NDK_PD,
                NdkCreateQpWithSrq(
                    receive,
                    initiator,
                    shared,
                    own,
                    initiators,
                    initiator_elements,
                    inline,
                    done,
                    context,
                    made
                )
            )
        });
        // SAFETY: valid (consumer).
        Ok(unsafe { give(made, out) })
    };
    answer(make())
}

/// `NDK_FN_GET_PRIVILEGED_MEMORY_REGION_TOKEN`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_privileged_token(pd: *mut NDK_PD, token: *mut u32) {
    // SAFETY: a proxy (consumer).
    let Ok(call) = (unsafe { enter(pd, "NdkGetPrivilegedMemoryRegionToken", DISPATCH_LEVEL) }) else {
        return;
    };
    forward!(call.object, NDK_PD, NdkGetPrivilegedMemoryRegionToken(token));
}
