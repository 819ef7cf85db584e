//! What control requests on sockets bring about.

use core::ptr;
use std::vec::Vec;

use abi::nt::{DISPATCH_LEVEL, GUID, PASSIVE_LEVEL};
use abi::status::*;
use abi::wsk::*;
use abi::wskrdma::*;

use super::harness::{Connection, ListenSocket, World, until};
use crate::Settings;

use super::control::*;

const ANOTHER_NPI: GUID = GUID { Data1: 1, Data2: 2, Data3: 3, Data4: [4; 8] };
const PORT: u16 = 9100;

/// What is set is what is read; 0 and 1 only; and the receive buffer has a size before anybody sets one.
#[test]
fn options_are_kept() {
    let sockets = Sockets::new();
    let read = |kind, code, level| {
        let answered = Form::new(&[], 4).control(sockets.raw(kind), (WskGetOption, code, level));
        assert_eq!(answered.status, STATUS_SUCCESS);
        // A reply that ends in untouched octets is none that is compared here.
        let mut value = [0; 4];
        value[..answered.output.len()].copy_from_slice(&answered.output);
        u32::from_le_bytes(value)
    };
    let write = |kind, code, level, value: u32| {
        let octets = value.to_le_bytes();
        let answered = Form::new(&octets, 0).control(sockets.raw(kind), (WskSetOption, code, level));
        assert_eq!(answered.status, STATUS_SUCCESS, "{kind:?} {code:#x}");
    };
    for kind in ALL {
        assert_eq!(read(*kind, SO_RCVBUF, SOL_SOCKET), Settings::DEFAULT.ring_octets);
        write(*kind, SO_RCVBUF, SOL_SOCKET, 12345);
        assert_eq!(read(*kind, SO_RCVBUF, SOL_SOCKET), 12345);
        for (code, level) in [(SO_KEEPALIVE, SOL_SOCKET), (TCP_NODELAY, IPPROTO_TCP)] {
            assert_eq!(read(*kind, code, level), 0, "{kind:?} {code:#x}");
            write(*kind, code, level, 0x100);
            assert_eq!(read(*kind, code, level), 1);
            write(*kind, code, level, 0);
            assert_eq!(read(*kind, code, level), 0);
        }
        let values = [1u32, 1000, 10].map(u32::to_le_bytes).concat();
        let answered = Form::new(&values, 0).control(sockets.raw(*kind), (WskIoctl, SIO_KEEPALIVE_VALS, 0));
        assert_eq!(answered.status, STATUS_SUCCESS);
        assert_eq!(read(*kind, SO_KEEPALIVE, SOL_SOCKET), 1, "both ways set the same");
    }
    for kind in NOT_BOUND {
        for code in [SO_EXCLUSIVEADDRUSE, SO_REUSEADDR] {
            assert_eq!(read(*kind, code, SOL_SOCKET), 0);
            write(*kind, code, SOL_SOCKET, 1);
            assert_eq!(read(*kind, code, SOL_SOCKET), 1);
        }
    }
    write(ListenNew, SO_CONDITIONAL_ACCEPT, SOL_SOCKET, 1);
    assert_eq!(read(ListenNew, SO_CONDITIONAL_ACCEPT, SOL_SOCKET), 1);
    assert_eq!(read(Listening, SO_CONDITIONAL_ACCEPT, SOL_SOCKET), 0);
    sockets.finish();
}

/// How much may be outstanding, and how much has arrived.
#[test]
fn backlogs() {
    let sockets = Sockets::new();
    let ask = |kind, code| {
        let answered = Form::new(&[], 8).control(sockets.raw(kind), (WskIoctl, code, 0));
        assert_eq!((answered.status, answered.information), (STATUS_SUCCESS, Some(8)));
        let mut value = [0; 8];
        value[..answered.output.len()].copy_from_slice(&answered.output);
        u64::from_le_bytes(value)
    };
    for kind in STREAM {
        assert_eq!(ask(*kind, SIO_WSK_QUERY_IDEAL_SEND_BACKLOG), u64::from(Settings::DEFAULT.send_octets));
        assert_eq!(ask(*kind, SIO_WSK_QUERY_RECEIVE_BACKLOG), 0);
    }
    assert_eq!(sockets.connected.send(&[1; 1000]).wait().status, STATUS_SUCCESS);
    let end = sockets.accepted.receive(1).wait();
    assert_eq!((end.status, end.information), (STATUS_SUCCESS, 1));
    assert_eq!(ask(Accepted, SIO_WSK_QUERY_RECEIVE_BACKLOG), 999);
    assert_eq!(ask(Connected, SIO_WSK_QUERY_RECEIVE_BACKLOG), 0);
    sockets.finish();
}

