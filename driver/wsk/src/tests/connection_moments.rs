//! Interferences at every moment of a stream that goes through callbacks.
//!
//! A scene sends with the kernel stopped, lets it go on for so many steps, interferes, and lets everything run. Then every
//! request ends, no callback comes when it may not, the client gets each octet once, and nothing is left. The same scene is
//! played with one step more, until the stream has ended before the interference.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;
use ksim::client::TestIrp;
use softndk::AnswerMode;

use super::crank::Crank;
use super::harness::*;
use super::watcher::*;
use crate::Settings;

/// Each octet of the stream is another one. The ring is shorter, so that indications wrap.
const LENGTHS: [usize; 4] = [60, 100, 1, 79];
const TOTAL: u8 = 240;
const RING: u32 = 128;
/// No stream takes more steps.
const STEPS_MAX: usize = 200;
const EVENTS: u32 = WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT;

/// What the callback does, until it is told to take everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Take,
    /// Takes a half.
    Half,
    Refuse,
    Keep,
    /// Keeps nothing: releases before it says that it keeps.
    KeepAndRelease,
    /// Closes its socket.
    Close,
    /// Disables its own event, with an IRP.
    Disable,
    /// Posts a receive and takes nothing.
    Receive,
}

const HABITS: [Habit; 8] = [
    Habit::Take,
    Habit::Half,
    Habit::Refuse,
    Habit::Keep,
    Habit::KeepAndRelease,
    Habit::Close,
    Habit::Disable,
    Habit::Receive,
];

/// What somebody does in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// Nothing.
    None,
    /// WskCloseSocket of the end with callbacks, or of the other one.
    Close,
    CloseNear,
    /// An abortive WskDisconnect, of either.
    Abort,
    AbortNear,
    /// The event for octets is disabled, with an IRP; which is cancelled; and enabled again.
    Disable,
    DisableAndCancel,
    DisableAndEnable,
    /// A receive of 0 octets; of 10; one that is cancelled.
    ReceiveNone,
    Receive,
    ReceiveAndCancel,
    /// Everything that is kept is released.
    Release,
    /// The adapter goes.
    Die,
}

const DEEDS: [Deed; 13] = [
    Deed::None,
    Deed::Close,
    Deed::CloseNear,
    Deed::Abort,
    Deed::AbortNear,
    Deed::Disable,
    Deed::DisableAndCancel,
    Deed::DisableAndEnable,
    Deed::ReceiveNone,
    Deed::Receive,
    Deed::ReceiveAndCancel,
    Deed::Release,
    Deed::Die,
];

impl Deed {
    /// Whether the stream goes on after it.
    fn is_harmless(self) -> bool {
        !matches!(self, Self::Close | Self::CloseNear | Self::Abort | Self::AbortNear | Self::Die)
    }
}

/// What the callbacks of a play share with it.
#[derive(Default)]
struct Shared {
    /// From now on everything is taken.
    willing: AtomicBool,
    /// Octets that the callback has taken.
    taken: Mutex<Vec<u8>>,
    /// Receives that were posted inside.
    receives: Mutex<Vec<Transfer>>,
    /// Other requests made inside.
    requests: Mutex<Vec<TestIrp>>,
    closing: Mutex<Option<TestIrp>>,
}

impl Shared {
    fn answer(&self, habit: Habit, watcher: &Watcher, shown: &mut Shown) -> NTSTATUS {
        let (status, octets) = if self.willing.load(Ordering::SeqCst) {
            (STATUS_SUCCESS, shown.octets)
        } else {
            self.behave(habit, watcher, shown)
        };
        self.taken.lock().unwrap().extend(shown.read().iter().take(octets));
        if status == STATUS_PENDING && habit != Habit::KeepAndRelease {
            watcher.kept.lock().unwrap().extend(take_apart(shown.list));
        } else if status == STATUS_PENDING {
            release(&watcher.alias(), take_apart(shown.list));
        }
        status
    }

