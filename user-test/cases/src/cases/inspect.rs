//! SO_CONDITIONAL_ACCEPT, `WskInspectEvent`, `WskInspectComplete` and `WskAbortEvent`.

use core::net::SocketAddr;
use core::time::Duration;

use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use abi::wsk::{
    SIO_WSK_QUERY_INSPECT_ID, SO_CONDITIONAL_ACCEPT, SOL_SOCKET, WSK_EVENT_ACCEPT, WSK_FLAG_LISTEN_SOCKET,
    WskInspectAccept, WskInspectMax, WskInspectPend, WskInspectReject,
};

use crate::Case;
use crate::failure::{Check, Failure, Found, expect};
use crate::tools::{accept, close, connect, ioctl};
use crate::watch::{InspectId, Kind, Script, Watch};
use crate::world::{Call, Input, Operation, Socket, World};

pub(super) const ACCEPTED: Case =
    Case { name: "inspect-accepted", section: "WskInspectEvent", run: accepted };
pub(super) const ACCEPTED_WITH_EVENTS: Case =
    Case { name: "inspect-accepted-with-events", section: "WskInspectEvent", run: accepted_with_events };
pub(super) const REJECTED: Case =
    Case { name: "inspect-rejected", section: "WskInspectEvent", run: rejected };
pub(super) const PENDED_THEN_ACCEPTED: Case =
    Case { name: "inspect-pended-then-accepted", section: "WskInspectComplete", run: pended_then_accepted };
pub(super) const PENDED_THEN_REJECTED: Case =
    Case { name: "inspect-pended-then-rejected", section: "WskInspectComplete", run: pended_then_rejected };
pub(super) const COMPLETED_INSIDE: Case =
    Case { name: "inspect-completed-inside", section: "WskInspectComplete", run: completed_inside };
pub(super) const COMPLETED_OUT_OF_ORDER: Case = Case {
    name: "inspect-completed-out-of-order",
    section: "WskInspectComplete",
    run: completed_out_of_order,
};
pub(super) const BAD_REQUESTS: Case =
    Case { name: "inspect-bad-requests", section: "WskInspectComplete", run: bad_requests };
pub(super) const COMPLETED_TWICE: Case =
    Case { name: "inspect-completed-twice", section: "WskInspectComplete", run: completed_twice };
pub(super) const ABORTED_WHILE_PENDED: Case =
    Case { name: "inspect-aborted-while-pended", section: "WskAbortEvent", run: aborted_while_pended };
pub(super) const LISTENER_CLOSED_WHILE_PENDED: Case = Case {
    name: "inspect-listener-closed-while-pended",
    section: "WskCloseSocket",
    run: listener_closed_while_pended,
};
pub(super) const LISTENER_CLOSED_INSIDE: Case =
    Case { name: "inspect-listener-closed-inside", section: "WskCloseSocket", run: listener_closed_inside };
pub(super) const ID_OF_THE_NEW_SOCKET: Case = Case {
    name: "inspect-id-of-the-new-socket",
    section: "SIO_WSK_QUERY_INSPECT_ID",
    run: id_of_the_new_socket,
};
pub(super) const ONLY_BEFORE_BIND: Case =
    Case { name: "inspect-only-before-bind", section: "SO_CONDITIONAL_ACCEPT", run: only_before_bind };

const LISTENER: Watch = Watch(0);

/// A listening socket with conditional accept, which answers so.
fn conditional(world: &mut dyn World, action: i32) -> Check<(Socket, SocketAddr)> {
    world.set_script(LISTENER, Script { inspect: action, ..Script::WILLING });
    let listener = world.watched_socket(LISTENER, WSK_FLAG_LISTEN_SOCKET)?;
    world.sets(listener, SOL_SOCKET, SO_CONDITIONAL_ACCEPT, 1)?;
    let at = world.listen_at(listener)?;
    Ok((listener, at))
}

/// A connect that is held: the first event.
fn held(world: &mut dyn World, at: SocketAddr) -> Check<(Socket, Operation, InspectId)> {
    let near = world.bound()?;
    let connecting = world.start(&connect(near, at))?;
    match world.sees(LISTENER, 0, Kind::Inspect)?.id {
        Some(id) => Ok((near, connecting, id)),
        None => Err(Failure::new("the request has an id", Found::Nothing)),
    }
}

/// Nothing but requests was told so far.
fn only_inspections(world: &mut dyn World) -> Check {
    world.settle();
    let mut number = 0usize;
    while let Some(event) = world.event(LISTENER, number, Duration::ZERO) {
        expect(event.kind == Kind::Inspect, "nothing but requests is told", number)?;
        number = number.saturating_add(1);
    }
    Ok(())
}

