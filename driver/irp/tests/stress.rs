//! The shipped code, with real threads and the kernel's own `IoCancelIrp`: parking against cancel against arrival. What the
//! exploration in the unit tests shows for every order of steps, this shows for the processor's memory order.

extern crate ksim as _;
extern crate wskrdma_irp as irp;

use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use abi::NTSTATUS;
use abi::nt::{DEVICE_OBJECT, IRP};
use abi::status::STATUS_MORE_PROCESSING_REQUIRED;
use irp::{CompletionBatch, IrpQueue, Outcome, OwnedIrp, QueueKind};
use kernel::irp::InvokeOn;
use kernel::lock::SpinLock;
use kernel::pool::{PoolTag, Shared};

const ROUNDS: usize = 5_000;

struct Socket {
    lock: SpinLock<IrpQueue<Receives>>,
}

enum Receives {}

// SAFETY: the lock is a field of the socket and the queue is all there is under it.
unsafe impl QueueKind for Receives {
    type Owner = Socket;
    type State = IrpQueue<Self>;
    type Record = usize;

    fn lock(owner: &Socket) -> &SpinLock<IrpQueue<Self>> {
        &owner.lock
    }

    fn queue(state: &mut IrpQueue<Self>) -> &mut IrpQueue<Self> {
        state
    }
}

/// # Safety
/// Called by the completion of a client's IRP, with the counter of its completions.
unsafe extern "system" fn count(_: *mut DEVICE_OBJECT, _: *mut IRP, context: *mut c_void) -> NTSTATUS {
    // SAFETY: the counter outlives the round.
    let completions = unsafe { &*context.cast_const().cast::<AtomicUsize>() };
    completions.fetch_add(1, Ordering::SeqCst);
    STATUS_MORE_PROCESSING_REQUIRED
}

fn park(socket: &Shared<Socket>, irp: OwnedIrp, round: usize) {
    CompletionBatch::collect(&socket.lock, |queue, batch| {
        if let Err(irp) = queue.park(socket, irp, round) {
            batch.push(irp, Outcome::CANCELLED);
        }
    });
}

fn arrive(socket: &Shared<Socket>, round: usize) {
    CompletionBatch::collect(&socket.lock, |queue, batch| {
        if let Some((irp, record)) = queue.take_next() {
            assert_eq!(record, round);
            batch.push(irp, Outcome::success(1));
        }
    });
}

#[test]
fn each_irp_is_completed_once_whoever_wins() {
    let socket =
        Shared::try_new(PoolTag::new(b"WrTs"), Socket { lock: SpinLock::new(IrpQueue::new()) }).unwrap();
    let completions = AtomicUsize::new(0);
    let client = Arc::new(Mutex::new(None::<Arc<kernel::irp::OwnedIrp>>));
    let (start, end) = (Barrier::new(3), Barrier::new(3));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                start.wait();
                let irp = client.lock().unwrap().clone().unwrap();
                // SAFETY: outstanding, and freed after the end of the round.
                unsafe { irp.cancel() };
                drop(irp);
                end.wait();
            }
        });
        scope.spawn(|| {
            for round in 0..ROUNDS {
                start.wait();
                arrive(&socket, round);
                end.wait();
            }
        });
        for round in 0..ROUNDS {
            completions.store(0, Ordering::SeqCst);
            let fresh = Arc::new(kernel::irp::OwnedIrp::try_new(1).unwrap());
            let context = (&raw const completions).cast_mut().cast();
            // SAFETY: a fresh IRP; the counter outlives all rounds.
            unsafe { kernel::irp::set_completion_routine(fresh.as_ptr(), count, context, InvokeOn::ALL) };
            *client.lock().unwrap() = Some(Arc::clone(&fresh));
            // SAFETY: a fresh IRP, entered once.
            let owned = unsafe { irp::enter(fresh.as_ptr()) }.unwrap();
            start.wait();
            park(&socket, owned, round);
            end.wait();
            assert_eq!(completions.load(Ordering::SeqCst), 1, "round {round}");
            *client.lock().unwrap() = None;
        }
    });
    irp::account().assert_idle();
}
