//! Direct placement: the reader's own buffer takes the place of the ring for once.
//!
//! The reader advertises a buffer for the octets from the end of what it has received. Each advert is answered once: by
//! octets that were written there, or by a refusal. One that is overtaken by octets for the ring is refused, so both sides
//! know of each octet where it is.

use crate::error::ProtocolError;
use crate::wire::{Advert, Word};

/// The reader's side.
#[derive(Clone, Debug)]
pub(super) struct Sink {
    advert: Option<Advert>,
    /// The advert is out.
    sent: bool,
    /// It is to be asked for again.
    withdraw: bool,
}

impl Sink {
    pub(super) const fn new() -> Self {
        Self { advert: None, sent: false, withdraw: false }
    }

    /// The peer may write into a buffer, or is about to be told so.
    pub(super) const fn outstanding(&self) -> bool {
        self.advert.is_some()
    }

    pub(super) const fn advertise(&mut self, advert: Advert) {
        *self = Self { advert: Some(advert), sent: false, withdraw: false };
    }

    /// Asks for the buffer again; one that was not told of is free at once.
    pub(super) const fn withdraw(&mut self) {
        if self.sent {
            self.withdraw = true;
        } else {
            *self = Self::new();
        }
    }

    pub(super) fn advert_due(&self) -> Option<Advert> {
        self.advert.filter(|_| !self.sent)
    }

    pub(super) const fn advert_sent(&mut self) {
        self.sent = true;
    }

    pub(super) const fn withdrawal_due(&self) -> bool {
        self.withdraw
    }

    pub(super) const fn withdrawal_sent(&mut self) {
        self.withdraw = false;
    }

    /// The peer has written `len` octets into the buffer; so far the stream is at `position`.
    pub(super) fn fill(&mut self, len: u32, position: u64) -> Result<(), ProtocolError> {
        let advert = self.advert.filter(|_| self.sent).ok_or(ProtocolError::NothingAdvertised)?;
        if advert.stream_offset != position || len > advert.buffer.len {
            return Err(ProtocolError::DataBeyondBuffer);
        }
        *self = Self::new();
        Ok(())
    }

    /// The peer does not use the buffer.
    pub(super) const fn refused(&mut self) -> Result<(), ProtocolError> {
        if !self.sent {
            return Err(ProtocolError::NothingAdvertised);
        }
        *self = Self::new();
        Ok(())
    }
}

/// The writer's side.
#[derive(Clone, Debug)]
pub(super) struct Source {
    held: Option<Advert>,
    /// A refusal is to go out.
    refuse: bool,
}

impl Source {
    pub(super) const fn new() -> Self {
        Self { held: None, refuse: false }
    }

    /// An advert came when the stream was handed out up to `posted`.
    pub(super) fn take(&mut self, advert: Advert, posted: u64) -> Result<(), ProtocolError> {
        if self.held.is_some() || self.refuse {
            return Err(ProtocolError::AdvertOverrun);
        }
        if advert.buffer.wraps() {
            return Err(ProtocolError::EntryWraps);
        }
        if advert.buffer.len == 0 || advert.stream_offset > posted {
            return Err(ProtocolError::AdvertOutOfRange);
        }
        if advert.stream_offset == posted {
            self.held = Some(advert);
        } else {
            self.refuse = true;
        }
        Ok(())
    }

    pub(super) const fn held(&self) -> Option<Advert> {
        self.held
    }

    /// The buffer was written to.
    pub(super) const fn used(&mut self) {
        self.held = None;
    }

    /// The buffer will not be used. Without effect when there is none.
    pub(super) const fn give_up(&mut self) {
        self.refuse |= self.held.take().is_some();
    }

    pub(super) fn refusal_due(&self) -> Option<Word> {
        self.refuse.then_some(Word::Refused)
    }

    pub(super) const fn refusal_sent(&mut self) {
        self.refuse = false;
    }
}
