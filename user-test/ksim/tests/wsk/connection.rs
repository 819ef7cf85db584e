//! Listeners and connections: data, cancellation, the end.

use std::ptr;

use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::buffer::Chain;
use ksim::client::TestIrp;
use ksim::wsk::{self, Config, Function, Route};

#[test]
fn bytes_go_both_ways() {
    Machine::each(|| {
        let client = Client::new();
        let (one, two) = client.pair();
        assert_eq!(one.send(b"hello world").information, 11);
        assert_eq!(two.receive(5, 0).1, b"hello");
        assert_eq!(two.receive(100, 0).1, b" world");
        let chain = Chain::zeroed(8);
        let waiting = one.receive_start(&chain, WSK_FLAG_WAITALL);
        assert_eq!(two.send(b"abc").status, 0);
        ksim::quiesce();
        assert_eq!(waiting.completion(), None);
        assert_eq!(two.send(b"defgh-").status, 0);
        assert_eq!((waiting.wait().information, &*chain.bytes()), (8, &b"abcdefgh"[..]));
        assert_eq!(one.receive(9, 0).1, b"-");
        assert_eq!(one.receive(0, 0).0.status, 0);
        assert_eq!(one.send(b"").information, 0);
        one.close();
        two.close();
    });
}

#[test]
fn addresses_are_told() {
    let _machine = Machine::new();
    let client = Client::new();
    let (listener, at) = client.listener();
    assert!(at.port() >= 49152);
    let (mut local, mut remote) = (Raw::empty(), Raw::empty());
    let accept = TestIrp::new();
    // SAFETY: the addresses stay until the IRP is completed.
    let returned = unsafe {
        (listener.listen_table().WskAccept)(
            listener.0,
            0,
            ptr::null_mut(),
            ptr::null(),
            local.pointer(),
            remote.pointer(),
            accept.submit(),
        )
    };
    accept.assert_pending(returned);
    let connector = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    let mut raw = Raw::empty();
    let mut get = |remote: bool| {
        let function =
            if remote { connector.table().WskGetRemoteAddress } else { connector.table().WskGetLocalAddress };
        // SAFETY: the address stays until the IRP is completed.
        let done = wait(|irp| unsafe { function(connector.0, raw.pointer(), irp) });
        (done.status, raw.read())
    };
    assert_eq!(wait_status(&mut get, false), STATUS_INVALID_DEVICE_STATE);
    let from = connector.bind_any();
    assert_eq!(get(false), (0, from));
    assert_eq!(wait_status(&mut get, true), STATUS_INVALID_DEVICE_STATE);
    assert_eq!(connector.connect(at).status, 0);
    assert_eq!(get(true), (0, at));
    let accepted = Sock(accept.wait().information as *mut WSK_SOCKET);
    assert_eq!((local.read(), remote.read()), (at, from));
    for socket in [listener, connector, accepted] {
        socket.close();
    }
}

fn wait_status(get: &mut impl FnMut(bool) -> (i32, std::net::SocketAddr), remote: bool) -> i32 {
    get(remote).0
}

#[test]
fn an_unbound_connect_fails_at_once_and_unmarked() {
    let _machine = Machine::new();
    let client = Client::new();
    let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    let (irp, mut to) = (TestIrp::new(), Raw::of("127.0.0.1:9".parse().unwrap()));
    // SAFETY: an open socket.
    let returned = unsafe { (socket.table().WskConnect)(socket.0, to.pointer(), 0, irp.submit()) };
    assert_eq!(returned, STATUS_INVALID_DEVICE_STATE);
    let done = irp.completion().unwrap();
    assert_eq!((done.status, done.information, done.pending_returned), (returned, 0, false));
    socket.close();
}

