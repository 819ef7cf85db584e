//! No memory: every allocation of a conversation fails once, on whichever thread it is made. Over TCP, and over RDMA from
//! addresses that are taken on the adapter.

use core::ffi::c_void;
use std::cell::RefCell;
use std::thread_local;
use std::vec::Vec;

use abi::NTSTATUS;
use abi::status::*;
use abi::wsk::*;
use kernel::dpc::Dpc;
use kernel::pool::PoolTag;
use kernel::work::WorkItem;
use ksim::client::TestIrp;
use ksim::pool::{Failing, fail_after};
use ksim::wsk::Answers;
use softndk::AnswerMode;

use super::super::crank::{Turn, Walls};
use super::super::harness::{Connection, loopback};
use super::stage::*;

const TAG: PoolTag = PoolTag::new(b"Test");
/// More allocations than a conversation makes on one thread.
const ALLOCATIONS_MAX: u64 = 400;
const PORT: u16 = 42_500;
const TCP: &[&str] = &["never any any"];

/// On whose thread memory runs out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Client,
    Worker,
    Dpc,
}

thread_local! {
    static FAILING: RefCell<Option<Failing>> = const { RefCell::new(None) };
}

/// What a thread is told: let so many allocations succeed, or, told nothing, all. It answers whether any has failed.
#[derive(Default)]
struct Order {
    successes: Option<u64>,
    failed: bool,
}

fn obey(order: &mut Order) {
    FAILING.with_borrow_mut(|failing| {
        order.failed = failing.take().is_some_and(|failing| failing.has_failed());
        *failing = order.successes.map(fail_after);
    });
}

/// # Safety
/// `context` is an [`Order`] that nobody else uses until this has returned.
unsafe fn obey_there(context: *mut c_void) {
    // SAFETY: the caller's promise.
    obey(unsafe { &mut *context.cast::<Order>() });
}

/// Has an order obeyed on the one thread of the queue that is not behind a wall.
fn tell(whose: Whose, successes: Option<u64>) -> bool {
    let mut order = Order { successes, failed: false };
    let context = (&raw mut order).cast();
    if whose == Whose::Client {
        obey(&mut order);
        return order.failed;
    }
    let _plenty = fail_after(u64::MAX);
    // SAFETY: the order outlives the run, which is waited for.
    let dpc = unsafe { Dpc::new(TAG, obey_there, context) }.unwrap();
    // SAFETY: as above.
    let item = unsafe { WorkItem::new(TAG, obey_there, context) }.unwrap();
    if whose == Whose::Worker {
        item.queue()
    } else {
        dpc.queue()
    };
    Turn::of_work().wait();
    Turn::of_dpcs().wait();
    order.failed
}

/// Everything that may fail leaves the sockets that there are so far to be closed.
struct Talk<'a> {
    stage: &'a Stage,
    /// The port that the connecting socket asks for.
    local: u16,
    failed: bool,
    sockets: Vec<Connection>,
}

fn done(irp: &TestIrp) -> Result<usize, NTSTATUS> {
    let end = irp.wait();
    assert_eq!(irp.completions(), 1);
    if end.status < 0 { Err(end.status) } else { Ok(end.information) }
}

impl Talk<'_> {
    fn socket(&mut self, flags: u32, port: u16) -> Result<Connection, NTSTATUS> {
        let none = core::ptr::null_mut();
        let made = done(&begin_socket(self.stage.world.npi(), flags, none, core::ptr::null()))?;
        let socket = Connection::from_accept(made);
        self.sockets.push(socket.alias());
        done(&bind(&socket, loopback(port)))?;
        Ok(socket)
    }

    fn talk(&mut self, whose: Whose) -> Result<(), NTSTATUS> {
        let listener = self.socket(WSK_FLAG_LISTEN_SOCKET, PORT)?;
        let near = self.socket(WSK_FLAG_CONNECTION_SOCKET, self.local)?;
        let accepting = accept(&listener);
        let (connecting, chain) = connect_ex(&near, PORT, b"hello");
        let connected = done(&connecting);
        drop(chain);
        if let Err(status) = connected {
            self.sockets.drain(..).for_each(Connection::close);
            accepting.wait();
            return Err(status);
        }
        // However little memory there was: the connection is delivered once there is some, unless the system had none
        // for its own part of it and has lost it.
        self.failed = tell(whose, None);
        let lost = near.receive(1);
        while accepting.completion().is_none() && !lost.is_done() {
            std::thread::yield_now();
        }
        if accepting.completion().is_none() {
            self.sockets.drain(..).for_each(Connection::close);
            accepting.wait();
            return Err(lost.wait().status);
        }
        let far = Connection::from_accept(done(&accepting)?);
        self.sockets.push(far.alias());
        let got = far.receive(5);
        assert_eq!(got.octets(), b"hello");
        self.sockets.drain(..).for_each(Connection::close);
        lost.wait();
        Ok(())
    }
}

fn starve(rules: &[&str], whose: Whose, answers: Answers, local: u16) {
    let stage = Stage::answering(rules, (AnswerMode::Inline, answers));
    for successes in 0.. {
        assert!(successes < ALLOCATIONS_MAX, "the conversation has no end");
        let walls = Walls::raise();
        tell(whose, Some(successes));
        let mut talk = Talk { stage: &stage, local, failed: false, sockets: Vec::new() };
        let result = talk.talk(whose);
        let failed = tell(whose, None) || talk.failed;
        let Talk { sockets, .. } = talk;
        sockets.into_iter().for_each(Connection::close);
        drop(walls);
        ksim::quiesce();
        assert_eq!(ksim::wsk::outstanding().sockets, 0, "{whose:?} {successes}");
        assert!(stage.views().is_empty(), "{whose:?} {successes}");
        match result {
            Ok(()) | Err(STATUS_INSUFFICIENT_RESOURCES | STATUS_CONNECTION_RESET) => {}
            // The other end has no memory to accept with.
            Err(STATUS_CONNECTION_REFUSED) if rules != TCP => {}
            Err(status) => panic!("{whose:?} {successes}: {status:#x}"),
        }
        if !failed {
            assert!(successes != 0, "nothing was asked for");
            break;
        }
    }
    stage.finish();
}

#[test]
fn of_the_client() {
    for answers in [Answers::Inline, Answers::Later] {
        starve(TCP, Whose::Client, answers, 0);
    }
}

#[test]
fn of_the_workers() {
    for answers in [Answers::Inline, Answers::Later] {
        starve(TCP, Whose::Worker, answers, 0);
    }
}

#[test]
fn of_the_dpcs() {
    starve(TCP, Whose::Dpc, Answers::Later, 0);
}

/// The port is chosen, and taken with the bind; or asked for, and taken with the connect.
#[test]
fn of_the_workers_that_take_an_address_on_the_adapter() {
    for local in [0, PORT + 1] {
        starve(&["require any any"], Whose::Worker, Answers::Inline, local);
    }
}
