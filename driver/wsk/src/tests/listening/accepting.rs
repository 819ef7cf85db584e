//! WskAcceptEvent and the events that are enabled and disabled.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;

use super::super::harness::{Connection, World, loopback};
use super::super::watcher::{Said, Watcher};
use super::client::*;
use crate::Settings;
use crate::connection::Connection as Inner;
use crate::control::socket::Controlled;
use crate::listen::ListenSocket;

const LOST: [NTSTATUS; 3] =
    [STATUS_CONNECTION_RESET, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED];

/// A socket that has connected to `listener`.
fn connected(world: &World, listener: &Listening) -> Connection {
    let socket = world.connection();
    assert_eq!(socket.connect(listener.port).wait().status, STATUS_SUCCESS);
    socket
}

#[test]
fn a_connection_is_delivered() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        for _ in 0..3 {
            let near = connected(world, &listener);
            let (far, local, remote) = listener.client.accepted();
            assert_eq!(local, loopback(listener.port));
            assert_ne!(remote.port(), 0);
            talk(&near, &far);
            far.close();
            near.close();
        }
        listener.close();
    });
}

#[test]
fn a_connection_is_not_accepted() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        for status in [STATUS_REQUEST_NOT_ACCEPTED, STATUS_INSUFFICIENT_RESOURCES] {
            listener.client.on_accept(move |_| status);
            assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
            let near = connected(world, &listener);
            assert!(LOST.contains(&near.receive(1).wait().status));
            assert!(matches!(listener.client.next(), Event::Accept { .. }));
            near.close();
        }
        listener.client.on_accept(|_| STATUS_SUCCESS);
        let near = connected(world, &listener);
        let (far, ..) = listener.client.accepted();
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
    });
}

#[test]
fn what_waits_is_delivered_when_the_event_is_enabled() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        let near: Vec<_> = (0..20).map(|_| connected(world, &listener)).collect();
        assert_eq!(listener.client.rest(), []);
        let enabled = listener.request_events(WSK_EVENT_ACCEPT).wait();
        assert_eq!((enabled.status, enabled.information), (STATUS_SUCCESS, 0));
        for near in near {
            let (far, ..) = listener.client.accepted();
            far.close();
            near.close();
        }
        listener.close();
    });
}

/// Pending accepts are served first, in the order of their calls.
#[test]
fn accepts_go_before_the_event() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        let accepts: Vec<_> = (0..5).map(|_| listener.accept()).collect();
        for index in 0..accepts.len() {
            let near = connected(world, &listener);
            let far = Connection::from_accept(accepts[index].wait().information);
            assert!(accepts[index + 1..].iter().all(|accept| accept.completion().is_none()));
            talk(&near, &far);
            near.close();
            far.close();
        }
        assert_eq!(listener.client.rest(), []);
        let near = connected(world, &listener);
        let (far, ..) = listener.client.accepted();
        near.close();
        far.close();
        listener.close();
    });
}

#[test]
fn masks_that_do_not_fit() {
    let world = World::new(Settings::DEFAULT);
    let mut listener = Listening::created(&world, Client::new());
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_INVALID_DEVICE_STATE);
    assert_eq!(listener.request_events(WSK_EVENT_ACCEPT).wait().status, STATUS_INVALID_DEVICE_STATE);
    listener.bind();
    for mask in [
        0,
        WSK_EVENT_DISABLE,
        WSK_EVENT_RECEIVE_FROM,
        WSK_EVENT_ACCEPT | 1,
        WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE,
        WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE,
        WSK_EVENT_DISABLE | WSK_EVENT_DISCONNECT,
        WSK_EVENT_DISABLE | WSK_EVENT_SEND_BACKLOG,
    ] {
        assert_eq!(listener.set_events(mask), STATUS_INVALID_PARAMETER, "{mask:#x}");
        assert_eq!(listener.request_events(mask).wait().status, STATUS_INVALID_PARAMETER, "{mask:#x}");
    }
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    assert_eq!(listener.set_events(WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT), STATUS_SUCCESS);
    let near = connected(&world, &listener);
    assert_eq!(listener.client.rest(), [], "the event is disabled");
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
    listener.client.accepted().0.close();
    near.close();
    listener.close();
    world.finish();
}