#[test]
fn states_are_enforced() {
    let _machine = Machine::new();
    let client = Client::new();
    let (one, two) = client.pair();
    assert_eq!(one.connect("127.0.0.1:9".parse().unwrap()).status, STATUS_CONNECTION_ACTIVE);
    assert_eq!(one.bind(any()).status, STATUS_INVALID_DEVICE_STATE);
    let fresh = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    fresh.bind_any();
    assert_eq!(fresh.send(b"x").status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(fresh.receive(1, 0).0.status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(fresh.disconnect(0).status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(fresh.connect("127.0.0.1:9".parse().unwrap()).status, STATUS_CONNECTION_REFUSED);
    assert_eq!(fresh.connect("198.51.100.1:9".parse().unwrap()).status, STATUS_HOST_UNREACHABLE);
    let listener = client.tcp(WSK_FLAG_LISTEN_SOCKET);
    assert_eq!(listener.accept_start().wait().status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(listener.bind("198.51.100.1:9".parse().unwrap()).status, STATUS_INVALID_ADDRESS_COMPONENT);
    for socket in [one, two, fresh, listener] {
        socket.close();
    }
}

#[test]
fn a_udp_listener_is_made_but_not_bound() {
    let _machine = Machine::new();
    let client = Client::new();
    let kind = (AF_INET, SOCK_DGRAM, IPPROTO_UDP);
    let socket = client.make(kind, WSK_FLAG_LISTEN_SOCKET, ptr::null_mut(), ptr::null()).unwrap();
    let done = socket.bind(any());
    assert_eq!((done.status, done.information), (STATUS_NOT_IMPLEMENTED, 0));
    socket.close();
    let kind = (AF_INET, SOCK_DGRAM, IPPROTO_TCP);
    let made = client.make(kind, WSK_FLAG_DATAGRAM_SOCKET, ptr::null_mut(), ptr::null());
    assert_eq!(made, Err(STATUS_NOT_SUPPORTED));
}

#[test]
fn sends_wait_for_room_and_keep_their_order() {
    let _machine = Machine::with(Config { receive_window: 16, ..Config::default() });
    let client = Client::new();
    let (one, two) = client.pair();
    let data: Vec<u8> = (0..64).collect();
    let chains = [&data[..20], &data[20..40], &data[40..]]
        .map(|part| Chain::new(part, &[7], ksim::buffer::Pages::Locked));
    let sends: Vec<_> = chains.iter().map(|chain| one.send_start(chain)).collect();
    assert!(sends.iter().all(|send| send.completion().is_none()));
    let (done, bytes) = two.receive(64, WSK_FLAG_WAITALL);
    assert_eq!((done.information, bytes), (64, data));
    assert_eq!(sends.iter().map(|send| send.wait().information).collect::<Vec<_>>(), [20, 20, 24]);
    one.close();
    two.close();
}

#[test]
fn a_graceful_end_is_no_error() {
    Machine::each(|| {
        let client = Client::new();
        let (one, two) = client.pair();
        assert_eq!(one.send(b"last").status, 0);
        assert_eq!(one.disconnect(0).status, 0);
        assert_eq!(one.send(b"late").status, STATUS_CONNECTION_DISCONNECTED);
        assert_eq!(one.disconnect(0).status, STATUS_CONNECTION_DISCONNECTED);
        let (done, bytes) = two.receive(100, WSK_FLAG_WAITALL);
        assert_eq!((done.status, &*bytes), (0, &b"last"[..]));
        for _ in 0..2 {
            assert_eq!((two.receive(100, 0).0.status, two.receive(100, 0).0.information), (0, 0));
        }
        // The other direction still works.
        assert_eq!(two.send(b"answer").status, 0);
        assert_eq!(one.receive(100, 0).1, b"answer");
        let chain = Chain::zeroed(0);
        let drain = one.receive_start(&chain, WSK_FLAG_DRAIN);
        assert_eq!(two.send(b"ignored").status, 0);
        two.close();
        assert_eq!(drain.wait().status, STATUS_CONNECTION_RESET, "closed without a disconnect");
        one.close();
    });
}

#[test]
fn a_graceful_end_waits_for_what_was_sent_before() {
    let _machine = Machine::with(Config { receive_window: 4, ..Config::default() });
    let client = Client::new();
    let (one, two) = client.pair();
    let chain = Chain::new(b"0123456789", &[], ksim::buffer::Pages::Locked);
    let send = one.send_start(&chain);
    let disconnect = one.disconnect_start(0);
    ksim::quiesce();
    assert_eq!((send.completion(), disconnect.completion()), (None, None));
    assert_eq!(two.receive(10, WSK_FLAG_WAITALL).1, b"0123456789");
    assert_eq!((send.wait().status, disconnect.wait().status), (0, 0));
    assert_eq!(two.receive(10, 0).0.information, 0);
    // Both sides have said it, so that the close of neither breaks anything.
    assert_eq!(two.disconnect(0).status, 0);
    two.close();
    assert_eq!(one.receive(10, 0).0, one.receive(10, 0).0);
    one.close();
}

#[test]
fn an_abort_overtakes_a_graceful_end_that_is_stuck() {
    let _machine = Machine::with(Config { receive_window: 4, ..Config::default() });
    let client = Client::new();
    let (one, two) = client.pair();
    let chain = Chain::new(b"0123456789", &[], ksim::buffer::Pages::Locked);
    let (send, disconnect) = (one.send_start(&chain), one.disconnect_start(0));
    let buffer = Chain::zeroed(1);
    let receive = one.receive_start(&buffer, 0);
    assert_eq!(one.disconnect(WSK_FLAG_ABORTIVE).status, 0);
    assert_eq!((send.wait().status, disconnect.wait().status), (STATUS_CANCELLED, STATUS_CANCELLED));
    assert_eq!(receive.wait().status, STATUS_CONNECTION_ABORTED);
    assert_eq!(one.send(b"x").status, STATUS_CONNECTION_ABORTED);
    assert_eq!(two.receive(10, 0).0.status, STATUS_CONNECTION_RESET);
    assert_eq!(two.send(b"x").status, STATUS_CONNECTION_RESET);
    one.close();
    two.close();
}

#[test]
fn cancelling_completes_inside_the_call() {
    Machine::each(|| {
        let client = Client::new();
        let (one, two) = client.pair();
        let chain = Chain::zeroed(10);
        let receive = one.receive_start(&chain, WSK_FLAG_WAITALL);
        assert_eq!(two.send(b"half").status, 0);
        ksim::quiesce();
        assert!(receive.cancel());
        let done = receive.completion().unwrap();
        assert_eq!((done.status, done.information), (STATUS_CANCELLED, 4));
        let (listener, _) = client.listener();
        let accept = listener.accept_start();
        assert!(accept.cancel());
        assert_eq!(accept.completion().unwrap().status, STATUS_CANCELLED);
        let hung = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
        hung.bind_any();
        wsk::route("127.0.0.1:7".parse().unwrap(), Some(Route::Hangs));
        let connect = hung.connect_start("127.0.0.1:7".parse().unwrap());
        assert!(connect.cancel());
        assert_eq!(connect.completion().unwrap().status, STATUS_CANCELLED);
        let again = hung.connect_start("127.0.0.1:7".parse().unwrap());
        hung.close();
        assert_eq!(again.wait().status, STATUS_CANCELLED);
        for socket in [one, two, listener] {
            socket.close();
        }
        // An IRP that is cancelled before it comes in is completed all the same.
        let (listener, _) = client.listener();
        let irp = TestIrp::new();
        let submitted = irp.submit();
        irp.cancel();
        let null = ptr::null_mut();
        // SAFETY: an open listener.
        let returned = unsafe {
            (listener.listen_table().WskAccept)(
                listener.0,
                0,
                ptr::null_mut(),
                ptr::null(),
                null,
                null,
                submitted,
            )
        };
        assert_eq!(irp.assert_pending(returned).wait().status, STATUS_CANCELLED);
        listener.close();
    });
}

#[test]
fn cancelling_a_send_on_its_way_breaks_the_connection() {
    let _machine = Machine::with(Config { receive_window: 4, ..Config::default() });
    let client = Client::new();
    let (one, two) = client.pair();
    let chain = Chain::new(b"0123456789", &[], ksim::buffer::Pages::Locked);
    let (first, second) = (one.send_start(&chain), one.send_start(&chain));
    assert!(second.cancel());
    assert_eq!(second.completion().unwrap().status, STATUS_CANCELLED);
    assert_eq!(two.receive(2, 0).1, b"01", "nothing of the second was sent");
    assert!(first.cancel());
    assert_eq!(first.completion().unwrap().status, STATUS_CANCELLED);
    assert_eq!(two.receive(10, 0).0.status, STATUS_CONNECTION_RESET);
    one.close();
    two.close();
}

#[test]
fn close_completes_all_that_waits_and_itself_last() {
    Machine::each(|| {
        let client = Client::new();
        let (one, two) = client.pair();
        let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let note = |name: &'static str| {
            let order = std::sync::Arc::clone(&order);
            TestIrp::new().with_hook(move |done| order.lock().unwrap().push((name, done.status)))
        };
        let chain = Chain::zeroed(4);
        let receives = [note("receive"), note("receive"), note("receive")];
        for irp in &receives {
            let mut buffer = chain.whole();
            // SAFETY: an open socket.
            let returned = unsafe { (one.table().WskReceive)(one.0, &raw mut buffer, 0, irp.submit()) };
            irp.assert_pending(returned);
        }
        let close = note("close");
        // SAFETY: an open socket.
        let returned = unsafe { (one.basic().WskCloseSocket)(one.0, close.submit()) };
        close.assert_pending(returned).wait();
        let cancelled = ("receive", STATUS_CANCELLED);
        assert_eq!(*order.lock().unwrap(), [cancelled, cancelled, cancelled, ("close", 0)]);
        drop(receives);
        two.close();
    });
}

#[test]
fn arrivals_wait_for_an_accept_and_fall_with_the_listener() {
    let _machine = Machine::new();
    let client = Client::new();
    let (listener, at) = client.listener();
    let accepts = [listener.accept_start(), listener.accept_start()];
    let connectors = [(); 4].map(|()| client.tcp(WSK_FLAG_CONNECTION_SOCKET));
    for connector in connectors {
        connector.bind_any();
        assert_eq!(connector.connect(at).status, 0);
    }
    let mut accepted: Vec<Sock> =
        accepts.iter().map(|accept| Sock(accept.wait().information as *mut WSK_SOCKET)).collect();
    accepted.push(listener.accept());
    for (connector, accepted) in connectors.iter().zip(&accepted) {
        assert_eq!(connector.send(b"x").status, 0);
        assert_eq!(accepted.receive(1, 0).1, b"x");
    }
    // The last is nobody's, and what it has sent is lost.
    assert_eq!(connectors[3].send(b"x").status, 0);
    listener.close();
    assert_eq!(connectors[3].receive(1, 0).0.status, STATUS_CONNECTION_RESET);
    assert_eq!(accepted[0].send(b"still here").status, 0);
    for socket in connectors.into_iter().chain(accepted) {
        socket.close();
    }
}

#[test]
fn socket_connect_leaves_nothing_when_it_fails() {
    Machine::each(|| {
        let client = Client::new();
        let (listener, at) = client.listener();
        let call = |to: std::net::SocketAddr| {
            let (mut local, mut remote) = (Raw::of(any()), Raw::of(to));
            let null = ptr::null_mut();
            // SAFETY: the arguments are valid.
            start(|irp| unsafe {
                (client.table().WskSocketConnect)(
                    client.npi.Client,
                    SOCK_STREAM,
                    IPPROTO_TCP,
                    local.pointer(),
                    remote.pointer(),
                    0,
                    ptr::null_mut(),
                    ptr::null(),
                    ptr::null_mut(),
                    ptr::null_mut(),
                    null,
                    irp,
                )
            })
        };
        let done = call(at).wait();
        assert_eq!(done.status, 0);
        let socket = Sock(done.information as *mut WSK_SOCKET);
        let accepted = listener.accept();
        assert_eq!(socket.send(b"x").status, 0);
        let done = call("127.0.0.1:9".parse().unwrap()).wait();
        assert_eq!((done.status, done.information), (STATUS_CONNECTION_REFUSED, 0));
        wsk::route("127.0.0.1:0".parse().unwrap(), Some(Route::Hangs));
        let hung = call(at);
        assert_eq!(wsk::outstanding().sockets, 4);
        assert!(hung.cancel());
        assert_eq!(hung.completion().unwrap().status, STATUS_CANCELLED);
        assert_eq!(wsk::outstanding().sockets, 3);
        for socket in [socket, accepted, listener] {
            socket.close();
        }
        wsk::route("127.0.0.1:0".parse().unwrap(), None);
    });
}

#[test]
fn connect_ex_takes_bytes_along() {
    let _machine = Machine::with(Config { receive_window: 3, ..Config::default() });
    let client = Client::new();
    let (listener, at) = client.listener();
    let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
    socket.bind_any();
    let call = |chain: &Chain, flags| {
        let (mut to, mut buffer) = (Raw::of(at), chain.whole());
        // SAFETY: an open socket.
        wait(|irp| unsafe {
            (socket.table().WskConnectEx)(socket.0, to.pointer(), &raw mut buffer, flags, irp)
        })
    };
    assert_eq!(call(&Chain::zeroed(65536), 0).status, STATUS_BUFFER_OVERFLOW);
    assert_eq!(call(&Chain::zeroed(1), 1).status, STATUS_INVALID_PARAMETER);
    let chain = Chain::new(b"early", &[], ksim::buffer::Pages::Locked);
    assert_eq!(call(&chain, 0).status, 0);
    drop(chain);
    let accepted = listener.accept();
    let late = Chain::new(b" late", &[], ksim::buffer::Pages::Locked);
    let send = socket.send_start(&late);
    assert_eq!(accepted.receive(10, WSK_FLAG_WAITALL).1, b"early late");
    assert_eq!(send.wait().status, 0);
    for socket in [listener, socket, accepted] {
        socket.close();
    }
}

#[test]
fn a_request_under_the_callers_lock_is_answered_from_a_dpc() {
    let _machine = Machine::new();
    let client = Client::new();
    let (one, two) = client.pair();
    let chain = Chain::new(b"x", &[], ksim::buffer::Pages::Locked);
    let mut buffer = chain.whole();
    let (irp, lock) = (TestIrp::new(), std::sync::atomic::AtomicUsize::new(0));
    // SAFETY: a lock of this test's.
    let level = unsafe { KeAcquireSpinLockRaiseToDpc(lock.as_ptr()) };
    // SAFETY: an open socket.
    let returned = unsafe { (one.table().WskSend)(one.0, &raw mut buffer, 0, irp.submit()) };
    // SAFETY: taken above.
    unsafe { KeReleaseSpinLock(lock.as_ptr(), level) };
    assert_eq!(irp.assert_pending(returned).wait().irql, 2);
    assert_eq!(wsk::calls(Function::WskSend), 1);
    one.close();
    two.close();
}

#[test]
fn a_dead_socket_can_only_be_closed() {
    let _machine = Machine::new();
    let client = Client::new();
    let (one, two) = client.pair();
    let chain = Chain::zeroed(1);
    let receive = one.receive_start(&chain, 0);
    wsk::kill(one.0);
    assert_eq!(receive.wait().status, STATUS_FILE_FORCED_CLOSED);
    assert_eq!(one.send(b"x").status, STATUS_FILE_FORCED_CLOSED);
    assert_eq!(two.receive(1, 0).0.status, STATUS_CONNECTION_RESET);
    one.close();
    two.close();
}
