//! What a change asks for that cannot be done under the lock.

use super::lent::MapRequests;
use super::rings::Rings;
use super::{Connection, Link, State};
use crate::listen::{Arrivals, ListenSocket};
use crate::system::SystemSocket;
use crate::telemetry;
use abi::NTSTATUS;
use core::net::SocketAddr;
use irp::{CompletionBatch, Outcome, OwnedIrp};
use kernel::pool::{PoolBox, Shared};
use kernel::region::Region;
use ndk::{Endpoint, FastRegion, Incoming, Poster};
use trace::{Event, Kind, Reason};

/// What has to be done once the lock is dropped.
#[derive(Default)]
pub(super) struct After {
    /// IRPs whose outcome is decided.
    pub(super) batch: CompletionBatch,
    /// Clients' memory to be mapped.
    pub(super) map: MapRequests,
    /// A receive is completed, after which octets may be indicated again.
    pub(super) resume: bool,
    /// Calls of the client's callbacks are due,
    pub(super) pump: bool,
    /// and this is not a call of the client's, so they may be made here.
    pub(super) direct: bool,
    rare: Option<Rare>,
}

/// What a message that comes or goes never asks for: apart, so that it costs nothing there. In the order in which it is done.
#[derive(Default)]
pub(super) struct Rare {
    /// A WskSocket or WskSocketConnect that has succeeded.
    pub(super) made: Option<OwnedIrp>,
    /// Events to enable on the twin, which has become the connection and is in use for that; and whether it indicates
    /// octets by the callback of SIO_WSK_SET_RECEIVE_EX_CALLBACK.
    pub(super) enable: Option<(SystemSocket, u32, bool)>,
    /// A region that outlives its endpoint is to be closed.
    pub(super) close_region: Option<FastRegion>,
    /// The endpoint to close, and whether the peer is to be told.
    pub(super) close: Option<(Poster<Connection>, bool)>,
    /// The endpoint whose graceful close must not wait any longer.
    pub(super) abort: Option<Shared<Endpoint<Connection>>>,
    /// The endpoint whose provider does not end it.
    pub(super) forsake: Option<Shared<Endpoint<Connection>>>,
    /// The connection is to be looked at after so long, in units of 100 ns.
    pub(super) wake_in: Option<u64>,
    /// The twin's establishing is to be cancelled.
    pub(super) cancel: bool,
    /// Octets that the twin has taken.
    pub(super) early: Option<Region>,
    /// A WskListen whose socket is free to listen.
    pub(super) listen: Option<OwnedIrp>,
    /// The listening socket of a stream socket that is closed.
    pub(super) end_listen: Option<Shared<ListenSocket>>,
    /// The twin is to be closed.
    pub(super) close_twin: Option<SystemSocket>,
    /// Rings that the peer may not write to any more.
    pub(super) rings: Rings,
    /// What is left of a connect that failed: its memory.
    pub(super) link: Option<PoolBox<Link>>,
    /// A work item is to build an endpoint.
    pub(super) work: bool,
    /// Nothing of the connection is left: finish the close.
    pub(super) finish: bool,
    /// The listener that waits for this connection, and whether it is established.
    pub(super) listener: Option<(Shared<Arrivals>, bool)>,
    /// The way of the connection is decided, for this reason.
    pub(super) decided: Option<Reason>,
    /// A destination that RDMA has reached.
    pub(super) reached: Option<SocketAddr>,
    /// A destination that RDMA does not reach, and why.
    pub(super) miss: Option<(SocketAddr, Reason)>,
    /// The stream has ended out of order: how, and with which status.
    pub(super) lost: Option<(Kind, NTSTATUS)>,
    /// Its sends have waited so often, which is a power of two or has just passed one.
    pub(super) stalled: Option<u64>,
    /// The listener whose WskAccept on its twin has ended, and how.
    pub(super) accept_ended: Option<(Shared<Arrivals>, NTSTATUS)>,
    /// A request that was never decided: dropping it rejects it.
    pub(super) reject: Option<Incoming>,
}

