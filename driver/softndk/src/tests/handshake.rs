//! Connect, accept, complete, reject, and the data they carry.

use core::net::SocketAddr;
use core::ptr;

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use crate::{AnswerMode, Config};

const DATA: [u8; 40] = *b"forty octets of private data, as on wire";
/// What the transport carries, whatever is sent.
const REQUIRED: usize = 56;

/// Everything an end may learn before it decides.
fn connection_data(connector: *mut NDK_CONNECTOR) -> (u32, u32, std::vec::Vec<u8>) {
    let mut length = 0;
    let null = ptr::null_mut();
    let status = ndk!(connector, NdkGetConnectionData, null, null, ptr::null_mut(), &raw mut length);
    assert_eq!((status, length as usize), (STATUS_SUCCESS, REQUIRED));

    // Too short: as much as fits, and the size.
    let mut short = [0xAA_u8; 8];
    length = 5;
    let status =
        ndk!(connector, NdkGetConnectionData, null, null, short.as_mut_ptr().cast(), &raw mut length);
    assert_eq!((status, length as usize), (STATUS_BUFFER_TOO_SMALL, REQUIRED));
    assert_eq!(short[5..], [0xAA; 3], "more was written than there was room");

    // Exactly the required size.
    let (mut inbound, mut outbound) = (99, 99);
    let mut data = std::vec![0; REQUIRED];
    length = REQUIRED as u32;
    let buffer = data.as_mut_ptr().cast();
    let limits = (&raw mut inbound, &raw mut outbound);
    let status = ndk!(connector, NdkGetConnectionData, limits.0, limits.1, buffer, &raw mut length);
    assert_eq!((status, length as usize), (STATUS_SUCCESS, REQUIRED));
    assert_eq!(data[..5], short[..5]);
    (inbound, outbound, data)
}

fn padded(data: &[u8]) -> std::vec::Vec<u8> {
    let mut padded = data.to_vec();
    padded.resize(REQUIRED, 0);
    padded
}

fn handshake(answers: AnswerMode, ip: &str) {
    let world = World::with_answers(answers);
    let pd = world.pd();
    let mut active = End::new(&world, pd, Sizes { read_limit: 100, ..Sizes::default() });
    let mut passive = End::new(&world, pd, Sizes { read_limit: 3, ..Sizes::default() });
    let (listener, address) = TestListener::on(&world, ip);
    assert!(address.port() >= 49152);

    let connector = world.connector();
    let source = SocketAddr::new(address.ip(), 0);
    let connect = active.begin_connect(connector, source, address, &DATA).ok().unwrap();
    let requested = listener.take_request();
    assert!(!connect.is_done(), "connected before the peer's consumer has decided");
    // What the active side asks for, as far as this adapter goes: 16 reads.
    assert_eq!(connection_data(requested), (16, 16, padded(&DATA)));

    let local = read_address(|buffer, length| ndk!(connector, NdkGetLocalAddress, buffer, length));
    assert!(local.ip() == address.ip() && local.port() >= 49152 && local != address);
    let seen = |connector: *mut NDK_CONNECTOR| {
        let local = read_address(|buffer, length| ndk!(connector, NdkGetLocalAddress, buffer, length));
        let peer = read_address(|buffer, length| ndk!(connector, NdkGetPeerAddress, buffer, length));
        (local, peer)
    };
    assert_eq!(seen(connector), (local, address));
    assert_eq!(seen(requested), (address, local));

    let reply = [7; REQUIRED];
    let accept = passive.begin_accept(requested, &reply).ok().unwrap();
    assert_eq!(connect.wait(), STATUS_SUCCESS);
    assert!(!accept.is_done(), "accepted before the peer's consumer has completed");
    // The window of the passive side is over.
    let mut length = 0;
    let null = ptr::null_mut();
    let status = ndk!(requested, NdkGetConnectionData, null, null, ptr::null_mut(), &raw mut length);
    assert_eq!(status, STATUS_INVALID_DEVICE_STATE);
    assert_eq!(connection_data(connector), (3, 3, reply.to_vec()));
    // Not connected yet, on either side.
    assert_eq!(active.send(1, &[], NDK_OP_FLAG::empty()), STATUS_CONNECTION_INVALID);
    assert_eq!(passive.send(1, &[], NDK_OP_FLAG::empty()), STATUS_CONNECTION_INVALID);

    assert_eq!(active.complete_connect(), STATUS_SUCCESS);
    assert_eq!(accept.wait(), STATUS_SUCCESS);
    assert_eq!(active.complete_connect(), STATUS_CONNECTION_INVALID, "complete twice");
    let counters = world.soft().counters();
    assert_eq!((counters.connects, counters.accepts, counters.active_connections), (1, 1, 2));

    active.close();
    passive.close();
    listener.close();
    close(pd, close_slot!(pd, NdkClosePd));
    assert_eq!(world.soft().counters().active_connections, 0);
    world.finish();
}

