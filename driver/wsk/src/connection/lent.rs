//! Memory that a client has lent to the adapter: the octets of a send that are read in place, the buffer of a receive that
//! the peer writes to.
//!
//! An IRP whose memory is lent is completed when the adapter is done with it, cancelled or not: cancelling only sees to it
//! that this is soon.

use super::{After, Connection, State};
use crate::TAG_SOCKET;
use abi::NTSTATUS;
use abi::nt::MDL;
use core::ptr::NonNull;
use heapless::Vec;
use irp::{Armed, HardwareSide, Outcome, OwnedIrp, Posted, PostedRequest};
use kernel::pool::Shared;
use kernel::time;
use ndk::{Adapter, Mapping};

/// IRPs of a connection whose memory is lent, and some whose cancel routine has not returned.
const OBJECTS: usize = 12;

/// What a cancel finds in an IRP whose memory is lent.
pub(super) struct Lent {
    connection: *const Connection,
}

// SAFETY: a socket may be used from any thread.
unsafe impl Send for Lent {}
// SAFETY: as above.
unsafe impl Sync for Lent {}

impl PostedRequest for Lent {
    fn abort(&self) {
        // SAFETY: called while the IRP is armed, whose keeper is the connection.
        let connection = unsafe { Shared::clone_from_raw(self.connection) };
        let now = time::interrupt_time_100ns();
        // Nothing is found of one that the adapter is done with: its routine has come too late.
        Connection::look(&connection, now, |state, after| {
            state.cancel_in_place(self, after);
            state.cancel_direct(self, now);
        });
    }
}

/// The adapter's claim on an IRP.
pub(super) struct Loan(HardwareSide<Lent>);

impl Loan {
    pub(super) fn is(&self, lent: &Lent) -> bool {
        core::ptr::eq(self.0.posted().request(), lent)
    }

    /// The adapter has nothing to do with the memory any more. The IRP, unless it was cancelled: then it ends with `outcome`.
    pub(super) fn give_back(self, outcome: Outcome) -> Option<OwnedIrp> {
        self.0.done(outcome).map(|(irp, _)| irp)
    }

    /// The same for one that ends in any case.
    pub(super) fn end(self, outcome: Outcome, after: &mut After) {
        if let Some(irp) = self.give_back(outcome) {
            after.batch.push(irp, outcome);
        }
    }
}

/// Request objects, used again and again.
pub(super) struct Loans(Vec<Shared<Posted<Lent>>, OBJECTS>);

/// What became of an IRP whose memory was to be lent.
pub(super) enum Lending {
    /// It is.
    Lent(Loan),
    /// It has ended instead, or will.
    Ended,
    /// There is no memory for that.
    Not(OwnedIrp),
}

impl Loans {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Makes an IRP one whose memory is lent.
    pub(super) fn lend(
        &mut self,
        connection: &Shared<Connection>,
        irp: OwnedIrp,
        after: &mut After,
    ) -> Lending {
        let mut irp = irp;
        for at in 0..OBJECTS {
            if at == self.0.len() {
                let lent = Lent { connection: Shared::as_ptr(connection) };
                let Ok(object) = Shared::try_new(TAG_SOCKET, Posted::new(lent)) else { break };
                // There is room: `at` is less than the capacity.
                drop(self.0.push(object));
            }
            let Some(object) = self.0.get(at) else { break };
            match Posted::arm(object, irp) {
                Armed::Post(side) => return Lending::Lent(Loan(side)),
                Armed::Cancelled(irp) => {
                    after.batch.push(irp, Outcome::CANCELLED);
                    return Lending::Ended;
                }
                Armed::LeftToCancel => return Lending::Ended,
                Armed::Busy(back) => irp = back,
            }
        }
        Lending::Not(irp)
    }
}

/// Who wants a mapping. Each has one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Borrower {
    /// The send that is being taken in.
    Send,
    /// The receive whose buffer is to be advertised.
    Receive,
}

/// A mapping to be built, which is done without the lock.
pub(super) struct MapRequest {
    pub(super) borrower: Borrower,
    pub(super) adapter: Shared<Adapter>,
    /// The first octets of this MDL.
    pub(super) mdl: NonNull<MDL>,
    pub(super) len: usize,
}

/// The requests that come of one change.
pub(super) type MapRequests = Vec<MapRequest, 2>;

/// What has become of a [`MapRequest`]. Inside the call the answer is only kept: a chain of many parts must not be taken in
/// by as many calls inside each other.
enum Answer {
    /// The call has not returned.
    Calling,
    /// Nor has it when this came.
    Here(Result<Mapping, NTSTATUS>),
    /// The call has returned, or there is none.
    Later,
}

/// The answers for both borrowers.
pub(super) struct Answers([Answer; 2]);

impl Answers {
    pub(super) const fn new() -> Self {
        Self([Answer::Later, Answer::Later])
    }

    fn of(&mut self, borrower: Borrower) -> &mut Answer {
        let [send, receive] = &mut self.0;
        match borrower {
            Borrower::Send => send,
            Borrower::Receive => receive,
        }
    }

    /// A request is about to be made.
    pub(super) fn expect(&mut self, borrower: Borrower) {
        *self.of(borrower) = Answer::Calling;
    }
}

impl Connection {
    /// Builds the mappings that are asked for, and those that are asked for after them. No lock is held. IRQL <=
    /// DISPATCH_LEVEL.
    pub(super) fn map(this: &Shared<Self>, mut requests: MapRequests) {
        while let Some(MapRequest { borrower, adapter, mdl, len }) = requests.pop() {
            let told = this.clone();
            // SAFETY: the chain of an IRP that is completed only when the mapping is dropped; until the answer nobody looks at
            // the chain.
            unsafe {
                Mapping::build(&adapter, mdl, len, move |mapped| Self::mapped(&told, borrower, mapped))
            };
            let answer = {
                let mut state = this.state.lock();
                let answer = state.link.as_mut().map(|link| link.answers.of(borrower));
                answer.map(|answer| core::mem::replace(answer, Answer::Later))
            };
            if let Some(Answer::Here(mapped)) = answer {
                for request in Self::take_mapping(this, borrower, mapped) {
                    // One for each borrower at a time, so there is room.
                    drop(requests.push(request));
                }
            }
        }
    }

    /// The answer of the adapter.
    fn mapped(this: &Shared<Self>, borrower: Borrower, mapped: Result<Mapping, NTSTATUS>) {
        {
            let mut state = this.state.lock();
            if let Some(answer) = state.link.as_mut().map(|link| link.answers.of(borrower))
                && matches!(answer, Answer::Calling)
            {
                *answer = Answer::Here(mapped);
                return;
            }
        }
        let requests = Self::take_mapping(this, borrower, mapped);
        Self::map(this, requests);
    }

    fn take_mapping(
        this: &Shared<Self>,
        borrower: Borrower,
        mapped: Result<Mapping, NTSTATUS>,
    ) -> MapRequests {
        let mut after = After::default();
        Self::change(this, &mut after, |state, after| {
            match borrower {
                Borrower::Send => state.part_mapped(mapped),
                Borrower::Receive => state.buffer_mapped(mapped),
            }
            state.end_loans(this, after);
        });
        after.map
    }
}

impl State {
    /// Ends what is lent, as far as the adapter is done with it after the end of the stream; and what waits for that.
    pub(super) fn end_loans(&mut self, connection: &Shared<Connection>, after: &mut After) {
        self.end_in_place(after);
        self.end_direct(connection, after);
        self.go_on(after);
    }
}
