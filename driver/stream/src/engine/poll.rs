//! What goes out, in which order.

use super::receive::CreditDue;
use super::{Engine, State, Transmit};
use crate::wire::{Extensions, TargetList, Word};

/// Octets of a word and a credit word: the longest head of a data message.
const HEAD_MAX: u32 = 8;

impl Engine {
    /// The credit message that should go out, if any.
    pub(super) fn credit_due(&self) -> Option<CreditDue> {
        self.receive.credit_due().or(self.answer_due.then_some(CreditDue::Bare))
    }

    /// Whether credit that is due can go beside a data message.
    pub(super) fn may_go_beside_data(&self, due: CreditDue) -> bool {
        due == CreditDue::Bare && self.extensions.contains(Extensions::CREDIT)
    }

    /// Room is returned before anything else goes out: it is what the peer may be waiting for, and the first
    /// message of the active side has to be there at once.
    pub(super) fn send_credit(&mut self, due: CreditDue) -> Option<Transmit> {
        if !self.queue.push_control(due.slots()) {
            return None;
        }
        self.answer_due = false;
        let (publish, limit) = self.receive.take_credit();
        self.counters.credits_sent = self.counters.credits_sent.wrapping_add(1);
        Some(Transmit::Credit { publish, word: Word::Credit(limit).encode() })
    }

    pub(super) fn poll_question(&mut self) -> Option<Transmit> {
        if !self.alive.question_due() || !self.queue.push_control(1) {
            return None;
        }
        self.alive.question_sent();
        self.counters.keepalives_sent = self.counters.keepalives_sent.wrapping_add(1);
        if self.extensions.contains(Extensions::KEEPALIVE) {
            return Some(Transmit::Notice { word: Word::Keepalive.encode() });
        }
        let TargetList { addr, key, .. } = self.receive.peer_list();
        Some(Transmit::Probe { remote_addr: addr, remote_key: key })
    }

    pub(super) fn poll_advert(&mut self) -> Option<Transmit> {
        if let Some(advert) = self.sink.advert_due() {
            let room = self.queue.push_control(1);
            return room.then(|| {
                self.sink.advert_sent();
                Transmit::Advert(advert)
            });
        }
        if !self.sink.withdrawal_due() || !self.queue.push_control(1) {
            return None;
        }
        self.sink.withdrawal_sent();
        Some(Transmit::Notice { word: Word::Withdraw.encode() })
    }

    pub(super) fn poll_refusal(&mut self) -> Option<Transmit> {
        let word = self.source.refusal_due()?;
        if !self.queue.push_control(1) {
            return None;
        }
        self.source.refusal_sent();
        Some(Transmit::Notice { word: word.encode() })
    }

    pub(super) fn poll_data(&mut self, max_data: u32) -> Option<Transmit> {
        let room = self.queue.has_room_for_data();
        // Room for the head with a credit word is kept, whether there is one or not.
        let longest = u32::from(self.peer_message_len).saturating_sub(HEAD_MAX);
        let held = self.source.held().map(|advert| advert.buffer);
        // What fits into a Send is not worth a buffer.
        let buffer = held.filter(|_| self.send.pending() > u64::from(longest));
        let target = self.send.next_data(max_data, room, buffer, &mut self.counters)?;
        if held.is_some() && buffer.is_none() {
            // The octets that go to the ring now are those that the buffer was for.
            self.source.give_up();
            return self.poll_refusal();
        }
        let direct = buffer.is_some();
        let inside = !direct && target.len <= longest && self.extensions.contains(Extensions::SEND_DATA);
        if !self.queue.push_data(target.len, inside) {
            return None;
        }
        let credit = self.credit_beside_data();
        let stream_offset = self.send.commit(target.len, direct);
        if direct {
            self.source.used();
        }
        let counters = &mut self.counters;
        counters.data_messages_sent = counters.data_messages_sent.wrapping_add(1);
        counters.octets_sent = counters.octets_sent.wrapping_add(u64::from(target.len));
        let len = target.len;
        if inside {
            counters.data_sent_inside = counters.data_sent_inside.wrapping_add(1);
            return Some(Transmit::SendData {
                stream_offset,
                len,
                word: Word::SendData(len).encode(),
                credit,
            });
        }
        Some(Transmit::Data {
            stream_offset,
            len,
            remote_addr: target.addr,
            remote_key: target.key,
            word: if direct { Word::Direct(len) } else { Word::Data(len) }.encode(),
            credit,
        })
    }

    /// The credit word for the data message that is going out, if it says anything.
    fn credit_beside_data(&mut self) -> Option<u32> {
        let understood =
            self.extensions.contains(Extensions::CREDIT) && u32::from(self.peer_message_len) >= HEAD_MAX;
        let useful = self.answer_due || (self.receive.unreturned() != 0 && !self.receive.ended());
        if !understood || !useful {
            return None;
        }
        self.answer_due = false;
        self.counters.credits_sent = self.counters.credits_sent.wrapping_add(1);
        Some(Word::Credit(self.receive.take_limit()).encode())
    }

    pub(super) fn count(&mut self, transmit: Transmit) -> Transmit {
        let counters = &mut self.counters;
        let sends = u16::from(!matches!(transmit, Transmit::Probe { .. }));
        let writes = transmit.work_requests().saturating_sub(sends);
        counters.sends = counters.sends.wrapping_add(sends.into());
        counters.writes = counters.writes.wrapping_add(writes.into());
        transmit
    }

    pub(super) fn poll_control(&mut self) -> Option<Transmit> {
        let word = self.send.control_due(self.receive.ended())?;
        if self.source.held().is_some() {
            self.source.give_up();
            return self.poll_refusal();
        }
        if !self.queue.push_control(1) {
            return None;
        }
        self.send.control_sent(word);
        if word == Word::Disconnect {
            self.state = State::Finished;
        }
        Some(Transmit::Control { word: word.encode() })
    }
}
