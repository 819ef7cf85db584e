//! The status, asked for by several programs while sockets come and go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use abi::status::STATUS_SUCCESS;
use control::Record;
use control::driver::{AdapterRow, IOCTL_STATUS, ReasonRow, SocketRow, StatusHeader};
use wskrdma_runtime::{Config, Runtime};

use crate::stage::{Stage, close};
use crate::world::Native;

/// Octets that each connection carries.
const OCTETS: u64 = 100;
/// Connections that come and go.
const ROUNDS: u64 = 60;
/// More than there ever is.
const ROOM: usize = 64 << 10;

/// The running provider, to be asked from any thread.
#[derive(Clone, Copy)]
struct Asked<'a>(&'a Runtime);

// SAFETY: `Runtime::device_control` may be called from several threads at once, and nothing else is here.
unsafe impl Send for Asked<'_> {}

/// What one question has brought: the header, and the sum over the open adapters.
fn ask(Asked(runtime): Asked<'_>) -> (StatusHeader, u64) {
    let mut buffer = vec![0xEE; ROOM];
    let (status, n) = runtime.device_control(IOCTL_STATUS, &mut buffer, 0, ROOM);
    assert_eq!(status, STATUS_SUCCESS);
    let header = StatusHeader::decode(&buffer).unwrap();
    let (adapters, sockets) = (header.adapters as usize, header.sockets as usize);
    let rows =
        adapters * AdapterRow::SIZE + sockets * SocketRow::SIZE + header.reasons as usize * ReasonRow::SIZE;
    assert_eq!(n, StatusHeader::SIZE + rows, "the counts are those of the rows");
    let row =
        |place: usize| AdapterRow::decode(&buffer[StatusHeader::SIZE + place * AdapterRow::SIZE..]).unwrap();
    (header, (0..adapters).map(|place| row(place).work.octets_sent).sum())
}

/// Whatever the moment, a connection counts once: in the table, or among what closed ones have left.
#[test]
fn sums_never_go_back_while_connections_close() {
    let _alone = ksim::exclusive();
    let _spread = ksim::processor::spread();
    let stage = Stage { world: Native::start(Config::default()) };
    let over = AtomicBool::new(false);
    let mut guest = stage.guest();
    let runtime = Asked(stage.world.runtime());
    thread::scope(|scope| {
        for _ in 0..2 {
            let over = &over;
            scope.spawn(move || {
                let runtime = runtime;
                let (mut last, mut of_adapters) = (0, 0);
                while !over.load(Ordering::Acquire) {
                    let (header, adapters) = ask(runtime);
                    let sent = header.total.octets_sent;
                    assert!(sent >= last && sent <= ROUNDS * OCTETS, "{sent} octets after {last}");
                    assert!(
                        adapters >= of_adapters && adapters <= ROUNDS * OCTETS,
                        "{adapters} after {of_adapters}"
                    );
                    assert_eq!((sent % OCTETS, adapters % OCTETS), (0, 0));
                    (last, of_adapters) = (sent, adapters);
                }
            });
        }
        for _ in 0..ROUNDS {
            let (listener, near, far) = guest.pair();
            guest.talk(near, far);
            for socket in [near, far, listener] {
                guest.succeeds(&close(socket));
            }
            guest.world.forget_all_done();
        }
        over.store(true, Ordering::Release);
    });
    let (header, adapters) = ask(runtime);
    assert_eq!((header.total.octets_sent, adapters, header.sockets), (ROUNDS * OCTETS, ROUNDS * OCTETS, 0));
    drop(guest);
    stage.world.finish();
}
