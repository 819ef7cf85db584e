//! Sends from the client's memory.

use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use ksim::buffer::{Chain, Pages};
use ndkcheck::{Act, Slot, When};
use softndk::AnswerMode;

use super::crank::Crank;
use super::harness::*;
use crate::Settings;

const PORT: u16 = 48_000;
/// No play takes more steps.
const STEPS_MAX: usize = 400;

/// No octet is what a client's memory is filled with once it has it back.
fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 199) as u8).collect()
}

/// Two connected sockets.
fn pair(world: &World) -> (Connection, Connection) {
    let listener = world.listen(PORT);
    let near = world.connection();
    let connecting = near.connect(PORT);
    let far = Connection::from_accept(listener.accept().wait().information);
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    listener.close();
    (near, far)
}

fn copied(socket: &Connection) -> u64 {
    socket.object().view().work.octets_copied_out
}

/// Reads so many octets, or up to the end.
fn read(socket: &Connection, length: usize) -> Result<Vec<u8>, NTSTATUS> {
    let mut got = Vec::new();
    while got.len() < length {
        let part = socket.receive((length - got.len()).min(30_000));
        match part.wait().status {
            STATUS_SUCCESS => {}
            status => return Err(status),
        }
        let part = part.octets();
        if part.is_empty() {
            break;
        }
        got.extend(part);
    }
    Ok(got)
}

/// Only parts of few octets are copied. Everything arrives in order, whatever lies beside it.
#[test]
fn chains_of_every_cut() {
    let cuts: [(&[usize], u32, u64); 6] = [
        (&[], 0, 0),
        (&[], 5000, 0),
        (&[4096, 4095, 4097], 0, 4095),
        (&[100, 0, 8192, 1], 99, 1 + 1),
        (&[20_000], 19_999, 1),
        (&[50_000, 50_000, 3], 4097, 3),
    ];
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(Settings::DEFAULT, answers);
        let (near, far) = pair(&world);
        for (cut, offset, small) in cuts {
            for pages in [Pages::NonPagedPool, Pages::Locked] {
                let all = octets(150_000);
                let before = copied(&near);
                let first = near.send(b"before");
                let sending = near.send_chain(Chain::new(&all, cut, pages), offset);
                let last = near.send(b"behind");
                let expected = [b"before", &all[offset as usize..], b"behind"].concat();
                let got = read(&far, expected.len()).unwrap();
                assert!(got == expected, "{answers:?} {cut:?} {offset} {pages:?}");
                let done = sending.wait();
                assert_eq!((done.status, done.information), (STATUS_SUCCESS, 150_000 - offset as usize));
                assert_eq!((first.wait().status, last.wait().status), (STATUS_SUCCESS, STATUS_SUCCESS));
                assert_eq!(copied(&near) - before, small + 12, "{cut:?} {offset}");
            }
        }
        near.close();
        far.close();
        world.finish();
    }
}

/// One octet less is copied; so is everything where the setting says so, and what ends the stream.
#[test]
fn what_is_copied() {
    let mut settings = Settings { zero_copy_octets: 20_000, ..Settings::DEFAULT };
    for (zero_copy_octets, length, expected) in
        [(20_000, 20_000, 0), (20_000, 19_999, 19_999), (0, 100_000, 100_000)]
    {
        settings.zero_copy_octets = zero_copy_octets;
        let world = World::new(settings.clone());
        let (near, far) = pair(&world);
        let sending = near.send(&octets(length));
        assert!(read(&far, length).unwrap() == octets(length));
        assert_eq!(sending.wait().status, STATUS_SUCCESS);
        assert_eq!(copied(&near), expected);
        near.close();
        far.close();
        world.finish();
    }
}

/// An adapter that cannot map, inline or later: the octets are copied.
#[test]
fn a_mapping_fails() {
    let world = World::new(Settings::DEFAULT);
    let (near, far) = pair(&world);
    for when in [When::Inline, When::Early, When::Dpc] {
        for status in [STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER, STATUS_BUFFER_TOO_SMALL] {
            world.checker.next(Slot::BuildLam, Act::Fail(when, status));
            let before = copied(&near);
            let all = octets(60_000);
            let sending = near.send_chain(Chain::new(&all, &[30_000], Pages::Locked), 0);
            assert!(read(&far, all.len()).unwrap() == all);
            assert_eq!(sending.wait().status, STATUS_SUCCESS);
            assert_eq!(copied(&near) - before, 30_000, "{when:?} {status:#x}: the part that failed");
        }
    }
    near.close();
    far.close();
    world.finish();
}

/// Memory runs out at any point: then it is copied.
#[test]
fn memory_runs_out() {
    let world = World::new(Settings::DEFAULT);
    let (near, far) = pair(&world);
    for successes in 0..20 {
        let all = octets(60_000);
        let chain = Chain::new(&all, &[30_000], Pages::NonPagedPool);
        let (sending, failed) = {
            let failing = ksim::pool::fail_after(successes);
            (near.send_chain(chain, 0), failing.has_failed())
        };
        assert!(read(&far, all.len()).unwrap() == all, "{successes}");
        assert_eq!(sending.wait().status, STATUS_SUCCESS, "{successes}");
        if !failed {
            assert!(successes > 1);
            near.close();
            far.close();
            return world.finish();
        }
    }
    panic!("memory always runs out");
}

