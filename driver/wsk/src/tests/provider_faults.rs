//! Providers that break their promises, seen from the sockets: what is contained, what the status says, and that nothing waits
//! beyond its limit.

use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::{STATUS_CANCELLED, STATUS_IO_TIMEOUT, STATUS_SUCCESS};
use kernel::time::{interrupt_time_100ns, milliseconds};
use ndk::Fault;
use ndkcheck::{Act, EntryAct, Slot, When};
use softndk::AnswerMode;
use stream::{ConnData, Word};
use trace::Reason;

use super::harness::*;
use super::listening::client::talk;
use crate::connection::Connection as Socket;
use crate::{Removed, Settings};

const PORT: u16 = 47_001;
/// A failure that no page of NDKPI names.
const UNDOCUMENTED: NTSTATUS = 0xC0FF_EE01_u32.cast_signed();
/// The provider does what it is asked for, and says so when the test has it.
const LATE: Act = Act::Answer(When::Turn);

/// Nobody is waited for.
fn impatient() -> Settings {
    Settings { answer_limit: milliseconds(50), ..Settings::DEFAULT }
}

/// Much later than any limit.
fn hours_pass(socket: &Connection) {
    for hours in 1..4 {
        Socket::time_has_passed(&socket.object(), interrupt_time_100ns() + hours * 3600 * milliseconds(1000));
    }
}

fn right(data: ConnData) -> Vec<u8> {
    data.encode().to_vec()
}

/// Two sockets of ours, connected.
fn pair(world: &World) -> (Connection, Connection) {
    let listener = world.listen(PORT);
    let (near, accepting) = (world.connection(), listener.accept());
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    let far = Connection::from_accept(accepting.wait().information);
    listener.close();
    (near, far)
}

/// A stream that is finished in both directions, with a peer that does not say goodbye.
fn finished(world: &World) -> (Connection, Peer) {
    let door = Door::open(world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let mut peer = Peer::accept(world, door.take(), right);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    peer.say(&Word::Disconnect.octets());
    assert_eq!(socket.receive(100).wait().status, STATUS_SUCCESS);
    peer.is_left();
    (socket, peer)
}

/// The goodbye has a limit of its own, whether or not the client closes the socket meanwhile.
#[test]
fn a_goodbye_that_is_not_answered() {
    let world = World::new(Settings::DEFAULT);
    let (socket, peer) = finished(&world);
    assert!(!socket.object().endpoint_is_closed());
    hours_pass(&socket);
    until(|| socket.object().endpoint_is_closed());
    socket.close();
    peer.close(false);

    let (socket, peer) = finished(&world);
    let alias = socket.alias();
    let object = alias.object();
    let closing = socket.start_close();
    assert!(closing.completion().is_none(), "not abortive: both directions are finished");
    Socket::time_has_passed(&object, interrupt_time_100ns() + 3600 * milliseconds(1000));
    drop(object);
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    peer.close(false);
    world.finish();
}

/// The limit passes without anybody's help.
#[test]
fn a_goodbye_ends_by_the_clock() {
    let world = World::new(Settings { disconnect_limit: milliseconds(20), ..Settings::DEFAULT });
    let (socket, peer) = finished(&world);
    assert_eq!(socket.start_close().wait().status, STATUS_SUCCESS);
    peer.close(false);
    world.finish();
}

/// A goodbye that is answered ends the close.
#[test]
fn a_goodbye_that_is_answered() {
    let world = World::new(Settings { disconnect_limit: u64::MAX >> 1, ..Settings::DEFAULT });
    let (socket, peer) = finished(&world);
    let closing = socket.start_close();
    peer.close(true);
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    world.finish();
}

/// Undocumented statuses, of everything that a connect asks for: the client is told, nothing is left, and the next one works.
#[test]
fn statuses_that_no_page_names() {
    for when in [When::Inline, When::Early, When::Dpc] {
        let world = World::new(Settings::DEFAULT);
        let listener = world.listen(PORT);
        for slot in [
            Slot::CreateMr,
            Slot::RegisterMr,
            Slot::CreateCq,
            Slot::CreateQp,
            Slot::CreateConnector,
            Slot::ConnectWithSharedEndpoint,
            Slot::CompleteConnect,
        ] {
            let near = world.connection();
            world.checker.next(slot, Act::Fail(when, UNDOCUMENTED));
            let connected = near.connect(PORT).wait();
            assert_eq!((connected.status, connected.information), (UNDOCUMENTED, 0), "{slot:?} {when:?}");
            near.close();
        }
        let (near, accepting) = (world.connection(), listener.accept());
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accepting.wait().information);
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        world.finish();
    }
}

