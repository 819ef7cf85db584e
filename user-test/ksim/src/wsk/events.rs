//! Which callbacks a socket makes: enabled, fixed for the client's every socket, in progress.

use abi::NTSTATUS;
use abi::status::{
    STATUS_EVENT_PENDING, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS,
};
use abi::wsk::*;

use super::request::Request;
use super::socket::{Category, Socket, State};
use super::world::World;

/// Events of a connection, which a listener's sockets inherit.
pub(super) const OF_CONNECTIONS: u32 = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT | WSK_EVENT_SEND_BACKLOG;

/// A request to disable an event whose callback runs.
pub(super) struct Disable {
    bit: u32,
    pub(super) request: Option<Request>,
}

/// A socket's events.
#[derive(Default)]
pub(super) struct Events {
    /// By SO_WSK_EVENT_CALLBACK.
    pub(super) enabled: u32,
    /// By WSK_SET_STATIC_EVENT_CALLBACKS; they cannot be disabled.
    pub(super) fixed: u32,
    /// Whose callback runs.
    pub(super) calling: u32,
    pub(super) disables: Vec<Disable>,
    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK.
    pub(super) receive_ex: Option<PFN_WSK_RECEIVE_EX_EVENT>,
}

/// What becomes of SO_WSK_EVENT_CALLBACK.
pub(super) enum Change {
    Done(NTSTATUS),
    /// The callback of this event has to return first.
    Waits(u32),
}

impl Socket {
    /// Whether an event is on in the socket's state.
    pub(super) fn wants(&self, bit: u32) -> bool {
        let here = match self.state {
            State::Listening => WSK_EVENT_ACCEPT,
            State::Connected => OF_CONNECTIONS,
            State::Bound if self.category == Category::Datagram => WSK_EVENT_RECEIVE_FROM,
            _ => 0,
        };
        (self.events.enabled | self.events.fixed) & here & bit != 0
    }

    /// Whether there may be something to call the client for.
    pub(super) fn may_call(&self) -> bool {
        self.events.enabled | self.events.fixed != 0
            || self.events.receive_ex.is_some()
            || !self.listen.inspections.is_empty()
            || self.dead
    }

    /// Events that can be enabled in the socket's state.
    ///
    /// # Errors
    /// It is too early for any.
    fn valid_events(&self) -> Result<u32, NTSTATUS> {
        match (self.category, self.state) {
            (Category::Basic, _) => Err(STATUS_INVALID_PARAMETER),
            (_, State::Listening) => Ok(WSK_EVENT_ACCEPT | OF_CONNECTIONS),
            (_, State::Connected) => Ok(OF_CONNECTIONS),
            (Category::Datagram, State::Bound) => Ok(WSK_EVENT_RECEIVE_FROM),
            _ => Err(STATUS_INVALID_DEVICE_STATE),
        }
    }
}

impl World {
    /// SO_WSK_EVENT_CALLBACK.
    pub(super) fn change_events(&mut self, at: usize, mask: u32) -> Change {
        let Some(socket) = self.sockets.get_mut(&at) else { return Change::Done(STATUS_INVALID_PARAMETER) };
        let valid = match socket.valid_events() {
            Ok(valid) => valid,
            Err(status) => return Change::Done(status),
        };
        let bits = mask & !WSK_EVENT_DISABLE;
        if bits == 0 || bits & !valid != 0 {
            return Change::Done(STATUS_INVALID_PARAMETER);
        }
        if mask & WSK_EVENT_DISABLE == 0 {
            socket.events.enabled |= bits;
            self.touch(at);
            return Change::Done(STATUS_SUCCESS);
        }
        // A listener's sockets inherit for good, and what is fixed stays.
        let lasting = socket.events.fixed | if socket.state == State::Listening { OF_CONNECTIONS } else { 0 };
        if !bits.is_power_of_two() || bits & lasting != 0 {
            return Change::Done(STATUS_INVALID_PARAMETER);
        }
        socket.events.enabled &= !bits;
        if socket.events.calling & bits == 0 { Change::Done(STATUS_SUCCESS) } else { Change::Waits(bits) }
    }

    /// Answers SO_WSK_EVENT_CALLBACK; returns what the call without IRP returns.
    pub(super) fn set_events(&mut self, at: usize, mask: u32, request: Option<Request>) -> NTSTATUS {
        match (self.change_events(at, mask), request) {
            (Change::Done(status), Some(request)) => {
                self.answer(at, request, status, 0);
                status
            }
            (Change::Done(status), None) => status,
            (Change::Waits(bit), request) => {
                if let Some(socket) = self.sockets.get_mut(&at) {
                    socket.events.disables.push(Disable { bit, request });
                }
                STATUS_EVENT_PENDING
            }
        }
    }

    /// A callback has returned.
    pub(super) fn event_returned(&mut self, at: usize, bit: u32) {
        let Some(socket) = self.sockets.get_mut(&at) else { return };
        socket.events.calling &= !bit;
        let disables = std::mem::take(&mut socket.events.disables);
        let (over, rest) = disables.into_iter().partition(|disable: &Disable| disable.bit & bit != 0);
        socket.events.disables = rest;
        for disable in over {
            if let Some(request) = disable.request {
                self.answer(at, request, STATUS_SUCCESS, 0);
            }
        }
    }
}
