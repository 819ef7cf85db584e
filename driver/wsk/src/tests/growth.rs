//! Rings that grow.

use std::println;
use std::vec::Vec;

use abi::status::*;
use abi::wsk::*;
use ksim::buffer::{Chain, Pages};
use ndkcheck::{Act, Slot, When};
use softndk::AnswerMode;
use stream::{ConnData, TargetEntry, Word};

use super::crank::Crank;
use super::form::Form;
use super::harness::*;
use super::watcher::*;
use crate::Settings;
use crate::connection::Connection as Socket;

const PORT: u16 = 50_000;
/// The rings of most tests.
const FIRST: usize = 4096;
const LONGER: usize = 16_384;

fn settings() -> Settings {
    Settings { first_ring_octets: FIRST as u32, ring_octets: LONGER as u32, ..Settings::DEFAULT }
}

/// No octet is the one before.
fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 199) as u8).collect()
}

fn pair(world: &World) -> (Connection, Connection) {
    let listener = world.listen(PORT);
    let pair = connect(world, &listener);
    listener.close();
    pair
}

fn connect(world: &World, listener: &ListenSocket) -> (Connection, Connection) {
    let near = world.connection();
    let connecting = near.connect(PORT);
    let far = Connection::from_accept(listener.accept().wait().information);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    (near, far)
}

fn rings(socket: &Connection) -> Vec<usize> {
    socket.object().ring_octets()
}

fn receive_all(socket: &Connection, length: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < length {
        let part = socket.receive((length - got.len()).min(3000)).octets();
        assert!(!part.is_empty(), "after {}", got.len());
        got.extend(part);
    }
    got
}

fn set_receive_buffer(socket: *mut WSK_SOCKET, octets: u32) {
    let set = (WskSetOption, SO_RCVBUF, SOL_SOCKET);
    assert_eq!(Form::new(&octets.to_le_bytes(), 0).control(socket, set).status, STATUS_SUCCESS);
}

/// What an idle connection costs, with a ring that begins short and with one that does not.
/// `cargo test -p wskrdma-wsk idle_sockets -- --nocapture` prints it.
#[test]
fn idle_sockets_need_little() {
    const PAIRS: usize = 20;
    let default = Settings::DEFAULT;
    let cost = |first_ring_octets| {
        let world = World::new(Settings { first_ring_octets, ..default.clone() });
        let bytes = || {
            ksim::quiesce();
            // Sockets and what the adapter's consumer has; not the adapter.
            let ours = ["WrSk", "WrMr", "WrNd"];
            let usage = ksim::leaks().into_iter().filter(|usage| ours.contains(&usage.tag.as_str()));
            usage.map(|usage| usage.bytes).sum::<usize>()
        };
        let listener = world.listen(PORT);
        let before = bytes();
        let pairs: Vec<_> = (0..PAIRS).map(|_| connect(&world, &listener)).collect();
        let idle = bytes() - before;
        for (near, far) in pairs {
            near.close();
            far.close();
        }
        listener.close();
        world.finish();
        idle / (2 * PAIRS)
    };
    let (short, long) = (cost(default.first_ring_octets), cost(default.ring_octets));
    println!(
        "an idle connection needs {short} octets, {long} if its ring had its full length from the beginning"
    );
    assert_eq!(long - short, (default.ring_octets - default.first_ring_octets) as usize);
}

