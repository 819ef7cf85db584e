//! One request: an IOCTL on one side, an IRP of our own for the WSK call on the other.

use crate::handle::{Handle, TAG};
use crate::slots::Socket;
use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IO_NO_INCREMENT, IRP};
use abi::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_MORE_PROCESSING_REQUIRED, nt_success};
use abi::wsk::{SOCKADDR, SOCKADDR_INET, WSK_FLAG_CONNECTION_SOCKET};
use control::client::{AcceptReply, SendReply, SocketReply};
use control::{Address, Record};
use core::ffi::c_void;
use core::mem::{MaybeUninit, zeroed};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use core::ptr::NonNull;
use kernel::irp::{InvokeOn, OwnedIrp, complete, result, set_completion_routine};
use kernel::mdl::OwnedMdl;
use kernel::pool::{PoolBox, Shared};

/// The IOCTL of a request, marked pending.
pub(crate) struct Ioctl {
    irp: NonNull<IRP>,
    /// The METHOD_BUFFERED system buffer, with room for the reply.
    pub(crate) buffer: *mut u8,
    pub(crate) input: usize,
    pub(crate) output: usize,
}

// SAFETY: the IRP is held by whoever has the `Ioctl`.
unsafe impl Send for Ioctl {}

impl Ioctl {
    /// # Safety
    /// The IRP is an IOCTL that was marked pending and is completed through this value only. `buffer` has room for
    /// the larger of `input` and `output` octets.
    pub(crate) unsafe fn new(irp: NonNull<IRP>, buffer: *mut u8, input: usize, output: usize) -> Self {
        Self { irp, buffer, input, output }
    }

    /// The octets of the request.
    pub(crate) fn request(&self) -> &[u8] {
        if self.buffer.is_null() {
            return &[];
        }
        // SAFETY: the promise of `new`; nobody writes the buffer while the IOCTL is held and not answered.
        unsafe { core::slice::from_raw_parts(self.buffer, self.input) }
    }

    /// Completes with a record, which needs room.
    pub(crate) fn answer(self, reply: &impl Record) {
        let room: &mut [u8] = if self.buffer.is_null() {
            &mut []
        } else {
            // SAFETY: the promise of `new`; the request is not looked at any more.
            unsafe { core::slice::from_raw_parts_mut(self.buffer, self.output) }
        };
        match reply.encode(room) {
            Ok(n) => self.complete(0, n),
            Err(_) => self.complete(abi::status::STATUS_BUFFER_TOO_SMALL, 0),
        }
    }

    /// Completes it. IRQL <= DISPATCH_LEVEL, no lock held.
    pub(crate) fn complete(self, status: NTSTATUS, information: usize) {
        // SAFETY: the promise of `new`: this value is the right to complete, and it is used up.
        unsafe { complete(self.irp.as_ptr(), status, information, IO_NO_INCREMENT) };
    }
}

/// What the WSK call was, and so what its end means.
pub(crate) enum Kind {
    /// WskSocket of a kind.
    Socket(u32),
    /// WskAccept.
    Accept,
    /// WskSend.
    Send,
    /// WskReceive: the octets lie in the system buffer.
    Receive,
    /// WskGetLocalAddress or WskGetRemoteAddress.
    Address,
    /// Anything whose status says it all.
    Plain,
}

/// A WSK call under way. It owns everything the call needs until its completion.
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) handle: Shared<Handle>,
    /// `None`: nobody waits for the end.
    pub(crate) ioctl: Option<Ioctl>,
    irp: OwnedIrp,
    /// Describes the octets of a send or receive.
    pub(crate) mdl: Option<OwnedMdl>,
    pub(crate) local: MaybeUninit<SOCKADDR_INET>,
    pub(crate) remote: MaybeUninit<SOCKADDR_INET>,
}

impl Operation {
    /// # Errors
    /// No memory; the IOCTL is completed with INSUFFICIENT_RESOURCES.
    pub(crate) fn new(handle: &Shared<Handle>, kind: Kind, ioctl: Option<Ioctl>) -> Option<PoolBox<Self>> {
        let Ok(irp) = OwnedIrp::try_new(1) else {
            fail(ioctl, STATUS_INSUFFICIENT_RESOURCES);
            return None;
        };
        // SAFETY: socket addresses are plain integers; zero is the unspecified family.
        let none = MaybeUninit::new(unsafe { zeroed::<SOCKADDR_INET>() });
        // The IOCTL goes in last: it must survive a failed allocation.
        let operation =
            Self { kind, handle: handle.clone(), ioctl: None, irp, mdl: None, local: none, remote: none };
        match PoolBox::try_new(TAG, operation) {
            Ok(mut operation) => {
                operation.ioctl = ioctl;
                Some(operation)
            }
            Err(_) => {
                fail(ioctl, STATUS_INSUFFICIENT_RESOURCES);
                None
            }
        }
    }

