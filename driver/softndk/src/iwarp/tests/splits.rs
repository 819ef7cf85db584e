//! TCP may cut the stream anywhere: the events and the memory are the same.

use std::vec::Vec;

use super::harness::*;
use crate::iwarp::Event;
use crate::iwarp::mpa::{Initiator, Responder, Rtr};
use crate::iwarp::rdmap::ReadRequest;

/// A responder with memory, and what an initiator sends it: one of each message, the last of them a Terminate.
fn scene() -> (impl Fn() -> End, Vec<u8>) {
    let terms = Terms::default();
    let responder = move || {
        let (_, mut end) = terms.pair();
        end.adapter.receives.extend([2000, 0, 100]);
        end.adapter.regions.push(Region::new(9, 0x1000, 64));
        end.adapter.regions.push(Region::new(10, 0, 64));
        end
    };
    let (mut initiator, _) = terms.pair();
    let mut octets = Vec::new();
    initiator.write(9, 0x1001, b"written");
    octets.extend(initiator.transmit().0);
    initiator.send(&[3; 1500]);
    octets.extend(initiator.transmit().0);
    initiator.send(&[]);
    octets.extend(initiator.transmit().0);
    initiator.read(ReadRequest { sink_stag: 1, sink_to: 0, size: 7, source_stag: 9, source_to: 0x1001 });
    octets.extend(initiator.transmit().0);
    let invalidate = Some(10);
    initiator.post(crate::iwarp::Request::Send { length: 2, solicited: true, invalidate }, b"ab").unwrap();
    octets.extend(initiator.transmit().0);
    initiator.connection.abort();
    octets.extend(initiator.transmit().0);
    (responder, octets)
}

/// What the end has become.
fn outcome(mut end: End, events: Vec<Event>) -> (Vec<Event>, Vec<Vec<u8>>, Vec<u8>) {
    let regions = end.adapter.regions.iter().map(|region| region.octets.clone()).collect();
    (events, regions, end.transmit().0)
}

#[test]
fn one_cut_anywhere() {
    let (end, octets) = scene();
    let mut whole = end();
    let events = whole.receive(&octets);
    assert_eq!(events.len(), 5, "{events:?}");
    let expected = outcome(whole, events);
    for cut in 0..=octets.len() {
        let mut end = end();
        let mut events = end.receive(&octets[..cut]);
        events.extend(end.receive(&octets[cut..]));
        assert_eq!(outcome(end, events), expected, "cut at {cut}");
    }
}

#[test]
fn pieces_of_every_size() {
    let (end, octets) = scene();
    let mut whole = end();
    let events = whole.receive(&octets);
    let expected = outcome(whole, events);
    for size in (1..70).chain([1459, 1460, 1461]) {
        let mut end = end();
        let events = octets.chunks(size).flat_map(|piece| end.receive(piece)).collect();
        assert_eq!(outcome(end, events), expected, "pieces of {size}");
    }
}

#[test]
fn frames_cut_anywhere() {
    let terms = Terms { rtr: Rtr::WRITE, ..Terms::default() };
    let mut out = [0; 532];
    let initiator = Initiator::new(terms.proposal());
    let length = initiator.request(b"request", &mut out).unwrap();
    let request = out[..length].to_vec();
    for cut in 0..length {
        let mut responder = Responder::new();
        assert_eq!(responder.receive(&mut &request[..cut]), None, "cut at {cut}");
        let rest = [&request[cut..], b"FPDU"].concat();
        let mut rest = &rest[..];
        assert_eq!(responder.receive(&mut rest).unwrap().unwrap().private_data, b"request");
        assert_eq!(rest, b"FPDU");
    }
    let mut responder = Responder::new();
    responder.receive(&mut &request[..]).unwrap().unwrap();
    let (length, _) = responder.accept(&terms.acceptance(), b"reply", &mut out).unwrap();
    let reply = out[..length].to_vec();
    for cut in 0..length {
        let mut initiator = initiator.clone();
        assert_eq!(initiator.receive(&mut &reply[..cut]), None, "cut at {cut}");
        let rest = [&reply[cut..], b"FPDU"].concat();
        let mut rest = &rest[..];
        let got = initiator.receive(&mut rest).unwrap().unwrap();
        assert_eq!((got.private_data, got.agreement.unwrap().rtr()), (&b"reply"[..], Rtr::WRITE));
        assert_eq!(rest, b"FPDU");
    }
}
