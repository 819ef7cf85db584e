//! How each [`Call`] reaches a provider: through its tables, with what a client may give up when the function returns made
//! unusable then. Every world that runs cases makes its calls here.
//!
//! | module | is |
//! |---|---|
//! | `brief` | parameters that the provider may look at during the call only |
//! | [`control`] | input and output of control requests |
//! | `function` | the functions by number |
//! | [`room`] | room for what a provider writes, and finding out that it wrote beside it |

mod brief;
pub mod control;
mod function;
pub mod room;

use core::ffi::c_void;
use core::ptr;

use abi::NTSTATUS;
use abi::nt::{IRP, MDL};
use abi::wsk::*;
use brief::{Brief, BriefAddress};
use cases::pattern::{self, UNTOUCHED};
use cases::watch::Watch;
use cases::world::{Buffer, Call, Control, Socket, Target};
use control::ControlRoom;

pub use function::{ALL_FUNCTIONS, Function};

use crate::watch::Watchers;

/// An open socket, and which table is behind its pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open {
    /// The provider's socket.
    pub pointer: PWSK_SOCKET,
    /// WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_CONNECTION_SOCKET or WSK_FLAG_STREAM_SOCKET.
    pub category: u32,
}

/// A function of a socket's table: `function!(open, WskBind: Listen Connection Stream)`, with the categories that have it.
macro_rules! function {
    ($open:expr, $name:ident: $($category:ident)+) => {
        match $open.category {
            $(function!(@flag $category) => {
                // SAFETY: the socket is open, and this its category's table.
                let table = unsafe { $open.table::<function!(@table $category)>() };
                // SAFETY: a provider's table is valid as long as the socket.
                unsafe { (*table).$name }
            })+
            _ => return None,
        }
    };
    (@flag Listen) => { WSK_FLAG_LISTEN_SOCKET };
    (@flag Connection) => { WSK_FLAG_CONNECTION_SOCKET };
    (@flag Stream) => { WSK_FLAG_STREAM_SOCKET };
    (@table Listen) => { WSK_PROVIDER_LISTEN_DISPATCH };
    (@table Connection) => { WSK_PROVIDER_CONNECTION_DISPATCH };
    (@table Stream) => { WSK_PROVIDER_STREAM_DISPATCH };
}

impl Open {
    /// The socket's table.
    ///
    /// # Safety
    /// The socket is open, and `T` is its category's table or a beginning of that.
    unsafe fn table<T>(self) -> *const T {
        // SAFETY: as promised by the caller.
        unsafe { (*self.pointer).Dispatch }.cast()
    }
}

/// What a request means for the sockets of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    None,
    /// It makes a socket of this category.
    Makes(u32),
    /// It closes a socket.
    Closes(Socket),
}

/// What a call means for the sockets, if it succeeds.
#[must_use]
pub fn effect(call: &Call<'_>) -> Effect {
    match *call {
        Call::Socket { flags, .. } => Effect::Makes(flags),
        Call::Accept { .. } | Call::SocketConnect { .. } => Effect::Makes(WSK_FLAG_CONNECTION_SOCKET),
        Call::Close { on } if !on.null => Effect::Closes(on.socket),
        Call::Watched { call, .. } => effect(call),
        _ => Effect::None,
    }
}

/// Who watches the socket that a call makes.
#[must_use]
pub fn watch(call: &Call<'_>) -> Option<Watch> {
    match *call {
        Call::Watched { by, .. } => Some(by),
        _ => None,
    }
}

