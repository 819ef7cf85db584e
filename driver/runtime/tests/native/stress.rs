//! Many threads at once: streams with requests of every size, cancelled at random, and sockets that come and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use abi::status::{STATUS_CANCELLED, STATUS_SUCCESS};
use abi::wsk::{WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_WAITALL};
use cases::world::{Buffer, Call, Operation, Socket};
use cases::{World, pattern};
use wskrdma_runtime::{AnswerMode, Config};

use crate::stage::{MODES, Stage, accept, close, connect, disconnect, receive};
use crate::world::Native;

/// How long each mode is stressed.
const DURATION: Duration = Duration::from_millis(700);

/// Numbers that look random and are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

fn send(on: Socket, length: &[usize], position: u64) -> Call<'_> {
    let buffer = Buffer { mdls: length, offset: 0, length: length[0], position: Some(position) };
    Call::Send { on: on.into(), buffer: Some(buffer), flags: 0 }
}

/// Sends until `over`, then ends the stream. Returns how much was sent.
fn write(mut stage: Stage, socket: Socket, seed: u64, over: &AtomicBool) -> u64 {
    let mut dice = Dice(seed);
    let mut position = 0;
    let mut waiting: Vec<(Operation, usize)> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let most = if dice.roll(4) == 0 { 100_000 } else { 2_000 };
        let length = [1 + dice.roll(most)];
        let sending = stage.start(&send(socket, &length, position));
        waiting.push((sending, length[0]));
        position += length[0] as u64;
        while waiting.len() > 6 {
            let (sending, length) = waiting.remove(0);
            let end = stage.end(sending);
            assert_eq!((end.status, end.information), (STATUS_SUCCESS, length));
            stage.world.forget_done();
            waiting.iter_mut().for_each(|(operation, _)| operation.0 -= 1);
        }
    }
    stage.succeeds(&disconnect(socket, 0));
    for (sending, _) in waiting {
        assert_eq!(stage.end(sending).status, STATUS_SUCCESS);
    }
    stage.world.clear();
    position
}

/// Receives to the end of the stream, cancelling now and then. Returns how much arrived.
fn read(mut stage: Stage, socket: Socket, seed: u64) -> u64 {
    let mut dice = Dice(seed);
    let mut position = 0;
    loop {
        let flags = if dice.roll(3) == 0 { WSK_FLAG_WAITALL } else { 0 };
        let length = [1 + dice.roll(60_000)];
        let receiving = stage.start(&receive(socket, &length, flags));
        if dice.roll(4) == 0 {
            stage.world.cancel(receiving);
        }
        let end = stage.end(receiving);
        assert!([STATUS_SUCCESS, STATUS_CANCELLED].contains(&end.status), "{:#x}", end.status);
        let mut octets = vec![0; end.information];
        stage.world.read(receiving, 0, &mut octets);
        assert_eq!(pattern::first_difference(&octets, position), None, "at {position}");
        position += end.information as u64;
        stage.world.forget_done();
        if end.status == STATUS_SUCCESS && end.information == 0 {
            return position;
        }
    }
}

/// Streams in both directions over several connections at once: nothing is lost, doubled or swapped.
#[test]
fn streams_stay_whole() {
    let _alone = ksim::exclusive();
    // Completion queues of several processors.
    let _spread = ksim::processor::spread();
    for answers in MODES {
        let mut stage = Stage { world: Native::start(Config { answers, ..Config::default() }) };
        let over = AtomicBool::new(false);
        let pairs: Vec<_> = (0..2).map(|_| stage.pair()).collect();
        thread::scope(|scope| {
            let mut ends = Vec::new();
            for (number, (_, near, far)) in pairs.iter().enumerate() {
                for (direction, (from, to)) in [(near, far), (far, near)].into_iter().enumerate() {
                    let seed = 0x9E37_79B9 + (number * 2 + direction) as u64;
                    let (mut writer, mut reader) = (stage.guest(), stage.guest());
                    let from = writer.world.lend(&stage.world, *from);
                    let to = reader.world.lend(&stage.world, *to);
                    let over = &over;
                    let writing = scope.spawn(move || write(writer, from, seed, over));
                    let reading = scope.spawn(move || read(reader, to, seed + 100));
                    ends.push((writing, reading));
                }
            }
            let began = Instant::now();
            while began.elapsed() < DURATION {
                thread::yield_now();
                thread::park_timeout(Duration::from_millis(10));
            }
            over.store(true, Ordering::Relaxed);
            for (writing, reading) in ends {
                let (sent, received) = (writing.join().unwrap(), reading.join().unwrap());
                assert_eq!(sent, received);
                assert!(sent > 0);
            }
        });
        stage.world.finish();
    }
}

/// Sockets that connect, talk a little and are closed at a random moment, on both sides at once.
#[test]
fn sockets_come_and_go() {
    let _alone = ksim::exclusive();
    // Completion queues of several processors.
    let _spread = ksim::processor::spread();
    for answers in [AnswerMode::Inline, AnswerMode::Later] {
        let mut stage = Stage { world: Native::start(Config { answers, ..Config::default() }) };
        let (listener, at) = stage.listener();
        let over = Arc::new(AtomicBool::new(false));
        let connected = Arc::new(AtomicU64::new(0));
        thread::scope(|scope| {
            let mut acceptor = stage.guest();
            let listening = acceptor.world.lend(&stage.world, listener);
            let stop = over.clone();
            scope.spawn(move || {
                let mut dice = Dice(77);
                while !stop.load(Ordering::Relaxed) {
                    let accepting = acceptor.start(&accept(listening));
                    while !acceptor.is_done(accepting) {
                        if stop.load(Ordering::Relaxed) {
                            acceptor.world.cancel(accepting);
                        }
                        thread::yield_now();
                    }
                    let Some(far) = acceptor.end(accepting).socket else { break };
                    let reading = acceptor.start(&receive(far, &[100], 0));
                    if dice.roll(2) == 0 {
                        acceptor.end(reading);
                    }
                    acceptor.succeeds(&close(far));
                    acceptor.world.forget_all_done();
                }
                acceptor.world.clear();
            });
            for seed in 1..3u64 {
                let mut client = stage.guest();
                let (stop, count) = (over.clone(), connected.clone());
                scope.spawn(move || {
                    let mut dice = Dice(seed);
                    while !stop.load(Ordering::Relaxed) {
                        let near = client.socket(WSK_FLAG_CONNECTION_SOCKET);
                        client.bind(near);
                        let connecting = client.start(&connect(near, at));
                        match dice.roll(4) {
                            0 => {}
                            1 => client.world.cancel(connecting),
                            _ => {
                                if client.end(connecting).status == STATUS_SUCCESS {
                                    count.fetch_add(1, Ordering::Relaxed);
                                }
                                client.start(&send(near, &[10], 0));
                                if dice.roll(2) == 0 {
                                    client.start(&disconnect(near, 0));
                                }
                            }
                        }
                        client.succeeds(&close(near));
                        client.world.forget_all_done();
                    }
                });
            }
            let began = Instant::now();
            while began.elapsed() < DURATION {
                thread::park_timeout(Duration::from_millis(10));
            }
            over.store(true, Ordering::Relaxed);
        });
        assert!(connected.load(Ordering::Relaxed) > 10, "hardly anybody got through");
        stage.world.finish();
    }
}
