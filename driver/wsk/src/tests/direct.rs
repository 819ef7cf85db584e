//! Receives into the client's memory.

use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::WSK_FLAG_WAITALL;
use kernel::time::{interrupt_time_100ns, milliseconds};
use ksim::buffer::{Chain, Pages};
use ndkcheck::{Act, Slot, When};
use softndk::AnswerMode;
use stream::{ConnData, Extensions, Offer, Word};
use trace::Snapshot;

use super::crank::Crank;
use super::harness::*;
use crate::Settings;
use crate::connection::Connection as Socket;

const PORT: u16 = 49_000;
const STEPS_MAX: usize = 400;
/// What a client's memory is filled with once it has it back.
const RECLAIMED: u8 = 0xDD;

/// No octet is [`RECLAIMED`].
fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 199) as u8).collect()
}

fn pair(world: &World) -> (Connection, Connection) {
    let listener = world.listen(PORT);
    let near = world.connection();
    let connecting = near.connect(PORT);
    let far = Connection::from_accept(listener.accept().wait().information);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    listener.close();
    (near, far)
}

/// A hand-made equal.
fn with_peer(world: &World) -> (Connection, Peer) {
    let door = Door::open(world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let peer = Peer::accept(world, door.take(), |data| {
        let offer = Offer { extensions: Extensions::DIRECT, message_len: 64 };
        ConnData { offer: Some(offer), ..data }.encode().to_vec()
    });
    assert_eq!(connecting.wait().status, 0);
    assert_eq!(peer.answer(), 0);
    (socket, peer)
}

fn work(socket: &Connection) -> Snapshot {
    socket.object().view().work
}

/// Nothing is copied on either side, in whatever part of a page the buffers are, and in pieces.
#[test]
fn nothing_is_copied() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(Settings::DEFAULT, answers);
        let (near, far) = pair(&world);
        // One in pieces comes last: its second may be refused, and then the next receive keeps to the ring.
        for (length, cut) in [(100_000, &[][..]), (20_000, &[]), (16_384, &[]), (100_000, &[40_000, 30_000])]
        {
            let all = octets(length);
            let empty = Chain::new(&std::vec![0; length], cut, Pages::Locked);
            let reading = far.receive_chain(empty, WSK_FLAG_WAITALL);
            until(|| near.object().holds_advert());
            let before = (work(&near), work(&far));
            let sending = near.send(&all);
            assert!(reading.octets() == all, "{answers:?} {length}");
            assert_eq!(sending.wait().status, STATUS_SUCCESS);
            assert_eq!(work(&near).octets_copied_out, before.0.octets_copied_out);
            let copied = work(&far).octets_copied_in - before.1.octets_copied_in;
            assert!(
                cut.is_empty() == (copied == 0) && copied < length as u64,
                "{answers:?} {length}: {copied}"
            );
        }
        near.close();
        far.close();
        world.finish();
    }
}

/// Small answers to large receives: refused once, then hardly ever asked again.
#[test]
fn refusals_become_rare() {
    let world = World::new(Settings::DEFAULT);
    let (near, far) = pair(&world);
    ksim::quiesce();
    let before = work(&near).sends;
    for round in 0..200u8 {
        let reading = far.receive(50_000);
        ksim::quiesce();
        assert_eq!(near.send(&[round; 10]).wait().status, STATUS_SUCCESS);
        assert_eq!(reading.octets(), [round; 10]);
    }
    // 1 + 2 + 4 + ... receives between two refusals.
    let refusals = work(&near).sends - before - 200;
    assert!((1..=9).contains(&refusals), "{refusals}");
    near.close();
    far.close();
    world.finish();
}

/// An adapter that cannot make a region, map, or register: the ring serves.
#[test]
fn the_adapter_cannot() {
    for (slot, status) in [
        (Slot::CreateMr, STATUS_INSUFFICIENT_RESOURCES),
        (Slot::InitializeFastRegisterMr, STATUS_IMPLEMENTATION_LIMIT),
        (Slot::BuildLam, STATUS_INVALID_PARAMETER),
    ] {
        for when in [When::Inline, When::Early, When::Dpc] {
            let world = World::new(Settings { zero_copy_octets: 20_000, ..Settings::DEFAULT });
            let (near, far) = pair(&world);
            world.checker.next(slot, Act::Fail(when, status));
            let all = octets(40_000);
            let empty = Chain::new(&std::vec![0; 40_000], &[], Pages::Locked);
            let reading = far.receive_chain(empty, WSK_FLAG_WAITALL);
            ksim::quiesce();
            for part in all.chunks(10_000) {
                assert_eq!(near.send(part).wait().status, STATUS_SUCCESS);
            }
            assert!(reading.octets() == all, "{slot:?} {when:?}");
            near.close();
            far.close();
            world.finish();
        }
    }
}

