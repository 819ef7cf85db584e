//! `WskControlClient`.

use abi::status::{STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_REQUEST_NOT_ACCEPTED, STATUS_SUCCESS};
use abi::wsk::{
    AF_INET, IPPROTO_TCP, SOCK_STREAM, WSK_TDI_BEHAVIOR, WSK_TDI_DEVICENAME_MAPPING,
    WSK_TRANSPORT_LIST_CHANGE, WSK_TRANSPORT_LIST_QUERY,
};

use crate::Case;
use crate::failure::{Check, Failure, Found, expect};
use crate::tools::of_client;
use crate::world::{Call, Control, Feature, Input, World};

pub(super) const TRANSPORT_LIST: Case =
    Case { name: "client-control-transport-list", section: "WSK_TRANSPORT_LIST_QUERY", run: transport_list };
pub(super) const TRANSPORT_LIST_OVERFLOW: Case = Case {
    name: "client-control-transport-list-overflow",
    section: "WSK_TRANSPORT_LIST_QUERY",
    run: transport_list_overflow,
};
pub(super) const LIST_CHANGE: Case =
    Case { name: "client-control-list-change", section: "WSK_TRANSPORT_LIST_CHANGE", run: list_change };
pub(super) const TDI_BEHAVIOR: Case =
    Case { name: "client-control-tdi-behavior", section: "WSK_TDI_BEHAVIOR", run: tdi_behavior };
pub(super) const TDI_MAPPING: Case =
    Case { name: "client-control-tdi-mapping", section: "WSK_TDI_DEVICENAME_MAPPING", run: tdi_mapping };
pub(super) const UNKNOWN: Case =
    Case { name: "client-control-unknown", section: "WskControlClient", run: unknown };

/// The list names TCP over IPv4, with its size.
fn transport_list(world: &mut dyn World) -> Check {
    world.needs(Feature::TransportList, "a system with a list of transports")?;
    let control = Control { returned: true, ..of_client(WSK_TRANSPORT_LIST_QUERY, Input::None, 1024) };
    let mut octets = [0; 1024];
    let (status, size) = world
        .control_without_irp(&Call::ClientControl { control }, &mut octets)
        .ok_or_else(|| Failure::new("the world has room for a call", Found::Nothing))?;
    expect(status == STATUS_SUCCESS, "the list is told", status)?;
    expect(size != 0 && size.is_multiple_of(28) && size <= octets.len(), "it is whole entries", size)?;
    let entries = octets.get(..size).unwrap_or_default().chunks_exact(28);
    let mut tcp = entries.filter(|entry| {
        let word = |at: usize| entry.get(at..).and_then(|rest| rest.first_chunk::<2>().copied());
        let long = |at: usize| entry.get(at..).and_then(|rest| rest.first_chunk::<4>().copied());
        word(2) == Some(SOCK_STREAM.to_ne_bytes())
            && long(4) == Some((IPPROTO_TCP).to_ne_bytes())
            && (word(8) == Some(AF_INET.to_ne_bytes()) || word(8) == Some([0, 0]))
    });
    expect(tcp.next().is_some(), "TCP is in the list", size)
}

/// Without room it is BUFFER_OVERFLOW with the size that is needed; clients grow by that.
fn transport_list_overflow(world: &mut dyn World) -> Check {
    world.needs(Feature::TransportList, "a system with a list of transports")?;
    let small = Control { returned: true, ..of_client(WSK_TRANSPORT_LIST_QUERY, Input::None, 0) };
    let (status, size) = world
        .control_without_irp(&Call::ClientControl { control: small }, &mut [])
        .ok_or_else(|| Failure::new("the world has room for a call", Found::Nothing))?;
    expect(status == STATUS_BUFFER_OVERFLOW, "there is no room", status)?;
    expect(size != 0 && size.is_multiple_of(28), "the size is whole entries", size)?;
    let right = Control { returned: true, ..of_client(WSK_TRANSPORT_LIST_QUERY, Input::None, size) };
    let again = world.control_without_irp(&Call::ClientControl { control: right }, &mut []);
    expect(again == Some((STATUS_SUCCESS, size)), "the size is enough", size)
}

/// The request waits, and ends when it is cancelled; without an IRP there is none.
fn list_change(world: &mut dyn World) -> Check {
    world.needs(Feature::TransportList, "a system with a list of transports")?;
    let call = Call::ClientControl { control: of_client(WSK_TRANSPORT_LIST_CHANGE, Input::None, 0) };
    let returned = world.at_once(&call)?;
    let refused =
        returned == STATUS_REQUEST_NOT_ACCEPTED || returned == abi::status::STATUS_INVALID_PARAMETER;
    expect(refused, "an IRP is needed", returned)?;
    let waiting = world.start(&call)?;
    expect(!world.is_done(waiting), "it waits for a change", 0usize)?;
    world.cancel(waiting);
    world.failed(waiting, &[STATUS_CANCELLED])?;
    Ok(())
}

/// Clients say it at their start; whatever the answer, it comes at once.
fn tdi_behavior(world: &mut dyn World) -> Check {
    let call = Call::ClientControl { control: of_client(WSK_TDI_BEHAVIOR, Input::Octets(&[1, 0, 0, 0]), 0) };
    let returned = world.at_once(&call)?;
    expect(returned != abi::status::STATUS_PENDING, "without an IRP nothing is pending", returned)?;
    let pair = world.pair()?;
    world.close_pair(pair)
}

/// Without a structure it is refused.
fn tdi_mapping(world: &mut dyn World) -> Check {
    let call = Call::ClientControl { control: of_client(WSK_TDI_DEVICENAME_MAPPING, Input::None, 0) };
    let returned = world.at_once(&call)?;
    expect(returned != STATUS_SUCCESS, "no structure is refused", returned)
}

/// What nobody knows is refused, with an IRP and without one.
fn unknown(world: &mut dyn World) -> Check {
    for code in [0, 1, 9, 0x7777_7777] {
        let call = Call::ClientControl { control: of_client(code, Input::None, 0) };
        let returned = world.at_once(&call)?;
        expect(returned < 0, "it is refused at once", returned)?;
        world.is_refused(&call)?;
    }
    Ok(())
}
