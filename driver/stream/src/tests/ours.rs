//! An engine with its owner: memory, receives, and an independent audit of what the engine does.

use super::fabric::{Endpoint, Memory, Op, stream_octet};
use crate::wire::Message;
use crate::{
    Config, Engine, Event, Extensions, Keepalive, LocalMemory, ProtocolError, Publish, Role, Span, State,
    TARGET_ENTRY_LEN, TargetEntry, Transmit, Word,
};
use std::collections::VecDeque;
use std::vec::Vec;

/// Numbers kept apart from the engine, to check it by.
#[derive(Clone, Copy, Debug, Default)]
struct Audit {
    /// Counted messages sent, and the limit last seen for them.
    messages_sent: u64,
    limit: u64,
    peer_credits: u64,
    /// Counted messages of the peer that were read to the end.
    messages_read: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) engine: Engine,
    config: Config,
    /// By their numbers, those that are drained empty.
    rings: Vec<Option<Memory>>,
    list: Memory,
    /// Where octets go that are placed directly.
    buffer: Memory,
    receives: u16,
    inbox: VecDeque<Vec<u8>>,
    flight: VecDeque<Op>,
    seed: u64,
    peer_seed: u64,
    read: u64,
    unread_messages: VecDeque<u64>,
    audit: Audit,
    now: u64,
    /// Octets that came past the ring.
    pub(super) direct: u64,
    pub(super) last_event: Option<Event>,
    pub(super) failure: Option<ProtocolError>,
}

impl Ours {
    /// An engine that is strict beyond its configuration: to a peer that is no equal, only as many receives as it
    /// advertises credits are posted, with no reserve.
    pub(super) fn new(config: Config, role: Role) -> Self {
        let side = if role == Role::Active { 1 } else { 2 };
        let memory = LocalMemory {
            ring_addr: 0x10_0000 * side,
            ring_key: 0x100 * u32::try_from(side).unwrap() + 1,
            list_addr: 0x10_0000 * side + 0x8_0000,
            list_key: 0x100 * u32::try_from(side).unwrap() + 2,
        };
        Self {
            engine: Engine::new(config, role, memory).unwrap(),
            config,
            rings: Vec::from([Some(Memory::new(
                memory.ring_addr,
                memory.ring_key,
                config.ring_len as usize,
            ))]),
            buffer: Memory::new(0x10_0000 * side + 0x9_0000, memory.list_key + 1, 0),
            list: Memory::new(memory.list_addr, memory.list_key, config.list_len()),
            receives: config.credits(),
            inbox: VecDeque::new(),
            flight: VecDeque::new(),
            seed: side,
            peer_seed: 3 - side,
            read: 0,
            unread_messages: VecDeque::new(),
            audit: Audit::default(),
            now: 0,
            direct: 0,
            last_event: None,
            failure: None,
        }
    }

    pub(super) fn establish(&mut self, peer: &crate::ConnData) {
        self.audit.limit = u64::from(peer.credits);
        self.audit.peer_credits = u64::from(peer.credits);
        self.engine.establish(peer).unwrap();
        if peer.offer.is_some() {
            self.receives = self.config.receive_depth;
        }
    }

    pub(super) fn pair(a: Config, b: Config) -> super::fabric::World<Self, Self> {
        let (mut a, mut b) = (Self::new(a, Role::Active), Self::new(b, Role::Passive));
        let (of_a, of_b) = (a.engine.local_conn_data(), b.engine.local_conn_data());
        b.establish(&crate::ConnData::decode(&of_a.encode()).unwrap());
        a.establish(&crate::ConnData::decode(&of_b.encode()).unwrap());
        super::fabric::World { a, b }
    }

    fn write(&mut self, addr: u64, key: u32, octets: Vec<u8>) {
        self.flight.push_back(Op::Write { addr, key, octets });
    }

    /// The octets of a data message, which must be within the peer's limit.
    fn take_octets(&mut self, stream_offset: u64, len: u32) -> Vec<u8> {
        assert!(self.audit.messages_sent < self.audit.limit, "beyond the peer's limit");
        self.audit.messages_sent += 1;
        (0..u64::from(len)).map(|i| stream_octet(self.seed, stream_offset + i)).collect()
    }

    fn check_credit(&self, word: u32) {
        let limit = self.audit.messages_read + u64::from(self.config.credits());
        let expected = Word::Credit((limit & 0xffff) as u16);
        assert_eq!(Word::decode(word, Extensions::all()), Ok(expected), "credits not conserved");
    }

