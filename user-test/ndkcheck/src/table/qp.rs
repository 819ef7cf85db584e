//! The slots of queue pairs.

use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use abi::NTSTATUS;
use abi::ndk::{
    NDK_LOGICAL_ADDRESS, NDK_MR, NDK_MW, NDK_OBJECT_HEADER, NDK_OP_FLAG, NDK_OP_FLAG_ALLOW_REMOTE_WRITE,
    NDK_QP, NDK_QP_DISPATCH, NDK_SGE,
};
use abi::nt::{DISPATCH_LEVEL, PAGE_SIZE};
use abi::status::nt_success;

use super::mr::{self, State};
use super::{answer, close_slot, extension_slot};
use crate::check::{Check, Refused, lock};
use crate::memory::{Region, Use};
use crate::object::{Body, Call, Ref, enter, forward};
use crate::request::Opaque;
use crate::rule::Rule;
use crate::script::Slot;
use crate::work::{self, Post, Queue};

/// What a queue pair is created with.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) receives: u32,
    pub(crate) initiators: u32,
    pub(crate) receive_elements: u32,
    pub(crate) initiator_elements: u32,
    pub(crate) inline: u32,
}

/// A queue pair.
pub(crate) struct Qp {
    pub(crate) pd: Ref,
    pub(crate) receive_cq: Ref,
    pub(crate) initiator_cq: Ref,
    srq: Option<Ref>,
    pub(crate) context: Opaque,
    sizes: Sizes,
    receive: Queue,
    initiator: Queue,
    /// Given to a connector.
    pub(crate) used: AtomicBool,
    /// Its connection was complete once.
    pub(crate) connected: AtomicBool,
    /// The last request was deferred.
    deferred: AtomicBool,
}

impl Qp {
    pub(crate) const fn new(
        pd: Ref,
        receive_cq: Ref,
        initiator_cq: Ref,
        srq: Option<Ref>,
        context: Opaque,
        sizes: Sizes,
    ) -> Self {
        Self {
            pd,
            receive_cq,
            initiator_cq,
            srq,
            context,
            sizes,
            receive: Queue::new(sizes.receives, sizes.receive_elements),
            initiator: Queue::new(sizes.initiators, sizes.initiator_elements),
            used: AtomicBool::new(false),
            connected: AtomicBool::new(false),
            deferred: AtomicBool::new(false),
        }
    }

    /// Gives the room on the completion queues back.
    pub(crate) fn give_room(&self) {
        if let (Body::Cq(receive), Body::Cq(initiator)) = (&self.receive_cq.body, &self.initiator_cq.body) {
            receive.give_room(self.sizes.receives);
            initiator.give_room(self.sizes.initiators);
        }
    }

    /// An entry has come for a request of this queue pair: the consumer's context.
    pub(crate) fn completed(&self, check: &Check, sequence: usize) -> Option<Opaque> {
        let shared = || {
            let srq = self.srq?;
            let Body::Srq(body) = &srq.body else { return None };
            body.queue.completed(check, sequence)
        };
        let received = || self.receive.completed(check, sequence);
        self.initiator.completed(check, sequence).or_else(received).or_else(shared)
    }

    /// The connection is over: no request touches memory any more.
    pub(crate) fn dma_is_over(&self, check: &Check) {
        self.initiator.dma_is_over(check);
        self.receive.dma_is_over(check);
    }
}

/// Refuses what must not come behind a request that is still held back.
pub(super) fn nothing_deferred(call: &Call, qp: Ref) -> Result<(), Refused> {
    let Body::Qp(body) = &qp.body else { return Err(call.wrong_kind(qp)) };
    let deferred = body.deferred.load(Ordering::Acquire);
    call.demand(!deferred, Rule::DeferOpen, || format!("the last request of {} was deferred", *qp))
}

/// Looks at a queue pair that is to be closed.
fn closing(call: &Call) -> Result<impl FnOnce() + Send + 'static, Refused> {
    let object = call.object;
    nothing_deferred(call, object)?;
    Ok(move || {
        if let Body::Qp(qp) = &object.body {
            qp.dma_is_over(&object.shared_check());
            qp.give_room();
        }
    })
}

extension_slot!(NDK_QP);
close_slot!(NDK_QP, NdkCloseQp, CloseQp, closing);

