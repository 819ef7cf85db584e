//! What a stream may touch: the memory behind its queue pair.

use abi::NTSTATUS;
use abi::status::{STATUS_ACCESS_VIOLATION, STATUS_BUFFER_OVERFLOW};

use crate::iwarp::{Invalidation, LocalFault, Memory, TaggedFault};
use crate::life::Object as _;
use crate::memory::{Found, Rights, Violation};
use crate::qp::Qp;

/// The memory behind a queue pair; behind none there is nothing.
pub(super) struct Reach<'a> {
    qp: Option<&'a Qp>,
    /// What has failed the receive that a Send has claimed.
    receive_status: Option<NTSTATUS>,
}

impl<'a> Reach<'a> {
    pub(super) const fn of(qp: Option<&'a Qp>) -> Self {
        Self { qp, receive_status: None }
    }

    /// The status of the receive that has failed with the connection, if it has.
    pub(super) const fn receive_status(&self) -> Option<NTSTATUS> {
        self.receive_status
    }

    fn for_peer(
        &self,
        range: (u32, u64, usize),
        needed: Rights,
        access: impl FnOnce(&Qp, &Found) -> Result<(), Violation>,
    ) -> Result<(), TaggedFault> {
        let (stag, to, octets) = range;
        let length = u32::try_from(octets).map_err(|_| TaggedFault::Bounds)?;
        let qp = self.qp.ok_or(TaggedFault::InvalidStag)?;
        qp.for_peer((stag, to, length), needed, access).map_err(tagged)
    }
}

const fn tagged(violation: Violation) -> TaggedFault {
    match violation {
        Violation::Name => TaggedFault::InvalidStag,
        Violation::Domain => TaggedFault::NotOfStream,
        Violation::Bounds => TaggedFault::Bounds,
        Violation::Rights => TaggedFault::AccessRights,
    }
}

impl Memory for Reach<'_> {
    fn place_write(&mut self, stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault> {
        self.for_peer((stag, to, octets.len()), Rights::REMOTE_WRITE, |qp, found| {
            let core = qp.adapter().core();
            core.memory().copy(&Found::own(octets), found, octets.len(), core.counters())?;
            core.counters().in_octets.add(octets.len() as u64);
            Ok(())
        })
    }

    fn end_write(&mut self) {
        if let Some(qp) = self.qp {
            qp.adapter().core().counters().in_frames.add(1);
        }
    }

    fn place_read(&mut self, _stag: u32, to: u64, octets: &[u8]) -> Result<(), TaggedFault> {
        let qp = self.qp.ok_or(TaggedFault::InvalidStag)?;
        let offset = usize::try_from(to).map_err(|_| TaggedFault::Bounds)?;
        qp.place_read(offset, octets).map_err(tagged)
    }

    fn claim_receive(&mut self) -> Option<u32> {
        self.qp?.claim_receive()
    }

    fn place_send(&mut self, offset: u32, octets: &[u8]) -> Result<(), LocalFault> {
        let placed = self.qp.map(|qp| qp.place_send(offset as usize, octets));
        if placed == Some(Ok(())) {
            return Ok(());
        }
        self.receive_status = Some(STATUS_ACCESS_VIOLATION);
        Err(LocalFault)
    }

    fn overrun_receive(&mut self) {
        self.receive_status = Some(STATUS_BUFFER_OVERFLOW);
    }

    fn invalidate(&mut self, stag: u32) -> Result<(), Invalidation> {
        let qp = self.qp.ok_or(Invalidation::NotAllowed)?;
        let memory = qp.adapter().core().memory();
        if !memory.can_invalidate(qp.domain(), stag) {
            return Err(Invalidation::NotAllowed);
        }
        memory.invalidate_token(qp.domain(), stag, true).map_err(|_| Invalidation::Failed)
    }

    fn check_read(&mut self, stag: u32, to: u64, size: u32) -> Result<(), TaggedFault> {
        self.for_peer((stag, to, size as usize), Rights::REMOTE_READ, |_, _| Ok(()))
    }

    fn fetch_read(&mut self, stag: u32, to: u64, out: &mut [u8]) -> Result<(), TaggedFault> {
        self.for_peer((stag, to, out.len()), Rights::REMOTE_READ, |qp, found| {
            let core = qp.adapter().core();
            let length = out.len();
            core.memory().copy(found, &Found::own_mut(out), length, core.counters())?;
            core.counters().out_octets.add(length as u64);
            Ok(())
        })
    }

    fn end_read(&mut self) {
        if let Some(qp) = self.qp {
            qp.adapter().core().counters().out_frames.add(1);
        }
    }

    fn fetch(&mut self, offset: u32, out: &mut [u8]) -> Result<(), LocalFault> {
        let fetched = self.qp.map(|qp| qp.fetch(offset as usize, out));
        if fetched == Some(Ok(())) { Ok(()) } else { Err(LocalFault) }
    }
}
