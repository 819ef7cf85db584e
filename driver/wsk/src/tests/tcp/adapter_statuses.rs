//! Every status that the pages of NdkListen, NdkConnect, NdkCompleteConnect, NdkAccept and NdkCreateSharedEndpoint name: what the
//! client is told, and what becomes of the attempt. Each row is a test, and each test is played inline, later, and before the call returns.

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::{WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET, WSK_SOCKET};
use abi::wskrdma::{WSKRDMA_PATH_NONE, WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use ksim::wsk::Answers;
use ndkcheck::Slot;
use softndk::AnswerMode;
use trace::Reason;

use super::super::harness::{Connection, ListenSocket, loopback};
use super::super::listening::client::talk;
use super::stage::*;

const PORT: u16 = 42_001;
/// Asked for, so that a connection goes out from a shared endpoint.
const LOCAL: u16 = 42_002;
const MODES: [AnswerMode; 3] = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early];
/// RDMA alone to this port; the address is the system's all the same, which chooses it.
const REQUIRE_HERE: &str = "require out any port 42001";

fn socket(stage: &Stage, flags: u32) -> Connection {
    let socket: *mut WSK_SOCKET = stage.world.socket(flags);
    Connection::from_accept(socket.expose_provenance())
}

fn bound(stage: &Stage, local: u16) -> Connection {
    let socket = socket(stage, WSK_FLAG_CONNECTION_SOCKET);
    assert_eq!(bind(&socket, loopback(local)).wait().status, STATUS_SUCCESS);
    socket
}

/// Connects, which must succeed, and uses the connection.
fn goes(stage: &Stage, near: &Connection, listener: &ListenSocket, way: (u32, Reason)) {
    let accepting = listener.accept();
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    assert_eq!(path(near.raw()), way);
    let far = Connection::from_accept(accepting.wait().information);
    talk(near, &far);
    far.close();
    assert!(stage.reasons().iter().any(|(reason, _)| *reason == way.1));
}

/// `slot` fails with `given` while a socket connects from `local`.
fn connecting(slot: Slot, local: u16, given: NTSTATUS, told: NTSTATUS, reason: Reason) {
    // Whether it is the peer's doing, and so is remembered of the destination.
    let remembered = matches!(reason, Reason::PeerUnreachable | Reason::RdmaTimeout);
    for mode in MODES {
        // RDMA alone: the client is told, and may try again on the same socket.
        let stage = Stage::answering(&[REQUIRE_HERE], (mode, Answers::Inline));
        let listener = stage.world.listen(PORT);
        let near = bound(&stage, local);
        stage.world.fail_next(slot, given);
        let refused = near.connect(PORT);
        assert_eq!((refused.wait().status, refused.completions()), (told, 1));
        assert_eq!(path(near.raw()), (WSKRDMA_PATH_NONE, Reason::PolicyRequire));
        goes(&stage, &near, &listener, (WSKRDMA_PATH_RDMA, Reason::Rdma));
        near.close();
        listener.close();
        stage.finish();
        // RDMA and TCP: TCP is tried at once.
        let stage = Stage::answering(&[], (mode, Answers::Inline));
        let listener = stage.world.listen(PORT);
        let near = bound(&stage, local);
        stage.world.fail_next(slot, given);
        goes(&stage, &near, &listener, (WSKRDMA_PATH_TCP, reason));
        let after = if remembered {
            (WSKRDMA_PATH_TCP, Reason::NegativeCache)
        } else {
            (WSKRDMA_PATH_RDMA, Reason::Rdma)
        };
        let again = stage.world.connection();
        goes(&stage, &again, &listener, after);
        near.close();
        again.close();
        listener.close();
        stage.finish();
    }
}

macro_rules! connecting {
    ($($name:ident: $slot:ident from $local:expr, $given:ident => $told:ident, $reason:ident;)*) => {
        $(#[test]
        fn $name() {
            connecting(Slot::$slot, $local, $given, $told, Reason::$reason);
        })*
    };
}

