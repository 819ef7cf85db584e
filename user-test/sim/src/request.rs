//! One WSK call with its IRP, and everything that the provider may use until that is completed.

use std::ffi::c_void;
use std::net::SocketAddr;
use std::ptr;
use std::time::Duration;

use abi::NTSTATUS;
use abi::nt::DISPATCH_LEVEL;
use abi::status::STATUS_PENDING;
use abi::wsk::*;
use cases::world::{Call, Socket};
use client::calls::control::ControlRoom;
use client::calls::room::AddressRoom;
use client::calls::{Caller, Open, Parameters};
use ksim::buffer::{Chain, Pages};
use ksim::client::{Completion, TestIrp};

use crate::report::demand;

/// Longer than any request may take on the clock of the run.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// The name of a call's one socket.
pub(crate) const ON: Socket = Socket(0);

unsafe extern "system" {
    fn KfRaiseIrql(new: u8) -> u8;
    fn KeLowerIrql(new: u8);
}

/// Runs `call` at DISPATCH_LEVEL if `raised`.
pub(crate) fn at_level<R>(raised: bool, call: impl FnOnce() -> R) -> R {
    if !raised {
        return call();
    }
    // SAFETY: the task is at PASSIVE_LEVEL.
    let before = unsafe { KfRaiseIrql(DISPATCH_LEVEL) };
    let result = call();
    // SAFETY: the level from before.
    unsafe { KeLowerIrql(before) };
    result
}

/// What the client itself allocates does not fail: memory is scarce for the driver.
fn plenty<R>(make: impl FnOnce() -> R) -> R {
    let _plenty = ksim::pool::fail_after(u64::MAX);
    make()
}

/// A request, from its call to the look at its completion.
pub(crate) struct Request {
    irp: TestIrp,
    chain: Option<Chain>,
    first: Box<AddressRoom>,
    second: Box<AddressRoom>,
    control: Box<ControlRoom>,
    /// IoCancelIrp was called.
    pub(crate) cancelled: bool,
}

// SAFETY: an IRP and its buffers may be looked at from any thread.
unsafe impl Send for Request {}

impl Request {
    fn new(octets: Option<(&[u8], &[usize], Pages)>) -> Self {
        plenty(|| Self {
            irp: TestIrp::new(),
            chain: octets.map(|(octets, cuts, pages)| Chain::new(octets, cuts, pages)),
            first: Box::new(AddressRoom::UNTOUCHED),
            second: Box::new(AddressRoom::UNTOUCHED),
            control: Box::new(ControlRoom::UNTOUCHED),
            cancelled: false,
        })
    }

    fn parameters(&mut self) -> Parameters {
        Parameters {
            irp: plenty(|| self.irp.submit()),
            mdl: self.chain.as_ref().map_or(ptr::null_mut(), Chain::mdl),
            first: ptr::from_mut(&mut *self.first).cast(),
            second: ptr::from_mut(&mut *self.second).cast(),
            control: &mut *self.control,
        }
    }

    fn returned(self, what: &str, status: NTSTATUS) -> Self {
        demand!(status == STATUS_PENDING, "{what} with an IRP returned {status:#x}, and not PENDING");
        self
    }

    /// Makes a call on a socket. `octets`: what its buffer has, how it is cut, and of which pages it is.
    pub(crate) fn make(
        npi: WSK_PROVIDER_NPI,
        open: Open,
        raised: bool,
        call: &Call<'_>,
        octets: Option<(&[u8], &[usize], Pages)>,
    ) -> Self {
        let mut this = Self::new(octets);
        let parameters = this.parameters();
        let caller = Caller { npi, open: |_| Some(open), watchers: None };
        // SAFETY: captured; the socket is open, and the request owns what the call is made with.
        let returned = at_level(raised, || unsafe { caller.make(call, &parameters) });
        this.returned(&format!("{call:?}"), returned.unwrap_or(-1))
    }