pub(crate) static TABLE: NDK_QP_DISPATCH = NDK_QP_DISPATCH {
    NdkCloseQp: close,
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

/// An array that a request came with.
///
/// # Safety
/// `first` is readable for `count` elements while the result is used.
pub(super) unsafe fn list<'a, T>(first: *const T, count: u32) -> &'a [T] {
    if count == 0 || first.is_null() {
        return &[];
    }
    // SAFETY: readable (caller).
    unsafe { std::slice::from_raw_parts(first, count as usize) }
}

impl<'a> Post<'a> {
    /// A receive.
    pub(super) const fn receive(context: *mut c_void, elements: &'a [NDK_SGE], elements_max: u32) -> Self {
        let (flags, known, inline_max) = (0, 0, 0);
        Self { context, elements, elements_max, flags, known, arriving: true, inline_max, also: None }
    }
}

/// The call's own queue pair.
fn body(call: &Call) -> Result<&Qp, Refused> {
    let Body::Qp(qp) = &call.object.body else { return Err(call.wrong_object()) };
    // SAFETY: the proxy lives as long as the check, which the call holds.
    Ok(unsafe { &*ptr::from_ref(qp) })
}

/// An initiator request, before its operation is known.
struct Initiated<'a> {
    context: *mut c_void,
    elements: &'a [NDK_SGE],
    flags: u32,
    known: u32,
    arriving: bool,
    also: Option<Use>,
}

/// Posts to the initiator queue.
fn initiate(
    call: &Call,
    initiated: &Initiated<'_>,
    forward: impl FnOnce(*mut c_void) -> NTSTATUS,
) -> Result<NTSTATUS, Refused> {
    let qp = body(call)?;
    let connected = qp.connected.load(Ordering::Acquire);
    call.demand(connected, Rule::NotConnected, || "its connection is not complete".to_owned())?;
    let Initiated { context, elements, flags, known, arriving, also } = *initiated;
    let of_queue = qp.initiator.elements_max();
    let elements_max = if arriving { of_queue.min(call.check.info.MaxReadRequestSge) } else { of_queue };
    let inline_max = qp.sizes.inline;
    let post = Post { context, elements, elements_max, flags, known, arriving, inline_max, also };
    let status = qp.initiator.post(call, qp.pd, &post, forward)?;
    let deferred = nt_success(status) && flags & NDK_OP_FLAG::DEFER.bits() != 0;
    qp.deferred.store(deferred, Ordering::Release);
    Ok(status)
}

/// `NDK_FN_FLUSH`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn flush(qp: *mut NDK_QP) {
    // SAFETY: a proxy (consumer).
    let Ok(call) = (unsafe { enter(qp, "NdkFlush", DISPATCH_LEVEL) }) else { return };
    forward!(call.object, NDK_QP, NdkFlush());
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
    let send = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkSend", DISPATCH_LEVEL) }?;
        if let Some(status) = call.check.script.refuses(Slot::Send) {
            return refused(&call, status);
        }
        // SAFETY: readable (consumer).
        let elements = unsafe { list(sgl, count) };
        let post = Initiated { context, elements, flags, known: work::SEND, arriving: false, also: None };
        let object = call.object;
        initiate(&call, &post, |context| forward!(object, NDK_QP, NdkSend(context, sgl, count, flags)))
    };
    answer(send())
}

