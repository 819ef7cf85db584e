//! What a case can ask for, and what it gets to see.
//!
//! A [`World`] makes one WSK call for each [`Call`], with an IRP of its own whose completion it records. It decides nothing:
//! parameters go to the provider as the case gave them, wrong ones too. Whatever a client may free when a call returns
//! (`WSK_BUF`, addresses), the world makes unusable when it has returned, so a provider that looks later is found out.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use abi::NTSTATUS;

/// A socket of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket(pub u32);

/// The socket parameter of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The socket whose table has the function.
    pub socket: Socket,
    /// Pass NULL in its place.
    pub null: bool,
}

impl From<Socket> for Target {
    fn from(socket: Socket) -> Self {
        Self { socket, null: false }
    }
}

impl Target {
    /// A NULL socket, for the functions in the table of `like`.
    #[must_use]
    pub const fn null_like(like: Socket) -> Self {
        Self { socket: like, null: true }
    }
}

/// A request that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation(pub u32);

/// A `WSK_BUF` and its MDL chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer<'a> {
    /// Octets that each MDL describes, in the order of the chain; none makes `Mdl` NULL. The world decides how the memory
    /// lies in its pages.
    pub mdls: &'a [usize],
    /// `Offset`.
    pub offset: u32,
    /// `Length`; it may name more than there is.
    pub length: usize,
    /// What lies in the `Length` octets from `Offset` on: the [stream](crate::pattern::octet) from this position on, or
    /// [`UNTOUCHED`](crate::pattern::UNTOUCHED) octets. What lies beside them is untouched in any case.
    pub position: Option<u64>,
}

/// One WSK call. Parameters that are not named are NULL or zero.
#[derive(Clone, Copy, Debug)]
pub enum Call<'a> {
    /// `WskSocket`.
    Socket {
        /// Pass NULL for the client.
        null_client: bool,
        /// `AddressFamily`.
        family: u16,
        /// `SocketType`.
        socket_type: u16,
        /// `Protocol`.
        protocol: u32,
        /// `Flags`: the category.
        flags: u32,
    },
    /// `WskSocketConnect` of a TCP socket.
    SocketConnect {
        /// `LocalAddress`.
        local: SocketAddr,
        /// `RemoteAddress`.
        remote: SocketAddr,
    },
    /// `WskControlClient` without buffers.
    ControlClient {
        /// `ControlCode`.
        code: u32,
    },
    /// `WskGetAddressInfo` of no name.
    GetAddressInfo,
    /// `WskGetNameInfo` of no address.
    GetNameInfo,
    /// `WskControlSocket`: an I/O control without buffers.
    ControlSocket {
        /// The socket.
        on: Target,
        /// `ControlCode`.
        code: u32,
    },
    /// `WskBind`.
    Bind {
        /// The socket.
        on: Target,
        /// `LocalAddress`, or NULL.
        address: Option<SocketAddr>,
    },
    /// `WskAccept`.
    Accept {
        /// The listening socket.
        on: Target,
        /// Ask for both addresses; otherwise NULL.
        addresses: bool,
    },
    /// `WskInspectComplete` of no request.
    InspectComplete {
        /// The listening socket.
        on: Target,
    },
    /// `WskConnect`.
    Connect {
        /// The socket.
        on: Target,
        /// `RemoteAddress`, or NULL.
        address: Option<SocketAddr>,
    },
    /// `WskConnectEx` without data.
    ConnectEx {
        /// The socket.
        on: Target,
        /// `RemoteAddress`.
        address: SocketAddr,
    },
    /// `WskGetLocalAddress`.
    LocalAddress {
        /// The socket.
        on: Target,
    },
    /// `WskGetRemoteAddress`.
    RemoteAddress {
        /// The socket.
        on: Target,
    },
    /// `WskSend`.
    Send {
        /// The socket.
        on: Target,
        /// `Buffer`, or NULL.
        buffer: Option<Buffer<'a>>,
        /// `Flags`.
        flags: u32,
    },
    /// `WskSendEx` without ancillary data.
    SendEx {
        /// The socket.
        on: Target,
        /// `Buffer`.
        buffer: Buffer<'a>,
    },
    /// `WskReceive`.
    Receive {
        /// The socket.
        on: Target,
        /// `Buffer`, or NULL.
        buffer: Option<Buffer<'a>>,
        /// `Flags`.
        flags: u32,
    },
    /// `WskReceiveEx` without ancillary data.
    ReceiveEx {
        /// The socket.
        on: Target,
        /// `Buffer`.
        buffer: Buffer<'a>,
    },
    /// `WskDisconnect`.
    Disconnect {
        /// The socket.
        on: Target,
        /// `Buffer`, or NULL.
        buffer: Option<Buffer<'a>>,
        /// `Flags`.
        flags: u32,
    },
    /// `WskCloseSocket`. The socket number is used up when it ends with success.
    Close {
        /// The socket.
        on: Target,
    },
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What the function returned.
    pub returned: NTSTATUS,
    /// `IoStatus.Status`.
    pub status: NTSTATUS,
    /// `IoStatus.Information`.
    pub information: usize,
    /// `PendingReturned`, as the completion routine saw it.
    pub pending_returned: bool,
    /// The completion routine had run when the function returned.
    pub before_return: bool,
    /// Counts the completions of the world, so that the order of two can be told.
    pub order: u64,
    /// The new socket, of a request that makes one and succeeded.
    pub socket: Option<Socket>,
    /// What the provider wrote to the first address parameter: the local address of an accept, the address asked for.
    pub address: Option<SocketAddr>,
    /// What the provider wrote to the second address parameter: the remote address of an accept.
    pub remote: Option<SocketAddr>,
}

/// A WSK client.
///
/// Every IRP that a world makes is completed exactly once, or the world finds fault with the provider by means of its own.
pub trait World {
    /// An IPv4 address at which sockets can listen and be reached.
    fn ipv4(&self) -> IpAddr;

    /// An IPv6 address at which sockets can listen and be reached, if there is one.
    fn ipv6(&self) -> Option<IpAddr>;

    /// Makes a call; `None` if the world has no memory or place for it.
    fn call(&mut self, call: &Call<'_>) -> Option<Operation>;

    /// Makes a call with a NULL IRP; what it returned.
    fn call_without_irp(&mut self, call: &Call<'_>) -> Option<NTSTATUS>;

    /// How the request ended, if it does within `limit`. It may be asked again.
    fn wait(&mut self, operation: Operation, limit: Duration) -> Option<Completion>;

    /// `IoCancelIrp`. When it returns, a cancel routine, if one was called, has returned.
    fn cancel(&mut self, operation: Operation);

    /// Copies octets of a request's MDL chain, from the chain's octet `from` on, whatever its `WSK_BUF` named. Octets that
    /// are not there come out untouched.
    fn read(&mut self, operation: Operation, from: usize, into: &mut [u8]);
}