/// The socket that a call is made on.
#[must_use]
pub fn target(call: &Call<'_>) -> Option<Target> {
    match *call {
        Call::Bind { on, .. }
        | Call::Accept { on, .. }
        | Call::Listen { on }
        | Call::InspectComplete { on, .. }
        | Call::LocalAddress { on }
        | Call::RemoteAddress { on }
        | Call::ControlSocket { on, .. }
        | Call::Control { on, .. }
        | Call::Connect { on, .. }
        | Call::ConnectEx { on, .. }
        | Call::Send { on, .. }
        | Call::SendEx { on, .. }
        | Call::Receive { on, .. }
        | Call::ReceiveEx { on, .. }
        | Call::Disconnect { on, .. }
        | Call::Close { on } => Some(on),
        Call::Watched { call, .. } => target(call),
        Call::Socket { .. }
        | Call::SocketConnect { .. }
        | Call::ControlClient { .. }
        | Call::ClientControl { .. }
        | Call::GetAddressInfo
        | Call::GetNameInfo => None,
    }
}

/// The buffer that a call names.
#[must_use]
pub fn buffer<'a>(call: &Call<'a>) -> Option<Buffer<'a>> {
    match *call {
        Call::Send { buffer, .. }
        | Call::Receive { buffer, .. }
        | Call::Disconnect { buffer, .. }
        | Call::ConnectEx { buffer, .. } => buffer,
        Call::SendEx { buffer, .. } | Call::ReceiveEx { buffer, .. } => Some(buffer),
        _ => None,
    }
}

/// Fills part of a chain's octets as its buffer asks: those that begin at the chain's octet `from`.
pub fn fill(buffer: &Buffer<'_>, from: usize, octets: &mut [u8]) {
    octets.fill(UNTOUCHED);
    let Some(position) = buffer.position else { return };
    // Lossless: every supported target has 64-bit addresses.
    let start = buffer.offset as usize;
    let end = start.saturating_add(buffer.length);
    let (first, last) = (start.max(from), end.min(from.saturating_add(octets.len())));
    let named = octets.get_mut(first.saturating_sub(from)..last.saturating_sub(from));
    pattern::fill(named.unwrap_or_default(), position.wrapping_add(first.saturating_sub(start) as u64));
}

/// What a call is made with, beside its own parameters. All of it lives until the IRP is completed.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// The IRP, or NULL.
    pub irp: *mut IRP,
    /// The chain of the call's buffer, or NULL.
    pub mdl: *mut MDL,
    /// Room for an address: the local address of an accept, or the address that is asked for.
    pub first: *mut SOCKADDR,
    /// Room for the remote address of an accept.
    pub second: *mut SOCKADDR,
    /// Room for a control request.
    pub control: *mut ControlRoom,
}

/// Makes calls of one client.
#[derive(Clone, Copy)]
pub struct Caller<'a, F> {
    /// The captured provider.
    pub npi: WSK_PROVIDER_NPI,
    /// Finds an open socket.
    pub open: F,
    /// The callbacks of new sockets.
    pub watchers: Option<&'a Watchers>,
}

/// The context and callbacks of a socket that has none.
const UNWATCHED: (*mut c_void, *const c_void) = (ptr::null_mut(), ptr::null());

