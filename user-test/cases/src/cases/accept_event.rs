//! `WskAcceptEvent`.

use abi::status::{STATUS_CANCELLED, STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS};
use abi::wsk::{WSK_EVENT_ACCEPT, WSK_EVENT_DISABLE};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{LOST, PATIENCE, accept, close, receive, room, set_events};
use crate::watch::{Acceptance, Kind, Script, Watch};
use crate::world::World;

pub(super) const BRINGS_A_SOCKET: Case =
    Case { name: "accept-event-brings-a-socket", section: "WskAcceptEvent", run: brings_a_socket };
pub(super) const ENABLED_WITH_AN_IRP: Case = Case {
    name: "accept-event-enabled-with-an-irp",
    section: "SO_WSK_EVENT_CALLBACK",
    run: enabled_with_an_irp,
};
pub(super) const DELIVERS_WHAT_WAITS: Case = Case {
    name: "accept-event-delivers-what-waits",
    section: "Enabling and Disabling Event Callback Functions",
    run: delivers_what_waits,
};
pub(super) const AFTER_ACCEPTS: Case =
    Case { name: "accept-event-after-accepts", section: "WskAccept", run: after_accepts };
pub(super) const REFUSED: Case =
    Case { name: "accept-event-refused", section: "WskAcceptEvent", run: refused };
pub(super) const DISABLED: Case = Case {
    name: "accept-event-disabled",
    section: "Enabling and Disabling Event Callback Functions",
    run: disabled,
};
pub(super) const DISABLED_WITH_AN_IRP: Case = Case {
    name: "accept-event-disabled-with-an-irp",
    section: "SO_WSK_EVENT_CALLBACK",
    run: disabled_with_an_irp,
};
pub(super) const BEFORE_BIND: Case =
    Case { name: "accept-event-before-bind", section: "SO_WSK_EVENT_CALLBACK", run: before_bind };
pub(super) const USED_INSIDE: Case =
    Case { name: "accept-event-used-inside", section: "WskAcceptEvent", run: used_inside };
pub(super) const CLOSED_BEFORE_IT_RETURNS: Case = Case {
    name: "accept-event-closed-before-it-returns",
    section: "WskAcceptEvent",
    run: closed_before_it_returns,
};
pub(super) const CLOSES_AN_EARLIER_ONE: Case = Case {
    name: "accept-event-closes-an-earlier-one",
    section: "WskAcceptEvent",
    run: closes_an_earlier_one,
};
pub(super) const CLOSES_ITS_LISTENER: Case =
    Case { name: "accept-event-closes-its-listener", section: "WskCloseSocket", run: closes_its_listener };
pub(super) const CLOSE_WAITS_FOR_IT: Case =
    Case { name: "accept-event-close-waits-for-it", section: "WskCloseSocket", run: close_waits_for_it };
pub(super) const MANY_IN_ORDER: Case =
    Case { name: "accept-event-many-in-order", section: "WskAcceptEvent", run: many_in_order };
pub(super) const ACCEPTS_INSIDE: Case =
    Case { name: "accept-event-accepts-inside", section: "WskAcceptEvent", run: accepts_inside };
pub(super) const DISABLED_INSIDE: Case =
    Case { name: "accept-event-disabled-inside", section: "SO_WSK_EVENT_CALLBACK", run: disabled_inside };

const LISTENER: Watch = Watch(0);

/// An established connection is delivered with both addresses, and the socket works.
fn brings_a_socket(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    let event = world.sees(LISTENER, 0, Kind::Accept)?;
    let here = world.local_address(near)?;
    expect(event.local == Some(at), "the event names the local address", event.local)?;
    expect(event.remote == Some(here), "the event names the remote address", event.remote)?;
    let far = world.accepted(LISTENER, 0)?;
    world.sends(far, 0, 100)?;
    world.receives(near, 0, 100)?;
    world.close_all(&[near, far, listener])
}

/// Enabling with an IRP completes it; clients wait for it.
fn enabled_with_an_irp(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.succeeds(&set_events(listener, WSK_EVENT_ACCEPT), 0)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.close_all(&[far, near, listener])
}

/// A connection that waits is delivered as soon as the event is enabled, with what was sent meanwhile.
fn delivers_what_waits(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    let near = world.connects(at)?;
    world.sends(near, 0, 500)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let far = world.accepted(LISTENER, 0)?;
    world.receives(far, 0, 500)?;
    world.close_all(&[far, near, listener])
}

/// A WskAccept that waits gets the connection; the event gets the next one.
fn after_accepts(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let accepting = world.start(&accept(listener))?;
    let first = world.connects(at)?;
    let accepted = world.made(accepting)?;
    let second = world.connects(at)?;
    let brought = world.accepted(LISTENER, 0)?;
    world.sees_no_more(LISTENER, 1)?;
    let here = world.local_address(second)?;
    let there = world.remote_address(brought)?;
    expect(here == there, "the event gets the later connection", Some(there))?;
    world.close_all(&[first, second, accepted, brought, listener])
}

/// REQUEST_NOT_ACCEPTED: the provider closes the socket, and the peer loses its connection.
fn refused(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    let refuse = Acceptance::Refused(STATUS_REQUEST_NOT_ACCEPTED);
    world.set_script(LISTENER, Script { accept: refuse, ..Script::WILLING });
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    world.sees(LISTENER, 0, Kind::Accept)?;
    let receiving = world.start(&receive(near, room(&10), 0))?;
    world.is_lost(receiving)?;
    world.set_script(LISTENER, Script::WILLING);
    let second = world.connects(at)?;
    let far = world.accepted(LISTENER, 1)?;
    world.close_all(&[near, second, far, listener])
}

