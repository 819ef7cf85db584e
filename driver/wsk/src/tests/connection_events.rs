//! Events of connection sockets beside the octets: enabling and disabling, the end of the stream, the send backlog, the close.

use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use abi::status::{
    STATUS_CANCELLED, STATUS_DATA_NOT_ACCEPTED, STATUS_EVENT_PENDING, STATUS_INVALID_DEVICE_STATE,
    STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS,
};
use abi::wsk::*;
use ksim::client::TestIrp;
use stream::Word;

use super::harness::*;
use super::watcher::*;
use crate::Settings;

const ALL: u32 = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT | WSK_EVENT_SEND_BACKLOG;
const NO_RECEIVE: u32 = WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE;

/// What SO_WSK_EVENT_CALLBACK refuses.
#[test]
fn masks() {
    let world = World::new(Settings::DEFAULT);
    let socket = world.connection();
    assert_eq!(socket.events(WSK_EVENT_RECEIVE), STATUS_INVALID_DEVICE_STATE, "not connected");
    assert_eq!(socket.events_with(WSK_EVENT_RECEIVE).wait().status, STATUS_INVALID_DEVICE_STATE);
    socket.close();
    let pair = Pair::with(&world, Watcher::willing(), ALL);
    for mask in [0, WSK_EVENT_DISABLE, WSK_EVENT_ACCEPT, WSK_EVENT_ACCEPT | ALL, WSK_EVENT_DISABLE | ALL] {
        assert_eq!(pair.far.events(mask), STATUS_INVALID_PARAMETER);
        assert_eq!(pair.far.events_with(mask).wait().status, STATUS_INVALID_PARAMETER);
    }
    assert_eq!(pair.far.events(NO_RECEIVE), STATUS_SUCCESS);
    assert_eq!(pair.far.events_with(NO_RECEIVE).wait().status, STATUS_SUCCESS, "nothing to disable");
    let sent = pair.near.send(b"octets");
    assert_eq!(sent.wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.told().0, b"", "disabled");
    // The others are not.
    assert_eq!(pair.far.receive(6).octets(), b"octets");
    assert_eq!(pair.near.disconnect().wait().status, STATUS_SUCCESS);
    pair.watcher.wait(|said| said.contains(&Said::End));
    pair.close();
    world.finish();
}

