//! Words, regions and credits (rsockets reference, sections 2 to 8), between an endpoint and a Linux one.

use std::collections::VecDeque;

use stream::wire::{ConnData, TARGET_ENTRY_LEN, TargetEntry, Word};
use stream::{Extensions, MESSAGE_LEN};

use super::Side;
use super::rdmap::Message;

/// What one side has said and may say.
#[derive(Debug)]
struct Endpoint {
    data: ConnData,
    /// The regions that it may write, the first one partly written.
    regions: VecDeque<TargetEntry>,
    /// Written to its list, and not announced yet.
    described: Option<TargetEntry>,
    /// The entry of its list that the other side writes next.
    next_entry: u32,
    /// Octets written and not reported.
    unreported: u64,
    octets: u64,
    /// Counted messages sent, and how many it may have sent.
    sent: u16,
    limit: u16,
    /// SHUTDOWN or DISCONNECT was its last word.
    finished: bool,
    disconnected: bool,
}

/// A connection of rsockets.
#[derive(Debug)]
pub(super) struct Rsockets {
    sides: [Endpoint; 2],
}

impl Endpoint {
    fn new(data: ConnData, other: &ConnData) -> Self {
        Self {
            data,
            regions: VecDeque::from([other.first_region]),
            described: None,
            next_entry: 1,
            unreported: 0,
            octets: 0,
            sent: 0,
            limit: other.credits,
            finished: false,
            disconnected: false,
        }
    }
}

impl Rsockets {
    /// The connection that two pieces of private data begin; none if they are something else.
    ///
    /// # Errors
    ///
    /// They are of rsockets, and wrong.
    pub(super) fn of(request: &[u8], reply: &[u8]) -> Result<Option<Self>, String> {
        if request.is_empty() && reply.is_empty() {
            return Ok(None);
        }
        let decode = |octets: &[u8]| {
            let data = ConnData::decode(octets).map_err(|error| format!("private data: {error:?}"))?;
            data.validate().map_err(|error| format!("private data: {error:?}"))?;
            Ok::<_, String>(data)
        };
        let (first, second) = (decode(request)?, decode(reply)?);
        Ok(Some(Self { sides: [Endpoint::new(first, &second), Endpoint::new(second, &first)] }))
    }

    /// Octets of the stream that each side has reported.
    pub(super) fn octets(&self) -> [u64; 2] {
        self.sides.each_ref().map(|side| side.octets)
    }

    /// Which sides have ended their direction.
    pub(super) fn finished(&self) -> [bool; 2] {
        self.sides.each_ref().map(|side| side.finished)
    }

    fn pair(&mut self, side: Side) -> (&mut Endpoint, &mut Endpoint) {
        let [first, second] = &mut self.sides;
        if side == super::INITIATOR { (first, second) } else { (second, first) }
    }

    /// Takes a message of one side.
    ///
    /// # Errors
    ///
    /// What is against the reference.
    pub(super) fn take(&mut self, side: Side, message: &Message) -> Result<(), String> {
        let (writer, reader) = self.pair(side);
        match message {
            // Asks whether the other side is alive.
            Message::Write { length: 0, .. } => Ok(()),
            Message::Write { stag, to, length, head } if *stag == reader.data.target_list.key => {
                describe(reader, *to, *length, head)
            }
            Message::Write { stag, to, length, .. } => write(writer, *stag, *to, *length),
            Message::Send(octets) => send(writer, reader, octets),
            Message::ReadRequest | Message::ReadResponse | Message::Terminate(_) => {
                Err(format!("{message:?} in a connection of rsockets"))
            }
        }
    }
}

/// Octets of the stream.
fn write(writer: &mut Endpoint, stag: u32, to: u64, length: u64) -> Result<(), String> {
    if writer.finished {
        return Err("octets behind SHUTDOWN".to_owned());
    }
    while writer.regions.len() > 1 && writer.regions.front().is_some_and(|region| region.len == 0) {
        writer.regions.pop_front();
    }
    let Some(region) = writer.regions.front_mut() else { return Err("octets for no region".to_owned()) };
    if (stag, to) != (region.key, region.addr) || length > u64::from(region.len) {
        return Err(format!("{length} octets at {to:#x} of {stag:#x}; the region is {region:x?}"));
    }
    region.addr += length;
    region.len -= u32::try_from(length).unwrap_or(region.len);
    writer.unreported += length;
    Ok(())
}

/// A region for the reader to write later.
fn describe(reader: &mut Endpoint, to: u64, length: u64, head: &[u8]) -> Result<(), String> {
    let list = reader.data.target_list;
    let place = list.entry_addr(reader.next_entry);
    let Some(&octets) = head.first_chunk::<TARGET_ENTRY_LEN>() else {
        return Err(format!("{length} octets into the target list"));
    };
    if place != Some(to) || length != TARGET_ENTRY_LEN as u64 {
        return Err(format!(
            "entry {} is due, and {length} octets are written at {to:#x}",
            reader.next_entry
        ));
    }
    let entry = TargetEntry::decode(octets);
    // Any key: regions need not be of one registration.
    if entry.wraps() || entry.len == 0 {
        return Err(format!("a region that is none: {entry:x?}"));
    }
    let unfilled = reader.regions.iter().filter(|region| region.len != 0).count();
    if unfilled >= list.entries as usize || reader.described.is_some() {
        return Err("more regions than entries".to_owned());
    }
    reader.described = Some(entry);
    reader.next_entry = (reader.next_entry + 1) % list.entries;
    Ok(())
}

