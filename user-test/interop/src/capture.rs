//! What two peers said to each other, judged by the wire references: a capture in, findings out.
//!
//! | module | knows |
//! |---|---|
//! | `tcp` | packets, and streams put together again |
//! | `mpa` | the two frames of the start-up, and FPDUs |
//! | `rdmap` | segments and messages |
//! | `rsockets` | words, regions, credits |
//!
//! Packets are taken in the order of the capture. It is taken at the guest, so whatever a peer knew when it sent something has
//! passed before.

mod mpa;
mod rdmap;
mod rsockets;
mod tcp;

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result};
use pcap_file::pcap::PcapReader;
use serde::Serialize;

use mpa::{Agreed, Fpdus, Frame};
use rdmap::{Message, Messages};
use rsockets::Rsockets;
use tcp::{Inflow, Segment};

/// Which of the two ends of a connection: who connected, or who listened.
type Side = usize;
/// Who connected, and sends the request frame.
const INITIATOR: Side = 0;
/// Who listened.
const RESPONDER: Side = 1;

/// One connection of a capture.
#[derive(Debug, Serialize)]
pub(crate) struct Told {
    /// The port that was listened on.
    port: u16,
    /// Whether the capture's guest connected.
    guest_connects: bool,
    /// Whether IPv6 carried it.
    ipv6: bool,
    /// Octets of the byte stream, from the initiator and from the responder; none if no rsockets connection.
    octets: [u64; 2],
    /// RDMAP messages of each side.
    messages: [u64; 2],
    /// Whether CRCs were in use.
    crc: bool,
    /// Whether the 40 octets of rsockets were exchanged.
    rsockets: bool,
    /// The responder said no.
    refused: bool,
    /// Which side said that its direction, or all, is finished.
    finished: [bool; 2],
    /// Terminates of each side, as hex of their first octets.
    terminates: [Option<String>; 2],
    /// What is against the references.
    faults: Vec<String>,
}

/// Everything known of one connection.
struct Connection {
    flows: [Inflow; 2],
    /// Octets that are not a whole frame or FPDU yet.
    fpdus: [Fpdus; 2],
    frames: [Option<Frame>; 2],
    agreed: Option<Agreed>,
    messages: [Messages; 2],
    rsockets: Option<Rsockets>,
    guest: Side,
    told: Told,
}

impl Connection {
    fn new(first: &Segment<'_>, guest: IpAddr) -> Self {
        let guest_connects = first.from.ip() == guest;
        Self {
            flows: [Inflow::default(), Inflow::default()],
            fpdus: [Fpdus::default(), Fpdus::default()],
            frames: [None, None],
            agreed: None,
            messages: [Messages::default(), Messages::default()],
            rsockets: None,
            guest: if guest_connects { INITIATOR } else { RESPONDER },
            told: Told {
                port: first.to.port(),
                guest_connects,
                ipv6: guest.is_ipv6(),
                octets: [0; 2],
                messages: [0; 2],
                crc: false,
                rsockets: false,
                refused: false,
                finished: [false; 2],
                terminates: [None, None],
                faults: Vec::new(),
            },
        }
    }

