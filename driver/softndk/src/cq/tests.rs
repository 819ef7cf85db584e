//! Each rule of arming, without a lock or a DPC.

use abi::NTSTATUS;
use abi::ndk::{NDK_CQ_NOTIFY_ANY, NDK_CQ_NOTIFY_ERRORS, NDK_CQ_NOTIFY_SOLICITED};
use abi::status::{STATUS_BUFFER_OVERFLOW, STATUS_CANCELLED, STATUS_SUCCESS};

use super::new_ring;
use super::queue::{Completion, Moderation, Overrun, Queue};
use crate::opaque::Opaque;

const ANY: u32 = NDK_CQ_NOTIFY_ANY;
const ERRORS: u32 = NDK_CQ_NOTIFY_ERRORS;
const SOLICITED: u32 = NDK_CQ_NOTIFY_SOLICITED;

fn queue(depth: u32) -> Queue {
    Queue::new(new_ring(depth).unwrap())
}

/// Pool is counted by the tests that look for leaks.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    ksim::exclusive()
}

fn entry(number: u32, status: NTSTATUS, solicited: bool) -> Completion {
    let null = Opaque(core::ptr::null_mut());
    Completion {
        status,
        bytes: number,
        qp_context: null,
        request_context: null,
        operation: 0,
        token: 0,
        solicited,
        debt: None,
    }
}

fn push(queue: &mut Queue) {
    queue.push(entry(0, STATUS_SUCCESS, false)).unwrap();
}

fn push_solicited(queue: &mut Queue) {
    queue.push(entry(0, STATUS_SUCCESS, true)).unwrap();
}

/// Runs the notification routine if it is asked for; the status of the callback.
fn run(queue: &mut Queue) -> Option<NTSTATUS> {
    if !queue.take_wakeup() {
        return None;
    }
    let due = queue.begin();
    assert!(!queue.end(), "one more run");
    due
}

/// A queue whose callback has been called with one entry left in it.
fn with_old_entry() -> Queue {
    let mut queue = queue(8);
    queue.arm(ANY);
    push(&mut queue);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
    queue
}

#[test]
fn nothing_is_called_without_an_arm_and_one_arm_gives_one_call() {
    let _alone = alone();
    let mut queue = queue(8);
    push(&mut queue);
    assert_eq!(run(&mut queue), None);
    queue.arm(ANY);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
    push(&mut queue);
    assert_eq!(run(&mut queue), None);
}

#[test]
fn an_entry_newer_than_the_last_call_satisfies_an_arm_at_once() {
    let _alone = alone();
    let mut queue = with_old_entry();
    push(&mut queue);
    queue.arm(ANY);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
}

#[test]
fn an_entry_older_than_the_last_call_waits_for_a_new_one() {
    let _alone = alone();
    let mut queue = with_old_entry();
    queue.arm(ANY);
    assert_eq!(run(&mut queue), None);
    push(&mut queue);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
}

#[test]
fn a_new_entry_that_was_taken_already_needs_no_call() {
    let _alone = alone();
    let mut queue = with_old_entry();
    push(&mut queue);
    while queue.pop().is_some() {}
    queue.arm(ANY);
    assert_eq!(run(&mut queue), None);
}

#[test]
fn an_entry_between_the_last_poll_and_the_arm_is_not_lost() {
    let _alone = alone();
    let mut queue = queue(8);
    queue.arm(ANY);
    push(&mut queue);
    assert!(queue.take_wakeup());
    assert_eq!(queue.begin(), Some(STATUS_SUCCESS));
    // Inside the callback: drain until empty, then arm, with an entry coming in between.
    while queue.pop().is_some() {}
    push(&mut queue);
    queue.arm(ANY);
    assert!(!queue.take_wakeup(), "the routine is running");
    assert!(queue.end(), "and must run again");
    assert_eq!(queue.begin(), Some(STATUS_SUCCESS));
    assert!(!queue.end());
}

