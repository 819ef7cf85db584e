//! NDK itself: a consumer that calls the dispatch tables of the software adapter, and does no more than it must.
//!
//! A message of up to [`SENT`] octets is one Send. A longer one is a Write into the peer's ring and a Send of four octets behind it,
//! rung together. One Send in [`SIGNALLED`] leaves a completion. Both ends share a completion queue, as the driver's do.

use std::cell::Cell;
use std::ffi::c_void;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::{STATUS_PENDING, STATUS_SUCCESS};
use abi::wsk::{AF_INET, SOCKADDR_IN};
use anyhow::{Context, Result, ensure};
use kernel::pool::PoolTag;
use kernel::region::Region;
use softndk::{Config, SoftNdk};

use super::Way;
use crate::world::{boot, check};

/// Calls a function of an object through its table.
macro_rules! ndk {
    ($object:expr, $function:ident $(, $argument:expr)* $(,)?) => {{
        let object = $object;
        // SAFETY: open.
        let table = unsafe { (*object).Dispatch };
        // SAFETY: tables live for ever.
        let function = unsafe { (*table).$function };
        // SAFETY: the arguments are what the function type asks for.
        unsafe { function(object.cast() $(, $argument)*) }
    }};
}

/// The longest message that is a Send.
const SENT: usize = 248;
/// One Send in so many leaves a completion.
const SIGNALLED: u64 = 16;
/// Receives posted at each end.
const RECEIVES: u32 = 64;
/// Requests that may be under way at each end.
const INITIATORS: u32 = 64;
/// The ring that a peer writes into.
const RING: usize = 128 << 10;
/// Octets of memory of one end: ring, receives, and what is sent.
const END: usize = RING + RECEIVES as usize * 256 + RING;
/// Context of a Send.
const OF_SEND: usize = 1 << 16;

/// The end of a request of the set-up.
struct Answer {
    status: AtomicI32,
    object: AtomicPtr<NDK_OBJECT_HEADER>,
}

impl Answer {
    const fn new() -> Self {
        Self { status: AtomicI32::new(STATUS_PENDING), object: AtomicPtr::new(ptr::null_mut()) }
    }

    fn context(&self) -> *mut c_void {
        ptr::from_ref(self).cast_mut().cast()
    }

    fn wait(&self, returned: NTSTATUS) -> NTSTATUS {
        if returned != STATUS_PENDING {
            return returned;
        }
        loop {
            let status = self.status.load(Ordering::Acquire);
            if status != STATUS_PENDING {
                return status;
            }
            std::thread::yield_now();
        }
    }
}

unsafe extern "system" fn answered(context: *mut c_void, status: NTSTATUS) {
    // SAFETY: an [`Answer`] that is waited for.
    unsafe { &*context.cast::<Answer>() }.status.store(status, Ordering::Release);
}

unsafe extern "system" fn created(context: *mut c_void, status: NTSTATUS, object: *mut NDK_OBJECT_HEADER) {
    // SAFETY: as above.
    let answer = unsafe { &*context.cast::<Answer>() };
    answer.object.store(object, Ordering::Release);
    answer.status.store(status, Ordering::Release);
}

unsafe extern "system" fn closed(context: *mut c_void) {
    // SAFETY: as above.
    unsafe { &*context.cast::<Answer>() }.status.store(STATUS_SUCCESS, Ordering::Release);
}

unsafe extern "system" fn arrived(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    // SAFETY: the context of the listener.
    let answer = unsafe { &*context.cast::<Answer>() };
    answer.object.store(connector.cast(), Ordering::Release);
    answer.status.store(STATUS_SUCCESS, Ordering::Release);
}

fn request(what: &str, call: impl FnOnce(NDK_FN_REQUEST_COMPLETION, *mut c_void) -> NTSTATUS) -> Result<()> {
    let answer = Answer::new();
    let returned = call(answered, answer.context());
    check(what, answer.wait(returned))
}

fn create<T>(
    what: &str,
    call: impl FnOnce(NDK_FN_CREATE_COMPLETION, *mut c_void, *mut *mut T) -> NTSTATUS,
) -> Result<*mut T> {
    let answer = Answer::new();
    let mut out = ptr::null_mut();
    let returned = call(created, answer.context(), &raw mut out);
    check(what, answer.wait(returned))?;
    Ok(if returned == STATUS_PENDING { answer.object.load(Ordering::Acquire).cast() } else { out })
}

fn close(call: impl FnOnce(NDK_FN_CLOSE_COMPLETION, *mut c_void) -> NTSTATUS) {
    let answer = Answer::new();
    let returned = call(closed, answer.context());
    let status = answer.wait(returned);
    assert_eq!(status, STATUS_SUCCESS, "a close never fails");
}