fn private_data_limits_and_addresses_cross_in_every_answer_mode() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        handshake(answers, "127.0.0.1");
        handshake(answers, "::1");
    }
}

fn two_opens_of_one_adapter_connect_to_each_other() {
    let world = World::plain();
    let other = world.second();
    let (pd, other_pd) = (world.pd(), other.pd());
    let mut active = End::new(&world, pd, Sizes::default());
    let mut passive = End::new(&other, other_pd, Sizes::default());
    let (listener, address) = TestListener::on(&other, "127.0.0.1");
    let source = SocketAddr::new(address.ip(), 0);
    let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
    let accept = passive.begin_accept(listener.take_request(), &[]).ok().unwrap();
    assert_eq!(connect.wait(), STATUS_SUCCESS);
    assert_eq!(active.complete_connect(), STATUS_SUCCESS);
    assert_eq!(accept.wait(), STATUS_SUCCESS);

    let memory = Memory::with(b"hello");
    let sink = Memory::new(16);
    let mr = TestMr::registered(pd, &memory, NDK_MR_FLAG::empty());
    let sink_mr = TestMr::registered(other_pd, &sink, NDK_MR_FLAG::ALLOW_LOCAL_WRITE);
    assert_eq!(passive.receive(2, &[sge(sink.address(), 16, sink_mr.local())]), STATUS_SUCCESS);
    let hello = [sge(memory.address(), 5, mr.local())];
    assert_eq!(active.send(1, &hello, NDK_OP_FLAG::empty()), STATUS_SUCCESS);
    assert_eq!(passive.receives.one().BytesTransferred, 5);
    assert_eq!(sink.bytes(0, 5), b"hello");

    mr.close();
    sink_mr.close();
    active.close();
    passive.close();
    listener.close();
    close(pd, close_slot!(pd, NdkClosePd));
    close(other_pd, close_slot!(other_pd, NdkClosePd));
    other.close_second(&world);
    world.finish();
}

fn a_reject_is_a_refusal_and_its_data_can_be_read() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::with_answers(answers);
        let pd = world.pd();
        let mut active = End::new(&world, pd, Sizes::default());
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let source = SocketAddr::new(address.ip(), 0);
        let connect = active.begin_connect(world.connector(), source, address, &DATA).ok().unwrap();
        let requested = listener.take_request();
        assert_eq!(ndk!(requested, NdkReject, b"no".as_ptr().cast(), 2), STATUS_SUCCESS);
        assert_eq!(connect.wait(), STATUS_CONNECTION_REFUSED);
        assert_eq!(connection_data(active.connector).2, padded(b"no"));
        assert_eq!(ndk!(requested, NdkReject, ptr::null(), 0), STATUS_CONNECTION_ABORTED, "twice");
        close(requested, close_slot!(requested, NdkCloseConnector));
        assert_eq!(active.complete_connect(), STATUS_CONNECTION_ABORTED);

        // The queue pair is as before: a new connector takes it further.
        active.close_connector();
        let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
        // Closing without a decision refuses as well.
        let requested = listener.take_request();
        close(requested, close_slot!(requested, NdkCloseConnector));
        assert_eq!(connect.wait(), STATUS_CONNECTION_REFUSED);

        active.close();
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        assert_eq!(world.soft().counters().connect_failures, 2);
        world.finish();
    }
}

