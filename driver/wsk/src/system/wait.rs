//! Calls of the system's functions that are waited for.

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::{STATUS_MORE_PROCESSING_REQUIRED, STATUS_PENDING, nt_success};
use core::ffi::c_void;
use core::ptr;
use kernel::event::{Event, EventType};
use kernel::irp::{InvokeOn, OwnedIrp};

/// An IRP with an event, for one call after another. IRQL: PASSIVE_LEVEL.
pub(crate) struct Wait {
    irp: OwnedIrp,
    done: Event,
}

impl Wait {
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new() -> Result<Self, NTSTATUS> {
        let irp = OwnedIrp::try_new(1).map_err(|e| e.status())?;
        let done = Event::new(EventType::Notification, false).map_err(|e| e.status())?;
        Ok(Self { irp, done })
    }

    /// Makes a call, waits for its end, and returns `Information`.
    ///
    /// # Errors
    /// The status that the request ended with.
    pub(crate) fn call(&mut self, invoke: impl FnOnce(*mut IRP) -> NTSTATUS) -> Result<usize, NTSTATUS> {
        let irp = self.irp.as_ptr();
        self.done.clear();
        // SAFETY: not outstanding: the call before was waited for.
        unsafe { self.irp.reuse(STATUS_PENDING) };
        let context: *mut c_void = ptr::from_ref(&self.done).cast_mut().cast();
        // SAFETY: a fresh IRP with one location; the event lives until the routine has been called.
        unsafe { kernel::irp::set_completion_routine(irp, completed, context, InvokeOn::ALL) };
        let returned = invoke(irp);
        if returned == STATUS_PENDING {
            self.done.wait_forever();
        } else if !self.done.wait(Some(0)) {
            // A function that is not served may leave the IRP alone: by contract a completion comes before such a return.
            return if nt_success(returned) { Ok(0) } else { Err(returned) };
        }
        // SAFETY: completed, and the routine has kept the IRP.
        match unsafe { kernel::irp::result(irp) } {
            (status, information) if nt_success(status) => Ok(information),
            (status, _) => Err(status),
        }
    }
}

/// # Safety
/// `context` is the event of a [`Wait`] whose caller waits.
unsafe extern "system" fn completed(
    _device: *mut DEVICE_OBJECT,
    _irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the waiter keeps the event until it is set, which is this routine's last act.
    unsafe { &*context.cast::<Event>() }.set();
    STATUS_MORE_PROCESSING_REQUIRED
}
