//! What would take 4 billion messages.

use std::vec;

use super::super::mpa::{Agreement, Role, Rtr, fpdu::FPDU_LEN_MAX};
use super::super::rdmap::ReadRequest;
use super::{
    Connection, Event, Invalidation, LocalFault, Memory, OutstandingRead, Request, TaggedFault, WorkRequest,
};

/// Has receives without end, and nothing else.
struct Receives;

impl Memory for Receives {
    fn place_write(&mut self, _: u32, _: u64, _: &[u8]) -> Result<(), TaggedFault> {
        Err(TaggedFault::InvalidStag)
    }
    fn place_read(&mut self, _: u32, _: u64, _: &[u8]) -> Result<(), TaggedFault> {
        Err(TaggedFault::InvalidStag)
    }
    fn claim_receive(&mut self) -> Option<u32> {
        Some(0)
    }
    fn place_send(&mut self, _: u32, _: &[u8]) -> Result<(), LocalFault> {
        Err(LocalFault)
    }
    fn invalidate(&mut self, _: u32) -> Result<(), Invalidation> {
        Err(Invalidation::NotAllowed)
    }
    fn check_read(&mut self, _: u32, _: u64, _: u32) -> Result<(), TaggedFault> {
        Err(TaggedFault::InvalidStag)
    }
    fn fetch_read(&mut self, _: u32, _: u64, _: &mut [u8]) -> Result<(), TaggedFault> {
        Err(TaggedFault::InvalidStag)
    }
    fn fetch(&mut self, _: u32, _: &mut [u8]) -> Result<(), LocalFault> {
        Err(LocalFault)
    }
}

fn connection(role: Role) -> Connection<vec::Vec<u8>> {
    let agreement = Agreement { role, crc: true, ird: 16, ord: 16, rtr: Rtr::empty() };
    Connection::new(&agreement, 1460, vec![0; FPDU_LEN_MAX]).unwrap()
}

#[test]
fn message_numbers_go_on_with_zero() {
    let (mut ours, mut theirs) = (connection(Role::Initiator), connection(Role::Responder));
    ours.stream.outbound.send_msn = u32::MAX;
    ours.stream.outbound.read_msn = u32::MAX;
    theirs.stream.inbound.send_msn = u32::MAX;
    theirs.stream.inbound.read_msn = u32::MAX;
    let mut out = [0; 1460];
    let (mut sends, mut reads) = (0, 0);
    for request in [
        Request::Send { length: 0, solicited: false, invalidate: None },
        Request::Read(ReadRequest::default()),
    ] {
        for msn in [u32::MAX, 0, 1] {
            ours.post(WorkRequest { request, read_fence: false }).unwrap();
            let done = ours.transmit(&mut out, &mut Receives);
            assert_eq!(out[12..16], msn.to_be_bytes());
            let mut octets = &out[..done.octets];
            while let Some(event) = theirs.receive(&mut octets, &mut Receives) {
                assert!(matches!(event, Event::Ready | Event::Received { .. }), "{event:?}");
                sends += usize::from(event != Event::Ready);
            }
            while let done @ 1.. = theirs.transmit(&mut out, &mut Receives).octets {
                let event = ours.receive(&mut &out[..done], &mut Receives);
                assert_eq!(event, Some(Event::Completed(1)));
                reads += 1;
            }
        }
    }
    assert_eq!((sends, reads), (3, 3));
}

#[test]
fn as_many_reads_as_were_agreed_on_fit_and_go_round() {
    let mut queue = super::Queue::new();
    for turn in 0..5u32 {
        for at in 0..16 {
            assert_eq!(
                queue.push(OutstandingRead { received: turn, completes: at, ..Default::default() }),
                Some(())
            );
            assert_eq!(queue.back_mut().map(|read| read.completes), Some(at));
        }
        assert_eq!(queue.push(OutstandingRead::default()), None);
        let drained = 16 - (turn == 2) as u32 * 5;
        for at in 0..drained {
            assert_eq!(queue.pop().map(|read| (read.received, read.completes)), Some((turn, at)));
        }
        while queue.pop().is_some() {}
        assert!(queue.is_empty() && queue.front_mut().is_none() && queue.back_mut().is_none());
    }
}