    /// Hands the operation's IRP to a WSK function. Whatever that returns, the IRP's completion ends the operation.
    pub(crate) fn start(
        this: PoolBox<Self>,
        call: impl FnOnce(*mut IRP, *mut SOCKADDR, *mut SOCKADDR) -> NTSTATUS,
    ) {
        let irp = this.irp.as_ptr();
        let operation = PoolBox::into_raw(this);
        // SAFETY: the operation lives until its completion routine has run.
        let local = unsafe { &raw mut (*operation).local }.cast();
        // SAFETY: as above.
        let remote = unsafe { &raw mut (*operation).remote }.cast();
        // SAFETY: the IRP is ours with its one location free; the context is the operation, taken by the routine.
        unsafe { set_completion_routine(irp, completed, operation.cast(), InvokeOn::ALL) };
        let _whatever = call(irp, local, remote);
    }

    /// Ends an operation whose call was never made.
    pub(crate) fn fail(mut this: PoolBox<Self>, status: NTSTATUS) {
        fail(this.ioctl.take(), status);
    }

    fn finish(mut this: PoolBox<Self>, status: NTSTATUS, information: usize) {
        let handle = this.handle.clone();
        let ioctl = this.ioctl.take();
        let created = match this.kind {
            Kind::Socket(kind) => Some(Socket::at(information, kind)),
            Kind::Accept => Some(Socket::at(information, WSK_FLAG_CONNECTION_SOCKET)),
            _ => None,
        };
        if !nt_success(status) {
            return fail(ioctl, status);
        }
        let number = match created.map(|socket| Handle::add(&handle, socket)).transpose() {
            Ok(number) => number.unwrap_or_default(),
            Err(status) => return fail(ioctl, status),
        };
        let Some(ioctl) = ioctl else { return };
        match this.kind {
            Kind::Socket(_) => ioctl.answer(&SocketReply { socket: number }),
            Kind::Accept => ioctl.answer(&AcceptReply {
                socket: number,
                reserved: 0,
                local: read(&this.local),
                remote: read(&this.remote),
            }),
            Kind::Send => ioctl.answer(&SendReply { sent: u32::try_from(information).unwrap_or(u32::MAX) }),
            Kind::Receive => ioctl.complete(status, information),
            Kind::Address => ioctl.answer(&read(&this.local)),
            Kind::Plain => ioctl.complete(status, 0),
        }
    }
}

fn fail(ioctl: Option<Ioctl>, status: NTSTATUS) {
    if let Some(ioctl) = ioctl {
        ioctl.complete(status, 0);
    }
}

/// The completion routine of every WSK call.
unsafe extern "system" fn completed(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: in its completion routine the IRP is ours.
    let (status, information) = unsafe { result(irp) };
    // SAFETY: the context is the operation that `start` gave up; an IRP completes once.
    let operation = unsafe { PoolBox::<Operation>::from_raw(context.cast()) };
    Operation::finish(operation, status, information);
    // The IRP was freed with the operation: the I/O manager must not touch it again.
    STATUS_MORE_PROCESSING_REQUIRED
}

/// An address that a provider has written.
fn read(address: &MaybeUninit<SOCKADDR_INET>) -> Address {
    // SAFETY: initialised at creation, and written by the provider before it completed the IRP.
    let raw = unsafe { address.assume_init_ref() };
    // SAFETY: every member of the union begins with the family.
    let family = unsafe { raw.si_family };
    let address: Option<SocketAddr> = match family {
        abi::wsk::AF_INET => {
            // SAFETY: the family says which member is valid.
            let a = unsafe { raw.Ipv4 };
            Some(SocketAddrV4::new(Ipv4Addr::from(a.sin_addr), u16::from_be(a.sin_port)).into())
        }
        abi::wsk::AF_INET6 => {
            // SAFETY: the family says which member is valid.
            let a = unsafe { raw.Ipv6 };
            let ip = Ipv6Addr::from(a.sin6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(a.sin6_port), a.sin6_flowinfo, a.sin6_scope_id).into())
        }
        _ => None,
    };
    address.map(Address::from).unwrap_or_default()
}
