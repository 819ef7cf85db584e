//! The bound on nested completions. The count and the work item are process-wide, so these tests run one at a time.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

extern crate ksim as _;
extern crate wskrdma_irp as irp;

use core::cell::Cell;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::STATUS_MORE_PROCESSING_REQUIRED;
use irp::{CompletionBatch, CompletionWorker, IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::irp::InvokeOn;
use kernel::lock::SpinLock;
use kernel::pool::{PoolTag, Shared};

const TAG: PoolTag = PoolTag::new(b"WrTs");

/// More flushes than may be in progress on one stack, wherever it begins.
const DEEP: usize = 16;

struct Request {
    then: Box<dyn FnOnce() + Send>,
}

/// A client's request that has entered the driver. Its completion routine frees the IRP and then does `then`.
fn request(then: impl FnOnce() + Send + 'static) -> OwnedIrp {
    let client = kernel::irp::OwnedIrp::try_new(1).unwrap().into_raw();
    let context = Box::into_raw(Box::new(Request { then: Box::new(then) })).cast();
    // SAFETY: a fresh IRP; the routine takes the context back, once.
    unsafe { kernel::irp::set_completion_routine(client, completed, context, InvokeOn::ALL) };
    // SAFETY: a fresh IRP, entered once.
    unsafe { irp::enter(client) }.unwrap()
}

/// # Safety
/// Called by the completion of a [`request`]'s IRP.
unsafe extern "system" fn completed(_: *mut DEVICE_OBJECT, irp: *mut IRP, context: *mut c_void) -> NTSTATUS {
    // SAFETY: from `request`, taken back once.
    let request = unsafe { Box::from_raw(context.cast::<Request>()) };
    // SAFETY: from `request`, completed.
    drop(unsafe { kernel::irp::OwnedIrp::from_raw(irp) });
    (request.then)();
    STATUS_MORE_PROCESSING_REQUIRED
}

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Requests whose completion routines make the next one, which completes at once, `levels` times; then `leaf`.
fn nest(levels: usize, deepest: Arc<AtomicUsize>, leaf: impl FnOnce() + Send + 'static) {
    if levels == 0 {
        return leaf();
    }
    let irp = request(move || {
        let depth = DEPTH.get() + 1;
        DEPTH.set(depth);
        deepest.fetch_max(depth, Ordering::SeqCst);
        nest(levels - 1, deepest, leaf);
        DEPTH.set(depth - 1);
    });
    irp.complete(Outcome::success(0));
}

fn start() -> CompletionWorker {
    // SAFETY: the simulated device lives as long as the process.
    unsafe { kernel::init(ksim::device()) };
    CompletionWorker::start(TAG).unwrap()
}

#[test]
fn a_chain_nests_to_the_bound_and_goes_on_in_the_work_item() {
    let _alone = ksim::exclusive();
    let worker = start();
    let deepest = Arc::new(AtomicUsize::new(0));
    let (done, leaf) = channel();
    nest(5_000, Arc::clone(&deepest), move || done.send(()).unwrap());
    leaf.recv().unwrap();
    drop(worker);
    let deepest = deepest.load(Ordering::SeqCst);
    assert!(deepest > 1, "it does nest: {deepest}");
    assert!(deepest <= DEEP, "no deeper than two windows: {deepest}");
    irp::account().assert_idle();
}

#[test]
fn without_a_worker_everything_completes_in_place() {
    let _alone = ksim::exclusive();
    let deepest = Arc::new(AtomicUsize::new(0));
    let leaves = Arc::new(AtomicUsize::new(0));
    let leaf = Arc::clone(&leaves);
    nest(3 * DEEP, Arc::clone(&deepest), move || {
        leaf.fetch_add(1, Ordering::SeqCst);
    });
    assert_eq!(leaves.load(Ordering::SeqCst), 1);
    assert_eq!(deepest.load(Ordering::SeqCst), 3 * DEEP);
    irp::account().assert_idle();
}

#[test]
fn a_deferred_batch_keeps_its_order() {
    let _alone = ksim::exclusive();
    let worker = start();
    let (log, names) = channel();
    at_the_bound(move || {
        let mut batch = CompletionBatch::new();
        for name in 0..5 {
            let log = log.clone();
            batch.push(request(move || log.send(name).unwrap()), Outcome::success(0));
        }
        batch.flush();
    });
    assert_eq!(names.iter().collect::<Vec<i32>>(), [0, 1, 2, 3, 4]);
    drop(worker);
    irp::account().assert_idle();
}

/// Runs `leaf` where a further flush on this stack is deferred: calls back from completion routines until one does not
/// run here.
fn at_the_bound(leaf: impl FnOnce() + Send + 'static) {
    descend(&Arc::new(Mutex::new(Some(Box::new(leaf)))));
}

type Leaf = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

fn descend(leaf: &Leaf) {
    // A deferred routine may run on this very thread later, so being on this thread does not mean being in the call.
    let inside = Arc::new(AtomicBool::new(true));
    let deeper = Arc::new(AtomicBool::new(false));
    let here = thread::current().id();
    let (still_inside, went_deeper, inner) = (Arc::clone(&inside), Arc::clone(&deeper), Arc::clone(leaf));
    let irp = request(move || {
        if thread::current().id() == here && still_inside.load(Ordering::SeqCst) {
            went_deeper.store(true, Ordering::SeqCst);
            descend(&inner);
        }
    });
    irp.complete(Outcome::success(0));
    inside.store(false, Ordering::SeqCst);
    if !deeper.load(Ordering::SeqCst) {
        let leaf = leaf.lock().unwrap().take();
        leaf.unwrap()();
    }
}

/// A completion routine keeps the work item busy until it is sent something, which it drops, or the sender is dropped.
fn block_the_worker<T: Send + 'static>() -> Sender<T> {
    let (go_on, wait) = channel::<T>();
    let (running, started) = channel();
    at_the_bound(move || {
        request(move || {
            running.send(()).unwrap();
            drop(wait.recv());
        })
        .complete(Outcome::success(0));
    });
    started.recv().unwrap();
    go_on
}

