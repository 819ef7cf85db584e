//! What a stream needs of a queue pair: the requests that it carries out, and the receives that its Sends take.
//!
//! The stream's lock is outside of the two of the queue pair.

use abi::NTSTATUS;
use abi::ndk::{NDK_OP_FLAG, NdkOperationTypeReceive, NdkOperationTypeReceiveAndInvalidate};
use abi::status::{
    STATUS_ACCESS_VIOLATION, STATUS_CANCELLED, STATUS_INVALID_DEVICE_REQUEST, STATUS_REMOTE_RESOURCES,
    STATUS_SUCCESS,
};

use super::initiator::{Data, Initiator, Local, Operation, Work};
use super::work::Broken;
use super::{Arrival, Gate, Inbound, Qp};
use crate::buffer::Buffer;
use crate::iwarp::rdmap::ReadRequest;
use crate::iwarp::{Request, WorkRequest};
use crate::life::Object as _;
use crate::memory::{Found, Rights, Violation};

/// The sink STag of every read of this end: responses come in the order of the requests, so it need not tell them apart. It names
/// no region, and nobody else may place anything by it.
const SINK_STAG: u32 = 1;

impl Qp {
    /// Starts the next request, and gives it as the stream takes it; `busy`: it takes none now. What concerns this end only is
    /// carried out on the way.
    ///
    /// # Errors
    /// A request has failed, or there is no room for its entry: the connection must be broken.
    pub(crate) fn start_next(&self, busy: bool) -> Result<Option<WorkRequest>, Broken> {
        let mut initiator = self.initiator.lock();
        while let Some(work) = initiator.next().filter(|_| !busy) {
            let read_fence = work.flags.contains(NDK_OP_FLAG::READ_FENCE);
            let Operation::Local(local) = work.operation else {
                let request = self.as_wire_request(&initiator, &work);
                let Ok(request) = request else {
                    return Err(self.fail_next(&mut initiator, STATUS_ACCESS_VIOLATION));
                };
                initiator.start();
                return Ok(Some(WorkRequest { request, read_fence }));
            };
            if read_fence && initiator.oldest_read().is_some() {
                return Ok(None);
            }
            let status = match local {
                Local::Done { status, .. } => status,
                Local::Invalidate { place } => self.invalidate_now(place),
            };
            initiator.start_done(work.operation.kind(), status);
            self.settle_done(&mut initiator)?;
        }
        Ok(None)
    }

    /// A request for the wire, whose own memory is checked.
    fn as_wire_request(&self, initiator: &Initiator, work: &Work) -> Result<Request, Violation> {
        let reading = matches!(work.operation, Operation::Read { .. });
        let local = Buffer::local(self.domain(), initiator.data(work), reading);
        let octets = local.length();
        local.check(self.memory(), octets)?;
        // No request is longer than the adapter's limit.
        let length = u32::try_from(octets).map_err(|_| Violation::Bounds)?;
        Ok(match work.operation {
            Operation::Send { invalidate } => {
                let solicited = work.flags.contains(NDK_OP_FLAG::SEND_AND_SOLICIT_EVENT);
                Request::Send { length, solicited, invalidate }
            }
            Operation::Write { address, token } => Request::Write { length, stag: token, to: address },
            Operation::Read { address, token } => Request::Read(ReadRequest {
                sink_stag: SINK_STAG,
                sink_to: 0,
                size: length,
                source_stag: token,
                source_to: address,
            }),
            Operation::Local(_) => return Err(Violation::Name),
        })
    }

    /// The request that was to be started fails; those before it are cancelled with the connection.
    fn fail_next(&self, initiator: &mut Initiator, status: NTSTATUS) -> Broken {
        while initiator.oldest().is_some() {
            self.cancel_oldest(initiator);
        }
        if let Some(work) = initiator.pop() {
            // The connection is lost either way.
            let _ = self.complete(initiator, work.operation.kind(), work.context, status);
        }
        self.cancel_all(initiator);
        Broken
    }

