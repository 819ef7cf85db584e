//! `WskDisconnectEvent`.

use abi::status::STATUS_SUCCESS;
use abi::wsk::{WSK_EVENT_DISCONNECT, WSK_EVENT_RECEIVE, WSK_FLAG_ABORTIVE};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, PATIENCE, abort, close, disconnect, receive, room};
use crate::watch::{Kind, Script, Taking, Watch};
use crate::world::World;

pub(super) const GRACEFUL: Case =
    Case { name: "disconnect-event-graceful", section: "WskDisconnectEvent", run: graceful };
pub(super) const ABORTIVE: Case =
    Case { name: "disconnect-event-abortive", section: "WskDisconnectEvent", run: abortive };
pub(super) const BY_CLOSE: Case =
    Case { name: "disconnect-event-by-close", section: "WskDisconnectEvent", run: by_close };
pub(super) const GRACEFUL_THEN_ABORTIVE: Case = Case {
    name: "disconnect-event-graceful-then-abortive",
    section: "WskDisconnectEvent",
    run: graceful_then_abortive,
};
pub(super) const AFTER_THE_OCTETS: Case =
    Case { name: "disconnect-event-after-the-octets", section: "WskDisconnectEvent", run: after_the_octets };
pub(super) const AFTER_A_RECEIVE: Case =
    Case { name: "disconnect-event-after-a-receive", section: "WskDisconnectEvent", run: after_a_receive };
pub(super) const WITHOUT_RECEIVE_EVENTS: Case = Case {
    name: "disconnect-event-without-receive-events",
    section: "WskDisconnectEvent",
    run: without_receive_events,
};
pub(super) const BESIDE_A_RECEIVE: Case =
    Case { name: "disconnect-event-beside-a-receive", section: "WskReceive", run: beside_a_receive };
pub(super) const NOT_ENABLED: Case =
    Case { name: "disconnect-event-not-enabled", section: "WskDisconnectEvent", run: not_enabled };
pub(super) const CLOSES_INSIDE: Case =
    Case { name: "disconnect-event-closes-inside", section: "WskCloseSocket", run: closes_inside };
pub(super) const ANSWERS_INSIDE: Case =
    Case { name: "disconnect-event-answers-inside", section: "WskDisconnect", run: answers_inside };
pub(super) const NOT_FOR_ITS_OWN: Case =
    Case { name: "disconnect-event-not-for-its-own", section: "WskDisconnectEvent", run: not_for_its_own };

const WATCH: Watch = Watch(1);

/// The peer's graceful disconnect is told once, and sending goes on.
fn graceful(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    let event = world.sees(WATCH, 0, Kind::Disconnect)?;
    expect(event.flags & WSK_FLAG_ABORTIVE == 0, "a graceful disconnect is no abort", event.flags as usize)?;
    world.sends(watched.pair.far, 0, 100)?;
    world.receives(watched.pair.near, 0, 100)?;
    world.sees_no_more(WATCH, 1)?;
    world.close_pair(watched.pair)
}

/// The peer's abort is told as one.
fn abortive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    world.succeeds(&abort(watched.pair.near), 0)?;
    let event = world.sees(WATCH, 0, Kind::Disconnect)?;
    expect(event.flags == WSK_FLAG_ABORTIVE, "an abort is told as one", event.flags as usize)?;
    let receiving = world.start(&receive(watched.pair.far, room(&10), 0))?;
    world.is_lost(receiving)?;
    world.sees_no_more(WATCH, 1)?;
    world.close_pair(watched.pair)
}

/// The peer's close is an abort.
fn by_close(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    world.close_all(&[watched.pair.near])?;
    let event = world.sees(WATCH, 0, Kind::Disconnect)?;
    expect(event.flags == WSK_FLAG_ABORTIVE, "a close resets the connection", event.flags as usize)?;
    world.close_all(&[watched.pair.far, watched.pair.listener])
}

/// An abort after a graceful disconnect is told beside it.
fn graceful_then_abortive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.sees(WATCH, 0, Kind::Disconnect)?;
    world.close_all(&[watched.pair.near])?;
    let event = world.sees(WATCH, 1, Kind::Disconnect)?;
    expect(event.flags == WSK_FLAG_ABORTIVE, "the loss is told too", event.flags as usize)?;
    world.sees_no_more(WATCH, 2)?;
    world.close_all(&[watched.pair.far, watched.pair.listener])
}

/// It comes after all octets have been indicated.
fn after_the_octets(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.sends(watched.pair.near, 0, 50_000)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    let mut number = 0;
    let mut octets = 0;
    while let Some(event) = world.event(WATCH, number, PATIENCE) {
        if event.kind == Kind::Disconnect {
            break;
        }
        octets = event.octets.saturating_add(octets);
        number = number.saturating_add(1);
    }
    expect(octets == 50_000, "the octets come before the end", octets)?;
    world.sees(WATCH, number, Kind::Disconnect)?;
    world.close_pair(watched.pair)
}

/// With octets that nobody has taken it waits until they are received.
fn after_a_receive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Nothing, times: 1, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.sees(WATCH, 0, Kind::Receive)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.sees_no_more(WATCH, 1)?;
    world.receives(watched.pair.far, 0, 100)?;
    world.sees(WATCH, 1, Kind::Disconnect)?;
    world.close_pair(watched.pair)
}

/// Without receive events it comes when the octets are received.
fn without_receive_events(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.sees_no_more(WATCH, 0)?;
    world.receives(watched.pair.far, 0, 100)?;
    world.sees(WATCH, 0, Kind::Disconnect)?;
    world.is_at_end(watched.pair.far)?;
    world.close_pair(watched.pair)
}

/// A receive that waits gets the end, and the event comes too.
fn beside_a_receive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    let receiving = world.start(&receive(watched.pair.far, room(&10), 0))?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    let ended = world.succeeded(receiving)?;
    expect(ended.information == 0, "the receive gets the end", ended.information)?;
    world.sees(WATCH, 0, Kind::Disconnect)?;
    world.close_pair(watched.pair)
}

/// Not enabled, it does not come; enabled later, the end is told then.
fn not_enabled(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.is_at_end(watched.pair.far)?;
    world.sees_no_more(WATCH, 0)?;
    world.enable(watched.pair.far, WSK_EVENT_DISCONNECT)?;
    world.sees(WATCH, 0, Kind::Disconnect)?;
    world.close_pair(watched.pair)
}

/// The socket is closed inside the event.
fn closes_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    let closing = world.inside(WATCH, Kind::Disconnect, &close(watched.pair.far))?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.succeeded(closing)?;
    world.close_all(&[watched.pair.near, watched.pair.listener])
}

/// Inside the event this end disconnects as well: the stream has ended both ways.
fn answers_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    let ending = world.inside(WATCH, Kind::Disconnect, &disconnect(watched.pair.far))?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.is_at_end(watched.pair.near)?;
    let ended = world.done(ending)?;
    expect(ended.status == STATUS_SUCCESS, "the disconnect succeeds", ended.status)?;
    world.close_pair(watched.pair)
}

/// A socket's own disconnect is not told to it.
fn not_for_its_own(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_DISCONNECT)?;
    world.succeeds(&disconnect(watched.pair.far), 0)?;
    world.is_at_end(watched.pair.near)?;
    world.sees_no_more(WATCH, 0)?;
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    world.sees(WATCH, 0, Kind::Disconnect)?;
    world.succeeds(&receive(watched.pair.far, EMPTY, 0), 0)?;
    world.close_pair(watched.pair)
}
