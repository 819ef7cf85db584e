//! A model of the fabric: work travels in order, Writes are placed, each Send takes one posted receive, and
//! everything happens as late as the test wants it to.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::vec::Vec;

/// A work request under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Write { addr: u64, key: u32, octets: Vec<u8> },
    Send(Vec<u8>),
}

/// Registered memory of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) addr: u64,
    pub(super) key: u32,
    pub(super) octets: Vec<u8>,
}

impl Memory {
    pub(super) fn new(addr: u64, key: u32, len: usize) -> Self {
        Self { addr, key, octets: std::vec![0; len] }
    }

    /// Places a Write if it is for this memory. Returns the offset. A Write that leaves the memory is a
    /// failure of the test.
    pub(super) fn place(&mut self, addr: u64, key: u32, octets: &[u8]) -> Option<usize> {
        if key != self.key {
            return None;
        }
        let start = usize::try_from(addr.checked_sub(self.addr).unwrap()).unwrap();
        self.octets[start..start + octets.len()].copy_from_slice(octets);
        Some(start)
    }
}

/// The octet at `offset` of the stream named `seed`: what is sent there and must be read there.
pub(super) fn stream_octet(seed: u64, offset: u64) -> u8 {
    let mixed = (offset ^ (seed << 56)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).to_le_bytes()[4]
}

/// One end of the connection, with the program that uses it.
pub(super) trait Endpoint: Clone + Debug {
    /// Work posted and not yet delivered.
    fn flight(&mut self) -> &mut VecDeque<Op>;
    /// Delivers one work request of the peer.
    fn deliver(&mut self, op: Op);
    /// Completes the oldest uncompleted work request. False if there is none.
    fn complete(&mut self) -> bool;
    /// Looks at what was delivered: at one message, or at all. False if there was nothing.
    fn handle(&mut self) -> bool;
    /// Posts work. False if there was none.
    fn transmit(&mut self) -> bool;
    /// The program sends `len` more octets.
    fn send(&mut self, len: u64);
    /// The program reads at most `len` octets. Returns how many there were.
    fn read(&mut self, len: u64) -> u64;
    /// The program finishes its sending.
    fn shut_down(&mut self);
    /// The program has a buffer for the next octets, or wants it back.
    fn advertise(&mut self, _len: u32) {}
    fn withdraw(&mut self) {}
    /// The receiver has memory for a longer ring.
    fn grow(&mut self, _len: u32) {}
    /// Time passes.
    fn pass_time(&mut self, _time: u64) {}
    /// Octets the program sent, and octets it read.
    fn totals(&self) -> (u64, u64);
    /// The program read to the end of the stream, which ended in order.
    fn at_end(&self) -> bool;
    /// Both directions are finished, and the transport may go.
    fn finished(&self) -> bool;
}

/// One step of a schedule, on the side it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(u64),
    Read(u64),
    Transmit,
    /// So many work requests of the peer are delivered here.
    Deliver(u8),
    Complete(u8),
    Handle(u8),
    ShutDown,
    Time(u64),
    Advertise(u32),
    Withdraw,
    Grow(u32),
}

/// Two endpoints and the fabric between them.
#[derive(Clone, Debug)]
pub(super) struct World<A, B> {
    pub(super) a: A,
    pub(super) b: B,
}

impl<A: Endpoint, B: Endpoint> World<A, B> {
    /// Runs one step. False if it had nothing to do.
    pub(super) fn step(&mut self, on_a: bool, step: Step) -> bool {
        if on_a { run(&mut self.a, self.b.flight(), step) } else { run(&mut self.b, self.a.flight(), step) }
    }

    /// Runs everything until nothing more happens, the programs reading all they can.
    pub(super) fn settle(&mut self) {
        const SETTLING: [Step; 5] =
            [Step::Transmit, Step::Deliver(3), Step::Handle(2), Step::Complete(2), Step::Read(u64::MAX)];
        let mut busy = true;
        while busy {
            busy = false;
            for step in SETTLING {
                busy |= self.step(true, step);
                busy |= self.step(false, step);
            }
        }
    }

    /// Both programs finish; everything that was sent must then have been read, and both must have seen an
    /// orderly end.
    pub(super) fn finish_and_check(&mut self) {
        self.settle();
        self.step(true, Step::ShutDown);
        self.step(false, Step::ShutDown);
        self.settle();
        let ((a_sent, a_read), (b_sent, b_read)) = (self.a.totals(), self.b.totals());
        assert_eq!((a_sent, b_sent), (b_read, a_read), "octets lost or stuck: {self:#?}");
        assert!(self.a.at_end() && self.b.at_end(), "no end of stream: {self:#?}");
        assert!(self.a.finished() && self.b.finished(), "not finished: {self:#?}");
    }
}

fn run(end: &mut impl Endpoint, peer_flight: &mut VecDeque<Op>, step: Step) -> bool {
    match step {
        Step::Send(len) => {
            end.send(len);
            true
        }
        Step::Read(len) => end.read(len) != 0,
        Step::Transmit => end.transmit(),
        Step::Deliver(count) => repeat(count, || peer_flight.pop_front().map(|op| end.deliver(op)).is_some()),
        Step::Complete(count) => repeat(count, || end.complete()),
        Step::Handle(count) => repeat(count, || end.handle()),
        Step::ShutDown => {
            end.shut_down();
            true
        }
        Step::Advertise(len) => {
            end.advertise(len);
            true
        }
        Step::Withdraw => {
            end.withdraw();
            true
        }
        Step::Grow(len) => {
            end.grow(len);
            true
        }
        Step::Time(time) => {
            end.pass_time(time);
            true
        }
    }
}

/// Acts up to `count` times, while there is something to do. Whether there was at all.
fn repeat(count: u8, act: impl FnMut() -> bool) -> bool {
    std::iter::repeat_with(act).take(usize::from(count)).take_while(|&done| done).count() != 0
}
