//! A socket of the system's that belongs to a socket of ours.

use super::Wait;
use crate::options::Options;
use abi::NTSTATUS;
use abi::nt::{IRP, PEPROCESS, PETHREAD, PSECURITY_DESCRIPTOR};
use abi::status::{STATUS_INTERNAL_ERROR, nt_success};
use abi::wsk::{
    AF_INET, AF_INET6, IPPROTO_TCP, NPI_WSK_INTERFACE_ID, PFN_WSK_RECEIVE_EX_EVENT, PWSK_CLIENT,
    SIO_KEEPALIVE_VALS, SIO_WSK_SET_RECEIVE_EX_CALLBACK, SO_CONDITIONAL_ACCEPT, SO_EXCLUSIVEADDRUSE,
    SO_KEEPALIVE, SO_RCVBUF, SO_REUSEADDR, SO_WSK_EVENT_CALLBACK, SOCK_STREAM, SOCKADDR, SOL_SOCKET,
    TCP_NODELAY, WSK_BUF, WSK_CONTROL_SOCKET_TYPE, WSK_EVENT_CALLBACK_CONTROL, WSK_FLAG_CONNECTION_SOCKET,
    WSK_FLAG_LISTEN_SOCKET, WSK_PROVIDER_BASIC_DISPATCH, WSK_PROVIDER_CONNECTION_DISPATCH,
    WSK_PROVIDER_DISPATCH, WSK_PROVIDER_LISTEN_DISPATCH, WSK_SOCKET, WskIoctl, WskSetOption,
};
use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr::{self, NonNull};
use ndk::SockAddr;

/// In whose name a socket takes its local address: OwningProcess, OwningThread and SecurityDescriptor of "WskSocket".
///
/// They are valid as long as the request that brings them, so they go to the system with the socket that it makes for this
/// request, inside the client's call where NULL means the client's process, and nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// NULL: the process that makes the socket.
    pub(crate) process: PEPROCESS,
    /// NULL: no thread's own token.
    pub(crate) thread: PETHREAD,
    /// A cached one (WSK_CACHE_SD). NULL: the address is not shared.
    pub(crate) descriptor: PSECURITY_DESCRIPTOR,
}

impl Owner {
    /// The current process, and no sharing: for a socket that is made later.
    pub(crate) const NONE: Self =
        Self { process: ptr::null_mut(), thread: ptr::null_mut(), descriptor: ptr::null_mut() };
}

/// The pointer of an open socket. A copy is a copy of the pointer: who closes it is the owner's to know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SystemSocket(NonNull<WSK_SOCKET>);

// SAFETY: the system's functions take a socket from any thread.
unsafe impl Send for SystemSocket {}
// SAFETY: as above.
unsafe impl Sync for SystemSocket {}

impl SystemSocket {
    /// What a request that makes a socket has put into `Information`.
    pub(crate) fn from_information(information: usize) -> Option<Self> {
        NonNull::new(ptr::with_exposed_provenance_mut(information)).map(Self)
    }

    /// A pointer kept elsewhere; `None` for NULL.
    pub(crate) fn from_raw(socket: *mut WSK_SOCKET) -> Option<Self> {
        NonNull::new(socket).map(Self)
    }

    pub(crate) const fn as_ptr(self) -> *mut WSK_SOCKET {
        self.0.as_ptr()
    }

    /// WskSocket of a listening or connection socket for TCP, with `context` and `dispatch` for its callbacks.
    /// IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// The captured client and its table; a fresh IRP; what `owner` names is valid until it is completed.
    pub(crate) unsafe fn begin_make(
        (client, functions): (PWSK_CLIENT, &WSK_PROVIDER_DISPATCH),
        ipv4: bool,
        listen: bool,
        (context, dispatch): (*mut c_void, *const c_void),
        owner: Owner,
        irp: *mut IRP,
    ) -> NTSTATUS {
        let family = if ipv4 { AF_INET } else { AF_INET6 };
        let flags = if listen { WSK_FLAG_LISTEN_SOCKET } else { WSK_FLAG_CONNECTION_SOCKET };
        // SAFETY: as promised.
        unsafe {
            (functions.WskSocket)(
                client,
                family,
                SOCK_STREAM,
                IPPROTO_TCP,
                flags,
                context,
                dispatch,
                owner.process,
                owner.thread,
                owner.descriptor,
                irp,
            )
        }
    }

