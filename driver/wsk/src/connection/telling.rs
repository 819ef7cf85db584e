//! What a connection tells of itself: events, and its row of the status.

use super::{Connection, Phase};
use crate::telemetry;
use crate::view::SocketView;
use trace::{Event, Kind, Reason};

impl Connection {
    /// Tells of an event of this connection.
    pub(super) fn tell(&self, event: Event) {
        let (local, remote) = self.addresses();
        telemetry::tell(&Event { local, remote, ..event });
    }

    /// Tells which way the connection has gone, if it has gone one.
    pub(super) fn tell_decision(&self, reason: Reason) {
        let connected = self.state.lock().phase == Phase::Connected;
        let kind = match (connected, reason) {
            (false, _) => Kind::ConnectFailed,
            (true, Reason::Rdma) => Kind::Connected,
            (true, _) => Kind::FellBack,
        };
        self.tell(Event { reason, ..Event::new(kind) });
    }

    /// For the status reply.
    pub(crate) fn view(&self) -> SocketView {
        let over_tcp = self.tcp().is_some();
        let state = self.state.lock();
        let connected = state.phase == Phase::Connected;
        let link = state.link.as_ref().filter(|_| !over_tcp);
        SocketView {
            rdma: connected.then_some(!over_tcp),
            reason: state.reason,
            local: state.local,
            remote: state.remote,
            work: self.counters.snapshot(),
            interface: link.map(|link| self.client.provider().adapters().identity(&link.adapter).index),
            failure: link.and_then(|link| link.failure_so_far()),
            waiting: (state.sends.len(), state.receives.len()),
            unsent: link.map_or(0, |l| l.engine.queued_offset().saturating_sub(l.engine.posted_offset())),
            unread: link.map_or(0, |link| link.unread()),
            ..SocketView::without_stream(self.category(), state.phase as u32)
        }
    }
}
