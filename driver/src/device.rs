//! The control device, and what arrives there.

use abi::NTSTATUS;
use abi::nt::METHOD_BUFFERED;
use abi::status::{STATUS_ACCESS_DENIED, STATUS_INVALID_DEVICE_REQUEST};
use wdk_sys::{WDFQUEUE, WDFREQUEST};

use crate::entry;
use crate::provider::Provider;
use crate::unicode::utf16;
use crate::wdf::{Buffers, ControlDevice, Driver, QueueRoutines, Request};

/// The system and administrators, nobody else, whatever the parent object allows.
const SDDL: &str = "D:P(A;;GA;;;SY)(A;;GA;;;BA)";

/// What Win32 programs open.
const LINK: &str = "\\DosDevices\\wskrdma";

/// What answers: code, buffer, bytes of input, room for output; status and bytes of the reply come back.
type Handler = fn(&Provider, u32, &mut [u8], usize, usize) -> (NTSTATUS, usize);

/// The transfer method in an IOCTL code.
const METHOD_MASK: u32 = 0b11;

/// Makes the device. It cannot be opened before [`ControlDevice::open`].
///
/// # Errors
///
/// Those of [`ControlDevice::create`].
pub(crate) fn create(driver: Driver) -> Result<ControlDevice, NTSTATUS> {
    let routines = QueueRoutines {
        device_control: Some(device_control),
        internal_device_control: Some(internal_device_control),
    };
    ControlDevice::create(driver, utf16!(control::driver::DEVICE_NAME), utf16!(LINK), utf16!(SDDL), routines)
}

/// `EvtIoDeviceControl`: what programs ask.
unsafe extern "C" fn device_control(
    _: WDFQUEUE,
    request: WDFREQUEST,
    output: usize,
    input: usize,
    code: u32,
) {
    // SAFETY: the queue hands the request over, and it is not used otherwise.
    let request = unsafe { Request::from_callback(request) };
    answer(request, code, input, output, Provider::device_control);
}

/// `EvtIoInternalDeviceControl`: what other drivers ask.
unsafe extern "C" fn internal_device_control(
    _: WDFQUEUE,
    request: WDFREQUEST,
    output: usize,
    input: usize,
    code: u32,
) {
    // SAFETY: the queue hands the request over, and it is not used otherwise.
    let request = unsafe { Request::from_callback(request) };
    if request.is_from_kernel() {
        answer(request, code, input, output, Provider::internal_device_control);
    } else {
        request.complete(STATUS_ACCESS_DENIED, 0);
    }
}

/// Answers a METHOD_BUFFERED request by `handler` and completes any other.
fn answer(mut request: Request, code: u32, input: usize, output: usize, handler: Handler) {
    let buffers = Buffers { input, output };
    let (status, length) = match entry::provider() {
        Some(provider) if code & METHOD_MASK == METHOD_BUFFERED => match request.buffer(buffers) {
            Ok(buffer) => handler(provider, code, buffer, buffers.input, buffers.output),
            Err(status) => (status, 0),
        },
        _ => (STATUS_INVALID_DEVICE_REQUEST, 0),
    };
    request.complete(status, length);
}
