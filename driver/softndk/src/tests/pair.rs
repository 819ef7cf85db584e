//! Two connected queue pairs of one consumer.

use core::ffi::c_void;
use core::net::SocketAddr;
use core::ptr;
use std::sync::Arc;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::{STATUS_REMOTE_RESOURCES, STATUS_SUCCESS};

use super::harness::*;
use super::registration::*;

/// Sizes of the queue pairs of a test.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) receives: u32,
    pub(super) initiators: u32,
    pub(super) elements: u32,
    pub(super) inline: u32,
    pub(super) read_limit: u32,
    /// Whether the active end wants a disconnect event.
    pub(super) event: bool,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { receives: 8, initiators: 8, elements: 4, inline: 64, read_limit: 4, event: true }
    }
}

/// A listener whose requests are collected.
pub(super) struct TestListener {
    pub(super) listener: *mut NDK_LISTENER,
    requests: Arc<Signal<usize>>,
    context: *const Signal<usize>,
}

unsafe extern "system" fn on_connect(context: *mut c_void, connector: *mut NDK_CONNECTOR) {
    assert_eq!(ksim::processor::locks_held(), 0);
    // SAFETY: the context lives until the listener is closed.
    let requests = unsafe { &*context.cast::<Signal<usize>>() };
    requests.send(connector.expose_provenance());
}

impl TestListener {
    pub(super) fn new(world: &World) -> Self {
        Self::try_new(world).unwrap()
    }

    pub(super) fn try_new(world: &World) -> Result<Self, NTSTATUS> {
        let requests = Signal::new();
        let context = Arc::into_raw(requests.clone());
        let made = create(|cc, request_context, out| {
            let event_context = context.cast_mut().cast();
            ndk!(world.adapter, NdkCreateListener, on_connect, event_context, cc, request_context, out)
        });
        if made.is_err() {
            // SAFETY: made above, and nobody got it.
            drop(unsafe { Arc::from_raw(context) });
        }
        Ok(Self { listener: made?, requests, context })
    }

    pub(super) fn listen(&self, address: SocketAddr) -> NTSTATUS {
        let address = Address::new(address);
        request(|rc, context| ndk!(self.listener, NdkListen, address.as_ptr(), address.length, rc, context))
    }

    /// A listener on a port of the adapter's choice.
    pub(super) fn on(world: &World, ip: &str) -> (Self, SocketAddr) {
        let listener = Self::new(world);
        assert_eq!(listener.listen(SocketAddr::new(ip.parse().unwrap(), 0)), STATUS_SUCCESS);
        let address = listener.address();
        (listener, address)
    }

    pub(super) fn address(&self) -> SocketAddr {
        read_address(|buffer, length| ndk!(self.listener, NdkGetLocalAddress, buffer, length))
    }

    pub(super) fn take_request(&self) -> *mut NDK_CONNECTOR {
        ptr::with_exposed_provenance_mut(self.requests.take())
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.count()
    }

    pub(super) fn begin_close(&self) -> Option<Pending> {
        begin_close(self.listener, close_slot!(self.listener, NdkCloseListener))
    }

    pub(super) fn close(self) {
        if let Some(pending) = self.begin_close() {
            pending.wait();
        }
        self.forget();
    }

    /// Frees the context of a listener closed by other means.
    pub(super) fn forget(self) {
        // SAFETY: the listener is closed.
        drop(unsafe { Arc::from_raw(self.context) });
    }
}

/// Disconnect events of one end.
pub(super) struct Events {
    pub(super) seen: Arc<Signal<u32>>,
    context: *const Signal<u32>,
}

unsafe extern "system" fn on_disconnect(context: *mut c_void) {
    // SAFETY: `Events` keeps the context until the connector is closed.
    unsafe { &*context.cast::<Signal<u32>>() }.send(0);
}

unsafe extern "system" fn on_disconnect_ex(context: *mut c_void, reason: u32) {
    assert!(reason != 0);
    // SAFETY: as above.
    unsafe { &*context.cast::<Signal<u32>>() }.send(reason);
}

impl Events {
    fn new() -> Self {
        let seen = Signal::new();
        Self { context: Arc::into_raw(seen.clone()), seen }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The connector that the failed test has left open may tell of its end yet.
            return;
        }
        // SAFETY: made by `new`; the connector is closed.
        drop(unsafe { Arc::from_raw(self.context) });
    }
}

/// A queue pair with its completion queues, and its connector once there is one.
pub(super) struct End {
    pub(super) qp: *mut NDK_QP,
    pub(super) receives: TestCq,
    pub(super) initiators: TestCq,
    pub(super) connector: *mut NDK_CONNECTOR,
    pub(super) events: Events,
    pub(super) sizes: Sizes,
}

/// What the completions of the queue pairs of a test carry.
pub(super) const QP_CONTEXT: usize = 0x51;

/// A context number as a pointer.
pub(super) fn word(number: usize) -> *mut c_void {
    ptr::without_provenance_mut(number)
}