    pub(super) fn post(&mut self, transmit: Transmit) {
        let mut message = transmit.head().to_vec();
        match transmit {
            Transmit::Data { stream_offset, len, remote_addr, remote_key, word, credit } => {
                let reported = Word::decode(word, Extensions::all());
                assert!(reported == Ok(Word::Data(len)) || reported == Ok(Word::Direct(len)));
                let octets = self.take_octets(stream_offset, len);
                self.write(remote_addr, remote_key, octets);
                credit.into_iter().for_each(|word| self.check_credit(word));
            }
            Transmit::SendData { stream_offset, len, word, credit } => {
                assert_eq!(Word::decode(word, Extensions::all()), Ok(Word::SendData(len)));
                message.extend(self.take_octets(stream_offset, len));
                credit.into_iter().for_each(|word| self.check_credit(word));
            }
            Transmit::Credit { publish, word } => {
                self.check_credit(word);
                if let Some(Publish { entry, remote_addr, remote_key }) = publish {
                    let ring = self.rings.last().and_then(Option::as_ref).unwrap();
                    let TargetEntry { key, len, .. } = TargetEntry::decode(entry);
                    assert_eq!((key, len as usize), (ring.key, ring.octets.len() / 2));
                    self.write(remote_addr, remote_key, entry.to_vec());
                }
            }
            Transmit::Control { word } => {
                assert!(matches!(
                    Word::decode(word, Extensions::all()),
                    Ok(Word::Shutdown | Word::Disconnect)
                ));
            }
            Transmit::Notice { word } => assert!(matches!(
                Word::decode(word, Extensions::all()),
                Ok(Word::Keepalive | Word::Withdraw | Word::Refused)
            )),
            Transmit::Advert(advert) => assert!(advert.stream_offset <= self.read + self.engine.readable()),
            Transmit::Abort { word } => {
                assert!(matches!(Word::decode(word, Extensions::all()), Ok(Word::Abort(_))));
            }
            Transmit::Probe { remote_addr, remote_key } => {
                self.write(remote_addr, remote_key, Vec::new());
            }
        }
        if !matches!(transmit, Transmit::Probe { .. }) {
            self.flight.push_back(Op::Send(message));
        }
    }

    /// One message, from its receive to what follows from it.
    pub(super) fn hear(&mut self, message: &[u8]) {
        self.receives += 1;
        if let Ok(Message { word, credit, .. }) = Message::decode(message, Extensions::all()) {
            let limit = match word {
                Word::Data(len) | Word::SendData(len) => {
                    self.unread_messages.push_back(u64::from(len));
                    credit
                }
                Word::Credit(limit) => Some(limit),
                Word::Direct(_) => credit,
                _ => None,
            };
            if let Some(limit) = limit {
                let step = limit.wrapping_sub((self.audit.limit & 0xffff) as u16);
                self.audit.limit += u64::from(step);
                assert!(self.audit.limit <= self.audit.messages_sent + self.audit.peer_credits);
            }
        }
        let at = self.engine.wanted_entry() * TARGET_ENTRY_LEN;
        let entry = *self.list.octets[at..].first_chunk().unwrap();
        match self.engine.handle_message(message, entry) {
            Ok(event) => {
                if let Event::Credit { clear_entry: Some(index) } = event {
                    assert_eq!(index * TARGET_ENTRY_LEN, at);
                    self.list.octets[at..at + TARGET_ENTRY_LEN].fill(0);
                }
                if let Event::Place { message_offset, span: Span { ring, offset, len } } = event {
                    let (at, len) = (offset as usize, len as usize);
                    assert_eq!(message_offset + len, message.len());
                    let ring = self.rings[ring as usize].as_mut().expect("octets for a ring that is drained");
                    ring.octets[at..at + len].copy_from_slice(&message[message_offset..]);
                }
                if let Event::Direct(len) = event {
                    assert_eq!(self.engine.readable(), 0, "octets before these are unread");
                    for i in 0..len as usize {
                        let expected = stream_octet(self.peer_seed, self.read);
                        assert_eq!(self.buffer.octets[i], expected, "octet {}", self.read);
                        self.read += 1;
                    }
                    self.audit.messages_read += 1;
                    self.direct += u64::from(len);
                }
                self.last_event = Some(event);
            }
            Err(error) => self.failure = Some(error),
        }
    }
}

impl Endpoint for Ours {
    fn flight(&mut self) -> &mut VecDeque<Op> {
        &mut self.flight
    }

