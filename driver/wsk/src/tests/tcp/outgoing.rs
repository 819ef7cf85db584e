//! Several connections from one bound address and port (NdkCreateSharedEndpoint), and ports that the adapter has the say of.

use core::net::SocketAddr;
use std::vec::Vec;

use abi::status::*;
use abi::wsk::*;
use abi::wskrdma::{WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use ksim::wsk::Answers;
use ndk::SharedEndpoint;
use softndk::AnswerMode;
use trace::Reason;

use super::super::control::Form;
use super::super::harness::{Connection, ListenSocket, World, loopback, request};
use super::super::listening::client::talk;
use super::stage::*;

const PORT: u16 = 43_001;
const LOCAL: u16 = 43_010;
const MODES: [AnswerMode; 3] = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];
/// RDMA preferred, and RDMA alone.
const RULES: [&[&str]; 2] = [&[], &["require any any"]];

fn socket(stage: &Stage, flags: u32) -> Connection {
    Connection::from_accept(stage.world.socket(flags).expose_provenance())
}

/// A connection socket that shares its address (SO_REUSEADDR).
fn sharing(stage: &Stage, at: SocketAddr) -> Connection {
    let socket = socket(stage, WSK_FLAG_CONNECTION_SOCKET);
    let on = 1_u32.to_le_bytes();
    let set = Form::new(&on, 0).control(socket.raw(), (WskSetOption, SO_REUSEADDR, SOL_SOCKET));
    assert_eq!(set.status, STATUS_SUCCESS);
    assert_eq!(bind(&socket, at).wait().status, STATUS_SUCCESS);
    socket
}

/// Takes what arrives, which must be from this address.
fn arrived(listener: &ListenSocket, from: SocketAddr) -> Connection {
    let far = Connection::from_accept(listener.accept().wait().information);
    assert_eq!(addresses(&far)[1], Ok(from));
    far
}

fn in_each_way(test: impl Fn(&Stage)) {
    for (mode, rules) in MODES.into_iter().flat_map(|mode| RULES.map(|rules| (mode, rules))) {
        let stage = Stage::answering(rules, (mode, Answers::Inline));
        test(&stage);
        stage.finish();
    }
}

