//! What the requests to the device are answered by: the runtime.

use abi::NTSTATUS;
use abi::status::STATUS_DEVICE_NOT_READY;
use kernel::dbg_print;
use kernel::print::Level;
use kernel::time::milliseconds;
use runtime::{Config, Iwarp, LOOPBACK_ADDRESSES, Runtime, SystemTcp};
use wdk_sys::DRIVER_OBJECT;

use crate::registration;
use crate::settings::Settings;

/// Everything behind the device, from the start of the driver to its unloading.
pub(crate) struct Provider {
    /// Taken when it is stopped.
    runtime: Option<Runtime>,
    /// After the runtime, whose software adapter uses it.
    tcp: Option<SystemTcp>,
}

impl Provider {
    /// Starts the adapters that the settings ask for, in the name of `driver`, and lets clients register. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// Those of [`Runtime::start`].
    pub(crate) fn start(settings: Settings, driver: *mut DRIVER_OBJECT) -> Result<Self, NTSTATUS> {
        let addresses = match settings.software_addresses.as_slice() {
            [] => LOOPBACK_ADDRESSES,
            addresses => addresses,
        };
        let ports = settings.iwarp_ports.as_slice();
        let tcp = if settings.software_adapter && !ports.is_empty() { system_tcp() } else { None };
        let iwarp = tcp.as_ref().map(|tcp| {
            // SAFETY: it is dropped after the runtime.
            let system = unsafe { tcp.wsk() };
            let local_too = settings.iwarp_local;
            Iwarp { local_too, crc: settings.iwarp_crc, ..Iwarp::new(system, ports) }
        });
        let sizes = wsk::Settings {
            policy: settings.policy,
            retry_after: milliseconds(u64::from(settings.retry_after_s).saturating_mul(1_000)),
            rdma_connect_limit: milliseconds(settings.connect_limit_ms.into()),
            zero_copy_octets: settings.zero_copy_octets,
            ring_octets: settings.ring_octets.next_multiple_of(4096),
            disconnect_limit: milliseconds(settings.disconnect_limit_ms.into()),
            answer_limit: milliseconds(settings.answer_limit_ms.into()),
            adapter_octets: u64::from(settings.adapter_mib) << 20,
            peer_octets: u64::from(settings.peer_mib) << 20,
            peer_backlog: settings.peer_backlog,
            backlog: settings.backlog,
            prepared_endpoints: settings.prepared_endpoints,
            ..wsk::Settings::DEFAULT
        };
        let config = Config {
            settings: sizes,
            software_adapter: settings.software_adapter.then_some(addresses),
            iwarp,
            register_with_nmr: settings.register_with_nmr,
            hardware_adapters: settings.hardware_adapters,
            driver: driver.cast(),
            ..Config::default()
        };
        Ok(Self { runtime: Some(Runtime::start(&config)?), tcp })
    }

    /// Answers IRP_MJ_INTERNAL_DEVICE_CONTROL: `wskrdma.lib` asks for the registration functions. The lengths are
    /// those of the stack location; the caller has made sure that kernel mode asks. PASSIVE_LEVEL.
    pub(crate) fn internal_device_control(
        &self,
        code: u32,
        buffer: &mut [u8],
        input: usize,
        output: usize,
    ) -> (NTSTATUS, usize) {
        match &self.runtime {
            Some(_) => registration::handle(code, buffer, input, output),
            None => (STATUS_DEVICE_NOT_READY, 0),
        }
    }

    /// Answers IRP_MJ_DEVICE_CONTROL with a METHOD_BUFFERED code: the first `input` bytes of `buffer` are the
    /// question, the reply has at most `output`. Returns the status and the length of the reply. PASSIVE_LEVEL.
    pub(crate) fn device_control(
        &self,
        code: u32,
        buffer: &mut [u8],
        input: usize,
        output: usize,
    ) -> (NTSTATUS, usize) {
        match &self.runtime {
            Some(runtime) => runtime.device_control(code, buffer, input, output),
            None => (STATUS_DEVICE_NOT_READY, 0),
        }
    }
}

impl Drop for Provider {
    /// Waits for the last client. An open handle keeps the driver loaded, so none is left when it unloads.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take()
            && !runtime.stop()
        {
            // What is not closed keeps the image, and the software adapter may be in use.
            core::mem::forget(self.tcp.take());
        }
    }
}

/// The system's TCP for the software adapter. Without it the adapter is there, and serves no port by iWARP. PASSIVE_LEVEL.
fn system_tcp() -> Option<SystemTcp> {
    SystemTcp::start()
        .inspect_err(|status| {
            dbg_print!(Level::Error, "wskrdma: no iWARP: the system's WSK is not there: {status:#010x}");
        })
        .ok()
}
