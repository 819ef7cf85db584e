//! A stand-in for a socket: one lock, two queues under it, and a close request that its last reference completes.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::vec::Vec;

use abi::status::STATUS_CANCELLED;
use kernel::pool::{PoolTag, Shared};

use super::client::Client;
use crate::sync::SpinLock;
use crate::{CompletionBatch, IrpQueue, Outcome, OwnedIrp, QueueKind, RECORD_BYTES};

/// A pending receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receive {
    pub(crate) name: usize,
    pub(crate) wanted: usize,
    pub(crate) placed: usize,
    pub(crate) rest: [u32; 6],
}

const _: () = assert!(size_of::<Receive>() == RECORD_BYTES, "the tests use a record of the largest size");

pub(crate) const fn receive(name: usize, wanted: usize) -> Receive {
    let n = name as u32;
    Receive { name, wanted, placed: 0, rest: [n, n + 1, n + 2, n + 3, n + 4, n + 5] }
}

pub(crate) struct State {
    pub(crate) receives: IrpQueue<Receives>,
    pub(crate) accepts: IrpQueue<Accepts>,
    pub(crate) cancelled: Vec<usize>,
    closed: bool,
    close: Option<OwnedIrp>,
}

pub(crate) struct Socket {
    pub(crate) lock: SpinLock<State>,
    pub(crate) after_cancel: AtomicUsize,
    pub(crate) alive: Arc<AtomicUsize>,
}

pub(crate) enum Receives {}

// SAFETY: lock and queue are fields of the socket, each the only one of its kind; the state is never moved out.
unsafe impl QueueKind for Receives {
    type Owner = Socket;
    type State = State;
    type Record = Receive;

    fn lock(owner: &Socket) -> &SpinLock<State> {
        &owner.lock
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.receives
    }

    fn on_cancel(state: &mut State, record: &Receive) -> usize {
        state.cancelled.push(record.name);
        record.placed
    }

    fn after_cancel(owner: &Shared<Socket>) {
        // Takes the lock, so it would hang or be reported if it were called with the lock held.
        drop(owner.lock.lock());
        owner.after_cancel.fetch_add(1, Ordering::SeqCst);
    }
}

pub(crate) enum Accepts {}

// SAFETY: as for `Receives`.
unsafe impl QueueKind for Accepts {
    type Owner = Socket;
    type State = State;
    type Record = ();

    fn lock(owner: &Socket) -> &SpinLock<State> {
        &owner.lock
    }

    fn queue(state: &mut State) -> &mut IrpQueue<Self> {
        &mut state.accepts
    }
}

impl Socket {
    pub(crate) fn new() -> Shared<Self> {
        Self::counted(&Arc::new(AtomicUsize::new(0)))
    }

    /// `alive` counts the sockets that exist.
    pub(crate) fn counted(alive: &Arc<AtomicUsize>) -> Shared<Self> {
        alive.fetch_add(1, Ordering::SeqCst);
        let state = State {
            receives: IrpQueue::new(),
            accepts: IrpQueue::new(),
            cancelled: Vec::new(),
            closed: false,
            close: None,
        };
        let socket =
            Self { lock: SpinLock::new(state), after_cancel: AtomicUsize::new(0), alive: Arc::clone(alive) };
        Shared::try_new(PoolTag::new(b"WrTs"), socket).unwrap()
    }

    /// What `WskReceive` does when there are no data.
    pub(crate) fn receive(this: &Shared<Self>, client: &Client, record: Receive) {
        let irp = client.enter();
        CompletionBatch::collect(&this.lock, |state, batch| {
            if state.closed {
                return batch.push(irp, Outcome::CANCELLED);
            }
            if let Err(irp) = state.receives.park(this, irp, record) {
                batch.push(irp, Outcome::CANCELLED);
            }
        });
    }

    /// Data for one receive arrive. Returns whether a receive got them.
    pub(crate) fn arrive(&self, bytes: usize) -> bool {
        CompletionBatch::collect(&self.lock, |state, batch| {
            let Some((irp, record)) = state.receives.take_next() else {
                assert!(state.receives.is_empty(), "those being cancelled are out of the queue");
                return false;
            };
            batch.push(irp, Outcome::success(record.placed + bytes));
            true
        })
    }

    /// Data for a part of the oldest receive, which goes on waiting in its place. Returns whether it got them.
    pub(crate) fn arrive_in_part(this: &Shared<Self>, bytes: usize) -> bool {
        CompletionBatch::collect(&this.lock, |state, batch| {
            let Some((irp, mut record)) = state.receives.take_next() else { return false };
            record.placed += bytes;
            if let Err(irp) = state.receives.park_front(this, irp, record) {
                batch.push(irp, Outcome::partial(STATUS_CANCELLED, record.placed));
            }
            true
        })
    }

    /// What `WskCloseSocket` does: cancels what is parked, keeps the close request, and lets go of the socket.
    pub(crate) fn close(this: Shared<Self>, client: &Client) {
        let close = client.enter();
        CompletionBatch::collect(&this.lock, |state, batch| {
            state.closed = true;
            state.receives.drain_into(batch, |record| Outcome::partial(STATUS_CANCELLED, record.placed));
            state.accepts.drain_into(batch, |()| Outcome::CANCELLED);
            assert!(state.receives.is_empty(), "those being cancelled are out of the queue");
            state.close = Some(close);
        });
        drop(this);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
        let close = self.lock.lock().close.take();
        if let Some(irp) = close {
            irp.complete(Outcome::success(0));
        }
    }
}
