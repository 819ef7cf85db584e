//! Peers that connect and do not say what they want: they cost a bounded amount of memory, for a bounded time.

use core::net::SocketAddr;
use std::vec::Vec;

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::hostile_stream::{first_fpdu, mpa_request};
use super::pair::*;
use super::tcp_peer::*;
use crate::iwarp::tests::harness::{fpdu, hex};

/// Half-open connections that a listener holds in these tests.
const LIMIT: u32 = 8;
/// Peers that come.
const CROWD: usize = 3_000;

/// Blocks that the streams of the software adapter have.
fn blocks() -> usize {
    settle();
    ksim::pool::outstanding(b"WrSt")
}

/// A consumer that connects, is accepted, and is gone again.
fn connect_once(world: &World, pd: *mut NDK_PD, listener: &TestListener, address: SocketAddr) {
    let mut active = End::new(world, pd, Sizes::default());
    let mut passive = End::new(world, pd, Sizes::default());
    let source = SocketAddr::new(address.ip(), 0);
    let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
    let accept = passive.begin_accept(listener.take_request(), &[]).ok().unwrap();
    assert_eq!(connect.wait(), STATUS_SUCCESS);
    assert_eq!(active.complete_connect(), STATUS_SUCCESS);
    assert_eq!(accept.wait(), STATUS_SUCCESS);
    active.close();
    passive.close();
}

#[test]
fn thousands_that_say_nothing_cost_as_much_as_a_few() {
    over(Fabric::Iwarp, || {
        let world = World::tuned(|iwarp| iwarp.half_open = LIMIT);
        let pd = world.pd();
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let arrive = || TcpPeer::try_connect(world.system(), address);
        let mut crowd: Vec<_> = (0..LIMIT).filter_map(|_| arrive()).collect();
        assert_eq!(crowd.len(), LIMIT as usize);
        let full = blocks();
        crowd.extend(arrive());
        // What the test itself needs for one more.
        let own = blocks() - full;
        // The others wait in the system's backlog, and when that is full the system refuses them.
        crowd.extend((crowd.len()..CROWD).filter_map(|_| arrive()));
        assert_eq!(blocks(), full + (crowd.len() - LIMIT as usize) * own, "more than the limit");
        assert_eq!(listener.requests(), 0);
        // Once they have gone, others are served.
        for peer in crowd {
            peer.close();
        }
        connect_once(&world, pd, &listener, address);
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

#[test]
fn who_takes_too_long_makes_room_for_others() {
    over(Fabric::Iwarp, || {
        let patience = kernel::time::milliseconds(400);
        let world = World::tuned(|iwarp| (iwarp.half_open, iwarp.handshake_timeout) = (LIMIT, patience));
        let pd = world.pd();
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        // Some say nothing, some begin a request and never end it.
        let request = mpa_request();
        let crowd: Vec<_> = (0..3 * LIMIT as usize)
            .map(|index| {
                let peer = TcpPeer::connect(world.system(), address);
                if index % 3 > 0 {
                    peer.send(&request[..index % request.len()]);
                }
                peer
            })
            .collect();
        // It waits its turn behind them.
        connect_once(&world, pd, &listener, address);
        for peer in &crowd {
            assert_eq!(peer.wait_for_end(), Ended::Reset);
        }
        assert_eq!(world.soft().counters().handshakes_late, 3 * u64::from(LIMIT));
        crowd.into_iter().for_each(TcpPeer::close);
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

/// One octet at a time does not renew the time limit.
#[test]
fn a_request_in_drops_has_one_time_limit() {
    over(Fabric::Iwarp, || {
        let world = World::tuned(|iwarp| iwarp.handshake_timeout = kernel::time::milliseconds(50));
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let peer = TcpPeer::connect(world.system(), address);
        let mut request = [b"MPA ID Req Frame".as_slice(), &[0, 1, 1, 252]].concat();
        request.resize(request.len() + 507, 0);
        // An octet for each look; the last one never comes.
        let drops = std::cell::RefCell::new(request.into_iter());
        let ended = eventually("the request is given up", || {
            if let Some(octet) = drops.borrow_mut().next() {
                peer.send(&[octet]);
            }
            peer.ended()
        });
        assert_eq!(ended, Ended::Reset);
        assert_eq!((listener.requests(), world.soft().counters().handshakes_late), (0, 1));
        peer.close();
        listener.close();
        world.finish();
    });
}

/// A peer that asks, is accepted, and then says nothing does not keep the consumer waiting.
#[test]
fn a_first_fpdu_that_does_not_come_ends_the_accept() {
    over(Fabric::Iwarp, || {
        let world = World::tuned(|iwarp| iwarp.handshake_timeout = kernel::time::milliseconds(1_000));
        let pd = world.pd();
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let mut end = End::new(&world, pd, Sizes::default());
        let peer = TcpPeer::connect(world.system(), address);
        // It agrees to send an RTR message.
        let mut request = mpa_request();
        request[20..24].copy_from_slice(&[0xC0, 1, 0xC0, 1]);
        assert!(peer.send(&request));
        let accept = end.begin_accept(listener.take_request(), &[]).ok().unwrap();
        assert_eq!(accept.wait(), STATUS_IO_TIMEOUT);
        assert_eq!(peer.wait_for_end(), Ended::Reset);
        assert_eq!(world.soft().counters().handshakes_late, 1);
        peer.close();
        end.close();
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}

/// One that has not agreed to send an RTR message may have nothing to say: it is accepted without, and hears nothing until it speaks.
#[test]
fn a_peer_that_need_not_speak_is_accepted_and_hears_nothing() {
    over(Fabric::Iwarp, || {
        let world = World::tuned(|iwarp| iwarp.first_fpdu_timeout = kernel::time::milliseconds(50));
        let pd = world.pd();
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let mut end = End::new(&world, pd, Sizes::default());
        let peer = TcpPeer::connect(world.system(), address);
        assert!(peer.send(&mpa_request()));
        let accept = end.begin_accept(listener.take_request(), &[]).ok().unwrap();
        assert_eq!(accept.wait(), STATUS_SUCCESS);
        let reply = peer.take();
        assert_eq!(reply[..16], *b"MPA ID Rep Frame");
        assert_eq!(reply.len(), 24);
        assert_eq!(end.send(1, &[], NDK_OP_FLAG::empty()), STATUS_SUCCESS);
        assert_eq!((peer.take(), peer.ended()), (std::vec![], None), "an FPDU before the initiator's first");
        assert_eq!(end.initiators.drain().len(), 0);
        assert!(peer.send(&first_fpdu()));
        assert_eq!(end.initiators.one().Status, STATUS_SUCCESS);
        assert_eq!(peer.take(), fpdu(&hex("4143 00000000 00000000 00000001 00000000"), true));
        let counters = world.soft().counters();
        assert_eq!((counters.accepts, counters.handshakes_late), (1, 0));
        peer.close();
        assert_eq!(end.events.seen.take(), 2);
        end.close();
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    });
}
