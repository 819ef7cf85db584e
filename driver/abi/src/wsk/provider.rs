//! The provider's tables (`wsk.h`). They have no size member: a provider publishes the longest form, a client reads no
//! further than the Windows version it runs on promises.

use super::{
    PFN_WSK_ACCEPT, PFN_WSK_BIND, PFN_WSK_CLOSE_SOCKET, PFN_WSK_CONNECT, PFN_WSK_CONNECT_EX,
    PFN_WSK_CONTROL_CLIENT, PFN_WSK_CONTROL_SOCKET, PFN_WSK_DISCONNECT, PFN_WSK_FREE_ADDRESS_INFO,
    PFN_WSK_GET_ADDRESS_INFO, PFN_WSK_GET_LOCAL_ADDRESS, PFN_WSK_GET_NAME_INFO, PFN_WSK_GET_REMOTE_ADDRESS,
    PFN_WSK_INSPECT_COMPLETE, PFN_WSK_LISTEN, PFN_WSK_RECEIVE, PFN_WSK_RECEIVE_EX, PFN_WSK_RECEIVE_FROM,
    PFN_WSK_RELEASE_DATA_INDICATION_LIST, PFN_WSK_RELEASE_DATAGRAM_INDICATION_LIST, PFN_WSK_SEND,
    PFN_WSK_SEND_EX, PFN_WSK_SEND_MESSAGES, PFN_WSK_SEND_TO, PFN_WSK_SOCKET, PFN_WSK_SOCKET_CONNECT,
};
use crate::layout;

/// Functions that need no socket (`wsk.h`); valid as long as the attachment.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_DISPATCH {
    /// What the provider speaks on this attachment; the minor part may exceed the client's.
    pub Version: u16,
    pub Reserved: u16,
    pub WskSocket: PFN_WSK_SOCKET,
    pub WskSocketConnect: PFN_WSK_SOCKET_CONNECT,
    pub WskControlClient: PFN_WSK_CONTROL_CLIENT,
    /// Windows 7 and later.
    pub WskGetAddressInfo: PFN_WSK_GET_ADDRESS_INFO,
    /// Windows 7 and later.
    pub WskFreeAddressInfo: PFN_WSK_FREE_ADDRESS_INFO,
    /// Windows 7 and later.
    pub WskGetNameInfo: PFN_WSK_GET_NAME_INFO,
}
layout!(WSK_PROVIDER_DISPATCH: 56, 8;
    Version 0x00, Reserved 0x02, WskSocket 0x08, WskSocketConnect 0x10, WskControlClient 0x18,
    WskGetAddressInfo 0x20, WskFreeAddressInfo 0x28, WskGetNameInfo 0x30);

/// Functions of every socket (`wsk.h`); the head of the other four tables.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_BASIC_DISPATCH {
    pub WskControlSocket: PFN_WSK_CONTROL_SOCKET,
    pub WskCloseSocket: PFN_WSK_CLOSE_SOCKET,
}
layout!(WSK_PROVIDER_BASIC_DISPATCH: 16, 8; WskControlSocket 0x0, WskCloseSocket 0x8);

/// Functions of a listening socket (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_LISTEN_DISPATCH {
    pub Basic: WSK_PROVIDER_BASIC_DISPATCH,
    pub WskBind: PFN_WSK_BIND,
    pub WskAccept: PFN_WSK_ACCEPT,
    pub WskInspectComplete: PFN_WSK_INSPECT_COMPLETE,
    pub WskGetLocalAddress: PFN_WSK_GET_LOCAL_ADDRESS,
}
layout!(WSK_PROVIDER_LISTEN_DISPATCH: 48, 8;
    Basic 0x00, WskBind 0x10, WskAccept 0x18, WskInspectComplete 0x20, WskGetLocalAddress 0x28);

