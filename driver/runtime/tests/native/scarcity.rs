//! No memory: every allocation of a whole conversation fails once, on whichever thread it is made.
//!
//! A conversation is everything that a client does with a connection, from the socket to the close. Where memory runs out
//! it may end early, but every request ends, everything can be closed, nothing is left allocated that was not before, and
//! the next conversation succeeds.

use std::cell::RefCell;
use std::ffi::c_void;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use abi::NTSTATUS;
use abi::status::STATUS_INSUFFICIENT_RESOURCES;
use abi::wsk::{
    AF_INET, IPPROTO_TCP, SOCK_STREAM, WSK_FLAG_CONNECTION_SOCKET, WSK_FLAG_LISTEN_SOCKET, WSK_FLAG_WAITALL,
};
use cases::world::{Buffer, Call, Completion, Operation, Socket};
use cases::{PATIENCE, World};
use kernel::dpc::Dpc;
use kernel::pool::PoolTag;
use kernel::work::WorkItem;
use ksim::pool::{Failing, fail_after};
use wsk::Settings;
use wskrdma_runtime::{AnswerMode, Config, LOOPBACK_ADDRESSES, Runtime};

use crate::crank::{Turn, Walls};
use crate::world::{Native, boot, checked, left, rules};

const TAG: PoolTag = PoolTag::new(b"Test");
/// More allocations than a conversation makes on one thread.
const ALLOCATIONS_MAX: u64 = 2000;

/// On whose thread memory runs out.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Client,
    Worker,
    Dpc,
}

thread_local! {
    static FAILING: RefCell<Option<Failing>> = const { RefCell::new(None) };
}

/// What a thread is told to do: let so many allocations succeed, or, told nothing, all. It answers whether any has failed.
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

/// Has an order obeyed on the one thread of the queue that is not behind a wall. Returns whether an allocation had failed.
fn tell(whose: Whose, successes: Option<u64>) -> bool {
    let mut order = Order { successes, failed: false };
    let context = (&raw mut order).cast();
    match whose {
        Whose::Client => obey(&mut order),
        Whose::Worker => {
            // SAFETY: the order outlives the run, which is waited for.
            let item = unsafe { WorkItem::new(TAG, obey_there, context) }.unwrap();
            item.queue();
            wait_for_the_queues();
        }
        Whose::Dpc => {
            // SAFETY: as above.
            let dpc = unsafe { Dpc::new(TAG, obey_there, context) }.unwrap();
            dpc.queue();
            wait_for_the_queues();
        }
    }
    order.failed
}

/// Waits until the open thread of each queue has done what is queued now.
fn wait_for_the_queues() {
    let _plenty = fail_after(u64::MAX);
    Turn::of_work().wait();
    Turn::of_dpcs().wait();
}

struct Talk {
    world: Native,
    sockets: Vec<Socket>,
}

impl Talk {
    fn end(&mut self, operation: Operation) -> Completion {
        self.world.wait(operation, PATIENCE).expect("the request never ends")
    }

    fn done(&mut self, call: &Call<'_>) -> Result<Completion, NTSTATUS> {
        let operation = self.world.call(call).unwrap();
        let end = self.end(operation);
        if let Some(socket) = end.socket {
            self.sockets.push(socket);
        }
        if end.status < 0 { Err(end.status) } else { Ok(end) }
    }

    fn socket(&mut self, flags: u32) -> Result<(Socket, SocketAddr), NTSTATUS> {
        let (socket_type, protocol) = (SOCK_STREAM, IPPROTO_TCP);
        let call = Call::Socket { null_client: false, family: AF_INET, socket_type, protocol, flags };
        let on = self.done(&call)?.socket.unwrap();
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        self.done(&Call::Bind { on: on.into(), address: Some(any) })?;
        Ok((on, self.done(&Call::LocalAddress { on: on.into() })?.address.unwrap()))
    }

    /// The whole conversation, as far as it gets.
    fn talk(&mut self) -> Result<(), NTSTATUS> {
        let (listener, at) = self.socket(WSK_FLAG_LISTEN_SOCKET)?;
        let (near, _) = self.socket(WSK_FLAG_CONNECTION_SOCKET)?;
        let accepting = self.world.call(&Call::Accept { on: listener.into(), addresses: true }).unwrap();
        self.done(&Call::Connect { on: near.into(), address: Some(at) })?;
        // Either the accept is served, or the connection is lost again.
        let reading = self.world.call(&receive(near, &[5000], WSK_FLAG_WAITALL)).unwrap();
        let far = loop {
            if let Some(end) = self.world.wait(accepting, Duration::from_millis(1)) {
                break end.socket.ok_or(end.status)?;
            }
            if let Some(end) = self.world.wait(reading, Duration::ZERO) {
                return Err(end.status);
            }
        };
        self.sockets.push(far);
        let length = [70_000];
        let there = self.world.call(&receive(far, &length, WSK_FLAG_WAITALL)).unwrap();
        self.done(&send(near, &length))?;
        let there = self.end(there);
        self.done(&send(far, &[2000, 3000]))?;
        let here = self.end(reading);
        for end in [there, here] {
            if end.status < 0 {
                return Err(end.status);
            }
        }
        for socket in [near, far] {
            self.done(&Call::Disconnect { on: socket.into(), buffer: None, flags: 0 })?;
        }
        for socket in [near, far] {
            assert_eq!(self.done(&receive(socket, &[1], 0))?.information, 0);
        }
        Ok(())
    }

