//! Which way a connect goes, and why.

use abi::status::*;
use abi::wsk::{
    IPPROTO_TCP, SOCK_STREAM, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_STREAM_SOCKET,
};
use abi::wskrdma::{WSKRDMA_PATH_NONE, WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use core::net::SocketAddr;
use kernel::time::milliseconds;
use ksim::client::TestIrp;
use ksim::wsk::{Answers, Function, Route, fail_next, meanwhile, route};
use ndk::{Access, Memory};
use softndk::AnswerMode;
use trace::Reason;

use super::super::harness::{Connection, Door, Peer, loopback, request};
use super::super::listening::client::talk;
use super::stage::*;
use crate::Settings;

const PORT: u16 = 41_001;

/// What a test finds out about one connect.
#[track_caller]
fn is_over_tcp(stage: &Stage, near: &Connection, reason: Reason) {
    assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, reason));
    assert_eq!(stage.view(), (Some(false), reason));
    assert_eq!(stage.reasons(), [(reason, 1)]);
}

/// Nobody listens over RDMA; a listener of the system's does.
fn falls_back(ways: (AnswerMode, Answers), prepare: impl FnOnce(&Stage), reason: Reason) {
    let stage = Stage::answering(&[], ways);
    prepare(&stage);
    let listener = stage.plain.listener(PORT);
    let near = stage.world.connection();
    let connected = near.connect(PORT);
    assert_eq!(connected.wait().status, STATUS_SUCCESS);
    assert_eq!(connected.completions(), 1);
    is_over_tcp(&stage, &near, reason);
    let far = Connection::from_accept(accept(&listener).wait().information);
    talk(&near, &far);
    assert_eq!(addresses(&near), {
        let [local, remote] = addresses(&far);
        [remote, local]
    });
    near.close();
    far.close();
    listener.close();
    stage.finish();
}

#[test]
fn rdma_is_preferred_and_the_twin_keeps_the_address() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let listener = stage.world.listen(PORT);
        let near = stage.world.connection();
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_NONE, Reason::Undecided));
        // The listener's twin, and the connection's.
        assert_eq!(system_sockets(), 2);
        let accepting = listener.accept();
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accepting.wait().information);
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
        assert_eq!(path(far.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
        assert_eq!(stage.reasons(), [(Reason::Rdma, 2), (Reason::BothPaths, 1)]);
        assert_eq!((system_sockets(), connects()), (2, 0));
        talk(&near, &far);
        near.close();
        assert_eq!(system_sockets(), 1);
        far.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn nobody_listens_over_rdma() {
    for ways in WAYS {
        falls_back(ways, |_| {}, Reason::PeerUnreachable);
    }
}

#[test]
fn there_is_no_adapter() {
    for ways in WAYS {
        let remove = |stage: &Stage| assert_eq!(stage.provider().remove_adapter(0), crate::Removed::Closed);
        falls_back(ways, remove, Reason::NoAdapter);
    }
}

#[test]
fn a_peer_that_speaks_another_protocol() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let door = Door::open(&stage.world, PORT);
        let listener = stage.plain.listener(PORT);
        let near = stage.world.connection();
        let connected = near.connect(PORT);
        let hostile = Peer::accept(&stage.world, door.take(), |_| std::vec![0x5A; 40]);
        assert_eq!(connected.wait().status, STATUS_SUCCESS);
        is_over_tcp(&stage, &near, Reason::PeerProtocol);
        hostile.close(false);
        let far = Connection::from_accept(accept(&listener).wait().information);
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        drop(door);
        stage.finish();
    }
}

#[test]
fn never_is_tcp_alone() {
    for ways in WAYS {
        let stage = Stage::answering(&["never out any"], ways);
        // RDMA would be there.
        let listener = stage.world.listen(PORT);
        let near = stage.world.connection();
        let accepting = listener.accept();
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accepting.wait().information);
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, Reason::PolicyNever));
        assert_eq!(path(far.raw()), (WSKRDMA_PATH_TCP, Reason::PeerChoseTcp));
        assert_eq!(
            stage.reasons(),
            [(Reason::PolicyNever, 1), (Reason::PeerChoseTcp, 1), (Reason::BothPaths, 1)]
        );
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn require_never_touches_tcp() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = stage.plain.listener(PORT);
        let before = ksim::wsk::calls(Function::WskSocket);
        let near = stage.world.connection();
        assert_eq!(near.connect(PORT).wait().status, STATUS_CONNECTION_REFUSED);
        assert_eq!(connects(), 0);
        assert_eq!(ksim::wsk::calls(Function::WskSocket), before);
        assert_eq!(path(near.raw()).0, WSKRDMA_PATH_NONE);
        assert_eq!(stage.reasons(), [(Reason::PolicyRequire, 1)]);
        near.close();
        listener.close();
        stage.finish();
    }
}

