//! Control requests, and steps with watches.

use core::time::Duration;

use abi::NTSTATUS;
use abi::status::{STATUS_EVENT_PENDING, STATUS_SUCCESS};
use abi::wsk::{
    SO_WSK_EVENT_CALLBACK, SOL_SOCKET, WSK_EVENT_DISABLE, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET,
    WskGetOption, WskIoctl, WskSetOption,
};

use super::{PATIENCE, Pair, accept, bind, connect, tcp_socket};
use crate::failure::{Check, Failure, Found, expect};
use crate::pattern::UNTOUCHED;
use crate::watch::{Acceptance, Event, Kind, Script, Watch};
use crate::world::{Call, Completion, Control, Feature, Input, Operation, Socket, World};

/// Sets an option.
pub(crate) const fn set<'a>(level: u32, code: u32, input: Input<'a>) -> Control<'a> {
    Control { request: WskSetOption, code, level, input, output: 0, returned: false }
}

/// Gets an option, with room for so many octets.
pub(crate) const fn get(level: u32, code: u32, output: usize) -> Control<'static> {
    Control { request: WskGetOption, code, level, input: Input::None, output, returned: false }
}

/// An I/O control.
pub(crate) const fn ioctl<'a>(code: u32, input: Input<'a>, output: usize) -> Control<'a> {
    Control { request: WskIoctl, code, level: 0, input, output, returned: true }
}

/// A client's request.
pub(crate) const fn of_client<'a>(code: u32, input: Input<'a>, output: usize) -> Control<'a> {
    Control { request: 0, code, level: 0, input, output, returned: output != 0 }
}

/// SO_WSK_EVENT_CALLBACK.
pub(crate) const fn events(mask: u32) -> Control<'static> {
    set(SOL_SOCKET, SO_WSK_EVENT_CALLBACK, Input::Events(mask))
}

/// The same as a call.
pub(crate) fn set_events(socket: Socket, mask: u32) -> Call<'static> {
    Call::Control { on: socket.into(), control: events(mask) }
}

/// A connected pair whose accepted end is watched.
#[derive(Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) pair: Pair,
}

