//! Posted requests.

use ksim::sync::Mutex;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NDK_OP_FLAG_ALLOW_REMOTE_WRITE, NDK_SGE};
use abi::status::nt_success;

use crate::check::{Check, Refused, lock};
use crate::memory::{Sink, Source, Use};
use crate::object::{Body, Call, Ref};
use crate::request::Opaque;
use crate::rule::Rule;

/// One request that owes an entry, or is silent and waits for a later one.
struct Posted {
    sequence: usize,
    context: Opaque,
    name: &'static str,
    silent: bool,
    held: Held,
}

/// What a request has its hands on.
#[derive(Default)]
struct Held {
    sources: Vec<Source>,
    sinks: Vec<Sink>,
    used: Vec<Use>,
}

impl Held {
    fn give_back(&mut self, check: &Check) {
        let mut memory = lock(&check.memory);
        self.sinks.drain(..).for_each(|sink| memory.remove_sink(sink));
        self.used.drain(..).for_each(|used| memory.give_back(used));
        self.sources.clear();
    }
}

/// One queue of requests.
pub(crate) struct Queue {
    depth: AtomicU32,
    elements_max: u32,
    /// A post is under way.
    busy: AtomicBool,
    posted: Mutex<VecDeque<Posted>>,
}

/// The end of a post, which lets the next one in.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What is posted.
pub(crate) struct Post<'a> {
    pub(crate) context: *mut c_void,
    pub(crate) elements: &'a [NDK_SGE],
    pub(crate) elements_max: u32,
    pub(crate) flags: u32,
    /// The flags that the operation knows.
    pub(crate) known: u32,
    /// Data arrive in the elements, instead of leaving them.
    pub(crate) arriving: bool,
    /// Bytes of inline data that the queue pair takes.
    pub(crate) inline_max: u32,
    /// Something in use besides the elements.
    pub(crate) also: Option<Use>,
}

/// The flags of every initiator request.
const COMMON: u32 =
    NDK_OP_FLAG::SILENT_SUCCESS.union(NDK_OP_FLAG::READ_FENCE).union(NDK_OP_FLAG::DEFER).bits();

pub(crate) const SEND: u32 = COMMON | NDK_OP_FLAG::SEND_AND_SOLICIT_EVENT.union(NDK_OP_FLAG::INLINE).bits();
pub(crate) const WRITE: u32 = COMMON | NDK_OP_FLAG::INLINE.bits();
pub(crate) const READ: u32 = COMMON | NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE.bits();
pub(crate) const INVALIDATE: u32 = COMMON;
pub(crate) const BIND: u32 = COMMON | NDK_OP_FLAG::ALLOW_REMOTE_READ.bits() | NDK_OP_FLAG_ALLOW_REMOTE_WRITE;
pub(crate) const FAST_REGISTER: u32 = BIND | NDK_OP_FLAG::RDMA_READ_SINK.bits();

impl Queue {
    pub(crate) const fn new(depth: u32, elements_max: u32) -> Self {
        Self {
            depth: AtomicU32::new(depth),
            elements_max,
            busy: AtomicBool::new(false),
            posted: Mutex::new(VecDeque::new()),
        }
    }

    pub(crate) fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    pub(crate) fn set_depth(&self, depth: u32) {
        self.depth.store(depth, Ordering::Relaxed);
    }

    pub(crate) const fn elements_max(&self) -> u32 {
        self.elements_max
    }

