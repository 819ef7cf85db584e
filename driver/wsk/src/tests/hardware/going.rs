//! Adapters that have to go: nobody who has a socket can hold them up.

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;
use abi::wskrdma::{WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use ksim::wsk::Answers;
use softndk::AnswerMode;

use super::super::crank::Crank;
use super::super::harness::Connection;
use super::super::listening::client::{Event, Listening, talk};
use super::super::tcp::stage::*;
use super::super::watcher::{CALLBACKS, Watcher};
use super::nic::*;
use crate::hardware::Standing;

const NIC: u32 = 7;

fn started(rules: &[&str], ways: (AnswerMode, Answers)) -> Machine {
    let machine = Machine::new(Stage::answering(rules, ways), &[NIC], ways.0);
    machine.addressed(&[NIC]);
    machine.wait_for(NIC, Some(Standing::Open));
    machine
}

fn socket(machine: &Machine, flags: u32, port: u16) -> Connection {
    let made =
        begin_socket(machine.stage.world.npi(), flags, core::ptr::null_mut(), core::ptr::null()).wait();
    let socket = Connection::from_accept(made.information);
    assert_eq!(bind(&socket, at(NIC, port)).wait().status, STATUS_SUCCESS);
    socket
}

/// A listening socket, and both ends of a connection over the NIC.
fn pair(machine: &Machine, port: u16) -> (Connection, Connection, Connection) {
    let listener = socket(machine, WSK_FLAG_LISTEN_SOCKET, port);
    let near = socket(machine, WSK_FLAG_CONNECTION_SOCKET, 0);
    assert_eq!(connect(&near, at(NIC, port)).wait().status, STATUS_SUCCESS);
    assert_eq!(path(near.raw()).0, WSKRDMA_PATH_RDMA);
    let far = Connection::from_accept(accept(&listener).wait().information);
    (listener, near, far)
}

/// What waits ends, what has arrived and is kept does not matter, and the adapter is closed while every socket is open.
#[test]
fn ndk_is_disabled_under_open_sockets() {
    for ways in WAYS {
        let machine = started(&[], ways);
        let (listener, near, far) = pair(&machine, 46_100);
        assert_eq!(far.send(b"nobody reads this").wait().status, STATUS_SUCCESS);
        let waiting = far.receive(10);
        machine.hardware().hold_back(luid(NIC), NIC);
        machine.wait_closed(NIC);
        assert_eq!(machine.standing(NIC), Some(Standing::HeldBack));
        // Its peer's end may have come first.
        let ended = waiting.wait().status;
        assert!(matches!(ended, STATUS_FILE_FORCED_CLOSED | STATUS_CONNECTION_RESET), "{ended:#x}");
        assert_eq!(near.send(b"x").wait().status, STATUS_FILE_FORCED_CLOSED);
        // The listener goes on over TCP, and so do those who connect.
        let other = socket(&machine, WSK_FLAG_CONNECTION_SOCKET, 0);
        assert_eq!(connect(&other, at(NIC, 46_100)).wait().status, STATUS_SUCCESS);
        assert_eq!(path(other.raw()).0, WSKRDMA_PATH_TCP);
        let accepted = Connection::from_accept(accept(&listener).wait().information);
        talk(&other, &accepted);
        // And over RDMA when it is enabled again.
        machine.hardware().release(luid(NIC), NIC);
        machine.wait_for(NIC, Some(Standing::Open));
        for socket in [near, far, other, accepted] {
            socket.close();
        }
        let again = socket(&machine, WSK_FLAG_CONNECTION_SOCKET, 0);
        assert_eq!(connect(&again, at(NIC, 46_100)).wait().status, STATUS_SUCCESS);
        assert_eq!(path(again.raw()).0, WSKRDMA_PATH_RDMA);
        Connection::from_accept(accept(&listener).wait().information).close();
        again.close();
        listener.close();
        machine.finish();
    }
}

/// A client keeps what a callback has shown it.
#[test]
fn a_client_keeps_octets_of_an_adapter_that_goes() {
    for ways in WAYS {
        let machine = started(&[], ways);
        let listener = socket(&machine, WSK_FLAG_LISTEN_SOCKET, 46_101);
        let keeper = Watcher::keeping();
        let made = begin_socket(
            machine.stage.world.npi(),
            WSK_FLAG_CONNECTION_SOCKET,
            keeper.context(),
            (&raw const CALLBACKS).cast(),
        );
        let near = Connection::from_accept(made.wait().information);
        assert_eq!(bind(&near, at(NIC, 0)).wait().status, STATUS_SUCCESS);
        assert_eq!(connect(&near, at(NIC, 46_101)).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accept(&listener).wait().information);
        let events = super::super::control::Form {
            returned: false,
            ..super::super::control::Form::new(&[], 0).without_irp()
        };
        let control =
            WSK_EVENT_CALLBACK_CONTROL { NpiId: &NPI_WSK_INTERFACE_ID, EventMask: WSK_EVENT_RECEIVE };
        let size = size_of::<WSK_EVENT_CALLBACK_CONTROL>();
        // SAFETY: the octets of the structure, whose padding the form copies as it is.
        let input = unsafe { core::slice::from_raw_parts((&raw const control).cast::<u8>(), size) };
        let form = super::super::control::Form { input: Some(input), input_size: size, ..events };
        let set = form.control(near.raw(), (WskSetOption, SO_WSK_EVENT_CALLBACK, SOL_SOCKET));
        assert_eq!(set.status, STATUS_SUCCESS);
        assert_eq!(far.send(b"kept").wait().status, STATUS_SUCCESS);
        keeper.wait_for_octets(4);
        machine.hardware().hold_back(luid(NIC), NIC);
        machine.wait_closed(NIC);
        // Still there.
        assert_eq!(keeper.told().0, b"kept");
        let kept: std::vec::Vec<_> = keeper.kept.lock().unwrap().drain(..).collect();
        for node in kept {
            // SAFETY: a node that was kept.
            unsafe { (*node.0).Next = core::ptr::null_mut() };
            assert_eq!(near.release(node.0), STATUS_SUCCESS);
        }
        near.close();
        keeper.gone.store(true, core::sync::atomic::Ordering::SeqCst);
        far.close();
        listener.close();
        machine.finish();
    }
}

/// A request is held for the client to judge it.
#[test]
fn a_request_is_held_on_an_adapter_that_goes() {
    for ways in WAYS {
        let machine = started(&[], ways);
        let mut listener =
            Listening::created(&machine.stage.world, super::super::listening::client::Client::new());
        listener.client.on_inspect(|_| WskInspectPend);
        let set = super::super::control::Form::new(&1_u32.to_le_bytes(), 0)
            .control(listener.raw.0, (WskSetOption, SO_CONDITIONAL_ACCEPT, SOL_SOCKET));
        assert_eq!(set.status, STATUS_SUCCESS);
        listener.bind_at(at(NIC, 0));
        let near = socket(&machine, WSK_FLAG_CONNECTION_SOCKET, 0);
        let connecting = connect(&near, at(NIC, listener.port));
        let id = listener.client.inspected();
        machine.hardware().hold_back(luid(NIC), NIC);
        machine.wait_closed(NIC);
        // The client is told; the peer comes again, over TCP.
        let mut told = std::vec::Vec::new();
        while !told.contains(&Event::Abort(id)) {
            told.push(listener.client.next());
        }
        connecting.cancel();
        connecting.wait();
        near.close();
        listener.client.rest();
        listener.close();
        machine.finish();
    }
}

fn is_end(status: NTSTATUS) -> bool {
    matches!(
        status,
        STATUS_SUCCESS
            | STATUS_CANCELLED
            | STATUS_CONNECTION_REFUSED
            | STATUS_NETWORK_UNREACHABLE
            | STATUS_FILE_FORCED_CLOSED
            | STATUS_CONNECTION_ABORTED
            | STATUS_CONNECTION_RESET
            | STATUS_INVALID_ADDRESS_COMPONENT
    )
}

/// The adapter goes at every moment of a connection's making, and is closed every time, with the sockets still open.
#[test]
fn an_adapter_goes_at_every_moment() {
    for ways in [(AnswerMode::Later, Answers::Later), (AnswerMode::Early, Answers::Inline)] {
        for rule in ["prefer any any", "require any any"] {
            let machine = started(&[rule], ways);
            for steps in 0..24 {
                let port = 46_200 + steps;
                let listener = socket(&machine, WSK_FLAG_LISTEN_SOCKET, port);
                let near = socket(&machine, WSK_FLAG_CONNECTION_SOCKET, 0);
                let mut crank = Crank::hold();
                let accepting = accept(&listener);
                let connecting = connect(&near, at(NIC, port));
                for _ in 0..steps {
                    crank.step();
                }
                machine.hardware().hold_back(luid(NIC), NIC);
                drop(crank);
                machine.wait_closed(NIC);
                let connected = connecting.wait().status;
                assert!(is_end(connected), "{rule} {steps}: {connected:#x}");
                // Where the connection never came about the accept waits on, or its listener is dead.
                accepting.cancel();
                let accepted = accepting.wait();
                assert!(is_end(accepted.status), "{rule} {steps}: {:#x}", accepted.status);
                if accepted.status == STATUS_SUCCESS {
                    Connection::from_accept(accepted.information).close();
                }
                near.close();
                listener.close();
                machine.hardware().release(luid(NIC), NIC);
                machine.wait_for(NIC, Some(Standing::Open));
            }
            machine.finish();
        }
    }
}
