//! SO_WSK_EVENT_CALLBACK: enabling and disabling.

use abi::status::{STATUS_EVENT_PENDING, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};
use abi::wsk::{
    SO_WSK_EVENT_CALLBACK, SOL_SOCKET, WSK_EVENT_ACCEPT, WSK_EVENT_DISABLE, WSK_EVENT_DISCONNECT,
    WSK_EVENT_RECEIVE, WSK_EVENT_RECEIVE_FROM, WSK_EVENT_SEND_BACKLOG,
};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{accept, connect, data, disconnect, receive, room, send, set, set_events};
use crate::watch::{Kind, Script, Watch};
use crate::world::{Call, Input, World};

pub(super) const ACCUMULATE: Case =
    Case { name: "events-accumulate", section: "SO_WSK_EVENT_CALLBACK", run: accumulate };
pub(super) const BEFORE_CONNECT: Case =
    Case { name: "events-before-connect", section: "SO_WSK_EVENT_CALLBACK", run: before_connect };
pub(super) const OF_OTHER_CATEGORIES: Case =
    Case { name: "events-of-other-categories", section: "SO_WSK_EVENT_CALLBACK", run: of_other_categories };
pub(super) const ONE_TO_DISABLE: Case =
    Case { name: "events-one-to-disable", section: "SO_WSK_EVENT_CALLBACK", run: one_to_disable };
pub(super) const OF_ANOTHER_INTERFACE: Case =
    Case { name: "events-of-another-interface", section: "SO_WSK_EVENT_CALLBACK", run: of_another_interface };
pub(super) const SHORT_INPUT: Case =
    Case { name: "events-short-input", section: "SO_WSK_EVENT_CALLBACK", run: short_input };
pub(super) const DISABLED_INSIDE_AT_ONCE: Case = Case {
    name: "events-disabled-inside-at-once",
    section: "SO_WSK_EVENT_CALLBACK",
    run: disabled_inside_at_once,
};
pub(super) const DISABLED_WHILE_RUNNING: Case = Case {
    name: "events-disabled-while-running",
    section: "SO_WSK_EVENT_CALLBACK",
    run: disabled_while_running,
};
pub(super) const DISABLED_INSIDE_WITH_AN_IRP: Case = Case {
    name: "events-disabled-inside-with-an-irp",
    section: "SO_WSK_EVENT_CALLBACK",
    run: disabled_inside_with_an_irp,
};
pub(super) const OF_ANOTHER_EVENT_WHILE_RUNNING: Case = Case {
    name: "events-of-another-event-while-running",
    section: "SO_WSK_EVENT_CALLBACK",
    run: of_another_event_while_running,
};
pub(super) const IN_A_CONNECTS_COMPLETION: Case = Case {
    name: "events-in-a-connects-completion",
    section: "SO_WSK_EVENT_CALLBACK",
    run: in_a_connects_completion,
};
pub(super) const EARLY_DATA_ARE_KEPT: Case =
    Case { name: "events-early-data-are-kept", section: "SO_WSK_EVENT_CALLBACK", run: early_data_are_kept };
pub(super) const HANDED_DOWN: Case =
    Case { name: "events-handed-down", section: "WskAcceptEvent", run: handed_down };
pub(super) const NOT_HANDED_DOWN_TO_ACCEPTS: Case =
    Case { name: "events-not-handed-down-to-accepts", section: "WskAccept", run: not_handed_down_to_accepts };
pub(super) const HANDED_DOWN_FOR_GOOD: Case =
    Case { name: "events-handed-down-for-good", section: "SO_WSK_EVENT_CALLBACK", run: handed_down_for_good };
pub(super) const ON_WITHOUT_CALLBACKS: Case =
    Case { name: "events-on-without-callbacks", section: "SO_WSK_EVENT_CALLBACK", run: on_without_callbacks };

const LISTENER: Watch = Watch(0);
const CONNECTION: Watch = Watch(1);

/// Bits add up: a second request enables more.
fn accumulate(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, WSK_EVENT_RECEIVE)?;
    let far = watched.pair.far;
    world.enable(far, WSK_EVENT_DISCONNECT)?;
    world.sends(watched.pair.near, 0, 10)?;
    world.has_taken(CONNECTION, 10)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.sees(CONNECTION, 1, Kind::Disconnect)?;
    world.close_pair(watched.pair)
}