fn complete(listener: Socket, id: Option<InspectId>, action: i32) -> Call<'static> {
    Call::InspectComplete { on: listener.into(), id, action }
}

/// Accept in the event: the connection is established and accepted.
fn accepted(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectAccept)?;
    let accepting = world.start(&accept(listener))?;
    let near = world.connects(at)?;
    let event = world.sees(LISTENER, 0, Kind::Inspect)?;
    expect(event.local == Some(at), "the event names the local address", event.local)?;
    let here = world.local_address(near)?;
    expect(event.remote == Some(here), "the event names the remote address", event.remote)?;
    let far = world.made(accepting)?;
    world.sends(near, 0, 10)?;
    world.receives(far, 0, 10)?;
    world.sees_no_more(LISTENER, 1)?;
    world.close_all(&[near, far, listener])
}

/// Accept in the event, then WskAcceptEvent, in this order.
fn accepted_with_events(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectAccept)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    world.sees(LISTENER, 0, Kind::Inspect)?;
    let far = world.accepted(LISTENER, 1)?;
    world.close_all(&[near, far, listener])
}

/// Reject in the event: the connect fails, and no connection is told of. A provider with two transports may ask for each.
fn rejected(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectReject)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.bound()?;
    world.is_refused(&connect(near, at))?;
    world.sees(LISTENER, 0, Kind::Inspect)?;
    only_inspections(world)?;
    world.close_all(&[near, listener])
}

/// Pend holds the request until WskInspectComplete accepts it.
fn pended_then_accepted(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let accepting = world.start(&accept(listener))?;
    let (near, connecting, id) = held(world, at)?;
    expect(!world.is_done(connecting), "a held request waits", 0usize)?;
    world.succeeds(&complete(listener, Some(id), WskInspectAccept), 0)?;
    world.succeeded(connecting)?;
    let far = world.made(accepting)?;
    world.sends(near, 0, 10)?;
    world.receives(far, 0, 10)?;
    world.close_all(&[near, far, listener])
}

/// Pend holds the request until WskInspectComplete rejects it.
fn pended_then_rejected(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let accepting = world.start(&accept(listener))?;
    let (near, connecting, id) = held(world, at)?;
    world.set_script(LISTENER, Script { inspect: WskInspectReject, ..Script::WILLING });
    world.succeeds(&complete(listener, Some(id), WskInspectReject), 0)?;
    let ended = world.done(connecting)?;
    expect(ended.status != STATUS_SUCCESS, "a rejected connect fails", ended.status)?;
    expect(!world.is_done(accepting), "no accept follows", 0usize)?;
    only_inspections(world)?;
    world.close_all(&[near, listener])
}

/// WskInspectComplete made from inside another request's event accepts the held one.
fn completed_inside(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let (first, connecting, id) = held(world, at)?;
    let inside = complete(listener, Some(id), WskInspectAccept);
    let completing = world.inside(LISTENER, Kind::Inspect, &inside)?;
    let second = world.bound()?;
    let waiting = world.start(&connect(second, at))?;
    let later = world.sees(LISTENER, 1, Kind::Inspect)?;
    expect(later.id != Some(id), "every unresolved request has an id of its own", 0usize)?;
    world.succeeded(completing)?;
    world.succeeded(connecting)?;
    world.succeeds(&complete(listener, later.id, WskInspectAccept), 0)?;
    world.succeeded(waiting)?;
    world.close_all(&[first, second, listener])
}

/// Several requests are held side by side, and completed in any order.
fn completed_out_of_order(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let mut held = [None; 3];
    for (number, slot) in held.iter_mut().enumerate() {
        let near = world.bound()?;
        let connecting = world.start(&connect(near, at))?;
        *slot = Some((near, connecting, world.sees(LISTENER, number, Kind::Inspect)?.id));
    }
    for (_, connecting, id) in held.into_iter().rev().flatten() {
        world.succeeds(&complete(listener, id, WskInspectAccept), 0)?;
        world.succeeded(connecting)?;
        let accepting = world.start(&accept(listener))?;
        let far = world.made(accepting)?;
        world.close_all(&[far])?;
    }
    for (near, _, _) in held.into_iter().flatten() {
        world.close_all(&[near])?;
    }
    world.close_all(&[listener])
}

/// No id, and actions that are neither Accept nor Reject, are refused, and the request waits on.
fn bad_requests(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let (near, connecting, id) = held(world, at)?;
    world.fails(&complete(listener, None, WskInspectAccept), &[STATUS_INVALID_PARAMETER])?;
    for action in [WskInspectPend, WskInspectMax, -1] {
        world.fails(&complete(listener, Some(id), action), &[STATUS_INVALID_PARAMETER])?;
    }
    expect(!world.is_done(connecting), "the request waits on", 0usize)?;
    world.succeeds(&complete(listener, Some(id), WskInspectAccept), 0)?;
    world.succeeded(connecting)?;
    world.close_all(&[near, listener])
}