fn loopback(port: u16) -> SOCKADDR_IN {
    let at = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    SOCKADDR_IN {
        sin_family: AF_INET,
        sin_port: at.port().to_be(),
        sin_addr: at.ip().octets(),
        sin_zero: [0; 8],
    }
}

/// An open software adapter of its own.
pub(crate) struct Adapter {
    soft: Option<SoftNdk>,
    adapter: *mut NDK_ADAPTER,
    pd: *mut NDK_PD,
}

impl Adapter {
    /// Opens one.
    ///
    /// # Errors
    /// The adapter's status.
    pub(crate) fn open() -> Result<Self> {
        boot();
        let failed = |status| crate::world::failed("open the software adapter", status);
        let soft = SoftNdk::start(Config::default()).map_err(failed)?;
        let adapter = soft.open_adapter(NDK_VERSION { Major: 2, Minor: 0 }).map_err(failed)?;
        let pd = create("NdkCreatePd", |done, context, out| ndk!(adapter, NdkCreatePd, done, context, out))?;
        Ok(Self { soft: Some(soft), adapter, pd })
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        close(|done, context| ndk!(self.pd, NdkClosePd, done, context));
        if let Some(soft) = self.soft.take() {
            // SAFETY: opened once, and every object on it is closed.
            unsafe { soft.close_adapter(self.adapter) };
            soft.stop();
        }
    }
}

/// What an end does with a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Counts,
    Answers,
    /// Gives the sender room again.
    Frees,
}

/// One end of the connection.
struct End {
    qp: *mut NDK_QP,
    connector: *mut NDK_CONNECTOR,
    mr: *mut NDK_MR,
    region: Region,
    local_token: u32,
    /// The peer's ring.
    remote: Cell<(u64, u32)>,
    does: Does,
    posted: Cell<u64>,
    /// Octets that may be written into the peer's ring, and where.
    room: Cell<usize>,
    at: Cell<usize>,
    /// Octets taken and not given back.
    taken: Cell<usize>,
    messages: AtomicU64,
}

impl End {
    fn new(adapter: &Adapter, cq: *mut NDK_CQ, context: usize, does: Does) -> Result<Self> {
        let region = Region::try_new(PoolTag::new(b"Bnch"), END).ok().context("no memory")?;
        let pd = adapter.pd;
        let mr = create("NdkCreateMr", |done, c, out| ndk!(pd, NdkCreateMr, 0, done, c, out))?;
        let rights = NDK_MR_FLAG::ALLOW_REMOTE_WRITE.bits();
        request("NdkRegisterMr", |done, c| {
            ndk!(mr, NdkRegisterMr, region.mdl(), region.len(), rights, done, c)
        })?;
        let (of_end, nothing) = (ptr::without_provenance_mut(context), 256);
        let qp = create("NdkCreateQp", |done, c, out| {
            ndk!(pd, NdkCreateQp, cq, cq, of_end, RECEIVES, INITIATORS, 1, 2, nothing, done, c, out)
        })?;
        let local_token = ndk!(mr, NdkGetLocalTokenFromMr);
        let null = ptr::null_mut();
        let end = Self {
            qp,
            connector: null,
            mr,
            region,
            local_token,
            remote: Cell::new((0, 0)),
            does,
            posted: Cell::new(0),
            room: Cell::new(RING),
            at: Cell::new(0),
            taken: Cell::new(0),
            messages: AtomicU64::new(0),
        };
        (0..RECEIVES as usize).try_for_each(|slot| check("NdkReceive", end.receive(slot)))?;
        Ok(end)
    }

    fn address(&self, offset: usize) -> *mut c_void {
        self.region.as_ptr().wrapping_add(offset).cast()
    }

    fn sge(&self, offset: usize, octets: usize) -> NDK_SGE {
        let place = NDK_SGE_ADDRESS { VirtualAddress: self.address(offset) };
        NDK_SGE { Anonymous: place, Length: octets as u32, MemoryRegionToken: self.local_token }
    }

    fn receive(&self, slot: usize) -> NTSTATUS {
        let sge = self.sge(RING + slot * 256, 256);
        ndk!(self.qp, NdkReceive, ptr::without_provenance_mut(slot), &sge, 1)
    }

    /// Posts a Send; sometimes with a completion.
    fn send(&self, octets: usize) -> NTSTATUS {
        let posted = self.posted.get() + 1;
        self.posted.set(posted);
        let silent = !posted.is_multiple_of(SIGNALLED);
        let flags = if silent { NDK_OP_FLAG::SILENT_SUCCESS } else { NDK_OP_FLAG::empty() };
        let sge = self.sge(RING + RECEIVES as usize * 256, octets);
        ndk!(self.qp, NdkSend, ptr::without_provenance_mut(OF_SEND), &sge, 1, flags.bits())
    }

