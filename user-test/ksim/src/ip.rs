//! The addresses of the machine's interfaces (`netio.sys`, `netioapi.h`), as a test sets them.

use std::ffi::c_void;
use std::mem::zeroed;
use std::net::{IpAddr, SocketAddr};
use std::ptr;
use std::sync::Arc;

use abi::NTSTATUS;
use abi::netio::*;
use abi::nt::{HANDLE, PASSIVE_LEVEL};
use abi::status::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_NETWORK_UNREACHABLE, STATUS_NOT_FOUND,
    STATUS_SUCCESS,
};
use abi::wsk::{AF_INET, AF_INET6, AF_UNSPEC, SOCKADDR_INET};

use crate::host::{self, Mutex};
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use crate::{pool, processor};

/// One address of one interface.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Address {
    /// NET_LUID of the interface.
    pub luid: u64,
    /// Its index.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// State of duplicate address detection.
    pub state: NL_DAD_STATE,
}

struct Watch {
    handle: usize,
    routine: PUNICAST_IPADDRESS_CHANGE_CALLBACK,
    context: usize,
    /// Held during a call; `true` once cancelled.
    gate: Mutex<bool>,
}

struct State {
    addresses: Vec<Address>,
    watches: Vec<Arc<Watch>>,
    routes: Vec<(IpAddr, u64)>,
    /// Addresses and sizes of the tables that were given out.
    tables: Vec<(usize, usize)>,
    handles: usize,
}

static STATE: Mutex<State> = Mutex::new(State {
    addresses: Vec::new(),
    watches: Vec::new(),
    routes: Vec::new(),
    tables: Vec::new(),
    handles: 0,
});

/// Sets every address of the machine, and calls whoever watches, on this thread.
pub fn set(addresses: &[Address]) {
    let watches = {
        let mut state = host::lock(&STATE);
        state.addresses = addresses.to_vec();
        state.watches.clone()
    };
    // SAFETY: a row of numbers.
    let mut row: MIB_UNICASTIPADDRESS_ROW = unsafe { zeroed() };
    for watch in watches {
        let cancelled = host::lock(&watch.gate);
        if !*cancelled {
            let context = ptr::with_exposed_provenance_mut(watch.context);
            // SAFETY: the promise of the registration, which the gate keeps.
            unsafe { (watch.routine)(context, &raw mut row, MibParameterNotification) };
        }
    }
}

/// Says by which interface packets to an address leave; the first one with an address of the family where nothing is said.
pub fn route(to: IpAddr, luid: u64) {
    let mut state = host::lock(&STATE);
    state.routes.retain(|(other, _)| *other != to);
    state.routes.push((to, luid));
}

/// Tables that were not freed, and watches that were not cancelled.
#[must_use]
pub fn outstanding() -> (usize, usize) {
    let state = host::lock(&STATE);
    (state.tables.len(), state.watches.len())
}

/// Size of a table, in bytes and rows.
fn layout_of(rows: usize) -> std::alloc::Layout {
    let bytes = size_of::<u64>() + rows.max(1) * size_of::<MIB_UNICASTIPADDRESS_ROW>();
    std::alloc::Layout::from_size_align(bytes, align_of::<MIB_UNICASTIPADDRESS_TABLE>())
        .unwrap_or_else(|_| std::alloc::Layout::new::<MIB_UNICASTIPADDRESS_TABLE>())
}

/// `GetUnicastIpAddressTable`.
///
/// # Safety
/// `table` is writable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn GetUnicastIpAddressTable(
    family: u16,
    table: *mut *mut MIB_UNICASTIPADDRESS_TABLE,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "GetUnicastIpAddressTable");
    if !matches!(family, AF_UNSPEC | AF_INET | AF_INET6) {
        return STATUS_INVALID_PARAMETER;
    }
    if pool::fails_now() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let mut state = host::lock(&STATE);
    let of_family = |a: &&Address| family == AF_UNSPEC || (family == AF_INET) == a.address.is_ipv4();
    let rows: Vec<Address> = state.addresses.iter().filter(of_family).copied().collect();
    if rows.is_empty() {
        return STATUS_NOT_FOUND;
    }
    // SAFETY: not of size zero.
    let memory = unsafe { std::alloc::alloc_zeroed(layout_of(rows.len())) };
    state.tables.push((memory.expose_provenance(), rows.len()));
    let out = memory.cast::<MIB_UNICASTIPADDRESS_TABLE>();
    // SAFETY: fresh memory of that layout.
    unsafe { (*out).NumEntries = rows.len() as u32 };
    // SAFETY: only the address is computed.
    let first = unsafe { &raw mut (*out).Table }.cast::<MIB_UNICASTIPADDRESS_ROW>();
    for (n, from) in rows.iter().enumerate() {
        // SAFETY: room for as many rows.
        let row = unsafe { first.add(n) };
        // SAFETY: as above; zeros are a row.
        let row = unsafe { &mut *row };
        row.InterfaceLuid = from.luid;
        row.InterfaceIndex = from.index;
        row.DadState = from.state;
        let family = if from.address.is_ipv4() { AF_INET } else { AF_INET6 };
        let to = (&raw mut row.Address).cast();
        // SAFETY: room for an address of either family.
        unsafe { crate::wsk::write_address(to, SocketAddr::new(from.address, 0), family) };
    }
    // SAFETY: as promised by the caller.
    unsafe { table.write(out) };
    STATUS_SUCCESS
}

