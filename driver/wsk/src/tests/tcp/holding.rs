//! Twins that are to be closed while a function of theirs is being called.

use std::sync::{Arc, Mutex};

use abi::status::*;
use abi::wsk::*;
use ksim::wsk::{Function, calls, meanwhile};

use super::super::control::Form;
use super::super::harness::loopback;
use super::super::listening::client::Listening;
use super::stage::*;
use crate::listen::ListenSocket;

/// The client closes an accepted socket while the events that it inherits are enabled on its twin.
#[test]
fn closed_while_events_are_enabled() {
    for ways in WAYS {
        let stage = Stage::answering(&["never in any"], ways);
        let listener = Listening::new(&stage.world);
        let accepted = Arc::new(Mutex::new(None));
        let closing = Arc::new(Mutex::new(None));
        let taken = accepted.clone();
        listener.client.on_accept(move |socket| {
            *taken.lock().unwrap() = Some(socket);
            STATUS_SUCCESS
        });
        assert_eq!(listener.set_events(WSK_EVENT_ACCEPT | WSK_EVENT_RECEIVE), STATUS_SUCCESS);
        let kept = closing.clone();
        meanwhile(Function::WskControlSocket, move || {
            let socket = accepted.lock().unwrap().take().expect("an accepted socket");
            let closing = socket.connection().start_close();
            assert!(closing.completion().is_none(), "closed under the system's feet");
            *kept.lock().unwrap() = Some(closing);
        });
        let near = stage.plain.bound(WSK_FLAG_CONNECTION_SOCKET, loopback(0));
        assert_eq!(near.connect(listener.port).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        let closing = closing.lock().unwrap().take().expect("events were enabled");
        assert_eq!(closing.wait().status, STATUS_SUCCESS);
        near.close();
        listener.client.rest();
        listener.close();
        stage.finish();
    }
}

/// The twin of a listening socket is given up while the client asks it something.
#[test]
fn given_up_while_it_is_asked() {
    for ways in WAYS {
        let stage = Stage::answering(&["never in any"], ways);
        let listener = Listening::new(&stage.world);
        ksim::quiesce();
        let socket = listener.socket();
        meanwhile(Function::WskControlSocket, move || {
            let before = calls(Function::WskCloseSocket);
            ListenSocket::no_longer_functional(&socket);
            assert_eq!(calls(Function::WskCloseSocket), before, "closed under the system's feet");
        });
        let before = calls(Function::WskCloseSocket);
        let ttl = Form::new(&1_u32.to_le_bytes(), 0).control(listener.raw.0, (WskSetOption, 4, 0));
        assert_ne!(ttl.status, STATUS_PENDING);
        ksim::quiesce();
        assert!(calls(Function::WskCloseSocket) > before, "the twin is left");
        listener.close();
        stage.finish();
    }
}