    /// The same in nobody's name, waited for. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn make(
        system: (PWSK_CLIENT, &WSK_PROVIDER_DISPATCH),
        wait: &mut Wait,
        ipv4: bool,
        listen: bool,
        events: (*mut c_void, *const c_void),
    ) -> Result<Self, NTSTATUS> {
        // SAFETY: the captured client and its table; the IRP is a fresh one; the owner is none.
        let made =
            wait.call(|irp| unsafe { Self::begin_make(system, ipv4, listen, events, Owner::NONE, irp) })?;
        Self::from_information(made).ok_or(STATUS_INTERNAL_ERROR)
    }

    /// The functions that every category has.
    ///
    /// # Safety
    /// The socket is open.
    pub(crate) unsafe fn basic<'a>(self) -> &'a WSK_PROVIDER_BASIC_DISPATCH {
        // SAFETY: an open socket; every table begins with these functions.
        let dispatch = unsafe { self.0.as_ref() }.Dispatch;
        // SAFETY: as above; the table lives as long as the socket.
        unsafe { &*dispatch.cast() }
    }

    /// The functions of a connection socket.
    ///
    /// # Safety
    /// An open connection socket.
    pub(crate) unsafe fn connection<'a>(self) -> &'a WSK_PROVIDER_CONNECTION_DISPATCH {
        // SAFETY: as promised.
        let dispatch = unsafe { self.0.as_ref() }.Dispatch;
        // SAFETY: as above; the table lives as long as the socket.
        unsafe { &*dispatch.cast() }
    }

    /// The functions of a listening socket.
    ///
    /// # Safety
    /// An open listening socket.
    pub(crate) unsafe fn listen<'a>(self) -> &'a WSK_PROVIDER_LISTEN_DISPATCH {
        // SAFETY: as promised.
        let dispatch = unsafe { self.0.as_ref() }.Dispatch;
        // SAFETY: as above; the table lives as long as the socket.
        unsafe { &*dispatch.cast() }
    }

    /// WskBind. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Safety
    /// An open listening or connection socket: both have the function at the same place.
    pub(crate) unsafe fn bind(self, wait: &mut Wait, address: SocketAddr) -> Result<(), NTSTATUS> {
        // SAFETY: as promised.
        let functions = unsafe { self.listen() };
        let address = SockAddr::from(address);
        // SAFETY: an open socket, an address that outlives the call, a fresh IRP.
        wait.call(|irp| unsafe { (functions.WskBind)(self.as_ptr(), address.as_ptr().cast_mut(), 0, irp) })?;
        Ok(())
    }

    /// SO_WSK_EVENT_CALLBACK to enable events, without an IRP. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Safety
    /// An open socket.
    pub(crate) unsafe fn enable_events(self, mask: u32) -> Result<(), NTSTATUS> {
        // SAFETY: as promised.
        let functions = unsafe { self.basic() };
        let mut control = WSK_EVENT_CALLBACK_CONTROL { NpiId: &NPI_WSK_INTERFACE_ID, EventMask: mask };
        let input = (&raw mut control).cast();
        let (none, nothing) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: an open socket; the structure outlives the call, and without an IRP nothing outlives it.
        let status = unsafe {
            (functions.WskControlSocket)(
                self.as_ptr(),
                WskSetOption,
                SO_WSK_EVENT_CALLBACK,
                SOL_SOCKET,
                size_of::<WSK_EVENT_CALLBACK_CONTROL>(),
                input,
                0,
                none,
                nothing,
                ptr::null_mut(),
            )
        };
        if nt_success(status) { Ok(()) } else { Err(status) }
    }

    /// SIO_WSK_SET_RECEIVE_EX_CALLBACK, without an IRP. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Safety
    /// An open connection socket.
    pub(crate) unsafe fn set_receive_ex(
        self,
        receive: Option<PFN_WSK_RECEIVE_EX_EVENT>,
    ) -> Result<(), NTSTATUS> {
        // SAFETY: as promised.
        let functions = unsafe { self.basic() };
        let mut receive = receive;
        let input = (&raw mut receive).cast();
        let (none, nothing) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: an open socket; the pointer outlives the call, and without an IRP nothing outlives it.
        let status = unsafe {
            (functions.WskControlSocket)(
                self.as_ptr(),
                WskIoctl,
                SIO_WSK_SET_RECEIVE_EX_CALLBACK,
                0,
                size_of::<Option<PFN_WSK_RECEIVE_EX_EVENT>>(),
                input,
                0,
                none,
                nothing,
                ptr::null_mut(),
            )
        };
        if nt_success(status) { Ok(()) } else { Err(status) }
    }

    /// Sets what was set on the socket that this one belongs to, before this one was there. IRQL: PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Safety
    /// An open socket that is not bound.
    pub(crate) unsafe fn take_over(self, wait: &mut Wait, options: &Options) -> Result<(), NTSTATUS> {
        let flags = [
            (options.conditional_accept, SOL_SOCKET, SO_CONDITIONAL_ACCEPT),
            (options.exclusive, SOL_SOCKET, SO_EXCLUSIVEADDRUSE),
            (options.reuse, SOL_SOCKET, SO_REUSEADDR),
            (options.keepalive, SOL_SOCKET, SO_KEEPALIVE),
            (options.no_delay, IPPROTO_TCP, TCP_NODELAY),
        ];
        for (_, level, option) in flags.into_iter().filter(|(on, _, _)| *on) {
            // SAFETY: the caller's promise.
            unsafe { self.control(wait, (WskSetOption, option, level), 1_u32) }?;
        }
        if let Some((time, interval)) = options.keepalive_times {
            // SAFETY: the caller's promise.
            unsafe { self.control(wait, (WskIoctl, SIO_KEEPALIVE_VALS, 0), [1_u32, time, interval]) }?;
        }
        match options.receive_buffer {
            // SAFETY: the caller's promise.
            Some(octets) => unsafe { self.control(wait, (WskSetOption, SO_RCVBUF, SOL_SOCKET), octets) },
            None => Ok(()),
        }
    }

    /// WskControlSocket with an input and no output. IRQL: PASSIVE_LEVEL.
    ///
    /// # Safety
    /// An open socket; the request takes an input of this type.
    unsafe fn control<T: Copy>(
        self,
        wait: &mut Wait,
        (request, code, level): (WSK_CONTROL_SOCKET_TYPE, u32, u32),
        mut input: T,
    ) -> Result<(), NTSTATUS> {
        // SAFETY: as promised.
        let functions = unsafe { self.basic() };
        let place = (&raw mut input).cast();
        let (none, nothing) = (ptr::null_mut(), ptr::null_mut());
        wait.call(|irp| {
            // SAFETY: an open socket; the input outlives the wait; a fresh IRP.
            unsafe {
                (functions.WskControlSocket)(
                    self.as_ptr(),
                    request,
                    code,
                    level,
                    size_of::<T>(),
                    place,
                    0,
                    none,
                    nothing,
                    irp,
                )
            }
        })?;
        Ok(())
    }

    /// WskCloseSocket, waited for. IRQL: PASSIVE_LEVEL.
    ///
    /// # Safety
    /// An open socket, which nobody uses any more.
    pub(crate) unsafe fn close(self, wait: &mut Wait) {
        // SAFETY: as promised. The status does not matter: there is nothing left to do.
        let _closed = wait.call(|irp| unsafe { self.begin_close(irp) });
    }

    /// WskCloseSocket. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open socket, which nobody uses any more; a fresh IRP.
    pub(crate) unsafe fn begin_close(self, irp: *mut IRP) -> NTSTATUS {
        // SAFETY: as promised.
        let functions = unsafe { self.basic() };
        // SAFETY: as promised.
        unsafe { (functions.WskCloseSocket)(self.as_ptr(), irp) }
    }

    /// WskConnect, or WskConnectEx if there are octets in `data`. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open, bound connection socket; a fresh IRP; an MDL chain that stays until it is completed.
    pub(crate) unsafe fn begin_connect(
        self,
        remote: SocketAddr,
        data: &mut WSK_BUF,
        irp: *mut IRP,
    ) -> NTSTATUS {
        let remote = SockAddr::from(remote);
        // SAFETY: as promised.
        let functions = unsafe { self.connection() };
        if data.Length != 0 {
            let remote = remote.as_ptr().cast_mut();
            // SAFETY: as promised; neither address nor buffer description need outlive the call.
            return unsafe { (functions.WskConnectEx)(self.as_ptr(), remote, data, 0, irp) };
        }
        // SAFETY: as promised; the address need not outlive the call.
        unsafe { (functions.WskConnect)(self.as_ptr(), remote.as_ptr().cast_mut(), 0, irp) }
    }

    /// WskAccept; the addresses are written until completion. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// An open, bound listening socket; a fresh IRP; buffers that stay until it is completed.
    pub(crate) unsafe fn begin_accept(
        self,
        (context, dispatch): (*mut c_void, *const abi::wsk::WSK_CLIENT_CONNECTION_DISPATCH),
        local: *mut SOCKADDR,
        remote: *mut SOCKADDR,
        irp: *mut IRP,
    ) -> NTSTATUS {
        // SAFETY: as promised.
        let functions = unsafe { self.listen() };
        // SAFETY: as promised.
        unsafe { (functions.WskAccept)(self.as_ptr(), 0, context, dispatch, local, remote, irp) }
    }
}
