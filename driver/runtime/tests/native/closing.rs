//! What a close tells the requests that it ends.

use abi::status::STATUS_CANCELLED;
use abi::wsk::WSK_FLAG_WAITALL;
use cases::World;
use wskrdma_runtime::{AnswerMode, Config};

use crate::stage::{Stage, close, receive, send};
use crate::world::Native;

/// A receive with WAITALL that a close ends half-way reports the octets that it has got, as one that is cancelled does.
#[test]
fn a_close_reports_what_a_receive_has_got() {
    let _alone = ksim::exclusive();
    let world = Native::start(Config { answers: AnswerMode::Inline, ..Config::default() });
    let mut stage = Stage { world };
    let (_, near, far) = stage.pair();
    let receiving = stage.start(&receive(near, &[1000], WSK_FLAG_WAITALL));
    stage.succeeds(&send(far, &[300]));
    stage.world.settle();
    stage.succeeds(&close(near));
    let received = stage.end(receiving);
    assert_eq!((received.status, received.information), (STATUS_CANCELLED, 300));
    stage.world.finish();
}
