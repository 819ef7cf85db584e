//! Conditional accept.

use std::collections::HashSet;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use abi::status::*;
use abi::wsk::*;
use kernel::pool::Shared;
use ksim::client::TestIrp;
use ksim::pool::fail_after;

use super::super::crank::Walls;
use super::super::harness::{Connection, Peer, World, loopback, request};
use super::client::*;
use crate::Settings;
use crate::connection::Connection as Inner;
use crate::listen::ListenSocket;

/// What an accepted socket answers to SIO_WSK_QUERY_INSPECT_ID.
fn id_of(raw: Raw) -> Option<WSK_INSPECT_ID> {
    // SAFETY: the socket is open.
    unsafe { Shared::<Inner>::clone_from_raw(raw.0.cast_const().cast()) }.inspect_id()
}

/// A listening socket that holds what arrives, and enables WskAcceptEvent.
fn holding(world: &World) -> Listening {
    let listener = Listening::conditional(world);
    listener.client.on_inspect(|_| WskInspectPend);
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
    listener
}

/// A socket that connects and waits.
fn connecting(world: &World, listener: &Listening) -> (Connection, TestIrp) {
    let socket = world.connection();
    let connecting = socket.connect(listener.port);
    (socket, connecting)
}

/// The connection is there at both ends.
fn is_delivered(listener: &Listening, near: Connection, connecting: &TestIrp, id: WSK_INSPECT_ID) {
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    let Event::Accept { socket, .. } = listener.client.next() else { panic!("no WskAcceptEvent") };
    assert_eq!(id_of(socket), Some(id));
    let far = socket.connection();
    talk(&near, &far);
    near.close();
    far.close();
}

#[test]
fn the_option_is_set_before_the_bind() {
    let world = World::new(Settings::DEFAULT);
    let mut listener = Listening::created(&world, Client::new());
    let set = |on| ListenSocket::set_conditional_accept(&listener.socket(), on);
    assert!(!listener.socket().conditional_accept());
    for on in [true, true, false, true, false] {
        assert_eq!(set(on), Ok(()));
        assert_eq!(listener.socket().conditional_accept(), on);
    }
    listener.bind();
    let set = |on| ListenSocket::set_conditional_accept(&listener.socket(), on);
    assert_eq!(set(true), Err(STATUS_INVALID_DEVICE_STATE));
    assert_eq!(set(false), Err(STATUS_INVALID_DEVICE_STATE));
    let (near, connecting) = connecting(&world, &listener);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    assert_eq!(listener.client.rest(), [], "nobody is asked");
    let accepted = listener.accept().wait();
    let far = Raw(core::ptr::with_exposed_provenance_mut(accepted.information));
    assert_eq!(id_of(far), None);
    far.connection().close();
    near.close();
    listener.close();
    world.finish();
}

#[test]
fn the_client_judges_at_once() {
    in_each_mode(|world| {
        let listener = Listening::conditional(world);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        for action in [WskInspectReject, WskInspectMax, -1] {
            listener.client.on_inspect(move |_| action);
            let (near, connecting) = connecting(world, &listener);
            assert_eq!(connecting.wait().status, STATUS_CONNECTION_REFUSED);
            let Event::Inspect { local, remote, .. } = listener.client.next() else { panic!("not asked") };
            assert_eq!(local, loopback(listener.port));
            assert_ne!(remote.port(), 0);
            near.close();
        }
        listener.client.on_inspect(|_| WskInspectAccept);
        let (near, connecting) = connecting(world, &listener);
        let id = listener.client.inspected();
        is_delivered(&listener, near, &connecting, id);
        listener.close();
    });
}

