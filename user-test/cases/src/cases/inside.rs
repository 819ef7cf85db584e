//! Calls from completion routines.

use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};
use abi::wsk::WSK_FLAG_WAITALL;

use crate::Case;
use crate::failure::{Check, expect};
use crate::tools::{LOST, Pair, accept, bind, close, connect, data, disconnect, receive, room, send};
use crate::world::World;

pub(super) const RECEIVE_AFTER_RECEIVE: Case = Case {
    name: "inside-receive-after-receive",
    section: "Using IRPs with Winsock Kernel Functions",
    run: receive_after_receive,
};
pub(super) const SEND_AFTER_SEND: Case = Case {
    name: "inside-send-after-send",
    section: "Using IRPs with Winsock Kernel Functions",
    run: send_after_send,
};
pub(super) const ANSWER_AFTER_RECEIVE: Case = Case {
    name: "inside-answer-after-receive",
    section: "Using IRPs with Winsock Kernel Functions",
    run: answer_after_receive,
};
pub(super) const ACCEPT_AFTER_ACCEPT: Case =
    Case { name: "inside-accept-after-accept", section: "WskAccept", run: accept_after_accept };
pub(super) const CLOSE_AFTER_SEND: Case =
    Case { name: "inside-close-after-send", section: "WskCloseSocket", run: close_after_send };
pub(super) const CLOSE_AFTER_RECEIVE: Case =
    Case { name: "inside-close-after-receive", section: "WskCloseSocket", run: close_after_receive };
pub(super) const CLOSE_AFTER_CONNECT: Case =
    Case { name: "inside-close-after-connect", section: "WskCloseSocket", run: close_after_connect };
pub(super) const CLOSE_AFTER_A_REFUSED_CONNECT: Case = Case {
    name: "inside-close-after-a-refused-connect",
    section: "WskCloseSocket",
    run: close_after_a_refused_connect,
};
pub(super) const CLOSE_AFTER_DISCONNECT: Case =
    Case { name: "inside-close-after-disconnect", section: "WskCloseSocket", run: close_after_disconnect };
pub(super) const CLOSE_AFTER_A_CANCELLED_RECEIVE: Case = Case {
    name: "inside-close-after-a-cancelled-receive",
    section: "Canceling IRPs",
    run: close_after_a_cancelled_receive,
};
pub(super) const CONNECT_AFTER_BIND: Case =
    Case { name: "inside-connect-after-bind", section: "WskConnect", run: connect_after_bind };
pub(super) const CLOSE_OF_ANOTHER_SOCKET: Case =
    Case { name: "inside-close-of-another-socket", section: "WskCloseSocket", run: close_of_another_socket };

/// A receive's completion routine posts the next one.
fn receive_after_receive(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (first, second) =
        world.chained(&receive(pair.far, room(&10), 0), &receive(pair.far, room(&10), WSK_FLAG_WAITALL))?;
    world.sends(pair.near, 0, 10)?;
    world.received(first, 0, 10)?;
    world.sends(pair.near, 10, 10)?;
    world.received(second, 10, 10)?;
    world.close_pair(pair)
}

/// A send's completion routine makes the next one; the order of the stream is the order of calls.
fn send_after_send(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (first, second) =
        world.chained(&send(pair.near, data(&100, 0)), &send(pair.near, data(&100, 100)))?;
    world.receives(pair.far, 0, 200)?;
    for sending in [first, second] {
        let sent = world.succeeded(sending)?;
        expect(sent.information == 100, "the send is whole", sent.information)?;
    }
    world.close_pair(pair)
}

/// A receive's completion routine answers.
fn answer_after_receive(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (receiving, sending) =
        world.chained(&receive(pair.far, room(&10), 0), &send(pair.far, data(&20, 0)))?;
    world.sends(pair.near, 0, 10)?;
    world.received(receiving, 0, 10)?;
    world.receives(pair.near, 0, 20)?;
    world.succeeded(sending)?;
    world.close_pair(pair)
}

