//! WSK_SET_STATIC_EVENT_CALLBACKS.

use abi::NTSTATUS;
use abi::status::{STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS};
use abi::wsk::{
    WSK_EVENT_ACCEPT, WSK_EVENT_DISABLE, WSK_EVENT_DISCONNECT, WSK_EVENT_RECEIVE,
    WSK_SET_STATIC_EVENT_CALLBACKS,
};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{accept, disconnect, of_client, set_events};
use crate::watch::{Kind, Watch};
use crate::world::{Call, Feature, Input, World};

pub(super) const OF_LISTENERS: Case =
    Case { name: "static-events-of-listeners", section: "WSK_SET_STATIC_EVENT_CALLBACKS", run: of_listeners };
pub(super) const OF_ACCEPTED_SOCKETS: Case = Case {
    name: "static-events-of-accepted-sockets",
    section: "WSK_SET_STATIC_EVENT_CALLBACKS",
    run: of_accepted_sockets,
};
pub(super) const OF_CONNECTING_SOCKETS: Case = Case {
    name: "static-events-of-connecting-sockets",
    section: "WSK_SET_STATIC_EVENT_CALLBACKS",
    run: of_connecting_sockets,
};
pub(super) const MIXED: Case =
    Case { name: "static-events-mixed", section: "WSK_SET_STATIC_EVENT_CALLBACKS", run: mixed };
pub(super) const WITHOUT_CALLBACKS: Case = Case {
    name: "static-events-without-callbacks",
    section: "WSK_SET_STATIC_EVENT_CALLBACKS",
    run: without_callbacks,
};
pub(super) const TOO_LATE: Case =
    Case { name: "static-events-too-late", section: "WSK_SET_STATIC_EVENT_CALLBACKS", run: too_late };
pub(super) const BAD_MASKS: Case =
    Case { name: "static-events-bad-masks", section: "WSK_SET_STATIC_EVENT_CALLBACKS", run: bad_masks };

const LISTENER: Watch = Watch(0);
const CONNECTION: Watch = Watch(1);

fn set(world: &mut dyn World, mask: u32) -> Check<NTSTATUS> {
    let control = of_client(WSK_SET_STATIC_EVENT_CALLBACKS, Input::Events(mask), 0);
    world.at_once(&Call::ClientControl { control })
}

/// A new client with these events.
fn fixed(world: &mut dyn World, mask: u32) -> Check {
    world.needs(Feature::NewClient, "a client of its own")?;
    expect(world.new_client(), "the client registers", 0usize)?;
    let returned = set(world, mask)?;
    expect(returned == STATUS_SUCCESS, "static events are set without an IRP", returned)
}

/// Sockets have the event from their bind on, and cannot disable it.
fn of_listeners(world: &mut dyn World) -> Check {
    fixed(world, WSK_EVENT_ACCEPT)?;
    let (listener, at) = world.watched_listener(LISTENER)?;
    world.is_refused(&set_events(listener, WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT))?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.close_all(&[near, far, listener])
}

/// Sockets that WskAccept brings have them, whatever the listening socket has.
fn of_accepted_sockets(world: &mut dyn World) -> Check {
    fixed(world, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    let (listener, at) = world.listener()?;
    let accepting = world.start(&Call::Watched { by: CONNECTION, call: &accept(listener) })?;
    let near = world.connects(at)?;
    let far = world.made(accepting)?;
    world.sends(near, 0, 100)?;
    world.has_taken(CONNECTION, 100)?;
    world.is_refused(&set_events(far, WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE))?;
    world.succeeds(&disconnect(near), 0)?;
    world.sees(CONNECTION, 1, Kind::Disconnect)?;
    world.close_all(&[near, far, listener])
}

/// Sockets that connect have them once they are connected.
fn of_connecting_sockets(world: &mut dyn World) -> Check {
    fixed(world, WSK_EVENT_RECEIVE)?;
    let watched = world.watched_near(CONNECTION, 0)?;
    world.sends(watched.pair.far, 0, 100)?;
    world.has_taken(CONNECTION, 100)?;
    world.close_pair(watched.pair)
}

/// A mask may mix categories; each socket has its own events of it.
fn mixed(world: &mut dyn World) -> Check {
    fixed(world, WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    world.hands_down(LISTENER, CONNECTION);
    let (listener, at) = world.watched_listener(LISTENER)?;
    let near = world.connects(at)?;
    let far = world.accepted(LISTENER, 0)?;
    world.sends(near, 0, 100)?;
    world.has_taken(CONNECTION, 100)?;
    world.close_all(&[near, far, listener])
}

/// A socket without callbacks has none of them, and works with requests.
fn without_callbacks(world: &mut dyn World) -> Check {
    fixed(world, WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE)?;
    let pair = world.pair()?;
    world.sends(pair.near, 0, 100)?;
    world.receives(pair.far, 0, 100)?;
    world.close_pair(pair)
}

/// After the first socket it is too late.
fn too_late(world: &mut dyn World) -> Check {
    world.needs(Feature::NewClient, "a client of its own")?;
    expect(world.new_client(), "the client registers", 0usize)?;
    let socket = world.listen_socket()?;
    let returned = set(world, WSK_EVENT_ACCEPT)?;
    expect(returned == STATUS_INVALID_DEVICE_STATE, "it is too late", returned)?;
    world.close_all(&[socket])
}

/// No event, DISABLE, and bits that no socket has are refused.
fn bad_masks(world: &mut dyn World) -> Check {
    world.needs(Feature::NewClient, "a client of its own")?;
    expect(world.new_client(), "the client registers", 0usize)?;
    for mask in [0, WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT, 1] {
        let returned = set(world, mask)?;
        expect(returned != STATUS_SUCCESS, "the mask is refused", returned)?;
    }
    let returned = set(world, WSK_EVENT_ACCEPT)?;
    expect(returned == STATUS_SUCCESS, "a right one is taken", returned)
}