/// SO_RCVBUF is the room that a connection has for what nobody has received, beside the ring that it began with.
#[test]
fn the_receive_buffer_is_the_ring() {
    let world = World::new(Settings::DEFAULT);
    let listener = ListenSocket::from_raw(world.socket(WSK_FLAG_LISTEN_SOCKET));
    let set = (WskSetOption, SO_RCVBUF, SOL_SOCKET);
    assert_eq!(Form::new(&20_000_u32.to_le_bytes(), 0).control(listener.raw(), set).status, STATUS_SUCCESS);
    listener.bind(PORT);
    let accepting = listener.accept();
    let near = world.connection();
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    let far = Connection::from_accept(accepting.wait().information);
    let backlog = || {
        let answered = Form::new(&[], 8).control(far.raw(), (WskIoctl, SIO_WSK_QUERY_RECEIVE_BACKLOG, 0));
        u64::from_le_bytes(answered.output.try_into().unwrap())
    };
    let sending = near.send(&[7; 100_000]);
    let room = 20_480 + u64::from(Settings::DEFAULT.first_ring_octets);
    until(|| backlog() >= room);
    ksim::quiesce();
    assert_eq!(backlog(), room, "whole pages, and no more");
    assert_eq!(far.receive(100_000).wait().information as u64, room);
    near.close();
    assert_ne!(sending.wait().status, STATUS_SUCCESS);
    far.close();
    listener.close();
    world.finish();
}

/// Which way, and why.
#[test]
fn the_path() {
    let sockets = Sockets::new();
    let ask = |kind| {
        let answered = Form::new(&[], 20)
            .without_irp()
            .control(sockets.raw(kind), (WskIoctl, SIO_WSKRDMA_QUERY_PATH, 0));
        assert_eq!((answered.status, answered.returned), (STATUS_SUCCESS, Some(20)));
        let mut words = answered.output.clone();
        words.resize(20, UNTOUCHED);
        let words: Vec<u32> = words.chunks(4).map(|w| u32::from_le_bytes(w.try_into().unwrap())).collect();
        (words[0], words[1], words[2], words[3])
    };
    for kind in [ListenNew, New, Bound] {
        assert_eq!(ask(kind), (20, WSKRDMA_PATH_NONE, trace::Reason::Undecided.code(), WSKRDMA_NO_ADAPTER));
    }
    for kind in [Listening, Connected, Accepted] {
        assert_eq!(ask(kind), (20, WSKRDMA_PATH_RDMA, trace::Reason::Rdma.code(), 0), "{kind:?}");
    }
    sockets.finish();
}

fn event_control(npi: *const GUID, mask: u32) -> [u8; 16] {
    let mut octets = [0; 16];
    octets[..8].copy_from_slice(&npi.expose_provenance().to_le_bytes());
    octets[8..12].copy_from_slice(&mask.to_le_bytes());
    octets
}

