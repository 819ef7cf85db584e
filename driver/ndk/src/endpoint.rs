//! One connection's NDK objects: connector, queue pair, registered memory.

use crate::adapter::{Adapter, Use};
use crate::attachment::Attachment;
use crate::cq::{Completion, Cq};
use crate::faults::Fault;
use crate::handles::{self, Reserved};
use crate::listener::Incoming;
use crate::memory::Memory;
use crate::post::Poster;
use crate::prepared::Prepared;
use crate::table::Key;
use crate::uses::{Audience, End, Uses};
use abi::NTSTATUS;
use abi::ndk::{NDK_CONNECTOR, NDK_QP};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, Ordering};
use heapless::Vec;
use kernel::pool::Shared;
use kernel::processor::Processor;

/// Regions one endpoint may own.
pub(crate) const MEMORIES: usize = 4;

/// What happens to an endpoint. Every call may come at any IRQL <= DISPATCH_LEVEL, on any thread, before the call that
/// causes it has returned, and with none of this crate's locks held.
pub trait Handler: Send + Sync + 'static {
    /// Active side: the peer has accepted, with this private data (padded to what the transport carries).
    /// `false` refuses: the connection is rejected and `established` tells CONNECTION_REFUSED.
    fn peer_data(&self, data: &[u8]) -> bool;

    /// Active side: the peer has rejected with this private data (padded as above), if the provider gives it. `established`
    /// tells CONNECTION_REFUSED next.
    fn refused(&self, data: &[u8]);

    /// The answer to [`Endpoint::connect`] or [`Endpoint::accept`]: exactly once each.
    fn established(&self, status: NTSTATUS);

    /// Completions of posted requests, oldest first.
    fn completions(&self, entries: &[Completion]);

    /// The peer has disconnected or the connection is lost; at most once, after the completions that were there.
    fn disconnected(&self);

    /// [`Poster::close`] is over: nothing is called any more and no request touches memory. Exactly once.
    fn closed(&self);
}

/// Queue depths of an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Depths {
    /// Receives that may be posted.
    pub receives: u32,
    /// Initiator requests that may be posted.
    pub initiators: u32,
}

/// The step of the handshake that the provider owes the end of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Answer {
    None,
    /// NdkConnect.
    Connect,
    /// NdkCompleteConnect or NdkAccept.
    Complete,
}

/// How far the teardown has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Teardown {
    /// The connector is open.
    Open,
    ClosingConnector,
    ClosingQp,
    /// The completion queue has the endpoint.
    HandedIn,
}

/// One connection over NDK.
///
/// Built with [`Endpoint::active`] or [`Endpoint::passive`]; ended by [`Poster::close`], which every endpoint needs:
/// nothing can be posted to a queue pair that is being closed.
#[repr(C)]
pub struct Endpoint<H: Handler> {
    /// First, so that the completion queue's pointer to it is one to the endpoint.
    attachment: Attachment,
    /// Of every callback that is not a completion entry. Bound until the endpoint has retired.
    callbacks: Reserved,
    pub(crate) handler: Audience<H>,
    /// NULL while nobody has the endpoint.
    connector: AtomicPtr<NDK_CONNECTOR>,
    pub(crate) qp: NonNull<NDK_QP>,
    pub(crate) cq: Shared<Cq>,
    cq_entries: u32,
    memories: Vec<Memory, MEMORIES>,
    /// Calls into the provider that use the connector, until the close is asked for. Whoever is the last one after that
    /// begins the teardown.
    uses: Uses,
    /// The connection is complete: only then can it be disconnected.
    pub(crate) established: AtomicBool,
    /// The close tells the peer first, unless it is [aborted](Self::abort).
    pub(crate) graceful: AtomicBool,
    /// The close must not wait for the peer, whenever it begins.
    pub(crate) aborted: AtomicBool,
    pub(crate) disconnecting: AtomicBool,
    /// An [`Answer`].
    answer: AtomicU8,
    /// The disconnect event has come.
    disconnect_told: AtomicBool,
    /// A post has failed.
    given_up: AtomicBool,
    /// A [`Teardown`].
    teardown: AtomicU8,
    /// Given up when the endpoint has retired, while it may live on for its memory.
    user: UnsafeCell<Option<Use>>,
}

