//! WskControlSocket: I/O controls.

use abi::status::{
    STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER,
    STATUS_NOT_SUPPORTED, STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS,
};
use abi::wsk::{
    SIO_KEEPALIVE_VALS, SIO_LOOPBACK_FAST_PATH, SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, SIO_WSK_QUERY_INSPECT_ID,
    SIO_WSK_QUERY_RECEIVE_BACKLOG, SIO_WSK_REGISTER_EXTENSION, SIO_WSK_SET_RECEIVE_EX_CALLBACK,
    SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS, SIO_WSK_SET_TCP_SILENT_MODE, SO_KEEPALIVE,
    SOL_SOCKET, WSK_EVENT_RECEIVE,
};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, data, disconnect, ioctl, receive, room, send};
use crate::watch::{Kind, Script, Taking, Watch};
use crate::world::{Call, Input, World};

pub(super) const IDEAL_SEND_BACKLOG: Case = Case {
    name: "ioctl-ideal-send-backlog",
    section: "SIO_WSK_QUERY_IDEAL_SEND_BACKLOG",
    run: ideal_send_backlog,
};
pub(super) const RECEIVE_BACKLOG: Case =
    Case { name: "ioctl-receive-backlog", section: "SIO_WSK_QUERY_RECEIVE_BACKLOG", run: receive_backlog };
pub(super) const BACKLOGS_WITHOUT_AN_IRP: Case = Case {
    name: "ioctl-backlogs-without-an-irp",
    section: "SIO_WSK_QUERY_RECEIVE_BACKLOG",
    run: backlogs_without_an_irp,
};
pub(super) const INSPECT_ID_OF_OTHERS: Case = Case {
    name: "ioctl-inspect-id-of-others",
    section: "SIO_WSK_QUERY_INSPECT_ID",
    run: inspect_id_of_others,
};
pub(super) const EXTENSION: Case =
    Case { name: "ioctl-extension", section: "SIO_WSK_REGISTER_EXTENSION", run: extension };
pub(super) const SILENT_MODE: Case =
    Case { name: "ioctl-silent-mode", section: "SIO_WSK_SET_TCP_SILENT_MODE", run: silent_mode };
pub(super) const SILENT_MODE_WHILE_SENDING: Case = Case {
    name: "ioctl-silent-mode-while-sending",
    section: "SIO_WSK_SET_TCP_SILENT_MODE",
    run: silent_mode_while_sending,
};
pub(super) const RECEIVE_EX_CALLBACK: Case = Case {
    name: "ioctl-receive-ex-callback",
    section: "SIO_WSK_SET_RECEIVE_EX_CALLBACK",
    run: receive_ex_callback,
};
pub(super) const RECEIVE_EX_INSTEAD_OF_RECEIVE: Case = Case {
    name: "ioctl-receive-ex-instead-of-receive",
    section: "SIO_WSK_SET_RECEIVE_EX_CALLBACK",
    run: receive_ex_instead_of_receive,
};
pub(super) const RECEIVE_EX_RESUMED: Case = Case {
    name: "ioctl-receive-ex-resumed",
    section: "SIO_WSK_SET_RECEIVE_EX_CALLBACK",
    run: receive_ex_resumed,
};
pub(super) const OF_DATAGRAMS: Case =
    Case { name: "ioctl-of-datagrams", section: "SIO_WSK_SET_REMOTE_ADDRESS", run: of_datagrams };
pub(super) const OF_CONNECTIONS_ON_LISTENERS: Case = Case {
    name: "ioctl-of-connections-on-listeners",
    section: "WskControlSocket",
    run: of_connections_on_listeners,
};
pub(super) const KEEPALIVE_TIMES: Case =
    Case { name: "ioctl-keepalive-times", section: "SIO_KEEPALIVE_VALS", run: keepalive_times };
pub(super) const LOOPBACK_FAST_PATH: Case =
    Case { name: "ioctl-loopback-fast-path", section: "SIO_LOOPBACK_FAST_PATH", run: loopback_fast_path };
pub(super) const UNKNOWN: Case = Case { name: "ioctl-unknown", section: "WskControlSocket", run: unknown };

const WATCH: Watch = Watch(1);

/// A connected socket names octets; others are in the wrong state.
fn ideal_send_backlog(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for socket in [pair.near, pair.far] {
        let octets = world.asks(socket, SIO_WSK_QUERY_IDEAL_SEND_BACKLOG)?;
        expect(octets != 0, "some octets keep a connection busy", octets)?;
    }
    let bound = world.bound()?;
    let call =
        Call::Control { on: bound.into(), control: ioctl(SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, Input::None, 8) };
    world.fails(&call, &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[bound])?;
    world.close_pair(pair)
}

