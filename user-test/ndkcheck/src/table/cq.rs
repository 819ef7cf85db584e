//! The slots of completion queues.

use ksim::sync::Mutex;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use abi::NTSTATUS;
use abi::ndk::{
    NDK_ADAPTER_FLAG_CQ_RESIZE_SUPPORTED, NDK_CQ, NDK_CQ_DISPATCH, NDK_CQ_NOTIFY, NDK_CQ_NOTIFY_SOLICITED,
    NDK_FN_CQ_NOTIFICATION_CALLBACK, NDK_FN_REQUEST_COMPLETION, NDK_RESULT, NDK_RESULT_EX,
    NdkOperationTypeReceiveAndInvalidate,
};
use abi::nt::DISPATCH_LEVEL;
use abi::status::nt_success;

use super::{answer, close_slot, extension_slot, mr, nothing_special, request};
use crate::check::{Check, Refused, lock};
use crate::object::{Body, Call, Ref, enter, forward};
use crate::request::{Opaque, is_notifying, requested, tell_cq};
use crate::rule::Rule;
use crate::script::{EntryAct, Slot};

/// Seen empty since the last notification, or never notified: everything in it counts as new.
const DRAINED: u8 = 0;
/// Notified, and not looked at since.
const NOTIFIED: u8 = 1;
/// The last look found as much as was asked for: there may be more.
const LEFT: u8 = 2;

/// A completion queue.
pub(crate) struct Cq {
    depth: AtomicU32,
    /// Entries that the queue pairs on it may need at once.
    taken: AtomicU32,
    /// Reaping or arming is under way.
    busy: AtomicBool,
    moderating: AtomicBool,
    seen: AtomicU8,
    pub(crate) notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
    pub(crate) context: Opaque,
    /// Entries that a script hands out once more.
    again: Mutex<VecDeque<Entry>>,
}

/// A completion entry, in either form.
#[derive(Clone, Copy)]
struct Entry(NDK_RESULT_EX);

// SAFETY: the pointers are contexts, never followed but for the queue pair's own proxy.
unsafe impl Send for Entry {}

impl Cq {
    pub(crate) const fn new(
        depth: u32,
        notification: NDK_FN_CQ_NOTIFICATION_CALLBACK,
        context: Opaque,
    ) -> Self {
        Self {
            depth: AtomicU32::new(depth),
            taken: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            moderating: AtomicBool::new(false),
            seen: AtomicU8::new(DRAINED),
            notification,
            context,
            again: Mutex::new(VecDeque::new()),
        }
    }

    /// A notification is being called.
    pub(crate) fn notified(&self) {
        self.seen.store(NOTIFIED, Ordering::Release);
    }

    /// Takes room for `entries`; what is left, or how much is missing.
    pub(crate) fn take_room(&self, entries: u32) -> Result<(), String> {
        let taken = self.taken.fetch_add(entries, Ordering::AcqRel).saturating_add(entries);
        let depth = self.depth.load(Ordering::Acquire);
        if taken <= depth { Ok(()) } else { Err(format!("{taken} requests, {depth} entries")) }
    }

    /// Gives room back.
    pub(crate) fn give_room(&self, entries: u32) {
        self.taken.fetch_sub(entries, Ordering::AcqRel);
    }
}

extension_slot!(NDK_CQ);
close_slot!(NDK_CQ, NdkCloseCq, CloseCq, nothing_special);

pub(crate) static TABLE: NDK_CQ_DISPATCH = NDK_CQ_DISPATCH {
    NdkCloseCq: close,
    NdkQueryExtension: query_extension,
    NdkResizeCq: resize,
    NdkArmCq: arm,
    NdkGetCqResults: get_results,
    NdkControlCqInterruptModeration: moderate,
    NdkGetCqResultsEx: get_results_ex,
};

/// `NDK_FN_CQ_NOTIFICATION_CALLBACK`, given to the provider.
///
/// # Safety
/// `context` is the proxy of the queue.
pub(super) unsafe extern "system" fn notified(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: the context of the create; the proxy outlives the queue.
    let cq = unsafe { Ref::from_raw(context.cast()) };
    tell_cq(&cq.shared_check(), cq, status);
}

/// The call's own queue.
fn body(call: &Call) -> Result<&Cq, Refused> {
    let Body::Cq(cq) = &call.object.body else { return Err(call.wrong_object()) };
    // SAFETY: the proxy lives as long as the check, which the call holds.
    Ok(unsafe { &*ptr::from_ref(cq) })
}