// SAFETY: NDK objects may be used from any thread; the rest is atomics, memories behind bounds-checked copies, and
// `user`, which only `retired` touches, once.
unsafe impl<H: Handler> Send for Endpoint<H> {}
// SAFETY: as above.
unsafe impl<H: Handler> Sync for Endpoint<H> {}

/// The endpoint whose first field is `attachment`.
///
/// # Safety
/// `attachment` is that of a live `Endpoint<H>`.
unsafe fn endpoint<'a, H: Handler>(attachment: NonNull<Attachment>) -> &'a Endpoint<H> {
    // SAFETY: the attachment is the first field of a repr(C) structure.
    unsafe { attachment.cast::<Endpoint<H>>().as_ref() }
}

unsafe fn deliver<H: Handler>(attachment: NonNull<Attachment>, entries: &[Completion]) {
    // SAFETY: this function was put into the attachment of an `Endpoint<H>`.
    let endpoint = unsafe { endpoint::<H>(attachment) };
    // Entries of silent requests, which only appear for failures, were never counted.
    let is_counted = |entry: &&Completion| entry.context != crate::post::SILENT;
    let outstanding = &endpoint.attachment.outstanding;
    let owed = outstanding.load(Ordering::Acquire) as usize;
    let excess = entries.iter().filter(is_counted).nth(owed);
    let entries = match entries.iter().position(|entry| excess.is_some_and(|e| core::ptr::eq(e, entry))) {
        Some(end) => {
            endpoint.cq.faults().note(Fault::EntryTooMany);
            entries.get(..end).unwrap_or_default()
        }
        None => entries,
    };
    if !entries.is_empty() {
        endpoint.handler.tell(|handler| handler.completions(entries));
    }
    // After the handler: it may still use the slots of these requests.
    outstanding.fetch_sub(entries.iter().filter(is_counted).count() as u32, Ordering::AcqRel);
}

/// The completion queue has failed, and the connection with it.
unsafe fn lose<H: Handler>(attachment: NonNull<Attachment>) {
    // SAFETY: this function was put into the attachment of an `Endpoint<H>`.
    unsafe { endpoint::<H>(attachment) }.queue_failed();
}

/// The provider owes entries that do not come: ends the endpoint for its owner, while its memory waits for them.
unsafe fn abandon<H: Handler>(attachment: NonNull<Attachment>) {
    // SAFETY: this function was put into the attachment of an `Endpoint<H>`, which stays until `free`.
    let this = unsafe { endpoint::<H>(attachment) };
    this.cq.faults().note(Fault::EntryMissing);
    // SAFETY: called once for an endpoint, instead of `retire`, and nobody else touches the cell.
    let user = unsafe { (*this.user.get()).take() };
    this.handler.end();
    drop(user);
}

/// No entry of an abandoned endpoint can come any more.
unsafe fn free<H: Handler>(attachment: NonNull<Attachment>) {
    // SAFETY: this function was put into the attachment of an `Endpoint<H>`.
    drop(unsafe { endpoint::<H>(attachment) }.callbacks.unbind::<Endpoint<H>>());
}

unsafe fn lost<H: Handler>(attachment: NonNull<Attachment>) {
    // SAFETY: this function was put into the attachment of an `Endpoint<H>`.
    unsafe { endpoint::<H>(attachment) }.handler.tell(H::disconnected);
}

unsafe fn retire<H: Handler>(attachment: NonNull<Attachment>) {
    // SAFETY: this function was put into the attachment of an `Endpoint<H>`.
    let this = unsafe { endpoint::<H>(attachment) }.callbacks.unbind::<Endpoint<H>>();
    let Some(this) = this else { return };
    this.cq.release(this.cq_entries);
    // SAFETY: called once for an endpoint, and nobody else touches the cell.
    let user = unsafe { (*this.user.get()).take() };
    // The owner may keep the octets for long; the adapter, which may have to go, is done with them.
    this.memories.iter().for_each(Memory::close);
    this.handler.end();
    drop(user);
}

