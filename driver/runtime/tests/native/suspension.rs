//! Cancels, closes and aborts at every moment of every operation.
//!
//! A scene begins an operation with the kernel stopped, lets it go on for so many steps, interferes, and lets everything run.
//! Then every request has to end, with a status that fits, and everything has to be as free as before. The same scene is
//! played with one step more, until the operation is over before the interference.

use abi::status::{
    STATUS_CANCELLED, STATUS_CONNECTION_ABORTED, STATUS_CONNECTION_DISCONNECTED, STATUS_CONNECTION_REFUSED,
    STATUS_CONNECTION_RESET, STATUS_INVALID_DEVICE_STATE, STATUS_SUCCESS,
};
use abi::wsk::{WSK_FLAG_ABORTIVE, WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_WAITALL};
use cases::World;
use cases::world::{Call, Completion, Operation, Socket};
use std::time::Duration;
use wskrdma_runtime::Config;

use crate::crank::Crank;
use crate::stage::{ANY, MODES, Stage, accept, close, connect, disconnect, receive, send};
use crate::world::Native;

/// No operation takes more steps.
const STEPS_MAX: usize = 400;
/// What a request on a connection ends with that somebody interferes with.
const ENDS: [i32; 6] = [
    STATUS_SUCCESS,
    STATUS_CANCELLED,
    STATUS_CONNECTION_RESET,
    STATUS_CONNECTION_ABORTED,
    STATUS_CONNECTION_DISCONNECTED,
    STATUS_CONNECTION_REFUSED,
];

/// What somebody does in the middle of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    /// `IoCancelIrp` of the request with this number.
    Cancel(usize),
    /// `WskCloseSocket` of the socket with this number.
    Close(usize),
    /// An abortive `WskDisconnect` of that socket.
    Abort(usize),
    /// A graceful one.
    Disconnect(usize),
}

/// What a scene has begun.
struct Begun {
    sockets: Vec<Socket>,
    requests: Vec<Operation>,
}

/// Plays a scene with interferences at every step: `begin` makes the calls with the kernel stopped, `deeds` is what is done
/// in the middle, all of it in one moment, and `after` looks at the result.
fn play(
    name: &str,
    prepare: impl Fn(&mut Stage) -> Vec<Socket>,
    begin: impl Fn(&mut Stage, &[Socket]) -> Vec<Operation>,
    deeds: &[Deed],
    after: impl Fn(&mut Stage, &Begun),
) {
    for answers in MODES {
        let mut stage = Stage { world: Native::start(Config { answers, ..Config::default() }) };
        let mut steps = 0;
        loop {
            let sockets = prepare(&mut stage);
            let mut crank = Crank::hold();
            let requests = begin(&mut stage, &sockets);
            let begun = Begun { sockets, requests };
            for _ in 0..steps {
                crank.step();
            }
            let over = begun.requests.iter().all(|request| stage.is_done(*request));
            let mut closes = Vec::new();
            let mut extra = Vec::new();
            for deed in deeds {
                match *deed {
                    Deed::Cancel(request) => stage.world.cancel(begun.requests[request]),
                    Deed::Close(socket) => closes.push((socket, stage.start(&close(begun.sockets[socket])))),
                    Deed::Abort(socket) => {
                        extra.push(stage.start(&disconnect(begun.sockets[socket], WSK_FLAG_ABORTIVE)));
                    }
                    Deed::Disconnect(socket) => {
                        extra.push(stage.start(&disconnect(begun.sockets[socket], 0)))
                    }
                }
            }
            drop(crank);
            for (socket, closing) in &closes {
                let closed = stage.end(*closing);
                let place = (name, answers, deeds, steps);
                assert_eq!((closed.status, closed.information), (STATUS_SUCCESS, 0), "{socket} {place:?}");
            }
            after(&mut stage, &begun);
            stage.world.clear();
            ksim::quiesce();
            assert_eq!(irp::account().outstanding(), 0, "{name} {answers:?} {deeds:?} at step {steps}");
            if over {
                break;
            }
            steps += 1;
            assert!(steps < STEPS_MAX, "{name} {answers:?} {deeds:?}: the operation has no end");
        }
        stage.world.finish();
    }
}

