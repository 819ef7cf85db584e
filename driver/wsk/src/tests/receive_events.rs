//! WskReceiveEvent: its answers, what the client keeps, and the order among callbacks, receives and the end of the stream.

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::vec;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{
    STATUS_CANCELLED, STATUS_DATA_NOT_ACCEPTED, STATUS_DEVICE_NOT_READY, STATUS_FILE_FORCED_CLOSED,
    STATUS_INVALID_PARAMETER, STATUS_PENDING, STATUS_SUCCESS,
};
use abi::wsk::*;
use ksim::buffer::Chain;
use ksim::client::TestIrp;

use super::harness::*;
use super::watcher::*;
use crate::Settings;

const OCTETS_AND_END: u32 = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT;

/// Octets of the stream from `from` on.
fn stream(from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| (at % 251) as u8).collect()
}

/// Everything goes through the callback, in order, however it arrives; then the end. Whoever has the callbacks.
#[test]
fn a_stream_arrives_in_callbacks() {
    const LENGTHS: [usize; 8] = [1, 3, 100, 60_000, 7, 200_000, 131_072, 1];
    let world = World::new(Settings::DEFAULT);
    for accepts in [true, false] {
        let pair = Pair::new(&world, Watcher::willing(), accepts);
        assert_eq!(pair.far.events(OCTETS_AND_END), STATUS_SUCCESS);
        let mut total = 0;
        let mut sends = Vec::new();
        for length in LENGTHS {
            sends.push(pair.near.send(&stream(total, length)));
            total += length;
        }
        let ending = pair.near.disconnect();
        for (send, length) in sends.iter().zip(LENGTHS) {
            assert_eq!((send.wait().status, send.wait().information), (STATUS_SUCCESS, length));
        }
        assert_eq!(ending.wait().status, STATUS_SUCCESS);
        pair.watcher.wait(|said| said.last() == Some(&Said::End));
        assert_eq!(pair.watcher.told(), (stream(0, total), vec![Said::End]));
        // The end of the stream is an end for receives, too, for ever; the other direction goes on.
        for _ in 0..2 {
            let end = pair.far.receive(10).wait();
            assert_eq!((end.status, end.information), (STATUS_SUCCESS, 0));
        }
        let back = pair.near.receive(5);
        assert_eq!(pair.far.send(b"hello").wait().status, STATUS_SUCCESS);
        assert_eq!(back.octets(), b"hello");
        pair.close();
    }
    world.finish();
}

