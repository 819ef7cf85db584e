//! WskControlSocket: options.

use abi::status::{
    STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS, STATUS_INVALID_DEVICE_STATE, STATUS_NOT_SUPPORTED,
    STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS,
};
use abi::wsk::{
    IPPROTO_TCP, SO_BROADCAST, SO_EXCLUSIVEADDRUSE, SO_KEEPALIVE, SO_RCVBUF, SO_REUSEADDR, SOL_SOCKET,
    TCP_NODELAY, WSK_EVENT_ACCEPT, WskControlMax,
};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{accept, bind, get, set};
use crate::watch::Watch;
use crate::world::{Call, Control, Input, World};

pub(super) const KEEPALIVE: Case = Case { name: "option-keepalive", section: "SO_KEEPALIVE", run: keepalive };
pub(super) const KEEPALIVE_IS_INHERITED: Case =
    Case { name: "option-keepalive-is-inherited", section: "SO_KEEPALIVE", run: keepalive_is_inherited };
pub(super) const RECEIVE_BUFFER: Case =
    Case { name: "option-receive-buffer", section: "SO_RCVBUF", run: receive_buffer };
pub(super) const RECEIVE_BUFFER_IS_INHERITED: Case = Case {
    name: "option-receive-buffer-is-inherited",
    section: "SO_RCVBUF",
    run: receive_buffer_is_inherited,
};
pub(super) const BEFORE_BIND_ONLY: Case =
    Case { name: "option-before-bind-only", section: "SO_REUSEADDR", run: before_bind_only };
pub(super) const NO_DELAY: Case = Case { name: "option-no-delay", section: "TCP_NODELAY", run: no_delay };
pub(super) const WITHOUT_AN_IRP: Case =
    Case { name: "option-without-an-irp", section: "WskControlSocket", run: without_an_irp };
pub(super) const SHORT_INPUT: Case =
    Case { name: "option-short-input", section: "WskControlSocket", run: short_input };
pub(super) const SHORT_OUTPUT: Case =
    Case { name: "option-short-output", section: "WskControlSocket", run: short_output };
pub(super) const LARGER_BUFFERS: Case =
    Case { name: "option-larger-buffers", section: "WskControlSocket", run: larger_buffers };
pub(super) const UNKNOWN: Case = Case { name: "option-unknown", section: "WskControlSocket", run: unknown };
pub(super) const OF_DATAGRAMS: Case =
    Case { name: "option-of-datagrams", section: "SO_BROADCAST", run: of_datagrams };
pub(super) const RETURNED_AND_IRP: Case =
    Case { name: "option-returned-and-irp", section: "WskControlSocket", run: returned_and_irp };
pub(super) const REUSED_ADDRESSES: Case =
    Case { name: "option-reused-addresses", section: "SO_REUSEADDR", run: reused_addresses };
pub(super) const EXCLUSIVE_ADDRESSES: Case =
    Case { name: "option-exclusive-addresses", section: "SO_EXCLUSIVEADDRUSE", run: exclusive_addresses };

const WATCH: Watch = Watch(0);

/// It is off at first, set and read in every state, by every category.
fn keepalive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    for socket in [watched.pair.listener, watched.pair.near, watched.pair.far] {
        expect(world.gets(socket, SOL_SOCKET, SO_KEEPALIVE)? == 0, "it is off at first", 0usize)?;
        world.sets(socket, SOL_SOCKET, SO_KEEPALIVE, 1)?;
        expect(world.gets(socket, SOL_SOCKET, SO_KEEPALIVE)? == 1, "it is on", 0usize)?;
        world.sets(socket, SOL_SOCKET, SO_KEEPALIVE, 0)?;
        expect(world.gets(socket, SOL_SOCKET, SO_KEEPALIVE)? == 0, "it is off again", 0usize)?;
    }
    world.close_pair(watched.pair)
}

/// Accepted sockets have the listening socket's value.
fn keepalive_is_inherited(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(WATCH)?;
    world.sets(listener, SOL_SOCKET, SO_KEEPALIVE, 1)?;
    let accepting = world.start(&accept(listener))?;
    let first = world.connects(at)?;
    let far = world.made(accepting)?;
    expect(world.gets(far, SOL_SOCKET, SO_KEEPALIVE)? == 1, "a WskAccept's socket inherits it", 0usize)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let second = world.connects(at)?;
    let brought = world.accepted(WATCH, 0)?;
    expect(
        world.gets(brought, SOL_SOCKET, SO_KEEPALIVE)? == 1,
        "a WskAcceptEvent's socket inherits it",
        0usize,
    )?;
    world.close_all(&[first, second, far, brought, listener])
}

