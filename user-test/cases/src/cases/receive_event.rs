//! `WskReceiveEvent`.

use abi::status::{STATUS_DEVICE_NOT_READY, STATUS_SUCCESS};
use abi::wsk::{WSK_EVENT_RECEIVE, WSK_FLAG_WAITALL};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{EMPTY, abort, close, data, disconnect, receive, room, send};
use crate::watch::{Kind, Script, Taking, Watch};
use crate::world::World;

pub(super) const BRINGS_THE_STREAM: Case =
    Case { name: "receive-event-brings-the-stream", section: "WskReceiveEvent", run: brings_the_stream };
pub(super) const OF_THE_CONNECTING_END: Case = Case {
    name: "receive-event-of-the-connecting-end",
    section: "WskReceiveEvent",
    run: of_the_connecting_end,
};
pub(super) const A_MEBIBYTE: Case =
    Case { name: "receive-event-a-mebibyte", section: "WskReceiveEvent", run: a_mebibyte };
pub(super) const AFTER_RECEIVES: Case =
    Case { name: "receive-event-after-receives", section: "WskReceive", run: after_receives };
pub(super) const PART_TAKEN: Case =
    Case { name: "receive-event-part-taken", section: "WskReceiveEvent", run: part_taken };
pub(super) const PART_TAKEN_THEN_RECEIVED: Case = Case {
    name: "receive-event-part-taken-then-received",
    section: "WskReceiveEvent",
    run: part_taken_then_received,
};
pub(super) const NOTHING_TAKEN: Case =
    Case { name: "receive-event-nothing-taken", section: "WskReceiveEvent", run: nothing_taken };
pub(super) const NOTHING_TAKEN_THEN_EMPTY_RECEIVE: Case = Case {
    name: "receive-event-nothing-taken-then-empty-receive",
    section: "WskReceive",
    run: nothing_taken_then_empty_receive,
};
pub(super) const NOTHING_TAKEN_OF_PART_ZERO: Case = Case {
    name: "receive-event-nothing-taken-of-part-zero",
    section: "WskReceiveEvent",
    run: nothing_taken_of_part_zero,
};
pub(super) const UNKNOWN_ANSWER: Case =
    Case { name: "receive-event-unknown-answer", section: "WskReceiveEvent", run: unknown_answer };
pub(super) const SENDS_INSIDE: Case =
    Case { name: "receive-event-sends-inside", section: "WskReceiveEvent", run: sends_inside };
pub(super) const RECEIVES_INSIDE: Case =
    Case { name: "receive-event-receives-inside", section: "WskReceiveEvent", run: receives_inside };
pub(super) const CLOSES_INSIDE: Case =
    Case { name: "receive-event-closes-inside", section: "WskCloseSocket", run: closes_inside };
pub(super) const ABORTS_INSIDE: Case =
    Case { name: "receive-event-aborts-inside", section: "WskDisconnect", run: aborts_inside };
pub(super) const ENDS_INSIDE: Case =
    Case { name: "receive-event-ends-inside", section: "WskDisconnect", run: ends_inside };
pub(super) const DISABLED_THEN_RECEIVED: Case = Case {
    name: "receive-event-disabled-then-received",
    section: "Enabling and Disabling Event Callback Functions",
    run: disabled_then_received,
};
pub(super) const CLOSE_WAITS_FOR_IT: Case =
    Case { name: "receive-event-close-waits-for-it", section: "WskCloseSocket", run: close_waits_for_it };
pub(super) const ENABLED_TWICE: Case =
    Case { name: "receive-event-enabled-twice", section: "SO_WSK_EVENT_CALLBACK", run: enabled_twice };

const WATCH: Watch = Watch(1);

/// The octets come in their order, each once, and the provider takes them back at the return.
fn brings_the_stream(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let mut position = 0u64;
    for length in [1, 2, 100, 5000, 70_000] {
        world.sends(watched.pair.near, position, length)?;
        position = position.wrapping_add(length as u64);
        world.has_taken(WATCH, position)?;
    }
    world.close_pair(watched.pair)
}

