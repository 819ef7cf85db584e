//! Queue pairs: the object and its state.
//!
//! Lock order: a link, then the initiator queue of one queue pair, then the inbound side of its peer (or its own), then a shared
//! receive queue, memory places or a completion queue. A post holds its own initiator lock while it works on the peer's memory, so taking both locks
//! of a queue pair in turn proves that nothing is under way to or from its buffers.

mod credits;
mod element;
mod inbound;
mod initiator;
mod local;
mod posting;
mod receives;
mod streaming;
mod table;
mod work;

use abi::NTSTATUS;
use abi::ndk::{NDK_OPERATION_TYPE, NDK_QP, NdkObjectTypeQp, NdkOperationTypeReceive};
use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ACTIVE, STATUS_CONNECTION_INVALID, STATUS_INVALID_PARAMETER,
};
use core::sync::atomic::{AtomicBool, Ordering};
use kernel::lock::SpinLock;
use kernel::pool::Shared;

use crate::adapter::Adapter;
use crate::config::{ELEMENTS_MAX, INLINE_BYTES_MAX, QUEUE_DEPTH_MAX};
use crate::cq::{Completion, Cq, Overrun};
use crate::fabric::{Cause, Connection, Peer};
use crate::life::{AnyObject, Hold, Life, Object};
use crate::memory::Domain;
use crate::opaque::Opaque;
use crate::pd::Pd;
use crate::public::{Public, header};
use crate::srq::Srq;
use crate::tag;

use initiator::{Initiator, Phase};

pub(crate) use credits::{Credits, Debt, QueueKind};
pub(crate) use element::{Element, list as element_list, total_bytes};
pub(crate) use inbound::{Gate, Inbound};
pub(crate) use initiator::{Data, Operation, Work};
pub(crate) use receives::Receives;

/// Sizes a queue pair is created with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) receives: u32,
    pub(crate) initiators: u32,
    pub(crate) receive_elements: u32,
    pub(crate) initiator_elements: u32,
    pub(crate) inline_bytes: u32,
}

impl Limits {
    const fn allowed(self) -> bool {
        self.receives <= QUEUE_DEPTH_MAX
            && self.initiators <= QUEUE_DEPTH_MAX
            && self.receive_elements <= ELEMENTS_MAX
            && self.initiator_elements <= ELEMENTS_MAX
            && self.inline_bytes <= INLINE_BYTES_MAX
    }
}

/// A queue pair (`NDK_QP`). It serves one connection in its life.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Qp {
    public: Public<NDK_QP>,
    life: Life,
    pd: Hold<Pd>,
    receive_cq: Hold<Cq>,
    initiator_cq: Hold<Cq>,
    context: Opaque,
    limits: Limits,
    credits: Shared<Credits>,
    /// Where receives come from, if they are not the queue pair's own.
    srq: Option<Hold<Srq>>,
    /// Those of the shared receive queue, if there is one.
    receive_credits: Shared<Credits>,
    initiator: SpinLock<Initiator>,
    inbound: SpinLock<Inbound>,
    /// Something has arrived from the peer.
    heard: AtomicBool,
    /// The connection, from the first attempt on.
    connection: SpinLock<Option<Connection>>,
}

