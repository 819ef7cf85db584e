//! Two ends that keep the rules: who may send when, order, reads, fences, ends.

use std::vec;
use std::vec::Vec;

use super::harness::*;
use crate::iwarp::mpa::{self, Rtr};
use crate::iwarp::rdmap::{PeerTerminate, ReadRequest, TerminateError};
use crate::iwarp::{Connection, ConnectionError, Event, PostError, Request, TaggedFault, WorkRequest};

fn received(length: u32) -> Event {
    Event::Received { length, solicited: false, invalidated: None }
}

/// A read of `size` octets from STag 9 to STag 8, both from 0 on.
fn read(size: u32) -> ReadRequest {
    ReadRequest { sink_stag: 8, sink_to: 0, size, source_stag: 9, source_to: 0 }
}

#[test]
fn a_responder_is_silent_until_the_initiator_has_spoken() {
    let (mut initiator, mut responder) = Terms::default().pair();
    initiator.adapter.receives.push_back(10);
    responder.send(b"early");
    assert_eq!(responder.transmit().0, []);
    responder.adapter.receives.push_back(10);
    initiator.send(b"first");
    let (octets, events) = initiator.transmit();
    assert_eq!(events, [Event::Completed(1)]);
    assert_eq!(responder.receive(&octets), [Event::Ready, received(5)]);
    let (octets, events) = responder.transmit();
    assert_eq!(events, [Event::Completed(1)]);
    assert_eq!(initiator.receive(&octets), [received(5)]);
    assert_eq!(initiator.adapter.claimed, b"early");
}

#[test]
fn an_initiator_hears_a_responder_that_speaks_first() {
    // Linux does, right behind its reply.
    let (_, mut speaker) = Terms::default().talking_pair();
    let (mut initiator, _) = Terms::default().pair();
    initiator.adapter.receives.push_back(10);
    speaker.send(b"first");
    assert_eq!(initiator.receive(&speaker.transmit().0), [received(5)]);
}

#[test]
fn every_rtr_message_establishes_and_is_nobodys_work() {
    for (rtr, expected) in [
        (Rtr::WRITE, &[Event::Ready][..]),
        (Rtr::READ, &[Event::Ready]),
        (Rtr::SEND, &[Event::Ready, received(0)]),
    ] {
        let limits = (0, 1);
        let terms = Terms { rtr, initiator: limits, responder: (1, 0), ..Terms::default() };
        let (mut initiator, mut responder) = terms.pair();
        responder.adapter.receives.extend([10, 10]);
        assert!(!initiator.connection.is_idle());
        // It goes first, and alone is no completion.
        initiator.send(b"second");
        let (octets, event) = initiator.fpdu();
        assert_eq!(event, None);
        assert_eq!(responder.receive(&octets), expected);
        let (octets, events) = initiator.transmit();
        assert_eq!(responder.receive(&octets), [received(6)]);
        let (octets, none) = responder.transmit();
        assert_eq!(none, []);
        let late = initiator.receive(&octets);
        // The Send completes behind the RTR Read, and is the only one that counts.
        assert_eq!([events, late].concat(), [Event::Completed(1)]);
        assert!(initiator.connection.is_idle() && responder.connection.is_idle());
    }
}

#[test]
fn an_initiator_with_nothing_to_say_lets_the_responder_speak() {
    let (mut initiator, mut responder) = Terms::default().pair();
    initiator.adapter.receives.push_back(10);
    responder.adapter.regions.push(Region::new(9, 0, 4000));
    responder.send(b"early");
    assert_eq!(responder.transmit().0, []);
    initiator.connection.speak();
    let (octets, events) = initiator.transmit();
    assert_eq!(octets, fpdu(&hex("c140 00000001 0000000000000000"), true));
    assert_eq!(events, [], "nobody's work");
    assert_eq!(responder.receive(&octets), [Event::Ready]);
    assert_eq!(initiator.receive(&responder.transmit().0), [received(5)]);

    // Not between the segments of another tagged message, which Linux would not take.
    initiator.write(9, 0, &[6; 4000]);
    let mut pieces = vec![initiator.fpdu().0];
    initiator.connection.speak();
    for _ in 0..3 {
        pieces.push(initiator.fpdu().0);
    }
    let lengths: Vec<usize> = pieces.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1460, 1460, 1140, 20]);
    for piece in pieces {
        assert_eq!(responder.receive(&piece), []);
    }
    assert!(initiator.connection.is_idle());
}