/// What arrived before the event is enabled is indicated then; with an IRP or without, at any level.
#[test]
fn octets_wait_for_the_event_to_be_enabled() {
    let world = World::new(Settings::DEFAULT);
    for turn in 0..3 {
        let pair = Pair::new(&world, Watcher::willing(), true);
        assert_eq!(pair.near.send(&stream(0, 500)).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(pair.watcher.said(), [], "not enabled");
        match turn {
            0 => assert_eq!(pair.far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS),
            1 => assert_eq!(pair.far.events_with(WSK_EVENT_RECEIVE).wait().status, STATUS_SUCCESS),
            _ => assert_eq!(at_dispatch(|| pair.far.events(WSK_EVENT_RECEIVE)), STATUS_SUCCESS),
        }
        pair.watcher.wait_for_octets(500);
        assert_eq!(pair.watcher.told().0, stream(0, 500));
        pair.close();
    }
    world.finish();
}

/// Ten of a hundred are taken: nothing more is indicated before a receive is completed, even one of no octets.
#[test]
fn a_part_is_taken() {
    let world = World::new(Settings::DEFAULT);
    let turns = AtomicUsize::new(0);
    let watcher = Watcher::new(move |_, shown| {
        if turns.fetch_add(1, Ordering::SeqCst) == 0 {
            shown.accepted = 10;
        }
        STATUS_SUCCESS
    });
    let pair = Pair::new(&world, watcher, true);
    assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    pair.watcher.wait_for_octets(100);
    assert_eq!(pair.near.send(&stream(100, 7)).wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.said(), [Said::Octets(stream(0, 100))]);
    assert_eq!(pair.far.object().receive_backlog(), 97);
    assert_eq!(pair.far.receive_none(0).wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(197);
    assert_eq!(pair.watcher.said()[1..], [Said::Octets(stream(10, 97))]);
    ksim::quiesce();
    assert_eq!(pair.far.object().receive_backlog(), 0);
    pair.close();
    world.finish();
}

/// Nothing is taken, whatever the client says of the number: a receive gets the first octets, the callback the others.
#[test]
fn nothing_is_taken() {
    let world = World::new(Settings::DEFAULT);
    let answers: [(NTSTATUS, Option<usize>); 4] = [
        (STATUS_DATA_NOT_ACCEPTED, None),
        (STATUS_DATA_NOT_ACCEPTED, Some(50)),
        (STATUS_DEVICE_NOT_READY, Some(7)),
        (STATUS_SUCCESS, Some(0)),
    ];
    for (status, accepted) in answers {
        let willing = Arc::new(AtomicBool::new(false));
        let now = willing.clone();
        let watcher = Watcher::new(move |_, shown| {
            if now.load(Ordering::SeqCst) {
                return STATUS_SUCCESS;
            }
            shown.accepted = accepted.unwrap_or(shown.accepted);
            status
        });
        let pair = Pair::new(&world, watcher, true);
        assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(pair.far.events(OCTETS_AND_END), STATUS_SUCCESS);
        pair.watcher.wait_for_octets(100);
        assert_eq!(pair.near.disconnect().wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(pair.watcher.said().len(), 1, "neither octets nor the end before a receive");
        willing.store(true, Ordering::SeqCst);
        let first = pair.far.receive(50);
        assert_eq!(first.octets(), stream(0, 50));
        pair.watcher.wait(|said| said.last() == Some(&Said::End));
        assert_eq!(pair.watcher.said()[1..], [Said::Octets(stream(50, 50)), Said::End]);
        pair.close();
    }
    world.finish();
}

/// Whoever enables the event, or sets the other callback, wants to see what is there, though it was refused before.
#[test]
fn enabling_shows_again_what_was_refused() {
    let world = World::new(Settings::DEFAULT);
    let pair = Pair::with(&world, Watcher::new(|_, _| STATUS_DATA_NOT_ACCEPTED), WSK_EVENT_RECEIVE);
    assert_eq!(pair.near.send(&stream(0, 10)).wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.said().len(), 1, "it is enabled already");
    assert_eq!(pair.far.events(WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    assert_eq!(pair.far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.said().len(), 2);
    crate::connection::Connection::set_receive_ex(&pair.far.object(), Some(receive_ex));
    ksim::quiesce();
    assert_eq!(pair.watcher.said(), vec![Said::Octets(stream(0, 10)); 3]);
    pair.close();
    world.finish();
}

/// A cancelled receive is a completed one.
#[test]
fn a_cancelled_receive_lets_the_callbacks_go_on() {
    let world = World::new(Settings::DEFAULT);
    let turns = AtomicUsize::new(0);
    let receiving: Arc<(TestIrp, Mutex<Chain>)> = Arc::new((TestIrp::new(), Mutex::new(Chain::zeroed(1000))));
    let posted = receiving.clone();
    // The receive is posted inside the callback and wants more than there is.
    let watcher = Watcher::new(move |this, _| {
        if turns.fetch_add(1, Ordering::SeqCst) != 0 {
            return STATUS_SUCCESS;
        }
        let socket = this.alias();
        let (irp, chain) = &*posted;
        irp.assert_pending(socket.receive_with(&chain.lock().unwrap(), WSK_FLAG_WAITALL, irp.submit()));
        STATUS_DATA_NOT_ACCEPTED
    });
    let pair = Pair::with(&world, watcher, WSK_EVENT_RECEIVE);
    assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(100);
    ksim::quiesce();
    assert!(receiving.0.completion().is_none());
    receiving.0.cancel();
    let end = receiving.0.wait();
    assert_eq!((end.status, end.information), (STATUS_CANCELLED, 100));
    assert_eq!(pair.near.send(&stream(100, 20)).wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(120);
    assert_eq!(pair.watcher.told().0[100..], stream(100, 20));
    pair.close();
    world.finish();
}

/// A receive that is posted inside the callback gets what the callback does not take, before the callback gets the rest; also
/// one of no octets counts.
#[test]
fn a_receive_is_posted_inside_the_callback() {
    let world = World::new(Settings::DEFAULT);
    for length in [0, 30] {
        let turns = AtomicUsize::new(0);
        let receiving: Arc<(TestIrp, Mutex<Chain>)> =
            Arc::new((TestIrp::new(), Mutex::new(Chain::zeroed(length.max(1)))));
        let posted = receiving.clone();
        let watcher = Watcher::new(move |this, _| {
            if turns.fetch_add(1, Ordering::SeqCst) != 0 {
                return STATUS_SUCCESS;
            }
            let socket = this.alias();
            let (irp, chain) = &*posted;
            if length == 0 {
                irp.assert_pending(socket.receive_none_with(0, irp.submit()));
            } else {
                irp.assert_pending(socket.receive_with(&chain.lock().unwrap(), 0, irp.submit()));
            }
            assert!(irp.completion().is_none(), "these octets may still be taken");
            STATUS_DATA_NOT_ACCEPTED
        });
        let pair = Pair::with(&world, watcher, WSK_EVENT_RECEIVE);
        assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
        assert_eq!(receiving.0.wait().information, length);
        assert_eq!(receiving.1.lock().unwrap().bytes()[..length], stream(0, length));
        pair.watcher.wait_for_octets(200 - length);
        assert_eq!(pair.watcher.said()[1..], [Said::Octets(stream(length, 100 - length))]);
        pair.close();
    }
    world.finish();
}

/// Receives that wait are served before the callback.
#[test]
fn receives_go_first() {
    let world = World::new(Settings::DEFAULT);
    let pair = Pair::with(&world, Watcher::willing(), WSK_EVENT_RECEIVE);
    let first = pair.far.receive(40);
    let second = pair.far.receive(10);
    assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
    assert_eq!(first.octets(), stream(0, 40));
    assert_eq!(second.octets(), stream(40, 10));
    pair.watcher.wait_for_octets(50);
    assert_eq!(pair.watcher.told().0, stream(50, 50));
    // A drain takes everything.
    let drain = pair.far.receive_none(WSK_FLAG_DRAIN);
    assert_eq!(pair.near.send(&stream(100, 100)).wait().status, STATUS_SUCCESS);
    assert_eq!(pair.near.disconnect().wait().status, STATUS_SUCCESS);
    assert_eq!(drain.wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.told().0.len(), 50);
    pair.close();
    world.finish();
}

/// What the client keeps fills the ring: the sender waits, until it is released, in whatever order.
#[test]
fn what_is_kept_keeps_its_room() {
    const PART: usize = 1000;
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]];
    let world = World::new(Settings { ring_octets: 4 * PART as u32, ..Settings::DEFAULT });
    for order in orders {
        let pair = Pair::with(&world, Watcher::keeping(), WSK_EVENT_RECEIVE);
        for part in 0..4 {
            assert_eq!(pair.near.send(&stream(part * PART, PART)).wait().status, STATUS_SUCCESS);
            pair.watcher.wait_for_octets((part + 1) * PART);
        }
        ksim::quiesce();
        let more = pair.near.send(&stream(4 * PART, 2 * PART));
        ksim::quiesce();
        assert!(!more.is_done(), "there is no room");
        let kept = pair.watcher.kept.lock().unwrap().clone();
        assert_eq!(kept.len(), 4, "nothing wraps");
        for (turn, index) in order.into_iter().enumerate() {
            let node = kept[index].0;
            assert_eq!(pair.far.release(node), STATUS_INVALID_PARAMETER, "`Next` is no node");
            // SAFETY: it is kept.
            unsafe { (*node).Next = core::ptr::null_mut() };
            let status =
                if turn == 2 { at_dispatch(|| pair.far.release(node)) } else { pair.far.release(node) };
            assert_eq!(status, STATUS_SUCCESS);
            assert_eq!(pair.far.release(node), STATUS_INVALID_PARAMETER, "a second time");
            ksim::quiesce();
            // Room is given in halves of the ring, in the order of the stream.
            let released = &order[..=turn];
            assert_eq!(more.is_done(), released.contains(&0) && released.contains(&1), "{released:?}");
        }
        assert_eq!(more.wait().status, STATUS_SUCCESS);
        pair.watcher.wait_for_octets(6 * PART);
        assert_eq!(pair.watcher.told().0, stream(0, 6 * PART));
        release_all(&pair);
        pair.close();
    }
    world.finish();
}

/// Gives everything back that was kept since, in no particular order.
fn release_all(pair: &Pair) {
    ksim::quiesce();
    let kept = core::mem::take(&mut *pair.watcher.kept.lock().unwrap());
    for node in kept.iter().rev() {
        // Those that are released already are nobody's.
        if pair.far.release(node.0) != STATUS_SUCCESS {
            // SAFETY: the nodes live as long as the socket.
            unsafe { (*node.0).Next = core::ptr::null_mut() };
            let _ = pair.far.release(node.0);
        }
    }
}

/// Every node is kept: no more callbacks until one is back. The stream goes on for receives.
#[test]
fn nodes_run_out() {
    let world = World::new(Settings::DEFAULT);
    let pair = Pair::with(&world, Watcher::keeping(), OCTETS_AND_END);
    for turn in 0..40 {
        assert_eq!(pair.near.send(&stream(turn * 10, 10)).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
    }
    let shown = pair.watcher.told().0.len();
    assert_eq!(shown, 320, "one node for each");
    let received = pair.far.receive(30);
    assert_eq!(received.octets(), stream(320, 30), "in order");
    assert_eq!(pair.near.disconnect().wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.told().1, [], "octets come before the end");
    let node = pair.watcher.kept.lock().unwrap().remove(17).0;
    // SAFETY: it is kept.
    unsafe { (*node).Next = core::ptr::null_mut() };
    assert_eq!(pair.far.release(node), STATUS_SUCCESS);
    pair.watcher.wait(|said| said.last() == Some(&Said::End));
    let (octets, others) = pair.watcher.told();
    assert_eq!((&octets[320..], &others[..]), (&stream(350, 50)[..], &[Said::End][..]));
    release_all(&pair);
    pair.close();
    world.finish();
}

/// Nodes go back inside the callback, before it has answered that it keeps them; or that it does not.
#[test]
fn nodes_are_released_inside_the_callback() {
    let world = World::new(Settings { ring_octets: 4096, ..Settings::DEFAULT });
    for status in [STATUS_PENDING, STATUS_SUCCESS] {
        let watcher = Watcher::new(move |this, shown| {
            let socket = this.alias();
            for node in take_apart(shown.list) {
                // SAFETY: the client's until it is released.
                unsafe { (*node.0).Next = core::ptr::null_mut() };
                assert_eq!(socket.release(node.0), STATUS_SUCCESS);
                assert_eq!(socket.release(node.0), STATUS_INVALID_PARAMETER);
            }
            status
        });
        let pair = Pair::with(&world, watcher, WSK_EVENT_RECEIVE);
        assert_eq!(pair.near.send(&stream(0, 50_000)).wait().status, STATUS_SUCCESS);
        pair.watcher.wait_for_octets(50_000);
        assert_eq!(pair.watcher.told().0, stream(0, 50_000));
        pair.close();
    }
    world.finish();
}

/// The list is released as it was indicated, from another thread, while more comes.
#[test]
fn lists_are_released_from_another_thread() {
    const TOTAL: usize = 400_000;
    let world = World::new(Settings { ring_octets: 8192, ..Settings::DEFAULT });
    let watcher = Watcher::new(|this, shown| {
        this.kept.lock().unwrap().push(Kept(shown.list));
        STATUS_PENDING
    });
    let pair = Pair::with(&world, watcher, OCTETS_AND_END);
    let send = pair.near.send(&stream(0, TOTAL));
    let ending = pair.near.disconnect();
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        for turn in 0..2 {
            let (pair, stop) = (&pair, &stop);
            threads.spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let mut kept = pair.watcher.kept.lock().unwrap();
                    let node =
                        if turn == 0 { kept.pop() } else { (!kept.is_empty()).then(|| kept.remove(0)) };
                    drop(kept);
                    match node {
                        Some(node) => assert_eq!(pair.far.release(node.0), STATUS_SUCCESS),
                        None => std::thread::yield_now(),
                    }
                }
            });
        }
        assert_eq!(send.wait().information, TOTAL);
        assert_eq!(ending.wait().status, STATUS_SUCCESS);
        pair.watcher.wait(|said| said.last() == Some(&Said::End));
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(pair.watcher.told().0, stream(0, TOTAL));
    for node in pair.watcher.kept.lock().unwrap().drain(..) {
        assert_eq!(pair.far.release(node.0), STATUS_SUCCESS);
    }
    pair.close();
    world.finish();
}

/// The close waits for what the client has kept, and the client may still read it.
#[test]
fn a_socket_is_closed_with_nodes_out() {
    let world = World::new(Settings::DEFAULT);
    let pair = Pair::with(&world, Watcher::keeping(), WSK_EVENT_RECEIVE);
    for turn in 0..2 {
        assert_eq!(pair.near.send(&stream(turn * 100, 100)).wait().status, STATUS_SUCCESS);
        pair.watcher.wait_for_octets((turn + 1) * 100);
        ksim::quiesce();
    }
    let socket = pair.far.alias();
    let Pair { near, far, listener, watcher } = pair;
    let closing = far.start_close();
    near.close();
    ksim::quiesce();
    let kept = watcher.kept.lock().unwrap().clone();
    for (turn, node) in kept.iter().enumerate() {
        assert!(closing.completion().is_none(), "the client has a part of the ring");
        // SAFETY: it is kept.
        let buffer = unsafe { (*node.0).Buffer };
        // SAFETY: as above.
        let first = unsafe { (*buffer.Mdl).MappedSystemVa }.cast::<u8>().wrapping_add(buffer.Offset as usize);
        // SAFETY: as above.
        assert_eq!(unsafe { core::slice::from_raw_parts(first, buffer.Length) }, stream(turn * 100, 100));
        // SAFETY: as above.
        unsafe { (*node.0).Next = core::ptr::null_mut() };
        assert_eq!(socket.release(node.0), STATUS_SUCCESS);
    }
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    listener.close();
    world.finish();
}

/// A callback that answers a message at once, and one that closes its own socket and keeps what it was shown.
#[test]
fn callbacks_call_their_socket() {
    let world = World::new(Settings::DEFAULT);
    let closing = Arc::new(TestIrp::new());
    let inside = closing.clone();
    let answers: Arc<Mutex<Vec<Transfer>>> = Arc::default();
    let sent = answers.clone();
    let watcher = Watcher::new(move |this, shown| {
        let socket = this.alias();
        if shown.octets == 3 {
            inside.assert_pending(socket.close_with(inside.submit()));
            assert!(inside.completion().is_none(), "not before this has returned");
            this.kept.lock().unwrap().push(Kept(shown.list));
            return STATUS_PENDING;
        }
        sent.lock().unwrap().push(socket.send(&stream(0, shown.octets)));
        STATUS_SUCCESS
    });
    let pair = Pair::with(&world, watcher, WSK_EVENT_RECEIVE);
    let back = pair.near.receive(100);
    assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
    assert_eq!(back.octets(), stream(0, 100));
    assert_eq!(pair.near.send(b"end").wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(103);
    ksim::quiesce();
    // What it has kept keeps the close waiting.
    assert!(closing.completion().is_none());
    let Pair { near, far, listener, watcher } = pair;
    let node = watcher.kept.lock().unwrap().pop().unwrap();
    assert_eq!(far.release(node.0), STATUS_SUCCESS);
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    watcher.gone.store(true, Ordering::SeqCst);
    drop(answers);
    near.close();
    listener.close();
    world.finish();
}

/// The receive-ex callback takes the place of the other one, enabled or not.
#[test]
fn receive_ex_takes_everything() {
    let world = World::new(Settings::DEFAULT);
    let turns = AtomicUsize::new(0);
    let watcher = Watcher::new(move |_, _| {
        if turns.fetch_add(1, Ordering::SeqCst) == 1 { STATUS_DATA_NOT_ACCEPTED } else { STATUS_SUCCESS }
    });
    let pair = Pair::new(&world, watcher, true);
    crate::connection::Connection::set_receive_ex(&pair.far.object(), Some(receive_ex));
    assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(100);
    assert_eq!(pair.near.send(&stream(100, 100)).wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(200);
    ksim::quiesce();
    // WskReceiveEx lets it go on.
    let received = pair.far.receive_ex(40);
    assert_eq!(received.octets(), stream(100, 40));
    pair.watcher.wait_for_octets(260);
    crate::connection::Connection::set_receive_ex(&pair.far.object(), None);
    assert_eq!(pair.near.send(&stream(200, 100)).wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(pair.watcher.said().len(), 3);
    assert_eq!(pair.far.receive(100).octets(), stream(200, 100));
    pair.close();
    world.finish();
}

/// The adapter goes: one notice, and nothing works any more but the close.
#[test]
fn the_adapter_goes() {
    let world = World::new(Settings::DEFAULT);
    let pair = Pair::with(&world, Watcher::keeping(), OCTETS_AND_END);
    assert_eq!(pair.near.send(&stream(0, 100)).wait().status, STATUS_SUCCESS);
    pair.watcher.wait_for_octets(100);
    ksim::quiesce();
    let waiting = pair.far.receive(10);
    crate::connection::Connection::no_longer_functional(&pair.far.object());
    assert_eq!(waiting.wait().status, STATUS_FILE_FORCED_CLOSED);
    pair.watcher.wait(|said| said.last() == Some(&Said::Death));
    assert_eq!(pair.far.send(b"too late").wait().status, STATUS_FILE_FORCED_CLOSED);
    assert_eq!(pair.far.receive(10).wait().status, STATUS_FILE_FORCED_CLOSED);
    assert_eq!(pair.far.disconnect().wait().status, STATUS_FILE_FORCED_CLOSED);
    assert_eq!(pair.far.events(WSK_EVENT_RECEIVE), STATUS_FILE_FORCED_CLOSED);
    ksim::quiesce();
    assert_eq!(pair.watcher.told().1, [Said::Death], "once");
    release_all(&pair);
    pair.close();
    world.finish();
}
