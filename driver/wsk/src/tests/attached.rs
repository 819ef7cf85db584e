//! Clients that hold no capture, as those that the registrar has attached.

use core::ptr;
use std::sync::{Arc, Mutex};
use std::thread;

use abi::status::*;
use abi::wsk::*;
use kernel::pool::Shared;
use ksim::wsk::{Function, calls, meanwhile};

use super::harness::{Connection, World, request};
use crate::Settings;
use crate::client::Client;
use crate::edge::PROVIDER_DISPATCH;
use crate::provider::Use;

/// Looks at a thread that must not get on.
const LOOKS: usize = 10_000;

/// A client is detached while one of its calls is being handed to the system: its registration there outlives the call.
#[test]
fn detached_during_a_call() {
    let world = World::new(Settings::DEFAULT);
    ksim::wsk::reset();
    let client = Client::new(Use::new(&world.provider).unwrap()).unwrap();
    let target = Shared::as_ptr(&client).cast_mut().cast();
    let detaching = Arc::new(Mutex::new(None));
    let kept = detaching.clone();
    meanwhile(Function::WskSocket, move || {
        let before = calls(Function::WskDeregister);
        *kept.lock().unwrap() = Some(thread::spawn(move || client.wait()));
        for _ in 0..LOOKS {
            thread::yield_now();
            assert_eq!(calls(Function::WskDeregister), before, "deregistered during the call");
        }
    });
    let (none, table) = (ptr::null_mut(), ptr::null());
    let made = request(|irp| {
        // SAFETY: a client that lives, and a call as its page says.
        unsafe {
            (PROVIDER_DISPATCH.WskSocket)(
                target,
                AF_INET,
                SOCK_DGRAM,
                IPPROTO_UDP,
                WSK_FLAG_DATAGRAM_SOCKET,
                none,
                table,
                none.cast(),
                none.cast(),
                none.cast(),
                irp,
            )
        }
    })
    .wait();
    assert_eq!(made.status, STATUS_SUCCESS);
    Connection::from_accept(made.information).close();
    let detaching = detaching.lock().unwrap().take().expect("the system was asked");
    detaching.join().unwrap();
    world.finish();
}
