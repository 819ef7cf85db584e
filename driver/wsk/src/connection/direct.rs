//! Direct placement: the peer writes the octets of a large receive into the client's memory.
//!
//! A receive that finds nothing to read, and whose buffer is large, is taken out of the queue: its pages are mapped, opened
//! for the peer by a fast registration, and advertised. The peer answers each advert once, with octets or with a refusal;
//! then the registration is invalidated, and only after that is the IRP completed, or goes back to the queue. Meanwhile no
//! other receive and no callback gets octets.
//!
//! A refusal costs more than a copy, so after each one more receives go by the ring before the next advert.
//!
//! Where the endpoint ends before the invalidation has, closing the region ends the peer's access.

use super::events::{INVALIDATE, REGISTER};
use super::lent::{Borrower, Lending, Lent, Loan};
use super::{After, Connection, Link, Phase, ReceiveRequest, State};
use abi::NTSTATUS;
use abi::nt::PAGE_SIZE;
use abi::status::STATUS_CANCELLED;
use kernel::pool::Shared;
use kernel::time::milliseconds;
use ndk::{Access, FastRegion, Mapping, Opened, RegionOwner};
use stream::TargetEntry;

/// Receives that keep to the ring after many refusals in a row.
const SKIP_MAX: u32 = 64;
/// The page that a peer believes the buffer to be at.
const BASE: u64 = 0x1000_0000;
/// How long a peer has to answer when a cancelled receive's buffer is asked for again, in units of 100 ns.
const ANSWER_LIMIT: u64 = milliseconds(1_000);

/// How far a receive is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The mapping is being built.
    Mapping,
    /// The peer may write.
    Open,
    /// The registration is being invalidated.
    Shutting,
    /// The endpoint is gone, and the region is being closed.
    Closing,
    /// Nobody can write any more.
    Shut,
}

struct Placing {
    loan: Loan,
    request: ReceiveRequest,
    stage: Stage,
    /// Where the octets begin in the mapping, and how many they are.
    offset: usize,
    len: usize,
    mapping: Option<Mapping>,
    cancelled: bool,
    /// When the peer must have answered.
    deadline: Option<u64>,
}

/// Direct placement of a connection.
pub(super) struct Direct {
    region: Option<FastRegion>,
    /// A work item is making the region, or will.
    makes_region: bool,
    receive: Option<Placing>,
    /// Receives that keep to the ring before the next advert, and how many after the next refusal.
    skip: u32,
    next_skip: u32,
}

impl Direct {
    pub(super) const fn new() -> Self {
        Self { region: None, makes_region: false, receive: None, skip: 0, next_skip: 1 }
    }

    /// Whether a receive is out of the queue.
    pub(super) const fn is_busy(&self) -> bool {
        self.receive.is_some()
    }

    /// Whether a request that ends the peer's access is on its way.
    pub(super) fn is_shutting(&self) -> bool {
        self.receive.as_ref().is_some_and(|placing| placing.stage == Stage::Shutting)
    }

    pub(super) const fn wants_region(&self) -> bool {
        self.makes_region
    }

    /// The invalidation has completed.
    pub(super) fn shut(&mut self) {
        if let Some(placing) = &mut self.receive {
            placing.stage = Stage::Shut;
        }
    }

    fn step_back(&mut self) {
        self.skip = self.next_skip;
        self.next_skip = self.next_skip.saturating_mul(2).min(SKIP_MAX);
    }
}

impl Connection {
    /// Makes the region of a connection. IRQL: PASSIVE_LEVEL.
    pub(super) fn make_region(this: &Shared<Self>) {
        let wanted = {
            let state = this.state.lock();
            let open = state.phase == Phase::Connected;
            state.link.as_ref().filter(|_| open).map(|link| (link.adapter.clone(), link.layout.region_pages))
        };
        let region = wanted.and_then(|(adapter, pages)| FastRegion::create(&adapter, pages).ok());
        Self::with(this, |state, after| {
            if let Some(link) = &mut state.link {
                link.direct.makes_region = false;
                if region.is_none() {
                    link.direct.step_back();
                }
                link.direct.region = region;
            }
            state.go_on(after);
        });
    }
}

impl RegionOwner for Connection {
    fn region_closed(this: Shared<Self>) {
        Self::with(&this, |state, after| {
            if let Some(link) = &mut state.link {
                link.direct.shut();
            }
            state.end_loans(&this, after);
        });
    }
}

impl Link {
    /// Whether memory of a client's is lent, or a region is being made.
    pub(super) fn lends(&self) -> bool {
        self.in_place.any() || self.direct.receive.is_some() || self.direct.makes_region
    }

    /// The peer has written so many octets to the buffer.
    pub(super) fn buffer_filled(&mut self, len: u32) {
        if let Some(placing) = &mut self.direct.receive {
            // The engine has checked that they fit.
            placing.request.fill(len as usize);
        }
        (self.direct.skip, self.direct.next_skip) = (0, 1);
        self.shut_buffer();
    }

    /// The peer does not use the buffer.
    pub(super) fn buffer_refused(&mut self) {
        if let Some(placing) = &mut self.direct.receive
            && !placing.cancelled
        {
            placing.request.keep_to_ring();
            self.direct.step_back();
        }
        self.shut_buffer();
    }

    /// Ends the peer's right to write. The connection is lost if that cannot be said.
    fn shut_buffer(&mut self) {
        let Some(placing) = &mut self.direct.receive else { return };
        placing.stage = Stage::Shutting;
        placing.deadline = None;
        let (Some(region), Some(poster)) = (&self.direct.region, &mut self.poster) else { return };
        if let Err(status) = poster.invalidate(&Opened::Region(region), INVALIDATE) {
            self.give_up(status);
        }
    }
}

