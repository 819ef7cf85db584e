//! A TCP peer in full operation that breaks each rule of the wire: the Terminate it gets, that no memory moves, and that everything
//! is given back.

use std::vec;
use std::vec::Vec;

use abi::ndk::*;
use abi::status::*;

use super::harness::*;
use super::pair::*;
use super::registration::*;
use super::tcp_peer::*;
use crate::iwarp::tests::harness::{fpdu, hex, request, tagged, untagged};

const NONE: NDK_OP_FLAG = NDK_OP_FLAG::empty();

/// Octets of the memory, and of the posted receive.
const MEMORY_LEN: usize = 4096;
const RECEIVE_LEN: u32 = 8;

/// A request of revision 2 that prefers CRCs, with IRD and ORD 1.
pub(super) fn mpa_request() -> Vec<u8> {
    [b"MPA ID Req Frame".to_vec(), hex("50 02 0004 0001 0001")].concat()
}

/// A zero-length Write: an FPDU that does nothing.
pub(super) fn first_fpdu() -> Vec<u8> {
    fpdu(&tagged("c140", 0, 0, 0), true)
}

/// A consumer's passive end with a region for each right, and its peer.
struct Scene {
    world: World,
    pd: *mut NDK_PD,
    foreign_pd: *mut NDK_PD,
    memory: Memory,
    writable: TestMr,
    readable: TestMr,
    foreign: TestMr,
    end: End,
    peer: TcpPeer,
}

impl Scene {
    fn new() -> Self {
        let world = World::plain();
        let (pd, foreign_pd) = (world.pd(), world.pd());
        let memory = Memory::with(&[0xF0; MEMORY_LEN]);
        let readable = NDK_MR_FLAG::ALLOW_LOCAL_WRITE | NDK_MR_FLAG::ALLOW_REMOTE_READ;
        let writable = TestMr::registered(pd, &memory, NDK_MR_FLAG::ALLOW_REMOTE_WRITE);
        let readable = TestMr::registered(pd, &memory, readable);
        let foreign = TestMr::registered(foreign_pd, &memory, NDK_MR_FLAG::all());
        let mut end = End::new(&world, pd, Sizes { read_limit: 1, ..Sizes::default() });
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let peer = TcpPeer::connect(world.system(), address);
        assert!(peer.send(&mpa_request()));
        let accept = end.begin_accept(listener.take_request(), &[]).ok().unwrap();
        let reply = [b"MPA ID Rep Frame".to_vec(), hex("50 02 0004 0001 0001")].concat();
        assert_eq!(peer.take(), reply);
        assert!(peer.send(&first_fpdu()));
        assert_eq!(accept.wait(), STATUS_SUCCESS);
        let _pending = listener.begin_close();
        listener.forget();
        let scene = Self { world, pd, foreign_pd, memory, writable, readable, foreign, end, peer };
        let sink = [sge(scene.at(0), RECEIVE_LEN, scene.writable.local())];
        assert_eq!(scene.end.receive(80, &sink), STATUS_SUCCESS);
        scene
    }

    /// An address in the memory.
    fn at(&self, offset: i64) -> u64 {
        self.memory.address().wrapping_add_signed(offset)
    }

    fn write(&self, stag: u32, offset: i64, octets: usize) -> Vec<u8> {
        tagged("c140", stag, self.at(offset), octets)
    }

    fn read(&self, stag: u32, offset: i64, size: u32) -> Vec<u8> {
        untagged("4141", 1, 1, 0, &request(stag, self.at(offset), size))
    }

    fn close(self) {
        self.peer.close();
        self.end.close();
        for mr in [self.writable, self.readable, self.foreign] {
            mr.close();
        }
        for pd in [self.pd, self.foreign_pd] {
            close(pd, close_slot!(pd, NdkClosePd));
        }
        self.world.finish();
    }
}

/// One broken rule.
struct Case {
    name: &'static str,
    /// The ULPDUs that break it, the last one in truth.
    ulpdus: fn(&Scene) -> Vec<Vec<u8>>,
    /// Layer, error type and code of the Terminate.
    code: u16,
    /// How the posted receive ends.
    receive: i32,
}

const fn case(name: &'static str, code: u16, ulpdus: fn(&Scene) -> Vec<Vec<u8>>) -> Case {
    Case { name, ulpdus, code, receive: STATUS_CANCELLED }
}