/// A rule about one port: the twin is there, because other ports may need it, and is not connected.
#[test]
fn require_for_one_port() {
    let stage = Stage::new(&["require out any port 41001"]);
    let listener = stage.plain.listener(PORT);
    let other = stage.plain.listener(PORT + 1);
    let near = stage.world.connection();
    assert_eq!(near.connect(PORT).wait().status, STATUS_CONNECTION_REFUSED);
    assert_eq!(connects(), 0);
    assert_eq!(near.connect(PORT + 1).wait().status, STATUS_SUCCESS);
    assert_eq!(connects(), 1);
    near.close();
    listener.close();
    other.close();
    stage.finish();
}

#[test]
fn both_ways_fail() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let near = stage.world.connection();
        assert_eq!(near.connect(PORT).wait().status, STATUS_CONNECTION_REFUSED);
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_NONE, Reason::PeerUnreachable));
        assert_eq!(stage.reasons(), [(Reason::PeerUnreachable, 1)]);
        // The socket is as it was: it can be used again, with the same address.
        let listener = stage.plain.listener(PORT);
        let [local, _] = addresses(&near);
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, Reason::NegativeCache));
        assert_eq!(addresses(&near)[0], local);
        near.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn the_system_has_no_way() {
    let stage = Stage::new(&[]);
    route(loopback(PORT), Some(Route::Fails(STATUS_HOST_UNREACHABLE)));
    let near = stage.world.connection();
    assert_eq!(near.connect(PORT).wait().status, STATUS_HOST_UNREACHABLE);
    fail_next(Function::WskConnect, STATUS_INSUFFICIENT_RESOURCES);
    assert_eq!(near.connect(PORT).wait().status, STATUS_INSUFFICIENT_RESOURCES);
    near.close();
    stage.finish();
}