    fn message(&self, octets: usize) -> NTSTATUS {
        if octets <= SENT {
            return self.send(octets);
        }
        let (address, token) = self.remote.get();
        let at = if self.at.get() + octets > RING { 0 } else { self.at.get() };
        self.at.set(at + octets);
        let flags = NDK_OP_FLAG::SILENT_SUCCESS | NDK_OP_FLAG::DEFER;
        let sge = self.sge(RING + RECEIVES as usize * 256, octets);
        let (context, to) = (ptr::without_provenance_mut(OF_SEND), address + at as u64);
        let status = ndk!(self.qp, NdkWrite, context, &sge, 1, to, token, flags.bits());
        if status != STATUS_SUCCESS {
            return status;
        }
        self.send(4)
    }
}

/// Two ends, and the queue of both.
struct Both {
    cq: *mut NDK_CQ,
    near: End,
    far: End,
    octets: usize,
    failed: AtomicI32,
    notifications: AtomicU32,
}

const EMPTY: NDK_RESULT_EX = NDK_RESULT_EX {
    Status: 0,
    BytesTransferred: 0,
    QPContext: ptr::null_mut(),
    RequestContext: ptr::null_mut(),
    Type: 0,
    ProviderErrorCode: 0,
    TypeSpecificCompletionOutput: 0,
};

/// Contexts of the two queue pairs.
const NEAR: usize = 1;
const FAR: usize = 2;

/// Where the ends are, once there are any.
struct Queue {
    both: AtomicPtr<Both>,
}

unsafe extern "system" fn notified(context: *mut c_void, _status: NTSTATUS) {
    // SAFETY: the context of the queue, which outlives it.
    let queue = unsafe { &*context.cast::<Queue>() };
    // SAFETY: set before anything is posted, and cleared when nothing is any more.
    let Some(both) = (unsafe { queue.both.load(Ordering::Acquire).as_ref() }) else { return };
    both.notifications.fetch_add(1, Ordering::Relaxed);
    loop {
        let mut results = [EMPTY; 32];
        let count = ndk!(both.cq, NdkGetCqResultsEx, results.as_mut_ptr(), 32);
        for result in results.iter().take(count as usize) {
            both.take(result);
        }
        if count < 32 {
            break;
        }
    }
    ndk!(both.cq, NdkArmCq, NDK_CQ_NOTIFY_ANY);
}

impl Both {
    fn take(&self, result: &NDK_RESULT_EX) {
        if result.Status != STATUS_SUCCESS {
            self.failed.store(result.Status, Ordering::Relaxed);
            return;
        }
        let slot = result.RequestContext.addr();
        if slot == OF_SEND {
            return;
        }
        let end = if result.QPContext.addr() == NEAR { &self.near } else { &self.far };
        let mut status = end.receive(slot);
        end.messages.store(end.messages.load(Ordering::Relaxed) + 1, Ordering::Release);
        match end.does {
            Does::Answers if status == STATUS_SUCCESS => status = end.message(self.octets),
            Does::Frees if self.octets > SENT && status == STATUS_SUCCESS => {
                let taken = end.taken.get() + self.octets;
                end.taken.set(taken);
                if taken * 2 >= RING {
                    end.taken.set(0);
                    status = end.send(4);
                }
            }
            // Room that the receiver has given back.
            Does::Counts => self.near.room.set(RING),
            Does::Answers | Does::Frees => {}
        }
        if status != STATUS_SUCCESS {
            self.failed.store(status, Ordering::Relaxed);
        }
    }

    fn watch(&self, done: impl Fn() -> bool) -> Result<()> {
        while !done() {
            check("a request", self.failed.load(Ordering::Relaxed))?;
            std::thread::yield_now();
        }
        Ok(())
    }
}

// SAFETY: NDK objects are for any thread; what only one may touch is touched by who runs the way, or in a pass of the queue.
unsafe impl Sync for Both {}
// SAFETY: as above.
unsafe impl Send for Both {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

/// A connection of queue pairs.
pub(crate) struct Connection<'a> {
    adapter: &'a Adapter,
    queue: Box<Queue>,
    both: Box<Both>,
    one_way: bool,
}