/// A client without the callback, or without a table: connections wait for WskAccept.
#[test]
fn an_event_without_a_callback_counts_as_disabled() {
    let world = World::new(Settings::DEFAULT);
    let none =
        WSK_CLIENT_LISTEN_DISPATCH { WskAcceptEvent: None, WskInspectEvent: None, WskAbortEvent: None };
    let mut listener = Listening::created(&world, Client::with(none));
    assert_eq!(ListenSocket::set_conditional_accept(&listener.socket(), true), Ok(()));
    listener.bind();
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
    let near = connected(&world, &listener);
    ksim::quiesce();
    let accepted = listener.accept().wait();
    assert_eq!(accepted.status, STATUS_SUCCESS);
    let far = Connection::from_accept(accepted.information);
    talk(&near, &far);
    near.close();
    far.close();
    listener.close();
    world.finish();
}

/// A callback that stays inside until it is told to go on.
fn stay(client: &Client) -> (mpsc::Receiver<Raw>, mpsc::Sender<NTSTATUS>) {
    let (entered, inside) = mpsc::channel();
    let (go, answer) = mpsc::channel();
    client.on_accept(move |socket| {
        entered.send(socket).unwrap();
        answer.recv().unwrap()
    });
    (inside, go)
}

#[test]
fn disabling_waits_for_the_call_in_progress() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        let (inside, go) = stay(&listener.client);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        let near = connected(world, &listener);
        let socket = inside.recv().unwrap();
        let disable = WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT;
        let first = listener.request_events(disable);
        let cancelled = listener.request_events(disable);
        assert_eq!(listener.set_events(disable), STATUS_EVENT_PENDING);
        assert!(cancelled.cancel());
        assert_eq!(cancelled.wait().status, STATUS_CANCELLED);
        let second = connected(world, &listener);
        assert!(first.completion().is_none());
        go.send(STATUS_SUCCESS).unwrap();
        assert_eq!(first.wait().status, STATUS_SUCCESS);
        assert!(matches!(listener.client.rest()[..], [Event::Accept { .. }]), "no call follows");
        socket.connection().close();
        listener.client.on_accept(|_| STATUS_SUCCESS);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        listener.client.accepted().0.close();
        near.close();
        second.close();
        listener.close();
    });
}

#[test]
fn the_event_is_disabled_inside_its_own_callback() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        let (socket, raw) = (listener.socket(), listener.raw);
        let waiting: Arc<Mutex<Option<TestIrp>>> = Arc::default();
        let inside = waiting.clone();
        let client = listener.client.clone();
        let fake = Listening { raw, client, port: listener.port };
        let socket = Mutex::new(Some(socket));
        listener.client.on_accept(move |_| {
            let socket = socket.lock().unwrap().take().unwrap();
            let disable = WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT;
            assert_eq!(ListenSocket::set_events(&socket, disable, None), STATUS_EVENT_PENDING);
            let disabled = fake.request_events(disable);
            assert!(disabled.completion().is_none());
            *inside.lock().unwrap() = Some(disabled);
            STATUS_SUCCESS
        });
        let near = [connected(world, &listener), connected(world, &listener)];
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        listener.client.accepted().0.close();
        assert_eq!(listener.client.rest(), [], "disabled after the call");
        assert_eq!(waiting.lock().unwrap().take().unwrap().wait().status, STATUS_SUCCESS);
        // The client drops what its callback has kept.
        listener.client.on_accept(|_| STATUS_SUCCESS);
        near.into_iter().for_each(Connection::close);
        listener.close();
    });
}

/// Another thread closes the socket that a callback is just being told of.
#[test]
fn a_socket_is_closed_before_its_callback_has_returned() {
    in_each_mode(|world| {
        for status in [STATUS_SUCCESS, STATUS_REQUEST_NOT_ACCEPTED] {
            let listener = Listening::new(world);
            let (inside, go) = stay(&listener.client);
            assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
            let near = connected(world, &listener);
            let socket = inside.recv().unwrap();
            let closing = TestIrp::new();
            closing.assert_pending(socket.close(closing.submit()));
            ksim_runs();
            assert!(closing.completion().is_none(), "the call in progress is waited for");
            go.send(status).unwrap();
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
            assert!(LOST.contains(&near.receive(1).wait().status));
            near.close();
            listener.client.rest();
            listener.close();
        }
    });
}

/// Lets other threads do what they have to do.
fn ksim_runs() {
    for _ in 0..100 {
        thread::yield_now();
    }
}