    fn cancel_oldest(&self, initiator: &mut Initiator) {
        if let Some(work) = initiator.pop() {
            // As above.
            let _ = self.complete(initiator, work.operation.kind(), work.context, STATUS_CANCELLED);
        }
    }

    /// The oldest requests, so many that went to the peer, are complete.
    ///
    /// # Errors
    /// As for [`start_next`](Self::start_next).
    pub(crate) fn complete_started(&self, count: u32) -> Result<(), Broken> {
        let mut initiator = self.initiator.lock();
        for _ in 0..count {
            self.settle_done(&mut initiator)?;
            let Some(work) = initiator.oldest().and_then(|_| initiator.pop()) else { return Ok(()) };
            let data = initiator.data(&work);
            let octets = Buffer::local(self.domain(), data, false).length();
            let reading = matches!(work.operation, Operation::Read { .. });
            let done = if reading { self.invalidate_sink(&work, data) } else { Ok(()) };
            let counters = self.adapter().core().counters();
            if reading {
                counters.received(octets as u64);
            } else {
                counters.sent(octets as u64);
            }
            let status = done.err().unwrap_or(STATUS_SUCCESS);
            self.settle(&mut initiator, work.operation.kind(), work.context, work.flags, status)?;
        }
        self.settle_done(&mut initiator)
    }

    /// Completes the oldest requests as long as they are done.
    fn settle_done(&self, initiator: &mut Initiator) -> Result<(), Broken> {
        while let Some(work) = initiator.oldest() {
            let Operation::Local(Local::Done { kind, status }) = work.operation else { break };
            initiator.pop();
            if status == STATUS_CANCELLED {
                // Deferred when the consumer disconnected: nothing is broken by it.
                self.complete(initiator, kind, work.context, status).map_err(|_| Broken)?;
            } else {
                self.settle(initiator, kind, work.context, work.flags, status)?;
            }
        }
        Ok(())
    }

    /// The peer has refused what it was asked for. It is the oldest read, if there is one: nothing else waits for an answer.
    pub(crate) fn refuse_oldest_read(&self) {
        let mut initiator = self.initiator.lock();
        while let Some(work) = initiator.oldest() {
            if !matches!(work.operation, Operation::Read { .. }) {
                self.cancel_oldest(&mut initiator);
                continue;
            }
            initiator.pop();
            // The connection is lost either way.
            let _ =
                self.complete(&mut initiator, work.operation.kind(), work.context, STATUS_REMOTE_RESOURCES);
            return;
        }
    }

    /// The peer takes no more requests: those that are not started are cancelled.
    pub(crate) fn cancel_unstarted(&self) {
        self.initiator.lock().cancel_unstarted();
    }

    /// Whether every request is complete.
    pub(crate) fn has_initiated_all(&self) -> bool {
        self.initiator.lock().is_empty()
    }

    /// `NDK_OP_FLAG_RDMA_READ_LOCAL_INVALIDATE`: the token of the first element ends with the read.
    pub(crate) fn invalidate_sink(&self, work: &Work, data: Data<'_>) -> Result<(), NTSTATUS> {
        if !work.flags.contains(NDK_OP_FLAG::RDMA_READ_LOCAL_INVALIDATE) {
            return Ok(());
        }
        let Data::Elements([sink, ..]) = data else { return Err(STATUS_INVALID_DEVICE_REQUEST) };
        let ended = self.memory().invalidate_token(self.domain(), sink.token, false);
        ended.map_err(|_| STATUS_ACCESS_VIOLATION)
    }

    /// Fills `out` with octets of the request started last, from `offset` on.
    ///
    /// # Errors
    /// The memory is no longer what it was, or there is no request any more.
    pub(crate) fn fetch(&self, offset: usize, out: &mut [u8]) -> Result<(), Violation> {
        let initiator = self.initiator.lock();
        let work = initiator.latest().ok_or(Violation::Name)?;
        let source = Buffer::local(self.domain(), initiator.data(&work), false);
        let length = out.len();
        self.copy_parts(&source, offset, length, &Found::own_mut(out), true)
    }

