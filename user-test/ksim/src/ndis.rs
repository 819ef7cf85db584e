//! NDIS as a lightweight filter without data handlers sees it (`ndis.sys`): NICs that come and go, and their events.
//!
//! A registration is served where a test has said that the filter is [installed](install); elsewhere it fails, as it does on
//! Windows for a service that is no network component. Each event must be passed on exactly once, inside the handler.

use std::ffi::c_void;
use std::mem::zeroed;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use abi::ndis::*;
use abi::nt::{DRIVER_OBJECT, PASSIVE_LEVEL};

use crate::host::{self, Mutex};
use crate::processor;
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;

/// What the layers above do with an event; it may block.
pub type Above = Box<dyn Fn(NET_PNP_EVENT_CODE) -> NDIS_STATUS + Send + Sync>;

#[derive(Clone, Copy)]
struct Module {
    handle: usize,
    /// What the filter gave to NdisFSetAttributes.
    context: usize,
    luid: NET_LUID,
}

struct State {
    installed: bool,
    filter: Option<(usize, NDIS_FILTER_DRIVER_CHARACTERISTICS)>,
    modules: Vec<Module>,
    handles: usize,
}

// SAFETY: the pointers in the characteristics are only passed on.
unsafe impl Send for State {}

static STATE: Mutex<State> =
    Mutex::new(State { installed: false, filter: None, modules: Vec::new(), handles: 0 });
static ABOVE: Mutex<Option<std::sync::Arc<Above>>> = Mutex::new(None);
/// How often the event that is being handled was passed on.
static PASSED: AtomicU32 = AtomicU32::new(0);

/// Says whether the filter is a component of the network configuration.
pub fn install(installed: bool) {
    host::lock(&STATE).installed = installed;
}

/// Says what the layers above the filter do with events; SUCCESS where nothing is said.
pub fn above(deed: Option<Above>) {
    *host::lock(&ABOVE) = deed.map(std::sync::Arc::new);
}

/// NICs that the filter is attached to.
#[must_use]
pub fn attached() -> Vec<NET_LUID> {
    host::lock(&STATE).modules.iter().map(|module| module.luid).collect()
}

fn filter() -> Option<(usize, NDIS_FILTER_DRIVER_CHARACTERISTICS)> {
    host::lock(&STATE).filter
}

/// A NIC arrives, and its stack is started. Returns what the filter's attach handler answers; SUCCESS without a filter.
pub fn arrive(luid: NET_LUID, index: NET_IFINDEX, medium: NDIS_MEDIUM) -> NDIS_STATUS {
    let Some((context, filter)) = filter() else { return NDIS_STATUS_SUCCESS };
    let handle = {
        let mut state = host::lock(&STATE);
        state.handles += 1;
        let handle = state.handles;
        state.modules.push(Module { handle, context: 0, luid });
        handle
    };
    // SAFETY: numbers and pointers that may be null.
    let mut parameters: NDIS_FILTER_ATTACH_PARAMETERS = unsafe { zeroed() };
    parameters.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_FILTER_ATTACH_PARAMETERS,
        Revision: NDIS_FILTER_ATTACH_PARAMETERS_REVISION_4,
        Size: NDIS_SIZEOF_FILTER_ATTACH_PARAMETERS_REVISION_4,
    };
    // The module is an interface of its own.
    parameters.IfIndex = index + 1000;
    parameters.NetLuid = luid + 1000;
    parameters.BaseMiniportIfIndex = index;
    parameters.BaseMiniportNetLuid = luid;
    parameters.MiniportMediaType = medium;
    let (module, context) = (ptr::without_provenance_mut(handle), ptr::with_exposed_provenance_mut(context));
    // SAFETY: the filter's handler, with parameters that live during the call.
    let status = unsafe { (filter.AttachHandler)(module, context, &raw mut parameters) };
    let given = host::lock(&STATE).modules.iter().find(|m| m.handle == handle).map_or(0, |m| m.context);
    if status != NDIS_STATUS_SUCCESS {
        host::lock(&STATE).modules.retain(|module| module.handle != handle);
        return status;
    }
    if given == 0 {
        crate::stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "attached without NdisFSetAttributes");
    }
    // SAFETY: numbers and pointers that may be null.
    let mut restart: NDIS_FILTER_RESTART_PARAMETERS = unsafe { zeroed() };
    let given = ptr::with_exposed_provenance_mut(given);
    // SAFETY: the filter's handler and context.
    unsafe { (filter.RestartHandler)(given, &raw mut restart) }
}

