//! Two processors at once: posting to each other, and tearing down under each other's hands.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::vec::Vec;
use std::{hint, thread};

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use crate::AnswerMode;

/// Slots of the ring at each end, and bytes in each.
const SLOTS: usize = 16;
const SLOT_BYTES: usize = 4096;

/// What one thread works with; raw pointers of objects that may be used from any processor.
struct Side<'a> {
    end: &'a End,
    source: Memory,
    source_token: u32,
    ring: &'a Memory,
    /// Where the peer's ring is, and its token.
    target: (u64, u32),
    /// Receives this end has posted, told to the other.
    posted: &'a AtomicUsize,
    /// Receives the peer has posted.
    allowed: &'a AtomicUsize,
}

// SAFETY: NDK objects may be used from any processor; each side is moved to one thread.
unsafe impl Send for Side<'_> {}

fn fill(message: usize) -> u8 {
    (message * 13 + 1) as u8
}

fn length(message: usize) -> usize {
    1 + message * 37 % SLOT_BYTES
}

impl Side<'_> {
    /// Sends `messages`, each a write and a send behind it, while it receives as many.
    fn run(self, messages: usize) {
        let (mut sent, mut finished, mut received) = (0, 0, 0);
        for _ in 0..SLOTS {
            assert_eq!(self.end.receive(0, &[]), STATUS_SUCCESS);
            self.posted.fetch_add(1, Ordering::SeqCst);
        }
        while finished < messages || received < messages {
            if sent < messages && sent - finished < 4 && sent < self.allowed.load(Ordering::SeqCst) {
                self.post(sent);
                sent += 1;
            }
            for entry in self.end.initiators.drain() {
                assert_eq!((entry.Status, entry.RequestContext.addr()), (STATUS_SUCCESS, finished));
                finished += 1;
            }
            for entry in self.end.receives.drain() {
                assert_eq!(entry.Status, STATUS_SUCCESS);
                let bytes = self.ring.bytes(received % SLOTS * SLOT_BYTES, length(received));
                assert!(bytes.iter().all(|byte| *byte == fill(received)), "message {received} came late");
                received += 1;
                assert_eq!(self.end.receive(0, &[]), STATUS_SUCCESS);
                self.posted.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    fn post(&self, message: usize) {
        let data = std::vec![fill(message); length(message)];
        let offset = message % 4 * SLOT_BYTES;
        self.source.region.write(offset, &data).unwrap();
        let half = data.len() / 2;
        let at = self.source.address() + offset as u64;
        let elements = [
            sge(at, half as u32, self.source_token),
            sge(at + half as u64, (data.len() - half) as u32, self.source_token),
        ];
        let target = self.target.0 + (message % SLOTS * SLOT_BYTES) as u64;
        let flags = NDK_OP_FLAG::SILENT_SUCCESS | NDK_OP_FLAG::DEFER;
        assert_eq!(self.end.write(0, &elements, target, self.target.1, flags), STATUS_SUCCESS);
        assert_eq!(self.end.send(message, &[], NDK_OP_FLAG::empty()), STATUS_SUCCESS);
    }
}

fn two_threads_write_and_send_to_each_other() {
    const MESSAGES: usize = 4000;
    let world = World::plain();
    let sizes = Sizes { receives: SLOTS as u32 * 2, initiators: 16, ..Sizes::default() };
    let pair = Pair::with_sizes(&world, sizes);
    let rings = [(), ()].map(|()| Memory::new(SLOTS * SLOT_BYTES));
    let sources = [(), ()].map(|()| Memory::new(4 * SLOT_BYTES));
    let ring_mrs: Vec<_> =
        rings.iter().map(|ring| TestMr::registered(pair.pd, ring, NDK_MR_FLAG::ALLOW_REMOTE_WRITE)).collect();
    let source_mrs: Vec<_> =
        sources.iter().map(|source| TestMr::registered(pair.pd, source, NDK_MR_FLAG::empty())).collect();
    let posted = [AtomicUsize::new(0), AtomicUsize::new(0)];
    thread::scope(|scope| {
        for (index, source) in sources.into_iter().enumerate() {
            let other = 1 - index;
            let side = Side {
                end: if index == 0 { &pair.active } else { &pair.passive },
                source_token: source_mrs[index].local(),
                source,
                ring: &rings[index],
                target: (rings[other].address(), ring_mrs[other].remote()),
                posted: &posted[index],
                allowed: &posted[other],
            };
            spawn(scope, move || side.run(MESSAGES));
        }
    });
    for mr in ring_mrs.into_iter().chain(source_mrs) {
        mr.close();
    }
    pair.close();
    world.finish();
}

/// How the connection ends while the other side writes without pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    CloseConnector,
    Flush,
    Deregister,
    CloseRegion,
    Disconnect,
    /// The writes go through a memory window.
    InvalidateWindow,
    DeregisterUnderWindow,
}

fn a_peer_may_end_everything_while_it_is_written_to() {
    for ending in [
        Ending::CloseConnector,
        Ending::Flush,
        Ending::Deregister,
        Ending::CloseRegion,
        Ending::Disconnect,
        Ending::InvalidateWindow,
        Ending::DeregisterUnderWindow,
    ] {
        for round in 0..9 {
            let answers = [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early][round % 3];
            end_under_writes(answers, ending);
        }
    }
}

fn end_under_writes(answers: AnswerMode, ending: Ending) {
    let world = World::with_answers(answers);
    let Pair { pd, active, mut passive } = Pair::new(&world);
    let target = Memory::new(96 * 1024);
    let mr = TestMr::registered(pd, &target, NDK_MR_FLAG::ALLOW_REMOTE_WRITE);
    let source = Memory::new(96 * 1024);
    let source_mr = TestMr::registered(pd, &source, NDK_MR_FLAG::empty());
    let window: *mut NDK_MW = create(|cc, context, out| ndk!(pd, NdkCreateMw, cc, context, out)).unwrap();
    let by_window = matches!(ending, Ending::InvalidateWindow | Ending::DeregisterUnderWindow);
    let at = if by_window {
        assert_eq!(passive.bind(window, &mr, &target), STATUS_SUCCESS);
        assert_eq!(passive.initiators.one().Status, STATUS_SUCCESS);
        (target.address(), ndk!(window, NdkGetRemoteTokenFromMw))
    } else {
        (target.address(), mr.remote())
    };
    let from = (source.address(), source_mr.local());
    let (started, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut close_region = None;
    let writer = Writer(&active);
    thread::scope(|scope| {
        let (started, stop) = (&started, &stop);
        spawn(scope, move || writer.run(from, 96 * 1024, at, started, stop));
        while started.load(Ordering::SeqCst) < 3 {
            thread::yield_now();
        }
        match ending {
            Ending::CloseConnector => passive.close_connector(),
            Ending::Flush => passive.flush(),
            Ending::Deregister | Ending::DeregisterUnderWindow => {
                assert_eq!(mr.deregister(), STATUS_SUCCESS);
            }
            Ending::InvalidateWindow => {
                let posted = post(|| ndk!(passive.qp, NdkInvalidate, word(0), window.cast(), 0));
                assert_eq!((posted, passive.initiators.one().Status), (STATUS_SUCCESS, STATUS_SUCCESS));
            }
            Ending::CloseRegion | Ending::Disconnect => {}
        }
        if ending == Ending::Disconnect {
            let pending = passive.begin_disconnect().ok().unwrap();
            assert_eq!(active.events.seen.take(), 0);
            let status = match active.begin_disconnect() {
                Ok(pending) => pending.wait(),
                Err(status) => status,
            };
            assert_eq!((status, pending.wait()), (STATUS_SUCCESS, STATUS_SUCCESS));
        }
        // From here on nobody may touch the memory: the pool notices who does.
        if matches!(ending, Ending::Deregister | Ending::CloseRegion) {
            mr.close();
            drop(target);
        } else {
            // The registration outlives the connection; the memory does not.
            drop(target);
            close_region = Some(mr);
        }
        // A writer that meets no more memory stops by itself.
        stop.store(true, Ordering::SeqCst);
    });
    ksim::pool::check_quarantine();
    close(window, close_slot!(window, NdkCloseMw));
    if let Some(mr) = close_region {
        mr.close();
    }
    source_mr.close();
    active.close();
    passive.close();
    close(pd, close_slot!(pd, NdkClosePd));
    world.finish();
}

/// Writes until it is told to stop or cannot go on.
struct Writer<'a>(&'a End);

// SAFETY: NDK objects may be used from any processor; nobody else posts to this queue.
unsafe impl Send for Writer<'_> {}

impl Writer<'_> {
    fn run(self, from: (u64, u32), length: u32, to: (u64, u32), started: &AtomicUsize, stop: &AtomicBool) {
        let from = [sge(from.0, length, from.1)];
        while !stop.load(Ordering::SeqCst) {
            let status = self.0.write(0, &from, to.0, to.1, NDK_OP_FLAG::empty());
            if status == STATUS_CONNECTION_INVALID {
                return;
            }
            // A stream takes requests one after the other; the queue may be full meanwhile.
            assert!([STATUS_SUCCESS, STATUS_NO_MORE_ENTRIES].contains(&status), "{status:#x}");
            started.fetch_add(1, Ordering::SeqCst);
            for entry in self.0.initiators.drain() {
                let ended = [STATUS_SUCCESS, STATUS_CANCELLED, STATUS_REMOTE_RESOURCES];
                assert!(ended.contains(&entry.Status), "{:#x}", entry.Status);
            }
        }
    }
}

