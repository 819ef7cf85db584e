//! What a case can ask for, and what it gets to see.
//!
//! A [`World`] makes one WSK call for each [`Call`], with an IRP of its own whose completion it records. It decides nothing:
//! parameters go to the provider as the case gave them, wrong ones too. Whatever a client may free when a call returns
//! (`WSK_BUF`, addresses), the world makes unusable when it has returned, so a provider that looks later is found out.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use abi::NTSTATUS;
use abi::wsk::{WSK_CONTROL_SOCKET_TYPE, WSK_INSPECT_ACTION};

use crate::watch::{Event, InspectId, Kind, Release, Script, Watch};

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

/// The input of a control request.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// NULL and no octets.
    None,
    /// NULL, but so many octets.
    Null(usize),
    /// These octets, at most [`INPUT_MAX`].
    Octets(&'a [u8]),
    /// `WSK_EVENT_CALLBACK_CONTROL` with this mask, of WSK itself.
    Events(u32),
    /// The same with an identifier that is not WSK's.
    ForeignEvents(u32),
    /// The same with a NULL identifier.
    NamelessEvents(u32),
    /// `WSK_EXTENSION_CONTROL_IN` with an identifier that nobody has.
    Extension,
    /// The receive-ex callback of the socket's watch.
    ReceiveEx,
}

/// Most octets of an input.
pub const INPUT_MAX: usize = 64;

/// Most octets of an output.
pub const OUTPUT_MAX: usize = 1024;

/// A control request.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// `RequestType`; a client's requests have none.
    pub request: WSK_CONTROL_SOCKET_TYPE,
    /// `ControlCode`.
    pub code: u32,
    /// `Level`; a client's requests have none.
    pub level: u32,
    /// `InputBuffer` and `InputSize`.
    pub input: Input<'a>,
    /// `OutputSize`; none makes `OutputBuffer` NULL.
    pub output: usize,
    /// Whether there is an `OutputSizeReturned`.
    pub returned: bool,
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
    /// `WskListen`.
    Listen {
        /// The stream socket.
        on: Target,
    },
    /// `WskInspectComplete`.
    InspectComplete {
        /// The listening socket.
        on: Target,
        /// `InspectID`, or NULL.
        id: Option<InspectId>,
        /// `Action`.
        action: WSK_INSPECT_ACTION,
    },
    /// `WskConnect`.
    Connect {
        /// The socket.
        on: Target,
        /// `RemoteAddress`, or NULL.
        address: Option<SocketAddr>,
    },
    /// `WskConnectEx`.
    ConnectEx {
        /// The socket.
        on: Target,
        /// `RemoteAddress`, or NULL.
        address: Option<SocketAddr>,
        /// `Buffer`, or NULL.
        buffer: Option<Buffer<'a>>,
        /// `Flags`.
        flags: u32,
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
        /// `Flags`.
        flags: u32,
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
        /// `Flags`.
        flags: u32,
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
    /// `WskControlSocket` with buffers.
    Control {
        /// The socket.
        on: Target,
        /// The request.
        control: Control<'a>,
    },
    /// `WskControlClient` with buffers.
    ClientControl {
        /// The request.
        control: Control<'a>,
    },
    /// A call that makes a socket, with the context and callbacks of a watch.
    Watched {
        /// Who watches the new socket.
        by: Watch,
        /// The call.
        call: &'a Self,
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

/// What not every world can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// [`World::new_client`].
    NewClient,
    /// A list of transports, which only the system below knows.
    TransportList,
}

/// A WSK client.
///
/// Every IRP that a world makes is completed exactly once, or the world finds fault with the provider by means of its own.
pub trait World {
    /// An IPv4 address at which sockets can listen and be reached.
    fn ipv4(&self) -> IpAddr;

    /// An IPv6 address at which sockets can listen and be reached, if there is one.
    fn ipv6(&self) -> Option<IpAddr>;

    /// A port that nobody uses, in a world whose provider is not to be asked for the one that it has chosen.
    fn own_port(&mut self) -> Option<u16> {
        None
    }

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

    /// Whether the world can do this.
    fn has(&self, feature: Feature) -> bool;

    /// From here to the end of the case calls are made as another client, which has just registered.
    fn new_client(&mut self) -> bool;

    /// Makes a control call with a NULL IRP: what it returned, and what `OutputSizeReturned` is then. `into` becomes the
    /// output, untouched octets where nothing was written.
    fn control_without_irp(&mut self, call: &Call<'_>, into: &mut [u8]) -> Option<(NTSTATUS, usize)>;

    /// The output of a control request, and `OutputSizeReturned`.
    fn output(&mut self, operation: Operation, into: &mut [u8]) -> usize;

    /// Makes a call whose completion routine makes another one.
    fn call_then(&mut self, call: &Call<'_>, then: &Call<'static>) -> Option<(Operation, Operation)>;

    /// Has the next event of this kind make a call, from inside the callback. The operation is over when that call's is.
    fn call_inside(&mut self, watch: Watch, kind: Kind, call: &Call<'static>) -> Option<Operation>;

    /// Sets how a watch answers from now on.
    fn set_script(&mut self, watch: Watch, script: Script);

    /// The event of that number, counted from 0, if it begins within `limit`.
    fn event(&mut self, watch: Watch, number: usize, limit: Duration) -> Option<Event>;

    /// Octets of the stream that receive events have taken or kept, at the latest after `limit`; fewer than `least` only then.
    fn taken(&mut self, watch: Watch, least: u64, limit: Duration) -> u64;

    /// Sets the position of the stream that the next receive event begins at.
    fn set_position(&mut self, watch: Watch, position: u64);

    /// Lets callbacks go that [`Script::hold`] holds, and holds no more.
    fn let_go(&mut self, watch: Watch);

    /// `WskRelease` of what a watch has kept: what it returned. The nodes still hold their octets then, or the world finds fault.
    fn release(&mut self, watch: Watch, which: Release) -> Option<NTSTATUS>;

    /// Waits until nothing is under way, where the world can tell.
    fn settle(&mut self);
}
