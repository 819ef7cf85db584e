//! What a connection over TCP is to its client: the system's socket, for one indirect call.

use std::sync::atomic::Ordering;
use std::vec::Vec;

use abi::status::*;
use abi::wsk::*;
use kernel::pool::PoolTag;
use kernel::work::WorkItem;
use ksim::client::TestIrp;
use ksim::wsk::{Function, calls};

use super::super::control::Form;
use super::super::harness::{Connection, loopback};
use super::super::listening::client::talk;
use super::super::watcher::{CALLBACKS, Said, Watcher, receive_ex};
use super::stage::*;

const PORT: u16 = 44_000;

/// Two ends, the first one ours with callbacks, and their listener.
struct Pair {
    near: Connection,
    far: Connection,
    listener: Connection,
    watcher: std::sync::Arc<Watcher>,
}

impl Pair {
    fn new(stage: &Stage, watcher: std::sync::Arc<Watcher>) -> Self {
        let listener = stage.plain.listener(PORT);
        let near = stage.world.connection_with(watcher.context(), &CALLBACKS);
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accept(&listener).wait().information);
        *watcher.socket.lock().unwrap() = Some(near.alias());
        Self { near, far, listener, watcher }
    }

    /// SO_WSK_EVENT_CALLBACK, as a client asks for it.
    fn events(&self, mask: u32) {
        let control = WSK_EVENT_CALLBACK_CONTROL { NpiId: &NPI_WSK_INTERFACE_ID, EventMask: mask };
        let size = size_of::<WSK_EVENT_CALLBACK_CONTROL>();
        // SAFETY: the octets of the structure, whose padding the form copies as it is.
        let input = unsafe { core::slice::from_raw_parts((&raw const control).cast::<u8>(), size) };
        let form = Form { returned: false, ..Form::new(input, 0).without_irp() };
        let set = form.control(self.near.raw(), (WskSetOption, SO_WSK_EVENT_CALLBACK, SOL_SOCKET));
        assert_eq!(set.status, STATUS_SUCCESS);
    }

    fn close(self) {
        self.near.close();
        self.watcher.gone.store(true, Ordering::SeqCst);
        self.far.close();
        self.listener.close();
    }
}

/// Every request is the system's own: one call there, and the stack location, of which there is one, is taken there.
#[test]
fn one_indirect_call() {
    for ways in WAYS {
        let stage = Stage::answering(&["never out any"], ways);
        let pair = Pair::new(&stage, Watcher::willing());
        let counted = |function, request: &dyn Fn() -> TestIrp| {
            let before = calls(function);
            let irp = request();
            let end = irp.wait();
            assert_eq!((end.status, irp.completions()), (STATUS_SUCCESS, 1));
            assert!(end.pending_returned);
            assert_eq!(calls(function), before + 1, "{function:?}");
        };
        let table = table(&pair.near);
        let chain = ksim::buffer::Chain::zeroed(8);
        let near = pair.near.raw();
        // SAFETY: a call as its page says; the chain lives as long as the request.
        let send = |irp| unsafe { (table.WskSend)(near, &mut chain.whole(), 0, irp) };
        counted(Function::WskSend, &|| super::super::harness::request(send));
        let send_ex =
            // SAFETY: a call as its page says; the chain lives as long as the request.
            |irp| unsafe { (table.WskSendEx)(near, &mut chain.whole(), 0, 0, core::ptr::null_mut(), irp) };
        counted(Function::WskSendEx, &|| super::super::harness::request(send_ex));
        assert_eq!(pair.far.send(&[3; 16]).wait().status, STATUS_SUCCESS);
        // SAFETY: a call as its page says; the chain lives as long as the request.
        let receive = |irp| unsafe { (table.WskReceive)(near, &mut chain.whole(), 0, irp) };
        counted(Function::WskReceive, &|| super::super::harness::request(receive));
        assert_eq!(chain.bytes(), [3; 8]);
        counted(Function::WskReceiveEx, &|| {
            super::super::harness::request(|irp| {
                let (length, none, flags) =
                    (core::ptr::null_mut(), core::ptr::null_mut(), core::ptr::null_mut());
                // SAFETY: a call as its page says.
                unsafe { (table.WskReceiveEx)(near, &mut chain.whole(), 0, length, none, flags, irp) }
            })
        });
        counted(Function::WskDisconnect, &|| pair.near.disconnect());
        let work = pair.near.object().view().work;
        assert_eq!((work.tcp_calls, work.tcp_octets_sent, work.octets_sent), (5, 16, 0));
        pair.close();
        stage.finish();
    }
}