impl<'a> Connection<'a> {
    /// Connects, for messages of `octets` that are answered, or one way.
    ///
    /// # Errors
    /// The adapter's status.
    pub(crate) fn new(adapter: &'a Adapter, octets: usize, one_way: bool) -> Result<Self> {
        let queue = Box::new(Queue { both: AtomicPtr::new(ptr::null_mut()) });
        let context = ptr::from_ref(&*queue).cast_mut().cast();
        let depth = 4 * (RECEIVES + INITIATORS);
        let cq = create("NdkCreateCq", |done, c, out| {
            ndk!(adapter.adapter, NdkCreateCq, depth, notified, context, ptr::null(), done, c, out)
        })?;
        let mut near = End::new(adapter, cq, NEAR, Does::Counts)?;
        let mut far = End::new(adapter, cq, FAR, if one_way { Does::Frees } else { Does::Answers })?;
        near.remote.set(Self::ring(&far));
        far.remote.set(Self::ring(&near));
        Self::connect(adapter, &mut near, &mut far)?;
        let (failed, notifications) = (AtomicI32::new(0), AtomicU32::new(0));
        let both = Box::new(Both { cq, near, far, octets, failed, notifications });
        queue.both.store(ptr::from_ref(&*both).cast_mut(), Ordering::Release);
        ndk!(cq, NdkArmCq, NDK_CQ_NOTIFY_ANY);
        Ok(Self { adapter, queue, both, one_way })
    }

    fn ring(of: &End) -> (u64, u32) {
        (of.address(0).expose_provenance() as u64, ndk!(of.mr, NdkGetRemoteTokenFromMr))
    }

    fn connect(adapter: &Adapter, near: &mut End, far: &mut End) -> Result<()> {
        let (arrival, object) = (Answer::new(), adapter.adapter);
        let listener = create("NdkCreateListener", |done, c, out| {
            ndk!(object, NdkCreateListener, arrived, arrival.context(), done, c, out)
        })?;
        let (any, length) = (loopback(0), size_of::<SOCKADDR_IN>() as u32);
        let address = (&raw const any).cast();
        request("NdkListen", |done, c| ndk!(listener, NdkListen, address, length, done, c))?;
        let mut at = loopback(0);
        let mut room = length;
        let status = ndk!(listener, NdkGetLocalAddress, (&raw mut at).cast(), &raw mut room);
        check("NdkGetLocalAddress", status)?;
        near.connector =
            create("NdkCreateConnector", |done, c, out| ndk!(object, NdkCreateConnector, done, c, out))?;
        let (connecting, accepting) = (Answer::new(), Answer::new());
        let to = (&raw const at).cast();
        let (qp, null) = (near.qp, ptr::null());
        let connector = near.connector;
        let context = connecting.context();
        let returned =
            ndk!(connector, NdkConnect, qp, address, length, to, length, 0, 0, null, 0, answered, context);
        arrival.wait(STATUS_PENDING);
        far.connector = arrival.object.load(Ordering::Acquire).cast();
        let context = accepting.context();
        let accepted = ndk!(
            far.connector,
            NdkAccept,
            far.qp,
            0,
            0,
            ptr::null(),
            0,
            None,
            ptr::null_mut(),
            answered,
            context
        );
        check("NdkConnect", connecting.wait(returned))?;
        let none = ptr::null_mut();
        request("NdkCompleteConnect", |done, c| ndk!(connector, NdkCompleteConnect, None, none, done, c))?;
        check("NdkAccept", accepting.wait(accepted))?;
        // It ends with the connection that it has brought.
        let ending = Box::leak(Box::new(Answer::new()));
        ndk!(listener, NdkCloseListener, closed, ending.context());
        Ok(())
    }
}

impl Way for Connection<'_> {
    fn run(&mut self, times: u64) -> Result<()> {
        let both = &*self.both;
        let (near, far, octets) = (&both.near, &both.far, both.octets);
        if self.one_way {
            let due = far.messages.load(Ordering::Acquire) + times;
            for _ in 0..times {
                both.watch(|| octets <= SENT || near.room.get() >= octets)?;
                near.room.set(near.room.get().saturating_sub(octets));
                check("a post", near.message(octets))?;
            }
            both.watch(|| far.messages.load(Ordering::Acquire) >= due)
        } else {
            for _ in 0..times {
                let due = near.messages.load(Ordering::Acquire) + 1;
                check("a post", near.message(octets))?;
                both.watch(|| near.messages.load(Ordering::Acquire) >= due)?;
            }
            ensure!(both.failed.load(Ordering::Relaxed) == 0, "a request has failed");
            Ok(())
        }
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        let _ = self.adapter;
        self.queue.both.store(ptr::null_mut(), Ordering::Release);
        let both = &*self.both;
        for end in [&both.near, &both.far] {
            close(|done, c| ndk!(end.connector, NdkCloseConnector, done, c));
            close(|done, c| ndk!(end.qp, NdkCloseQp, done, c));
            close(|done, c| ndk!(end.mr, NdkCloseMr, done, c));
        }
        close(|done, c| ndk!(both.cq, NdkCloseCq, done, c));
    }
}
