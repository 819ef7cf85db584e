//! `WskAccept`.

use abi::status::{STATUS_CANCELLED, STATUS_INVALID_DEVICE_STATE};

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{Pair, accept, connect};
use crate::world::{Call, World};

pub(super) const BEFORE_CONNECT: Case =
    Case { name: "accept-before-connect", section: "WskAccept", run: before_connect };
pub(super) const AFTER_CONNECT: Case =
    Case { name: "accept-after-connect", section: "WskAccept", run: after_connect };
pub(super) const IN_ORDER: Case = Case { name: "accept-in-order", section: "WskAccept", run: in_order };
pub(super) const WITHOUT_ADDRESSES: Case =
    Case { name: "accept-without-addresses", section: "WskAccept", run: without_addresses };
pub(super) const NOT_LISTENING: Case =
    Case { name: "accept-not-listening", section: "WskAccept", run: not_listening };
pub(super) const CANCELLED: Case = Case { name: "accept-cancelled", section: "WskAccept", run: cancelled };

/// The accept waits for the connection.
fn before_connect(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let accepting = world.start(&accept(listener))?;
    expect(!world.is_done(accepting), "an accept waits for a connection", 0usize)?;
    let near = world.bound()?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(accepting)?;
    world.sends(far, 0, 10)?;
    world.receives(near, 0, 10)?;
    world.close_pair(Pair { listener, near, far })
}

/// The connection waits for the accept, and what was sent meanwhile is not lost.
fn after_connect(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    world.succeeds(&connect(near, at), 0)?;
    world.sends(near, 0, 500)?;
    let accepting = world.start(&accept(listener))?;
    let far = world.made(accepting)?;
    world.receives(far, 0, 500)?;
    world.sends(near, 500, 500)?;
    world.receives(far, 500, 500)?;
    world.close_pair(Pair { listener, near, far })
}

/// Several accepts wait side by side; each connection goes to the oldest.
fn in_order(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let accepts =
        [world.start(&accept(listener))?, world.start(&accept(listener))?, world.start(&accept(listener))?];
    for (index, accepting) in accepts.into_iter().enumerate() {
        let near = world.bound()?;
        world.succeeds(&connect(near, at), 0)?;
        let accepted = world.succeeded(accepting)?;
        let here = world.local_address(near)?;
        expect(accepted.remote == Some(here), "the oldest accept gets the connection", accepted.remote)?;
        for later in accepts.iter().skip(index.saturating_add(1)) {
            expect(!world.is_done(*later), "the later accepts wait on", index)?;
        }
        let far = world.made(accepting)?;
        world.close_all(&[near, far])?;
    }
    world.close_all(&[listener])
}

/// Both address parameters are optional.
fn without_addresses(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let accepting = world.start(&Call::Accept { on: listener.into(), addresses: false })?;
    let near = world.bound()?;
    world.succeeds(&connect(near, at), 0)?;
    let accepted = world.succeeded(accepting)?;
    expect(
        accepted.address.is_none() && accepted.remote.is_none(),
        "no address is written",
        accepted.address,
    )?;
    let far = world.made(accepting)?;
    world.close_pair(Pair { listener, near, far })
}

/// A listening socket listens from its bind on, not before.
fn not_listening(world: &mut dyn World) -> Check {
    let listener = world.listen_socket()?;
    world.fails(&accept(listener), &[STATUS_INVALID_DEVICE_STATE])?;
    world.close_all(&[listener])
}

/// A cancelled accept ends inside IoCancelIrp; the connection goes to the next one.
fn cancelled(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let [first, second] = [world.start(&accept(listener))?, world.start(&accept(listener))?];
    world.cancel(first);
    expect(world.is_done(first), "the cancelled accept is completed inside IoCancelIrp", 0usize)?;
    world.failed(first, &[STATUS_CANCELLED])?;
    let near = world.bound()?;
    world.succeeds(&connect(near, at), 0)?;
    let far = world.made(second)?;
    // Without effect: it is completed.
    world.cancel(second);
    world.sends(near, 0, 10)?;
    world.receives(far, 0, 10)?;
    world.close_pair(Pair { listener, near, far })
}