/// Functions of a datagram socket (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_DATAGRAM_DISPATCH {
    pub Basic: WSK_PROVIDER_BASIC_DISPATCH,
    pub WskBind: PFN_WSK_BIND,
    pub WskSendTo: PFN_WSK_SEND_TO,
    pub WskReceiveFrom: PFN_WSK_RECEIVE_FROM,
    pub WskRelease: PFN_WSK_RELEASE_DATAGRAM_INDICATION_LIST,
    pub WskGetLocalAddress: PFN_WSK_GET_LOCAL_ADDRESS,
    /// Windows 8 and later.
    pub WskSendMessages: PFN_WSK_SEND_MESSAGES,
}
layout!(WSK_PROVIDER_DATAGRAM_DISPATCH: 64, 8;
    Basic 0x00, WskBind 0x10, WskSendTo 0x18, WskReceiveFrom 0x20, WskRelease 0x28, WskGetLocalAddress 0x30,
    WskSendMessages 0x38);

/// Functions of a connection socket (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_CONNECTION_DISPATCH {
    pub Basic: WSK_PROVIDER_BASIC_DISPATCH,
    pub WskBind: PFN_WSK_BIND,
    pub WskConnect: PFN_WSK_CONNECT,
    pub WskGetLocalAddress: PFN_WSK_GET_LOCAL_ADDRESS,
    pub WskGetRemoteAddress: PFN_WSK_GET_REMOTE_ADDRESS,
    pub WskSend: PFN_WSK_SEND,
    pub WskReceive: PFN_WSK_RECEIVE,
    pub WskDisconnect: PFN_WSK_DISCONNECT,
    pub WskRelease: PFN_WSK_RELEASE_DATA_INDICATION_LIST,
    /// Windows 10 1703 and later.
    pub WskConnectEx: PFN_WSK_CONNECT_EX,
    /// Reserved by today's pages; absent before Windows 10 1709.
    pub WskSendEx: PFN_WSK_SEND_EX,
    /// Reserved by today's pages; absent before Windows 10 1709.
    pub WskReceiveEx: PFN_WSK_RECEIVE_EX,
}
layout!(WSK_PROVIDER_CONNECTION_DISPATCH: 104, 8;
    Basic 0x00, WskBind 0x10, WskConnect 0x18, WskGetLocalAddress 0x20, WskGetRemoteAddress 0x28, WskSend 0x30,
    WskReceive 0x38, WskDisconnect 0x40, WskRelease 0x48, WskConnectEx 0x50, WskSendEx 0x58, WskReceiveEx 0x60);

/// Functions of a stream socket, which listens or connects as it likes (`wsk.h`). Windows 10 1703 and later.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_PROVIDER_STREAM_DISPATCH {
    pub Basic: WSK_PROVIDER_BASIC_DISPATCH,
    pub WskBind: PFN_WSK_BIND,
    pub WskAccept: PFN_WSK_ACCEPT,
    pub WskConnect: PFN_WSK_CONNECT,
    pub WskListen: PFN_WSK_LISTEN,
    pub WskSend: PFN_WSK_SEND,
    pub WskReceive: PFN_WSK_RECEIVE,
    pub WskDisconnect: PFN_WSK_DISCONNECT,
    pub WskRelease: PFN_WSK_RELEASE_DATA_INDICATION_LIST,
    pub WskGetLocalAddress: PFN_WSK_GET_LOCAL_ADDRESS,
    pub WskGetRemoteAddress: PFN_WSK_GET_REMOTE_ADDRESS,
    pub WskConnectEx: PFN_WSK_CONNECT_EX,
    /// Reserved by today's pages; absent before Windows 10 1709.
    pub WskSendEx: PFN_WSK_SEND_EX,
    /// Reserved by today's pages; absent before Windows 10 1709.
    pub WskReceiveEx: PFN_WSK_RECEIVE_EX,
}
layout!(WSK_PROVIDER_STREAM_DISPATCH: 120, 8;
    Basic 0x00, WskBind 0x10, WskAccept 0x18, WskConnect 0x20, WskListen 0x28, WskSend 0x30, WskReceive 0x38,
    WskDisconnect 0x40, WskRelease 0x48, WskGetLocalAddress 0x50, WskGetRemoteAddress 0x58, WskConnectEx 0x60,
    WskSendEx 0x68, WskReceiveEx 0x70);
