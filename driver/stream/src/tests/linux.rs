//! A model of the Linux endpoint (`librdmacm` over iWARP), from its description: what it does, when it looks,
//! and what it does not check.
//!
//! It posts as many receives as it advertises credits and no more, posts them again only when its program
//! makes it look at its completion queue, and looks at its target list at any moment, without waiting for the
//! message that announces an entry.

use super::fabric::{Endpoint, Memory, Op, stream_octet};
use crate::{ConnData, Extensions, TARGET_ENTRY_LEN, TargetEntry, TargetList, Word};
use std::collections::VecDeque;

const CONTROL_SLOTS: u32 = 4;

/// Sizes of a Linux endpoint. The two last are constants there, and smaller here to fit small rings.
#[derive(Clone, Copy, Debug)]
pub(super) struct LinuxConfig {
    pub(super) receive_queue: u16,
    pub(super) send_queue: u32,
    pub(super) ring: u32,
    pub(super) send_buffer: u32,
    /// Free octets of the send buffer without which nothing is sent.
    pub(super) low_water: u32,
    /// Octets of the first piece of a long send; each further one is twice as long.
    pub(super) first_piece: u32,
}

impl LinuxConfig {
    pub(super) const DEFAULT: Self = Self {
        receive_queue: 384,
        send_queue: 384,
        ring: 131_072,
        send_buffer: 131_072,
        low_water: 2048,
        first_piece: 2048,
    };
}

/// What completes at the sender.
#[derive(Clone, Copy, Debug)]
enum Done {
    Data(u32),
    Control,
    Disconnect,
}

#[derive(Clone, Copy, Debug)]
enum Cqe {
    Received(u32),
    Done(Done),
}

#[derive(Clone, Debug)]
pub(super) struct Linux {
    config: LinuxConfig,
    ring: Memory,
    list: Memory,
    pub(super) receives: u16,
    pub(super) overrun: bool,
    queue: VecDeque<Cqe>,
    posted: VecDeque<Done>,
    flight: VecDeque<Op>,

    peer_list: TargetList,
    peer_index: u32,
    current: usize,
    sequence: u16,
    limit: u16,
    slots: u32,
    send_room: u32,
    control_used: u32,

    unread: VecDeque<u32>,
    consumed: u16,
    credit_at: u16,
    drained: u32,
    next_free: u32,
    read_at: u32,

    readable: bool,
    writable: bool,
    connected: bool,
    shutting: bool,
    /// The program never looks by itself, only where the library makes it.
    pub(super) inattentive: bool,

    seed: u64,
    peer_seed: u64,
    wanted: u64,
    sent: u64,
    read: u64,
}

impl Linux {
    /// The endpoint on side 1 (active) or 2 (passive).
    pub(super) fn new(config: LinuxConfig, side: u64) -> Self {
        let addr = 0x7000_0000 * side;
        let key = u32::try_from(side).unwrap() << 8;
        Self {
            config,
            ring: Memory::new(addr, key + 3, config.ring as usize),
            list: Memory::new(addr + 0x100_0000, key + 4, 2 * TARGET_ENTRY_LEN),
            receives: config.receive_queue,
            overrun: false,
            queue: VecDeque::new(),
            posted: VecDeque::new(),
            flight: VecDeque::new(),
            peer_list: TargetList { addr: 0, key: 0, entries: 0 },
            peer_index: 1,
            current: 0,
            sequence: 0,
            limit: 0,
            slots: config.send_queue - CONTROL_SLOTS,
            send_room: config.send_buffer,
            control_used: 0,
            unread: VecDeque::new(),
            consumed: 0,
            credit_at: config.receive_queue / 2,
            drained: config.ring / 2,
            next_free: config.ring / 2,
            read_at: 0,
            readable: true,
            writable: true,
            connected: true,
            shutting: false,
            inattentive: false,
            seed: side,
            peer_seed: 3 - side,
            wanted: 0,
            sent: 0,
            read: 0,
        }
    }

