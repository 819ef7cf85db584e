//! One provider of Event Tracing for Windows (`EtwRegister` and its kin, `wdm.h`), where the system has it.
//!
//! Without it nothing is ever enabled, and that is all: telemetry is no reason to fail.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use abi::etw::{
    EVENT_CONTROL_CODE_DISABLE_PROVIDER, EVENT_CONTROL_CODE_ENABLE_PROVIDER, EVENT_DATA_DESCRIPTOR,
    EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA, EVENT_DATA_DESCRIPTOR_TYPE_NONE,
    EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA, EVENT_DESCRIPTOR, EVENT_FILTER_DESCRIPTOR,
    EventProviderSetTraits, REGHANDLE, WINEVENT_CHANNEL_TRACELOGGING, WINEVENT_OPCODE_INFO,
};
use abi::nt::GUID;

use crate::raw;

/// The registered provider; 0 is none.
static HANDLE: AtomicU64 = AtomicU64::new(0);
/// The highest level that some session wants; 0: no session wants anything.
static LEVEL: AtomicU8 = AtomicU8::new(0);
/// Categories of which an event must have one; 0: any.
static ANY: AtomicU64 = AtomicU64::new(0);
/// Categories of which an event must have all.
static ALL: AtomicU64 = AtomicU64::new(0);

/// Registers the provider, if the system has ETW; one at a time. `metadata` describes it to those who decode its events.
/// IRQL: PASSIVE_LEVEL.
pub fn register(id: &GUID, metadata: &'static [u8]) {
    let Some(etw) = raw::etw() else { return };
    let mut handle: REGHANDLE = 0;
    // SAFETY: the callback touches statics only, and `unregister` ends it before the image goes; the handle is written
    // before the function returns.
    let status = unsafe { (etw.register)(id, Some(enable), ptr::null_mut(), &raw mut handle) };
    if status < 0 || handle == 0 {
        return;
    }
    let length = u32::try_from(metadata.len()).unwrap_or(0);
    // SAFETY: the handle is registered; the metadata are only read, during the call. Without them events are harder to read,
    // and no worse.
    let _named = unsafe {
        (etw.set_information)(handle, EventProviderSetTraits, metadata.as_ptr().cast_mut().cast(), length)
    };
    HANDLE.store(handle, Ordering::Release);
}

/// Ends what [`register`] began. Nobody writes an event any more. IRQL: PASSIVE_LEVEL.
pub fn unregister() {
    let handle = HANDLE.swap(0, Ordering::AcqRel);
    if let (Some(etw), true) = (raw::etw(), handle != 0) {
        // SAFETY: registered, and unregistered once.
        let _status = unsafe { (etw.unregister)(handle) };
    }
    LEVEL.store(0, Ordering::Relaxed);
}

/// Whether some session wants an event of this level and category. Any IRQL.
#[must_use]
pub fn is_enabled(level: u8, keyword: u64) -> bool {
    let (any, all) = (ANY.load(Ordering::Relaxed), ALL.load(Ordering::Relaxed));
    level <= LEVEL.load(Ordering::Relaxed) && (any == 0 || keyword & any != 0) && keyword & all == all
}

/// Whether some session has named one of these categories. Any IRQL.
#[must_use]
pub fn asks_for(keyword: u64) -> bool {
    LEVEL.load(Ordering::Relaxed) != 0 && ANY.load(Ordering::Relaxed) & keyword != 0
}

/// Writes a self-describing event (`EtwWriteTransfer`). IRQL <= DISPATCH_LEVEL; `payload` is non-paged, as stacks are there.
pub fn write(level: u8, keyword: u64, provider: &'static [u8], event: &'static [u8], payload: &[u8]) {
    let handle = HANDLE.load(Ordering::Acquire);
    let Some(etw) = raw::etw().filter(|_| handle != 0) else { return };
    let descriptor = EVENT_DESCRIPTOR {
        Id: 0,
        Version: 0,
        Channel: WINEVENT_CHANNEL_TRACELOGGING,
        Level: level,
        Opcode: WINEVENT_OPCODE_INFO,
        Task: 0,
        Keyword: keyword,
    };
    let piece = |octets: &[u8], kind| EVENT_DATA_DESCRIPTOR {
        Ptr: octets.as_ptr().expose_provenance() as u64,
        Size: u32::try_from(octets.len()).unwrap_or(0),
        Type: kind,
        ..EVENT_DATA_DESCRIPTOR::default()
    };
    let mut pieces = [
        piece(provider, EVENT_DATA_DESCRIPTOR_TYPE_PROVIDER_METADATA),
        piece(event, EVENT_DATA_DESCRIPTOR_TYPE_EVENT_METADATA),
        piece(payload, EVENT_DATA_DESCRIPTOR_TYPE_NONE),
    ];
    let (none, first) = (ptr::null(), pieces.as_mut_ptr());
    // SAFETY: the provider is registered; descriptor, pieces and what they name live during the call.
    let _listeners = unsafe {
        (etw.write_transfer)(handle, &raw const descriptor, none, none, pieces.len() as u32, first)
    };
}

/// `ETWENABLECALLBACK`: what sessions want from now on, all of them together.
///
/// # Safety
/// ETW's contract.
unsafe extern "system" fn enable(
    _source: *const GUID,
    control: u32,
    level: u8,
    any: u64,
    all: u64,
    _filter: *mut EVENT_FILTER_DESCRIPTOR,
    _context: *mut c_void,
) {
    match control {
        EVENT_CONTROL_CODE_ENABLE_PROVIDER => {
            ANY.store(any, Ordering::Relaxed);
            ALL.store(all, Ordering::Relaxed);
            // 0 stands for every level.
            LEVEL.store(if level == 0 { u8::MAX } else { level }, Ordering::Relaxed);
        }
        EVENT_CONTROL_CODE_DISABLE_PROVIDER => LEVEL.store(0, Ordering::Relaxed),
        _ => {}
    }
}

#[cfg(test)]
mod tests;
