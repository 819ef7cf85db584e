//! What holds for every function: NULL parameters.

use abi::status::{STATUS_INVALID_HANDLE, STATUS_INVALID_PARAMETER, STATUS_PENDING};
use abi::wsk::{AF_INET, IPPROTO_TCP, SOCK_STREAM, WSK_FLAG_LISTEN_SOCKET};

use crate::Case;
use crate::failure::{Check, Failure, Found, expect};
use crate::tools::tcp_socket;
use crate::world::{Call, Target, World};

pub(super) const NULL_IRP: Case =
    Case { name: "null-irp", section: "Using IRPs with Winsock Kernel Functions", run: null_irp };
pub(super) const NULL_CLIENT: Case = Case { name: "null-client", section: "WskSocket", run: null_client };
pub(super) const NULL_SOCKET: Case =
    Case { name: "null-socket", section: "Using IRPs with Winsock Kernel Functions", run: null_socket };

/// Without an IRP every function returns INVALID_PARAMETER and does nothing.
fn null_irp(world: &mut dyn World) -> Check {
    let refused = |world: &mut (dyn World + '_), call: &Call<'_>| {
        let returned = world
            .call_without_irp(call)
            .ok_or_else(|| Failure::new("the world has room for a call", Found::Nothing))?;
        expect(returned == STATUS_INVALID_PARAMETER, "a NULL IRP is INVALID_PARAMETER", returned)
    };
    refused(world, &tcp_socket(AF_INET, WSK_FLAG_LISTEN_SOCKET))?;
    // The IRP is looked at before the client.
    refused(
        world,
        &Call::Socket {
            null_client: true,
            family: AF_INET,
            socket_type: SOCK_STREAM,
            protocol: IPPROTO_TCP,
            flags: WSK_FLAG_LISTEN_SOCKET,
        },
    )?;
    let (listener, connection) = (world.listen_socket()?, world.connection_socket()?);
    world.with_each_call(listener, connection, Target::from, refused)?;
    // Both are as before: not bound, not closed.
    world.close_all(&[listener, connection])
}

/// A NULL client is INVALID_HANDLE, told before the function returns.
fn null_client(world: &mut dyn World) -> Check {
    let call = Call::Socket {
        null_client: true,
        family: AF_INET,
        socket_type: SOCK_STREAM,
        protocol: IPPROTO_TCP,
        flags: WSK_FLAG_LISTEN_SOCKET,
    };
    let completion = world.fails(&call, &[STATUS_INVALID_HANDLE])?;
    expect(completion.returned != STATUS_PENDING, "a NULL client is refused at once", completion.returned)
}

/// A NULL socket is INVALID_HANDLE, told before the function returns.
fn null_socket(world: &mut dyn World) -> Check {
    let (listener, connection) = (world.listen_socket()?, world.connection_socket()?);
    world.with_each_call(listener, connection, Target::null_like, |world, call| {
        let completion = world.fails(call, &[STATUS_INVALID_HANDLE])?;
        expect(completion.returned != STATUS_PENDING, "a NULL socket is refused at once", completion.returned)
    })?;
    world.close_all(&[listener, connection])
}
