//! Faults that a run puts in on purpose: what no longer finds them is broken.

use std::sync::OnceLock;

use clap::ValueEnum;

/// A fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Plant {
    /// An octet of what a reader gets is another one.
    Octet,
    /// A reader is told of an end that nobody has announced.
    End,
    /// What a sender sends is not what its client wanted.
    Send,
    /// A block of the driver's memory is never freed.
    Leak,
}

static PLANTED: OnceLock<Plant> = OnceLock::new();

/// Plants a fault.
pub(crate) fn set(plant: Option<Plant>) {
    if let Some(plant) = plant {
        PLANTED.get_or_init(|| plant);
    }
}

/// Whether this fault is planted.
pub(crate) fn is(plant: Plant) -> bool {
    PLANTED.get() == Some(&plant)
}