    /// The answer, and how many octets are taken by it.
    fn behave(&self, habit: Habit, watcher: &Watcher, shown: &mut Shown) -> (NTSTATUS, usize) {
        let socket = watcher.alias();
        match habit {
            Habit::Take => (STATUS_SUCCESS, shown.octets),
            Habit::Half => {
                shown.accepted = shown.octets / 2;
                (STATUS_SUCCESS, shown.accepted)
            }
            Habit::Refuse => (STATUS_DATA_NOT_ACCEPTED, 0),
            Habit::Keep | Habit::KeepAndRelease => (STATUS_PENDING, shown.octets),
            Habit::Close => {
                let mut closing = self.closing.lock().unwrap();
                if closing.is_none() {
                    *closing = Some(socket.start_close());
                }
                (STATUS_SUCCESS, shown.octets)
            }
            Habit::Disable => {
                self.requests.lock().unwrap().push(socket.events_with(WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE));
                (STATUS_SUCCESS, shown.octets)
            }
            Habit::Receive => {
                self.receives.lock().unwrap().push(socket.receive(7));
                (STATUS_DATA_NOT_ACCEPTED, 0)
            }
        }
    }
}

fn release(socket: &Connection, nodes: Vec<Kept>) {
    for node in nodes {
        // SAFETY: it is kept.
        unsafe { (*node.0).Next = core::ptr::null_mut() };
        assert_eq!(socket.release(node.0), STATUS_SUCCESS);
    }
}

fn take_kept(watcher: &Watcher) -> Vec<Kept> {
    core::mem::take(&mut *watcher.kept.lock().unwrap())
}

