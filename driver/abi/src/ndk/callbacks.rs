//! Callbacks a consumer gives to a provider (`ndkpi.h`).
//!
//! All return nothing and may be called at any IRQL up to `DISPATCH_LEVEL`, in any thread or DPC, even before
//! the call that caused them has returned.

use core::ffi::c_void;

use super::{NDK_CONNECTOR, NDK_OBJECT_HEADER};
use crate::NTSTATUS;

/// A control request that returned `STATUS_PENDING` is done (`NDK_FN_REQUEST_COMPLETION`). Exactly once.
pub type NDK_FN_REQUEST_COMPLETION = unsafe extern "system" fn(Context: *mut c_void, Status: NTSTATUS);

/// A create that returned `STATUS_PENDING` is done (`NDK_FN_CREATE_COMPLETION`). Exactly once.
///
/// The object belongs to the consumer, and is valid only if `Status` is a success.
pub type NDK_FN_CREATE_COMPLETION =
    unsafe extern "system" fn(Context: *mut c_void, Status: NTSTATUS, pNdkObject: *mut NDK_OBJECT_HEADER);

/// A close that returned `STATUS_PENDING` is done (`NDK_FN_CLOSE_COMPLETION`): the last callback for that
/// object.
pub type NDK_FN_CLOSE_COMPLETION = unsafe extern "system" fn(Context: *mut c_void);

/// The armed condition of a completion queue holds, or the queue failed (`NDK_FN_CQ_NOTIFICATION_CALLBACK`).
///
/// At most once per arm, never concurrently for one queue. After `STATUS_BUFFER_OVERFLOW` (overrun) or
/// `STATUS_INTERNAL_ERROR` the queue and every queue pair on it are dead.
pub type NDK_FN_CQ_NOTIFICATION_CALLBACK =
    unsafe extern "system" fn(CqNotificationContext: *mut c_void, CqStatus: NTSTATUS);

/// Queued receives fell below the threshold, or the shared receive queue failed
/// (`NDK_FN_SRQ_NOTIFICATION_CALLBACK`).
///
/// After `STATUS_INTERNAL_ERROR` the queue and every queue pair on it are dead.
pub type NDK_FN_SRQ_NOTIFICATION_CALLBACK =
    unsafe extern "system" fn(SrqNotificationContext: *mut c_void, SrqStatus: NTSTATUS);

/// A connection request has arrived (`NDK_FN_CONNECT_EVENT_CALLBACK`).
///
/// From here on the connector belongs to the consumer, who accepts it, or rejects and closes it, or just
/// closes it.
pub type NDK_FN_CONNECT_EVENT_CALLBACK =
    unsafe extern "system" fn(ConnectEventContext: *mut c_void, pNdkConnector: *mut NDK_CONNECTOR);

/// The peer disconnected or the connection broke (`NDK_FN_DISCONNECT_EVENT_CALLBACK`). At most once per
/// connection.
pub type NDK_FN_DISCONNECT_EVENT_CALLBACK = unsafe extern "system" fn(DisconnectEventContext: *mut c_void);

/// As [`NDK_FN_DISCONNECT_EVENT_CALLBACK`] with the provider's own reason, 0 for none
/// (`NDK_FN_DISCONNECT_EVENT_CALLBACK_EX`, NDKPI 2.1).
pub type NDK_FN_DISCONNECT_EVENT_CALLBACK_EX =
    unsafe extern "system" fn(DisconnectEventContext: *mut c_void, ProviderDisconnectReason: u32);