/// Callbacks that are not there count as disabled.
#[test]
fn no_callbacks() {
    static EMPTY: WSK_CLIENT_CONNECTION_DISPATCH = WSK_CLIENT_CONNECTION_DISPATCH {
        WskReceiveEvent: None,
        WskDisconnectEvent: None,
        WskSendBacklogEvent: None,
    };
    let world = World::new(Settings::DEFAULT);
    let listener = world.listen(Pair::PORT);
    for table in [ptr::null(), &raw const EMPTY] {
        let near = world.connection();
        let accepting = listener.accept_with(ptr::null_mut(), table);
        assert_eq!(near.connect(Pair::PORT).wait().status, 0);
        let far = Connection::from_accept(accepting.wait().information);
        assert_eq!(far.events(ALL), STATUS_SUCCESS);
        assert_eq!(near.send(b"octets").wait().status, STATUS_SUCCESS);
        assert_eq!(near.disconnect().wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(far.receive(100).octets(), b"octets");
        assert_eq!(far.receive(100).wait().information, 0);
        far.close();
        near.close();
    }
    listener.close();
    world.finish();
}

/// An event is disabled inside its own callback: that call is the last one.
#[test]
fn an_event_is_disabled_inside_its_callback() {
    let world = World::new(Settings::DEFAULT);
    for with_irp in [false, true] {
        let waiting: Arc<Mutex<Vec<TestIrp>>> = Arc::default();
        let inside = waiting.clone();
        let watcher = Watcher::new(move |this, shown| {
            let socket = this.alias();
            if with_irp {
                let irp = socket.events_with(NO_RECEIVE);
                assert!(irp.completion().is_none(), "this call is in progress");
                inside.lock().unwrap().push(irp);
            } else {
                assert_eq!(socket.events(NO_RECEIVE), STATUS_EVENT_PENDING);
            }
            shown.accepted = 4;
            STATUS_SUCCESS
        });
        let pair = Pair::with(&world, watcher, ALL);
        assert_eq!(pair.near.send(b"octets").wait().status, STATUS_SUCCESS);
        pair.watcher.wait_for_octets(6);
        ksim::quiesce();
        for irp in waiting.lock().unwrap().iter() {
            assert_eq!(irp.wait().status, STATUS_SUCCESS);
        }
        assert_eq!(pair.far.receive_none(0).wait().status, STATUS_SUCCESS);
        assert_eq!(pair.near.send(b"more").wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(pair.watcher.told().0, b"octets");
        assert_eq!(pair.far.receive(100).octets(), b"tsmore");
        pair.close();
    }
    world.finish();
}

/// A callback that stays until it is told to return.
fn staying(may_return: Arc<AtomicBool>) -> Arc<Watcher> {
    Watcher::new(move |_, _| {
        while !may_return.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        STATUS_SUCCESS
    })
}

fn until(condition: impl Fn() -> bool) {
    let begin = std::time::Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        std::thread::yield_now();
    }
}

/// An event is disabled while a call is in progress: it waits for that, unless it is cancelled; so does the close, behind it.
#[test]
fn a_call_in_progress_is_waited_for() {
    let world = World::new(Settings::DEFAULT);
    for (cancels, closes) in [(false, false), (true, false), (false, true), (true, true)] {
        let may_return = Arc::new(AtomicBool::new(false));
        let pair = Pair::with(&world, staying(may_return.clone()), ALL);
        let sent = pair.near.send(b"octets");
        until(|| pair.watcher.is_answering());
        assert_eq!(pair.far.events(NO_RECEIVE), STATUS_EVENT_PENDING);
        let disabling = [pair.far.events_with(NO_RECEIVE), pair.far.events_with(NO_RECEIVE)];
        // Nobody else gets these octets, or those behind them.
        let receiving = pair.far.receive(10);
        let Pair { near, far, listener, watcher } = pair;
        let (closing, far) = if closes { (Some(far.start_close()), None) } else { (None, Some(far)) };
        if cancels {
            disabling[0].cancel();
            assert_eq!(disabling[0].wait().status, STATUS_CANCELLED);
        }
        assert!(disabling[1].completion().is_none());
        assert!(closing.as_ref().is_none_or(|closing| closing.completion().is_none()));
        assert_eq!(receiving.is_done(), closes);
        may_return.store(true, Ordering::SeqCst);
        assert_eq!(disabling[0].wait().status, if cancels { STATUS_CANCELLED } else { STATUS_SUCCESS });
        assert_eq!(disabling[1].wait().status, STATUS_SUCCESS);
        assert_eq!(sent.wait().status, STATUS_SUCCESS);
        if let Some(closing) = closing {
            assert_eq!(receiving.wait().status, STATUS_CANCELLED);
            assert_eq!(closing.wait().status, STATUS_SUCCESS);
        }
        if let Some(far) = far {
            assert_eq!(near.send(b"more").wait().status, STATUS_SUCCESS);
            assert_eq!(receiving.octets(), b"more");
            far.close();
        }
        watcher.gone.store(true, Ordering::SeqCst);
        near.close();
        listener.close();
    }
    world.finish();
}

/// What a callback is shown stays where it is until it returns, also when everything else of its socket is gone by then.
#[test]
fn the_ring_outlives_the_callback() {
    let world = World::new(Settings::DEFAULT);
    let may_return = Arc::new(AtomicBool::new(false));
    let told = may_return.clone();
    let watcher = Watcher::new(move |_, shown| {
        let before = shown.read();
        while !told.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        assert_eq!(shown.read(), before);
        STATUS_SUCCESS
    });
    let Pair { near, far, listener, watcher } = Pair::new(&world, watcher, true);
    assert_eq!(near.send(b"octets").wait().status, STATUS_SUCCESS);
    // In the socket's own DPC, so that it keeps nobody else from running: not in that of a completion still on its way.
    ksim::quiesce();
    assert_eq!(far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    until(|| watcher.is_answering());
    let object = far.object();
    let closing = far.start_close();
    until(|| object.endpoint_is_closed());
    near.close();
    assert!(closing.completion().is_none());
    may_return.store(true, Ordering::SeqCst);
    drop(object);
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    watcher.gone.store(true, Ordering::SeqCst);
    listener.close();
    world.finish();
}

/// The end of the stream is told when everything is read, and once; then a loss, once.
#[test]
fn the_end_comes_after_the_octets() {
    let world = World::new(Settings::DEFAULT);
    let pair = Pair::with(&world, Watcher::willing(), WSK_EVENT_DISCONNECT);
    assert_eq!(pair.near.send(b"octets").wait().status, STATUS_SUCCESS);
    assert_eq!(pair.near.disconnect().wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.said(), [], "there are octets");
    assert_eq!(pair.far.receive(3).octets(), b"oct");
    ksim::quiesce();
    assert_eq!(pair.watcher.said(), []);
    assert_eq!(pair.far.receive(100).octets(), b"ets");
    pair.watcher.wait(|said| said == [Said::End]);
    assert_eq!(pair.far.receive(100).wait().information, 0);
    // The other direction is open until the peer goes.
    let Pair { near, far, listener, watcher } = pair;
    near.close();
    watcher.wait(|said| said == [Said::End, Said::Loss]);
    let end = far.receive(100).wait();
    assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0), "the stream had ended");
    assert_eq!(far.events(WSK_EVENT_DISCONNECT), STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(watcher.said(), [Said::End, Said::Loss]);
    far.close();
    watcher.gone.store(true, Ordering::SeqCst);
    listener.close();
    world.finish();
}

/// Both directions end in order: an end, and no loss.
#[test]
fn both_directions_end() {
    let world = World::new(Settings::DEFAULT);
    for first in [false, true] {
        let pair = Pair::with(&world, Watcher::willing(), ALL);
        let (one, other) = if first { (&pair.near, &pair.far) } else { (&pair.far, &pair.near) };
        assert_eq!(one.disconnect().wait().status, STATUS_SUCCESS);
        assert_eq!(other.disconnect().wait().status, STATUS_SUCCESS);
        pair.watcher.wait(|said| said.contains(&Said::End));
        ksim::quiesce();
        assert_eq!(pair.watcher.said().iter().filter(|said| **said != Said::Backlog(128 << 10)).count(), 1);
        pair.close();
    }
    world.finish();
}

/// A lost connection is told once, after the octets that came; not to the one who aborts it.
#[test]
fn a_connection_is_lost() {
    let world = World::new(Settings::DEFAULT);
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    let watcher = Watcher::new(move |_, _| {
        if counted.fetch_add(1, Ordering::SeqCst) == 0 { STATUS_DATA_NOT_ACCEPTED } else { STATUS_SUCCESS }
    });
    let pair = Pair::with(&world, watcher, WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT);
    assert_eq!(pair.near.send(b"octets").wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(6);
    let Pair { near, far, listener, watcher } = pair;
    near.close();
    ksim::quiesce();
    assert_eq!(watcher.said(), [Said::Octets(b"octets".to_vec())]);
    assert_eq!(far.receive(2).octets(), b"oc");
    watcher.wait(|said| said.last() == Some(&Said::Loss));
    assert_eq!(watcher.said()[1..], [Said::Octets(b"tets".to_vec()), Said::Loss]);
    far.close();
    watcher.gone.store(true, Ordering::SeqCst);
    listener.close();

    let pair = Pair::with(&world, Watcher::willing(), WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT);
    assert_eq!(pair.far.abort().wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.said(), [], "its own doing");
    pair.close();

    let pair = Pair::with(&world, Watcher::willing(), WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT);
    assert_eq!(pair.near.abort().wait().status, STATUS_SUCCESS);
    pair.watcher.wait(|said| said == [Said::Loss]);
    pair.close();
    world.finish();
}

/// A peer that breaks the protocol has lost the connection; what it sent before is indicated.
#[test]
fn a_peer_breaks_the_protocol() {
    let world = World::new(Settings::DEFAULT);
    let door = Door::open(&world, Pair::PORT);
    let watcher = Watcher::willing();
    let socket = world.connection_with(watcher.context(), &CALLBACKS);
    let connecting = socket.connect(Pair::PORT);
    let mut peer = Peer::accept(&world, door.take(), |data| data.encode().to_vec());
    assert_eq!(connecting.wait().status, 0);
    assert_eq!(socket.events(WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT), STATUS_SUCCESS);
    // The ring holds zeroes where nobody has written.
    peer.say(&Word::Data(5).octets());
    peer.say(&Word::Data(1 << 20).octets());
    watcher.wait(|said| said == [Said::Octets(vec![0; 5]), Said::Loss]);
    peer.is_left();
    peer.close(false);
    socket.close();
    drop(door);
    world.finish();
}

/// The ideal send backlog is told once, if it is not what everybody takes for granted.
#[test]
fn the_send_backlog_is_told() {
    for (send_octets, told) in [(128 << 10, true), (64 << 10, false), (32 << 10, true)] {
        let world = World::new(Settings { send_octets, ..Settings::DEFAULT });
        let pair = Pair::with(&world, Watcher::willing(), WSK_EVENT_SEND_BACKLOG);
        assert_eq!(pair.far.object().ideal_send_backlog(), send_octets as usize);
        ksim::quiesce();
        let expected = if told { vec![Said::Backlog(send_octets as usize)] } else { vec![] };
        assert_eq!(pair.watcher.said(), expected);
        assert_eq!(pair.far.events(WSK_EVENT_SEND_BACKLOG), STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(pair.watcher.said(), expected);
        pair.close();
        world.finish();
    }
}

/// A connection that was not handed over is quiet, whatever its listening socket hands down later.
#[test]
fn nothing_is_told_before_the_client_has_the_socket() {
    let world = World::new(Settings::DEFAULT);
    let watcher = Watcher::willing();
    let listener = world.listen(Pair::PORT);
    let near = world.connection();
    assert_eq!(near.connect(Pair::PORT).wait().status, 0);
    assert_eq!(near.send(b"early").wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    let accepting = listener.accept_with(watcher.context(), &CALLBACKS);
    let far = Connection::from_accept(accepting.wait().information);
    ksim::quiesce();
    assert_eq!(watcher.said(), [], "WskAccept hands nothing down");
    crate::connection::Connection::deliver(&far.object(), ALL | WSK_EVENT_ACCEPT);
    watcher.wait_for_octets(5);
    assert_eq!(watcher.told(), (b"early".to_vec(), vec![Said::Backlog(128 << 10)]));
    far.close();
    watcher.gone.store(true, Ordering::SeqCst);
    near.close();
    listener.close();
    world.finish();
}

/// Everything at once: a stream into callbacks that take, take in part, refuse or keep; releases, receives and events on and
/// off from other threads; and a close of one end in the middle. No callback comes after the close.
#[test]
fn everything_at_once() {
    const ROUNDS: usize = 24;
    let world = World::new(Settings { ring_octets: 4096, ..Settings::DEFAULT });
    for round in 0..ROUNDS {
        let turns = AtomicUsize::new(round);
        let watcher = Watcher::new(move |this, shown| match turns.fetch_add(1, Ordering::SeqCst) % 5 {
            0 => STATUS_DATA_NOT_ACCEPTED,
            1 => {
                shown.accepted = shown.octets / 2;
                STATUS_SUCCESS
            }
            2 | 3 => {
                this.kept.lock().unwrap().extend(take_apart(shown.list));
                STATUS_PENDING
            }
            _ => STATUS_SUCCESS,
        });
        let pair = Pair::with(&world, watcher, ALL);
        let sends: Vec<Transfer> = (0..10).map(|_| pair.near.send(&[7; 1500])).collect();
        let stop = AtomicBool::new(false);
        let (far, watcher) = (&pair.far, &pair.watcher);
        let closing = std::thread::scope(|threads| {
            let releaser = threads.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    release_one(far, watcher);
                }
            });
            let receiver = threads.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    far.receive_none(0).wait();
                    let some = far.receive(100);
                    some.cancel();
                    some.wait();
                    std::thread::yield_now();
                }
            });
            let switch = threads.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    far.events_with(NO_RECEIVE).wait();
                    far.events(WSK_EVENT_RECEIVE);
                    std::thread::yield_now();
                }
            });
            for _ in 0..round * 10 {
                std::thread::yield_now();
            }
            stop.store(true, Ordering::SeqCst);
            // No call is in progress when the socket is closed, but for callbacks and releases.
            for thread in [receiver, switch] {
                thread.join().unwrap();
            }
            let closing = pair.far.alias().start_close();
            releaser.join().unwrap();
            closing
        });
        while closing.completion().is_none() {
            release_one(&pair.far, &pair.watcher);
        }
        pair.watcher.gone.store(true, Ordering::SeqCst);
        assert_eq!(closing.wait().status, STATUS_SUCCESS);
        let Pair { near, listener, .. } = pair;
        near.close();
        for send in sends {
            send.wait();
        }
        listener.close();
    }
    world.finish();
}

/// Releases a node, if one is kept.
fn release_one(socket: &Connection, watcher: &Watcher) {
    let node = watcher.kept.lock().unwrap().pop();
    match node {
        Some(node) => {
            // SAFETY: it is kept.
            unsafe { (*node.0).Next = ptr::null_mut() };
            assert_eq!(socket.release(node.0), STATUS_SUCCESS);
        }
        None => std::thread::yield_now(),
    }
}