/// Inside each call the socket before it is closed, as WinDRBD does, and in the last one the listening socket itself.
#[test]
fn sockets_are_closed_inside_callbacks() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        let closes: Arc<Mutex<Vec<TestIrp>>> = Arc::default();
        let (inside, raw, calls) = (closes.clone(), listener.raw, AtomicUsize::new(0));
        let mut before: Option<Raw> = None;
        listener.client.on_accept(move |socket| {
            let mut closes = inside.lock().unwrap();
            let mut close = |socket: Raw| {
                let closing = TestIrp::new();
                closing.assert_pending(socket.close(closing.submit()));
                closes.push(closing);
            };
            if let Some(before) = before.replace(socket) {
                close(before);
            }
            if calls.fetch_add(1, Ordering::SeqCst) == 2 {
                close(socket);
                close(raw);
                assert!(closes.last().unwrap().completion().is_none(), "it waits for this call");
            }
            STATUS_SUCCESS
        });
        let near: Vec<_> = (0..4).map(|_| connected(world, &listener)).collect();
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        ksim::quiesce();
        let closes = core::mem::take(&mut *closes.lock().unwrap());
        assert_eq!(closes.len(), 4);
        for closing in closes {
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
        }
        assert_eq!(listener.client.rest().len(), 3, "none after the close");
        near.into_iter().for_each(Connection::close);
    });
}

#[test]
fn a_close_waits_for_the_call_in_progress() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        let (inside, go) = stay(&listener.client);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        let near = [connected(world, &listener), connected(world, &listener)];
        let socket = inside.recv().unwrap();
        let disabled = listener.request_events(WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT);
        let accept = listener.accept();
        let closing = listener.start_close();
        // The accept got the second connection, or was cancelled.
        let accepted = accept.wait();
        ksim_runs();
        assert!(closing.completion().is_none());
        assert!(disabled.completion().is_none());
        go.send(STATUS_SUCCESS).unwrap();
        assert_eq!(disabled.wait().status, STATUS_SUCCESS);
        assert_eq!(closing.wait().status, STATUS_SUCCESS);
        let far = socket.connection();
        talk(&near[0], &far);
        far.close();
        if accepted.status == STATUS_SUCCESS {
            Connection::from_accept(accepted.information).close();
        }
        near.into_iter().for_each(Connection::close);
    });
}

#[test]
fn every_call_is_made_at_dispatch_level() {
    in_each_mode(|world| {
        let listener = Listening::conditional(world);
        let enabled = at_dispatch_level(|| listener.request_events(WSK_EVENT_ACCEPT));
        assert_eq!(enabled.wait().status, STATUS_SUCCESS);
        listener.client.on_inspect(|_| WskInspectPend);
        let near = world.connection();
        let connecting = near.connect(listener.port);
        let id = listener.client.inspected();
        let completed = at_dispatch_level(|| listener.complete(id, WskInspectAccept));
        assert_eq!(completed.wait().status, STATUS_SUCCESS);
        assert_eq!(connecting.wait().status, STATUS_SUCCESS);
        let (far, ..) = listener.client.accepted();
        talk(&near, &far);
        let waiting = [world.connection(), world.connection()];
        let connecting: Vec<_> = waiting.iter().map(|socket| socket.connect(listener.port)).collect();
        listener.client.inspected();
        listener.client.inspected();
        let disable = WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT;
        assert_eq!(at_dispatch_level(|| listener.set_events(disable)), STATUS_SUCCESS);
        assert_eq!(at_dispatch_level(|| listener.start_close()).wait().status, STATUS_SUCCESS);
        for connecting in connecting {
            assert_ne!(connecting.wait().status, STATUS_SUCCESS);
        }
        waiting.into_iter().for_each(Connection::close);
        far.close();
        near.close();
        assert_eq!(listener.client.rest(), []);
    });
}

/// What the socket listens on goes away: everything ends, the client is told once, and the socket can be closed.
#[test]
fn a_socket_dies() {
    in_each_mode(|world| {
        for enabled in [false, true] {
            let listener = Listening::new(world);
            let accept = listener.accept();
            let near = (!enabled).then(|| {
                let near = connected(world, &listener);
                assert_eq!(accept.wait().status, STATUS_SUCCESS);
                Connection::from_accept(accept.wait().information).close();
                near
            });
            let accept = if enabled { accept } else { listener.accept() };
            if enabled {
                assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
            }
            for _ in 0..2 {
                ListenSocket::no_longer_functional(&listener.socket());
            }
            assert_eq!(accept.wait().status, STATUS_FILE_FORCED_CLOSED);
            assert_eq!(listener.accept().wait().status, STATUS_FILE_FORCED_CLOSED);
            assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_FILE_FORCED_CLOSED);
            assert_eq!(listener.socket().local(), Err(STATUS_FILE_FORCED_CLOSED));
            let refused = world.connection();
            assert_eq!(refused.connect(listener.port).wait().status, STATUS_CONNECTION_REFUSED);
            refused.close();
            let expected: &[Event] = if enabled { &[Event::Death] } else { &[] };
            assert_eq!(listener.client.rest(), expected);
            if let Some(near) = near {
                near.close();
            }
            listener.close();
        }
    });
}