    /// Places octets of the response to the oldest read, from `offset` on.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    pub(crate) fn place_read(&self, offset: usize, octets: &[u8]) -> Result<(), Violation> {
        let initiator = self.initiator.lock();
        let work = initiator.oldest_read().ok_or(Violation::Name)?;
        let sink = Buffer::local(self.domain(), initiator.data(&work), true);
        self.copy_parts(&sink, offset, octets.len(), &Found::own(octets), false)
    }

    /// Copies between `buffer` from `offset` on and `own`.
    fn copy_parts(
        &self,
        buffer: &Buffer<'_>,
        offset: usize,
        length: usize,
        own: &Found,
        to_own: bool,
    ) -> Result<(), Violation> {
        let (memory, counters) = (self.memory(), self.adapter().core().counters());
        let mut done = 0;
        while done < length {
            let found = buffer.find(memory, offset + done)?;
            let own = own.skip(done);
            let part = found.available.min(length - done);
            let (from, to) = if to_own { (&found, &own) } else { (&own, &found) };
            memory.copy(from, to, part, counters)?;
            done += part;
        }
        Ok(())
    }

    /// Octets that the oldest receive takes; `None`: there is none.
    pub(crate) fn claim_receive(&self) -> Option<u32> {
        let mut inbound = self.open_inbound()?;
        self.supply(&mut inbound);
        let octets: u64 = inbound.receives.front()?.iter().map(|element| u64::from(element.length)).sum();
        Some(u32::try_from(octets).unwrap_or(u32::MAX))
    }

    /// Places octets of a Send in the oldest receive.
    ///
    /// # Errors
    /// As for [`fetch`](Self::fetch).
    pub(crate) fn place_send(&self, offset: usize, octets: &[u8]) -> Result<(), Violation> {
        let inbound = self.open_inbound().ok_or(Violation::Name)?;
        let elements = inbound.receives.front().ok_or(Violation::Name)?;
        let target = Buffer::Elements { domain: self.domain(), elements, write: true };
        self.copy_parts(&target, offset, octets.len(), &Found::own(octets), false)
    }

    /// A Send is in the oldest receive.
    ///
    /// # Errors
    /// As for [`start_next`](Self::start_next).
    pub(crate) fn finish_receive(&self, arrival: Arrival, invalidated: bool) -> Result<(), Broken> {
        let mut inbound = self.open_inbound().ok_or(Broken)?;
        let context = inbound.receives.pop().ok_or(Broken)?;
        self.adapter().core().counters().received(u64::from(arrival.bytes));
        let operation =
            if invalidated { NdkOperationTypeReceiveAndInvalidate } else { NdkOperationTypeReceive };
        self.complete_receive(context, operation, STATUS_SUCCESS, arrival).map_err(|_| Broken)
    }

    /// The oldest receive fails with the Send that has claimed it.
    pub(crate) fn fail_receive(&self, status: NTSTATUS) {
        let Some(mut inbound) = self.open_inbound() else { return };
        if let Some(context) = inbound.receives.pop() {
            // The connection is lost either way.
            let _ = self.complete_receive(context, NdkOperationTypeReceive, status, Arrival::NONE);
        }
    }

    /// Runs `access` on memory that the peer names, as long as the peer may reach any.
    ///
    /// # Errors
    /// [`Violation`].
    pub(crate) fn for_peer(
        &self,
        (token, address, length): (u32, u64, u32),
        needed: Rights,
        access: impl FnOnce(&Self, &Found) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        // Holding the inbound side keeps the consumer from being told that the connection is over.
        let _inbound = self.open_inbound().ok_or(Violation::Name)?;
        let found = self.memory().find_remote(self.domain(), token, address, length, needed)?;
        access(self, &found)
    }

    fn open_inbound(&self) -> Option<kernel::lock::SpinLockGuard<'_, Inbound>> {
        Some(self.inbound.lock()).filter(|inbound| inbound.gate == Gate::Open)
    }
}