/// A script has an initiator request fail, or claims that it was posted.
fn refused(call: &Call, status: NTSTATUS) -> Result<NTSTATUS, Refused> {
    body(call)?.deferred.store(false, Ordering::Release);
    Ok(status)
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
    token: u32,
) -> NTSTATUS {
    let send = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkSendAndInvalidate", DISPATCH_LEVEL) }?;
        call.demand(call.check.has(1, 2), Rule::Version, || "a slot of NDKPI 1.2".to_owned())?;
        // SAFETY: readable (consumer).
        let elements = unsafe { list(sgl, count) };
        let post = Initiated { context, elements, flags, known: work::SEND, arriving: false, also: None };
        let object = call.object;
        initiate(&call, &post, |context| {
            forward!(object, NDK_QP, NdkSendAndInvalidate(context, sgl, count, flags, token))
        })
    };
    answer(send())
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
    let receive = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkReceive", DISPATCH_LEVEL) }?;
        if let Some(status) = call.check.script.refuses(Slot::Receive) {
            return Ok(status);
        }
        let body = body(&call)?;
        // SAFETY: readable (consumer).
        let elements = unsafe { list(sgl, count) };
        let post = Post::receive(context, elements, body.receive.elements_max());
        let object = call.object;
        body.receive
            .post(&call, body.pd, &post, |context| forward!(object, NDK_QP, NdkReceive(context, sgl, count)))
    };
    answer(receive())
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
    address: u64,
    token: u32,
    flags: u32,
) -> NTSTATUS {
    let read = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkRead", DISPATCH_LEVEL) }?;
        if let Some(status) = call.check.script.refuses(Slot::Read) {
            return refused(&call, status);
        }
        // SAFETY: readable (consumer).
        let elements = unsafe { list(sgl, count) };
        let post = Initiated { context, elements, flags, known: work::READ, arriving: true, also: None };
        let object = call.object;
        initiate(&call, &post, |context| {
            forward!(object, NDK_QP, NdkRead(context, sgl, count, address, token, flags))
        })
    };
    answer(read())
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
    address: u64,
    token: u32,
    flags: u32,
) -> NTSTATUS {
    let write = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkWrite", DISPATCH_LEVEL) }?;
        if let Some(status) = call.check.script.refuses(Slot::Write) {
            return refused(&call, status);
        }
        // SAFETY: readable (consumer).
        let elements = unsafe { list(sgl, count) };
        let post = Initiated { context, elements, flags, known: work::WRITE, arriving: false, also: None };
        let object = call.object;
        initiate(&call, &post, |context| {
            forward!(object, NDK_QP, NdkWrite(context, sgl, count, address, token, flags))
        })
    };
    answer(write())
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
    address: *const c_void,
    length: usize,
    flags: u32,
) -> NTSTATUS {
    let bind = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkBind", DISPATCH_LEVEL) }?;
        let pd = body(&call)?.pd;
        // SAFETY: a proxy (consumer).
        let region = unsafe { call.other(mr) }?;
        let Some(known) = lock(&call.check.memory).region_of(region) else {
            return Err(call
                .check
                .broken(Rule::Bind, format!("NdkBind to {}, which is not registered", *region)));
        };
        let end = address.addr().checked_sub(known.base).and_then(|offset| offset.checked_add(length));
        let inside = end.is_some_and(|end| end <= known.length);
        let longest = call.check.info.MaxWindowSize;
        let writes = flags & NDK_OP_FLAG_ALLOW_REMOTE_WRITE == NDK_OP_FLAG_ALLOW_REMOTE_WRITE;
        let kept = inside && length <= longest && (!writes || known.writable) && !address.is_null();
        call.demand(kept, Rule::Bind, || {
            format!("{length} bytes at {address:?} of {}, flags {flags:#x}", *region)
        })?;
        // SAFETY: a proxy (consumer).
        let window = unsafe { call.other(mw) }?;
        let Body::Mw(body) = &window.body else { return Err(call.wrong_kind(window)) };
        let foreign = || format!("{} and {} are not of its domain", *region, *window);
        call.demand(known.pd == pd && body.pd == pd, Rule::ForeignObject, foreign)?;
        let also = Some(Use::Region(region));
        let post = Initiated { context, elements: &[], flags, known: work::BIND, arriving: false, also };
        let object = call.object;
        let status = initiate(&call, &post, |context| {
            let (mr, mw) = (region.inner(), window.inner());
            forward!(object, NDK_QP, NdkBind(context, mr, mw, address, length, flags))
        })?;
        if nt_success(status) {
            body.bind(&call.check, region);
            let token = forward!(window, NDK_MW, NdkGetRemoteTokenFromMw());
            lock(&call.check.memory).add_remote(token, window);
        }
        Ok(status)
    };
    answer(bind())
}

/// Holds a fast registration against the region it is for.
fn fits_region(
    call: &Call,
    mr: Ref,
    pages: &[i64],
    fbo: u32,
    length: usize,
    base: usize,
    flags: u32,
) -> Result<(), Refused> {
    let Body::Mr(body) = &mr.body else { return Err(call.wrong_kind(mr)) };
    let foreign = || format!("{} is of another protection domain", *mr);
    call.demand(body.pd == self::body(call)?.pd, Rule::ForeignObject, foreign)?;
    let state = *lock(&body.state);
    let State::Initialized { pages: room, remote, valid } = state else {
        return Err(call
            .check
            .broken(Rule::RegionState, format!("NdkFastRegister of {}: it is {state:?}", *mr)));
    };
    call.demand(!valid, Rule::FastRegisterValid, || format!("{} is registered", *mr))?;
    let offset = fbo as usize;
    let aligned = pages.iter().all(|page| page % PAGE_SIZE as i64 == 0);
    let enough = offset.checked_add(length).is_some_and(|end| end <= pages.len() * PAGE_SIZE);
    let fits =
        pages.len() <= room as usize && aligned && offset < PAGE_SIZE && enough && base % PAGE_SIZE == offset;
    let for_peer = NDK_OP_FLAG::ALLOW_REMOTE_READ.bits()
        | (NDK_OP_FLAG_ALLOW_REMOTE_WRITE & !NDK_OP_FLAG::ALLOW_LOCAL_WRITE.bits());
    let allowed = remote || flags & for_peer == 0;
    let (count, book) = (pages.len(), lock(&call.check.memory));
    let mapped = pages.iter().all(|page| book.mapping_of(*page).is_some());
    drop(book);
    call.demand(fits && allowed && mapped, Rule::FastRegister, || {
        format!("{length} bytes from {fbo} of {count} pages at {base:#x}, flags {flags:#x}, {} for {room} pages, remote {remote}, mapped {mapped}", *mr)
    })
}

