//! The engine: one connection's protocol state, and the calls its owner makes.

mod alive;
mod direct;
mod growth;
mod poll;
mod queue;
mod receive;
mod ring;
mod send;
mod share;
mod state;
mod take;
mod transmit;

use crate::config::{Config, ConfigError, LocalMemory, Role};
use crate::counters::Counters;
use crate::error::{ProtocolError, UsageError};
use crate::wire::{
    ADVERT_LEN, AbortReason, Advert, ConnData, Extensions, MESSAGE_LEN, Offer, TARGET_ENTRY_LEN, TargetEntry,
    TargetList, Word,
};
use alive::{Alive, Verdict};
use direct::{Sink, Source};
use growth::Growth;
use queue::SendQueue;
use receive::ReceiveSide;
use send::SendSide;

pub use alive::Keepalive;
pub use ring::Span;
pub use state::{Event, State};
pub use transmit::{MAX_HEAD_LEN, Publish, Transmit};

/// The protocol state of one connection. Less than 3 KiB, of fixed size.
#[derive(Clone, Debug)]
pub struct Engine {
    role: Role,
    list: TargetList,
    credits: u16,
    offer: Option<Offer>,
    /// What both sides have offered.
    extensions: Extensions,
    /// Octets of each receive of the peer.
    peer_message_len: u16,
    state: State,
    /// iWARP lets this side send: it is the active one, or something arrived.
    may_send: bool,
    /// The peer looks at nothing further: it sent DISCONNECT, or the connection was lost after its end.
    peer_gone: bool,
    send: SendSide,
    receive: ReceiveSide,
    queue: SendQueue,
    alive: Alive,
    growth: Growth,
    sink: Sink,
    source: Source,
    /// The peer has asked for a sign of life: a credit message.
    answer_due: bool,
    /// ABORT was handed out.
    abort_sent: bool,
    counters: Counters,
}

impl Engine {
    /// Builds the engine of one connection. `memory` is what the owner registered for it: the ring, and a
    /// target list of zeroes.
    ///
    /// # Errors
    ///
    /// A size or an address is out of range.
    pub fn new(config: Config, role: Role, memory: LocalMemory) -> Result<Self, ConfigError> {
        config.validate()?;
        let ring = memory.ring(&config)?;
        let list = memory.list(&config)?;
        let credits = config.credits();
        Ok(Self {
            role,
            list,
            credits,
            offer: config.offer(),
            extensions: Extensions::empty(),
            peer_message_len: 0,
            state: State::Unconnected,
            may_send: matches!(role, Role::Active),
            peer_gone: false,
            send: SendSide::new(config.list_entries, config.merge_below),
            receive: ReceiveSide::new(ring, credits),
            queue: SendQueue::new(config.send_queue_depth),
            alive: Alive::new(),
            growth: Growth::new(),
            sink: Sink::new(),
            source: Source::new(),
            answer_due: false,
            abort_sent: false,
            counters: Counters::default(),
        })
    }

    /// The private data for the connect request or the accepting reply.
    #[must_use]
    pub fn local_conn_data(&self) -> ConnData {
        ConnData {
            big_endian: false,
            iomap_size: Some(0),
            credits: self.credits,
            offer: self.offer,
            target_list: self.list,
            first_region: self.receive.first_region(),
        }
    }

    /// Takes in the peer's private data and opens the stream. The passive side may call this before it
    /// accepts.
    ///
    /// # Errors
    ///
    /// The peer's data cannot be worked with ([`ConnData::validate`]), or this is the second call. The state
    /// is then [`State::Failed`].
    pub fn establish(&mut self, peer: &ConnData) -> Result<(), ProtocolError> {
        match self.open(peer) {
            Ok(()) => {
                self.state = State::Open;
                Ok(())
            }
            Err(error) => self.fail(error),
        }
    }

    /// Adds `len` octets to the end of the send stream. The owner keeps them until [`Engine::sent_offset`]
    /// has passed them.
    ///
    /// # Errors
    ///
    /// The sending direction is shut down or the connection is not open; or the stream would be longer than
    /// its offsets can say.
    pub fn queue_send(&mut self, len: u64) -> Result<(), UsageError> {
        if self.state != State::Open {
            return Err(UsageError::NotSendable);
        }
        self.send.queue(len)
    }