#[test]
fn what_was_written_before_a_send_is_there_when_it_is_delivered() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 100, 5000));
    responder.adapter.receives.push_back(0);
    initiator.write(9, 101, &[6; 4000]);
    let (octets, _) = initiator.transmit();
    assert_eq!(responder.receive(&octets), [], "a Write is not reported");
    assert_eq!(responder.adapter.region(9).octets[..2], [0, 6]);
    assert_eq!(responder.adapter.region(9).octets[4000..4002], [6, 0]);
    initiator.send(&[]);
    assert_eq!(responder.receive(&initiator.transmit().0), [received(0)]);
}

#[test]
fn work_requests_complete_in_order_behind_reads() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    initiator.adapter.regions.push(Region::new(8, 0, 100));
    responder.adapter.regions.push(Region::new(9, 0, 100));
    responder.adapter.region(9).octets.fill(3);
    responder.adapter.receives.extend([10, 10]);
    let mut octets = Vec::new();
    let mut go = |initiator: &mut End| {
        let (fpdus, events) = initiator.transmit();
        assert_eq!(events, [], "complete before the read");
        octets.extend(fpdus);
    };
    initiator.read(read(100));
    go(&mut initiator);
    initiator.write(9, 0, &[4]);
    go(&mut initiator);
    initiator.send(b"x");
    go(&mut initiator);
    initiator.read(read(1));
    go(&mut initiator);
    initiator.send(b"");
    go(&mut initiator);
    assert_eq!(responder.receive(&octets), [received(1), received(0)]);
    let (first, _) = responder.fpdu();
    assert_eq!(initiator.receive(&first), [Event::Completed(3)]);
    assert_eq!(initiator.receive(&responder.transmit().0), [Event::Completed(2)]);
    assert_eq!(initiator.adapter.region(8).octets[99], 3);
}

#[test]
fn reads_are_limited_by_what_the_peer_takes() {
    let terms = Terms { initiator: (0, 2), ..Terms::default() };
    let (mut initiator, mut responder) = terms.talking_pair();
    initiator.adapter.regions.push(Region::new(8, 0, 100));
    responder.adapter.regions.push(Region::new(9, 0, 100));
    let mut octets = Vec::new();
    for _ in 0..2 {
        initiator.read(read(10));
        octets.extend(initiator.transmit().0);
    }
    initiator.read(read(10));
    assert_eq!(initiator.transmit().0, [], "two are outstanding");
    assert_eq!(initiator.post(Request::Read(read(1)), &[]), Err(PostError::Busy));
    assert_eq!(responder.receive(&octets), []);
    let (response, _) = responder.fpdu();
    assert_eq!(initiator.receive(&response), [Event::Completed(1)]);
    let (octets, _) = initiator.transmit();
    assert_eq!(octets.len(), 52, "now the third may go");
    assert_eq!(responder.receive(&octets), []);
    assert_eq!(initiator.receive(&responder.transmit().0), [Event::Completed(1), Event::Completed(1)]);
    assert_eq!(responder.post(Request::Read(read(1)), &[]), Err(PostError::NoReads));
}

#[test]
fn a_fence_waits_for_the_reads_before_it() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    initiator.adapter.regions.push(Region::new(8, 0, 100));
    responder.adapter.regions.push(Region::new(9, 0, 100));
    responder.adapter.receives.push_back(0);
    initiator.read(read(10));
    let (octets, _) = initiator.transmit();
    let request = Request::Send { length: 0, solicited: false, invalidate: None };
    initiator.connection.post(WorkRequest { request, read_fence: true }).unwrap();
    assert_eq!(initiator.transmit().0, []);
    responder.receive(&octets);
    assert_eq!(initiator.receive(&responder.transmit().0), [Event::Completed(1)]);
    let (octets, events) = initiator.transmit();
    assert_eq!(events, [Event::Completed(1)]);
    assert_eq!(responder.receive(&octets), [received(0)]);
}

