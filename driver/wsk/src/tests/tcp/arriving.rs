//! Listening sockets whose connections come over RDMA and over TCP.

use std::sync::atomic::Ordering;
use std::vec::Vec;

use abi::status::*;
use abi::wsk::*;
use abi::wskrdma::{WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use ksim::wsk::{Function, Route, calls, fail_next, route};
use trace::Reason;

use super::super::control::Form;
use super::super::harness::{Connection, PATIENCE, loopback};
use super::super::listening::client::{Client, Event, Listening, talk};
use super::super::watcher::{Said, Watcher};
use super::stage::*;
use crate::Settings;

/// The twin of the only listening socket of ours.
fn twin() -> *mut WSK_SOCKET {
    let sockets = ksim::wsk::sockets();
    let mut listeners = sockets.iter().filter(|s| s.category == WSK_FLAG_LISTEN_SOCKET);
    let twin = listeners.next().expect("a twin").socket;
    assert!(listeners.next().is_none());
    twin
}

/// A socket that connects over TCP, and one that connects over RDMA or not at all.
fn over_tcp(stage: &Stage) -> Connection {
    stage.plain.bound(WSK_FLAG_CONNECTION_SOCKET, loopback(0))
}

/// A listening socket under conditional accept, as a client asks for that.
fn conditional(stage: &Stage) -> Listening {
    let mut listener = Listening::created(&stage.world, Client::new());
    let set = Form::new(&1_u32.to_le_bytes(), 0)
        .control(listener.raw.0, (WskSetOption, SO_CONDITIONAL_ACCEPT, SOL_SOCKET));
    assert_eq!(set.status, STATUS_SUCCESS);
    listener.bind();
    listener
}

/// Waits for a condition that something outside of the queues brings about.
#[track_caller]
fn until(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it does not come about");
        std::thread::yield_now();
    }
}

/// Connects three sockets, the second one over TCP, one after the other.
fn three(stage: &Stage, port: u16) -> [Connection; 3] {
    [stage.world.connection(), over_tcp(stage), stage.world.connection()].map(|near| {
        assert_eq!(near.connect(port).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        near
    })
}

const PATHS: [(u32, Reason); 3] = [
    (WSKRDMA_PATH_RDMA, Reason::Rdma),
    (WSKRDMA_PATH_TCP, Reason::PeerChoseTcp),
    (WSKRDMA_PATH_RDMA, Reason::Rdma),
];

#[test]
fn both_kinds_wait_in_one_queue() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = Listening::new(&stage.world);
        assert_eq!(path(listener.raw.0), (WSKRDMA_PATH_RDMA, Reason::BothPaths));
        let near = three(&stage, listener.port);
        for (near, expected) in near.iter().zip(PATHS) {
            let accepted = listener.accept().wait();
            assert_eq!(accepted.status, STATUS_SUCCESS);
            let far = Connection::from_accept(accepted.information);
            assert_eq!(path(far.raw()), expected);
            let [local, remote] = addresses(near);
            assert_eq!(addresses(&far), [remote, local]);
            talk(near, &far);
            far.close();
        }
        near.into_iter().for_each(Connection::close);
        listener.close();
        stage.finish();
    }
}

#[test]
fn both_kinds_meet_pending_accepts() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = Listening::new(&stage.world);
        let accepts = [(); 3].map(|()| listener.accept());
        let near = three(&stage, listener.port);
        for ((near, expected), accept) in near.into_iter().zip(PATHS).zip(&accepts) {
            let far = Connection::from_accept(accept.wait().information);
            assert_eq!(path(far.raw()), expected);
            talk(&near, &far);
            far.close();
            near.close();
        }
        listener.close();
        stage.finish();
    }
}

#[test]
fn both_kinds_come_by_callback() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = Listening::new(&stage.world);
        let early = three(&stage, listener.port);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        let late = three(&stage, listener.port);
        for (near, expected) in early.into_iter().chain(late).zip(PATHS.into_iter().chain(PATHS)) {
            let (far, local, remote) = listener.client.accepted();
            assert_eq!(path(far.raw()), expected);
            assert_eq!(addresses(&near), [Ok(remote), Ok(local)]);
            talk(&near, &far);
            far.close();
            near.close();
        }
        listener.close();
        stage.finish();
    }
}

#[test]
fn the_client_does_not_want_it() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = Listening::new(&stage.world);
        listener.client.on_accept(|_| STATUS_REQUEST_NOT_ACCEPTED);
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
        for near in three(&stage, listener.port) {
            assert!(matches!(listener.client.next(), Event::Accept { .. }));
            assert_ne!(near.receive(1).wait().status, STATUS_SUCCESS);
            near.close();
        }
        listener.close();
        stage.finish();
    }
}

