//! The dispatch tables, in their longest form, and the edge behind them.

mod client;
mod connection;
mod datagram;
mod listen;
mod names;
mod socket;

use abi::wsk::*;

use super::registration::HIGHEST;

/// WSK_PROVIDER_DISPATCH.
pub(super) static PROVIDER: WSK_PROVIDER_DISPATCH = WSK_PROVIDER_DISPATCH {
    Version: HIGHEST,
    Reserved: 0,
    WskSocket: client::wsk_socket,
    WskSocketConnect: client::wsk_socket_connect,
    WskControlClient: client::wsk_control_client,
    WskGetAddressInfo: names::wsk_get_address_info,
    WskFreeAddressInfo: names::wsk_free_address_info,
    WskGetNameInfo: names::wsk_get_name_info,
};

/// WSK_PROVIDER_BASIC_DISPATCH.
pub(super) static BASIC: WSK_PROVIDER_BASIC_DISPATCH = WSK_PROVIDER_BASIC_DISPATCH {
    WskControlSocket: socket::wsk_control_socket,
    WskCloseSocket: socket::wsk_close_socket,
};

/// WSK_PROVIDER_LISTEN_DISPATCH.
pub(super) static LISTEN: WSK_PROVIDER_LISTEN_DISPATCH = WSK_PROVIDER_LISTEN_DISPATCH {
    Basic: BASIC,
    WskBind: socket::wsk_bind,
    WskAccept: listen::wsk_accept,
    WskInspectComplete: listen::wsk_inspect_complete,
    WskGetLocalAddress: socket::wsk_get_local_address,
};

/// WSK_PROVIDER_CONNECTION_DISPATCH.
pub(super) static CONNECTION: WSK_PROVIDER_CONNECTION_DISPATCH = WSK_PROVIDER_CONNECTION_DISPATCH {
    Basic: BASIC,
    WskBind: socket::wsk_bind,
    WskConnect: connection::wsk_connect,
    WskGetLocalAddress: socket::wsk_get_local_address,
    WskGetRemoteAddress: connection::wsk_get_remote_address,
    WskSend: connection::wsk_send,
    WskReceive: connection::wsk_receive,
    WskDisconnect: connection::wsk_disconnect,
    WskRelease: connection::wsk_release,
    WskConnectEx: connection::wsk_connect_ex,
    WskSendEx: connection::wsk_send_ex,
    WskReceiveEx: connection::wsk_receive_ex,
};

/// WSK_PROVIDER_STREAM_DISPATCH.
pub(super) static STREAM: WSK_PROVIDER_STREAM_DISPATCH = WSK_PROVIDER_STREAM_DISPATCH {
    Basic: BASIC,
    WskBind: socket::wsk_bind,
    WskAccept: listen::wsk_accept,
    WskConnect: connection::wsk_connect,
    WskListen: listen::wsk_listen,
    WskSend: connection::wsk_send,
    WskReceive: connection::wsk_receive,
    WskDisconnect: connection::wsk_disconnect,
    WskRelease: connection::wsk_release,
    WskGetLocalAddress: socket::wsk_get_local_address,
    WskGetRemoteAddress: connection::wsk_get_remote_address,
    WskConnectEx: connection::wsk_connect_ex,
    WskSendEx: connection::wsk_send_ex,
    WskReceiveEx: connection::wsk_receive_ex,
};

/// WSK_PROVIDER_DATAGRAM_DISPATCH.
pub(super) static DATAGRAM: WSK_PROVIDER_DATAGRAM_DISPATCH = WSK_PROVIDER_DATAGRAM_DISPATCH {
    Basic: BASIC,
    WskBind: socket::wsk_bind,
    WskSendTo: datagram::wsk_send_to,
    WskReceiveFrom: datagram::wsk_receive_from,
    WskRelease: datagram::wsk_release,
    WskGetLocalAddress: socket::wsk_get_local_address,
    WskSendMessages: datagram::wsk_send_messages,
};
