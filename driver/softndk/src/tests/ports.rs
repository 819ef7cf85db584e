//! The port space: who may use which local address, and until when.

use core::net::SocketAddr;
use core::ptr;

use abi::NTSTATUS;
use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use crate::{AnswerMode, Config};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn shared_endpoint(world: &World, local: SocketAddr) -> Result<*mut NDK_SHARED_ENDPOINT, NTSTATUS> {
    let local = Address::new(local);
    create(|cc, context, out| {
        ndk!(world.adapter, NdkCreateSharedEndpoint, local.as_ptr(), local.length, cc, context, out)
    })
}

fn connect_shared(
    end: &mut End,
    connector: *mut NDK_CONNECTOR,
    endpoint: *mut NDK_SHARED_ENDPOINT,
    to: SocketAddr,
) -> Result<Pending, NTSTATUS> {
    end.connector = connector;
    let to = Address::new(to);
    begin(|rc, context| {
        ndk!(
            connector,
            NdkConnectWithSharedEndpoint,
            end.qp,
            endpoint,
            to.as_ptr(),
            to.length,
            0,
            0,
            ptr::null(),
            0,
            rc,
            context
        )
    })
}

fn a_local_endpoint_has_one_user() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let (listener, other) = (TestListener::new(&world), TestListener::new(&world));
        assert_eq!(listener.listen(address("127.0.0.1:7000")), STATUS_SUCCESS);
        assert_eq!(listener.listen(address("127.0.0.1:7001")), STATUS_INVALID_DEVICE_STATE, "twice");
        assert_eq!(other.listen(address("127.0.0.1:7000")), STATUS_SHARING_VIOLATION);
        assert_eq!(shared_endpoint(&world, address("127.0.0.1:7000")).err(), Some(STATUS_SHARING_VIOLATION));
        // The other family, and another port of the same chain, are free.
        assert_eq!(other.listen(address("[::1]:7000")), STATUS_SUCCESS);
        let endpoint = shared_endpoint(&world, address("127.0.0.1:8024")).unwrap();
        let local = read_address(|buffer, length| ndk!(endpoint, NdkGetLocalAddress, buffer, length));
        assert_eq!(local, address("127.0.0.1:8024"));
        close(endpoint, close_slot!(endpoint, NdkCloseSharedEndpoint));
        listener.close();
        let third = TestListener::new(&world);
        assert_eq!(third.listen(address("127.0.0.1:7000")), STATUS_SUCCESS);
        third.close();
        other.close();
        world.finish();
    }
}

fn only_the_adapters_own_addresses_can_be_used() {
    let addresses = ["10.1.2.3".parse().unwrap(), "fe80::1".parse().unwrap()];
    let world = World::new(Config { addresses: &addresses, ..Config::default() });
    for (text, status) in [
        ("10.1.2.3:0", STATUS_SUCCESS),
        ("[fe80::1]:0", STATUS_SUCCESS),
        ("10.1.2.4:0", STATUS_INVALID_ADDRESS),
        ("127.0.0.1:0", STATUS_INVALID_ADDRESS),
        ("0.0.0.0:0", STATUS_INVALID_ADDRESS),
        ("[::]:0", STATUS_INVALID_ADDRESS),
    ] {
        let listener = TestListener::new(&world);
        assert_eq!(listener.listen(address(text)), status, "{text}");
        listener.close();
    }
    // Other families and short addresses.
    let listener = TestListener::new(&world);
    let good = Address::new(address("10.1.2.3:0"));
    let listen = |buffer: *const abi::wsk::SOCKADDR, length| {
        request(|rc, context| ndk!(listener.listener, NdkListen, buffer, length, rc, context))
    };
    assert_eq!(listen(good.as_ptr(), 15), STATUS_INVALID_PARAMETER);
    assert_eq!(listen(ptr::null(), 16), STATUS_INVALID_PARAMETER);
    assert_eq!(listen([1_u8; 28].as_ptr().cast(), 28), STATUS_INVALID_PARAMETER);
    listener.close();
    world.finish();
}

fn the_ephemeral_range_can_be_used_up() {
    let world = World::new(Config { ephemeral_ports: (50000, 50002), ..Config::default() });
    let endpoints: std::vec::Vec<_> =
        (0..3).map(|_| shared_endpoint(&world, address("127.0.0.1:0")).unwrap()).collect();
    let mut ports: std::vec::Vec<_> = endpoints
        .iter()
        .map(|endpoint| {
            read_address(|buffer, length| ndk!(*endpoint, NdkGetLocalAddress, buffer, length)).port()
        })
        .collect();
    ports.sort_unstable();
    assert_eq!(ports, [50000, 50001, 50002]);
    assert_eq!(shared_endpoint(&world, address("127.0.0.1:0")).err(), Some(STATUS_TOO_MANY_ADDRESSES));
    // Each address has its own ports.
    let other = shared_endpoint(&world, address("[::1]:0")).unwrap();
    close(other, close_slot!(other, NdkCloseSharedEndpoint));
    let pd = world.pd();
    let mut end = End::new(&world, pd, Sizes::default());
    let connector = world.connector();
    let to = address("127.0.0.1:1");
    let begun = end.begin_connect(connector, address("127.0.0.1:0"), to, &[]);
    assert_eq!(begun.err(), Some(STATUS_TOO_MANY_ADDRESSES));
    let begun = end.begin_connect(connector, address("127.0.0.1:50001"), to, &[]);
    assert_eq!(begun.err(), Some(STATUS_SHARING_VIOLATION));
    for endpoint in endpoints {
        close(endpoint, close_slot!(endpoint, NdkCloseSharedEndpoint));
    }
    // The same connector, now that there is a port.
    let begun = end.begin_connect(connector, address("127.0.0.1:0"), to, &[]);
    assert_eq!(outcome(begun), STATUS_CONNECTION_REFUSED);
    end.close();
    close(pd, close_slot!(pd, NdkClosePd));
    world.finish();
}

