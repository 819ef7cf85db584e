//! What `wskrdma.lib` asks for: the registration functions of this driver.

use abi::NTSTATUS;
use abi::nt::KernelMode;
use abi::status::STATUS_INVALID_DEVICE_REQUEST;
use control::provider::{self, IOCTL_INTERNAL_WSKRDMA_PROVIDER, WSKRDMA_REGISTRATION_ENTRIES};

/// What is handed out. The functions may be called as long as the file is open that the request came through.
const ENTRIES: WSKRDMA_REGISTRATION_ENTRIES = WSKRDMA_REGISTRATION_ENTRIES {
    WskRegister: wsk::wsk_register,
    WskDeregister: wsk::wsk_deregister,
    WskCaptureProviderNPI: wsk::wsk_capture_provider_npi,
    WskReleaseProviderNPI: wsk::wsk_release_provider_npi,
    WskQueryProviderCharacteristics: wsk::wsk_query_provider_characteristics,
};

/// Answers an internal device control from kernel mode, as [`provider::handle`] does; INVALID_DEVICE_REQUEST for
/// a code that is not [`IOCTL_INTERNAL_WSKRDMA_PROVIDER`].
pub(crate) fn handle(code: u32, buffer: &mut [u8], input: usize, output: usize) -> (NTSTATUS, usize) {
    if code != IOCTL_INTERNAL_WSKRDMA_PROVIDER {
        return (STATUS_INVALID_DEVICE_REQUEST, 0);
    }
    provider::handle(KernelMode, buffer, input, output, &ENTRIES)
}
