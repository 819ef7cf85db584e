//! Listeners: arrivals, `WskAccept`, conditional accept.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::net::SocketAddr;

use abi::NTSTATUS;
use abi::status::{
    STATUS_CONNECTION_REFUSED, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_NOT_IMPLEMENTED,
    STATUS_SUCCESS,
};
use abi::wsk::*;

use super::memory::write_address;
use super::op::{Accept, Operation};
use super::request::Request;
use super::socket::{Category, Link, Owner, State};
use super::transport::End;
use super::world::World;

/// A connection that nobody has accepted.
pub(super) struct Arrival {
    pub(super) end: End,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) inspected: Option<WSK_INSPECT_ID>,
}

/// How far a connection request is that has to be inspected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// WskInspectEvent has not been called.
    New,
    /// It is being called.
    Calling,
    /// WskInspectComplete has to come.
    Pended,
    /// The client has or will have seen it, and it is gone: WskAbortEvent has to be called.
    Aborted,
}

/// A connection request that has to be inspected.
pub(super) struct Inspection {
    pub(super) id: WSK_INSPECT_ID,
    pub(super) connector: usize,
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) stage: Stage,
    /// What the client said while the callback was still running.
    pub(super) early: Option<WSK_INSPECT_ACTION>,
}

/// What a listener has.
#[derive(Default)]
pub(super) struct Listen {
    pub(super) accepts: VecDeque<usize>,
    pub(super) arrivals: VecDeque<Arrival>,
    pub(super) inspections: Vec<Inspection>,
    /// A connecting socket's bytes of WskConnectEx, until it is connected.
    pub(super) first: Vec<u8>,
}

impl World {
    /// A socket asks to be connected.
    pub(super) fn request_connection(
        &mut self,
        listener: usize,
        connector: usize,
        here: SocketAddr,
        to: SocketAddr,
    ) {
        let conditional =
            self.sockets.get(&listener).is_some_and(|l| l.option(SOL_SOCKET, SO_CONDITIONAL_ACCEPT) != 0);
        if !conditional {
            return self.establish(listener, connector, here, to, None);
        }
        let serial = self.next_number();
        let id = WSK_INSPECT_ID { Key: connector, SerialNumber: u32::try_from(serial).unwrap_or(0) };
        if let Some(listener) = self.sockets.get_mut(&listener) {
            listener.listen.inspections.push(Inspection {
                id,
                connector,
                local: to,
                remote: here,
                stage: Stage::New,
                early: None,
            });
        }
        self.touch(listener);
    }

    /// A connecting socket takes its request back.
    pub(super) fn withdraw_request(&mut self, connector: usize) {
        let mut touched = Vec::new();
        for (&at, socket) in &mut self.sockets {
            for inspection in &mut socket.listen.inspections {
                if inspection.connector == connector && inspection.stage != Stage::Aborted {
                    touched.push(at);
                    match inspection.stage {
                        // Nobody has seen it.
                        Stage::New => inspection.connector = 0,
                        _ => inspection.stage = Stage::Aborted,
                    }
                }
            }
            socket.listen.inspections.retain(|i| i.stage != Stage::New || i.connector != 0);
        }
        for at in touched {
            self.touch(at);
        }
    }

    /// The client's answer to an inspected request: by the callback's return, or `WskInspectComplete`.
    #[expect(non_upper_case_globals, reason = "names of wsk.h")]
    pub(super) fn inspected(&mut self, listener: usize, id: WSK_INSPECT_ID, action: WSK_INSPECT_ACTION) {
        let Some(socket) = self.sockets.get_mut(&listener) else { return };
        let inspections = &mut socket.listen.inspections;
        let Some(place) = inspections.iter().position(|inspection| inspection.id == id) else { return };
        let Some(inspection) = inspections.get_mut(place) else { return };
        match (inspection.stage, action) {
            // It was dropped while the callback ran; what the client makes of it does not matter, unless it refuses it.
            (Stage::Aborted, WskInspectReject) => {
                inspections.remove(place);
            }
            (Stage::Aborted, _) => {}
            (_, WskInspectPend) => {
                inspection.stage = Stage::Pended;
                if let Some(action) = inspection.early {
                    self.inspected(listener, id, action);
                }
            }
            (_, WskInspectAccept) => {
                let gone = inspections.remove(place);
                self.establish(listener, gone.connector, gone.remote, gone.local, Some(id));
            }
            _ => {
                let gone = inspections.remove(place);
                self.connect_ends(gone.connector, Err(STATUS_CONNECTION_REFUSED));
            }
        }
    }