/// The ring grows when it is full, and the old one goes when it is read.
#[test]
fn a_full_ring_grows() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(settings(), answers);
        let (near, far) = pair(&world);
        assert_eq!(rings(&far), [FIRST]);
        assert_eq!(near.send(&octets(FIRST - 1)).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(rings(&far), [FIRST], "there is room");
        let all = octets(FIRST + LONGER);
        assert_eq!(near.send(&all[FIRST - 1..]).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(rings(&far).iter().sum::<usize>(), FIRST + LONGER);
        assert!(receive_all(&far, FIRST) == all[..FIRST], "{answers:?}");
        ksim::quiesce();
        assert_eq!(rings(&far), [LONGER], "the old one is read");
        assert!(receive_all(&far, LONGER) == all[FIRST..], "{answers:?}");
        // Once, and not on the other side.
        assert_eq!(near.send(&octets(LONGER)).wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!((rings(&near), rings(&far)), ([FIRST].to_vec(), [LONGER].to_vec()));
        near.close();
        far.close();
        world.finish();
    }
}

/// A client that keeps what it is shown: the old ring stays as long as a node of it is out.
#[test]
fn what_is_kept_keeps_its_ring() {
    let world = World::new(settings());
    for backwards in [false, true] {
        let pair = Pair::with(&world, Watcher::keeping(), WSK_EVENT_RECEIVE);
        let all = octets(FIRST + LONGER);
        assert_eq!(pair.near.send(&all).wait().status, STATUS_SUCCESS);
        pair.watcher.wait_for_octets(FIRST + LONGER);
        ksim::quiesce();
        assert!(pair.watcher.told().0 == all);
        assert_eq!(rings(&pair.far).iter().sum::<usize>(), FIRST + LONGER);
        let mut kept = core::mem::take(&mut *pair.watcher.kept.lock().unwrap());
        if backwards {
            kept.reverse();
        }
        let old = |node: &Kept| {
            // SAFETY: it is kept.
            let mdl = unsafe { (*node.0).Buffer.Mdl };
            // SAFETY: the ring is there as long as a node of it is kept.
            unsafe { (*mdl).ByteCount as usize == FIRST }
        };
        while let Some(node) = kept.pop() {
            // SAFETY: it is kept.
            unsafe { (*node.0).Next = core::ptr::null_mut() };
            assert_eq!(pair.far.release(node.0), STATUS_SUCCESS);
            ksim::quiesce();
            if kept.iter().any(old) {
                assert_eq!(rings(&pair.far).len(), 2);
            }
        }
        assert_eq!(rings(&pair.far), [LONGER]);
        pair.close();
    }
    world.finish();
}

/// SO_RCVBUF says how far; a connection that is there follows it.
#[test]
fn the_receive_buffer_bounds_the_growing() {
    let world = World::new(settings());
    let (near, far) = pair(&world);
    set_receive_buffer(far.raw(), 40_000);
    assert_eq!(rings(&far), [FIRST], "it is not full");
    let all = octets(200_000);
    let sending = near.send(&all);
    until(|| rings(&far) == [FIRST, 40_960] || rings(&far) == [40_960]);
    let mut got = receive_all(&far, FIRST);
    ksim::quiesce();
    assert_eq!(rings(&far), [40_960]);
    // Less is less for the next connection only.
    set_receive_buffer(far.raw(), 20_000);
    got.extend(receive_all(&far, 100_000));
    ksim::quiesce();
    assert_eq!(rings(&far), [40_960]);
    got.extend(receive_all(&far, 200_000 - 100_000 - FIRST));
    assert!(got == all);
    assert_eq!(sending.wait().status, STATUS_SUCCESS);
    near.close();
    far.close();
    world.finish();
}

/// The provider has no registration: the stream goes on in the ring it has.
#[test]
fn the_adapter_cannot_register() {
    for slot in [Slot::CreateMr, Slot::RegisterMr] {
        for when in [When::Inline, When::Early, When::Dpc] {
            let world = World::new(settings());
            let (near, far) = pair(&world);
            ksim::quiesce();
            world.checker.next(slot, Act::Fail(when, STATUS_INSUFFICIENT_RESOURCES));
            let all = octets(3 * LONGER);
            let sending = near.send(&all);
            until(|| sending.is_done() || !far.object().wants_longer_ring());
            ksim::quiesce();
            assert_eq!(rings(&far), [FIRST], "{slot:?} {when:?}");
            assert!(receive_all(&far, all.len()) == all, "{slot:?} {when:?}");
            assert_eq!(sending.wait().status, STATUS_SUCCESS);
            near.close();
            far.close();
            world.finish();
        }
    }
}

/// Memory runs out at each allocation of the growing: the old ring stays, and nothing is left behind.
#[test]
fn memory_runs_out() {
    let world = World::new(settings());
    for successes in 0..20 {
        let (near, far) = pair(&world);
        let object = far.object();
        let all = octets(3 * LONGER);
        let mut crank = Crank::hold();
        let sending = near.send(&all);
        while !object.wants_longer_ring() {
            crank.step();
        }
        let failed = {
            let failing = ksim::pool::fail_after(successes);
            Socket::grow_ring_here(&object);
            failing.has_failed()
        };
        let grown = rings(&far).len() == 2;
        assert_eq!(grown, !failed, "{successes}");
        drop(crank);
        assert!(receive_all(&far, all.len()) == all, "{successes}");
        assert_eq!(sending.wait().status, STATUS_SUCCESS);
        ksim::quiesce();
        assert_eq!(rings(&far), if grown { [LONGER] } else { [FIRST] }, "{successes}");
        near.close();
        drop(object);
        far.close();
        if grown {
            assert!(successes > 2, "a ring takes more allocations");
            return world.finish();
        }
    }
    panic!("memory always runs out");
}

/// A peer that knows rsockets version 1 alone, as Linux', finds the longer ring in its target list, and loses its right to
/// the old one.
#[test]
fn a_linux_peer_follows() {
    let sizes = Settings { first_ring_octets: 512, ring_octets: 2048, ..Settings::DEFAULT };
    let world = World::new(sizes);
    let door = Door::open(&world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let incoming = door.take();
    drop(door);
    let mut data = [0; 64];
    let ours = ConnData::decode(incoming.private_data(&mut data).unwrap()).unwrap();
    let mut peer = Peer::accept(&world, incoming, |data| data.encode().to_vec());
    assert_eq!((connecting.wait().status, peer.answer()), (0, 0));
    let first = ours.first_region;
    assert_eq!(first.len, 256);
    let nothing = TargetEntry { addr: 0, key: 0, len: 0 };
    let second = peer.room(1, nothing);
    assert_eq!(second, TargetEntry { addr: first.addr + 256, ..first });

    let all = octets(512 + 2048);
    for (region, part) in [first, second].into_iter().zip(all.chunks(256)) {
        peer.write(part, region.addr, region.key, Word::Data(256));
    }
    // It fills what it was told before it goes on, and each entry in its turn.
    let third = peer.room(0, nothing);
    let fourth = peer.room(1, second);
    assert_ne!(third.key, first.key);
    assert_eq!((third.len, fourth), (1024, TargetEntry { addr: third.addr + 1024, ..third }));
    peer.hears(Word::Credit(ours.credits));
    for (region, part) in [third, fourth].into_iter().zip(all[512..].chunks(1024)) {
        peer.write(part, region.addr, region.key, Word::Data(1024));
    }
    assert!(receive_all(&socket, all.len()) == all);
    ksim::quiesce();
    assert_eq!(rings(&socket), [2048]);
    let waiting = socket.receive(10);
    peer.write(b"late", first.addr, first.key, Word::Data(4));
    assert_eq!(waiting.wait().status, STATUS_CONNECTION_RESET);
    peer.is_left();
    peer.close(false);
    socket.close();
    world.finish();
}

/// What somebody does in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    None,
    /// A receive is cancelled.
    Cancel,
    Close,
    CloseNear,
    Abort,
    AbortNear,
    /// The adapter goes.
    Die,
    /// SO_RCVBUF.
    Resize,
    /// The registration fails.
    Fail,
    /// Everything that is kept is released.
    Release,
}

const DEEDS: [Deed; 10] = [
    Deed::None,
    Deed::Cancel,
    Deed::Close,
    Deed::CloseNear,
    Deed::Abort,
    Deed::AbortNear,
    Deed::Die,
    Deed::Resize,
    Deed::Fail,
    Deed::Release,
];

/// How the octets are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// By receives into small buffers, after the deed.
    Late,
    /// By receives whose buffers are large enough for direct placement, from the beginning.
    Direct,
    /// By a callback that keeps everything until after the deed.
    Keeping,
}

