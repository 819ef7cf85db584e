//! What the driver tells of while it runs: the recorder, ETW, counters of adapters.

use std::string::String;
use std::vec::Vec;

use abi::status::STATUS_SUCCESS;
use softndk::AnswerMode;
use trace::{Kind, Reason, Recorded, keyword};

use super::harness::{Connection, Door, Peer, World, loopback};
use super::listening::client::talk;
use super::tcp::stage::{Stage, WAYS, accept};
use crate::{Settings, View, telemetry};

const PORT: u16 = 43_500;

/// What was told since `from`, without what is told as often as the course of things has it.
fn told(from: u64) -> Vec<Recorded> {
    telemetry::recorder().after(from).filter(|one| one.event.kind != Kind::Stalled).collect()
}

fn kinds(told: &[Recorded]) -> Vec<Kind> {
    told.iter().map(|one| one.event.kind).collect()
}

#[test]
fn a_connection_over_rdma_is_told_from_its_beginning_to_its_end() {
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        let world = World::answering(Settings::DEFAULT, answers);
        let before = telemetry::recorder().last();
        let listener = world.listen(PORT);
        let near = world.connection();
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(listener.accept().wait().information);
        talk(&near, &far);
        near.close();
        far.close();
        listener.close();
        let told = told(before);
        let of = |kind| told.iter().filter(move |one| one.event.kind == kind).collect::<Vec<_>>();
        assert_eq!(of(Kind::Connected).len(), 2, "{:?}", kinds(&told));
        assert_eq!(of(Kind::Listening)[0].event.local, Some(loopback(PORT)));
        let ends: Vec<_> =
            of(Kind::Connected).iter().map(|one| (one.event.local, one.event.remote)).collect();
        assert!(ends.contains(&(ends[0].1, ends[0].0)), "both ends tell of one connection: {ends:?}");
        let closed = of(Kind::Closed);
        assert_eq!(closed.len(), 2);
        assert!(closed.iter().all(|one| one.event.value > 0), "octets were exchanged");
        let numbers: Vec<_> = told.iter().map(|one| one.sequence).collect();
        assert!(numbers.is_sorted());
        assert_eq!(kinds(&told).iter().filter(|kind| **kind == Kind::ConnectFailed).count(), 0);
        world.finish();
    }
}

#[test]
fn a_fallback_is_told_with_its_reason() {
    for ways in WAYS {
        let stage = Stage::answering(&[], ways);
        let before = telemetry::recorder().last();
        let listener = stage.plain.listener(PORT);
        let near = stage.world.connection();
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accept(&listener).wait().information);
        let told = told(before);
        assert_eq!(kinds(&told), [Kind::RdmaMissed, Kind::FellBack], "{ways:?}");
        for one in &told {
            let event = one.event;
            assert_eq!((event.reason, event.remote), (Reason::PeerUnreachable, Some(loopback(PORT))));
        }
        let why = stage.provider().why(None, loopback(PORT));
        assert_eq!((why.rdma, why.reason), (false, Reason::NegativeCache));
        assert!(why.remembered.is_some_and(|left| left <= Settings::DEFAULT.retry_after));
        near.close();
        far.close();
        listener.close();
        stage.finish();
    }
}

#[test]
fn other_rules_hold_from_then_on() {
    let stage = Stage::answering(&[], WAYS[0]);
    let listener = stage.world.listen(PORT);
    let over = |expected| {
        let near = stage.world.connection();
        let accepting = listener.accept();
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(accepting.wait().information);
        assert_eq!(near.object().view().rdma, Some(expected));
        talk(&near, &far);
        near.close();
        far.close();
    };
    over(true);
    let before = telemetry::recorder().last();
    let rule = "never out any".parse().unwrap();
    stage.provider().set_policy(crate::policy::Policy::new(&[rule]).unwrap());
    let why = stage.provider().why(None, loopback(PORT));
    assert_eq!(
        (why.rdma, why.reason, why.rule.map(|(place, _)| place)),
        (false, Reason::PolicyNever, Some(0))
    );
    assert_eq!(kinds(&told(before)), [Kind::PolicyChanged]);
    over(false);
    stage.provider().set_policy(crate::policy::Policy::PREFER);
    over(true);
    listener.close();
    stage.finish();
}