/// The connecting end has events as well.
fn of_the_connecting_end(world: &mut dyn World) -> Check {
    let watched = world.watched_near(WATCH, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.far, 0, 3000)?;
    world.has_taken(WATCH, 3000)?;
    world.close_pair(watched.pair)
}

/// Far more than the provider has room for passes through the callback.
fn a_mebibyte(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 0, 1 << 20)?;
    world.has_taken(WATCH, 1 << 20)?;
    world.close_pair(watched.pair)
}

/// A receive that waits is served before the event; the event gets the rest.
fn after_receives(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let receiving = world.start(&receive(watched.pair.far, room(&40), WSK_FLAG_WAITALL))?;
    world.set_position(WATCH, 40);
    world.sends(watched.pair.near, 0, 100)?;
    world.received(receiving, 0, 40)?;
    world.has_taken(WATCH, 60)?;
    world.close_pair(watched.pair)
}

/// After a partial accept no event comes until a receive has been completed; the rest is indicated again.
fn part_taken(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Part(10), times: 1, ..Script::WILLING });
    world.sends(watched.pair.near, 0, 100)?;
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    let first = world.sees(WATCH, 0, Kind::Receive)?;
    expect(first.octets == 100, "all that is there is indicated", first.octets)?;
    world.sends(watched.pair.near, 100, 50)?;
    world.sees_no_more(WATCH, 1)?;
    world.succeeds(&receive(watched.pair.far, EMPTY, 0), 0)?;
    world.has_taken(WATCH, 150)?;
    world.close_pair(watched.pair)
}

/// The rest after a partial accept can be received; events go on behind it.
fn part_taken_then_received(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Part(10), times: 1, ..Script::WILLING });
    world.sends(watched.pair.near, 0, 100)?;
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sees(WATCH, 0, Kind::Receive)?;
    world.set_position(WATCH, 60);
    world.receives(watched.pair.far, 10, 50)?;
    world.has_taken(WATCH, 50)?;
    world.close_pair(watched.pair)
}

/// DATA_NOT_ACCEPTED: the octets wait for a receive, and the rest is indicated after it.
fn nothing_taken(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Nothing, times: 1, ..Script::WILLING });
    world.sends(watched.pair.near, 0, 100)?;
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sees(WATCH, 0, Kind::Receive)?;
    world.sees_no_more(WATCH, 1)?;
    world.set_position(WATCH, 50);
    world.receives(watched.pair.far, 0, 50)?;
    world.has_taken(WATCH, 50)?;
    world.close_pair(watched.pair)
}

/// A receive of no octets brings the events back after DATA_NOT_ACCEPTED, with the same octets.
fn nothing_taken_then_empty_receive(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Nothing, times: 1, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.sees(WATCH, 0, Kind::Receive)?;
    world.succeeds(&receive(watched.pair.far, EMPTY, 0), 0)?;
    world.has_taken(WATCH, 100)?;
    world.close_pair(watched.pair)
}

/// SUCCESS with no octet accepted is a partial accept.
fn nothing_taken_of_part_zero(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Part(0), times: 1, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.sees(WATCH, 0, Kind::Receive)?;
    world.sees_no_more(WATCH, 1)?;
    world.receives(watched.pair.far, 0, 100)?;
    world.set_position(WATCH, 100);
    world.sends(watched.pair.near, 100, 10)?;
    world.has_taken(WATCH, 10)?;
    world.close_pair(watched.pair)
}

