//! The default queue of a device, and everything the I/O manager sends to it.

use core::sync::atomic::Ordering;

use abi::NTSTATUS;
use abi::nt::{
    DEVICE_OBJECT, IO_PARAMETERS_DEVICE_IO_CONTROL, IO_STACK_LOCATION, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
    IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL, SL_PENDING_RETURNED,
};
use abi::status::{
    STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_DEVICE_REQUEST, STATUS_INVALID_PARAMETER, STATUS_PENDING,
    STATUS_SUCCESS,
};

use crate::bind::Client;
use crate::device::{self, Device};
use crate::nt::{STATUS_INFO_LENGTH_MISMATCH, STATUS_NO_SUCH_DEVICE};
use crate::object::{self, Behind, Kind, check_attributes};
use crate::report::broken;
use crate::request::{self, REQUESTS};
use crate::slots::Entry;
use crate::wdf::{DISPATCH_PARALLEL, EvtIoDeviceControl, Globals, Handle, ObjectAttributes, QueueConfig};

/// What WDFQUEUE points to.
pub(crate) struct Queue {
    device: Handle,
    device_control: Option<EvtIoDeviceControl>,
    internal_device_control: Option<EvtIoDeviceControl>,
}

impl Behind for Queue {
    const KIND: Kind = Kind::Queue;
}

/// WdfIoQueueCreate.
pub(crate) unsafe extern "system" fn io_queue_create(
    globals: *mut Globals,
    device: Handle,
    config: *const QueueConfig,
    attributes: *const ObjectAttributes,
    out: *mut Handle,
) -> NTSTATUS {
    const NAME: &str = "WdfIoQueueCreate";
    Client::calling(globals, NAME);
    check_attributes(attributes, NAME);
    // SAFETY: the driver's structure, which lives during the call.
    let config = unsafe { &*config };
    if config.size as usize != size_of::<QueueConfig>() {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    if config.dispatch_type != DISPATCH_PARALLEL || config.default_queue == 0 {
        broken!("{NAME}: only a parallel default queue is in this test double");
    }
    if config.number_of_presented_requests == 0 {
        return STATUS_INVALID_PARAMETER;
    }
    let other =
        [config.evt_io_default, config.evt_io_read, config.evt_io_write, config.evt_io_canceled_on_queue];
    if other.iter().any(|routine| !routine.is_null()) {
        broken!("{NAME}: only device control callbacks are in this test double");
    }
    let queue = object::create(Queue {
        device,
        device_control: config.evt_io_device_control,
        internal_device_control: config.evt_io_internal_device_control,
    });
    if !object::borrow::<Device>(device, NAME).set_queue(queue) {
        let Queue { .. } = object::delete(queue, NAME);
        return STATUS_INVALID_PARAMETER;
    }
    if !out.is_null() {
        // SAFETY: the driver's variable.
        unsafe { *out = queue };
    }
    STATUS_SUCCESS
}

/// WdfIoQueueGetDevice.
pub(crate) unsafe extern "system" fn io_queue_get_device(globals: *mut Globals, queue: Handle) -> Handle {
    const NAME: &str = "WdfIoQueueGetDevice";
    Client::calling(globals, NAME);
    object::borrow::<Queue>(queue, NAME).device
}

/// The framework's routine for every IRP.
pub(crate) unsafe extern "system" fn dispatch(wdm: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let handle = device::handle_of(wdm);
    let device = object::borrow::<Device>(handle, "an IRP");
    // SAFETY: the I/O manager hands the IRP over.
    let stack = unsafe { stack_location(irp) };
    match stack.MajorFunction {
        IRP_MJ_CREATE if !device.is_finished() => request::finish_irp(irp, STATUS_NO_SUCH_DEVICE, 0),
        IRP_MJ_CREATE => {
            device.opens.fetch_add(1, Ordering::AcqRel);
            request::finish_irp(irp, STATUS_SUCCESS, 0)
        }
        IRP_MJ_CLEANUP => request::finish_irp(irp, STATUS_SUCCESS, 0),
        IRP_MJ_CLOSE => {
            device.opens.fetch_sub(1, Ordering::AcqRel);
            request::finish_irp(irp, STATUS_SUCCESS, 0)
        }
        major @ (IRP_MJ_DEVICE_CONTROL | IRP_MJ_INTERNAL_DEVICE_CONTROL) => {
            present(handle, device, irp, stack, major == IRP_MJ_INTERNAL_DEVICE_CONTROL)
        }
        _ => request::finish_irp(irp, STATUS_INVALID_DEVICE_REQUEST, 0),
    }
}

/// Hands a device control request to the driver. The framework always marks it pending first.
fn present(
    handle: Handle,
    device: &Device,
    irp: *mut IRP,
    stack: &mut IO_STACK_LOCATION,
    is_internal: bool,
) -> NTSTATUS {
    let routine = device
        .queue()
        .and_then(|queue| if is_internal { queue.internal_device_control } else { queue.device_control });
    let Some(routine) = routine else {
        return request::finish_irp(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
    };
    let Some(request) =
        REQUESTS.insert(Entry { irp: irp.expose_provenance(), device: handle.expose_provenance() })
    else {
        return request::finish_irp(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
    };
    let parameters = parameters(stack);
    stack.Control |= SL_PENDING_RETURNED;
    // SAFETY: the driver's callback, which takes the request over. The IRP may be gone when it returns.
    unsafe {
        routine(
            device.queue_handle(),
            request::to_handle(request),
            parameters.OutputBufferLength as usize,
            parameters.InputBufferLength as usize,
            parameters.IoControlCode,
        );
    }
    STATUS_PENDING
}

/// The stack location of the driver that holds `irp`.
///
/// # Safety
///
/// `irp` is under way and with this driver.
pub(crate) unsafe fn stack_location<'a>(irp: *mut IRP) -> &'a mut IO_STACK_LOCATION {
    // SAFETY: the caller's promise.
    let tail = unsafe { (*irp).Tail };
    // SAFETY: while an IRP is under way this member is in force.
    let location = unsafe { tail.Overlay.CurrentStackLocation };
    // SAFETY: the caller's promise; the location belongs to who holds the IRP.
    unsafe { &mut *location }
}

/// The parameters of a device control request.
pub(crate) fn parameters(stack: &IO_STACK_LOCATION) -> IO_PARAMETERS_DEVICE_IO_CONTROL {
    // SAFETY: plain numbers; only asked of device control requests.
    unsafe { stack.Parameters.DeviceIoControl }
}
