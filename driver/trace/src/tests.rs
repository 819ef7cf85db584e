use crate::{Counters, Kind, Reason, ReasonCounters};

#[test]
fn reasons_are_numbered_by_their_place() {
    for (i, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(reason.code() as usize, i);
        assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        assert!(reason.explanation().ends_with('.'));
        assert!(reason.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
        assert_eq!(Reason::ALL.iter().filter(|other| other.name() == reason.name()).count(), 1);
    }
    assert_eq!(Reason::from_code(Reason::ALL.len().try_into().unwrap()), None);
}

#[test]
fn numbers_never_change() {
    let known = [
        (Reason::Undecided, 0),
        (Reason::Rdma, 1),
        (Reason::NoAdapter, 2),
        (Reason::AdapterResources, 3),
        (Reason::PeerUnreachable, 4),
        (Reason::PeerProtocol, 5),
        (Reason::PolicyNever, 6),
        (Reason::PolicyRequire, 7),
        (Reason::NegativeCache, 8),
        (Reason::NoSystemProvider, 9),
        (Reason::SystemRefused, 10),
        (Reason::PeerChoseTcp, 11),
        (Reason::BothPaths, 12),
        (Reason::RdmaTimeout, 13),
        (Reason::AdapterGone, 14),
        (Reason::AddressBusy, 15),
        (Reason::AdapterSilent, 16),
        (Reason::AdapterMemory, 17),
        (Reason::PeerMemory, 18),
        (Reason::PeerBacklog, 19),
        (Reason::BacklogFull, 20),
    ];
    assert_eq!(known.map(|(reason, _)| reason), Reason::ALL);
    assert_eq!(known.map(|(reason, _)| reason.code()), known.map(|(_, number)| number));
}

#[test]
fn kinds_are_numbered_from_one_and_never_change() {
    for (place, kind) in Kind::ALL.iter().enumerate() {
        assert_eq!(usize::from(kind.code()), place + 1);
        assert_eq!(Kind::from_code(kind.code()), Some(*kind));
        assert!(kind.explanation().ends_with('.'));
    }
    assert_eq!((Kind::from_code(0), Kind::from_code(Kind::ALL.len() as u16 + 1)), (None, None));
    let known = [
        (Kind::DriverStarted, "DriverStarted", 1),
        (Kind::FellBack, "FellBack", 8),
        (Kind::PolicyChanged, "PolicyChanged", 15),
    ];
    for (kind, name, number) in known {
        assert_eq!((kind.name(), kind.code()), (name, number));
    }
}

#[test]
fn each_reason_is_counted_by_itself() {
    let counters = ReasonCounters::new();
    counters.count(Reason::Undecided);
    counters.count(Reason::Rdma);
    counters.count(Reason::AdapterGone);
    counters.count(Reason::AdapterGone);
    for (reason, count) in counters.iter() {
        let expected = match reason {
            Reason::Rdma => 1,
            Reason::AdapterGone => 2,
            _ => 0,
        };
        assert_eq!((count, counters.get(reason)), (expected, expected), "{}", reason.name());
    }
}

#[test]
fn a_connection_leaves_its_work_to_the_totals() {
    let (total, one) = (Counters::new(), Counters::new());
    one.writes.add(3);
    one.octets_sent.add(70_000);
    total.writes.add(4);
    total.add(&one.snapshot());
    let sum = total.snapshot();
    assert_eq!((sum.writes, sum.octets_sent, sum.sends), (7, 70_000, 0));
}