impl End {
    pub(super) fn new(world: &World, pd: *mut NDK_PD, sizes: Sizes) -> Self {
        let receives = TestCq::new(world, sizes.receives.max(1) + 1);
        let initiators = TestCq::new(world, sizes.initiators + 1);
        Self::over(pd, receives, initiators, sizes)
    }

    pub(super) fn over(pd: *mut NDK_PD, receives: TestCq, initiators: TestCq, sizes: Sizes) -> Self {
        Self::try_over(pd, receives, initiators, sizes).ok().unwrap()
    }

    /// Gives the completion queues back if the queue pair cannot be created.
    pub(super) fn try_over(
        pd: *mut NDK_PD,
        receives: TestCq,
        initiators: TestCq,
        sizes: Sizes,
    ) -> Result<Self, (NTSTATUS, TestCq, TestCq)> {
        let qp = create(|cc, context, out| {
            ndk!(
                pd,
                NdkCreateQp,
                receives.cq,
                initiators.cq,
                word(QP_CONTEXT),
                sizes.receives,
                sizes.initiators,
                sizes.elements,
                sizes.elements,
                sizes.inline,
                cc,
                context,
                out
            )
        });
        match qp {
            Ok(qp) => Ok(Self::of(qp, receives, initiators, sizes)),
            Err(status) => Err((status, receives, initiators)),
        }
    }

    pub(super) fn of(qp: *mut NDK_QP, receives: TestCq, initiators: TestCq, sizes: Sizes) -> Self {
        Self { qp, receives, initiators, connector: ptr::null_mut(), events: Events::new(), sizes }
    }

    pub(super) fn receive(&self, context: usize, sgl: &[NDK_SGE]) -> NTSTATUS {
        post(|| ndk!(self.qp, NdkReceive, word(context), sgl.as_ptr(), sgl.len() as u32))
    }

    pub(super) fn send(&self, context: usize, sgl: &[NDK_SGE], flags: NDK_OP_FLAG) -> NTSTATUS {
        post(|| ndk!(self.qp, NdkSend, word(context), sgl.as_ptr(), sgl.len() as u32, flags.bits()))
    }

    pub(super) fn send_and_invalidate(&self, context: usize, sgl: &[NDK_SGE], token: u32) -> NTSTATUS {
        let count = sgl.len() as u32;
        post(|| ndk!(self.qp, NdkSendAndInvalidate, word(context), sgl.as_ptr(), count, 0, token))
    }

    pub(super) fn write(
        &self,
        context: usize,
        sgl: &[NDK_SGE],
        address: u64,
        token: u32,
        flags: NDK_OP_FLAG,
    ) -> NTSTATUS {
        let count = sgl.len() as u32;
        post(|| ndk!(self.qp, NdkWrite, word(context), sgl.as_ptr(), count, address, token, flags.bits()))
    }

    pub(super) fn read(
        &self,
        context: usize,
        sgl: &[NDK_SGE],
        address: u64,
        token: u32,
        flags: NDK_OP_FLAG,
    ) -> NTSTATUS {
        let count = sgl.len() as u32;
        post(|| ndk!(self.qp, NdkRead, word(context), sgl.as_ptr(), count, address, token, flags.bits()))
    }

    pub(super) fn fast_register(
        &self,
        context: usize,
        mr: &TestMr,
        lam: &TestLam,
        length: usize,
        base: u64,
        flags: NDK_OP_FLAG,
    ) -> NTSTATUS {
        let pages = lam.pages();
        post(|| {
            ndk!(
                self.qp,
                NdkFastRegister,
                word(context),
                mr.mr,
                pages.len() as u32,
                pages.as_ptr(),
                lam.first_byte_offset,
                length,
                ptr::with_exposed_provenance(base as usize),
                flags.bits()
            )
        })
    }

    pub(super) fn invalidate(&self, context: usize, mr: &TestMr, flags: NDK_OP_FLAG) -> NTSTATUS {
        post(|| ndk!(self.qp, NdkInvalidate, word(context), mr.mr.cast(), flags.bits()))
    }

    /// Binds all of the memory behind `mr`, for reading and writing.
    pub(super) fn bind(&self, window: *mut NDK_MW, mr: &TestMr, memory: &Memory) -> NTSTATUS {
        let address = ptr::with_exposed_provenance(memory.address() as usize);
        let rights = NDK_OP_FLAG::ALLOW_REMOTE_READ | NDK_OP_FLAG::ALLOW_REMOTE_WRITE;
        let length = memory.region.len();
        post(|| ndk!(self.qp, NdkBind, word(0), mr.mr, window, address, length, rights.bits()))
    }

    pub(super) fn flush(&self) {
        post(|| {
            ndk!(self.qp, NdkFlush);
            STATUS_SUCCESS
        });
    }