#[test]
fn sockets_that_share_an_address_connect_to_several_destinations() {
    in_each_way(|stage| {
        let listeners = [stage.world.listen(PORT), stage.world.listen(PORT + 1)];
        let local = loopback(LOCAL);
        let mut near: Vec<_> = (0..2).map(|_| sharing(stage, local)).collect();
        let mut far = Vec::new();
        // The last one is bound to the wildcard, and shares the port all the same.
        near.push(sharing(stage, "0.0.0.0:43010".parse().unwrap()));
        let third = near.pop().unwrap();
        for (n, (socket, listener)) in near.iter().zip(&listeners).enumerate() {
            assert_eq!(socket.connect(PORT + n as u16).wait().status, STATUS_SUCCESS);
            assert_eq!(path(socket.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
            far.push(arrived(listener, local));
        }
        for (near, far) in near.iter().zip(&far) {
            talk(near, far);
        }
        // The first of them goes, and with it its four-tuple; the address stays with the second.
        near.remove(0).close();
        far.remove(0).close();
        assert_eq!(third.connect(PORT).wait().status, STATUS_SUCCESS);
        assert_eq!(path(third.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
        let last = arrived(&listeners[0], local);
        talk(&third, &last);
        for socket in near.into_iter().chain(far).chain([third, last]) {
            socket.close();
        }
        listeners.into_iter().for_each(ListenSocket::close);
        // Nobody has it any more.
        let listener = stage.world.listen(LOCAL);
        listener.close();
    });
}

/// ADDRESS_ALREADY_EXISTS of the adapter: the same four-tuple. Over TCP it is the system that decides.
#[test]
fn one_destination_once() {
    for (mode, rules) in MODES.into_iter().flat_map(|mode| RULES.map(|rules| (mode, rules))) {
        let stage = Stage::answering(rules, (mode, Answers::Inline));
        let listener = stage.world.listen(PORT);
        let near = [sharing(&stage, loopback(LOCAL)), sharing(&stage, loopback(LOCAL))];
        assert_eq!(near[0].connect(PORT).wait().status, STATUS_SUCCESS);
        let again = near[1].connect(PORT).wait().status;
        if rules.is_empty() {
            assert_eq!(path(near[1].raw()), (WSKRDMA_PATH_TCP, Reason::AddressBusy));
        } else {
            assert_eq!(again, STATUS_ADDRESS_ALREADY_EXISTS);
        }
        near.into_iter().for_each(Connection::close);
        listener.close();
        stage.finish();
    }
}

/// Whoever comes first takes the adapter's address, and the others find it, however close they come.
#[test]
fn sockets_connect_at_the_same_moment() {
    in_each_way(|stage| {
        let ports: Vec<u16> = (PORT..PORT + 6).collect();
        let listeners: Vec<_> = ports.iter().map(|port| stage.world.listen(*port)).collect();
        let near: Vec<_> = ports.iter().map(|_| sharing(stage, loopback(LOCAL))).collect();
        let connecting: Vec<_> = near.iter().zip(&ports).map(|(near, port)| near.connect(*port)).collect();
        for (near, connecting) in near.iter().zip(connecting) {
            assert_eq!(connecting.wait().status, STATUS_SUCCESS);
            assert_eq!(path(near.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
        }
        near.into_iter().for_each(Connection::close);
        listeners.into_iter().for_each(ListenSocket::close);
    });
}

/// A port that is chosen is free on the adapter, too, which another consumer uses.
#[test]
fn a_port_is_chosen_that_the_adapter_has_free() {
    for (mode, wildcard) in MODES.into_iter().flat_map(|mode| [(mode, false), (mode, true)]) {
        let stage = Stage::answering(&["require any any"], (mode, Answers::Inline));
        let listener = stage.world.listen(PORT);
        let take = |port| SharedEndpoint::create(&stage.world.adapter, loopback(port)).unwrap();
        let taken: Vec<_> = (49152..49160).map(take).collect();
        let near = socket(&stage, WSK_FLAG_CONNECTION_SOCKET);
        let at = if wildcard { "0.0.0.0:0".parse().unwrap() } else { loopback(0) };
        assert_eq!(bind(&near, at).wait().status, STATUS_SUCCESS);
        let chosen = addresses(&near)[0].unwrap().port();
        assert!(!taken.iter().any(|taken| taken.address().port() == chosen));
        // Nobody else gets it now.
        let other = SharedEndpoint::create(&stage.world.adapter, loopback(chosen));
        assert_eq!(other.err(), Some(STATUS_SHARING_VIOLATION));
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = arrived(&listener, loopback(chosen));
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        ksim::quiesce();
        drop(take(chosen));
        drop(taken);
        stage.finish();
    }
}

/// WskListen of a stream socket: the adapter's address is the listener's then.
#[test]
fn a_stream_socket_listens_where_it_might_have_connected_from() {
    for mode in MODES {
        let stage = Stage::answering(&["require any any"], (mode, Answers::Inline));
        let stream = socket(&stage, WSK_FLAG_STREAM_SOCKET);
        assert_eq!(bind(&stream, loopback(0)).wait().status, STATUS_SUCCESS);
        let local = stage.views()[0].local.unwrap();
        // SAFETY: the socket is open.
        let table = unsafe { (*stream.raw()).Dispatch };
        // SAFETY: a stream socket's table, which is static.
        let listen = unsafe { (*table.cast::<WSK_PROVIDER_STREAM_DISPATCH>()).WskListen };
        // SAFETY: a call as its page says.
        let listening = request(|irp| unsafe { listen(stream.raw(), irp) });
        assert_eq!(listening.wait().status, STATUS_SUCCESS);
        let near = stage.world.connection();
        assert_eq!(near.connect(local.port()).wait().status, STATUS_SUCCESS);
        near.close();
        stream.close();
        stage.finish();
    }
}

/// An adapter is removed while sockets have its addresses: it does not wait for them.
#[test]
fn the_adapter_goes_while_its_address_is_taken() {
    for mode in MODES {
        let stage = Stage::answering(&["require any any"], (mode, Answers::Inline));
        let (chosen, asked) = (stage.world.connection(), sharing(&stage, loopback(LOCAL)));
        assert_eq!(asked.connect(PORT).wait().status, STATUS_CONNECTION_REFUSED);
        let world: &World = &stage.world;
        assert_eq!(world.provider.remove_adapter(0), crate::Removed::Closed);
        assert_ne!(chosen.connect(PORT).wait().status, STATUS_SUCCESS);
        assert_ne!(asked.connect(PORT).wait().status, STATUS_SUCCESS);
        chosen.close();
        asked.close();
        stage.finish();
    }
}