    /// Finishes the sending direction after everything queued: SHUTDOWN, or DISCONNECT if the peer finished
    /// its direction before. Reading goes on. Without effect when called again or when the connection is not
    /// open.
    pub fn shutdown_send(&mut self) {
        if self.state == State::Open {
            self.send.request_shutdown();
        }
    }

    /// Finishes both directions after everything queued, by DISCONNECT. Octets that arrive before it goes out
    /// are still to be consumed, for a peer that waits for room may be what keeps this side from sending.
    /// Without effect when called again or when the connection is not open.
    ///
    /// The octets queued go only as the peer makes room: the owner bounds the time it waits for
    /// [`State::Finished`], and aborts the transport after it.
    pub fn disconnect(&mut self) {
        if self.state == State::Open {
            self.send.request_disconnect();
        }
    }

    /// The next work to post, or `None` when there is nothing to do until another call changes something.
    /// What is handed out counts as posted: the owner that cannot post it calls
    /// [`Engine::handle_connection_lost`].
    ///
    /// `max_data` bounds the octets of a data message, for an owner that can gather only so many from
    /// [`Engine::posted_offset`] on into one Write; pass [`u32::MAX`] for no bound. 0 asks for credit and
    /// control messages only.
    pub fn poll_transmit(&mut self, max_data: u32) -> Option<Transmit> {
        if self.state != State::Open || !self.may_send {
            return None;
        }
        // A mere limit goes beside the next data message, if there is one and the peer understands that.
        let due = self.credit_due();
        let beside = due.filter(|&due| self.may_go_beside_data(due));
        let transmit = due
            .filter(|_| beside.is_none())
            .and_then(|due| self.send_credit(due))
            .or_else(|| self.poll_question())
            .or_else(|| self.poll_advert())
            .or_else(|| self.poll_refusal())
            .or_else(|| self.poll_data(max_data))
            .or_else(|| beside.and_then(|due| self.send_credit(due)))
            .or_else(|| self.poll_control())?;
        Some(self.count(transmit))
    }

    /// The oldest Send (or probe) not yet reported has completed, and with it its Write. Returns
    /// [`Engine::sent_offset`].
    ///
    /// # Errors
    ///
    /// None was outstanding.
    pub fn handle_transmit_complete(&mut self) -> Result<u64, UsageError> {
        let done = self.queue.complete().ok_or(UsageError::NothingOutstanding)?;
        self.send.completed(done);
        if !self.extensions.contains(Extensions::KEEPALIVE) {
            // The most that can be known of a peer that answers no question.
            self.alive.heard();
            self.alive.answered();
        }
        Ok(self.send.sent())
    }

    /// Ends the stream by this side's own will. Returns the message that tells an equal why, to be posted at once, before
    /// the transport is aborted: it may be lost with that. `None`: the peer would not understand it or was told before, or
    /// it cannot be sent now. An open stream is [`State::Lost`] afterwards.
    pub fn abort(&mut self, reason: AbortReason) -> Option<Transmit> {
        let told = self.abort_sent || !self.may_send || !self.extensions.contains(Extensions::ABORT);
        let over = matches!(self.state, State::Finished | State::Aborted(_));
        self.handle_connection_lost();
        if told || over || !self.queue.push_control(1) {
            return None;
        }
        self.abort_sent = true;
        Some(self.count(Transmit::Abort { word: Word::Abort(reason).encode() }))
    }

    /// A message arrived, and its receive is posted again. `entry` is a copy, taken once, of the local target
    /// entry at [`Engine::wanted_entry`]; it matters only for a credit message ([`Word::Credit`]), for others
    /// anything may be passed.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol. The state is then [`State::Failed`].
    pub fn handle_message(
        &mut self,
        message: &[u8],
        entry: [u8; TARGET_ENTRY_LEN],
    ) -> Result<Event, ProtocolError> {
        match self.state {
            State::Unconnected => return self.fail(ProtocolError::OutOfPhase),
            State::Open => self.may_send = true,
            _ => return Ok(Event::Ignored),
        }
        self.alive.heard();
        match self.take_message(message, entry) {
            Ok(event) => Ok(event),
            Err(error) => self.fail(error),
        }
    }

    /// The transport is gone: a disconnect event, a failed post or completion, or the owner's own abort.
    pub fn handle_connection_lost(&mut self) {
        match self.state {
            State::Unconnected | State::Open => self.state = State::Lost,
            // What is posted may be completed only when the owner closes.
            State::Finished => self.peer_gone = true,
            _ => {}
        }
    }