impl Qp {
    /// With a shared receive queue, `limits` has room for the one receive that a send is filling.
    pub(crate) fn create(
        pd: &Shared<Pd>,
        receive_cq: &Shared<Cq>,
        initiator_cq: &Shared<Cq>,
        srq: Option<&Shared<Srq>>,
        context: Opaque,
        limits: Limits,
    ) -> Result<Shared<Self>, NTSTATUS> {
        let adapter = pd.adapter();
        let one_adapter =
            Shared::ptr_eq(receive_cq.adapter(), adapter) && Shared::ptr_eq(initiator_cq.adapter(), adapter);
        let one_domain = srq.is_none_or(|srq| Shared::ptr_eq(srq.pd(), pd));
        if !limits.allowed() || !one_adapter || !one_domain {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let credits = Shared::try_new(tag::OBJECT, Credits::default())?;
        let initiator = Initiator::new(limits.initiators, limits.initiator_elements, limits.inline_bytes)?;
        let inbound = Inbound::new(limits.receives, limits.receive_elements)?;
        let qp = Self {
            public: Public::new(NDK_QP {
                Header: header(adapter.version(), NdkObjectTypeQp),
                Dispatch: &raw const table::DISPATCH,
            }),
            life: Life::new()?,
            pd: Hold::new(pd),
            receive_cq: Hold::new(receive_cq),
            initiator_cq: Hold::new(initiator_cq),
            context,
            limits,
            receive_credits: srq.map_or(&credits, |srq| srq.credits()).clone(),
            credits,
            srq: srq.map(Hold::new),
            initiator: SpinLock::new(initiator),
            inbound: SpinLock::new(inbound),
            heard: AtomicBool::new(false),
            connection: SpinLock::new(None),
        };
        Ok(Shared::try_new(tag::OBJECT, qp)?)
    }

    /// What requests of this queue pair may name, and what the peer may.
    pub(crate) fn domain(&self) -> Domain {
        self.pd.domain()
    }

    pub(crate) const fn inbound(&self) -> &SpinLock<Inbound> {
        &self.inbound
    }

    /// Gives the queue pair to a connection attempt.
    ///
    /// # Errors
    /// `STATUS_CONNECTION_ACTIVE`: it has one; `STATUS_CONNECTION_INVALID`: it was flushed.
    pub(crate) fn attach(&self, connection: Connection) -> Result<(), NTSTATUS> {
        if matches!(self.initiator.lock().phase, Phase::Dead) {
            return Err(STATUS_CONNECTION_INVALID);
        }
        let mut attached = self.connection.lock();
        if attached.is_some() {
            return Err(STATUS_CONNECTION_ACTIVE);
        }
        *attached = Some(connection);
        Ok(())
    }

    /// The attempt has failed: the queue pair is as before.
    pub(crate) fn detach(&self) {
        let connection = self.connection.lock().take();
        drop(connection);
    }

    /// The connection is established. Returns `false`, changing nothing, if the queue pair was flushed meanwhile.
    ///
    /// Called with the lock of the link held.
    pub(crate) fn open(&self, peer: Peer) -> bool {
        let mut initiator = self.initiator.lock();
        if matches!(initiator.phase, Phase::Dead) {
            drop(initiator);
            return false;
        }
        initiator.phase = Phase::Ready(peer);
        let mut inbound = self.inbound.lock();
        if inbound.gate == Gate::Idle {
            inbound.gate = Gate::Open;
        }
        true
    }

    /// The peer may reach what is posted and registered, and nothing can be posted to it yet. Returns `false`, changing nothing, if
    /// the queue pair was flushed meanwhile.
    pub(crate) fn open_to_peer(&self) -> bool {
        let initiator = self.initiator.lock();
        if matches!(initiator.phase, Phase::Dead) {
            return false;
        }
        let mut inbound = self.inbound.lock();
        if inbound.gate == Gate::Idle {
            inbound.gate = Gate::Open;
        }
        true
    }

    /// A consumer has disconnected: requests posted from here on are refused, deferred ones cancelled; receives stay.
    pub(crate) fn stop_initiating(&self) {
        self.leave(Phase::Closing);
    }

    /// The connection is over, or the queue pair flushed: everything posted completes with `STATUS_CANCELLED`. Afterwards
    /// nothing touches its buffers or the memory behind it.
    pub(crate) fn die(&self) {
        self.leave(Phase::Dead);
        let mut inbound = self.inbound.lock();
        inbound.gate = Gate::Dead;
        while let Some(context) = inbound.receives.pop() {
            // An overrun completion queue takes nothing any more; there is nobody left to tell.
            let _ = self.complete_receive(context, NdkOperationTypeReceive, STATUS_CANCELLED, Arrival::NONE);
        }
    }

    fn leave(&self, to: Phase) {
        let before = {
            let mut initiator = self.initiator.lock();
            let before = match initiator.phase {
                Phase::Dead => None,
                _ => Some(core::mem::replace(&mut initiator.phase, to)),
            };
            match (&before, &initiator.phase) {
                // What a stream has begun goes on until the end.
                (Some(Phase::Ready(Peer::Stream { .. })), Phase::Closing) => initiator.cancel_deferred(),
                // First the peer has closed, then this consumer disconnects, or the other way about.
                (Some(Phase::Closing), Phase::Closing) => {}
                _ => self.cancel_all(&mut initiator),
            }
            before
        };
        // The peer's reference goes after the lock.
        drop(before);
    }

    /// Breaks the connection, if there is one. Called without locks.
    pub(crate) fn break_link(&self, cause: Cause) {
        let connection = self.connection.lock().clone();
        if let Some(connection) = connection {
            connection.terminate(cause);
        }
    }

    /// Something arrives from the peer.
    pub(crate) fn hear(&self) {
        self.heard.store(true, Ordering::Release);
    }

    /// Whether anything has arrived from the peer.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Acquire)
    }

    /// Has a receive ready for the next send, if there is one.
    pub(crate) fn supply(&self, inbound: &mut Inbound) {
        if let Some(srq) = &self.srq
            && inbound.receives.len() == 0
        {
            Srq::supply(srq.shared(), &mut inbound.receives);
        }
    }

    /// Places the entry of a receive. Called with the inbound lock held, so entries come in posting order.
    pub(crate) fn complete_receive(
        &self,
        context: Opaque,
        operation: NDK_OPERATION_TYPE,
        status: NTSTATUS,
        arrival: Arrival,
    ) -> Result<(), Overrun> {
        let completion = Completion {
            status,
            bytes: arrival.bytes,
            qp_context: self.context,
            request_context: context,
            operation,
            token: arrival.token,
            solicited: arrival.solicited,
            debt: Some(Debt { credits: self.receive_credits.clone(), queue: QueueKind::Receive, slots: 1 }),
        };
        Cq::push(self.receive_cq.shared(), completion)
    }
}

/// What a receive tells about the send that took it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrival {
    pub(crate) bytes: u32,
    pub(crate) solicited: bool,
    /// The token the send invalidated, or 0.
    pub(crate) token: u32,
}

impl Arrival {
    pub(crate) const NONE: Self = Self { bytes: 0, solicited: false, token: 0 };
}

impl Object for Qp {
    fn life(&self) -> &Life {
        &self.life
    }

    fn adapter(&self) -> &Shared<Adapter> {
        self.pd.shared().adapter()
    }

    fn into_any(this: Shared<Self>) -> AnyObject {
        AnyObject::Qp(this)
    }

    fn close_issued(this: &Shared<Self>) {
        this.die();
        this.break_link(Cause::Flush);
    }

    fn closed(&self) {
        // The link may still know the queue pair of a failed attempt; it is not the other way round any more.
        self.detach();
    }

    fn release_antecedents(&self) {
        self.receive_cq.release();
        self.initiator_cq.release();
        if let Some(srq) = &self.srq {
            srq.release();
        }
        self.pd.release();
    }
}
