//! WskCloseSocket, and the end that comes from below.

use super::{LISTENERS, ListenSocket, Phase, State};
use crate::connection::Connection;
use abi::status::STATUS_FILE_FORCED_CLOSED;
use core::mem::take;
use core::sync::atomic::Ordering;
use heapless::Vec;
use irp::{CompletionBatch, Outcome, OwnedIrp};
use kernel::pool::Shared;
use ndk::{Adapter, Listener};

impl ListenSocket {
    /// WskCloseSocket: connections that nobody has accepted are aborted and requests refused, telling nobody; accepted
    /// sockets live on. The last reference completes `irp`, if there is one, after the callbacks in progress and the pending requests.
    pub(crate) fn close(this: Shared<Self>, irp: Option<OwnedIrp>) {
        Self::end(&this, |state| {
            state.phase = Phase::Closed;
            state.notice = false;
            state.close = irp;
            Outcome::CANCELLED
        });
        Self::forget(&this);
    }

    /// Takes the socket out of the table of sockets.
    pub(super) fn forget(this: &Shared<Self>) {
        let enlisted = this.client.provider().delist(this.place.load(Ordering::Acquire));
        drop(enlisted);
    }

    /// An adapter is to go: the socket goes on with what else it listens on. Requests that wait there end by themselves
    /// ([`Incoming::is_waiting`](ndk::Incoming::is_waiting)). IRQL: PASSIVE_LEVEL.
    pub(crate) fn adapter_gone(this: &Shared<Self>, adapter: &Shared<Adapter>) {
        let mut gone = Vec::<_, LISTENERS>::new();
        let left = {
            let mut state = this.state.lock();
            let of_it = |listener: &Listener<_>| Shared::ptr_eq(listener.adapter(), adapter);
            while let Some(place) = state.listeners.iter().position(of_it) {
                let _ = gone.push(state.listeners.swap_remove(place));
            }
            !state.listeners.is_empty() || state.tcp.is_there()
        };
        let lost = !gone.is_empty();
        drop(gone);
        if lost && !left {
            Self::no_longer_functional(this);
        }
    }

    /// What the socket listens on is gone, for good. Its pending requests and all later ones but the close end with
    /// FILE_FORCED_CLOSED, and a client that has a callback for it enabled is told, once. IRQL <= DISPATCH_LEVEL.
    pub(crate) fn no_longer_functional(this: &Shared<Self>) {
        let ended = Self::end(this, |state| {
            state.notice |= state.phase == Phase::Listening;
            if state.phase != Phase::Closed {
                state.phase = Phase::Dead;
            }
            Outcome::failure(STATUS_FILE_FORCED_CLOSED)
        });
        if ended {
            Self::kick(this);
        }
    }

    /// Ends everything but the calls in progress. Whether the client is to be told.
    fn end(this: &Shared<Self>, enter: impl FnOnce(&mut State) -> Outcome) -> bool {
        let mut batch = CompletionBatch::new();
        let (listeners, arrivals, ready, bound, timer, notice) = {
            let mut state = this.state.lock();
            let outcome = enter(&mut state);
            state.accepts.drain_into(&mut batch, |_| outcome);
            if let Some(bind) = state.bind.take() {
                batch.push(bind, outcome);
            }
            (
                take(&mut state.listeners),
                state.arrivals.take(),
                take(&mut state.ready),
                state.bound.take(),
                state.timer.is_some(),
                state.notice,
            )
        };
        batch.flush();
        drop(listeners);
        if let Some(arrivals) = arrivals {
            arrivals.cut();
        }
        if let Some(place) = bound {
            this.client.provider().unbind(place);
        }
        Self::end_twin(this);
        Self::drop_requests(this);
        for connection in &ready {
            Connection::abandon(connection);
        }
        if timer {
            Self::queue_work(this);
        }
        notice
    }
}

impl Drop for ListenSocket {
    /// The close IRP is the last of the socket to be completed.
    fn drop(&mut self) {
        if let Some(irp) = self.state.get_mut().close.take() {
            irp.complete(Outcome::success(0));
        }
    }
}
