//! The native world: the drivers' crates in this process, over the simulated kernel.
//!
//! The same requests reach the same handlers as on Windows; in place of the I/O manager and KMDF stands `ksim`.

use super::{Device, DeviceError};
use crate::ntstatus::NtStatus;
use abi::wsk::{WSK_CLIENT_DISPATCH, WSK_CLIENT_NPI, WSK_PROVIDER_NPI, WSK_REGISTRATION};
use client::{Client, Handle, RegistrationFunctions};
use kernel::pool::Shared;
use runtime::{Config, Iwarp, Runtime, SystemWsk};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Addresses of the software adapter.
const ADDRESSES: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// What the client registers with; it lives as long as the process.
static CLIENT_DISPATCH: WSK_CLIENT_DISPATCH =
    WSK_CLIENT_DISPATCH { Version: 0x0100, Reserved: 0, WskClientEvent: None };

/// The ports that lead to other processes, once it is known whether there are any.
static HOST_PORTS: OnceLock<Option<(u16, u16)>> = OnceLock::new();

/// The ports that lead to other processes of this host, from the first to the last.
///
/// # Errors
/// The text is neither a port nor a range.
pub(crate) fn host_ports(text: &str) -> Result<(u16, u16), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if 0 < first && first <= last => Ok((first, last)),
        _ => Err("a port, or the first and last one of a range: 5000-5010".to_owned()),
    }
}

/// Says which ports lead to other processes; before the first device is opened.
pub(crate) fn join_host(ports: Option<(u16, u16)>) {
    // The first answer stays.
    let _ = HOST_PORTS.set(ports);
}

/// Has connections of these ports go over the host's TCP, by iWARP and never as themselves.
fn reach_others<'a>(
    config: &mut Config<'a>,
    ports: &'a [(u16, u16)],
    system: WSK_PROVIDER_NPI,
) -> Result<(), DeviceError> {
    let Some((first, last)) = ports.first() else { return Ok(()) };
    ksim::wsk::join_host(*first..=*last);
    let failed = |what: &str| DeviceError::Unavailable(what.to_owned());
    // SAFETY: the simulated system's table is static.
    let dispatch = unsafe { system.Dispatch.as_ref() }.ok_or_else(|| failed("the system has no table"))?;
    // SAFETY: released when the world is dropped, after the driver.
    let tcp = unsafe { SystemWsk::new(system.Client, dispatch) };
    config.iwarp = Some(Iwarp::new(tcp, ports));
    let mut policy = wsk::policy::PolicyBuilder::new();
    policy.add(&format!("require any any port {first}-{last}")).map_err(|e| failed(&e.to_string()))?;
    config.settings.policy = policy.build().map_err(|_| failed("no memory"))?;
    Ok(())
}

/// The running provider and its registered client.
struct World {
    runtime: Option<Runtime>,
    registration: Box<WSK_REGISTRATION>,
    /// With the simulated system's own WSK.
    system_registration: Box<WSK_REGISTRATION>,
    client: Client,
}

// SAFETY: the registration block is used by `start` and by the drop only, one after the other.
unsafe impl Send for World {}
// SAFETY: as above.
unsafe impl Sync for World {}

fn not_registered() -> WSK_REGISTRATION {
    WSK_REGISTRATION {
        ReservedRegistrationState: 0,
        ReservedRegistrationContext: ptr::null_mut(),
        ReservedRegistrationLock: 0,
    }
}

