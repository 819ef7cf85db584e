//! Functions that this provider does not serve.

use abi::status::STATUS_NOT_SUPPORTED;

use crate::Case;
use crate::failure::Check;
use crate::tools::data;
use crate::world::{Call, World};

pub(super) const NOT_SERVED: Case =
    Case { name: "not-served", section: "Using IRPs with Winsock Kernel Functions", run: not_served };

/// Every one completes its IRP, with NOT_SUPPORTED.
fn not_served(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let pair = world.pair_over(listener, at)?;
    let near = pair.near.into();
    let any = world.any_port();
    let length = 10;
    let calls = [
        Call::SocketConnect { local: any, remote: at },
        Call::ControlClient { code: 0 },
        Call::GetAddressInfo,
        Call::GetNameInfo,
        Call::ControlSocket { on: near, code: 0 },
        Call::ControlSocket { on: listener.into(), code: 0 },
        Call::InspectComplete { on: listener.into() },
        Call::ConnectEx { on: near, address: at },
        Call::SendEx { on: near, buffer: data(&length, 0) },
        Call::ReceiveEx { on: near, buffer: data(&length, 0) },
    ];
    for call in &calls {
        world.fails(call, &[STATUS_NOT_SUPPORTED])?;
    }
    world.sends(pair.near, 0, 10)?;
    world.receives(pair.far, 0, 10)?;
    world.close_pair(pair)
}