/// `NDK_FN_RESIZE_CQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn resize(
    cq: *mut NDK_CQ,
    depth: u32,
    completion: NDK_FN_REQUEST_COMPLETION,
    context: *mut c_void,
) -> NTSTATUS {
    let resize = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(cq, "NdkResizeCq", DISPATCH_LEVEL) }?;
        let info = &call.check.info;
        let able = info.AdapterFlags & NDK_ADAPTER_FLAG_CQ_RESIZE_SUPPORTED != 0;
        call.demand(able, Rule::ResizeUnsupported, || "the adapter cannot".to_owned())?;
        let (most, taken) = (info.MaxCqDepth, body(&call)?.taken.load(Ordering::Acquire));
        call.demand(depth <= most, Rule::Limits, || format!("{depth} entries, {most} allowed"))?;
        call.demand(depth >= taken, Rule::CqRoom, || format!("{depth} entries for {taken} requests"))?;
        let object = call.object;
        let done = move |status| {
            if let (Body::Cq(cq), true) = (&object.body, nt_success(status)) {
                cq.depth.store(depth, Ordering::Release);
            }
        };
        Ok(request(&call, Slot::ResizeCq, (completion, context), done, |context| {
            forward!(object, NDK_CQ, NdkResizeCq(depth, requested, context))
        }))
    };
    answer(resize())
}

/// The right to reap and arm, for one call.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Enters reaping or arming.
fn turn<'a>(call: &Call, cq: &'a Cq) -> Result<Turn<'a>, Refused> {
    let overlapped = cq.busy.swap(true, Ordering::AcqRel);
    call.demand(!overlapped, Rule::CqOverlap, || "reaping or arming is under way".to_owned())?;
    Ok(Turn(&cq.busy))
}

/// `NDK_FN_ARM_CQ`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn arm(cq: *mut NDK_CQ, kind: NDK_CQ_NOTIFY) {
    let arm = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(cq, "NdkArmCq", DISPATCH_LEVEL) }?;
        let cq = body(&call)?;
        let _turn = turn(&call, cq)?;
        call.demand(kind <= NDK_CQ_NOTIFY_SOLICITED, Rule::ArmType, || format!("arm type {kind}"))?;
        // Who arms behind a notification on another thread has that one's look still to come.
        let undrained = match cq.seen.load(Ordering::Acquire) {
            LEFT => true,
            NOTIFIED => is_notifying(call.object),
            _ => false,
        };
        call.demand(!undrained, Rule::ArmUndrained, || "old entries may be left in it".to_owned())?;
        forward!(call.object, NDK_CQ, NdkArmCq(kind));
        Ok(())
    };
    let _: Result<(), Refused> = arm();
}

/// `NDK_FN_CONTROL_CQ_INTERRUPT_MODERATION`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn moderate(cq: *mut NDK_CQ, interval: u32, count: u32) -> NTSTATUS {
    let moderate = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(cq, "NdkControlCqInterruptModeration", DISPATCH_LEVEL) }?;
        let moderating = &body(&call)?.moderating;
        let overlapped = moderating.swap(true, Ordering::AcqRel);
        call.demand(!overlapped, Rule::ModerationOverlap, || "another such call is under way".to_owned())?;
        let _turn = Turn(moderating);
        Ok(forward!(call.object, NDK_CQ, NdkControlCqInterruptModeration(interval, count)))
    };
    answer(moderate())
}

/// Gives an entry the consumer's own contexts back and closes the books of its request.
fn settle(check: &Check, entry: &mut NDK_RESULT_EX) {
    // SAFETY: the queue pair was created with the address of its proxy as context.
    let qp = unsafe { Ref::from_raw(entry.QPContext.cast()) };
    let Body::Qp(body) = &qp.body else { return };
    entry.QPContext = body.context.0;
    let sequence = entry.RequestContext.addr();
    let context = body.completed(check, sequence);
    entry.RequestContext = context.map_or(ptr::null_mut(), |context| context.0);
    if entry.Type == NdkOperationTypeReceiveAndInvalidate {
        mr::invalidated_by_peer(check, entry.TypeSpecificCompletionOutput as u32);
    }
}