/// It has a value, which is set and read.
fn receive_buffer(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for socket in [pair.listener, pair.near] {
        let first = world.gets(socket, SOL_SOCKET, SO_RCVBUF)?;
        expect(first != 0, "there is a receive buffer", u64::from(first))?;
        world.sets(socket, SOL_SOCKET, SO_RCVBUF, 100_000)?;
        let now = world.gets(socket, SOL_SOCKET, SO_RCVBUF)?;
        expect(now == 100_000, "it is what was set", u64::from(now))?;
    }
    world.close_pair(pair)
}

/// Accepted sockets have the listening socket's value.
fn receive_buffer_is_inherited(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    world.sets(listener, SOL_SOCKET, SO_RCVBUF, 70_000)?;
    let pair = world.pair_over(listener, at)?;
    let found = world.gets(pair.far, SOL_SOCKET, SO_RCVBUF)?;
    expect(found == 70_000, "the accepted socket inherits it", u64::from(found))?;
    world.sends(pair.near, 0, 1000)?;
    world.receives(pair.far, 0, 1000)?;
    world.close_pair(pair)
}

/// How an address is shared is said before the bind.
fn before_bind_only(world: &mut dyn World) -> Check {
    for option in [SO_REUSEADDR, SO_EXCLUSIVEADDRUSE] {
        let socket = world.connection_socket()?;
        expect(world.gets(socket, SOL_SOCKET, option)? == 0, "it is off at first", 0usize)?;
        world.sets(socket, SOL_SOCKET, option, 1)?;
        expect(world.gets(socket, SOL_SOCKET, option)? == 1, "it is on", 0usize)?;
        let any = world.any_port();
        world.succeeds(&bind(socket, any), 0)?;
        let ended = world.control(socket, set(SOL_SOCKET, option, Input::Octets(&[0; 4])))?;
        expect(ended.status == STATUS_INVALID_DEVICE_STATE, "it is too late after the bind", ended.status)?;
        expect(world.gets(socket, SOL_SOCKET, option)? == 1, "it stays as it was", 0usize)?;
        world.close_all(&[socket])?;
    }
    Ok(())
}