impl<F: Fn(Socket) -> Option<Open>> Caller<'_, F> {
    /// What to pass for a socket, and the socket whose table has the function.
    fn socket(&self, target: Target) -> Option<(PWSK_SOCKET, Open)> {
        let open = (self.open)(target.socket)?;
        Some((if target.null { ptr::null_mut() } else { open.pointer }, open))
    }

    /// Makes the call; what the function returned. `None`: there is no such socket, or it has no such function, and nothing
    /// was called. IRQL as the function's page says.
    ///
    /// # Safety
    /// The provider is captured, the sockets that `open` finds are open, and the parameters are as [`Parameters`] says.
    pub unsafe fn make(&self, call: &Call<'_>, with: &Parameters) -> Option<NTSTATUS> {
        // SAFETY: as promised by the caller.
        unsafe { self.make_watched(call, with, None) }
    }

    /// The same with the callbacks of a watch for the new socket.
    ///
    /// # Safety
    /// As for [`make`](Self::make).
    unsafe fn make_watched(&self, call: &Call<'_>, with: &Parameters, by: Option<Watch>) -> Option<NTSTATUS> {
        match *call {
            Call::Watched { by, call } => {
                // SAFETY: as promised by the caller.
                unsafe { self.make_watched(call, with, Some(by)) }
            }
            Call::Bind { .. }
            | Call::Accept { .. }
            | Call::Listen { .. }
            | Call::Control { .. }
            | Call::InspectComplete { .. }
            | Call::LocalAddress { .. }
            | Call::ControlSocket { .. }
            | Call::Close { .. } => {
                // SAFETY: as promised by the caller.
                unsafe { self.make_socket_call(call, with, by) }
            }
            Call::Socket { .. }
            | Call::SocketConnect { .. }
            | Call::ControlClient { .. }
            | Call::ClientControl { .. }
            | Call::GetAddressInfo
            | Call::GetNameInfo => {
                // SAFETY: as promised by the caller.
                unsafe { self.make_client_call(call, with, by) }
            }
            _ => {
                // SAFETY: as promised by the caller.
                unsafe { self.make_connection_call(call, with) }
            }
        }
    }

    /// What to pass for the callbacks of a new socket.
    fn callbacks(&self, by: Option<Watch>, category: u32) -> (*mut c_void, *const c_void) {
        let parameters = |(watchers, by): (&Watchers, _)| watchers.parameters(by, category);
        self.watchers.zip(by).map_or(UNWATCHED, parameters)
    }

    /// The functions that listening sockets have.
    ///
    /// # Safety
    /// As for [`make`](Self::make).
    unsafe fn make_socket_call(
        &self,
        call: &Call<'_>,
        with: &Parameters,
        by: Option<Watch>,
    ) -> Option<NTSTATUS> {
        let &Parameters { irp, first, second, control: room, .. } = with;
        let (socket, open) = self.socket(target(call)?)?;
        // SAFETY: the socket is open, and every table begins with the basic one.
        let basic = unsafe { open.table::<WSK_PROVIDER_BASIC_DISPATCH>() };
        let null = ptr::null_mut();
        match *call {
            Call::Bind { address, .. } => {
                let bind = function!(open, WskBind: Listen Connection Stream);
                let mut at = address.map(BriefAddress::new);
                let at = at.as_mut().map_or(ptr::null_mut(), BriefAddress::as_mut_ptr);
                // SAFETY: a call as its page says; the address is valid during the call.
                Some(unsafe { bind(socket, at, 0, irp) })
            }
            Call::LocalAddress { .. } => {
                let get = function!(open, WskGetLocalAddress: Listen Connection Stream);
                // SAFETY: a call as its page says; the address lives as long as the request.
                Some(unsafe { get(socket, first, irp) })
            }
            Call::Accept { addresses, .. } => {
                let accept = function!(open, WskAccept: Listen Stream);
                let (context, dispatch) = self.callbacks(by, WSK_FLAG_CONNECTION_SOCKET);
                let [local, remote] = if addresses { [first, second] } else { [ptr::null_mut(); 2] };
                // SAFETY: a call as its page says; the addresses live as long as the request, the watch as the socket.
                Some(unsafe { accept(socket, 0, context, dispatch.cast(), local, remote, irp) })
            }
            Call::Listen { .. } => {
                let listen = function!(open, WskListen: Stream);
                // SAFETY: a call as its page says.
                Some(unsafe { listen(socket, irp) })
            }
            Call::InspectComplete { id, action, .. } => {
                let complete = function!(open, WskInspectComplete: Listen);
                let id = id.map(|id| WSK_INSPECT_ID { Key: id.key, SerialNumber: id.serial });
                let mut id = id.map(Brief::new);
                let id = id.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr);
                // SAFETY: a call as its page says; the id is valid during the call.
                Some(unsafe { complete(socket, id, action, irp) })
            }
            Call::ControlSocket { code, .. } => {
                // SAFETY: a provider's table is valid as long as the socket.
                let control = unsafe { (*basic).WskControlSocket };
                // SAFETY: a call as its page says; without buffers nothing is looked at.
                Some(unsafe { control(socket, WskIoctl, code, 0, 0, null, 0, null, null.cast(), irp) })
            }
            Call::Control {
                control: Control { request, code, level, ref input, output, returned }, ..
            } => {
                // SAFETY: a provider's table is valid as long as the socket.
                let function = unsafe { (*basic).WskControlSocket };
                // SAFETY: the request's room.
                let places = unsafe { control::prepare(room, input) };
                let (input, size) = places.input;
                let to = if output == 0 { null } else { places.output };
                let returned = if returned { places.returned } else { null.cast() };
                // SAFETY: a call as its page says; the buffers live as long as the request.
                Some(unsafe {
                    function(socket, request, code, level, size, input, output, to, returned, irp)
                })
            }
            Call::Close { .. } => {
                // SAFETY: a provider's table is valid as long as the socket.
                let close = unsafe { (*basic).WskCloseSocket };
                // SAFETY: a call as its page says; the socket is not used afterwards unless this fails.
                Some(unsafe { close(socket, irp) })
            }
            _ => None,
        }
    }

    /// The functions that only connection sockets have.
    ///
    /// # Safety
    /// As for [`make`](Self::make).
    unsafe fn make_connection_call(&self, call: &Call<'_>, with: &Parameters) -> Option<NTSTATUS> {
        let &Parameters { irp, mdl, first, .. } = with;
        let (socket, open) = self.socket(target(call)?)?;
        let mut brief = buffer(call).map(|buffer| {
            Brief::<WSK_BUF>::new(WSK_BUF { Mdl: mdl, Offset: buffer.offset, Length: buffer.length })
        });
        let buf = brief.as_mut().map_or(ptr::null_mut(), Brief::as_mut_ptr);
        let none = ptr::null_mut::<c_void>();
        let returned = match *call {
            Call::Connect { address, .. } => {
                let connect = function!(open, WskConnect: Connection Stream);
                let mut to = address.map(BriefAddress::new);
                let to = to.as_mut().map_or(ptr::null_mut(), BriefAddress::as_mut_ptr);
                // SAFETY: a call as its page says; the address is valid during the call.
                unsafe { connect(socket, to, 0, irp) }
            }
            Call::ConnectEx { address, flags, .. } => {
                let connect = function!(open, WskConnectEx: Connection Stream);
                let mut to = address.map(BriefAddress::new);
                let to = to.as_mut().map_or(ptr::null_mut(), BriefAddress::as_mut_ptr);
                // SAFETY: a call as its page says; address and buffer are valid during the call, the chain as long as the
                // request.
                unsafe { connect(socket, to, buf, flags, irp) }
            }
            Call::RemoteAddress { .. } => {
                let get = function!(open, WskGetRemoteAddress: Connection Stream);
                // SAFETY: a call as its page says; the address lives as long as the request.
                unsafe { get(socket, first, irp) }
            }
            Call::Send { flags, .. } => {
                let send = function!(open, WskSend: Connection Stream);
                // SAFETY: a call as its page says; the buffer is valid during the call, its chain as long as the request.
                unsafe { send(socket, buf, flags, irp) }
            }
            Call::SendEx { flags, .. } => {
                let send = function!(open, WskSendEx: Connection Stream);
                // SAFETY: as for a send.
                unsafe { send(socket, buf, flags, 0, none.cast(), irp) }
            }
            Call::Receive { flags, .. } => {
                let receive = function!(open, WskReceive: Connection Stream);
                // SAFETY: as for a send.
                unsafe { receive(socket, buf, flags, irp) }
            }
            Call::ReceiveEx { flags, .. } => {
                let receive = function!(open, WskReceiveEx: Connection Stream);
                // SAFETY: as for a send.
                unsafe { receive(socket, buf, flags, none.cast(), none.cast(), none.cast(), irp) }
            }
            Call::Disconnect { flags, .. } => {
                let disconnect = function!(open, WskDisconnect: Connection Stream);
                // SAFETY: as for a send.
                unsafe { disconnect(socket, buf, flags, irp) }
            }
            _ => return None,
        };
        Some(returned)
    }

    /// The functions that need no socket.
    ///
    /// # Safety
    /// As for [`make`](Self::make).
    unsafe fn make_client_call(
        &self,
        call: &Call<'_>,
        with: &Parameters,
        by: Option<Watch>,
    ) -> Option<NTSTATUS> {
        let irp = with.irp;
        // SAFETY: captured, so the provider's table is valid.
        let provider = unsafe { &*self.npi.Dispatch };
        let client = self.npi.Client;
        let null = ptr::null_mut::<c_void>();
        let returned = match *call {
            Call::Socket { null_client, family, socket_type, protocol, flags } => {
                let client = if null_client { ptr::null_mut() } else { client };
                let (context, none) = self.callbacks(by, flags);
                let (process, thread, descriptor) = (null.cast(), null.cast(), null.cast());
                let create = provider.WskSocket;
                // SAFETY: a call as its page says.
                unsafe {
                    create(
                        client,
                        family,
                        socket_type,
                        protocol,
                        flags,
                        context,
                        none,
                        process,
                        thread,
                        descriptor,
                        irp,
                    )
                }
            }
            Call::SocketConnect { local, remote } => {
                let (mut local, mut remote) = (BriefAddress::new(local), BriefAddress::new(remote));
                let (from, to) = (local.as_mut_ptr(), remote.as_mut_ptr());
                let (process, thread, descriptor) = (null.cast(), null.cast(), null.cast());
                let (kind, protocol) = (SOCK_STREAM, IPPROTO_TCP);
                let (context, dispatch) = self.callbacks(by, WSK_FLAG_CONNECTION_SOCKET);
                let connect = provider.WskSocketConnect;
                // SAFETY: a call as its page says; the addresses are valid during the call.
                unsafe {
                    connect(
                        client,
                        kind,
                        protocol,
                        from,
                        to,
                        0,
                        context,
                        dispatch.cast(),
                        process,
                        thread,
                        descriptor,
                        irp,
                    )
                }
            }
            Call::ControlClient { code } => {
                let control = provider.WskControlClient;
                // SAFETY: a call as its page says; without buffers nothing is looked at.
                unsafe { control(client, code, 0, null, 0, null, null.cast(), irp) }
            }
            Call::ClientControl { control: Control { code, ref input, output, returned, .. } } => {
                let function = provider.WskControlClient;
                // SAFETY: the request's room.
                let places = unsafe { control::prepare(with.control, input) };
                let (input, size) = places.input;
                let to = if output == 0 { null } else { places.output };
                let returned = if returned { places.returned } else { null.cast() };
                // SAFETY: a call as its page says; the buffers live as long as the request.
                unsafe { function(client, code, size, input, output, to, returned, irp) }
            }
            Call::GetAddressInfo => {
                let mut result = ptr::null_mut();
                let (name, process, thread) = (ptr::null_mut(), null.cast(), null.cast());
                let get = provider.WskGetAddressInfo;
                // SAFETY: a call as its page says.
                unsafe {
                    get(client, name, name, 0, null.cast(), null.cast(), &mut result, process, thread, irp)
                }
            }
            Call::GetNameInfo => {
                let (name, process, thread) = (ptr::null_mut(), null.cast(), null.cast());
                let get = provider.WskGetNameInfo;
                // SAFETY: a call as its page says.
                unsafe { get(client, ptr::null_mut(), 0, name, name, 0, process, thread, irp) }
            }
            _ => return None,
        };
        Some(returned)
    }
}

#[cfg(test)]
mod tests;