#[test]
fn an_entry_during_the_call_after_the_arm_runs_the_routine_again() {
    let _alone = alone();
    let mut queue = queue(8);
    queue.arm(ANY);
    push(&mut queue);
    assert!(queue.take_wakeup());
    assert_eq!(queue.begin(), Some(STATUS_SUCCESS));
    while queue.pop().is_some() {}
    queue.arm(ANY);
    push(&mut queue);
    assert!(!queue.take_wakeup());
    assert!(queue.end());
}

#[test]
fn an_arm_made_while_a_call_is_due_has_its_own() {
    let _alone = alone();
    let mut queue = queue(8);
    queue.arm(ANY);
    push(&mut queue);
    assert!(queue.take_wakeup());
    // The routine has not begun; somebody polls, arms again, and one more entry comes.
    queue.arm(ANY);
    push(&mut queue);
    assert!(!queue.take_wakeup());
    assert_eq!(queue.begin(), Some(STATUS_SUCCESS));
    assert!(queue.end());
    assert_eq!(queue.begin(), Some(STATUS_SUCCESS));
    assert!(!queue.end());
}

#[test]
fn a_second_arm_leaves_the_stronger_of_both() {
    let _alone = alone();
    let plain = |queue: &mut Queue| push(queue);
    let solicited = |queue: &mut Queue| push_solicited(queue);
    // What is left of two arms, told by what satisfies it.
    let cases = [
        (ANY, ANY, true, true),
        (ANY, ERRORS, true, true),
        (ANY, SOLICITED, true, true),
        (ERRORS, ANY, true, true),
        (ERRORS, ERRORS, false, false),
        (ERRORS, SOLICITED, false, true),
        (SOLICITED, ANY, true, true),
        (SOLICITED, ERRORS, false, true),
        (SOLICITED, SOLICITED, false, true),
    ];
    for (first, second, by_plain, by_solicited) in cases {
        for (place, expected) in [(&plain as &dyn Fn(&mut Queue), by_plain), (&solicited, by_solicited)] {
            let mut queue = queue(8);
            queue.arm(first);
            queue.arm(second);
            place(&mut queue);
            assert_eq!(run(&mut queue).is_some(), expected, "{first} then {second}");
        }
    }
}

#[test]
fn failed_entries_satisfy_solicited_and_any_but_not_errors() {
    let _alone = alone();
    for (kind, expected) in [(ANY, true), (SOLICITED, true), (ERRORS, false)] {
        let mut queue = queue(8);
        queue.arm(kind);
        queue.push(entry(0, STATUS_CANCELLED, false)).unwrap();
        assert_eq!(run(&mut queue).is_some(), expected);
    }
}

#[test]
fn solicited_looks_at_new_solicited_entries_only() {
    let _alone = alone();
    let mut queue = queue(8);
    push_solicited(&mut queue);
    queue.arm(SOLICITED);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS), "new and here");
    // Old now; a new plain one does not count.
    push(&mut queue);
    queue.arm(SOLICITED);
    assert_eq!(run(&mut queue), None);
    push_solicited(&mut queue);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
    // New, but taken before the arm, with a plain one left behind it.
    push_solicited(&mut queue);
    push(&mut queue);
    for _ in 0..4 {
        queue.pop().unwrap();
    }
    queue.arm(SOLICITED);
    assert_eq!(run(&mut queue), None);
}

#[test]
fn an_unknown_arm_type_is_ignored() {
    let _alone = alone();
    let mut queue = queue(8);
    queue.arm(3);
    push(&mut queue);
    assert_eq!(run(&mut queue), None);
}