/// Reaps into `room` entries through `get`, which asks the provider, and `put`, which hands out.
fn reap(
    call: &Call,
    room: u32,
    get: impl Fn(u32) -> Vec<NDK_RESULT_EX>,
    mut put: impl FnMut(usize, &NDK_RESULT_EX),
) -> Result<u32, Refused> {
    let cq = body(call)?;
    let _turn = turn(call, cq)?;
    let (check, mut count) = (&*call.check, 0);
    let mut hand_out = |entry: &NDK_RESULT_EX| {
        put(count, entry);
        count += 1;
    };
    let mut left = room;
    while left != 0
        && let Some(Entry(entry)) = lock(&cq.again).pop_front()
    {
        hand_out(&entry);
        left -= 1;
    }
    while left != 0 {
        let entries = get(left);
        let all = entries.len() < left as usize;
        let mut passed = 0;
        for mut entry in entries {
            settle(check, &mut entry);
            match lock(&check.script.entries).pop_front().unwrap_or(EntryAct::Pass) {
                EntryAct::Swallow => continue,
                EntryAct::Pass => {}
                EntryAct::Status(status) => entry.Status = status,
                EntryAct::QueuePair(context) => entry.QPContext = ptr::without_provenance_mut(context),
                EntryAct::Twice => lock(&cq.again).push_back(Entry(entry)),
            }
            hand_out(&entry);
            passed += 1;
        }
        left -= passed;
        cq.seen.store(if all { DRAINED } else { LEFT }, Ordering::Release);
        // A full catch that a script has swallowed must not look like an empty queue.
        if all || passed != 0 {
            break;
        }
    }
    Ok(count as u32)
}

/// `NDK_FN_GET_CQ_RESULTS`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_results(cq: *mut NDK_CQ, results: *mut NDK_RESULT, room: u32) -> u32 {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(cq, "NdkGetCqResults", DISPATCH_LEVEL) }?;
        let object = call.object;
        let ask = |room: u32| {
            // SAFETY: NDK_RESULT is plain.
            let mut raw = vec![unsafe { std::mem::zeroed::<NDK_RESULT>() }; room as usize];
            let count = forward!(object, NDK_CQ, NdkGetCqResults(raw.as_mut_ptr(), room));
            raw.truncate(count as usize);
            let long = |entry: NDK_RESULT| NDK_RESULT_EX {
                Status: entry.Status,
                BytesTransferred: entry.BytesTransferred,
                QPContext: entry.QPContext,
                RequestContext: entry.RequestContext,
                Type: 0,
                ProviderErrorCode: 0,
                TypeSpecificCompletionOutput: 0,
            };
            raw.into_iter().map(long).collect()
        };
        reap(&call, room, ask, |index, entry| {
            let short = NDK_RESULT {
                Status: entry.Status,
                BytesTransferred: entry.BytesTransferred,
                QPContext: entry.QPContext,
                RequestContext: entry.RequestContext,
            };
            // SAFETY: below the room that the consumer has given.
            let place = unsafe { results.add(index) };
            // SAFETY: as above.
            unsafe { place.write(short) };
        })
    };
    get().unwrap_or(0)
}

/// `NDK_FN_GET_CQ_RESULTS_EX`.
///
/// # Safety
/// As the function type says.
unsafe extern "system" fn get_results_ex(cq: *mut NDK_CQ, results: *mut NDK_RESULT_EX, room: u32) -> u32 {
    let get = || {
        // SAFETY: a proxy (consumer).
        let call = unsafe { enter(cq, "NdkGetCqResultsEx", DISPATCH_LEVEL) }?;
        call.demand(call.check.has(1, 2), Rule::Version, || "a slot of NDKPI 1.2".to_owned())?;
        let object = call.object;
        let ask = |room: u32| {
            // SAFETY: NDK_RESULT_EX is plain.
            let mut raw = vec![unsafe { std::mem::zeroed::<NDK_RESULT_EX>() }; room as usize];
            let count = forward!(object, NDK_CQ, NdkGetCqResultsEx(raw.as_mut_ptr(), room));
            raw.truncate(count as usize);
            raw
        };
        reap(&call, room, ask, |index, entry| {
            // SAFETY: below the room that the consumer has given.
            let place = unsafe { results.add(index) };
            // SAFETY: as above.
            unsafe { place.write(*entry) };
        })
    };
    get().unwrap_or(0)
}