#[test]
fn own_work_and_the_peers_reads_take_turns_by_messages() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0, 2000));
    initiator.adapter.regions.push(Region::new(8, 0, 2000));
    let mut octets = Vec::new();
    for _ in 0..2 {
        initiator.read(read(2000));
        octets.extend(initiator.transmit().0);
    }
    responder.receive(&octets);
    let mut order = Vec::new();
    let mut own = 0;
    loop {
        if own < 2 && responder.post(Request::Write { length: 2000, stag: 8, to: 0 }, &[1; 2000]).is_ok() {
            own += 1;
        }
        let (fpdu, _) = responder.fpdu();
        if fpdu.is_empty() {
            break;
        }
        order.push((fpdu[3] & 0x0F, fpdu[2] & 0x40 != 0));
        initiator.receive(&fpdu);
    }
    let (write, response) = (0, 2);
    let turns = [response, write, response, write].map(|opcode| [(opcode, false), (opcode, true)]);
    assert_eq!(order, turns.concat());
}

#[test]
fn a_response_that_has_begun_is_not_interrupted() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0, 2000));
    for size in [0, 2000] {
        initiator.read(read(size));
        responder.receive(&initiator.transmit().0);
    }
    let opcode = |responder: &mut End| responder.fpdu().0[3] & 0x0F;
    // The first response, half of the second.
    assert_eq!([opcode(&mut responder), opcode(&mut responder)], [2, 2]);
    responder.send(b"x");
    assert_eq!([opcode(&mut responder), opcode(&mut responder)], [2, 3]);
}

#[test]
fn messages_without_octets_are_not_checked_and_arrive() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.receives.push_back(0);
    initiator.write(0xBAD, u64::MAX, &[]);
    assert_eq!(responder.receive(&initiator.transmit().0), []);
    initiator.read(ReadRequest { source_to: u64::MAX, source_stag: 0xBAD, ..read(0) });
    assert_eq!(responder.receive(&initiator.transmit().0), []);
    assert_eq!(initiator.receive(&responder.transmit().0), [Event::Completed(1)]);
    initiator.send(&[]);
    assert_eq!(responder.receive(&initiator.transmit().0), [received(0)]);
    assert!(responder.adapter.receives.is_empty(), "a Send takes a receive, however short");
    assert_eq!(responder.adapter.placed, 0);
}

#[test]
fn the_last_octets_of_the_address_space_can_be_written() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, u64::MAX - 3, 4));
    initiator.write(9, u64::MAX - 3, &[1, 2, 3, 4]);
    assert_eq!(responder.receive(&initiator.transmit().0), []);
    assert_eq!(responder.adapter.region(9).octets, [1, 2, 3, 4]);
}

#[test]
fn solicited_events_and_invalidation_are_reported() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0, 10));
    responder.adapter.receives.extend([10, 10]);
    let invalidate = Some(9);
    initiator.post(Request::Send { length: 1, solicited: true, invalidate }, b"x").unwrap();
    let expected = Event::Received { length: 1, solicited: true, invalidated: invalidate };
    assert_eq!(responder.receive(&initiator.transmit().0), [expected]);
    // The STag is gone.
    initiator.write(9, 0, &[1]);
    let events = responder.receive(&initiator.transmit().0);
    assert_eq!(events, [Event::Failed(TerminateError::TaggedInvalidStag)]);
}

#[test]
fn without_room_nothing_is_written_and_nothing_lost() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.receives.push_back(3000);
    initiator.send(&[5; 3000]);
    let mut octets = Vec::new();
    assert_eq!(initiator.connection.fpdu_len_max(), 1460);
    for room in [0, 1, 1459, 1460, 1459, 1460, 151, 152] {
        let mut out = vec![0; room];
        let done = initiator.connection.transmit(&mut out, &mut initiator.adapter);
        let fits = matches!(room, 1460 | 152);
        assert_eq!(done.octets, if fits { room } else { 0 }, "room for {room}");
        assert_eq!(done.event, (room == 152).then_some(Event::Completed(1)));
        octets.extend_from_slice(&out[..done.octets]);
    }
    assert_eq!(responder.receive(&octets), [received(3000)]);
    assert_eq!(responder.adapter.claimed, [5; 3000]);
}

#[test]
fn the_longest_ulpdu_is_taken() {
    let (_, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0, 65_521));
    let mut ulpdu = hex("c140 00000009 0000000000000000");
    ulpdu.resize(65_535, 7);
    assert_eq!(responder.receive(&fpdu(&ulpdu, true)[..]), []);
    assert_eq!(responder.adapter.region(9).octets, [7; 65_521]);
    let short = vec![0; mpa::fpdu::FPDU_LEN_MAX - 1];
    let (agreement, _) = Terms::default().agree();
    assert_eq!(Connection::new(&agreement, 1460, short).err(), Some(ConnectionError::BufferTooShort));
}