const READERS: [Reader; 3] = [Reader::Late, Reader::Direct, Reader::Keeping];
const TOTAL: usize = 10_000;
const STEPS_MAX: usize = 200;

fn release_kept(pair: &Pair) {
    for node in core::mem::take(&mut *pair.watcher.kept.lock().unwrap()) {
        // SAFETY: it is kept.
        unsafe { (*node.0).Next = core::ptr::null_mut() };
        assert_eq!(pair.far.release(node.0), STATUS_SUCCESS);
    }
}

/// Both ends send more than a ring, with the deed after so many steps. Whether the ring had grown by then, and whether the
/// stream had ended.
fn play(world: &World, reader: Reader, deed: Deed, steps: usize) -> (bool, bool) {
    let place = (reader, deed, steps);
    let pair = Pair::new(world, Watcher::keeping(), true);
    if reader == Reader::Keeping {
        assert_eq!(pair.far.events(WSK_EVENT_RECEIVE), STATUS_SUCCESS);
    }
    let all = octets(TOTAL);
    let mut crank = Crank::hold();
    let buffer = |length| Chain::new(&std::vec![0; length], &[], Pages::Locked);
    let backwards = pair.near.receive_chain(buffer(TOTAL), WSK_FLAG_WAITALL);
    let mut reads: Vec<Transfer> = Vec::new();
    if reader == Reader::Direct {
        reads.extend([pair.far.receive_chain(buffer(4000), 0), pair.far.receive_chain(buffer(4000), 0)]);
    }
    // In parts, so that a part finds an advert or none.
    let sends = [pair.near.send(&all[..3000]), pair.near.send(&all[3000..]), pair.far.send(&all)];
    let ending = pair.near.disconnect();
    for _ in 0..steps {
        crank.step();
    }
    let grown = rings(&pair.far).contains(&LONGER);
    let over = ending.completion().is_some();
    let (mut far_closing, mut near_closing, mut abort) = (None, None, None);
    match deed {
        Deed::None => {}
        Deed::Cancel if reader == Reader::Late => {
            reads.push(pair.far.receive(10));
            reads[0].cancel();
        }
        Deed::Cancel => reads.iter().take(1).for_each(Transfer::cancel),
        Deed::Close => far_closing = Some(pair.far.alias().start_close()),
        Deed::CloseNear => near_closing = Some(pair.near.alias().start_close()),
        Deed::Abort => abort = Some(pair.far.abort()),
        Deed::AbortNear => abort = Some(pair.near.abort()),
        Deed::Die => Socket::no_longer_functional(&pair.far.object()),
        Deed::Resize => set_receive_buffer(pair.far.raw(), 20_000),
        Deed::Fail => {
            let fail = Act::Fail(When::Inline, STATUS_INSUFFICIENT_RESOURCES);
            world.checker.always(Slot::RegisterMr, fail);
        }
        Deed::Release => release_kept(&pair),
    }
    drop(crank);
    ksim::quiesce();
    world.checker.relent();
    let harmless = matches!(deed, Deed::None | Deed::Cancel | Deed::Resize | Deed::Fail | Deed::Release);
    let mut got: Vec<u8> = Vec::new();
    for read in &reads {
        read.wait();
        got.extend(read.octets());
    }
    if reader == Reader::Keeping {
        // One indication after the other in the ring that there is.
        for _ in 0..TOTAL {
            release_kept(&pair);
            ksim::quiesce();
            if !harmless || pair.watcher.told().0.len() == TOTAL {
                break;
            }
        }
        release_kept(&pair);
        got = pair.watcher.told().0;
    } else if far_closing.is_none() {
        loop {
            let read = pair.far.receive(1500);
            if read.wait().status != STATUS_SUCCESS || read.octets().is_empty() {
                break;
            }
            got.extend(read.octets());
        }
    }
    assert!(all.starts_with(&got), "{place:?}: other octets than were sent");
    if harmless {
        assert_eq!(got.len(), TOTAL, "{place:?}: octets are missing");
        assert!(backwards.octets() == all, "{place:?}");
        assert!(sends.iter().all(|send| send.wait().status == STATUS_SUCCESS), "{place:?}");
    }
    let far_closing = far_closing.unwrap_or_else(|| pair.far.alias().start_close());
    let near_closing = near_closing.unwrap_or_else(|| pair.near.alias().start_close());
    assert_eq!((far_closing.wait().status, near_closing.wait().status), (0, 0), "{place:?}");
    for request in sends.iter().chain([&backwards]) {
        request.wait();
    }
    for request in abort.iter().chain([&ending]) {
        request.wait();
    }
    pair.listener.close();
    ksim::quiesce();
    assert_eq!(irp::account().outstanding(), 0, "{place:?}");
    (grown, over)
}

fn play_all(answers: AnswerMode) {
    let world = World::answering(Settings { zero_copy_octets: 4000, ..settings() }, answers);
    for reader in READERS {
        let mut has_grown = false;
        let most = (0..STEPS_MAX).find(|steps| {
            let (grown, over) = play(&world, reader, Deed::None, *steps);
            has_grown |= grown;
            over
        });
        let most = most.expect("the stream ends");
        assert!(has_grown || reader == Reader::Direct, "{reader:?}: nothing grows");
        for deed in DEEDS {
            for steps in 0..=most + 1 {
                play(&world, reader, deed, steps);
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