/// The reference's section 11, check by check.
const CASES: &[Case] = &[
    case("an empty ULPDU", 0x2003, |_| vec![vec![]]),
    case("a ULPDU shorter than a tagged header", 0x2003, |s| {
        vec![s.write(s.writable.remote(), 0, 0)[..13].to_vec()]
    }),
    case("a ULPDU shorter than an untagged header", 0x2003, |_| {
        vec![untagged("4143", 0, 1, 0, &[])[..17].to_vec()]
    }),
    case("a Read Request without all its fields", 0x2003, |s| {
        vec![s.read(s.readable.remote(), 0, 1)[..45].to_vec()]
    }),
    case("DDP version, tagged", 0x1104, |s| vec![tagged("c040", s.writable.remote(), s.at(0), 1)]),
    case("DDP version, untagged", 0x1206, |_| vec![untagged("4243", 0, 1, 0, &[1])]),
    case("RDMAP version, tagged", 0x0205, |s| vec![tagged("c180", s.writable.remote(), s.at(0), 1)]),
    case("RDMAP version, untagged", 0x0205, |_| vec![untagged("4103", 0, 1, 0, &[1])]),
    case("a Send that is tagged", 0x0206, |s| vec![tagged("c143", s.writable.remote(), s.at(0), 1)]),
    case("a Write that is untagged", 0x0206, |_| vec![untagged("4140", 0, 1, 0, &[1])]),
    case("a reserved opcode", 0x0206, |_| vec![untagged("4148", 0, 1, 0, &[1])]),
    case("a Send on the queue of Read Requests", 0x0206, |_| vec![untagged("4143", 1, 1, 0, &[1; 28])]),
    case("a Read Request on the queue of Sends", 0x0206, |s| {
        vec![untagged("4141", 0, 1, 0, &request(s.readable.remote(), s.at(0), 1))]
    }),
    case("a queue that does not exist", 0x1201, |_| vec![untagged("4143", 3, 1, 0, &[1])]),
    case("MSN 0", 0x1203, |_| vec![untagged("4143", 0, 0, 0, &[1])]),
    case("an MSN left out", 0x1203, |_| vec![untagged("4143", 0, 2, 0, &[1])]),
    case("an MSN of a Read Request left out", 0x1203, |s| {
        vec![untagged("4141", 1, 2, 0, &request(s.readable.remote(), s.at(0), 1))]
    }),
    case("an MO that does not begin at 0", 0x1204, |_| vec![untagged("4143", 0, 1, 1, &[1])]),
    Case {
        receive: STATUS_BUFFER_OVERFLOW,
        ..case("a Send longer than its receive", 0x1205, |_| vec![untagged("4143", 0, 1, 0, &[1; 9])])
    },
    case("a Send that finds no receive", 0x1202, |s| {
        // The first takes the one that is posted, and has no octets.
        let more = untagged("4143", 0, 2, 0, &[1]);
        assert_eq!(s.end.receives.drain().len(), 0);
        vec![untagged("4143", 0, 1, 0, &[]), more]
    }),
    case("a Send to end an STag that is not there", 0x0109, |_| vec![untagged("4144", 0, 1, 0, &[])]),
    case("a Write to no STag", 0x1100, |s| vec![s.write(0, 0, 1)]),
    case("a Write to an STag of nobody", 0x1100, |s| vec![s.write(0xFFFF_FFFE, 0, 1)]),
    case("a Write to a local token", 0x1100, |s| vec![s.write(s.writable.local(), 0, 1)]),
    case("a Write to what may be read", 0x1100, |s| vec![s.write(s.readable.remote(), 0, 1)]),
    case("a Write to another protection domain", 0x1102, |s| vec![s.write(s.foreign.remote(), 0, 1)]),
    case("a Write before the region", 0x1101, |s| vec![s.write(s.writable.remote(), -1, 1)]),
    case("a Write behind the region", 0x1101, |s| vec![s.write(s.writable.remote(), 4096, 1)]),
    case("a Write out of the region", 0x1101, |s| vec![s.write(s.writable.remote(), 4090, 7)]),
    case("a Write that wraps", 0x1103, |s| vec![tagged("c140", s.writable.remote(), u64::MAX, 2)]),
    case("a Read Request with something behind it", 0x1205, |s| {
        vec![[s.read(s.readable.remote(), 0, 1), vec![0]].concat()]
    }),
    case("a Read Request of more than one segment", 0x1205, |s| {
        vec![untagged("0141", 1, 1, 0, &request(s.readable.remote(), s.at(0), 1))]
    }),
    case("a read of an STag of nobody", 0x0100, |s| vec![s.read(0xFFFF_FFFE, 0, 1)]),
    case("a read out of the region", 0x0101, |s| vec![s.read(s.readable.remote(), 4090, 7)]),
    case("a read of 4 GiB", 0x0101, |s| vec![s.read(s.readable.remote(), 0, u32::MAX)]),
    case("a read of what may be written", 0x0102, |s| vec![s.read(s.writable.remote(), 0, 1)]),
    case("a read of another protection domain", 0x0103, |s| vec![s.read(s.foreign.remote(), 0, 1)]),
    case("a read that wraps", 0x0104, |s| {
        vec![untagged("4141", 1, 1, 0, &request(s.readable.remote(), u64::MAX, 2))]
    }),
    case("more reads than agreed on", 0x1202, |s| {
        let second = untagged("4141", 1, 2, 0, &request(s.readable.remote(), s.at(0), 1));
        vec![s.read(s.readable.remote(), 0, 1), second]
    }),
    case("a Read Response that nobody asked for", 0x0206, |s| {
        vec![tagged("c142", s.writable.remote(), s.at(0), 1)]
    }),
];