impl World {
    fn start() -> Result<Self, DeviceError> {
        let failed = |what: &str, status| DeviceError::Unavailable(format!("{what}: {}", NtStatus(status)));
        // SAFETY: the simulated device lives as long as the process.
        unsafe { kernel::init(ksim::device()) };
        let mut npi = WSK_CLIENT_NPI { ClientContext: ptr::null_mut(), Dispatch: &CLIENT_DISPATCH };
        let mut system_registration = Box::new(not_registered());
        // SAFETY: the block stays in its box until it is deregistered; the simulated system's functions.
        let status = unsafe { kernel::wsk::register(&mut npi, &mut *system_registration) };
        if status < 0 {
            return Err(failed("WskRegister of the simulated system", status));
        }
        let mut system = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        let status = unsafe { kernel::wsk::capture(&mut *system_registration, 0, &mut system) };
        if status < 0 {
            return Err(failed("WskCaptureProviderNPI of the simulated system", status));
        }
        let mut config = Config { software_adapter: Some(ADDRESSES), ..Config::default() };
        let ports = HOST_PORTS.get().copied().flatten();
        reach_others(&mut config, ports.as_slice(), system)?;
        let runtime = Runtime::start(&config).map_err(|s| failed("start the provider", s))?;
        let mut registration = Box::new(not_registered());
        // SAFETY: the block stays in its box until it is deregistered; the table is static.
        let status = unsafe { wsk::wsk_register(&mut npi, &mut *registration) };
        if status < 0 {
            return Err(failed("WskRegister", status));
        }
        let mut provider = WSK_PROVIDER_NPI { Client: ptr::null_mut(), Dispatch: ptr::null() };
        // SAFETY: registered above.
        let status = unsafe { wsk::wsk_capture_provider_npi(&mut *registration, 0, &mut provider) };
        if status < 0 {
            return Err(failed("WskCaptureProviderNPI", status));
        }
        let functions = RegistrationFunctions {
            register: wsk::wsk_register,
            capture: wsk::wsk_capture_provider_npi,
            release: wsk::wsk_release_provider_npi,
            deregister: wsk::wsk_deregister,
        };
        // SAFETY: released only when this world is dropped, after every handle and the client's stop.
        let client = unsafe { Client::new(provider, Some(system), functions) };
        let client = client.map_err(|s| failed("start the test client", s))?;
        Ok(Self { runtime: Some(runtime), registration, system_registration, client })
    }

    /// The one world of this process, as long as a device of it is open.
    fn get() -> Result<Arc<Self>, DeviceError> {
        static WORLD: OnceLock<Mutex<std::sync::Weak<World>>> = OnceLock::new();
        let mut world = WORLD.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = world.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start()?);
        *world = Arc::downgrade(&started);
        Ok(started)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.client.stop();
        // SAFETY: captured once; no call is under way, every handle is closed.
        unsafe { wsk::wsk_release_provider_npi(&mut *self.registration) };
        // SAFETY: registered once; waits for the last socket.
        unsafe { wsk::wsk_deregister(&mut *self.registration) };
        if let Some(runtime) = self.runtime.take() {
            let _closed = runtime.stop();
        }
        // SAFETY: captured once; no case runs any more, and the adapter that used it is stopped.
        unsafe { kernel::wsk::release(&mut *self.system_registration) };
        // SAFETY: registered once.
        unsafe { kernel::wsk::deregister(&mut *self.system_registration) };
        ksim::quiesce();
        kernel::shutdown();
    }
}

struct Driver(Arc<World>);

impl Device for Driver {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> (NtStatus, usize) {
        let mut buffer = vec![0; input.len().max(output.len())];
        if let Some(front) = buffer.get_mut(..input.len()) {
            front.copy_from_slice(input);
        }
        let Some(runtime) = &self.0.runtime else { return (NtStatus(0xC000_00A3_u32.cast_signed()), 0) };
        let (status, n) = runtime.device_control(code, &mut buffer, input.len(), output.len());
        for (to, from) in output.iter_mut().zip(buffer.iter().take(n)) {
            *to = *from;
        }
        (NtStatus(status), n)
    }
}

struct TestClient {
    handle: Shared<Handle>,
    // After the handle: the world outlives it.
    _world: Arc<World>,
}

impl Device for TestClient {
    fn ioctl(&self, code: u32, input: &[u8], output: &mut [u8]) -> (NtStatus, usize) {
        let (status, n) = ksim::io::device_io_control(code, input, output, |irp| {
            // SAFETY: the IRP was made for this call, with this driver's location current.
            unsafe { Handle::device_control(&self.handle, irp) }
        });
        (NtStatus(status), n)
    }
}

impl Drop for TestClient {
    fn drop(&mut self) {
        Handle::cleanup(&self.handle);
    }
}

/// Opens the driver's device; the first device of a process starts its world.
pub(crate) fn open_driver() -> Result<Box<dyn Device>, DeviceError> {
    Ok(Box::new(Driver(World::get()?)))
}

/// Opens the test client's device.
pub(crate) fn open_client() -> Result<Box<dyn Device>, DeviceError> {
    let world = World::get()?;
    let handle = Handle::open(&world.client)
        .map_err(|s| DeviceError::Unavailable(format!("open the test client: {}", NtStatus(s))))?;
    Ok(Box::new(TestClient { handle, _world: world }))
}