    /// Makes a call without an IRP.
    pub(crate) fn make_without_irp(npi: WSK_PROVIDER_NPI, open: Open, call: &Call<'_>) -> NTSTATUS {
        let mut this = Self::new(None);
        let parameters = Parameters {
            irp: ptr::null_mut(),
            mdl: ptr::null_mut(),
            first: ptr::from_mut(&mut *this.first).cast(),
            second: ptr::from_mut(&mut *this.second).cast(),
            control: &mut *this.control,
        };
        let caller = Caller { npi, open: |_| Some(open), watchers: None };
        // SAFETY: captured; the socket is open; without an IRP the call is over when it returns.
        unsafe { caller.make(call, &parameters) }.unwrap_or(-1)
    }

    /// WskSocket of a TCP socket.
    pub(crate) fn socket(
        npi: WSK_PROVIDER_NPI,
        category: u32,
        context: *mut c_void,
        dispatch: *const c_void,
    ) -> Self {
        let mut this = Self::new(None);
        let irp = this.parameters().irp;
        // SAFETY: captured, so the provider's table is valid.
        let table = unsafe { &*npi.Dispatch };
        let null = ptr::null_mut::<c_void>();
        let (process, thread) = (null.cast(), null.cast());
        let create = table.WskSocket;
        // SAFETY: a call as its page says; context and table live as long as the process.
        let returned = unsafe {
            create(
                npi.Client,
                AF_INET,
                SOCK_STREAM,
                IPPROTO_TCP,
                category,
                context,
                dispatch,
                process,
                thread,
                null,
                irp,
            )
        };
        this.returned("WskSocket", returned)
    }

    /// WskAccept that asks for both addresses.
    pub(crate) fn accept(
        open: Open,
        raised: bool,
        context: *mut c_void,
        dispatch: *const WSK_CLIENT_CONNECTION_DISPATCH,
    ) -> Self {
        let mut this = Self::new(None);
        let Parameters { irp, first, second, .. } = this.parameters();
        // SAFETY: open.
        let table = unsafe { (*open.pointer).Dispatch };
        let accept = if open.category == WSK_FLAG_LISTEN_SOCKET {
            // SAFETY: a listening socket's table.
            unsafe { (*table.cast::<WSK_PROVIDER_LISTEN_DISPATCH>()).WskAccept }
        } else {
            // SAFETY: a stream socket's table.
            unsafe { (*table.cast::<WSK_PROVIDER_STREAM_DISPATCH>()).WskAccept }
        };
        let returned = at_level(raised, || {
            // SAFETY: a call as its page says; the addresses live as long as the request.
            unsafe { accept(open.pointer, 0, context, dispatch, first, second, irp) }
        });
        this.returned("WskAccept", returned)
    }

    /// How it was completed, at the latest after `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<Completion> {
        let completion = self.irp.wait_for(limit)?;
        demand!(completion.pending_returned, "an IRP is completed whose location is not marked pending");
        let times = self.irp.completions();
        demand!(times == 1, "an IRP is completed {times} times");
        Some(completion)
    }

    /// How it was completed, which it has to be in the end.
    pub(crate) fn outcome(&self, what: &str) -> Completion {
        match self.wait(PATIENCE) {
            Some(completion) => completion,
            None => crate::report::violation(format_args!("{what} is never completed")),
        }
    }

    /// IoCancelIrp.
    pub(crate) fn cancel(&mut self, raised: bool) {
        self.cancelled = true;
        at_level(raised, || self.irp.cancel());
    }

    /// The octets of its buffer.
    pub(crate) fn octets(&self) -> Vec<u8> {
        self.chain.as_ref().map(Chain::bytes).unwrap_or_default()
    }

    /// The two addresses that the provider has written.
    pub(crate) fn addresses(&self) -> [Option<SocketAddr>; 2] {
        [&self.first, &self.second].map(|room| match room.address() {
            Ok(address) => address,
            Err(_) => crate::report::violation(format_args!("something is written behind an address")),
        })
    }
}