fn send(writer: &mut Endpoint, reader: &mut Endpoint, octets: &[u8]) -> Result<(), String> {
    let Ok(word) = <[u8; MESSAGE_LEN]>::try_from(octets) else {
        return Err(format!("a Send of {} octets", octets.len()));
    };
    let word = u32::from_le_bytes(word);
    let word = Word::decode(word, Extensions::empty()).map_err(|error| format!("{word:#010x}: {error:?}"))?;
    // Linux still announces a region while its DISCONNECT is on its way.
    if writer.disconnected && !matches!(word, Word::Credit(_)) {
        return Err(format!("{word:?} behind DISCONNECT"));
    }
    if writer.finished && !matches!(word, Word::Credit(_) | Word::Disconnect) {
        return Err(format!("{word:?} behind SHUTDOWN"));
    }
    match word {
        Word::Data(length) => {
            if u64::from(length) != writer.unreported {
                return Err(format!("{length} octets are reported, {} are written", writer.unreported));
            }
            if writer.sent == writer.limit {
                return Err(format!("DATA beyond the {} that are allowed", writer.limit));
            }
            writer.sent = writer.sent.wrapping_add(1);
            writer.octets += writer.unreported;
            writer.unreported = 0;
        }
        Word::Credit(limit) => {
            let (before, most) = (reader.limit, reader.sent.wrapping_add(writer.data.credits));
            if limit.wrapping_sub(before) > most.wrapping_sub(before) {
                return Err(format!("credit {limit} is not between {before} and {most}"));
            }
            reader.limit = limit;
            reader.regions.extend(reader.described.take());
        }
        Word::Shutdown => writer.finished = true,
        Word::Disconnect => (writer.finished, writer.disconnected) = (true, true),
        other => return Err(format!("{other:?}")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::{INITIATOR, RESPONDER};
    use stream::wire::TargetList;

    fn data(key: u32, credits: u16) -> ConnData {
        ConnData {
            big_endian: false,
            iomap_size: Some(0),
            credits,
            offer: None,
            target_list: TargetList { addr: 0x1000, key, entries: 2 },
            first_region: TargetEntry { addr: 0x8000, key: key + 1, len: 8 },
        }
    }

    fn pair() -> Rsockets {
        Rsockets::of(&data(10, 20).encode(), &data(30, 16).encode()).unwrap().unwrap()
    }

    fn write_to(stag: u32, to: u64, octets: &[u8]) -> Message {
        Message::Write { stag, to, length: octets.len() as u64, head: octets.to_vec() }
    }

    fn word(word: Word) -> Message {
        Message::Send(word.octets().to_vec())
    }

    #[test]
    fn a_conversation_is_understood() {
        let mut both = pair();
        let mut says = |side, message: Message| both.take(side, &message).unwrap();
        says(INITIATOR, write_to(31, 0x8000, b"12345678"));
        says(INITIATOR, word(Word::Data(8)));
        let more = TargetEntry { addr: 0x9000, key: 31, len: 8 };
        says(RESPONDER, write_to(10, 0x1010, &more.encode()));
        says(RESPONDER, word(Word::Credit(17)));
        says(INITIATOR, write_to(31, 0x9000, b"1"));
        says(INITIATOR, word(Word::Data(1)));
        says(INITIATOR, Message::Write { stag: 0, to: 0, length: 0, head: Vec::new() });
        says(INITIATOR, word(Word::Shutdown));
        says(RESPONDER, write_to(11, 0x8000, b"1"));
        says(RESPONDER, word(Word::Data(1)));
        says(INITIATOR, word(Word::Credit(21)));
        says(RESPONDER, word(Word::Disconnect));
        assert_eq!((both.octets(), both.finished()), ([9, 1], [true, true]));
    }

    #[test]
    fn what_breaks_a_rule_is_found() {
        let broken = |messages: &[(Side, Message)]| {
            let mut both = pair();
            let (last, before) = messages.split_last().unwrap();
            for (side, message) in before {
                both.take(*side, message).unwrap();
            }
            both.take(last.0, &last.1).unwrap_err()
        };
        let one = |message| broken(&[(INITIATOR, message)]);
        one(write_to(31, 0x8001, b"1"));
        one(write_to(31, 0x8000, b"123456789"));
        one(write_to(99, 0x8000, b"1"));
        one(write_to(30, 0x1000, &[0; 16]));
        one(write_to(30, 0x1010, &[0; 16]));
        one(write_to(30, 0x1010, &[0; 8]));
        one(word(Word::Data(1)));
        one(word(Word::Credit(19)));
        one(word(Word::Credit(21)));
        one(word(Word::Keepalive));
        one(Message::Send(vec![0; 5]));
        one(Message::ReadRequest);
        broken(&[(INITIATOR, word(Word::Shutdown)), (INITIATOR, write_to(31, 0x8000, b"1"))]);
        broken(&[(INITIATOR, word(Word::Disconnect)), (INITIATOR, word(Word::Disconnect))]);
        let mut many = Vec::new();
        for place in 0..17_u64 {
            let key = 31;
            let to = 0x8000 + place;
            if place == 8 {
                let more = TargetEntry { addr: 0x8008, key, len: 64 };
                many.push((RESPONDER, write_to(10, 0x1010, &more.encode())));
                many.push((RESPONDER, word(Word::Credit(16))));
            }
            many.push((INITIATOR, write_to(key, to, b"1")));
            many.push((INITIATOR, word(Word::Data(1))));
        }
        assert!(broken(&many).contains("beyond"));
        assert!(Rsockets::of(&[1; 8], &[]).is_err());
        assert!(Rsockets::of(&[], &[]).unwrap().is_none());
    }
}