/// Steps of the handshake, and closes, that are completed twice: the connection works, and the status counts them.
#[test]
fn completions_that_come_twice() {
    for mode in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(Settings::DEFAULT, mode);
        for slot in [Slot::ConnectWithSharedEndpoint, Slot::CompleteConnect, Slot::Accept] {
            world.checker.next(slot, Act::Twice);
        }
        let (near, far) = pair(&world);
        talk(&near, &far);
        until(|| world.faults(Fault::AnsweredTwice) == 3);
        near.close();
        far.close();
        world.finish();
    }
}

/// Requests that are never completed: a connect waits for its limit, then the client is told so, and the status knows why.
#[test]
fn requests_that_are_never_completed() {
    for slot in [Slot::CreateMr, Slot::RegisterMr, Slot::CreateCq, Slot::CreateQp, Slot::CreateConnector] {
        let world = World::new(impatient());
        world.checker.next(slot, LATE);
        let near = world.connection();
        assert_eq!(near.connect(PORT).wait().status, STATUS_IO_TIMEOUT, "{slot:?}");
        assert_eq!(world.faults(Fault::Unanswered), 1);
        near.close();
        world.checker.turn_all();
        world.finish();
    }
    // A listener is not one.
    for slot in [Slot::CreateListener, Slot::Listen] {
        let world = World::new(impatient());
        world.checker.next(slot, LATE);
        let listener = ListenSocket::from_raw(world.socket(abi::wsk::WSK_FLAG_LISTEN_SOCKET));
        assert_eq!(listener.try_bind(PORT).wait().status, STATUS_IO_TIMEOUT, "{slot:?}");
        world.checker.turn_all();
        listener.close();
        world.finish();
    }
}

/// Closes that are never completed: sockets end in time all the same, the adapter does not, and is stuck. The late answer
/// gives everything back.
#[test]
fn closes_that_are_never_completed() {
    for slot in [Slot::CloseConnector, Slot::CloseQp] {
        let world = World::new(impatient());
        let (near, far) = pair(&world);
        world.checker.always(slot, LATE);
        let (waiting, closing) = (near.receive(100), near.start_close());
        assert_eq!(waiting.wait().status, STATUS_CANCELLED, "{slot:?}");
        assert_eq!(closing.wait().status, STATUS_SUCCESS, "{slot:?}");
        far.close();
        assert_eq!(world.faults(Fault::Unanswered), 2, "{slot:?}");
        assert!(world.view().registered != 0, "what the provider may use is kept");
        world.finish_late();
    }
}

/// What becomes of a client's memory when nobody says that the adapter is done with it: a send keeps its socket waiting; a
/// receive does not, as its region is closed.
#[test]
fn memory_of_clients_is_kept_until_it_is_over() {
    let world = World::new(Settings { zero_copy_octets: 4096, ..Settings::DEFAULT });
    let (near, far) = pair(&world);
    let octets: Vec<u8> = (0..200_000).map(|n| n as u8).collect();
    // More than the peer's ring has room for: the rest is the adapter's.
    let sending = near.send(&octets);
    ksim::quiesce();
    world.checker.always(Slot::CloseQp, LATE);
    let alias = near.alias();
    let closing = near.start_close();
    until(|| world.checker.turns() != 0);
    hours_pass(&alias);
    ksim::quiesce();
    assert!(closing.completion().is_none() && !sending.is_done(), "its memory was given back");
    world.checker.turn_all();
    assert_ne!(sending.wait().status, STATUS_SUCCESS);
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    world.checker.relent();
    far.close();
    world.checker.turn_all();
    world.finish();

    let world = World::new(Settings { zero_copy_octets: 4096, ..impatient() });
    let (near, far) = pair(&world);
    let reading = far.receive(100_000);
    until(|| near.object().holds_advert());
    world.checker.always(Slot::CloseQp, LATE);
    far.close();
    assert_eq!(reading.wait().status, STATUS_CANCELLED);
    near.close();
    world.finish_late();
}

/// An adapter that has to go, and whose provider does not let go of it: the removal ends in time and says so.
#[test]
fn an_adapter_that_is_not_let_go() {
    let world = World::new(impatient());
    let (near, far) = pair(&world);
    world.checker.always(Slot::CloseQp, LATE);
    assert_eq!(world.provider.remove_adapter(0), Removed::Stuck);
    assert!(world.view().stuck && world.provider.is_stuck(0) && world.provider.has_stuck());
    // The clients are told as ever.
    assert_ne!(near.receive(1).wait().status, STATUS_SUCCESS);
    near.close();
    far.close();
    world.let_go();
    assert!(!world.provider.has_stuck());
    world.finish();
}