/// A status that no page names counts as not accepted; nothing is lost.
fn unknown_answer(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    let fails = Taking::Fails(STATUS_DEVICE_NOT_READY);
    world.set_script(WATCH, Script { receive: fails, times: 1, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.sees(WATCH, 0, Kind::Receive)?;
    world.receives(watched.pair.far, 0, 100)?;
    world.set_position(WATCH, 100);
    world.sends(watched.pair.near, 100, 10)?;
    world.has_taken(WATCH, 10)?;
    world.close_pair(watched.pair)
}

/// The callback may send.
fn sends_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let sending = world.inside(WATCH, Kind::Receive, &send(watched.pair.far, data(&64, 0)))?;
    world.sends(watched.pair.near, 0, 10)?;
    world.receives(watched.pair.near, 0, 64)?;
    let sent = world.succeeded(sending)?;
    expect(sent.information == 64, "the send is whole", sent.information)?;
    world.close_pair(watched.pair)
}

/// A receive made inside the callback gets what comes afterwards.
fn receives_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let inside = receive(watched.pair.far, room(&10), WSK_FLAG_WAITALL);
    let receiving = world.inside(WATCH, Kind::Receive, &inside)?;
    world.sends(watched.pair.near, 0, 10)?;
    world.has_taken(WATCH, 10)?;
    world.settle();
    world.sends(watched.pair.near, 10, 10)?;
    world.received(receiving, 10, 10)?;
    world.close_pair(watched.pair)
}

/// The socket is closed inside its own callback; the close ends after that, and no event follows.
fn closes_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let closing = world.inside(WATCH, Kind::Receive, &close(watched.pair.far))?;
    world.sends(watched.pair.near, 0, 10)?;
    world.succeeded(closing)?;
    let receiving = world.start(&receive(watched.pair.near, room(&10), 0))?;
    world.is_lost(receiving)?;
    world.sees_no_more(WATCH, 1)?;
    world.close_all(&[watched.pair.near, watched.pair.listener])
}

/// The connection is aborted inside the callback.
fn aborts_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let aborting = world.inside(WATCH, Kind::Receive, &abort(watched.pair.far))?;
    world.sends(watched.pair.near, 0, 10)?;
    world.succeeded(aborting)?;
    let receiving = world.start(&receive(watched.pair.near, room(&10), 0))?;
    world.is_lost(receiving)?;
    world.close_pair(watched.pair)
}

/// A graceful disconnect is made inside the callback; data still come in.
fn ends_inside(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let ending = world.inside(WATCH, Kind::Receive, &disconnect(watched.pair.far))?;
    world.sends(watched.pair.near, 0, 10)?;
    world.is_at_end(watched.pair.near)?;
    world.succeeded(ending)?;
    world.sends(watched.pair.near, 10, 10)?;
    world.has_taken(WATCH, 20)?;
    world.close_pair(watched.pair)
}

/// With the event disabled the octets wait for receives; enabled again, it goes on behind them.
fn disabled_then_received(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 0, 10)?;
    world.has_taken(WATCH, 10)?;
    world.settle();
    world.disable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 10, 20)?;
    world.receives(watched.pair.far, 10, 10)?;
    world.set_position(WATCH, 20);
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.has_taken(WATCH, 20)?;
    world.close_pair(watched.pair)
}

/// The close of a connection waits for a callback in progress.
fn close_waits_for_it(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { hold: Some(Kind::Receive), ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    let sending = world.start(&send(watched.pair.near, data(&10, 0)))?;
    world.sees(WATCH, 0, Kind::Receive)?;
    let closing = world.start(&close(watched.pair.far))?;
    expect(!world.is_done(closing), "the close waits for the callback", 0usize)?;
    world.let_go(WATCH);
    world.succeeded(sending)?;
    world.succeeded(closing)?;
    world.close_all(&[watched.pair.near, watched.pair.listener])
}

/// Enabling what is enabled already succeeds and changes nothing.
fn enabled_twice(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, WSK_EVENT_RECEIVE)?;
    let returned = world.events_at_once(watched.pair.far, WSK_EVENT_RECEIVE)?;
    expect(returned == STATUS_SUCCESS, "it is enabled", returned)?;
    world.sends(watched.pair.near, 0, 10)?;
    world.has_taken(WATCH, 10)?;
    world.close_pair(watched.pair)
}