fn the_active_side_may_reject_or_give_up() {
    let world = World::plain();
    let pd = world.pd();
    let (listener, address) = TestListener::on(&world, "127.0.0.1");
    let source = SocketAddr::new(address.ip(), 0);
    for rejects in [true, false] {
        let mut active = End::new(&world, pd, Sizes::default());
        let mut passive = End::new(&world, pd, Sizes::default());
        let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
        let accept = passive.begin_accept(listener.take_request(), &[]).ok().unwrap();
        assert_eq!(connect.wait(), STATUS_SUCCESS);
        if rejects {
            assert_eq!(ndk!(active.connector, NdkReject, ptr::null(), 0), STATUS_SUCCESS);
        } else {
            active.close_connector();
        }
        assert_eq!(accept.wait(), STATUS_CONNECTION_ABORTED);
        assert_eq!(passive.events.seen.count(), 0, "an event for a connection that never was");
        active.close();
        passive.close();
    }

    // Giving up before the decision: the request is delivered all the same, and accepting it fails.
    let mut active = End::new(&world, pd, Sizes::default());
    let mut passive = End::new(&world, pd, Sizes::default());
    let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
    let requested = listener.take_request();
    active.close_connector();
    assert_eq!(connect.wait(), STATUS_CANCELLED);
    assert_eq!(passive.begin_accept(requested, &[]).err(), Some(STATUS_CONNECTION_ABORTED));
    active.close();
    passive.close();
    listener.close();
    close(pd, close_slot!(pd, NdkClosePd));
    world.finish();
}

fn a_connection_attempt_fails_without_somebody_who_listens() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let config = Config { answers, backlog: 1, ..Config::default() };
        let world = World::new(config);
        let pd = world.pd();
        let mut active = End::new(&world, pd, Sizes::default());
        let source: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let outcome = |begun: Result<Pending, i32>| match begun {
            Ok(pending) => pending.wait(),
            Err(status) => status,
        };
        let mut try_connect = |source: SocketAddr, to: &str, data: &[u8]| {
            let connector = world.connector();
            let status = outcome(active.begin_connect(connector, source, to.parse().unwrap(), data));
            active.close_connector();
            status
        };
        assert_eq!(try_connect(source, "127.0.0.1:50000", &[]), STATUS_CONNECTION_REFUSED);
        assert_eq!(try_connect(source, "192.0.2.1:50000", &[]), STATUS_HOST_UNREACHABLE);
        assert_eq!(try_connect(source, "0.0.0.0:50000", &[]), STATUS_NETWORK_UNREACHABLE);
        assert_eq!(try_connect(source, "[::1]:50000", &[]), STATUS_INVALID_PARAMETER);
        let elsewhere = "192.0.2.7:0".parse().unwrap();
        assert_eq!(try_connect(elsewhere, "127.0.0.1:50000", &[]), STATUS_INVALID_ADDRESS);
        assert_eq!(try_connect(source, "127.0.0.1:50000", &[0; 57]), STATUS_INVALID_BUFFER_SIZE);

        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        ndk!(listener.listener, NdkControlConnectEvents, 1);
        assert_eq!(try_connect(source, &std::format!("{address}"), &[]), STATUS_CONNECTION_REFUSED);
        ndk!(listener.listener, NdkControlConnectEvents, 0);

        // One undecided request fills this backlog.
        let mut first = End::new(&world, pd, Sizes::default());
        let pending = first.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
        assert_eq!(try_connect(source, &std::format!("{address}"), &[]), STATUS_CONNECTION_REFUSED);
        let requested = listener.take_request();
        close(requested, close_slot!(requested, NdkCloseConnector));
        assert_eq!(pending.wait(), STATUS_CONNECTION_REFUSED);
        assert_eq!(listener.requests(), 0);

        first.close();
        active.close();
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

fn connectors_and_queue_pairs_serve_one_connection() {
    let world = World::plain();
    let mut pair = Pair::new(&world);
    let source: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (listener, address) = TestListener::on(&world, "127.0.0.1");

    let busy = pair.active.connector;
    let again = pair.active.begin_connect(busy, source, address, &[]).err();
    assert_eq!(again, Some(STATUS_INVALID_DEVICE_STATE));
    let other = world.connector();
    assert_eq!(pair.active.begin_connect(other, source, address, &[]).err(), Some(STATUS_CONNECTION_ACTIVE));
    close(other, close_slot!(other, NdkCloseConnector));
    pair.active.connector = busy;

    // A flushed queue pair is not connected any more.
    let mut flushed = End::new(&world, pair.pd, Sizes::default());
    flushed.flush();
    let connector = world.connector();
    assert_eq!(flushed.begin_connect(connector, source, address, &[]).err(), Some(STATUS_CONNECTION_INVALID));
    assert_eq!(flushed.begin_disconnect().err(), Some(STATUS_CONNECTION_INVALID));
    flushed.close();

    assert_eq!(listener.requests(), 0);
    listener.close();
    pair.close();
    world.finish();
}