impl dyn World + '_ {
    /// The case goes on only in worlds that can do this.
    #[track_caller]
    pub(crate) fn needs(&self, feature: Feature, name: &'static str) -> Check {
        if self.has(feature) { Ok(()) } else { Err(Failure::new(name, Found::NotHere)) }
    }

    /// Makes a control request on a socket, with an IRP; how it ended.
    #[track_caller]
    pub(crate) fn control(&mut self, on: Socket, control: Control<'_>) -> Check<Completion> {
        let operation = self.start(&Call::Control { on: on.into(), control })?;
        self.done(operation)
    }

    /// Sets an option that the provider takes.
    #[track_caller]
    pub(crate) fn sets(&mut self, on: Socket, level: u32, code: u32, value: u32) -> Check {
        let octets = value.to_ne_bytes();
        let call = Call::Control { on: on.into(), control: set(level, code, Input::Octets(&octets)) };
        self.succeeds(&call, 0)?;
        Ok(())
    }

    /// The value of an option of four octets; nothing is written behind it.
    #[track_caller]
    pub(crate) fn gets(&mut self, on: Socket, level: u32, code: u32) -> Check<u32> {
        let control = Control { returned: true, ..get(level, code, 4) };
        let operation = self.start(&Call::Control { on: on.into(), control })?;
        let completion = self.succeeded(operation)?;
        expect(completion.information == 4, "Information is the size of the output", completion.information)?;
        let mut octets = [0; 8];
        let _size = self.output(operation, &mut octets);
        let [a, b, c, d, rest @ ..] = octets;
        expect(rest == [UNTOUCHED; 4], "nothing is written behind the output", Found::Nothing)?;
        Ok(u32::from_ne_bytes([a, b, c, d]))
    }

    /// An output of eight octets.
    #[track_caller]
    pub(crate) fn asks(&mut self, on: Socket, code: u32) -> Check<u64> {
        let call = Call::Control { on: on.into(), control: ioctl(code, Input::None, 8) };
        let operation = self.start(&call)?;
        let completion = self.succeeded(operation)?;
        expect(completion.information == 8, "Information is the size of the output", completion.information)?;
        let mut octets = [0; 8];
        let _size = self.output(operation, &mut octets);
        Ok(u64::from_ne_bytes(octets))
    }

    /// Makes a control request without an IRP; what it returned.
    #[track_caller]
    pub(crate) fn at_once(&mut self, call: &Call<'_>) -> Check<NTSTATUS> {
        match self.control_without_irp(call, &mut []) {
            Some((status, _)) => Ok(status),
            None => Err(Failure::new("the world has room for a call", Found::Nothing)),
        }
    }

    /// Enables or disables events without an IRP; what it returned.
    #[track_caller]
    pub(crate) fn events_at_once(&mut self, socket: Socket, mask: u32) -> Check<NTSTATUS> {
        self.at_once(&set_events(socket, mask))
    }

    /// Enables events.
    #[track_caller]
    pub(crate) fn enable(&mut self, socket: Socket, mask: u32) -> Check {
        let returned = self.events_at_once(socket, mask)?;
        expect(returned == STATUS_SUCCESS, "events are enabled without an IRP", returned)
    }

    /// Disables an event of which no call is in progress.
    #[track_caller]
    pub(crate) fn disable(&mut self, socket: Socket, event: u32) -> Check {
        let returned = self.events_at_once(socket, WSK_EVENT_DISABLE | event)?;
        // A callback whose effect has been seen may not have returned yet, in a world that cannot wait for that.
        let disabled = matches!(returned, STATUS_SUCCESS | STATUS_EVENT_PENDING);
        expect(disabled, "an idle event is disabled at once", returned)
    }

    /// The event of that number, which must be of this kind.
    #[track_caller]
    pub(crate) fn sees(&mut self, watch: Watch, number: usize, kind: Kind) -> Check<Event> {
        let Some(event) = self.event(watch, number, PATIENCE) else {
            return Err(Failure::new("the event comes", number));
        };
        expect(event.kind == kind, "the events come in their order", number)?;
        Ok(event)
    }

    /// There are so many events and no more, as far as the world can tell.
    #[track_caller]
    pub(crate) fn sees_no_more(&mut self, watch: Watch, count: usize) -> Check {
        self.settle();
        match self.event(watch, count, Duration::ZERO) {
            None => Ok(()),
            Some(event) => Err(Failure::new("no further event comes", event.kind as usize)),
        }
    }

    /// Octets are taken by receive events, and no more than these.
    #[track_caller]
    pub(crate) fn has_taken(&mut self, watch: Watch, octets: u64) -> Check {
        let taken = self.taken(watch, octets, PATIENCE);
        expect(taken == octets, "the receive events bring the octets once", taken)
    }

    /// A watched listening socket, bound.
    #[track_caller]
    pub(crate) fn watched_listener(&mut self, watch: Watch) -> Check<(Socket, core::net::SocketAddr)> {
        let socket = self.watched_socket(watch, WSK_FLAG_LISTEN_SOCKET)?;
        let at = self.listen_at(socket)?;
        Ok((socket, at))
    }

    /// Binds a listening socket; where it listens.
    #[track_caller]
    pub(crate) fn listen_at(&mut self, socket: Socket) -> Check<core::net::SocketAddr> {
        if let Some(port) = self.own_port() {
            let at = core::net::SocketAddr::new(self.ipv4(), port);
            self.succeeds(&bind(socket, at), 0)?;
            return Ok(at);
        }
        let any = self.any_port();
        self.succeeds(&bind(socket, any), 0)?;
        self.local_address(socket)
    }

    /// A watched socket.
    #[track_caller]
    pub(crate) fn watched_socket(&mut self, watch: Watch, flags: u32) -> Check<Socket> {
        let call = tcp_socket(abi::wsk::AF_INET, flags);
        let operation = self.start(&Call::Watched { by: watch, call: &call })?;
        self.made(operation)
    }

    /// A pair whose accepted end is watched, with these events enabled.
    #[track_caller]
    pub(crate) fn watched(&mut self, watch: Watch, mask: u32) -> Check<Watched> {
        let (listener, at) = self.listener()?;
        let near = self.bound()?;
        let accepting = self.start(&Call::Watched { by: watch, call: &accept(listener) })?;
        self.succeeds(&connect(near, at), 0)?;
        let far = self.made(accepting)?;
        if mask != 0 {
            self.enable(far, mask)?;
        }
        Ok(Watched { pair: Pair { listener, near, far } })
    }

    /// A pair whose connecting end is watched, with these events enabled.
    #[track_caller]
    pub(crate) fn watched_near(&mut self, watch: Watch, mask: u32) -> Check<Watched> {
        let (listener, at) = self.listener()?;
        let near = self.watched_socket(watch, WSK_FLAG_CONNECTION_SOCKET)?;
        let any = self.any_port();
        self.succeeds(&bind(near, any), 0)?;
        let accepting = self.start(&accept(listener))?;
        self.succeeds(&connect(near, at), 0)?;
        let far = self.made(accepting)?;
        if mask != 0 {
            self.enable(near, mask)?;
        }
        Ok(Watched { pair: Pair { listener, near, far } })
    }

    /// A new connection, established but not accepted by the caller: the connecting end.
    #[track_caller]
    pub(crate) fn connects(&mut self, at: core::net::SocketAddr) -> Check<Socket> {
        let near = self.bound()?;
        self.succeeds(&connect(near, at), 0)?;
        Ok(near)
    }

    /// The socket that an accept event brought.
    #[track_caller]
    pub(crate) fn accepted(&mut self, watch: Watch, number: usize) -> Check<Socket> {
        let event = self.sees(watch, number, Kind::Accept)?;
        match event.socket {
            Some(socket) => Ok(socket),
            None => Err(Failure::new("the event brings a socket", number)),
        }
    }

    /// Accept events hand down this watch.
    pub(crate) fn hands_down(&mut self, listener: Watch, to: Watch) {
        self.set_script(listener, Script { accept: Acceptance::Watched(to), ..Script::WILLING });
    }

    /// Makes a call from inside the next event of a kind.
    #[track_caller]
    pub(crate) fn inside(&mut self, watch: Watch, kind: Kind, call: &Call<'static>) -> Check<Operation> {
        match self.call_inside(watch, kind, call) {
            Some(operation) => Ok(operation),
            None => Err(Failure::new("the world has room for a request", Found::Nothing)),
        }
    }

    /// Makes a call whose completion routine makes another one.
    #[track_caller]
    pub(crate) fn chained(&mut self, call: &Call<'_>, then: &Call<'static>) -> Check<(Operation, Operation)> {
        match self.call_then(call, then) {
            Some(operations) => Ok(operations),
            None => Err(Failure::new("the world has room for a request", Found::Nothing)),
        }
    }
}
