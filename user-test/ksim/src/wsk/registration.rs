//! The five exports of `netio.sys`.

use std::ptr;
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::{DISPATCH_LEVEL, PASSIVE_LEVEL};
use abi::status::{
    STATUS_CANCELLED, STATUS_DEVICE_NOT_READY, STATUS_INVALID_PARAMETER, STATUS_NOINTERFACE, STATUS_SUCCESS,
};
use abi::wsk::*;

use super::control::Function;
use super::table;
use super::world::{self, CHANGED, Client, World};
use crate::host::{self, MutexGuard};
use crate::stop::DRIVER_VERIFIER_DETECTED_VIOLATION;
use crate::{processor, stop};

/// What the provider speaks at most: a minor version more than anybody asks for.
pub(super) const HIGHEST: u16 = MAKE_WSK_VERSION(1, 1);
const LOWEST: u16 = MAKE_WSK_VERSION(1, 0);

/// `ReservedRegistrationState` of a block that was registered; other values were never given out.
const REGISTERED: u64 = 0x0057_534B_5245_4731;

/// The registration a block stands for; zero if it is none.
///
/// # Safety
/// `registration` is a block that was registered once.
unsafe fn number_of(registration: *mut WSK_REGISTRATION, routine: &str) -> usize {
    // SAFETY: as promised by the caller.
    let block = unsafe { &*registration };
    if block.ReservedRegistrationState != REGISTERED {
        let address = registration.addr();
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "{routine}: {address:#x} was never registered");
    }
    block.ReservedRegistrationContext.addr()
}

/// `WskRegister`.
///
/// # Safety
/// As Microsoft's page asks for.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn WskRegister(
    npi: *mut WSK_CLIENT_NPI,
    registration: *mut WSK_REGISTRATION,
) -> NTSTATUS {
    processor::require_at_most(PASSIVE_LEVEL, "WskRegister");
    let mut world = world::lock();
    world.count(Function::WskRegister);
    if let Some(status) = world.fault(Function::WskRegister) {
        return status;
    }
    // SAFETY: as promised by the caller.
    let Some(npi) = (unsafe { npi.as_ref() }) else { return STATUS_INVALID_PARAMETER };
    // SAFETY: as promised by the caller.
    let Some(dispatch) = (unsafe { npi.Dispatch.as_ref() }) else { return STATUS_INVALID_PARAMETER };
    if registration.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let number = world.next_number();
    world.clients.insert(number, Client { version: dispatch.Version, ..Client::default() });
    drop(world);
    let block = WSK_REGISTRATION {
        ReservedRegistrationState: REGISTERED,
        ReservedRegistrationContext: ptr::without_provenance_mut(number),
        ReservedRegistrationLock: 0,
    };
    // SAFETY: as promised by the caller.
    unsafe { registration.write(block) };
    STATUS_SUCCESS
}

/// Whether the provider speaks a version.
fn speaks(version: u16) -> bool {
    (LOWEST..=HIGHEST).contains(&version)
}

/// Waits until something changes or the time is over; `None` if it is.
fn wait(world: MutexGuard<'static, World>, deadline: Option<Duration>) -> Option<MutexGuard<'static, World>> {
    const WHAT: &str = "the system's WSK";
    let Some(deadline) = deadline else { return Some(host::wait(&CHANGED, world, WHAT)) };
    (host::now() < deadline).then(|| host::wait_until(&CHANGED, world, deadline, WHAT))
}

/// `WskCaptureProviderNPI`.
///
/// # Safety
/// As Microsoft's page asks for.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn WskCaptureProviderNPI(
    registration: *mut WSK_REGISTRATION,
    timeout: u32,
    npi: *mut WSK_PROVIDER_NPI,
) -> NTSTATUS {
    if timeout == WSK_NO_WAIT {
        processor::require_at_most(DISPATCH_LEVEL, "WskCaptureProviderNPI");
    } else {
        processor::require_at_most(PASSIVE_LEVEL, "WskCaptureProviderNPI with a wait");
        processor::require_may_wait("WskCaptureProviderNPI");
    }
    // SAFETY: as promised by the caller.
    let number = unsafe { number_of(registration, "WskCaptureProviderNPI") };
    let limit = Duration::from_millis(timeout.into());
    let deadline = (timeout != WSK_INFINITE_WAIT).then(|| host::now() + limit);
    let mut world = world::lock();
    world.count(Function::WskCaptureProviderNPI);
    if let Some(status) = world.fault(Function::WskCaptureProviderNPI) {
        return status;
    }
    loop {
        let present = world.config.present;
        let Some(client) = world.clients.get_mut(&number).filter(|client| !client.leaving) else {
            return STATUS_DEVICE_NOT_READY;
        };
        if present && !speaks(client.version) {
            return STATUS_NOINTERFACE;
        }
        if present {
            client.captures += 1;
            break;
        }
        let Some(again) = wait(world, deadline) else { return STATUS_DEVICE_NOT_READY };
        world = again;
    }
    drop(world);
    let captured = WSK_PROVIDER_NPI {
        Client: ptr::without_provenance_mut(number),
        Dispatch: &raw const table::PROVIDER,
    };
    // SAFETY: as promised by the caller.
    unsafe { npi.write(captured) };
    STATUS_SUCCESS
}

