//! The end of sockets: `WskCloseSocket`, and those that the client never had.

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_FILE_FORCED_CLOSED, STATUS_SUCCESS};

use super::request::{Done, Request, Waiting};
use super::socket::Closing;
use super::world::World;

impl World {
    /// `WskCloseSocket`.
    pub(super) fn close(&mut self, at: usize, request: Request) {
        self.end_with(at, Some((request, STATUS_SUCCESS)));
    }

    /// Ends a socket that the client does not have; `request` failed to make it.
    pub(super) fn abandon_with(&mut self, at: usize, request: Request, status: NTSTATUS) {
        self.end_with(at, Some((request, status)));
    }

    /// As [`abandon_with`](Self::abandon_with), for a request that is cancelled.
    pub(super) fn abandon(&mut self, at: usize, request: Request) {
        self.abandon_with(at, request, STATUS_CANCELLED);
    }

    /// Begins the end of a socket: no new callback, everything that waits is cancelled, the connection is broken unless it is
    /// over in both directions.
    pub(super) fn end_with(&mut self, at: usize, request: Option<(Request, NTSTATUS)>) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        socket.closing = Some(Closing { request });
        self.fail_all(at, STATUS_CANCELLED);
        self.leave(at);
        self.touch(at);
    }

    /// Concludes everything that waits on a socket.
    fn fail_all(&mut self, at: usize, status: NTSTATUS) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        socket.listen.accepts.clear();
        socket.datagrams.receives.clear();
        socket.connect = None;
        if let Some(link) = &mut socket.link {
            link.sends.clear();
            link.receives.clear();
        }
        for disable in std::mem::take(&mut socket.events.disables) {
            if let Some(request) = disable.request {
                self.answer(at, request, STATUS_SUCCESS, 0);
            }
        }
        // In the order of their calls. What was decided already is left to who completes it.
        let waits = |waiting: &Waiting| waiting.socket == at && !waiting.has_ended();
        let mut numbers: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| waits(waiting))
            .map(|(&number, waiting)| (number, waiting.placed()))
            .collect();
        numbers.sort_unstable();
        for (number, placed) in numbers {
            self.conclude(number, status, placed);
        }
    }

    /// Takes a socket out of the network.
    fn leave(&mut self, at: usize) {
        self.withdraw_request(at);
        self.leave_outside(at);
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        socket.owns_port = false;
        let arrivals: Vec<_> = socket.listen.arrivals.drain(..).collect();
        let connectors: Vec<usize> =
            socket.listen.inspections.drain(..).map(|inspection| inspection.connector).collect();
        if let Some(link) = &socket.link {
            self.owners.remove(&link.end);
            self.transport.close(link.end);
        }
        for arrival in arrivals {
            self.transport.close(arrival.end);
        }
        for connector in connectors {
            self.connect_ends(connector, Err(abi::status::STATUS_CONNECTION_REFUSED));
        }
    }

    /// Frees a socket that has nothing left, and gives the request that ends it.
    pub(super) fn end(&mut self, at: usize) -> Option<Done> {
        let socket = self.sockets.get(&at)?;
        let busy = socket.calling || socket.draining || socket.parked != 0 || socket.holds != 0;
        if socket.closing.is_none() || busy || !socket.done.is_empty() {
            return None;
        }
        let mut socket = self.sockets.remove(&at)?;
        if let Some(client) = self.clients.get_mut(&socket.client) {
            client.sockets -= 1;
        }
        super::world::CHANGED.notify_all();
        for (_, node) in std::mem::take(&mut socket.nodes) {
            node.free();
        }
        let closing = socket.closing.take();
        Self::free_socket(socket);
        let (request, status) = closing?.request?;
        Some(Done { request, status, information: 0 })
    }

    /// Makes a socket no longer functional.
    pub(super) fn kill(&mut self, at: usize) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        if socket.dead || socket.closing.is_some() {
            return;
        }
        socket.dead = true;
        socket.death_untold = true;
        self.fail_all(at, STATUS_FILE_FORCED_CLOSED);
        self.leave(at);
        self.touch(at);
    }
}