fn module(luid: NET_LUID) -> Option<Module> {
    host::lock(&STATE).modules.iter().find(|module| module.luid == luid).copied()
}

fn passed_once(what: &str) {
    let passed = PASSED.swap(0, Ordering::SeqCst);
    if passed != 1 {
        crate::stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "{what} was passed on {passed} times");
    }
}

/// A NIC's event for the layers above it. Returns their answer. One at a time.
pub fn net_pnp(luid: NET_LUID, code: NET_PNP_EVENT_CODE, power: Option<i32>) -> NDIS_STATUS {
    let (Some((_, filter)), Some(module)) = (filter(), module(luid)) else { return tell_above(code) };
    // SAFETY: numbers and pointers that may be null.
    let mut event: NET_PNP_EVENT_NOTIFICATION = unsafe { zeroed() };
    event.Header = NDIS_OBJECT_HEADER {
        Type: NDIS_OBJECT_TYPE_DEFAULT,
        Revision: 2,
        Size: NDIS_SIZEOF_NET_PNP_EVENT_NOTIFICATION_REVISION_2,
    };
    let mut power = power;
    event.NetPnPEvent.NetEvent = code;
    if let Some(state) = &mut power {
        event.NetPnPEvent.Buffer = ptr::from_mut(state).cast();
        event.NetPnPEvent.BufferLength = 4;
    }
    let Some(handler) = filter.NetPnPEventHandler else { return tell_above(code) };
    let context = ptr::with_exposed_provenance_mut(module.context);
    // SAFETY: the filter's handler and context.
    let status = unsafe { handler(context, &raw mut event) };
    passed_once("a NetPnP event");
    status
}

/// A NIC's device event, from above.
pub fn device_pnp(luid: NET_LUID, code: NDIS_DEVICE_PNP_EVENT) {
    let (Some((_, filter)), Some(module)) = (filter(), module(luid)) else { return };
    // SAFETY: numbers and pointers that may be null.
    let mut event: NET_DEVICE_PNP_EVENT = unsafe { zeroed() };
    event.DevicePnPEvent = code;
    let Some(handler) = filter.DevicePnPEventNotifyHandler else { return };
    let context = ptr::with_exposed_provenance_mut(module.context);
    // SAFETY: the filter's handler and context.
    unsafe { handler(context, &raw mut event) };
    passed_once("a device PnP event");
}

/// A NIC leaves: its stack is paused, and the filter detached.
pub fn leave(luid: NET_LUID) {
    let (Some((_, filter)), Some(module)) = (filter(), module(luid)) else { return };
    let context = ptr::with_exposed_provenance_mut::<c_void>(module.context);
    // SAFETY: numbers and pointers that may be null.
    let mut pause: NDIS_FILTER_PAUSE_PARAMETERS = unsafe { zeroed() };
    // SAFETY: the filter's handler and context.
    unsafe { (filter.PauseHandler)(context, &raw mut pause) };
    // SAFETY: as above, for the last time.
    unsafe { (filter.DetachHandler)(context) };
    host::lock(&STATE).modules.retain(|other| other.handle != module.handle);
}

fn tell_above(code: NET_PNP_EVENT_CODE) -> NDIS_STATUS {
    let above = host::lock(&ABOVE).clone();
    above.map_or(NDIS_STATUS_SUCCESS, |above| above(code))
}

fn is_attached(handle: NDIS_HANDLE, routine: &str) {
    if !host::lock(&STATE).modules.iter().any(|module| module.handle == handle.addr()) {
        crate::stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "{routine} of {handle:?}, which is not attached");
    }
}