impl After {
    /// What is seldom asked for.
    pub(super) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The same, if there is any.
    pub(super) fn asked(&mut self) -> Option<&mut Rare> {
        self.rare.as_mut()
    }

    /// Does everything but the mapping, which the caller does.
    pub(super) fn run(&mut self, this: &Shared<Connection>) {
        // Counted before the client hears of it.
        if let Some(rare) = &self.rare {
            rare.tell(this);
        }
        self.batch.flush();
        if let Some(rare) = &mut self.rare {
            rare.run(this);
        }
        if self.resume {
            // Not before the client has heard of the receive.
            Connection::with(this, |state, _| state.pump.stopped = false);
        }
        if self.pump {
            if self.direct { Connection::pump(this) } else { Connection::queue_pump(this) }
        }
        if self.rare.as_ref().is_some_and(|rare| rare.finish) {
            Connection::finish(this);
        }
    }
}

impl Rare {
    /// Counts and tells what has happened.
    fn tell(&self, this: &Connection) {
        if let Some(reason) = self.decided {
            this.client.provider().reasons().count(reason);
            this.tell_decision(reason);
        }
        if let Some(remote) = self.reached {
            this.client.provider().rdma_reached(remote);
        }
        if let Some((remote, reason)) = self.miss {
            this.client.provider().rdma_missed(remote);
            telemetry::tell(&Event { reason, remote: Some(remote), ..Event::new(Kind::RdmaMissed) });
        }
        if let Some((kind, status)) = self.lost {
            this.tell(Event { status, ..Event::new(kind) });
        }
        if let Some(value) = self.stalled {
            this.tell(Event { value, ..Event::new(Kind::Stalled) });
        }
    }

    fn run(&mut self, this: &Shared<Connection>) {
        if let Some(irp) = self.made.take() {
            // The client's reference: taken back by WskCloseSocket.
            irp.complete(Outcome::success(Shared::into_raw(this.clone()).addr()));
        }
        if let Some((twin, mask, receive_ex)) = self.enable.take() {
            if receive_ex {
                // SAFETY: in use.
                let _as_far_as_the_system_has_it = unsafe { this.set_twin_receive_ex(twin, true) };
            }
            Connection::enable_twin_events(twin, mask);
            Connection::with(this, State::let_go_of_twin);
        }
        drop(self.reject.take());
        if let Some((listener, established)) = self.listener.take() {
            if established {
                listener.established(this.clone());
            } else {
                listener.failed(this.inspect_id());
            }
        }
        if let Some((listener, status)) = self.accept_ended.take() {
            listener.accept_ended(status);
        }
        if let Some((poster, graceful)) = self.close.take() {
            poster.close(graceful);
        }
        if let Some(endpoint) = self.abort.take() {
            Endpoint::abort(&endpoint);
        }
        if let Some(region) = self.close_region.take() {
            region.close(this.clone());
        }
        self.run_end(this);
        if self.cancel {
            // SAFETY: the state says that the call was started, and lets none begin before this is over.
            unsafe { this.establish.cancel() };
            Connection::with(this, State::cancelled_establishing);
        }
        if let Some(twin) = self.close_twin.take() {
            // SAFETY: the state closes the twin once, and nothing else is under way.
            let close = |irp| unsafe { twin.begin_close(irp) };
            // SAFETY: prepared with the twin.
            unsafe { this.close_twin.start(this, close) };
        }
        if let Some(irp) = self.listen.take() {
            Connection::attach_listener(this, irp);
        }
        if let Some(listener) = self.end_listen.take() {
            ListenSocket::close(listener, None);
        }
        self.rings.close();
        drop(self.link.take());
        drop(self.early.take());
        if self.work {
            Connection::queue_work(this);
        }
    }
}
