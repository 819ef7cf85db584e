//! The functions by number, as a run of cases names them in its masks (`control::client::FUNCTIONS`).

use cases::world::Call;

/// What a case asks of a provider. Its number is its place in [`control::client::FUNCTIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "each is the function of that name")]
pub enum Function {
    WskSocket,
    WskSocketConnect,
    WskControlClient,
    WskGetAddressInfo,
    WskGetNameInfo,
    WskControlSocket,
    WskBind,
    WskAccept,
    WskInspectComplete,
    WskConnect,
    WskConnectEx,
    WskGetLocalAddress,
    WskGetRemoteAddress,
    WskSend,
    WskSendEx,
    WskReceive,
    WskReceiveEx,
    WskDisconnect,
    WskCloseSocket,
    WskListen,
    WskRelease,
    IoCancelIrp,
    /// A socket with callbacks.
    Callbacks,
    /// A chain of more than one MDL, an MDL without octets, or a buffer that names more than its chain holds.
    UnusualBuffers,
    /// A NULL IRP, client, socket, address or buffer where there has to be one.
    NullParameters,
}

/// A mask of every function there is.
pub const ALL_FUNCTIONS: u64 = (1 << control::client::FUNCTIONS.len()) - 1;

impl Function {
    /// The function's bit in a mask.
    #[must_use]
    pub const fn bit(self) -> u64 {
        1 << self as u32
    }

    /// The functions that a call asks for, as a mask.
    #[must_use]
    pub fn mask(call: &Call<'_>) -> u64 {
        let (function, null) = match *call {
            Call::Socket { null_client, .. } => (Self::WskSocket, null_client),
            Call::SocketConnect { .. } => (Self::WskSocketConnect, false),
            Call::ControlClient { .. } => (Self::WskControlClient, false),
            Call::GetAddressInfo => (Self::WskGetAddressInfo, false),
            Call::GetNameInfo => (Self::WskGetNameInfo, false),
            Call::ControlSocket { on, .. } => (Self::WskControlSocket, on.null),
            Call::Bind { on, address } => (Self::WskBind, on.null || address.is_none()),
            Call::Accept { on, .. } => (Self::WskAccept, on.null),
            Call::InspectComplete { on, .. } => (Self::WskInspectComplete, on.null),
            Call::Connect { on, address } => (Self::WskConnect, on.null || address.is_none()),
            Call::ConnectEx { on, address, .. } => (Self::WskConnectEx, on.null || address.is_none()),
            Call::LocalAddress { on } => (Self::WskGetLocalAddress, on.null),
            Call::RemoteAddress { on } => (Self::WskGetRemoteAddress, on.null),
            Call::Send { on, buffer, .. } => (Self::WskSend, on.null || buffer.is_none()),
            Call::SendEx { on, .. } => (Self::WskSendEx, on.null),
            Call::Receive { on, buffer, .. } => (Self::WskReceive, on.null || buffer.is_none()),
            Call::ReceiveEx { on, .. } => (Self::WskReceiveEx, on.null),
            Call::Disconnect { on, .. } => (Self::WskDisconnect, on.null),
            Call::Close { on } => (Self::WskCloseSocket, on.null),
            Call::Listen { on } => (Self::WskListen, on.null),
            Call::Control { on, .. } => (Self::WskControlSocket, on.null),
            Call::ClientControl { .. } => (Self::WskControlClient, false),
            Call::Watched { call, .. } => return Self::mask(call) | Self::Callbacks.bit(),
        };
        let unusual = super::buffer(call).is_some_and(|buffer| {
            let held = buffer.mdls.iter().sum::<usize>();
            let named = (buffer.offset as usize).saturating_add(buffer.length);
            buffer.mdls.len() != 1 || buffer.mdls.contains(&0) || named > held
        });
        let bit = |is: bool, function: Self| if is { function.bit() } else { 0 };
        function.bit() | bit(null, Self::NullParameters) | bit(unusual, Self::UnusualBuffers)
    }
}
