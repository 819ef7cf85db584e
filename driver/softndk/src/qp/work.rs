//! Running the initiator queue.

use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NDK_OPERATION_TYPE};
use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};

use super::Qp;
use super::credits::{Debt, QueueKind};
use super::initiator::{Initiator, Phase};
use crate::cq::{Completion, Cq, Overrun};
use crate::fabric::Peer;
use crate::loopback;
use crate::opaque::Opaque;

/// A request failed: the connection must be broken once the locks are released.
#[must_use]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Broken;

impl Qp {
    /// Performs everything in the queue, or leaves it to the stream. After a failure the rest is cancelled and the queue pair initiates no more.
    pub(super) fn run(&self, initiator: &mut Initiator) -> Result<(), Broken> {
        if matches!(initiator.phase, Phase::Ready(Peer::Stream { .. })) {
            initiator.release();
            return Ok(());
        }
        while let Some(work) = initiator.pop() {
            let status = match &initiator.phase {
                Phase::Ready(Peer::Memory(peer)) => {
                    loopback::perform(self, peer, &work, initiator.data(&work))
                }
                Phase::Ready(Peer::Stream { .. }) | Phase::Idle | Phase::Closing | Phase::Dead => {
                    STATUS_CANCELLED
                }
            };
            self.settle(initiator, work.operation.kind(), work.context, work.flags, status)?;
        }
        Ok(())
    }

    /// Records the outcome of one request, which is the oldest without one.
    pub(super) fn settle(
        &self,
        initiator: &mut Initiator,
        operation: NDK_OPERATION_TYPE,
        context: Opaque,
        flags: NDK_OP_FLAG,
        status: NTSTATUS,
    ) -> Result<(), Broken> {
        if status == STATUS_SUCCESS && flags.contains(NDK_OP_FLAG::SILENT_SUCCESS) {
            initiator.silent += 1;
            return Ok(());
        }
        let placed = self.complete(initiator, operation, context, status);
        if status == STATUS_SUCCESS && placed.is_ok() {
            return Ok(());
        }
        self.cancel_all(initiator);
        Err(Broken)
    }

    /// Completes everything in the queue with `STATUS_CANCELLED`.
    pub(super) fn cancel_all(&self, initiator: &mut Initiator) {
        while let Some(work) = initiator.pop() {
            // An overrun completion queue takes nothing any more; there is nobody left to tell.
            let _ = self.complete(initiator, work.operation.kind(), work.context, STATUS_CANCELLED);
        }
    }

    pub(super) fn complete(
        &self,
        initiator: &mut Initiator,
        operation: NDK_OPERATION_TYPE,
        context: Opaque,
        status: NTSTATUS,
    ) -> Result<(), Overrun> {
        let slots = 1 + core::mem::take(&mut initiator.silent);
        let completion = Completion {
            status,
            bytes: 0,
            qp_context: self.context,
            request_context: context,
            operation,
            token: 0,
            solicited: false,
            debt: Some(Debt { credits: self.credits.clone(), queue: QueueKind::Initiator, slots }),
        };
        Cq::push(self.initiator_cq.shared(), completion)
    }
}