    pub(super) fn conn_data(&self) -> ConnData {
        ConnData {
            big_endian: false,
            iomap_size: Some(0),
            credits: self.config.receive_queue,
            offer: None,
            target_list: TargetList { addr: self.list.addr, key: self.list.key, entries: 2 },
            first_region: TargetEntry { addr: self.ring.addr, key: self.ring.key, len: self.config.ring / 2 },
        }
    }

    pub(super) fn establish(&mut self, peer: &ConnData) {
        self.peer_list = peer.target_list;
        self.limit = peer.credits;
        self.list.octets[..TARGET_ENTRY_LEN].copy_from_slice(&peer.first_region.encode());
    }

    fn target(&self) -> TargetEntry {
        let at = self.current * TARGET_ENTRY_LEN;
        TargetEntry::decode(*self.list.octets[at..].first_chunk().unwrap())
    }

    fn can_send(&self) -> bool {
        self.slots >= 2
            && self.send_room >= self.config.low_water
            && self.sequence != self.limit
            && self.target().len != 0
    }

    fn post_send(&mut self, word: Word, done: Done) {
        self.flight.push_back(Op::Send(word.octets().to_vec()));
        self.posted.push_back(done);
    }

    fn give_credit(&mut self) {
        let half = self.config.ring / 2;
        let due = self.drained >= half || self.consumed.wrapping_sub(self.credit_at) < 0x8000;
        if !self.connected || !due || CONTROL_SLOTS - self.control_used < 2 {
            return;
        }
        self.credit_at = self.consumed.wrapping_add(self.config.receive_queue / 2);
        if self.drained >= half {
            let addr = self.ring.addr + u64::from(self.next_free);
            let entry = TargetEntry { addr, key: self.ring.key, len: half };
            let at = self.peer_list.entry_addr(self.peer_index).unwrap();
            let octets = entry.encode().to_vec();
            self.flight.push_back(Op::Write { addr: at, key: self.peer_list.key, octets });
            self.posted.push_back(Done::Control);
            self.control_used += 1;
            self.drained -= half;
            self.next_free = half - self.next_free;
            self.peer_index = (self.peer_index + 1) % self.peer_list.entries;
        }
        self.control_used += 1;
        let limit = self.consumed.wrapping_add(self.config.receive_queue);
        self.post_send(Word::Credit(limit), Done::Control);
    }

    fn poll(&mut self) {
        let mut received = 0;
        while let Some(entry) = self.queue.pop_front() {
            match entry {
                Cqe::Received(word) => {
                    received += 1;
                    match Word::decode(word, Extensions::empty()).unwrap() {
                        Word::Data(len) => self.unread.push_back(len),
                        Word::Credit(limit) => self.limit = limit,
                        Word::Shutdown if self.writable => self.readable = false,
                        Word::Shutdown | Word::Disconnect => {
                            self.disconnected();
                            return;
                        }
                        Word::IomapUpdate(_) | Word::Keepalive => {}
                        other => unreachable!("{other:?} is not in force"),
                    }
                }
                Cqe::Done(Done::Data(len)) => {
                    self.slots += 1;
                    self.send_room += len;
                }
                Cqe::Done(Done::Control) => self.control_used -= 1,
                Cqe::Done(Done::Disconnect) => {
                    self.control_used -= 1;
                    self.disconnected();
                }
            }
        }
        if self.connected {
            self.receives += received;
        }
    }

    fn disconnected(&mut self) {
        self.readable = false;
        self.writable = false;
        self.connected = false;
    }

    /// What every call that has to wait does.
    fn process(&mut self) {
        self.give_credit();
        if self.connected {
            self.poll();
        }
        self.give_credit();
    }

    fn send_pending(&mut self) -> bool {
        let mut busy = false;
        let mut piece = self.config.first_piece;
        while self.writable && self.sent < self.wanted {
            if !self.can_send() {
                self.process();
                if !self.can_send() || !self.writable {
                    break;
                }
            }
            let left = u32::try_from(self.wanted - self.sent).unwrap();
            let target = self.target();
            let len = left.min(piece).min(target.len).min(self.send_room);
            piece = piece.saturating_mul(2).min(65_536);
            let octets = (0..u64::from(len)).map(|i| stream_octet(self.seed, self.sent + i)).collect();
            self.flight.push_back(Op::Write { addr: target.addr, key: target.key, octets });
            self.posted.push_back(Done::Data(len));
            self.post_send(Word::Data(len), Done::Data(0));
            let rest = TargetEntry { addr: target.addr + u64::from(len), len: target.len - len, ..target };
            let at = self.current * TARGET_ENTRY_LEN;
            self.list.octets[at..at + TARGET_ENTRY_LEN].copy_from_slice(&rest.encode());
            if rest.len == 0 {
                self.current = (self.current + 1) % 2;
            }
            self.slots -= 2;
            self.send_room -= len;
            self.sequence = self.sequence.wrapping_add(1);
            self.sent += u64::from(len);
            busy = true;
        }
        busy
    }