/// `WskReleaseProviderNPI`.
///
/// # Safety
/// As Microsoft's page asks for.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn WskReleaseProviderNPI(registration: *mut WSK_REGISTRATION) {
    processor::require_at_most(DISPATCH_LEVEL, "WskReleaseProviderNPI");
    // SAFETY: as promised by the caller.
    let number = unsafe { number_of(registration, "WskReleaseProviderNPI") };
    let mut world = world::lock();
    world.count(Function::WskReleaseProviderNPI);
    let client = world.clients.get_mut(&number).filter(|client| client.captures != 0);
    let Some(client) = client else {
        drop(world);
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "WskReleaseProviderNPI without a capture");
    };
    client.captures -= 1;
    CHANGED.notify_all();
}

/// `WskQueryProviderCharacteristics`.
///
/// # Safety
/// As Microsoft's page asks for.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn WskQueryProviderCharacteristics(
    registration: *mut WSK_REGISTRATION,
    characteristics: *mut WSK_PROVIDER_CHARACTERISTICS,
) -> NTSTATUS {
    processor::require_at_most(DISPATCH_LEVEL, "WskQueryProviderCharacteristics");
    // SAFETY: as promised by the caller.
    let number = unsafe { number_of(registration, "WskQueryProviderCharacteristics") };
    let mut world = world::lock();
    world.count(Function::WskQueryProviderCharacteristics);
    if let Some(status) = world.fault(Function::WskQueryProviderCharacteristics) {
        return status;
    }
    let registered = world.clients.get(&number).is_some_and(|client| !client.leaving);
    if !registered || !world.config.present {
        return STATUS_DEVICE_NOT_READY;
    }
    drop(world);
    let versions = WSK_PROVIDER_CHARACTERISTICS { HighestVersion: HIGHEST, LowestVersion: LOWEST };
    // SAFETY: as promised by the caller.
    unsafe { characteristics.write(versions) };
    STATUS_SUCCESS
}

/// `WskDeregister`: waits for captures, sockets and IRPs.
///
/// # Safety
/// As Microsoft's page asks for.
#[unsafe(no_mangle)]
unsafe extern "C-unwind" fn WskDeregister(registration: *mut WSK_REGISTRATION) {
    processor::require_at_most(PASSIVE_LEVEL, "WskDeregister");
    processor::require_may_wait("WskDeregister");
    // SAFETY: as promised by the caller.
    let number = unsafe { number_of(registration, "WskDeregister") };
    let mut world = world::lock();
    world.count(Function::WskDeregister);
    let Some(client) = world.clients.get_mut(&number).filter(|client| !client.leaving) else {
        drop(world);
        stop!(DRIVER_VERIFIER_DETECTED_VIOLATION, "WskDeregister without a registration");
    };
    client.leaving = true;
    CHANGED.notify_all();
    world.end_watches(|watch| watch.client == number, STATUS_CANCELLED);
    world::finish(world, 0);
    let mut world = world::lock();
    let busy = |client: &Client| client.captures + client.sockets + client.requests != 0;
    while world.clients.get(&number).is_some_and(busy) {
        world = host::wait(&CHANGED, world, "a client of the system's WSK to be done");
    }
    world.clients.remove(&number);
}
