//! What this world can do.

use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_NOT_IMPLEMENTED, STATUS_NOT_SUPPORTED};
use abi::wsk::{WSK_INFINITE_WAIT, WSK_TRANSPORT_LIST_QUERY};
use kernel::time::{interrupt_time_100ns, milliseconds};

use super::{Halt, Kernel};
use crate::registration::Registration;

impl Kernel<'_> {
    /// Whether the provider, or the system below it, has a list of transports.
    pub(super) fn has_transport_list(&self) -> bool {
        let (none, mut size) = (core::ptr::null_mut(), 0);
        // SAFETY: captured, so the table is valid.
        let control = unsafe { (*self.npi.Dispatch).WskControlClient };
        let (client, code) = (self.npi.Client, WSK_TRANSPORT_LIST_QUERY);
        // SAFETY: a call as its page says, without an IRP and without room.
        let status = unsafe { control(client, code, 0, none, 0, none, &mut size, core::ptr::null_mut()) };
        !matches!(status, STATUS_NOT_SUPPORTED | STATUS_NOT_IMPLEMENTED)
    }

    /// Registers one more client, which makes the calls from here on; a case has one at most. PASSIVE_LEVEL.
    pub(super) fn register(&mut self) -> bool {
        let Some(functions) = self.functions else { return false };
        if self.later.is_some() || self.is_halted() {
            return false;
        }
        // It cannot be cancelled, but ends with the case's time limit.
        let left = self.deadline.saturating_sub(interrupt_time_100ns()) / milliseconds(1);
        let limit = u32::try_from(left).unwrap_or(u32::MAX).min(WSK_INFINITE_WAIT - 1);
        // SAFETY: `new`'s caller promises the functions until this world is dropped, before which the registration ends.
        match unsafe { Registration::new(functions, limit) } {
            Ok(registration) => {
                let first = core::mem::replace(&mut self.npi, registration.npi());
                self.later = Some((registration, first));
                true
            }
            Err(STATUS_INSUFFICIENT_RESOURCES) => {
                self.halt = Some(Halt::NoMemory);
                false
            }
            Err(_) => false,
        }
    }

    /// Ends the client that came later, if there is one. It waits until its sockets are closed. PASSIVE_LEVEL.
    pub(super) fn deregister(&mut self) {
        if let Some((registration, first)) = self.later.take() {
            self.npi = first;
            drop(registration);
        }
    }
}
