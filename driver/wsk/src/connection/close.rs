//! WskCloseSocket.
//!
//! No callback begins once it was called, and it is completed after those in progress have returned. It also waits for every
//! node of an indication that the client has kept: the client's duty is to release them first, and one that does it later,
//! in spite of that, finds the ring and its socket still there. One that never does it waits for ever.
//!
//! It aborts the connection, unless both directions are finished ("WskCloseSocket"): then it waits for the peer's goodbye, with
//! a limit, as it does for the provider (`ending`).

use super::{After, Connection, Phase, State};
use abi::status::STATUS_CANCELLED;
use core::sync::atomic::Ordering;
use irp::{Outcome, OwnedIrp};
use kernel::pool::Shared;
use stream::AbortReason;
use trace::{Event, Kind};

impl Connection {
    /// WskCloseSocket: completes everything that waits with CANCELLED, ends the endpoint, and completes `irp` when
    /// nothing of the connection is left. Abortive unless both directions are finished.
    pub(crate) fn close(this: Shared<Self>, irp: OwnedIrp) {
        // What is called from now on does not reach the system's socket.
        this.tcp.store(core::ptr::null_mut(), Ordering::Release);
        Self::with(&this, |state, after| {
            state.close = Some(irp);
            state.begin_close(after);
        });
    }

    /// The same for a connection that no client has: nobody is told. `false`: it is being closed already.
    pub(crate) fn abandon(this: &Shared<Self>) -> bool {
        Self::with(this, |state, after| {
            let open = state.phase != Phase::Closing;
            if open {
                state.begin_close(after);
            }
            open
        })
    }

    /// The last step but the drop: no endpoint, no work, no IRP but the close, which the drop completes. Whoever still
    /// holds a reference, as an IRP does until its completion routine has returned, is ahead of it.
    pub(super) fn finish(this: &Shared<Self>) {
        let provider = this.client.provider();
        let work = this.counters.snapshot();
        let octets = work.octets_sent.saturating_add(work.octets_received);
        this.tell(Event { value: octets, ..Event::new(Kind::Closed) });
        // With its link, by which the status knows the adapter.
        let adapter = this.state.lock().link.as_ref().map(|link| link.adapter.clone());
        let enlisted = provider.depart(this.place.load(Ordering::Acquire), adapter.as_ref(), &work);
        let (link, bound, endpoints) = {
            let mut state = this.state.lock();
            (state.link.take(), state.bound.take(), core::mem::take(&mut state.endpoints))
        };
        // Unregisters the memory, and ends the circle of references between connection and endpoint.
        drop(link);
        drop(endpoints);
        if let Some(place) = bound {
            provider.unbind(place);
        }
        drop(enlisted);
    }
}

impl Drop for Connection {
    /// The close IRP is the last of the socket to be completed.
    fn drop(&mut self) {
        if let Some(irp) = self.state.get_mut().close.take() {
            irp.complete(Outcome::success(0));
        }
    }
}

impl State {
    pub(super) fn begin_close(&mut self, after: &mut After) {
        let connected = core::mem::replace(&mut self.phase, Phase::Closing) == Phase::Connected;
        self.cancel_establishing(after);
        if let Some(irp) = self.bind.take() {
            after.batch.push(irp, Outcome::CANCELLED);
        }
        after.rare().end_listen = self.listen.take();
        self.connect.drain_into(&mut after.batch, |_| Outcome::CANCELLED);
        self.fail_sends(STATUS_CANCELLED, after);
        self.receives.drain_into(&mut after.batch, |request| request.end(STATUS_CANCELLED));
        self.disconnect.drain_into(&mut after.batch, |()| Outcome::CANCELLED);
        self.unserved.drain_into(&mut after.batch, |_| Outcome::CANCELLED);
        after.rare().reject = self.incoming.take();
        if let Some(listener) = self.listener.take() {
            after.rare().listener = Some((listener, false));
        }
        if let Some(link) = &mut self.link {
            if connected && !self.silent {
                link.abort_reason = Some(AbortReason::CLOSED);
                link.say_why();
            }
            // Without a poster the endpoint is being closed already, in one way or the other.
            if let Some(poster) = link.poster.take() {
                link.engine.handle_connection_lost();
                after.rare().close = Some((poster, false));
            }
        }
        self.go_on(after);
    }
}