#[test]
fn half_close_and_abort() {
    for ways in WAYS {
        for abort in [false, true] {
            let stage = Stage::answering(&["never out any"], ways);
            let pair = Pair::new(&stage, Watcher::willing());
            talk(&pair.near, &pair.far);
            if abort {
                assert_eq!(pair.near.abort().wait().status, STATUS_SUCCESS);
                assert_eq!(pair.far.receive(1).wait().status, STATUS_CONNECTION_RESET);
            } else {
                assert_eq!(pair.near.disconnect().wait().status, STATUS_SUCCESS);
                let end = pair.far.receive(1).wait();
                assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0));
                // The other direction goes on.
                assert_eq!(pair.far.send(b"still").wait().information, 5);
                assert_eq!(pair.near.receive(5).octets(), b"still");
            }
            pair.close();
            stage.finish();
        }
    }
}

#[test]
fn callbacks_with_every_answer() {
    for ways in WAYS {
        // Takes everything, a part, keeps, or refuses.
        for answer in 0..4 {
            let stage = Stage::answering(&["never out any"], ways);
            let watcher = Watcher::new(move |this, shown| match answer {
                0 => STATUS_SUCCESS,
                1 => {
                    shown.accepted = 1;
                    STATUS_SUCCESS
                }
                2 => {
                    this.kept.lock().unwrap().extend(super::super::watcher::take_apart(shown.list));
                    STATUS_PENDING
                }
                _ => STATUS_DATA_NOT_ACCEPTED,
            });
            let pair = Pair::new(&stage, watcher);
            pair.events(WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT);
            assert_eq!(pair.far.send(b"first").wait().status, STATUS_SUCCESS);
            pair.watcher.wait_for_octets(5);
            ksim::quiesce();
            let taken = [5, 1, 5, 0][answer];
            assert_eq!(pair.near.object().view().work.tcp_octets_indicated, taken);
            if answer == 2 {
                assert!(ksim::wsk::outstanding().retained != 0);
                let kept: Vec<_> = pair.watcher.kept.lock().unwrap().drain(..).collect();
                for node in kept {
                    // SAFETY: a node that was kept.
                    unsafe { (*node.0).Next = core::ptr::null_mut() };
                    assert_eq!(pair.near.release(node.0), STATUS_SUCCESS);
                }
                assert_eq!(ksim::wsk::outstanding().retained, 0);
            }
            if answer == 1 || answer == 3 {
                let left = pair.near.receive(5);
                assert_eq!(left.octets(), if answer == 1 { &b"irst"[..] } else { &b"first"[..] });
            }
            assert_eq!(pair.far.disconnect().wait().status, STATUS_SUCCESS);
            pair.watcher.wait(|said| said.contains(&Said::End));
            assert_eq!(pair.watcher.told(), (b"first".to_vec(), std::vec![Said::End]));
            pair.close();
            stage.finish();
        }
    }
}

/// SIO_WSK_SET_RECEIVE_EX_CALLBACK before and after the connect.
#[test]
fn the_other_receive_callback() {
    for (ways, early) in WAYS.into_iter().flat_map(|ways| [(ways, false), (ways, true)]) {
        let stage = Stage::answering(&["never out any"], ways);
        let watcher = Watcher::willing();
        let listener = stage.plain.listener(PORT);
        let near = stage.world.connection_with(watcher.context(), &CALLBACKS);
        let set = || {
            let callback: PFN_WSK_RECEIVE_EX_EVENT = receive_ex;
            let address = (callback as usize).to_ne_bytes();
            let form = Form { returned: false, ..Form::new(&address, 0).without_irp() };
            form.control(near.raw(), (WskIoctl, SIO_WSK_SET_RECEIVE_EX_CALLBACK, 0)).status
        };
        if early {
            assert_eq!(set(), STATUS_SUCCESS);
        }
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accept(&listener).wait().information);
        if !early {
            assert_eq!(set(), STATUS_SUCCESS);
        }
        assert_eq!(far.send(b"octets").wait().status, STATUS_SUCCESS);
        watcher.wait_for_octets(6);
        assert_eq!(watcher.told().0, b"octets");
        ksim::quiesce();
        assert_eq!(near.object().view().work.tcp_octets_indicated, 6);
        near.close();
        watcher.gone.store(true, Ordering::SeqCst);
        far.close();
        listener.close();
        stage.finish();
    }
}