    /// It is `now`, in units of 100 ns of a clock that never goes back. A peer that has been silent is asked for a
    /// sign of life (there is work to transmit then); one that stays silent makes this [`State::TimedOut`]. Returns
    /// when to be called again; `None` when the connection is not open. The times may differ from call to call.
    ///
    /// An equal is asked by a message. Any other peer, by a Write of no octets whose completion is the answer: on
    /// InfiniBand and RoCE its adapter gives it, on iWARP this side's own TCP, which finds a dead peer by itself.
    /// While this side may not send ([`Engine::may_send`]) nobody can be asked. The silence of a peer that is no equal
    /// means nothing then; an equal speaks first, and at once.
    pub fn handle_time(&mut self, now: u64, times: Keepalive) -> Option<u64> {
        if self.state != State::Open {
            return None;
        }
        if !self.may_send && !self.extensions.contains(Extensions::KEEPALIVE) {
            self.alive.heard();
        }
        match self.alive.pass(now, times) {
            Verdict::LookAt(next) => Some(next),
            Verdict::Dead => {
                self.state = State::TimedOut;
                None
            }
        }
    }

    /// Index of the local target entry whose copy [`Engine::handle_message`] wants next.
    #[must_use]
    pub const fn wanted_entry(&self) -> usize {
        self.send.wanted_entry()
    }

    /// Octets that arrived and are not consumed.
    #[must_use]
    pub const fn readable(&self) -> u64 {
        self.receive.readable()
    }

    /// The longest piece of a ring that holds readable octets, from `skip` octets after the first readable one. `None` when
    /// `skip` is not less than [`Engine::readable`]. All readable octets are in at most two pieces.
    #[must_use]
    pub fn readable_span(&self, skip: u64) -> Option<Span> {
        self.receive.readable_span(skip)
    }

    /// The reader is done with the first `len` readable octets; their room may be published again. There may
    /// be work to transmit.
    ///
    /// # Errors
    ///
    /// Fewer octets are readable.
    pub fn consume(&mut self, len: u64) -> Result<(), UsageError> {
        self.receive.consume(len)
    }

    /// Whether a longer ring pays: the reader has emptied this one four times within a second, or it is full of what is not
    /// consumed. `now`, in units of 100 ns of a clock that never goes back, is asked for only when it is full or a number of
    /// turns are complete. Once said, it is not said again for ten seconds: an owner that finds no memory, or wants to spend
    /// none, does nothing.
    ///
    /// To be asked after [`Engine::consume`]. Never while the connection is not open, the peer has finished its direction, or
    /// [`Engine::grow`] has left an old ring that is not drained.
    pub fn growth_pays(&mut self, now: impl FnOnce() -> u64) -> bool {
        let (consumed, len, full) = (self.receive.consumed(), self.ring_len(), self.receive.is_full());
        self.may_grow() && self.growth.pays(consumed, len, full, now)
    }

    /// Gives the stream a longer ring: remotely writable memory of the same rules as the first. Every region published from
    /// now on is of that ring. What the peer was told of the old one before stays its to fill, and comes first; so both are
    /// kept until [`Engine::take_drained_ring`] names the old one, which takes as long as the peer takes to fill what it was
    /// told. Returns the number of the new ring in [`Span::ring`].
    ///
    /// Nothing is negotiated: an entry of the peer's target list says address, key and length, so a writer follows to
    /// wherever it points.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotGrowable`].
    pub fn grow(&mut self, ring: TargetEntry) -> Result<u32, UsageError> {
        let number = if self.may_grow() { self.receive.grow(ring) } else { None };
        number.ok_or(UsageError::NotGrowable)
    }

    /// The number of the old ring, told once: every octet of it is consumed and the peer has no room left in it, so its key
    /// can be made invalid. To be asked after [`Engine::consume`].
    pub fn take_drained_ring(&mut self) -> Option<u32> {
        self.receive.take_drained_ring()
    }

    /// Octets of the ring that regions are published of.
    #[must_use]
    pub const fn ring_len(&self) -> u32 {
        self.receive.rings().len()
    }