    /// The message of a shutdown that the program asked for, when all its octets are sent.
    fn end_sending(&mut self) -> bool {
        if !self.shutting || !self.writable || self.sent < self.wanted {
            return false;
        }
        if self.control_used == CONTROL_SLOTS {
            self.process();
            if self.control_used == CONTROL_SLOTS || !self.writable {
                return false;
            }
        }
        self.writable = false;
        self.control_used += 1;
        if self.readable {
            self.post_send(Word::Shutdown, Done::Control);
        } else {
            self.post_send(Word::Disconnect, Done::Disconnect);
        }
        self.process();
        true
    }
}

impl Endpoint for Linux {
    fn flight(&mut self) -> &mut VecDeque<Op> {
        &mut self.flight
    }

    fn deliver(&mut self, op: Op) {
        match op {
            // A probe: nothing of it is seen.
            Op::Write { octets, .. } if octets.is_empty() => {}
            Op::Write { addr, key, octets } => {
                if let Some(start) = self.ring.place(addr, key, &octets) {
                    let half = self.config.ring as usize / 2;
                    assert_eq!(start / half, (start + octets.len() - 1) / half, "a Write crosses a region");
                } else {
                    let start = self.list.place(addr, key, &octets).expect("a Write with a wrong key");
                    assert_eq!((start % TARGET_ENTRY_LEN, octets.len()), (0, TARGET_ENTRY_LEN));
                }
            }
            Op::Send(message) => match self.receives.checked_sub(1) {
                Some(left) => {
                    self.receives = left;
                    let octets: [u8; 4] = message.try_into().expect("a message that Linux has no room for");
                    self.queue.push_back(Cqe::Received(u32::from_le_bytes(octets)));
                }
                None => self.overrun = true,
            },
        }
    }

    fn complete(&mut self) -> bool {
        let done = self.posted.pop_front();
        self.queue.extend(done.map(Cqe::Done));
        done.is_some()
    }

    fn handle(&mut self) -> bool {
        if self.inattentive {
            return false;
        }
        let before = (self.queue.len(), self.flight.len());
        self.process();
        before != (self.queue.len(), self.flight.len())
    }

    fn transmit(&mut self) -> bool {
        let sent = self.send_pending();
        self.end_sending() || sent
    }

    fn send(&mut self, len: u64) {
        if !self.shutting && self.writable {
            self.wanted += len;
        }
    }

    fn read(&mut self, len: u64) -> u64 {
        if self.unread.is_empty() {
            self.process();
        }
        let mut left = len;
        while let Some(message) = self.unread.front_mut() {
            let part = u32::try_from(left.min(u64::from(*message))).unwrap();
            for _ in 0..part {
                let expected = stream_octet(self.peer_seed, self.read);
                assert_eq!(self.ring.octets[self.read_at as usize], expected, "octet {}", self.read);
                self.read += 1;
                self.read_at = (self.read_at + 1) % self.config.ring;
            }
            self.drained += part;
            left -= u64::from(part);
            *message -= part;
            if *message != 0 {
                break;
            }
            self.unread.pop_front();
            self.consumed = self.consumed.wrapping_add(1);
        }
        len - left
    }

    fn shut_down(&mut self) {
        self.shutting = true;
    }

    fn totals(&self) -> (u64, u64) {
        (self.wanted, self.read)
    }

    fn at_end(&self) -> bool {
        self.unread.is_empty() && !self.readable
    }

    fn finished(&self) -> bool {
        !self.connected && !self.overrun
    }
}