/// Memory runs out at any point: the ring serves.
#[test]
fn memory_runs_out() {
    let world = World::new(Settings::DEFAULT);
    let (near, far) = pair(&world);
    // The region is there.
    let warm = far.receive(50_000);
    until(|| near.object().holds_advert());
    near.send(&octets(50_000)).wait();
    let mut got = warm.octets().len();
    while got < 50_000 {
        got += far.receive(10_000).octets().len();
    }
    for successes in 0..20 {
        let empty = Chain::new(&std::vec![0; 50_000], &[], Pages::NonPagedPool);
        let (reading, failed) = {
            let failing = ksim::pool::fail_after(successes);
            (far.receive_chain(empty, WSK_FLAG_WAITALL), failing.has_failed())
        };
        let all = octets(50_000);
        assert_eq!(near.send(&all).wait().status, STATUS_SUCCESS);
        assert!(reading.octets() == all, "{successes}");
        if !failed {
            near.close();
            far.close();
            return world.finish();
        }
    }
    panic!("memory always runs out");
}

/// The peer may write while the advert is unanswered, and no longer than that.
#[test]
fn a_peer_that_writes_too_late() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = with_peer(&world);
    let mut reading = socket.receive(50_000);
    let advert = peer.takes_advert();
    assert_eq!((advert.stream_offset, advert.buffer.len), (0, 50_000));
    let (addr, key) = (advert.buffer.addr, advert.buffer.key);
    peer.write(b"in time", addr, key, Word::Direct(7));
    let done = reading.wait();
    assert_eq!((done.status, done.information), (STATUS_SUCCESS, 7));
    assert_eq!(&reading.memory()[..7], b"in time");
    reading.reclaim();
    let waiting = socket.receive(10);
    peer.write(b"too late", addr, key, Word::Data(8));
    assert_ne!(waiting.wait().status, STATUS_SUCCESS);
    assert!(reading.memory().iter().all(|octet| *octet == RECLAIMED));
    peer.is_left();
    peer.close(false);
    socket.close();
    world.finish();
}

/// A cancelled receive waits for the peer to give the buffer back; one that does not is given up.
#[test]
fn a_peer_that_keeps_the_buffer() {
    let world = World::new(Settings::DEFAULT);
    let (socket, mut peer) = with_peer(&world);
    for answer in [Some(Word::Refused), Some(Word::Direct(3)), None] {
        let reading = socket.receive(50_000);
        let advert = peer.takes_advert();
        reading.cancel();
        peer.hears(Word::Withdraw);
        assert!(!reading.is_done(), "the peer may be writing");
        match answer {
            Some(Word::Direct(3)) => {
                peer.write(b"abc", advert.buffer.addr, advert.buffer.key, Word::Direct(3));
                let end = reading.wait();
                assert_eq!((end.status, end.information), (STATUS_SUCCESS, 3), "it was as quick");
            }
            Some(word) => {
                peer.say(&word.octets());
                let end = reading.wait();
                assert_eq!((end.status, end.information), (STATUS_CANCELLED, 0));
            }
            None => {
                Socket::time_has_passed(&socket.object(), interrupt_time_100ns() + milliseconds(1_001));
                assert_eq!(reading.wait().status, STATUS_CANCELLED);
                assert_eq!(socket.receive(1).wait().status, STATUS_CONNECTION_ABORTED);
            }
        }
    }
    peer.is_left();
    peer.close(false);
    socket.close();
    world.finish();
}