    fn deliver(&mut self, op: Op) {
        match op {
            Op::Write { addr, key, octets } => {
                if octets.is_empty() {
                    return;
                }
                let ring = self.rings.iter_mut().flatten().find(|ring| ring.key == key);
                if let Some(ring) = ring {
                    let start = ring.place(addr, key, &octets).unwrap();
                    let half = ring.octets.len() / 2;
                    assert_eq!(start / half, (start + octets.len() - 1) / half, "a Write crosses a region");
                } else if self.buffer.place(addr, key, &octets).is_some() {
                    assert!(self.engine.advertised(), "a Write into a buffer that was given back");
                } else {
                    self.list.place(addr, key, &octets).expect("a Write with a wrong key");
                }
            }
            Op::Send(message) => {
                assert!(message.len() <= usize::from(self.config.message_len));
                self.receives = self.receives.checked_sub(1).expect("receive queue overrun");
                self.inbox.push_back(message);
            }
        }
    }

    fn complete(&mut self) -> bool {
        if self.engine.outstanding() == 0 {
            return false;
        }
        let before = self.engine.sent_offset();
        let sent = self.engine.handle_transmit_complete().unwrap();
        assert!(before <= sent && sent <= self.engine.posted_offset());
        true
    }

    fn handle(&mut self) -> bool {
        let message = self.inbox.pop_front();
        if let Some(message) = &message {
            self.hear(message);
        }
        message.is_some()
    }

    fn transmit(&mut self) -> bool {
        let mut busy = false;
        while let Some(transmit) = self.engine.poll_transmit(u32::MAX) {
            self.post(transmit);
            busy = true;
        }
        busy
    }

    fn send(&mut self, len: u64) {
        // Refused after a shutdown, which the totals then show.
        let before = self.engine.queued_offset();
        let accepted = self.engine.queue_send(len).is_ok();
        assert_eq!(self.engine.queued_offset(), before + if accepted { len } else { 0 });
    }

    fn read(&mut self, len: u64) -> u64 {
        let len = len.min(self.engine.readable());
        let mut done = 0;
        let mut pieces = 0;
        while done < len {
            let Span { ring, offset, len: piece } = self.engine.readable_span(done).unwrap();
            let ring = self.rings[ring as usize].as_ref().expect("octets in a ring that is drained");
            let piece = piece.min(u32::try_from(len - done).unwrap_or(u32::MAX));
            for at in offset..offset + piece {
                let expected = stream_octet(self.peer_seed, self.read);
                assert_eq!(ring.octets[at as usize], expected, "octet {}", self.read);
                self.read += 1;
            }
            done += u64::from(piece);
            pieces += 1;
        }
        assert!(pieces <= 3, "{len} octets in {pieces} pieces: at most two in the old ring, then one");
        self.engine.consume(len).unwrap();
        if let Some(drained) = self.engine.take_drained_ring() {
            // From here on a Write into it is one with a wrong key.
            assert!(self.rings[drained as usize].take().is_some(), "drained twice");
        }
        let mut left = len;
        while let Some(message) = self.unread_messages.front_mut() {
            let part = left.min(*message);
            *message -= part;
            left -= part;
            if *message != 0 {
                break;
            }
            self.unread_messages.pop_front();
            self.audit.messages_read += 1;
        }
        len
    }

    fn shut_down(&mut self) {
        self.engine.shutdown_send();
    }

    fn grow(&mut self, len: u32) {
        let number = self.rings.len();
        let addr = 0x10_0000 * self.seed + 0x1000 * number as u64;
        let key = 0x100 * u32::try_from(self.seed).unwrap() + 0x10 + number as u32;
        if let Ok(grown) = self.engine.grow(TargetEntry { addr, key, len }) {
            assert_eq!(grown as usize, number);
            assert_eq!(self.rings.iter().flatten().count(), 1, "an old ring is not drained");
            self.rings.push(Some(Memory::new(addr, key, len as usize)));
            self.engine.take_drained_ring().into_iter().for_each(|old| self.rings[old as usize] = None);
        }
    }

    fn advertise(&mut self, len: u32) {
        // Not before it is needed: it is part of the state that the exhaustive tests tell apart.
        self.buffer.octets.resize(512, 0);
        let buffer = TargetEntry { addr: self.buffer.addr, key: self.buffer.key, len };
        let possible = self.engine.advertise(buffer).is_ok();
        assert!(!possible || self.engine.advertised());
    }

    fn withdraw(&mut self) {
        self.engine.withdraw();
    }

    fn pass_time(&mut self, time: u64) {
        self.now += time;
        // Short enough to be asked often, long enough never to be given up.
        let next = self.engine.handle_time(self.now, Keepalive { idle: 5, answer: u64::MAX });
        assert!(next.is_none_or(|next| next > self.now));
    }

    fn totals(&self) -> (u64, u64) {
        (self.engine.queued_offset(), self.read)
    }

    fn at_end(&self) -> bool {
        self.engine.end_of_stream()
    }

    fn finished(&self) -> bool {
        self.failure.is_none() && self.engine.state() == State::Finished && self.engine.ready_to_close()
    }
}