/// Under conditional accept alone it is WskInspectEvent that tells.
#[test]
fn a_socket_that_inspects_dies() {
    in_each_mode(|world| {
        for enabled in [false, true] {
            let listener = Listening::conditional(world);
            if enabled {
                assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
            }
            for _ in 0..2 {
                ListenSocket::no_longer_functional(&listener.socket());
            }
            let expected = if enabled { Event::Death } else { Event::InspectDeath };
            assert_eq!(listener.client.next(), expected);
            assert_eq!(listener.client.rest(), []);
            listener.close();
        }
    });
}

/// What connections take over, they have from their birth.
#[test]
fn options_are_handed_down() {
    let world = World::new(Settings::DEFAULT);
    let listener = Listening::new(&world);
    listener.socket().with_options(|_, options| {
        options.keepalive = true;
        options.receive_buffer = Some(1 << 16);
        options.exclusive = true;
    });
    let near = connected(&world, &listener);
    let accepted = listener.accept().wait();
    // SAFETY: the socket is open.
    let inner = unsafe {
        kernel::pool::Shared::<Inner>::clone_from_raw(core::ptr::with_exposed_provenance(
            accepted.information,
        ))
    };
    inner.with_options(|_, options| {
        assert_eq!((options.keepalive, options.receive_buffer), (true, Some(1 << 16)));
        assert!(!options.exclusive, "the address is the listener's affair");
    });
    assert_eq!(inner.inspect_id(), None);
    drop(inner);
    Connection::from_accept(accepted.information).close();
    near.close();
    listener.close();
    world.finish();
}

/// Events of connections that are enabled on the listening socket go to what WskAcceptEvent delivers, for octets too that
/// came before; and not to what WskAccept delivers.
#[test]
fn events_are_handed_down() {
    in_each_mode(|world| {
        let listener = Listening::new(world);
        assert_eq!(listener.set_events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT | WSK_EVENT_DISCONNECT), STATUS_SUCCESS);
        // They stay while WskAcceptEvent is off.
        assert_eq!(listener.set_events(WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        let near = connected(world, &listener);
        assert_eq!(near.send(b"early").wait().information, 5);
        let watcher = Watcher::willing();
        listener.client.bequeath(&watcher);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        let (far, ..) = listener.client.accepted();
        watcher.wait_for_octets(5);
        assert_eq!(near.send(b"late").wait().information, 4);
        watcher.wait_for_octets(9);
        assert_eq!(watcher.told().0, b"earlylate");
        assert_eq!(near.disconnect().wait().status, STATUS_SUCCESS);
        watcher.wait(|said| said.contains(&Said::End));
        far.close();
        near.close();
        let accept = listener.accept();
        let near = connected(world, &listener);
        let far = Connection::from_accept(accept.wait().information);
        talk(&near, &far);
        far.close();
        near.close();
        listener.close();
    });
}

/// WSK_SET_STATIC_EVENT_CALLBACKS: sockets are born with their events, and keep them.
#[test]
fn static_events_begin_with_the_bind() {
    in_each_mode(|world| {
        let mut control = WSK_EVENT_CALLBACK_CONTROL {
            NpiId: &NPI_WSK_INTERFACE_ID,
            EventMask: WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE,
        };
        let npi = world.npi();
        // SAFETY: captured, so the provider's table is valid.
        let ask = unsafe { (*npi.Dispatch).WskControlClient };
        let (null, code) = (core::ptr::null_mut(), WSK_SET_STATIC_EVENT_CALLBACKS);
        let size = size_of::<WSK_EVENT_CALLBACK_CONTROL>();
        let none = core::ptr::null_mut();
        // SAFETY: a call as its page says, without an IRP.
        let status = unsafe {
            ask(npi.Client, code, size, (&raw mut control).cast(), 0, null, none, core::ptr::null_mut())
        };
        assert_eq!(status, STATUS_SUCCESS);
        let listener = Listening::new(world);
        let watcher = Watcher::willing();
        listener.client.bequeath(&watcher);
        assert_eq!(listener.set_events(WSK_EVENT_DISABLE | WSK_EVENT_ACCEPT), STATUS_INVALID_PARAMETER);
        let near = connected(world, &listener);
        let (far, ..) = listener.client.accepted();
        assert_eq!(near.send(b"hello").wait().information, 5);
        watcher.wait_for_octets(5);
        far.close();
        near.close();
        listener.close();
    });
}