impl<H: Handler> Endpoint<H> {
    /// An endpoint that nobody has yet.
    pub(crate) fn new(
        qp: NonNull<NDK_QP>,
        cq: Shared<Cq>,
        cq_entries: u32,
        memories: Vec<Memory, MEMORIES>,
        user: Use,
        (key, callbacks): (Key, Reserved),
    ) -> Self {
        Self {
            callbacks,
            attachment: Attachment::new(
                key,
                deliver::<H>,
                retire::<H>,
                lost::<H>,
                lose::<H>,
                abandon::<H>,
                free::<H>,
            ),
            handler: Audience::empty(),
            connector: AtomicPtr::new(core::ptr::null_mut()),
            qp,
            cq,
            cq_entries,
            memories,
            uses: Uses::new(),
            established: false.into(),
            graceful: false.into(),
            aborted: false.into(),
            disconnecting: false.into(),
            answer: AtomicU8::new(Answer::None as u8),
            disconnect_told: false.into(),
            given_up: false.into(),
            teardown: AtomicU8::new(Teardown::Open as u8),
            user: UnsafeCell::new(Some(user)),
        }
    }

    /// Makes the endpoint one that callbacks find, and that stays until it has retired. Once.
    pub(crate) fn hold(this: &Shared<Self>) {
        this.callbacks.bind(this.clone());
    }

    /// The context of every callback that is not a completion entry.
    pub(crate) fn context(&self) -> *mut c_void {
        self.callbacks.context()
    }

    /// The endpoint of a callback; `None`, and `fault` counted, when it is over.
    pub(crate) fn of(context: *mut c_void, fault: Fault) -> Option<Shared<Self>> {
        handles::find(context, fault)
    }

    /// What its completion entries carry.
    #[cfg(test)]
    pub(crate) fn queue_pair_context(&self) -> *mut c_void {
        self.attachment.context()
    }

    /// Gives the endpoint to its owner.
    ///
    /// # Safety
    /// Called once, before anybody else can use the endpoint; the connector is open, undecided, and the caller's.
    pub(crate) unsafe fn occupy(&self, connector: NonNull<NDK_CONNECTOR>, handler: Shared<H>) {
        self.connector.store(connector.as_ptr(), Ordering::Release);
        // SAFETY: the caller's promise.
        unsafe { self.handler.seat(handler) };
    }

    /// An endpoint that will connect. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, DEVICE_NOT_READY (the adapter is being closed), INVALID_PARAMETER (depths beyond the
    /// adapter's), IO_TIMEOUT (no answer), or the provider's status; nothing is left behind.
    pub fn active(
        adapter: &Shared<Adapter>,
        handler: Shared<H>,
        depths: Depths,
        memories: Vec<Memory, MEMORIES>,
    ) -> Result<Poster<H>, NTSTATUS> {
        Prepared::new(adapter, Processor::current(), depths, memories)?.active(handler)
    }

    /// An endpoint that will accept. On failure the connection is rejected. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Endpoint::active`].
    pub fn passive(
        incoming: Incoming,
        handler: Shared<H>,
        depths: Depths,
        memories: Vec<Memory, MEMORIES>,
    ) -> Result<Poster<H>, NTSTATUS> {
        let prepared = Prepared::new(incoming.adapter(), Processor::current(), depths, memories)?;
        prepared.passive(incoming, handler)
    }

    /// The registered memory, in the order it was given.
    #[must_use]
    pub fn memory(&self, index: usize) -> Option<&Memory> {
        self.memories.get(index)
    }

