//! What a lightweight filter needs of NDIS (exports of `ndis.sys`, `ndis.h`).
//!
//! Thin: the parameters and their lifetimes are those of the pages of the same names. Not every system has it: where it is
//! missing, a call raises an exception.

use abi::ndis::{
    NDIS_FILTER_ATTRIBUTES, NDIS_FILTER_DRIVER_CHARACTERISTICS, NDIS_HANDLE, NDIS_STATUS,
    NET_DEVICE_PNP_EVENT, NET_PNP_EVENT_NOTIFICATION,
};
use abi::nt::DRIVER_OBJECT;

use crate::raw;

/// `NdisGetVersion`: major and minor. IRQL <= DISPATCH_LEVEL.
#[must_use]
pub fn version() -> (u16, u16) {
    // SAFETY: takes nothing and changes nothing.
    let version = unsafe { raw::NdisGetVersion() };
    ((version >> 16) as u16, version as u16)
}

/// `NdisFRegisterFilterDriver`. IRQL: PASSIVE_LEVEL. Modules may be attached before it returns.
///
/// # Safety
/// The driver's own object; what the characteristics name stays until [`deregister_filter_driver`] has returned; `handle`
/// is writable.
pub unsafe fn register_filter_driver(
    driver: *mut DRIVER_OBJECT,
    context: NDIS_HANDLE,
    characteristics: *const NDIS_FILTER_DRIVER_CHARACTERISTICS,
    handle: *mut NDIS_HANDLE,
) -> NDIS_STATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NdisFRegisterFilterDriver(driver, context, characteristics, handle) }
}

/// `NdisFDeregisterFilterDriver`: detaches every module; no handler runs after it. IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// Once for each registration, with no lock held that a handler takes.
pub unsafe fn deregister_filter_driver(handle: NDIS_HANDLE) {
    // SAFETY: as promised by the caller.
    unsafe { raw::NdisFDeregisterFilterDriver(handle) };
}

/// `NdisFSetAttributes`: gives a module its context. IRQL: PASSIVE_LEVEL, the last step of an attach handler.
///
/// # Safety
/// `module` is that of the attach handler; `context` stays until the detach handler; `attributes` is readable.
pub unsafe fn set_attributes(
    module: NDIS_HANDLE,
    context: NDIS_HANDLE,
    attributes: *const NDIS_FILTER_ATTRIBUTES,
) -> NDIS_STATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NdisFSetAttributes(module, context, attributes) }
}

/// `NdisFNetPnPEvent`: passes an event up, and returns the answer of the layers above; may block. IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// `module` is attached; `event` is that of the handler which calls this.
pub unsafe fn net_pnp_event(module: NDIS_HANDLE, event: *mut NET_PNP_EVENT_NOTIFICATION) -> NDIS_STATUS {
    // SAFETY: as promised by the caller.
    unsafe { raw::NdisFNetPnPEvent(module, event) }
}

/// `NdisFDevicePnPEventNotify`: passes an event down. IRQL: PASSIVE_LEVEL.
///
/// # Safety
/// As for [`net_pnp_event`].
pub unsafe fn device_pnp_event_notify(module: NDIS_HANDLE, event: *mut NET_DEVICE_PNP_EVENT) {
    // SAFETY: as promised by the caller.
    unsafe { raw::NdisFDevicePnPEventNotify(module, event) };
}