connecting! {
    connect_insufficient_resources:
        Connect from 0, STATUS_INSUFFICIENT_RESOURCES => STATUS_INSUFFICIENT_RESOURCES, AdapterResources;
    connect_network_unreachable:
        Connect from 0, STATUS_NETWORK_UNREACHABLE => STATUS_NETWORK_UNREACHABLE, PeerUnreachable;
    connect_host_unreachable:
        Connect from 0, STATUS_HOST_UNREACHABLE => STATUS_HOST_UNREACHABLE, PeerUnreachable;
    connect_connection_refused:
        Connect from 0, STATUS_CONNECTION_REFUSED => STATUS_CONNECTION_REFUSED, PeerUnreachable;
    connect_io_timeout: Connect from 0, STATUS_IO_TIMEOUT => STATUS_IO_TIMEOUT, RdmaTimeout;
    connect_sharing_violation:
        Connect from 0, STATUS_SHARING_VIOLATION => STATUS_ADDRESS_ALREADY_EXISTS, AddressBusy;
    connect_invalid_address:
        Connect from 0, STATUS_INVALID_ADDRESS => STATUS_INVALID_ADDRESS_COMPONENT, NoAdapter;
    connect_too_many_addresses:
        Connect from 0, STATUS_TOO_MANY_ADDRESSES => STATUS_TOO_MANY_ADDRESSES, AddressBusy;
    connect_address_already_exists:
        Connect from 0, STATUS_ADDRESS_ALREADY_EXISTS => STATUS_ADDRESS_ALREADY_EXISTS, AddressBusy;
    connect_undocumented: Connect from 0, STATUS_DEVICE_REMOVED => STATUS_DEVICE_REMOVED, PeerUnreachable;

    complete_connect_connection_invalid:
        CompleteConnect from 0, STATUS_CONNECTION_INVALID => STATUS_CONNECTION_REFUSED, PeerUnreachable;
    complete_connect_connection_aborted:
        CompleteConnect from 0, STATUS_CONNECTION_ABORTED => STATUS_CONNECTION_REFUSED, PeerUnreachable;
    complete_connect_io_timeout:
        CompleteConnect from 0, STATUS_IO_TIMEOUT => STATUS_IO_TIMEOUT, RdmaTimeout;
    // Of an accept that fails only the peer hears: the listener's client has not seen the connection.
    accept_connection_aborted:
        Accept from 0, STATUS_CONNECTION_ABORTED => STATUS_CONNECTION_REFUSED, PeerUnreachable;
    accept_io_timeout: Accept from 0, STATUS_IO_TIMEOUT => STATUS_CONNECTION_REFUSED, PeerUnreachable;

    connect_shared_insufficient_resources:
        ConnectWithSharedEndpoint from LOCAL, STATUS_INSUFFICIENT_RESOURCES => STATUS_INSUFFICIENT_RESOURCES, AdapterResources;
    connect_shared_network_unreachable:
        ConnectWithSharedEndpoint from LOCAL, STATUS_NETWORK_UNREACHABLE => STATUS_NETWORK_UNREACHABLE, PeerUnreachable;
    connect_shared_host_unreachable:
        ConnectWithSharedEndpoint from LOCAL, STATUS_HOST_UNREACHABLE => STATUS_HOST_UNREACHABLE, PeerUnreachable;
    connect_shared_connection_refused:
        ConnectWithSharedEndpoint from LOCAL, STATUS_CONNECTION_REFUSED => STATUS_CONNECTION_REFUSED, PeerUnreachable;
    connect_shared_io_timeout: ConnectWithSharedEndpoint from LOCAL, STATUS_IO_TIMEOUT => STATUS_IO_TIMEOUT, RdmaTimeout;
    connect_shared_address_already_exists:
        ConnectWithSharedEndpoint from LOCAL, STATUS_ADDRESS_ALREADY_EXISTS => STATUS_ADDRESS_ALREADY_EXISTS, AddressBusy;

    create_shared_endpoint_insufficient_resources:
        CreateSharedEndpoint from LOCAL, STATUS_INSUFFICIENT_RESOURCES => STATUS_INSUFFICIENT_RESOURCES,
        AdapterResources;
    create_shared_endpoint_sharing_violation:
        CreateSharedEndpoint from LOCAL, STATUS_SHARING_VIOLATION => STATUS_ADDRESS_ALREADY_EXISTS, AddressBusy;
    create_shared_endpoint_invalid_address:
        CreateSharedEndpoint from LOCAL, STATUS_INVALID_ADDRESS => STATUS_INVALID_ADDRESS_COMPONENT, NoAdapter;
    create_shared_endpoint_too_many_addresses:
        CreateSharedEndpoint from LOCAL, STATUS_TOO_MANY_ADDRESSES => STATUS_TOO_MANY_ADDRESSES, AddressBusy;
}