/// `FreeMibTable`.
#[unsafe(no_mangle)]
extern "C-unwind" fn FreeMibTable(table: *mut c_void) {
    let mut state = host::lock(&STATE);
    let Some(place) = state.tables.iter().position(|(at, _)| *at == table.addr()) else {
        drop(state);
        crate::stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "FreeMibTable of {table:?}, which is no table");
    };
    let (_, rows) = state.tables.swap_remove(place);
    // SAFETY: allocated with this layout, and given out once.
    unsafe { std::alloc::dealloc(table.cast(), layout_of(rows)) };
}

/// `NotifyUnicastIpAddressChange`.
///
/// # Safety
/// The routine may be called with `context` until the notification is cancelled; `handle` is writable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn NotifyUnicastIpAddressChange(
    _family: u16,
    routine: PUNICAST_IPADDRESS_CHANGE_CALLBACK,
    context: *mut c_void,
    _initial: u8,
    handle: *mut HANDLE,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "NotifyUnicastIpAddressChange");
    if pool::fails_now() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let mut state = host::lock(&STATE);
    state.handles += 1;
    let number = state.handles;
    let context = context.expose_provenance();
    state.watches.push(Arc::new(Watch { handle: number, routine, context, gate: Mutex::new(false) }));
    // SAFETY: as promised by the caller.
    unsafe { handle.write(ptr::without_provenance_mut(number)) };
    STATUS_SUCCESS
}

/// `CancelMibChangeNotify2`: waits for a call in progress.
#[unsafe(no_mangle)]
extern "C-unwind" fn CancelMibChangeNotify2(handle: HANDLE) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "CancelMibChangeNotify2");
    let watch = {
        let mut state = host::lock(&STATE);
        let place = state.watches.iter().position(|watch| watch.handle == handle.addr());
        place.map(|place| state.watches.swap_remove(place))
    };
    let Some(watch) = watch else { return STATUS_INVALID_PARAMETER };
    *host::lock(&watch.gate) = true;
    STATUS_SUCCESS
}

/// `GetBestRoute2`.
///
/// # Safety
/// The destination is readable, and the outputs are writable.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn GetBestRoute2(
    _luid: *mut u64,
    _index: u32,
    _source: *const SOCKADDR_INET,
    destination: *const SOCKADDR_INET,
    _sort_options: u32,
    route: *mut MIB_IPFORWARD_ROW2,
    best_source: *mut SOCKADDR_INET,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "GetBestRoute2");
    // SAFETY: as promised by the caller.
    let family = unsafe { destination.cast::<u16>().read() };
    // SAFETY: as above.
    let Ok(to) = (unsafe { crate::wsk::read_address(destination.cast(), family) }) else {
        return STATUS_INVALID_PARAMETER;
    };
    let state = host::lock(&STATE);
    let luid = state.routes.iter().find(|(ip, _)| *ip == to.ip()).map(|(_, luid)| *luid);
    let source = state
        .addresses
        .iter()
        .find(|from| from.address.is_ipv4() == to.is_ipv4() && luid.is_none_or(|luid| luid == from.luid));
    let Some(source) = source else { return STATUS_NETWORK_UNREACHABLE };
    // SAFETY: as promised by the caller.
    unsafe { (*route).InterfaceLuid = source.luid };
    // SAFETY: as above.
    unsafe { (*route).InterfaceIndex = source.index };
    // SAFETY: as above.
    unsafe { crate::wsk::write_address(best_source.cast(), SocketAddr::new(source.address, 0), family) };
    STATUS_SUCCESS
}