/// What the peer of a broken connection got: one Terminate with that code, and then FIN.
fn assert_terminated(scene: &Scene, code: u16, name: &str) {
    let got = scene.peer.take();
    assert_eq!(scene.peer.ended(), Some(Ended::InOrder), "{name}: {got:02x?}");
    let length = usize::from(u16::from_be_bytes([got[0], got[1]]));
    assert_eq!(got.len(), (2 + length).next_multiple_of(4) + 4, "{name}: more than one FPDU {got:02x?}");
    assert_eq!(got, fpdu(&got[2..2 + length], true), "{name}: its CRC");
    assert_eq!(got[2..20], hex("4147 00000000 00000002 00000001 00000000"), "{name}");
    assert_eq!(u16::from_be_bytes([got[20], got[21]]), code, "{name}: layer, type and code");
}

/// The connection is over for the consumer, and nothing of the memory was touched.
fn assert_untouched(scene: &Scene, name: &str) {
    assert_eq!(scene.memory.bytes(0, MEMORY_LEN), [0xF0; MEMORY_LEN], "{name}: memory was touched");
    assert_eq!(scene.end.events.seen.take(), 2, "{name}: the reason of a broken connection");
    assert_eq!(scene.end.send(91, &[], NONE), STATUS_CONNECTION_INVALID, "{name}");
    assert_eq!(scene.world.soft().counters().connection_errors, 1, "{name}");
}

#[test]
fn each_broken_rule_is_told_in_a_terminate_and_touches_nothing() {
    over(Fabric::Iwarp, || {
        for Case { name, ulpdus, code, receive } in CASES {
            let scene = Scene::new();
            let octets: Vec<u8> = ulpdus(&scene).iter().flat_map(|ulpdu| fpdu(ulpdu, true)).collect();
            assert!(scene.peer.send(&octets), "{name}");
            assert_terminated(&scene, *code, name);
            // What follows counts no more.
            scene.peer.send(&fpdu(&scene.write(scene.writable.remote(), 0, 4), true));
            assert_untouched(&scene, name);
            let ended = scene.end.receives.one().Status;
            let taken = *name == "a Send that finds no receive";
            assert_eq!(ended, if taken { STATUS_SUCCESS } else { *receive }, "{name}");
            scene.close();
        }
    });
}

#[test]
fn a_changed_octet_is_a_wrong_crc() {
    over(Fabric::Iwarp, || {
        let length = fpdu(&tagged("c140", 0, 0, 5), true).len();
        for at in 2..length {
            let scene = Scene::new();
            let mut octets = fpdu(&scene.write(scene.writable.remote(), 0, 5), true);
            octets[at] ^= 0x10;
            assert!(scene.peer.send(&octets));
            assert_terminated(&scene, 0x2002, "CRC");
            assert_untouched(&scene, "CRC");
            scene.close();
        }
    });
}

#[test]
fn a_terminate_is_not_answered() {
    over(Fabric::Iwarp, || {
        let scene = Scene::new();
        assert!(scene.peer.send(&fpdu(&untagged("4147", 2, 1, 0, &hex("1100 0000")), true)));
        assert_eq!((scene.peer.take(), scene.peer.ended()), (vec![], Some(Ended::InOrder)));
        assert_untouched(&scene, "Terminate");
        scene.close();
    });
}