/// It counts what has arrived and nobody has received.
fn receive_backlog(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let empty = world.asks(pair.far, SIO_WSK_QUERY_RECEIVE_BACKLOG)?;
    expect(empty == 0, "nothing has arrived", empty)?;
    world.sends(pair.near, 0, 100)?;
    let first = world.start(&receive(pair.far, room(&10), abi::wsk::WSK_FLAG_WAITALL))?;
    world.received(first, 0, 10)?;
    let some = world.asks(pair.far, SIO_WSK_QUERY_RECEIVE_BACKLOG)?;
    expect(some <= 90, "no more is counted than there is", some)?;
    world.receives(pair.far, 10, 90)?;
    let none = world.asks(pair.far, SIO_WSK_QUERY_RECEIVE_BACKLOG)?;
    expect(none == 0, "all is received", none)?;
    world.close_pair(pair)
}

/// The backlogs need an IRP.
fn backlogs_without_an_irp(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for code in [SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, SIO_WSK_QUERY_RECEIVE_BACKLOG] {
        let call = Call::Control { on: pair.near.into(), control: ioctl(code, Input::None, 8) };
        let returned = world.at_once(&call)?;
        expect(returned == STATUS_REQUEST_NOT_ACCEPTED, "an IRP is needed", returned)?;
        world.is_refused(&Call::Control { on: pair.near.into(), control: ioctl(code, Input::None, 7) })?;
    }
    world.close_pair(pair)
}

/// Sockets that did not come through a conditional accept have no id.
fn inspect_id_of_others(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for socket in [pair.near, pair.far, pair.listener] {
        let call =
            Call::Control { on: socket.into(), control: ioctl(SIO_WSK_QUERY_INSPECT_ID, Input::None, 16) };
        let returned = world.at_once(&call)?;
        expect(returned == STATUS_INVALID_DEVICE_REQUEST, "there is no id", returned)?;
    }
    world.close_pair(pair)
}

/// An extension that nobody has is NOT_SUPPORTED, without an IRP and with one.
fn extension(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for socket in [pair.listener, pair.near] {
        let control = ioctl(SIO_WSK_REGISTER_EXTENSION, Input::Extension, 16);
        let returned = world.at_once(&Call::Control { on: socket.into(), control })?;
        expect(returned == STATUS_NOT_SUPPORTED, "there is no extension", returned)?;
        world.fails(&Call::Control { on: socket.into(), control }, &[STATUS_NOT_SUPPORTED])?;
    }
    world.close_pair(pair)
}

/// Afterwards sends and disconnects are in the wrong state, and only the close is left.
fn silent_mode(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let call =
        Call::Control { on: pair.near.into(), control: ioctl(SIO_WSK_SET_TCP_SILENT_MODE, Input::None, 0) };
    world.succeeds(&call, 0)?;
    world.fails(&send(pair.near, data(&10, 0)), &[STATUS_INVALID_DEVICE_STATE])?;
    world.fails(&disconnect(pair.near), &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_pair(pair)
}

/// With a send that waits it is refused, and the send goes on.
fn silent_mode_while_sending(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let sending = world.start(&send(pair.near, data(&(1 << 20), 0)))?;
    let call =
        Call::Control { on: pair.near.into(), control: ioctl(SIO_WSK_SET_TCP_SILENT_MODE, Input::None, 0) };
    world.is_refused(&call)?;
    world.receives(pair.far, 0, 1 << 20)?;
    world.succeeded(sending)?;
    let bound = world.bound()?;
    let call =
        Call::Control { on: bound.into(), control: ioctl(SIO_WSK_SET_TCP_SILENT_MODE, Input::None, 0) };
    world.fails(&call, &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[bound])?;
    world.close_pair(pair)
}

/// While it is set indications come through it, whatever WSK_EVENT_RECEIVE says; NULL ends that.
fn receive_ex_callback(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    let far = watched.pair.far;
    let with =
        |input| Call::Control { on: far.into(), control: ioctl(SIO_WSK_SET_RECEIVE_EX_CALLBACK, input, 0) };
    world.succeeds(&with(Input::ReceiveEx), 0)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.sees(WATCH, 0, Kind::ReceiveEx)?;
    world.has_taken(WATCH, 100)?;
    world.settle();
    world.succeeds(&with(Input::None), 0)?;
    world.sends(watched.pair.near, 100, 100)?;
    world.receives(far, 100, 100)?;
    world.close_pair(watched.pair)
}

/// With both enabled the new callback is called; the old one comes back with NULL.
fn receive_ex_instead_of_receive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let far = watched.pair.far;
    let with =
        |input| Call::Control { on: far.into(), control: ioctl(SIO_WSK_SET_RECEIVE_EX_CALLBACK, input, 0) };
    world.succeeds(&with(Input::ReceiveEx), 0)?;
    world.sends(watched.pair.near, 0, 10)?;
    world.sees(WATCH, 0, Kind::ReceiveEx)?;
    world.has_taken(WATCH, 10)?;
    world.settle();
    world.succeeds(&with(Input::Octets(&[0; 8])), 0)?;
    world.sends(watched.pair.near, 10, 10)?;
    world.has_taken(WATCH, 20)?;
    world.close_pair(watched.pair)
}