/// The option of the transport is set and read.
fn no_delay(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.sets(pair.near, IPPROTO_TCP, TCP_NODELAY, 1)?;
    expect(world.gets(pair.near, IPPROTO_TCP, TCP_NODELAY)? == 1, "it is on", 0usize)?;
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// Where an IRP has to be, a request without one is REQUEST_NOT_ACCEPTED, and changes nothing.
fn without_an_irp(world: &mut dyn World) -> Check {
    let socket = world.connection_socket()?;
    for option in [SO_KEEPALIVE, SO_RCVBUF, SO_REUSEADDR] {
        let control = set(SOL_SOCKET, option, Input::Octets(&[1, 0, 0, 0]));
        let returned = world.at_once(&Call::Control { on: socket.into(), control })?;
        expect(returned == STATUS_REQUEST_NOT_ACCEPTED, "an IRP is needed", returned)?;
        let control = get(SOL_SOCKET, option, 4);
        let returned = world.at_once(&Call::Control { on: socket.into(), control })?;
        expect(returned == STATUS_REQUEST_NOT_ACCEPTED, "an IRP is needed", returned)?;
    }
    expect(world.gets(socket, SOL_SOCKET, SO_KEEPALIVE)? == 0, "nothing has changed", 0usize)?;
    world.close_all(&[socket])
}

/// An input that is too short, or NULL, is refused.
fn short_input(world: &mut dyn World) -> Check {
    let socket = world.connection_socket()?;
    for input in [Input::None, Input::Null(4), Input::Octets(&[1]), Input::Octets(&[1, 0, 0])] {
        world.is_refused(&Call::Control {
            on: socket.into(),
            control: set(SOL_SOCKET, SO_KEEPALIVE, input),
        })?;
    }
    expect(world.gets(socket, SOL_SOCKET, SO_KEEPALIVE)? == 0, "nothing has changed", 0usize)?;
    world.close_all(&[socket])
}

/// An output that is too short, or NULL, is refused, and nothing is written.
fn short_output(world: &mut dyn World) -> Check {
    let socket = world.connection_socket()?;
    for size in [0, 1, 3] {
        let control = Control { returned: true, ..get(SOL_SOCKET, SO_KEEPALIVE, size) };
        let operation = world.start(&Call::Control { on: socket.into(), control })?;
        let ended = world.done(operation)?;
        expect(!abi::status::nt_success(ended.status), "there is no room", ended.status)?;
        let mut octets = [0; 4];
        let _size = world.output(operation, &mut octets);
        expect(octets == [crate::pattern::UNTOUCHED; 4], "nothing is written", 0usize)?;
    }
    world.close_all(&[socket])
}

/// Buffers may be larger than the value.
fn larger_buffers(world: &mut dyn World) -> Check {
    let socket = world.connection_socket()?;
    let control = set(SOL_SOCKET, SO_KEEPALIVE, Input::Octets(&[1, 0, 0, 0, 9, 9, 9, 9]));
    world.succeeds(&Call::Control { on: socket.into(), control }, 0)?;
    let operation =
        world.start(&Call::Control { on: socket.into(), control: get(SOL_SOCKET, SO_KEEPALIVE, 64) })?;
    let ended = world.succeeded(operation)?;
    expect(ended.information == 4, "Information is the size of the value", ended.information)?;
    world.close_all(&[socket])
}

/// Options of the transport are its own business: the IRP is completed in any case. A request of no type is refused.
fn unknown(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    for socket in [pair.listener, pair.near] {
        for (level, code) in [(SOL_SOCKET, 0x7777), (0x7777, 1)] {
            let input = Input::Octets(&[1, 0, 0, 0]);
            world.control(socket, set(level, code, input))?;
            world.control(socket, get(level, code, 4))?;
        }
        let control = Control { request: WskControlMax, ..get(SOL_SOCKET, SO_KEEPALIVE, 4) };
        world.is_refused(&Call::Control { on: socket.into(), control })?;
    }
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}

/// An option of datagram sockets is refused.
fn of_datagrams(world: &mut dyn World) -> Check {
    let socket = world.connection_socket()?;
    let control = set(SOL_SOCKET, SO_BROADCAST, Input::Octets(&[1, 0, 0, 0]));
    world.fails(
        &Call::Control { on: socket.into(), control },
        &[STATUS_NOT_SUPPORTED, abi::status::STATUS_INVALID_PARAMETER],
    )?;
    world.close_all(&[socket])
}

/// OutputSizeReturned and an IRP may both be given.
fn returned_and_irp(world: &mut dyn World) -> Check {
    let socket = world.connection_socket()?;
    let control = Control { returned: true, ..get(SOL_SOCKET, SO_KEEPALIVE, 4) };
    let operation = world.start(&Call::Control { on: socket.into(), control })?;
    let ended = world.succeeded(operation)?;
    expect(ended.information == 4, "Information has the size", ended.information)?;
    world.close_all(&[socket])
}

/// Two sockets that both say so share an address; one that does not is refused.
fn reused_addresses(world: &mut dyn World) -> Check {
    let first = world.connection_socket()?;
    world.sets(first, SOL_SOCKET, SO_REUSEADDR, 1)?;
    let any = world.any_port();
    world.succeeds(&bind(first, any), 0)?;
    let at = world.local_address(first)?;
    let second = world.connection_socket()?;
    world.sets(second, SOL_SOCKET, SO_REUSEADDR, 1)?;
    world.succeeds(&bind(second, at), 0)?;
    let third = world.connection_socket()?;
    let refused = [STATUS_ADDRESS_ALREADY_EXISTS, STATUS_ACCESS_DENIED];
    world.fails(&bind(third, at), &refused)?;
    world.close_all(&[first, second, third])
}

/// An exclusive address is nobody else's, not even of one that reuses it.
fn exclusive_addresses(world: &mut dyn World) -> Check {
    let first = world.connection_socket()?;
    world.sets(first, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1)?;
    let any = world.any_port();
    world.succeeds(&bind(first, any), 0)?;
    let at = world.local_address(first)?;
    let second = world.connection_socket()?;
    world.sets(second, SOL_SOCKET, SO_REUSEADDR, 1)?;
    world.fails(&bind(second, at), &[STATUS_ACCESS_DENIED, STATUS_ADDRESS_ALREADY_EXISTS])?;
    world.close_all(&[first])?;
    world.succeeds(&bind(second, at), 0)?;
    let ended = world.local_address(second)?;
    expect(ended == at, "the address is free after the close", Some(ended))?;
    let status =
        world.at_once(&Call::Control { on: second.into(), control: get(SOL_SOCKET, SO_KEEPALIVE, 4) })?;
    expect(status != STATUS_SUCCESS, "an option is not read without an IRP", status)?;
    world.close_all(&[second])
}
