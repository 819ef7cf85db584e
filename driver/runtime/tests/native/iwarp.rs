//! The whole driver with its software adapter over iWARP, on the simulated system's TCP.

use wskrdma_runtime::Config;

use crate::stage::{MODES, Stage, close};
use crate::world::{Native, rules};

#[test]
fn sockets_talk_over_iwarp() {
    let _alone = ksim::exclusive();
    for answers in MODES {
        let settings = rules("require any any");
        let world = Native::start_over_iwarp(Config { answers, settings, ..Config::default() });
        let mut stage = Stage { world };
        let (listener, near, far) = stage.pair();
        // One that listens, and the two ends.
        assert!(ksim::wsk::sockets().len() >= 3, "this was not TCP");
        for _ in 0..20 {
            stage.talk(near, far);
            stage.talk(far, near);
        }
        for socket in [near, far, listener] {
            stage.succeeds(&close(socket));
        }
        stage.world.finish();
    }
}