    /// Closes what the conversation has left, and forgets it.
    fn close(&mut self) {
        for on in core::mem::take(&mut self.sockets) {
            self.done(&Call::Close { on: on.into() }).expect("a close succeeds");
        }
        self.world.clear();
    }
}

fn receive(on: Socket, length: &[usize], flags: u32) -> Call<'_> {
    let buffer = Buffer { mdls: length, offset: 0, length: length.iter().sum(), position: None };
    Call::Receive { on: on.into(), buffer: Some(buffer), flags }
}

fn send(on: Socket, length: &[usize]) -> Call<'_> {
    let buffer = Buffer { mdls: length, offset: 0, length: length.iter().sum(), position: Some(0) };
    Call::Send { on: on.into(), buffer: Some(buffer), flags: 0 }
}

/// Waits until nothing is allocated but this: the last steps of closes take a few turns of the queues.
#[track_caller]
fn is_back_to(before: &[ksim::pool::Usage], what: impl std::fmt::Debug) {
    for _ in 0..100 {
        wait_for_the_queues();
        if left() == before {
            return;
        }
    }
    assert_eq!(left(), before, "left behind: {what:?}");
}

fn fail_each_allocation(whose: Whose) {
    let _alone = ksim::exclusive();
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        // Over RDMA alone: without memory for an accept, a connection over TCP waits in the system's backlog.
        // None made ahead: how many of those there are depends on the moment.
        let settings = Settings { prepared_endpoints: 0, ..rules("require any any") };
        let world = Native::start(Config { answers, settings, ..Config::default() });
        let mut talk = Talk { world, sockets: Vec::new() };
        // The first conversations make what stays: completion queue, tables.
        for _ in 0..2 {
            talk.talk().unwrap();
            talk.close();
        }
        let walls = Walls::raise();
        let before = left();
        let mut failures = 0;
        for successes in 0..ALLOCATIONS_MAX {
            tell(whose, Some(successes));
            let result = talk.talk();
            // What is left is closed in the same scarcity: a close needs no memory.
            talk.close();
            let failed = tell(whose, None);
            if result.is_err() {
                assert!(failed, "{whose:?} {answers:?} {successes}: {result:x?} although memory is there");
                failures += 1;
            }
            is_back_to(&before, (whose, answers, successes));
            talk.talk().unwrap();
            talk.close();
            if !failed {
                break;
            }
            assert!(successes + 1 < ALLOCATIONS_MAX, "the conversation never succeeds");
        }
        drop(walls);
        assert!(failures > 0, "{whose:?} {answers:?}: nothing depends on memory");
        talk.world.finish();
    }
}

/// A provider starts as a whole, or not at all.
#[test]
fn memory_runs_out_at_the_start() {
    let _alone = ksim::exclusive();
    boot();
    for answers in [AnswerMode::Inline, AnswerMode::Later, AnswerMode::Early] {
        for successes in 0..ALLOCATIONS_MAX {
            let failing = fail_after(successes);
            let software_adapter = Some(LOOPBACK_ADDRESSES);
            let config = Config { software_adapter, answers, layer: checked, ..Config::default() };
            let started = Runtime::start(&config);
            let failed = failing.has_failed();
            drop(failing);
            let succeeded = started.is_ok();
            match started {
                Ok(runtime) => assert!(runtime.stop()),
                Err(status) => assert_eq!(status, STATUS_INSUFFICIENT_RESOURCES, "{answers:?} {successes}"),
            }
            ksim::quiesce();
            assert_eq!(left(), [], "{answers:?} {successes}: left behind");
            assert!(succeeded || failed);
            if !failed {
                break;
            }
        }
    }
}

#[test]
fn memory_runs_out_for_the_client() {
    fail_each_allocation(Whose::Client);
}

#[test]
fn memory_runs_out_in_work_items() {
    fail_each_allocation(Whose::Worker);
}

#[test]
fn memory_runs_out_in_dpcs() {
    fail_each_allocation(Whose::Dpc);
}
