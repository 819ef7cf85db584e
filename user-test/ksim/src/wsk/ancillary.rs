//! Ancillary data of datagrams.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use abi::wsk::*;

use super::datagram::Packet;
use super::socket::Socket;

/// The interface that everything comes in through.
const INTERFACE: u32 = 1;
/// Hops that are left of a datagram that made none.
const HOPS: u32 = 128;

/// Appends one piece.
fn push(control: &mut Vec<u8>, level: u32, kind: u32, data: &[u8]) {
    control.extend((CMSG_DATA_OFFSET + data.len()).to_le_bytes());
    control.extend(level.to_le_bytes());
    control.extend(kind.to_le_bytes());
    control.extend(data);
    control.resize(control.len().next_multiple_of(MAX_NATURAL_ALIGNMENT), 0);
}

/// The pieces of a control buffer: level, type and data.
fn pieces(mut control: &[u8]) -> Vec<(u32, u32, &[u8])> {
    let mut pieces = Vec::new();
    while let (Some(&length), Some(head)) = (control.first_chunk(), control.get(8..CMSG_DATA_OFFSET)) {
        let length = usize::from_le_bytes(length);
        let word = |at: usize| head.get(at..).and_then(|at| at.first_chunk()).map(|&w| u32::from_le_bytes(w));
        let (Some(level), Some(kind)) = (word(0), word(4)) else { break };
        let Some(data) = control.get(CMSG_DATA_OFFSET..length) else { break };
        pieces.push((level, kind, data));
        let next = length.next_multiple_of(MAX_NATURAL_ALIGNMENT);
        control = control.get(next..).unwrap_or(&[]);
    }
    pieces
}

/// What a socket has asked to be told about a datagram.
pub(super) fn of_receive(socket: &Socket, packet: &Packet) -> Vec<u8> {
    let mut control = Vec::new();
    let wants = |level, option| socket.option(level, option) != 0;
    let (level, info, hops, class, ecn) = if packet.to.is_ipv4() {
        (IPPROTO_IP, IP_PKTINFO, (IP_HOPLIMIT, IP_TTL), (IP_RECVTOS, IP_TOS), IP_ECN)
    } else {
        (IPPROTO_IPV6, IPV6_PKTINFO, (IPV6_HOPLIMIT, IPV6_HOPLIMIT), (IPV6_RECVTCLASS, IPV6_TCLASS), IPV6_ECN)
    };
    if wants(level, info) {
        let mut data = match packet.to {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        data.extend(INTERFACE.to_le_bytes());
        push(&mut control, level, info, &data);
    }
    for ((option, kind), value) in [(hops, HOPS), (class, 0), ((ecn, ecn), 0)] {
        if wants(level, option) {
            push(&mut control, level, kind, &value.to_le_bytes());
        }
    }
    control
}

/// How much of a control buffer is whole pieces that fit into `room`.
pub(super) fn whole(control: &[u8], room: usize) -> usize {
    let mut fits = 0;
    for (_, _, data) in pieces(control) {
        let end = fits + CMSG_DATA_OFFSET + data.len().next_multiple_of(MAX_NATURAL_ALIGNMENT);
        if end > room {
            break;
        }
        fits = end;
    }
    fits
}

/// What a send asks for: a source address, and the size of the datagrams that its data are cut into. The rest is ignored.
pub(super) fn of_send(control: &[u8]) -> (Option<IpAddr>, Option<usize>) {
    let (mut source, mut segment) = (None, None);
    for (level, kind, data) in pieces(control) {
        match (level, kind) {
            (IPPROTO_IP, IP_PKTINFO) => {
                let ip = data.first_chunk::<4>().map(|&ip| IpAddr::V4(Ipv4Addr::from(ip)));
                source = ip.filter(|ip| !ip.is_unspecified());
            }
            (IPPROTO_IPV6, IPV6_PKTINFO) => {
                let ip = data.first_chunk::<16>().map(|&ip| IpAddr::V6(Ipv6Addr::from(ip)).to_canonical());
                source = ip.filter(|ip| !ip.is_unspecified());
            }
            (IPPROTO_UDP, UDP_SEND_MSG_SIZE) => {
                segment = data.first_chunk().map(|&size| u32::from_le_bytes(size) as usize);
            }
            _ => {}
        }
    }
    (source, segment)
}
