//! A client's requests that are inside the system's functions while the system's socket is about to be closed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use abi::status::*;
use abi::wsk::*;

use super::super::control::Form;
use super::super::harness::{Connection, loopback};
use super::super::listening::client::{Listening, Raw};
use super::stage::*;

const PORT: u16 = 43_000;
const ROUNDS: usize = 600;

/// SO_KEEPALIVE, which the twin is told as well.
fn set_keepalive(socket: *mut WSK_SOCKET) {
    let form = Form::new(&[1, 0, 0, 0], 0);
    let set = form.control(socket, (WskSetOption, SO_KEEPALIVE, SOL_SOCKET));
    // The system's socket is closed meanwhile, which ends what waits there.
    assert!(matches!(set.status, STATUS_SUCCESS | STATUS_CANCELLED), "{:#x}", set.status);
}

/// Options are set while a connect over RDMA makes the twin needless.
#[test]
fn options_are_set_while_the_socket_connects() {
    let stage = Stage::answering(&[], WAYS[1]);
    let listener = stage.world.listen(PORT);
    for _ in 0..ROUNDS / 12 {
        let near = stage.world.connection();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    set_keepalive(near.raw());
                }
            });
            let connected = near.connect(PORT).wait();
            over.store(true, Ordering::Relaxed);
            assert_eq!(connected.status, STATUS_SUCCESS);
        });
        near.close();
        Connection::from_accept(listener.accept().wait().information).close();
    }
    // The listener's twin is what is left.
    assert_eq!(system_sockets(), 1);
    listener.close();
    stage.finish();
}

/// The client closes what it accepts from another thread, while the events that it inherits are enabled.
#[test]
fn closed_as_soon_as_it_is_accepted() {
    let stage = Stage::answering(&["require out any"], WAYS[1]);
    let listener = Listening::new(&stage.world);
    let (give, take) = mpsc::channel::<Raw>();
    listener.client.on_accept(move |socket| {
        give.send(socket).unwrap();
        STATUS_SUCCESS
    });
    assert_eq!(listener.set_events(WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    thread::scope(|scope| {
        scope.spawn(move || {
            for socket in take.iter().take(ROUNDS) {
                socket.connection().close();
            }
        });
        for _ in 0..ROUNDS {
            let peer = stage.plain.bound(WSK_FLAG_CONNECTION_SOCKET, loopback(0));
            assert_eq!(peer.connect(listener.port).wait().status, STATUS_SUCCESS);
            peer.close();
        }
    });
    listener.client.rest();
    listener.close();
    stage.finish();
}