#[test]
fn why_asks_policy_route_and_memory_and_tries_nothing() {
    let stage = Stage::answering(&["require out any port 5", "never out 10.0.0.0/8"], WAYS[0]);
    let why = |to: &str| stage.provider().why(None, to.parse().unwrap());
    let required = why("127.0.0.1:5");
    assert_eq!((required.rdma, required.falls_back, required.reason), (true, false, Reason::PolicyRequire));
    let never = why("10.1.2.3:80");
    assert_eq!((never.rdma, never.reason, never.rule.map(|r| r.0)), (false, Reason::PolicyNever, Some(1)));
    let preferred = why("127.0.0.1:80");
    assert_eq!((preferred.rdma, preferred.falls_back, preferred.reason), (true, true, Reason::Rdma));
    assert_eq!(preferred.route.unwrap().1.ip(), loopback(1).ip());
    let foreign = stage.provider().why("192.0.2.1:9".parse().ok(), "127.0.0.1:80".parse().unwrap());
    assert_eq!((foreign.rdma, foreign.reason, foreign.route.is_err()), (false, Reason::NoAdapter, true));
    assert_eq!(stage.reasons(), [], "nothing was decided");
    stage.finish();
}

#[test]
fn a_peer_that_breaks_the_protocol_is_told_of() {
    let world = World::new(Settings::DEFAULT);
    let door = Door::open(&world, PORT);
    let socket = world.connection();
    let connecting = socket.connect(PORT);
    let mut peer = Peer::accept(&world, door.take(), |data| data.encode().to_vec());
    assert_eq!(connecting.wait().status, STATUS_SUCCESS);
    assert_eq!(peer.answer(), 0);
    let before = telemetry::recorder().last();
    let reading = socket.receive(10);
    peer.say(&[0; 4]);
    assert_ne!(reading.wait().status, STATUS_SUCCESS);
    let told = told(before);
    assert_eq!(kinds(&told), [Kind::ProtocolViolation]);
    assert_ne!(told[0].event.status, STATUS_SUCCESS);
    let view = socket.object().view();
    assert_eq!(view.failure, Some(told[0].event.status));
    socket.close();
    peer.is_left();
    peer.close(false);
    drop(door);
    world.finish();
}

#[test]
fn an_adapter_counts_what_its_connections_do_and_have_done() {
    let stage = Stage::answering(&[], WAYS[0]);
    let adapter = || {
        let mut found = None;
        stage.provider().view(&mut |view| {
            if let View::Adapter(adapter) = view {
                found = Some(adapter.work);
            }
            true
        });
        found.unwrap()
    };
    let listener = stage.world.listen(PORT);
    let near = stage.world.connection();
    let accepting = listener.accept();
    assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
    let far = Connection::from_accept(accepting.wait().information);
    talk(&near, &far);
    assert_eq!(adapter().octets_sent, 0, "those of living connections are theirs");
    assert!(
        stage
            .views()
            .iter()
            .filter(|view| view.rdma == Some(true) && view.remote.is_some())
            .all(|view| { view.interface == Some(0) })
    );
    near.close();
    far.close();
    let work = adapter();
    assert!(work.octets_sent > 0 && work.octets_sent == work.octets_received, "{work:?}");
    assert_eq!(work, stage.provider().totals().snapshot());
    listener.close();
    stage.finish();
}

/// Name of a self-describing event.
fn name(metadata: &[u8]) -> String {
    let text = metadata[3..].split(|octet| *octet == 0).next().unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

#[test]
fn who_traces_the_system_hears_the_same() {
    let world = World::new(Settings::DEFAULT);
    telemetry::open();
    assert!(ksim::etw::is_registered());
    let connection = |addresses: u64| {
        ksim::etw::enable(4, keyword::CONNECTION | addresses, 0);
        let listener = world.listen(PORT);
        let near = world.connection();
        assert_eq!(near.connect(PORT).wait().status, STATUS_SUCCESS);
        let far = Connection::from_accept(listener.accept().wait().information);
        near.close();
        far.close();
        listener.close();
        ksim::etw::disable();
        ksim::etw::take()
    };
    let (without, with) = (connection(0), connection(keyword::ADDRESSES));
    let names: Vec<_> = without.iter().map(|one| name(&one.pieces[1].1)).collect();
    for expected in ["Listening", "Connected", "Closed"] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    let port = PORT.to_be_bytes();
    let has_port = |one: &ksim::etw::Written| one.pieces[2].1.windows(2).any(|pair| pair == port);
    assert!(!without.iter().any(has_port), "addresses are only for who asks for them");
    assert!(with.iter().any(has_port));
    telemetry::close();
    assert!(!ksim::etw::is_registered());
    world.finish();
}