/// Disabled, the connection waits for an accept; enabled again, it is delivered.
fn disabled(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    world.disable(listener, WSK_EVENT_ACCEPT)?;
    let first = world.connects(at)?;
    world.sees_no_more(LISTENER, 0)?;
    let accepting = world.start(&accept(listener))?;
    let accepted = world.made(accepting)?;
    let second = world.connects(at)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let brought = world.accepted(LISTENER, 0)?;
    world.close_all(&[first, second, accepted, brought, listener])
}

/// Disabling an event of which no call is in progress succeeds with an IRP too.
fn disabled_with_an_irp(world: &mut dyn World) -> Check {
    let (listener, _) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    world.succeeds(&set_events(listener, WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT), 0)?;
    world.close_all(&[listener])
}

/// A listening socket enables events after its bind only.
fn before_bind(world: &mut dyn World) -> Check {
    let listener = world.watched_socket(LISTENER, abi::wsk::WSK_FLAG_LISTEN_SOCKET)?;
    let returned = world.events_at_once(listener, WSK_EVENT_ACCEPT)?;
    expect(returned != STATUS_SUCCESS, "an unbound socket enables no event", returned)?;
    world.is_refused(&set_events(listener, WSK_EVENT_ACCEPT))?;
    let at = world.listen_at(listener)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.close_all(&[near, far, listener])
}

/// The new socket may be used before the callback has returned: by a receive, say.
fn used_inside(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.set_script(LISTENER, Script { hold: Some(Kind::Accept), ..Script::WILLING });
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    let receiving = world.start(&receive(far, room(&100), abi::wsk::WSK_FLAG_WAITALL))?;
    world.sends(near, 0, 100)?;
    world.received(receiving, 0, 100)?;
    world.let_go(LISTENER);
    world.close_all(&[near, far, listener])
}

/// Another thread may close the new socket before the callback has returned.
fn closed_before_it_returns(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.set_script(LISTENER, Script { hold: Some(Kind::Accept), ..Script::WILLING });
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    let closing = world.start(&close(far))?;
    world.let_go(LISTENER);
    world.succeeded(closing)?;
    let receiving = world.start(&receive(near, room(&10), 0))?;
    world.is_lost(receiving)?;
    world.close_all(&[near, listener])
}

/// Inside the event an earlier accepted socket is closed.
fn closes_an_earlier_one(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let first = world.connects(at)?;
    let earlier = world.accepted(LISTENER, 0)?;
    let closing = world.inside(LISTENER, Kind::Accept, &close(earlier))?;
    let second = world.connects(at)?;
    let later = world.accepted(LISTENER, 1)?;
    world.succeeded(closing)?;
    let receiving = world.start(&receive(first, room(&10), 0))?;
    world.is_lost(receiving)?;
    world.sends(later, 0, 10)?;
    world.receives(second, 0, 10)?;
    world.close_all(&[first, second, later, listener])
}

/// The listening socket is closed inside its own event; the close ends after the callback, and the new socket lives on.
fn closes_its_listener(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let closing = world.inside(LISTENER, Kind::Accept, &close(listener))?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.succeeded(closing)?;
    world.sends(far, 0, 10)?;
    world.receives(near, 0, 10)?;
    world.close_all(&[near, far])
}

/// The close of a listening socket waits for a callback in progress.
fn close_waits_for_it(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.set_script(LISTENER, Script { hold: Some(Kind::Accept), ..Script::WILLING });
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    let closing = world.start(&close(listener))?;
    expect(!world.is_done(closing), "the close waits for the callback", 0usize)?;
    world.let_go(LISTENER);
    world.succeeded(closing)?;
    world.close_all(&[near, far])
}

/// Connections are delivered in the order in which they came.
fn many_in_order(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    for number in 0..10 {
        let near = world.connects(at)?;
        let far = world.accepted(LISTENER, number)?;
        let (here, there) = (world.local_address(near)?, world.remote_address(far)?);
        expect(here == there, "each event brings the next connection", Some(there))?;
        world.close_all(&[near, far])?;
    }
    world.close_all(&[listener])
}

/// A WskAccept made inside the event gets the next connection.
fn accepts_inside(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let accepting = world.inside(LISTENER, Kind::Accept, &accept(listener))?;
    let first = world.connects(at)?;
    let brought = world.accepted(LISTENER, 0)?;
    let second = world.connects(at)?;
    let ended = world.wait(accepting, PATIENCE);
    expect(
        ended.is_some_and(|ended| ended.status == STATUS_SUCCESS),
        "the accept gets the connection",
        0usize,
    )?;
    let accepted = world.made(accepting)?;
    world.close_all(&[first, second, brought, accepted, listener])
}

/// Disabling the event inside itself, with an IRP, ends after the callback, and no further event comes.
fn disabled_inside(world: &mut dyn World) -> Check {
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.enable(listener, WSK_EVENT_ACCEPT)?;
    let off = set_events(listener, WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT);
    let disabling = world.inside(LISTENER, Kind::Accept, &off)?;
    let first = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.succeeded(disabling)?;
    let second = world.connects(at)?;
    world.sees_no_more(LISTENER, 1)?;
    world.close_all(&[listener])?;
    let receiving = world.start(&receive(second, room(&10), 0))?;
    let ended = world.done(receiving)?;
    let lost = LOST.contains(&ended.status) || ended.status == STATUS_CANCELLED;
    expect(lost, "what nobody accepted ends with the listener", ended.status)?;
    world.close_all(&[first, far, second])
}