/// An accept's completion routine posts the next one.
fn accept_after_accept(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let (first, second) = world.chained(&accept(listener), &accept(listener))?;
    let nears = [world.connects(at)?, world.connects(at)?];
    let fars = [world.made(first)?, world.made(second)?];
    for (near, far) in nears.into_iter().zip(fars) {
        world.sends(near, 0, 10)?;
        world.receives(far, 0, 10)?;
        world.close_all(&[near, far])?;
    }
    world.close_all(&[listener])
}

/// A send's completion routine closes the socket.
fn close_after_send(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (sending, closing) = world.chained(&send(pair.near, data(&10, 0)), &close(pair.near))?;
    world.succeeded(sending)?;
    world.succeeded(closing)?;
    world.close_all(&[pair.far, pair.listener])
}

/// A receive's completion routine closes the socket while another receive waits.
fn close_after_receive(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (receiving, closing) = world.chained(&receive(pair.far, room(&10), 0), &close(pair.far))?;
    let waiting = world.start(&receive(pair.far, room(&10), WSK_FLAG_WAITALL))?;
    world.sends(pair.near, 0, 10)?;
    world.received(receiving, 0, 10)?;
    let closed = world.succeeded(closing)?;
    let ended = world.done(waiting)?;
    let lost = ended.status == STATUS_CANCELLED || LOST.contains(&ended.status);
    expect(lost && ended.order < closed.order, "what waits ends before the close", ended.status)?;
    world.close_all(&[pair.near, pair.listener])
}

/// A connect's completion routine closes the socket.
fn close_after_connect(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.bound()?;
    let (connecting, closing) = world.chained(&connect(near, at), &close(near))?;
    world.done(connecting)?;
    world.succeeded(closing)?;
    world.close_all(&[listener])
}

/// The completion routine of a connect that was refused closes the socket.
fn close_after_a_refused_connect(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    world.close_all(&[listener])?;
    let near = world.bound()?;
    let (connecting, closing) = world.chained(&connect(near, at), &close(near))?;
    let ended = world.done(connecting)?;
    expect(ended.status != STATUS_SUCCESS, "nobody listens", ended.status)?;
    world.succeeded(closing).map(|_| ())
}

/// A disconnect's completion routine closes the socket.
fn close_after_disconnect(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    world.sends(pair.near, 0, 1000)?;
    world.receives(pair.far, 0, 1000)?;
    let (ending, closing) = world.chained(&disconnect(pair.near), &close(pair.near))?;
    world.succeeded(ending)?;
    world.succeeded(closing)?;
    world.close_all(&[pair.far, pair.listener])
}

/// The completion routine of a cancelled receive, inside IoCancelIrp, closes the socket.
fn close_after_a_cancelled_receive(world: &mut dyn World) -> Check {
    let pair = world.pair()?;
    let (receiving, closing) = world.chained(&receive(pair.far, room(&10), 0), &close(pair.far))?;
    world.cancel(receiving);
    world.failed(receiving, &[STATUS_CANCELLED])?;
    world.succeeded(closing)?;
    world.close_all(&[pair.near, pair.listener])
}

/// A bind's completion routine connects.
fn connect_after_bind(world: &mut dyn World) -> Check {
    let (listener, at) = world.listener()?;
    let near = world.connection_socket()?;
    let accepting = world.start(&accept(listener))?;
    let any = world.any_port();
    let (binding, connecting) = world.chained(&bind(near, any), &connect(near, at))?;
    world.succeeded(binding)?;
    world.succeeded(connecting)?;
    let far = world.made(accepting)?;
    world.close_pair(Pair { listener, near, far })
}

/// A completion routine closes another socket.
fn close_of_another_socket(world: &mut dyn World) -> Check {
    let (first, second) = (world.pair()?, world.pair()?);
    let (receiving, closing) = world.chained(&receive(first.far, room(&10), 0), &close(second.near))?;
    world.sends(first.near, 0, 10)?;
    world.received(receiving, 0, 10)?;
    world.succeeded(closing)?;
    let waiting = world.start(&receive(second.far, room(&10), 0))?;
    world.is_lost(waiting)?;
    world.close_all(&[second.far, second.listener])?;
    world.close_pair(first)
}