    /// Issues a connect.
    pub(super) fn begin_connect(
        &mut self,
        connector: *mut NDK_CONNECTOR,
        source: SocketAddr,
        destination: SocketAddr,
        data: &[u8],
    ) -> Result<Pending, NTSTATUS> {
        let (source, destination) = (Address::new(source), Address::new(destination));
        self.connector = connector;
        begin(|rc, context| {
            ndk!(
                connector,
                NdkConnect,
                self.qp,
                source.as_ptr(),
                source.length,
                destination.as_ptr(),
                destination.length,
                self.sizes.read_limit,
                self.sizes.read_limit,
                data.as_ptr().cast(),
                data.len() as u32,
                rc,
                context
            )
        })
    }

    pub(super) fn complete_connect(&self) -> NTSTATUS {
        let event_context = self.events.context.cast_mut().cast();
        let event: Option<NDK_FN_DISCONNECT_EVENT_CALLBACK> =
            if self.sizes.event { Some(on_disconnect) } else { None };
        request(|rc, context| ndk!(self.connector, NdkCompleteConnect, event, event_context, rc, context))
    }

    /// Issues an accept with the longer event.
    pub(super) fn begin_accept(
        &mut self,
        connector: *mut NDK_CONNECTOR,
        data: &[u8],
    ) -> Result<Pending, NTSTATUS> {
        self.connector = connector;
        let event_context = self.events.context.cast_mut().cast();
        begin(|rc, context| {
            ndk!(
                connector,
                NdkAcceptEx,
                self.qp,
                self.sizes.read_limit,
                self.sizes.read_limit,
                data.as_ptr().cast(),
                data.len() as u32,
                Some(on_disconnect_ex),
                event_context,
                rc,
                context
            )
        })
    }

    pub(super) fn begin_disconnect(&self) -> Result<Pending, NTSTATUS> {
        begin(|rc, context| ndk!(self.connector, NdkDisconnect, rc, context))
    }

    /// How the one request in the queue ended. Over TCP a Send or Write is complete before the peer has looked at it (RFC 5040 section
    /// 5.5), and a silent one says nothing: there the end of the connection stands for what the peer did not take.
    pub(super) fn ended(&self) -> NTSTATUS {
        if fabric() == Fabric::Memory {
            return self.initiators.one().Status;
        }
        let entries = self.initiators.drain();
        assert!(entries.len() <= 1, "{entries:?}");
        let good = entries.iter().all(|entry| entry.Status == STATUS_SUCCESS);
        if good && self.events.seen.count() > 0 {
            return STATUS_REMOTE_RESOURCES;
        }
        entries.first().map_or_else(|| self.initiators.one().Status, |entry| entry.Status)
    }

    pub(super) fn close_connector(&mut self) {
        let connector = core::mem::replace(&mut self.connector, ptr::null_mut());
        if !connector.is_null() {
            close(connector, close_slot!(connector, NdkCloseConnector));
        }
    }

    /// Closes everything, successors first.
    pub(super) fn close(mut self) {
        self.close_connector();
        close(self.qp, close_slot!(self.qp, NdkCloseQp));
        self.receives.close();
        self.initiators.close();
    }
}

/// Two connected ends on one protection domain.
pub(super) struct Pair {
    pub(super) pd: *mut NDK_PD,
    pub(super) active: End,
    pub(super) passive: End,
}

impl Pair {
    pub(super) fn new(world: &World) -> Self {
        Self::with_sizes(world, Sizes::default())
    }

    pub(super) fn with_sizes(world: &World, sizes: Sizes) -> Self {
        let pd = world.pd();
        let active = End::new(world, pd, sizes);
        let passive = End::new(world, pd, sizes);
        Self::connect(world, pd, active, passive)
    }

    /// Connects two ends and drops the listener's part of the set-up.
    pub(super) fn connect(world: &World, pd: *mut NDK_PD, mut active: End, mut passive: End) -> Self {
        let (listener, address) = TestListener::on(world, "127.0.0.1");
        let source = SocketAddr::new(address.ip(), 0);
        let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
        let accept = passive.begin_accept(listener.take_request(), &[]).ok().unwrap();
        assert_eq!(connect.wait(), STATUS_SUCCESS);
        assert_eq!(active.complete_connect(), STATUS_SUCCESS);
        assert_eq!(accept.wait(), STATUS_SUCCESS);
        // It closes when the passive connector does.
        let _pending = listener.begin_close();
        listener.forget();
        Self { pd, active, passive }
    }

    pub(super) fn close(self) {
        self.active.close();
        self.passive.close();
        close(self.pd, close_slot!(self.pd, NdkClosePd));
    }
}

/// Statuses and request contexts of some entries.
pub(super) fn summary(entries: &[NDK_RESULT_EX]) -> Vec<(usize, NTSTATUS)> {
    assert!(entries.iter().all(|entry| entry.QPContext.addr() == QP_CONTEXT));
    entries.iter().map(|entry| (entry.RequestContext.addr(), entry.Status)).collect()
}
