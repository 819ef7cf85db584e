//! The slots of shared receive queues.

use std::ffi::c_void;

use abi::NTSTATUS;
use abi::ndk::{
    NDK_FN_REQUEST_COMPLETION, NDK_FN_SRQ_NOTIFICATION_CALLBACK, NDK_SGE, NDK_SRQ, NDK_SRQ_DISPATCH,
};
use abi::nt::DISPATCH_LEVEL;
use abi::status::nt_success;

use super::qp::list;
use super::{answer, close_slot, extension_slot, request};
use crate::check::Refused;
use crate::object::{Body, Call, Ref, enter, forward};
use crate::request::{Opaque, call_back, requested};
use crate::rule::Rule;
use crate::script::Slot;
use crate::work::{Post, Queue};

/// A shared receive queue.
pub(crate) struct Srq {
    pub(crate) pd: Ref,
    pub(crate) queue: Queue,
    notification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
    context: Opaque,
}

impl Srq {
    pub(crate) const fn new(
        pd: Ref,
        depth: u32,
        elements: u32,
        notification: Option<NDK_FN_SRQ_NOTIFICATION_CALLBACK>,
        context: Opaque,
    ) -> Self {
        Self { pd, queue: Queue::new(depth, elements), notification, context }
    }
}

/// `NDK_FN_SRQ_NOTIFICATION_CALLBACK`, given to the provider.
///
/// # Safety
/// `context` is the proxy of the queue.
pub(super) unsafe extern "system" fn notified(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: the context of the create; the proxy outlives the queue.
    let srq = unsafe { Ref::from_raw(context.cast()) };
    let Body::Srq(body) = &srq.body else { return };
    let Some(notification) = body.notification else { return };
    call_back(&srq.shared_check(), "the shared receive queue notification", || {
        // SAFETY: the consumer's promise with the creation of the queue.
        unsafe { notification(body.context.0, status) };
    });
}

/// The receives in a queue that is closed wait no more.
fn closing(call: &Call) -> Result<impl FnOnce() + Send + 'static, Refused> {
    let object = call.object;
    Ok(move || {
        if let Body::Srq(srq) = &object.body {
            srq.queue.dma_is_over(&object.shared_check());
        }
    })
}

extension_slot!(NDK_SRQ);
close_slot!(NDK_SRQ, NdkCloseSrq, CloseSrq, closing);

pub(crate) static TABLE: NDK_SRQ_DISPATCH = NDK_SRQ_DISPATCH {
    NdkCloseSrq: close,
    NdkQueryExtension: query_extension,
    NdkModifySrq: modify,
    NdkSrqReceive: receive,
};

/// `NDK_FN_MODIFY_SRQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn modify(
    srq: *mut NDK_SRQ,
    depth: u32,
    threshold: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let modify = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(srq, "NdkModifySrq", DISPATCH_LEVEL) }?;
        let most = call.check.info.MaxSrqDepth;
        call.demand(depth <= most, Rule::Limits, || format!("{depth} receives, {most} allowed"))?;
        let object = call.object;
        let done = move |status| {
            if let (Body::Srq(srq), true) = (&object.body, nt_success(status) && depth != 0) {
                srq.queue.set_depth(depth);
            }
        };
        Ok(request(&call, Slot::ModifySrq, (completion, context), done, |context| {
            forward!(object, NDK_SRQ, NdkModifySrq(depth, threshold, requested, context))
        }))
    };
    answer(modify())
}

/// `NDK_FN_SRQ_RECEIVE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn receive(
    srq: *mut NDK_SRQ,
    context: *mut c_void,
    sgl: *const NDK_SGE,
    count: u32,
) -> NTSTATUS {
    let receive = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(srq, "NdkSrqReceive", DISPATCH_LEVEL) }?;
        let object = call.object;
        let Body::Srq(body) = &object.body else { return Err(call.wrong_object()) };
        if let Some(status) = call.check.script.refuses(Slot::SrqReceive) {
            return Ok(status);
        }
        // SAFETY: readable (consumer).
        let elements = unsafe { list(sgl, count) };
        let post = Post::receive(context, elements, body.queue.elements_max());
        body.queue.post(&call, body.pd, &post, |context| {
            forward!(object, NDK_SRQ, NdkSrqReceive(context, sgl, count))
        })
    };
    let receive: Result<NTSTATUS, Refused> = receive();
    answer(receive)
}