/// A connection socket enables events after its connect only.
fn before_connect(world: &mut dyn World) -> Check {
    let socket = world.watched_socket(CONNECTION, abi::wsk::WSK_FLAG_CONNECTION_SOCKET)?;
    world.fails(&set_events(socket, WSK_EVENT_RECEIVE), &[STATUS_INVALID_DEVICE_STATE])?;
    let any = world.any_port();
    world.succeeds(&crate::tools::bind(socket, any), 0)?;
    world.fails(&set_events(socket, WSK_EVENT_RECEIVE), &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[socket])
}

/// Bits that a socket of the category has not are refused, and change nothing.
fn of_other_categories(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    for mask in [WSK_EVENT_ACCEPT, WSK_EVENT_RECEIVE_FROM, WSK_EVENT_RECEIVE | WSK_EVENT_ACCEPT, 1, 0] {
        world.is_refused(&set_events(watched.pair.far, mask))?;
    }
    world.is_refused(&set_events(watched.pair.listener, WSK_EVENT_RECEIVE_FROM))?;
    world.sends(watched.pair.near, 0, 10)?;
    world.receives(watched.pair.far, 0, 10)?;
    world.sees_no_more(CONNECTION, 0)?;
    world.close_pair(watched.pair)
}

/// Exactly one event is disabled by a request.
fn one_to_disable(world: &mut dyn World) -> Check {
    let both = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT;
    let watched = world.watched(CONNECTION, both)?;
    world.is_refused(&set_events(watched.pair.far, WSK_EVENT_DISABLE | both))?;
    world.is_refused(&set_events(watched.pair.far, WSK_EVENT_DISABLE))?;
    world.sends(watched.pair.near, 0, 10)?;
    world.has_taken(CONNECTION, 10)?;
    world.close_pair(watched.pair)
}

/// Events of a programming interface that is not there are refused; so are those of none.
fn of_another_interface(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    for input in [Input::ForeignEvents(WSK_EVENT_RECEIVE), Input::NamelessEvents(WSK_EVENT_RECEIVE)] {
        let control = set(SOL_SOCKET, SO_WSK_EVENT_CALLBACK, input);
        world.is_refused(&Call::Control { on: watched.pair.far.into(), control })?;
    }
    world.close_pair(watched.pair)
}

/// An input that is shorter than the structure, or none, is refused.
fn short_input(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    for input in [Input::None, Input::Octets(&[0; 15]), Input::Octets(&[]), Input::Null(16)] {
        let control = set(SOL_SOCKET, SO_WSK_EVENT_CALLBACK, input);
        world.is_refused(&Call::Control { on: watched.pair.far.into(), control })?;
    }
    world.close_pair(watched.pair)
}

/// Disabling inside the event without an IRP is EVENT_PENDING; none comes after it.
fn disabled_inside_at_once(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    let far = watched.pair.far;
    world.set_script(CONNECTION, Script { hold: Some(Kind::Receive), ..Script::WILLING });
    world.enable(far, WSK_EVENT_RECEIVE)?;
    let sending = world.start(&send(watched.pair.near, data(&10, 0)))?;
    world.sees(CONNECTION, 0, Kind::Receive)?;
    let returned = world.events_at_once(far, WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE)?;
    expect(returned == STATUS_EVENT_PENDING, "a call in progress is EVENT_PENDING", returned)?;
    world.let_go(CONNECTION);
    world.succeeded(sending)?;
    world.sends(watched.pair.near, 10, 10)?;
    world.receives(far, 10, 10)?;
    world.sees_no_more(CONNECTION, 1)?;
    let returned = world.events_at_once(far, WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE)?;
    expect(returned == STATUS_SUCCESS, "the event is disabled", returned)?;
    world.close_pair(watched.pair)
}

/// With an IRP the request waits until the call in progress has returned.
fn disabled_while_running(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    let far = watched.pair.far;
    world.set_script(CONNECTION, Script { hold: Some(Kind::Receive), ..Script::WILLING });
    world.enable(far, WSK_EVENT_RECEIVE)?;
    let sending = world.start(&send(watched.pair.near, data(&10, 0)))?;
    world.sees(CONNECTION, 0, Kind::Receive)?;
    let disabling = world.start(&set_events(far, WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE))?;
    expect(!world.is_done(disabling), "the request waits for the call in progress", 0usize)?;
    world.let_go(CONNECTION);
    world.succeeded(sending)?;
    world.succeeded(disabling)?;
    world.sends(watched.pair.near, 10, 10)?;
    world.receives(far, 10, 10)?;
    world.sees_no_more(CONNECTION, 1)?;
    world.close_pair(watched.pair)
}