fn many_connections_come_and_go_on_two_threads() {
    let world = World::plain();
    let opens = [world.second(), world.second()];
    thread::scope(|scope| {
        for open in &opens {
            let worker = Worker(open);
            spawn(scope, move || worker.run(60));
        }
    });
    for open in opens {
        open.close_second(&world);
    }
    let counters = world.soft().counters();
    assert_eq!((counters.connects, counters.accepts, counters.active_connections), (120, 120, 0));
    world.finish();
}

struct Worker<'a>(&'a World);

// SAFETY: an open adapter may be used from any processor.
unsafe impl Send for Worker<'_> {}

impl Worker<'_> {
    fn run(self, connections: usize) {
        for round in 0..connections {
            let pair = Pair::new(self.0);
            assert_eq!(pair.passive.receive(1, &[]), STATUS_SUCCESS);
            assert_eq!(pair.active.send(2, &[], NDK_OP_FLAG::empty()), STATUS_SUCCESS);
            assert_eq!(pair.passive.receives.one().Status, STATUS_SUCCESS);
            if round % 2 == 0 {
                let first = pair.active.begin_disconnect().ok().unwrap();
                assert_eq!(outcome(pair.passive.begin_disconnect()), STATUS_SUCCESS);
                assert_eq!(first.wait(), STATUS_SUCCESS);
            }
            pair.close();
        }
    }
}