/// The socket is closed inside its own callback; the close ends after it.
#[test]
fn closed_inside_a_callback() {
    for ways in WAYS {
        let stage = Stage::answering(&["never out any"], ways);
        let closing = std::sync::Arc::new(std::sync::Mutex::new(None));
        let kept = closing.clone();
        let watcher = Watcher::new(move |this, _| {
            if let Some(socket) = this.socket.lock().unwrap().take() {
                *kept.lock().unwrap() = Some(socket.start_close());
            }
            STATUS_SUCCESS
        });
        let pair = Pair::new(&stage, watcher);
        pair.events(WSK_EVENT_RECEIVE);
        assert_eq!(pair.far.send(b"octets").wait().status, STATUS_SUCCESS);
        pair.watcher.wait_for_octets(6);
        let closing = closing.lock().unwrap().take().expect("closed in the callback");
        assert_eq!(closing.wait().status, STATUS_SUCCESS);
        pair.watcher.gone.store(true, Ordering::SeqCst);
        pair.far.close();
        pair.listener.close();
        stage.finish();
    }
}

/// What this provider does not make is the system's own, pointer and all.
#[test]
fn other_sockets_are_the_systems() {
    let stage = Stage::new(&[]);
    let npi = stage.world.npi();
    // SAFETY: captured, so the provider's table is valid.
    let create = unsafe { (*npi.Dispatch).WskSocket };
    for (kind, protocol, flags) in [
        (SOCK_DGRAM, IPPROTO_UDP, WSK_FLAG_DATAGRAM_SOCKET),
        (SOCK_STREAM, IPPROTO_TCP, WSK_FLAG_BASIC_SOCKET),
    ] {
        let none = core::ptr::null_mut::<core::ffi::c_void>();
        let made = super::super::harness::request(|irp| {
            let (process, thread, descriptor) = (none.cast(), none.cast(), none.cast());
            // SAFETY: a call as its page says.
            unsafe {
                create(
                    npi.Client,
                    AF_INET,
                    kind,
                    protocol,
                    flags,
                    none,
                    core::ptr::null(),
                    process,
                    thread,
                    descriptor,
                    irp,
                )
            }
        });
        assert_eq!(made.wait().status, STATUS_SUCCESS);
        let socket = Connection::from_accept(made.wait().information);
        assert!(ksim::wsk::sockets().iter().any(|info| info.socket == socket.raw()));
        assert!(stage.views().is_empty());
        socket.close();
    }
    stage.finish();
}

/// # Safety
/// `context` is a connection that nobody else uses, in a box.
unsafe fn close_there(context: *mut core::ffi::c_void) {
    // SAFETY: the caller's promise.
    unsafe { std::boxed::Box::from_raw(context.cast::<Connection>()) }.close();
}

/// The deregistration waits for a connect that hangs over TCP, and ends when its socket is closed.
#[test]
fn a_deregistration_while_a_connect_hangs() {
    let stage = Stage::new(&["never out any"]);
    ksim::wsk::route(loopback(PORT), Some(ksim::wsk::Route::Hangs));
    let near = stage.world.connection();
    let connecting = near.connect(PORT);
    ksim::quiesce();
    let near = std::boxed::Box::into_raw(std::boxed::Box::new(near)).cast();
    // SAFETY: the box is the routine's; the item lives until that has run.
    let closer = unsafe { WorkItem::new(PoolTag::new(b"Test"), close_there, near) }.unwrap();
    // Before or after the deregistration has begun to wait: either way it ends.
    closer.queue();
    stage.finish();
    assert_eq!(connecting.wait().status, STATUS_CANCELLED);
}
