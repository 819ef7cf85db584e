//! TCP segments of a capture, and the stream that they carry.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// A TCP segment.
#[derive(Debug)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) seq: u32,
    pub(super) syn: bool,
    pub(super) ack: bool,
    payload: &'a [u8],
}

/// The TCP segment in an Ethernet frame, if there is one.
pub(super) fn parse(packet: &[u8]) -> Option<Segment<'_>> {
    let packet = SlicedPacket::from_ethernet(packet).ok()?;
    let (from, to) = match packet.net? {
        NetSlice::Ipv4(ip) => {
            (IpAddr::V4(ip.header().source_addr()), IpAddr::V4(ip.header().destination_addr()))
        }
        NetSlice::Ipv6(ip) => {
            (IpAddr::V6(ip.header().source_addr()), IpAddr::V6(ip.header().destination_addr()))
        }
        NetSlice::Arp(_) => return None,
    };
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else { return None };
    Some(Segment {
        from: SocketAddr::new(from, tcp.source_port()),
        to: SocketAddr::new(to, tcp.destination_port()),
        seq: tcp.sequence_number(),
        syn: tcp.syn(),
        ack: tcp.ack(),
        payload: tcp.payload(),
    })
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Inflow {
    /// Sequence number of the SYN.
    first: Option<u32>,
    /// Octets that have been handed out, and the SYN.
    taken: u64,
    /// Octets behind a gap, by how many are before them.
    later: BTreeMap<u64, Vec<u8>>,
}

impl Inflow {
    /// Whether its SYN had that number.
    pub(super) fn begins_with(&self, seq: u32) -> bool {
        self.first == Some(seq)
    }

    /// Takes a segment, and hands out what is new in order.
    pub(super) fn take(&mut self, segment: &Segment<'_>) -> Vec<u8> {
        if segment.syn {
            self.first = Some(segment.seq);
            self.taken = 1;
        }
        let Some(first) = self.first else { return Vec::new() };
        if !segment.payload.is_empty() {
            // Where it is in the whole stream: the place nearest to where the stream is that has this number.
            let there = first.wrapping_add(self.taken as u32);
            let ahead = i64::from(segment.seq.wrapping_sub(there).cast_signed());
            let place = self.taken.saturating_add_signed(ahead);
            let known = self.later.get(&place).map_or(0, Vec::len);
            if known < segment.payload.len() {
                self.later.insert(place, segment.payload.to_vec());
            }
        }
        let mut octets = Vec::new();
        while let Some(entry) = self.later.first_entry() {
            let place = *entry.key();
            if place > self.taken {
                break;
            }
            let held = entry.remove();
            let skip = usize::try_from(self.taken - place).unwrap_or(usize::MAX);
            if let Some(new) = held.get(skip..) {
                octets.extend_from_slice(new);
                self.taken += new.len() as u64;
            }
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(seq: u32, payload: &[u8]) -> Segment<'_> {
        let from = SocketAddr::from(([10, 0, 2, 15], 1));
        Segment { from, to: from, seq, syn: false, ack: true, payload }
    }

    #[test]
    fn a_stream_is_put_together_across_the_wrap_of_its_numbers() {
        for start in [0, u32::MAX - 2, u32::MAX] {
            let at = |offset: u32| start.wrapping_add(1).wrapping_add(offset);
            let mut flow = Inflow::default();
            assert_eq!(flow.take(&Segment { syn: true, ..segment(start, b"") }), b"");
            assert!(flow.begins_with(start));
            assert_eq!(flow.take(&segment(at(0), b"ab")), b"ab");
            // Lost, sent again, overlapping.
            assert_eq!(flow.take(&segment(at(4), b"ef")), b"");
            assert_eq!(flow.take(&segment(at(0), b"ab")), b"");
            assert_eq!(flow.take(&segment(at(1), b"bcd")), b"cdef");
            assert_eq!(flow.take(&segment(at(6), b"g")), b"g");
        }
    }
}