/// Every request ends, and with one of these.
#[track_caller]
fn all_end(stage: &mut Stage, requests: &[Operation], statuses: &[i32]) -> Vec<Completion> {
    let mut ends = Vec::new();
    for (number, request) in requests.iter().enumerate() {
        let end = stage.end(*request);
        assert!(statuses.contains(&end.status), "request {number} ends with {:#x}", end.status);
        assert!(end.pending_returned, "request {number}");
        ends.push(end);
    }
    ends
}

/// Sockets: 0 the connecting one, 1 the listening one. Requests: 0 the connect, 1 the accept.
fn play_connecting(deeds: &[Deed], after: impl Fn(&mut Stage, &Begun, &[Completion])) {
    let _alone = ksim::exclusive();
    play(
        "connecting",
        |stage| {
            let (listener, _) = stage.listener();
            vec![stage.bound(), listener]
        },
        |stage, sockets| {
            let at = stage.succeeds(&Call::LocalAddress { on: sockets[1].into() }).address.unwrap();
            vec![stage.start(&connect(sockets[0], at)), stage.start(&accept(sockets[1]))]
        },
        deeds,
        |stage, begun| {
            // Where nothing connects, the accept waits until its socket is closed.
            let closes_listener = deeds.contains(&Deed::Close(1));
            let connected = stage.end(begun.requests[0]);
            assert!(ENDS.contains(&connected.status), "the connect ends with {:#x}", connected.status);
            let mut ends = vec![connected];
            if closes_listener || deeds.contains(&Deed::Cancel(1)) {
                ends.push(stage.end(begun.requests[1]));
                assert!([STATUS_SUCCESS, STATUS_CANCELLED].contains(&ends[1].status));
            }
            after(stage, begun, &ends);
        },
    );
}

#[test]
fn a_connect_is_cancelled() {
    play_connecting(&[Deed::Cancel(0)], |stage, begun, ends| {
        let (near, listener) = (begun.sockets[0], begun.sockets[1]);
        let at = stage.succeeds(&Call::LocalAddress { on: listener.into() }).address.unwrap();
        if ends[0].status == STATUS_SUCCESS {
            let far = stage.end(begun.requests[1]).socket.unwrap();
            return stage.talk(near, far);
        }
        // The socket is as before: it can connect again, at once.
        let again = stage.start(&connect(near, at));
        assert_eq!(stage.end(again).status, STATUS_SUCCESS);
        // The accept may have got the first connection, which is dead.
        let mut far = stage.end(begun.requests[1]);
        let here = stage.succeeds(&Call::LocalAddress { on: near.into() }).address;
        let reading = stage.start(&receive(far.socket.unwrap(), &[1], 0));
        if stage
            .world
            .wait(reading, Duration::from_millis(20))
            .is_some_and(|end| end.status != STATUS_SUCCESS)
        {
            let accepting = stage.start(&accept(listener));
            far = stage.end(accepting);
        } else {
            stage.world.cancel(reading);
            stage.end(reading);
        }
        assert_eq!(far.remote, here);
        stage.talk(near, far.socket.unwrap());
    });
}

#[test]
fn a_connecting_socket_is_closed() {
    play_connecting(&[Deed::Close(0)], |_, _, _| {});
}

#[test]
fn a_connect_is_cancelled_and_its_socket_closed() {
    play_connecting(&[Deed::Cancel(0), Deed::Close(0)], |_, _, _| {});
}

#[test]
fn a_listener_is_closed_while_somebody_connects() {
    play_connecting(&[Deed::Close(1)], |_, _, ends| {
        if ends[1].status == STATUS_SUCCESS {
            assert_eq!(ends[0].status, STATUS_SUCCESS);
        }
    });
}

#[test]
fn both_ends_of_a_connect_are_closed() {
    play_connecting(&[Deed::Close(0), Deed::Close(1)], |_, _, _| {});
    play_connecting(&[Deed::Close(1), Deed::Close(0)], |_, _, _| {});
}