    fn who(&self, side: Side) -> &'static str {
        if side == self.guest { "Linux" } else { "we" }
    }

    fn fault(&mut self, side: Side, what: &str) {
        let who = self.who(side);
        // The rest of a stream that has gone astray says nothing.
        if self.told.faults.len() < 8 {
            self.told.faults.push(format!("{who}: {what}"));
        }
    }

    fn take(&mut self, side: Side, segment: &Segment<'_>) {
        let Some(flow) = self.flows.get_mut(side) else { return };
        let octets = flow.take(segment);
        let Some(fpdus) = self.fpdus.get_mut(side) else { return };
        fpdus.push(&octets);
        if let Err(what) = self.go_on(side) {
            self.fault(side, &what);
        }
    }

    /// Reads what is whole.
    fn go_on(&mut self, side: Side) -> Result<(), String> {
        if self.frames.get(side).is_some_and(Option::is_none) {
            let Some(frame) =
                self.fpdus.get_mut(side).and_then(|fpdus| fpdus.frame(side == INITIATOR).transpose())
            else {
                return Ok(());
            };
            self.framed(side, frame?)?;
        }
        while let Some(agreed) = self.agreed {
            let Some(fpdus) = self.fpdus.get_mut(side) else { break };
            let Some(ulpdu) = fpdus.next(agreed.crc, side != self.guest)? else { break };
            if side == RESPONDER && side != self.guest && self.told.messages.iter().all(|&count| count == 0) {
                self.fault(side, "an FPDU before the initiator's first (RFC 5044 section 7.1.2)");
            }
            let Some(messages) = self.messages.get_mut(side) else { break };
            if let Some(message) = messages.take(&ulpdu)? {
                if let Some(count) = self.told.messages.get_mut(side) {
                    *count += 1;
                }
                self.said(side, &message)?;
            }
        }
        Ok(())
    }

    fn framed(&mut self, side: Side, frame: Frame) -> Result<(), String> {
        let judged = frame.check();
        if let Some(place) = self.frames.get_mut(side) {
            *place = Some(frame);
        }
        judged?;
        let [Some(request), Some(reply)] = &self.frames else { return Ok(()) };
        let agreed = Agreed::of(request, reply)?;
        self.told.crc = agreed.crc;
        self.told.refused = agreed.refused;
        self.rsockets = if agreed.refused { None } else { Rsockets::of(&request.private, &reply.private)? };
        self.told.rsockets = self.rsockets.is_some();
        self.agreed = Some(agreed);
        Ok(())
    }

    fn said(&mut self, side: Side, message: &Message) -> Result<(), String> {
        if let (Message::Terminate(octets), Some(place)) = (message, self.told.terminates.get_mut(side)) {
            *place = Some(octets.iter().take(4).map(|octet| format!("{octet:02x}")).collect());
            return Ok(());
        }
        let Some(rsockets) = &mut self.rsockets else { return Ok(()) };
        let result = rsockets.take(side, message);
        self.told.octets = rsockets.octets();
        self.told.finished = rsockets.finished();
        result
    }

    /// Reads on after the other side's frame has made it possible.
    fn both(&mut self) {
        for side in [INITIATOR, RESPONDER] {
            if let Err(what) = self.go_on(side) {
                self.fault(side, &what);
            }
        }
    }
}

/// Reads a whole capture. Connections to other ports than `ports` are left out.
///
/// # Errors
///
/// If it is no capture. A last packet that is not whole yet is nothing: QEMU may be writing it.
pub(crate) fn read(path: &Path, guests: &[IpAddr], ports: &[u16]) -> Result<Vec<Told>> {
    let file = File::open(path).with_context(|| path.display().to_string())?;
    judge(file, guests, ports)
}

fn judge(capture: impl Read, guests: &[IpAddr], ports: &[u16]) -> Result<Vec<Told>> {
    let mut reader = PcapReader::new(capture).context("no capture")?;
    let mut open: HashMap<(SocketAddr, SocketAddr), usize> = HashMap::new();
    let mut all: Vec<Connection> = Vec::new();
    while let Some(Ok(packet)) = reader.next_packet() {
        let Some(segment) = tcp::parse(&packet.data) else { continue };
        let (there, back) = ((segment.from, segment.to), (segment.to, segment.from));
        if segment.syn && !segment.ack && ports.contains(&segment.to.port()) {
            let guest = guests.iter().find(|&&guest| guest == segment.from.ip() || guest == segment.to.ip());
            let Some(&guest) = guest else { continue };
            // A SYN that is sent again begins nothing.
            let known = open.get(&there).and_then(|&at| all.get(at));
            if !known.is_some_and(|known| known.flows.iter().any(|flow| flow.begins_with(segment.seq))) {
                open.insert(there, all.len());
                all.push(Connection::new(&segment, guest));
            }
        }
        let found = open.get(&there).map(|&at| (at, INITIATOR));
        let Some((at, side)) = found.or_else(|| open.get(&back).map(|&at| (at, RESPONDER))) else { continue };
        if let Some(connection) = all.get_mut(at) {
            let waited = connection.agreed.is_none();
            connection.take(side, &segment);
            if waited && connection.agreed.is_some() {
                connection.both();
            }
        }
    }
    Ok(all.into_iter().map(|connection| connection.told).collect())
}