/// After a partial accept a WskReceiveEx of no octets brings it back.
fn receive_ex_resumed(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    let far = watched.pair.far;
    world.set_script(WATCH, Script { receive: Taking::Part(10), times: 1, ..Script::WILLING });
    world.sends(watched.pair.near, 0, 100)?;
    let control = ioctl(SIO_WSK_SET_RECEIVE_EX_CALLBACK, Input::ReceiveEx, 0);
    world.succeeds(&Call::Control { on: far.into(), control }, 0)?;
    world.sees(WATCH, 0, Kind::ReceiveEx)?;
    world.sees_no_more(WATCH, 1)?;
    world.succeeds(&Call::ReceiveEx { on: far.into(), buffer: EMPTY, flags: 0 }, 0)?;
    world.has_taken(WATCH, 100)?;
    world.close_pair(watched.pair)
}

/// I/O controls of datagram sockets are refused.
fn of_datagrams(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for code in [SIO_WSK_SET_REMOTE_ADDRESS, SIO_WSK_SET_SENDTO_ADDRESS] {
        for socket in [pair.near, pair.listener] {
            let control = ioctl(code, Input::Octets(&[0; 28]), 0);
            world.is_refused(&Call::Control { on: socket.into(), control })?;
        }
    }
    world.close_pair(pair)
}

/// A listening socket has no I/O control of a connection.
fn of_connections_on_listeners(world: &mut dyn World) -> Check {
    let (listener, _) = world.listener()?;
    for code in [SIO_WSK_QUERY_IDEAL_SEND_BACKLOG, SIO_WSK_QUERY_RECEIVE_BACKLOG, SIO_WSK_SET_TCP_SILENT_MODE]
    {
        world.is_refused(&Call::Control { on: listener.into(), control: ioctl(code, Input::None, 8) })?;
    }
    world.close_all(&[listener])
}

/// It sets SO_KEEPALIVE with its times.
fn keepalive_times(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let control = ioctl(SIO_KEEPALIVE_VALS, Input::Octets(&[1, 0, 0, 0, 0x10, 0x27, 0, 0, 0xE8, 3, 0, 0]), 0);
    world.succeeds(&Call::Control { on: pair.near.into(), control }, 0)?;
    expect(world.gets(pair.near, SOL_SOCKET, SO_KEEPALIVE)? == 1, "it is on", 0usize)?;
    let control = ioctl(SIO_KEEPALIVE_VALS, Input::Octets(&[1, 0, 0]), 0);
    world.is_refused(&Call::Control { on: pair.near.into(), control })?;
    world.close_pair(pair)
}

/// It is taken before the connect, and too late after it.
fn loopback_fast_path(world: &mut dyn World) -> Check {
    let socket = world.bound()?;
    let control = ioctl(SIO_LOOPBACK_FAST_PATH, Input::Octets(&[1, 0, 0, 0]), 0);
    world.succeeds(&Call::Control { on: socket.into(), control }, 0)?;
    world.close_all(&[socket])?;
    let pair = world.pair()?;
    world.is_refused(&Call::Control { on: pair.near.into(), control })?;
    world.close_pair(pair)
}

/// What nobody knows is refused, with an IRP and without one.
fn unknown(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for socket in [pair.near, pair.listener] {
        let control = ioctl(0x9800_7777, Input::Octets(&[0; 16]), 16);
        world.is_refused(&Call::Control { on: socket.into(), control })?;
        let returned = world.at_once(&Call::Control { on: socket.into(), control })?;
        let either = returned != STATUS_SUCCESS && returned != STATUS_INVALID_PARAMETER || returned < 0;
        expect(either, "it is refused at once", returned)?;
    }
    world.close_pair(pair)
}
