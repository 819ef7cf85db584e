//! Posting: what happens between a consumer's call and the return of its status.

use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NDK_SGE, NdkOperationTypeReceive};
use abi::status::{
    STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_CONNECTION_INVALID, STATUS_INTERNAL_ERROR,
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_NO_MORE_ENTRIES, STATUS_SUCCESS,
};

use super::credits::QueueKind;
use super::element::Element;
use super::inbound::Gate;
use super::initiator::{Initiator, Local, Operation, Phase, Post};
use super::work::Broken;
use super::{Arrival, Qp};
use crate::fabric::Cause;
use crate::opaque::Opaque;
use crate::stream::Stream;
use kernel::pool::Shared;

impl Qp {
    /// Posts a request to the peer.
    ///
    /// `STATUS_CONNECTION_INVALID`: not connected (any more); the codes of [`Initiator::check`] and
    /// `STATUS_NO_MORE_ENTRIES`: not posted. A request that cannot be posted still starts the deferred ones before it.
    ///
    /// # Safety
    /// With the inline flag, every element is an address readable for its length.
    pub(super) unsafe fn post(&self, post: &Post<'_>) -> NTSTATUS {
        let mut initiator = self.initiator.lock();
        // SAFETY: as promised by the caller.
        let posted = unsafe { self.enqueue(&mut initiator, post) };
        let deferred = posted.is_ok() && post.flags.contains(NDK_OP_FLAG::DEFER);
        let ran = if deferred { Ok(()) } else { self.run(&mut initiator) };
        let stream = if deferred { None } else { initiator.stream() };
        drop(initiator);
        self.after(ran, stream);
        posted.err().unwrap_or(STATUS_SUCCESS)
    }

    /// # Safety
    /// As [`post`](Self::post).
    unsafe fn enqueue(&self, initiator: &mut Initiator, post: &Post<'_>) -> Result<(), NTSTATUS> {
        self.admit(initiator, matches!(post.operation, Operation::Read { .. }))?;
        initiator.check(post)?;
        if !self.credits.take(QueueKind::Initiator, self.limits.initiators) {
            return Err(STATUS_NO_MORE_ENTRIES);
        }
        // SAFETY: as promised by the caller.
        let pushed = unsafe { initiator.push(post) };
        // Checked above, and the queue is never fuller than its credits say.
        debug_assert!(pushed.is_ok(), "a request with a credit fits");
        pushed
    }

    /// Whether the queue pair may post at all.
    fn admit(&self, initiator: &Initiator, read: bool) -> Result<(), NTSTATUS> {
        let Phase::Ready(peer) = &initiator.phase else { return Err(STATUS_CONNECTION_INVALID) };
        if self.initiator_cq.is_dead() {
            return Err(STATUS_INTERNAL_ERROR);
        }
        if read && peer.read_limit() == 0 {
            return Err(STATUS_INVALID_PARAMETER);
        }
        Ok(())
    }

    /// Performs a request that concerns this side only: everything deferred runs first.
    ///
    /// `work` gives the status of the request's entry, or, where requests before it are not complete, may say that it waits its
    /// turn. Returns what the consumer's call returns.
    pub(super) fn post_local(
        &self,
        operation: abi::ndk::NDK_OPERATION_TYPE,
        context: Opaque,
        flags: NDK_OP_FLAG,
        work: impl FnOnce(&mut Initiator) -> Local,
    ) -> NTSTATUS {
        let mut initiator = self.initiator.lock();
        let admitted = self.admit(&initiator, false).and_then(|()| {
            let taken = self.credits.take(QueueKind::Initiator, self.limits.initiators);
            if taken { Ok(()) } else { Err(STATUS_NO_MORE_ENTRIES) }
        });
        let mut ran = self.run(&mut initiator);
        let stream = initiator.stream();
        if admitted.is_ok() {
            let cancelled = Local::Done { kind: operation, status: STATUS_CANCELLED };
            let local = if ran.is_ok() { work(&mut initiator) } else { cancelled };
            match local {
                Local::Done { kind, status } if initiator.is_empty() => {
                    ran = self.settle(&mut initiator, kind, context, flags, status).and(ran);
                }
                local => {
                    initiator.push_local(context, flags, local);
                    initiator.release();
                }
            }
        }
        drop(initiator);
        self.after(ran, stream);
        admitted.err().unwrap_or(STATUS_SUCCESS)
    }

    /// Starts what was deferred, for a request that failed its checks.
    pub(super) fn kick(&self) {
        let (ran, stream) = {
            let mut initiator = self.initiator.lock();
            (self.run(&mut initiator), initiator.stream())
        };
        self.after(ran, stream);
    }

    /// What a post leads to once the lock is released.
    fn after(&self, ran: Result<(), Broken>, stream: Option<Shared<Stream>>) {
        if let Err(Broken) = ran {
            self.die();
            self.break_link(Cause::Fault);
        } else if let Some(stream) = stream {
            Stream::run(&stream);
        }
    }

    /// `NdkReceive`: any time, also before connecting. After the end of the connection it completes with
    /// `STATUS_CANCELLED`.
    ///
    /// With a shared receive queue: `STATUS_INVALID_DEVICE_REQUEST`, since receives are posted there.
    pub(super) fn post_receive(&self, context: Opaque, sgl: &[NDK_SGE]) -> NTSTATUS {
        if self.srq.is_some() {
            return STATUS_INVALID_DEVICE_REQUEST;
        }
        if super::element::total_bytes(sgl) > u64::from(u32::MAX) {
            return STATUS_BUFFER_OVERFLOW;
        }
        let mut inbound = self.inbound.lock();
        if !self.receive_credits.take(QueueKind::Receive, self.limits.receives) {
            return STATUS_NO_MORE_ENTRIES;
        }
        if inbound.gate == Gate::Dead {
            let placed =
                self.complete_receive(context, NdkOperationTypeReceive, STATUS_CANCELLED, Arrival::NONE);
            return if placed.is_ok() { STATUS_SUCCESS } else { STATUS_INTERNAL_ERROR };
        }
        match inbound.receives.push(context, sgl.iter().map(Element::new)) {
            Ok(()) => STATUS_SUCCESS,
            Err(status) => {
                self.receive_credits.put_back(QueueKind::Receive);
                status
            }
        }
    }
}