#[test]
fn an_accept_is_cancelled() {
    play_connecting(&[Deed::Cancel(1)], |stage, begun, ends| {
        assert_eq!(ends[0].status, STATUS_SUCCESS);
        let far = if ends[1].status == STATUS_SUCCESS {
            ends[1].socket
        } else {
            // The connection waits for the next one.
            let accepting = stage.start(&accept(begun.sockets[1]));
            stage.end(accepting).socket
        };
        stage.talk(begun.sockets[0], far.unwrap());
    });
}

#[test]
fn a_listener_is_closed_while_it_is_bound() {
    let _alone = ksim::exclusive();
    play(
        "binding",
        |stage| vec![stage.socket(WSK_FLAG_LISTEN_SOCKET)],
        |stage, sockets| vec![stage.start(&Call::Bind { on: sockets[0].into(), address: Some(ANY) })],
        &[Deed::Close(0)],
        |stage, begun| {
            all_end(stage, &begun.requests, &[STATUS_SUCCESS, STATUS_CANCELLED]);
        },
    );
}

#[test]
fn a_bind_is_cancelled() {
    let _alone = ksim::exclusive();
    play(
        "binding",
        |stage| vec![stage.socket(WSK_FLAG_LISTEN_SOCKET)],
        |stage, sockets| vec![stage.start(&Call::Bind { on: sockets[0].into(), address: Some(ANY) })],
        &[Deed::Cancel(0)],
        |stage, begun| {
            let bound = all_end(stage, &begun.requests, &[STATUS_SUCCESS, STATUS_CANCELLED]);
            if bound[0].status == STATUS_CANCELLED {
                stage.bind(begun.sockets[0]);
            }
        },
    );
}

/// Sockets: 0 sends, 1 receives, 2 listens. Requests: 0 and 1 the sends, 2 and 3 the receives, 4 a receive the other way.
fn play_sending(
    lengths: [&'static [usize]; 2],
    deeds: &[Deed],
    after: impl Fn(&mut Stage, &Begun, &[Completion]),
) {
    let _alone = ksim::exclusive();
    play(
        "sending",
        |stage| {
            let (listener, near, far) = stage.pair();
            vec![near, far, listener]
        },
        |stage, sockets| {
            vec![
                stage.start(&send(sockets[0], lengths[0])),
                stage.start(&send(sockets[0], lengths[1])),
                stage.start(&receive(sockets[1], lengths[0], WSK_FLAG_WAITALL)),
                stage.start(&receive(sockets[1], lengths[1], WSK_FLAG_WAITALL)),
            ]
        },
        deeds,
        |stage, begun| {
            let quiet = deeds.iter().all(|deed| matches!(deed, Deed::Cancel(2 | 3)));
            let ends: Vec<Completion> = if quiet {
                // Nothing ends the stream: the sends wait until somebody receives what the cancelled one did not.
                all_end(stage, &begun.requests[2..3], &[STATUS_SUCCESS, STATUS_CANCELLED])
            } else {
                all_end(stage, &begun.requests, &ENDS)
            };
            after(stage, begun, &ends);
        },
    );
}

/// Little, which goes at once; and much, which needs the other side to make room.
const LITTLE: [&[usize]; 2] = [&[100], &[50]];
const MUCH: [&[usize]; 2] = [&[400_000], &[50]];

#[test]
fn a_sender_is_closed() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Close(0)], |_, _, _| {});
    }
}

#[test]
fn a_receiver_is_closed() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Close(1)], |_, _, _| {});
    }
}

#[test]
fn both_ends_of_a_stream_are_closed() {
    play_sending(MUCH, &[Deed::Close(0), Deed::Close(1)], |_, _, _| {});
}

#[test]
fn a_sender_aborts() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Abort(0)], |_, _, _| {});
    }
}

#[test]
fn a_receiver_aborts() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Abort(1)], |_, _, _| {});
    }
}

#[test]
fn a_send_is_cancelled_at_any_moment() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Cancel(0), Deed::Close(0)], |_, _, _| {});
    }
}

#[test]
fn a_sender_disconnects_behind_its_sends() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Disconnect(0)], |stage, begun, ends| {
            for end in ends {
                assert_eq!(end.status, STATUS_SUCCESS);
            }
            let last = stage.start(&receive(begun.sockets[1], &[1], 0));
            let last = stage.end(last);
            assert_eq!((last.status, last.information), (STATUS_SUCCESS, 0));
        });
    }
}