/// Closes the accepted socket in the callback that delivers it.
#[test]
fn closed_in_the_callback() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = Listening::new(&stage.world);
        let closes = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let kept = closes.clone();
        listener.client.on_accept(move |socket| {
            kept.lock().unwrap().push(socket.connection().start_close());
            STATUS_SUCCESS
        });
        let events = WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT;
        assert_eq!(listener.set_events(events), STATUS_SUCCESS);
        let near = three(&stage, listener.port);
        until(|| closes.lock().unwrap().len() == 3);
        for close in closes.lock().unwrap().drain(..) {
            assert_eq!(close.wait().status, STATUS_SUCCESS);
        }
        near.into_iter().for_each(Connection::close);
        listener.client.rest();
        listener.close();
        stage.finish();
    }
}

#[test]
fn the_client_judges_both_kinds() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = conditional(&stage);
        for action in [WskInspectAccept, WskInspectReject, WskInspectPend] {
            for tcp in [false, true] {
                listener.client.on_inspect(move |_| action);
                let near = if tcp { over_tcp(&stage) } else { stage.world.connection() };
                let connecting = near.connect(listener.port);
                let id = listener.client.inspected();
                if action == WskInspectPend {
                    ksim::quiesce();
                    assert!(connecting.completion().is_none());
                    assert_eq!(listener.complete(id, WskInspectAccept).wait().status, STATUS_SUCCESS);
                }
                if action == WskInspectReject {
                    assert_eq!(connecting.wait().status, STATUS_CONNECTION_REFUSED);
                } else {
                    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
                    let far = Connection::from_accept(listener.accept().wait().information);
                    talk(&near, &far);
                    let size = size_of::<WSK_INSPECT_ID>();
                    let form = Form::new(&[], size);
                    let told = form.control(far.raw(), (WskIoctl, SIO_WSK_QUERY_INSPECT_ID, 0));
                    assert_eq!(told.status, STATUS_SUCCESS);
                    let key = id.Key.to_ne_bytes();
                    assert!(told.output.starts_with(&key));
                    far.close();
                }
                near.close();
            }
        }
        listener.close();
        stage.finish();
    }
}

/// What the client of a listener refuses over RDMA does not come again over TCP.
#[test]
fn the_client_is_asked_once() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let listener = conditional(&stage);
        for later in [false, true] {
            listener.client.on_inspect(move |_| if later { WskInspectPend } else { WskInspectReject });
            let near = stage.world.connection();
            let connecting = near.connect(listener.port);
            let id = listener.client.inspected();
            if later {
                ksim::quiesce();
                assert_eq!(listener.complete(id, WskInspectReject).wait().status, STATUS_SUCCESS);
            }
            assert_eq!(connecting.wait().status, STATUS_CONNECTION_REFUSED);
            ksim::quiesce();
            listener.client.rest();
            // Nor is RDMA to there forgotten about.
            listener.client.on_inspect(|_| WskInspectAccept);
            assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
            assert_eq!(path(near.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
            listener.client.inspected();
            Connection::from_accept(listener.accept().wait().information).close();
            near.close();
        }
        listener.close();
        stage.finish();
    }
}

#[test]
fn a_pending_request_is_given_up_or_dropped() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let listener = conditional(&stage);
        listener.client.on_inspect(|_| WskInspectPend);
        let near = over_tcp(&stage);
        let connecting = near.connect(listener.port);
        let id = listener.client.inspected();
        ksim::quiesce();
        connecting.cancel();
        assert_eq!(connecting.wait().status, STATUS_CANCELLED);
        assert_eq!(listener.client.next(), Event::Abort(id));
        // And one that the close drops, without a word.
        let again = near.connect(listener.port);
        listener.client.inspected();
        ksim::quiesce();
        listener.close();
        assert_eq!(again.wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
        stage.finish();
    }
}

/// Sockets that came over TCP begin with what the listening socket hands down.
#[test]
fn events_and_context_are_handed_down() {
    for ways in WAYS {
        for tcp in [false, true] {
            let stage = Stage::answering(&["require out any"], ways);
            let listener = Listening::new(&stage.world);
            let watcher = Watcher::willing();
            listener.client.bequeath(&watcher);
            let events = WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE | WSK_EVENT_DISCONNECT;
            assert_eq!(listener.set_events(events), STATUS_SUCCESS);
            let near = if tcp { over_tcp(&stage) } else { stage.world.connection() };
            assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
            assert_eq!(near.send(b"early").wait().status, STATUS_SUCCESS);
            let (far, _, _) = listener.client.accepted();
            watcher.wait_for_octets(5);
            assert_eq!(near.send(b" bird").wait().status, STATUS_SUCCESS);
            watcher.wait_for_octets(10);
            assert_eq!(near.disconnect().wait().status, STATUS_SUCCESS);
            watcher.wait(|said| said.contains(&Said::End));
            assert_eq!(watcher.told(), (b"early bird".to_vec(), std::vec![Said::End]));
            far.close();
            watcher.gone.store(true, Ordering::SeqCst);
            near.close();
            listener.close();
            stage.finish();
        }
    }
}