/// A request that is deferred, and the count of its completions.
fn defer_one() -> Arc<AtomicUsize> {
    let completions = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&completions);
    at_the_bound(move || {
        request(move || {
            count.fetch_add(1, Ordering::SeqCst);
        })
        .complete(Outcome::success(0));
    });
    completions
}

#[test]
fn stopping_completes_what_was_deferred() {
    let _alone = ksim::exclusive();
    let worker = start();
    let go_on = block_the_worker::<()>();
    let late = defer_one();
    assert_eq!(late.load(Ordering::SeqCst), 0, "deferred behind the one that blocks");
    let stopping = thread::spawn(move || drop(worker));
    drop(go_on);
    stopping.join().unwrap();
    assert_eq!(late.load(Ordering::SeqCst), 1);
    irp::account().assert_idle();
}

#[test]
fn stopping_inside_a_deferred_completion_completes_the_rest() {
    let _alone = ksim::exclusive();
    let worker = start();
    let go_on = block_the_worker::<CompletionWorker>();
    let late = defer_one();
    go_on.send(worker).unwrap();
    ksim::quiesce();
    assert_eq!(late.load(Ordering::SeqCst), 1);
    irp::account().assert_idle();
}

struct Waiting {
    lock: SpinLock<IrpQueue<Waits>>,
}

enum Waits {}

// SAFETY: the lock is a field of the owner and the queue is all there is under it.
unsafe impl QueueKind for Waits {
    type Owner = Waiting;
    type State = IrpQueue<Self>;
    type Record = ();

    fn lock(owner: &Waiting) -> &SpinLock<IrpQueue<Self>> {
        &owner.lock
    }

    fn queue(state: &mut IrpQueue<Self>) -> &mut IrpQueue<Self> {
        state
    }
}

#[test]
fn a_cancel_completes_at_once_at_any_depth() {
    let _alone = ksim::exclusive();
    let worker = start();
    let (done, result) = channel();
    at_the_bound(move || {
        let owner = Shared::try_new(TAG, Waiting { lock: SpinLock::new(IrpQueue::new()) }).unwrap();
        let completed = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&completed);
        let irp = request(move || noted.store(true, Ordering::SeqCst));
        let client = irp.as_ptr();
        owner.lock.lock().park(&owner, irp, ()).unwrap();
        // SAFETY: the client's own IRP, outstanding; its routine frees it only after the cancel routine has run.
        let client = ManuallyDrop::new(unsafe { kernel::irp::OwnedIrp::from_raw(client) });
        // SAFETY: as above.
        let called = unsafe { client.cancel() };
        done.send((called, completed.load(Ordering::SeqCst))).unwrap();
    });
    assert_eq!(result.recv().unwrap(), (true, true));
    drop(worker);
    irp::account().assert_idle();
}

/// Completes its close request when its last reference goes.
struct Socket {
    close: Mutex<Option<OwnedIrp>>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(irp) = self.close.get_mut().unwrap().take() {
            irp.complete(Outcome::success(0));
        }
    }
}

#[test]
fn the_close_waits_for_a_deferred_completion_of_its_socket() {
    let _alone = ksim::exclusive();
    let worker = start();
    let go_on = block_the_worker::<()>();
    let (log, names) = channel();
    let noted = log.clone();
    let close = request(move || noted.send("close").unwrap());
    let socket = Shared::try_new(TAG, Socket { close: Mutex::new(Some(close)) }).unwrap();
    let of_socket = socket.clone();
    at_the_bound(move || {
        let irp = request(move || log.send("receive").unwrap()).keep(&of_socket).keep(&of_socket);
        drop(of_socket);
        irp.complete(Outcome::CANCELLED);
    });
    drop(socket);
    assert!(names.try_recv().is_err(), "nothing is completed while the work item is busy");
    drop(go_on);
    assert_eq!(names.iter().collect::<Vec<&str>>(), ["receive", "close"]);
    drop(worker);
    irp::account().assert_idle();
}