fn a_close_waits_for_the_end_that_the_other_side_has_begun() {
    for round in 0..20 {
        let world = World::plain();
        // An event would keep the connector open until it has been delivered.
        let sizes = Sizes { event: false, ..Sizes::default() };
        let Pair { pd, mut active, mut passive } = Pair::with_sizes(&world, sizes);
        let memory = Memory::new(2 << 20);
        let mr = TestMr::registered(pd, &memory, NDK_MR_FLAG::all());
        let (from, to) = ((memory.address(), mr.local()), (memory.address() + (1 << 20), mr.remote()));
        assert_eq!(active.receive(0, &[]), STATUS_SUCCESS);
        let (started, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let connector = core::mem::replace(&mut active.connector, core::ptr::null_mut());
        let (connector, own_receives) =
            (connector.expose_provenance(), active.receives.cq.expose_provenance());
        let writer = Writer(&active);
        let other = Connector(&mut passive);
        let closing = AtomicBool::new(false);
        thread::scope(|scope| {
            let (started, stop, closing) = (&started, &stop, &closing);
            // A long request keeps the teardown waiting between its decision and its end.
            spawn(scope, move || writer.run(from, 1 << 20, to, started, stop));
            while started.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            spawn(scope, move || other.close(closing));
            while !closing.load(Ordering::SeqCst) {
                hint::spin_loop();
            }
            // At another point of the other side's close each time.
            for _ in 0..round * 400 {
                hint::spin_loop();
            }
            let connector: *mut NDK_CONNECTOR = core::ptr::with_exposed_provenance_mut(connector);
            close(connector, close_slot!(connector, NdkCloseConnector));
            let received = drain(core::ptr::with_exposed_provenance_mut(own_receives));
            assert_eq!(summary(&received), [(0, STATUS_CANCELLED)], "closed, but not ended");
            stop.store(true, Ordering::SeqCst);
        });
        mr.close();
        active.close();
        passive.close();
        close(pd, close_slot!(pd, NdkClosePd));
        world.finish();
    }
}

/// A connector in the hands of another thread.
struct Connector<'a>(&'a mut End);

// SAFETY: NDK objects may be used from any processor.
unsafe impl Send for Connector<'_> {}

impl Connector<'_> {
    fn close(self, closing: &AtomicBool) {
        closing.store(true, Ordering::SeqCst);
        self.0.close_connector();
    }
}

/// One end in the hands of one thread.
struct Closer(End);

// SAFETY: NDK objects may be used from any processor.
unsafe impl Send for Closer {}

impl Closer {
    /// Ends the connection and closes everything of this end, however far the other side is with the same.
    fn run(self, round: usize) {
        let Self(mut end) = self;
        match round % 4 {
            0 => end.flush(),
            1 => {
                // Pends, ends at once, or comes too late; whichever it is, the close ends it.
                if let Ok(pending) = end.begin_disconnect() {
                    end.close_connector();
                    let ended = [STATUS_SUCCESS, STATUS_CANCELLED, STATUS_CONNECTION_ABORTED];
                    assert!(ended.contains(&pending.wait()));
                }
            }
            _ => {}
        }
        end.close_connector();
        // The close has completed: everything posted is back.
        let received = end.receives.drain();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|entry| entry.Status == STATUS_CANCELLED));
        end.close();
    }
}

fn both_ends_may_be_closed_at_once() {
    let world = World::plain();
    for round in 0..400 {
        let Pair { pd, active, passive } = Pair::new(&world);
        for end in [&active, &passive] {
            for _ in 0..3 {
                assert_eq!(end.receive(0, &[]), STATUS_SUCCESS);
            }
            // A notification may be under way as well.
            end.receives.arm(NDK_CQ_NOTIFY_ANY);
        }
        let (one, other) = (Closer(active), Closer(passive));
        thread::scope(|scope| {
            spawn(scope, move || one.run(round));
            spawn(scope, move || other.run(round / 4));
        });
        close(pd, close_slot!(pd, NdkClosePd));
    }
    world.finish();
}

over_both_fabrics!(
    two_threads_write_and_send_to_each_other,
    a_peer_may_end_everything_while_it_is_written_to,
    many_connections_come_and_go_on_two_threads,
    a_close_waits_for_the_end_that_the_other_side_has_begun,
    both_ends_may_be_closed_at_once,
);