    /// `WskInspectComplete`.
    ///
    /// # Errors
    /// No such request, or an action that is none. A request that was aborted meanwhile is none any more.
    pub(super) fn inspect_complete(
        &mut self,
        listener: usize,
        id: WSK_INSPECT_ID,
        action: WSK_INSPECT_ACTION,
    ) -> Result<(), NTSTATUS> {
        if action != WskInspectAccept && action != WskInspectReject {
            return Err(STATUS_INVALID_PARAMETER);
        }
        let Some(socket) = self.sockets.get_mut(&listener) else { return Err(STATUS_INVALID_PARAMETER) };
        let found = socket.listen.inspections.iter_mut().find(|inspection| inspection.id == id);
        match found {
            None => return Err(STATUS_INVALID_PARAMETER),
            // The answer overtakes the end of the callback that says that there will be one.
            Some(inspection) if inspection.stage == Stage::Calling => inspection.early = Some(action),
            Some(_) => self.inspected(listener, id, action),
        }
        Ok(())
    }

    /// `WskListen`.
    ///
    /// # Errors
    /// Not a bound stream socket.
    pub(super) fn listen(&mut self, at: usize) -> Result<(), NTSTATUS> {
        let Some(socket) = self.sockets.get(&at) else { return Err(STATUS_INVALID_DEVICE_STATE) };
        if socket.category != Category::Stream || socket.state != State::Bound {
            return Err(STATUS_INVALID_DEVICE_STATE);
        }
        if let Some(local) = socket.local {
            self.listen_outside(at, local)?;
        }
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.state = State::Listening;
        }
        self.touch(at);
        Ok(())
    }

    /// `WskAccept`.
    pub(super) fn accept(&mut self, at: usize, request: Request, accept: Accept) {
        let Some(socket) = self.sockets.get(&at) else { return };
        if socket.kind.socket_type != SOCK_STREAM {
            return self.answer(at, request, STATUS_NOT_IMPLEMENTED, 0);
        }
        if socket.state != State::Listening {
            return self.answer(at, request, STATUS_INVALID_DEVICE_STATE, 0);
        }
        let Some(number) = self.park(at, request, Operation::Accept(accept)) else { return };
        if let Some(socket) = self.sockets.get_mut(&at) {
            socket.listen.accepts.push_back(number);
        }
        self.progress(at);
    }

    /// Gives arrivals to those who wait for them.
    pub(super) fn serve_accepts(&mut self, at: usize) {
        loop {
            let Some(socket) = self.sockets.get_mut(&at) else { return };
            if socket.listen.arrivals.is_empty() {
                return;
            }
            let Some(number) = socket.listen.accepts.pop_front() else { return };
            let Some(arrival) = socket.listen.arrivals.pop_front() else { return };
            let Some(Operation::Accept(accept)) = self.waiting.get(&number).map(|waiting| &waiting.what)
            else {
                return;
            };
            let (context, dispatch) = (accept.context, accept.dispatch.cast::<c_void>());
            let (local, remote) = (accept.local, accept.remote);
            let addresses = (arrival.local, arrival.remote);
            match self.accepted(at, arrival) {
                Err(status) => self.conclude(number, status, 0),
                Ok(new) => {
                    if let Some(new) = self.sockets.get_mut(&new) {
                        new.context = context;
                        new.dispatch = dispatch;
                    }
                    let family = self.sockets.get(&at).map_or(AF_INET, |socket| socket.kind.family);
                    // SAFETY: the request's, which is not completed.
                    unsafe { write_address(local, addresses.0, family) };
                    // SAFETY: as above.
                    unsafe { write_address(remote, addresses.1, family) };
                    self.conclude(number, STATUS_SUCCESS, new);
                    self.progress(new);
                }
            }
        }
    }

    /// Makes the socket of an arrival. It has no context or table yet, and so calls nobody.
    ///
    /// # Errors
    /// No memory; the connection is broken.
    pub(super) fn accepted(&mut self, listener: usize, arrival: Arrival) -> Result<usize, NTSTATUS> {
        let Some(from) = self.sockets.get(&listener) else { return Err(STATUS_INVALID_DEVICE_STATE) };
        let owner = Owner {
            client: from.client,
            context: std::ptr::null_mut(),
            dispatch: std::ptr::null(),
            process: from.process,
            descriptor: 0,
        };
        let kind = from.kind;
        let inherited = [SO_KEEPALIVE, SO_RCVBUF].map(|option| (SOL_SOCKET, option));
        let values: Vec<_> = inherited
            .iter()
            .filter_map(|option| Some((*option, from.options.get(option)?.clone())))
            .collect();
        let new = self.create(WSK_FLAG_CONNECTION_SOCKET, kind, &owner).inspect_err(|_| {
            self.transport.close(arrival.end);
        })?;
        if let Some(socket) = self.sockets.get_mut(&new) {
            socket.state = State::Connected;
            socket.local = Some(arrival.local);
            socket.remote = Some(arrival.remote);
            socket.inspected = arrival.inspected;
            socket.options.extend(values);
            socket.link = Some(Link::new(arrival.end, self.config.ideal_send_backlog));
        }
        self.owners.insert(arrival.end, new);
        Ok(new)
    }
}