impl State {
    /// Takes the next receive out of the queue if its buffer is worth an advert. Nothing is to be read.
    pub(super) fn begin_direct(&mut self, connection: &Shared<Connection>, after: &mut After) {
        let Some(link) =
            self.link.as_deref_mut().filter(|link| link.poster.is_some() && link.unposted.is_none())
        else {
            return;
        };
        if !link.engine.may_advertise() {
            return;
        }
        let large =
            |request: &ReceiveRequest| request.part().filter(|part| part.length >= link.layout.in_place_from);
        let Some(part) = self.receives.front().as_ref().and_then(large) else { return };
        if link.direct.skip != 0 {
            link.direct.skip = link.direct.skip.saturating_sub(1);
            self.receives.update_front(ReceiveRequest::keep_to_ring);
            return;
        }
        if link.direct.region.is_none() {
            after.rare().work |= !link.direct.makes_region;
            link.direct.makes_region = true;
            return;
        }
        let Some((irp, request)) = self.receives.take_next() else { return };
        let loan = match link.loans.lend(connection, irp, after) {
            Lending::Lent(loan) => loan,
            Lending::Ended => return,
            Lending::Not(irp) => {
                let mut request = request;
                request.keep_to_ring();
                if let Err(irp) = self.receives.park_front(connection, irp, request) {
                    after.batch.push(irp, request.end(STATUS_CANCELLED));
                }
                return;
            }
        };
        // Wherever in its page the first octet is.
        let most = (link.layout.region_pages as usize).saturating_sub(1).saturating_mul(PAGE_SIZE);
        let (offset, len) = (part.offset, part.length.min(most));
        link.direct.receive = Some(Placing {
            loan,
            request,
            stage: Stage::Mapping,
            offset,
            len,
            mapping: None,
            cancelled: false,
            deadline: None,
        });
        link.lend_part(Borrower::Receive, part.mdl, offset.saturating_add(len), after);
    }

    /// The mapping of the buffer is there, or is not.
    pub(super) fn buffer_mapped(&mut self, mapped: Result<Mapping, NTSTATUS>) {
        let Some(link) = self.link.as_deref_mut() else { return };
        let Some(placing) = link.direct.receive.as_mut().filter(|p| p.stage == Stage::Mapping) else {
            return;
        };
        // Anything but an open buffer ends here.
        placing.stage = Stage::Shut;
        if mapped.is_err() {
            placing.request.keep_to_ring();
        }
        let (Ok(mapping), Some(region), Some(poster)) = (mapped, &link.direct.region, &mut link.poster)
        else {
            return;
        };
        if placing.cancelled || !link.engine.may_advertise() || link.unposted.is_some() {
            return;
        }
        let part = (&mapping, placing.offset, placing.len);
        let (addr, key) = match poster.fast_register(region, part, BASE, Access::RemoteWrite, REGISTER) {
            Ok(place) => place,
            Err(status) => return link.give_up(status),
        };
        let buffer = TargetEntry { addr, key, len: u32::try_from(placing.len).unwrap_or(u32::MAX) };
        placing.mapping = Some(mapping);
        placing.stage = Stage::Open;
        if link.engine.advertise(buffer).is_err() {
            link.shut_buffer();
        }
    }

    /// Whether a receive is out of the queue still. One that nobody can write to any more ends, or goes back.
    pub(super) fn waits_for_buffer(&mut self, connection: &Shared<Connection>, after: &mut After) -> bool {
        let Some(link) = self.link.as_deref_mut() else { return false };
        let Some(placing) = link.direct.receive.take_if(|placing| placing.stage == Stage::Shut) else {
            return link.direct.is_busy();
        };
        let Placing { loan, request, mapping, cancelled, .. } = placing;
        // Before the client has its memory back.
        drop(mapping);
        let given_up = request.end(STATUS_CANCELLED);
        let over = cancelled || self.phase != Phase::Connected;
        match request.done().or_else(|| over.then_some(given_up)) {
            Some(outcome) => loan.end(outcome, after),
            None => {
                let Some(irp) = loan.give_back(given_up) else { return false };
                if let Err(irp) = self.receives.park_front(connection, irp, request) {
                    after.batch.push(irp, given_up);
                }
                return false;
            }
        }
        after.resume |= self.pump.stopped;
        false
    }

    /// A receive was cancelled, if it is the one that is out of the queue.
    pub(super) fn cancel_direct(&mut self, lent: &Lent, now: u64) {
        let Some(link) = self.link.as_deref_mut() else { return };
        let Some(placing) = link.direct.receive.as_mut().filter(|placing| placing.loan.is(lent)) else {
            return;
        };
        placing.cancelled = true;
        if placing.stage != Stage::Open {
            return;
        }
        placing.deadline = Some(now.saturating_add(ANSWER_LIMIT));
        link.engine.withdraw();
        if !link.engine.advertised() {
            link.shut_buffer();
        }
    }

    /// Gives up a peer that does not give a buffer back; otherwise, when to look again.
    pub(super) fn limit_withdrawal(&mut self, now: u64) -> Option<u64> {
        let deadline = self.link.as_ref()?.direct.receive.as_ref()?.deadline?;
        if now < deadline {
            return Some(deadline);
        }
        self.cut();
        None
    }

    /// The endpoint is closed: the region is closed, too, where the peer might still write.
    pub(super) fn end_direct(&mut self, connection: &Shared<Connection>, after: &mut After) {
        let Some(link) = self.link.as_mut().filter(|link| link.closed) else { return };
        if let Some(placing) = &mut link.direct.receive
            && matches!(placing.stage, Stage::Open | Stage::Shutting)
        {
            placing.stage = Stage::Closing;
            after.rare().close_region = link.direct.region.take();
        }
        self.waits_for_buffer(connection, after);
    }
}