fn a_listener_being_closed_refuses_what_was_on_its_way() {
    let world = World::plain();
    let pd = world.pd();
    let mut active = End::new(&world, pd, Sizes::default());
    let mut passive = End::new(&world, pd, Sizes::default());
    let (listener, address) = TestListener::on(&world, "127.0.0.1");
    let source = SocketAddr::new(address.ip(), 0);
    let connect = active.begin_connect(world.connector(), source, address, &[]).ok().unwrap();
    let accept = passive.begin_accept(listener.take_request(), &[]).ok().unwrap();
    assert_eq!(connect.wait(), STATUS_SUCCESS);

    let closing = listener.begin_close().unwrap();
    let mut late = End::new(&world, pd, Sizes::default());
    let refused = outcome(late.begin_connect(world.connector(), source, address, &[]));
    assert_eq!(refused, STATUS_CONNECTION_REFUSED);
    late.close();
    // What was accepted goes on, and keeps the listener.
    assert_eq!(active.complete_connect(), STATUS_SUCCESS);
    assert_eq!(accept.wait(), STATUS_SUCCESS);
    ksim::quiesce();
    assert!(!closing.is_done());
    active.close();
    passive.close();
    assert_eq!(closing.wait(), STATUS_SUCCESS);
    listener.forget();
    close(pd, close_slot!(pd, NdkClosePd));
    world.finish();
}

fn the_version_in_force_is_the_highest_of_its_major() {
    let _alone = boot();
    let soft = crate::SoftNdk::start(Config::default()).unwrap();
    for (asked, in_force) in [((1, 0), (1, 2)), ((1, 2), (1, 2)), ((2, 0), (2, 1)), ((2, 1), (2, 1))] {
        let adapter = soft.open_adapter(NDK_VERSION { Major: asked.0, Minor: asked.1 }).unwrap();
        let mut info = NDK_ADAPTER_INFO::default();
        let mut size = 103;
        let status = ndk!(adapter, NdkQueryAdapterInfo, &raw mut info, &raw mut size);
        assert_eq!((status, size), (STATUS_BUFFER_TOO_SMALL, 104));
        let status = ndk!(adapter, NdkQueryAdapterInfo, &raw mut info, &raw mut size);
        assert_eq!((status, size), (STATUS_SUCCESS, 104));
        assert_eq!((info.Version.Major, info.Version.Minor), in_force);
        assert!(info.FRMRPageCount >= 16);
        // SAFETY: open.
        let header = unsafe { (*adapter).Header };
        assert_eq!((header.Version, header.ObjectType), (info.Version, NdkObjectTypeAdapter));
        let mut extension = NDK_EXTENSION_INTERFACE { Dispatch: ptr::null() };
        // SAFETY: a GUID is plain data.
        let id = unsafe { core::mem::zeroed::<abi::nt::GUID>() };
        let version = info.Version;
        let status = ndk_header!(adapter, NdkQueryExtension, &raw const id, version, &raw mut extension);
        assert_eq!(status, STATUS_NOT_SUPPORTED);
        // SAFETY: opened above.
        unsafe { soft.close_adapter(adapter) };
    }
    for (major, minor) in [(1, 3), (2, 2), (3, 0), (0, 0)] {
        let refused = soft.open_adapter(NDK_VERSION { Major: major, Minor: minor });
        assert_eq!(refused.err(), Some(abi::ndis::NDIS_STATUS_BAD_VERSION));
    }
    soft.stop();
    assert_nothing_left();
}

over_both_fabrics!(
    private_data_limits_and_addresses_cross_in_every_answer_mode,
    two_opens_of_one_adapter_connect_to_each_other,
    a_reject_is_a_refusal_and_its_data_can_be_read,
    the_active_side_may_reject_or_give_up,
    a_connection_attempt_fails_without_somebody_who_listens,
    connectors_and_queue_pairs_serve_one_connection,
    a_listener_being_closed_refuses_what_was_on_its_way,
    the_version_in_force_is_the_highest_of_its_major,
);