    /// Posts a request on a queue of the protection domain `pd`: checks it and hands it on with a context of this crate's.
    pub(crate) fn post(
        &self,
        call: &Call,
        pd: Ref,
        post: &Post<'_>,
        forward: impl FnOnce(*mut c_void) -> NTSTATUS,
    ) -> Result<NTSTATUS, Refused> {
        let overlapped = self.busy.swap(true, Ordering::AcqRel);
        call.demand(!overlapped, Rule::PostOverlap, || "another post to the queue is under way".to_owned())?;
        let _turn = Turn(&self.busy);
        let check = &*call.check;
        let flags = NDK_OP_FLAG::from_bits_retain(post.flags);
        let unknown = post.flags & !post.known;
        call.demand(unknown == 0, Rule::OpFlags, || format!("flags {unknown:#x} mean nothing here"))?;
        let newer = flags.intersects(NDK_OP_FLAG::DEFER.union(NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE));
        call.demand(!newer || check.has(1, 2), Rule::Version, || "a flag of NDKPI 1.2".to_owned())?;
        let (held, depth) = (lock(&self.posted).len(), self.depth());
        let full = || format!("{held} requests are on a queue of {depth}");
        call.demand(held < depth as usize, Rule::QueueDepth, full)?;
        let held = self.hold(call, pd, post, flags)?;
        let sequence = check.next_sequence();
        lock(&self.posted).push_back(Posted {
            sequence,
            context: Opaque(post.context),
            name: call.name,
            silent: flags.contains(NDK_OP_FLAG::SILENT_SUCCESS),
            held,
        });
        let status = forward(std::ptr::without_provenance_mut(sequence));
        if !nt_success(status) {
            let mut posted = lock(&self.posted);
            if let Some(index) = posted.iter().rposition(|posted| posted.sequence == sequence)
                && let Some(mut failed) = posted.remove(index)
            {
                failed.held.give_back(check);
            }
        }
        Ok(status)
    }

    /// Checks the elements and notes what they use.
    fn hold(&self, call: &Call, pd: Ref, post: &Post<'_>, flags: NDK_OP_FLAG) -> Result<Held, Refused> {
        let check = &*call.check;
        let mut held = Held::default();
        let total: u64 = post.elements.iter().map(|element| u64::from(element.Length)).sum();
        if flags.contains(NDK_OP_FLAG::INLINE) {
            let room = post.inline_max;
            let much = || format!("{total} bytes of inline data, {room} allowed");
            call.demand(total <= u64::from(room), Rule::InlineSize, much)?;
            return Ok(held);
        }
        let (count, most) = (post.elements.len(), post.elements_max);
        let many = || format!("{count} elements, {most} allowed");
        call.demand(count <= most as usize, Rule::ElementCount, many)?;
        let longest = check.info.MaxTransferLength;
        let long = || format!("{total} bytes, {longest} allowed");
        call.demand(total <= u64::from(longest), Rule::TransferLength, long)?;
        let Body::Pd(domain) = &pd.body else { return Err(call.wrong_kind(pd)) };
        let privileged = domain.privileged();
        let mut book = lock(&check.memory);
        let mut broken = None;
        for element in post.elements.iter().filter(|element| element.Length != 0) {
            let placed = book.place(element, pd, privileged, post.arriving).and_then(|place| {
                if post.arriving {
                    held.sinks.extend(book.add_sink(&place)?);
                } else {
                    held.sources.extend(Source::of(&place));
                }
                Ok(place)
            });
            match placed {
                Ok(place) => {
                    book.take(place.used);
                    held.used.push(place.used);
                }
                Err(reason) => {
                    broken = Some(reason);
                    break;
                }
            }
        }
        if let Some(used) = post.also {
            book.take(used);
            held.used.push(used);
        }
        drop(book);
        if let Some((rule, text)) = broken {
            held.give_back(check);
            return Err(check.broken(rule, format!("{} of {}: {text}", call.name, *call.object)));
        }
        Ok(held)
    }

    /// An entry has come for the request of this number: gives the consumer's context back. Silent requests before it are over
    /// with it.
    pub(crate) fn completed(&self, check: &Check, sequence: usize) -> Option<Opaque> {
        let mut over = Vec::new();
        {
            let mut posted = lock(&self.posted);
            let index = posted.iter().position(|posted| posted.sequence == sequence)?;
            let mut kept = VecDeque::new();
            for earlier in posted.drain(..=index) {
                if earlier.silent || earlier.sequence == sequence {
                    over.push(earlier);
                } else {
                    kept.push_back(earlier);
                }
            }
            while let Some(earlier) = kept.pop_back() {
                posted.push_front(earlier);
            }
        }
        let context = over.last().map(|posted| posted.context);
        for mut posted in over {
            if let Some(source) = posted.held.sources.iter().find(|source| !source.is_unchanged()) {
                check.broken(Rule::SourceChanged, format!("the {source} of {} have changed", posted.name));
            }
            posted.held.give_back(check);
        }
        context
    }

    /// No request touches memory any more, though entries may still come.
    pub(crate) fn dma_is_over(&self, check: &Check) {
        lock(&self.posted).iter_mut().for_each(|posted| posted.held.give_back(check));
    }
}