/// Whatever the cancelled receive has taken it reports; the rest goes to the next one.
#[test]
fn a_receive_is_cancelled_at_any_moment() {
    for lengths in [LITTLE, MUCH] {
        play_sending(lengths, &[Deed::Cancel(2)], |stage, begun, ends| {
            let total: usize = lengths.iter().copied().flatten().sum();
            let mut got = ends[0].information;
            // The second receive, then as many as are needed.
            let mut next = begun.requests[3];
            while got < total {
                let end = stage.end(next);
                assert_eq!(end.status, STATUS_SUCCESS);
                got += end.information;
                if got < total {
                    let rest = [(total - got).min(lengths[1][0])];
                    next = stage.start(&receive(begun.sockets[1], &rest, WSK_FLAG_WAITALL));
                }
            }
            assert_eq!(got, total);
            all_end(stage, &begun.requests[..2], &[STATUS_SUCCESS]);
            stage.talk(begun.sockets[1], begun.sockets[0]);
        });
    }
}

/// Sockets: 0 and 1 the ends, 2 listens. Requests: 0 and 1 the disconnects, 2 and 3 receives that wait for the end.
fn play_disconnecting(deeds: &[Deed]) {
    let _alone = ksim::exclusive();
    play(
        "disconnecting",
        |stage| {
            let (listener, near, far) = stage.pair();
            vec![near, far, listener]
        },
        |stage, sockets| {
            vec![
                stage.start(&disconnect(sockets[0], 0)),
                stage.start(&disconnect(sockets[1], 0)),
                stage.start(&receive(sockets[0], &[10], 0)),
                stage.start(&receive(sockets[1], &[10], 0)),
            ]
        },
        deeds,
        |stage, begun| {
            let ends = all_end(stage, &begun.requests, &ENDS);
            for end in ends {
                assert_eq!(end.information, 0);
            }
        },
    );
}

#[test]
fn a_disconnecting_end_is_closed() {
    play_disconnecting(&[Deed::Close(0)]);
    play_disconnecting(&[Deed::Close(1)]);
    play_disconnecting(&[Deed::Close(0), Deed::Close(1)]);
}

#[test]
fn a_disconnecting_end_aborts() {
    play_disconnecting(&[Deed::Abort(0)]);
    play_disconnecting(&[Deed::Abort(1), Deed::Abort(0)]);
}

#[test]
fn a_disconnect_is_cancelled() {
    play_disconnecting(&[Deed::Cancel(0)]);
    play_disconnecting(&[Deed::Cancel(0), Deed::Cancel(1)]);
}

/// A socket that is being closed, with requests waiting, while the other end does something.
fn play_closing(deeds: &[Deed]) {
    let _alone = ksim::exclusive();
    play(
        "closing",
        |stage| {
            let (listener, near, far) = stage.pair();
            let mut sockets = vec![near, far, listener];
            sockets.push(near);
            sockets
        },
        |stage, sockets| {
            let requests = vec![
                stage.start(&receive(sockets[0], &[10], 0)),
                stage.start(&send(sockets[0], &[1_000_000])),
                stage.start(&receive(sockets[1], &[1_000_000], WSK_FLAG_WAITALL)),
                stage.start(&send(sockets[1], &[10])),
            ];
            stage.start(&close(sockets[0]));
            requests
        },
        deeds,
        |stage, begun| {
            let mut statuses = ENDS.to_vec();
            statuses.push(STATUS_INVALID_DEVICE_STATE);
            all_end(stage, &begun.requests, &statuses);
        },
    );
}

#[test]
fn the_other_end_acts_while_one_is_closing() {
    play_closing(&[Deed::Close(1)]);
    play_closing(&[Deed::Abort(1)]);
    play_closing(&[Deed::Disconnect(1), Deed::Close(1)]);
    play_closing(&[Deed::Close(2), Deed::Close(1)]);
    play_closing(&[Deed::Cancel(2), Deed::Cancel(3)]);
}