/// What no advert allows.
#[test]
fn a_peer_that_answers_wrongly() {
    type Wrong = fn(&mut Peer, u64, u32);
    let wrong: [Wrong; 4] = [
        |peer, addr, key| peer.write(b"abc", addr, key, Word::Direct(50_001)),
        |peer, _, _| {
            peer.say(&Word::Refused.octets());
            peer.say(&Word::Refused.octets());
        },
        |peer, addr, key| {
            peer.write(b"abc", addr, key, Word::Direct(3));
            peer.say(&Word::Direct(3).octets());
        },
        |peer, addr, key| peer.write(b"abc", addr + 49_998, key, Word::Direct(3)),
    ];
    for (number, wrong) in wrong.into_iter().enumerate() {
        let world = World::new(Settings::DEFAULT);
        let (socket, mut peer) = with_peer(&world);
        let reading = [socket.receive(50_000), socket.receive(1)];
        let advert = peer.takes_advert();
        wrong(&mut peer, advert.buffer.addr, advert.buffer.key);
        let statuses: Vec<NTSTATUS> = reading.iter().map(|reading| reading.wait().status).collect();
        assert_ne!(statuses[1], STATUS_SUCCESS, "{number}: {statuses:x?}");
        peer.is_left();
        peer.close(false);
        socket.close();
        world.finish();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    None,
    /// The first receive is cancelled.
    Cancel,
    /// Both are.
    CancelBoth,
    Close,
    CloseNear,
    Abort,
    AbortNear,
    /// The adapter goes.
    Die,
    /// A few octets come ahead of the many.
    Small,
}

const DEEDS: [Deed; 9] = [
    Deed::None,
    Deed::Cancel,
    Deed::CancelBoth,
    Deed::Close,
    Deed::CloseNear,
    Deed::Abort,
    Deed::AbortNear,
    Deed::Die,
    Deed::Small,
];

/// Two large receives, then a large send, one of a few octets, and the end of the stream, with the deed after so many steps.
/// The memory of each receive is used for something else as soon as it is over, and nobody writes to it any more. Whether the
/// stream had ended by then, and how many octets were copied to the receives.
fn play(world: &World, deed: Deed, steps: usize) -> (bool, u64) {
    let place = (deed, steps);
    let (near, far) = pair(world);
    let all = octets(60_000);
    let mut crank = Crank::hold();
    let buffer = || Chain::new(&std::vec![0; 40_000], &[], Pages::Locked);
    let mut reads = std::vec![far.receive_chain(buffer(), 0), far.receive_chain(buffer(), 0)];
    let mut got: Vec<Option<Vec<u8>>> = std::vec![None, None];
    let take = |reads: &mut Vec<Transfer>, got: &mut Vec<Option<Vec<u8>>>| {
        for (read, got) in reads.iter_mut().zip(got) {
            if got.is_none() && read.is_done() {
                *got = Some(read.octets());
                read.reclaim();
            }
        }
    };
    // The sender begins in the middle, so that adverts are early or late.
    let mut sends = Vec::new();
    let mut expected = Vec::new();
    let mut ending = None;
    let mut far = Some(far);
    let mut near = Some(near);
    for step in 0..steps {
        crank.step();
        take(&mut reads, &mut got);
        if step == 12 {
            let near = near.as_ref().unwrap();
            sends.extend([near.send(&all), near.send(b"behind")]);
            expected.extend([&all[..], b"behind"].concat());
            ending = Some(near.disconnect());
        }
        if let Some(far) = &far
            && reads.len() < 12
            && reads.last().is_some_and(Transfer::is_done)
        {
            reads.push(far.receive_chain(buffer(), 0));
            got.push(None);
        }
    }
    let over = ending.as_ref().is_some_and(|ending| ending.completion().is_some())
        && got.iter().flatten().map(Vec::len).sum::<usize>() == expected.len();
    let mut closings = Vec::new();
    match deed {
        Deed::None => {}
        Deed::Cancel => reads[0].cancel(),
        Deed::CancelBoth => reads[..2].iter().rev().for_each(Transfer::cancel),
        Deed::Close => closings.extend(far.take().map(Connection::start_close)),
        Deed::CloseNear => closings.extend(near.take().map(Connection::start_close)),
        Deed::Abort => drop(far.as_ref().map(Connection::abort)),
        Deed::AbortNear => drop(near.as_ref().map(Connection::abort)),
        Deed::Die => Socket::no_longer_functional(&far.as_ref().unwrap().object()),
        Deed::Small if ending.is_none() => {
            sends.push(near.as_ref().unwrap().send(b"ahead"));
            expected.extend(b"ahead");
        }
        Deed::Small => {}
    }
    drop(crank);
    ksim::quiesce();
    if let (Some(near), None) = (&near, &ending) {
        sends.extend([near.send(&all), near.send(b"behind")]);
        expected.extend([&all[..], b"behind"].concat());
        ending = Some(near.disconnect());
    }
    while let Some(far) = &far {
        let last = reads.last().unwrap().wait();
        take(&mut reads, &mut got);
        let cancelled = last.status == STATUS_CANCELLED && matches!(deed, Deed::Cancel | Deed::CancelBoth);
        if !cancelled && (last.status != STATUS_SUCCESS || last.information == 0) {
            break;
        }
        reads.push(far.receive_chain(buffer(), 0));
        got.push(None);
    }
    for read in &reads {
        read.wait();
    }
    take(&mut reads, &mut got);
    let got: Vec<u8> = got.into_iter().flatten().flatten().collect();
    assert!(expected.starts_with(&got), "{place:?}: other octets than were sent");
    if matches!(deed, Deed::None | Deed::Cancel | Deed::CancelBoth | Deed::Small) {
        assert_eq!(got.len(), expected.len(), "{place:?}: octets are missing");
        assert!(sends.iter().all(|send| send.wait().status == STATUS_SUCCESS), "{place:?}");
    }
    for request in sends.iter() {
        request.wait();
    }
    if let Some(ending) = ending {
        ending.wait();
    }
    let copied = far.as_ref().map_or(0, |far| work(far).octets_copied_in);
    closings.extend(near.map(Connection::start_close));
    closings.extend(far.map(Connection::start_close));
    for closing in closings {
        assert_eq!(closing.wait().status, STATUS_SUCCESS, "{place:?}");
    }
    ksim::quiesce();
    for read in &reads {
        assert!(read.memory().iter().all(|octet| *octet == RECLAIMED), "{place:?}: written to afterwards");
    }
    assert_eq!(irp::account().outstanding(), 0, "{place:?}");
    (over, copied)
}

fn play_all(answers: AnswerMode) {
    let world = World::answering(Settings::DEFAULT, answers);
    let mut copied = Vec::new();
    let most = (0..STEPS_MAX).find(|steps| {
        let (over, octets) = play(&world, Deed::None, *steps);
        copied.push(octets);
        over
    });
    let most = most.unwrap();
    assert!(copied.iter().any(|octets| *octets < 60_000), "no buffer was ever used: {copied:?}");
    for deed in DEEDS {
        for steps in 0..=most + 1 {
            play(&world, deed, steps);
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