#[test]
fn long_segments_stay_within_what_mpa_allows() {
    let (agreement, _) = Terms::default().agree();
    let mut end = End::new(&agreement, u32::MAX);
    end.write(9, 0, &[1; 65_000]);
    let (octets, _) = end.fpdu();
    assert_eq!(octets[..2], 64_768u16.to_be_bytes());
    assert_eq!(end.connection.fpdu_len_max(), octets.len());
}

#[test]
fn a_tagged_message_may_come_between_the_segments_of_a_send() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0, 4));
    responder.adapter.receives.push_back(2000);
    initiator.send(&[1; 2000]);
    let (first, _) = initiator.fpdu();
    let (second, _) = initiator.fpdu();
    assert_eq!(responder.receive(&first), []);
    assert_eq!(responder.receive(&fpdu(&hex("c140 00000009 0000000000000000 01020304"), true)), []);
    assert_eq!(responder.receive(&second), [received(2000)]);
    assert_eq!(responder.adapter.region(9).octets, [1, 2, 3, 4]);
}

#[test]
fn an_orderly_close_is_seen_between_messages_only() {
    let (initiator, mut responder) = Terms::default().talking_pair();
    assert!(initiator.connection.is_idle());
    assert_eq!(responder.connection.end_of_stream(), Some(Event::Closed));
    assert!(responder.connection.is_ended());
    assert_eq!(responder.connection.end_of_stream(), None);
    let request = Request::Send { length: 0, solicited: false, invalidate: None };
    assert_eq!(responder.post(request, &[]), Err(PostError::Ended));
    assert_eq!(responder.transmit().0, []);

    let lost = Some(Event::Failed(TerminateError::TcpLost));
    let write = hex("8140 00000009 0000000000000000");
    let send = hex("0143 00000000 00000000 00000001 00000000");
    // Part of an FPDU, of a Write, of a Send.
    for octets in [fpdu(&write, true)[..5].to_vec(), fpdu(&write, true), fpdu(&send, true)] {
        let (_, mut responder) = Terms::default().talking_pair();
        responder.adapter.receives.push_back(10);
        assert_eq!(responder.receive(&octets), []);
        assert!(!responder.connection.is_idle());
        assert_eq!(responder.connection.end_of_stream(), lost);
        assert_eq!(responder.transmit().0, []);
    }
    // A read without its response.
    let (mut initiator, _) = Terms::default().talking_pair();
    initiator.read(read(1));
    initiator.transmit();
    assert_eq!(initiator.connection.end_of_stream(), lost);
}

#[test]
fn what_is_under_way_keeps_a_connection_from_being_idle() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    initiator.adapter.regions.push(Region::new(8, 0, 1));
    responder.adapter.regions.push(Region::new(9, 0, 1));
    initiator.read(read(1));
    assert!(!initiator.connection.is_idle(), "work that has not gone out");
    let (octets, _) = initiator.transmit();
    assert!(!initiator.connection.is_idle(), "a read without its response");
    responder.receive(&octets);
    assert!(!responder.connection.is_idle(), "a response that has not gone out");
    let (octets, _) = responder.transmit();
    assert!(responder.connection.is_idle());
    initiator.receive(&octets);
    assert!(initiator.connection.is_idle());
}

#[test]
fn an_abort_tells_the_peer_if_it_may() {
    let abort = |end: &mut End| {
        end.connection.abort();
        let (octets, events) = end.transmit();
        assert_eq!(events, []);
        assert!(end.connection.is_ended());
        octets
    };
    let terminated = |error| [Event::Terminated(PeerTerminate { error: Some(error) })];

    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.send(b"never");
    let octets = abort(&mut responder);
    assert_eq!(initiator.receive(&octets), terminated(TerminateError::LocalCatastrophic));
    assert_eq!(abort(&mut initiator), [], "after a Terminate nothing is sent");

    // Before its first FPDU an initiator gives up MPA, and a responder may say nothing at all.
    let (mut initiator, mut responder) = Terms::default().pair();
    let octets = abort(&mut initiator);
    let expected = [&[Event::Ready], &terminated(TerminateError::MpaCatastrophic)[..]].concat();
    assert_eq!(responder.receive(&octets), expected);
    let (_, mut responder) = Terms::default().pair();
    assert_eq!(abort(&mut responder), []);
}

