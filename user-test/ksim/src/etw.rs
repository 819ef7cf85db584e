//! Event Tracing for Windows: one provider, and a session that a test turns on and off.

use std::ffi::c_void;
use std::slice;

use abi::NTSTATUS;
use abi::etw::{
    EVENT_CONTROL_CODE_DISABLE_PROVIDER, EVENT_CONTROL_CODE_ENABLE_PROVIDER, EVENT_DATA_DESCRIPTOR,
    EVENT_DESCRIPTOR, EVENT_INFO_CLASS, EventProviderSetTraits, PETWENABLECALLBACK, REGHANDLE,
};
use abi::nt::{DISPATCH_LEVEL, GUID, PASSIVE_LEVEL};
use abi::status::{STATUS_INVALID_HANDLE, STATUS_SUCCESS};

use crate::host::{self, Mutex};
use crate::processor;

/// The handle of the provider.
const HANDLE: REGHANDLE = 0xE7_0001;

/// An event that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its level.
    pub level: u8,
    /// Its category.
    pub keyword: u64,
    /// Its channel.
    pub channel: u8,
    /// Type and octets of each descriptor.
    pub pieces: Vec<(u8, Vec<u8>)>,
}

struct Provider {
    id: GUID,
    callback: Option<PETWENABLECALLBACK>,
    context: usize,
    traits: Option<Vec<u8>>,
}

static PROVIDER: Mutex<Option<Provider>> = Mutex::new(None);
static WRITTEN: Mutex<Vec<Written>> = Mutex::new(Vec::new());

/// Whether a provider is registered.
pub fn is_registered() -> bool {
    host::lock(&PROVIDER).is_some()
}

/// What the provider has said of itself.
pub fn traits() -> Option<Vec<u8>> {
    host::lock(&PROVIDER).as_ref()?.traits.clone()
}

/// A session wants events; without effect where nobody is registered.
pub fn enable(level: u8, any: u64, all: u64) {
    call(EVENT_CONTROL_CODE_ENABLE_PROVIDER, level, any, all);
}

/// No session wants anything.
pub fn disable() {
    call(EVENT_CONTROL_CODE_DISABLE_PROVIDER, 0, 0, 0);
}

/// The events that were written since the last call.
pub fn take() -> Vec<Written> {
    std::mem::take(&mut *host::lock(&WRITTEN))
}

fn call(control: u32, level: u8, any: u64, all: u64) {
    let provider = host::lock(&PROVIDER).as_ref().map(|p| (p.id, p.callback, p.context));
    if let Some((id, Some(callback), context)) = provider {
        let context = std::ptr::with_exposed_provenance_mut(context);
        // SAFETY: the callback of a registered provider, at PASSIVE_LEVEL.
        unsafe { callback(&id, control, level, any, all, std::ptr::null_mut(), context) };
    }
}

/// `EtwRegister`.
///
/// # Safety
/// The pointers are valid.
pub(crate) unsafe extern "system" fn register(
    id: *const GUID,
    callback: Option<PETWENABLECALLBACK>,
    context: *mut c_void,
    handle: *mut REGHANDLE,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "EtwRegister");
    // SAFETY: as promised by the caller.
    let id = unsafe { *id };
    let provider = Provider { id, callback, context: context.expose_provenance(), traits: None };
    *host::lock(&PROVIDER) = Some(provider);
    // SAFETY: as promised by the caller.
    unsafe { *handle = HANDLE };
    STATUS_SUCCESS
}

/// `EtwUnregister`.
///
/// # Safety
/// None is needed here.
pub(crate) unsafe extern "system" fn unregister(handle: REGHANDLE) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "EtwUnregister");
    let known = handle == HANDLE && host::lock(&PROVIDER).take().is_some();
    if known { STATUS_SUCCESS } else { STATUS_INVALID_HANDLE }
}

/// `EtwSetInformation`.
///
/// # Safety
/// The information has its length.
pub(crate) unsafe extern "system" fn set_information(
    handle: REGHANDLE,
    class: EVENT_INFO_CLASS,
    information: *mut c_void,
    length: u32,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "EtwSetInformation");
    let mut provider = host::lock(&PROVIDER);
    let Some(provider) = provider.as_mut().filter(|_| handle == HANDLE) else { return STATUS_INVALID_HANDLE };
    if class == EventProviderSetTraits {
        // SAFETY: as promised by the caller.
        let octets = unsafe { slice::from_raw_parts(information.cast::<u8>(), length as usize) };
        provider.traits = Some(octets.to_vec());
    }
    STATUS_SUCCESS
}

/// `EtwWriteTransfer`.
///
/// # Safety
/// The descriptors, and what they name, are valid.
pub(crate) unsafe extern "system" fn write_transfer(
    handle: REGHANDLE,
    descriptor: *const EVENT_DESCRIPTOR,
    _activity: *const GUID,
    _related: *const GUID,
    count: u32,
    data: *mut EVENT_DATA_DESCRIPTOR,
) -> NTSTATUS {
    // It may be called at any; this driver never does above.
    processor::require_at_most(DISPATCH_LEVEL, "EtwWriteTransfer");
    if handle != HANDLE || !is_registered() {
        return STATUS_INVALID_HANDLE;
    }
    // SAFETY: as promised by the caller.
    let descriptor = unsafe { *descriptor };
    // SAFETY: as promised by the caller.
    let data = unsafe { slice::from_raw_parts(data, count as usize) };
    let octets = |piece: &EVENT_DATA_DESCRIPTOR| {
        let start = std::ptr::with_exposed_provenance::<u8>(piece.Ptr as usize);
        // SAFETY: as promised by the caller.
        let octets = unsafe { slice::from_raw_parts(start, piece.Size as usize) };
        (piece.Type, octets.to_vec())
    };
    let (level, keyword, channel) = (descriptor.Level, descriptor.Keyword, descriptor.Channel);
    let written = Written { level, keyword, channel, pieces: data.iter().map(octets).collect() };
    host::lock(&WRITTEN).push(written);
    STATUS_SUCCESS
}
