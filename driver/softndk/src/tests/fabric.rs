//! The fabric that a test runs over.

use std::cell::Cell;

/// Which way the ends of a test are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fabric {
    Memory,
    /// iWARP over the simulated system's TCP.
    Iwarp,
}

std::thread_local! {
    static FABRIC: Cell<Fabric> = const { Cell::new(Fabric::Memory) };
}

/// The fabric of the present test.
pub(super) fn fabric() -> Fabric {
    FABRIC.get()
}

/// Runs a test over that fabric.
pub(super) fn over(fabric: Fabric, test: impl FnOnce()) {
    /// The next test of this thread chooses for itself, also when this one fails.
    struct Chosen;

    impl Drop for Chosen {
        fn drop(&mut self) {
            FABRIC.set(Fabric::Memory);
        }
    }

    FABRIC.set(fabric);
    let _chosen = Chosen;
    test();
}

/// Makes tests of functions, each over both fabrics.
macro_rules! over_both_fabrics {
    ($($test:ident),* $(,)?) => {
        $(mod $test {
            use crate::tests::fabric::{Fabric, over};

            #[test]
            fn memory() {
                over(Fabric::Memory, super::$test);
            }

            #[test]
            fn iwarp() {
                over(Fabric::Iwarp, super::$test);
            }
        })*
    };
}

pub(super) use over_both_fabrics;

/// Runs `work` on a thread of `scope`, over the present fabric.
pub(super) fn spawn<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) {
    let fabric = fabric();
    scope.spawn(move || over(fabric, work));
}