    /// Lets the peer write the next octets of the stream into `buffer`, which it can until
    /// [`Engine::advertised`] is false again: after [`Event::Direct`] or [`Event::Refused`]. After the end of the
    /// connection the owner makes that sure itself, by invalidating the buffer's key. There is work to transmit.
    ///
    /// # Errors
    ///
    /// [`UsageError::NotAdvertisable`].
    pub fn advertise(&mut self, buffer: TargetEntry) -> Result<(), UsageError> {
        if !self.may_advertise() || buffer.len == 0 || buffer.wraps() {
            return Err(UsageError::NotAdvertisable);
        }
        self.sink.advertise(Advert { buffer, stream_offset: self.receive.position() });
        Ok(())
    }

    /// Whether a buffer may be advertised now: the peer would understand it, everything that arrived is consumed, and no
    /// advert is unanswered.
    #[must_use]
    pub fn may_advertise(&self) -> bool {
        let longest = usize::from(self.peer_message_len);
        self.state == State::Open
            && self.extensions.contains(Extensions::DIRECT)
            && longest >= MESSAGE_LEN.saturating_add(ADVERT_LEN)
            && self.receive.readable() == 0
            && !self.receive.ended()
            && !self.sink.outstanding()
    }

    /// Asks for the advertised buffer again. The peer may still write to it as long as [`Engine::advertised`] is true.
    pub const fn withdraw(&mut self) {
        self.sink.withdraw();
    }

    /// Whether the peer has advertised a buffer that is neither used nor refused.
    #[must_use]
    pub const fn holds_advert(&self) -> bool {
        self.source.held().is_some()
    }

    /// Whether the peer may write to an advertised buffer.
    #[must_use]
    pub const fn advertised(&self) -> bool {
        self.sink.outstanding()
    }

    /// The peer finished its direction (SHUTDOWN or DISCONNECT): no octets come after the readable ones.
    #[must_use]
    pub const fn peer_shut_down(&self) -> bool {
        self.receive.ended()
    }

    /// The peer finished its direction and every octet is consumed. Never so merely because the connection
    /// went away.
    #[must_use]
    pub const fn end_of_stream(&self) -> bool {
        self.receive.ended() && self.receive.readable() == 0
    }

    /// Octets of the send stream whose Sends have completed, counted from the start of the stream.
    #[must_use]
    pub const fn sent_offset(&self) -> u64 {
        self.send.sent()
    }

    /// Octets of the send stream handed out for posting: where the next [`Transmit::Data`] begins.
    #[must_use]
    pub const fn posted_offset(&self) -> u64 {
        self.send.posted()
    }

    /// Octets ever queued: the end of the send stream so far.
    #[must_use]
    pub const fn queued_offset(&self) -> u64 {
        self.send.queued()
    }

    /// Sends handed out and not completed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.queue.len()
    }

    /// Where the connection stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The side taken in the handshake.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Whether anything may be sent yet: always for the active side, after the first message for the passive
    /// one.
    #[must_use]
    pub const fn may_send(&self) -> bool {
        self.may_send
    }

    /// The transport may be closed without losing anything that this side still owes the peer: both
    /// directions are finished and the last message is out, or nobody looks at it any more.
    #[must_use]
    pub fn ready_to_close(&self) -> bool {
        match self.state {
            State::Unconnected | State::Open => false,
            State::Finished => self.peer_gone || self.queue.len() == 0,
            State::Lost | State::Aborted(_) | State::TimedOut | State::Failed(_) => true,
        }
    }

    /// Totals since the engine was built.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    fn open(&mut self, peer: &ConnData) -> Result<(), ProtocolError> {
        if self.state != State::Unconnected {
            return Err(ProtocolError::OutOfPhase);
        }
        peer.validate()?;
        self.receive.establish(peer.target_list);
        let both = self.offer.zip(peer.offer);
        self.peer_message_len = peer.offer.map_or(0, |offer| offer.message_len);
        self.extensions = both
            .map_or(Extensions::empty(), |(ours, theirs)| ours.extensions.intersection(theirs.extensions));
        self.send.establish(peer, self.credits, both.is_some())
    }

    fn may_grow(&self) -> bool {
        self.state == State::Open && !self.receive.ended() && !self.receive.rings().growing()
    }

    fn fail<T>(&mut self, error: ProtocolError) -> Result<T, ProtocolError> {
        self.state = State::Failed(error);
        Err(error)
    }
}