#[test]
fn the_client_judges_later() {
    in_each_mode(|world| {
        let listener = holding(world);
        let (near, accepted) = connecting(world, &listener);
        let id = listener.client.inspected();
        ksim::quiesce();
        assert!(accepted.completion().is_none());
        let done = listener.complete(id, WskInspectAccept).wait();
        assert_eq!((done.status, done.information), (STATUS_SUCCESS, 0));
        is_delivered(&listener, near, &accepted, id);
        let (near, rejected) = connecting(world, &listener);
        let other = listener.client.inspected();
        assert_ne!(other, id);
        assert_eq!(listener.complete(other, WskInspectReject).wait().status, STATUS_SUCCESS);
        assert_eq!(rejected.wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
        listener.close();
    });
}

/// Another thread may be quicker than the callback that has told it the id.
#[test]
fn the_client_judges_before_its_callback_has_returned() {
    in_each_mode(|world| {
        let listener = holding(world);
        for action in [WskInspectAccept, WskInspectReject] {
            let raw = listener.raw;
            listener.client.on_inspect(move |id| {
                let done = complete(raw, id, action).completion().expect("it is over at once");
                assert_eq!(done.status, STATUS_SUCCESS);
                WskInspectPend
            });
            let (near, connecting) = connecting(world, &listener);
            let id = listener.client.inspected();
            if action == WskInspectAccept {
                is_delivered(&listener, near, &connecting, id);
            } else {
                assert_eq!(connecting.wait().status, STATUS_CONNECTION_REFUSED);
                near.close();
            }
        }
        listener.close();
    });
}

#[test]
fn verdicts_that_mean_nothing() {
    let world = World::new(Settings::DEFAULT);
    let mut unbound = Listening::created(&world, Client::new());
    let unknown = WSK_INSPECT_ID { Key: 0, SerialNumber: 0 };
    assert_eq!(unbound.complete(unknown, WskInspectAccept).wait().status, STATUS_INVALID_DEVICE_STATE);
    unbound.bind();
    assert_eq!(unbound.complete(unknown, WskInspectAccept).wait().status, STATUS_SUCCESS);
    let listener = holding(&world);
    let (near, connecting) = connecting(&world, &listener);
    let id = listener.client.inspected();
    for action in [WskInspectPend, WskInspectMax, -1] {
        assert_eq!(listener.complete(id, action).wait().status, STATUS_INVALID_PARAMETER);
    }
    let (complete, raw) = (listener.table().WskInspectComplete, listener.raw);
    // SAFETY: a call as its page says, but for the id.
    let none = request(|irp| unsafe { complete(raw.0, core::ptr::null_mut(), WskInspectAccept, irp) });
    assert_eq!(none.wait().status, STATUS_INVALID_PARAMETER);
    for other in [
        unknown,
        WSK_INSPECT_ID { Key: usize::MAX, ..id },
        WSK_INSPECT_ID { Key: id.Key + 1, ..id },
        WSK_INSPECT_ID { SerialNumber: id.SerialNumber + 1, ..id },
    ] {
        assert_eq!(listener.complete(other, WskInspectReject).wait().status, STATUS_SUCCESS);
    }
    assert!(connecting.completion().is_none(), "none of these was about it");
    assert_eq!(listener.complete(id, WskInspectAccept).wait().status, STATUS_SUCCESS);
    // The second verdict comes too late.
    assert_eq!(listener.complete(id, WskInspectReject).wait().status, STATUS_SUCCESS);
    is_delivered(&listener, near, &connecting, id);
    assert_eq!(listener.complete(id, WskInspectReject).wait().status, STATUS_SUCCESS);
    unbound.close();
    listener.close();
    world.finish();
}

/// The peer gives up while its request is held: the client is told, and its verdict changes nothing.
#[test]
fn the_peer_of_a_held_request_gives_up() {
    in_each_mode(|world| {
        let listener = holding(world);
        let mut ids = HashSet::new();
        for action in [WskInspectAccept, WskInspectReject] {
            let (near, connecting) = connecting(world, &listener);
            let id = listener.client.inspected();
            assert!(ids.insert((id.Key, id.SerialNumber)));
            connecting.cancel();
            near.close();
            assert_eq!(listener.client.next(), Event::Abort(id));
            assert_eq!(listener.complete(id, action).wait().status, STATUS_SUCCESS);
            assert_eq!(listener.client.rest(), []);
        }
        // Verdicts that come before the look.
        let (near, connecting) = connecting(world, &listener);
        let id = listener.client.inspected();
        connecting.cancel();
        near.close();
        assert_eq!(listener.complete(id, WskInspectAccept).wait().status, STATUS_SUCCESS);
        assert_eq!(listener.client.next(), Event::Abort(id));
        listener.close();
    });
}

/// An accepted request that does not become a connection: its private data are not of this protocol.
#[test]
fn an_accepted_request_fails() {
    in_each_mode(|world| {
        for pend in [false, true] {
            let listener = Listening::conditional(world);
            listener.client.on_inspect(move |_| if pend { WskInspectPend } else { WskInspectAccept });
            let peer = Peer::connect(world, listener.port, |_| vec![7; 40]);
            let id = listener.client.inspected();
            if pend {
                assert_eq!(listener.complete(id, WskInspectAccept).wait().status, STATUS_SUCCESS);
            }
            assert_eq!(listener.client.next(), Event::Abort(id));
            assert_eq!(peer.answer(), STATUS_CONNECTION_REFUSED);
            peer.close(false);
            assert_eq!(listener.complete(id, WskInspectAccept).wait().status, STATUS_SUCCESS);
            listener.close();
        }
    });
}

/// Held requests count: beyond the backlog connections are refused, and every end of one makes room again.
#[test]
fn held_requests_are_bounded() {
    const BACKLOG: usize = 4;
    let world = World::new(Settings { backlog: BACKLOG as u32, ..Settings::DEFAULT });
    let listener = holding(&world);
    listener.client.on_inspect(|_| WskInspectReject);
    for _ in 0..2 * BACKLOG {
        let (near, refused) = connecting(&world, &listener);
        listener.client.inspected();
        assert_eq!(refused.wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
    }
    listener.client.on_inspect(|_| WskInspectPend);
    for end in 0..4 {
        let held: Vec<_> = (0..BACKLOG)
            .map(|_| {
                let (near, waiting) = connecting(&world, &listener);
                (near, waiting, listener.client.inspected())
            })
            .collect();
        let (near, refused) = connecting(&world, &listener);
        assert_eq!(refused.wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
        for (near, waiting, id) in held {
            match end {
                0 => {
                    listener.complete(id, WskInspectReject).wait();
                    assert_eq!(waiting.wait().status, STATUS_CONNECTION_REFUSED);
                    near.close();
                }
                1 => {
                    waiting.cancel();
                    near.close();
                    assert_eq!(listener.client.next(), Event::Abort(id));
                }
                _ => {
                    listener.complete(id, WskInspectAccept).wait();
                    is_delivered(&listener, near, &waiting, id);
                }
            }
        }
    }
    listener.close();
    world.finish();
}

/// Requests that are held when the socket is closed are refused, and nobody is told.
#[test]
fn a_socket_is_closed_with_requests_held() {
    in_each_mode(|world| {
        let listener = holding(world);
        let held: Vec<_> = (0..5).map(|_| connecting(world, &listener)).collect();
        for _ in 0..5 {
            listener.client.inspected();
        }
        listener.close();
        for (near, waiting) in held {
            assert_eq!(waiting.wait().status, STATUS_CONNECTION_REFUSED);
            near.close();
        }
    });
}

#[test]
fn a_socket_is_closed_inside_its_inspect_callback() {
    in_each_mode(|world| {
        for action in [WskInspectAccept, WskInspectReject, WskInspectPend] {
            let listener = Listening::conditional(world);
            let (raw, closing) = (listener.raw, Arc::new(TestIrp::new()));
            let inside = closing.clone();
            listener.client.on_inspect(move |_| {
                inside.assert_pending(raw.close(inside.submit()));
                assert!(inside.completion().is_none(), "it waits for this call");
                action
            });
            let (near, waiting) = connecting(world, &listener);
            assert_eq!(waiting.wait().status, STATUS_CONNECTION_REFUSED);
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
            near.close();
            assert_eq!(listener.client.rest().len(), 1);
        }
    });
}

/// WskAccept gets what the client has let through, like everything else.
#[test]
fn an_accept_gets_an_inspected_connection() {
    in_each_mode(|world| {
        let listener = Listening::conditional(world);
        let accept = listener.accept();
        let (near, connecting) = connecting(world, &listener);
        assert_eq!(connecting.wait().status, STATUS_SUCCESS);
        let far = Raw(core::ptr::with_exposed_provenance_mut(accept.wait().information));
        assert_eq!(id_of(far), Some(listener.client.inspected()));
        let far = far.connection();
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
    });
}

/// There is no memory for the connection that the client has let through: the client is told that it is lost.
#[test]
fn an_accepted_request_finds_no_memory() {
    in_each_mode(|world| {
        let listener = Listening::conditional(world);
        // One thread is left to the pump.
        let walls = Walls::raise();
        listener.client.on_inspect(|_| {
            starve();
            WskInspectAccept
        });
        let (near, refused) = connecting(world, &listener);
        let id = listener.client.inspected();
        assert_eq!(listener.client.next(), Event::Abort(id));
        assert_eq!(refused.wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
        drop(walls);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        listener.client.on_inspect(|_| WskInspectAccept);
        let (near, connecting) = connecting(world, &listener);
        let id = listener.client.inspected();
        is_delivered(&listener, near, &connecting, id);
        listener.close();
    });
}

#[test]
fn the_option_finds_no_memory() {
    let world = World::new(Settings::DEFAULT);
    let mut listener = Listening::created(&world, Client::new());
    let none = fail_after(0);
    let set = ListenSocket::set_conditional_accept(&listener.socket(), true);
    drop(none);
    assert_eq!(set, Err(STATUS_INSUFFICIENT_RESOURCES));
    assert!(!listener.socket().conditional_accept());
    listener.bind();
    listener.close();
    world.finish();
}