fn a_port_is_busy_until_its_connectors_are_closed() {
    let world = World::plain();
    let pd = world.pd();
    let listener = TestListener::new(&world);
    let to = address("127.0.0.1:9000");
    assert_eq!(listener.listen(to), STATUS_SUCCESS);
    let mut active = End::new(&world, pd, Sizes::default());
    let mut passive = End::new(&world, pd, Sizes::default());
    let from = address("127.0.0.1:9001");
    let connect = active.begin_connect(world.connector(), from, to, &[]).ok().unwrap();
    let accept = passive.begin_accept(listener.take_request(), &[]).ok().unwrap();
    assert_eq!(connect.wait(), STATUS_SUCCESS);
    assert_eq!(active.complete_connect(), STATUS_SUCCESS);
    assert_eq!(accept.wait(), STATUS_SUCCESS);
    let disconnecting = active.begin_disconnect().ok().unwrap();
    assert_eq!(outcome(passive.begin_disconnect()), STATUS_SUCCESS);
    assert_eq!(disconnecting.wait(), STATUS_SUCCESS);

    // Disconnected, but not closed.
    let closing = listener.begin_close().unwrap();
    let busy = |local| {
        let probe = TestListener::new(&world);
        let status = probe.listen(local);
        probe.close();
        status
    };
    assert_eq!((busy(from), busy(to)), (STATUS_SHARING_VIOLATION, STATUS_SHARING_VIOLATION));
    active.close_connector();
    assert_eq!((busy(from), busy(to)), (STATUS_SUCCESS, STATUS_SHARING_VIOLATION));
    passive.close_connector();
    closing.wait();
    assert_eq!(busy(to), STATUS_SUCCESS);
    listener.forget();
    active.close();
    passive.close();
    close(pd, close_slot!(pd, NdkClosePd));
    world.finish();
}

fn a_shared_endpoint_serves_many_destinations_once_each() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let pd = world.pd();
        let endpoint = shared_endpoint(&world, address("127.0.0.1:6000")).unwrap();
        let (one, one_at) = TestListener::on(&world, "127.0.0.1");
        let (two, two_at) = TestListener::on(&world, "127.0.0.1");
        let mut ends = std::vec::Vec::new();
        for (listener, to) in [(&one, one_at), (&two, two_at)] {
            let mut active = End::new(&world, pd, Sizes::default());
            let mut passive = End::new(&world, pd, Sizes::default());
            let connect = connect_shared(&mut active, world.connector(), endpoint, to).ok().unwrap();
            let requested = listener.take_request();
            let peer = read_address(|buffer, length| ndk!(requested, NdkGetPeerAddress, buffer, length));
            let first_at = address("127.0.0.1:6000");
            assert_eq!(peer.ip(), first_at.ip());
            // TCP lends a port to one socket at a time: the second connection comes from another one.
            if fabric() == Fabric::Memory || to == one_at {
                assert_eq!(peer, first_at);
            }
            let accept = passive.begin_accept(requested, &[]).ok().unwrap();
            assert_eq!(connect.wait(), STATUS_SUCCESS);
            assert_eq!(active.complete_connect(), STATUS_SUCCESS);
            assert_eq!(accept.wait(), STATUS_SUCCESS);
            ends.push((active, passive));
        }
        // The same four-tuple once more.
        let mut again = End::new(&world, pd, Sizes::default());
        let status = match connect_shared(&mut again, world.connector(), endpoint, one_at) {
            Ok(pending) => pending.wait(),
            Err(status) => status,
        };
        assert_eq!(status, STATUS_ADDRESS_ALREADY_EXISTS);
        again.close_connector();

        let closing = begin_close(endpoint, close_slot!(endpoint, NdkCloseSharedEndpoint)).unwrap();
        ksim::quiesce();
        assert!(!closing.is_done(), "its connectors hold it");
        let probe = shared_endpoint(&world, address("127.0.0.1:6000"));
        assert_eq!(probe.err(), Some(STATUS_SHARING_VIOLATION));
        for (active, passive) in ends {
            active.close();
            passive.close();
        }
        closing.wait();
        let endpoint = shared_endpoint(&world, address("127.0.0.1:6000")).unwrap();
        close(endpoint, close_slot!(endpoint, NdkCloseSharedEndpoint));
        again.close();
        one.close();
        two.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

over_both_fabrics!(
    a_local_endpoint_has_one_user,
    only_the_adapters_own_addresses_can_be_used,
    the_ephemeral_range_can_be_used_up,
    a_port_is_busy_until_its_connectors_are_closed,
    a_shared_endpoint_serves_many_destinations_once_each,
);