#[test]
fn own_memory_that_has_gone_ends_the_connection() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    initiator.send(b"data");
    initiator.adapter.local_fault = true;
    let (octets, events) = initiator.transmit();
    assert_eq!(events, [Event::Failed(TerminateError::LocalCatastrophic)]);
    let terminated = PeerTerminate { error: Some(TerminateError::LocalCatastrophic) };
    assert_eq!(responder.receive(&octets), [Event::Terminated(terminated)]);

    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.receives.push_back(10);
    responder.adapter.local_fault = true;
    initiator.send(b"data");
    let events = responder.receive(&initiator.transmit().0);
    assert_eq!(events, [Event::Failed(TerminateError::LocalCatastrophic)]);
}

#[test]
fn a_source_that_goes_while_it_is_read_is_told_where_it_went() {
    for (fault, code) in [(TaggedFault::InvalidStag, "00"), (TaggedFault::AccessRights, "02")] {
        let (mut initiator, mut responder) = Terms::default().talking_pair();
        initiator.adapter.regions.push(Region::new(8, 0, 3000));
        responder.adapter.regions.push(Region::new(9, 0, 3000));
        initiator.read(read(3000));
        responder.receive(&initiator.transmit().0);
        let (first, _) = responder.fpdu();
        initiator.receive(&first);
        match fault {
            TaggedFault::InvalidStag => responder.adapter.regions.clear(),
            _ => responder.adapter.region(9).readable = false,
        }
        let (octets, events) = responder.transmit();
        assert!(matches!(events[..], [Event::Failed(_)]));
        // 1440 octets have been served: the Read Request that is quoted asks for the rest.
        let expected = [
            "4147 00000000 00000002 00000001 00000000",
            "01",
            code,
            "e000 002e",
            "4141 00000000 00000001 00000001 00000000",
            "00000008 00000000000005a0 00000618 00000009 00000000000005a0",
        ];
        assert_eq!(octets, fpdu(&hex(&expected.concat()), true));
        assert!(matches!(initiator.receive(&octets)[..], [Event::Terminated(_)]));
    }
}

#[test]
fn nothing_is_taken_after_a_terminate() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.receives.push_back(10);
    initiator.send(b"late");
    let (late, _) = initiator.transmit();
    initiator.connection.abort();
    let (octets, _) = initiator.transmit();
    assert_eq!(responder.receive(&[octets, late].concat()).len(), 1);
    assert_eq!(responder.adapter.receives, [10]);
    assert_eq!(responder.transmit().0, [], "a Terminate is not answered");
}

#[test]
fn a_message_that_has_begun_goes_out_although_the_peer_has_closed() {
    let (mut initiator, mut responder) = Terms::default().talking_pair();
    responder.adapter.regions.push(Region::new(9, 0, 3000));
    initiator.write(9, 0, &[7; 3000]);
    let (first, _) = initiator.fpdu();
    assert_eq!(initiator.connection.end_of_stream(), Some(Event::Closed));
    assert!(!initiator.connection.is_ended());
    let (rest, events) = initiator.transmit();
    assert_eq!(events, [Event::Completed(1)]);
    assert!(initiator.connection.is_ended());
    let request = Request::Write { length: 1, stag: 9, to: 0 };
    assert_eq!(initiator.post(request, &[1]), Err(PostError::Ended));
    assert_eq!(responder.receive(&[first, rest].concat()), []);
    assert_eq!(responder.adapter.region(9).octets, [7; 3000]);
    assert_eq!(responder.connection.end_of_stream(), Some(Event::Closed));

    // A read will not be answered.
    let (mut initiator, _) = Terms::default().talking_pair();
    initiator.read(ReadRequest { size: 1, ..ReadRequest::default() });
    assert_eq!(initiator.connection.end_of_stream(), Some(Event::Failed(TerminateError::TcpLost)));

    // Nor may a responder speak first, not even now.
    let (_, mut responder) = Terms::default().pair();
    responder.send(b"early");
    assert_eq!(responder.connection.end_of_stream(), Some(Event::Failed(TerminateError::TcpLost)));
    assert_eq!(responder.transmit().0, []);
}