#[test]
fn a_failure_is_remembered_for_a_while() {
    let retry_after = milliseconds(150);
    let stage = Stage::with(&[], WAYS[0], Settings { retry_after, ..Settings::DEFAULT });
    let plain = stage.plain.listener(PORT);
    let mut near = std::vec::Vec::new();
    for reason in [Reason::PeerUnreachable, Reason::NegativeCache] {
        let socket = stage.world.connection();
        assert_eq!(socket.connect(PORT).wait().status, STATUS_SUCCESS);
        assert_eq!(path(socket.raw()), (WSKRDMA_PATH_TCP, reason));
        near.push(socket);
    }
    // Another port is another destination.
    let door = Door::open(&stage.world, PORT + 1);
    let other = stage.world.connection();
    let connecting = other.connect(PORT + 1);
    let peer = Peer::accept(&stage.world, door.take(), |data| data.encode().to_vec());
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    assert_eq!(path(other.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
    // RDMA is tried again once the time is over.
    let deadline = std::time::Instant::now() + super::super::harness::PATIENCE;
    loop {
        let socket = stage.world.connection();
        assert_eq!(socket.connect(PORT).wait().status, STATUS_SUCCESS);
        let (_, reason) = path(socket.raw());
        Connection::from_accept(accept(&plain).wait().information).close();
        socket.close();
        if reason == Reason::PeerUnreachable {
            break;
        }
        assert_eq!(reason, Reason::NegativeCache);
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    other.close();
    peer.close(false);
    drop(door);
    near.into_iter().for_each(Connection::close);
    plain.close();
    stage.finish();
}

#[test]
fn the_adapter_is_out_of_resources() {
    let mut regions = std::vec::Vec::new();
    let stage = Stage::answering(&[], WAYS[3]);
    let listener = stage.world.listen(PORT);
    while let Ok(region) = Memory::register(&stage.world.adapter, 16, Access::LocalWrite) {
        regions.push(region);
    }
    let near = stage.world.connection();
    let accepting = listener.accept();
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    is_over_tcp_with_peer(&stage, &near, Reason::AdapterResources);
    let far = Connection::from_accept(accepting.wait().information);
    talk(&near, &far);
    // What this machine lacked is not remembered of the peer.
    regions.clear();
    let (again, accepting) = (stage.world.connection(), listener.accept());
    assert_eq!(again.connect(PORT).wait().status, STATUS_SUCCESS);
    assert_eq!(path(again.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
    let other = Connection::from_accept(accepting.wait().information);
    for socket in [near, far, again, other] {
        socket.close();
    }
    listener.close();
    stage.finish();
}

fn is_over_tcp_with_peer(stage: &Stage, near: &Connection, reason: Reason) {
    assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, reason));
    assert!(stage.reasons().contains(&(reason, 1)));
}

/// Bound to the wildcard: which address the connection has got, only its way can tell.
#[test]
fn the_local_address_is_the_one_of_the_way() {
    let far_ip = core::net::IpAddr::from([10, 0, 0, 9]);
    let stage = Stage::new(&[]);
    ksim::wsk::add_address(far_ip);
    let to = SocketAddr::new(far_ip, PORT);
    let listener = stage.plain.bound(WSK_FLAG_LISTEN_SOCKET, to);
    let near = unbound(&stage);
    assert_eq!(bind(&near, SocketAddr::from(([0, 0, 0, 0], 0))).wait().status, STATUS_SUCCESS);
    let before = addresses(&near)[0].unwrap();
    assert!(before.ip().is_unspecified() && before.port() != 0);
    // In vain both ways, then over TCP.
    assert_ne!(connect(&near, SocketAddr::new(far_ip, PORT + 1)).wait().status, STATUS_SUCCESS);
    assert_eq!(addresses(&near)[0], Ok(before));
    assert_eq!(connect(&near, to).wait().status, STATUS_SUCCESS);
    assert_eq!(addresses(&near), [Ok(SocketAddr::new(far_ip, before.port())), Ok(to)]);
    near.close();
    listener.close();
    stage.finish();
}

fn unbound(stage: &Stage) -> Connection {
    let made =
        begin_socket(stage.world.npi(), WSK_FLAG_CONNECTION_SOCKET, core::ptr::null_mut(), core::ptr::null());
    assert_eq!(made.wait().status, STATUS_SUCCESS);
    Connection::from_accept(made.wait().information)
}

/// WskSocketConnect.
fn socket_connect(stage: &Stage, port: u16) -> TestIrp {
    let npi = stage.world.npi();
    // SAFETY: captured, so the provider's table is valid.
    let create = unsafe { (*npi.Dispatch).WskSocketConnect };
    let (mut from, mut to) = (ndk::SockAddr::from(loopback(0)), ndk::SockAddr::from(loopback(port)));
    let none = core::ptr::null_mut::<core::ffi::c_void>();
    request(|irp| {
        let (from, to) = ((&raw mut from).cast(), (&raw mut to).cast());
        let (process, thread, descriptor) = (none.cast(), none.cast(), none.cast());
        // SAFETY: a call as its page says.
        unsafe {
            create(
                npi.Client,
                SOCK_STREAM,
                IPPROTO_TCP,
                from,
                to,
                0,
                none,
                core::ptr::null(),
                process,
                thread,
                descriptor,
                irp,
            )
        }
    })
}

/// An OwningProcess of NULL is the client's process, so the system is asked inside the client's call.
#[test]
fn the_systems_socket_is_made_in_the_clients_call() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let listener = stage.plain.listener(PORT);
        let null = core::ptr::null_mut();
        let made_here = |make: &dyn Fn() -> TestIrp| {
            let (tell, told) = std::sync::mpsc::channel();
            meanwhile(Function::WskSocket, move || tell.send(std::thread::current().id()).unwrap());
            let irp = make();
            assert_eq!(told.try_recv(), Ok(std::thread::current().id()));
            assert_eq!(irp.wait().status, STATUS_SUCCESS);
            Connection::from_accept(irp.wait().information).close();
        };
        for flags in [WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_STREAM_SOCKET] {
            made_here(&|| begin_socket(stage.world.npi(), flags, null, core::ptr::null()));
        }
        made_here(&|| socket_connect(&stage, PORT));
        listener.close();
        stage.finish();
    }
}

#[test]
fn a_socket_comes_about_with_its_connection() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        // Nobody is there, then somebody over TCP, then over RDMA.
        let refused = socket_connect(&stage, PORT).wait();
        assert_eq!((refused.status, refused.information), (STATUS_CONNECTION_REFUSED, 0));
        assert_eq!(system_sockets(), 0);
        assert!(stage.views().is_empty());
        let listener = stage.plain.listener(PORT + 1);
        let near = socket_connect(&stage, PORT + 1).wait();
        assert_eq!(near.status, STATUS_SUCCESS);
        let near = Connection::from_accept(near.information);
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, Reason::PeerUnreachable));
        let far = Connection::from_accept(accept(&listener).wait().information);
        talk(&near, &far);
        let ours = stage.world.listen(PORT + 2);
        let accepting = ours.accept();
        let over_rdma = socket_connect(&stage, PORT + 2).wait();
        assert_eq!(over_rdma.status, STATUS_SUCCESS);
        let over_rdma = Connection::from_accept(over_rdma.information);
        assert_eq!(path(over_rdma.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
        let accepted = Connection::from_accept(accepting.wait().information);
        talk(&over_rdma, &accepted);
        for socket in [near, far, over_rdma, accepted, listener] {
            socket.close();
        }
        ours.close();
        // A socket of the system's is refused an address, or not made at all.
        for function in [Function::WskSocket, Function::WskBind] {
            fail_next(function, STATUS_INSUFFICIENT_RESOURCES);
            let failed = socket_connect(&stage, PORT + 1).wait();
            assert_eq!((failed.status, failed.information), (STATUS_INSUFFICIENT_RESOURCES, 0));
        }
        stage.finish();
    }
}