#[test]
fn the_backlog_is_full_and_has_room_again() {
    for ways in WAYS {
        let settings = Settings { backlog: 2, ..Settings::DEFAULT };
        let stage = Stage::with(&[], ways, settings);
        let listener = Listening::new(&stage.world);
        // Two wait here, the others with the system; what comes over RDMA goes there as well.
        let near: Vec<_> = (0..6)
            .map(|n| {
                let near = if n % 2 == 0 { over_tcp(&stage) } else { stage.world.connection() };
                assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
                ksim::quiesce();
                near
            })
            .collect();
        for near in &near {
            let far = Connection::from_accept(listener.accept().wait().information);
            talk(near, &far);
            far.close();
            ksim::quiesce();
        }
        near.into_iter().for_each(Connection::close);
        listener.close();
        stage.finish();
    }
}

#[test]
fn the_system_fails_to_accept_for_a_while() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        for _ in 0..10 {
            fail_next(Function::WskAccept, STATUS_INSUFFICIENT_RESOURCES);
        }
        let listener = Listening::new(&stage.world);
        let near = over_tcp(&stage);
        assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(listener.accept().wait().information);
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        stage.finish();
    }
}

/// The system is short of memory for longer than any number of tries: it is asked again later, and goes on.
#[test]
fn the_twin_waits_for_memory() {
    for ways in [WAYS[0], WAYS[1]] {
        let stage = Stage::answering(&["never in any"], ways);
        let listener = Listening::new(&stage.world);
        ksim::quiesce();
        let before = calls(Function::WskAccept);
        fail_next(Function::WskAccept, STATUS_INSUFFICIENT_RESOURCES);
        for _ in 0..2 {
            let near = over_tcp(&stage);
            assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
            let far = Connection::from_accept(listener.accept().wait().information);
            near.close();
            far.close();
        }
        // One was posted before, the next one failed, and the timer had another one posted.
        assert!(calls(Function::WskAccept) >= before + 2);
        assert_eq!(notices(&listener), []);
        listener.close();
        stage.finish();
    }
}

/// How a twin is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It accepts nothing any more.
    Storm,
    Killed,
}

/// Without RDMA nothing is left to listen on.
#[test]
fn the_twin_is_lost_alone() {
    for (ways, loss) in WAYS.into_iter().flat_map(|ways| [(ways, Loss::Storm), (ways, Loss::Killed)]) {
        for conditional in [false, true] {
            let stage = Stage::answering(&["never in any"], ways);
            let listener = listening(&stage, conditional);
            lose(&stage, &listener, loss);
            until(|| listener.socket().local() == Err(STATUS_FILE_FORCED_CLOSED));
            assert_eq!(notices(&listener), [Event::Death]);
            assert_eq!(listener.accept().wait().status, STATUS_FILE_FORCED_CLOSED);
            assert_eq!(system_sockets(), 0);
            listener.close();
            stage.finish();
        }
    }
}

fn listening(stage: &Stage, with_verdict: bool) -> Listening {
    let listener = if with_verdict { conditional(stage) } else { Listening::new(&stage.world) };
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
    listener
}

/// What the client was told, questions apart.
fn notices(listener: &Listening) -> Vec<Event> {
    let mut notices: Vec<_> = listener.client.rest();
    notices.retain(|event| !matches!(event, Event::Inspect { .. }));
    notices
}

fn lose(stage: &Stage, listener: &Listening, loss: Loss) {
    ksim::quiesce();
    if loss == Loss::Killed {
        return ksim::wsk::kill(twin());
    }
    for _ in 0..16 {
        fail_next(Function::WskAccept, STATUS_INVALID_DEVICE_STATE);
    }
    // The one that is posted already succeeds.
    let accept = listener.accept();
    let near = over_tcp(stage);
    assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
    Connection::from_accept(accept.wait().information).close();
    near.close();
}

/// With RDMA the socket goes on, and nobody waits in vain at a socket of the system's that nobody serves.
#[test]
fn the_twin_is_lost_beside_rdma() {
    for (ways, loss) in WAYS.into_iter().flat_map(|ways| [(ways, Loss::Storm), (ways, Loss::Killed)]) {
        for conditional in [false, true] {
            let stage = Stage::answering(&["require out any"], ways);
            let listener = listening(&stage, conditional);
            lose(&stage, &listener, loss);
            until(|| system_sockets() == 0);
            assert_eq!(path(listener.raw.0), (WSKRDMA_PATH_RDMA, Reason::Rdma));
            let near = over_tcp(&stage);
            assert_eq!(near.connect(listener.port).wait().status, STATUS_CONNECTION_REFUSED);
            near.close();
            assert_eq!(notices(&listener), []);
            let near = stage.world.connection();
            assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
            if conditional {
                listener.client.inspected();
            }
            let (far, _, _) = listener.client.accepted();
            talk(&near, &far);
            near.close();
            far.close();
            listener.close();
            stage.finish();
        }
    }
}