/// A second WskInspectComplete changes nothing.
fn completed_twice(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let (near, connecting, id) = held(world, at)?;
    world.succeeds(&complete(listener, Some(id), WskInspectAccept), 0)?;
    world.succeeded(connecting)?;
    let again = world.start(&complete(listener, Some(id), WskInspectReject))?;
    let again = world.done(again)?;
    let either = matches!(again.status, STATUS_SUCCESS | STATUS_INVALID_PARAMETER);
    expect(either, "a resolved id is answered one way or the other", again.status)?;
    let accepting = world.start(&accept(listener))?;
    let far = world.made(accepting)?;
    world.close_all(&[near, far, listener])
}

/// The peer gives up while the request is held: WskAbortEvent with its id; accepting it then brings nothing.
fn aborted_while_pended(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let (near, _, id) = held(world, at)?;
    world.close_all(&[near])?;
    let event = world.sees(LISTENER, 1, Kind::Abort)?;
    expect(event.id == Some(id), "the event names the request", 0usize)?;
    let completing = world.start(&complete(listener, Some(id), WskInspectAccept))?;
    let ended = world.done(completing)?;
    let either = matches!(ended.status, STATUS_SUCCESS | STATUS_INVALID_PARAMETER);
    expect(either, "an aborted id is answered one way or the other", ended.status)?;
    world.sees_no_more(LISTENER, 2)?;
    world.close_all(&[listener])
}

/// The listening socket is closed while a request is held: the connect fails, and nothing is told.
fn listener_closed_while_pended(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let (near, connecting, _) = held(world, at)?;
    world.close_all(&[listener])?;
    let ended = world.done(connecting)?;
    expect(ended.status != STATUS_SUCCESS, "a held connect ends with the listener", ended.status)?;
    world.sees_no_more(LISTENER, 1)?;
    world.close_all(&[near])
}

/// The listening socket is closed inside WskInspectEvent.
fn listener_closed_inside(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectPend)?;
    let closing = world.inside(LISTENER, Kind::Inspect, &close(listener))?;
    let near = world.bound()?;
    let connecting = world.start(&connect(near, at))?;
    world.succeeded(closing)?;
    let ended = world.done(connecting)?;
    expect(ended.status != STATUS_SUCCESS, "a held connect ends with the listener", ended.status)?;
    world.close_all(&[near])
}

/// An accepted socket knows the id of its request; the connecting end has none.
fn id_of_the_new_socket(world: &mut dyn World) -> Check {
    let (listener, at) = conditional(world, WskInspectAccept)?;
    let accepting = world.start(&accept(listener))?;
    let near = world.connects(at)?;
    let id = world.sees(LISTENER, 0, Kind::Inspect)?.id;
    let far = world.made(accepting)?;
    let control = ioctl(SIO_WSK_QUERY_INSPECT_ID, Input::None, 16);
    let mut octets = [0; 16];
    let (status, size) = world
        .control_without_irp(&Call::Control { on: far.into(), control }, &mut octets)
        .ok_or_else(|| Failure::new("the world has room for a call", Found::Nothing))?;
    expect(status == STATUS_SUCCESS && size == 16, "the id is told, with its size", status)?;
    let (key, serial) = octets.split_at(8);
    let same =
        id.is_some_and(|id| key == id.key.to_ne_bytes() && serial.starts_with(&id.serial.to_ne_bytes()));
    expect(same, "it is the id of the request", 0usize)?;
    let status = world.at_once(&Call::Control { on: near.into(), control })?;
    expect(status == abi::status::STATUS_INVALID_DEVICE_REQUEST, "other sockets have no id", status)?;
    world.close_all(&[near, far, listener])
}

/// The option is set before the bind only, and can be read.
fn only_before_bind(world: &mut dyn World) -> Check {
    let listener = world.watched_socket(LISTENER, WSK_FLAG_LISTEN_SOCKET)?;
    expect(world.gets(listener, SOL_SOCKET, SO_CONDITIONAL_ACCEPT)? == 0, "it is off at first", 0usize)?;
    world.sets(listener, SOL_SOCKET, SO_CONDITIONAL_ACCEPT, 1)?;
    expect(world.gets(listener, SOL_SOCKET, SO_CONDITIONAL_ACCEPT)? == 1, "it is on", 0usize)?;
    world.listen_at(listener)?;
    let ended = world
        .control(listener, crate::tools::set(SOL_SOCKET, SO_CONDITIONAL_ACCEPT, Input::Octets(&[0; 4])))?;
    expect(ended.status == STATUS_INVALID_DEVICE_STATE, "it is too late after the bind", ended.status)?;
    world.close_all(&[listener])
}
