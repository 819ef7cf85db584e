//! Which adapters are opened, and why others are not.

use abi::ndis::{NDIS_STATUS_ADAPTER_NOT_READY, NDIS_STATUS_BAD_VERSION};
use abi::netio::{NldsPreferred, NldsTentative};
use abi::status::*;
use abi::wsk::*;
use abi::wskrdma::{WSKRDMA_PATH_RDMA, WSKRDMA_PATH_TCP};
use ksim::ip::Address;
use softndk::AnswerMode;

use super::super::harness::Connection;
use super::super::listening::client::talk;
use super::super::tcp::stage::*;
use super::nic::*;
use crate::hardware::Standing;

const PORT: u16 = 46_000;
const NIC: u32 = 7;
const OTHER: u32 = 8;
const UNSPECIFIED: core::net::SocketAddr =
    core::net::SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::UNSPECIFIED), PORT);

fn socket(machine: &Machine, flags: u32, local: core::net::SocketAddr) -> Connection {
    let made =
        begin_socket(machine.stage.world.npi(), flags, core::ptr::null_mut(), core::ptr::null()).wait();
    let socket = Connection::from_accept(made.information);
    assert_eq!(bind(&socket, local).wait().status, STATUS_SUCCESS);
    socket
}

/// A connection to a NIC's own address, over whatever way, and how it went.
fn connection(machine: &Machine, listener: &Connection, index: u32) -> u32 {
    let near = socket(machine, WSK_FLAG_CONNECTION_SOCKET, at(index, 0));
    assert_eq!(connect(&near, at(index, PORT)).wait().status, STATUS_SUCCESS);
    let far = Connection::from_accept(accept(listener).wait().information);
    talk(&near, &far);
    let way = path(near.raw()).0;
    near.close();
    far.close();
    way
}

/// A NIC gets its address after a socket listens at the wildcard, and a second one later still.
#[test]
fn adapters_are_found_by_their_addresses() {
    for ways in WAYS {
        let machine = Machine::new(Stage::answering(&[], ways), &[NIC, OTHER], ways.0);
        let listener = socket(&machine, WSK_FLAG_LISTEN_SOCKET, UNSPECIFIED);
        assert_eq!(connection(&machine, &listener, NIC), WSKRDMA_PATH_TCP);
        for indexes in [&[NIC][..], &[NIC, OTHER], &[OTHER], &[NIC, OTHER]] {
            machine.addressed(indexes);
            for index in [NIC, OTHER] {
                let there = indexes.contains(&index);
                machine.wait_for(index, there.then_some(Standing::Open));
                until(|| machine.open(index) == usize::from(there));
                let expected = if there { WSKRDMA_PATH_RDMA } else { WSKRDMA_PATH_TCP };
                assert_eq!(connection(&machine, &listener, index), expected, "{indexes:?} {index}");
            }
        }
        listener.close();
        machine.finish();
    }
}

/// Not every address can be used: tentative ones, those of the loopback interface, and link-local ones.
#[test]
fn addresses_that_are_left_out() {
    let machine = Machine::new(Stage::new(&[]), &[NIC], AnswerMode::Inline);
    let usable = Address { luid: luid(NIC), index: NIC, address: address(NIC), state: NldsPreferred };
    for left_out in [
        Address { state: NldsTentative, ..usable },
        Address { luid: 24 << 48 | 1, index: 1, ..usable },
        Address { address: "fe80::1".parse().unwrap(), ..usable },
    ] {
        ksim::ip::set(&[left_out]);
        machine.hardware().release(luid(NIC), NIC);
        until(|| machine.standing(NIC).is_none());
        assert_eq!(machine.open(NIC), 0);
    }
    ksim::ip::set(&[usable]);
    machine.wait_for(NIC, Some(Standing::Open));
    machine.finish();
}

/// The best version that both have.
#[test]
fn versions_are_negotiated() {
    for (newest, asked, standing) in [
        ((2, 1), &[(2, 1)][..], Standing::Open),
        ((2, 0), &[(2, 1), (2, 0)], Standing::Open),
        ((1, 2), &[(2, 1), (2, 0), (1, 2)], Standing::Open),
        ((1, 1), &[(2, 1), (2, 0), (1, 2)], Standing::WrongVersion),
    ] {
        let machine = Machine::new(Stage::new(&[]), &[NIC], AnswerMode::Inline);
        machine.set_newest(NIC, newest);
        machine.addressed(&[NIC]);
        machine.wait_for(NIC, Some(standing));
        assert_eq!(machine.asked(NIC), asked);
        machine.finish();
    }
}

/// Each refusal says what it is; a NIC whose NDK was disabled is opened when the filter says that it is enabled.
#[test]
fn refusals_are_told_apart() {
    for (refusal, standing) in [
        (NDIS_STATUS_ADAPTER_NOT_READY, Standing::Disabled),
        (NDIS_STATUS_BAD_VERSION, Standing::WrongVersion),
        (STATUS_NOT_SUPPORTED, Standing::NotCapable),
        (STATUS_INSUFFICIENT_RESOURCES, Standing::Failed(STATUS_INSUFFICIENT_RESOURCES)),
    ] {
        let machine = Machine::new(Stage::new(&[]), &[NIC], AnswerMode::Inline);
        machine.refuse(NIC, Some(refusal));
        machine.addressed(&[NIC]);
        machine.wait_for(NIC, Some(standing));
        machine.refuse(NIC, None);
        machine.hardware().release(luid(NIC), NIC);
        machine.wait_for(NIC, Some(Standing::Open));
        machine.finish();
    }
}

/// From the wildcard a connection leaves by the interface that the system's route leads to.
#[test]
fn the_route_chooses_the_adapter() {
    let machine = Machine::new(Stage::new(&[]), &[NIC, OTHER], AnswerMode::Inline);
    machine.addressed(&[NIC, OTHER]);
    machine.wait_for(NIC, Some(Standing::Open));
    machine.wait_for(OTHER, Some(Standing::Open));
    let far = core::net::SocketAddr::from(([10, 9, 9, 9], PORT));
    let wildcard = core::net::SocketAddr::new(UNSPECIFIED.ip(), 4000);
    for index in [OTHER, NIC] {
        ksim::ip::route(far.ip(), luid(index));
        let routed = machine.stage.world.provider.adapters().route(wildcard, far);
        assert_eq!(routed.map(|(_, local)| local).ok(), Some(at(index, 4000)));
    }
    // By an interface without RDMA.
    ksim::ip::route(far.ip(), luid(99));
    let routed = machine.stage.world.provider.adapters().route(wildcard, far);
    assert_eq!(routed.map(|_| ()), Err(STATUS_NETWORK_UNREACHABLE));
    machine.finish();
}