/// More sends at once than may be in place, big and small; all complete in their order.
#[test]
fn many_at_once() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(Settings::DEFAULT, answers);
        let (near, far) = pair(&world);
        let mut sends = Vec::new();
        let mut expected = Vec::new();
        for number in 0..60usize {
            let length = [40_000, 10, 16_384, 0, 70_000][number % 5];
            let all: Vec<u8> = octets(length).into_iter().map(|n| n.wrapping_add(number as u8)).collect();
            sends.push(near.send(&all));
            expected.extend(all);
        }
        assert!(read(&far, expected.len()).unwrap() == expected);
        for send in sends {
            assert_eq!(send.wait().status, STATUS_SUCCESS);
        }
        near.close();
        far.close();
        world.finish();
    }
}

/// What somebody does in the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    None,
    /// The big send is cancelled.
    Cancel,
    /// The one behind it is.
    CancelLast,
    Close,
    CloseFar,
    Abort,
    AbortFar,
    /// The adapter goes.
    Die,
}

const DEEDS: [Deed; 8] = [
    Deed::None,
    Deed::Cancel,
    Deed::CancelLast,
    Deed::Close,
    Deed::CloseFar,
    Deed::Abort,
    Deed::AbortFar,
    Deed::Die,
];

/// A small send, a big one in three parts, a small one, and the end of the stream, with the deed after so many steps. Each
/// request's memory is used for something else as soon as it is over. Whether the stream had ended by then.
fn play(world: &World, deed: Deed, steps: usize) -> bool {
    let place = (deed, steps);
    let (near, far) = pair(world);
    let all = octets(200_000);
    let big = Chain::new(&all, &[90_000, 4_000], Pages::Locked);
    let expected = [b"before", &all[..], b"behind"].concat();
    let receiving = far.receive(expected.len());
    let mut crank = Crank::hold();
    let mut sends = [near.send(b"before"), near.send_chain(big, 0), near.send(b"behind")];
    let ending = near.disconnect();
    let mut reads = std::vec![receiving];
    let mut got = Vec::new();
    for _ in 0..steps {
        crank.step();
        for send in &mut sends {
            send.reclaim();
        }
        if reads.last().is_some_and(Transfer::is_done) {
            reads.push(far.receive(expected.len()));
        }
    }
    let over = ending.completion().is_some();
    let (mut near, mut far, mut closings) = (Some(near), Some(far), Vec::new());
    match deed {
        Deed::None => {}
        Deed::Cancel => sends[1].cancel(),
        Deed::CancelLast => sends[2].cancel(),
        Deed::Close => closings.extend(near.take().map(Connection::start_close)),
        Deed::CloseFar => closings.extend(far.take().map(Connection::start_close)),
        Deed::Abort => drop(near.as_ref().map(Connection::abort)),
        Deed::AbortFar => drop(far.as_ref().map(Connection::abort)),
        Deed::Die => {
            let near = near.as_ref().unwrap().object();
            crate::connection::Connection::no_longer_functional(&near);
        }
    }
    drop(crank);
    loop {
        let statuses: Vec<_> = sends.iter_mut().map(Transfer::reclaim).collect();
        let last = reads.last().unwrap().wait();
        if last.status != STATUS_SUCCESS || last.information == 0 || far.is_none() {
            assert!(deed != Deed::None || last.status == STATUS_SUCCESS, "{place:?} {statuses:?}");
            break;
        }
        reads.push(far.as_ref().unwrap().receive(expected.len()));
    }
    for read in &reads {
        got.extend(read.octets());
    }
    // Of a send that is cancelled before any octet of it is in the stream, nothing is.
    let without = deed == Deed::Cancel && b"beforebehind".starts_with(&got[..]);
    assert!(without || expected.starts_with(&got), "{place:?}: other octets than were sent");
    let statuses: Vec<NTSTATUS> = sends.iter().map(|send| send.wait().status).collect();
    match deed {
        Deed::None => {
            assert_eq!((&statuses[..], got.len()), (&[STATUS_SUCCESS; 3][..], expected.len()), "{place:?}");
        }
        Deed::Cancel => assert!([STATUS_SUCCESS, STATUS_CANCELLED].contains(&statuses[1]), "{place:?}"),
        Deed::CancelLast => assert!([STATUS_SUCCESS, STATUS_CANCELLED].contains(&statuses[2]), "{place:?}"),
        _ => {}
    }
    if statuses[1] == STATUS_SUCCESS && statuses[2] == STATUS_SUCCESS {
        assert_eq!(sends[1].wait().information, all.len(), "{place:?}");
    }
    ending.wait();
    closings.extend(near.map(Connection::start_close));
    closings.extend(far.map(Connection::start_close));
    for closing in closings {
        assert_eq!(closing.wait().status, STATUS_SUCCESS, "{place:?}");
    }
    ksim::quiesce();
    assert_eq!(irp::account().outstanding(), 0, "{place:?}");
    over
}

fn play_all(answers: AnswerMode) {
    let world = World::answering(Settings::DEFAULT, answers);
    let most = (0..STEPS_MAX).find(|steps| play(&world, Deed::None, *steps)).unwrap();
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
