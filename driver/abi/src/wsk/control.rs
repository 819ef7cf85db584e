//! Control operations of clients and sockets (`wsk.h`): codes and their structures.

use core::ffi::c_void;

use crate::layout;
use crate::nt::{GUID, WCHAR};

/// `RequestType` of `WskControlSocket` (`wsk.h`).
pub type WSK_CONTROL_SOCKET_TYPE = i32;

pub const WskSetOption: WSK_CONTROL_SOCKET_TYPE = 0;
pub const WskGetOption: WSK_CONTROL_SOCKET_TYPE = 1;
pub const WskIoctl: WSK_CONTROL_SOCKET_TYPE = 2;
pub const WskControlMax: WSK_CONTROL_SOCKET_TYPE = 3;

/// `WskControlClient`, no IRP: array of [`WSK_TRANSPORT`](super::WSK_TRANSPORT); the size returned is required.
pub const WSK_TRANSPORT_LIST_QUERY: u32 = 2;
/// `WskControlClient`, IRP required: pending until a transport comes or goes.
pub const WSK_TRANSPORT_LIST_CHANGE: u32 = 3;
/// `WskControlClient`, no IRP: a security descriptor in, a cached reference to it out.
pub const WSK_CACHE_SD: u32 = 4;
/// `WskControlClient`, no IRP: releases a cached security descriptor.
pub const WSK_RELEASE_SD: u32 = 5;
/// `WskControlClient`, no IRP, before any socket: [`WSK_TDI_MAP_INFO`] in.
pub const WSK_TDI_DEVICENAME_MAPPING: u32 = 6;
/// `WskControlClient`, no IRP, before any socket: [`WSK_EVENT_CALLBACK_CONTROL`] in.
pub const WSK_SET_STATIC_EVENT_CALLBACKS: u32 = 7;
/// `WskControlClient`, no IRP, before any socket: a `u32` of `WSK_TDI_BEHAVIOR_*` in.
pub const WSK_TDI_BEHAVIOR: u32 = 8;

pub const WSK_TDI_BEHAVIOR_BYPASS_TDI: u32 = 0x1;

/// Turns event callbacks on or off (`wsk.h`): [`SO_WSK_EVENT_CALLBACK`](super::SO_WSK_EVENT_CALLBACK) and
/// [`WSK_SET_STATIC_EVENT_CALLBACKS`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_EVENT_CALLBACK_CONTROL {
    /// Whose events: [`NPI_WSK_INTERFACE_ID`](super::NPI_WSK_INTERFACE_ID) or an extension's identifier.
    pub NpiId: *const GUID,
    /// `WSK_EVENT_*`.
    pub EventMask: u32,
}
layout!(WSK_EVENT_CALLBACK_CONTROL: 16, 8; NpiId 0x0, EventMask 0x8);

/// Input of [`SIO_WSK_REGISTER_EXTENSION`](super::SIO_WSK_REGISTER_EXTENSION) (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_EXTENSION_CONTROL_IN {
    pub NpiId: *const GUID,
    pub ClientContext: *mut c_void,
    pub ClientDispatch: *const c_void,
}
layout!(WSK_EXTENSION_CONTROL_IN: 24, 8; NpiId 0x0, ClientContext 0x8, ClientDispatch 0x10);

/// Output of [`SIO_WSK_REGISTER_EXTENSION`](super::SIO_WSK_REGISTER_EXTENSION) (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_EXTENSION_CONTROL_OUT {
    pub ProviderContext: *mut c_void,
    pub ProviderDispatch: *const c_void,
}
layout!(WSK_EXTENSION_CONTROL_OUT: 16, 8; ProviderContext 0x0, ProviderDispatch 0x8);

/// Sends a kind of socket to a TDI device; obsolete (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_TDI_MAP {
    pub SocketType: u16,
    pub AddressFamily: u16,
    pub Protocol: u32,
    /// NUL-terminated.
    pub TdiDeviceName: *const WCHAR,
}
layout!(WSK_TDI_MAP: 16, 8; SocketType 0x0, AddressFamily 0x2, Protocol 0x4, TdiDeviceName 0x8);

/// Input of [`WSK_TDI_DEVICENAME_MAPPING`] (`wsk.h`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct WSK_TDI_MAP_INFO {
    pub ElementCount: u32,
    pub Map: *const WSK_TDI_MAP,
}
layout!(WSK_TDI_MAP_INFO: 16, 8; ElementCount 0x0, Map 0x8);