/// A response that is not what was asked for; the consumer's sink stays as it is.
#[test]
fn a_wrong_response_is_told_and_not_placed() {
    over(Fabric::Iwarp, || {
        for (name, response, code) in [
            ("another STag", tagged("c142", 7, 0, 8), 0x1100),
            ("another offset", tagged("c142", 1, 1, 8), 0x1101),
            ("too long", tagged("c142", 1, 0, 9), 0x1101),
            ("too short", tagged("c142", 1, 0, 0), 0x02FF),
        ] {
            let scene = Scene::new();
            let sink = [sge(scene.at(64), 8, scene.readable.local())];
            assert_eq!(scene.end.read(3, &sink, 0x1000, 9, NONE), STATUS_SUCCESS);
            let asked = scene.peer.take();
            assert_eq!(asked[2..4], hex("4141"), "{name}: a Read Request");
            assert_eq!(asked[20..32], hex("00000001 0000000000000000"), "{name}: the sink");
            assert!(scene.peer.send(&fpdu(&response, true)));
            assert_terminated(&scene, code, name);
            assert_untouched(&scene, name);
            assert_eq!(scene.end.initiators.one().Status, STATUS_CANCELLED, "{name}");
            scene.close();
        }
    });
}

/// Cut at every octet, by a FIN and by a reset: the consumer is told, and everything is given back.
#[test]
fn the_stream_may_end_at_every_octet() {
    over(Fabric::Iwarp, || {
        let world = World::plain();
        let pd = world.pd();
        let (listener, address) = TestListener::on(&world, "127.0.0.1");
        let (request, first) = (mpa_request(), first_fpdu());
        let send = fpdu(&untagged("4143", 0, 1, 0, &[]), true);
        let start = request.len();
        // The connection comes about with the first FPDU.
        let established = start + first.len();
        let all = [request, first, send].concat();
        for (cut, in_order) in (0..=all.len()).flat_map(|cut| [(cut, true), (cut, false)]) {
            let what = std::format!("cut at {cut}, in order: {in_order}");
            let mut end = End::new(&world, pd, Sizes::default());
            assert_eq!(end.receive(80, &[]), STATUS_SUCCESS);
            let peer = TcpPeer::connect(world.system(), address);
            // What comes too early waits.
            assert!(cut == 0 || peer.send(&all[..cut]), "{what}");
            assert_eq!(listener.requests(), usize::from(cut >= start), "{what}");
            let accept = (cut >= start).then(|| end.begin_accept(listener.take_request(), &[]).ok().unwrap());
            settle();
            let peer = if in_order {
                peer.finish();
                Some(peer)
            } else {
                peer.close();
                None
            };
            match accept.map(|accept| accept.wait()) {
                None => {}
                Some(status) if cut < established => {
                    assert_eq!(status, STATUS_CONNECTION_ABORTED, "{what}");
                    assert_eq!(
                        end.events.seen.count(),
                        0,
                        "{what}: an event for a connection that never was"
                    );
                }
                Some(status) => {
                    assert_eq!(status, STATUS_SUCCESS, "{what}");
                    let whole = cut == all.len() || cut == established;
                    assert_eq!(end.events.seen.take(), if in_order && whole { 1 } else { 2 }, "{what}");
                }
            }
            end.close();
            if let Some(peer) = peer {
                peer.wait_for_end();
                peer.close();
            }
        }
        listener.close();
        close(pd, close_slot!(pd, NdkClosePd));
        let counters = world.soft().counters();
        assert_eq!(counters.active_connections, 0);
        world.finish();
    });
}

/// The reader's side of back-pressure: a peer that takes nothing stops the sender, and nothing else happens.
#[test]
fn a_peer_that_reads_nothing_costs_no_more_than_the_buffers() {
    over(Fabric::Iwarp, || {
        let scene = Scene::new();
        let source = [sge(scene.at(0), MEMORY_LEN as u32, scene.readable.local())];
        scene.peer.stop_reading();
        let mut posted = 0;
        // Depth of the queue is 8, so the system has taken all that it takes when it stays full.
        while scene.end.write(posted, &source, 0x1000, 9, NONE) == STATUS_SUCCESS {
            posted += 1;
            scene.end.initiators.drain();
            assert!(posted < 100_000, "it never stops");
        }
        let blocks = outstanding();
        scene.end.flush();
        assert!(outstanding().iter().zip(blocks).all(|(now, before)| *now <= before));
        scene.close();
    });
}
