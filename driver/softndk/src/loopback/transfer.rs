//! Carrying out sends, writes and reads: the posting processor is the DMA engine.

use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NdkOperationTypeReceive, NdkOperationTypeReceiveAndInvalidate};
use abi::status::{
    STATUS_ACCESS_VIOLATION, STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_REMOTE_RESOURCES, STATUS_SUCCESS,
};

use super::Peer;
use crate::buffer::{Buffer, End, copy};
use crate::life::Object as _;
use crate::memory::Rights;
use crate::provider::Core;
use crate::qp::{Arrival, Data, Gate, Inbound, Operation, Qp, Work};

/// Bytes copied without letting go of the peer: about ten microseconds at DISPATCH_LEVEL.
const PART_BYTES_MAX: usize = 64 * 1024;

/// Performs one request of `qp`, whose initiator lock the caller holds, and returns the status of its completion.
///
/// Anything but success ends the connection: `STATUS_ACCESS_VIOLATION` (this end's memory), `STATUS_REMOTE_RESOURCES` (the
/// peer's memory, or no receive that fits), `STATUS_CANCELLED` (the peer is gone), `STATUS_INVALID_DEVICE_REQUEST` (not
/// this end's turn to speak). A violation found before the first byte touches nothing.
pub(crate) fn perform(qp: &Qp, peer: &Peer, work: &Work, data: Data<'_>) -> NTSTATUS {
    if peer.listens_first && !qp.has_heard() {
        return STATUS_INVALID_DEVICE_REQUEST;
    }
    let core = qp.adapter().core();
    let transfer = Transfer { core, peer: &peer.qp, flags: work.flags };
    let reading = matches!(work.operation, Operation::Read { .. });
    let local = Buffer::local(qp.domain(), data, reading);
    let length = local.length();
    if local.check(core.memory(), length).is_err() {
        return STATUS_ACCESS_VIOLATION;
    }
    let result = match work.operation {
        Operation::Send { invalidate } => transfer.send(&local, length, invalidate),
        Operation::Write { address, token } => {
            let needed = Rights::REMOTE_WRITE;
            let domain = peer.qp.domain();
            let remote = Buffer::Remote { domain, token, address, length: length as u32, needed };
            transfer.access(&local, &remote, &remote, length, End::From)
        }
        Operation::Read { address, token } => {
            let needed = Rights::REMOTE_READ;
            let domain = peer.qp.domain();
            let remote = Buffer::Remote { domain, token, address, length: length as u32, needed };
            transfer
                .access(&remote, &local, &remote, length, End::To)
                .and_then(|()| qp.invalidate_sink(work, data))
        }
        // It is done where it is posted.
        Operation::Local(_) => Err(STATUS_INVALID_DEVICE_REQUEST),
    };
    match result {
        Ok(()) => {
            core.counters().message(length as u64);
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// One request under way.
struct Transfer<'a> {
    core: &'a Core,
    peer: &'a Qp,
    flags: NDK_OP_FLAG,
}

impl Transfer<'_> {
    /// A write or read: `remote` is one of the two ends, `local_end` the other.
    fn access(
        &self,
        from: &Buffer<'_>,
        to: &Buffer<'_>,
        remote: &Buffer<'_>,
        length: usize,
        local_end: End,
    ) -> Result<(), NTSTATUS> {
        let mut done = 0;
        loop {
            // Holding the inbound side keeps the peer's consumer from being told that its connection is over.
            let inbound = self.peer.inbound().lock();
            if inbound.gate != Gate::Open {
                return Err(STATUS_CANCELLED);
            }
            if done == 0 {
                self.peer.hear();
                remote.check(self.core.memory(), length).map_err(|_| STATUS_REMOTE_RESOURCES)?;
            }
            let part = (length - done).min(PART_BYTES_MAX);
            copy(self.core.memory(), self.core.counters(), from, to, done, part).map_err(|end| {
                if end == local_end { STATUS_ACCESS_VIOLATION } else { STATUS_REMOTE_RESOURCES }
            })?;
            done += part;
            if done == length {
                return Ok(());
            }
        }
    }

    /// A send: into the peer's oldest receive, which stays first in its queue until all bytes are there.
    fn send(&self, local: &Buffer<'_>, length: usize, invalidate: Option<u32>) -> Result<(), NTSTATUS> {
        let mut done = 0;
        loop {
            let mut inbound = self.peer.inbound().lock();
            if inbound.gate != Gate::Open {
                return Err(STATUS_CANCELLED);
            }
            self.peer.hear();
            self.peer.supply(&mut inbound);
            let elements = inbound.receives.front().ok_or(STATUS_REMOTE_RESOURCES)?;
            let target = Buffer::Elements { domain: self.peer.domain(), elements, write: true };
            if done == 0
                && let Err(fault) = self.check_receive(&target, length, invalidate)
            {
                return Err(self.fail_receive(&mut inbound, fault));
            }
            let part = (length - done).min(PART_BYTES_MAX);
            match copy(self.core.memory(), self.core.counters(), local, &target, done, part) {
                Ok(()) => {}
                Err(End::From) => return Err(STATUS_ACCESS_VIOLATION),
                Err(End::To) => {
                    return Err(self.fail_receive(&mut inbound, Some(STATUS_ACCESS_VIOLATION)));
                }
            }
            done += part;
            if done == length {
                return self.finish_send(&mut inbound, length, invalidate);
            }
        }
    }

    /// # Errors
    /// The send does not fit the receive: the status the receive completes with, if it is the one at fault.
    fn check_receive(
        &self,
        target: &Buffer<'_>,
        length: usize,
        invalidate: Option<u32>,
    ) -> Result<(), Option<NTSTATUS>> {
        if target.length() < length {
            return Err(Some(STATUS_BUFFER_OVERFLOW));
        }
        target.check(self.core.memory(), length).map_err(|_| Some(STATUS_ACCESS_VIOLATION))?;
        let invalidable = |token| self.core.memory().can_invalidate(self.peer.domain(), token);
        if invalidate.is_some_and(|token| !invalidable(token)) {
            return Err(None);
        }
        Ok(())
    }

    /// The oldest receive fails; what is left is cancelled when the connection is torn down. Returns the sender's status.
    fn fail_receive(&self, inbound: &mut Inbound, status: Option<NTSTATUS>) -> NTSTATUS {
        if let Some(status) = status
            && let Some(context) = inbound.receives.pop()
        {
            // The connection is lost either way.
            let _ = self.peer.complete_receive(context, NdkOperationTypeReceive, status, Arrival::NONE);
        }
        STATUS_REMOTE_RESOURCES
    }

    fn finish_send(
        &self,
        inbound: &mut Inbound,
        length: usize,
        invalidate: Option<u32>,
    ) -> Result<(), NTSTATUS> {
        if let Some(token) = invalidate {
            let ended = self.core.memory().invalidate_token(self.peer.domain(), token, true);
            ended.map_err(|_| STATUS_REMOTE_RESOURCES)?;
        }
        let context = inbound.receives.pop().ok_or(STATUS_REMOTE_RESOURCES)?;
        let operation =
            if invalidate.is_some() { NdkOperationTypeReceiveAndInvalidate } else { NdkOperationTypeReceive };
        let arrival = Arrival {
            bytes: length as u32,
            solicited: self.flags.contains(NDK_OP_FLAG::SEND_AND_SOLICIT_EVENT),
            token: invalidate.unwrap_or(0),
        };
        let placed = self.peer.complete_receive(context, operation, STATUS_SUCCESS, arrival);
        placed.map_err(|_| STATUS_REMOTE_RESOURCES)
    }
}
