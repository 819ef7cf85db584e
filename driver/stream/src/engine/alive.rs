//! Whether the peer still lives: when to ask it, and when silence is its death.
//!
//! Transport and queue pair are reliable, so one question is enough: it is not repeated. Every message of the peer is a
//! sign of life. The engine keeps no time of arrival, only whether something arrived since it was last told the time; a
//! question therefore goes out after at least one idle time without a word, and after at most two.

/// Times of the dead-peer detection, in units of 100 ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Without a word of the peer for so long, it is asked.
    pub idle: u64,
    /// Without a word for so long after that, it is dead.
    pub answer: u64,
}

/// What the passing of time means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// To be told the time again then.
    LookAt(u64),
    Dead,
}

#[derive(Clone, Debug)]
pub(super) struct Alive {
    /// There was a sign of life since the last look.
    heard: bool,
    /// The time of the first look after the last sign of life.
    since: Option<u64>,
    /// The peer is asked, and has until then.
    until: Option<u64>,
    /// A question is to go out.
    ask: bool,
    /// A question is out and not answered.
    asked: bool,
}

impl Alive {
    pub(super) const fn new() -> Self {
        Self { heard: false, since: None, until: None, ask: false, asked: false }
    }

    /// A sign of life.
    pub(super) const fn heard(&mut self) {
        self.heard = true;
    }

    /// What answers a question has come.
    pub(super) const fn answered(&mut self) {
        self.asked = false;
    }

    pub(super) fn pass(&mut self, now: u64, times: Keepalive) -> Verdict {
        if self.heard {
            *self = Self { since: Some(now), asked: self.asked, ..Self::new() };
        }
        let since = *self.since.get_or_insert(now);
        if let Some(until) = self.until {
            return if now < until { Verdict::LookAt(until) } else { Verdict::Dead };
        }
        let due = since.saturating_add(times.idle);
        if now < due {
            return Verdict::LookAt(due);
        }
        let until = now.saturating_add(times.answer);
        self.until = Some(until);
        // One that is still on its way asks for this silence as well.
        self.ask = !self.asked;
        Verdict::LookAt(until)
    }

    pub(super) const fn question_due(&self) -> bool {
        self.ask
    }

    pub(super) const fn question_sent(&mut self) {
        self.ask = false;
        self.asked = true;
    }
}
