//! Mutexes for layers that tests put between the driver and something else: such a layer may hold one while it calls the
//! simulated kernel, which a mutex of the host would not survive in a deterministic run.

pub use crate::host::{Mutex, MutexGuard, lock};
