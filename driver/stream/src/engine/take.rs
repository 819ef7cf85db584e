//! What comes in, checked and taken over.

use super::{Engine, Event, Span, State};
use crate::error::ProtocolError;
use crate::wire::{Advert, Extensions, Message, TARGET_ENTRY_LEN, TargetEntry, Word, WordError};

impl Engine {
    pub(super) fn take_message(
        &mut self,
        message: &[u8],
        entry: [u8; TARGET_ENTRY_LEN],
    ) -> Result<Event, ProtocolError> {
        let Message { word, credit, data_offset } = Message::decode(message, self.extensions)?;
        if let Some(limit) = credit {
            self.take_credit(limit)?;
        }
        match word {
            Word::Data(len) => {
                self.take_data(len)?;
                Ok(Event::Readable(len))
            }
            Word::SendData(len) => {
                let span = self.take_data(len)?;
                Ok(Event::Place { message_offset: data_offset, span })
            }
            Word::Direct(len) => {
                self.sink.fill(len, self.receive.position())?;
                self.receive.direct(len)?;
                self.count_received(len);
                Ok(Event::Direct(len))
            }
            Word::Refused => {
                self.sink.refused()?;
                Ok(Event::Refused)
            }
            Word::Advert => {
                // As long as it says: checked by `decode`.
                let octets = message.get(data_offset..).unwrap_or_default();
                let advert = Advert::decode(octets).ok_or(WordError::Length(message.len()))?;
                self.source.take(advert, self.send.posted())?;
                if self.send.shut_down() {
                    self.source.give_up();
                }
                Ok(Event::Ignored)
            }
            Word::Withdraw => {
                self.source.give_up();
                Ok(Event::Ignored)
            }
            Word::Credit(limit) => {
                self.take_credit(limit)?;
                let clear_entry = self.send.offer_entry(TargetEntry::decode(entry))?;
                Ok(Event::Credit { clear_entry })
            }
            Word::IomapUpdate(_) => {
                self.receive.counted_without_data()?;
                Ok(Event::Ignored)
            }
            Word::Keepalive => {
                self.answer_due = self.extensions.contains(Extensions::KEEPALIVE);
                Ok(Event::Ignored)
            }
            Word::Shutdown => {
                self.receive.end();
                if self.send.shut_down() {
                    self.state = State::Finished;
                    return Ok(Event::Finished);
                }
                Ok(Event::PeerShutdown)
            }
            Word::Disconnect => {
                self.receive.end();
                self.peer_gone = true;
                self.state = State::Finished;
                Ok(Event::Finished)
            }
            Word::Abort(reason) => {
                self.state = State::Aborted(reason);
                Ok(Event::Aborted)
            }
        }
    }

    fn take_credit(&mut self, limit: u16) -> Result<(), ProtocolError> {
        self.send.credit(limit)?;
        self.alive.answered();
        self.counters.credits_received = self.counters.credits_received.wrapping_add(1);
        Ok(())
    }

    /// Returns where the octets belong.
    fn take_data(&mut self, len: u32) -> Result<Span, ProtocolError> {
        let place = self.receive.data(len)?;
        self.count_received(len);
        Ok(place)
    }

    const fn count_received(&mut self, len: u32) {
        let counters = &mut self.counters;
        counters.data_messages_received = counters.data_messages_received.wrapping_add(1);
        counters.octets_received = counters.octets_received.wrapping_add(len as u64);
    }
}