/// Plays a scene with the deed after so many steps. Whether the stream had ended by then.
fn play(world: &World, habit: Habit, deed: Deed, steps: usize) -> bool {
    let place = (habit, deed, steps);
    let shared = Arc::new(Shared::default());
    let inside = shared.clone();
    let watcher = Watcher::new(move |watcher, shown| inside.answer(habit, watcher, shown));
    let Pair { near, far, listener, watcher } = Pair::with(world, watcher, EVENTS);
    let mut crank = Crank::hold();
    let stream: Vec<u8> = (0..TOTAL).collect();
    let mut rest = &stream[..];
    let mut sends = Vec::new();
    for length in LENGTHS {
        sends.push(near.send(&rest[..length]));
        rest = &rest[length..];
    }
    let ending = near.disconnect();
    for _ in 0..steps {
        crank.step();
    }
    let before = watcher.told().1;
    // Nothing is done to a socket that was closed inside its callback.
    let closed_inside = shared.closing.lock().unwrap().is_some();
    let open = !closed_inside;
    let (mut near, mut closings) = (Some(near), Vec::new());
    match deed {
        Deed::Close if open => closings.push(far.alias().start_close()),
        Deed::CloseNear => closings.extend(near.take().map(Connection::start_close)),
        Deed::Abort if open => drop(far.abort().wait()),
        Deed::AbortNear => drop(near.as_ref().map(|near| near.abort().wait())),
        Deed::Disable if open => {
            let irp = far.events_with(WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE);
            shared.requests.lock().unwrap().push(irp);
        }
        Deed::DisableAndCancel if open => {
            let irp = far.events_with(WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE);
            irp.cancel();
            shared.requests.lock().unwrap().push(irp);
        }
        Deed::DisableAndEnable if open => {
            far.events(WSK_EVENT_DISABLE | WSK_EVENT_RECEIVE);
            assert_eq!(far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
        }
        Deed::ReceiveNone if open => shared.requests.lock().unwrap().push(far.receive_none(0)),
        Deed::Receive if open => shared.receives.lock().unwrap().push(far.receive(10)),
        Deed::ReceiveAndCancel if open => {
            let receive = far.receive(10);
            receive.cancel();
            shared.receives.lock().unwrap().push(receive);
        }
        Deed::Release if open => release(&far, take_kept(&watcher)),
        Deed::Die if open => crate::connection::Connection::no_longer_functional(&far.object()),
        _ => {}
    }
    let closes = deed == Deed::Close && open;
    drop(crank);
    ksim::quiesce();
    let closed_inside = shared.closing.lock().unwrap().is_some();
    if !closes && !closed_inside {
        // Everything is taken now.
        shared.willing.store(true, Ordering::SeqCst);
        let _ = far.events(WSK_EVENT_RECEIVE);
        ksim::quiesce();
        release(&far, take_kept(&watcher));
        far.receive_none(0).wait();
        ksim::quiesce();
    } else {
        release(&far, take_kept(&watcher));
    }
    let mut got = shared.taken.lock().unwrap().clone();
    assert!(got.is_sorted(), "{place:?}: out of order");
    if deed.is_harmless() && !closed_inside {
        for send in &sends {
            assert_eq!(send.wait().status, STATUS_SUCCESS, "{place:?}");
        }
        assert_eq!(ending.wait().status, STATUS_SUCCESS, "{place:?}");
        watcher.wait(|said| said.last() == Some(&Said::End));
        assert_eq!(watcher.told().1, [Said::End], "{place:?}");
    } else if !closes && !closed_inside {
        let mut told = watcher.told().1;
        told.retain(|said| *said != Said::End);
        match deed {
            Deed::Abort => assert_eq!(told, [], "{place:?}: its own doing"),
            // The event may be disabled by then.
            Deed::Die if habit == Habit::Disable && told.is_empty() => {}
            Deed::Die => assert_eq!(told, [Said::Death], "{place:?}"),
            _ => assert_eq!(told, [Said::Loss], "{place:?}"),
        }
    }
    let closing = shared.closing.lock().unwrap().take();
    match closing {
        Some(closing) => closings.push(closing),
        None if closes => {}
        None => closings.push(far.start_close()),
    }
    closings.extend(near.map(Connection::start_close));
    for closing in closings {
        assert_eq!(closing.wait().status, STATUS_SUCCESS, "{place:?}");
    }
    watcher.gone.store(true, Ordering::SeqCst);
    for receive in shared.receives.lock().unwrap().drain(..) {
        receive.wait();
        got.extend(receive.octets());
    }
    for request in shared.requests.lock().unwrap().drain(..) {
        let status = request.wait().status;
        assert!([STATUS_SUCCESS, STATUS_CANCELLED].contains(&status), "{place:?}");
    }
    for send in &sends {
        send.wait();
    }
    ending.wait();
    got.sort_unstable();
    let count = got.len();
    got.dedup();
    assert_eq!(got.len(), count, "{place:?}: an octet twice");
    if deed.is_harmless() && !closed_inside {
        assert_eq!(got, stream, "{place:?}: octets are missing");
    }
    listener.close();
    ksim::quiesce();
    assert_eq!(irp::account().outstanding(), 0, "{place:?}");
    before.contains(&Said::End) || closed_inside
}

/// Plays every habit with every deed at every moment, over an adapter that answers so.
fn play_all(answers: AnswerMode) {
    let world = World::answering(Settings { ring_octets: RING, ..Settings::DEFAULT }, answers);
    let most = (0..STEPS_MAX).find(|steps| play(&world, Habit::Take, Deed::None, *steps)).unwrap();
    for habit in HABITS {
        for deed in DEEDS {
            for steps in 0..=most + 1 {
                play(&world, habit, deed, steps);
            }
        }
    }
    world.finish();
}

#[test]
fn every_moment_over_an_adapter_that_answers_inline() {
    play_all(AnswerMode::Inline);
}

#[test]
fn every_moment_over_an_adapter_that_answers_later() {
    play_all(AnswerMode::Later);
}

#[test]
fn every_moment_over_an_adapter_that_answers_early() {
    play_all(AnswerMode::Early);
}