/// SO_WSK_EVENT_CALLBACK: the input is checked first, then the identifier by its content, then state and bits. The IRP is
/// optional, and completed if it is there.
#[test]
fn events() {
    let sockets = Sockets::new();
    let what = (WskSetOption, SO_WSK_EVENT_CALLBACK, SOL_SOCKET);
    // A copy of the client's own, not aligned.
    let mut copy = [0u8; 17];
    // SAFETY: sixteen octets from the second on.
    unsafe { copy[1..].as_mut_ptr().cast::<GUID>().write_unaligned(NPI_WSK_INTERFACE_ID) };
    let npi = copy[1..].as_ptr().cast::<GUID>();
    let control = |mask| event_control(npi, mask);
    for kind in ALL {
        let (socket, right) = (
            sockets.raw(*kind),
            match kind {
                ListenNew | Listening => WSK_EVENT_ACCEPT,
                _ => WSK_EVENT_DISCONNECT,
            },
        );
        let bound = matches!(kind, Listening | Connected | Accepted);
        for irp in [true, false] {
            for level in [PASSIVE_LEVEL, DISPATCH_LEVEL] {
                let ask =
                    |octets: &[u8]| Form { irp, level, ..Form::new(octets, 0) }.control(socket, what).status;
                for size in 0..16 {
                    assert_eq!(ask(&control(right)[..size]), STATUS_INVALID_PARAMETER, "{size}");
                }
                let null = Form { input: None, input_size: 16, irp, level, ..Form::new(&[], 0) };
                assert_eq!(null.control(socket, what).status, STATUS_INVALID_PARAMETER);
                assert_eq!(ask(&event_control(ptr::null(), right)), STATUS_INVALID_PARAMETER);
                assert_eq!(ask(&event_control(&ANOTHER_NPI, right)), STATUS_NOT_SUPPORTED);
                let expected = if bound { STATUS_SUCCESS } else { STATUS_INVALID_DEVICE_STATE };
                assert_eq!(ask(&control(right)), expected, "{kind:?}");
                let mut longer = control(right).to_vec();
                longer.extend([0xFF; 8]);
                assert_eq!(ask(&longer), expected, "{kind:?}");
                assert_eq!(ask(&control(right | WSK_EVENT_DISABLE)), expected, "{kind:?}");
                if bound {
                    for wrong in [0, WSK_EVENT_RECEIVE_FROM, 1, right | 1, WSK_EVENT_DISABLE] {
                        assert_eq!(ask(&control(wrong)), STATUS_INVALID_PARAMETER, "{kind:?} {wrong:#x}");
                    }
                }
            }
        }
    }
    sockets.finish();
}

/// Silent mode: no send, no receive, no disconnect; the peer is told nothing; only the close is left.
#[test]
fn silent_mode() {
    let sockets = Sockets::new();
    let what = (WskIoctl, SIO_WSK_SET_TCP_SILENT_MODE, 0);
    for (kind, expected) in [
        (ListenNew, STATUS_INVALID_DEVICE_REQUEST),
        (Listening, STATUS_INVALID_DEVICE_REQUEST),
        (New, STATUS_INVALID_DEVICE_STATE),
        (Bound, STATUS_INVALID_DEVICE_STATE),
    ] {
        assert_eq!(Form::new(&[], 0).control(sockets.raw(kind), what).status, expected, "{kind:?}");
    }
    let unaccompanied = Form::new(&[], 0).without_irp().control(sockets.raw(Connected), what);
    assert_eq!(unaccompanied.status, STATUS_REQUEST_NOT_ACCEPTED);
    let reading = sockets.connected.receive(1);
    assert_eq!(Form::new(&[], 0).control(sockets.raw(Connected), what).status, STATUS_SUCCESS);
    assert_eq!(Form::new(&[], 0).control(sockets.raw(Connected), what).status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(sockets.connected.send(b"?").wait().status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(sockets.connected.receive(1).wait().status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(sockets.connected.disconnect().wait().status, STATUS_INVALID_DEVICE_STATE);
    let heard = sockets.accepted.receive(1);
    assert_eq!(sockets.accepted.send(b"does anybody hear").wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert!(!reading.is_done() && !heard.is_done(), "nothing is delivered, and nothing is said");
    let Sockets { world, listen_new, listening, new, bound, connected, accepted } = sockets;
    connected.close();
    assert_eq!(reading.wait().status, STATUS_CANCELLED);
    assert_ne!(heard.wait().status, STATUS_SUCCESS);
    listen_new.close();
    listening.close();
    for socket in [new, bound, accepted] {
        socket.close();
    }
    world.finish();
}

/// A socket with a send under way is not silent yet, and does not become it.
#[test]
fn silent_mode_waits_for_no_send() {
    let sockets = Sockets::new();
    // More than ring and send buffer hold, and nobody receives.
    let sending = sockets.connected.send(&std::vec![7; 1 << 20]);
    let asked = Form::new(&[], 0).control(sockets.raw(Connected), (WskIoctl, SIO_WSK_SET_TCP_SILENT_MODE, 0));
    assert_eq!(asked.status, STATUS_INVALID_DEVICE_STATE);
    let mut got = 0;
    while got < 1 << 20 {
        let receiving = sockets.accepted.receive(1 << 16).wait();
        assert_eq!(receiving.status, STATUS_SUCCESS);
        got += receiving.information;
    }
    assert_eq!(sending.wait().status, STATUS_SUCCESS);
    sockets.finish();
}