#[test]
fn somebody_else_has_the_address() {
    for ways in WAYS {
        let stage = Stage::answering(&["require out any"], ways);
        let other = stage.plain.listener(41_100);
        let listener = Listening::created(&stage.world, Client::new());
        let as_connection = Connection::from_accept(listener.raw.0.expose_provenance());
        let refused = bind(&as_connection, loopback(41_100)).wait();
        assert_eq!(refused.status, STATUS_ADDRESS_ALREADY_EXISTS);
        // Nothing of it is left: neither over RDMA nor here.
        let near = stage.world.connection();
        assert_eq!(near.connect(41_100).wait().status, STATUS_CONNECTION_REFUSED);
        other.close();
        assert_eq!(bind(&as_connection, loopback(41_100)).wait().status, STATUS_SUCCESS);
        assert_eq!(near.connect(41_100).wait().status, STATUS_SUCCESS);
        near.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn any_port_that_nobody_has() {
    let stage = Stage::new(&[]);
    let first = Listening::new(&stage.world);
    let taken: Vec<_> = (1..20).map(|n| stage.plain.listener(first.port + n)).collect();
    let second = Listening::new(&stage.world);
    assert_eq!(second.port, first.port + 20);
    let near = stage.world.connection();
    let [local, _] = addresses(&near);
    assert!(local.is_ok_and(|local| local.port() == first.port + 21));
    near.close();
    taken.into_iter().for_each(Connection::close);
    first.close();
    second.close();
    stage.finish();
}

#[test]
fn a_listener_that_may_not_use_tcp() {
    for ways in WAYS {
        let stage = Stage::answering(&["require in any port 41200", "require out any"], ways);
        let listener = stage.world.listen(41_200);
        assert_eq!(path(listener.raw()), (WSKRDMA_PATH_RDMA, Reason::Rdma));
        assert_eq!(system_sockets(), 0);
        let near = over_tcp(&stage);
        assert_eq!(near.connect(41_200).wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn a_listener_that_may_not_use_rdma() {
    for ways in WAYS {
        let stage = Stage::answering(&["never in any", "require out any"], ways);
        let listener = stage.world.listen(41_200);
        assert_eq!(path(listener.raw()), (WSKRDMA_PATH_TCP, Reason::PolicyNever));
        assert_eq!(stage.reasons(), [(Reason::PolicyNever, 1)]);
        let near = stage.world.connection();
        assert_eq!(near.connect(41_200).wait().status, STATUS_CONNECTION_REFUSED);
        near.close();
        let near = over_tcp(&stage);
        assert_eq!(near.connect(41_200).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(listener.accept().wait().information);
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn the_adapter_is_removed() {
    for ways in WAYS {
        for tcp in [false, true] {
            let rule = if tcp { "prefer any any" } else { "require any any" };
            let stage = Stage::answering(&[rule], ways);
            let listener = Listening::new(&stage.world);
            assert_eq!(listener.set_events(WSK_EVENT_ACCEPT), STATUS_SUCCESS);
            let pending = listener.accept();
            assert_eq!(stage.provider().remove_adapter(0), crate::Removed::Closed);
            if tcp {
                assert_eq!(path(listener.raw.0).0, WSKRDMA_PATH_TCP);
                let near = stage.world.connection();
                assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
                assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, Reason::NoAdapter));
                let far = Connection::from_accept(pending.wait().information);
                talk(&near, &far);
                near.close();
                far.close();
                assert_eq!(listener.client.rest(), []);
            } else {
                assert_eq!(pending.wait().status, STATUS_FILE_FORCED_CLOSED);
                assert_eq!(listener.client.rest(), [Event::Death]);
            }
            listener.close();
            stage.finish();
        }
    }
}

/// A connect that hangs over TCP is cancelled, or its socket closed.
#[test]
fn nobody_answers_over_tcp() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        route(loopback(41_300), Some(Route::Hangs));
        for close in [false, true] {
            let near = stage.world.connection();
            let connecting = near.connect(41_300);
            ksim::quiesce();
            if close {
                near.close();
            } else {
                connecting.cancel();
                assert_eq!(connecting.wait().status, STATUS_CANCELLED);
                near.close();
            }
            assert_eq!(connecting.wait().status, STATUS_CANCELLED);
        }
        stage.finish();
    }
}