#[test]
fn a_socket_that_hangs_is_cancelled() {
    for ways in WAYS {
        let stage = Stage::answering(&["never out any"], ways);
        route(loopback(PORT), Some(Route::Hangs));
        let connecting = socket_connect(&stage, PORT);
        ksim::quiesce();
        connecting.cancel();
        assert_eq!((connecting.wait().status, connecting.wait().information), (STATUS_CANCELLED, 0));
        assert_eq!(system_sockets(), 0);
        stage.finish();
    }
}

#[test]
fn octets_go_with_the_connect() {
    for (ways, port) in WAYS.into_iter().flat_map(|ways| [(ways, PORT), (ways, PORT + 1)]) {
        let stage = Stage::answering(&[], ways);
        let ours = stage.world.listen(PORT);
        let plain = stage.plain.listener(PORT + 1);
        let near = stage.world.connection();
        let octets: std::vec::Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
        let (connecting, chain) = connect_ex(&near, port, &octets);
        let far = if port == PORT { ours.accept().wait() } else { accept(&plain).wait() };
        assert_eq!(connecting.wait().status, STATUS_SUCCESS);
        assert_eq!(connecting.wait().information, 0);
        drop(chain);
        let far = Connection::from_accept(far.information);
        let mut got = std::vec::Vec::new();
        while got.len() < octets.len() {
            got.extend(far.receive(octets.len() - got.len()).octets());
        }
        assert_eq!(got, octets);
        talk(&near, &far);
        near.close();
        far.close();
        plain.close();
        ours.close();
        stage.finish();
    }
}

/// The client takes its memory back as soon as its cancel is done.
#[test]
fn a_connect_with_octets_is_cancelled() {
    for ways in WAYS {
        let stage = Stage::answering(&["never out any"], ways);
        route(loopback(PORT), Some(Route::Hangs));
        let near = stage.world.connection();
        let (connecting, chain) = connect_ex(&near, PORT, &[7; 3000]);
        ksim::quiesce();
        connecting.cancel();
        assert_eq!(connecting.wait().status, STATUS_CANCELLED);
        drop(chain);
        // And another one goes through.
        let listener = stage.plain.listener(PORT + 1);
        assert_eq!(near.connect(PORT + 1).wait().status, STATUS_SUCCESS);
        near.close();
        listener.close();
        stage.finish();
    }
}

/// Nothing but RDMA is allowed, where nobody answers; one begins later than the other.
#[test]
fn handshakes_take_too_long_one_after_the_other() {
    let rdma_connect_limit = milliseconds(20);
    let settings = Settings { rdma_connect_limit, ..Settings::DEFAULT };
    let stage = Stage::with(&["require out any"], WAYS[1], settings);
    let door = Door::open(&stage.world, PORT);
    let near = [stage.world.connection(), stage.world.connection()];
    let connecting = near.each_ref().map(|near| {
        let connecting = near.connect(PORT);
        (connecting, door.take())
    });
    for (connecting, _) in &connecting {
        assert_eq!(connecting.wait().status, STATUS_IO_TIMEOUT);
        assert_eq!(connecting.completions(), 1);
    }
    assert_eq!(stage.reasons(), [(Reason::PolicyRequire, 2)]);
    drop(connecting);
    near.into_iter().for_each(Connection::close);
    drop(door);
    stage.finish();
}