/// `NdisGetVersion`: 6.85, of Windows Server 2022.
#[unsafe(no_mangle)]
extern "C-unwind" fn NdisGetVersion() -> u32 {
    6 << 16 | 85
}

/// `NdisFRegisterFilterDriver`.
///
/// # Safety
/// The characteristics are readable, and `handle` is writable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn NdisFRegisterFilterDriver(
    _driver: *mut DRIVER_OBJECT,
    context: NDIS_HANDLE,
    characteristics: *const NDIS_FILTER_DRIVER_CHARACTERISTICS,
    handle: *mut NDIS_HANDLE,
) -> NDIS_STATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NdisFRegisterFilterDriver");
    // SAFETY: as promised by the caller.
    let characteristics = unsafe { characteristics.read() };
    let header = characteristics.Header;
    let fits = matches!(
        (header.Revision, header.Size, characteristics.MinorNdisVersion),
        (2, NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_2, 1..80)
            | (3, NDIS_SIZEOF_FILTER_DRIVER_CHARACTERISTICS_REVISION_3, 80..)
    );
    if header.Type != NDIS_OBJECT_TYPE_FILTER_DRIVER_CHARACTERISTICS || !fits {
        return NDIS_STATUS_BAD_CHARACTERISTICS;
    }
    if characteristics.MajorNdisVersion != 6 || characteristics.MinorNdisVersion > 85 {
        return NDIS_STATUS_BAD_VERSION;
    }
    let mut state = host::lock(&STATE);
    if !state.installed {
        return NDIS_STATUS_FAILURE;
    }
    state.filter = Some((context.expose_provenance(), characteristics));
    // SAFETY: as promised by the caller.
    unsafe { handle.write(ptr::without_provenance_mut(1)) };
    NDIS_STATUS_SUCCESS
}

/// `NdisFDeregisterFilterDriver`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NdisFDeregisterFilterDriver(_handle: NDIS_HANDLE) {
    processor::require_at_most(PASSIVE_LEVEL, "NdisFDeregisterFilterDriver");
    for luid in attached() {
        leave(luid);
    }
    if host::lock(&STATE).filter.take().is_none() {
        crate::stop!(
            DRIVER_VERIFIER_DETECTED_VIOLATION,
            "NdisFDeregisterFilterDriver without a registration"
        );
    }
}

/// `NdisFSetAttributes`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NdisFSetAttributes(
    module: NDIS_HANDLE,
    context: NDIS_HANDLE,
    _attributes: *const NDIS_FILTER_ATTRIBUTES,
) -> NDIS_STATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NdisFSetAttributes");
    is_attached(module, "NdisFSetAttributes");
    if crate::pool::fails_now() {
        return NDIS_STATUS_RESOURCES;
    }
    let mut state = host::lock(&STATE);
    for one in state.modules.iter_mut().filter(|one| one.handle == module.addr()) {
        one.context = context.expose_provenance();
    }
    NDIS_STATUS_SUCCESS
}

/// `NdisFNetPnPEvent`.
///
/// # Safety
/// The event is readable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn NdisFNetPnPEvent(
    module: NDIS_HANDLE,
    event: *mut NET_PNP_EVENT_NOTIFICATION,
) -> NDIS_STATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NdisFNetPnPEvent");
    is_attached(module, "NdisFNetPnPEvent");
    PASSED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: as promised by the caller.
    tell_above(unsafe { (*event).NetPnPEvent.NetEvent })
}

/// `NdisFDevicePnPEventNotify`.
#[unsafe(no_mangle)]
extern "C-unwind" fn NdisFDevicePnPEventNotify(module: NDIS_HANDLE, _event: *mut NET_DEVICE_PNP_EVENT) {
    processor::require_at_most(PASSIVE_LEVEL, "NdisFDevicePnPEventNotify");
    is_attached(module, "NdisFDevicePnPEventNotify");
    PASSED.fetch_add(1, Ordering::SeqCst);
}