#[test]
fn an_overrun_kills_the_queue_and_is_told_once_to_any_arm() {
    let _alone = alone();
    for kind in [ANY, ERRORS, SOLICITED] {
        let mut queue = queue(2);
        push(&mut queue);
        push(&mut queue);
        queue.arm(ERRORS);
        assert_eq!(run(&mut queue), None);
        assert_eq!(queue.push(entry(0, STATUS_SUCCESS, false)), Err(Overrun));
        assert!(queue.is_dead());
        queue.arm(kind);
        assert_eq!(run(&mut queue), Some(STATUS_BUFFER_OVERFLOW));
        queue.arm(ERRORS);
        assert_eq!(run(&mut queue), None);
        // What was there stays, but nothing comes any more, even where there is room.
        assert!(queue.pop().is_some());
        assert_eq!(queue.push(entry(0, STATUS_SUCCESS, false)), Err(Overrun));
        assert!(queue.pop().is_some() && queue.pop().is_none());
    }
    // Not armed when it happens: the next arm tells.
    let mut queue = queue(1);
    push(&mut queue);
    assert_eq!(queue.push(entry(0, STATUS_SUCCESS, false)), Err(Overrun));
    assert_eq!(run(&mut queue), None);
    queue.arm(SOLICITED);
    assert_eq!(run(&mut queue), Some(STATUS_BUFFER_OVERFLOW));
}

#[test]
fn entries_come_out_in_order_through_wraps_and_resizes() {
    let _alone = alone();
    let mut queue = queue(4);
    let (mut next_in, mut next_out) = (0, 0);
    for depth in [4, 5, 7, 4, 5, 64, 6] {
        for _ in 0..5 {
            while queue.push_if_room(next_in) {
                next_in += 1;
            }
            for _ in 0..2 {
                assert_eq!(queue.pop().unwrap().bytes, next_out);
                next_out += 1;
            }
        }
        while next_in - next_out > 3 {
            assert_eq!(queue.pop().unwrap().bytes, next_out);
            next_out += 1;
        }
        assert!(queue.resize(new_ring(1).unwrap()).is_err(), "more entries than places");
        assert!(queue.resize(new_ring(depth).unwrap()).is_ok());
    }
    while let Some(completion) = queue.pop() {
        assert_eq!(completion.bytes, next_out);
        next_out += 1;
    }
    assert_eq!(next_out, next_in);
}

#[test]
fn after_the_close_nothing_is_called() {
    let _alone = alone();
    let mut queue = queue(8);
    queue.arm(ANY);
    push(&mut queue);
    assert!(queue.take_wakeup());
    queue.close();
    assert_eq!(queue.begin(), None);
    queue.arm(ANY);
    push(&mut queue);
    assert!(!queue.end());
}

impl Queue {
    fn push_if_room(&mut self, number: u32) -> bool {
        self.has_room() && self.push(entry(number, STATUS_SUCCESS, false)).is_ok()
    }
}

/// Moderation by count: entries since the last callback, of which there can be no more than there is room for.
#[test]
fn a_due_notification_waits_for_company() {
    let _alone = alone();
    let mut queue = queue(4);
    queue.moderate(Some(Moderation { interval: Some(70), entries: Some(3) }));
    queue.arm(ANY);
    assert_eq!(queue.patience(), None, "nothing is due");
    push(&mut queue);
    assert_eq!((run(&mut queue), queue.patience()), (None, Some(70)));
    push(&mut queue);
    assert_eq!(run(&mut queue), None);
    push(&mut queue);
    assert_eq!((run(&mut queue), queue.patience()), (Some(STATUS_SUCCESS), None));
    // Let go by time.
    queue.arm(ANY);
    push(&mut queue);
    assert_eq!(run(&mut queue), None);
    queue.let_go();
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
    // A queue smaller than the count.
    while queue.pop().is_some() {}
    queue.moderate(Some(Moderation { interval: None, entries: Some(100) }));
    queue.arm(ANY);
    for _ in 0..3 {
        push(&mut queue);
        assert_eq!(run(&mut queue), None);
    }
    push(&mut queue);
    assert_eq!(run(&mut queue), Some(STATUS_SUCCESS));
}

#[test]
fn a_failure_of_the_queue_is_not_held_back() {
    let _alone = alone();
    let mut queue = queue(1);
    queue.moderate(Some(Moderation { interval: None, entries: None }));
    push(&mut queue);
    queue.arm(ERRORS);
    assert_eq!(queue.push(entry(0, STATUS_SUCCESS, false)), Err(Overrun));
    assert_eq!(run(&mut queue), Some(STATUS_BUFFER_OVERFLOW));
}
