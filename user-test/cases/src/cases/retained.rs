//! `WskRelease`: indications that the client keeps.

use abi::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use abi::wsk::{WSK_EVENT_DISCONNECT, WSK_EVENT_RECEIVE};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{Watched, data, disconnect, send};
use crate::watch::{Kind, Release, Script, Taking, Watch};
use crate::world::World;

pub(super) const RELEASED_AS_A_LIST: Case =
    Case { name: "retained-released-as-a-list", section: "WskRelease", run: released_as_a_list };
pub(super) const RELEASED_ONE_BY_ONE: Case =
    Case { name: "retained-released-one-by-one", section: "WskRelease", run: released_one_by_one };
pub(super) const RELEASED_NEWEST_FIRST: Case =
    Case { name: "retained-released-newest-first", section: "WskRelease", run: released_newest_first };
pub(super) const RELEASED_AS_ANOTHER_LIST: Case =
    Case { name: "retained-released-as-another-list", section: "WskRelease", run: released_as_another_list };
pub(super) const RELEASED_BEFORE_THE_RETURN: Case = Case {
    name: "retained-released-before-the-return",
    section: "WskRelease",
    run: released_before_the_return,
};
pub(super) const FOREIGN_NODE: Case =
    Case { name: "retained-foreign-node", section: "WskRelease", run: foreign_node };
pub(super) const NULL: Case = Case { name: "retained-null", section: "WskRelease", run: null };
pub(super) const HOLDS_UP_THE_SENDER: Case =
    Case { name: "retained-holds-up-the-sender", section: "WskRelease", run: holds_up_the_sender };
pub(super) const OVER_THE_END: Case =
    Case { name: "retained-over-the-end", section: "WskRelease", run: over_the_end };
pub(super) const OVER_AN_ABORT: Case =
    Case { name: "retained-over-an-abort", section: "WskRelease", run: over_an_abort };
pub(super) const AROUND_RECEIVES: Case =
    Case { name: "retained-around-receives", section: "WskReceive", run: around_receives };

const WATCH: Watch = Watch(1);

/// A pair whose accepted end keeps everything.
fn keeping(world: &mut dyn World) -> Check<Watched> {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Keep, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    Ok(watched)
}

/// Five indications at least.
fn spread(world: &mut dyn World, watched: &Watched) -> Check {
    for position in [0, 100, 200, 300, 400] {
        world.sends(watched.pair.near, position, 100)?;
        world.has_taken(WATCH, position.wrapping_add(100))?;
    }
    Ok(())
}

fn releases(world: &mut dyn World, which: Release) -> Check {
    let returned = world.release(WATCH, which);
    expect(returned == Some(STATUS_SUCCESS), "what is kept is released", returned.unwrap_or(0))
}

/// PENDING keeps the octets until they are released; new ones come meanwhile.
fn released_as_a_list(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.has_taken(WATCH, 100)?;
    world.sends(watched.pair.near, 100, 100)?;
    world.has_taken(WATCH, 200)?;
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}

/// Nodes are released one at a time, the oldest first.
fn released_one_by_one(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    spread(world, &watched)?;
    for _ in 0..5 {
        releases(world, Release::Oldest)?;
    }
    world.close_pair(watched.pair)
}

/// Nodes are released in any order.
fn released_newest_first(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    spread(world, &watched)?;
    for which in [Release::Newest, Release::Oldest, Release::Newest, Release::Oldest, Release::Newest] {
        releases(world, which)?;
    }
    world.sends(watched.pair.near, 500, 100)?;
    world.has_taken(WATCH, 600)?;
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}

/// A chain of the client's own making, over several indications and backwards, is released.
fn released_as_another_list(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    spread(world, &watched)?;
    releases(world, Release::Backwards)?;
    world.sends(watched.pair.near, 500, 100)?;
    world.has_taken(WATCH, 600)?;
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}

/// Nodes may be released before the callback has returned PENDING.
fn released_before_the_return(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::KeepAndRelease, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    let mut position = 0u64;
    for length in [10, 1000, 50_000] {
        world.sends(watched.pair.near, position, length)?;
        position = position.wrapping_add(length as u64);
        world.has_taken(WATCH, position)?;
    }
    world.close_pair(watched.pair)
}

/// A node that was never given out is INVALID_PARAMETER, and harmless.
fn foreign_node(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.has_taken(WATCH, 100)?;
    let returned = world.release(WATCH, Release::Foreign);
    expect(returned == Some(STATUS_INVALID_PARAMETER), "a foreign node is refused", returned.unwrap_or(0))?;
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}

/// NULL is refused, or nothing.
fn null(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    let returned = world.release(WATCH, Release::Null);
    let either = matches!(returned, Some(STATUS_INVALID_PARAMETER | STATUS_SUCCESS));
    expect(either, "NULL is refused, or nothing", returned.unwrap_or(0))?;
    world.close_pair(watched.pair)
}

/// Kept octets take room: the sender waits once there is none left, and goes on after the release.
fn holds_up_the_sender(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    let length = 1 << 20;
    let sending = world.start(&send(watched.pair.near, data(&length, 0)))?;
    let mut taken = 0;
    while taken < length as u64 {
        taken = world.taken(WATCH, taken.saturating_add(1), crate::tools::PATIENCE);
        while world.release(WATCH, Release::Newest).is_some() {}
    }
    let sent = world.succeeded(sending)?;
    expect(sent.information == length, "the send is whole", sent.information)?;
    world.has_taken(WATCH, length as u64)?;
    world.close_pair(watched.pair)
}

/// Kept octets outlive the end of the stream.
fn over_the_end(world: &mut dyn World) -> Check {
    let watched = world.watched(WATCH, 0)?;
    world.set_script(WATCH, Script { receive: Taking::Keep, ..Script::WILLING });
    world.enable(watched.pair.far, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.has_taken(WATCH, 100)?;
    world.settle();
    world.succeeds(&disconnect(watched.pair.near), 0)?;
    let mut number = 1;
    while world
        .event(WATCH, number, crate::tools::PATIENCE)
        .is_some_and(|event| event.kind != Kind::Disconnect)
    {
        number = number.saturating_add(1);
    }
    world.sees(WATCH, number, Kind::Disconnect)?;
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}

/// Kept octets outlive the loss of the connection.
fn over_an_abort(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.has_taken(WATCH, 100)?;
    world.succeeds(&crate::tools::abort(watched.pair.near), 0)?;
    world.settle();
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}

/// Receives get what comes behind kept octets.
fn around_receives(world: &mut dyn World) -> Check {
    let watched = keeping(world)?;
    world.sends(watched.pair.near, 0, 100)?;
    world.has_taken(WATCH, 100)?;
    world.settle();
    world.disable(watched.pair.far, WSK_EVENT_RECEIVE)?;
    world.sends(watched.pair.near, 100, 100)?;
    world.receives(watched.pair.far, 100, 100)?;
    releases(world, Release::All)?;
    world.close_pair(watched.pair)
}