/// NdkCreateSharedEndpoint fails with `given` in a WskBind that asks for no port, where no TCP is possible.
fn binding(given: NTSTATUS, told: NTSTATUS) {
    for mode in MODES {
        let stage = Stage::answering(&["require any any"], (mode, Answers::Inline));
        let near = socket(&stage, WSK_FLAG_CONNECTION_SOCKET);
        stage.world.fail_next(Slot::CreateSharedEndpoint, given);
        assert_eq!(bind(&near, loopback(0)).wait().status, told);
        if told != STATUS_SUCCESS {
            assert_eq!(bind(&near, loopback(0)).wait().status, STATUS_SUCCESS);
        }
        near.close();
        stage.finish();
    }
}

/// Another consumer of the adapter has the port: the next one is taken.
#[test]
fn bind_sharing_violation() {
    binding(STATUS_SHARING_VIOLATION, STATUS_SUCCESS);
}

#[test]
fn bind_insufficient_resources() {
    binding(STATUS_INSUFFICIENT_RESOURCES, STATUS_INSUFFICIENT_RESOURCES);
}

#[test]
fn bind_invalid_address() {
    binding(STATUS_INVALID_ADDRESS, STATUS_INVALID_ADDRESS_COMPONENT);
}

#[test]
fn bind_too_many_addresses() {
    binding(STATUS_TOO_MANY_ADDRESSES, STATUS_TOO_MANY_ADDRESSES);
}

/// NdkListen fails with `given`; with TCP beside RDMA the socket listens there, for `reason`, if there is one.
fn listening(given: NTSTATUS, told: NTSTATUS, reason: Option<Reason>) {
    for mode in MODES {
        for rules in [&["require any any"][..], &[]] {
            let alone = !rules.is_empty();
            let stage = Stage::answering(rules, (mode, Answers::Inline));
            let listener = socket(&stage, WSK_FLAG_LISTEN_SOCKET);
            stage.world.fail_next(Slot::Listen, given);
            let bound = bind(&listener, loopback(PORT));
            match reason {
                Some(reason) if !alone => {
                    assert_eq!(bound.wait().status, STATUS_SUCCESS);
                    assert_eq!(path(listener.raw()), (WSKRDMA_PATH_TCP, reason));
                }
                _ => {
                    assert_eq!((bound.wait().status, bound.completions()), (told, 1));
                    // The socket is as it was.
                    assert_eq!(bind(&listener, loopback(PORT)).wait().status, STATUS_SUCCESS);
                    assert_eq!(path(listener.raw()).0, WSKRDMA_PATH_RDMA);
                }
            }
            listener.close();
            stage.finish();
        }
    }
}

#[test]
fn listen_insufficient_resources() {
    listening(STATUS_INSUFFICIENT_RESOURCES, STATUS_INSUFFICIENT_RESOURCES, Some(Reason::AdapterResources));
}

/// Somebody else's address it is on either way.
#[test]
fn listen_sharing_violation() {
    listening(STATUS_SHARING_VIOLATION, STATUS_ADDRESS_ALREADY_EXISTS, None);
}

#[test]
fn listen_invalid_address() {
    listening(STATUS_INVALID_ADDRESS, STATUS_INVALID_ADDRESS_COMPONENT, Some(Reason::NoAdapter));
}

#[test]
fn listen_too_many_addresses() {
    listening(STATUS_TOO_MANY_ADDRESSES, STATUS_TOO_MANY_ADDRESSES, Some(Reason::AdapterResources));
}