/// A handshake that is answered late, and is given up before: nothing is said over what is no connection yet.
#[test]
fn handshakes_that_are_given_up() {
    let begin = |slot| {
        let world = World::new(impatient());
        let (listener, near) = (world.listen(PORT), world.connection());
        world.checker.next(slot, LATE);
        // Behind the answer, which comes first.
        world.checker.always(Slot::CloseConnector, LATE);
        let connecting = near.connect(PORT);
        until(|| world.checker.turns() != 0);
        (world, listener, near, connecting)
    };
    let (world, listener, near, connecting) = begin(Slot::CompleteConnect);
    near.close();
    assert_eq!(connecting.wait().status, STATUS_CANCELLED);
    listener.close();
    world.finish_late();

    // This peer has spoken already when the accepting side is given up.
    let (world, listener, near, connecting) = begin(Slot::Accept);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    assert_eq!(near.send(b"hello").wait().status, STATUS_SUCCESS);
    ksim::quiesce();
    assert_eq!(world.provider.remove_adapter(0), Removed::Stuck);
    near.close();
    listener.close();
    world.let_go();
    world.finish();
}

/// A post that claims success and leaves no entry: the connection ends when it is closed, and the status counts it.
#[test]
fn posts_without_an_entry() {
    let world = World::new(Settings { answer_limit: milliseconds(300), ..Settings::DEFAULT });
    let (near, far) = pair(&world);
    // A cancelled receive of the first one that closes.
    world.checker.entries(&[EntryAct::Swallow]);
    near.close();
    far.close();
    until(|| world.faults(Fault::EntryMissing) == 1);
    world.finish();
}

/// The entry of a send never comes: the send waits, and ends with the socket.
#[test]
fn a_send_without_an_entry() {
    let world = World::new(Settings { answer_limit: milliseconds(300), ..Settings::DEFAULT });
    let (near, far) = pair(&world);
    world.checker.next(Slot::Send, Act::Fail(When::Inline, STATUS_SUCCESS));
    let sending = near.send(b"lost");
    let closing = near.start_close();
    sending.wait();
    assert_eq!(closing.wait().status, STATUS_SUCCESS);
    far.close();
    until(|| world.faults(Fault::EntryMissing) == 1);
    world.finish();
}

/// Events and entries after the close of a connector: there is nobody to hear of them, and the status counts them.
#[test]
fn events_after_the_close() {
    let world = World::new(impatient());
    let (near, far) = pair(&world);
    let connectors = world.checker.open_connectors();
    // The endpoints stay, as the provider does not say that it is done with them.
    world.checker.always(Slot::CloseQp, LATE);
    near.close();
    far.close();
    for connector in connectors {
        // SAFETY: the context is an endpoint, which stays until its queue pair is closed.
        unsafe { world.checker.disconnect_event(connector.as_ptr()) };
    }
    // Whose post has failed has been told of its end already, and takes an event for that one.
    assert!(world.faults(Fault::EventTooMany) >= 1);
    world.finish_late();
}

/// Limits beyond anything: what is asked for is what a connection needs, no more.
#[test]
fn limits_that_are_absurd() {
    let world = World::limited(Settings::DEFAULT, |info| {
        (info.MaxRegistrationSize, info.MaxTransferLength) = (usize::MAX, u32::MAX);
        (info.MaxReceiveQueueDepth, info.MaxInitiatorQueueDepth) = (u32::MAX, u32::MAX);
        (info.MaxInitiatorRequestSge, info.MaxReceiveRequestSge) = (u32::MAX, u32::MAX);
    });
    let (near, far) = pair(&world);
    talk(&near, &far);
    near.close();
    far.close();
    world.finish();
    // The least that is taken.
    let world = World::limited(Settings::DEFAULT, |info| {
        (info.MaxRegistrationSize, info.MaxTransferLength, info.MaxCqDepth) = (1 << 20, 4096, 64);
        (info.MaxReceiveQueueDepth, info.MaxInitiatorQueueDepth) = (32, 16);
        (info.MaxInitiatorRequestSge, info.MaxReceiveRequestSge) = (1, 1);
    });
    let (near, far) = pair(&world);
    talk(&near, &far);
    near.close();
    far.close();
    world.finish();
}

/// With TCP beside it, an adapter that does not answer costs its limit, and the connection goes over TCP, for that reason.
#[test]
fn tcp_takes_over_from_a_silent_adapter() {
    use super::tcp::stage::{Stage, WAYS, path};
    use abi::wskrdma::WSKRDMA_PATH_TCP;
    let stage = Stage::with(&[], WAYS[0], impatient());
    let listener = stage.world.listen(PORT);
    let near = stage.world.connection();
    stage.world.checker.next(Slot::CreateQp, LATE);
    let accepting = listener.accept();
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    assert_eq!(path(near.raw()), (WSKRDMA_PATH_TCP, Reason::AdapterSilent));
    let far = Connection::from_accept(accepting.wait().information);
    talk(&near, &far);
    near.close();
    far.close();
    listener.close();
    stage.world.checker.turn_all();
    stage.finish();
}