/// `NDK_FN_FAST_REGISTER`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn fast_register(
    qp: *mut NDK_QP,
    context: *mut c_void,
    mr: *mut NDK_MR,
    count: u32,
    array: *const NDK_LOGICAL_ADDRESS,
    fbo: u32,
    length: usize,
    base: *const c_void,
    flags: u32,
) -> NTSTATUS {
    let register = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkFastRegister", DISPATCH_LEVEL) }?;
        // SAFETY: a proxy (consumer).
        let region = unsafe { call.other(mr) }?;
        // SAFETY: readable (consumer).
        let pages = unsafe { list(array, count) };
        fits_region(&call, region, pages, fbo, length, base.addr(), flags)?;
        let Body::Mr(body) = &region.body else { return Err(call.wrong_kind(region)) };
        let mapping = pages.first().and_then(|page| lock(&call.check.memory).mapping_of(*page));
        let also = Some(Use::Region(region));
        let post =
            Initiated { context, elements: &[], flags, known: work::FAST_REGISTER, arriving: false, also };
        let object = call.object;
        let token = forward!(region, NDK_MR, NdkGetLocalTokenFromMr());
        let writable = flags & NDK_OP_FLAG::ALLOW_LOCAL_WRITE.bits() != 0;
        let known = Region { mr: region, pd: body.pd, base: base.addr(), length, writable, readable: false };
        {
            let mut book = lock(&call.check.memory);
            book.add_region(token, known);
            if let Some(lam) = mapping {
                book.take(Use::Mapping(lam));
            }
        }
        *lock(&body.mapping) = mapping;
        if let State::Initialized { valid, .. } = &mut *lock(&body.state) {
            *valid = true;
        }
        let status = initiate(&call, &post, |context| {
            let mr = region.inner();
            forward!(object, NDK_QP, NdkFastRegister(context, mr, count, array, fbo, length, base, flags))
        });
        if status.as_ref().is_ok_and(|status| nt_success(*status)) {
            let token = forward!(region, NDK_MR, NdkGetRemoteTokenFromMr());
            lock(&call.check.memory).add_remote(token, region);
        } else {
            mr::invalidate(&call.check, region);
        }
        status
    };
    answer(register())
}

/// `NDK_FN_INVALIDATE`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn invalidate(
    qp: *mut NDK_QP,
    context: *mut c_void,
    target: *mut NDK_OBJECT_HEADER,
    flags: u32,
) -> NTSTATUS {
    let invalidate = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(qp, "NdkInvalidate", DISPATCH_LEVEL) }?;
        // SAFETY: a proxy (consumer).
        let target = unsafe { call.other(target) }?;
        let stands = match &target.body {
            Body::Mr(mr) => matches!(*lock(&mr.state), State::Initialized { valid: true, .. }),
            Body::Mw(window) => window.is_bound(),
            _ => return Err(call.wrong_kind(target)),
        };
        call.demand(stands, Rule::RegionState, || format!("there is nothing to invalidate at {}", *target))?;
        let known = work::INVALIDATE;
        let post = Initiated { context, elements: &[], flags, known, arriving: false, also: None };
        let object = call.object;
        let status = initiate(&call, &post, |context| {
            forward!(object, NDK_QP, NdkInvalidate(context, target.inner(), flags))
        })?;
        if nt_success(status) {
            match &target.body {
                Body::Mw(window) => window.unbind(&call.check),
                _ => mr::invalidate(&call.check, target),
            }
        }
        Ok(status)
    };
    answer(invalidate())
}
