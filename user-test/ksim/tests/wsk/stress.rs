//! Many things at once: nothing is lost, nothing is completed twice, nothing stays.

use std::thread;

use abi::status::*;
use abi::wsk::*;

use crate::harness::*;
use ksim::buffer::{Chain, Pages};
use ksim::wsk::{Answers, Config};

/// A small generator, the same numbers every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

const BYTES: usize = 20_000;

fn send_all(socket: Sock, seed: u64) {
    let (mut numbers, mut sent) = (Numbers(seed), 0);
    while sent < BYTES {
        let parts: Vec<Chain> = (0..1 + numbers.below(3))
            .map(|_| {
                let count = numbers.below(400).min(BYTES - sent);
                let data: Vec<u8> = (sent..sent + count).map(|at| (at % 251) as u8).collect();
                sent += count;
                Chain::new(&data, &[numbers.below(50)], Pages::Locked)
            })
            .collect();
        let irps: Vec<_> = parts.iter().map(|part| socket.send_start(part)).collect();
        for irp in irps {
            assert_eq!(irp.wait().status, 0);
        }
    }
    assert_eq!(socket.disconnect(0).status, 0);
}

/// Receives everything, and cancels now and then; what a cancelled receive has placed counts.
fn receive_all(socket: Sock, seed: u64) {
    let (mut numbers, mut received) = (Numbers(seed), 0);
    loop {
        let chain = Chain::zeroed(1 + numbers.below(600));
        let flags = if numbers.below(2) == 0 { 0 } else { WSK_FLAG_WAITALL };
        let irp = socket.receive_start(&chain, flags);
        if numbers.below(3) == 0 {
            irp.cancel();
        }
        let done = irp.wait();
        assert!(matches!(done.status, STATUS_SUCCESS | STATUS_CANCELLED), "{:#x}", done.status);
        assert_eq!(irp.completions(), 1);
        for &byte in chain.bytes().iter().take(done.information) {
            assert_eq!(byte, (received % 251) as u8);
            received += 1;
        }
        if (done.status, done.information) == (STATUS_SUCCESS, 0) {
            break;
        }
    }
    assert_eq!(received, BYTES);
}

#[test]
fn streams_are_whole_while_receives_are_cancelled() {
    for answers in [Answers::Inline, Answers::Later] {
        let machine = Machine::with(Config { answers, receive_window: 700, ..Config::default() });
        let client = Client::new();
        let pairs = [client.pair(), client.pair()];
        thread::scope(|scope| {
            for (seed, (one, two)) in (1..).zip(pairs) {
                for (from, to) in [(one, two), (two, one)] {
                    scope.spawn(move || send_all(from, seed));
                    scope.spawn(move || receive_all(to, seed + 100));
                }
            }
        });
        for (one, two) in pairs {
            one.close();
            two.close();
        }
        drop(client);
        drop(machine);
    }
}

#[test]
fn sockets_come_and_go_under_pending_requests() {
    for answers in [Answers::Inline, Answers::Later] {
        let machine = Machine::with(Config { answers, ..Config::default() });
        let client = Client::new();
        let (listener, at) = client.listener();
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..200 {
                    let accept = listener.accept_start();
                    if accept.wait_for(std::time::Duration::from_micros(200)).is_none() {
                        accept.cancel();
                    }
                    let done = accept.wait();
                    if done.status == STATUS_SUCCESS {
                        Sock(done.information as *mut WSK_SOCKET).close();
                    } else {
                        assert_eq!((done.status, done.information), (STATUS_CANCELLED, 0));
                    }
                }
            });
            scope.spawn(|| {
                for round in 0..100 {
                    let socket = client.tcp(WSK_FLAG_CONNECTION_SOCKET);
                    socket.bind_any();
                    let connect = socket.connect_start(at);
                    if round % 3 == 0 {
                        connect.cancel();
                    }
                    let chain = Chain::zeroed(10);
                    let receive = socket.receive_start(&chain, 0);
                    socket.close();
                    assert!(matches!(connect.wait().status, STATUS_SUCCESS | STATUS_CANCELLED));
                    assert_ne!(receive.wait().status, STATUS_SUCCESS);
                    assert_eq!((connect.completions(), receive.completions()), (1, 1));
                }
            });
        });
        listener.close();
        drop(client);
        drop(machine);
    }
}
