use crate::{Counters, Reason};

#[test]
fn reasons_are_numbered_by_their_place() {
    for (i, reason) in Reason::ALL.iter().enumerate() {
        assert_eq!(reason.code() as usize, i);
        assert!(!reason.text().is_empty());
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