    /// The local address, with the port that the provider chose; `None` when it does not tell, or once the endpoint is
    /// being closed. While connecting or connected. IRQL <= DISPATCH_LEVEL.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        let _use = self.enter()?;
        crate::connect::local_address(NonNull::new(self.connector())?)
    }

    /// NULL while nobody has the endpoint.
    pub(crate) fn connector(&self) -> *mut NDK_CONNECTOR {
        self.connector.load(Ordering::Acquire)
    }

    /// Enters a call that uses the connector; `None` once the close was asked for.
    pub(crate) fn enter(&self) -> Option<ConnectorUse<'_, H>> {
        self.uses.enter().then(|| ConnectorUse(self))
    }

    /// Marks the close; `true` when no call uses the connector, so that the caller begins the teardown.
    pub(crate) fn mark_closing(&self) -> bool {
        self.uses.end() == End::Now
    }

    /// Ends the endpoint for its owner although the provider has not ended it: [`Handler::closed`] is called, unless it was,
    /// once no other call is under way, and nothing after it. What the provider may still touch is kept until it says that it is done, or for ever, and the
    /// adapter is not closed before. After [`Poster::close`]. IRQL <= DISPATCH_LEVEL.
    pub fn forsake(this: &Shared<Self>) {
        if this.handler.end() {
            this.cq.faults().note(Fault::Unanswered);
        }
    }

    /// A step of the handshake is about to be asked for; the context of its completion.
    pub(crate) fn expect_answer(&self, answer: Answer) -> *mut c_void {
        self.answer.store(answer as u8, Ordering::SeqCst);
        self.context()
    }

    /// A step has ended: whether its end was owed. It comes once, whatever the provider does.
    pub(crate) fn take_answer(&self, answer: Answer) -> bool {
        let (from, to) = (answer as u8, Answer::None as u8);
        let owed = self.answer.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !owed {
            self.cq.faults().note(Fault::AnsweredTwice);
        }
        owed
    }

    /// The disconnect event has come: whether it may, that is, for the first time and before the connector is closed.
    pub(crate) fn may_be_told_of_disconnect(&self) -> bool {
        let open = self.teardown.load(Ordering::SeqCst) < Teardown::ClosingQp as u8;
        let may = open && !self.disconnect_told.swap(true, Ordering::SeqCst);
        if !may && !self.cq.has_failed() && !self.given_up.load(Ordering::SeqCst) {
            self.cq.faults().note(Fault::EventTooMany);
        }
        may
    }

    /// A post has failed: told as a disconnect event is told, and instead of it.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::SeqCst);
        if !self.disconnect_told.swap(true, Ordering::SeqCst) {
            // SAFETY: once for an endpoint; whoever posts keeps its queue pair from being closed.
            unsafe { self.cq.disconnected(self.attachment()) };
        }
    }

    /// The completion queue has failed: what is connected is lost. What is connecting is lost when it is connected.
    pub(crate) fn queue_failed(&self) {
        let connected = self.established.load(Ordering::SeqCst);
        let open = self.teardown.load(Ordering::SeqCst) < Teardown::ClosingQp as u8;
        if connected && open && !self.disconnect_told.swap(true, Ordering::SeqCst) {
            // SAFETY: once for an endpoint, before the close of its queue pair.
            unsafe { self.cq.disconnected(self.attachment()) };
        }
    }

    /// Goes one step of the teardown; `false` when it was gone before.
    pub(crate) fn step(&self, from: Teardown, to: Teardown) -> bool {
        self.teardown.compare_exchange(from as u8, to as u8, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    pub(crate) fn outstanding(&self) -> &AtomicU32 {
        &self.attachment.outstanding
    }

    pub(crate) fn attachment(&self) -> NonNull<Attachment> {
        NonNull::from(&self.attachment)
    }
}

/// A call into the provider that uses the connector.
pub(crate) struct ConnectorUse<'a, H: Handler>(&'a Endpoint<H>);

impl<H: Handler> Drop for ConnectorUse<'_, H> {
    fn drop(&mut self) {
        if self.0.uses.leave() {
            self.0.tear_down();
        }
    }
}