/// Inside the event itself the request with an IRP ends after the callback.
fn disabled_inside_with_an_irp(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, WSK_EVENT_RECEIVE)?;
    let far = watched.pair.far;
    let off = set_events(far, WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE);
    let disabling = world.inside(CONNECTION, Kind::Receive, &off)?;
    world.sends(watched.pair.near, 0, 10)?;
    world.sees(CONNECTION, 0, Kind::Receive)?;
    world.succeeded(disabling)?;
    world.sends(watched.pair.near, 10, 10)?;
    world.receives(far, 10, 10)?;
    world.sees_no_more(CONNECTION, 1)?;
    world.close_pair(watched.pair)
}

/// Disabling an event does not wait for calls of another one.
fn of_another_event_while_running(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    let far = watched.pair.far;
    world.set_script(CONNECTION, Script { hold: Some(Kind::Receive), ..Script::WILLING });
    world.enable(far, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    let sending = world.start(&send(watched.pair.near, data(&10, 0)))?;
    world.sees(CONNECTION, 0, Kind::Receive)?;
    world.disable(far, WSK_EVENT_DISCONNECT)?;
    world.let_go(CONNECTION);
    world.succeeded(sending)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.is_at_end(far)?;
    world.sees_no_more(CONNECTION, 1)?;
    world.close_pair(watched.pair)
}

/// Events are enabled from inside the connect's completion routine; the socket counts as connected there.
fn in_a_connects_completion(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.watched_socket(CONNECTION, abi::wsk::WSK_FLAG_CONNECTION_SOCKET)?;
    let any = world.any_port();
    world.succeeds(&crate::tools::bind(near, any), 0)?;
    let accepting = world.start(&accept(listener))?;
    let (connecting, enabling) = world.chained(&connect(near, at), &set_events(near, WSK_EVENT_RECEIVE))?;
    world.succeeded(connecting)?;
    world.succeeded(enabling)?;
    let far = world.made(accepting)?;
    world.sends(far, 0, 10)?;
    world.has_taken(CONNECTION, 10)?;
    world.close_all(&[near, far, listener])
}

/// What arrives before the event is enabled is indicated afterwards.
fn early_data_are_kept(world: &mut dyn World) -> Check {
    let watched = world.watched(CONNECTION, 0)?;
    world.sends(watched.pair.near, 0, 1000)?;
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.has_taken(CONNECTION, 1000)?;
    world.close_pair(watched.pair)
}

/// Connection events enabled on the listening socket hold for sockets that WskAcceptEvent brings.
fn handed_down(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.hands_down(LISTENER, CONNECTION);
    world.enable(listener, WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    let near = world.connects(at)?;
    world.sends(near, 0, 100)?;
    let far = world.accepted(LISTENER, 0)?;
    world.has_taken(CONNECTION, 100)?;
    world.succeeds(&disconnect(near), 0)?;
    let end = world.event(CONNECTION, 1, crate::tools::PATIENCE);
    expect(end.is_some(), "a disconnect follows", 0usize)?;
    world.close_all(&[near, far, listener])
}

/// Sockets that WskAccept brings have no events of the listening socket.
fn not_handed_down_to_accepts(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    let accepting = world.start(&Call::Watched { by: CONNECTION, call: &accept(listener) })?;
    let near = world.connects(at)?;
    let far = world.made(accepting)?;
    world.sends(near, 0, 100)?;
    world.receives(far, 0, 100)?;
    world.succeeds(&disconnect(near), 0)?;
    world.is_at_end(far)?;
    world.sees_no_more(CONNECTION, 0)?;
    world.close_all(&[near, far, listener])
}

/// Connection events cannot be disabled on the listening socket, and survive that ACCEPT is disabled.
fn handed_down_for_good(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.hands_down(LISTENER, CONNECTION);
    world.enable(listener, WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE)?;
    world.is_refused(&set_events(listener, WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE))?;
    world.disable(listener, WSK_EVENT_ACCEPT)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.sends(near, 0, 100)?;
    world.has_taken(CONNECTION, 100)?;
    world.close_all(&[near, far, listener])
}

/// A socket without callbacks keeps what it enables for itself, and works.
fn on_without_callbacks(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let returned = world.events_at_once(pair.far, WSK_EVENT_RECEIVE | WSK_EVENT_SEND_BACKLOG)?;
    expect(returned == STATUS_SUCCESS, "the event is enabled", returned)?;
    world.sends(pair.near, 0, 100)?;
    let receiving = world.start(&receive(pair.far, room(&100), 0))?;
    world.received(receiving, 0, 100)?;
    world.close_pair(pair)
}
