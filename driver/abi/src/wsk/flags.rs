//! Flag words of `wsk.h` and `ws2def.h`.

use bitflags::bitflags;

/// Category of a socket: one of these, not a set (`WskSocket`).
pub const WSK_FLAG_BASIC_SOCKET: u32 = 0x0000_0000;
/// Dispatch table [`WSK_PROVIDER_LISTEN_DISPATCH`](super::WSK_PROVIDER_LISTEN_DISPATCH).
pub const WSK_FLAG_LISTEN_SOCKET: u32 = 0x0000_0001;
/// Dispatch table [`WSK_PROVIDER_CONNECTION_DISPATCH`](super::WSK_PROVIDER_CONNECTION_DISPATCH).
pub const WSK_FLAG_CONNECTION_SOCKET: u32 = 0x0000_0002;
/// Dispatch table [`WSK_PROVIDER_DATAGRAM_DISPATCH`](super::WSK_PROVIDER_DATAGRAM_DISPATCH).
pub const WSK_FLAG_DATAGRAM_SOCKET: u32 = 0x0000_0004;
/// Dispatch table [`WSK_PROVIDER_STREAM_DISPATCH`](super::WSK_PROVIDER_STREAM_DISPATCH).
pub const WSK_FLAG_STREAM_SOCKET: u32 = 0x0000_0008;

/// Every callback with flags.
pub const WSK_FLAG_AT_DISPATCH_LEVEL: u32 = 0x8;
/// `WskReceiveEvent`.
pub const WSK_FLAG_RELEASE_ASAP: u32 = 0x2;
/// `WskReceiveEvent`.
pub const WSK_FLAG_ENTIRE_MESSAGE: u32 = 0x4;
/// `WskDisconnect` and `WskDisconnectEvent`.
pub const WSK_FLAG_ABORTIVE: u32 = 0x1;
/// `WskSend` and `WskSendEx`.
pub const WSK_FLAG_OOB: u32 = 0x1;
/// `WskSend` and `WskSendEx`.
pub const WSK_FLAG_NODELAY: u32 = 0x2;
/// `WskReceive` and `WskReceiveEx`.
pub const WSK_FLAG_WAITALL: u32 = 0x2;
/// `WskReceive` and `WskReceiveEx`.
pub const WSK_FLAG_DRAIN: u32 = 0x4;

pub const MSG_TRUNC: u32 = 0x0100;
pub const MSG_CTRUNC: u32 = 0x0200;
pub const MSG_BCAST: u32 = 0x0400;
pub const MSG_MCAST: u32 = 0x0800;

/// `WskCaptureProviderNPI`: do not wait for a provider.
pub const WSK_NO_WAIT: u32 = 0;
/// `WskCaptureProviderNPI`: wait without limit. Any other number is milliseconds.
pub const WSK_INFINITE_WAIT: u32 = 0xFFFF_FFFF;

pub const WSK_EVENT_SEND_BACKLOG: u32 = 0x0000_0010;
pub const WSK_EVENT_RECEIVE: u32 = 0x0000_0040;
pub const WSK_EVENT_DISCONNECT: u32 = 0x0000_0080;
pub const WSK_EVENT_RECEIVE_FROM: u32 = 0x0000_0100;
pub const WSK_EVENT_ACCEPT: u32 = 0x0000_0200;
pub const WSK_EVENT_DISABLE: u32 = 0x8000_0000;

bitflags! {
    /// `Flags` of `WskSend` and `WskSendEx` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_SEND_FLAGS: u32 {
        /// Urgent data; in the header only.
        const OOB = WSK_FLAG_OOB;
        /// Do not hold this or earlier data back to form larger segments.
        const NODELAY = WSK_FLAG_NODELAY;
    }

    /// `Flags` of `WskReceive` and `WskReceiveEx` (`wsk.h`). The two exclude each other.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_RECEIVE_FLAGS: u32 {
        /// Complete when the buffer is full or the connection ends.
        const WAITALL = WSK_FLAG_WAITALL;
        /// Throw data away until the connection ends; the length must be zero.
        const DRAIN = WSK_FLAG_DRAIN;
    }

    /// `Flags` of `WskDisconnect` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_DISCONNECT_FLAGS: u32 {
        const ABORTIVE = WSK_FLAG_ABORTIVE;
    }

    /// `Flags` of `WskAcceptEvent` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_EVENT_FLAGS: u32 {
        /// The provider knows that it runs at `DISPATCH_LEVEL`; clear means nothing.
        const AT_DISPATCH_LEVEL = WSK_FLAG_AT_DISPATCH_LEVEL;
    }

    /// `Flags` of `WskReceiveEvent` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_RECEIVE_EVENT_FLAGS: u32 {
        /// Release a kept list soon, buffers are short.
        const RELEASE_ASAP = WSK_FLAG_RELEASE_ASAP;
        /// The list ends a message.
        const ENTIRE_MESSAGE = WSK_FLAG_ENTIRE_MESSAGE;
        const AT_DISPATCH_LEVEL = WSK_FLAG_AT_DISPATCH_LEVEL;
    }

    /// `Flags` of `WskReceiveFromEvent` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_RECEIVE_FROM_EVENT_FLAGS: u32 {
        const AT_DISPATCH_LEVEL = WSK_FLAG_AT_DISPATCH_LEVEL;
        const BCAST = MSG_BCAST;
        const MCAST = MSG_MCAST;
    }

    /// `Flags` of `WskDisconnectEvent` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_DISCONNECT_EVENT_FLAGS: u32 {
        /// Both directions are dead; clear: the peer sends no more but still receives.
        const ABORTIVE = WSK_FLAG_ABORTIVE;
        const AT_DISPATCH_LEVEL = WSK_FLAG_AT_DISPATCH_LEVEL;
    }

    /// `*ControlFlags` of `WskReceiveFrom` (`ws2def.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_MSG_FLAGS: u32 {
        /// The datagram was longer than the buffer.
        const TRUNC = MSG_TRUNC;
        /// The ancillary data were longer than their buffer.
        const CTRUNC = MSG_CTRUNC;
        const BCAST = MSG_BCAST;
        const MCAST = MSG_MCAST;
    }

    /// `WSK_EVENT_CALLBACK_CONTROL.EventMask` (`wsk.h`).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct WSK_EVENT_MASK: u32 {
        const SEND_BACKLOG = WSK_EVENT_SEND_BACKLOG;
        const RECEIVE = WSK_EVENT_RECEIVE;
        const DISCONNECT = WSK_EVENT_DISCONNECT;
        const RECEIVE_FROM = WSK_EVENT_RECEIVE_FROM;
        const ACCEPT = WSK_EVENT_ACCEPT;
        /// Turns the one other bit off instead of on.
        const DISABLE = WSK_EVENT_DISABLE;
    }
}
