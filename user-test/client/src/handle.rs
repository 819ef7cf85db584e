//! The client, and its open handles.

use crate::case_requests;
use crate::desk::Desk;
use crate::operation::{Ioctl, Kind, Operation};
use crate::registration::RegistrationFunctions;
use crate::requests;
use crate::slots::{Close, Slots, Socket};
use abi::NTSTATUS;
use abi::nt::IRP;
use abi::status::STATUS_PENDING;
use abi::wsk::{WSK_PROVIDER_BASIC_DISPATCH, WSK_PROVIDER_NPI};
use core::ptr::NonNull;
use kernel::lock::SpinLock;
use kernel::pool::{PoolBox, PoolTag, Shared};

/// Pool tag of the client driver.
pub(crate) const TAG: PoolTag = PoolTag::new(b"WrCl");

/// A WSK client with a captured provider, and its desk for conformance cases.
#[derive(Clone)]
pub struct Client {
    pub(crate) npi: WSK_PROVIDER_NPI,
    /// The system's own provider, for cases that are to be compared.
    pub(crate) system: Option<WSK_PROVIDER_NPI>,
    /// For cases that want a client of their own.
    pub(crate) functions: RegistrationFunctions,
    pub(crate) desk: Shared<Desk>,
}

// SAFETY: the providers' functions may be called from any thread.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// A client of a captured provider; `system` is the system's own, if it was captured past `wskrdma.lib`. PASSIVE_LEVEL.
    ///
    /// With `functions` a case that wants a client of its own registers one more, on the thread for cases and as long as it runs.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or there is no thread for cases.
    ///
    /// # Safety
    /// Both were captured and are not released before [`stop`](Self::stop) has returned and every [`Handle`] is gone. `functions`
    /// are those that `npi` was captured with; they may be called from any thread until `stop` has returned.
    pub unsafe fn new(
        npi: WSK_PROVIDER_NPI,
        system: Option<WSK_PROVIDER_NPI>,
        functions: RegistrationFunctions,
    ) -> Result<Self, NTSTATUS> {
        Ok(Self { npi, system, functions, desk: Desk::open()? })
    }

    /// Ends the thread for cases; none can be run any more. PASSIVE_LEVEL.
    ///
    /// It waits for a case that runs, which it cancels. If that left requests which its provider never completes, it does not
    /// return: their memory is in use.
    pub fn stop(&self) {
        self.desk.close();
    }
}

/// An open handle: its sockets. They are closed with it.
pub struct Handle {
    pub(crate) client: Client,
    slots: SpinLock<Slots>,
}

impl Handle {
    /// Opens a handle. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn open(client: &Client) -> Result<Shared<Self>, NTSTATUS> {
        let slots = Slots::new().map_err(|e| e.status())?;
        Shared::try_new(TAG, Self { client: client.clone(), slots: SpinLock::new(slots) })
            .map_err(|e| e.status())
    }

    /// Closes every socket of the handle and cancels its case (IRP_MJ_CLEANUP). Requests that are outstanding end with CANCELLED.
    pub fn cleanup(this: &Shared<Self>) {
        this.client.desk.cancel(Some(Shared::as_ptr(this).addr()));
        loop {
            let next = this.slots.lock().close_next();
            if next.is_none() {
                return;
            }
            Self::close(this, next);
        }
    }

    /// Takes one IOCTL, whose current stack location is the caller's, and returns PENDING; it is completed later or
    /// has been already. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `irp` is an IRP_MJ_DEVICE_CONTROL with METHOD_BUFFERED that the caller holds; it is given up.
    pub unsafe fn device_control(this: &Shared<Self>, irp: NonNull<IRP>) -> NTSTATUS {
        // SAFETY: the caller holds the IRP.
        unsafe { kernel::irp::mark_pending(irp.as_ptr()) };
        // SAFETY: as above.
        let location = unsafe { kernel::irp::current_stack_location(irp.as_ptr()) };
        // SAFETY: the location is the caller's.
        let parameters = unsafe { (*location).Parameters };
        // SAFETY: the IRP is a device control, which says which member is valid.
        let parameters = unsafe { parameters.DeviceIoControl };
        // SAFETY: the caller holds the IRP.
        let associated = unsafe { (*irp.as_ptr()).AssociatedIrp };
        // SAFETY: METHOD_BUFFERED: the member is the system buffer.
        let buffer = unsafe { associated.SystemBuffer };
        let (input, output) = (parameters.InputBufferLength as usize, parameters.OutputBufferLength as usize);
        // SAFETY: marked pending above; the I/O manager's buffer has room for the larger length.
        let ioctl = unsafe { Ioctl::new(irp, buffer.cast(), input, output) };
        let code = parameters.IoControlCode;
        if let Some(ioctl) = case_requests::dispatch(this, code, ioctl) {
            requests::dispatch(this, code, ioctl);
        }
        STATUS_PENDING
    }

    /// Numbers a new socket; one that finds no place is closed.
    pub(crate) fn add(this: &Shared<Self>, socket: Socket) -> Result<u32, NTSTATUS> {
        let added = this.slots.lock().add(socket);
        if added.is_err() {
            Self::close(this, Some((socket, None)));
        }
        added
    }

    /// Makes a call on a socket.
    ///
    /// # Errors
    /// INVALID_HANDLE, and `call` was not made: it is given back.
    pub(crate) fn with_socket<C: FnOnce(Socket)>(
        this: &Shared<Self>,
        number: u32,
        call: C,
    ) -> Result<(), (NTSTATUS, C)> {
        let begun = this.slots.lock().begin(number);
        match begun {
            Ok(socket) => {
                call(socket);
                let next = this.slots.lock().end(number);
                Self::close(this, next);
                Ok(())
            }
            Err(status) => Err((status, call)),
        }
    }

    /// WskCloseSocket, when the last call on the socket has returned.
    pub(crate) fn close_socket(this: &Shared<Self>, number: u32, operation: PoolBox<Operation>) {
        let closed = this.slots.lock().close(number, operation);
        match closed {
            Ok(next) => Self::close(this, next),
            Err(operation) => Operation::fail(operation, abi::status::STATUS_INVALID_HANDLE),
        }
    }

    fn close(this: &Shared<Self>, close: Close) {
        let Some((socket, operation)) = close else { return };
        // Nobody waits for a close without an operation; one without memory leaves the socket to the deregistration,
        // which says so by waiting.
        let Some(operation) = operation.or_else(|| Operation::new(this, Kind::Plain, None)) else { return };
        Operation::start(operation, |irp, _, _| {
            // SAFETY: the socket is open, and every kind's table begins with the basic one.
            let table = unsafe { (*socket.pointer).Dispatch }.cast::<WSK_PROVIDER_BASIC_DISPATCH>();
            // SAFETY: a provider's table is valid as long as the socket.
            let close = unsafe { (*table).WskCloseSocket };
            // SAFETY: no call on the socket is under way, none follows; the IRP is ours until its completion.
            unsafe { close(socket.pointer, irp) }
        });
    }
}
